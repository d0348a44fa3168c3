"""The border between what a user writes and what the code reads.

`parse` checks a ConfigDict whole, before anything compiles, and turns it into frozen
dataclasses; no other module sees a ConfigDict. `check_against_data` checks what only
the data can tell. Every error is an `InputError` that names the field.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib.util
import json
import math
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from mmvae.types import InputError, Modality

DATA_SETS = ('mnist5k', 'mnist')
VIEWS = ('halves', 'whole', 'coloured')
EDGE_COLOURS = ('separate', 'mixed')
UNPAIRED = ('rest', 'all')
FEEDS = ('resident', 'tfdata')
NETWORKS = ('conv', 'dense', 'autoregressive')
LAST_LAYERS = ('block', 'pointwise')
OBJECTIVES = ('single', 'joint', 'translation', 'combined')
# lambda where the config leaves it open (None).
DEFAULT_JOINT_WEIGHT = {'single': 1.0, 'joint': 0.3, 'translation': 1.0, 'combined': 1.0}

# A run in a folder may be continued with other values of these.
_MAY_CHANGE = ('data.feed', 'train.num_updates', 'train.eval_every', 'train.log_every',
               'train.updates_per_call', 'eval.')  # fmt: skip


@dataclasses.dataclass(frozen=True)
class DataConfig:
    name: str  # one of DATA_SETS
    view: str  # which modalities are made of an image, one of VIEWS
    seed: int  # who is paired with whom, and the order of the minibatches
    num_pairs: int  # training examples seen in all their modalities
    limit: int  # use the first `limit` examples of each split; 0 for all
    feed: str  # one of FEEDS; left open (None), tfdata where TensorFlow is installed
    unpaired: str = 'rest'  # whom the streams of one modality draw from, one of UNPAIRED
    edge_colours: str = 'separate'  # how edge maps are coloured, one of EDGE_COLOURS
    train_digits: tuple[int, ...] = ()  # those trained and validated on; () for all
    test_digits: tuple[int, ...] = ()  # those tested on; () for all


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    network: str  # one of NETWORKS: tables 5.2 and 5.5; 5.1 and 5.4; table 5.2 and figure 5.3
    latent_dim: int
    hidden: int  # units of each linear layer
    feature_maps: int  # of each convolution
    strides: tuple[int, ...]  # of the encoder's residual blocks, 1 or 2 each
    masked_blocks: int = 3  # of the autoregressive network
    masked_size: int = 3  # of its kernels, odd
    masked_gates: bool = False  # whether each block is gated
    flow_steps: int = 0  # of inverse autoregressive flow in each posterior; 0: Gaussian
    last_layer: str = 'block'  # of the conv decoder, one of LAST_LAYERS


@dataclasses.dataclass(frozen=True)
class ObjectiveConfig:
    name: str  # one of OBJECTIVES
    joint_weight: float  # lambda of equation (4.12), on the paired bound; see DEFAULT_JOINT_WEIGHT
    free_bits: float  # psi of equation (4.16), nats a latent dimension
    num_samples: int  # S of equations (4.7) and (4.9)
    kl_warmup: int = 0  # updates in which the weight of the KL rises from 0 to 1


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    learning_rate: float
    momentum: float
    decay: float  # of the mean square of the gradients
    halving: int = 0  # updates in which the learning rate halves; 0: constant
    averaging: float = 0.0  # decay of the parameters' average, which is evaluated; 0: no average


@dataclasses.dataclass(frozen=True)
class BatchConfig:
    paired: int
    unpaired: int  # of each modality
    of_modality: Mapping[str, int]  # overrides `unpaired` for the modalities named

    def of(self, modality: str) -> int:
        """The batch size of examples seen in this modality only."""
        return self.of_modality.get(modality, self.unpaired)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    num_updates: int
    eval_every: int  # updates between validations, each with a checkpoint
    log_every: int  # updates that a training row of metrics.jsonl averages
    updates_per_call: int  # updates in one compiled call; 0 for 1 on a CPU and 20 elsewhere
    patience: int  # evaluations without a better validation bound before it stops; 0: never
    batch: BatchConfig


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    seed: int  # binarisation and samples of every evaluation
    batch_size: int
    train_examples: int  # how many pairs are tracked beside the validation set
    iw_samples: int  # K of the importance-weighted estimates
    iw_examples: int  # test examples they are made on; 0 for all
    iw_chunk: int  # samples decoded at a time for a batch
    validation_examples: int = 0  # that are validated on; 0 for all


@dataclasses.dataclass(frozen=True)
class Config:
    experiment: str
    seed: int  # initialisation and the noise of training
    data: DataConfig
    model: ModelConfig
    objective: ObjectiveConfig
    optimizer: OptimizerConfig
    train: TrainConfig
    eval: EvalConfig

    def to_dict(self) -> dict[str, Any]:
        """The nested dict that `parse` takes, ready for JSON."""
        tree = dataclasses.asdict(self)
        tree['train']['batch'].update(tree['train']['batch'].pop('of_modality'))
        return tree

    @property
    def trains_pairs(self) -> bool:
        """Whether the paired bound has any part in the loss."""
        return bool(self.data.num_pairs and self.train.batch.paired and self.objective.joint_weight)

    def digest(self) -> str:
        """8 hexadecimal digits of the fields that make this run another run."""
        fixed = {
            field: value
            for field, value in _flat(self.to_dict()).items()
            if not _may_change(field)
            # A later field at its default leaves a run, and so its folder, the same.
            and value != _get_default(field)
        }
        text = json.dumps(fixed, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def parse(tree: Mapping[str, Any]) -> Config:
    """A ConfigDict, or the nested dict of a config.json, as a checked `Config`.

    Raises:
      InputError: a field is unknown, missing, of a wrong type or out of its range.
    """
    config = _parse(Config, tree, '')
    _check_values(config)
    return config


def differences(old: Config, new: Config) -> list[str]:
    """The fields in which `new` may not continue a run of `old`, as 'field: old, new'."""
    old, new = _flat(old.to_dict()), _flat(new.to_dict())
    return [
        f'{field}: {old.get(field)!r} there, {new.get(field)!r} here'
        for field in sorted({*old, *new})
        if old.get(field) != new.get(field) and not _may_change(field)
    ]


def _may_change(field: str) -> bool:
    # The validation set decides which checkpoint is best.
    return field.startswith(_MAY_CHANGE) and field != 'eval.validation_examples'


def check_against_data(config: Config, modalities: Sequence[Modality], num_train: int) -> None:
    """Checks what only the data can tell: modalities, shapes and counts.

    Raises:
      InputError: the objective, pairs, strides or batch names do not fit the data.
    """
    names = [m.name for m in modalities]
    data, objective = config.data, config.objective
    single = len(names) == 1
    _require(
        single == (objective.name == 'single'),
        'objective.name', objective.name,
        f"'single' for one modality, 'joint', 'translation' or 'combined' for several; "
        f'{data.name} seen as {data.view} has {len(names)} ({", ".join(names)})',
    )  # fmt: skip
    if single:
        allowed = '0: a single modality has no pairs'
        _require(data.num_pairs == 0, 'data.num_pairs', data.num_pairs, allowed)
    allowed = f'at most the number of training examples, {num_train}'
    _require(data.num_pairs <= num_train, 'data.num_pairs', data.num_pairs, allowed)
    batch = config.train.batch
    has_others = num_train > data.num_pairs or data.unpaired == 'all'
    seen_alone = has_others and any(batch.of(name) for name in names)
    _require(
        seen_alone or (batch.paired and data.num_pairs),
        'train.batch', batch, 'a minibatch of examples that exist; this trains on none',
    )  # fmt: skip
    for name in config.train.batch.of_modality:
        _require(name in names, f'train.batch.{name}', config.train.batch.of_modality[name],
                 f'a modality of the data: {", ".join(names)}')  # fmt: skip
    if config.model.network == 'autoregressive':
        channels = max(m.shape[-1] for m in modalities)
        maps = config.model.feature_maps
        allowed = (
            f'at least {2 * channels}: each masked block has half as many, and each of '
            f'the {channels} channels its own'
        )
        _require(maps // 2 >= channels, 'model.feature_maps', maps, allowed)
    if config.model.network != 'dense':
        for modality in modalities:
            sides = modality.shape[:2]
            for i, stride in enumerate(config.model.strides):
                _require(
                    stride == 1 or min(sides) > 1,
                    'model.strides', config.model.strides,
                    f'strides that fit: block {i + 1} would halve {modality.name} at '
                    f'{sides[0]}x{sides[1]}',
                )  # fmt: skip
                sides = tuple(-(-side // stride) for side in sides)


def check_devices(config: Config, num_devices: int) -> None:
    """Checks that the devices divide every minibatch.

    Raises:
      InputError: one is not a multiple of the number of devices.
    """
    batch = config.train.batch
    sizes = {'paired': batch.paired, 'unpaired': batch.unpaired, **batch.of_modality}
    for name, size in sizes.items():
        _require(
            size % num_devices == 0, f'train.batch.{name}', size,
            f'multiples of the {num_devices} local devices',
        )  # fmt: skip


def _check_values(config: Config) -> None:
    def one_of(field: str, allowed: Sequence[str]) -> None:
        value = get_field(config, field)
        _require(value in allowed, field, value, 'one of ' + ', '.join(map(repr, allowed)))

    def number(field: str, least: float, below: float = math.inf, above: float = -math.inf) -> None:
        value = get_field(config, field)
        ok = math.isfinite(value) and least <= value < below and value > above
        bounds = f'above {above}' if above > -math.inf else f'at least {least}'
        bounds += f' and below {below}' if below < math.inf else ''
        kind = 'a finite number' if isinstance(value, float) else 'a whole number'
        _require(ok, field, value, f'{kind}, {bounds}')

    one_of('data.name', DATA_SETS)
    one_of('data.view', VIEWS)
    one_of('data.feed', FEEDS)
    one_of('data.unpaired', UNPAIRED)
    one_of('data.edge_colours', EDGE_COLOURS)
    one_of('model.last_layer', LAST_LAYERS)
    one_of('model.network', NETWORKS)
    one_of('objective.name', OBJECTIVES)
    for field in ('seed', 'data.seed', 'eval.seed'):
        number(field, 0, below=2**31)
    for field in ('data.num_pairs', 'data.limit', 'objective.joint_weight', 'objective.free_bits',
                  'train.batch.paired', 'train.batch.unpaired', 'train.updates_per_call', 'train.patience', 'eval.iw_examples', 'eval.validation_examples'):  # fmt: skip
        number(field, 0)
    for field in ('model.latent_dim', 'model.hidden', 'model.feature_maps',
                  'model.masked_blocks', 'objective.num_samples', 'train.num_updates', 'train.eval_every',
                  'train.log_every', 'eval.batch_size', 'eval.train_examples',
                  'eval.iw_samples', 'eval.iw_chunk'):  # fmt: skip
        number(field, 1)
    number('optimizer.learning_rate', 0, above=0)
    number('optimizer.momentum', 0, below=1)
    number('optimizer.decay', 0, below=1)
    number('optimizer.halving', 0)
    number('objective.kl_warmup', 0)
    number('model.flow_steps', 0)
    flow_steps = config.model.flow_steps
    _require(not flow_steps or config.objective.name != 'translation',
             'model.flow_steps', flow_steps,
             '0 with the translation objective, whose estimates need the density of one '
             "posterior at another's samples: a flow has no fast one")  # fmt: skip
    number('optimizer.averaging', 0, below=1)
    for field in ('data.train_digits', 'data.test_digits'):
        digits = get_field(config, field)
        _require(len(set(digits)) == len(digits) and all(0 <= d <= 9 for d in digits),
                 field, digits, 'different digits of 0 to 9, as in (8, 9); () for all')  # fmt: skip
    strides = config.model.strides
    _require(strides and all(s in (1, 2) for s in strides),
             'model.strides', strides, 'one or more of 1 and 2, as in (2, 1, 2)')  # fmt: skip
    size = config.model.masked_size
    _require(size >= 3 and size % 2, 'model.masked_size', size, 'an odd number, at least 3')
    batch = config.train.batch
    for name, size in batch.of_modality.items():
        _require(size >= 0, f'train.batch.{name}', size, 'a whole number, at least 0')


def _parse(cls: type, tree: Any, path: str) -> Any:
    """One section as its dataclass; `path` is what precedes its fields' names."""
    if not hasattr(tree, 'items'):
        raise InputError(f'config field {path.rstrip(".")}: {tree!r} given, a section wanted')
    tree = dict(tree.items())
    hints = typing.get_type_hints(cls)
    if cls is BatchConfig:  # any further key names a modality; None leaves it to `unpaired`
        others = {k: tree.pop(k) for k in list(tree) if k not in hints}
        tree['of_modality'] = {
            k: _value(int, v, f'{path}{k}') for k, v in others.items() if v is not None
        }
    if cls is DataConfig and tree.get('feed', '') is None:
        tree['feed'] = 'tfdata' if _tensorflow_is_installed() else 'resident'
    if cls is ObjectiveConfig and tree.get('joint_weight', 0) is None:
        tree['joint_weight'] = DEFAULT_JOINT_WEIGHT.get(tree.get('name'), 1.0)
    for key in tree:
        if key not in hints:
            raise InputError(f'config field {path}{key}: unknown. {nearest(key, hints)}')
    # A field that came later has a default: runs from before it are read as they were made.
    tree |= {f.name: f.default for f in dataclasses.fields(cls) if f.name not in tree
             and f.default is not dataclasses.MISSING}  # fmt: skip
    missing = [path + key for key in hints if key not in tree]
    if missing:
        raise InputError(f'config field {", ".join(missing)}: missing')
    fields = {
        key: _parse(hint, tree[key], f'{path}{key}.')
        if dataclasses.is_dataclass(hint)
        else _value(hint, tree[key], path + key)
        for key, hint in hints.items()
    }
    return cls(**fields)


def _value(hint: Any, value: Any, field: str) -> Any:
    if typing.get_origin(hint) is tuple:
        if isinstance(value, (list, tuple)):
            return tuple(_value(int, v, field) for v in value)
    elif hint is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    elif hint in (int, str, bool):
        if isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
            return value
    else:  # of_modality, made and checked above
        return value
    wanted = 'integers, as in (2, 1, 2)' if typing.get_origin(hint) is tuple else hint.__name__
    raise InputError(f'config field {field}: {value!r} given, {wanted} wanted')


def _tensorflow_is_installed() -> bool:
    try:
        return importlib.util.find_spec('tensorflow') is not None
    except ValueError:  # blocked in sys.modules
        return False


def nearest(name: str, known: Sequence[str]) -> str:
    """'Did you mean ...?' where a known name is like the one given, else all of them."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f'Did you mean {close[0]}?' if close else f'Known: {", ".join(known)}'


def _require(ok: Any, field: str, value: Any, allowed: str) -> None:
    if not ok:
        raise InputError(f'config field {field}: {value!r} given; allowed: {allowed}')


def get_field(config: Any, field: str) -> Any:
    """The value of a checked config's field, 'data.num_pairs'."""
    for part in field.split('.'):
        is_modality = isinstance(config, BatchConfig) and not hasattr(config, part)
        config = config.of(part) if is_modality else getattr(config, part)
    return config


def _get_default(field: str) -> Any:
    """The dataclass's default of a field, None where it has none."""
    cls, *names = Config, *field.split('.')
    for name in names:
        if name not in (hints := typing.get_type_hints(cls)):
            return None  # a modality's batch size
        owner, cls = cls, hints[name]
    default = {f.name: f.default for f in dataclasses.fields(owner)}[names[-1]]
    if default is dataclasses.MISSING:
        return None
    return list(default) if isinstance(default, tuple) else default  # as _flat has them


def _flat(tree: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    """{'data.name': ...} of a nested dict, with lists for tuples as JSON has them."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f'{prefix}{key}.'))
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat
