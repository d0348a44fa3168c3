"""Which objective for how many pairs: the field's objectives on the halves of 5,000 digits.

python launch.py --mode=sweep --config=experiments/frontier.py --workdir=SWEEP

Every objective with its own posterior, and `joint` and `jmvae` with a product and a flow that all posteriors
share, on 50, 200, 500 and all 4,000 pairs: 140 runs of equal networks, minibatches and updates. lambda is 1, of
`joint` 0.3 as well. Two seeds, four at 500 pairs, each with pairs and test digits of its own. Streams of one
modality draw from all digits whoever is paired.
"""

from experiments import base

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
    'jmvae, alpha 0.5, product, shared flow': {
        'objective.name': 'jmvae', 'objective.alpha': 0.5, **_SHARED,
    },
    'telbo': {'objective.name': 'telbo'},
    'mvtcae': {'objective.name': 'mvtcae'},
    'vaevae': {'objective.name': 'vaevae'},
    'mmvm': {'objective.name': 'mmvm'},
}  # fmt: skip


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
