"""Training from Python, on arrays in memory."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmvae import config as configs
from mmvae import data as data_sets
from mmvae.data.memory import Data
from mmvae.run import folder, measure
from mmvae.run.load import TrainedModel, load
from mmvae.train import Stopped
from mmvae.types import InputError

# What own data are trained with where nothing else is said; experiments/own.py has it too.
RECIPE = {
    'data.unpaired': 'all',  # or nothing would train q(z | x) where all are pairs
    'model.network': 'dense',
    # Of any modalities that are observed: a product needs no training with just these.
    'model.posterior': 'product',
    'model.flow': 'shared',
    'model.flow_steps': 2,
    'objective.joint_weight': 0.5,
    'optimizer.averaging': 0.995,
    'train.num_updates': 3000,
}


def fit(data: Data, workdir: str | Path, fields: Mapping[str, Any] | None = None) -> TrainedModel:
    """Trains a model in a folder, or goes on there; measures and draws it, like the launcher.

    On a finished run it only prints the results and loads the model.

    Args:
      fields: of the config, as {'model.latent_dim': 32, 'train.num_updates': 5000}. The others are
        those of `RECIPE`, all pairs, and the rest as `config.base` has them.

    Raises:
      InputError: a field cannot be used, or the folder holds another run. Nothing has changed then.
      RunError: training failed; the last checkpoint is kept.
      KeyboardInterrupt: it was interrupted, and saved: the same call goes on.
    """
    if not isinstance(data, Data):
        raise InputError(f'data: {type(data).__name__} given; allowed: a mmvae.Data')
    workdir = Path(workdir)
    tree = configs.base(data_sets.LOADERS['memory'].options)
    name = re.sub(r'[^\w.-]', '_', workdir.name, flags=re.ASCII)
    tree['experiment'] = name[:100] if name[:1].isalpha() else f'run_{name}'[:100]
    tree['data'].update(name='memory', num_pairs=None, **data.held_out)
    config = folder.resolve(configs.override(tree, {**RECIPE, **(fields or {})}))
    if (config.data.name, dataclasses.asdict(config.data.options)) != ('memory', data.held_out):
        raise InputError(
            'fields: data.name, data.validation or data.test given; allowed: other fields. '
            'mmvae.Data(..., validation=..., test=...) says how many ids are kept from training'
        )
    rows = data.data_set(**config.data.dealing)
    data_set = folder.prepare(config, workdir, None, data=rows)
    try:
        measure.train(config, workdir, data_set)
    except Stopped as stopped:
        raise KeyboardInterrupt(f'saved at update {stopped.step}; the same call goes on') from None
    return load(workdir)
