"""Coloured MNIST with the translation objective: section 7.4.1, at full size.

python launch.py --config=experiments/coloured_mnist_translation_full.py --data_dir=FOLDER_OF_mnist.npz
"""

from experiments import coloured_mnist_full


def get_config():
    config = coloured_mnist_full.get_config()
    config.experiment = 'coloured_mnist_translation_full'
    config.objective.name = 'translation'
    return config
