from __future__ import annotations

import atexit
import gc
import logging
import os
import random
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from ledgers import Flaky, Kept, Picky, left, lost, run, won
from streamcore.tracking import carrier as carriers
from streamcore.tracking import delivery as deliveries
from streamcore.tracking import journal as journals
from streamcore.tracking import ledger as module
from streamcore.tracking.ledger import Ledger
from streamcore.tracking.record import Context
from streamcore.tracking.segment import BEGUN
from streamcore.tracking.sinks.sqlite import SQLite
from streamcore.tracking.text import encoded

TESTS = Path(__file__).parents[1]


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "journal"


@pytest.fixture
def sink():
    return Kept()


@pytest.fixture
def ledger(sink, directory):
    with Ledger(sink, journal=directory) as ledger:
        yield ledger


def files(directory):
    return sorted(path.suffix for path in directory.iterdir())


def full_disk(monkeypatch):
    def write(file, data):
        raise OSError("full")

    monkeypatch.setattr(os, "write", write)


@pytest.mark.parametrize("durability", [None, "process", "group", "record"])
def test_each_stream_that_ends_is_a_record_of_each_sink(directory, durability):
    one, two = Kept(), Kept()
    how = {} if durability is None else {"journal": directory, "durability": durability}
    with Ledger(one, two, **how) as ledger:
        run(ledger, *"abc")
        assert ledger.flush(30)
        assert one.records == two.records == [won("a"), won("b"), won("c")]


def test_a_second_end_of_a_stream_is_none(ledger, sink):
    entry = ledger.begin(lost("a"))
    ledger.end(entry, won("a"))
    ledger.end(entry, won("a"))
    assert ledger.flush(30)
    assert sink.ids == ["a"]


def test_streams_of_many_threads_are_all_there(ledger, sink, directory):
    threads = [threading.Thread(target=run, args=(ledger, *range(n * 1000, n * 1000 + 300))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.flush(60)
    assert len(sink.ids) == len(set(sink.ids)) == 2_400
    assert ledger.state.size == 0


@pytest.mark.anyio
async def test_a_ledger_closes_without_holding_up_its_event_loop(sink):
    async with Ledger(sink) as ledger:
        run(ledger, "a")
    assert (sink.ids, sink.closed) == (["a"], True)


@pytest.mark.anyio
async def test_a_cancelled_task_closes_its_ledger_too(sink):
    with anyio.CancelScope() as scope:
        async with Ledger(sink) as ledger:
            run(ledger, "a")
            scope.cancel()
    assert (sink.ids, sink.closed) == (["a"], True)


def test_nothing_is_left_when_all_is_done(sink, directory):
    with Ledger(sink, journal=directory) as ledger:
        run(ledger, *"abc")
    assert files(directory) == []


def test_records_that_no_sink_took_wait_in_the_journal(directory, caplog):
    sink = Kept(*[OSError()] * 100)
    ledger = Ledger(sink, journal=directory)
    run(ledger, "a")
    ledger.close(0)
    assert caplog.records[-1].getMessage() == "records that the sink Kept has not taken wait in the journal: 1"
    later = Kept()
    with Ledger(later, journal=directory) as ledger:
        assert ledger.flush(30)
        assert later.records == [won("a")]
        assert ledger.state.adopted == 1


def test_without_a_journal_they_are_lost_and_the_log_says_so(caplog):
    ledger = Ledger(Kept(*[OSError()] * 100))
    run(ledger, "a")
    ledger.close(0)
    assert caplog.records[-1].getMessage() == "records that the sink Kept has not taken are lost: 1"


def test_a_record_of_which_one_sink_is_without_waits_for_it(directory):
    good, bad = Kept(), Kept(*[OSError()] * 100)
    ledger = Ledger(good, bad, journal=directory)
    run(ledger, "a")
    assert ledger._carriers[0].flush(module.monotonic() + 30)
    ledger.close(0)
    later = Kept()
    with Ledger(later, journal=directory) as ledger:
        assert ledger.flush(30)
    assert (good.ids, bad.ids, later.ids) == (["a"], [], ["a"])


def test_a_broken_sink_does_not_hold_up_another():
    good, bad = Kept(), Kept(*[OSError()] * 100)
    ledger = Ledger(bad, good)
    run(ledger, *"abc")
    assert ledger._carriers[1].flush(module.monotonic() + 30)
    assert good.ids == [*"abc"]
    ledger.close(0)


def test_what_a_dead_process_began_is_lost_and_what_it_ended_is_not(directory, sink):
    left(directory, begun=[lost("a"), lost("b")], ended=[won("c")])
    with Ledger(sink, journal=directory) as ledger:
        assert ledger.flush(30)
        assert sink.records == [lost("a"), lost("b"), won("c")]
    assert files(directory) == []


def test_each_sink_has_what_was_adopted(directory):
    left(directory, ended=[won("a")])
    one, two = Kept(), Kept()
    with Ledger(one, two, journal=directory) as ledger:
        assert ledger.flush(30)
    assert one.ids == two.ids == ["a"]


def test_empty_segments_of_dead_processes_are_deleted(directory, sink):
    left(directory, ended=[won("a")]).write_bytes(b"")
    with Ledger(sink, journal=directory) as ledger:
        assert ledger.flush(30)
    assert (sink.ids, files(directory)) == ([], [])


def test_a_full_disk_breaks_no_stream(ledger, sink, monkeypatch, caplog):
    full_disk(monkeypatch)
    run(ledger, *"ab")
    assert ledger.flush(30)
    assert sink.ids == [*"ab"]
    assert (ledger.state.failures, ledger.state.error) == (4, "OSError: full")
    monkeypatch.undo()
    run(ledger, "c")
    assert ledger.state.error is None
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "the journal fails (OSError): records are in memory only"),
        (logging.WARNING, "the journal works again"),
    ]


def test_a_stream_whose_end_could_not_be_written_is_done_when_the_sinks_have_it(directory, sink, monkeypatch):
    with Ledger(sink, journal=directory) as ledger:
        entry = ledger.begin(lost("a"))
        full_disk(monkeypatch)
        ledger.end(entry, won("a"))
        assert ledger.flush(30)
        monkeypatch.undo()
    assert (sink.ids, files(directory)) == (["a"], [])


def test_a_stream_whose_beginning_could_not_be_written_is_written_at_its_end(directory, monkeypatch):
    ledger = Ledger(Kept(*[OSError()] * 100), journal=directory)
    full_disk(monkeypatch)
    entry = ledger.begin(lost("a"))
    monkeypatch.undo()
    ledger.end(entry, won("a"))
    ledger.close(0)
    with Ledger(later := Kept(), journal=directory) as ledger:
        assert ledger.flush(30)
    assert later.records == [won("a")]


def test_a_record_that_cannot_be_written_down_breaks_no_stream(ledger, sink, caplog):
    bad = won("bad", context=Context(tags={"a": object()}))
    ledger.end(ledger.begin(bad), bad)
    run(ledger, "a")
    assert ledger.flush(30)
    assert (sink.ids, ledger.sinks[0].left_out) == (["a"], 1)
    assert "bad cannot be stored (TypeError)" in caplog.messages


def test_half_a_surrogate_pair_is_stored_as_a_question_mark(ledger, sink):
    bad = won("a", answered_by="\ud83d")
    ledger.end(ledger.begin(bad), bad)
    assert ledger.flush(30)
    assert sink.records == [won("a", answered_by="?")]


def test_what_memory_cannot_hold_is_read_back_from_the_journal(directory, monkeypatch):
    monkeypatch.setattr(carriers, "WAITING", 10)
    monkeypatch.setattr(journals, "SEGMENT_BYTES", 2_000)
    gate = threading.Event()

    class Gate(Kept):
        def write(self, records):
            gate.wait()
            super().write(records)

    one, two = Gate(), Kept()
    with Ledger(one, two, journal=directory) as ledger:
        run(ledger, *range(500))
        gate.set()
        assert ledger.flush(60)
        assert sorted(one.ids, key=int) == sorted(two.ids, key=int) == [str(number) for number in range(500)]
        assert (ledger.state.size, [state.left_out for state in ledger.sinks]) == (0, [0, 0])
    assert files(directory) == []


def test_what_a_sink_left_out_is_kept_for_the_next_to_adopt(directory, monkeypatch):
    sink = Kept()
    ledger = Ledger(sink, journal=directory)
    entry = ledger.begin(lost("a"))
    ledger._carriers[0].stop(module.monotonic() + 30)
    ledger.end(entry, won("a"))
    ledger.close()
    with Ledger(sink, journal=directory) as ledger:
        assert ledger.flush(30)
    assert sink.records == [won("a")]


def test_a_record_is_prepared_once_in_a_thread_before_the_sinks_see_it():
    seen = []

    def prepare(record):
        seen.append((record.tracking_id, threading.current_thread() is threading.main_thread()))
        return replace(record, answered_by="priced")

    one, two = Kept(), Kept()
    with Ledger(one, two, prepare=prepare) as ledger:
        run(ledger, "a")
        assert ledger.flush(30)
    assert one.records == two.records == [won("a", answered_by="priced")]
    assert seen == [("a", False)]


def test_what_was_adopted_is_prepared_too(directory, sink):
    left(directory, begun=[lost("a")])
    with Ledger(sink, journal=directory, prepare=lambda record: replace(record, answered_by="priced")) as ledger:
        assert ledger.flush(30)
    assert sink.records == [lost("a", answered_by="priced")]


def test_a_record_whose_preparation_fails_goes_on_as_it_is(sink, caplog):
    def prepare(record):
        raise KeyError("secret")

    with Ledger(sink, prepare=prepare) as ledger:
        run(ledger, "a")
        assert ledger.flush(30)
    assert sink.records == [won("a")]
    assert caplog.messages == ["a is not prepared (KeyError)"]


def test_a_stream_that_ends_after_the_ledger_was_closed_is_left_out_and_lost_in_the_journal(directory, sink):
    ledger = Ledger(sink, journal=directory)
    entry = ledger.begin(lost("a"))
    ledger.close()
    ledger.close()
    ledger.end(entry, won("a"))
    ledger.end(ledger.begin(lost("b")), won("b"))
    assert (sink.ids, ledger.sinks[0].left_out) == ([], 2)
    with Ledger(sink, journal=directory) as ledger:
        assert ledger.flush(30)
    assert sink.records == [lost("a")]


def test_a_file_that_cannot_be_deleted_is_counted(ledger, sink, monkeypatch):
    def settled(segment, count):
        raise OSError("no")

    monkeypatch.setattr(ledger._journal, "settled", settled)
    run(ledger, "a")
    assert ledger.flush(30)
    assert (sink.ids, ledger.state.error) == (["a"], "OSError: no")


def test_a_ledger_without_a_journal_has_no_state_of_one(sink):
    with Ledger(sink) as ledger:
        assert ledger.state is None


def test_an_interpreter_that_exits_flushes(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); from ledgers import *\n"
        "run(Ledger(SQLite(sys.argv[1]), journal=sys.argv[1] + '.d'), *range(3))"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "requests.db", TESTS], check=True)
    with closing(sqlite3.connect(tmp_path / "requests.db")) as database:
        assert database.execute("SELECT count(*) FROM requests").fetchone() == (3,)
    assert files(tmp_path / "requests.db.d") == []


def test_a_closed_ledger_does_nothing_at_exit(sink, monkeypatch):
    forgotten = []
    monkeypatch.setattr(atexit, "unregister", forgotten.append)
    ledger = Ledger(sink)
    ledger.close()
    assert forgotten == [ledger.close]
    monkeypatch.undo()
    atexit.unregister(ledger.close)


@pytest.fixture
def fork(monkeypatch):
    """Have all ledgers that are made from now on believe that this is another process."""
    callbacks = []

    def register(after_in_child):
        callbacks.append(after_in_child)

    monkeypatch.setattr(os, "register_at_fork", register, raising=False)
    return lambda: [callback() for callback in callbacks]


@pytest.mark.parametrize("journal", [True, False])
def test_after_a_fork_the_child_begins_anew_and_the_parents_streams_end_in_its_own_files(
    directory, sink, fork, journal
):
    ledger = Ledger(sink, journal=directory if journal else None)
    before, entry = ledger._carriers[0], ledger.begin(lost("a"))
    fork()
    run(ledger, "b")
    ledger.end(entry, won("a"))
    assert ledger._carriers[0] is not before
    assert ledger.flush(30)
    ledger.close()
    before.stop(module.monotonic() + 30)
    assert sorted(sink.ids)[-2:] == ["a", "b"]


def test_a_child_that_only_ends_a_stream_of_its_parent_begins_anew_as_well(directory, sink, fork):
    ledger = Ledger(sink, journal=directory)
    before, entry = ledger._carriers[0], ledger.begin(lost("a"))
    fork()
    ledger.end(entry, won("a"))
    assert ledger._carriers[0] is not before
    ledger.close()
    before.stop(module.monotonic() + 30)
    assert won("a") in sink.records


def test_a_child_that_only_exits_leaves_its_parents_ledger_alone(directory, sink, fork):
    with Ledger(sink, journal=directory) as ledger:
        fork()
        ledger.close()
        assert not ledger._closed
        ledger._forked = False
        run(ledger, "a")
        assert ledger.flush(30)
        assert sink.ids == ["a"]


def test_a_child_that_can_have_no_journal_goes_on_in_memory(directory, sink, monkeypatch, fork):
    def no(self):
        raise OSError("no")

    ledger = Ledger(sink, journal=directory)
    before = ledger._carriers[0]
    monkeypatch.setattr(Ledger, "_new_journal", no)
    fork()
    run(ledger, "a")
    assert ledger.flush(30)
    assert (ledger.state, ledger._error) == (None, "OSError: no")
    ledger.close()
    before.stop(module.monotonic() + 30)
    assert sink.ids == ["a"]


def test_two_threads_of_a_child_begin_one_ledger(sink, fork):
    ledger = Ledger(sink)
    first = ledger._carriers[0]
    fork()
    ledger._begin_anew()
    before = ledger._carriers[0]
    ledger._begin_anew()
    assert ledger._carriers[0] is before is not first
    ledger.close()
    first.stop(module.monotonic() + 30)


def test_a_child_that_was_forked_while_its_parent_began_anew_begins_anew_as_well(sink, fork):
    ledger = Ledger(sink)
    first = ledger._carriers[0]
    with ledger._opening:
        fork()
        run(ledger, "a")
    ledger.close()
    assert sink.ids == ["a"]
    first.stop(module.monotonic() + 30)


def test_a_ledger_that_is_gone_is_not_told_of_forks(sink, fork):
    Ledger(sink).close()
    gc.collect()
    assert fork() == [None]


def test_where_nothing_can_fork_nothing_is_watched(sink, monkeypatch):
    monkeypatch.delattr(os, "register_at_fork", raising=False)
    with Ledger(sink) as ledger:
        run(ledger, "a")
    assert sink.ids == ["a"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_and_its_parent_leave_each_record_once(tmp_path):
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[2]); from ledgers import *\n"
        "ledger = Ledger(SQLite(sys.argv[1]), journal=sys.argv[1] + '.d')\n"
        "run(ledger, 'a'); entry = ledger.begin(lost('b')); child = os.fork()\n"
        "run(ledger, 'child' if child == 0 else 'parent'); ledger.end(entry, won('b'))\n"
        "ledger.close()\n"
        "if child: os.waitpid(child, 0)"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, tmp_path / "requests.db", TESTS], check=True)
    with closing(sqlite3.connect(tmp_path / "requests.db")) as database:
        found = database.execute("SELECT tracking_id, status FROM requests ORDER BY tracking_id").fetchall()
    assert found == [(id, "SUCCESS") for id in ("a", "b", "child", "parent")]
    assert files(tmp_path / "requests.db.d") == []


def test_a_sink_that_fails_at_random_even_after_it_has_stored_has_each_record_once(tmp_path, directory, monkeypatch):
    monkeypatch.setattr(deliveries, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(carriers, "GATHER", 0.0)
    monkeypatch.setattr(carriers, "BATCH", 7)
    with Ledger(Flaky(SQLite(tmp_path / "requests.db"), random.Random(1)), journal=directory) as ledger:
        run(ledger, *range(300))
        assert ledger.flush(60)
        assert ledger.sinks[0].failures > 0
    with closing(sqlite3.connect(tmp_path / "requests.db")) as database:
        assert database.execute("SELECT count(*), count(DISTINCT tracking_id) FROM requests").fetchone() == (300, 300)


def test_what_a_sink_says_of_its_failure_is_not_in_the_log(directory, caplog):
    with Ledger(Kept(OSError("sk-secret")), journal=directory) as ledger:
        run(ledger, "a")
        assert ledger.flush(30)
    assert "sk-secret" not in caplog.text


def test_a_beginning_is_in_the_file_when_begin_returns(directory):
    ledger = Ledger(journal=directory)
    entry = ledger.begin(lost("a"))
    (path,) = directory.iterdir()
    assert path.read_bytes().endswith(encoded(lost("a")) + b"\n")
    assert path.read_bytes().startswith(BEGUN + b" ")
    ledger.end(entry, won("a"))
    ledger.close()


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(deliveries, "FIRST_PAUSE", 0.0)


@pytest.mark.usefixtures("at_once")
def test_what_a_sink_refuses_waits_in_a_file_of_its_own_for_a_process_whose_sink_takes_it(
    directory, monkeypatch, caplog
):
    monkeypatch.setattr(journals, "SEGMENT_BYTES", 1)
    with Ledger(Picky("b"), journal=directory) as ledger:
        run(ledger, *"abc")
        assert not ledger.flush(30)
        assert sum(segment.size > 0 for segment in ledger._journal._own()) == 1
    assert caplog.messages[-1] == "records that the sink Picky has not taken wait in the journal: 1"
    (path,) = directory.iterdir()
    assert path.stem.endswith("-refused")
    with Ledger(Picky("b"), journal=directory) as ledger:
        run(ledger, "d")
        assert not ledger.flush(30)
        assert (ledger.state.adopted, ledger.sinks[0].refused, ledger.sinks[0].error) == (1, 1, None)
    assert [*directory.iterdir()] == [path]
    with Ledger(later := Kept(), journal=directory) as ledger:
        assert ledger.flush(30)
    assert (later.records, files(directory)) == ([won("b")], [])


@pytest.mark.usefixtures("at_once")
def test_what_one_sink_refuses_another_has(directory):
    class Later(Kept):
        def write(self, records):
            while not ledger.sinks[0].refused:
                tick.wait(0.001)
            super().write(records)

    tick = threading.Event()
    picky, kept = Picky("b"), Later()
    with Ledger(picky, kept, journal=directory) as ledger:
        run(ledger, *"abc")
        assert not ledger.flush(30)
        assert [state.refused for state in ledger.sinks] == [1, 0]
        assert kept.ids == [*"abc"]
        picky.bad.clear()
        assert ledger.flush(30)
    assert (sorted(picky.ids), kept.ids, files(directory)) == ([*"abc"], [*"abc"], [])


@pytest.mark.usefixtures("at_once")
def test_without_a_journal_what_a_sink_refuses_is_lost_with_the_process_and_the_log_says_so(caplog):
    with Ledger(Picky("b")) as ledger:
        run(ledger, *"abc")
        assert not ledger.flush(30)
    assert caplog.messages[-1] == "records that the sink Picky has not taken are lost: 1"


@pytest.mark.usefixtures("at_once")
def test_what_is_refused_and_cannot_be_written_apart_stays_where_it_is(directory, monkeypatch):
    def set_aside(self, record):
        raise OSError("full")

    monkeypatch.setattr(journals.Journal, "set_aside", set_aside)
    with Ledger(Picky("b"), journal=directory) as ledger:
        run(ledger, *"abc")
        assert not ledger.flush(30)
        assert ledger.state.error == "OSError: full"
    with Ledger(later := Kept(), journal=directory) as ledger:
        assert ledger.flush(30)
    assert "b" in later.ids


@pytest.mark.usefixtures("at_once")
def test_what_is_refused_and_had_no_line_gets_one(directory, monkeypatch):
    ledger = Ledger(Picky("b"), journal=directory)
    with monkeypatch.context() as patch:
        full_disk(patch)
        run(ledger, "b")
    run(ledger, "c")
    assert not ledger.flush(30)
    ledger.close()
    with Ledger(later := Kept(), journal=directory) as ledger:
        assert ledger.flush(30)
    assert later.ids == ["b"]
