"""The AR-CNN-VAE of Table 7.1 on whole digits, at full length: sections 4.6, 5.6 and 7.2.

python launch.py --config=experiments/mnist_ar_cnn_vae_full.py --data_dir=FOLDER_OF_mnist.npz

For an accelerator.
"""

from experiments import mnist_cnn_vae_full


def get_config():
    config = mnist_cnn_vae_full.get_config()
    config.experiment = 'mnist_ar_cnn_vae_full'
    config.model.network = 'autoregressive'
    config.objective.free_bits = 0.125
    return config
