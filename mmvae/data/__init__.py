"""Data sets as uint8 arrays by split, who is paired with whom, and minibatches."""

from mmvae.data.mnist import DataSet, Split, load, modalities

__all__ = ['DataSet', 'Split', 'load', 'modalities']
