"""Coloured MNIST with the translation objective, the mean of (4.13) and (4.14): section 7.4.1.

python launch.py --config=experiments/coloured_mnist_translation.py --data_dir=DIR_OF_mnist.npz
"""

from experiments import coloured_mnist


def get_config():
    config = coloured_mnist.get_config()
    config.experiment = 'coloured_mnist_translation'
    config.objective.name = 'translation'
    return config
