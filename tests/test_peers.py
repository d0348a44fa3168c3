"""The comparison with MultiVae: what both are given, and the page that is made of the committed results."""

import numpy as np
import pytest

from experiments import peers
from mmvae import data as data_sets


def test_the_page_is_made_of_the_committed_results():
    assert peers.PAGE.read_text() == peers.page(peers.read_csv())


def test_the_results_have_every_setting_once_for_a_seed():
    for (library, model, _), runs in peers.settings(peers.read_csv()).items():
        assert [run['seed'] for run in runs] == [*peers.SEEDS][: len(runs)], (library, model)
        assert {run['digits'] for run in runs} == {500}


def test_ours_are_the_settings_of_the_script():
    ours = {
        model: averaging
        for library, model, averaging in peers.settings(peers.read_csv())
        if library == 'mmvae'
    }
    assert ours == {name: peers.config_of(name, 0).optimizer.averaging for name in peers.OURS}


@pytest.mark.parametrize('name', peers.OURS)
def test_ours_have_the_data_and_updates_of_theirs(name):
    config = peers.config_of(name, 3)
    assert config.data == peers.config_of('joint', 3).data
    assert (config.train.num_updates, config.train.eval_every) == (3000, 3000)
    assert (config.train.batch.paired, config.train.batch.unpaired) == (64, 128)
    assert (config.model.hidden, config.model.latent_dim, config.model.network) == (
        128,
        64,
        'dense',
    )


def test_both_are_given_500_pairs_and_as_many_halves_of_the_other_digits():
    config = peers.config_of('joint', 0)
    data = data_sets.load(config.data, None)
    arrays = peers.halves(config, data)
    counts = {name: len(array) for name, array in arrays.items()}
    assert counts == {'pairs_x': 500, 'pairs_y': 500, 'unpaired_x': 1750, 'unpaired_y': 1750,
                      'test_x': 500, 'test_y': 500}  # fmt: skip
    seen = [data.ids[next(iter(rows))][next(iter(rows.values()))] for rows in data.streams.values()]
    assert len(np.unique(np.concatenate(seen))) == 4000
    grey = data.arrays['x'][data.splits['test']['x']]
    assert set(np.unique(arrays['test_x'])) == {0, 1}
    assert not arrays['test_x'][grey == 0].any()
    assert arrays['test_x'][grey == 255].all()
