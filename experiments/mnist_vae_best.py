"""The fully connected VAE of Table 7.1 with what helps it: the parameters' average, and a flow in the posterior.

python launch.py --config=experiments/mnist_vae_best.py --data_dir=FOLDER_OF_mnist.npz
"""

from experiments import mnist_vae


def get_config():
    config = mnist_vae.get_config()
    config.experiment = 'mnist_vae_best'
    config.optimizer.averaging = 0.999
    config.model.flow_steps = 2
    config.train.num_updates = 20000
    config.train.eval_every = 2000
    return config
