"""Semi-supervised multimodal learning with generative models.

`mmvae.load(workdir)` gives the model of a run, its parameters and its config.
"""

__version__ = '0.1.0'


def load(workdir):
    """(model, params, config) of a run: see `mmvae.run.load`."""
    from mmvae import run

    return run.load(workdir)
