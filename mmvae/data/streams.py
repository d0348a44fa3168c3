"""Minibatches as a function of the step: no iterator, no state to save.

A stream is the training examples seen in one subset of the modalities. The example at
position i of a stream is permutation(data.seed, stream, epoch of i)[place of i in it], so
a run resumes with the very next minibatch, and any two feeds see the same ones.
"""

import functools
import itertools
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from mmvae.config import BatchConfig, Config
from mmvae.data.dataset import DataSet
from mmvae.types import Array, InputError

PAIRED = 'paired'
INITIAL_EXAMPLES = 64  # over which the first layer outputs are normalised (section 5.9)
LEAST_EXAMPLES = 8


class Stream(NamedTuple):
    """Training examples seen in one subset of the modalities.

    Attributes:
      name: 'paired', or the one modality's name.
      number: tells this stream's randomness from the others'.
      modalities: the names observed.
      indices: into the training split, [N].
      batch_size: over all devices.
      seed: of the order.
    """

    name: str
    number: int
    modalities: tuple[str, ...]
    indices: np.ndarray
    batch_size: int
    seed: int

    def minibatch(self, step: int) -> np.ndarray:
        """Indices of the examples of update `step` (from 0), [batch_size].

        A minibatch that reaches the end of an epoch runs on into the next.
        """
        n = len(self.indices)
        positions = step * self.batch_size + np.arange(self.batch_size)
        epochs, places = positions // n, positions % n
        chosen = np.empty(self.batch_size, np.int32)
        for epoch in np.unique(epochs):
            order = _permutation(self.seed, self.number, int(epoch), n)
            chosen[epochs == epoch] = self.indices[order[places[epochs == epoch]]]
        return chosen


@functools.lru_cache(maxsize=16)
def _permutation(seed: int, number: int, epoch: int, n: int) -> np.ndarray:
    # The last number sets this generator apart from the splits', default_rng(seed).
    return np.random.default_rng([seed, number, epoch, 1]).permutation(n)


def make_streams(data: DataSet, batch: BatchConfig, seed: int) -> list[Stream]:
    """The streams that have examples and a batch size; the others cost nothing."""
    streams = []
    for number, (observed, indices) in enumerate(data.streams.items()):
        if len(observed) > 1:
            name, size = PAIRED, batch.paired
        else:
            (name,) = observed
            size = batch.of(name)
        if size and len(indices):
            streams.append(Stream(name, number, observed, indices, size, seed))
    return streams


def initial_rows(data: DataSet, seed: int, size: int) -> dict[str, np.ndarray]:
    """Training examples to initialise from: modality name -> up to `size` different rows.

    They are the first pairs that training will see and, where there are too few, the first
    examples seen in that modality only: initialisation asks for the statistics of each
    modality, not that they belong together.
    """
    rows = {}
    for modality in data.modalities:
        seen = [
            indices[_permutation(seed, number, 0, len(indices))]
            for number, (observed, indices) in enumerate(data.streams.items())
            if modality.name in observed
        ]
        first = np.concatenate(seen)
        _, places = np.unique(first, return_index=True)  # a pair may be seen alone as well
        rows[modality.name] = first[np.sort(places)][:size]
    size = min(map(len, rows.values()))
    return {name: r[:size] for name, r in rows.items()}


def initial_pixels(config: Config, data: DataSet) -> dict[str, np.ndarray]:
    """Real training examples to initialise from, modality name -> uint8 [B, H, W, C].

    Raises:
      InputError: too few differ, and layers would be scaled by their accidental spread.
    """
    rows = initial_rows(data, config.data.seed, INITIAL_EXAMPLES)
    pixels = {name: data.splits['train'].images[name][r] for name, r in rows.items()}
    for name, images in pixels.items():
        different = len(np.unique(images.reshape(len(images), -1), axis=0))
        if different < LEAST_EXAMPLES:
            raise InputError(
                f'config field data.limit: {config.data.limit} given; {different} different '
                f'training examples of {name} are left to initialise from, and at least '
                f'{LEAST_EXAMPLES} are needed: give a higher one, or 0 for all'
            )
    return pixels


class ResidentFeed:
    """The training arrays live on the devices and the update gathers from them.

    A feed has three parts: `constants`, placed once; `minibatches(first)`, on the host; and
    `fetch(constants, minibatch)`, inside the compiled update. All feeds give the same bytes.
    """

    def __init__(self, data: DataSet, streams: list[Stream], num_devices: int):
        self.constants: Mapping[str, np.ndarray] = data.splits['train'].images
        self._streams, self._num_devices = streams, num_devices

    def minibatches(self, first: int) -> Iterator[dict[str, np.ndarray]]:
        """From update `first` on: stream name -> indices, [devices, batch_size / devices]."""
        for step in itertools.count(first):
            yield {s.name: s.minibatch(step).reshape(self._num_devices, -1) for s in self._streams}

    def fetch(self, constants: Mapping[str, Array], minibatch: Any) -> dict[str, dict[str, Array]]:
        """Stream name -> modality name -> uint8 [batch_size / devices, H, W, C]."""
        return {
            s.name: {m: constants[m][minibatch[s.name]] for m in s.modalities}
            for s in self._streams
        }


class TfdataFeed:
    """tf.data gathers the minibatches on the host, ahead of the update that takes them."""

    constants: Mapping[str, np.ndarray] = {}

    def __init__(self, data: DataSet, streams: list[Stream], num_devices: int):
        self._images = data.splits['train'].images
        self._streams, self._num_devices = streams, num_devices

    def minibatches(self, first: int) -> Iterator[dict[str, dict[str, np.ndarray]]]:
        """From update `first` on: stream name -> modality name -> uint8 [devices, ..., H, W, C]."""
        os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')  # notes on its own build
        import tensorflow as tf

        tf.config.set_visible_devices([], 'GPU')  # JAX's
        images = {name: tf.constant(a) for name, a in self._images.items()}

        def indices(step):
            return [s.minibatch(int(step)) for s in self._streams]

        def split(batch, shape):
            return tf.reshape(batch, (self._num_devices, -1, *shape))

        def gather(step):
            rows = tf.numpy_function(indices, [step], [tf.int32] * len(self._streams))
            return {
                s.name: {
                    m: split(tf.gather(images[m], r), images[m].shape[1:]) for m in s.modalities
                }
                for s, r in zip(self._streams, rows, strict=True)
            }

        steps = tf.data.Dataset.range(first, 2**62)
        dataset = steps.map(gather, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        yield from dataset.prefetch(tf.data.AUTOTUNE).as_numpy_iterator()

    def fetch(self, constants: Any, minibatch: dict[str, dict[str, Array]]) -> Any:
        del constants
        return minibatch


FEEDS = {'resident': ResidentFeed, 'tfdata': TfdataFeed}
