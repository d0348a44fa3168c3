"""The CNN-VAE of Table 7.1 with averaging, a flow of four steps, 32 maps for 16 and a falling rate.

python launch.py --config=experiments/mnist_cnn_vae_best.py --data_dir=FOLDER_OF_mnist.npz

Minibatches of 128 digits for 256: an update takes 0.21 s on two CPU cores, all of them an hour and a half.
"""

from experiments import mnist_cnn_vae_full


def get_config():
    config = mnist_cnn_vae_full.get_config()
    config.experiment = 'mnist_cnn_vae_best'
    config.model.flow_steps = 4
    config.model.feature_maps = 32
    config.optimizer.averaging = 0.999
    config.optimizer.halving = 9000
    config.train.batch.unpaired = 128
    config.train.num_updates = 27000
    config.eval.iw_samples = 100
    config.eval.iw_examples = 1000
    return config
