"""placeholder header"""

from experiments import base


def get_config():
    config = base.get_config()
    config.experiment = 'mnist_halves'
    config.data.name = 'mnist'
    config.data.num_pairs = 1000
    config.train.num_updates = 3000
    return config
