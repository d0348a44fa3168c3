"""A folder of the user's own: a sub-folder of images or a NAME.npz for each modality."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

from mmvae.config import DataConfig, checked, flag, require
from mmvae.data import photographs
from mmvae.data.arrays import Source, Spec, make_data, parse_specs
from mmvae.data.checks import check_name
from mmvae.data.dataset import DataSet
from mmvae.data.files import read_npz
from mmvae.types import InputError

_log = logging.getLogger(__name__)
LABELS = 'labels.npz'


def _text() -> Any:
    allowed = 'at most 10,000 characters in one line'
    return checked(str, lambda v: len(v) <= 10_000 and v.isprintable(), allowed, default='')


def number_of_ids() -> Any:
    allowed = 'a share above 0 and below 1, or a whole number, of the ids that every modality has'
    return checked(float, lambda v: 0 < v < 1 or (v >= 1 and v.is_integer()), allowed, default=0.1)


@dataclasses.dataclass(frozen=True)
class Options:
    modalities: str = _text()  # what is known of them: see `arrays.parse_specs`
    validation: float = number_of_ids()
    test: float = number_of_ids()
    skip_broken: bool = flag(default=False)  # whether images that cannot be read are left out
    cache: str = _text()  # folder for the decoded images; '' is .mmvae-cache in DATA_DIR

    def __post_init__(self):
        parse_specs(self.modalities)


def load(config: DataConfig, data_dir: str | None) -> DataSet:
    """The data set of a folder; `data.seed` draws the ids to validate and test on, and the pairs.

    Raises:
      InputError: something in the folder, or what is said of it, cannot be used.
    """
    if not data_dir:
        raise InputError(
            f"--data_dir: not given; data.name='{config.name}' is read from a folder with a "
            'sub-folder of images or a NAME.npz for each modality'
        )
    options = config.options
    sources, labels = read_folder(
        Path(data_dir), parse_specs(options.modalities),
        Path(options.cache) if options.cache else None, options.skip_broken,
    )  # fmt: skip
    return make_data(
        sources, labels, validation=options.validation, test=options.test, **config.dealing
    )


def read_folder(
    folder: Path, specs: dict[str, Spec], cache: Path | None, skip_broken: bool
) -> tuple[dict[str, Source], dict[str, Source]]:
    """The modalities and the labels of a folder, as `make_data` takes them.

    Modalities that `specs` names come first, in its order, then the others in that of their names.

    Raises:
      InputError: something in the folder cannot be used.
    """
    try:
        paths = sorted(p for p in folder.iterdir() if not photographs.is_hidden(p.name))
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
            others.append(path.name)
    if not by_name:
        has_images = any(name.lower().endswith(photographs.SUFFIXES) for name in others)
        mend = '; it holds images itself: give the folder above it' if has_images else ''
        raise InputError(f'{folder}: no sub-folder of images and no NAME.npz in it{mend}')
    if others:
        left_out = photographs.some(others)
        _log.warning('%s: left out, no folder or .npz file: %s', folder, left_out)
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
