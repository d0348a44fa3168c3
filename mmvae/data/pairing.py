"""Who is paired with whom: from the ids of array rows to the rows of splits and streams.

Rows of equal id belong together. Where several rows of a modality share an id, all combinations of
them with those of the others are examples (the many-to-many mapping of section 7.5).
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from mmvae.config import numbers_by_subset
from mmvae.data.dataset import Rows, assign_streams
from mmvae.types import InputError

Ids = Mapping[str, np.ndarray]  # modality -> the id of each array row as a number from 0, [N_m]
_MOST = 2**27  # examples that a split or a stream may have: half a gigabyte of rows a modality


def number_ids(names: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The ids of each modality as numbers from 0, and what each number stands for, in order."""
    called, numbers = np.unique(np.concatenate([*names.values()]), return_inverse=True)
    ends = np.cumsum([len(n) for n in names.values()])
    return dict(zip(names, np.split(numbers, ends[:-1]), strict=True)), called


def combine(ids: Ids, modalities: Sequence[str], chosen: np.ndarray) -> Rows:
    """All combinations of the rows that share an id, for the ids `chosen`, in their order.

    Raises:
      InputError: there are more than a list of them can hold.
    """
    size = max(int(i.max(initial=-1)) for i in ids.values()) + 1
    counts = {m: np.bincount(ids[m], minlength=size)[chosen] for m in modalities}
    number = np.prod([c.astype(float) for c in counts.values()], axis=0).sum()
    if number > _MOST:
        raise InputError(
            f'{number:.3g} combinations of {", ".join(modalities)} share an id, and at most {_MOST} '
            'can be listed: give fewer rows one id'
        )
    of_id = np.prod([*counts.values()], axis=0)  # how many combinations each id has
    group = np.repeat(np.arange(len(chosen)), of_id)
    place = np.arange(len(group)) - np.repeat(np.cumsum(of_id) - of_id, of_id)
    rows = {}
    for m in reversed(modalities):  # the last goes round fastest
        by_id = np.argsort(ids[m], kind='stable')
        first = np.searchsorted(ids[m][by_id], chosen)
        place, within = np.divmod(place, counts[m][group])
        rows[m] = by_id[first[group] + within].astype(np.int32)
    return {m: rows[m] for m in modalities}


def pair(
    ids: Ids, validation: float = 0.1, test: float = 0.1, num_pairs: int | None = None,
    unpaired: str = 'rest', observed: str = '', seed: int = 0, id_names: np.ndarray | None = None,
) -> tuple[dict[str, Rows], dict[tuple[str, ...], Rows]]:  # fmt: skip
    """The splits and the training streams.

    Validation and test draw from the ids that every modality has, and no row of such an id is
    trained on. Every other id is trained on in the modalities that have it.

    Args:
      validation, test: how many ids: below 1 a share of those that every modality has, and
        otherwise a number of them.
      num_pairs, observed: how many training ids that every modality has are seen complete, or in
        which modalities: see `assign_streams`.
      unpaired: 'rest' deals the others of them evenly among the modalities, in one of which each is
        seen. 'all' lets each modality see by itself all its training rows, those of the pairs too.
      seed: of the draw.
      id_names: what each id is called, for an error.

    Returns:
      Split -> rows, and observed modalities -> rows: all modalities first, then the subsets that
      ids share, from large to small, and each modality by itself.

    Raises:
      InputError: too few ids are in every modality, or `observed` has an unknown one.
    """
    names = tuple(ids)
    size = max(int(i.max(initial=-1)) for i in ids.values()) + 1
    has = np.stack([np.bincount(ids[m], minlength=size) > 0 for m in names])  # [M, ids]
    complete = np.random.default_rng(seed).permutation(np.flatnonzero(has.all(0)))
    sizes = [int(n) if n >= 1 else max(1, round(n * len(complete))) for n in (test, validation)]
    if sum(sizes) >= len(complete):
        raise InputError(
            f'{len(complete)} ids have every modality, and {sum(sizes) + 1} are needed: {sizes[0]} '
            f'to test, {sizes[1]} to validate and one to train on ({describe_ids(names, has)}'
            f'{_examples(ids, id_names)})'
        )
    tested, validated, trained = np.split(complete, np.cumsum(sizes))
    splits = {
        split: combine(ids, names, chosen)
        for split, chosen in (('train', trained), ('validation', validated), ('test', tested))
    }
    if len(names) == 1:
        return splits, {names: splits['train']}
    dealt, streams = assign_streams(trained, names, num_pairs, unpaired, observed), {}
    for number in range(len(names), 0, -1):
        for subset in itertools.combinations(names, number):
            is_in = np.array([name in subset for name in names])
            chosen = trained[:0]
            if number < len(names):  # ids that no other modality has
                (chosen,) = np.nonzero((has == is_in[:, None]).all(0))
            if number == 1 and unpaired == 'all' and subset[0] not in numbers_by_subset(observed):
                held_out = np.isin(ids[subset[0]], [*tested, *validated])
                chosen = np.unique(ids[subset[0]][~held_out])
            elif subset in dealt:
                chosen = np.concatenate([chosen, dealt[subset][subset[0]]])
            if subset in dealt or len(chosen):
                streams[subset] = combine(ids, subset, chosen)
    return splits, streams


def _examples(ids: Ids, id_names: np.ndarray | None) -> str:
    """ "; for example day '0001', night '1'", of the first id of each modality."""
    if id_names is None or len(ids) < 2:
        return ''
    firsts = [f"{m} '{id_names[i.min()]}'" for m, i in ids.items()]
    return f'; for example {", ".join(firsts)}'


def describe_ids(names: Sequence[str], has: np.ndarray) -> str:
    """'day 10 ids, night 12; day and night share 3', of [M, ids]: whether a modality has an id."""
    alone = ', '.join(f'{m} has {row.sum()} ids' for m, row in zip(names, has, strict=True))
    shared = [
        f'{names[i]} and {names[j]} share {(has[i] & has[j]).sum()}'
        for i, j in itertools.combinations(range(len(names)), 2)
    ]
    return '; '.join([alone, ', '.join(shared)] if shared else [alone])
