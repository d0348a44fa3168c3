"""What the modes make of a run: its training, results and figures, latents, translations.

results.json, figures/   of --mode=train, --mode=eval and --mode=figures
latents_SPLIT.npz        of --mode=encode
representation.json      of --mode=represent: Table 7.2
translation.json         of --mode=quality
translations/            of --mode=translate

Each is written to the run's folder or, but for training, to another one, `out`.
"""

import dataclasses
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mmvae import data as data_sets
from mmvae import evaluate, keys, quantities
from mmvae import train as training
from mmvae.analysis import figures, representation, translation
from mmvae.config import Config
from mmvae.data import DataSet
from mmvae.data.dataset import count
from mmvae.model.vae import MultimodalVAE
from mmvae.quantities import joined
from mmvae.run import folder as run
from mmvae.run import provenance, report
from mmvae.system import metrics, parallel, process
from mmvae.system.checkpoint import open_checkpoints
from mmvae.types import InputError, Params, RunError

_log = logging.getLogger(__name__)


def train(config: Config, workdir: Path, data: DataSet, data_dir: str | None = None) -> None:
    """Trains, or goes on training; then results, and figures, which cost no result if they fail.

    A finished run is left as it is and its results are printed; where only fields of
    `eval` differ, it is measured again. Several processes train and measure it together; the first
    of them writes, logs and draws, and the others read the folder.

    Raises:
      InputError: the run has made more updates than are asked for, or the folder cannot be
        written or is in use. Nothing has changed then.
      RunError: training failed; the last checkpoint is kept.
      Stopped: a signal stopped it, and it was saved.
    """
    run.check_folder(config, workdir)
    run.check_processes(config, workdir, data)
    results = run.read_results(workdir)
    if run.is_finished(config, workdir):
        if not parallel.is_first():
            return
        print(f'{workdir} is finished.\n{report.text(results, workdir)}')
        if not any((workdir / 'figures').glob('*.png')):
            print('Its figures were not drawn: --mode=figures draws them.')
        return
    parallel.wait_for_all('what is there has been read')
    with run.at_work(workdir):
        if results is None and os.path.lexists(workdir / 'results.json'):
            _log.warning(
                '%s is damaged or of an earlier version: the run is measured again',
                workdir / 'results.json',
            )
        is_trained = run.is_trained(config, results)
        if not is_trained:
            streams = (f'{count(rows)} of {joined(o)}' for o, rows in data.streams.items())
            _log.info('training examples: %s; in %s', ', '.join(streams), workdir)
            if parallel.is_first():
                run.begin(config, workdir, data, data_dir)
            parallel.wait_for_all('the run has begun')
            model, place = run.read_model(workdir)[1], workdir / 'checkpoints'
            with (
                open_checkpoints(place, not parallel.is_first()) as checkpoints,
                process.stop_requests() as stop_request,
            ):
                training.train(config, model, data, workdir, checkpoints, stop_request)
        _measure(config, workdir, data, workdir)
        if not is_trained and config.eval.figures:
            try:
                _draw(config, workdir, data, workdir)
            except (RunError, OSError) as error:  # the numbers do not need them
                _log.warning('%s', error)
    parallel.wait_for_all('the run has ended')


def evaluate_run(config: Config, workdir: Path, data: DataSet, out: Path | None = None) -> None:
    """Writes results.json from the best checkpoint and prints it."""
    with run.at_work(workdir, out) as folder:
        _measure(config, workdir, data, folder)


def draw(config: Config, workdir: Path, data: DataSet, out: Path | None = None) -> None:
    """Writes the figures of the best checkpoint."""
    with run.at_work(workdir, out) as folder:
        _draw(config, workdir, data, folder)


def _measure(config: Config, workdir: Path, data: DataSet, folder: Path) -> None:
    """Measures the run with the `eval` of this config."""
    trained, model = run.read_model(workdir)
    config = dataclasses.replace(trained, eval=config.eval)
    like = training.abstract_state(config, model)
    with open_checkpoints(workdir / 'checkpoints', read_only=True) as checkpoints:
        latest, best = checkpoints.restore_latest(like), checkpoints.restore_best(like)
    if not best:
        raise InputError(f'--workdir: {workdir} has not been validated yet; train it further')
    parallel.require_alike({'best checkpoint': f'{latest.step}, {best.step}'})
    progress = training.Progress.from_json(latest.meta)
    params = best.state.evaluated
    evaluator = evaluate.Evaluator(model, config.eval)
    tracked = evaluate.tracked_examples(data, config.eval)
    test = evaluate.examples_of(data, 'test')
    fewer = evaluate.some_of(test, config.eval.iw_examples)
    both = [fewer] * (1 + (len(fewer.index) < len(test.index)))  # their bounds, and K samples
    size = sum(len(e.index) for e in (*tracked.values(), test, *both))
    with metrics.progress_bar(size, 0, 'examples', 'measuring') as bar:
        measured = {
            split: evaluate.table(examples, evaluator.bounds(params, split, examples, bar.update))
            for split, examples in tracked.items()
        }
        measured['test'] = evaluate.report(evaluator, params, 'test', test, config.eval, bar.update)
    if not parallel.is_first():
        return
    results = {
        **provenance.of_numbers(config, workdir, best.step),
        'modalities': run.describe(model.modalities),
        'updates': latest.step,
        'stopped_early': progress.is_exhausted(config.train.patience),
        'seconds': progress.seconds,
        **measured,
        'curve': read_curve(workdir, model.names),
    }
    metrics.write_json(folder / 'results.json', results)
    if folder == workdir:
        # But for what decides which checkpoint is best.
        kept = {n: getattr(trained.eval, n) for n in ('seed', 'validation_examples')}
        kept_config = dataclasses.replace(config, eval=dataclasses.replace(config.eval, **kept))
        run.write_config(kept_config, model, workdir)
    print(report.text(results, folder))


def read_curve(
    workdir: Path, names: Sequence[str], most: int = 200
) -> list[dict[str, float]]:  # fmt: skip
    """The bounds on the validation set over updates and seconds, at most so many rows."""
    rows = metrics.read_metrics(workdir / 'metrics.jsonl', 'validation')
    every, curve = -(-len(rows) // most) or 1, []
    for row in rows[::-every][::-1]:  # the last is among them
        bounds = [q for q in quantities.from_columns(row, names) if q.kind == 'bound']
        kept = ('step', 'seconds', *(q.column(names) for q in bounds))
        curve.append({k: v for k, v in row.items() if k in kept})
    return curve


def _draw(config: Config, workdir: Path, data: DataSet, folder: Path) -> None:
    model, params, step = run.restore_best(config, workdir)  # by all processes together
    if not parallel.is_first():
        return
    params = jax.device_get(params)  # figures are drawn on one device of this process
    examples = evaluate.examples_of(data, 'test', figures.choose(data))
    place = folder / 'figures'
    place.mkdir(exist_ok=True)
    paths, failures = [], []
    with metrics.progress_bar(len(figures.FIGURES), 0, 'figures', 'drawing') as bar:
        for name in figures.FIGURES:
            bar.set_postfix_str(name)
            try:
                paths.append(figures.draw(name, model, params, examples, config.eval.seed, place))
            except Exception as error:  # the others do not need it
                failures.append(f'{name}: {type(error).__name__}: {run.one_line(error)}')
            bar.update()
    if paths := [path for path in paths if path]:
        metrics.show_figures(folder, step, paths)
    if failures:
        raise RunError(f'figures that could not be drawn: {"; ".join(failures)}')
    _log.info('figures are in %s', place)


def encode(
    config: Config, workdir: Path, data: DataSet, split: str, out: Path | None = None
) -> None:
    """Writes latents_<split>.npz: mean, scale and a sample of q(z | each subset), labels, source.

    Arrays are named mean_x, scale_x, sample_x, mean_y, ..., sample_xy, [N, D] each. Of a flow the
    mean and scale are those of `posteriors.FlowPosterior`. label_NAME has each label, [N], -1 where
    it is not known, `labels` the first; `source` is what the data call each example.
    """
    with run.at_work(workdir, out) as folder:
        model, params, _ = run.restore_best(config, workdir)
        examples = evaluate.examples_of(data, split)
        _log.info('encoding %d %s examples', len(examples.index), split)
        key = keys.evaluation_key(config.eval.seed, split)
        arrays = evaluate.latents(model, params, examples, key, config.eval.batch_size)
        name, rows = next(iter(data.splits[split].items()))
        for label in reversed(data.labels):  # the first comes last
            arrays |= dict.fromkeys([f'label_{label}', 'labels'], data.labels_of(label, name, rows))
        arrays['source'] = data.id_names[data.ids[name][rows]]
        path = folder / f'latents_{split}.npz'
        with metrics.replacing(path) as partial:
            np.savez_compressed(partial, **arrays)
    print(path)


def represent(config: Config, workdir: Path, data: DataSet, out: Path | None = None) -> None:
    """Writes representation.json, the accuracies of Table 7.2, and prints them."""
    run.require_finished(workdir)
    arguments = data, config.eval.seed, config.eval.batch_size
    measure = lambda *best: representation.classify(*best, *arguments)  # noqa: E731
    _write_rows(config, workdir, 'representation', measure, representation.table, out)


def quality(
    config: Config, workdir: Path, data: DataSet, num_samples: int, count: int = 1000,
    out: Path | None = None,
) -> None:  # fmt: skip
    """Writes translation.json, how good translations and samples of the prior are, and prints it.

    Raises:
      InputError: the run is not finished, or of one modality. Nothing has been written then.
    """
    run.require_finished(workdir)
    translation.check_several(run.read_model(workdir)[1])
    arguments = data, config.eval.seed, count, num_samples
    measure = lambda *best: translation.quality(*best, *arguments)  # noqa: E731
    _write_rows(config, workdir, 'translation', measure, translation.table, out)


def _write_rows(
    config: Config, workdir: Path, name: str,
    measure: Callable[[MultimodalVAE, Params], list[dict[str, Any]]], table: Callable,
    out: Path | None,
) -> None:  # fmt: skip
    """Writes NAME.json, the rows that `measure` makes of the best checkpoint, and prints them."""
    with run.at_work(workdir, out) as folder:
        model, params, step = run.restore_best(config, workdir)
        _log.info('measuring for %s.json', name)
        rows = measure(model, params)
        where_from = provenance.of_numbers(config, workdir, step)
        metrics.write_json(folder / f'{name}.json', {**where_from, name: rows})
    print(metrics.table(table(rows)))


def translate(
    config: Config, workdir: Path, data: DataSet, source: str, target: str, num_samples: int,
    images: Path | None = None, count: int = 10, out: Path | None = None,
) -> None:  # fmt: skip
    """Writes translations.npz and translations.png to `out`, or to translations/ in the run.

    Of a folder of images, or of `count` test examples, 0 for all. The arrays are those of
    `translation.Translation`; `posterior` says what z is drawn from, as a `Quantity` does; `names` has the files, or of the user's own data the ids of the test
    examples and of others their places in the split, and where the target has classes,
    `most_likely` the one of the greatest probability.

    Raises:
      InputError: the run is not finished, a modality is unknown, an image is not one of it, or
        the folder has translations. Nothing has been written then.
    """
    model = run.read_model(workdir)[1]
    run.require_finished(workdir)
    translation.check_direction(model, source, target)
    place = out or workdir / 'translations' / f'{source}_to_{target}'
    if os.path.lexists(place / 'translations.npz'):
        raise InputError(
            f'--out: {place} has translations, which are not written over; give another folder'
        )
    if images is not None:
        resizes = data_sets.LOADERS[config.data.name].resizes
        names, pixels = translation.read_images(images, model.modality(source), resizes)
        key = keys.fold(jax.random.key(config.eval.seed), keys.FIGURES)
        index = np.arange(len(pixels))
    else:
        rows, index = translation.test_rows(data, (source,), count)
        pixels, is_own = data.arrays[source][rows[source]], config.data.name == 'own'
        names = data.id_names[data.ids[source][rows[source]]] if is_own else index
        key = keys.evaluation_key(config.eval.seed, 'test')
    with run.at_work(workdir, out):
        _, params, _ = run.restore_best(config, workdir)
        example_keys = jax.vmap(lambda i: keys.fold(key, i))(index)
        posterior = evaluate.posterior_name(model, (source,), translating=True)
        _log.info('translating %d examples, z of the posterior %s', len(pixels), posterior)
        arguments = {source: pixels}, example_keys, target, num_samples
        translations = translation.translate(model, params, *arguments)
        place.mkdir(parents=True, exist_ok=True)
        modalities = model.modality(source), model.modality(target)
        figures.draw_translation(*modalities, translations, place / 'translations.png')
        arrays = {'names': np.array(names), 'posterior': posterior, **translations._asdict()}
        arrays['seen'] = translations.seen[source]
        if modalities[1].has_classes:
            arrays['most_likely'] = translations.mean.argmax(-1)
        with metrics.replacing(place / 'translations.npz') as partial:  # last: now it is whole
            np.savez_compressed(partial, **arrays)
    print(place)
