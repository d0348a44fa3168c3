"""CIFAR-10 with the autoregressive network (section 5.6), at full size.

python launch.py --config=experiments/cifar10_ar.py --data_dir=FOLDER

The thesis's network has 2 masked blocks of 3x3 kernels without gates. Here they are 4 of 5x5 with gates, which see
10 rows up: further than one of the 8x8 squares that JPEG compresses, in case the photographs were compressed.
"""

from experiments import cifar10_full


def get_config():
    config = cifar10_full.get_config()
    config.experiment = 'cifar10_ar'
    config.model.network = 'autoregressive'
    config.model.masked_blocks = 4
    config.model.masked_size = 5
    config.model.masked_gates = True
    config.train.num_updates = 30700
    return config
