"""CIFAR-10 photographs, at the size of a CPU: section 7.2 of the thesis.

python launch.py --config=experiments/cifar10.py --data_dir=FOLDER

`cifar10_full.py` says what FOLDER has, and has the thesis's sizes.
"""

from experiments import cifar10_full


def get_config():
    config = cifar10_full.get_config()
    config.experiment = 'cifar10'
    config.objective.free_bits = 0.0
    config.model.latent_dim = 100
    config.model.hidden = 256
    config.model.feature_maps = 16
    config.optimizer.averaging = 0.995
    config.train.batch.unpaired = 32
    config.train.num_updates = 7000
    config.train.eval_every = 500
    config.train.log_every = 50
    config.train.patience = 0
    config.eval.train_examples = 500
    config.eval.validation_examples = 500
    config.eval.iw_samples = 50
    config.eval.iw_examples = 100
    return config
