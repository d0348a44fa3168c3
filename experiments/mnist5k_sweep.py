"""What lambda and psi do: the halves of 5,000 digits, fully connected networks, 12 runs.

python launch.py --mode=sweep --config=experiments/mnist5k_sweep.py

Lambda weighs the pairs, psi (free bits) is in nats a latent dimension. 2,000 updates each, with neither the flow
nor the average of `mnist5k.py`. Both trade the joint bound for translation: lambda cheaply, psi dearly.
"""

from experiments import base


def get_config():
    config = base.get_config()
    config.experiment = 'mnist5k_sweep'
    config.model.network = 'dense'
    config.train.num_updates = 2000
    return config


def sweep(add):
    for joint_weight in (0.1, 0.3, 1.0):
        for free_bits in (0.0, 0.03125, 0.125, 0.25):
            add({'objective.joint_weight': joint_weight, 'objective.free_bits': free_bits})
