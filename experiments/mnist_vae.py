"""The fully connected VAE of Table 7.1 on whole digits: sections 5.7 and 7.2.

python launch.py --config=experiments/mnist_vae.py --data_dir=FOLDER_OF_mnist.npz
"""

from experiments import base


def get_config():
    config = base.get_config()
    config.experiment = 'mnist_vae'
    config.data.name = 'mnist'
    config.data.view = 'whole'
    config.data.num_pairs = 0
    config.objective.name = 'single'
    config.model.network = 'dense'
    config.model.latent_dim = 50
    config.model.hidden = 450
    config.optimizer.learning_rate = 0.002
    config.train.batch.unpaired = 256
    config.train.num_updates = 40000
    config.train.eval_every = 1000
    config.train.log_every = 200
    config.train.patience = 10
    config.eval.iw_samples = 500
    return config
