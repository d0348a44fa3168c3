"""A folder of the user's own: a sub-folder of images or a NAME.npz for each modality."""

import logging
from pathlib import Path

from mmvae.config import require
from mmvae.data import photographs
from mmvae.data.arrays import Source, Spec
from mmvae.data.checks import check_name
from mmvae.data.files import read_npz
from mmvae.types import InputError

_log = logging.getLogger(__name__)
LABELS = 'labels.npz'


def read_folder(
    folder: Path, specs: dict[str, Spec], cache: Path | None, skip_broken: bool
) -> tuple[dict[str, Source], dict[str, Source]]:
    """The modalities and the labels of a folder, as `make_data` takes them.

    Modalities that `specs` names come first, in its order, then the others in that of their names.

    Raises:
      InputError: something in the folder cannot be used.
    """
    try:
        paths = sorted(p for p in folder.iterdir() if not p.name.startswith('.'))
    except OSError as error:
        raise InputError(f'--data_dir: {folder} cannot be read ({error.strerror})') from error
    labels, by_name, others = {}, {}, []
    for path in paths:
        if path.is_file() and path.name == LABELS:
            labels = _read_labels(path)
        elif path.is_dir() or (path.is_file() and path.suffix == '.npz'):
            name = path.name if path.is_dir() else path.stem
            check_name(name, str(path))
            if name in by_name:
                raise InputError(f'{path}: {by_name[name].name} is there too; keep one of them')
            by_name[name] = path
        else:
            others.append(photographs.shown(path.name))
    if others:
        _log.warning('%s: left out, no folder or .npz file: %s', folder, ', '.join(others))
    if not by_name:
        raise InputError(f'{folder}: no sub-folder of images and no NAME.npz in it')
    allowed = f'modalities that {folder} has: {", ".join(by_name)}'
    for name in specs:
        require(name in by_name, 'data.modalities', name, allowed)
    return {
        name: _read(by_name[name], specs.get(name, Spec()), cache, skip_broken)
        for name in [*specs, *(n for n in by_name if n not in specs)]
    }, labels


def _read(path: Path, spec: Spec, cache: Path | None, skip_broken: bool) -> Source:
    if path.is_dir():
        images = photographs.read(path, spec.size, spec.channels, cache, skip_broken)
        return Source(images.pixels, images.ids, spec, path.name)
    if spec.size or spec.channels:
        raise InputError(f'{path.name}: size= and channels= are for folders of images')
    arrays = read_npz(path, 'arrays x and id')
    if not {'x'} <= {*arrays} <= {'x', 'id'}:
        raise InputError(
            f'{path.name}: has {", ".join(arrays) or "no arrays"}; wanted x [N, ...] and, where '
            'rows are paired by ids, id [N]'
        )
    return Source(arrays['x'], arrays.get('id'), spec, path.name)


def _read_labels(path: Path) -> dict[str, Source]:
    arrays = read_npz(path, 'arrays of classes, and their id')
    ids = arrays.pop('id', None)
    return {name: Source(a, ids, where=path.name) for name, a in arrays.items()}
