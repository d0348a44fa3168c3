"""Two halves of a digit from 500 pairs: section 7.3 on 5,000 digits, in minutes on a CPU.

python launch.py

4,000 digits to train, 500 of them seen whole and the others as a top or a bottom only; 500 to validate; 500 to
test. Fully connected networks, a flow of two steps in each posterior, and the average of the parameters: what
reaches most in 90 seconds of two cores. `mnist5k_conv.py` has the thesis's networks.

python launch.py --mode=sweep

runs its sweep: lambda of 0.1, 0.3 and 1 by psi of 0 to 0.25 nats a latent dimension.
"""

from experiments import base
from experiments.mnist5k_sweep import sweep as sweep


def get_config():
    config = base.get_config()
    config.experiment = 'mnist5k'
    config.model.network = 'dense'
    config.model.flow_steps = 2
    config.objective.joint_weight = 0.5
    config.optimizer.averaging = 0.995
    config.train.num_updates = 3000
    return config
