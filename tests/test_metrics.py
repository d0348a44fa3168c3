import json

import numpy as np
import pytest

from mmvae.system import metrics


def test_means_merge_into_the_mean_of_all():
    values = np.random.default_rng(0).normal(100, 3, size=50)
    merged = metrics.Mean()
    for part in np.split(values, [1, 7, 7, 30]):
        merged.add(part)
    assert merged.n == 50
    np.testing.assert_allclose(merged.mean, values.mean(), rtol=1e-12)
    np.testing.assert_allclose(merged.stderr, values.std(ddof=1) / np.sqrt(50), rtol=1e-12)


def test_one_value_has_no_standard_error():
    one = metrics.Mean()
    one.add(np.array([3.0]))
    assert one.mean == 3
    assert one.stderr is None


def test_means_come_back_from_json_to_the_bit():
    means = metrics.Means()
    means.add({'loss': np.float32([0.1, 0.7]), 'x_bound': np.float32(3.3)})
    again = metrics.Means.from_json(json.loads(json.dumps(means.to_json())))
    for one in (means, again):
        one.add({'loss': np.float32(0.3)})
    assert again.report(1) == means.report(1)


def test_rows_beyond_the_step_are_dropped_when_a_run_goes_on(tmp_path):
    path = tmp_path / 'metrics.jsonl'
    writer = metrics.MetricsWriter(tmp_path)
    for step in (1, 2, 3):
        writer.write(step, 'updates', {'loss': step / 2})
    with path.open('a') as file:
        file.write('{"step": 4, "ki')  # a kill in the middle of a line
    writer.close()
    writer = metrics.MetricsWriter(tmp_path, keep_until=2)
    writer.write(3, 'updates', {'loss': 9.0})
    writer.close()
    assert metrics.read_metrics(path) == [
        {'step': s, 'kind': 'updates', 'loss': loss} for s, loss in [(1, 0.5), (2, 1.0), (3, 9.0)]
    ]


def test_json_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'results.json'
    metrics.write_json(path, {'a': 1})
    with pytest.raises(TypeError):
        metrics.write_json(path, {'a': object()})
    assert json.loads(path.read_text()) == {'a': 1}


def test_a_table_aligns_its_columns():
    assert metrics.table([('name', 'n'), ('x', 10)]) == 'name   n\nx     10'
