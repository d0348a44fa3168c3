"""What pairs are worth, as `pairs_curve.py` asks, on 5,000 digits and two CPU cores.

python launch.py --config=experiments/pairs_curve_mnist5k.py --mode=sweep --workdir=SWEEP
python -m experiments.pairs_curve --figure=FILE.png --csv=FILE.csv SWEEP

The fully connected networks of tables 5.1 and 5.4, for their speed: 36 runs, which took 41
minutes on two CPU cores beside other work. With 250 test digits and K = 1,000:

NLL of (x, y), nats          0 pairs   50    100    300   1,000  all 4,000
  joint objective              101.6  115.4  109.0  104.3  102.3  101.7
  translation objective        101.6  142.7  136.5  126.2  114.7  111.0
translating x to y
  joint objective               90.2   88.7   77.8   72.2   66.9   71.4
  translation objective         86.6   80.4   77.7   72.6   65.2   61.9

(standard errors over seeds of about 1; of 2 to 8 for translations with at most 100 pairs). At this size
pairs buy translation, 25 nats of it, and no likelihood: with all pairs the joint model is where two models
of one half each are, and with few it is worse. So the share of the gain is not defined here.
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
