"""Coloured MNIST learned from the digits 0 to 7 and tested on 8 and 9: section 7.4.3.

python launch.py --config=experiments/coloured_mnist_unseen.py --data_dir=FOLDER_OF_mnist.npz

The translation objective; 25 minutes of one CPU core. The bounds from one modality alone are -1,001 +- 6
and -1,012 +- 6 nats on 8 and 9, and -900 and -898 on the digits of training. All translations of 8 and 9
have the right colour; a classifier that knows all digits sees the right one in 78% (x to y; 88% of real
images) and 59% (y to x; 93%).
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
