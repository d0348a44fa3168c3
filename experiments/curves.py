"""Validation bounds over updates and passes over the pairs (figure 7.9), and translation beside.

python -m experiments.curves --figure=FILE.png RUN [RUN ...]

From the metrics.jsonl of runs, finished or not. Left, the bound that each run's
checkpoints are chosen by: what its objective maximises of pairs. Right, for each
modality given, how well the other is predicted: E_q(z|x)[log p(y|z)] and E_q(z|y)[log p(x|z)].
"""

import sys
from pathlib import Path

from absl import app, flags

from mmvae import evaluate
from mmvae.run import folder as run
from mmvae.system import metrics
from mmvae.types import InputError

_FIGURE = flags.DEFINE_string('figure', 'curves.png', 'The figure to write.')


def validations(workdir):
    """The rows of the validation set, in order."""
    rows = [r for r in metrics.read_metrics(workdir / 'metrics.jsonl') if r['kind'] == 'validation']
    if not rows:
        raise InputError(f'{workdir}: no validation bounds in its metrics.jsonl')
    return rows


def draw(workdirs, path):
    import matplotlib

    matplotlib.use('agg')
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5))
    for number, workdir in enumerate(workdirs):
        config = run.read_config(workdir)
        rows = validations(workdir)
        steps = [r['step'] for r in rows]
        pairs = config.data.num_pairs
        passes = config.train.batch.paired / pairs if pairs else 0
        name, _ = evaluate.selection_bound(rows[0], config)
        scores = [evaluate.selection_bound(r, config)[1] for r in rows]
        label = f'{workdir.name}: {name}'
        left.plot(steps, scores, color=f'C{number}', label=label)
        for style, (source, target) in zip('-:', (('x', 'y'), ('y', 'x')), strict=True):
            key = f'translation_{source}{target}_reconstruction_{target}'
            if key in rows[0]:
                right.plot(
                    steps, [r[key] for r in rows], style, color=f'C{number}',
                    label=f'{workdir.name}: {target} given {source}',
                )  # fmt: skip
    if passes:
        top = left.secondary_xaxis('top', (lambda s: s * passes, lambda e: e / passes))
        top.set_xlabel(f'passes over the pairs of {workdir.name}')
    for axes in (left, right):
        axes.set_xlabel('updates')
        axes.set_ylabel('nats, validation set')
        axes.legend(fontsize=8)
    figure.tight_layout()
    with metrics.replacing(path) as partial:
        figure.savefig(partial, dpi=100)


def main(argv):
    try:
        if len(argv) < 2:
            raise InputError('no folder of a run given')
        path = Path(_FIGURE.value)
        if path.suffix != '.png' or not path.absolute().parent.is_dir():
            raise InputError(f'--figure: {path} given; allowed: a .png in a folder that exists')
        draw([Path(name) for name in argv[1:]], path)
    except InputError as error:
        print(f'curves: {error}', file=sys.stderr)
        sys.exit(2)
    print(_FIGURE.value)


if __name__ == '__main__':
    app.run(main)
