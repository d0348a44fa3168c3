"""Data of your own: a folder with a sub-folder of images, or a NAME.npz, for each modality.

python launch.py --config=experiments/own.py --data_dir=FOLDER --mode=check    # says what it has
python launch.py --config=experiments/own.py --data_dir=FOLDER

FOLDER/photo/*.png, FOLDER/sensors.npz (`x` [N, ...], and `id` [N] where its rows belong to
images or rows of others), ...: equal ids belong together, and an image's id is its name without the
ending, or the name of the folder that it lies in. FOLDER/labels.npz may have classes by `id`, for figures
and judges, which are never trained on. Likelihoods and sizes are guessed; one string may say them:

--config.data.modalities='photo: size=44x64 likelihood=logistic; sensors: likelihood=gaussian'
"""

from ml_collections import config_dict

from experiments import base


def get_config():
    config = base.get_config('own')
    config.experiment = 'own'
    config.data.num_pairs = config_dict.placeholder(int)  # all of them
    config.data.unpaired = 'all'  # or nothing would train q(z | x) where all are pairs
    config.model.network = 'dense'
    config.model.flow_steps = 2
    config.objective.joint_weight = 0.5
    config.optimizer.averaging = 0.995
    config.train.num_updates = 3000
    return config
