"""One device and several make the same updates."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    """Number of devices -> what `tests.on_devices` gives."""
    folder = tmp_path_factory.mktemp('devices')
    for count in (1, 4):
        path = folder / f'{count}.npz'
        command = [sys.executable, '-m', 'tests.on_devices', str(count), str(path)]
        subprocess.run(command, cwd=ROOT, check=True)
    return {count: dict(np.load(folder / f'{count}.npz')) for count in (1, 4)}


def difference(results, variant):
    """The largest difference of 4 devices to one, over the largest movement."""
    one = results[1]['right']
    moved = np.abs(one - results[1]['initial']).max()
    return np.abs(results[4][variant] - one).max() / moved


def test_several_devices_make_the_update_of_one(results):
    np.testing.assert_array_equal(results[4]['initial'], results[1]['initial'])
    assert difference(results, 'right') < 1e-4


@pytest.mark.parametrize('broken', ['gradient of one device', 'free bits of one device'])
def test_and_would_not_without_a_mean_over_them(results, broken):
    assert difference(results, broken) > 1e-3


@pytest.mark.parametrize('count', [1, 4])
def test_free_bits_hold_in_a_part_of_the_dimensions(results, count):
    added = results[count]['loss'] - results[count]['plain loss']
    # None below psi adds 0; all below adds psi - KL in each.
    assert added > 1e-3
    assert added > results[count]['all floored'] + 1e-3


def test_the_loop_and_the_evaluator_give_on_four_devices_what_they_give_on_one(results):
    """With two updates a call, row by row; and of examples that no device's share divides."""
    for name in ('rows', 'report'):
        np.testing.assert_allclose(results[4][name], results[1][name], rtol=1e-4, atol=1e-4)
