"""The thesis's tables from results files."""

import itertools
import json

import pytest

from mmvae.analysis import tables
from mmvae.quantities import Quantity
from mmvae.types import InputError


def results(experiment, bound, estimate):
    def row(kind, mean, samples):
        numbers = {'mean': mean, 'stderr': 0.125, 'n': 10, 'samples': samples, 'groups': 10}
        return {**Quantity(kind, 'x', '', 'x')._asdict(), 'examples': 'all', **numbers}

    return {
        'experiment': experiment,
        'updates': 70,
        'config': {'data': {'name': 'mnist', 'view': 'whole', 'limit': 0}},
        'test': [row('bound', bound, 1), row('importance-weighted', estimate, 500)],
    }


def test_rows_have_results_or_say_that_there_are_none(tmp_path):
    for name, bound in [('mnist_vae', -91.0), ('mnist_vae_best', -89.5), ('mnist_halves', -104.0)]:
        (tmp_path / f'{name}.json').write_text(json.dumps(results(name, bound, bound + 3)))
    rows = tables.table_7_1(tables.read_results(tmp_path))
    by_label = {row[0]: row for row in rows[1:5]}
    assert list(by_label) == ['VAE', 'VAE best', 'CNN-VAE', 'AR-CNN-VAE']
    source = 'experiments/mnist_vae.py'
    assert by_label['VAE'] == (
        'VAE',
        '-91.00 +- 0.12',
        '-88.00 +- 0.12',
        '500',
        '10',
        '70',
        '>= -90',
        source,
    )
    assert by_label['VAE best'][1:3] == ('-89.50 +- 0.12', '-86.50 +- 0.12')
    assert by_label['CNN-VAE'][1] == 'no result yet'
    assert by_label['AR-CNN-VAE'][6] == '>= -82'
    text, marked = (tables.show(tmp_path, as_markdown) for as_markdown in (False, True))
    for row in rows:
        assert ' | '.join(row) in marked
        assert all(cell in text for cell in row)


def test_a_result_of_other_data_is_refused():
    halves = results('mnist_vae', -91.0, -90.0)
    halves['config']['data']['view'] = 'halves'
    with pytest.raises(InputError, match='mnist_vae is not of all whole digits'):
        tables.table_7_1({'mnist_vae': {'test': halves}})
    nothing = results('mnist_vae', -91.0, -90.0) | {'test': []}
    with pytest.raises(InputError, match='mnist_vae has no bound'):
        tables.table_7_1({'mnist_vae': {'test': nothing}})


def test_what_is_no_result_is_refused(tmp_path):
    (tmp_path / 'a.json').write_text('{"experiment": "mnist_vae"}')
    with pytest.raises(InputError, match='a.json'):
        tables.read_results(tmp_path)
    for name in 'ab':
        (tmp_path / f'{name}.json').write_text(json.dumps(results('mnist_vae', -91.0, -90.0)))
    with pytest.raises(InputError, match='second result of mnist_vae'):
        tables.read_results(tmp_path)


def of_coloured_digits(part, rows, **data):
    seen = {'name': 'mnist', 'view': 'coloured', 'limit': 0, 'edge_colours': 'separate', **data}
    config = {'data': seen, 'model': {'feature_maps': 16}}
    return {'experiment': 'coloured_mnist', 'step': 70, 'config': config, part: rows}


REPRESENTATION = [
    {'train': train, 'test': test, 'method': method, 'accuracy': 0.5 + i / 100, 'std': None,
     'n': 10, 'num_train': 20}
    for i, (train, test, method) in enumerate(
        itertools.product('xy', 'xy', ('pixels', 'means', 'samples', 'means, linear')))
]  # fmt: skip


def test_accuracies_stand_beside_the_thesiss(tmp_path):
    (tmp_path / 'a.json').write_text(
        json.dumps(of_coloured_digits('representation', REPRESENTATION))
    )
    rows = tables.table_7_2(tables.read_results(tmp_path))
    assert rows[0][3:] == ('thesis', 'coloured_mnist, 16 maps, 70 updates')
    found = {row[:3]: row[3:] for row in rows[1:]}
    assert found['x', 'y', 'means'] == ('92.21', '55.00')
    assert found['y', 'x', 'pixels'] == ('57.63', '58.00')
    assert found['y', 'y', 'means, linear'] == ('', '65.00')


def test_results_of_other_data_or_cut_short_are_refused(tmp_path):
    file = tmp_path / 'a.json'
    file.write_text(json.dumps(of_coloured_digits('representation', REPRESENTATION, limit=30)))
    quality = of_coloured_digits('translation', [])
    (tmp_path / 'b.json').write_text(json.dumps(quality))
    with pytest.raises(InputError, match='not of all coloured digits'):
        tables.show(tmp_path, as_markdown=False)
    file.write_text(json.dumps(of_coloured_digits('representation', REPRESENTATION[:3])))
    with pytest.raises(InputError, match='not complete'):
        tables.show(tmp_path, as_markdown=False)
