"""Data of your own: a folder with a sub-folder of images, or a NAME.npz, for each modality.

python launch.py --config=experiments/own.py --data_dir=FOLDER --mode=check    # says what it has
python launch.py --config=experiments/own.py --data_dir=FOLDER

FOLDER/photo/*.png, FOLDER/sensors.npz (`x` [N, ...], and `id` [N] where its rows belong to
images or rows of others), ...: equal ids belong together, and an image's id is its name without the
ending, or the name of the folder that it lies in. FOLDER/labels.npz may have classes by `id`, for figures
and judges, which are never trained on. What is not said is guessed; one string may say it:

--config.data.modalities='photo: size=44x64 channels=grey likelihood=logistic components=3; sensors: likelihood=gaussian'

size         HEIGHTxWIDTH that images are resized to, whatever their proportions
channels     grey or colour; colour where any image is
likelihood   bernoulli (values 0/1 or 0/255), logistic (other images), categorical (whole numbers below
             256), gaussian (real numbers, standardised by their training rows; the nats are of the values)
values       how many values a whole number may have; components: logistics of an element, 5
network      dense or, of images, conv

data.validation and data.test are how many of the ids that every modality has are kept from training: a
share below 1, or a number. data.skip_broken=True leaves out images that cannot be read. Decoded images are
kept in FOLDER/.mmvae-cache, or in the folder data.cache, and may be deleted.
"""

from ml_collections import config_dict

from experiments import base
from mmvae.run.fit import RECIPE


def get_config():
    config = base.get_config('own')
    config.experiment = 'own'
    config.data.num_pairs = config_dict.placeholder(int)  # all of them
    config.update_from_flattened_dict(RECIPE)
    return config
