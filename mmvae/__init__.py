"""Semi-supervised multimodal learning with generative models.

From Python: `mmvae.load(workdir)` gives the model of a run, whose `encode`, `translate`, `sample` and
`log_prob` take and give the data's own values; `mmvae.Data` takes arrays, each a `mmvae.Image`,
`mmvae.Vector` or `mmvae.Label`; and `mmvae.fit(data, workdir)` trains on them.

Where to begin reading:

1. launch.py          reads the flags and the experiment's file, by default experiments/mnist5k.py,
                      which starts from the values beside the fields of config.py (by
                      experiments/base.py) and changes some; then calls the function of `--mode`
2. types.py, keys.py  the letters of shapes and `Modality`; where random numbers come from
3. config.py          the nested config becomes a frozen `Config`, whose fields carry their checks
4. model/vae.py       q(z | x) and p(x | z) of any modalities, from the networks beside it;
                      model/posteriors.py has what follows from several modalities
5. bounds.py,         a bound on the evidence, for one example and one key; the objectives, which are
   objectives.py      made of bounds, each a function that reads as its formula; and the loss
6. train.py           the update, then the loop
7. quantities.py,     the numbers that are reported, bounds and importance-weighted estimates: what
   evaluate.py        each is of, and how they are measured
8. run/               `folder`, the folder of a run; `measure`, what each mode does with it

One way through all of it, in the order of the calls: from `--config.objective.free_bits=0.1`, which is
psi of equation (4.16), to `jax.grad`. To follow one field, begin here and open these functions alone.

  launch.parse_flags              called by `app.run`, before `main`: ml_collections reads the experiment's
                                  file and sets the field, inside `flags.FLAGS([...])`. The field comes
                                  from experiments.base, by config.base: psi is 0 in config.ObjectiveConfig
  launch.main, dispatch           call the next four; the last is named in _MODES['train'], the default
    run.folder.resolve            config.parse checks type and range; _check_modalities, by
                                  objectives.check_model, that the objective has a KL for psi to be about
    run.folder.default_workdir    without --workdir: psi is part of the digest in the folder's name
    run.folder.prepare            refuses a --workdir whose run has another psi; loads the data
    run.measure.train             trains, measures and draws
      train.train                 the loop, on a
        train._Training           which puts psi into `_hyper` (train.hyperparameters), the last argument of
                                  the update, and makes the update: make_feed_and_update, then
                                  make_update. That one's `config` has psi too, which is not read there:
                                  one compiled update serves every psi
        train._Training.update    compiles it for all devices with system.parallel.map_update, and calls it
          the inner `update` that make_update returns calls
            jax.grad              by the parameters, of the `loss` beside it: the terms of each example
                                  (objectives.stream_terms), their mean over the minibatch and the
                                  devices, and of these means objectives.loss, whose KL goes through
                                  objectives.free_bits: where psi > 0, the sum of max(psi, KL) over latents

data/:      the data sets, and the streams: training examples that are seen in the same modalities
optimizer:  the rule of the update, RMSProp with Nesterov momentum
system/:    devices, checkpoints, files and signals
analysis/:  figures, curves, and what a latent is good for
sweep/:     many runs in one folder
reproduce/: the runs behind the thesis's tables, and pages of results

A package or module imports from those before it; two with a comma between them do not import each other:
types < quantities < keys < config < system < data < model < bounds < objectives < optimizer, evaluate < train < analysis < run < sweep < reproduce
"""

import importlib

__version__ = '0.1.0'

# Imported when they are asked for: `import mmvae` alone takes no time.
_NAMES = {
    'load': 'mmvae.run.load',
    'fit': 'mmvae.run.fit',
    **dict.fromkeys(('Data', 'Image', 'Label', 'Vector'), 'mmvae.data.memory'),
}


def __getattr__(name):
    if name not in _NAMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(_NAMES[name]), name)


def __dir__():
    return [*globals(), *_NAMES]
