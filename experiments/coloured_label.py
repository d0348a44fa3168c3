"""Solid digits, their edge maps and which digits they are: `coloured_mnist.py` on 5,000 digits, with the label.

python launch.py --config=experiments/coloured_label.py

500 digits are seen in all three, 500 in both images, and of the 3,000 others each in one modality. The images'
networks stay convolutional: the softmax over 256 values has 602,112 outputs an image, and a fully connected last layer
as many times `hidden` weights.
"""

from ml_collections import config_dict

from experiments import coloured_mnist


def get_config():
    config = coloured_mnist.get_config()
    config.experiment = 'coloured_label'
    config.data.name = 'mnist5k'
    config.data.with_label = True
    config.data.num_pairs = config_dict.placeholder(int)  # `observed` says it
    config.data.observed = 'x+y+label=500,x+y=500'
    config.train.num_updates = 1000
    return config
