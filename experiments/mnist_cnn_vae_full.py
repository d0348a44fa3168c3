"""The CNN-VAE of Table 7.1 on whole digits, at full length: sections 5.7 and 7.2.

python launch.py --config=experiments/mnist_cnn_vae_full.py --data_dir=FOLDER_OF_mnist.npz

An update takes 0.23 s on two CPU cores: 40,000 are for an accelerator. The thesis reaches -87 nats.
"""

from experiments import mnist_vae


def get_config():
    config = mnist_vae.get_config()
    config.experiment = 'mnist_cnn_vae_full'
    config.model.network = 'conv'
    return config
