"""Devices: the only file that names pmap.

Arrays are either replicated (the state, the data set, hyperparameters) or split along a
leading axis of one entry a device (minibatches). The state has no device axis: it enters
with in_axes=None and leaves with out_axes=None. JAX does not check that the replicas then
agree, so a forgotten `mean_over_devices` stays silent.
"""

import math
import operator
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mmvae.config import BatchConfig, require
from mmvae.system.process import machine_memory
from mmvae.types import Array, RunError

AXIS = 'devices'


def backend() -> str:
    """'cpu', 'gpu' or 'tpu'."""
    return jax.default_backend()


def leave_memory_to_others() -> None:
    """Takes little of an accelerator's memory: for a process that starts those that train."""
    name = 'XLA_PYTHON_CLIENT_PREALLOCATE'
    if name not in os.environ:
        os.environ[name] = 'false'  # read as the devices are first asked for
        device_count()
        del os.environ[name]


def device_count() -> int:
    return jax.local_device_count()


def device_memory() -> int:
    """The bytes that arrays can take on one local device; on a CPU, of the machine."""
    limit = (jax.local_devices()[0].memory_stats() or {}).get('bytes_limit')
    return limit or machine_memory()


def check_batches(batch: BatchConfig) -> None:
    """Checks that the local devices divide every minibatch.

    Raises:
      InputError: one is not a multiple of their number.
    """
    sizes = {'paired': batch.paired, 'unpaired': batch.unpaired,
             **{f'by_stream, {stream}': size for stream, size in batch.sizes.items()}}  # fmt: skip
    for name, size in sizes.items():
        allowed = f'multiples of the {device_count()} local devices'
        require(size % device_count() == 0, f'train.batch.{name}', size, allowed)


def _sharding(*spec: str) -> NamedSharding:
    return NamedSharding(Mesh(np.array(jax.local_devices()), (AXIS,)), PartitionSpec(*spec))


def replicate(tree: Any) -> Any:
    """Places a copy of every array on every local device."""
    return jax.device_put(tree, _sharding())


def abstract(shapes: Any) -> Any:
    """ShapeDtypeStructs placed like `replicate` places arrays."""
    return jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=_sharding()), shapes
    )


def split(tree: Any) -> Any:
    """Places arrays [devices, ...] with one entry of the leading axis on each device."""
    return jax.device_put(tree, _sharding(AXIS))


def map_update(update: Callable, steps: int = 1) -> Callable:
    """Compiles update(state, constants, minibatch, hyper) -> (state, metrics) over devices.

    `minibatch` is split, all else replicated; the state is donated. Inside, the update
    must make its results equal on all devices with `mean_over_devices`.

    Args:
      steps: how many updates one call makes. With more than one, each array of `minibatch`
        is [devices, steps, ...] and each metric [steps]. One has no scan around it: XLA's
        CPU backend runs convolutions inside a loop on one thread.
    """

    def several(state, constants, minibatch, hyper):
        return jax.lax.scan(lambda s, m: update(s, constants, m, hyper), state, minibatch)

    return jax.pmap(
        update if steps == 1 else several,
        axis_name=AXIS, in_axes=(None, None, 0, None), out_axes=None, donate_argnums=0,
    )  # fmt: skip


def map_examples(function: Callable) -> Callable:
    """Compiles function(replicated, batch) over devices, for results per example.

    `batch` and the results are split: [devices, batch / devices, ...].
    """
    return jax.pmap(function, axis_name=AXIS, in_axes=(None, 0))


def map_minibatch(function: Callable, piece: int | None = None) -> Callable:
    """jax.vmap(function), in unrolled pieces of `piece` examples; None takes all at once.

    There are at most 8 pieces, larger ones if need be: the program grows with their number.
    """

    def mapped(*arguments):
        size = len(jax.tree.leaves(arguments)[0])
        step = max(piece or size, -(-size // 8))
        pieces = [slice(start, start + step) for start in range(0, size, step)]
        results = [
            jax.vmap(function)(*jax.tree.map(operator.itemgetter(p), arguments)) for p in pieces
        ]
        return jax.tree.map(lambda *parts: jnp.concatenate(parts), *results)

    return mapped


def convolution_piece() -> int | None:
    """The `piece` of `map_minibatch` that suits convolutional networks on this backend.

    XLA's CPU convolutions wait for memory: what 32 examples leave behind stays in the cache,
    and two pieces run side by side where one operation keeps no two cores busy. A CNN-VAE's
    update takes 0.22 s in pieces of 32, 0.25 s in pieces of 64 and 0.31 s in one of 256
    (2 cores), and three times as long to compile. Pieces are unrolled because inside a loop
    convolutions have one thread. A fully connected VAE's update takes 0.018 s in one piece
    and 0.038 s in pieces of 32.
    """
    return 32 if backend() == 'cpu' else None


def mean_over_devices(tree: Any) -> Any:
    """The mean over all devices, inside a mapped function."""
    return jax.lax.pmean(tree, AXIS)


def check_replicas(tree: Any) -> None:
    """Checks that every device holds the same bits of a replicated tree.

    Raises:
      RunError: they differ: an update did not take the mean of something.
    """
    for path, leaf in jax.tree.leaves_with_path(tree):
        first, *others = (np.asarray(shard.data) for shard in leaf.addressable_shards)
        if not all(first.tobytes() == other.tobytes() for other in others):
            raise RunError(f'the devices hold different values of {jax.tree_util.keystr(path)}')


def updates_per_call(log_every: int, eval_every: int) -> int:
    """How many updates one call should make: 1 on a CPU, where a loop costs more than it saves.

    On an accelerator the largest number up to 25 that divides both, so that every call ends
    where something is due.
    """
    if backend() == 'cpu':
        return 1
    common = math.gcd(log_every, eval_every)
    return max(count for count in range(1, 26) if common % count == 0)


class CompileClock:
    """Seconds that JAX has spent on tracing and compiling since this was made."""

    def __init__(self):
        self._spans: list[tuple[float, float]] = []
        jax.monitoring.register_event_duration_secs_listener(self._note)

    def _note(self, event: str, seconds: float, **kwargs: Any) -> None:
        if event.startswith('/jax/core/compile/'):
            end = time.perf_counter()
            # Functions are traced inside others: what lies within this span is no more counted.
            while self._spans and self._spans[-1][0] >= end - seconds:
                self._spans.pop()
            self._spans.append((end - seconds, end))

    @property
    def seconds(self) -> float:
        return sum(end - start for start, end in self._spans)

    def close(self) -> None:
        jax.monitoring.unregister_event_duration_listener(self._note)


def device_index() -> Array:
    """Which device this is, inside a mapped function."""
    return jax.lax.axis_index(AXIS)
