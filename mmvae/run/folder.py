"""The folder of a run: making it, holding it, reading it, and where the run comes from.

config.json      the resolved config that it is trained with, and the modalities of the data
provenance.json  the commands that trained it, with their commit, versions and device; --data_dir
split.npz        which of the source's examples are in each split, and which are paired
log.txt          what the terminal showed
metrics.jsonl    bounds over updates; tensorboard/ has the same
checkpoints/     the newest two and the best; one that could not be read is unreadable_STEP/
results.json     what was measured with the best checkpoint, and the config it was measured with
figures/         pictures of the best checkpoint

`measure` writes the last two and what the other modes make of a run; `load` only reads.
"""

import contextlib
import dataclasses
import hashlib
import logging
import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmvae import data as data_sets
from mmvae import objectives
from mmvae import train as training
from mmvae.config import Config, differences, parse, require
from mmvae.data import DataSet
from mmvae.data.dataset import Rows
from mmvae.data.streams import FEEDS, make_streams
from mmvae.model import vae
from mmvae.model.vae import MultimodalVAE
from mmvae.quantities import quantity_of
from mmvae.run import provenance
from mmvae.run.provenance import read_json
from mmvae.system import metrics, parallel, process
from mmvae.system.checkpoint import open_checkpoints
from mmvae.train import Stopped
from mmvae.types import InputError, Modality, Params, RunError

_log = logging.getLogger(__name__)
_FOLDERS = ('checkpoints', 'figures', 'tensorboard')
_OBJECTIVE = 'objective.py'  # the text of `objective.file` in a run's folder


def resolve(tree: Mapping[str, Any]) -> Config:
    """A checked config in which nothing is left open, from a ConfigDict or a nested dict.

    `config.parse`; then the module that defines the name of the data set, the network or the objective checks it
    and fills in what was left open.

    Raises:
      InputError: a field is unknown, missing, of a wrong type or value, or does not go with
        another. What only the data can tell, `prepare` checks.
    """
    config = parse(tree)
    data, objective = data_sets.check(config.data), objectives.check(config.objective)
    updates = config.train.num_updates
    require(
        objective.translator_from < max(updates, 1), 'objective.translator_from',
        objective.translator_from, f'below the {updates} of train.num_updates',
    )  # fmt: skip
    config = dataclasses.replace(config, data=data, objective=objective)
    if (modalities := data_sets.modalities(data)) is not None:
        _check_modalities(config, modalities)
    return config


def _check_modalities(config: Config, modalities: Sequence[Modality]) -> None:
    vae.check(config.model, modalities)
    objectives.check_model(config.objective, config.model, [m.name for m in modalities])


def default_workdir(config: Config, kind: str = '') -> Path:
    return Path('runs') / f'{config.experiment}-{kind}{config.digest()}'


def build_model(
    config: Config, modalities: Sequence[Modality], trained: Sequence[tuple[str, ...]] | None = None
) -> MultimodalVAE:
    """The model, whose posteriors given the subsets `trained` something trains; None for all."""
    posterior = objectives.posterior_of(config.objective, config.model)
    return MultimodalVAE(tuple(modalities), config.model, posterior, trained)


def new_model(config: Config, data: DataSet) -> MultimodalVAE:
    """The model that the streams of the data train."""
    observed = training.observed_subsets(config, data)
    trained = objectives.trained_subsets(config.objective, config.model, observed)
    return build_model(config, data.modalities, trained)


def describe(modalities: Sequence[Modality]) -> list[dict[str, Any]]:
    """Modalities as config.json and results.json have them, beside the config."""
    return [m._asdict() for m in modalities]


def modalities_of(tree: Mapping[str, Any], config: Config) -> tuple[Modality, ...]:
    """The modalities in the JSON of a config.json or results.json, which older ones do not have.

    Raises:
      ValueError: they are damaged.
    """
    described = tree.get('modalities')
    if described is None and (modalities := data_sets.modalities(config.data)) is not None:
        return modalities
    try:
        lists_as_tuples = [
            {k: tuple(v) if isinstance(v, list) else v for k, v in m.items()} for m in described
        ]
        return tuple(Modality(**fields) for fields in lists_as_tuples)
    except (TypeError, AttributeError) as error:
        raise ValueError(f'its modalities are damaged: {error}') from error


# Reading


def read_config(workdir: Path) -> Config:
    """The config of a run; an `InputError` where the folder holds none, or a damaged one."""
    return read_model(workdir)[0]


def read_model(workdir: Path) -> tuple[Config, MultimodalVAE]:
    """The config and the model of a run, without its parameters; errors as of `read_config`."""
    path = workdir / 'config.json'
    try:
        tree = read_json(path)
        if tree is not None:
            trained = tree.pop('trained', None)  # older runs do not say
            if (own := workdir / _OBJECTIVE).exists():
                tree['objective']['file'] = str(own)
            config = resolve({name: part for name, part in tree.items() if name != 'modalities'})
            return config, build_model(config, modalities_of(tree, config), _as_names(trained))
    except ValueError as error:
        raise InputError(
            f'--workdir: {path} cannot be used ({error}). Put its text back: results.json has it '
            'as "config", and the same command writes it anew into another --workdir'
        ) from error
    raise InputError(f'--workdir: {workdir} holds no run (no config.json)')


def _as_names(trained: Any) -> tuple[tuple[str, ...], ...] | None:
    is_list = isinstance(trained, list) and all(isinstance(names, list) for names in trained)
    if trained is not None and not is_list:
        raise ValueError(f'its "trained" is damaged: {trained!r}')
    return tuple(map(tuple, trained)) if is_list else None


def read_results(workdir: Path) -> dict[str, Any] | None:
    """results.json; None where there is none that can be used, so that the run is measured again.

    It may be damaged, or of an earlier version, which had names in the place of rows.
    """
    try:
        results = read_json(workdir / 'results.json')
        if results is not None:
            modalities_of(results, resolve(results['config']))
            results['updates'], results['stopped_early']
            for row in results['test']:
                quantity_of(row)
        return results
    except (ValueError, KeyError, TypeError):
        return None


def has_earlier_results(workdir: Path) -> bool:
    """Whether results.json is of an earlier version, which had names in the place of rows."""
    try:
        return isinstance((read_json(workdir / 'results.json') or {}).get('test'), dict)
    except ValueError:
        return False


def updates_made(workdir: Path) -> int:
    """The step of the newest checkpoint, 0 without one."""
    with open_checkpoints(workdir / 'checkpoints', read_only=True) as checkpoints:
        return checkpoints.latest_step() or 0


def restore_best(config: Config, workdir: Path) -> tuple[MultimodalVAE, Params, int]:
    """The model, the best parameters and their step, read without disturbing a training.

    Raises:
      InputError: there is none yet.
      RunError: none can be read.
    """
    _check_places(workdir)
    model = read_model(workdir)[1]
    with open_checkpoints(workdir / 'checkpoints', read_only=True) as checkpoints:
        best = checkpoints.restore_best(training.abstract_state(config, model))
    if not best:
        raise _no_checkpoint(workdir)
    return model, best.state.evaluated, best.step


def _no_checkpoint(workdir: Path) -> InputError:
    return InputError(f'--workdir: {workdir} has no checkpoint yet; train it first')


# Checking


def prepare(
    config: Config, workdir: Path, data_dir: str | None, mode: str = 'train',
    data: DataSet | None = None,
) -> DataSet:  # fmt: skip
    """Loads the data and checks that config, data, devices and folder go together.

    Args:
      data: what is there already and need not be loaded.

    Raises:
      InputError: they do not. Nothing has been written then.
    """
    _check_places(workdir)
    has_begun = updates_made(workdir)
    if mode == 'train':
        parallel.check_batches(config.train.batch)
    else:
        read_config(workdir)
        if not has_begun:
            raise _no_checkpoint(workdir)
    check_folder(config, workdir, measuring=mode != 'train')
    data = data or data_sets.load(config.data, provenance.data_dir_of(workdir, data_dir))
    check_data(config, data, will_train=mode == 'train', has_begun=bool(has_begun))
    _check_split(workdir, data)
    return data


def check_data(
    config: Config, data: DataSet, will_train: bool = True, has_begun: bool = False
) -> None:
    """Raises an `InputError` unless a model of this config can be trained on, or measured with, data."""
    _check_modalities(config, data.modalities)
    data_sets.check_counts(config.data, config.train.batch, data)
    streams = make_streams(data, config.train.batch, config.data.seed)
    has_pairs = any(len(names) > 1 for names in training.observed_subsets(config, data))
    require(
        has_pairs or not config.model.translator, 'model.translator', True,
        'False where no examples of several modalities are learnt from (it takes some, with a batch '
        'size and a lambda above 0)',
    )  # fmt: skip
    if will_train:
        FEEDS[config.data.feed](data, streams, parallel.device_count())  # refuses what does not fit
    if not has_begun:
        training.initial_pixels(config, data)  # which refuses too few


def check_folder(config: Config, workdir: Path, measuring: bool = False) -> None:
    """Raises an `InputError` unless a run may begin or go on, or be measured, in a folder."""
    if not os.path.lexists(workdir / 'config.json'):
        # No more than a kill at the start leaves.
        free = {'.lock', 'log.txt', 'config.partial.json'}
        if workdir.exists() and not (workdir.is_dir() and free >= {*os.listdir(workdir)}):
            raise InputError(f'--workdir: {workdir} exists and is not the folder of a run')
    elif differ := differences(read_config(workdir), config, measuring):
        raise InputError(
            f'--workdir: {workdir} holds a run of another config ({"; ".join(differ)}). '
            'Give another folder, or the same config'
        )
    kept, file = workdir / _OBJECTIVE, config.objective.file
    if kept.exists() and file and kept.read_bytes() != Path(file).read_bytes():
        raise InputError(
            f'config field objective.file: {file} is not the {kept} that the run was begun with. '
            'Give another --workdir, or that file'
        )
    results, asked = read_results(workdir), config.train.num_updates
    made = results['updates'] if results else updates_made(workdir)
    if made > asked and not measuring:
        raise InputError(
            f'config field train.num_updates: {asked} given; the run in {workdir} has made {made}, '
            'and a run can only go on'
        )


def check_processes(config: Config, workdir: Path, data: DataSet) -> None:
    """Raises an `InputError` unless all processes that train a run train the same."""
    if parallel.is_one_of_several():
        ids = {name: array.tolist() for name, array in _split_arrays(data).items()}
        file = config.objective.file
        parallel.require_alike({
            'code (its git commit)': process.commit(), 'config': repr(config), 'data': repr(ids),
            'objective.file': Path(file).read_text() if file else '',
            'state of the run': str(is_finished(config, workdir)),
        })  # fmt: skip


def _check_places(folder: Path) -> None:
    """Raises an `InputError` where something else stands in the place of a file or folder."""
    for path in folder.glob('*'):
        if path.name in _FOLDERS and not path.is_dir():
            raise InputError(f'--workdir: {path} is no folder; move it away')
        if path.suffix in ('.json', '.jsonl', '.txt', '.npz') and path.is_dir():
            raise InputError(f'--workdir: {path} is a folder in the place of a file; move it away')


def _check_split(workdir: Path, data: DataSet) -> None:
    """Raises an `InputError` unless a run goes on with the data it was begun with."""
    path = workdir / 'split.npz'
    if not os.path.lexists(path):
        return
    now = _split_arrays(data)
    try:
        with np.load(path) as then:
            same = set(then) == set(now) and all(np.array_equal(then[k], now[k]) for k in now)
    except Exception as error:  # numpy and zipfile raise many
        raise InputError(
            f'--workdir: {path} cannot be read ({one_line(error)}). If --data_dir has the data '
            'that the run was begun with, delete the file split.npz, which only serves this check'
        ) from error
    if not same:
        raise InputError(
            f'--data_dir: holds other data than the run in {workdir} was begun with (split.npz has '
            'its checksum). Give the same data, or another --workdir'
        )


def _split_arrays(data: DataSet) -> dict[str, np.ndarray]:
    """Which ids are where, and a checksum of the values."""

    def names(rows: Rows) -> np.ndarray:
        name = next(iter(rows))
        return data.id_names[data.ids[name][rows[name]]]

    arrays, digest = {split: names(rows) for split, rows in data.splits.items()}, hashlib.sha256()
    for observed, rows in data.streams.items():
        arrays['seen_' + '_'.join(observed)] = names(rows)
    for split, examples in data.splits.items():
        for name, array in data.arrays.items():
            is_train = split == 'train'
            rows = data.training_rows(name) if is_train else np.unique(examples[name])
            for part in np.split(rows, range(1000, len(rows), 1000)):  # it may be memory-mapped
                digest.update(array[part].tobytes())
    return {**arrays, 'sha256': np.array(digest.hexdigest())}


def is_finished(config: Config, workdir: Path) -> bool:
    """Whether all that `measure.train` would do has been done."""
    results = read_results(workdir)
    return is_trained(config, results) and resolve(results['config']).eval == config.eval


def is_trained(config: Config, results: dict[str, Any] | None) -> bool:
    """Whether the run of these results has made all its updates, or stopped early and would again."""
    if not results or results['updates'] == config.train.num_updates:
        return bool(results)
    patience = resolve(results['config']).train.patience
    return results['stopped_early'] and 0 < config.train.patience <= patience


def require_finished(workdir: Path) -> None:
    """Raises an `InputError` where a run has no results yet."""
    if has_earlier_results(workdir):
        raise InputError(
            f'--workdir: {workdir / "results.json"} is of an earlier version; --mode=eval measures '
            'the run again'
        )
    if not read_results(workdir):
        raise InputError(
            f'--workdir: {workdir} is not finished (no results.json that can be read); the same '
            'training command ends it, and --mode=eval measures what there is'
        )


# Writing


@contextlib.contextmanager
def at_work(workdir: Path, out: Path | None = None) -> Iterator[Path]:
    """Gives the folder to write to, `out` or the run's; the first process locks it and logs into it.

    Raises:
      InputError: the folder is in use or cannot be written, or `out` is another run's.
      RunError: a file could not be read or written.
    """
    if out and out.resolve() == workdir.resolve():
        out = None
    if out and os.path.lexists(out / 'config.json'):
        raise InputError(f'--out: {out} holds another run; give a folder that holds no run')
    if not out and workdir.is_dir() and not os.access(workdir, os.W_OK):
        raise InputError(
            f'--workdir: {workdir} is read-only; give another folder (--out=FOLDER has what is '
            'made of a finished run)'
        )
    folder = out or workdir
    if not parallel.is_first():
        yield folder
        return
    with process.lock(folder, '--out' if out else '--workdir'):
        _check_places(folder)
        with process.log_to(folder / 'log.txt'), failures(folder):
            yield folder


@contextlib.contextmanager
def failures(folder: Path) -> Iterator[None]:
    """Says in the log how a run that stops can go on, and makes a failed write a `RunError`."""
    try:
        yield
    except Stopped as stopped:
        _log.info(
            'stopped by %s and saved at update %d. The same command goes on from there: %s',
            signal.Signals(stopped.number).name, stopped.step, process.command(),
        )  # fmt: skip
        raise
    except OSError as error:
        raise RunError(
            f'{folder} could not be written ({one_line(error)}). What was saved before is kept: '
            f'mend that, and the same command goes on: {process.command()}'
        ) from error


def begin(config: Config, workdir: Path, data: DataSet, data_dir: str | None = None) -> None:
    """Writes what says where the run comes from, and takes back that it is finished."""
    write_config(config, new_model(config, data), workdir)
    if (file := config.objective.file) and not (kept := workdir / _OBJECTIVE).exists():
        with metrics.replacing(kept) as partial:
            shutil.copyfile(file, partial)
    (workdir / 'results.json').unlink(missing_ok=True)
    if updates_made(workdir) < config.train.num_updates:  # they are of an earlier checkpoint
        for name in ('representation', 'translation'):
            (workdir / f'{name}.json').unlink(missing_ok=True)
    with metrics.replacing(workdir / 'split.npz') as partial:
        np.savez_compressed(partial, **_split_arrays(data))
    provenance.add_command(workdir, data_dir)


def write_config(config: Config, model: MultimodalVAE, workdir: Path) -> None:
    described = {'modalities': describe(model.modalities), 'trained': model.trained}
    tree = {**config.to_dict(), **{k: v for k, v in described.items() if v is not None}}
    metrics.write_json(workdir / 'config.json', tree)


def one_line(error: Exception) -> str:
    return ' '.join(str(error).split()) or type(error).__name__
