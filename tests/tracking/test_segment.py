from __future__ import annotations

import builtins
import errno
import os

import pytest

from ledgers import lost, won
from streamcore.errors import LocalError
from streamcore.tracking import segment as module
from streamcore.tracking.segment import BEGUN, ENDED, Segment, lock
from streamcore.tracking.text import encoded


@pytest.fixture
def segment(tmp_path):
    path = tmp_path / "x.journal"
    segment = Segment(path, os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR))
    yield segment
    if not segment.closed:
        segment.close(delete=False)


def short_writes(monkeypatch, *counts):
    """`os.write` writes only so many bytes at its next calls, as on a full disk; -1 raises."""
    left, write = [*counts], os.write

    def some(file, data):
        count = left.pop(0) if left else len(data)
        if count < 0:
            raise OSError(errno.ENOSPC, "no space")
        return write(file, data[:count])

    monkeypatch.setattr(os, "write", some)


def ids(records):
    return [record.tracking_id for record in records]


def test_what_was_written_is_read_again(segment):
    for number in range(3):
        segment.write(ENDED, encoded(won(number)))
    records, position = segment.read(0, segment.size)
    assert (records, position) == ([won(0), won(1), won(2)], segment.size)


def test_a_beginning_is_no_record_of_a_living_process(segment):
    segment.write(BEGUN, encoded(lost(1)))
    segment.write(ENDED, encoded(won(1)))
    assert segment.read(0, segment.size)[0] == [won(1)]


@pytest.mark.parametrize("size", [1, 10, 300, 1_000, 10_000])
def test_a_segment_is_read_in_pieces_of_whole_lines(segment, monkeypatch, size):
    monkeypatch.setattr(module, "READ_BYTES", size)
    for number in range(20):
        segment.write(ENDED, encoded(won(number)))
    position, records = 0, []
    while position < segment.size:
        some, position = segment.read(position, segment.size)
        records += some
    assert ids(records) == [str(number) for number in range(20)]


def test_a_range_that_the_file_does_not_have_is_read_as_far_as_it_goes(segment):
    segment.write(ENDED, encoded(won(1)))
    records, position = segment.read(0, segment.size + 100)
    assert (ids(records), position) == (["1"], segment.size + 100)


def test_a_beginning_without_an_end_is_a_lost_stream(segment):
    segment.write(BEGUN, encoded(lost(1)))
    segment.write(BEGUN, encoded(lost(2)))
    segment.write(ENDED, encoded(won(1)))
    assert segment.survey() == 2
    assert segment.read(0, segment.size)[0] == [lost(2), won(1)]


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_torn_tail_is_cut_wherever_it_is_torn(segment, cut):
    segment.write(ENDED, encoded(won(1)))
    segment.write(ENDED, encoded(won(2)))
    os.truncate(segment.path, segment.size - cut)
    assert (segment.survey(), segment.damaged) == (1, 0)
    assert ids(segment.read(0, segment.size)[0]) == ["1"]


def test_a_flipped_bit_anywhere_costs_one_line_and_is_counted(segment):
    for number in range(3):
        segment.write(ENDED, encoded(won(number)))
    whole = segment.path.read_bytes()
    start = whole.index(b"\n") + 1
    for place in range(start, whole.index(b"\n", start)):
        segment.damaged = 0
        segment.path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert (segment.survey(), segment.damaged >= 1) == (2, True)
        assert ids(segment.read(0, segment.size)[0]) == ["0", "2"]


def test_a_line_of_an_unknown_version_is_damaged(segment):
    segment.write(ENDED, b'{"tracking_id": 1}')
    assert (segment.survey(), segment.damaged) == (0, 1)


@pytest.mark.parametrize("count", [-1, 0, 1, 20])
def test_after_a_full_disk_the_next_line_is_whole(segment, monkeypatch, count):
    segment.write(ENDED, encoded(won(1)))
    short_writes(monkeypatch, count)
    with pytest.raises(OSError, match=r"no space|bytes were written"):
        segment.write(ENDED, encoded(won(2)))
    segment.write(ENDED, encoded(won(3)))
    assert segment.size == segment.path.stat().st_size
    assert ids(segment.read(0, segment.size)[0]) == ["1", "3"]


def test_a_cleared_segment_is_written_from_its_beginning(segment):
    segment.write(ENDED, encoded(won(1)))
    segment.clear()
    segment.write(ENDED, encoded(won(2)))
    assert ids(segment.read(0, segment.size)[0]) == ["2"]


def test_a_damaged_file_is_kept_under_another_name(segment):
    segment.damaged = 1
    segment.close(delete=True)
    assert [path.name for path in segment.path.parent.iterdir()] == ["x.damaged"]


def test_a_file_that_is_done_with_is_deleted(segment):
    segment.close(delete=True)
    assert (segment.closed, segment.path.exists()) == (True, False)


def test_a_closed_segment_cannot_write_to_a_file_that_has_its_number_now(segment, tmp_path):
    segment.close(delete=False)
    with pytest.raises(OSError, match="Bad file descriptor"):
        segment.write(ENDED, b"{}")


def test_a_locked_file_cannot_be_locked_again(segment):
    other = os.open(segment.path, os.O_RDWR)
    try:
        assert (lock(other), lock(segment._file)) == (True, False)
    finally:
        os.close(other)


def test_without_fcntl_it_says_what_to_do(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "fcntl":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(LocalError, match="leave the journal out"):
        lock(0)
