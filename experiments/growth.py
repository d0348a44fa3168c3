"""What grows with the number of modalities (section 4.5): one digit in one to five parts.

python launch.py --mode=sweep --config=experiments/growth.py --workdir=SWEEP
python -m experiments.growth --figure=FILE.png --csv=FILE.csv [--time] SWEEP

The whole digit; its halves; halves and label; quadrants; quadrants and label. 500 of 4,000 digits are seen
complete, each of the others in one modality (the whole digit always): an update has a minibatch of the complete and
of each modality. The joint objective with Gaussian posteriors, networks, minibatches and 3,000 updates as in
`mnist5k_joint.py`. The textbook form has a network for each of the 2^M - 1 subsets of M modalities (`separate`),
which is counted for all M and trained up to M = 3, there with the subsets that these streams see. A translator,
r(z | x_S) for any subset S, stands beside the product.

The second command reads what the sweep has so far. `networks` and `parameters` are of the inference networks, of
all subsets; `joint_bound` is in nats of the test set, and `translation` the NLL of the digit in parts, each given
one other: the sum over modalities of the mean over the others, K = 100. `seconds` of an update are those that --time
has measured last, which should be when the machine does nothing else; `load` was its load average just before.
"""

import functools
import math
import os
from statistics import fmean

import jax
from absl import flags

from experiments import mnist5k_joint, study
from mmvae import data as data_sets
from mmvae import train as training
from mmvae.analysis import curves
from mmvae.config import override
from mmvae.quantities import find, joined
from mmvae.run import check, folder
from mmvae.run.provenance import read_json
from mmvae.system import metrics

PARTS = {
    1: {'data.view': 'whole', 'data.num_pairs': 0, 'objective.name': 'single'},
    2: {'data.view': 'halves'},
    3: {'data.view': 'halves', 'data.with_label': True},
    4: {'data.view': 'quadrants'},
    5: {'data.view': 'quadrants', 'data.with_label': True},
}
WAYS = {  # -> fields, and the numbers of modalities that it is trained on
    'separate': ({'model.posterior': 'separate'}, (1, 2, 3)),  # more are refused
    'merged': ({'model.posterior': 'merged'}, PARTS),
    'product': ({'model.posterior': 'product'}, PARTS),
    'mixture': ({'model.posterior': 'mixture'}, PARTS),
    'product, translator': (
        {'model.posterior': 'product', 'model.translator': True},
        (2, 3, 4, 5),
    ),
}
NUMBERS = ('joint_bound', 'translation', 'seconds', 'load')


def get_config():
    config = mnist5k_joint.get_config()
    config.experiment = 'growth'
    config.model.flow_steps = 0
    config.eval.figures = False
    return config


def sweep(add):
    for number, parts in PARTS.items():
        for fields, numbers in WAYS.values():
            if number in numbers:
                add({**parts, **fields})


def parameters(way, number):
    """How many the inference networks of so many modalities have; nothing is computed."""
    is_separate = way == 'separate'
    fields = WAYS['merged' if is_separate else way][0]
    config = folder.resolve(override(get_config().to_dict(), {**PARTS[number], **fields}))
    model = folder.build_model(config, data_sets.modalities(config.data))
    model = model.clone(posterior='separate') if is_separate else model
    params = training.abstract_state(config, model).params
    of_posteriors = {name: p for name, p in params.items() if not name.startswith('decoders_')}
    return sum(leaf.size for leaf in jax.tree.leaves(of_posteriors))


def measured(o):
    """The joint bound and the NLL of translation of a finished run, in nats."""
    bound = find(o.test, kind='bound', of=joined(o.names), posterior=joined(o.names))
    nll = [
        -fmean(find(o.test, kind='translation', of=t, given=s)['mean'] for s in o.names if s != t)
        for t in o.names
        if len(o.names) > 1
    ]
    return {'joint_bound': bound['mean'], 'translation': sum(nll) if nll else math.nan}


def rows_of(outcomes):
    """A row for each posterior and number of modalities; NaN is what was not measured."""
    overrides = [o.point.overrides for o in outcomes]
    times = read_json(_path_of_times(outcomes)) or {}
    rows = []
    for way, (fields, _) in WAYS.items():
        for number, parts in PARTS.items():
            row = {
                'posterior': way,
                'modalities': number,
                'networks': 2**number - 1 if way == 'separate' else number,
                'parameters': parameters(way, number),
                **dict.fromkeys(NUMBERS, math.nan),
            }
            if {**parts, **fields} in overrides:
                o = outcomes[overrides.index({**parts, **fields})]
                row |= times.get(o.point.workdir.name, {})
                row |= measured(o) if o.test else {}
            rows.append(row)
    return rows


def table(rows):
    """Rows of `rows_of`, or of its CSV file, as a table."""
    heading = (
        'posterior',
        'modalities',
        'inference networks',
        'parameters',
        'joint bound',
        'NLL of translation',
        'ms an update',
    )
    lines = [heading]
    for r in rows:
        numbers = [float(r['joint_bound']), float(r['translation']), 1000 * float(r['seconds'])]
        texts = ('' if math.isnan(number) else f'{number:.1f}' for number in numbers)
        lines.append(
            (r['posterior'], r['modalities'], r['networks'], f'{int(r["parameters"]):,}', *texts)
        )
    return lines


def _path_of_times(outcomes):
    return outcomes[0].point.workdir.parent / 'times.json'


def time_updates(outcomes):
    """Writes beside the sweep what an update of each point takes, the fastest of 20, and the load."""
    load, times = functools.cache(lambda data: data_sets.load(data, None)), {}
    for o in outcomes:
        config, busy = o.point.config, os.getloadavg()[0]
        _, seconds = check.time_update(config, load(config.data), count=20)
        times[o.point.workdir.name] = {'seconds': seconds, 'load': busy}
        print(f'{o.point.workdir.name}: {seconds:.4f} s, load {busy:.1f}', flush=True)
    metrics.write_json(_path_of_times(outcomes), times)


def main(outcomes):
    if flags.FLAGS.time:
        time_updates(outcomes)
    return rows_of(outcomes)


if __name__ == '__main__':
    flags.DEFINE_bool('time', False, 'Measures the seconds of an update anew, first.')
    study.run(main, curves.draw_growth)
