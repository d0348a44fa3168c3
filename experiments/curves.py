"""Validation bounds over updates and passes over the pairs (figure 7.9), and translation beside.

python -m experiments.curves --figure=FILE.png RUN [RUN ...]

From the metrics.jsonl of runs, finished or not; see `mmvae.analysis.curves.draw_validations`.
"""

import sys
from pathlib import Path

from absl import app, flags

from mmvae.analysis import curves
from mmvae.run import folder
from mmvae.system import metrics
from mmvae.types import InputError

_FIGURE = flags.DEFINE_string('figure', 'curves.png', 'The figure to write.')


def read_run(workdir):
    rows = metrics.read_metrics(workdir / 'metrics.jsonl', 'validation')
    if not rows:
        raise InputError(f'{workdir}: no validation bounds in its metrics.jsonl')
    config, model = folder.read_model(workdir)
    return curves.Run(workdir.name, config, model.names, rows)


def main(argv):
    path = Path(_FIGURE.value)
    try:
        if len(argv) < 2:
            raise InputError('no folder of a run given; allowed: one or more, after the flags')
        curves.check_path('figure', path, '.png')
        curves.draw_validations([read_run(Path(name)) for name in argv[1:]], path)
    except InputError as error:
        print(f'curves: {error}', file=sys.stderr)
        sys.exit(2)
    print(path)


if __name__ == '__main__':
    app.run(main)
