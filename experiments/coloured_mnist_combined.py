"""Coloured MNIST with the mean of the joint and the translation objective; not the thesis's.

python launch.py --config=experiments/coloured_mnist_combined.py --data_dir=FOLDER_OF_mnist.npz
"""

from experiments import coloured_mnist


def get_config():
    config = coloured_mnist.get_config()
    config.experiment = 'coloured_mnist_combined'
    config.objective.name = 'combined'
    config.train.num_updates = 2000
    return config
