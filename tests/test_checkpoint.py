import jax.numpy as jnp
import numpy as np

from mmvae.checkpoint import open_checkpoints


def state(step):
    return {'w': jnp.full((3, 2), step, jnp.float32), 'step': jnp.int32(step)}


def test_the_newest_and_the_best_are_kept_and_restored(tmp_path):
    with open_checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() is None
        assert checkpoints.best_step() is None
        for step, score in [(1, -9.0), (2, -3.0), (3, -5.0), (4, -8.0)]:
            checkpoints.save(step, state(step), {'seconds': step / 2}, score)
    with open_checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() == 4
        assert checkpoints.best_step() == 2
        for step in (2, 4):
            restored = checkpoints.restore_state(step, state(0))
            np.testing.assert_array_equal(restored['w'], state(step)['w'])
            assert checkpoints.restore_meta(step) == {'seconds': step / 2}
    assert sorted(p.name for p in tmp_path.iterdir()) == ['2', '4']
