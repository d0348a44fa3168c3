"""The model: M modalities, one latent. encode(x) -> q(z|x), decode(z) -> p(x|z), prior p(z)."""

import functools
import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from mmvae import keys, quantities
from mmvae.config import ModelConfig, require, require_known
from mmvae.model import autoregressive
from mmvae.model.distributions import DiagonalGaussian, Posterior
from mmvae.model.layers import initial_direction
from mmvae.model.likelihoods import LIKELIHOODS, Likelihood, make_likelihood
from mmvae.model.networks import (
    LAST_LAYERS,
    NETWORKS,
    generation_network,
    image_sizes,
    inference_network,
    network_of,
)
from mmvae.model.posteriors import (
    FLOWS,
    POSTERIORS,
    WITH_NETWORKS,
    Flow,
    FlowPosterior,
    MergedPosterior,
    PosteriorHead,
    SeparatePosterior,
    combine,
)
from mmvae.types import Array, InputError, Key, Modality, Observed, Params


class MultimodalVAE(nn.Module):
    """p(z) prod_m p(x_m | z) and q(z | any subset of the modalities): sections 4.1 to 4.5.

    Attributes:
      modalities: what the data set gives, in its order.
      config: sizes of the networks.
      posterior: which of `posteriors.POSTERIORS` follows from several modalities.
      trained: the subsets of modalities whose posterior something trains; None for all.
    """

    modalities: tuple[Modality, ...]
    config: ModelConfig
    posterior: str = 'merged'
    trained: tuple[tuple[str, ...], ...] | None = None

    def setup(self):
        names, config = self.names, self.config
        has_one_flow = config.flow_steps and config.flow == 'shared'
        latents = config.latent_dim, 0 if has_one_flow else config.flow_steps
        self.encoders = {m.name: inference_network(config, m) for m in self.modalities}
        self.heads = {n: PosteriorHead(*latents) for n in names}
        self.decoders = {m.name: generation_network(config, m) for m in self.modalities}
        if self.posterior == 'merged' and len(names) > 1:
            self.merge = MergedPosterior(names, config.hidden, *latents)
        if self.posterior == 'separate':
            networks = lambda s: {n: inference_network(config, self.modality(n)) for n in s}  # noqa: E731
            self.separate = {
                quantities.joined(s): SeparatePosterior(networks(s), config.hidden, *latents)
                for s in self._separate_subsets()
            }
        if config.translator and len(names) > 1:
            self.translator = MergedPosterior(names, config.hidden, config.latent_dim)
        if has_one_flow:
            self.flow = Flow(config.flow_steps, config.hidden, shared=True)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(m.name for m in self.modalities)

    def network(self, name: str) -> str:
        """Which of `NETWORKS` a modality has."""
        return network_of(self.config, self.modality(name))

    @property
    def is_convolutional(self) -> bool:
        """Whether any modality's networks are."""
        return any(self.network(name) != 'dense' for name in self.names)

    @property
    def is_autoregressive(self) -> bool:
        """Whether any modality's generation network is."""
        return any(self.network(name) == 'autoregressive' for name in self.names)

    def modality(self, name: str) -> Modality:
        for modality in self.modalities:
            if modality.name == name:
                return modality
        raise InputError(f'modality {name!r} given; allowed: {", ".join(self.names)}')

    def has_posterior(self, names: Collection[str]) -> bool:
        """Whether q(z | these modalities) was trained: itself, or what it is made of."""
        if self.trained is None:
            return True
        if self.posterior in WITH_NETWORKS:
            return any({*names} == {*subset} for subset in self.trained)
        return {*names} <= {*itertools.chain(*self.trained)}

    def has_translator(self, names: Collection[str]) -> bool:
        """Whether r(z | these modalities) was trained: they are some, and not all, of a stream's."""
        observed = (self.names,) if self.trained is None else self.trained
        return self.config.translator and any({*names} < {*subset} for subset in observed)

    def _separate_subsets(self) -> list[tuple[str, ...]]:
        """The subsets of several modalities that have a network of their own."""
        every = quantities.subsets(self.names).values()
        return [s for s in every if len(s) > 1 and self.has_posterior(s)]

    def subsets(self) -> list[tuple[str, ...]]:
        """The subsets of modalities whose posteriors are reported, from small to large.

        Each modality, all of them, and what `trained` lists: those of these that have one.
        """
        some = {(n,) for n in self.names} | {self.names} | {*(self.trained or ())}
        every = quantities.subsets(self.names).values()
        return [s for s in every if s in some and self.has_posterior(s)]

    def sources(self) -> list[tuple[str, ...]]:
        """The subsets that translations are reported from, from small to large.

        Of `subsets` those that leave some out, and each modality that the translator covers.
        """
        some = {*self.subsets(), *((n,) for n in self.names if self.has_translator((n,)))}
        return [s for s in quantities.subsets(self.names).values() if s in some and s != self.names]

    def num_components(self, names: Collection[str]) -> int:
        """How many posteriors q(z | these modalities) is a mixture of; 1 where it is none."""
        counts = {'mixture': len(names), 'mixture_of_products': 2 ** len(names) - 1}
        return counts.get(self.posterior, 1)

    def prior(self) -> DiagonalGaussian:
        """p(z) = N(0, I), [D]."""
        return DiagonalGaussian.standard(self.config.latent_dim)

    def encode(self, x: Observed, translating: bool = False) -> Posterior:
        """q(z | x), for whichever modalities are in x; the empty dict gives the prior.

        Args:
          x: name -> [(B), *shape], the modality's values.
          translating: whether it is for a translation of x: then r(z | x), see `translating`.

        Returns:
          A Gaussian, a mixture of them, or a flow from one, with mean and log_scale [D] or [B, D].

        Raises:
          InputError: a name is unknown, a shape is not the modality's, or nothing trained the
            posterior given these modalities.
        """
        if not x:
            return self.prior()
        self.check_shapes(x)
        names = tuple(name for name in self.names if name in x)
        if translating and self.has_translator(names):
            return self.translating(x)(names)
        self.require_posterior(names)
        return self.posteriors(x)(names)

    def require_posterior(self, names: Sequence[str]) -> None:
        """Raises an `InputError` unless q(z | these modalities) was trained."""
        if not self.has_posterior(names):
            allowed = ', '.join(' and '.join(s) for s in self.subsets())
            raise InputError(
                f'modalities {" and ".join(names)} given; allowed: {allowed}, for nothing trained '
                'another posterior of this model'
            )

    def posteriors(self, x: Observed) -> Callable[..., Posterior]:
        """S -> q(z | x_S), for the names of any modalities in x; (S, form) has another form.

        The inference network of a modality is run once, and only where it is needed.
        """
        h = functools.cache(lambda name: self.encoders[name](x[name]))
        expert = functools.cache(lambda name: self.heads[name](h(name)))

        @functools.cache
        def q(names: tuple[str, ...], form: str = self.posterior) -> Posterior:
            if len(names) > 1 and form in WITH_NETWORKS:
                if form == 'merged':
                    base = self.merge({n: h(n) for n in names})
                else:
                    base = self.separate[quantities.joined(names)]({n: x[n] for n in names})
            elif form in WITH_NETWORKS:
                base = expert(names[0])
            else:
                base = combine(form, {n: expert(n) for n in names})
            return self.through_flow(base)

        return q

    def translating(self, x: Observed) -> Callable[[tuple[str, ...]], Posterior]:
        """S -> what z is drawn from where x_S is translated, for the names of any modalities in x.

        r(z | x_S) of the translator where it covers S, otherwise q(z | x_S).
        """
        q = self.posteriors(x)

        def r(names: tuple[str, ...]) -> Posterior:
            if not self.has_translator(names):
                return q(names)
            return self.through_flow(self.translator_base({n: x[n] for n in names}))

        return r

    def translator_base(
        self, x: Observed, is_seen: Mapping[str, Array] | None = None
    ) -> DiagonalGaussian:
        """r(z | x_S), S all of x or what `is_seen` has a 1 for; under one flow z = f(u) that of u.

        A network of what the inference networks make of x, as in table 5.3; they learn nothing from it.
        """
        h = {n: jax.lax.stop_gradient(self.encoders[n](x[n])) for n in x}
        return self.translator(h, is_seen)

    def through_flow(self, base: Posterior) -> Posterior:
        """The posterior of z = f(u), where the model has one flow f and u is of `base`."""
        if not (self.config.flow_steps and self.config.flow == 'shared'):
            return base
        if self.is_mutable_collection('params'):  # in init_params, where is_initializing() is False
            self.flow(base.mean)
        flow, variables = self.flow.unbind()
        return FlowPosterior(base, None, variables['params'], flow)

    def with_fixed_decoders(self) -> 'MultimodalVAE':
        """The same model, whose decoders get no gradient."""
        module, variables = self.unbind()
        params = {
            name: jax.lax.stop_gradient(value) if name.startswith('decoders_') else value
            for name, value in variables['params'].items()
        }
        return module.bind({'params': params})

    def check_shapes(self, x: Observed) -> None:
        batches = {}
        for name, a in x.items():
            shape, allowed = jnp.shape(a), self.modality(name).shape
            batches[name] = batch = shape[: len(shape) - len(allowed)]
            if batch + allowed != shape or len(batch) > 1:
                of_batch = f'(B, {str(allowed)[1:]}' if allowed else '(B,)'
                raise InputError(
                    f'modality {name}: an array of shape {shape} given; allowed: {allowed} of one '
                    f'example, {of_batch} of a batch'
                )
        if len({*batches.values()}) > 1:
            raise InputError(f'modalities with batches of {batches} given; allowed: equal ones')

    def decode(self, z: Array, of: Observed | Sequence[str] | None = None) -> dict[str, Likelihood]:
        """p(x_m | z) of some modalities, from z [(B), D].

        Args:
          of: the modalities' names (all by default), or the observed modalities themselves.
            An autoregressive network needs these: its likelihood of element i depends on
            the elements before it, so what it gives holds for this x alone.

        Raises:
          InputError: a name is unknown, a shape is wrong, or a modality's network is autoregressive
            and no values were given.
        """
        of = self.names if of is None else of
        dim = self.config.latent_dim
        if jnp.ndim(z) not in (1, 2) or jnp.shape(z)[-1] != dim:
            raise InputError(f'z: shape {jnp.shape(z)} given; allowed: ({dim},) or (B, {dim})')
        if isinstance(of, Mapping):
            self.check_shapes(of)
        else:
            of = [self.modality(name).name for name in of]
        outputs = {}
        for name in of:
            if self.network(name) != 'autoregressive':
                outputs[name] = self.decoders[name](z)
            elif isinstance(of, Mapping):
                outputs[name] = self.decoders[name](z, of[name])
            else:
                raise InputError(
                    'an autoregressive p(x | z) is given for values of x: decode(z, x). '
                    'mmvae.model.autoregressive draws samples from it'
                )
        return {n: make_likelihood(self.modality(n), u) for n, u in outputs.items()}

    def log_likelihoods(self, z: Array, x: Observed) -> dict[str, Array]:
        """log p(x_m | z) of each modality in x, in nats, for one z and one example."""
        p = self.decode(z, x)
        return {name: p[name].log_prob(x[name]) for name in x}

    def initialise(self, x: Observed, key: Key) -> None:
        """Calls every layer once, in the order that data-dependent initialisation fixes.

        Each modality's encoder and head; the merge, or a separate network for each subset; the flow;
        the translator; z drawn from the posterior given all (a mixture's from the first modality's); each modality's
        decoder.

        Args:
          x: a batch of complete examples, name -> [B, *shape].
        """
        q = self.posteriors(x)
        subsets = [(n,) for n in self.names]
        if self.posterior == 'separate':
            subsets += self._separate_subsets()
        elif len(self.names) > 1 and not self.posterior.startswith('mixture'):
            subsets.append(self.names)
        *_, last = [q(subset) for subset in subsets]
        if self.config.translator and len(self.names) > 1:
            self.translator_base(x)
        is_first = self.posterior.startswith('mixture')
        self.decode((q(subsets[0]) if is_first else last).sample(key), x)


def check(config: ModelConfig, modalities: Sequence[Modality]) -> None:
    """Checks that there are such networks and likelihoods, and that they have a place for each other.

    Raises:
      InputError: a name is unknown, or images are smaller or have more channels than their
        network's sizes allow.
    """
    require_known('model.network', config.network, NETWORKS)
    require_known('model.last_layer', config.last_layer, LAST_LAYERS)
    require_known('model.flow', config.flow, FLOWS)
    if config.posterior is not None:
        require_known('model.posterior', config.posterior, POSTERIORS)
    require(
        config.posterior != 'separate' or len(modalities) <= 3, 'model.posterior', 'separate',
        f'{", ".join(repr(p) for p in POSTERIORS if p != "separate")} for more than 3 modalities: '
        f'{len(modalities)} would have {2 ** len(modalities) - 1} networks',
    )  # fmt: skip
    for modality in modalities:
        networks = ('', *NETWORKS) if modality.is_image else ('', 'dense')
        for field, names in (('likelihood', LIKELIHOODS), ('network', networks)):
            if (value := getattr(modality, field)) not in names:
                allowed = ', '.join(map(repr, names))
                raise InputError(
                    f'modality {modality.name}: {field} {value!r} given; allowed: {allowed}'
                )
        network = network_of(config, modality)
        if network == 'autoregressive':
            channels, maps = modality.shape[-1], config.feature_maps
            allowed = (
                f'at least {2 * channels}: each masked block has half as many, and each of '
                f'the {channels} channels its own'
            )
            require(maps // 2 >= channels, 'model.feature_maps', maps, allowed)
        if network == 'dense':
            continue
        sizes = image_sizes(modality.shape[:2], config.strides)
        for i, (stride, (height, width)) in enumerate(zip(config.strides, sizes, strict=False)):
            fits = (
                f'strides that fit: block {i + 1} would halve {modality.name} at {height}x{width}'
            )
            require(stride == 1 or min(height, width) > 1, 'model.strides', config.strides, fits)


def observe(modalities: Sequence[Modality], values: Observed, key: Key) -> dict[str, Array]:
    """What the model sees of one example's values, as float32.

    Binary elements are drawn, a value / `white` being their probability (of grey levels this is
    dynamic binarisation); others keep their values.

    Args:
      values: the modalities present, name -> [*shape] of any type.
      key: of the example.
    """
    seen = {}
    for number, modality in enumerate(modalities):
        if modality.name in values:
            x = jnp.asarray(values[modality.name], jnp.float32)
            if modality.likelihood == 'bernoulli':
                draw = keys.fold(key, keys.BINARISE, number)
                x = jax.random.bernoulli(draw, x / modality.white).astype(jnp.float32)
            seen[modality.name] = x
    return seen


def pictures(
    model: MultimodalVAE, params: Params, z: Array, key: Key, names: Sequence[str] | None = None
) -> dict[str, Array]:
    """What z looks like: E[x_m | z], or of an autoregressive network a sample of p(x_m | z).

    Args:
      z: [B, D].
      key: of the samples' noise, or a key for each example, [B].
      names: of the modalities; all by default.

    Returns:
      Modality name -> [B, *shape], in the modality's values; of classes, their probabilities,
      [B, *shape, V].
    """
    names = tuple(names or model.names)
    drawn = [name for name in names if model.network(name) == 'autoregressive']
    others = tuple(name for name in names if name not in drawn)
    images = dict(_means(model, params, z, others))
    if drawn and key.ndim == 0:
        key = jax.vmap(functools.partial(keys.fold, key))(jnp.arange(len(z)))
    for name in drawn:
        noise_keys = jax.vmap(keys.fold, in_axes=(0, None))(key, model.names.index(name))
        network, its_params = generator(model, params, name)
        draw = autoregressive.prepare(network, its_params, z, noise_keys)
        images[name] = autoregressive.sample(network, its_params, draw).images
    return {name: images[name] for name in names}


@functools.partial(jax.jit, static_argnums=(0, 3))
def moments(
    model: MultimodalVAE, params: Params, z: Array, names: tuple[str, ...]
) -> dict[str, tuple[Array, Array]]:
    """E[x_m | z] and Var[x_m | z] of each element, [B, *shape] each, from z [B, D].

    For networks that are not autoregressive. Classes, whose values have no order, are V numbers of
    which one is 1: their E is p and their Var p (1 - p), [B, *shape, V].
    """

    def of_modality(name, p):
        if model.modality(name).has_classes:
            probabilities = jax.nn.softmax(p.logits)
            return probabilities, probabilities * (1 - probabilities)
        return p.mean, p.variance

    def of_example(z):
        p = model.apply({'params': params}, z, names, method='decode')
        return {name: of_modality(name, p[name]) for name in names}

    return jax.vmap(of_example)(z)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _means(
    model: MultimodalVAE, params: Params, z: Array, names: tuple[str, ...]
) -> dict[str, Array]:
    """Without the variances, which take as long as the means."""
    return {name: mean for name, (mean, _) in moments(model, params, z, names).items()}


def generator(model: MultimodalVAE, params: Params, name: str) -> tuple[nn.Module, Params]:
    """One modality's generation network and its parameters, apart from the model."""
    return generation_network(model.config, model.modality(name)), params[f'decoders_{name}']


def init_params(model: MultimodalVAE, x: Observed, key: Key) -> Params:
    """Parameters initialised from one batch of complete examples (section 5.9).

    The directions of all layers are drawn at once: a program with a draw for each layer takes two to six
    times as long to compile. So a change of any layer or name changes the draws of the others, too.
    """
    weights_key, sample_key = jax.random.split(key)
    direction_key, weights_key = jax.random.split(weights_key)
    shapes = flatten_dict(jax.eval_shape(_initialised, model, {}, x, weights_key, sample_key))
    shapes = tuple((path, s.shape) for path, s in shapes.items() if path[-1] == 'direction')
    return _initialised(model, _directions(shapes, direction_key), x, weights_key, sample_key)


@functools.partial(jax.jit, static_argnums=0)
def _directions(shapes: tuple[tuple[tuple[str, ...], tuple[int, ...]], ...], key: Key) -> Params:
    """The directions of all layers, whose paths among the parameters and shapes are given."""
    paths, shapes = zip(*shapes, strict=True)
    ends = list(itertools.accumulate(map(math.prod, shapes)))
    r = jnp.split(initial_direction(key, (ends[-1],)), ends[:-1])
    return unflatten_dict({p: v.reshape(s) for p, v, s in zip(paths, r, shapes, strict=True)})


@functools.partial(jax.jit, static_argnums=0)
def _initialised(
    model: MultimodalVAE, params: Params, x: Observed, weights_key: Key, sample_key: Key
) -> Params:
    """All parameters, of which `params` are set."""
    _, variables = model.apply(
        {'params': params}, x, sample_key, method='initialise',
        mutable=['params'], rngs={'params': weights_key},
    )  # fmt: skip
    return variables['params']
