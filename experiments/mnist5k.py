"""Two halves of a digit from 500 pairs: section 7.3 on 5,000 digits, in minutes on a CPU.

python launch.py

4,000 digits to train, 500 of them seen whole and the others as a top or a bottom only; 500
to validate; 500 to test. On two CPU cores, 5 minutes of training end at a joint test bound of
-112.7 +- 1.5 nats.

python launch.py --mode=sweep

runs its sweep: lambda of 0.1, 0.3 and 1 by psi of 0 to 0.25 nats a latent dimension.
"""

from experiments import base


def get_config():
    config = base.get_config()
    config.experiment = 'mnist5k'
    config.train.num_updates = 1500
    return config


def sweep(add):
    for joint_weight in (0.1, 0.3, 1.0):
        for free_bits in (0.0, 0.03125, 0.125, 0.25):
            add({'objective.joint_weight': joint_weight, 'objective.free_bits': free_bits})
