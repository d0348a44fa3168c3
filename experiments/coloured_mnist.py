"""Solid digits and their edge maps, from 1,000 pairs, at the size of a CPU: section 7.4.

python launch.py --config=experiments/coloured_mnist.py --data_dir=FOLDER_OF_mnist.npz

While the joint bound rises, the translations stay bad or get worse, as they do in the author's code:
`coloured_mnist_translation.py` and `coloured_mnist_combined.py` mend that. `coloured_mnist_full.py` has the thesis's sizes.
"""

from experiments import coloured_mnist_full


def get_config():
    config = coloured_mnist_full.get_config()
    config.experiment = 'coloured_mnist'
    config.model.feature_maps = 16
    config.model.latent_dim = 64
    config.optimizer.learning_rate = 0.002
    config.optimizer.averaging = 0.995
    config.train.batch.paired = 32
    config.train.batch.unpaired = 32
    config.train.num_updates = 3000
    config.train.eval_every = 250
    config.eval.train_examples = 200
    config.eval.validation_examples = 500
    config.eval.iw_samples = 20
    config.eval.iw_examples = 50
    return config
