"""Semi-supervised multimodal learning with generative models.

`mmvae.load(workdir)` gives the model of a run: `model, params, config = mmvae.load(...)`, or
`mmvae.load(...).encode({'x': images})`.

Where to begin reading:

1. launch.py          reads the flags and the config file, an experiment of experiments/ that changes
                      what experiments/base.py has (the fields and their values); then calls the
                      function of `--mode`
2. types.py, keys.py  the letters of shapes and `Modality`; where random numbers come from
3. config.py          the nested config becomes a frozen `Config`, whose fields carry their checks
4. model/vae.py       q(z | x) and p(x | z) of any modalities, from the networks beside it
5. objectives.py      the bounds, one example and one key at a time, and the loss that they make
6. train.py           the update, then the loop
7. evaluate.py        the numbers that are reported: bounds and importance-weighted estimates
8. run/               `folder`, the folder of a run; `measure`, what each mode does with it

One way through all of it, in the order of the calls: from `--config.objective.free_bits=0.1`, which is
psi of equation (4.16), to `jax.grad`.

  launch.parse_flags            ml_collections sets the field of the experiment's nested config
  launch.dispatch               calls the next three
    run.folder.resolve          config.parse checks type and range; the owners of names check theirs
    run.folder.prepare          loads the data
    run.measure.train           the mode: trains, measures and draws
      train.train               the loop, on a
        train._Training         which keeps psi in `hyperparameters`, an argument of the update, and
                                makes the update (make_feed_and_update, then make_update)
          parallel.map_update   compiles it for all devices. In it
            jax.grad            differentiates the inner `loss`: of each example the bounds
                                (objectives.stream_bounds), their mean over the minibatch and the
                                devices, and of these means objectives.loss, whose KL goes
                                through objectives.free_bits: max(psi, KL) of each latent

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
