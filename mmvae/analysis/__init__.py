"""What a trained model is good for: translations, representations, figures and tables."""
