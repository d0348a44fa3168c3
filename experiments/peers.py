"""MultiVae, a library of multimodal VAEs for PyTorch, on the same halves of digits as ours: experiments/peers.md.

python -m experiments.peers data FOLDER           # the digits, for both
python -m experiments.peers train FOLDER [SEED ...]  # ours; experiments/peers_multivae.py trains theirs
python -m experiments.peers check FOLDER          # one of our models, for their evaluation
python -m experiments.peers page [FOLDER]         # results/peers.csv of what FOLDER has, and the page of that

Each training and what was measured of it is a file of FOLDER, and a command goes on where it was stopped. The page is
made of the committed results/peers.csv, where no folder is given.
"""

import csv
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import jax
import numpy as np
from absl import app

from experiments import frontier, mnist5k, study
from mmvae import data as data_sets
from mmvae import evaluate, keys
from mmvae import train as training
from mmvae.config import Config, override
from mmvae.data import DataSet
from mmvae.model.vae import observe
from mmvae.run import folder as run
from mmvae.run.load import TrainedModel, load
from mmvae.system import metrics
from mmvae.system.checkpoint import open_checkpoints

SEEDS = range(4)
NUM_SAMPLES = 100
_HERE = Path(__file__).resolve().parent
CSV, PAGE = _HERE / 'results' / 'peers.csv', _HERE / 'peers.md'

_COMMON = {
    'experiment': 'peers',
    'data.unpaired': 'rest',  # each digit that is not paired is seen in one half alone
    # The last parameters are measured, as theirs are, and not those that validate best.
    'train.eval_every': 3000,
    'eval.figures': False,
}
# Where a minibatch's examples count alike, 64 pairs weigh half of what 128 unpaired halves do.
_EQUAL = {**_COMMON, 'objective.joint_weight': 0.5}
OURS = {
    **{name: {**_EQUAL, 'objective.name': name} for name in ('jmvae', 'mvae', 'mopoe', 'mvtcae')},
    'joint': {**_EQUAL, 'objective.name': 'joint'},
    'recipe mnist5k': _COMMON,
}
NUMBERS = ('log_p_xy', 'joint_bound', 'nll_y_from_x', 'nll_x_from_y')


def config_of(name: str, seed: int) -> Config:
    """The config of one of `OURS`."""
    base = mnist5k if name == 'recipe mnist5k' else frontier
    fields = {**OURS[name], 'seed': seed, 'data.seed': seed}
    return run.resolve(override(base.get_config().to_dict(), fields))


def halves(config: Config, data: DataSet) -> dict[str, np.ndarray]:
    """What both are given, [N, 14, 28, 1] each: grey levels to train on, 0 and 1 to test on."""
    arrays = {}
    for observed, rows in data.streams.items():
        stream = 'pairs' if len(observed) > 1 else 'unpaired'
        arrays |= {f'{stream}_{name}': data.arrays[name][rows[name]] for name in observed}
    test, key = evaluate.examples_of(data, 'test'), keys.evaluation_key(config.eval.seed, 'test')
    see = jax.vmap(lambda pixels, i: observe(data.modalities, pixels, keys.fold(key, i)))
    for name, values in see(test.values(), test.index).items():  # as evaluation draws them
        arrays[f'test_{name}'] = np.asarray(values, np.uint8)
    return arrays


def write_data(folder: Path) -> None:
    for seed in SEEDS:
        config = config_of('joint', seed)
        arrays = halves(config, data_sets.load(config.data, None))
        with metrics.replacing(folder / f'halves-{seed}.npz') as partial:
            np.savez_compressed(partial, **arrays)


def train(folder: Path, seeds: Sequence[int] = SEEDS) -> None:
    """Trains and measures those of `OURS` that have no result in the folder."""
    for seed in seeds:
        for name in OURS:
            place = f'mmvae-{name.replace(" ", "_")}-{seed}'
            if not (result := folder / f'{place}.json').exists():
                config = config_of(name, seed)
                seconds = _train(config, folder / 'runs' / place)
                test = read_test(folder, seed)
                numbers = measure(load(folder / 'runs' / place), test)
                row = {'library': 'mmvae', 'model': name, 'seed': seed,
                       'averaging': config.optimizer.averaging, **numbers, **seconds}  # fmt: skip
                metrics.write_json(result, [row])
                print(json.dumps(row), flush=True)


def _train(config: Config, workdir: Path) -> dict[str, float]:
    """Trains a run; gives the processor time of its updates, without compiling them."""
    clock = workdir.with_suffix('.seconds.json')
    if clock.exists():
        return json.loads(clock.read_text())
    data, times = run.prepare(config, workdir, None), [time.process_time()]
    with run.at_work(workdir):
        run.begin(config, workdir, data)
        model = run.read_model(workdir)[1]
        with open_checkpoints(workdir / 'checkpoints') as checkpoints:
            # Asked after every update whether to stop.
            after_update = lambda: times.append(time.process_time())  # noqa: E731
            training.train(config, model, data, workdir, checkpoints, after_update)
    count = config.train.num_updates
    if len(times) != count + 1:
        raise SystemExit(f'{workdir} was stopped: delete it, for its seconds would not be whole')
    # Without the first update, which compiles, and the last, which is validated.
    seconds = (times[-2] - times[1]) * count / (count - 2)
    metrics.write_json(clock, {'seconds': seconds})
    return {'seconds': seconds}


def read_test(folder: Path, seed: int) -> dict[str, np.ndarray]:
    with np.load(folder / f'halves-{seed}.npz') as arrays:
        return {name: arrays[f'test_{name}'] for name in 'xy'}


def measure(trained: TrainedModel, test: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The numbers of the page, in nats: means over the test digits."""
    joint = trained.log_prob(test, num_samples=NUM_SAMPLES)
    components = trained.model.num_components(('x', 'y'))
    translated = {
        f'nll_{target}_from_{source}': -trained.log_prob(
            {target: test[target]}, {source: test[source]}, NUM_SAMPLES
        ).importance_weighted.mean()
        for source, target in ('xy', 'yx')
    }
    return {
        'digits': len(test['x']), 'samples': -(-NUM_SAMPLES // components) * components,
        'log_p_xy': joint.importance_weighted.mean(), 'joint_bound': joint.bound.mean(), **translated,
    }  # fmt: skip


CHECKED = ('mvtcae', 'mopoe')  # of `OURS`, of seed 0: a Gaussian and a mixture of three


def write_check(folder: Path) -> None:
    """What experiments/peers_multivae.py needs to measure models of ours by its own functions.

    check-NAME.npz has the mean and log scale of each component of q(z | x), q(z | y) and q(z | x, y) of
    the test digits, [components, N, D], and the weights and bias of the decoders' three layers.
    """
    for name in CHECKED:
        trained, test = load(folder / 'runs' / f'mmvae-{name}-0'), read_test(folder, 0)
        arrays = {'seed': np.array(0)}
        for names in ('x', 'y', 'xy'):
            q = trained.encode({n: test[n] for n in names})
            q = q.components if q.num_components > 1 else jax.tree.map(lambda a: a[None], q)
            arrays |= {f'mean_{names}': q.mean, f'log_scale_{names}': q.log_scale}
        for n in 'xy':
            for i, layer in enumerate(_layers(trained.params[f'decoders_{n}'])):
                arrays |= {f'{part}_{n}_{i}': value for part, value in layer.items()}
        with metrics.replacing(folder / f'check-{name}.npz') as partial:
            np.savez_compressed(partial, **arrays)


def _layers(params: Mapping[str, Any]) -> list[dict[str, np.ndarray]]:
    """Weights [inputs, outputs] and bias of each layer, without its weight normalisation."""
    layers = (params[name] for name in sorted(params))
    return [
        {'weights': p['gain'] * p['direction'] / np.linalg.norm(p['direction'], axis=0), 'bias': p['bias']}
        for p in layers
    ]  # fmt: skip


# The page

Row = Mapping[str, Any]
_HEADINGS = ('log p(x, y)', 'bound', 'NLL of y from x', 'NLL of x from y')  # of NUMBERS


def collect(folder: Path) -> list[Row]:
    """A row of results/peers.csv for each result of the folder."""
    rows = []
    for path in folder.glob('m*-*.json'):
        rows += [{**row, 'measured_by': row['library']} for row in json.loads(path.read_text())]
    for name in CHECKED:
        if (path := folder / f'check-{name}.json').exists():
            (row,) = (r for r in rows if (r['model'], r['seed']) == (name, 0))
            rows.append({**row, **json.loads(path.read_text()), 'measured_by': 'MultiVae'})
    columns = ('library', 'model', 'averaging', 'seed', 'measured_by', 'digits', 'samples',
               *NUMBERS, 'seconds')  # fmt: skip
    rows = [{name: row.get(name, '') for name in columns} for row in rows]
    return sorted(rows, key=lambda row: [str(row[name]) for name in columns[:5]])


def read_csv(path: Path = CSV) -> list[Row]:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    numbers = {'averaging', 'seed', 'digits', 'samples', *NUMBERS, 'seconds'}
    return [{k: float(v) if k in numbers else v for k, v in row.items()} for row in rows]


def settings(rows: Sequence[Row]) -> dict[tuple[str, str, float], list[Row]]:
    """(library, model, averaging) -> its runs, measured by their own library."""
    groups = {}
    for row in rows:
        if row['measured_by'] == row['library']:
            key = row['library'], row['model'], row['averaging']
            groups.setdefault(key, []).append(row)
    return groups


def mean(values: Sequence[float]) -> str:
    """'mean +- standard error over seeds', where there are several."""
    over_seeds = metrics.Mean()
    over_seeds.add(values)
    return metrics.number({'mean': over_seeds.mean, 'stderr': over_seeds.stderr}, 1)


def results_table(rows: Sequence[Row], library: str) -> str:
    lines = [('objective', 'averaging', 'seeds', *_HEADINGS, 's of one core')]
    for (of, model, averaging), runs in settings(rows).items():
        if of == library:
            numbers = (mean([run[name] for run in runs]) for name in NUMBERS)
            seconds = f'{fmean(run["seconds"] for run in runs):.0f}'
            decay = f'{averaging:g}' if averaging else 'none'
            lines.append((model, decay, len(runs), *numbers, seconds))
    return metrics.markdown_table(lines)


# An objective of ours -> what MultiVae has for it, of the settings the nearest.
ALIKE = {
    'mvtcae': 'MVTCAE, alpha 0.9',
    'mopoe': 'MoPoE',
    'mvae': 'MVAE',
    'jmvae': 'JMVAE, pairs alone',
    'recipe mnist5k': 'MVTCAE, alpha 0.1',
}


def differences_table(rows: Sequence[Row]) -> str:
    """Ours minus theirs, seed by seed: log p(x, y), the bound, and the mean of both NLLs."""
    groups = settings(rows)
    of_ours = {model: runs for (library, model, _), runs in groups.items() if library == 'mmvae'}
    lines = [('ours', 'theirs, averaged', 'log p(x, y)', 'bound', 'mean of both NLLs')]
    for name, peer in ALIKE.items():
        of_peer = {run['seed']: run for run in groups['MultiVae', peer, 0.995]}
        both = [(run, of_peer[run['seed']]) for run in of_ours[name] if run['seed'] in of_peer]
        by_number = {n: [a[n] - b[n] for a, b in both] for n in NUMBERS}
        nlls = [fmean(pair) for pair in zip(*(by_number[n] for n in NUMBERS[2:]), strict=True)]
        shown = (mean(values) for values in (*(by_number[n] for n in NUMBERS[:2]), nlls))
        lines.append((f'`{name}`', peer, *shown))
    return metrics.markdown_table(lines)


def check_table(rows: Sequence[Row]) -> str:
    lines = [('model of ours, seed 0', 'measured by', *_HEADINGS)]
    scripts = {'mmvae': '`mmvae`', 'MultiVae': '`peers_multivae.py`'}
    for name in CHECKED:
        for row in rows:
            if (row['model'], row['seed']) == (name, 0):
                numbers = (f'{row[number]:.2f}' for number in NUMBERS)
                lines.append((f'`{name}`', scripts[row['measured_by']], *numbers))
    return metrics.markdown_table(lines)


def page(rows: Sequence[Row]) -> str:
    theirs, ours = (results_table(rows, library) for library in ('MultiVae', 'mmvae'))
    differences, check = differences_table(rows), check_table(rows)
    return _PAGE_TEXT.format(theirs=theirs, ours=ours, differences=differences, check=check)


_PAGE_TEXT = """# A peer on the same work: MultiVae

[MultiVae](https://github.com/AgatheSenellart/MultiVae) 1.0.3 (Senellart, Chadebec and Allassonnière, Journal of Open Source Software, 2025) is a library
of multimodal VAEs for PyTorch. Five of its models and five objectives of ours, with the default recipe beside them, are
trained here on the same digits, with networks of the same sizes and equally many updates, and measured by one formula.
`experiments/peers.py` makes this page of [results/peers.csv](results/peers.csv), which has a row for each run.

## Results

In nats of 500 test digits: means over four seeds +- standard errors over them, each of which has pairs and test digits of its own. An error from
four is itself rough.
Of log p(x, y) and the bound the higher is better, of an NLL the lower. Averaging is the decay of an average of the parameters, which is
measured in their place. Seconds are processor time of the 3,000 updates.

MultiVae:

{theirs}

Ours:

{ours}

Ours minus theirs, seed by seed, for the runs that are most alike, and of the default recipe for the MultiVae model with the best
log p(x, y):

{differences}

* By log p(x, y) and the bound every objective of ours is above the model of the same name, and the default recipe above all. Of MultiVae's models
  MVTCAE is the best by far.
* By translation that does not hold. MultiVae's MVTCAE with alpha 0.9 translates 9 nats better than our `mvtcae`, and JMVAE 3 nats better than our
  `jmvae`, which learns from 3,500 halves more; `mopoe` translates as well as MoPoE, and our `mvae` no better than its MVAE. A model of higher
  log p(x, y) need not have the better q(z|x). The default recipe, with a translator, translates better than every other row.
* Averaging helps MultiVae nearly everywhere, by up to 3 nats. An update takes about as long in both libraries, but for JMVAE, which sees the
  pairs alone and takes half.
* MultiVae's MVAE is far below our `mvae`, and one of its four seeds is 16 nats below the others, as where a training gets stuck. Why was not
  found out: besides our unimodal terms there are the layers with their initialisation, and the optimiser. With these terms, its
  own default, it was no better in a single earlier run.

## What both were given

* **Data.** x is the top and y the bottom half of the digits of `mnist5k`: 500 digits seen whole, 1,750 others seen in x alone and 1,750 in
  y alone. The digits of a seed are the same for both libraries, and so are the test digits, pixel by pixel: they are binarised once.
* **Updates.** 3,000 with minibatches of 64 pairs, 128 x and 128 y, each stream in epochs of a random order, binarised afresh. The last
  parameters are measured: neither uses the validation digits.
* **Networks.** In each encoder and decoder two layers of 128 units with ELU; 64 latents with the prior N(0, I); Gaussian posteriors;
  Bernoulli pixels.

MultiVae has Adam with its usual rate of 0.001. Its settings are those of its configs but for these: no warm-up; beta 1, and alpha 0.1 (its own) and 0.9,
of MVTCAE; MMVAE with K = 1 and with Gaussians and a fixed prior in the place of Laplace distributions and a learned one; MVAE without the
additional unimodal terms (`use_subsampling=False`). **Its JMVAE refuses data with missing modalities and sees
the 500 pairs alone**; its joint encoder has one layer of 128 units where the library's default has two of 512. One
training gives both rows of a model, with and without averaging.

Ours has the settings of `frontier.py`, each objective with its own posterior, and lambda 0.5, with which each example of a minibatch counts the same, as it
does in MultiVae's mean over the minibatch. `recipe mnist5k` is `mnist5k.py`: jmvae with a product, a shared flow and a translator,
from which it translates. The only fields that differ from these files are `data.unpaired=rest` and
`train.eval_every=3000`, besides the seeds and lambda.

## What is measured

    log p(x, y)       1/n sum_i  log 1/K sum_k w_ik,    w_ik = p(x_i|z_k) p(y_i|z_k) p(z_k) / q(z_k|x_i, y_i),    z_k from q(z|x_i, y_i)
    bound             1/n sum_i  1/K sum_k log w_ik
    NLL of y from x  -1/n sum_i  log 1/K sum_k p(y_i|z_k),    z_k from q(z|x_i), and likewise x from y

n = 500 test digits and K = 100. q is the posterior that the model is trained with: of JMVAE that of its joint encoder, of MVAE the product of experts with the prior, of
MVTCAE the product without it, of MMVAE the mixture of both experts, of MoPoE that of both and of their product with the prior.
Of a mixture of C components z_k is from component k mod C, K is rounded up to a multiple of C (102 of MoPoE), and q(z_k|x_i, y_i) is
the density of the whole mixture. Both log p(x, y) and the bound are below the truth in expectation, the NLLs above it.

`TrainedModel.log_prob` measures ours, in JAX, and `measure` of `peers_multivae.py` theirs, in PyTorch. That the two are the same formula
was checked: for two models of ours the posteriors of the test digits and the weights of the decoders were given to the
function that measures theirs. Other samples change log p(x, y) of `mvtcae` by about 0.07 nats (the standard deviation over 26 draws
of all samples, by either), the bound by 0.02 and the NLLs by 0.7 to 0.8. Over these 26 the means of log p(x, y) are -106.10
measured by ours and -106.14 measured by theirs, with a standard error of the difference of 0.02: if there is a difference, it is far below those
of the tables above. The table has the first draw.

{check}

## What can be compared, and what not

* The same: data, sizes of the networks, number and size of minibatches, prior, likelihood, test digits and measure.
* Not the same: MultiVae has PyTorch's default layers and Adam, as a user of it would; ours has weight normalisation with data-dependent
  initialisation and RMSProp with Nesterov momentum. What each of these is worth is not told apart here. Nothing was tuned for MultiVae but what the table
  shows, while our settings come from studies of this very data set.
* Models of one name are not always one model: MoPoE has the prior as an expert in one of its three posteriors there and in all here; our `mvae`
  has the unimodal terms; our `jmvae` learns from the unpaired halves as well; `mvtcae` has alpha 5/6 here.
* The seconds are of one core of two, for seeds 0 and 1 of an AMD EPYC and for 2 and 3 of an Intel Xeon, shared with other work, by
  `time.process_time`, with one thread. They count drawing the minibatches, and neither
  compiling (20 s of ours for each objective, once) nor evaluation. Shared caches and clock rates make them uncertain by perhaps a fifth.

## Commands

Ours with the environment of the README; MultiVae in one of its own, `PEER`, with Python 3.11, torch 2.13.0 (CPU), torchvision 0.28.0 and multivae 1.0.3,
without JAX. Each training writes a file of `FOLDER`, and what has one is not trained again.

```bash
export OMP_NUM_THREADS=1 JAX_PLATFORMS=cpu
.venv/bin/python -m experiments.peers data FOLDER
taskset -c 1 .venv/bin/python -m experiments.peers train FOLDER
.venv/bin/python -m experiments.peers check FOLDER
python3 -m venv PEER && PEER/bin/pip install torch==2.13.0
PEER/bin/pip install torch==2.13.0 torchvision==0.28.0 multivae==1.0.3
taskset -c 1 PEER/bin/python experiments/peers_multivae.py FOLDER
.venv/bin/python -m experiments.peers page FOLDER
```
"""


def write_page(folder: Path | None = None) -> None:
    if folder:
        study.write_csv(collect(folder), CSV)
    metrics.write_atomically(PAGE, page(read_csv()))


def main(argv: Sequence[str]) -> None:
    """The command argv[1], with the folder argv[2]; `train` with the seeds that follow."""
    commands = {'data': write_data, 'train': train, 'check': write_check, 'page': write_page}
    if len(argv) < 2 or argv[1] not in commands or (len(argv) == 2 and argv[1] != 'page'):
        raise app.UsageError(f'{argv[1:]} given; allowed: {", ".join(commands)}, with a folder')
    more = [[int(seed) for seed in argv[3:]]] if argv[3:] else []
    commands[argv[1]](*map(Path, argv[2:3]), *more)


if __name__ == '__main__':
    app.run(main)
