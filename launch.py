"""Trains, evaluates and draws one experiment: `python launch.py --help`."""

import functools
import runpy
import sys
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

_MODES = (
    'train', 'eval', 'figures', 'encode', 'represent', 'translate', 'quality', 'tables', 'sweep',
    'summary',
)  # fmt: skip
_DEFAULT = Path(__file__).resolve().parent / 'experiments' / 'mnist5k.py'

_CONFIG = config_flags.DEFINE_config_file(
    'config',
    help_string='An experiment (default experiments/mnist5k.py); any field of it is overridden '
    'as --config.objective.joint_weight=0.5.',
    lock_config=True,
)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the run; default runs/EXPERIMENT-HASH.')
_DATA_DIR = flags.DEFINE_string(
    'data_dir', None, 'Folder with mnist.npz, or of TensorFlow Datasets.'
)
_MODE = flags.DEFINE_enum(
    'mode', 'train', _MODES,
    'What to do with the run; tables prints the thesis\'s tables beside experiments/results, sweep '
    'trains many runs, and summary says what those in the folder of a sweep have found.',
)  # fmt: skip
_MARKDOWN = flags.DEFINE_bool('markdown', False, 'Prints the tables of --mode=tables as Markdown.')
_SPLIT = flags.DEFINE_enum(
    'split', 'test', ('train', 'validation', 'test'), 'What --mode=encode encodes.'
)
_SOURCE = flags.DEFINE_string('source', 'x', 'The modality that --mode=translate is given.')
_TARGET = flags.DEFINE_string('target', 'y', 'The modality that --mode=translate makes of it.')
_IMAGES = flags.DEFINE_string(
    'images', None, 'Folder of PNG or JPEG files to translate, instead of test examples.'
)
_COUNT = flags.DEFINE_integer(
    'count', None, 'How many test examples, 0 for all; default 10 to translate, 1,000 for quality.',
    lower_bound=0,
)  # fmt: skip
_NUM_SAMPLES = flags.DEFINE_integer(
    'num_samples', 8, 'Translations of each example.', lower_bound=1
)
_OUT = flags.DEFINE_string(
    'out', None, "Folder to write to what is made of a run; default the run's own."
)
_SWEEP = flags.DEFINE_string(
    'sweep', None, "Points of --mode=sweep: 'FIELD=VALUE,VALUE;FIELD=...' for all combinations, or a "
    'file of such lines; default: those of the experiment.',
)  # fmt: skip
_JOBS = flags.DEFINE_integer(
    'jobs', None, 'Points that run at a time; default one a core, or one on an accelerator.',
    lower_bound=1,
)  # fmt: skip
_POINT = flags.DEFINE_integer(
    'point',
    None,
    'Trains only this point, counted from 0, of the sweep in --workdir.',
    lower_bound=0,
)
_SCRIPT = flags.DEFINE_bool(
    'script', False, 'Trains nothing, but writes sbatch.sh, by which SLURM does, to the folder.'
)


def main(argv):
    from mmvae.types import InputError, RunError

    if not flags.FLAGS['verbosity'].present:
        logging.set_verbosity(logging.WARNING)  # the libraries' notes on every checkpoint
    try:
        if len(argv) > 1:
            raise InputError(f'{argv[1]!r}: not a flag; fields are set as --config.FIELD=VALUE')
        dispatch()
    except InputError as error:
        refuse(error)
    except RunError as error:
        refuse(error, code=1)
    except KeyboardInterrupt:
        refuse('interrupted; the same command goes on from the last checkpoint', code=130)


def dispatch():
    """Reads the config, loads the data and does what --mode says."""
    from mmvae.analysis import tables
    from mmvae.run import folder as run
    from mmvae.run import measure
    from mmvae.types import InputError

    if _MODE.value == 'tables':
        print(tables.show(_DEFAULT.parent / 'results', _MARKDOWN.value))
        return
    mode, workdir = _MODE.value, Path(_WORKDIR.value) if _WORKDIR.value else None
    for name in ('sweep', 'jobs', 'point', 'script'):
        if flags.FLAGS[name].present and mode != 'sweep':
            raise InputError(f'--{name}: given without --mode=sweep')
    if mode in ('sweep', 'summary'):
        run_sweep(workdir, only_summary=mode == 'summary')
        return
    tree = _CONFIG.value
    if mode != 'train' and workdir and config_path(sys.argv) is None:
        tree = run.read_config(workdir).to_dict()  # the run's own config, and the overrides
        for field, value in config_flags.get_override_values(flags.FLAGS['config']).items():
            *sections, name = field.split('.')
            functools.reduce(dict.__getitem__, sections, tree)[name] = value
    config = run.resolve(tree)
    workdir = workdir or run.default_workdir(config)
    data = run.prepare(config, workdir, _DATA_DIR.value, mode)
    out = Path(_OUT.value) if _OUT.value else None
    if out and mode == 'train':
        raise InputError('--out: given with --mode=train, which writes to --workdir')
    if mode == 'train':
        try:
            measure.train(config, workdir, data, _DATA_DIR.value)
        except run.Stopped as stopped:
            sys.exit(128 + stopped.number)  # as a shell has it; the log says how to go on
    elif mode == 'eval':
        measure.evaluate_run(config, workdir, data, out)
    elif mode == 'figures':
        measure.draw(config, workdir, data, out)
    elif mode == 'represent':
        measure.represent(config, workdir, data, out)
    elif mode == 'quality':
        count = 1000 if _COUNT.value is None else _COUNT.value
        measure.quality(config, workdir, data, _DATA_DIR.value, count, _NUM_SAMPLES.value, out)
    elif mode == 'translate':
        images = Path(_IMAGES.value) if _IMAGES.value is not None else None
        count = 10 if _COUNT.value is None else _COUNT.value
        request = measure.TranslationRequest(
            _SOURCE.value, _TARGET.value, images, count, _NUM_SAMPLES.value
        )
        measure.translate(config, workdir, data, request, out)
    else:
        measure.encode(config, workdir, data, _SPLIT.value, out)


def run_sweep(folder, only_summary):
    """Runs the points of a sweep, and says what those in its folder have found."""
    from mmvae.run import folder as run
    from mmvae.sweep import points as sweeps
    from mmvae.sweep import summary, workers
    from mmvae.types import InputError, RunError

    try:
        if _POINT.value is not None:
            if folder is None:
                raise InputError('--point: given without --workdir, the folder of a sweep')
            sweeps.run_point(folder, _POINT.value)
            return
        base = _CONFIG.value.to_dict()
        folder = folder or sweeps.default_folder(run.resolve(base))
        if not only_summary:
            experiment = Path(config_flags.get_config_filename(flags.FLAGS['config']))
            overrides = sweeps.read_overrides(_SWEEP.value, experiment)
            points, sweep = sweeps.prepare(base, overrides, folder, _DATA_DIR.value)
            launcher = Path(__file__).resolve()
            if _SCRIPT.value:
                print(workers.write_script(sweep, folder, _JOBS.value, launcher))
                return
            failed = workers.run_all(points, sweep, folder, _JOBS.value, launcher)
        print(summary.write(sweeps.read_sweep(folder).points, folder))
    except run.Stopped as stopped:
        print('launch.py: stopped; the same command goes on', file=sys.stderr)
        sys.exit(128 + stopped.number)
    if not only_summary and failed:
        name, problem = next(iter(failed.items()))
        raise RunError(
            f'{len(failed)} of {len(points)} points failed, the first {name} ({problem}); the same '
            'command tries them again'
        )


def config_path(argv):
    """The config file named in argv, or None."""
    for flag, following in zip(argv, [*argv[1:], ''], strict=True):
        name, is_set, value = flag.lstrip('-').partition('=')
        if flag.startswith('-') and name == 'config':
            return Path(value if is_set else following)
    return None


def parse_flags(argv):
    """Parses the flags; where they are wrong, one line says so and the exit code is 2."""
    if {'--help', '-help', '-h', '-?'} & set(argv):
        app.usage(shorthelp=True, writeto_stdout=True)
        sys.exit(0)
    path = config_path(argv)
    if path is None:
        # Not the flag's default: the flag would read it, and the overrides, too early to explain.
        argv = [argv[0], f'--config={_DEFAULT}', *argv[1:]]
    elif not path.is_file():
        refuse(f'--config: {path}: no such file; experiments are in {_DEFAULT.parent}')
    try:
        return flags.FLAGS(argv)
    except Exception as error:  # a config file may raise anything
        refuse(unknown_field(argv) or ' '.join(str(error).split()))


def unknown_field(argv):
    """The first override in argv whose field the config file does not have, explained."""
    from mmvae.config import nearest

    path = config_path(argv)
    try:
        module = runpy.run_path(str(path))
        if 'get_config' not in module:
            return f'--config: {path} does not define get_config()'
        config = module['get_config']()
    except Exception as error:
        return f'--config: {path} failed: {type(error).__name__}: {error}'
    for flag in argv:
        name = flag.lstrip('-').partition('=')[0]
        section = config
        for part in name.split('.')[1:] if name.startswith('config.') else ():
            if not hasattr(section, 'keys'):
                return f'--{name}: no such field; what is before .{part} has no fields'
            if part not in section:
                return f'--{name}: no field {part!r}. {nearest(part, section.keys())}'
            section = section[part]
    return None


def refuse(message, code=2):
    print(f'launch.py: {message}', file=sys.stderr)
    sys.exit(code)


if __name__ == '__main__':
    app.run(main, flags_parser=parse_flags)
