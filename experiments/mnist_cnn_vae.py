"""The CNN-VAE of Table 7.1 on whole digits, the beginning of its training: sections 5.7 and 7.2.

python launch.py --config=experiments/mnist_cnn_vae.py --data_dir=FOLDER_OF_mnist.npz

`mnist_cnn_vae_full.py` is of the thesis's length.
"""

from experiments import mnist_cnn_vae_full


def get_config():
    config = mnist_cnn_vae_full.get_config()
    config.experiment = 'mnist_cnn_vae'
    config.train.num_updates = 2600
    config.train.eval_every = 200
    config.eval.iw_samples = 100
    config.eval.iw_examples = 500
    return config
