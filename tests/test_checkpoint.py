import logging
import os
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from mmvae.system import process
from mmvae.system.checkpoint import open_checkpoints
from mmvae.types import InputError, RunError


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
    with (
        open_checkpoints(tmp_path) as checkpoints,
        pytest.raises(RunError, match='every checkpoint in .* is damaged'),
    ):
        checkpoints.restore_latest(state(0))
    assert sorted(p.name for p in tmp_path.iterdir()) == ['1', '2']


def test_a_checkpoint_without_a_score_is_never_best(tmp_path):
    save_some(tmp_path, {1: -9.0, 2: None})
    with open_checkpoints(tmp_path) as checkpoints:
        assert_is(checkpoints.restore_best(state(0)), 1)


def test_the_first_of_equal_scores_is_best_and_is_kept(tmp_path):
    save_some(tmp_path, {1: -5.0, 2: -3.0, 3: -3.0, 4: -8.0, 5: -3.0, 6: -9.0})
    with open_checkpoints(tmp_path) as checkpoints:
        assert_is(checkpoints.restore_best(state(0)), 2)
        assert checkpoints.steps() == [2, 5, 6]


def test_a_reader_makes_cleans_and_moves_nothing(tmp_path, caplog):
    save_some(tmp_path / 'run', {1: -9.0, 2: -3.0})
    damage(tmp_path / 'run', 2)
    writing = tmp_path / 'run' / '3.orbax-checkpoint-tmp-0'
    writing.mkdir()
    with open_checkpoints(tmp_path / 'run', read_only=True) as checkpoints:
        assert_is(checkpoints.restore_latest(state(0)), 1)
        assert_is(checkpoints.restore_best(state(0)), 1)
    assert {p.name for p in (tmp_path / 'run').iterdir()} == {'1', '2', writing.name}
    with open_checkpoints(tmp_path / 'none', read_only=True) as checkpoints:
        assert checkpoints.restore_latest(state(0)) is None
    assert [p.name for p in tmp_path.iterdir()] == ['run']
    with open_checkpoints(tmp_path / 'run'):
        assert not writing.exists()


def test_a_checkpoint_removed_while_it_is_read_is_no_error(tmp_path, monkeypatch):
    save_some(tmp_path, {1: -9.0, 2: -3.0})
    with open_checkpoints(tmp_path, read_only=True) as checkpoints:
        listed = checkpoints.steps

        def remove_after_listing():
            steps = listed()
            shutil.rmtree(tmp_path / '2', ignore_errors=True)
            return steps

        monkeypatch.setattr(checkpoints, 'steps', remove_after_listing)
        assert_is(checkpoints.restore_latest(state(0)), 1)


@pytest.mark.parametrize(
    ('like', 'difference'),
    [
        (
            {**state(0), 'w': jnp.zeros((3, 4))},
            'w is float32 (3, 2) there, float32 (3, 4) here',
        ),
        ({**state(0), 'b': jnp.zeros(2)}, 'b is missing there, float32 (2,) here'),
        ({'w': jnp.zeros((3, 2))}, 'step is int32 () there, missing here'),
    ],
)
def test_other_arrays_are_told_from_damage_with_the_commit(tmp_path, like, difference):
    save_some(tmp_path, {1: -9.0})
    with open_checkpoints(tmp_path) as checkpoints, pytest.raises(InputError) as refused:
        checkpoints.restore_latest(like)
    assert f'made by another version of the code (commit {process.commit()}' in str(refused.value)
    assert difference in str(refused.value)
    assert 'remove' not in str(refused.value)
    assert (tmp_path / '1').is_dir()


def test_other_errors_are_said_as_what_they_are(tmp_path, monkeypatch):
    save_some(tmp_path / 'run', {1: -9.0})

    def fail(*args, **kwargs):
        raise MemoryError('too large')

    with open_checkpoints(tmp_path / 'run') as checkpoints:
        monkeypatch.setattr(checkpoints._orbax, 'restore', fail)
        with pytest.raises(RunError, match='cannot be read now .MemoryError: too large') as error:
            checkpoints.restore_latest(state(0))
    assert 'remove' not in str(error.value)
    assert (tmp_path / 'run' / '1').is_dir()
    undecodable = tmp_path / os.fsdecode(b'\xff')
    with pytest.raises(InputError, match='no UTF-8'), open_checkpoints(undecodable):
        pass


def test_what_a_failed_save_leaves_is_removed(tmp_path, monkeypatch):
    save_some(tmp_path, {1: -9.0})
    with open_checkpoints(tmp_path) as checkpoints:

        def fail(path, args):
            path.with_name(f'{path.name}.orbax-checkpoint-tmp').mkdir()
            raise ValueError('RESOURCE_EXHAUSTED: No space left on device')

        monkeypatch.setattr(checkpoints._orbax, 'save', fail)
        with pytest.raises(RunError, match='the one of update 1 is kept .*No space left'):
            checkpoints.save(2, state(2), {}, -1.0)
    assert [p.name for p in tmp_path.iterdir()] == ['1']
