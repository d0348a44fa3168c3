"""The AR-CNN-VAE of Table 7.1 with what helped the VAE, see mnist_vae_best.py, and gated blocks.

python launch.py --config=experiments/mnist_ar_cnn_vae_best.py --data_dir=FOLDER_OF_mnist.npz

For an accelerator; what each change gains here is not measured yet.
"""

from experiments import mnist_ar_cnn_vae_full


def get_config():
    config = mnist_ar_cnn_vae_full.get_config()
    config.experiment = 'mnist_ar_cnn_vae_best'
    config.optimizer.averaging = 0.999
    config.model.flow_steps = 2
    config.model.masked_gates = True
    config.model.feature_maps = 32
    return config
