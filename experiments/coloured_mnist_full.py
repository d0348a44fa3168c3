"""Solid digits and their edge maps, from 1,000 pairs, at full size: section 7.4 of the thesis.

python launch.py --config=experiments/coloured_mnist_full.py --data_dir=FOLDER_OF_mnist.npz

31,250 updates are the thesis's 2,000 passes over the pairs, 64 an update; they are for an accelerator. The
last layer is a 1x1 convolution to the softmax over 256 values: the thesis's 3x3 residual block
(model.last_layer=block) costs 13 times as much. `coloured_mnist.py` is the size of a CPU.
"""

from experiments import base


def get_config():
    config = base.get_config()
    config.experiment = 'coloured_mnist_full'
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
