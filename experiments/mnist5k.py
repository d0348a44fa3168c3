"""Two halves of a digit from 500 pairs: section 7.3 on 5,000 digits, in minutes on a CPU.

python launch.py

4,000 digits to train, 500 of them seen whole and each half of every digit by itself; 500 to validate; 500 to test.
What serves the joint bound and translation at once in a minute of two cores, in fully connected networks: a product
of experts as posterior, which the pairs cannot overfit; one flow of four steps that all posteriors share; jmvae's
alpha of 0.15, which draws q(z given x) towards the joint posterior; a translator; and the average of the parameters.

python launch.py --mode=sweep

runs its sweep: lambda of 0.1, 0.3 and 1 by psi of 0 to 0.25 nats a latent dimension.
"""

from experiments import base
from experiments.mnist5k_sweep import sweep as sweep


def get_config():
    config = base.get_config()
    config.experiment = 'mnist5k'
    config.data.unpaired = 'all'
    config.model.network = 'dense'
    config.model.posterior = 'product'
    config.model.flow = 'shared'
    config.model.flow_steps = 4
    config.model.translator = True
    config.objective.name = 'jmvae'
    config.objective.alpha = 0.15
    config.objective.joint_weight = 1.0
    config.optimizer.averaging = 0.997
    config.train.num_updates = 3000
    return config
