from __future__ import annotations

import errno
import logging
import os
import threading

import pytest

from ledgers import Kept, left, lost, run, won
from streamcore.tracking import journal as journals
from streamcore.tracking import keeper as module
from streamcore.tracking.journal import Journal
from streamcore.tracking.ledger import Ledger
from streamcore.tracking.segment import Segment


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "journal"


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(module, "ADOPT_SECONDS", 0.001)
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.001)


class Awaited(Kept):
    """A sink that says when it has a record."""

    def __init__(self, id):
        super().__init__()
        self.id = id
        self.there = threading.Event()

    def write(self, records):
        super().write(records)
        if self.id in self.ids:
            self.there.set()


def files(directory):
    return sorted(path.suffix for path in directory.iterdir())


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("durability", ["process", "group"])
def test_what_a_process_leaves_is_taken_over_by_one_that_lives_on(directory, durability):
    sink = Awaited("late")
    with Ledger(sink, journal=directory, durability=durability) as ledger:
        run(ledger, "own")
        assert ledger.flush(30)
        left(directory, begun=[lost("cut")], ended=[won("late")])
        assert sink.there.wait(30)
        assert ledger.flush(30)
        assert (sorted(sink.ids), ledger.state.adopted) == (["cut", "late", "own"], 2)
    assert files(directory) == []


@pytest.mark.usefixtures("often")
def test_of_many_processes_that_look_one_takes_over(directory):
    sinks = [Kept() for _ in range(5)]
    ledgers = [Ledger(sink, journal=directory) for sink in sinks]
    for number in range(40):
        left(directory, ended=[won(number)])
        run(ledgers[number % 5], f"own {number}")
    last = Kept()
    while files(directory) != [".journal"] * 5:
        assert all(ledger.flush(30) for ledger in ledgers)
    for ledger in ledgers:
        ledger.close()
    with Ledger(last, journal=directory) as ledger:
        assert ledger.flush(30)
    assert last.ids == []
    ids = [id for sink in sinks for id in sink.ids]
    assert sorted(ids) == sorted([*map(str, range(40)), *(f"own {number}" for number in range(40))])


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize(("name", "value"), [("OPEN_SEGMENTS", 2), ("CAP_BYTES", 500)])
def test_no_more_is_taken_over_at_once_than_can_be_open_and_in_the_end_all_is(directory, monkeypatch, name, value):
    for number in range(20):
        left(directory, ended=[won(number)])
    monkeypatch.setattr(journals, name, value)
    most = []

    class Watched(Kept):
        def write(self, records):
            most.append(len(ledger._journal._others))
            super().write(records)

    sink = Watched()
    ledger_is_there = threading.Event()
    monkeypatch.setattr(Journal, "adopt", lambda self, real=Journal.adopt: ledger_is_there.wait() and real(self))
    with Ledger(sink, journal=directory) as ledger:
        ledger_is_there.set()
        assert ledger.flush(60)
    assert (sorted(sink.ids, key=int), max(most) <= 2) == ([str(number) for number in range(20)], True)


def test_without_a_sink_nothing_is_taken_over(directory):
    path = left(directory, ended=[won("a")])
    with Ledger(journal=directory) as ledger:
        run(ledger, "b")
        assert ledger.flush(30)
    assert [*directory.iterdir()] == [path]


@pytest.mark.usefixtures("often")
def test_a_look_that_fails_is_counted_said_once_and_repeated(directory, monkeypatch, caplog):
    failures = [OSError(errno.EMFILE, "too many open files"), OSError()]

    def adopt(self, real=Journal.adopt):
        if failures:
            raise failures.pop(0)
        return real(self)

    monkeypatch.setattr(Journal, "adopt", adopt)
    left(directory, ended=[won("a")])
    sink = Awaited("a")
    with Ledger(sink, journal=directory) as ledger:
        assert sink.there.wait(30)
        assert (ledger.state.failures, ledger.state.error) == (2, None)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "what dead processes left is not taken over (OSError)")
    ]


def test_a_file_that_cannot_be_read_is_let_go_of(directory, monkeypatch):
    def survey(self):
        raise OSError(errno.EIO, "io")

    path = left(directory, ended=[won("a")])
    with monkeypatch.context() as patch:
        patch.setattr(Segment, "survey", survey)
        with Ledger(Kept(), journal=directory) as ledger:
            assert ledger.flush(30)
            assert ledger.state.failures == 1
    assert [*directory.iterdir()] == [path]
    with Ledger(sink := Kept(), journal=directory) as ledger:
        assert ledger.flush(30)
    assert sink.ids == ["a"]


def test_who_closes_the_ledger_ends_a_look(directory, monkeypatch):
    paths = [left(directory, ended=[won(id)]) for id in "abc"]
    surveying, closing = threading.Event(), threading.Event()

    def survey(self):
        surveying.set()
        closing.wait()
        return 1

    monkeypatch.setattr(Segment, "survey", survey)
    ledger = Ledger(sink := Kept(), journal=directory)
    surveying.wait()
    ledger._keeper._stop.set()
    closing.set()
    ledger.close()
    assert (sink.ids, ledger.state.adopted, sorted(directory.iterdir())) == ([], 0, paths)


def test_a_group_is_synced_in_a_thread_even_at_the_end(directory, monkeypatch):
    synced = []

    def sync(file):
        synced.append(threading.current_thread().name)
        os.close(file)

    monkeypatch.setattr(module, "GROUP_SECONDS", 3600)
    monkeypatch.setattr(module, "sync", sync)
    ledger = Ledger(Kept(), journal=directory, durability="group")
    ledger.begin(lost("a"))
    ledger.close()
    assert synced == ["streamcore-journal"]


def test_a_group_is_synced_again_and_again(directory, monkeypatch):
    twice, seen = threading.Event(), []

    def dirty(self):
        seen.append(None)
        if len(seen) > 1:
            twice.set()
        return []

    monkeypatch.setattr(Journal, "dirty", dirty)
    with Ledger(Kept(), journal=directory, durability="group"):
        assert twice.wait(30)


def test_a_disk_that_does_not_sync_is_counted(directory, monkeypatch):
    def dirty(self):
        raise OSError("io")

    monkeypatch.setattr(Journal, "dirty", dirty)
    ledger = Ledger(Kept(), journal=directory, durability="group")
    ledger.close()
    assert ledger.state.error == "OSError: io"
