"""The classification of 7.4.2, with an encoder whose answers are known."""

import numpy as np
import pytest

from mmvae import evaluate
from mmvae.analysis import representation
from mmvae.data.dataset import DataSet, assign_streams
from mmvae.types import InputError, Modality
from tests import small

MODALITIES = (Modality('x', (4, 4, 1)), Modality('y', (4, 4, 1)))


def make_data(test_digits=(0, 1, 2)):
    """Three classes: x has a bright row for each, y a bright column."""
    rng = np.random.default_rng(0)
    parts, splits, start = [], {}, 0
    for name, count, digits in [('train', 300, (0, 1, 2)), ('validation', 6, (0, 1, 2)),
                                ('test', 60, test_digits)]:  # fmt: skip
        labels = rng.choice(digits, count).astype(np.uint8)
        x = rng.integers(0, 90, (count, 4, 4, 1)).astype(np.uint8)
        x[np.arange(count), labels % 4] = 255
        parts.append((x, labels))
        splits[name] = dict.fromkeys('xy', np.arange(start, start + count))
        start += count
    x, labels = map(np.concatenate, zip(*parts, strict=True))
    streams = assign_streams(np.arange(300), ('x', 'y'), 20)
    every = np.arange(start)
    return DataSet(
        MODALITIES, {'x': x, 'y': x.swapaxes(1, 2)}, splits, streams, dict.fromkeys('xy', every),
        {'digit': labels}, every,
    )  # fmt: skip


def test_accuracies_are_of_what_was_trained_on_and_tested_on(monkeypatch):
    data, fitted = make_data(), []

    def latents(model, params, examples, key, batch_size, translating):
        """Latents that x tells all about and y nothing."""
        fitted.append(len(examples.index))
        found = {}
        for name, images in examples.values().items():
            rows = images[..., 0].max(2 if name == 'x' else 1) == 255
            known = rows if name == 'x' else np.zeros_like(rows)
            found |= {f'mean_{name}': np.float32(known), f'sample_{name}': np.float32(known)}
        return found

    monkeypatch.setattr(evaluate, 'latents', latents)
    model, params, _ = small.make_model()
    rows = representation.classify(model, params, data, seed=0, batch_size=10)
    # The test set of each modality, then the unpaired examples of each.
    assert fitted == [60, 60, 140, 140]
    accuracy = {(r['train'], r['test'], r['method']): r['accuracy'] for r in rows}
    for method in ('means', 'samples', 'means, linear'):
        assert accuracy['x', 'x', method] == 1
        assert accuracy['x', 'y', method] < 0.7
        assert accuracy['y', 'y', method] < 0.7
    assert accuracy['x', 'x', 'pixels'] > 0.9
    assert accuracy['y', 'y', 'pixels'] > 0.9
    assert accuracy['x', 'y', 'pixels'] < 0.8  # rows are not columns
    assert {(r['n'], r['num_train']) for r in rows} == {(60, 140)}
    assert {r['label'] for r in rows} == {'digit'}
    heading, *lines = representation.table(rows)
    assert 'accuracy (digit)' in heading
    for row in rows:  # as older files have them
        del row['label']
    assert representation.table(rows)[1:] == lines


def test_other_shapes_meet_in_the_latent_alone_and_the_unknown_is_left_out(monkeypatch):
    data = make_data()
    # The class of the first test example and of the last ten training examples is not known.
    digits = data.labels['digit'].astype(int)
    digits[[306, *range(290, 300)]] = -1
    y = Modality('y', (16,))
    data = data._replace(
        modalities=(MODALITIES[0], y), labels={'digit': digits},
        arrays={**data.arrays, 'y': data.arrays['y'].reshape(-1, 16)},
    )  # fmt: skip

    def latents(model, params, examples, key, batch_size, translating):
        ((name, values),) = examples.values().items()
        features = np.float32(values.reshape(len(values), 16) == 255)
        return {f'mean_{name}': features, f'sample_{name}': features}

    monkeypatch.setattr(evaluate, 'latents', latents)
    monkeypatch.setattr(representation, 'SEEDS', 1)
    model, params, _ = small.make_model()
    rows = representation.classify(model, params, data, seed=0, batch_size=10)
    across = {(r['train'], r['test']) for r in rows if r['method'] == 'pixels'}
    assert across == {('x', 'x'), ('y', 'y')}
    assert len(rows) == 2 + 3 * 4
    assert {r['n'] for r in rows} == {59}
    assert {(r['train'], r['num_train']) for r in rows} == {('x', 140), ('y', 130)}


def test_an_array_row_in_many_pairs_counts_once(monkeypatch):
    data = make_data()
    many = {'x': np.repeat(data.splits['test']['x'], 3), 'y': np.tile(data.splits['test']['y'], 3)}
    monkeypatch.setattr(
        evaluate, 'latents',
        lambda model, params, examples, *more, translating: {
            f'{kind}_{name}': np.float32(data.labels['digit'][rows])[:, None]
            for name, rows in examples.rows.items() for kind in ('mean', 'sample')
        },
    )  # fmt: skip
    model, params, _ = small.make_model()
    once, often = (
        representation.classify(model, params, d, 0, 10)
        for d in (data, data._replace(splits={**data.splits, 'test': many}))
    )
    assert often == once


def test_what_cannot_be_classified_is_refused():
    model, params, _ = small.make_model()
    with pytest.raises(InputError, match='digit 8, 9 is tested on, and the classifier of x'):
        representation.classify(model, params, make_data(test_digits=(8, 9)), 0, 10)
    with pytest.raises(InputError, match='x, y and labels none; wanted: several modalities'):
        representation.classify(model, params, make_data()._replace(labels={}), 0, 10)
    unknown = {'digit': np.full(366, -1)}
    with pytest.raises(InputError, match='0 classes of digit are known of the test examples'):
        representation.classify(model, params, make_data()._replace(labels=unknown), 0, 10)
