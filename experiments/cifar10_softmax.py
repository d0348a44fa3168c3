"""CIFAR-10 with the softmax over 256 values of the text (equation 4.2), at full size.

python launch.py --config=experiments/cifar10_softmax.py --data_dir=FOLDER

A 1x1 convolution makes the logits: the thesis's residual block (model.last_layer=block) costs 13 times as much.
"""

from experiments import cifar10_full


def get_config():
    config = cifar10_full.get_config()
    config.experiment = 'cifar10_softmax'
    config.data.likelihood = 'categorical'
    config.model.last_layer = 'pointwise'
    config.eval.iw_chunk = 2
    return config
