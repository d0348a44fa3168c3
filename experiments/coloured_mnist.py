"""Solid digits and their edge maps, from 1,000 pairs: section 7.4.

python launch.py --config=experiments/coloured_mnist.py --data_dir=DIR_OF_mnist.npz

31,250 updates of full size are for an accelerator. The last layer is a 1x1 convolution to the
softmax (model.last_layer=block is the thesis's 3x3 residual block, 4.8 s). On two CPU cores, an update
with 16 maps takes 1.3 s; experiments/results has a smaller run, with

  --config.model.feature_maps=16 --config.model.latent_dim=64 --config.train.batch.paired=32
  --config.train.batch.unpaired=32 --config.optimizer.learning_rate=0.002
  --config.optimizer.averaging=0.995 --config.train.num_updates=3000

which takes 28 minutes. As in the author's code, log p(y|z) and log p(x|z) of z from the *other*
modality stay bad or get worse while the joint bound rises: see coloured_mnist_translation.py and
coloured_mnist_combined.py. The 1x1 convolution reaches the better bound for its time: in 24 minutes of
one core, with both objectives, a joint bound of -986 on the validation set (750 updates), the
3x3 block -1,382 (150 updates).
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
