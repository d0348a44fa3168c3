"""Photographs of places by day and by night, at the size of a CPU: section 7.5 of the thesis.

python launch.py --config=experiments/day_night.py --data_dir=FOLDER_OF_day_AND_night

`day_night_full.py` says how the folder is laid out, and has the thesis's sizes. With 8 places to train on, more
latents or more updates only remember these places. Here each modality is also seen by itself in all its photographs.
"""

from experiments import day_night_full


def get_config():
    config = day_night_full.get_config()
    config.experiment = 'day_night'
    config.data.unpaired = 'all'
    config.model.feature_maps = 8
    config.model.latent_dim = 16
    config.optimizer.averaging = 0.99
    config.train.num_updates = 600
    config.train.eval_every = 50
    config.train.log_every = 25
    config.train.patience = 5
    config.train.batch.paired = 16
    config.train.batch.unpaired = 16
    config.eval.train_examples = 50
    config.eval.iw_samples = 50
    config.eval.iw_examples = 50
    return config
