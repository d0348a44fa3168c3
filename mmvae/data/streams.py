"""Minibatches as a function of the step: no iterator, no state to save.

A stream is the training examples seen in one subset of the modalities. The example at
position i of a stream is permutation(data.seed, stream, epoch of i)[place of i in it], so
a run resumes with the very next minibatch, and any two feeds see the same ones.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mmvae.config import BatchConfig
from mmvae.data.mnist import DataSet
from mmvae.types import Array

PAIRED = 'paired'


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
        rows[modality.name] = np.concatenate(seen)[:size]
    size = min(map(len, rows.values()))
    return {name: r[:size] for name, r in rows.items()}


class ResidentFeed:
    """The training arrays live on the devices and the update gathers from them.

    A feed has three parts: `constants`, placed once; `minibatch(step)`, on the host; and
    `fetch(constants, minibatch)`, inside the compiled update.
    """

    def __init__(self, data: DataSet, streams: list[Stream], num_devices: int):
        self.constants: Mapping[str, np.ndarray] = data.splits['train'].images
        self._streams = streams
        self._num_devices = num_devices

    def minibatch(self, step: int) -> dict[str, np.ndarray]:
        """Stream name -> indices, [devices, batch_size / devices]."""
        return {s.name: s.minibatch(step).reshape(self._num_devices, -1) for s in self._streams}

    def fetch(self, constants: Mapping[str, Array], minibatch: Any) -> dict[str, dict[str, Array]]:
        """Stream name -> modality name -> uint8 [batch_size / devices, H, W, C]."""
        return {
            s.name: {m: constants[m][minibatch[s.name]] for m in s.modalities}
            for s in self._streams
        }
