"""The fully connected VAE of Table 7.1 with the parameters' average, a falling rate and more updates.

python launch.py --config=experiments/mnist_vae_averaged.py --data_dir=FOLDER_OF_mnist.npz
"""

from experiments import mnist_vae


def get_config():
    config = mnist_vae.get_config()
    config.experiment = 'mnist_vae_averaged'
    config.optimizer.averaging = 0.999
    config.optimizer.halving = 60000
    config.train.num_updates = 240000
    config.train.eval_every = 8000
    return config
