"""Two halves of a digit and which digit it is: three modalities, in minutes on a CPU.

python launch.py --config=experiments/halves_label.py

500 digits are seen whole with their label, 500 whole without it, and of the 3,000 others each in one modality.
"""

from ml_collections import config_dict

from experiments import mnist5k_joint


def get_config():
    config = mnist5k_joint.get_config()
    config.experiment = 'halves_label'
    config.data.with_label = True
    config.data.num_pairs = config_dict.placeholder(int)  # `observed` says it
    config.data.observed = 'x+y+label=500,x+y=500'
    return config
