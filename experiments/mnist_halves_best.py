"""Two halves of a digit from 1,000 pairs, in fully connected networks with what helps: section 7.3.

python launch.py --config=experiments/mnist_halves_best.py --data_dir=FOLDER_OF_mnist.npz

A flow in each posterior, the average of the parameters, a larger rate that falls slowly, all digits in the streams of one
half, and a translator that learns in the last 750 of 60,000 updates, by what a translation is measured by. An update takes
0.08 s on two CPU cores, all of them an hour and a third.
"""

from experiments import mnist_halves


def get_config():
    config = mnist_halves.get_config()
    config.experiment = 'mnist_halves_best'
    config.data.unpaired = 'all'
    config.model.network = 'dense'
    config.model.posterior = 'merged'
    config.model.hidden = 500
    config.model.flow_steps = 2
    config.model.translator = True
    config.objective.translator_samples = 16
    config.objective.translator_from = 59250
    config.optimizer.learning_rate = 0.002
    config.optimizer.halving = 20000
    config.optimizer.averaging = 0.998
    config.train.num_updates = 60000
    config.train.eval_every = 1500
    return config
