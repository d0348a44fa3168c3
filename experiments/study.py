"""What the scripts of studies share: the runs of a sweep become rows, which are written, drawn and printed."""

import csv
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags

from mmvae.analysis import curves
from mmvae.sweep import points as sweeps
from mmvae.sweep import summary
from mmvae.system import metrics
from mmvae.types import InputError

Rows = Sequence[Mapping[str, Any]]


def write_csv(rows: Rows, path: Path) -> None:
    with metrics.replacing(path) as partial, partial.open('w', newline='') as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(
            {k: f'{v:.4f}' if isinstance(v, float) else v for k, v in row.items()} for row in rows
        )


def table(rows: Rows) -> str:
    texts = ([f'{v:.2f}' if isinstance(v, float) else str(v) for v in r.values()] for r in rows)
    return metrics.table([list(rows[0]), *texts])


def main(
    argv: Sequence[str], rows_of: Callable[[list[summary.Outcome]], Rows],
    draw: Callable[[Rows, Path], None], show: Callable[[Rows], str] = table,
) -> None:  # fmt: skip
    """Writes --csv and --figure of the sweep in the folder argv[1], and prints what `show` says."""
    try:
        if len(argv) != 2:
            raise InputError(f'{len(argv) - 1} folders given; allowed: one, that of a sweep')
        paths = Path(flags.FLAGS.figure), Path(flags.FLAGS.csv)
        for flag, path, suffix in zip(('figure', 'csv'), paths, ('.png', '.csv'), strict=True):
            curves.check_path(flag, path, suffix)
        rows = rows_of(summary.read(sweeps.read_sweep(Path(argv[1])).points))
        if not rows:
            raise InputError(f'{argv[1]}: no run of it is finished')
    except InputError as error:
        print(f'{Path(argv[0]).stem}: {error}', file=sys.stderr)
        sys.exit(2)
    draw(rows, paths[0])
    write_csv(rows, paths[1])  # last: now both are there
    print(show(rows))


def run(*arguments: Any) -> None:
    """`main` as a script. The flags are made here, because launch.py reads the files of experiments too."""
    name = Path(sys.argv[0]).stem
    flags.DEFINE_string('figure', f'{name}.png', 'The figure to write.')
    flags.DEFINE_string('csv', f'{name}.csv', 'The numbers to write.')
    app.run(lambda argv: main(argv, *arguments))
