"""What more devices and processes cost on this machine, and what a network allows: experiments/scaling.md.

python -m experiments.scaling [--models=halves,vae] [--page=FILE.md]

On random bytes, like `benchmark.py`, whose models these are. Run it on an idle machine. Measured, each in processes of
their own: an update of the same global minibatch by one process with 1, 2 and 4 devices and by two processes with 1 and
2 devices each, all on the same cores, so that what it shows is overhead and no speed; and the examples that the feeds
deliver. Read from the compiled program: the bytes of its all-reduces. Computed from these bytes: how many updates a
second a network allows that does nothing else. In a ring all-reduce of B bytes over N devices each link carries
2 (N - 1) / N times B, here at its full rate.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
from absl import app, flags

from experiments import benchmark
from mmvae.data.streams import FEEDS, make_streams
from mmvae.system import parallel
from mmvae.system.metrics import markdown_table, replacing

_MODELS, _CALLS = (flags.FLAGS[name] for name in ('models', 'calls'))  # of benchmark.py
_PAGE = flags.DEFINE_string('page', 'experiments/scaling.md', 'The page to write.')
_WORKER = flags.DEFINE_string(
    'worker', None, 'Used by this script: the model that this process measures.'
)
_TOGETHER = flags.DEFINE_list(
    'together', None, 'Used by this script: HOST:PORT, processes, which one.'
)
WAYS = ((1, 1), (1, 2), (1, 4), (2, 1), (2, 2))  # processes, devices of each
NETWORKS = {
    '10 Gbit/s': 10e9 / 8,
    '100 Gbit/s': 100e9 / 8,
    '400 Gbit/s': 400e9 / 8,
    'NVLink, 450 GB/s': 450e9,
}
DEVICES = (8, 64, 512)
_BYTES = {'f64': 8, 'f32': 4, 's32': 4, 'u32': 4, 'bf16': 2, 'f16': 2, 'pred': 1}


def reduced_bytes(program):
    """The bytes of the arrays that the all-reduces of a compiled program's text take the sum of."""
    total = 0
    for result in re.findall(r'= (.*?) all-reduce(?:-start)?\(', program):
        for dtype, shape in re.findall(r'(\w+)\[([\d,]*)\]', result):
            size = 1
            for length in filter(None, shape.split(',')):
                size *= int(length)
            total += _BYTES[dtype] * size
    return total


def work(name):
    """Measures one model with the devices and processes that there are, and prints what came of it."""
    if _TOGETHER.value:
        coordinator, processes, which = _TOGETHER.value
        parallel.join(coordinator, int(processes), int(which))
    config = benchmark.MODELS[name]()
    data = benchmark.random_data(config)
    update, arguments, _, feed = benchmark.compiled_update(config, data)
    parameters = sum(leaf.nbytes for leaf in jax.tree.leaves(arguments[0].params))
    seconds, _ = benchmark.seconds_of_update(update, arguments, _CALLS.value)
    numbers = {
        'seconds': seconds, 'bytes': reduced_bytes(update.as_text()), 'parameters': parameters,
        'examples': sum(s.batch_size for s in feed.streams),
    }  # fmt: skip
    if parallel.is_first():
        print(json.dumps(numbers))
    parallel.wait_for_all('measured')
    if _TOGETHER.value:
        parallel.leave(0)


def measure(name, processes, devices):
    """What `work` prints of one model by so many processes with so many devices each."""
    with socket.socket() as free:
        free.bind(('localhost', 0))
        port = free.getsockname()[1]
    forced = f'{os.environ.get("XLA_FLAGS", "")} --xla_force_host_platform_device_count={devices}'
    command = [
        sys.executable,
        '-m',
        'experiments.scaling',
        f'--worker={name}',
        f'--calls={_CALLS.value}',
    ]
    together = lambda i: [f'--together=localhost:{port},{processes},{i}'] * (processes > 1)  # noqa: E731
    workers = [
        subprocess.Popen([*command, *together(i)], stdout=subprocess.PIPE, text=True,
                         env={**os.environ, 'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': forced})
        for i in range(processes)
    ]  # fmt: skip
    texts = [worker.communicate()[0] for worker in workers]
    if any(worker.returncode for worker in workers):
        sys.exit(f'scaling: {name} by {processes} x {devices} devices ended with an error')
    return json.loads(next(line for line in texts[0].splitlines() if line.startswith('{')))


def delivered(name, feed, seconds=4.0):
    """The examples a second that a feed gives to one host, where nothing takes time with them."""
    config = benchmark.MODELS[name]()
    data = benchmark.random_data(config)
    streams = make_streams(data, config.train.batch, config.data.seed)
    minibatches = FEEDS[feed](data, streams, 1).minibatches(0)
    next(minibatches)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        next(minibatches)
        count += 1
    minibatches.close()
    return count * sum(s.batch_size for s in streams) / (time.perf_counter() - start)


def page(measured, feeds):
    """The page's text.

    Args:
      measured: model -> (processes, devices of each) -> what `work` printed.
      feeds: model -> feed -> examples a second.
    """
    cores = os.cpu_count()
    overheads = [('', 'devices', 'ms an update', 'work a second, of 1 device')]
    for name, ways in measured.items():
        one = ways[1, 1]['seconds']
        for (processes, devices), numbers in ways.items():
            how = f'{devices}' if processes == 1 else f'{processes} processes x {devices}'
            overheads.append(
                (name, how, f'{1e3 * numbers["seconds"]:.1f}', f'{one / numbers["seconds"]:.2f}')
            )
    sent = [('', 'parameters, MB', 'all-reduced, MB')]
    allowed = [('', 'devices', *NETWORKS)]
    delivers = (f'{feed} delivers' for feed in FEEDS)
    fed = [('', 'examples an update', 'takes, examples a second', *delivers, 'devices fed')]
    for name, ways in measured.items():
        numbers = ways[1, 2]
        sent.append((name, f'{numbers["parameters"] / 1e6:.2f}', f'{numbers["bytes"] / 1e6:.2f}'))
        for n in DEVICES:
            rates = (f'{w / (2 * (n - 1) / n * numbers["bytes"]):,.0f}' for w in NETWORKS.values())
            allowed.append((name, n, *rates))
        takes = numbers['examples'] / ways[1, 1]['seconds']
        rates = feeds[name]
        fed.append((name, numbers['examples'], f'{takes:,.0f}', *(f'{r:,.0f}' for r in rates.values()),
                    f'{rates["tfdata"] / takes:,.0f}'))  # fmt: skip
    return _PAGE_TEXT.format(
        cores=cores, jax=jax.__version__, calls=_CALLS.value,
        **{k: markdown_table(v) for k, v in (('overheads', overheads), ('sent', sent), ('fed', fed), ('allowed', allowed))},
    )  # fmt: skip


_PAGE_TEXT = """# Many devices: what was measured, and what was computed

Written by `python -m experiments.scaling` on {cores} CPU cores, jax {jax}; medians of {calls} updates.

## Measured: the overhead of more devices and processes

The same global minibatch on the same {cores} cores, split over more devices: nothing can become faster but by a better use of
the cores, so the last column shows what splitting, the all-reduce and a second process cost, not a speed-up. On devices
that each have their own cores the work between the all-reduces shrinks with their number.

{overheads}

## Measured: what the feeds deliver

To one host, from arrays in memory, with nothing else to do: `resident` gives the numbers of the rows and leaves the values
on the devices; `tfdata` gathers the values. "Takes" is of one device with all {cores} cores, and "devices fed" how many of such
devices the slower feed keeps busy. Over several hosts each process gathers its own rows alone.

{fed}

## Read from the compiled program: what each update sends

One all-reduce of the gradient of all parameters, and of a few means that the bounds and the free bits need.

{sent}

## Computed: the updates a second that a network allows

Of N devices, each sends and receives 2 (N - 1) / N times these bytes in a ring all-reduce. These are bounds by the slowest
link's rate alone: no latency, which matters more the smaller the messages and the larger N, and no time for the work itself.
Nothing here was measured on such a network.

{allowed}
"""


def main(argv):
    del argv
    if _WORKER.value:
        work(_WORKER.value)
        return
    if unknown := sorted(set(_MODELS.value) - set(benchmark.MODELS)):
        print(
            f'scaling: --models: {unknown[0]!r} given; allowed: {", ".join(benchmark.MODELS)}',
            file=sys.stderr,
        )
        sys.exit(2)
    measured = {name: {way: measure(name, *way) for way in WAYS} for name in _MODELS.value}
    feeds = {name: {feed: delivered(name, feed) for feed in FEEDS} for name in _MODELS.value}
    with replacing(Path(_PAGE.value)) as partial:
        partial.write_text(page(measured, feeds))
    print(Path(_PAGE.value).read_text())


if __name__ == '__main__':
    app.run(main)
