"""The four quadrants of a digit, from 500 digits seen whole: four modalities, in minutes on a CPU.

python launch.py --config=experiments/quadrants.py

x is the top left, y the top right, v the bottom left, w the bottom right; of the 3,500 other digits to train on
each is seen in one of them.
"""

from experiments import mnist5k_joint


def get_config():
    config = mnist5k_joint.get_config()
    config.experiment = 'quadrants'
    config.data.view = 'quadrants'
    return config
