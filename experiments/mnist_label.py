"""Whole digits and which digits they are, all paired: the benchmark of JMVAE (Suzuki et al., 2017).

python launch.py --config=experiments/mnist_label.py --data_dir=FOLDER_OF_mnist.npz

All 50,000 training digits are seen with their label, and each modality is seen by itself as well, which trains
q(z | image) and q(z | label). A flow of two steps in each posterior, and the parameters' average.
"""

from ml_collections import config_dict

from experiments import mnist_vae


def get_config():
    config = mnist_vae.get_config()
    config.experiment = 'mnist_label'
    config.data.with_label = True
    config.data.num_pairs = config_dict.placeholder(int)  # all of them
    config.data.unpaired = 'all'
    config.objective.name = 'joint'
    config.objective.joint_weight = 1.0
    config.optimizer.averaging = 0.999
    config.model.flow_steps = 2
    config.train.num_updates = 20000
    config.train.eval_every = 2000
    config.train.batch.paired = 128
    config.train.batch.unpaired = 128
    return config
