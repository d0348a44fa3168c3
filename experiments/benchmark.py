"""How fast an update is, where its time goes, and how fast autoregressive samples are.

python -m experiments.benchmark [--models=vae,halves] [--json=FILE] [--workdir=RUN]

On the data of nobody (random bytes), so it needs no files. Run it on an idle machine: it
prints the median of several calls. Models: the MNIST halves of section 7.3 (64 pairs and 128
+ 128 unpaired halves), and the VAE, CNN-VAE and AR-CNN-VAE of section 7.2 (batch 256); if asked
for, the coloured digits of section 7.4 (64, 128 + 128; 16 maps) with the last layer as a 1x1
convolution or, several times slower, as the thesis's 3x3 residual block. Of each the temporary
memory of the compiled update, beside the size of all that its decoders put out.

The samplers of the AR-CNN-VAE are timed for 64 images, given what z adds, in seconds and in full
passes of the masked part; --workdir takes the network of a finished run, for how many passes the
fixed point needs is a matter of what was learned. experiments/benchmark.md has what an H200 gave.
"""

import functools
import json
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging

from experiments import base, coloured_mnist, mnist_ar_cnn_vae, mnist_cnn_vae, mnist_vae
from mmvae import train
from mmvae.data import modalities
from mmvae.data.dataset import DataSet, assign_streams
from mmvae.model import autoregressive
from mmvae.model.likelihoods import outputs_per_element
from mmvae.model.vae import MultimodalVAE, generator, observe
from mmvae.optimizer import rmsprop_nesterov
from mmvae.run import folder as run
from mmvae.run.load import load
from mmvae.system import parallel
from mmvae.system.metrics import table
from mmvae.types import InputError

_JSON = flags.DEFINE_string('json', None, 'Also writes the numbers to this file.')
_WORKDIR = flags.DEFINE_string('workdir', None, 'An autoregressive run to sample from.')
_MODELS = flags.DEFINE_list('models', 'halves,vae,cnn_vae,ar_cnn_vae', 'Those to measure.')
_CALLS = flags.DEFINE_integer('calls', 15, 'Timed calls of each part.', lower_bound=1)


def resident(config):
    config.data.feed = 'resident'
    return run.resolve(config)


def halves():
    return resident(base.get_config())


def vae():
    return resident(mnist_vae.get_config())


def cnn_vae():
    return resident(mnist_cnn_vae.get_config())


def ar_cnn_vae():
    return resident(mnist_ar_cnn_vae.get_config())


def coloured(last_layer='pointwise'):
    config = coloured_mnist.get_config()
    config.model.feature_maps = 16
    config.model.last_layer = last_layer
    return resident(config)


def coloured_block():
    return coloured('block')


MODELS = {f.__name__: f for f in (halves, vae, cnn_vae, ar_cnn_vae, coloured, coloured_block)}


def seconds(call, calls):
    """The median time of call(), which returns arrays, after one call that compiles it."""
    jax.block_until_ready(call())
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def random_data(config):
    rng = np.random.default_rng(0)
    made = modalities(config.data)
    images = {m.name: rng.integers(0, 256, (2000, *m.shape), np.uint8) for m in made}
    names, every = tuple(images), np.arange(2000)
    streams = assign_streams(every, names, config.data.num_pairs)
    splits = dict.fromkeys(('train', 'validation', 'test'), dict.fromkeys(names, every))
    return DataSet(made, images, splits, streams, dict.fromkeys(names, every), {}, every)


def compiled_update(config, data):
    """The compiled update, its arguments (state, constants, minibatch, hyper), the model and the feed."""
    model = run.new_model(config, data)
    feed, update = train.make_feed_and_update(config, model, data)
    state = train.initial_state(config, model, train.initial_pixels(config, data))
    hyper = train.hyperparameters(config, len(model.names))
    state, constants, hyper = map(parallel.replicate, (state, feed.constants, hyper))
    arguments = state, constants, parallel.split(next(feed.minibatches(0))), hyper
    return parallel.map_update(update).lower(*arguments).compile(), arguments, model, feed


def seconds_of_update(update, arguments, calls):
    """The median time of an update, and the state after all of them."""
    holder, rest = [arguments[0]], arguments[1:]

    def call():
        holder[0], logged = update(holder[0], *rest)
        return logged

    return seconds(call, calls), holder[0]


def measure(config, calls):
    """Part of an update -> seconds, and the update's (temporary bytes, bytes decoded).

    The parts overlap: 'update' is the whole.
    """
    data = random_data(config)
    update, arguments, model, feed = compiled_update(config, data)
    streams, optimizer = feed.streams, functools.partial(rmsprop_nesterov, config.optimizer)
    of_one = {m.name: 4 * int(np.prod(m.shape)) * outputs_per_element(m) for m in data.modalities}
    decoded = sum(s.batch_size * of_one[m] for s in streams for m in s.modalities)
    memory = (update.memory_analysis().temp_size_in_bytes, decoded)

    whole, state = seconds_of_update(update, arguments, calls)
    # On the device, where an update finds them: the parts' times leave the copying out.
    params, opt_state = jax.device_put(jax.device_get((state.params, state.opt_state)))
    found = {'update': whole}
    pixels = {s.name: {m: data.arrays[m][r] for m, r in s.minibatch(0).items()} for s in streams}
    keys = {s.name: jax.random.split(jax.random.key(0), s.batch_size) for s in streams}

    @jax.jit
    def binarise(pixels):
        see = functools.partial(observe, model.modalities)
        return {name: jax.vmap(see)(batch, keys[name]) for name, batch in pixels.items()}

    seen = binarise(pixels)
    found['binarise'] = seconds(lambda: binarise(pixels), calls)

    piece = parallel.convolution_piece() if model.is_convolutional else None

    def encode(params, seen):
        def example(x):
            return model.apply({'params': params}, x, method='encode')

        q = [parallel.map_minibatch(example, piece)(x) for x in seen.values()]
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(q))

    def decode(params, zs):
        def example(z, x):
            return sum(model.apply({'params': params}, z, x, method='log_likelihoods').values())

        return sum(parallel.map_minibatch(example, piece)(zs[n], x).sum() for n, x in seen.items())

    dim = config.model.latent_dim
    zs = {s.name: jax.random.normal(jax.random.key(1), (s.batch_size, dim)) for s in streams}
    # The encoder's input needs no gradient, the decoder's does.
    for name, function, argument, wrt in [
        ('encode', encode, seen, 0),
        ('decode', decode, zs, (0, 1)),
    ]:
        forward, both = jax.jit(function), jax.jit(jax.grad(function, argnums=wrt))
        found[f'{name} forward'] = seconds(lambda f=forward, a=argument: f(params, a), calls)
        found[f'{name} forward and backward'] = seconds(
            lambda f=both, a=argument: f(params, a), calls
        )

    @jax.jit
    def step(gradient, opt_state):
        return optimizer(1e-3).update(gradient, opt_state)

    found['optimiser'] = seconds(lambda: step(params, opt_state), calls)
    return found, memory


def sampled_model(workdir):
    """The autoregressive model of a run, or one that has not been trained."""
    if not workdir:
        config = ar_cnn_vae()
        data = random_data(config)
        model = MultimodalVAE(data.modalities, config.model)
        pixels = train.initial_pixels(config, data)
        return model, train.initial_state(config, model, pixels).params
    model, params, _ = load(workdir)
    if not model.is_autoregressive or 'x' not in model.names:
        raise InputError(f'--workdir: {workdir} is no run of an autoregressive network')
    return model, params


def sampling(calls, model, params, count=64):
    """Way to sample -> (seconds, full passes made), and the seconds of one full pass."""
    network, own = generator(model, params, 'x')
    z_keys, keys = jax.random.split(jax.random.key(0), (2, count))
    z = jax.vmap(model.prior().sample)(z_keys)
    draw = autoregressive.prepare(network, own, z, keys)
    one = seconds(lambda: autoregressive.full_pass(network, own, draw, draw.given), calls)
    ways = {
        'naive': (autoregressive.ancestral, 1),
        'fixed point': (autoregressive.fixed_point, calls),
        'diagonals, confirmed': (autoregressive.sample, calls),
    }
    found, images = {}, []
    for name, (way, times) in ways.items():
        sample = way(network, own, draw)
        images.append(np.asarray(sample.images))
        found[name] = (
            seconds(lambda way=way: way(network, own, draw).images, times),
            sample.passes,
        )
    assert all(np.array_equal(images[0], other) for other in images), 'the samplers disagree'
    return found, one


def main(argv):
    del argv
    logging.set_verbosity(logging.WARNING)  # orbax's notes on a checkpoint
    try:
        if unknown := sorted(set(_MODELS.value) - set(MODELS)):
            raise InputError(f'--models: {unknown[0]!r} given; allowed: {", ".join(MODELS)}')
        to_sample = sampled_model(_WORKDIR.value)
    except InputError as error:
        print(f'benchmark: {error}', file=sys.stderr)
        sys.exit(2)
    measured = {name: measure(MODELS[name](), _CALLS.value) for name in _MODELS.value}
    found = {name: parts for name, (parts, _) in measured.items()}
    memory = {name: sizes for name, (_, sizes) in measured.items()}
    device = f'{jax.local_device_count()} x {jax.local_devices()[0].device_kind}'
    print(f'jax {jax.__version__}, {device}; median of {_CALLS.value} calls')
    rows = [('', 'ms', 'of the update', 'updates a second')]
    for model, parts in found.items():
        for part, value in parts.items():
            rate = f'{1 / value:.2f}' if part == 'update' else ''
            rows.append(
                (f'{model}: {part}', f'{1e3 * value:.1f}', f'{value / parts["update"]:.2f}', rate)
            )
    print(table(rows))
    rows = [('', 'temporary MB', 'decoded MB', 'ratio')]
    for model, (temporary, decoded) in memory.items():
        ratio = f'{temporary / decoded:.2f}'
        rows.append((model, f'{temporary / 1e6:.0f}', f'{decoded / 1e6:.0f}', ratio))
    print(f'\n{table(rows)}')
    sampled, one = None, None
    if 'ar_cnn_vae' in _MODELS.value:
        sampled, one = sampling(_CALLS.value, *to_sample)
        rows = [('64 samples', 's', 'in times of a full pass', 'passes made', 'faster than naive')]
        for way, (value, passes) in sampled.items():
            faster = f'{sampled["naive"][0] / value:.0f}'
            rows.append((way, f'{value:.3f}', f'{value / one:.1f}', passes, faster))
        print(f'\none full pass: {1e3 * one:.1f} ms\n{table(rows)}')
    if _JSON.value:
        numbers = {'seconds': found, 'bytes': memory, 'sampling': sampled, 'full pass': one}
        with open(_JSON.value, 'w') as file:
            json.dump({'jax': jax.__version__, 'device': device, **numbers}, file, indent=1)


if __name__ == '__main__':
    app.run(main)
