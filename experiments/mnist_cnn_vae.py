"""The CNN-VAE of Table 7.1 on whole digits: sections 5.7 and 7.2.

python launch.py --config=experiments/mnist_cnn_vae.py --data_dir=DIR_OF_mnist.npz
"""

from experiments import mnist_vae


def get_config():
    config = mnist_vae.get_config()
    config.experiment = 'mnist_cnn_vae'
    config.model.network = 'conv'
    return config
