"""The best four of `frontier.py` on the halves of all of MNIST, 1,000 of 50,000 digits seen whole.

python launch.py --mode=sweep --config=experiments/frontier_mnist.py --data_dir=FOLDER_OF_mnist.npz --workdir=SWEEP
python -m experiments.frontier --figure=FILE.png --csv=FILE.csv SWEEP
"""

from experiments import frontier

BEST = (
    'jmvae, product, shared flow, translator',
    'joint, product, shared flow',
    'vaevae',
    'jmvae, product, shared flow',
)


def get_config():
    config = frontier.get_config()
    config.experiment = 'frontier_mnist'
    config.data.name = 'mnist'
    config.data.num_pairs = 1000
    config.model.hidden = 400
    config.optimizer.learning_rate = 0.002
    config.optimizer.averaging = 0.998
    config.train.num_updates = 6000
    config.train.eval_every = 500
    config.eval.iw_examples = 1000  # of 10,000, as in mnist_halves.py
    return config


def sweep(add):
    for name in BEST:
        add(frontier.WAYS[name])
