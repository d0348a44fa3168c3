"""Coloured MNIST with the autoregressive network, at full size: section 7.4.4. For an accelerator.

python launch.py --config=experiments/coloured_mnist_ar_full.py --data_dir=FOLDER_OF_mnist.npz
"""

from experiments import coloured_mnist_full


def get_config():
    config = coloured_mnist_full.get_config()
    config.experiment = 'coloured_mnist_ar_full'
    config.model.network = 'autoregressive'
    config.objective.free_bits = 0.125
    return config
