"""Coloured MNIST with jmvae, a product of experts, one flow for all posteriors and a translator; not the thesis's.

python launch.py --config=experiments/coloured_mnist_translator.py --data_dir=FOLDER_OF_mnist.npz
"""

from experiments import coloured_mnist


def get_config():
    config = coloured_mnist.get_config()
    config.experiment = 'coloured_mnist_translator'
    config.model.posterior = 'product'
    config.model.flow = 'shared'
    config.model.flow_steps = 4
    config.model.translator = True
    config.objective.name = 'jmvae'
    config.objective.alpha = 0.15
    config.optimizer.halving = 5000
    config.train.num_updates = 10000
    return config
