"""Any experiment at the size of a toy: whether all of it runs, in seconds; its numbers mean nothing.

python launch.py --config=experiments/smoke.py:NAME --data_dir=FOLDER
"""

import importlib
import re

_LIMIT = 40  # of the examples in a split
_MOST = {
    'data': {'num_pairs': 20},
    'model': {'latent_dim': 4, 'hidden': 8, 'feature_maps': 6, 'masked_blocks': 1, 'masked_size': 3, 'flow_steps': 1},
    'objective': {'num_samples': 2, 'translator_samples': 2, 'translator_from': 1, 'kl_warmup': 2},
    'train': {'num_updates': 4, 'eval_every': 2, 'log_every': 2, 'batch': {'paired': 4, 'unpaired': 8}},
    'eval': {'batch_size': 20, 'train_examples': 10, 'iw_samples': 2, 'iw_chunk': 2},
}  # fmt: skip


def get_config(name='mnist5k'):
    config = importlib.import_module(f'experiments.{name}').get_config()
    config.experiment = 'smoke'
    _shrink(config, _MOST)
    if 'limit' in config.data:
        config.data.limit = _LIMIT
    if 'modalities' in config.data:
        config.data.modalities = re.sub(r'size=\w+', 'size=12x16', config.data.modalities)
    config.data.unpaired = 'all'  # so each modality alone has every class, as represent needs
    config.data.observed = re.sub(r'=\d+', '=10', config.data.observed)
    config.model.strides = (2,)
    config.eval.validation_examples = config.eval.iw_examples = 10
    return config


def _shrink(section, most):
    for field, value in most.items():
        if isinstance(value, dict):
            _shrink(section[field], value)
        elif section[field] is not None:  # which means all
            section[field] = min(section[field], value)


def sweep(add, name='mnist5k'):
    """The first point of the experiment's own, with no more pairs than there are."""
    points = []
    importlib.import_module(f'experiments.{name}').sweep(points.append)
    most = {'data.num_pairs': _MOST['data']['num_pairs']}
    add({f: min(v, most[f]) if f in most else v for f, v in points[0].items()})
