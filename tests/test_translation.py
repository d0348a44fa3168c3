"""Translations, on small random models and on images made by hand."""

import functools
import os
import zlib

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
from PIL import Image

from mmvae import data as data_sets
from mmvae import evaluate, keys, quantities
from mmvae.analysis import figures, translation
from mmvae.data import coloured_mnist
from mmvae.data.judges import judge_of
from mmvae.model.distributions import DiagonalGaussian
from mmvae.model.vae import observe
from mmvae.types import InputError, Modality
from tests import small

MODALITIES = (Modality('x', (4, 6, 1)), Modality('w', (2, 2, 3), 'categorical', 7))
IMAGES = small.make_images(MODALITIES, 5)
X = {'x': IMAGES['x']}


def example_keys(count=5):
    return jax.vmap(functools.partial(keys.fold, jax.random.key(0)))(jnp.arange(count))


def test_a_translation_is_of_draws_from_the_posterior_of_the_source():
    model, params, _ = small.make_model(MODALITIES)
    made = translation.translate(model, params, X, example_keys(), 'w', 3, 2)
    key = example_keys()[4]
    x = observe(MODALITIES, {'x': IMAGES['x'][4]}, key)
    np.testing.assert_array_equal(made.seen['x'][4], x['x'])
    q = model.apply({'params': params}, x, method='encode')
    z = jnp.stack([q.sample(keys.fold(key, keys.SAMPLE, s)) for s in range(3)])
    p = model.apply({'params': params}, z, ['w'], method='decode')['w']
    np.testing.assert_allclose(made.samples[4], p.mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(made.mean[4], p.mean.mean(0), rtol=1e-4, atol=1e-5)
    # The law of total variance, from the probabilities themselves.
    second = jax.nn.softmax(p.logits) @ jnp.arange(7.0) ** 2
    total = (second - p.mean**2).mean(0) + np.var(p.mean, axis=0, ddof=1)
    np.testing.assert_allclose(made.std[4] ** 2, total, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('network', ['dense', 'autoregressive'])
def test_a_translation_depends_on_its_image_and_key_alone(network):
    config = small.ModelConfig(network, 3, 5, feature_maps=6, strides=(2,), masked_blocks=1)
    model, params, _ = small.make_model(MODALITIES, config)
    whole = translation.translate(model, params, X, example_keys(), 'w', 2)
    last = {'x': IMAGES['x'][3:]}
    some = translation.translate(model, params, last, example_keys()[3:], 'w', 2, 1)
    for all_of_them, alone in zip(*map(jax.tree.leaves, (whole, some)), strict=True):
        np.testing.assert_allclose(all_of_them[3:], alone, rtol=1e-4, atol=1e-5)
    if network == 'autoregressive':  # samples are values, and differ
        assert set(np.unique(whole.samples)) <= set(range(7))
        np.testing.assert_allclose(whole.std, whole.samples.std(1, ddof=1), atol=1e-6)
        assert whole.std.max() > 0


MIXED = (small.MIXED[0], *small.MIXED[2:])  # an image, a vector and a label


def test_a_translation_into_a_label_is_the_probabilities_of_its_values(tmp_path):
    model, params, _ = small.make_model(MIXED, small.DENSE)
    values = small.make_images(MIXED, 5)
    made = translation.translate(model, params, {'v': values['v']}, example_keys(), 'kind', 3)
    q = model.apply({'params': params}, {'v': values['v'][4]}, method='encode')
    z = jnp.stack([q.sample(keys.fold(example_keys()[4], keys.SAMPLE, s)) for s in range(3)])
    p = jax.nn.softmax(model.apply({'params': params}, z, ['kind'], method='decode')['kind'].logits)
    np.testing.assert_allclose(made.samples[4], p, rtol=1e-4)
    np.testing.assert_allclose(made.mean[4], p.mean(0), rtol=1e-4)
    variance = np.mean(p * (1 - p), axis=0) + np.var(p, axis=0, ddof=1)  # of one of 3 that is 1
    np.testing.assert_allclose(made.std[4] ** 2, variance, rtol=1e-3)
    np.testing.assert_array_equal(made.seen['v'], values['v'])
    path = tmp_path / 'kind.png'
    figures.draw_translation(model.modality('v'), model.modality('kind'), made, path)
    assert matplotlib.image.imread(path)[..., :3].std() > 0.1


def test_directions_that_are_none_are_refused():
    model, *_ = small.make_model(MODALITIES)
    for source, target, word in [('q', 'w', '--source'), ('x', 'q', '--target'), ('x', 'x', 'ano')]:
        with pytest.raises(InputError, match=word):
            translation.check_direction(model, source, target)


def test_images_are_read_by_name_and_what_is_none_is_refused(tmp_path):
    modality = Modality('w', (4, 6, 3), 'categorical', 256)
    made = small.make_images([modality], 2)['w']
    for name, image in zip(('b', 'a'), made, strict=True):
        Image.fromarray(image).save(tmp_path / f'{name}.png')
    (tmp_path / 'notes.txt').write_text('not an image')
    names, images = translation.read_images(tmp_path, modality)
    assert names == ['a.png', 'b.png']
    np.testing.assert_array_equal(images, made[::-1])
    grey = Modality('x', (4, 6, 1))
    bad = {
        'holds no': (tmp_path / 'none', grey),
        'is not a folder': (tmp_path / 'a.png', grey),
        'a.png is 4x6 colour; x of this run is 4x6 grey': (tmp_path, grey),
        'a.png is 4x6 colour; w of this run is 6x4 colour': (tmp_path, Modality('w', (6, 4, 3))),
    }
    (tmp_path / 'none').mkdir()
    for message, (folder, of) in bad.items():
        with pytest.raises(InputError, match=message):
            translation.read_images(folder, of)
    # A palette is looked up, not taken for grey levels.
    flat = np.full((4, 6), 200, np.uint8)
    (tmp_path / 'palette').mkdir()
    Image.fromarray(flat).convert('P', palette=Image.Palette.ADAPTIVE).save(
        tmp_path / 'palette' / 'p.png'
    )
    _, (read,) = translation.read_images(tmp_path / 'palette', grey)
    np.testing.assert_array_equal(read[..., 0], flat)
    (tmp_path / 'c.png').write_bytes(b'\x89PNG broken')
    with pytest.raises(InputError, match='c.png cannot be read as an image'):
        translation.read_images(tmp_path, modality)


def test_images_are_brought_to_the_size_and_the_values_of_the_modality(tmp_path):
    wide = np.zeros((8, 12, 3), np.uint8)
    wide[:, 6:] = 255
    Image.fromarray(wide).save(tmp_path / 'a.png')
    binary = Modality('x', (4, 6, 1), white=1)
    _, (image,) = translation.read_images(tmp_path, binary, resize=True)
    np.testing.assert_allclose(image[:, [0, 5], 0], [[0, 1]] * 4, atol=0.05)
    few = Modality('x', (8, 12, 3), 'logistic', 17)
    vector, real = Modality('v', (12,)), Modality('r', (4, 6, 1), 'gaussian', 0)
    for modality, message in [
        (few, 'a.png has 255; x of this run has 0 to 16'),
        (
            vector,
            r'v of this run has shape \(12,\) and likelihood bernoulli; allowed: a modality of',
        ),
        (real, 'r of this run has shape .* and likelihood gaussian; allowed: a modality of'),
    ]:
        with pytest.raises(InputError, match=message):
            translation.read_images(tmp_path, modality)


def test_pipes_and_huge_images_are_refused_without_decoding(tmp_path):
    grey = Modality('x', (4, 6, 1))
    os.mkfifo(tmp_path / 'a.png')
    with pytest.raises(InputError, match='a.png cannot be read as an image .no regular file'):
        translation.read_images(tmp_path, grey)
    (tmp_path / 'a.png').unlink()

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content).to_bytes(4)
        return len(content).to_bytes(4) + kind + content + checksum

    # Of a size that would take gigabytes, and without any pixels.
    for side, reason in ((9000, 'b.png is 9000x9000 grey'), (13000, 'b.png cannot be read')):
        size = side.to_bytes(4) * 2 + bytes([8, 0, 0, 0, 0])
        content = chunk(b'IHDR', size) + chunk(b'IDAT', zlib.compress(b'')) + chunk(b'IEND', b'')
        (tmp_path / 'b.png').write_bytes(b'\x89PNG\r\n\x1a\n' + content)
        with pytest.raises(InputError, match=reason):
            translation.read_images(tmp_path, grey)


def test_diversity_and_sharpness_are_what_they_say():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(3, 4, 5, 5, 1))
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    squares = [np.mean((samples[:, i] - samples[:, j]) ** 2, axis=(1, 2, 3)) for i, j in pairs]
    np.testing.assert_allclose(translation._diversity(samples), np.sqrt(np.mean(squares, 0)))
    ramp = np.broadcast_to(np.arange(5)[None, None, :, None] / 10, (1, 5, 5, 1))
    np.testing.assert_allclose(translation._sharpness(ramp), [0.05])  # 0.1 across, 0 down


def test_a_colour_is_known_at_any_brightness():
    digits = np.zeros((3, 8, 8), np.uint8)
    digits[:, 2:5, 3:6] = 255
    colours = np.array([2, 0, 1])
    x, y = coloured_mnist.solid(digits, colours), coloured_mnist.edges(digits, colours)
    for name, image in (('x', x), ('y', y)):
        for scale in (1.0, 0.3):
            np.testing.assert_array_equal(coloured_mnist.colour_of(scale * image, name), colours)


COLOURED = (
    Modality('x', (28, 28, 3), 'categorical', 256),
    Modality('y', (28, 28, 3), 'categorical', 256),
)


class Translator:
    """In the place of a model: what `quality` asks for, of every subset."""

    def __init__(self, modalities=COLOURED):
        self.names, self._modalities = tuple(m.name for m in modalities), modalities

    def has_translator(self, names):
        return names == ('x',)

    def num_components(self, names):
        return 1

    def modality(self, name):
        return self._modalities[self.names.index(name)]

    def sources(self):
        return [*quantities.subsets(self.names).values()][:-1]

    def prior(self):
        return DiagonalGaussian.standard(2)


def test_translations_that_are_the_real_images_have_their_quality(monkeypatch):
    config = small.make_config(data__view='coloured', data__limit=500).data
    data = data_sets.load(config, None)
    test = evaluate.examples_of(data, 'test').values()

    def perfect(model, params, x, example_keys, target, num_samples):
        ((source, images),) = x.items()
        rows = {a.tobytes(): i for i, a in enumerate(test[source])}
        places = [rows[image.tobytes()] for image in images]
        real = np.float32(test[target][places])
        return translation.Translation(x, np.stack([real] * num_samples, 1), real, 0 * real)

    once = functools.cache(lambda *names: judge_of(data, *names))
    monkeypatch.setattr(translation, 'judge_of', lambda data, *names: once(*names))
    monkeypatch.setattr(translation, 'translate', perfect)
    real = {name: np.float32(images[:50]) for name, images in test.items()}
    copied = lambda model, params, z, *_: {n: images[: len(z)] for n, images in real.items()}  # noqa: E731
    monkeypatch.setattr(translation, 'pictures', copied)
    every = translation.quality(Translator(), None, data, 0, num_examples=60, num_samples=2)
    *rows, of_prior = every
    # Samples that are the real examples agree as these do, in this view always in their colour.
    assert (of_prior['source'], of_prior['target']) == ('prior', 'x+y')
    assert of_prior['colour']['mean'] == of_prior['colour_real']['mean'] == 1
    assert (of_prior['colour']['n'], of_prior['colour']['samples']) == (60, 1)
    assert 0.5 < of_prior['digit']['mean'] < 1
    assert translation.table(every)[3][:2] == ('prior', 'x+y')
    assert [(r['source'], r['target']) for r in rows] == [('y', 'x'), ('x', 'y')]
    for row in rows:
        assert row['posterior'] == {'x': 'translator given x', 'y': 'y'}[row['source']]
        assert row['digit']['mean'] == row['digit_real']['mean'] > 0.6
        assert row['colour']['mean'] == 1
        assert row['diversity']['mean'] == 0
        np.testing.assert_allclose(row['sharpness']['mean'], row['sharpness_real']['mean'])
        assert (row['digit']['n'], row['digit']['samples']) == (60, 2)

    def wrong(*args):
        made = perfect(*args)
        return made._replace(samples=np.roll(made.samples, 1, axis=0)[..., ::-1])

    monkeypatch.setattr(translation, 'translate', wrong)
    for row in translation.quality(Translator(), None, data, 0, 60, 2)[:2]:
        assert row['digit']['mean'] < 0.4
        assert row['colour']['mean'] < 0.7


def test_what_copies_is_coherent_from_every_subset_and_in_every_sample(monkeypatch):
    """Images as bright as their class, which a threshold tells, and the class itself."""
    modalities = (Modality('x', (2, 2, 1), 'categorical', 3), Modality('y', (2, 2, 1), 'categorical', 3),
                  Modality('kind', (), 'categorical', 3))  # fmt: skip
    kinds = np.arange(47) % 3
    brightness = lambda values: np.rint(2 * values[:, 0, 0, 0]).astype(int)  # noqa: E731
    judge = {'kind': lambda name: (lambda v: v.argmax(-1)) if name == 'kind' else brightness}
    data = small.make_data(modalities)._replace(labels={'kind': kinds}, judges=judge)
    for name in data.arrays:
        data.arrays[name] = (
            kinds if name == 'kind' else np.tile(kinds[:, None, None, None], (2, 2, 1))
        )

    def show(name, classes):
        images = np.tile(np.float32(classes)[:, None, None, None], (2, 2, 1))
        return np.eye(3)[classes] if name == 'kind' else images

    def copy(model, params, x, example_keys, target, num_samples, change=0):
        sources = [values.reshape(len(values), -1)[:, 0] for values in x.values()]
        assert all(np.array_equal(values, sources[0]) for values in sources)
        drawn = show(target, (sources[0] + change) % 3)
        return translation.Translation(x, np.stack([drawn] * num_samples, 1), drawn, drawn)

    def measure(*kinds_of_samples):
        drawn = dict(zip('xyk', kinds_of_samples, strict=True))
        sampled = lambda *_: {n: show(n, drawn[n[0]]) for n in ('x', 'y', 'kind')}  # noqa: E731
        monkeypatch.setattr(translation, 'pictures', sampled)
        rows = translation.quality(Translator(modalities), None, data, 0, 0, 2)
        return {(r['source'], r['target']): r['kind']['mean'] for r in rows}, rows

    monkeypatch.setattr(translation, 'translate', copy)
    of_samples = np.arange(13) % 3
    copied, rows = measure(of_samples, of_samples, of_samples)
    directions = [(s, t) for s in ('y', 'kind', 'y+kind') for t in ['x']]
    directions += [(s, t) for s in ('x', 'kind', 'x+kind') for t in ['y']]
    directions += [(s, t) for s in ('x', 'y', 'x+y') for t in ['kind']]
    pairs = [('prior', 'x+y'), ('prior', 'x+kind'), ('prior', 'y+kind'), ('prior', 'x+y+kind')]
    assert copied == dict.fromkeys([*directions, *pairs], 1)
    assert {row['kind_real']['mean'] for row in rows} == {1}
    # In 5 of 13 samples the class of y is another, in 4 others that of kind.
    one_off, two_off = np.arange(13) < 5, np.arange(13) >= 9
    monkeypatch.setattr(translation, 'translate', functools.partial(copy, change=1))
    mixed, _ = measure(of_samples, (of_samples + one_off) % 3, (of_samples + two_off) % 3)
    assert {mixed[direction] for direction in directions} == {0}
    np.testing.assert_allclose([mixed[pair] for pair in pairs], np.array([8, 9, 4, 4]) / 13)


def test_the_quality_of_vectors_and_labels_has_no_sharpness_and_counts_each_row_once(monkeypatch):
    data = small.make_data(MIXED)
    model, params, _ = small.make_model(MIXED, small.DENSE)

    def constant(model, params, x, example_keys, target, num_samples):
        means = np.zeros((len(example_keys), *model.modality(target).shown_shape))
        samples = np.stack([means, means + 1], axis=1)
        return translation.Translation(x, samples, means, means)

    monkeypatch.setattr(translation, 'translate', constant)
    many = {'x': np.repeat(data.splits['test']['x'], 2), 'v': np.tile(data.splits['test']['v'], 2),
            'kind': np.tile(data.splits['test']['kind'], 2)}  # fmt: skip
    data = data._replace(splits={**data.splits, 'test': many})
    rows = translation.quality(model, params, data, 0, num_examples=0, num_samples=2)
    assert {(r['source'], r['target']): sorted(r)[:-2] for r in rows} == {
        (s, t): ['diversity', 'posterior', *['sharpness', 'sharpness_real'] * (t == 'x')]
        for s in ('x', 'v', 'kind') for t in ('x', 'v', 'kind') if s != t
    }  # fmt: skip
    assert {r['diversity']['n'] for r in rows} == {13}
    diversity = {r['target']: r['diversity']['mean'] for r in rows}
    # Of values from 0 to 6, of real numbers of which four scales are the range, and of probabilities.
    quarters = [1 / 8, 1 / 120, 1 / 0.4]
    expected = {'x': 1 / 6, 'v': np.sqrt(np.mean(np.square(quarters))), 'kind': 1}
    for target, value in expected.items():
        np.testing.assert_allclose(diversity[target], value, rtol=1e-5)
    assert [row[-2:] for row in translation.table(rows)[1:]] == [('13', '2')] * 6


def test_what_has_one_modality_is_refused():
    model, *_ = small.make_model(MODALITIES[:1])
    with pytest.raises(InputError, match='one modality'):
        translation.check_direction(model, 'x', 'y')


def test_the_diversity_of_one_translation_is_refused():
    data = data_sets.load(small.make_config(data__view='coloured').data, None)
    with pytest.raises(InputError, match='2 or more'):
        translation.quality(Translator(), None, data, 0, num_examples=6, num_samples=1)
