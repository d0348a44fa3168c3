"""Semi-supervised multimodal learning with generative models.

`mmvae.load(workdir)` gives the model of a run: `model, params, config = mmvae.load(...)`, or
`mmvae.load(...).encode({'x': images})`.

Where to begin reading, for instance for what `--config.objective.free_bits=0.1` does:

1. launch.py            reads the flags and the config file, an experiment in experiments/, which
                        changes what experiments/base.py has; `--mode` names a function of step 8
2. types.py, keys.py    the letters of shapes, `Modality`; where random numbers come from
3. config.py            `parse` makes frozen dataclasses of it: `Config.objective.free_bits`
4. model/vae.py         q(z | x) and p(x | z) of any modalities, from the networks beside it
5. objectives.py        the bounds, one example and one key at a time: `bound`; then `loss`, their
                        weighted mean with `free_bits` (4.16), which training minimises
6. train.py             `Hyper` hands the numbers of a config to the compiled update that
                        `make_update` makes, in which `jax.grad` is taken of the loss; then `train`,
                        the loop around it
7. evaluate.py          the numbers that are reported: bounds and importance-weighted estimates
8. run/                 `folder`, the folder of a run; `measure`, what each mode does with it

data/ has the data sets and who is paired with whom; optimizer.py, the update's rule; system/,
devices, checkpoints, files and signals; analysis/, figures, tables and what a latent is good for;
sweep/, many runs.

A package or module imports from what stands before it (commas: not from each other):
types < keys < config < system < data < model < objectives < optimizer, evaluate < train < analysis < run < sweep
"""

__version__ = '0.1.0'


def load(workdir):
    """The `TrainedModel` of a run, which unpacks as (model, params, config): `mmvae.run.load`."""
    from mmvae.run.load import load

    return load(workdir)
