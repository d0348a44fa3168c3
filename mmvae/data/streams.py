"""Minibatches as a function of the step: no iterator, no state to save.

A stream is the training examples seen in one subset of the modalities. The example at
position i of a stream is permutation(data.seed, stream, epoch of i)[place of i in it], so
a run resumes with the very next minibatch, and any two feeds see the same ones.
"""

import atexit
import functools
import itertools
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from mmvae.config import BatchConfig, Config, require
from mmvae.data.dataset import DataSet, Rows, count
from mmvae.data.files import import_tensorflow
from mmvae.system.parallel import device_memory, own_part
from mmvae.types import Array, InputError

PAIRED = 'paired'
INITIAL_EXAMPLES = 64  # over which the first layer outputs are normalised (section 5.9)
LEAST_EXAMPLES = 8


class Stream(NamedTuple):
    """Training examples seen in one subset of the modalities.

    Attributes:
      name: 'x+y'; 'paired' where it observes all of several modalities.
      number: tells this stream's randomness from the others'.
      modalities: the names observed.
      rows: of the data set's arrays.
      batch_size: over all devices.
      seed: of the order.
    """

    name: str
    number: int
    modalities: tuple[str, ...]
    rows: Rows
    batch_size: int
    seed: int

    def minibatch(self, step: int) -> Rows:
        """The rows of the examples of update `step` (from 0), [batch_size].

        A minibatch that reaches the end of an epoch runs on into the next.
        """
        n = count(self.rows)
        positions = step * self.batch_size + np.arange(self.batch_size)
        epochs, places = positions // n, positions % n
        chosen = np.empty(self.batch_size, np.int32)
        for epoch in np.unique(epochs):
            order = _permutation(self.seed, self.number, int(epoch), n)
            chosen[epochs == epoch] = order[places[epochs == epoch]]
        return {m: np.int32(self.rows[m][chosen]) for m in self.modalities}


@functools.lru_cache(maxsize=16)
def _permutation(seed: int, number: int, epoch: int, n: int) -> np.ndarray:
    # The last number sets this generator apart from the splits', default_rng(seed).
    return np.random.default_rng([seed, number, epoch, 1]).permutation(n)


def make_streams(data: DataSet, batch: BatchConfig, seed: int) -> list[Stream]:
    """The streams that have examples and a batch size; the others cost nothing.

    Raises:
      InputError: none has.
    """
    streams = []
    for number, (observed, rows) in enumerate(data.streams.items()):
        is_paired = 1 < len(observed) == len(data.modalities)
        name, size = PAIRED if is_paired else '+'.join(observed), batch.of(observed)
        if size and count(rows):
            streams.append(Stream(name, number, observed, rows, size, seed))
    require(
        streams, 'train.batch', batch, 'a minibatch of examples that exist; this trains on none'
    )
    return streams


def initial_rows(data: DataSet, seed: int, size: int) -> dict[str, np.ndarray]:
    """Training examples to initialise from: modality name -> up to `size` different rows.

    They are the first pairs that training will see and, where there are too few, the first
    examples seen in that modality only: initialisation asks for the statistics of each
    modality, not that they belong together.
    """
    first_rows = {}
    for modality in data.modalities:
        seen = [
            rows[modality.name][_permutation(seed, number, 0, count(rows))]
            for number, rows in enumerate(data.streams.values())
            if modality.name in rows
        ]
        first = np.concatenate(seen)
        _, places = np.unique(first, return_index=True)  # a pair may be seen alone as well
        first_rows[modality.name] = first[np.sort(places)][:size]
    size = min(map(len, first_rows.values()))
    return {name: rows[:size] for name, rows in first_rows.items()}


def initial_pixels(config: Config, data: DataSet) -> dict[str, np.ndarray]:
    """Real training examples to initialise from, modality name -> [B, ...].

    Raises:
      InputError: too few differ, and layers would be scaled by their accidental spread.
    """
    rows = initial_rows(data, config.data.seed, INITIAL_EXAMPLES)
    pixels = {name: data.arrays[name][r] for name, r in rows.items()}
    for modality in data.modalities:
        values = pixels[modality.name]
        different = len(np.unique(values.reshape(len(values), -1), axis=0))
        # Classes, and vectors of them, need have no more than two values.
        least = 2 if modality.num_values and not modality.is_image else LEAST_EXAMPLES
        if different < least:
            mend = 'give more data'
            if not modality.shape and not modality.num_values:
                mend += ', or, if they are classes, whole numbers from 0 or likelihood=categorical'
            raise InputError(
                f'training examples of {modality.name}: {different} different ones are there to '
                f'initialise from, and at least {least} are needed: {mend}'
            )
    return pixels


class ResidentFeed:
    """The arrays live on the devices and the update gathers from them.

    A feed has three parts: `constants`, placed once; `minibatches(first)`, on the host; and
    `fetch(constants, minibatch)`, inside the compiled update. All feeds give the same bytes.
    """

    def __init__(self, data: DataSet, streams: list[Stream], num_devices: int):
        size, memory = sum(a.nbytes for a in data.arrays.values()), device_memory()
        allowed = f"'tfdata': the arrays have {size} bytes and a device's memory {memory}"
        require(size <= memory, 'data.feed', 'resident', allowed)
        self.constants: Mapping[str, np.ndarray] = data.arrays
        self.streams, self._num_devices = streams, num_devices

    def minibatches(self, first: int) -> Iterator[dict[str, Rows]]:
        """From update `first` on: stream -> modality -> rows, [devices of this process, rows of each]."""
        for step in itertools.count(first):
            yield {
                s.name: {
                    m: own_part(rows.reshape(self._num_devices, -1))
                    for m, rows in s.minibatch(step).items()
                }
                for s in self.streams
            }

    def fetch(self, constants: Mapping[str, Array], minibatch: Any) -> dict[str, dict[str, Array]]:
        """Stream name -> modality name -> values, [batch_size / devices, ...]."""
        return {
            s.name: {m: constants[m][minibatch[s.name][m]] for m in s.modalities}
            for s in self.streams
        }


class TfdataFeed:
    """tf.data gathers the minibatches on the host, ahead of the update that takes them."""

    constants: Mapping[str, np.ndarray] = {}

    def __init__(self, data: DataSet, streams: list[Stream], num_devices: int):
        self._arrays = data.arrays
        self.streams, self._num_devices = streams, num_devices

    def minibatches(self, first: int) -> Iterator[dict[str, dict[str, np.ndarray]]]:
        """From update `first` on: stream -> modality -> values, [devices of this process, ..., ...]."""
        batches = self._gather(first)
        # tf.data's threads run Python: a process that ends while they do waits for them for ever.
        atexit.register(lambda ref: (open_ := ref()) and open_.close(), weakref.ref(batches))
        return batches

    def _gather(self, first):
        tf = import_tensorflow()
        tf.config.set_visible_devices([], 'GPU')  # JAX's
        observed = [(s.name, m) for s in self.streams for m in s.modalities]

        def gather(step):  # by NumPy, which reads of a memory-mapped array these rows alone
            return [
                self._arrays[m][own_part(rows.reshape(self._num_devices, -1))]
                for s in self.streams for m, rows in s.minibatch(int(step)).items()
            ]  # fmt: skip

        def minibatch(step):
            arrays = tf.numpy_function(gather, [step], [self._arrays[m].dtype for _, m in observed])
            batch = {s.name: {} for s in self.streams}
            for (stream, m), array in zip(observed, arrays, strict=True):
                batch[stream][m] = array
            return batch

        steps = tf.data.Dataset.range(first, 2**62)
        # As many as hide the reading: more take memory, and no time off.
        dataset = steps.map(minibatch, num_parallel_calls=2, deterministic=True)
        yield from dataset.prefetch(2).as_numpy_iterator()

    def fetch(self, constants: Any, minibatch: dict[str, dict[str, Array]]) -> Any:
        del constants
        return {s.name: minibatch[s.name] for s in self.streams}  # in the order of the streams


FEEDS = {'resident': ResidentFeed, 'tfdata': TfdataFeed}
