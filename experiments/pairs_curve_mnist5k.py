"""What pairs are worth, as `pairs_curve.py` asks, on 5,000 digits and two CPU cores.

python launch.py --config=experiments/pairs_curve_mnist5k.py --mode=sweep --workdir=SWEEP
python -m experiments.pairs_curve --figure=FILE.png --csv=FILE.csv SWEEP

The fully connected networks of tables 5.1 and 5.4, for their speed: 36 runs.
"""

from experiments import base, pairs_curve

NUM_PAIRS = (0, 50, 100, 300, 1000, 4000)


def get_config():
    config = base.get_config()
    config.experiment = 'pairs_curve_mnist5k'
    config.data.unpaired = 'all'
    config.model.network = 'dense'
    config.train.num_updates = 3000
    config.train.eval_every = 200
    config.train.patience = 5  # few pairs overfit long before many do
    # The estimate of the joint is further from the truth than those of its parts, the more so the
    # smaller K is: with K = 100 pairs seem to lose what they gain.
    config.eval.iw_samples = 1000
    config.eval.iw_examples = 250
    config.eval.iw_chunk = 50
    return config


def sweep(add):
    pairs_curve.sweep(add, NUM_PAIRS)
