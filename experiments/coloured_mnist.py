"""Solid digits and their edge maps, from 1,000 pairs: section 7.4.

python launch.py --config=experiments/coloured_mnist.py --data_dir=DIR_OF_mnist.npz
"""

from experiments import base


def get_config():
    config = base.get_config()
    config.experiment = 'coloured_mnist'
    config.data.name = 'mnist'
    config.data.view = 'coloured'
    config.data.num_pairs = 1000
    config.model.latent_dim = 200
    config.model.feature_maps = 32
    config.model.last_layer = 'pointwise'
    config.train.num_updates = 31250
    config.train.eval_every = 1000
    config.train.log_every = 50
    config.eval.batch_size = 50  # the logits of one image take 2.4 MB
    config.eval.iw_chunk = 2
    config.eval.iw_examples = 500
    return config
