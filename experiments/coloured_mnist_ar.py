"""Coloured MNIST with the autoregressive network, at the size of a CPU: section 7.4.4.

python launch.py --config=experiments/coloured_mnist_ar.py --data_dir=FOLDER_OF_mnist.npz

`coloured_mnist.py` with masked convolutions after its decoders, and the thesis's psi. `coloured_mnist_ar_full.py` has
the thesis's sizes.
"""

from experiments import coloured_mnist


def get_config():
    config = coloured_mnist.get_config()
    config.experiment = 'coloured_mnist_ar'
    config.model.network = 'autoregressive'
    config.objective.free_bits = 0.125
    return config
