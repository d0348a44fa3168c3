"""The AR-CNN-VAE of Table 7.1 on whole digits, the beginning of its training: sections 4.6, 5.6 and 7.2.

python launch.py --config=experiments/mnist_ar_cnn_vae.py --data_dir=FOLDER_OF_mnist.npz

`mnist_ar_cnn_vae_full.py` is of the thesis's length.
"""

from experiments import mnist_ar_cnn_vae_full


def get_config():
    config = mnist_ar_cnn_vae_full.get_config()
    config.experiment = 'mnist_ar_cnn_vae'
    config.train.num_updates = 1200
    config.train.eval_every = 100
    config.eval.iw_samples = 100
    config.eval.iw_examples = 200
    return config
