"""Coloured MNIST learned from the digits 0 to 7 and tested on 8 and 9, at full size: section 7.4.3.

python launch.py --config=experiments/coloured_mnist_unseen_full.py --data_dir=FOLDER_OF_mnist.npz
"""

from experiments import coloured_mnist_full


def get_config():
    config = coloured_mnist_full.get_config()
    config.experiment = 'coloured_mnist_unseen_full'
    config.data.train_digits = tuple(range(8))
    config.data.test_digits = (8, 9)
    return config
