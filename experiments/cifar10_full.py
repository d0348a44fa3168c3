"""CIFAR-10 photographs, a mixture of 5 discretised logistics for each value: section 7.2 of the thesis.

python launch.py --config=experiments/cifar10_full.py --data_dir=FOLDER

FOLDER has cifar10.npz (x_train, y_train, x_test, y_test) or is one of TensorFlow Datasets. 64 maps, for
an accelerator: `cifar10.py` is the size of a CPU.
"""

from experiments import base


def get_config():
    config = base.get_config('cifar10')
    config.experiment = 'cifar10_full'
    config.data.num_pairs = 0
    config.objective.name = 'single'
    config.objective.free_bits = 0.5
    config.model.latent_dim = 200
    config.model.hidden = 450
    config.model.feature_maps = 64
    config.optimizer.averaging = 0.999
    config.train.batch.unpaired = 64
    config.train.num_updates = 63000
    config.train.eval_every = 2000
    config.train.log_every = 100
    config.train.patience = 10
    config.eval.batch_size = 50
    config.eval.validation_examples = 1000
    config.eval.iw_examples = 500
    config.eval.iw_chunk = 5
    return config
