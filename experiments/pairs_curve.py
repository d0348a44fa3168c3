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

import csv
import math
import sys
from pathlib import Path

from absl import app, flags

from experiments import mnist_halves
from mmvae.sweep import points as sweeps
from mmvae.sweep import summary
from mmvae.system import metrics
from mmvae.types import InputError

NUM_PAIRS = (0, 50, 100, 300, 1000, 3000, 10000, 50000)
OBJECTIVES = ('joint', 'translation')
SEEDS = (0, 1, 2)

# Column -> what it is of results.json's importance-weighted estimates: a sum of these.
# Without pairs nothing ties the modalities, and their NLLs add up.
NLL = {
    'nll_xy': (['joint_iw'], ['x_iw', 'y_iw']),
    'nll_y_given_x': (['y_given_x_iw'], ['y_iw']),
    'nll_x_given_y': (['x_given_y_iw'], ['x_iw']),
    'translation_y_given_x': (['y_given_x_translation'],) * 2,
    'translation_x_given_y': (['x_given_y_translation'],) * 2,
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


def curve(found):
    """Rows {objective, num_pairs, seeds, NAME, NAME_stderr, ...} of the finished runs.

    NLLs in nats; `share` is F(N), of the seeds that have runs without and with all pairs.
    """
    values = {}  # (objective, pairs, seed) -> column -> nats
    # 'All' is the largest number asked for, finished or not.
    most = max(f.point.config.data.num_pairs for f in found)
    for f in found:
        if f.test:
            config = f.point.config
            pairs = config.data.num_pairs
            key = (config.objective.name, pairs, config.seed)
            values[key] = {
                column: -sum(f.test[n]['mean'] for n in (with_pairs if pairs else without))
                for column, (with_pairs, without) in NLL.items()
            }
    gains = {  # (objective, seed) -> of all pairs over none, nats
        (name, seed): own['nll_xy'] - values[name, most, seed]['nll_xy']
        for (name, pairs, seed), own in values.items()
        if pairs == 0 < most and (name, most, seed) in values
    }
    for (name, _, seed), own in values.items():
        gain = metrics.Mean()
        gain.add([g for (other, _), g in gains.items() if other == name])
        is_gain = gain.stderr is not None and gain.mean > 2 * gain.stderr
        if (name, seed) in gains and is_gain:
            own['share'] = (values[name, 0, seed]['nll_xy'] - own['nll_xy']) / gains[name, seed]
    rows = []
    for name, pairs in sorted({key[:2] for key in values}):
        runs = [own for key, own in values.items() if key[:2] == (name, pairs)]
        row = {'objective': name, 'num_pairs': pairs, 'seeds': len(runs)}
        for column in (*NLL, 'share'):
            mean = metrics.Mean()
            mean.add([own[column] for own in runs if column in own])
            row[column] = mean.mean if mean.n else math.nan
            row[f'{column}_stderr'] = math.nan if mean.stderr is None else mean.stderr
        rows.append(row)
    return rows


def write_csv(rows, path):
    with metrics.replacing(path) as partial, partial.open('w', newline='') as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(
            {k: f'{v:.4f}' if isinstance(v, float) else v for k, v in row.items()} for row in rows
        )


def draw(rows, path):
    import matplotlib

    matplotlib.use('agg')
    from matplotlib import pyplot

    shown = [
        ('NLL of (x, y), nats', {'nll_xy': '-'}),
        ('NLL of y given x, nats', {'nll_y_given_x': '-', 'translation_y_given_x': ':'}),
    ]
    if any(math.isfinite(row['share']) for row in rows):
        shown.append(('share of the gain F(N)', {'share': '-'}))
    figure, panels = pyplot.subplots(
        1, len(shown), figsize=(5 * len(shown), 4.5), layout='constrained'
    )
    labels = {'nll_y_given_x': ', importance-weighted', 'translation_y_given_x': ', by translation'}
    counts = sorted({row['num_pairs'] for row in rows})
    for panel, (title, columns) in zip(panels, shown, strict=True):
        for number, name in enumerate(sorted({row['objective'] for row in rows})):
            own = [row for row in rows if row['objective'] == name]
            for column, style in columns.items():
                panel.errorbar(
                    [row['num_pairs'] for row in own], [row[column] for row in own],
                    [row[f'{column}_stderr'] for row in own], fmt='o' + style, markersize=4,
                    color=f'C{number}', capsize=3, label=f'{name} objective{labels.get(column, "")}',
                )  # fmt: skip
        panel.set_xscale('symlog', linthresh=max(min(filter(None, counts), default=1), 1))
        panel.set_xticks(counts, [f'{c:,}' for c in counts])
        panel.minorticks_off()
        panel.set_xlabel('pairs')
        panel.set_title(title)
        panel.legend(fontsize=8)
    with metrics.replacing(path) as partial:
        figure.savefig(partial, dpi=100)


def main(argv):
    try:
        if len(argv) != 2:
            raise InputError('one folder of a sweep wanted')
        paths = Path(flags.FLAGS.figure), Path(flags.FLAGS.csv)
        for flag, path, suffix in zip(('figure', 'csv'), paths, ('.png', '.csv'), strict=True):
            if path.suffix != suffix or not path.absolute().parent.is_dir():
                allowed = f'a {suffix} in a folder that exists'
                raise InputError(f'--{flag}: {path} given; allowed: {allowed}')
        rows = curve(summary.find(sweeps.read_sweep(Path(argv[1]))))
        if not rows:
            raise InputError(f'{argv[1]}: no run of it is finished')
    except InputError as error:
        print(f'pairs_curve: {error}', file=sys.stderr)
        sys.exit(2)
    write_csv(rows, paths[1])
    draw(rows, paths[0])
    print(metrics.table([list(rows[0]), *(
        [f'{v:.2f}' if isinstance(v, float) else str(v) for v in row.values()] for row in rows
    )]))  # fmt: skip


if __name__ == '__main__':
    # Here, because launch.py reads this file more than once.
    flags.DEFINE_string('figure', 'pairs_curve.png', 'The figure to write.')
    flags.DEFINE_string('csv', 'pairs_curve.csv', 'The numbers to write.')
    app.run(main)
