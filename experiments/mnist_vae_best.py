"""The fully connected VAE of Table 7.1 with averaging, a flow of four steps and a falling rate.

python launch.py --config=experiments/mnist_vae_best.py --data_dir=FOLDER_OF_mnist.npz

An update takes 0.04 s on two CPU cores, all of them half an hour.
"""

from experiments import mnist_vae


def get_config():
    config = mnist_vae.get_config()
    config.experiment = 'mnist_vae_best'
    config.optimizer.averaging = 0.999
    config.optimizer.halving = 10000
    config.model.flow_steps = 4
    config.train.num_updates = 36000
    config.train.eval_every = 3000
    return config
