"""A data set: arrays by split and modality, and which training examples are seen in what."""

from typing import NamedTuple

import numpy as np

from mmvae.types import InputError, Modality


class Split(NamedTuple):
    """Examples of one split.

    Attributes:
      images: modality name -> uint8 [N, H, W, C].
      labels: uint8 [N], never read by training.
      source: where each example stands in the source's own order, [N].
    """

    images: dict[str, np.ndarray]
    labels: np.ndarray
    source: np.ndarray


class DataSet(NamedTuple):
    """What training and evaluation read.

    Attributes:
      modalities: in their order.
      splits: 'train', 'validation' and 'test'.
      streams: observed modalities -> indices into the training split.
    """

    modalities: tuple[Modality, ...]
    splits: dict[str, Split]
    streams: dict[tuple[str, ...], np.ndarray]


def check_values(data: DataSet) -> DataSet:
    """The data set itself, once its arrays are known to be what its modalities say.

    Raises:
      InputError: an array has another type or shape, a value out of range, or the values 0 and 1
        where grey levels are wanted.
    """
    for modality in data.modalities:
        name, is_binary = modality.name, modality.likelihood == 'bernoulli'
        greatest = 255 if is_binary else modality.num_values - 1
        arrays = [split.images[name] for split in data.splits.values()]
        for split, array in zip(data.splits, arrays, strict=True):
            if array.dtype != np.uint8 or array.shape[1:] != modality.shape:
                raise InputError(
                    f'{split} examples of {name}: {array.dtype} of shape {array.shape[1:]} given; '
                    f'allowed: uint8 of shape {modality.shape}, values 0 to {greatest}'
                )
        seen = max(int(array.max(initial=0)) for array in arrays)
        if seen > greatest:
            raise InputError(f'values of {name}: {seen} given; allowed: 0 to {greatest}')
        if is_binary and seen == 1:
            raise InputError(
                f'values of {name}: none above 1 given; allowed: grey levels 0 to 255, which are '
                'drawn as binary pixels; multiply binary pixels by 255'
            )
    return data


UNPAIRED = ('rest', 'all')  # see `assign_streams`


def balanced_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order in which every prefix has the classes as equal as they can be."""
    order = rng.permutation(len(labels))
    rank = np.empty(len(labels), np.int64)  # how many of its class come before each
    for label in np.unique(labels):
        (places,) = np.nonzero(labels[order] == label)
        rank[places] = np.arange(len(places))
    return order[np.argsort(rank, kind='stable')]


def assign_streams(
    order: np.ndarray, names: tuple[str, ...], num_pairs: int, unpaired: str = 'rest'
) -> dict[tuple[str, ...], np.ndarray]:
    """Which training examples are seen in which modalities.

    Args:
      order: the examples in the order in which they are dealt out, [N].
      names: the modalities.
      num_pairs: the first so many are seen complete.
      unpaired: 'rest' splits the others evenly into those seen in the first modality only, in
        the second only, and so on: every example is seen once. 'all' gives every modality all
        examples, the pairs among them, whatever their number.

    Returns:
      Observed modalities -> indices: all of them (the pairs) first, then each by itself.
      One modality has a single stream, of all examples.
    """
    if len(names) == 1:
        return {names: order}
    if unpaired == 'all':
        parts = [order] * len(names)
    else:
        parts = np.array_split(order[num_pairs:], len(names))
    return {names: order[:num_pairs], **{(n,): p for n, p in zip(names, parts, strict=True)}}
