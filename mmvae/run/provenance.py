"""provenance.json: the commands that trained a run, with what they ran on, and its data's folder."""

import functools
import json
import os
from pathlib import Path
from typing import Any

import jax

from mmvae.config import Config
from mmvae.system import metrics, parallel, process
from mmvae.types import InputError


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file, None without a file; a `ValueError` says how it is damaged."""
    if not os.path.lexists(path):
        return None
    if not path.is_file():  # a folder, a broken link, a pipe that would never end
        raise ValueError('it is no file')
    try:
        tree = json.loads(path.read_text())
    except (OSError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if not isinstance(tree, dict):
        raise ValueError('no JSON object')
    return tree


def read(workdir: Path) -> dict[str, Any]:
    """{'data_dir': ..., 'commands': [...]}; a damaged provenance.json is begun again."""
    try:
        return read_json(workdir / 'provenance.json') or {}
    except ValueError:
        return {}


def data_dir_of(workdir: Path, data_dir: str | None) -> str | None:
    """The --data_dir given, else the run's; an `InputError` where that one is gone."""
    remembered = read(workdir).get('data_dir')
    if data_dir or not remembered:
        return data_dir
    if os.path.isabs(remembered) and not os.path.isdir(remembered):
        raise InputError(
            f'--data_dir: not given, and {remembered}, which the run in {workdir} was trained '
            'with, is no folder any more; give the folder that has the same data'
        )
    return remembered


def absolute(data_dir: str | None) -> str | None:
    """The full name of a folder of this machine; another place, such as gs://..., as it is."""
    return os.path.abspath(data_dir) if data_dir and os.path.isdir(data_dir) else data_dir


def add_command(workdir: Path, data_dir: str | None) -> None:
    """Adds this process to those that trained a run, unless it is like the last one."""
    data_dir = absolute(data_dir_of(workdir, data_dir))
    commands, command = read(workdir).get('commands', []), this_command()
    commands += [command] * (commands[-1:] != [command])
    metrics.write_json(workdir / 'provenance.json', {'data_dir': data_dir, 'commands': commands})


@functools.cache
def this_command() -> dict[str, Any]:
    """What this process is: its command, the code's commit, the packages' versions, the devices."""
    return {
        'command': process.command(),
        'commit': process.commit(),
        'versions': process.versions(),
        'device': f'{parallel.device_count()} x {jax.local_devices()[0].device_kind}',
    }


def of_numbers(config: Config, workdir: Path, step: int) -> dict[str, Any]:
    """Where numbers come from: the config they were measured with, and who trained and measured.

    `measured_by` is there where the process that measures is not the one that trained.
    """
    now = this_command()
    trained = (read(workdir).get('commands') or [now])[-1]
    precision = jax.config.jax_default_matmul_precision or 'default'
    return {
        'experiment': config.experiment,
        'config': config.to_dict(),
        'seeds': {'seed': config.seed, 'data': config.data.seed, 'eval': config.eval.seed},
        'step': step,
        'precision': f'float32, matrix products {precision}',
        **trained,
        **({} if trained == now else {'measured_by': now}),
    }
