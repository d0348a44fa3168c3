"""Coloured MNIST with the mean of the joint and the translation objective; not the thesis's.

python launch.py --config=experiments/coloured_mnist_combined.py --data_dir=FOLDER_OF_mnist.npz

2,000 updates take about an hour on two CPU cores. The joint bound on the test set is -767.9 +- 2.7 nats, where
the joint objective is at -1,212 after 3,000 updates, and the bounds from one modality alone are -783.0 and
-782.8 +- 2.8, where the translation objective, which learns no joint posterior, is at -755.6 and -763.2.
"""

from experiments import coloured_mnist


def get_config():
    config = coloured_mnist.get_config()
    config.experiment = 'coloured_mnist_combined'
    config.objective.name = 'combined'
    config.train.num_updates = 2000
    return config
