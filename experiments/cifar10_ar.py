"""CIFAR-10 with the autoregressive network of 2 masked blocks (section 5.6), at full size.

python launch.py --config=experiments/cifar10_ar.py --data_dir=FOLDER
"""

from experiments import cifar10_full


def get_config():
    config = cifar10_full.get_config()
    config.experiment = 'cifar10_ar'
    config.model.network = 'autoregressive'
    config.model.masked_blocks = 2
    return config
