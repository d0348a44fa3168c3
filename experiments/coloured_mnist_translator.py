"""Coloured MNIST with `coloured_mnist_combined.py`'s objective and a translator; not the thesis's.

python launch.py --config=experiments/coloured_mnist_translator.py --data_dir=FOLDER_OF_mnist.npz
"""

from experiments import coloured_mnist_combined


def get_config():
    config = coloured_mnist_combined.get_config()
    config.experiment = 'coloured_mnist_translator'
    config.model.translator = True
    return config
