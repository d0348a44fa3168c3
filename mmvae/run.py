"""A run is a folder: this file makes it, reads it and says what it found.

config.json    the resolved config
split.npz      which of the source's examples are in each split, and which are paired
metrics.jsonl  bounds over updates
checkpoints/   the newest and the best
results.json   the bounds of the best checkpoint; written last
figures/       pictures of the best checkpoint
"""

import contextlib
import json
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mmvae import data as data_sets
from mmvae import evaluate, figures, keys, metrics, objectives
from mmvae import train as training
from mmvae.checkpoint import Checkpoints, open_checkpoints
from mmvae.config import Config, check_against_data, differences, parse
from mmvae.data import DataSet
from mmvae.model import MultimodalVAE
from mmvae.types import InputError, Params

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy')


def read_config(workdir: Path) -> Config:
    """The config of a run.

    Raises:
      InputError: the folder holds no run.
    """
    path = workdir / 'config.json'
    if not path.is_file():
        raise InputError(f'--workdir: {workdir} holds no run (no config.json)')
    return parse(json.loads(path.read_text()))


def default_workdir(config: Config) -> Path:
    return Path('runs') / f'{config.experiment}-{config.digest()}'


def build_model(config: Config) -> MultimodalVAE:
    joint_posterior = objectives.OBJECTIVES[config.objective.name].joint_posterior
    return MultimodalVAE(data_sets.modalities(config.data), config.model, joint_posterior)


def prepare(config: Config, workdir: Path, data_dir: str | None) -> DataSet:
    """Loads the data and checks that config, data and folder go together.

    Raises:
      InputError: they do not. Nothing has been written then.
    """
    data = data_sets.load(config.data, data_dir)
    check_against_data(config, data.modalities, len(data.splits['train'].labels))
    if (workdir / 'config.json').is_file():
        differ = differences(read_config(workdir), config)
        if differ:
            raise InputError(
                f'--workdir: {workdir} holds a run of another config ({"; ".join(differ)}). '
                'Give another folder, or the same config'
            )
    elif workdir.exists() and (not workdir.is_dir() or any(workdir.iterdir())):
        raise InputError(f'--workdir: {workdir} exists and is not the folder of a run')
    return data


def train(config: Config, workdir: Path, data: DataSet) -> None:
    """Trains, or goes on training; then figures, results and a summary.

    A finished run is left as it is and its results are printed; where only fields of
    `eval` differ, it is measured again.

    Raises:
      InputError: the run has made more updates than are asked for, or the folder cannot be
        written. Nothing has changed then.
    """
    results_path = workdir / 'results.json'
    made = _updates_made(workdir)
    if made > config.train.num_updates:
        raise InputError(
            f'config field train.num_updates: {config.train.num_updates} given; the run in '
            f'{workdir} has made {made}, and a run can only go on'
        )
    if results_path.is_file() and made == config.train.num_updates:
        results = json.loads(results_path.read_text())
        if results['config']['eval'] != config.to_dict()['eval']:
            evaluate_run(config, workdir, data)
            return
        print(f'{workdir} is finished.')
        print(summary(results, workdir))
        return
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        metrics.write_json(workdir / 'config.json', config.to_dict())
    except OSError as error:
        raise InputError(f'--workdir: {workdir} cannot be written ({error})') from error
    results_path.unlink(missing_ok=True)  # it is the last thing written
    _write_split(workdir / 'split.npz', data)
    model = build_model(config)
    with open_checkpoints(workdir / 'checkpoints') as checkpoints:
        training.train(config, model, data, workdir, checkpoints)
    draw(config, workdir, data)
    evaluate_run(config, workdir, data)


def evaluate_run(config: Config, workdir: Path, data: DataSet) -> None:
    """Writes results.json from the best checkpoint and prints a summary."""
    model = build_model(config)
    params, checkpoint = _best(config, model, workdir)
    evaluator = evaluate.Evaluator(model, config.eval)
    tracked = {
        split: evaluator.bounds(params, split, examples).report(samples=1)
        for split, examples in evaluate.tracked_examples(data, config.eval.train_examples).items()
    }
    test = evaluate.examples_of(data, 'test')
    count = min(config.eval.iw_examples or len(test.index), len(test.index))
    with metrics.progress_bar(count, 0, 'examples', 'test') as bar:
        measured = evaluate.report(evaluator, params, 'test', test, config.eval, bar.update)
    precision = jax.config.jax_default_matmul_precision or 'default'
    results = {
        'experiment': config.experiment,
        'config': config.to_dict(),
        'seeds': {'seed': config.seed, 'data': config.data.seed, 'eval': config.eval.seed},
        **checkpoint,
        'device': f'{jax.local_device_count()} x {jax.local_devices()[0].device_kind}',
        'precision': f'float32, matrix products {precision}',
        'versions': {'python': platform.python_version()}
        | {name: metadata.version(name) for name in PACKAGES},
        'test': measured,
        **tracked,
    }
    metrics.write_json(workdir / 'results.json', results)
    print(summary(results, workdir))


def draw(config: Config, workdir: Path, data: DataSet) -> None:
    """Writes the figures of the best checkpoint."""
    model = build_model(config)
    params, _ = _best(config, model, workdir)
    shown = np.arange(min(10, len(data.splits['test'].labels)))
    examples = evaluate.examples_of(data, 'test', shown)
    for path in figures.draw_all(model, params, examples, config.eval.seed, workdir / 'figures'):
        print(path)


def encode(config: Config, workdir: Path, data: DataSet, split: str) -> None:
    """Writes latents_<split>.npz: mean and scale of q(z | each subset), labels, source.

    Arrays are named mean_x, scale_x, mean_y, ..., mean_xy, scale_xy, [N, D] each.
    """
    model = build_model(config)
    params, _ = _best(config, model, workdir)
    examples = evaluate.examples_of(data, split)
    key = keys.evaluation_key(config.eval.seed, split)
    arrays = evaluate.latents(model, params, examples, key, config.eval.batch_size)
    arrays |= {'labels': data.splits[split].labels, 'source': data.splits[split].source}
    path = workdir / f'latents_{split}.npz'
    with metrics.replacing(path) as partial:
        np.savez_compressed(partial, **arrays)
    print(path)


def load(workdir: str | Path) -> tuple[MultimodalVAE, Params, Config]:
    """The model of a run, its best parameters and its config.

    Raises:
      InputError: the folder holds no run, or one without a checkpoint.
    """
    workdir = Path(workdir)
    config = read_config(workdir)
    model = build_model(config)
    return model, _best(config, model, workdir)[0], config


def summary(results: dict[str, Any], workdir: Path) -> str:
    """The numbers of results.json as a table, in nats."""
    rows = [('nats', 'train pairs', 'validation', 'test', '+-', 'n', 'K')]
    for name, test in results['test'].items():
        others = [results[split].get(name) for split in ('train', 'validation')]
        shown = ['' if o is None else f'{o["mean"]:.2f}' for o in others]
        stderr = '' if test['stderr'] is None else f'{test["stderr"]:.2f}'
        rows.append((name, *shown, f'{test["mean"]:.2f}', stderr, test['n'], test['samples']))
    return (
        f'{metrics.table(rows)}\n'
        f'best of {results["updates"]} updates: {results["step"]}, '
        f'after {results["seconds"]:.0f} s of training. Everything is in {workdir}'
    )


@contextlib.contextmanager
def _trained(workdir: Path) -> Iterator[Checkpoints]:
    """The checkpoints of a run that has some."""
    folder = workdir / 'checkpoints'
    if folder.is_dir():
        with open_checkpoints(folder) as checkpoints:
            if checkpoints.latest_step() is not None:
                yield checkpoints
                return
    raise InputError(f'--workdir: {workdir} has no checkpoint yet; train it first')


def _updates_made(workdir: Path) -> int:
    """The step of the newest checkpoint, 0 without one."""
    try:
        with _trained(workdir) as checkpoints:
            return checkpoints.latest_step()
    except InputError:
        return 0


def _best(config: Config, model: MultimodalVAE, workdir: Path) -> tuple[Params, dict[str, Any]]:
    """The parameters of the best checkpoint, and where the run stood."""
    with _trained(workdir) as checkpoints:
        step, latest = checkpoints.best_step(), checkpoints.latest_step()
        state = checkpoints.restore_state(step, training.abstract_state(config, model))
        seconds = checkpoints.restore_meta(latest)['seconds']
    return state.params, {'step': step, 'updates': latest, 'seconds': seconds}


def _write_split(path: Path, data: DataSet) -> None:
    arrays = {split: examples.source for split, examples in data.splits.items()}
    for observed, rows in data.streams.items():
        arrays['seen_' + '_'.join(observed)] = data.splits['train'].source[rows]
    with metrics.replacing(path) as partial:
        np.savez_compressed(partial, **arrays)
