"""The AR-CNN-VAE of Table 7.1 on whole digits, at full length: sections 4.6, 5.6 and 7.2.

python launch.py --config=experiments/mnist_ar_cnn_vae_full.py --data_dir=FOLDER_OF_mnist.npz

An update takes 0.64 s on two CPU cores: 40,000 are for an accelerator. The thesis reaches -82 nats.
"""

from experiments import mnist_cnn_vae_full


def get_config():
    config = mnist_cnn_vae_full.get_config()
    config.experiment = 'mnist_ar_cnn_vae_full'
    config.model.network = 'autoregressive'
    config.objective.free_bits = 0.125
    return config
