"""Randomness as a function of what it is for.

No key is carried along. The key of a training example is folded from (seed, step, stream,
place in the global minibatch), that of an evaluated example from (eval seed, split, index
of the example); then a purpose is folded in. So no result depends on the number of
devices, on the evaluation's batch size or on where a run was interrupted.
"""

import jax

from mmvae.types import Array, Key

INITIALISE, TRAIN, BINARISE, SAMPLE = range(4)
SPLITS = ('train', 'validation', 'test')


def fold(key: Key, *numbers: int | Array) -> Key:
    for number in numbers:
        key = jax.random.fold_in(key, number)
    return key


def evaluation_key(seed: int, split: str) -> Key:
    """To be folded with the index of an example, then with a purpose."""
    return fold(jax.random.key(seed), SPLITS.index(split))
