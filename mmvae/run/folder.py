"""A run is a folder: this file makes it, reads it and says what it found.

config.json    the resolved config
split.npz      which of the source's examples are in each split, and which are paired
log.txt        what the terminal showed: commands, versions, validations
metrics.jsonl  bounds over updates; tensorboard/ has the same
checkpoints/   the newest two and the best; one that could not be read is unreadable_STEP/
figures/       pictures of the best checkpoint
results.json   the bounds of the best checkpoint; written last

What else is made of a finished run, `finished.py` makes.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mmvae import data as data_sets
from mmvae import evaluate, objectives
from mmvae import train as training
from mmvae.analysis import figures
from mmvae.config import Config, check_devices, differences, parse
from mmvae.data import DataSet
from mmvae.model import vae
from mmvae.model.vae import MultimodalVAE
from mmvae.system import metrics, parallel, process
from mmvae.system.checkpoint import Restored, open_checkpoints
from mmvae.train import Stopped
from mmvae.types import InputError, Params, RunError

_log = logging.getLogger(__name__)


def resolve(tree: Mapping[str, Any]) -> Config:
    """A checked config in which nothing is left open, from a ConfigDict or a nested dict.

    `config.parse`, then whoever owns a name checks it and fills in what belongs to it.

    Raises:
      InputError: a field is unknown, missing, of a wrong type or value, or does not go with
        another. What only the data can tell, `prepare` checks.
    """
    config = parse(tree)
    config = dataclasses.replace(
        config, data=data_sets.check(config.data), objective=objectives.check(config.objective)
    )
    modalities = data_sets.modalities(config.data)
    vae.check(config.model, modalities)
    names = [m.name for m in modalities]
    objectives.check_model(config.objective, config.model.flow_steps, names)
    return config


def read_config(workdir: Path) -> Config:
    """The config of a run.

    Raises:
      InputError: the folder holds no run.
    """
    path = workdir / 'config.json'
    if not path.is_file():
        raise InputError(f'--workdir: {workdir} holds no run (no config.json)')
    return resolve(json.loads(path.read_text()))


def default_workdir(config: Config) -> Path:
    return Path('runs') / f'{config.experiment}-{config.digest()}'


def build_model(config: Config) -> MultimodalVAE:
    joint_posterior = objectives.OBJECTIVES[config.objective.name].joint_posterior
    return MultimodalVAE(data_sets.modalities(config.data), config.model, joint_posterior)


def prepare(config: Config, workdir: Path, data_dir: str | None, mode: str = 'train') -> DataSet:
    """Loads the data and checks that config, data, devices and folder go together.

    Raises:
      InputError: they do not. Nothing has been written then.
    """
    if mode != 'train':
        read_config(workdir)
        if not _updates_made(workdir):
            raise _no_checkpoint(workdir)
    check_devices(config, parallel.device_count())
    data = data_sets.load(config.data, data_dir)
    names = [m.name for m in data.modalities]
    num_train = len(data.splits['train'].labels)
    data_sets.check_counts(config.data, config.train.batch, names, num_train)
    check_folder(config, workdir, measuring=mode != 'train')
    check_split(workdir, data)
    return data


def check_folder(config: Config, workdir: Path, measuring: bool = False) -> None:
    """Checks that a run may begin or go on, or be measured, in a folder.

    Raises:
      InputError: the folder holds a run of another config, or something else.
    """
    if (workdir / 'config.json').is_file():
        differ = differences(read_config(workdir), config, measuring)
        if differ:
            raise InputError(
                f'--workdir: {workdir} holds a run of another config ({"; ".join(differ)}). '
                'Give another folder, or the same config'
            )
    elif workdir.exists() and not _is_free(workdir):
        raise InputError(f'--workdir: {workdir} exists and is not the folder of a run')


def check_updates(config: Config, workdir: Path) -> None:
    """Checks that a run has not made more updates than are asked for.

    Raises:
      InputError: it has.
    """
    results = _results(workdir)
    made = results['updates'] if results else _updates_made(workdir)
    if made > config.train.num_updates:
        raise InputError(
            f'config field train.num_updates: {config.train.num_updates} given; the run in '
            f'{workdir} has made {made}, and a run can only go on'
        )


def is_finished(config: Config, workdir: Path) -> bool:
    """Whether all that `train` would do has been done."""
    results = _results(workdir)
    return bool(
        _is_trained(config, results) and results['config']['eval'] == config.to_dict()['eval']
    )


def _is_trained(config: Config, results: dict[str, Any] | None) -> bool:
    return bool(results) and (
        results['updates'] == config.train.num_updates or results['stopped_early']
    )


def train(config: Config, workdir: Path, data: DataSet) -> None:
    """Trains, or goes on training; then figures, results and a summary.

    A finished run is left as it is and its results are printed; where only fields of
    `eval` differ, it is measured again.

    Raises:
      InputError: the run has made more updates than are asked for, or the folder cannot be
        written or is in use. Nothing has changed then.
      RunError: training failed; the last checkpoint is kept.
      Stopped: a signal stopped it, and it was saved.
    """
    with process.lock(workdir):
        check_updates(config, workdir)
        results = _results(workdir)
        if is_finished(config, workdir):
            print(f'{workdir} is finished.')
            print(summary(results, workdir))
            return
        with process.log_to(workdir / 'log.txt'), failures(workdir):
            if not _is_trained(config, results):
                begin(config, workdir, data)
                with (
                    open_checkpoints(workdir / 'checkpoints') as checkpoints,
                    process.stop_requests() as stop_request,
                ):
                    model = build_model(config)
                    training.train(config, model, data, workdir, checkpoints, stop_request)
                try:
                    _draw(config, workdir, data)
                except RunError as error:  # the numbers do not need them
                    _log.warning('no figures: %s', error)
            _measure(config, workdir, data)


def evaluate_run(config: Config, workdir: Path, data: DataSet) -> None:
    """Writes results.json from the best checkpoint and prints a summary."""
    with at_work(workdir):
        _measure(config, workdir, data)


def draw(config: Config, workdir: Path, data: DataSet) -> None:
    """Writes the figures of the best checkpoint."""
    with at_work(workdir):
        _draw(config, workdir, data)


def begin(config: Config, workdir: Path, data: DataSet) -> None:
    """Writes what says where the run comes from, and takes back that it is finished."""
    metrics.write_json(workdir / 'config.json', config.to_dict())
    # results.json is the last thing written, and the others are of an earlier checkpoint.
    for name in ('results', 'representation', 'translation'):
        (workdir / f'{name}.json').unlink(missing_ok=True)
    with metrics.replacing(workdir / 'split.npz') as partial:
        np.savez_compressed(partial, **_split_arrays(data))
    versions = ', '.join(f'{name} {version}' for name, version in process.versions().items())
    _log.info('command: %s', process.command())
    _log.info('commit: %s; %s; %s', process.commit() or 'unknown', versions, _device())


def _measure(config: Config, workdir: Path, data: DataSet) -> None:
    model = build_model(config)
    like = training.abstract_state(config, model)
    with open_checkpoints(workdir / 'checkpoints', read_only=True) as checkpoints:
        latest, best = checkpoints.restore_latest(like), checkpoints.restore_best(like)
    if not best:
        raise InputError(f'--workdir: {workdir} has not been validated yet; train it further')
    progress = training.Progress.from_json(latest.meta)
    params = best.state.evaluated
    evaluator = evaluate.Evaluator(model, config.eval)
    tracked = {
        split: evaluator.bounds(params, split, examples).report(samples=1)
        for split, examples in evaluate.tracked_examples(data, config.eval).items()
    }
    test = evaluate.examples_of(data, 'test')
    count = min(config.eval.iw_examples or len(test.index), len(test.index))
    with metrics.progress_bar(count, 0, 'examples', 'test') as bar:
        measured = evaluate.report(evaluator, params, 'test', test, config.eval, bar.update)
    results = {
        **provenance(config, best),
        'updates': latest.step,
        'stopped_early': progress.is_exhausted(config.train.patience),
        'seconds': progress.seconds,
        'test': measured,
        **tracked,
    }
    metrics.write_json(workdir / 'results.json', results)
    print(summary(results, workdir))


def provenance(config: Config, best: Restored) -> dict[str, Any]:
    """Where numbers come from."""
    precision = jax.config.jax_default_matmul_precision or 'default'
    return {
        'experiment': config.experiment,
        'config': config.to_dict(),
        'seeds': {'seed': config.seed, 'data': config.data.seed, 'eval': config.eval.seed},
        'step': best.step,
        'device': _device(),
        'precision': f'float32, matrix products {precision}',
        'versions': process.versions(),
        'commit': process.commit(),
    }


def _draw(config: Config, workdir: Path, data: DataSet) -> None:
    model = build_model(config)
    best = best_checkpoint(config, model, workdir)
    shown = np.arange(min(100, len(data.splits['test'].labels)))
    examples = evaluate.examples_of(data, 'test', shown)
    paths = figures.draw_all(
        model, best.state.evaluated, examples, config.eval.seed, workdir / 'figures'
    )
    metrics.show_figures(workdir, best.step, paths)
    for path in paths:
        _log.info('figure: %s', path)


def load(workdir: str | Path) -> tuple[MultimodalVAE, Params, Config]:
    """The model of a run, its best parameters and its config.

    Raises:
      InputError: the folder holds no run, or one without a checkpoint.
    """
    workdir = Path(workdir)
    config = read_config(workdir)
    model = build_model(config)
    return model, best_checkpoint(config, model, workdir).state.evaluated, config


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
def at_work(workdir: Path) -> Iterator[None]:
    """Alone in the folder of a run, with its log."""
    with process.lock(workdir), process.log_to(workdir / 'log.txt'), failures(workdir):
        yield


@contextlib.contextmanager
def failures(workdir: Path) -> Iterator[None]:
    """Says in the log how a run that stops can go on, and makes a failed write a `RunError`."""
    try:
        yield
    except Stopped as stopped:
        name = signal.Signals(stopped.number).name
        _log.info(
            'stopped by %s and saved at update %d. The same command goes on from there: %s',
            name, stopped.step, process.command(),
        )  # fmt: skip
        raise
    except OSError as error:
        raise RunError(
            f'{workdir} could not be written ({error}). The last checkpoint is kept: mend that, '
            'and the same command goes on from there'
        ) from error


def require_finished(workdir: Path) -> None:
    """Checks that a run has results.

    Raises:
      InputError: it has none yet.
    """
    if not _results(workdir):
        raise InputError(f'--workdir: {workdir} is not finished; the same training command ends it')


def _results(workdir: Path) -> dict[str, Any] | None:
    path = workdir / 'results.json'
    return json.loads(path.read_text()) if path.is_file() else None


def _updates_made(workdir: Path) -> int:
    """The step of the newest checkpoint, 0 without one."""
    return max(
        (int(p.name) for p in (workdir / 'checkpoints').glob('[0-9]*') if p.name.isdigit()),
        default=0,
    )


def best_checkpoint(config: Config, model: MultimodalVAE, workdir: Path) -> Restored:
    """The best checkpoint of a run.

    Raises:
      InputError: there is none yet.
    """
    folder = workdir / 'checkpoints'
    if _updates_made(workdir):
        with open_checkpoints(folder, read_only=True) as checkpoints:
            best = checkpoints.restore_best(training.abstract_state(config, model))
        if best:
            return best
    raise _no_checkpoint(workdir)


def _no_checkpoint(workdir: Path) -> InputError:
    return InputError(f'--workdir: {workdir} has no checkpoint yet; train it first')


def _device() -> str:
    return f'{jax.local_device_count()} x {jax.local_devices()[0].device_kind}'


def _is_free(workdir: Path) -> bool:
    """Whether a run may begin there: a folder with no more than a kill at the start leaves."""
    left = {'.lock', 'log.txt', 'config.partial.json'}
    return workdir.is_dir() and {p.name for p in workdir.iterdir()} <= left


def _split_arrays(data: DataSet) -> dict[str, np.ndarray]:
    """Which of the source's examples are where, and a checksum of the images."""
    arrays = {split: examples.source for split, examples in data.splits.items()}
    for observed, rows in data.streams.items():
        arrays['seen_' + '_'.join(observed)] = data.splits['train'].source[rows]
    digest = hashlib.sha256()
    for examples in data.splits.values():
        for image in examples.images.values():
            digest.update(np.ascontiguousarray(image).tobytes())
    return {**arrays, 'sha256': np.array(digest.hexdigest())}


def check_split(workdir: Path, data: DataSet) -> None:
    """Checks that a run goes on with the data it was begun with.

    Raises:
      InputError: it does not.
    """
    path = workdir / 'split.npz'
    if not path.is_file():
        return
    now = _split_arrays(data)
    with np.load(path) as then:
        same = set(then) == set(now) and all(np.array_equal(then[k], now[k]) for k in now)
    if not same:
        raise InputError(
            f'--data_dir: holds other data than the run in {path.parent} was begun with '
            f'({path.name} has its checksum). Give the same data, or another --workdir'
        )
