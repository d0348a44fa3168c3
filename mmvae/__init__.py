"""Semi-supervised multimodal learning with generative models.

`mmvae.load(workdir)` gives the model of a run, its parameters and its config.

A package or module imports from what stands before it (commas: not from each other):
types < keys < config < system < data < model < objectives < optimizer, evaluate < train < analysis < run < sweep
"""

__version__ = '0.1.0'


def load(workdir):
    """(model, params, config) of a run: see `mmvae.run.load.load`."""
    from mmvae.run.load import load

    return load(workdir)
