"""Models, configs and data small enough to compile in a moment."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments import base
from mmvae import config as config_module
from mmvae import data as data_sets
from mmvae import objectives
from mmvae.config import ModelConfig
from mmvae.data import mnist
from mmvae.data.dataset import DataSet, assign_streams
from mmvae.model.vae import MultimodalVAE, init_params
from mmvae.quantities import quantity_of
from mmvae.types import Modality

MODEL = ModelConfig(network='conv', latent_dim=3, hidden=5, feature_maps=2, strides=(2, 1))
DENSE = dataclasses.replace(MODEL, network='dense')  # compiles fastest
BINARY = (Modality('x', (4, 6, 1)), Modality('y', (5, 3, 1)))
THREE = (*BINARY, Modality('w', (2, 2, 3), 'categorical', 7))
MIXED = (
    Modality('x', (4, 3, 2), 'logistic', 7, components=2),
    Modality('y', (1, 5, 1), 'categorical', 4, network='dense'),
    Modality('v', (3,), 'gaussian', 0, offset=(1.0, -20.0, 0.5), scale=(2.0, 30.0, 0.1)),
    Modality('kind', (), 'categorical', 3),
)


def make_config(**overrides):
    """A checked config; `data__num_pairs=3` sets data.num_pairs."""
    tree = base.get_config()
    small = {
        'model__latent_dim': 3, 'model__hidden': 5, 'model__feature_maps': 2,
        'model__strides': (2, 1), 'data__num_pairs': 8, 'train__num_updates': 4,
        'train__eval_every': 2, 'train__log_every': 1, 'train__batch__paired': 4,
        'train__batch__unpaired': 4, 'eval__batch_size': 8, 'eval__iw_samples': 4,
        'eval__iw_chunk': 2, 'eval__train_examples': 8,
    }  # fmt: skip
    for field, value in {**small, **overrides}.items():
        *sections, name = field.split('__')
        section = tree
        for part in sections:
            section = section[part]
        section[name] = value
    config = config_module.parse(tree)
    # Of other modalities than the views have: what is checked of those is left out.
    return dataclasses.replace(
        config, data=data_sets.check(config.data), objective=objectives.check(config.objective)
    )


def make_data_config(name, **fields):
    """The checked section `data` of a loader other than MNIST's."""
    tree = base.get_config().to_dict()
    of_mnist = {field.name for field in dataclasses.fields(mnist.Options)}
    section = {k: v for k, v in tree['data'].items() if k not in of_mnist}
    tree['data'] = {**section, 'name': name, **fields}
    return data_sets.check(config_module.parse(tree).data)


def make_images(modalities, count, seed=0):
    """Random values [count, *shape]: uint8 0 .. 255 (binary) or 0 .. num_values-1, or real numbers."""
    rng = np.random.default_rng(seed)

    def values(modality, shape):
        if not modality.num_values:
            return (modality.offset + modality.scale * rng.normal(size=shape)).astype(np.float32)
        most = 256 if modality.likelihood == 'bernoulli' else modality.num_values
        return rng.integers(0, most, shape).astype(np.uint8)

    return {m.name: values(m, (count, *m.shape)) for m in modalities}


def normal(seed, *shape):
    """NumPy's: JAX would compile a program for each shape."""
    return jnp.float32(np.random.default_rng(seed).normal(size=shape))


def make_data(modalities=BINARY, num_train=24, num_pairs=8):
    sizes = {'train': num_train, 'validation': 10, 'test': 13}
    parts = [make_images(modalities, size, seed) for seed, size in enumerate(sizes.values())]
    arrays = {m.name: np.concatenate([part[m.name] for part in parts]) for m in modalities}
    every = np.arange(sum(sizes.values()))
    rows = np.split(every, np.cumsum([*sizes.values()])[:-1])
    return DataSet(
        modalities, arrays,
        splits={name: dict.fromkeys(arrays, r) for name, r in zip(sizes, rows, strict=True)},
        streams=assign_streams(np.arange(num_train), tuple(arrays), num_pairs),
        ids=dict.fromkeys(arrays, every), labels={'digit': np.zeros(len(every), np.uint8)},
        id_names=every,
    )  # fmt: skip


def by_column(rows, names=('x', 'y')):
    """Rows of results.json by what metrics.jsonl would call each; of 'fewer' examples, without bounds."""
    return {
        quantity_of(row).column(names): row
        for row in rows
        if row['kind'] != 'bound' or row['examples'] == 'all'
    }


def make_overlapping_data():
    """THREE modalities, never all of them seen together in training."""
    data = make_data(THREE)
    rows = {('x', 'y'): np.arange(8), ('y', 'w'): np.arange(8, 16), ('x',): np.arange(16, 24),
            ('w',): np.arange(16, 24)}  # fmt: skip
    return data._replace(streams={names: dict.fromkeys(names, r) for names, r in rows.items()})


@functools.cache
def make_model(modalities=BINARY, config=MODEL, posterior='merged', seed=0, trained=None):
    """A model and parameters initialised on 16 random examples, which are returned too."""
    model = MultimodalVAE(modalities, config, posterior, trained)
    images = make_images(modalities, 16, seed)
    x = {  # of binary elements, 0 and 1
        m.name: jnp.float32(images[m.name] % m.num_values if m.num_values else images[m.name])
        for m in modalities
    }
    return model, init_params(model, x, jax.random.key(seed)), x
