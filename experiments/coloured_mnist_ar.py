"""Coloured MNIST with the autoregressive network: section 7.4.4.

python launch.py --config=experiments/coloured_mnist_ar.py --data_dir=DIR_OF_mnist.npz

31,250 updates are the thesis's 2,000 passes over the 1,000 pairs, 64 an update.
"""

from experiments import coloured_mnist


def get_config():
    config = coloured_mnist.get_config()
    config.experiment = 'coloured_mnist_ar'
    config.model.network = 'autoregressive'
    config.objective.free_bits = 0.125
    return config
