import logging

import jax.numpy as jnp
import numpy as np
import pytest

from mmvae.system.checkpoint import open_checkpoints
from mmvae.types import RunError


def state(step):
    return {'w': jnp.full((3, 2), step, jnp.float32), 'step': jnp.int32(step)}


def save_some(folder, scores):
    with open_checkpoints(folder) as checkpoints:
        assert checkpoints.restore_latest(state(0)) is None
        assert checkpoints.restore_best(state(0)) is None
        for step, score in scores.items():
            checkpoints.save(step, state(step), {'seconds': step / 2}, score)


def assert_is(restored, step):
    assert restored.step == step
    assert restored.meta == {'seconds': step / 2}
    np.testing.assert_array_equal(restored.state['w'], state(step)['w'])


def damage(folder, step):
    """Cuts every file of a checkpoint that is large enough to hold arrays."""
    for path in (folder / str(step) / 'state').rglob('*'):
        if path.is_file() and path.stat().st_size > 20:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_the_newest_two_and_the_best_are_kept_and_restored(tmp_path):
    save_some(tmp_path, {1: -9.0, 2: -3.0, 3: -5.0, 4: -8.0, 5: None})
    with open_checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() == 5
        assert_is(checkpoints.restore_latest(state(0)), 5)
        assert_is(checkpoints.restore_best(state(0)), 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['2', '4', '5']


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_it_used(tmp_path, caplog):
    folder = tmp_path / 'checkpoints'
    save_some(folder, {1: -9.0, 2: -3.0})
    damage(folder, 2)
    with caplog.at_level(logging.WARNING), open_checkpoints(folder) as checkpoints:
        assert_is(checkpoints.restore_latest(state(0)), 1)
        assert str(folder / '2') in caplog.text
        assert (tmp_path / 'unreadable_2' / 'state').is_dir()
        assert checkpoints.latest_step() == 1
        # The run goes on from there, over the same step again.
        checkpoints.save(2, state(2), {'seconds': 1.0}, -3.0)
        assert_is(checkpoints.restore_latest(state(0)), 2)
    damage(folder, 2)
    with open_checkpoints(folder) as checkpoints:
        assert_is(checkpoints.restore_latest(state(0)), 1)
        assert {p.name for p in tmp_path.iterdir()} == {
            'checkpoints', 'unreadable_2', 'unreadable_2_1'
        }  # fmt: skip


def test_changed_bits_are_noticed(tmp_path, monkeypatch):
    save_some(tmp_path, {1: -9.0, 2: -3.0})
    from mmvae.system import checkpoint

    whole = checkpoint._checksum
    monkeypatch.setattr(
        checkpoint, '_checksum', lambda s: whole({**s, 'w': s['w'] + (s['step'] == 2)})
    )
    with open_checkpoints(tmp_path) as checkpoints:
        assert_is(checkpoints.restore_best(state(0)), 1)


def test_no_readable_checkpoint_is_an_error_and_nothing_is_removed(tmp_path):
    save_some(tmp_path, {1: -9.0, 2: -3.0})
    for step in (1, 2):
        damage(tmp_path, step)
    with open_checkpoints(tmp_path) as checkpoints, pytest.raises(RunError, match='can be read'):
        checkpoints.restore_latest(state(0))
    assert sorted(p.name for p in tmp_path.iterdir()) == ['1', '2']


def test_a_checkpoint_without_a_score_is_never_best(tmp_path):
    save_some(tmp_path, {1: -9.0, 2: None})
    with open_checkpoints(tmp_path) as checkpoints:
        assert_is(checkpoints.restore_best(state(0)), 1)
