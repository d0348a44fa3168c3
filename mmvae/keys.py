"""Randomness as a function of what it is for.

No key is carried along. A key is folded from a seed and what it is for: that of a training
example from (seed, TRAIN, step, stream, place in the global minibatch), that of an evaluated
example from (eval seed, EVALUATE, split, index of the example); then what is drawn is folded
in: BINARISE, SAMPLE (and which bound it is of), WEIGH and PRIOR of the importance-weighted
estimates, TRANSLATE of the translator or, for the noise of a picture, FIGURES. So no result depends on the number of devices,
on the evaluation's batch size or on where a run was interrupted.
"""

import jax

from mmvae.types import Array, Key

INITIALISE, TRAIN, EVALUATE, FIGURES, BINARISE, SAMPLE, WEIGH, PRIOR, TRANSLATE = range(9)
SPLITS = ('train', 'validation', 'test')


def fold(key: Key, *numbers: int | Array) -> Key:
    for number in numbers:
        key = jax.random.fold_in(key, number)
    return key


def evaluation_key(seed: int, split: str) -> Key:
    """To be folded with the index of an example."""
    return fold(jax.random.key(seed), EVALUATE, SPLITS.index(split))
