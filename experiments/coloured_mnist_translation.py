"""Coloured MNIST with the translation objective: section 7.4.1.

python launch.py --config=experiments/coloured_mnist_translation.py --data_dir=FOLDER_OF_mnist.npz
"""

from experiments import coloured_mnist


def get_config():
    config = coloured_mnist.get_config()
    config.experiment = 'coloured_mnist_translation'
    config.objective.name = 'translation'
    config.train.num_updates = 2000
    return config
