"""Devices and processes: the only file that names pmap and jax.distributed.

Arrays are either replicated (the state, the data set, hyperparameters) or split along a
leading axis of one entry a device (minibatches), of which each process has those of its own
devices. The state has no device axis: it enters with in_axes=None and leaves with out_axes=None.
JAX does not check that the replicas then agree, so a forgotten `mean_over_devices` stays silent.
"""

import hashlib
import math
import operator
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mmvae.config import BatchConfig, require
from mmvae.system.process import machine_memory
from mmvae.types import Array, InputError, RunError

AXIS = 'devices'
START_SECONDS = 120  # in which all processes have to come
ALIVE_SECONDS = 30  # without a sign of life, after which a process counts as dead
_ABORTED = 'Terminating process because the JAX distributed service detected fatal errors'


def backend() -> str:
    """'cpu', 'gpu' or 'tpu'."""
    return jax.default_backend()


def join(
    coordinator: str = '', num_processes: int | None = None, process_id: int | None = None
) -> None:
    """Makes this process one of several that train one run, before anything else asks for devices.

    One that ends before the others is noticed within `ALIVE_SECONDS`; JAX then aborts the others.

    Args:
      coordinator: HOST:PORT, where process 0 listens, or 'auto': SLURM or a TPU pod says all three.

    Raises:
      InputError: the three cannot be used, or the processes cannot meet.
    """
    numbers, host, port = (num_processes, process_id), *coordinator.rpartition(':')[::2]
    options = {'initialization_timeout': START_SECONDS, 'heartbeat_timeout_seconds': ALIVE_SECONDS}
    if coordinator == 'auto':
        require(numbers == (None, None), '--num_processes, --process_id', numbers, 'None with auto')
    else:
        require(
            host and port.isdecimal() and 0 < int(port) < 2**16, '--coordinator', coordinator,
            "HOST:PORT of process 0, or 'auto'",
        )  # fmt: skip
        require(
            None not in numbers and 0 <= process_id < num_processes, '--num_processes, --process_id',
            numbers, 'how many there are, and for each of them another number from 0 to one less',
        )  # fmt: skip
        options |= {'coordinator_address': coordinator, 'num_processes': num_processes,
                    'process_id': process_id, 'cluster_detection_method': 'deactivate'}  # fmt: skip
    jax.config.update('jax_enable_preemption_service', False)  # which would take SIGTERM
    try:
        jax.distributed.initialize(**options)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f'--coordinator: {coordinator} cannot be joined ({reason})') from error
    count, share = jax.local_device_count(), jax.device_count() / jax.process_count()
    require(count == share, '--process_id', f'{count} devices', 'as many in each process')
    wait_for_all('joined')  # while they are near each other: gloo waits 30 s for the first meeting


def leave(code: int) -> None:
    """Ends this process without waiting for the others; the first a little later, for it ends them."""
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(2 * is_first())
    os._exit(code)


def why_aborted(text: str) -> str | None:
    """Why JAX aborted this process, by what it wrote; None where it was not for another process."""
    if _ABORTED not in text:
        return None
    if 'RegisterTask' in text or 'initialization' in text:
        return (f'--coordinator: within {START_SECONDS} s not all --num_processes have met there; is '
                'the one with --process_id=0 on that host, and can its port be reached?')  # fmt: skip
    ended = re.search(r'unhealthy[^:]*:\s*([\d, ]+)', text)
    return (
        f'process {ended[1].strip() if ended else 0} has ended, and without it this one cannot go on. '
        'The same commands go on from the last checkpoint'
    )


def raise_if_of_another(error: Exception) -> None:
    """Raises what JAX raised, where there are several processes: another may have ended."""
    if is_one_of_several() and isinstance(error, jax.errors.JaxRuntimeError):
        raise error


def is_one_of_several() -> bool:
    """Whether this process has joined others, by `join`."""
    return jax.distributed.is_initialized()


def is_first() -> bool:
    """Whether this is the process that writes, logs, draws and shows progress: of one, that one."""
    return not is_one_of_several() or jax.process_index() == 0


def any_request(number: int | None) -> int | None:
    """The signal that asked this process or, where there are several, any other to stop."""
    if not is_one_of_several():
        return number
    return int(np.max(multihost_utils.process_allgather(np.int32(number or 0)))) or None


def require_alike(what: Mapping[str, str | None]) -> None:
    """Raises an `InputError`, in all processes, unless they have the same texts by name."""
    for name, text in what.items():
        if (other := _another_than_the_first(repr(text).encode())) is not None:
            raise InputError(f'--process_id: process {other} has another {name} than process 0')


def _another_than_the_first(content: bytes) -> int | None:
    """The first process whose content is not that of process 0, None where all are alike."""
    if not is_one_of_several():
        return None
    digest = np.frombuffer(hashlib.sha256(content).digest(), np.int32)
    everywhere = multihost_utils.process_allgather(digest)  # [processes, 8]
    others = np.flatnonzero((everywhere != everywhere[0]).any(axis=1))
    return int(others[0]) if len(others) else None


def wait_for_all(place: str) -> None:
    """Returns when all processes have come to the place of this name."""
    if is_one_of_several():
        multihost_utils.sync_global_devices(place)


def leave_memory_to_others() -> None:
    """Takes little of an accelerator's memory: for a process that starts those that train."""
    name = 'XLA_PYTHON_CLIENT_PREALLOCATE'
    if name not in os.environ:
        os.environ[name] = 'false'  # read as the devices are first asked for
        device_count()
        del os.environ[name]


def share_of_gpus(place: int, at_once: int) -> dict[str, str]:
    """The environment of one of `at_once` processes: a GPU, or where they are few a part of its memory."""
    if (count := count_gpus()) == 0:
        return {}
    visible = os.environ.get('CUDA_VISIBLE_DEVICES') or ','.join(map(str, range(count)))
    part = {'XLA_PYTHON_CLIENT_MEM_FRACTION': f'{0.75 / math.ceil(at_once / count):.3f}'}
    part |= {name: os.environ[name] for name in part if name in os.environ}
    return {'CUDA_VISIBLE_DEVICES': visible.split(',')[place % count], **part}


def count_gpus() -> int:
    return jax.local_device_count() if backend() == 'gpu' else 0


def device_count() -> int:
    """Of all processes together."""
    return jax.device_count()


def own_part(array: np.ndarray) -> np.ndarray:
    """Those entries of [devices, ...] that belong to the devices of this process."""
    if not is_one_of_several():
        return array
    return array[[d.process_index == jax.process_index() for d in jax.devices()]]


def device_memory() -> int:
    """The bytes that arrays can take on one local device; on a CPU, of the machine."""
    limit = (jax.local_devices()[0].memory_stats() or {}).get('bytes_limit')
    return limit or machine_memory()


def check_batches(batch: BatchConfig) -> None:
    """Checks that the devices divide every minibatch.

    Raises:
      InputError: one is not a multiple of their number.
    """
    sizes = {'paired': batch.paired, 'unpaired': batch.unpaired,
             **{f'by_stream, {stream}': size for stream, size in batch.sizes.items()}}  # fmt: skip
    for name, size in sizes.items():
        allowed = f'multiples of the {device_count()} devices'
        require(size % device_count() == 0, f'train.batch.{name}', size, allowed)


def _sharding(*spec: str) -> NamedSharding:
    return NamedSharding(Mesh(np.array(jax.devices()), (AXIS,)), PartitionSpec(*spec))


def _place(tree: Any, sharding: NamedSharding) -> Any:
    if not is_one_of_several():
        return jax.device_put(tree, sharding)

    def place(leaf):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return place(jax.random.key_data(leaf))  # pmap over processes takes no typed keys
        return jax.make_array_from_process_local_data(sharding, np.asarray(leaf))

    return jax.tree.map(place, tree)


def replicate(tree: Any) -> Any:
    """Places a copy of every array, which all processes have alike, on every device."""
    return _place(tree, _sharding())


def abstract(shapes: Any) -> Any:
    """ShapeDtypeStructs placed like `replicate` places arrays."""
    return jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=_sharding()), shapes
    )


def split(tree: Any) -> Any:
    """Places arrays [devices of this process, ...], an entry of the leading axis on each."""
    return _place(tree, _sharding(AXIS))


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

    `batch` is split; every process has all results, [devices, batch / devices, ...].
    """

    def gathered(replicated, batch):
        return jax.lax.all_gather(function(replicated, batch), AXIS)

    return jax.pmap(gathered, axis_name=AXIS, in_axes=(None, 0), out_axes=None)


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
    if is_one_of_several():
        content = b''.join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree))
        if (other := _another_than_the_first(content)) is not None:
            raise RunError(f'process {other} holds another state than process 0')


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
