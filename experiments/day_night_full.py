"""Photographs of places by day and by night, from few places: section 7.5 of the thesis, at full size.

python launch.py --config=experiments/day_night_full.py --data_dir=FOLDER_OF_day_AND_night

The folder has the sub-folders day/ and night/; a photograph's id is the folder that it lies in there, its
place, so that each day of a place is paired with each of its nights. Photographs that lie in day/ or night/
themselves are unpaired. The photographs are resized to 44x64. For an accelerator: `day_night.py` is the
size of a CPU.
"""

from ml_collections import config_dict

from experiments import base


def get_config():
    config = base.get_config('own')
    config.experiment = 'day_night_full'
    config.data.modalities = (
        'day: size=44x64 likelihood=logistic components=3; '
        'night: size=44x64 likelihood=logistic components=3'
    )
    config.data.num_pairs = config_dict.placeholder(int)  # of all places to train on
    config.data.test = 1 / 3  # of the places that have both
    config.data.validation = 2.0
    config.model.latent_dim = 192
    config.model.hidden = 256
    config.model.feature_maps = 32
    config.model.strides = (2, 2, 1, 2, 2, 1)
    config.objective.joint_weight = 0.3
    config.train.num_updates = 100000
    config.train.eval_every = 50
    config.train.log_every = 25
    config.train.patience = 20
    config.eval.batch_size = 20
    config.eval.train_examples = 200
    config.eval.iw_examples = 200
    config.eval.iw_chunk = 5
    return config
