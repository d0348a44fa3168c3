"""One device and several, of one process or of two, make the same updates."""

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
WAYS = {'1': (1, 1), '4': (4, 1), '2 processes x 2': (4, 2)}  # devices in all, processes


def free_port():
    with socket.socket() as free:
        free.bind(('localhost', 0))
        return free.getsockname()[1]


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    """Name of the way -> what `tests.on_devices` gives."""
    folder = tmp_path_factory.mktemp('devices')
    paths = {way: folder / f'{i}.npz' for i, way in enumerate(WAYS)}
    for way, (count, processes) in WAYS.items():
        command = [sys.executable, '-m', 'tests.on_devices', str(count), str(paths[way])]
        port, of = free_port(), str(processes)
        together = [[f'localhost:{port}', of, str(i)] * (processes > 1) for i in range(processes)]
        started = [subprocess.Popen([*command, *t], cwd=ROOT) for t in together]
        assert [process.wait(timeout=300) for process in started] == [0] * processes
    return {way: dict(np.load(path)) for way, path in paths.items()}


SEVERAL = [way for way in WAYS if way != '1']


def difference(results, way, variant):
    """The largest difference of several devices to one, over the largest movement."""
    one = results['1']['right']
    moved = np.abs(one - results['1']['initial']).max()
    return np.abs(results[way][variant] - one).max() / moved


@pytest.mark.parametrize('way', SEVERAL)
def test_several_devices_make_the_update_of_one(results, way):
    np.testing.assert_array_equal(results[way]['initial'], results['1']['initial'])
    assert difference(results, way, 'right') < 1e-4


@pytest.mark.parametrize('way', SEVERAL)
@pytest.mark.parametrize('broken', ['gradient of one device', 'free bits of one device'])
def test_and_would_not_without_a_mean_over_them(results, way, broken):
    assert difference(results, way, broken) > 1e-3


def test_nor_with_the_same_rows_in_both_processes(results):
    assert difference(results, '2 processes x 2', 'rows of the first process') > 1e-3


@pytest.mark.parametrize('way', WAYS)
def test_free_bits_hold_in_a_part_of_the_dimensions(results, way):
    added = results[way]['loss'] - results[way]['plain loss']
    # None below psi adds 0; all below adds psi - KL in each.
    assert added > 1e-3
    assert added > results[way]['all floored'] + 1e-3


@pytest.mark.parametrize('way', SEVERAL)
def test_the_loop_and_the_evaluator_give_on_four_devices_what_they_give_on_one(results, way):
    """With two updates a call, row by row; and of examples that no device's share divides."""
    for name in ('rows', 'report'):
        np.testing.assert_allclose(results[way][name], results['1'][name], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(results[way]['start'], results['1']['start'], rtol=1e-6)
