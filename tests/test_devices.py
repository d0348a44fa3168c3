"""One device and several make the same updates."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    """Number of devices -> parameters after updates from the same start."""
    folder = tmp_path_factory.mktemp('devices')
    for count in (1, 2, 4):
        command = [
            sys.executable,
            '-m',
            'tests.on_devices',
            str(count),
            str(folder / f'{count}.npz'),
        ]
        subprocess.run(command, cwd=ROOT, check=True)
    return {count: dict(np.load(folder / f'{count}.npz')) for count in (1, 2, 4)}


def difference(found, count, variant, optimizer):
    """The largest difference to one device, over the largest movement."""
    one = found[1][f'right, {optimizer}']
    moved = np.abs(one - found[1]['initial']).max()
    return np.abs(found[count][f'{variant}, {optimizer}'] - one).max() / moved


@pytest.mark.parametrize('count', [2, 4])
@pytest.mark.parametrize('optimizer', ['sgd', 'rmsprop'])
def test_several_devices_make_the_updates_of_one(found, count, optimizer):
    np.testing.assert_array_equal(found[count]['initial'], found[1]['initial'])
    assert difference(found, count, 'right', optimizer) < 1e-4


@pytest.mark.parametrize('broken', ['gradient of one device', 'free bits of one device'])
@pytest.mark.parametrize('optimizer', ['sgd', 'rmsprop'])
def test_and_would_not_without_a_mean_over_them(found, broken, optimizer):
    assert difference(found, 4, broken, optimizer) > 1e-3


def test_free_bits_hold_in_a_part_of_the_dimensions(found):
    for count in (1, 2, 4):
        added = found[count]['loss'] - found[count]['plain loss']
        # None below psi adds 0; all below adds psi - KL in each.
        assert added > 1e-3
        assert added > found[count]['all floored'] + 1e-3


@pytest.mark.parametrize('count', [2, 4])
def test_the_loop_and_the_evaluator_give_on_several_devices_what_they_give_on_one(found, count):
    """With two updates a call, row by row; and of examples that no device's share divides."""
    for name in ('rows', 'report'):
        np.testing.assert_allclose(found[count][name], found[1][name], rtol=1e-4, atol=1e-4)
