"""What is made of a finished run: its latents, Table 7.2, translations and how good they are.

latents_SPLIT.npz     of --mode=encode
representation.json   of --mode=represent
translation.json      of --mode=quality
translations/         of --mode=translate
"""

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from mmvae import data as data_sets
from mmvae import evaluate, keys
from mmvae.analysis import figures, representation, translation
from mmvae.config import Config
from mmvae.data import DataSet
from mmvae.model.vae import MultimodalVAE
from mmvae.run import folder as run
from mmvae.system import metrics, process
from mmvae.types import InputError, Params


class TranslationRequest(NamedTuple):
    """What to translate: `count` test examples (0: all), or a folder of images."""

    source: str
    target: str
    images: Path | None
    count: int
    num_samples: int
    out: Path | None


def encode(config: Config, workdir: Path, data: DataSet, split: str) -> None:
    """Writes latents_<split>.npz: mean, scale and a sample of q(z | each subset), labels, source.

    Arrays are named mean_x, scale_x, sample_x, mean_y, ..., sample_xy, [N, D] each. Of a flow the
    mean and scale are those of `posteriors.FlowPosterior`.
    """
    model = run.build_model(config)
    with process.lock(workdir), run.failures(workdir):
        params = run.best_checkpoint(config, model, workdir).state.evaluated
        examples = evaluate.examples_of(data, split)
        key = keys.evaluation_key(config.eval.seed, split)
        arrays = evaluate.latents(model, params, examples, key, config.eval.batch_size)
        arrays |= {'labels': data.splits[split].labels, 'source': data.splits[split].source}
        path = workdir / f'latents_{split}.npz'
        with metrics.replacing(path) as partial:
            np.savez_compressed(partial, **arrays)
    print(path)


def represent(config: Config, workdir: Path, data: DataSet) -> None:
    """Writes representation.json, the accuracies of Table 7.2, and prints them."""
    run.require_finished(workdir)

    def classify(model, params):
        seed, batch_size = config.eval.seed, config.eval.batch_size
        return representation.classify(model, params, data, seed, batch_size)

    _measure_part(config, workdir, 'representation', classify, representation.table)


def _measure_part(
    config: Config, workdir: Path, part: str,
    measure: Callable[[MultimodalVAE, Params], list[dict[str, Any]]], table: Callable,
) -> None:  # fmt: skip
    """Writes PART.json, the rows that `measure` makes of the best checkpoint, and prints them."""
    model = run.build_model(config)
    with run.at_work(workdir):
        best = run.best_checkpoint(config, model, workdir)
        rows = measure(model, best.state.evaluated)
        metrics.write_json(workdir / f'{part}.json', {**run.provenance(config, best), part: rows})
    print(metrics.table(table(rows)))


def translate(config: Config, workdir: Path, data: DataSet, request: TranslationRequest) -> None:
    """Writes translations.npz and translations.png to the folder asked for.

    The arrays are those of `translation.Translation`; `names` has the files, or the places of the
    test examples in their split.

    Raises:
      InputError: the run is not finished, a modality is unknown, an image is not one of it, or
        the folder exists. Nothing has been written then.
    """
    model = run.build_model(config)
    run.require_finished(workdir)
    source, target = request.source, request.target
    translation.check_direction(model, source, target)
    out = request.out or workdir / 'translations' / f'{source}_to_{target}'
    if out.exists():
        raise InputError(f'--out: {out} exists, and is not written over; give another folder')
    if request.images is not None:
        names, images = translation.read_images(request.images, model.modality(source))
        key = keys.fold(jax.random.key(config.eval.seed), keys.FIGURES)
        index = np.arange(len(images))
    else:
        chosen = evaluate.some_of(evaluate.examples_of(data, 'test'), request.count)
        names, images, index = chosen.index, chosen.images[source], chosen.index
        key = keys.evaluation_key(config.eval.seed, 'test')
    with process.lock(workdir), run.failures(workdir):
        params = run.best_checkpoint(config, model, workdir).state.evaluated
        example_keys = jax.vmap(lambda i: keys.fold(key, i))(index)
        with _writing_folder(out) as partial:
            made = translation.translate(
                model, params, images, example_keys, source, target, request.num_samples
            )
            arrays = {'names': np.array(names), **made._asdict()}
            np.savez_compressed(partial / 'translations.npz', **arrays)
            modalities = model.modality(source), model.modality(target)
            figures.draw_translation(*modalities, made, partial / 'translations.png')
    print(out)


@contextlib.contextmanager
def _writing_folder(out: Path) -> Iterator[Path]:
    """A folder to write to, which becomes `out` once all is written."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(prefix=f'{out.name}.partial', dir=out.parent)
    except OSError as error:
        raise InputError(f'--out: {out} cannot be written ({error})') from error
    with temporary as folder:
        partial = Path(folder) / out.name
        partial.mkdir()
        yield partial
        partial.rename(out)


def measure_translations(
    config: Config, workdir: Path, data: DataSet, data_dir: str | None, count: int, num_samples: int
) -> None:
    """Writes translation.json, how good the translations of test examples are, and prints it.

    Raises:
      InputError: the run is not finished, or of one modality. Nothing has been written then.
    """
    run.require_finished(workdir)
    translation.check_several(run.build_model(config))
    # The classifier knows all digits, also where the model was not to see them.
    every_digit = dataclasses.replace(config.data, train_digits=(), test_digits=())
    classified = data if every_digit == config.data else data_sets.load(every_digit, data_dir)

    def quality(model, params):
        seed = config.eval.seed
        return translation.quality(model, params, data, classified, seed, count, num_samples)

    _measure_part(config, workdir, 'translation', quality, translation.table)
