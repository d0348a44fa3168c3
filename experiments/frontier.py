"""Which objective for how many pairs: the field's objectives on the halves of 5,000 digits.

python launch.py --mode=sweep --config=experiments/frontier.py --workdir=SWEEP
python -m experiments.frontier --figure=FILE.png --csv=FILE.csv SWEEP

Every objective with its own posterior, and `joint` and `jmvae` with a product and a flow that all posteriors
share, `jmvae` with a translator besides, on 50, 200, 500 and all 4,000 pairs: 140 runs of equal networks,
minibatches and updates. lambda is 1, of `joint` 0.3 as well. Two seeds, four at 500 pairs, each with pairs and
test digits of its own. Streams of one modality draw from all digits whoever is paired.

The second command reads what the sweep has so far, in nats of the test set: log p(x, y), importance-weighted with
K = 100, the joint bound of the same model, and the NLL of translating either half into the other. It writes a row
and a dot for each run, and prints the means over seeds.
"""

from statistics import fmean

from experiments import base, study
from mmvae.analysis import curves
from mmvae.quantities import find
from mmvae.system.metrics import markdown_table

NUM_PAIRS = (500, 50, 4000, 200)  # the most telling first
NUM_SEEDS = {500: 4}  # 2 elsewhere
_SHARED = {'model.posterior': 'product', 'model.flow': 'shared', 'model.flow_steps': 2}
WAYS = {
    'joint': {'objective.name': 'joint'},
    'joint, lambda 0.3': {'objective.name': 'joint', 'objective.joint_weight': 0.3},
    'joint, product, shared flow': {'objective.name': 'joint', **_SHARED},
    'translation': {'objective.name': 'translation'},
    'combined': {'objective.name': 'combined'},
    'mvae': {'objective.name': 'mvae'},
    'mopoe': {'objective.name': 'mopoe'},
    'jmvae': {'objective.name': 'jmvae'},
    'jmvae, product, shared flow': {'objective.name': 'jmvae', **_SHARED},
    'jmvae, product, shared flow, translator': {
        'objective.name': 'jmvae', **_SHARED, 'model.translator': True,
    },
    'telbo': {'objective.name': 'telbo'},
    'mvtcae': {'objective.name': 'mvtcae'},
    'vaevae': {'objective.name': 'vaevae'},
    'mmvm': {'objective.name': 'mmvm'},
}  # fmt: skip

NUMBERS = {  # column -> its sign and the row of results.json
    'log_p_xy': (1, {'kind': 'importance-weighted', 'of': 'x+y'}),
    'joint_bound': (1, {'kind': 'bound', 'of': 'x+y', 'posterior': 'x+y'}),
    'nll_y_from_x': (-1, {'kind': 'translation', 'of': 'y', 'given': 'x'}),
    'nll_x_from_y': (-1, {'kind': 'translation', 'of': 'x', 'given': 'y'}),
}


def get_config():
    config = base.get_config()
    config.experiment = 'frontier'
    config.data.unpaired = 'all'
    config.model.network = 'dense'
    config.objective.joint_weight = 1.0
    config.optimizer.averaging = 0.995
    config.train.num_updates = 3000
    config.eval.figures = False
    return config


def sweep(add):
    for seed in range(4):
        for num_pairs in NUM_PAIRS:
            if seed < NUM_SEEDS.get(num_pairs, 2):
                for fields in WAYS.values():
                    add({**fields, 'data.num_pairs': num_pairs, 'data.seed': seed, 'seed': seed})


def rows_of(outcomes):
    """A row for each finished run: its way, num_pairs, seed and the numbers of `NUMBERS`, in nats."""
    rows = []
    for o in outcomes:
        if o.test:
            varied = {'data.num_pairs', 'data.seed', 'seed'}
            fields = {f: v for f, v in o.point.overrides.items() if f not in varied}
            (way,) = (name for name, of_way in WAYS.items() if of_way == fields)
            config = o.point.config
            rows.append({
                'way': way, 'num_pairs': config.data.num_pairs, 'seed': config.seed,
                **{name: sign * find(o.test, **row)['mean'] for name, (sign, row) in NUMBERS.items()},
            })  # fmt: skip
    ways = list(WAYS)
    return sorted(rows, key=lambda r: (r['num_pairs'], ways.index(r['way']), r['seed']))


def table(rows):
    """Rows of `rows_of`, or of its CSV file, as a table: a line for each way, a column for each number of pairs.

    In a cell are the means over seeds: log p(x, y), in brackets the joint bound, then both NLLs.
    """
    counts = sorted({int(r['num_pairs']) for r in rows})
    lines = [('objective', *(f'{pairs:,} pairs' for pairs in counts))]
    for way in dict.fromkeys(r['way'] for r in rows):
        cells = []
        for pairs in counts:
            runs = [r for r in rows if (r['way'], int(r['num_pairs'])) == (way, pairs)]
            means = [fmean(float(r[name]) for r in runs) for name in NUMBERS] if runs else ()
            cells.append('{:.1f} ({:.1f}), {:.1f}, {:.1f}'.format(*means) if runs else '')
        lines.append((way, *cells))
    return lines


def show(rows):
    return markdown_table(table(rows))


if __name__ == '__main__':
    study.run(rows_of, curves.draw_frontier, show)
