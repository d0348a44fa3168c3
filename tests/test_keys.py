import itertools

import jax
import numpy as np

from mmvae import keys


def bits(key):
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


def test_what_is_random_for_different_reasons_has_different_keys():
    root = jax.random.key(0)
    init = keys.fold(root, keys.INITIALISE)
    families = {
        'seeds': [root, jax.random.key(1)],
        'initialise': [
            *(keys.fold(init, keys.BINARISE, i) for i in range(4)),
            *jax.random.split(keys.fold(init, keys.SAMPLE)),
        ],
        'train': [
            keys.fold(root, keys.TRAIN, *numbers) for numbers in itertools.product(range(3), repeat=3)
        ],
        'evaluate': [
            keys.fold(keys.evaluation_key(0, split), i) for split in keys.SPLITS for i in range(4)
        ],
        'figures': [keys.fold(root, keys.FIGURES, i) for i in range(4)],
    }  # fmt: skip
    every = [bits(key) for family in families.values() for key in family]
    every += [
        bits(keys.fold(key, purpose))
        for family in ('train', 'evaluate')
        for key in families[family]
        for purpose in (keys.BINARISE, keys.SAMPLE)
    ]
    assert len(set(every)) == len(every)
