from __future__ import annotations

import errno
import os
import stat

import pytest

from ledgers import lost, won
from streamcore.tracking import journal as module
from streamcore.tracking.journal import Journal
from streamcore.tracking.text import encoded


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path)
    yield journal
    if not journal._closed:
        journal.close()


def files(directory):
    return sorted(path.suffix for path in directory.iterdir())


def adopted(directory):
    """What the next process finds, and whether it is kept."""
    journal = Journal(directory)
    found = []
    for segment in journal.adopt():
        segment.survey()
        found += segment.read(0, segment.size)[0]
        segment.close(delete=False)
    journal.close()
    return found


@pytest.fixture
def synced(monkeypatch):
    """How often something was synced."""
    seen = []
    for name in ("fdatasync", "fsync"):
        if hasattr(os, name):
            monkeypatch.setattr(os, name, lambda file, name=name: seen.append(name))
    return seen


def test_it_can_only_be_read_by_its_owner(journal, tmp_path):
    journal.begin(lost(1))
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_ended_but_reached_no_sink_is_adopted(journal, tmp_path):
    journal.end(journal.begin(lost(1)), won(1))
    journal.close()
    assert adopted(tmp_path) == [won(1)]


def test_what_never_ended_is_adopted_as_lost(journal, tmp_path):
    journal.begin(lost(1))
    journal.close()
    assert adopted(tmp_path) == [lost(1)]


def test_an_end_without_a_beginning_is_kept_as_well(journal, tmp_path):
    segment, start = journal.end(None, won(1))
    assert (segment.pending, start) == (1, 0)
    journal.close()
    assert adopted(tmp_path) == [won(1)]


def test_an_end_that_cannot_be_written_keeps_nothing(journal, monkeypatch):
    def full(file, data):
        raise OSError("full")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="full"):
        journal.end(None, won(1))
    assert journal._current.pending == 0


def test_the_offset_of_an_end_is_where_its_line_is(journal):
    segment = journal.begin(lost(1))
    _, start = journal.end(segment, won(1))
    assert segment.read(start, segment.size)[0] == [won(1)]


def test_what_every_sink_has_is_forgotten(journal, tmp_path):
    segment, _ = journal.end(journal.begin(lost(1)), won(1))
    journal.settled(segment, 1)
    assert journal.size == 0
    journal.close()
    assert files(tmp_path) == []


def test_a_full_segment_is_followed_by_another_and_deleted_when_its_last_stream_is_done(journal, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SEGMENT_BYTES", 1)
    first, second = journal.begin(lost(1)), journal.begin(lost(2))
    assert first is not second
    assert journal.size == first.size + second.size
    journal.settled(first, 1)
    assert [path.name for path in tmp_path.iterdir()] == [second.path.name]


def test_lines_of_one_stream_are_in_one_segment(journal, monkeypatch):
    monkeypatch.setattr(module, "SEGMENT_BYTES", 1)
    first = journal.begin(lost(1))
    journal.begin(lost(2))
    assert journal.end(first, won(1))[0] is first


def test_beyond_the_cap_nothing_begins(journal, monkeypatch):
    monkeypatch.setattr(module, "SEGMENT_BYTES", 1)
    monkeypatch.setattr(module, "CAP_BYTES", 1)
    journal.begin(lost(1))
    with pytest.raises(OSError, match="bytes of records wait for a sink"):
        journal.begin(lost(2))


def test_a_living_process_keeps_its_own(journal, tmp_path):
    journal.begin(lost(1))
    assert adopted(tmp_path) == []


def test_a_file_that_another_deleted_first_is_passed_over(tmp_path):
    one = Journal(tmp_path)
    one.begin(lost(1))
    one.begin(lost(2))
    one.close()
    two = Journal(tmp_path)
    found = two.adopt()
    (path,) = set(tmp_path.iterdir()) - {two._current.path}
    path.with_name("0.journal").symlink_to(tmp_path / "not there")
    assert [segment.close(delete=False) or segment.path for segment in found] == [path]
    two.close()


def test_a_file_deleted_while_it_is_locked_is_passed_over(tmp_path, monkeypatch):
    one = Journal(tmp_path)
    one.begin(lost(1))
    one.close()
    real = module.lock

    def too_late(file):
        for path in tmp_path.glob("*.journal"):
            path.unlink()
        return real(file)

    two = Journal(tmp_path)
    monkeypatch.setattr(module, "lock", too_late)
    assert list(two.adopt()) == []
    two.close()


def test_an_adopted_segment_with_nothing_in_it_is_deleted(tmp_path):
    one = Journal(tmp_path)
    one.begin(lost(1))
    one.close()
    two = Journal(tmp_path)
    (segment,) = two.adopt()
    two.keep(segment, 0)
    assert not segment.path.exists()
    two.close()


def test_an_adopted_segment_that_was_not_handed_on_is_found_again(tmp_path):
    one = Journal(tmp_path)
    one.begin(lost(1))
    one.close()
    two = Journal(tmp_path)
    (segment,) = two.adopt()
    segment.survey()
    two.keep(segment, 1)
    two.close()
    assert adopted(tmp_path) == [lost(1)]


def test_in_a_forked_child_the_files_are_let_go_of_but_stay(journal, tmp_path):
    segment = journal.begin(lost(1))
    journal.abandon()
    assert (segment.closed, files(tmp_path)) == (True, [".journal"])
    journal.settled(segment, 1)
    assert files(tmp_path) == [".journal"]


def test_a_journal_that_cannot_be_locked_leaves_nothing_behind(tmp_path, monkeypatch):
    def no_locks(file):
        raise OSError("no locks")

    monkeypatch.setattr(module, "lock", no_locks)
    with pytest.raises(OSError, match="no locks"):
        Journal(tmp_path)
    assert files(tmp_path) == []


def test_by_default_nothing_is_synced(synced, tmp_path):
    journal = Journal(tmp_path)
    journal.end(journal.begin(lost(1)), won(1))
    journal.close()
    assert synced == []


def test_each_record_is_synced_if_so_wished(synced, tmp_path):
    journal = Journal(tmp_path, durability="record")
    assert synced == ["fsync"]  # the directory
    journal.end(journal.begin(lost(1)), won(1))
    journal.close()
    assert len(synced) == 3


def test_a_group_is_synced_at_once_and_once(synced, tmp_path):
    journal = Journal(tmp_path, durability="group")
    for number in range(10):
        journal.begin(lost(number))
    assert len(synced) == 1
    journal.sync()
    journal.sync()
    journal.close()
    assert len(synced) == 2


def test_where_there_is_no_fdatasync_there_is_fsync(synced, tmp_path, monkeypatch):
    monkeypatch.delattr(os, "fdatasync", raising=False)
    journal = Journal(tmp_path)
    journal.begin(lost(1))
    journal.sync()
    journal.close()
    assert synced == ["fsync"]


def test_a_size_is_what_the_files_have(journal, tmp_path):
    journal.end(journal.begin(lost(1)), won(1))
    assert journal.size == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert journal.size > len(encoded(won(1)))


def test_what_a_sink_refused_is_in_a_file_of_its_own_which_says_so(journal, tmp_path):
    segment, _ = journal.end(None, won(1))
    aside = journal.set_aside(won(1))
    assert journal.set_aside(won(2)) is aside
    assert (segment.refused, aside.refused, aside.pending) == (False, True, 2)
    journal.settled(segment, 1)
    journal.close()
    assert adopted(tmp_path) == [won(1), won(2)]


def test_what_was_refused_and_is_taken_at_last_is_deleted(journal, tmp_path):
    aside = journal.set_aside(won(1))
    journal.settled(aside, 1)
    assert not aside.path.exists()
    assert journal.set_aside(won(2)) is not aside


def test_a_full_file_of_refused_records_is_followed_by_another_and_deleted_when_they_are_taken(journal, monkeypatch):
    monkeypatch.setattr(module, "SEGMENT_BYTES", 1)
    first, second = journal.set_aside(won(1)), journal.set_aside(won(2))
    journal.settled(first, 1)
    assert (first.path.exists(), second.path.exists(), journal.set_aside(won(3)).closed) == (False, True, False)


def test_beyond_the_cap_nothing_is_set_aside(journal, monkeypatch):
    monkeypatch.setattr(module, "CAP_BYTES", 1)
    journal.begin(lost(1))
    with pytest.raises(OSError, match="bytes of records wait for a sink"):
        journal.set_aside(won(1))


def test_a_segment_that_no_other_can_follow_grows(journal, monkeypatch):
    monkeypatch.setattr(module, "SEGMENT_BYTES", 1)
    first = journal.begin(lost(1))

    def full(*_arguments):
        raise OSError(errno.EMFILE, "too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        assert journal.begin(lost(2)) is first
    assert journal.begin(lost(3)) is not first


def test_files_of_another_user_are_passed_over(journal, tmp_path, monkeypatch):
    other = Journal(tmp_path)
    other.begin(lost(1))
    other.close()

    def open(path, flags, real=os.open):
        raise PermissionError

    monkeypatch.setattr(os, "open", open)
    assert list(journal.adopt()) == []


def test_its_own_files_are_not_even_opened(journal, monkeypatch):
    journal.begin(lost(1))
    monkeypatch.delattr(os, "open")
    assert list(journal.adopt()) == []


@pytest.mark.parametrize(("name", "value"), [("OPEN_SEGMENTS", 1), ("CAP_BYTES", 2)])
def test_nothing_is_adopted_while_it_is_crowded(journal, tmp_path, monkeypatch, name, value):
    other = Journal(tmp_path)
    other.begin(lost(1))
    other.close()
    aside = journal.set_aside(won(1))
    monkeypatch.setattr(module, name, value)
    assert (journal.crowded, list(journal.adopt())) == (True, [])
    journal.settled(aside, 1)
    assert not journal.crowded
