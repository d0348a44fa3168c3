"""The AR-CNN-VAE of Table 7.1 on whole digits: sections 4.6, 5.6 and 7.2.

python launch.py --config=experiments/mnist_ar_cnn_vae.py --data_dir=DIR_OF_mnist.npz
"""

from experiments import mnist_cnn_vae


def get_config():
    config = mnist_cnn_vae.get_config()
    config.experiment = 'mnist_ar_cnn_vae'
    config.model.network = 'autoregressive'
    config.objective.free_bits = 0.125
    return config
