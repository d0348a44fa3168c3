"""Two halves of a digit from 500 pairs with the thesis's joint objective: section 7.3 on 5,000 digits.

python launch.py --config=experiments/mnist5k_joint.py

The digits, networks and updates of `mnist5k.py`; lambda 0.5, a flow of two steps in each posterior, and each digit
that is not paired seen in one half alone. `mnist5k_conv.py` has the thesis's networks.
"""

from experiments import base


def get_config():
    config = base.get_config()
    config.experiment = 'mnist5k_joint'
    config.model.network = 'dense'
    config.model.flow_steps = 2
    config.objective.joint_weight = 0.5
    config.optimizer.averaging = 0.995
    config.train.num_updates = 3000
    return config
