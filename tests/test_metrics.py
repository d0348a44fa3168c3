import errno
import json
import struct

import numpy as np
import pytest
from tensorboardX import record_writer
from tensorboardX.proto import event_pb2

from mmvae.system import metrics
from mmvae.types import InputError


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
        writer.write(step, 'updates', {'loss': step / 2}, seconds=step)
    with path.open('a') as file:
        file.write('{"step": 4, "ki')  # a kill in the middle of a line
    writer.close()
    writer = metrics.MetricsWriter(tmp_path, keep_until=2)
    writer.write(3, 'updates', {'loss': 9.0}, seconds=3)
    writer.close()
    assert metrics.read_metrics(path) == [
        {'step': s, 'kind': 'updates', 'seconds': s, 'loss': loss}
        for s, loss in [(1, 0.5), (2, 1.0), (3, 9.0)]
    ]


def test_json_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'results.json'
    metrics.write_json(path, {'a': 1})
    with pytest.raises(TypeError):
        metrics.write_json(path, {'a': object()})
    assert json.loads(path.read_text()) == {'a': 1}


def test_what_could_not_be_written_whole_is_removed(tmp_path):
    def write():
        with metrics.replacing(tmp_path / 'a.csv') as partial:
            partial.write_text('half')
            raise OSError('the disk is full')

    with pytest.raises(OSError, match='full'):
        write()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('line', ['{"step": 1, "ki', '3', '{"kind": "updates"}', '\xff\0'])
def test_a_damaged_line_is_named(tmp_path, line):
    path = tmp_path / 'metrics.jsonl'
    path.write_bytes(b'{"step": 1, "kind": "updates"}\n' + line.encode('latin1') + b'\n')
    with pytest.raises(InputError, match=rf'^{path}: line 2 is damaged; remove that line.*$'):
        metrics.read_metrics(path)


def events(folder):
    """The events that TensorBoard would read: of each record its length, a checksum and bytes."""
    for path in sorted((folder / 'tensorboard').iterdir()):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack('<Q', data[:8])
            yield event_pb2.Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]


def test_tensorboard_has_the_rows_and_hides_those_that_are_written_anew(tmp_path):
    writer = metrics.MetricsWriter(tmp_path, keep_until=4)
    writer.write(5, 'updates', {'loss': 1.5}, seconds=1.0)
    # Before it is closed: a run may be killed.
    version, start, row = events(tmp_path)
    assert version.file_version == 'brain.Event:2'
    assert (start.step, start.session_log.status) == (5, event_pb2.SessionLog.START)
    (value,) = row.summary.value
    assert (row.step, value.tag, value.simple_value) == (5, 'updates/loss', 1.5)
    writer.close()


def test_a_full_disk_ends_tensorboard_alone(tmp_path, monkeypatch, caplog):
    writer = metrics.MetricsWriter(tmp_path)

    def fail(self, data):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(record_writer.RecordWriter, 'write', fail)
    for step in range(30):  # more than any queue would take
        writer.write(step, 'updates', {'loss': 1.0}, seconds=1.0)
    writer.close()
    assert len(metrics.read_metrics(tmp_path / 'metrics.jsonl')) == 30
    assert caplog.text.count('No space left') == 1
    metrics.EventFile(tmp_path).add_image(1, 'figure', np.zeros((2, 2, 3)))


def test_a_table_aligns_its_columns():
    assert metrics.table([('name', 'n'), ('x', 10)]) == 'name   n\nx     10'
