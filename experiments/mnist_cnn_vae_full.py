"""The CNN-VAE of Table 7.1 on whole digits, at full length: sections 5.7 and 7.2.

python launch.py --config=experiments/mnist_cnn_vae_full.py --data_dir=FOLDER_OF_mnist.npz

For an accelerator.
"""

from experiments import mnist_vae


def get_config():
    config = mnist_vae.get_config()
    config.experiment = 'mnist_cnn_vae_full'
    config.model.network = 'conv'
    return config
