"""What every experiment begins from: all fields, with the thesis's common settings (chapter 7).

`mmvae/config.py` has the fields with their values and what they mean, and `Options` of a loader
in mmvae/data/ those of its data set.
"""

import ml_collections
from ml_collections import config_dict

from mmvae import config, data


def get_config(data_name: str = 'mnist5k') -> ml_collections.ConfigDict:
    """The fields, with the options of one of `mmvae.data.LOADERS`."""
    options = data.LOADERS[data_name].options
    tree = ml_collections.ConfigDict(config.base(options, config_dict.placeholder))
    tree.data.name = data_name
    return tree
