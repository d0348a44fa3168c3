"""Data sets as uint8 arrays by split, who is paired with whom, and minibatches.

`load` looks the data set up by its name; `modalities` says what it has without reading it.
"""

from mmvae.config import DataConfig
from mmvae.data import mnist
from mmvae.data.dataset import DataSet, Split, check_values
from mmvae.data.views import modalities

__all__ = ['LOADERS', 'DataSet', 'Split', 'load', 'modalities']

# data.name -> (config, data_dir) -> DataSet
LOADERS = {'mnist5k': mnist.load_mnist5k, 'mnist': mnist.load_mnist}


def load(config: DataConfig, data_dir: str | None) -> DataSet:
    """Reads and splits the data set, deals out its pairs, and checks its values once.

    Raises:
      InputError: a file is missing or not what it should be, or a value is out of range.
    """
    return check_values(LOADERS[config.name](config, data_dir))
