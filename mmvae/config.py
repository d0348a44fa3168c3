"""The border between what a user writes and what the code reads.

`parse` turns a ConfigDict into frozen dataclasses, whose fields carry the check of their own type
and range. The module that defines a name, of a data set, a network or an objective, checks it and
fills in what was left open (None): `mmvae.run.folder.resolve` calls `parse` and then those. Every
error is an `InputError` that names the field.
"""

import copy
import dataclasses
import difflib
import functools
import hashlib
import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from mmvae.quantities import joined
from mmvae.types import InputError

# A run in a folder may be continued with other values of these, but for those that decide which
# checkpoint is best.
_MAY_CHANGE = ('data.feed', 'data.cache', 'objective.file', 'train.num_updates', 'train.eval_every', 'train.log_every',
               'train.updates_per_call', 'train.patience', 'eval.')  # fmt: skip
_DECIDES = ('eval.validation_examples', 'eval.seed')


def checked(
    kind: type, ok: Callable[[Any], bool], allowed: str, default: Any = dataclasses.MISSING,
    **more: Any,
) -> Any:  # fmt: skip
    """A field of a dataclass, with what `parse` checks of its value.

    `more` may have `base`, the value that experiments begin with. A field that came later has a
    `default` instead, its value where the config of an older run lacks it.
    """
    metadata = {'kind': kind, 'ok': ok, 'allowed': allowed, **more}
    return dataclasses.field(default=default, metadata=metadata)


def whole(least: int = 0, most: int = 2**31 - 1, **more: Any) -> Any:
    """A whole number from least to most. The upper limits keep programs small enough to compile."""
    allowed = f'a whole number, at least {least} and at most {most}'
    return checked(int, lambda v: least <= v <= most, allowed, most=most, **more)


def real(below: float = math.inf, above: float = -math.inf, **more: Any) -> Any:
    """A finite number, at least 0 (or above `above`) and at most 1e9 (or below `below`)."""
    most = min(below, 1e9)
    allowed = 'a finite number, ' + ('at least 0' if above < 0 else f'above {above:g}')
    allowed += f' and below {below:g}' if below < math.inf else f' and at most {most:g}'
    ok = lambda v: 0 <= v <= most and above < v < below  # noqa: E731
    return checked(float, ok, allowed, most=most, **more)


def word(**more: Any) -> Any:
    """A name that can be a part of a file's: 'coloured_mnist', 'ar-2.1'."""
    allowed = 'a name of at most 100 letters, digits, _, - and ., which begins with a letter'
    return checked(str, re.compile(r'[A-Za-z][\w.-]{0,99}', re.ASCII).fullmatch, allowed, **more)


def flag(**more: Any) -> Any:
    return checked(bool, lambda v: True, 'True or False', **more)


def by_subset(most: int, allowed: str) -> Any:
    """A number for each of some sets of modalities, as 'x+y=32,x=64', sorted by name; '' where there is none."""
    canonical = functools.partial(_canonical, most)
    return checked(
        str, lambda v: canonical(v) is not None, allowed.format(most), default='', settle=canonical
    )


def _canonical(most: int, text: str) -> str | None:
    """The form of such a text that is kept; None where it cannot be read."""
    numbers = {}
    for part in text.split(',') if text.strip() else ():
        subset, _, number = (word.strip() for word in part.partition('='))
        names = sorted(name.strip() for name in subset.split('+'))
        name = joined(names)
        is_number = re.fullmatch(r'\d{1,10}', number, re.ASCII) and int(number) <= most
        if not (is_number and all(map(str.isidentifier, names)) and len({*names}) == len(names)):
            return None
        if name in numbers:
            return None
        numbers[name] = int(number)
    return ','.join(f'{name}={numbers[name]}' for name in sorted(numbers))


def numbers_by_subset(text: str) -> dict[str, int]:
    """What such a text says: {'x+y': 32, 'x': 64}."""
    parts = (part.split('=') for part in text.split(',') if part)
    return {subset: int(number) for subset, number in parts}


@dataclasses.dataclass(frozen=True)
class DataConfig:
    name: str = word(base='mnist5k')  # see `mmvae.data.LOADERS`
    seed: int = whole(base=0)  # splits, pairs and the order of minibatches
    num_pairs: int | None = whole(may_be_open=True, base=500)  # seen complete; None for all
    feed: str | None = word(may_be_open=True)  # see `mmvae.data.streams.FEEDS`; by data set
    options: Any  # the loader's own fields, which stand beside these in a config
    unpaired: str = word(default='rest')  # or 'all': whom streams of one modality see
    # In the place of num_pairs, how many are seen in which sets: `mmvae.data.dataset.assign_streams`
    observed: str = by_subset(
        2**31 - 1,
        "at most one number from 0 to {} for each set of modalities, as in 'x+y+label=500,x+y=500'",
    )

    @property
    def dealing(self) -> dict[str, Any]:
        """The fields that say which training examples are seen in which modalities."""
        return {f: getattr(self, f) for f in ('num_pairs', 'unpaired', 'observed', 'seed')}

    def num_complete(self, names: Collection[str]) -> int | None:
        """How many training examples are seen in all of these, the data's modalities; None for all."""
        if not self.observed:
            return self.num_pairs
        return numbers_by_subset(self.observed).get(joined(sorted(names)), 0)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    network: str = word(base='conv')  # see `mmvae.model.networks.NETWORKS`
    latent_dim: int = whole(1, 10_000, base=64)
    hidden: int = whole(1, 20_000, base=128)  # units of each linear layer
    feature_maps: int = whole(1, 10_000, base=16)  # of each convolution
    strides: tuple[int, ...] = checked(  # of the encoder's residual blocks
        tuple, lambda v: 0 < len(v) <= 100 and set(v) <= {1, 2},
        'one or more of 1 and 2, as in (2, 1, 2)', base=(2, 1, 2, 2, 1),
    )  # fmt: skip
    masked_blocks: int = whole(1, 100, default=3)  # of the autoregressive network
    masked_size: int = checked(  # of its kernels
        int, lambda v: 3 <= v <= 99 and v % 2, 'an odd number, at least 3 and at most 99', 3
    )
    masked_gates: bool = flag(default=False)  # whether each block is gated
    # See `mmvae.model.posteriors.POSTERIORS`; left open, the objective's own.
    posterior: str | None = word(may_be_open=True, default=None)
    flow: str = word(default='each')  # a flow in each posterior, or 'shared': one that all have
    flow_steps: int = whole(0, 100, default=0)  # of a flow; 0: Gaussian
    translator: bool = flag(default=False)  # r(z | x_S), see `mmvae.objectives.translator`
    last_layer: str = word(default='block')  # of the conv decoder


@dataclasses.dataclass(frozen=True)
class ObjectiveConfig:
    name: str = word(base='joint')  # see `mmvae.objectives.OBJECTIVES`
    # lambda of equation (4.12), on the paired bound; left open, by objective
    joint_weight: float | None = real(may_be_open=True)
    free_bits: float = real(base=0.0)  # psi of equation (4.16), nats a latent dimension
    num_samples: int = whole(1, 10_000, base=1)  # S of equations (4.7) and (4.9)
    estimator: str = word(default='elbo')  # see `mmvae.bounds.ESTIMATORS`
    # The parameters of the objectives' formulas, see `mmvae.objectives`.
    alpha: float = real(default=0.1)
    beta: float = real(default=1.0)
    gamma: float = real(default=1.0)
    a: float | None = real(may_be_open=True, default=None)  # left open, by objective
    num_subsets: int = whole(0, 100, default=1)  # k of mvae
    # How the translator learns, see `mmvae.objectives.translator`: its K, and from which update on.
    translator_samples: int = whole(0, 1000, default=0)
    translator_from: int = whole(default=0)
    kl_warmup: int = whole(default=0)  # updates in which the weight of the KL rises from 0 to 1
    # A Python file that registers an objective of one's own, whose text a run keeps.
    file: str = checked(
        str, lambda v: not v or v.endswith('.py'), 'the name of a Python file, NAME.py', default=''
    )


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    learning_rate: float = real(above=0, base=0.001)
    momentum: float = real(below=1, base=0.9)
    decay: float = real(below=1, base=0.9)  # of the mean square of the gradients
    halving: int = whole(default=0)  # updates in which the learning rate halves; 0: constant
    averaging: float = real(below=1, default=0.0)  # decay of the parameters' average; 0: none


_MOST_IN_BATCH = 100_000
_batch_size = functools.partial(whole, 0, _MOST_IN_BATCH)


@dataclasses.dataclass(frozen=True)
class BatchConfig:
    paired: int = _batch_size(base=64)  # of each stream that observes several modalities
    unpaired: int = _batch_size(base=128)  # of each stream that observes one
    # Other sizes, as in 'x+y=32,x=64', kept with its names in alphabetical order.
    by_stream: str = by_subset(
        _MOST_IN_BATCH, "at most one size from 0 to {} for each stream, as in 'x+y=32,x=64'"
    )

    @property
    def sizes(self) -> dict[str, int]:
        """What `by_stream` says: 'x+y' -> 32."""
        return numbers_by_subset(self.by_stream)

    def of(self, observed: Collection[str]) -> int:
        """The batch size of the examples seen in these modalities."""
        default = self.paired if len(observed) > 1 else self.unpaired
        return self.sizes.get(joined(sorted(observed)), default)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    num_updates: int = whole(1, base=1000)
    eval_every: int = whole(1, base=250)  # updates between validations, each with a checkpoint
    log_every: int = whole(1, base=50)  # updates that a training row of metrics.jsonl averages
    updates_per_call: int = whole(0, 100_000, base=0)  # updates in one compiled call; 0: by device
    patience: int = whole(base=0)  # evaluations without a better bound before it stops; 0: never
    batch: BatchConfig


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    batch_size: int = whole(1, 100_000, base=250)
    train_examples: int = whole(1, base=1000)  # pairs that are tracked beside the validation set
    iw_samples: int = whole(1, 1_000_000, base=100)  # K of the importance-weighted estimates
    iw_examples: int = whole(base=0)  # test examples they are made on; 0 for all
    iw_chunk: int = whole(1, 100_000, base=10)  # samples decoded at a time for a batch
    seed: int = whole(default=0)  # binarisation and samples of every evaluation
    validation_examples: int = whole(default=0)  # that are validated on; 0 for all
    figures: bool = flag(default=True)  # whether training ends with them


@dataclasses.dataclass(frozen=True)
class Config:
    experiment: str = word(base='base')
    seed: int = whole(base=0)  # initialisation and the noise of training
    data: DataConfig
    model: ModelConfig
    objective: ObjectiveConfig
    optimizer: OptimizerConfig
    train: TrainConfig
    eval: EvalConfig

    def to_dict(self) -> dict[str, Any]:
        """The nested dict that `parse` takes, ready for JSON."""
        tree = dataclasses.asdict(self)
        tree['data'].update(tree['data'].pop('options'))
        return tree

    def trains_pairs(self, names: Collection[str]) -> bool:
        """Whether bounds of all modalities, of which there are several, have any part in the loss.

        Every data set has training examples that have all.
        """
        has_stream = self.data.num_complete(names) != 0 and self.train.batch.of(names) > 0
        return len(names) > 1 and has_stream and self.objective.joint_weight != 0

    def digest(self) -> str:
        """8 hexadecimal digits of the fields that make this run another run."""
        fixed = {
            field: value
            for field, value, default in leaves(self)
            # patience was fixed once, and runs keep their folders.
            if (not _may_change(field) or field == 'train.patience')
            # A later field at its default leaves a run, and so its folder, the same.
            and value != default
        }
        # Sizes were once fields of their own, and runs keep their folders.
        fixed.pop('train.batch.by_stream', None)
        fixed |= {f'train.batch.{name}': n for name, n in self.train.batch.sizes.items()}
        text = json.dumps(fixed, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def parse(tree: Mapping[str, Any]) -> Config:
    """A ConfigDict, or the nested dict of a config.json, as a `Config` of the right types and ranges.

    Raises:
      InputError: a field is unknown, missing, of a wrong type or out of its range.
    """
    return _parse(Config, tree, '')


def base(options: type, placeholder: Callable[[type], Any] = lambda kind: None) -> dict[str, Any]:
    """The nested dict of every field with the thesis's common settings (chapter 7).

    Args:
      options: of the data set's loader.
      placeholder: what stands for a field that is left open, by its type.
    """

    def section(cls):
        tree = {}
        for field in dataclasses.fields(cls):
            value = field.metadata.get('base', field.default)
            if field.name == 'options':
                tree |= section(options)
            elif dataclasses.is_dataclass(field.type):
                tree[field.name] = section(field.type)
            elif value is None or value is dataclasses.MISSING:
                tree[field.name] = placeholder(field.metadata['kind'])
            else:
                tree[field.name] = value
        return tree

    return section(Config)


def override(tree: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a nested dict in which some fields, as 'data.num_pairs', have other values."""
    tree = copy.deepcopy(dict(tree))
    for field, value in fields.items():
        if not re.fullmatch(r'[A-Za-z][\w.]{0,99}', field, re.ASCII):
            raise InputError(f'config field {show(field)}: unknown')
        *sections, name = field.split('.')
        section = tree
        for part in sections:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                raise InputError(f'config field {field}: unknown; {part} has no fields')
        section[name] = value
    return tree


def differences(old: Config, new: Config, measuring: bool = False) -> list[str]:
    """The fields in which `new` may not continue a run of `old`, as 'field: old, new'.

    Where its training does not go on, all fields of `eval` may differ.
    """
    old, new = ({field: value for field, value, _ in leaves(c)} for c in (old, new))
    return [
        f'{field}: {old.get(field)!r} there, {new.get(field)!r} here'
        for field in sorted({*old, *new})
        if old.get(field) != new.get(field)
        and not (_may_change(field) or (measuring and field.startswith('eval.')))
    ]


def _may_change(field: str) -> bool:
    return field.startswith(_MAY_CHANGE) and field not in _DECIDES


def require(ok: Any, field: str, value: Any, allowed: str, comment: str = '') -> None:
    """Raises an `InputError` that says what was given for a field and what is allowed."""
    if not ok:
        what = field if field.startswith('--') else f'config field {field}'
        raise InputError(f'{what}: {show(value)} given{comment}; allowed: {allowed}')


def require_known(field: str, value: str, names: Collection[str]) -> None:
    """Raises an `InputError` that lists the names where a field has none of them."""
    require(value in names, field, value, 'one of ' + ', '.join(map(repr, names)))


def parse_options(cls: type, config: DataConfig) -> Any:
    """The options of a loader, a frozen dataclass, from the fields that `parse` left to it."""
    return _parse(cls, config.options, 'data.', [f.name for f in dataclasses.fields(DataConfig)])


def _parse(cls: type, tree: Any, path: str, beside: Collection[str] = ()) -> Any:
    """One section as its dataclass; `path` is what precedes its fields' names.

    Args:
      beside: fields of another dataclass that stand in the same section.
    """
    require(hasattr(tree, 'items'), path.rstrip('.') or 'of the experiment', tree, 'a section')
    tree, values = dict(tree.items()), {}
    fields = {field.name: field for field in dataclasses.fields(cls)}
    others = {key: tree.pop(key) for key in list(tree) if key not in fields or key == 'options'}
    if cls is DataConfig:  # the loader knows them
        values['options'] = others
    elif cls is BatchConfig:
        tree['by_stream'] = _streams_of(others, tree.get('by_stream'), path)
    elif others:
        key, known = next(iter(others)), [*fields, *beside]
        raise InputError(f'config field {path}{key}: unknown. {nearest(key, known)}')
    for key, value in tree.items():
        if dataclasses.is_dataclass(section := fields[key].type):
            values[key] = _parse(section, value, f'{path}{key}.')
        else:
            values[key] = _value(fields[key], value, path + key)
    # A field that came later has a default: runs from before it are read as they were made.
    required = [name for name, field in fields.items() if field.default is dataclasses.MISSING]
    if missing := [path + name for name in required if name not in values]:
        raise InputError(f'config field {", ".join(missing)}: missing')
    return cls(**values)


def _streams_of(others: Mapping[str, Any], by_stream: str | None, path: str) -> str:
    """`BatchConfig.by_stream`, to which older runs had a field for each modality, None by default."""
    sizes = {key: size for key, size in others.items() if size is not None}
    if sizes and by_stream is not None:
        key, size = next(iter(sizes.items()))
        close = difflib.get_close_matches(key, ['paired', 'unpaired', 'by_stream'], n=1)
        hint = f"the size of a stream's minibatch is {path}by_stream='{key}={show(size)}'"
        raise InputError(
            f'config field {path}{key}: unknown. Did you mean {close[0]}?' if close else
            f'config field {path}{key}: no field any more; {hint}'
        )  # fmt: skip
    return by_stream if by_stream is not None else ','.join(f'{k}={n}' for k, n in sizes.items())


def _value(field: dataclasses.Field, value: Any, path: str) -> Any:
    """A value as its field holds it."""
    kind, most = field.metadata['kind'], field.metadata.get('most', math.inf)
    if value is None and field.metadata.get('may_be_open'):
        return None
    if kind is float and type(value) is int:
        value = float(value) if abs(value) < 2**64 else math.inf
    elif kind is tuple and isinstance(value, list):
        value = tuple(value)
    is_kind = type(value) is kind and (kind is not tuple or all(type(v) is int for v in value))
    comment = ', which is too large' if type(value) in (int, float) and value > most else ''
    ok = is_kind and field.metadata['ok'](value)
    require(ok, path, value, field.metadata['allowed'], comment)
    return field.metadata.get('settle', lambda v: v)(value)


def nearest(name: str, known: Collection[str]) -> str:
    """'Did you mean ...?' where a known name is like the one given, else all of them."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f'Did you mean {close[0]}?' if close else f'Known: {", ".join(known)}'


def show(value: Any) -> str:
    """A value as a line has room for it."""
    try:
        text = repr(value)
    except ValueError:  # of more digits than Python prints
        return 'a number of thousands of digits'
    return text if len(text) <= 80 else f'{text[:77]}...'


def get_field(config: Any, field: str) -> Any:
    """The value of a checked config's field, 'data.num_pairs'."""
    for part in field.split('.'):
        config = getattr(config, part) if hasattr(config, part) else getattr(config.options, part)
    return config


def leaves(section: Any, prefix: str = '') -> Iterator[tuple[str, Any, Any]]:
    """('data.num_pairs', its value, its `default`, if any) of each field, with lists for tuples as in JSON."""
    for field in dataclasses.fields(section):
        value, path = getattr(section, field.name), prefix + field.name
        if field.name == 'options':
            yield from leaves(value, prefix)
        elif dataclasses.is_dataclass(value):
            yield from leaves(value, f'{path}.')
        else:
            yield path, *(list(v) if isinstance(v, tuple) else v for v in (value, field.default))
