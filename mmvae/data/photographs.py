"""Photographs on disk, decoded and resized once to a memory-mapped file of uint8.

The folder of a modality has PNG and JPEG files, in folders of any depth; hidden names
are skipped. What is decoded is kept in a cache folder, two files a modality: the pixels, and
an index of whose they are. Both are made anew where a file's name, size or time is another.
"""

import concurrent.futures
import contextlib
import hashlib
import itertools
import json
import logging
import os
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from mmvae.system.metrics import progress_bar, replacing, write_json
from mmvae.system.process import lock
from mmvae.types import InputError

_log = logging.getLogger(__name__)
CACHE = '.mmvae-cache'
_VERSION = 1  # of what a cached file has in it
_FORMATS = ('PNG', 'JPEG')  # by content, as Pillow names them
SUFFIXES = ('.png', '.jpg', '.jpeg')
_GREY_MODES = ('1', 'L', 'LA', 'I;16')
# An image is first reduced to no less than this many times the size, by which the result cannot
# be told from that of the filter alone.
_REDUCING_GAP = 3.0
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF's orientation
_SIDEWAYS = 5


class Photographs(NamedTuple):
    """The images of a folder: uint8 [N, H, W, C], memory-mapped, and each one's path in it."""

    pixels: np.ndarray
    names: list[str]

    @property
    def ids(self) -> np.ndarray:
        """Of each image the folder that it lies in or, if that is the modality's, its stem, [N]."""
        paths = map(PurePosixPath, self.names)
        return np.array([shown(path.parent.name or path.stem) for path in paths])


class _Header(NamedTuple):
    size: tuple[int, int]  # height and width, as the image is to be seen
    is_grey: bool


def read(
    folder: Path, size: tuple[int, int] | None = None, channels: int | None = None,
    cache: Path | None = None, skip_broken: bool = False,
) -> Photographs:  # fmt: skip
    """The images of a folder in the order of their names, from the cache if they are there.

    Args:
      size: height and width that images are resized to, whatever their proportions. Left out,
        all must have one.
      channels: 1 for grey, 3 for colour. Left out, grey if every file is of a grey type.
      cache: the folder for decoded images; left out, CACHE beside `folder`.
      skip_broken: whether files that cannot be read are named and left out.

    Raises:
      InputError: there are no images, some cannot be read, they differ in size, or the cache
        cannot be written.
    """
    files, others = _find(folder)
    if others:
        _log.warning('%s: left out, no PNG or JPEG by name: %s', folder.name, some(others))
    if not files:
        raise InputError(f'{folder}: no PNG or JPEG file in it')
    times = [(name, *_size_and_time(folder / name)) for name in files]
    key = json.dumps([_VERSION, size, channels, times])
    cache = cache or folder.parent / CACHE
    path = cache / f'{folder.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.uint8'
    index = _read_index(path)
    if index is None:
        # Where several processes begin with one folder, one decodes it and the others wait.
        with lock(cache, 'data.cache', wait=True):
            index = _read_index(path) or _decode_all(
                folder, files, size, channels, path, skip_broken
            )
    _check_broken(folder, index['broken'], skip_broken)
    if index['broken']:
        _log.warning('%s: left out, cannot be read: %s', folder.name, _reasons(index['broken']))
    coloured, number = index.get('coloured', []), len(index['names'])
    if channels is None and 0 < len(coloured) < number / 2:
        is_are = 'is' if len(coloured) == 1 else 'are'
        _log.warning(
            '%s: %d of %d %s coloured (%s), so all are read as colour; channels=grey reads them as '
            'grey', folder.name, len(coloured), number, is_are, some(coloured),
        )  # fmt: skip
    return Photographs(np.memmap(path, np.uint8, 'r', shape=(*index['shape'],)), index['names'])


def decode(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """One image, uint8 [H, W, C].

    It is turned as its EXIF data say and composited on white where it is transparent; 16 bits are
    rounded to 8, and CMYK and palettes become RGB; profiles of colour are not applied. A large
    JPEG is decoded at a fraction of its size.

    Raises:
      OSError, SyntaxError or ValueError: it is damaged.
    """
    height, width, channels = shape
    with Image.open(path, formats=_FORMATS) as image:
        orientation = _orientation(image)
        stored = (height, width) if orientation >= _SIDEWAYS else (width, height)
        image.draft(None, tuple(int(_REDUCING_GAP * n) for n in stored))
        image = _flatten(image, 'L' if channels == 1 else 'RGB')
    if orientation in _TURNS:
        image = image.transpose(_TURNS[orientation])
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
    return np.asarray(image).reshape(shape)


def _flatten(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == 'I;16':
        image = Image.fromarray(((np.asarray(image, np.uint32) + 128) // 257).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert('RGBA')
        image = Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image)
    if image.mode not in ('1', 'L'):
        image = image.convert('RGB')
    return image.convert(mode)


def _orientation(image: Image.Image) -> int:
    """EXIF's: 1 is upright, and those from _SIDEWAYS on swap height and width."""
    with contextlib.suppress(Exception):  # damaged EXIF data turn nothing
        # Not PngImageFile's own, which decodes the image to look behind its pixels.
        return int(Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1))
    return 1


def _find(folder: Path) -> tuple[list[str], list[str]]:
    """Paths in the folder, sorted: those with the name of an image, and the others."""

    def fail(error):
        raise InputError(f'{error.filename}: cannot be read ({error.strerror})') from error

    images, others, visited = [], [], set()
    for place, folders, files in os.walk(folder, onerror=fail, followlinks=True):
        real = os.path.realpath(place)
        if real in visited:  # links may go round in a circle
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in files:
            if not is_hidden(name):
                is_image = name.lower().endswith(SUFFIXES)
                path = (Path(place) / name).relative_to(folder).as_posix()
                (images if is_image else others).append(path)
    return sorted(images), sorted(others)


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:  # a link to nowhere: broken, as will be said
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _read_index(path: Path) -> dict[str, Any] | None:
    """The index of a cached file, or None where either is missing or damaged."""
    try:
        index = json.loads(path.with_suffix('.json').read_text())
        is_whole = path.stat().st_size == np.prod(index['shape'])
        return index if is_whole and len(index['names']) == index['shape'][0] else None
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return None


def _decode_all(
    folder: Path, files: Sequence[str], size: tuple[int, int] | None, channels: int | None,
    path: Path, skip_broken: bool,
) -> dict[str, Any]:  # fmt: skip
    """Writes the pixels of the images that can be read to `path`, and their index beside it."""
    headers, broken = read_headers(folder, files)
    none_left = f'{folder}: none of its {_number(files)} can be read'
    if not headers:
        raise InputError(f'{none_left} ({_reasons(broken)})')
    size = size or _common_size(folder, headers)
    channels = channels or (1 if all(h.is_grey for h in headers.values()) else 3)
    shape, names = (*size, channels), []

    def try_decoding(name):
        try:
            return decode(folder / name, shape)
        except Exception as error:  # what damaged files raise is of many types
            return error

    try:
        with (
            replacing(path) as partial,
            partial.open('wb') as file,
            concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
            progress_bar(len(headers), 0, 'images', folder.name) as bar,
        ):
            for some in _in_parts(headers, 256):  # a few at a time wait to be written
                for name, pixels in zip(some, pool.map(try_decoding, some), strict=True):
                    if isinstance(pixels, Exception):
                        broken[name] = _reason(pixels)
                    else:
                        file.write(pixels.tobytes())
                        names.append(name)
                    bar.update()
            _check_broken(folder, broken, skip_broken)
            if not names:
                raise InputError(none_left)
        coloured = [name for name in names if not headers[name].is_grey]
        index = {
            'shape': [len(names), *shape], 'names': names, 'broken': broken, 'coloured': coloured,
        }  # fmt: skip
        write_json(path.with_suffix('.json'), index)
    except OSError as error:
        raise InputError(
            f'data.cache: {path.parent} cannot be written ({error.strerror}); name another with '
            'data.cache'
        ) from error
    return index


def read_headers(folder: Path, files: Sequence[str]) -> tuple[dict[str, _Header], dict[str, str]]:
    """Of the files that can be read what is needed to decode them, of the others the reason."""
    headers, broken = {}, {}
    # In this thread alone, since Python's filter of warnings is shared by all.
    with warnings.catch_warnings():
        warnings.simplefilter('error', Image.DecompressionBombWarning)
        for name in files:
            try:
                if not (folder / name).is_file():  # opening a pipe would wait for ever
                    raise OSError('no regular file')
                with Image.open(folder / name, formats=_FORMATS) as image:
                    turned = _orientation(image) >= _SIDEWAYS
                    size = image.size if turned else image.size[::-1]
                    headers[name] = _Header(size, _is_grey(image))
            except Exception as error:
                broken[name] = _reason(error)
    return headers, broken


def _is_grey(image: Image.Image) -> bool:
    if image.mode == 'P' and image.palette.mode == 'RGB':
        palette = np.frombuffer(image.palette.palette, np.uint8).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in _GREY_MODES


def _common_size(folder: Path, headers: dict[str, _Header]) -> tuple[int, int]:
    counts = Counter(header.size for header in headers.values())
    ((most, number),) = counts.most_common(1)
    if number == len(headers):
        return most
    name, (height, width) = next((n, h.size) for n, h in headers.items() if h.size != most)
    raise InputError(
        f'{folder.name}: {len(headers) - number} of {len(headers)} images differ in size '
        f'({shown(name)} is {height}x{width}, most are {most[0]}x{most[1]}); set '
        'size=HEIGHTxWIDTH'
    )


def _check_broken(folder: Path, broken: dict[str, str], skip_broken: bool) -> None:
    if broken and not skip_broken:
        raise InputError(
            f'{folder.name}: {_number(broken)} cannot be read ({_reasons(broken)}); '
            'mend or remove them, or leave them out with data.skip_broken=True'
        )


def _reasons(broken: dict[str, str]) -> str:
    return some([f'{name}: {reason}' for name, reason in broken.items()])


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return 'neither PNG nor JPEG inside'
    return ' '.join(str(error).split())[:100] or type(error).__name__


def _number(images: Collection[str]) -> str:
    return f'{len(images)} image{"s" * (len(images) != 1)}'


def some(texts: Sequence[str], most: int = 5) -> str:
    """The first of them, and how many more there are."""
    rest = f' and {len(texts) - most} more' if len(texts) > most else ''
    return ', '.join(map(shown, texts[:most])) + rest


def is_hidden(name: str) -> bool:
    """Whether a name begins with a dot, or is of the folder that archives of macOS have."""
    return name.startswith('.') or name == '__MACOSX'


def shown(name: str) -> str:
    """A file's name as any terminal can print it."""
    return os.fsencode(name).decode(errors='backslashreplace')


def _in_parts(names: Iterable[str], size: int) -> Iterable[list[str]]:
    names = iter(names)
    return iter(lambda: list(itertools.islice(names, size)), [])
