"""Coloured MNIST learned from the digits 0 to 7 and tested on 8 and 9: section 7.4.3.

python launch.py --config=experiments/coloured_mnist_unseen.py --data_dir=DIR_OF_mnist.npz

experiments/results has a small run with the translation objective (--config.objective.name=translation,
16 maps and the other settings in coloured_mnist.py, 1,000 updates, 25 minutes of one core): bounds
(4.13) and (4.14) of -1,001 +- 6 and -1,012 +- 6 nats on 8 and 9, -900 and -898 on the digits of training.
All translations of 8 and 9 have the right colour; a classifier that knows all digits sees the right one in
78% (x to y; 88% of real images) and 59% (y to x; 93%).
"""

from experiments import coloured_mnist


def get_config():
    config = coloured_mnist.get_config()
    config.experiment = 'coloured_mnist_unseen'
    config.data.train_digits = tuple(range(8))
    config.data.test_digits = (8, 9)
    return config
