"""Two halves of a digit from 500 pairs with the thesis's convolutional networks, on 5,000 digits.

python launch.py --config=experiments/mnist5k_conv.py

The data of `mnist5k.py` and the networks of `mnist_halves.py`: section 7.3 at the size of a CPU.
"""

from experiments import base


def get_config():
    config = base.get_config()
    config.experiment = 'mnist5k_conv'
    config.train.num_updates = 1500
    return config
