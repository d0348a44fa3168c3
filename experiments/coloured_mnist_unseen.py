"""Coloured MNIST learned from the digits 0 to 7 and tested on 8 and 9: section 7.4.3.

python launch.py --config=experiments/coloured_mnist_unseen.py --data_dir=FOLDER_OF_mnist.npz

The translation objective.
"""

from experiments import coloured_mnist


def get_config():
    config = coloured_mnist.get_config()
    config.experiment = 'coloured_mnist_unseen'
    config.data.train_digits = tuple(range(8))
    config.data.test_digits = (8, 9)
    config.objective.name = 'translation'
    config.train.num_updates = 1000
    return config
