"""A trained model from the folder of its run: encode, translate, sample and log p, in the data's values."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from mmvae import evaluate, keys
from mmvae.analysis import panels
from mmvae.config import Config
from mmvae.model.likelihoods import Likelihood
from mmvae.model.vae import MultimodalVAE, Posterior, observe, pictures
from mmvae.run import folder
from mmvae.system import metrics
from mmvae.types import Array, InputError, Modality, Params

Values = Mapping[str, np.ndarray]  # modality -> [N, *shape], in the data's values


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """The model of a run, its best parameters and its config, which it unpacks as.

    Values go in and come out as the data have them: whole numbers, real numbers, classes. Of binary
    modalities, 0 and 1 (or True and False) are taken as they are; grey levels above 1, or shares
    in [0, 1] where the data have no more, are drawn as binary elements, by the noise of `seed`. What
    comes out of these are means: grey levels where the data have those, otherwise the probability
    of a 1, in [0, 1].
    """

    model: MultimodalVAE
    params: Params
    config: Config

    def __repr__(self) -> str:
        names = ', '.join(m.title for m in self.model.modalities)
        return f'TrainedModel({names}; {self.config.model.latent_dim} latents)'

    def __iter__(self) -> Iterator:
        return iter((self.model, self.params, self.config))

    def encode(self, x: Values, seed: int = 0) -> Posterior:
        """q(z | x), of mean and scale [(N), D], given the modalities in x.

        Args:
          x: name -> [(N), *shape].

        Raises:
          InputError: x is empty, or a name, a shape or a value is not the model's.
        """
        return self.model.apply({'params': self.params}, self._observed(x, seed), method='encode')

    def decode(self, z: Array, names: Sequence[str] | None = None) -> dict[str, Likelihood]:
        """p(x_m | z) of the modalities named, all by default, from z [(N), D].

        Of a batch its `log_prob` is the sum over the batch: `element_log_prob` is of each element.

        Raises:
          InputError: a name or the shape of z is not the model's, or z is not finite.
        """
        if not np.isfinite(np.asarray(z, np.float32)).all():
            raise InputError('z: values that are not finite given; allowed: finite ones')
        return self.model.apply({'params': self.params}, z, names, method='decode')

    def translate(self, x: Values, to: str, num_samples: int = 8, seed: int = 0) -> np.ndarray:
        """Translations of x into another modality, [N, num_samples, *shape].

        Each is what one z ~ q(z | x), of the translator r(z | x) where there is one, looks like:
        E[y | z], the most likely class, or of an autoregressive network a sample of p(y | z). How
        they differ is how uncertain y is.

        Args:
          x: name -> [N, *shape], of one or more modalities.

        Raises:
          InputError: x cannot be encoded, or has `to`.
        """
        self.model.modality(to)
        if to in x:
            raise InputError(f'to={to!r} given; allowed: a modality that x does not have')
        _check_count('num_samples', num_samples)
        seen, n = self._observed(self._batch(x), seed), len(next(iter(x.values())))
        q = self.model.apply({'params': self.params}, seen, translating=True, method='encode')
        key = keys.fold(jax.random.key(seed), keys.SAMPLE)
        draws = jnp.arange(num_samples)
        z = jax.vmap(lambda s: q.sample(jax.random.fold_in(key, s)), out_axes=1)(draws)
        drawn = self._pictures(z.reshape(n * num_samples, -1), seed, [to])[to]
        return drawn.reshape(n, num_samples, *drawn.shape[1:])

    def sample(self, count: int, seed: int = 0) -> dict[str, np.ndarray]:
        """What `count` draws of z ~ p(z) look like, as in `translate`: name -> [count, *shape]."""
        _check_count('count', count)
        key = keys.fold(jax.random.key(seed), keys.PRIOR)
        z = jax.vmap(self.model.prior().sample)(jax.random.split(key, count))
        return self._pictures(z, seed, self.model.names)

    def log_prob(
        self, x: Values, given: Values | None = None, num_samples: int = 500, seed: int = 0
    ) -> evaluate.LogProb:
        """log p(x) by importance weighting, or log p(x | given) by translation; see `evaluate.log_prob`.

        Args:
          x, given: name -> [N, *shape], of different modalities and equally many examples.

        Returns:
          For each example, [N] each: in nats `bound`, and `importance_weighted` from num_samples
          draws of z; and `effective_samples`, how many of the draws have a part in it.

        Raises:
          InputError: x or given cannot be used, or nothing trained what z would be drawn from.
        """
        given = given or {}
        _check_count('num_samples', num_samples, 1_000_000)
        if both := [name for name in x if name in given]:
            raise InputError(f'modality {both[0]} is in x and in given; allowed: one of them')
        seen = self._observed(self._batch({**x, **given}), seed)
        parts = [{name: seen[name] for name in names} for names in (x, given)]
        source = tuple(name for name in self.model.names if name in (given or x))
        if not (given and self.model.has_translator(source)):
            self.model.require_posterior(source)
        key = keys.evaluation_key(seed, 'test')
        return evaluate.log_prob(self.model, self.params, *parts, num_samples, key)

    def save_png(self, place: str | Path, values: Values) -> Path:
        """Writes images as NAME/0000.png, ... to a folder, and what is no image as NAME.npz.

        Args:
          values: name -> [N, *shape], as `sample` gives them; of what `translate` gives, one of the
            translations of each example, as {'y': guesses[:, 0]}.
        """
        from PIL import Image

        place = Path(place)
        for name, examples in self._batch(values).items():
            modality = self.model.modality(name)
            place.mkdir(parents=True, exist_ok=True)
            if not modality.is_image:
                with metrics.replacing(place / f'{name}.npz') as partial:
                    np.savez_compressed(partial, x=examples)
                continue
            (place / name).mkdir(exist_ok=True)
            levels = np.rint(255 * panels.pixels(modality.shown_data(examples))).astype(np.uint8)
            for number, picture in enumerate(levels.squeeze(3) if levels.shape[3] == 1 else levels):
                Image.fromarray(picture).save(place / name / f'{number:04}.png')
        return place

    def _pictures(self, z: Array, seed: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        key = keys.fold(jax.random.key(seed), keys.FIGURES)
        drawn = pictures(self.model, self.params, z, key, names)
        return {name: _as_data(self.model.modality(name), a) for name, a in drawn.items()}

    def _batch(self, x: Values) -> Values:
        """x as arrays, once it is known to be a batch of examples."""
        x = {name: _array(self.model.modality(name), values) for name, values in x.items()}
        for name, values in x.items():
            shape = self.model.modality(name).shape
            if values.ndim != len(shape) + 1:
                raise InputError(
                    f'modality {name}: an array of shape {values.shape} given; allowed: '
                    f'[{", ".join(["N", *map(str, shape)])}]'
                )
        if len(counts := {len(values) for values in x.values()}) > 1:
            raise InputError(f'{sorted(counts)} examples given; allowed: equally many of each')
        if 0 in counts:
            raise InputError('no examples given; allowed: one or more')
        return x

    def _observed(self, x: Values, seed: int) -> dict[str, Array]:
        """What the model sees of values, once they are known to be the modalities'."""
        if not x:
            allowed = ', '.join(self.model.names)
            raise InputError(f'no modality given; allowed: one or more of {allowed}')
        modalities = {name: self.model.modality(name) for name in x}
        checked = {n: _check_values(m, _array(m, x[n])) for n, m in modalities.items()}
        self.model.check_shapes(checked)
        key = keys.fold(jax.random.key(seed), keys.BINARISE)
        name, first = next(iter(checked.items()))
        if not first.size:
            raise InputError('no examples given; allowed: one or more')
        if first.ndim == len(self.model.modality(name).shape):
            return observe(self.model.modalities, checked, key)
        example_keys = jax.vmap(functools.partial(keys.fold, key))(jnp.arange(len(first)))
        return jax.vmap(functools.partial(observe, self.model.modalities))(checked, example_keys)


def _check_count(name: str, value: int, most: int = 10_000) -> None:
    if not isinstance(value, int | np.integer) or not 1 <= value <= most:
        raise InputError(f'{name}={value!r} given; allowed: a whole number from 1 to {most}')


def _array(modality: Modality, values: np.ndarray) -> np.ndarray:
    """Values as an array, whose grey images need no axis for their one channel."""
    values, shape = np.asarray(values), modality.shape
    lacks_channel = modality.is_image and shape[2] == 1 and values.shape[-3:] != shape
    return values[..., None] if lacks_channel and values.shape[-2:] == shape[:2] else values


def _check_values(modality: Modality, values: np.ndarray) -> np.ndarray:
    """Values as `observe` takes them: of binary elements 0 .. white."""
    where = f'modality {modality.name}'
    if values.dtype.kind not in 'biuf':
        raise InputError(f'{where}: values of type {values.dtype} given; allowed: numbers')
    if values.dtype.kind == 'b' and modality.num_values != 2:
        raise InputError(f'{where}: True and False given; allowed: numbers as it was trained on')
    if modality.likelihood == 'gaussian':
        bad, allowed = values[~np.isfinite(values)], 'finite numbers'
    else:
        is_binary = modality.likelihood == 'bernoulli'
        top = modality.white if is_binary else modality.num_values - 1
        allowed = f'{"" if is_binary else "whole "}numbers from 0 to {top}'
        # Shares of what is white, as in training; of grey levels, 0.5 is most likely a mistake.
        is_share = is_binary and (top == 1 or values.max(initial=0) > 1)
        bad = values[~((values >= 0) & (values <= top) & (is_share | (values % 1 == 0)))]
        if is_binary and top > 1:
            allowed += ', grey levels, or 0 and 1'
    if bad.size:
        raise InputError(f'{where}: {bad.flat[0]} given; allowed: {allowed}')
    is_share = modality.likelihood == 'bernoulli' and values.max(initial=0) <= 1
    return values.astype(np.float32) * (modality.white if is_share else 1)


def _as_data(modality: Modality, x: Array) -> np.ndarray:
    """Pictures of the model in the data's values: grey levels, whole numbers, classes.

    Of data of 0 and 1, the probability of a 1.
    """
    x = np.asarray(x)
    if modality.has_classes:
        return x.argmax(-1)
    if modality.likelihood == 'bernoulli':
        return np.rint(255 * x).astype(np.uint8) if modality.white == 255 else x * modality.white
    if modality.num_values:
        return np.rint(x).astype(np.uint8 if modality.num_values <= 256 else np.int32)
    return x


def load(workdir: str | Path) -> TrainedModel:
    """The model of a run, read only: also while it trains, and from a read-only folder.

    The data are not needed: config.json has their modalities.

    Raises:
      InputError: the folder holds no run, or one without a checkpoint.
      RunError: no checkpoint can be read.
    """
    config = folder.read_config(Path(workdir))
    model, params, _ = folder.restore_best(config, Path(workdir))
    return TrainedModel(model, params, config)
