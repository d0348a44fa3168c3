"""Semi-supervised multimodal learning with generative models.

`mmvae.load(workdir)` gives the model of a run: `model, params, config = mmvae.load(...)`, or
`mmvae.load(...).encode({'x': images})`.

Where to begin reading. The way of `--config.objective.free_bits=0.1` to `jax.grad` is in brackets:

1. launch.py          reads the flags and the config file, an experiment of experiments/ that changes
                      what experiments/base.py has (the fields and their values), and calls two things:
                      [`run.folder.resolve`, then the function of `--mode`, here `run.measure.train`]
2. types.py, keys.py  the letters of shapes and `Modality`; where random numbers come from
3. config.py          [`parse`, which `resolve` calls, turns the nested config into a frozen `Config`; the
                      field is of `ObjectiveConfig`, with the check of its range]
4. model/vae.py       q(z | x) and p(x | z) of any modalities, from the networks beside it
5. objectives.py      the bounds, one example and one key at a time: `bound`; [then `loss`: minus the
                      weighted sum of the streams' bounds, each KL through `free_bits` (4.16)]
6. train.py           [`run.measure.train` calls `train`, the loop. `hyperparameters` puts the config's
                      numbers into `Hyper`, an argument of the update that `make_update` makes:
                      there `jax.grad` differentiates an inner `loss`, which calls `objectives.loss`.
                      `system.parallel.map_update` compiles the update for all devices]
7. evaluate.py        the numbers that are reported, which psi is no part of: bounds and
                      importance-weighted estimates
8. run/               `folder`, the folder of a run; `measure`, what each mode does with it

data/:      the data sets, and the streams: training examples that are seen in the same modalities
optimizer:  the rule of the update, RMSProp with Nesterov momentum
system/:    devices, checkpoints, files and signals
analysis/:  figures, tables, and what a latent is good for
sweep/:     many runs in one folder

A package or module imports from what stands before it (commas: not from each other):
types < keys < config < system < data < model < objectives < optimizer, evaluate < train < analysis < run < sweep
"""

__version__ = '0.1.0'


def load(workdir):
    """The `TrainedModel` of a run, which unpacks as (model, params, config): `mmvae.run.load`."""
    from mmvae.run.load import load

    return load(workdir)
