"""Two halves of a digit from 1,000 pairs: section 7.3.

python launch.py --config=experiments/mnist_halves.py --data_dir=FOLDER_OF_mnist.npz

The first 3,000 of the 150,000 updates of the author's published code.
"""

from experiments import base
from experiments.mnist5k_sweep import sweep as sweep


def get_config():
    config = base.get_config()
    config.experiment = 'mnist_halves'
    config.data.name = 'mnist'
    config.data.num_pairs = 1000
    config.train.num_updates = 3000
    config.eval.iw_examples = 1000  # of 10,000, which would take 8 minutes on two CPU cores
    return config
