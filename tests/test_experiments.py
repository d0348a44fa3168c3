"""An experiment's file is the experiment: the committed results are of the files they name."""

import csv
import importlib
import json
from pathlib import Path

import pytest

from mmvae.config import differences
from mmvae.run.folder import resolve

FOLDER = Path(__file__).parent.parent / 'experiments'
RESULTS = sorted((FOLDER / 'results').glob('*.json'))


def load_module(name):
    return importlib.import_module(f'experiments.{name}')


def read_csv(name):
    with (FOLDER / 'results' / name).open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize('path', RESULTS, ids=lambda path: path.name)
def test_a_result_is_of_the_file_with_its_name(path):
    result = json.loads(path.read_text())
    assert path.name.split('.')[0] == result['experiment']
    config = resolve(load_module(result['experiment']).get_config())
    of_result = resolve(result['config'])
    assert not differences(of_result, config)
    assert of_result.train == config.train
    assert of_result.eval == config.eval


def test_the_sweep_of_lambda_and_psi_is_that_of_its_file():
    points = []
    load_module('mnist5k_sweep').sweep(points.append)
    rows = read_csv('mnist5k_sweep.csv')
    swept = [{field: float(row[field]) for field in points[0]} for row in rows]
    assert sorted(swept, key=str) == sorted(points, key=str)
    assert all(row['status'] == 'finished' for row in rows)


def test_the_curve_of_pairs_is_that_of_its_file():
    points = []
    load_module('pairs_curve_mnist5k').sweep(points.append)
    runs = [(p['objective.name'], p['data.num_pairs']) for p in points]
    rows = read_csv('pairs_curve_mnist5k.csv')
    for row in rows:
        assert runs.count((row['objective'], int(row['num_pairs']))) == int(row['seeds'])
    assert len(rows) == len(set(runs))


@pytest.mark.parametrize('name', ['frontier', 'frontier_mnist'])
def test_a_frontier_is_of_the_runs_of_its_file(name):
    points, ways = [], load_module('frontier').WAYS
    load_module(name).sweep(points.append)
    data = load_module(name).get_config().data
    for row in read_csv(f'{name}.csv'):
        pairs, seed = int(row['num_pairs']), int(row['seed'])
        varied = {'data.num_pairs': pairs, 'data.seed': seed, 'seed': seed}
        if name == 'frontier_mnist':
            assert (pairs, seed) == (data.num_pairs, data.seed)
            varied = {}
        points.remove({**ways[row['way']], **varied})  # raises where it is not there
    assert not points


CONFIGS = [
    path.stem for path in sorted(FOLDER.glob('*.py')) if 'def get_config' in path.read_text()
]


@pytest.mark.parametrize('name', CONFIGS)
def test_an_experiment_has_the_name_of_its_file(name):
    assert resolve(load_module(name).get_config()).experiment == name
