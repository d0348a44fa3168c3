"""What --mode=sweep and --mode=summary do with the folder of a sweep."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmvae.run.folder import resolve
from mmvae.sweep import points, summary, workers
from mmvae.train import Stopped
from mmvae.types import InputError, RunError


def train(
    tree: Mapping[str, Any], folder: Path | None, experiment: Path, launcher: Path,
    sweep: str | None = None, data_dir: str | None = None, jobs: int | None = None,
    point: int | None = None, script: bool = False,
) -> None:  # fmt: skip
    """Trains the points of a sweep, or one of them, or writes the script by which SLURM does.

    Args:
      tree: the config that all points start from.
      folder: of the sweep; None for runs/EXPERIMENT-sweep-HASH.
      experiment: the file whose sweep(add) has the points, where `sweep` does not give them.
      launcher: the launch.py that trains a point.

    Raises:
      InputError: a point cannot be run; nothing has been written then.
      RunError: some failed.
      train.Stopped: a signal asked for it; every point is saved.
    """
    if point is not None:
        if folder is None:
            raise InputError('--point: given without --workdir, the folder of a sweep')
        points.run_point(folder, point)
        return
    base = tree.to_dict()
    folder = folder or points.default_folder(resolve(base))
    overrides = points.read_overrides(sweep, experiment)
    chosen, whole = points.prepare(base, overrides, folder, data_dir)
    if script:
        print(workers.write_script(whole, folder, jobs, launcher))
        return
    try:
        failed = workers.run_all(chosen, whole, folder, jobs, launcher)
    except Stopped:
        print('stopped; the same command goes on', file=sys.stderr)
        raise
    print(summarise(tree, folder))
    if failed:
        name, problem = next(iter(failed.items()))
        raise RunError(
            f'{len(failed)} of {len(chosen)} points failed, the first {name} ({problem}); the same '
            'command tries them again'
        )


def summarise(tree: Mapping[str, Any], folder: Path | None) -> str:
    """What the runs of a sweep have reached, as text and in files: see `summary.write`.

    Raises:
      InputError: the folder holds no sweep.
    """
    folder = folder or points.default_folder(resolve(tree))
    return summary.write(points.read_sweep(folder).points, folder)
