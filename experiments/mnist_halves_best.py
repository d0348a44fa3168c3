"""Two halves of a digit from 1,000 pairs, in fully connected networks with what helps: section 7.3.

python launch.py --config=experiments/mnist_halves_best.py --data_dir=FOLDER_OF_mnist.npz

A flow in each posterior, the average of the parameters, a larger rate, all digits in the streams of one half, and a
translator: 15,000 updates take 39 minutes on one CPU core and reach a joint test bound of -92.5 +- 0.3 nats, where the
thesis has -95. y from x costs 63.3 +- 1.2 nats and x from y 60.5 +- 1.0 (K = 100, 1,000 test examples), where a z that
ignores its source has 103.5 and 95.2. With a product, a shared flow of 4 steps and jmvae (alpha 0.3, lambda 0.3) in their
place, in 29 minutes: -93.5, 66.7 and 64.0.
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
    config.optimizer.learning_rate = 0.002
    config.optimizer.averaging = 0.998
    config.train.num_updates = 15000
    config.train.eval_every = 500
    return config
