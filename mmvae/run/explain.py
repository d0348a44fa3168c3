"""What is wrong with a flag, the name of a file or a config file, and what was meant, in one line."""

import difflib
import os
import re
import runpy
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmvae.config import nearest, show
from mmvae.types import InputError

# Flags, and a mode, that were, and what replaces them.
_REMOVED = {
    'cluster': '--mode=sweep --script writes sbatch.sh, an array job for SLURM, to --workdir',
    'cluster_options': 'edit the #SBATCH lines of sbatch.sh, which --mode=sweep --script writes',
    'markdown': 'leave it out; --mode=report writes the tables as Markdown',
    'mode=tables': '--mode=report writes the tables with all else, to --out',
    'stacked': 'leave it out; --jobs is how many points of a sweep run at a time',
}
_SYMBOLS = {'lambda': 'objective.joint_weight', 'psi': 'objective.free_bits'}


def check_flags(mode: str, flags_of: Mapping[str, Collection[str]], flags: Any) -> None:
    """Raises an `InputError` unless the flags given are the mode's, and folders' names can be.

    Args:
      flags_of: mode -> its flags; those of all modes stand in none.
      flags: absl's FLAGS.
    """
    for name in dict.fromkeys(name for names in flags_of.values() for name in names):
        if flags[name].present and name not in flags_of[mode]:
            modes = [f'--mode={other}' for other, names in flags_of.items() if name in names]
            raise InputError(f'--{name}: given with --mode={mode}; it is of {", ".join(modes)}')
    for flag in ('workdir', 'data_dir', 'images', 'out'):
        name = flags[flag].value or '.'
        try:
            if max(map(len, os.fsencode(name).split(b'/'))) > 255:
                raise ValueError('file systems allow 255 letters')
            os.lstat(name)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            pass  # whoever opens it says more
        except (OSError, ValueError) as error:
            reason = getattr(error, 'strerror', None) or error
            raise InputError(f'--{flag}: {show(name)} cannot be a name ({reason})') from error


def find_config(argv: Sequence[str], experiments: Path) -> str | None:
    """The config file that argv names, FILE.py or FILE.py:ARGUMENT, the last of several; None without one.

    Raises:
      InputError: there is no such file, or it is not clear whose fields are set.
    """
    paths = []
    for flag, following in zip(argv, [*argv[1:], ''], strict=True):
        if match := re.fullmatch('--?config(=.*)?', flag, re.DOTALL):
            paths.append(match[1][1:] if match[1] else following)
    for path in paths:
        name = path.partition(':')[0]
        if not os.path.isfile(name):  # a pipe would be waited for
            close = _close(Path(name).stem, [file.stem for file in experiments.glob('*.py')])
            hint = f'. Did you mean --config={experiments.name}/{close}.py?' if close else ''
            raise InputError(
                f'--config: {show(path)[1:-1]}: no such file; experiments are in {experiments}{hint}'
            )
    if len(paths) > 1 and any(re.match(r'--?(no)?config\.', arg) for arg in argv):
        raise InputError(f'--config: {", ".join(paths)} given; allowed: one, where fields are set')
    return paths[-1] if paths else None


def call(path: str, function: str, missing: str, *arguments: Any) -> Any:
    """What a function of a config file gives; an `InputError` where it fails, or is `missing`.

    Of FILE.py:ARGUMENT its last argument is that ARGUMENT.
    """
    file, *last = path.split(':', 1)
    try:
        defined = runpy.run_path(file).get(function)
        if defined:
            return defined(*arguments, *last)
    except (Exception, SystemExit) as error:
        text = ' '.join(f'{type(error).__name__}: {error}'.split())
        raise InputError(f'--config: {function}() of {path} failed: {text[:300]}') from error
    raise InputError(missing)


def fault(error: BaseException, argv: Sequence[str], path: str, flags: Collection[str]) -> str:
    """Why absl, with these flags, cannot parse argv: a flag, the config file at path, or a field."""
    try:
        if isinstance(error, InputError):
            raise error
        config = call(path, 'get_config', f'--config: {path} does not define get_config()')
    except InputError as reason:
        return str(reason)
    if not hasattr(config, 'to_dict'):
        return (
            f'--config: get_config() of {path} gives {show(config)}; allowed: an '
            'ml_collections.ConfigDict, as base.get_config() of the experiments gives it'
        )
    for arg in argv:
        if '=' in arg and (removed := arg.lstrip('-')) in _REMOVED:
            return f'--{removed}: there is no such mode any more; {_REMOVED[removed]}'
    unknown = getattr(error, 'flagname', 'config.')
    if not unknown.startswith('config.'):
        return _unknown_flag(unknown, flags, list(_fields(config)))
    text = str(error).strip()
    line = text.splitlines()[-1] if 'Traceback' in text else ' '.join(text.split())
    return _unknown_field(argv, config) or line[:300] or type(error).__name__


def _unknown_flag(name: str, flags: Collection[str], fields: Sequence[str]) -> str:
    if (removed := name.removeprefix('no')) in _REMOVED:
        return f'--{name}: there is no such flag any more; {_REMOVED[removed]}'
    field, flag = _SYMBOLS.get(name) or _ending(name, fields), _close(name, flags)
    if not flag:
        field = field or _close(name, fields)
    meant = f'config.{field}' if field else flag
    hint = f'Did you mean --{meant}?' if meant else '--help shows the flags'
    return f'--{show(name)[1:-1]}: no such flag. {hint}'


def _unknown_field(argv: Sequence[str], config: Mapping[str, Any]) -> str | None:
    """What to say of the first field in argv that the config does not have."""
    for arg in argv:
        match = re.match(r'--?config\.([^=]*)', arg)
        section, names = config, match[1].split('.') if match else ()
        for name in names:
            if not hasattr(section, 'keys'):
                return f'--config.{match[1]}: no such field; what is before .{name} has no fields'
            if name not in section:
                size = arg.partition('=')[2]
                if (
                    match[1] == f'train.batch.{name}'
                    and size.isdigit()
                    and not _close(name, section)
                ):
                    meant = f"--config.train.batch.by_stream='{name}={size}'"
                    return f'--config.{match[1]}: no field any more; give {meant}'
                meant = _ending(match[1], list(_fields(config)))
                hint = f'Did you mean {meant}?' if meant else nearest(name, section.keys())
                return f'--config.{match[1]}: no field {name!r}. {hint}'
            section = section[name]
    return None


def _close(name: str, known: Collection[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, known, n=1)), None)


def _ending(name: str, fields: Sequence[str]) -> str | None:
    """The one field whose full name, or the end of it, is given."""
    ends = [field for field in fields if f'.{field}'.endswith(f'.{name}')]
    return name if name in fields else ends[0] if len(ends) == 1 else None


def _fields(config: Mapping[str, Any], prefix: str = '') -> Iterator[str]:
    for name, value in config.items():
        if hasattr(value, 'keys'):
            yield from _fields(value, f'{prefix}{name}.')
        else:
            yield prefix + name
