"""What --mode=check says: what the data are, who is seen with whom, and what training will cost."""

import itertools
import time
from pathlib import Path

import jax

from mmvae import data as data_sets
from mmvae import train as training
from mmvae.analysis import figures
from mmvae.config import Config
from mmvae.data import DataSet
from mmvae.data.describe import describe
from mmvae.run import folder
from mmvae.system import metrics, parallel


def show(config: Config, data_dir: str | None = None, out: Path | None = None) -> None:
    """Reads the data, prints what is in them and draws some; trains nothing.

    It writes check.png, and of a folder of images the cache that training reads too.

    Args:
      out: the folder of check.png; default runs/EXPERIMENT-check.

    Raises:
      InputError: something in the data or the config cannot be used.
    """
    parallel.check_batches(config.train.batch)
    data = data_sets.load(config.data, data_dir)
    folder.check_data(config, data)
    print(describe(data), flush=True)
    print(f'\n{cost(config, data)}')
    place = out or Path('runs') / f'{config.experiment}-check'
    place.mkdir(parents=True, exist_ok=True)
    figures.draw_data(data, place / 'check.png')
    print(f'Some of the data are in {place / "check.png"}')


def cost(config: Config, data: DataSet) -> str:
    """The parameters, the size of a checkpoint and the time of an update, which is measured."""
    (count, size), seconds = time_update(config, data)
    model = folder.new_model(config, data)
    networks = ', '.join(f'{m.name} {model.network(m.name)}' for m in data.modalities)
    updates = config.train.num_updates
    return metrics.table([
        ('networks', networks),
        ('parameters', count),
        ('a checkpoint', size),
        ('an update', f'{seconds:.3g} s, without validation'),
        (f'{updates:,} updates', f'{updates * seconds / 60:.3g} minutes'),
    ])  # fmt: skip


def time_update(config: Config, data: DataSet, count: int = 5) -> tuple[tuple[str, str], float]:
    """`TrainState.sizes`, and the seconds of the fastest of so many updates."""
    model = folder.new_model(config, data)
    feed, update = training.make_feed_and_update(config, model, data)
    state = training.initial_state(config, model, training.initial_pixels(config, data))
    sizes = state.sizes()
    state, constants = parallel.replicate(state), parallel.replicate(feed.constants)
    hyper = parallel.replicate(training.hyperparameters(config, len(model.names)))
    program = parallel.map_update(update)
    times = []
    for minibatch in itertools.islice(feed.minibatches(0), 1 + count):
        started = time.perf_counter()
        state, logged = program(state, constants, parallel.split(minibatch), hyper)
        jax.block_until_ready(logged)
        times.append(time.perf_counter() - started)
    return sizes, min(times[1:])  # the first compiles; what else the machine does makes them longer
