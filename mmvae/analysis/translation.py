"""Translating one modality into another, and how good the translations are (section 7.4).

A translation of x is y given z ~ q(z | x): E[y | z], or of an autoregressive network a sample of
p(y | z). Several z give several translations.
"""

import functools
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmvae import keys
from mmvae.analysis.representation import fit
from mmvae.data import DataSet, coloured_mnist
from mmvae.evaluate import examples_of, some_of
from mmvae.model.vae import MultimodalVAE, moments, observe, pictures
from mmvae.system.metrics import Means, number
from mmvae.types import InputError, Key, Modality, Params

IMAGE_FILES = ('.png', '.jpg', '.jpeg')


class Translation(NamedTuple):
    """Translations of N images, in the values of the data, 0 .. num_values-1.

    Attributes:
      seen: the source as the model saw it, [N, h, w, c].
      samples: E[y | z] (a sample of y, if autoregressive) for each of S draws of z,
        [N, S, H, W, C].
      mean: of the predictive distribution, [N, H, W, C].
      std: its standard deviation in each element: what x leaves open of z and what z leaves
        open. Estimated from the S draws; nan for S = 1.
    """

    seen: np.ndarray
    samples: np.ndarray
    mean: np.ndarray
    std: np.ndarray


def translate(
    model: MultimodalVAE, params: Params, images: np.ndarray, example_keys: Key, source: str,
    target: str, num_samples: int, batch_size: int = 50,
) -> Translation:  # fmt: skip
    """Translates images of one modality into another.

    Args:
      images: uint8 [N, h, w, c], of the source.
      example_keys: [N]. What is drawn for an image depends on its key alone.

    Raises:
      InputError: there is no such modality, or they are the same.
    """
    check_direction(model, source, target)
    parts = [
        _translate(model, params, images[s : s + batch_size], example_keys[s : s + batch_size],
                   source, target, num_samples)
        for s in range(0, len(images), batch_size)
    ]  # fmt: skip
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


def check_direction(model: MultimodalVAE, source: str, target: str) -> None:
    check_several(model)
    for flag, name in (('source', source), ('target', target)):
        if name not in model.names:
            raise InputError(f'--{flag}: {name!r} given; allowed: {", ".join(model.names)}')
    if source == target:
        raise InputError(f'--target: {target!r} given; allowed: another modality than the source')


def check_several(model: MultimodalVAE) -> None:
    if len(model.names) < 2:
        raise InputError(f'--workdir: a run of one modality ({model.names[0]}): none to translate')


def _translate(model, params, images, example_keys, source, target, num_samples):
    seen, zs = _draw(model, params, images, example_keys, source, num_samples)
    drawn, variances = [], []
    for s in range(num_samples):
        if model.network(target) == 'autoregressive':
            noise_keys = jax.vmap(lambda k, s=s: keys.fold(k, keys.FIGURES, s))(example_keys)
            drawn.append(pictures(model, params, zs[s], noise_keys, [target])[target])
        else:
            mean, variance = moments(model, params, zs[s], (target,))[target]
            drawn.append(mean)
            variances.append(variance)
    samples = np.stack(jax.device_get(drawn), axis=1)
    # Of one draw nothing is known of how they vary.
    between = np.var(samples, axis=1, ddof=1) if num_samples > 1 else np.full_like(drawn[0], np.nan)
    within = np.mean(jax.device_get(variances), axis=0) if variances else 0.0
    return Translation(np.asarray(seen), samples, samples.mean(1), np.sqrt(between + within))


@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def _draw(model, params, images, example_keys, source, num_samples):
    """The images as the model sees them, and S draws of z for each, [S, N, D]."""

    def of_example(pixels, key):
        x = observe(model.modalities, {source: pixels}, key)
        q = model.apply({'params': params}, x, method='encode')
        draws = jnp.arange(num_samples)
        return x[source], jax.vmap(lambda s: q.sample(keys.fold(key, keys.SAMPLE, s)))(draws)

    seen, zs = jax.vmap(of_example)(images, example_keys)
    return seen, jnp.swapaxes(zs, 0, 1)


def read_images(folder: Path, modality: Modality) -> tuple[list[str], np.ndarray]:
    """The names and uint8 pixels, [N, H, W, C], of a folder's PNG and JPEG files.

    Raises:
      InputError: there are none, one cannot be read, or it is not of the modality's size and
        channels.
    """
    from PIL import Image

    height, width, channels = modality.shape
    try:
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_FILES)
    except OSError as error:
        raise InputError(f'--images: {folder} is not a folder to read ({error})') from error
    if not paths:
        raise InputError(f'--images: {folder} holds no {", ".join(IMAGE_FILES)} file')
    images, mode = [], {1: 'L', 3: 'RGB'}[channels]
    for path in paths:
        try:
            if not path.is_file():  # a pipe would be waited for
                raise OSError('no file')
            with warnings.catch_warnings(action='error'), Image.open(path) as image:
                if image.size != (width, height) or image.mode not in (mode, 'P'):  # P: a palette
                    raise InputError(  # a large one is not decoded
                        f'--images: {path} is {image.height}x{image.width} {image.mode}; '
                        f'{modality.name} of this run is {height}x{width} {mode} (height x width)'
                    )
                images.append(np.asarray(image.convert(mode)).reshape(modality.shape))
        except InputError:
            raise
        except Exception as error:  # Pillow's decoders raise many
            raise InputError(f'--images: {path} cannot be read as an image ({error})') from error
    return [path.name for path in paths], np.stack(images)


def quality(
    model: MultimodalVAE, params: Params, data: DataSet, classified: DataSet, seed: int,
    num_examples: int, num_samples: int, batch_size: int = 50,
) -> list[dict[str, Any]]:  # fmt: skip
    """How good the translations of test examples are, in numbers.

    Args:
      classified: whose training examples the digit classifier learns from; all digits.

    Returns:
      For each direction: source, target, n, S, and as mean and stderr over the examples

      digit       share of translations that a classifier gives the input's label
      digit_real  the same of the real images: what the classifier itself is good for
      colour      share with the colour that belongs to the input's (coloured MNIST only)
      diversity   root mean square distance of two translations of one input, in [0, 1]
      sharpness   mean size of the gradient between neighbouring pixels, in [0, 1]
      sharpness_real  the same of the real images

    Raises:
      InputError: there is one translation of each only.
    """
    if num_samples < 2:
        raise InputError(f'--num_samples: {num_samples} given; allowed: 2 or more, to be compared')
    test = some_of(examples_of(data, 'test'), num_examples)
    images = test.values()
    test_key = keys.evaluation_key(seed, 'test')
    example_keys = jax.vmap(functools.partial(keys.fold, test_key))(test.index)

    def per_input(values):  # of each translation -> the mean of each input's
        return values.reshape(-1, num_samples).mean(1)

    rows = []
    for target in model.names:
        modality, real = model.modality(target), images[target] / 255.0
        labels = data.labels_of('digit', target, test.rows[target])
        classifier = _digit_classifier(classified, target)
        for source in [name for name in model.names if name != target]:
            translated = translate(
                model, params, images[source], example_keys, source, target, num_samples,
                batch_size,
            )  # fmt: skip
            samples = np.asarray(modality.scaled(translated.samples))
            flat = samples.reshape(-1, *samples.shape[2:])
            digits = classifier.predict(_brightness(flat))
            measured = {
                'digit': per_input(digits == np.repeat(labels, num_samples)),
                'digit_real': classifier.predict(_brightness(real)) == labels,
                'diversity': _diversity(samples),
                'sharpness': per_input(_sharpness(flat)),
                'sharpness_real': _sharpness(real),
            }
            if modality.shape[-1] == 3:
                right = coloured_mnist.colour_of(images[target], target)
                colours = coloured_mnist.colour_of(flat, target)
                measured['colour'] = per_input(colours == np.repeat(right, num_samples))
            means = Means()
            means.add(measured)
            rows.append({'source': source, 'target': target, **means.report(samples=num_samples)})
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The rows of `quality`, the first row the heading."""
    first, *_ = names = [name for name in rows[0] if name not in ('source', 'target')]
    return [('from', 'to', *names, 'n', 'S')] + [
        (row['source'], row['target'], *(number(row[n], 3) for n in names),
         str(row[first]['n']), str(row[first]['samples']))
        for row in rows
    ]  # fmt: skip


def _digit_classifier(data: DataSet, name: str) -> Any:
    """Tells digits of one modality by their brightness, from up to 10,000 training examples."""
    from sklearn.neural_network import MLPClassifier

    train = some_of(examples_of(data, 'train'), 10000)
    classifier = MLPClassifier((200,), max_iter=30, random_state=0)
    pixels = _brightness(train.values()[name] / 255.0)
    return fit(classifier, pixels, data.labels_of('digit', name, train.rows[name]))


def _brightness(images: np.ndarray) -> np.ndarray:
    """[N, H, W, C] in [0, 1] -> the brightest channel of each pixel, [N, H W]."""
    return np.float32(images.max(-1).reshape(len(images), -1))


def _diversity(samples: np.ndarray) -> np.ndarray:
    """[N, S, ...] -> the root mean square distance of pairs, [N]: 2 Var is its mean square."""
    flat = samples.reshape(*samples.shape[:2], -1)
    return np.sqrt(2 * np.var(flat, axis=1, ddof=1).mean(-1))


def _sharpness(images: np.ndarray) -> np.ndarray:
    """[N, H, W, C] in [0, 1] -> the mean size of the steps down and right, [N]."""
    down = np.abs(np.diff(images, axis=1)).mean((1, 2, 3))
    right = np.abs(np.diff(images, axis=2)).mean((1, 2, 3))
    return (down + right) / 2
