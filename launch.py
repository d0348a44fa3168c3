"""Trains, measures and draws one experiment, or does something else with its run.

python launch.py [--config=experiments/FILE.py] [--config.FIELD=VALUE ...] [--mode=MODE] ...
"""

import contextlib
import os
import pkgutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import NamedTuple

from absl import app, flags, logging
from ml_collections import config_flags

from mmvae.reproduce.plan import SCALES


class Mode(NamedTuple):
    """What a mode does, its function in mmvae, and the flags that are the function's arguments."""

    help: str
    function: str
    flags: tuple[str, ...] = ()


_TOGETHER = ('coordinator', 'num_processes', 'process_id')  # flags of one of several processes
_MODES = {
    'train': Mode('Trains the run, or goes on with it, measures and draws it.', 'run.measure:train',
                  ('data_dir', *_TOGETHER)),
    'check': Mode('Says what the data are and what training will cost; trains nothing.', 'run.check:show', ('data_dir', 'out')),
    'eval': Mode('Measures a run again.', 'run.measure:evaluate_run', ('out',)),
    'figures': Mode('Draws the figures of a run again.', 'run.measure:draw', ('out',)),
    'encode': Mode('Writes the latents of a split.', 'run.measure:encode', ('split', 'out')),
    'represent': Mode('Classifies across modalities by the latents (table 7.2).', 'run.measure:represent', ('out',)),
    'translate': Mode('Writes translations of one modality into another.', 'run.measure:translate',
                      ('source', 'target', 'images', 'count', 'num_samples', 'out')),
    'quality': Mode('Measures how good the translations are.', 'run.measure:quality',
                    ('count', 'num_samples', 'out')),
    'sweep': Mode('Trains many runs in one folder.', 'sweep.workers:train',
                  ('sweep', 'data_dir', 'jobs', 'point', 'script')),
    'summary': Mode('Says what the runs of a sweep have reached.', 'sweep.summary:summarise'),
    'report': Mode('Writes a page: of the thesis and what came of it here, or of your runs in --workdir.', 'reproduce.page:report', ('out',)),
    'reproduce': Mode("Makes what is missing of the thesis's tables and figures, run after run.", 'reproduce.work:reproduce',
                      ('scale', 'only', 'list', 'data_dir')),
}  # fmt: skip
_COMMON = ('config', 'workdir', 'data_dir', 'mode')  # flags of all modes
_EXPERIMENTS = Path(__file__).resolve().parent / 'experiments'

_CONFIG = config_flags.DEFINE_config_file('config', help_string=(
    'An experiment, default experiments/mnist5k.py; any field of it is set after it, as in '
    '--config.objective.joint_weight=0.5.'))  # fmt: skip
flags.DEFINE_string('workdir', None, 'Folder of the run; default runs/EXPERIMENT-HASH.')
flags.DEFINE_string(
    'data_dir',
    None,
    'Folder of your own data, with mnist.npz or cifar10.npz, or of TensorFlow Datasets.',
)
flags.DEFINE_string('coordinator', None, (
    "HOST:PORT, where the first of several processes that train one run listens; or 'auto', where "
    'SLURM or a TPU pod says this and the next two.'))  # fmt: skip
flags.DEFINE_integer('num_processes', None, 'How many there are.', 1)
flags.DEFINE_integer('process_id', None, 'Which of them this is, from 0.', 0)
flags.DEFINE_enum('mode', 'train', _MODES, 'What to do; see below.')
flags.DEFINE_string('out', None, "Folder to write to; default the run's own.")
flags.DEFINE_enum('split', 'test', ('train', 'validation', 'test'), 'Default test.')
flags.DEFINE_string('source', 'x', 'The modality to translate from; default x.')
flags.DEFINE_string('target', 'y', 'The modality to translate to; default y.')
flags.DEFINE_string('images', None, 'Folder of PNG or JPEG files, instead of test examples.')
flags.DEFINE_integer('count', None, 'Test examples, 0: all; default 10, 1000 for quality.', 0)
flags.DEFINE_integer('num_samples', 8, 'Translations of each example; default 8.', 1, 10_000)
flags.DEFINE_string('sweep', None, (
    "The points: 'FIELD=VALUE,VALUE;FIELD=...' for all combinations, or a file of such lines; "
    "default the experiment's."))  # fmt: skip
flags.DEFINE_integer('jobs', None, 'Points at a time; default one a core, one a GPU.', 1)
flags.DEFINE_integer('point', None, 'Trains only this point, counted from 0, of --workdir.', 0)
flags.DEFINE_bool(
    'script', False, 'Trains nothing, but writes sbatch.sh, with which SLURM trains the points.'
)
flags.DEFINE_enum('scale', None, SCALES, (
    'smoke: all of it at toy size, on data made up; cpu: what is not committed; gpu: all of it.'))  # fmt: skip
flags.DEFINE_string('only', None, (
    "Which runs, with commas between them: 'table 7.2', 7.2, or the name of one; default all."))  # fmt: skip
flags.DEFINE_bool(
    'list', False, 'Makes nothing, but says what there is and how long the rest will take.'
)


def main(argv):
    import jax

    from mmvae.system import parallel, process

    if flags.FLAGS.coordinator:
        process.supervise(parallel.why_aborted)  # goes on in a child
    process.end_with_parent()
    from mmvae.train import Stopped
    from mmvae.types import InputError, RunError

    if not flags.FLAGS['verbosity'].present:
        logging.set_verbosity(logging.WARNING)  # the libraries' notes on every checkpoint
    try:
        if len(argv) > 1:
            raise InputError(f'{argv[1]!r}: not a flag; fields are set as --config.FIELD=VALUE')
        with printing():
            dispatch(flags.FLAGS.mode)
    except Stopped as stopped:
        parallel.wait_for_all('stopped')
        leave(128 + stopped.number)  # as a shell has it; the log says how to go on
    except (InputError, RunError) as error:
        refuse(error, code=2 if isinstance(error, InputError) else 1)
    except KeyboardInterrupt:
        refuse('interrupted; the same command goes on from the last checkpoint', code=130)
    except Exception as error:
        if parallel.is_one_of_several():
            if isinstance(error, jax.errors.JaxRuntimeError):  # perhaps another has ended
                time.sleep(2 * parallel.ALIVE_SECONDS)  # in which JAX aborts this one
            traceback.print_exc()
            leave(1)
        raise


def dispatch(name):
    """Reads the config, loads the data and does what the mode says."""
    from mmvae.config import override
    from mmvae.run import explain, folder
    from mmvae.system import parallel
    from mmvae.types import InputError

    FLAGS, mode = flags.FLAGS, _MODES[name]
    flag = FLAGS['config']
    explain.check_flags(name, {n: {*m.flags} - {*_COMMON} for n, m in _MODES.items()}, FLAGS)
    values = {n: FLAGS[n].value for n in mode.flags if FLAGS[n].value is not None}
    together = {n: values.pop(n) for n in _TOGETHER if n in values}
    if together:
        parallel.join(**together)
    values |= {n: Path(values[n]) for n in ('images', 'out') if n in values}
    function = pkgutil.resolve_name(f'mmvae.{mode.function}')
    tree, workdir = _CONFIG.value, Path(FLAGS.workdir) if FLAGS.workdir else None
    if name == 'report':
        from experiments import reproduce

        print(*function(reproduce.PLAN, _EXPERIMENTS.parent, workdir, **values), sep='\n')
    elif name == 'summary':
        print(function(tree, workdir))
    elif name == 'sweep':
        experiment = Path(config_flags.get_config_filename(flag))
        function(tree, workdir, experiment, Path(__file__).resolve(), **values)
    elif name == 'reproduce':
        from experiments import reproduce

        if config_flags.get_override_values(flag) or not flag.using_default_value:
            raise InputError('--config: not of --mode=reproduce; --only=NAME makes one experiment')
        function(reproduce.PLAN, Path(__file__).resolve(), workdir, **values)
    elif name == 'check':
        function(folder.resolve(tree), **values)
    else:
        if name != 'train' and workdir and flag.using_default_value:
            fields = config_flags.get_override_values(flag)
            tree = override(folder.read_config(workdir).to_dict(), fields)
        config = folder.resolve(tree)
        workdir = workdir or folder.default_workdir(config)
        function(config, workdir, folder.prepare(config, workdir, FLAGS.data_dir, name), **values)


@contextlib.contextmanager
def printing():
    """Exits quietly once the reader of a pipe has gone, and with a line where output cannot be written."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # for Python's own flush
        if isinstance(error, BrokenPipeError):
            sys.exit(128 + signal.SIGPIPE)
        refuse(f'the standard output or a file cannot be written ({error})', code=1)


def parse_flags(argv):
    """Parses the flags; where they are wrong, one line says so and the exit code is 2."""
    if {'--help', '-help', '-h', '-?', '--helpshort'} & set(argv):
        with printing():
            print_help()
        sys.exit(0)
    from mmvae.run import explain

    path = default = _EXPERIMENTS / 'mnist5k.py'
    try:
        argv = flags.FLAGS.read_flags_from_files(argv, force_gnu=False)
        path = explain.find_config(argv, _EXPERIMENTS) or default
        # An argument, since as the flag's default it would be read before its errors can be explained.
        rest = flags.FLAGS([argv[0], *[f'--config={path}'] * (path is default), *argv[1:]])
        _CONFIG.value.to_dict()  # raises here, where it is explained, if the file gave no ConfigDict
    except (Exception, SystemExit) as error:  # a config file may raise or give anything
        refuse(explain.fault(error, argv, str(path), list(flags.FLAGS)))
    flags.FLAGS['config'].using_default_value = path is default
    return rest


def print_help():
    """The flags: first those of every mode, then each mode with its own."""
    sections = {__doc__: _COMMON}
    sections |= {f'\n--mode={n}: {m.help}': m.flags for n, m in _MODES.items()}
    for title, names in sections.items():
        print(title)
        for name in names if names == _COMMON else [n for n in names if n not in _COMMON]:
            print(f'  --{name}', flags.text_wrap(flags.FLAGS[name].help, 90, '      '), sep='\n')


def refuse(message, code=2):
    print(f'launch.py: {" ".join(str(message).split())}', file=sys.stderr)
    leave(code)


def leave(code):
    """Exits; of several processes without waiting for the others, which would wait for this one."""
    from mmvae.system import parallel

    if parallel.is_one_of_several():
        parallel.leave(code)
    sys.exit(code)


if __name__ == '__main__':
    app.run(main, flags_parser=parse_flags)
