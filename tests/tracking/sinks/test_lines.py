from __future__ import annotations

import os
import stat

import msgspec
import pytest

from ledgers import won
from streamcore.tracking.record import Record
from streamcore.tracking.sinks.lines import Callback, JSONLines


def read(path):
    """The records of a file; None for a line that is not whole."""
    found = []
    for line in path.read_bytes().splitlines():
        try:
            found.append(msgspec.json.decode(line, type=Record))
        except msgspec.DecodeError:
            found.append(None)
    return found


def test_each_record_is_a_line(tmp_path):
    sink = JSONLines(tmp_path / "records.jsonl")
    sink.write([won(1), won(2)])
    sink.write([won(3)])
    assert read(tmp_path / "records.jsonl") == [won(1), won(2), won(3)]


def test_the_file_can_only_be_read_by_its_owner(tmp_path):
    JSONLines(tmp_path / "records.jsonl").write([won(1)])
    assert stat.S_IMODE((tmp_path / "records.jsonl").stat().st_mode) == 0o600


def test_a_file_that_is_moved_away_is_followed_by_another(tmp_path):
    sink = JSONLines(tmp_path / "records.jsonl")
    sink.write([won(1)])
    (tmp_path / "records.jsonl").rename(tmp_path / "old.jsonl")
    sink.write([won(2)])
    assert (read(tmp_path / "old.jsonl"), read(tmp_path / "records.jsonl")) == ([won(1)], [won(2)])


@pytest.mark.parametrize("count", [0, 20])
def test_after_a_full_disk_the_lines_are_whole_again(tmp_path, monkeypatch, count):
    sink, write = JSONLines(tmp_path / "records.jsonl"), os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:count]))
    with pytest.raises(OSError, match="bytes were written"):
        sink.write([won(1)])
    monkeypatch.undo()
    sink.write([won(1)])
    sink.write([won(2)])
    assert read(tmp_path / "records.jsonl")[1:] == [won(1), won(2)]


def test_a_function_is_called_with_each_record():
    seen = []
    sink = Callback(seen.append)
    sink.write([won(1), won(2)])
    sink.write([won(3)])
    assert seen == [won(1), won(2), won(3)]


def test_a_function_that_raises_is_called_again_with_that_record_and_none_before():
    seen = []

    def function(record):
        seen.append(record.tracking_id)
        if seen == ["1", "2"]:
            raise ValueError

    sink = Callback(function)
    batch = [won(1), won(2), won(3)]
    with pytest.raises(ValueError):
        sink.write(batch)
    sink.write(batch)
    sink.write([won(4)])
    assert seen == ["1", "2", "2", "3", "4"]


def test_a_function_that_raises_is_not_called_again_with_those_before_when_they_come_in_parts():
    seen = []

    def function(record):
        seen.append(record.tracking_id)
        if record.tracking_id == "3":
            raise ValueError

    sink = Callback(function)
    batch = [won(number) for number in range(1, 5)]
    with pytest.raises(ValueError):
        sink.write(batch)
    sink.write(batch[:2])
    with pytest.raises(ValueError):
        sink.write(batch[2:])
    with pytest.raises(ValueError):
        sink.write(batch[2:3])
    sink.write(batch[3:])
    assert seen == ["1", "2", "3", "3", "3", "4"]


def test_a_function_is_called_again_with_a_record_that_comes_again_later():
    seen = []
    sink = Callback(lambda record: seen.append(record.tracking_id))
    sink.write([won(1)])
    sink.write([won(1)])
    assert seen == ["1", "1"]
