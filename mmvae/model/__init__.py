"""The model: distributions, layers, the networks of section 5.5, posteriors, and the VAE of them."""
