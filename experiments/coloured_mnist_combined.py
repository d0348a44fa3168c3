"""Coloured MNIST with the mean of the joint and the translation objective: not the thesis's.

python launch.py --config=experiments/coloured_mnist_combined.py --data_dir=DIR_OF_mnist.npz

With 16 maps and the other settings of the small run in coloured_mnist.py, 2,000 updates reach a
joint bound of -767.9 +- 2.7 nats, where the joint objective is at -1,212 after 3,000, and bounds
(4.13) and (4.14) of -783.0 and -782.8 +- 2.8, where the translation objective, which learns no
joint posterior, is at -755.6 and -763.2. About an hour on two CPU cores.
"""

from experiments import coloured_mnist


def get_config():
    config = coloured_mnist.get_config()
    config.experiment = 'coloured_mnist_combined'
    config.objective.name = 'combined'
    return config
