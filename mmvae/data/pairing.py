"""Who is seen paired, and who in one modality only."""

import numpy as np


def balanced_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order in which every prefix has the classes as equal as they can be."""
    order = rng.permutation(len(labels))
    rank = np.empty(len(labels), np.int64)  # how many of its class come before each
    for label in np.unique(labels):
        (places,) = np.nonzero(labels[order] == label)
        rank[places] = np.arange(len(places))
    return order[np.argsort(rank, kind='stable')]


def assign(
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
