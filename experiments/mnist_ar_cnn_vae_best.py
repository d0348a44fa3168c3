"""The AR-CNN-VAE of Table 7.1 with averaging, a flow, gates, 5x5 kernels and a falling rate.

python launch.py --config=experiments/mnist_ar_cnn_vae_best.py --data_dir=FOLDER_OF_mnist.npz

Minibatches of 128 digits for 256: an update takes 0.32 s on two CPU cores, all of them an hour and three quarters.
"""

from experiments import mnist_ar_cnn_vae_full


def get_config():
    config = mnist_ar_cnn_vae_full.get_config()
    config.experiment = 'mnist_ar_cnn_vae_best'
    config.model.flow_steps = 2
    config.model.masked_gates = True
    config.model.masked_size = 5
    config.optimizer.averaging = 0.999
    config.optimizer.halving = 7000
    config.train.batch.unpaired = 128
    config.train.num_updates = 19000
    config.eval.iw_samples = 100
    config.eval.iw_examples = 500
    return config
