"""Coloured MNIST with the mean of the joint and the translation objective; not the thesis's, at full size.

python launch.py --config=experiments/coloured_mnist_combined_full.py --data_dir=FOLDER_OF_mnist.npz
"""

from experiments import coloured_mnist_full


def get_config():
    config = coloured_mnist_full.get_config()
    config.experiment = 'coloured_mnist_combined_full'
    config.objective.name = 'combined'
    return config
