"""A data set: an array of each modality, and the rows of them that are examples."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from mmvae.config import DataConfig, numbers_by_subset, require
from mmvae.types import Modality

Rows = dict[str, np.ndarray]  # modality -> rows of its array, [n]: n examples


class DataSet(NamedTuple):
    """What training and evaluation read: any number of modalities, of any length each.

    Nothing is copied, or filled in where a modality is missing: examples are rows of the arrays, and
    one row may be in several.

    Attributes:
      modalities: in their order.
      arrays: modality -> [N_m, ...], the values of the data; may be memory-mapped.
      splits: 'train', 'validation' and 'test' -> complete examples. Those of 'train' are complete
        whether they are trained on as such or not.
      streams: observed modalities -> the training examples seen in them: all (the pairs) first.
      ids: modality -> whole numbers [N_m]: array rows of equal id belong together.
      labels: name -> a whole number for each id, -1 where it is unknown; never read by training.
      id_names: what each id is called, for example its place in the source.
      judges: of labels that need no or a special training (see `mmvae.data.judges`): label ->
        (modality -> what tells the label by values of it, as `shown` gives them; None where the
        modality does not show it).
    """

    modalities: tuple[Modality, ...]
    arrays: dict[str, np.ndarray]
    splits: dict[str, Rows]
    streams: dict[tuple[str, ...], Rows]
    ids: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    id_names: np.ndarray
    judges: Mapping[str, Callable[[str], Callable[[np.ndarray], np.ndarray] | None]] = (
        MappingProxyType({})
    )

    def labels_of(self, name: str, modality: str, rows: np.ndarray) -> np.ndarray:
        """The labels of some rows of a modality's array."""
        return self.labels[name][self.ids[modality][rows]]

    def shown(self, modality: str, rows: np.ndarray) -> np.ndarray:
        """Some rows of a modality's array as pictures have them: `Modality.shown`."""
        (of,) = (m for m in self.modalities if m.name == modality)
        return of.shown_data(self.arrays[modality][rows])

    def training_rows(self, modality: str) -> np.ndarray:
        """Every row of a modality's array that is of the training part, once, in order."""
        every = [self.splits['train'], *self.streams.values()]
        return np.unique(np.concatenate([rows[modality] for rows in every if modality in rows]))


def in_parts(
    config: DataConfig, modalities: tuple[Modality, ...], arrays: dict[str, np.ndarray],
    sizes: Sequence[int], order: np.ndarray, labels: dict[str, np.ndarray], **more: Any,
) -> DataSet:  # fmt: skip
    """The data set of arrays that have whole examples row by row, split after split.

    Args:
      sizes: of the three splits.
      order: in which the training examples are dealt to the streams.
      more: fields of the data set.
    """
    rows = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    return DataSet(
        modalities, arrays,
        splits={
            name: dict.fromkeys(arrays, r)
            for name, r in zip(('train', 'validation', 'test'), rows, strict=True)
        },
        streams=assign_streams(
            order, tuple(arrays), config.num_pairs, config.unpaired, config.observed
        ),
        ids=dict.fromkeys(arrays, np.arange(sum(sizes))), labels=labels, **more,
    )  # fmt: skip


def count(rows: Rows) -> int:
    """How many examples these are."""
    return len(next(iter(rows.values())))


def spread(count: int, most: int) -> np.ndarray:
    """At most so many (0: all) of `count` places, spread over them."""
    size = min(most or count, count)
    return np.arange(size) * count // size


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
    order: np.ndarray, names: tuple[str, ...], num_pairs: int | None, unpaired: str = 'rest',
    observed: str = '',
) -> dict[tuple[str, ...], Rows]:  # fmt: skip
    """Which of the training examples that have every modality are seen in which modalities.

    Args:
      order: the examples in the order in which they are dealt out, [N]: rows of every array.
      names: the modalities.
      num_pairs: the first so many are seen complete; None for all.
      unpaired: 'rest' splits the others evenly into those seen in the first modality only, in
        the second only, and so on: every example is seen once. 'all' gives every modality all
        examples, the pairs among them, whatever their number.
      observed: in the place of `num_pairs` how many are seen in which sets, as 'x+y+w=500,x+y=500':
        the first in the largest set, and none in two. Of a set of one modality, as in 'w=0', the
        number is exact, and the others are split among the modalities that have none.

    Returns:
      Observed modalities -> rows: all of them (the pairs) first, then the sets of `observed` from
      large to small, then each by itself. One modality has a single stream, of all examples.

    Raises:
      InputError: `observed` has an unknown modality, or there are too few examples.
    """
    if len(names) == 1:
        return {names: {names[0]: order}}
    size = lambda subset: (-len(subset), [names.index(name) for name in subset])  # noqa: E731
    numbers, field = {names: len(order) if num_pairs is None else num_pairs}, 'data.num_pairs'
    if observed:
        numbers, field = {names: 0}, 'data.observed'
        for text, number in numbers_by_subset(observed).items():
            allowed = f'sets of the modalities {", ".join(names)}'
            require({*text.split('+')} <= {*names}, field, observed, allowed)
            numbers[tuple(name for name in names if name in text.split('+'))] = number
        numbers = {subset: numbers[subset] for subset in sorted(numbers, key=size)}
    total = sum(numbers.values())
    allowed = f'at most {len(order)} in all, the training examples that have every modality'
    require(total <= len(order), field, observed or num_pairs, allowed)
    *parts, rest = np.split(order, np.cumsum([*numbers.values()]))
    dealt = dict(zip(numbers, parts, strict=True))
    singles = [(name,) for name in names if (name,) not in numbers]
    if singles:
        shares = [order] * len(singles) if unpaired == 'all' else np.array_split(rest, len(singles))
        dealt |= zip(singles, shares, strict=True)
    return {subset: dict.fromkeys(subset, dealt[subset]) for subset in sorted(dealt, key=size)}
