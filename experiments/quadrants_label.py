"""The four quadrants of a digit and which digit it is: five modalities, in minutes on a CPU.

python launch.py --config=experiments/quadrants_label.py

500 digits are seen whole with their label, 500 whole without it, and of the 3,000 others each in one modality.
"""

from experiments import halves_label


def get_config():
    config = halves_label.get_config()
    config.experiment = 'quadrants_label'
    config.data.view = 'quadrants'
    config.data.observed = 'x+y+v+w+label=500,x+y+v+w=500'
    return config
