"""placeholder header"""

from experiments import base


def get_config():
    config = base.get_config()
    config.experiment = 'mnist5k'
    config.train.num_updates = 1500
    return config
