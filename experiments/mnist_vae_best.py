"""The fully connected VAE of Table 7.1 with twice its units and latents, averaging, a flow and a falling rate.

python launch.py --config=experiments/mnist_vae_best.py --data_dir=FOLDER_OF_mnist.npz

An update takes 0.15 s on two CPU cores, all of them two hours.
"""

from experiments import mnist_vae


def get_config():
    config = mnist_vae.get_config()
    config.experiment = 'mnist_vae_best'
    config.optimizer.averaging = 0.999
    config.optimizer.halving = 16000
    config.model.hidden = 900
    config.model.latent_dim = 100
    config.model.flow_steps = 4
    config.train.num_updates = 48000
    config.train.eval_every = 2000
    return config
