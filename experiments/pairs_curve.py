"""What pairs are worth: bounds against their number, on the halves of all MNIST digits.

python launch.py --config=experiments/pairs_curve.py --mode=sweep --data_dir=FOLDER --workdir=SWEEP
python -m experiments.pairs_curve --figure=FILE.png --csv=FILE.csv SWEEP

The streams of one modality draw from all digits whoever is paired, so that what changes from
run to run is how many digits are seen whole. For an accelerator; `pairs_curve_mnist5k.py` is the
same at the size of a CPU.

The second command reads what the sweep has so far. For each objective and number of pairs N it
gives the means and standard errors over seeds of importance-weighted estimates of NLL(x, y),
of NLL(y given x) and of what a translation of x costs, all in nats of the test set, and the share
of the gain

  F(N) = (NLL(0) - NLL(N)) / (NLL(0) - NLL(all))

for each seed, where NLL is of (x, y) and NLL(0) := NLL_x + NLL_y of the run without pairs. There is
no share of a gain that is none: it is left out unless all pairs gain more than two standard errors.
"""

import math

from experiments import mnist_halves, study
from mmvae.analysis import curves
from mmvae.quantities import find
from mmvae.system import metrics

NUM_PAIRS = (0, 50, 100, 300, 1000, 3000, 10000, 50000)
OBJECTIVES = ('joint', 'translation')
SEEDS = (0, 1, 2)

# Column -> the rows of results.json that it is a sum of, by kind, of and given: with pairs, and
# without. Without pairs nothing ties the modalities, and their NLLs add up.
X, Y, XY = (('importance-weighted', of, '') for of in ('x', 'y', 'x+y'))
NLL = {
    'nll_xy': ([XY], [X, Y]),
    'nll_y_given_x': ([('conditional', 'y', 'x')], [Y]),
    'nll_x_given_y': ([('conditional', 'x', 'y')], [X]),
    'translation_y_given_x': ([('translation', 'y', 'x')],) * 2,
    'translation_x_given_y': ([('translation', 'x', 'y')],) * 2,
}


def get_config():
    config = mnist_halves.get_config()
    config.experiment = 'pairs_curve'
    config.data.unpaired = 'all'
    config.train.num_updates = 20000
    config.train.eval_every = 500
    config.train.patience = 10  # few pairs overfit long before many do
    config.eval.iw_samples = 200
    return config


def sweep(add, num_pairs=NUM_PAIRS):
    for name in OBJECTIVES:
        for pairs in num_pairs:
            for seed in SEEDS:
                # Other pairs with each seed: who they are is a part of the error. With mnist5k
                # the splits are others too.
                add(
                    {
                        'objective.name': name,
                        'data.num_pairs': pairs,
                        'data.seed': seed,
                        'seed': seed,
                    }
                )


def curve(points):
    """Rows {objective, num_pairs, seeds, NAME, NAME_stderr, ...} of the finished runs.

    NLLs in nats; `share` is F(N), of the seeds that have runs without and with all pairs.
    """
    values = {}  # (objective, pairs, seed) -> column -> nats
    # 'All' is the largest number asked for, finished or not.
    most = max(p.point.config.data.num_pairs for p in points)
    for p in points:
        if p.test:
            config = p.point.config
            pairs = config.data.num_pairs
            key = (config.objective.name, pairs, config.seed)
            values[key] = {
                column: -sum(
                    find(p.test, kind=kind, of=of, given=given)['mean']
                    for kind, of, given in (with_pairs if pairs else without)
                )
                for column, (with_pairs, without) in NLL.items()
            }
    gains = {  # (objective, seed) -> of all pairs over none, nats
        (name, seed): nll['nll_xy'] - values[name, most, seed]['nll_xy']
        for (name, pairs, seed), nll in values.items()
        if pairs == 0 < most and (name, most, seed) in values
    }
    for (name, _, seed), nll in values.items():
        gain = metrics.Mean()
        gain.add([g for (other, _), g in gains.items() if other == name])
        is_gain = gain.stderr is not None and gain.mean > 2 * gain.stderr
        if (name, seed) in gains and is_gain:
            nll['share'] = (values[name, 0, seed]['nll_xy'] - nll['nll_xy']) / gains[name, seed]
    rows = []
    for name, pairs in sorted({key[:2] for key in values}):
        runs = [nll for key, nll in values.items() if key[:2] == (name, pairs)]
        row = {'objective': name, 'num_pairs': pairs, 'seeds': len(runs)}
        for column in (*NLL, 'share'):
            mean = metrics.Mean()
            mean.add([nll[column] for nll in runs if column in nll])
            row[column] = mean.mean if mean.n else math.nan
            row[f'{column}_stderr'] = math.nan if mean.stderr is None else mean.stderr
        rows.append(row)
    return rows


if __name__ == '__main__':
    study.run(curve, curves.draw_pairs)
