"""What sinks, the journal, the disk, the clock and the process may do wrong, and what becomes of the records then.

A test for each row of the list that concerns records. The disk is really full here, and the process really out of files:
by the limits that the system sets, in a process of its own.
"""

from __future__ import annotations

import errno
import functools
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import anyio
import msgspec
import pytest
from tiny import TINY, say

import streamcore as sc
from ledgers import Kept, left, lost, run, won
from streamcore.testing import Answer, Fault, FaultyTransport
from streamcore.tracking import carrier, delivery, journal
from streamcore.tracking.ledger import Ledger
from streamcore.tracking.record import Record
from streamcore.tracking.sinks import sqlite
from streamcore.tracking.sinks.lines import JSONLines
from streamcore.tracking.sinks.sqlite import SQLite

TESTS = Path(__file__).parents[1]
CLOCK = datetime(2026, 11, 20, 12, tzinfo=UTC)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a journal needs locks on files")


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "journal"


@pytest.fixture
def database(tmp_path):
    return tmp_path / "requests.db"


def rows(database):
    """The statuses in a database; each stream is there once."""
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT tracking_id, status FROM requests ORDER BY tracking_id").fetchall()
    assert len(found) == len(dict(found))
    return dict(found)


def process(code, *arguments, exits=0):
    """Run code in another process, with what the tests of the ledger share; what it prints."""
    head = "import os, resource, signal, sys; sys.path.insert(0, sys.argv[1]); from ledgers import *; import faults.test_sinks as t\n"
    done = subprocess.run(
        [sys.executable, "-u", "-W", "ignore", "-c", head + code, TESTS, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == exits, done.stderr
    return done.stdout.split()


class Failing:
    """A sink that fails until it is let go, and says when it has failed."""

    def __init__(self, sink):
        self.sink = sink
        self.failed = threading.Event()
        self.well = False

    def write(self, records):
        if not self.well:
            self.failed.set()
            raise ConnectionError("no answer")
        self.sink.write(records)

    def close(self):
        self.sink.close()


def test_s01_a_locked_database_holds_up_no_stream_and_takes_all_when_it_is_free(database, directory, monkeypatch):
    monkeypatch.setattr(sqlite, "_BUSY_MILLISECONDS", 0)
    failed = threading.Event()

    class Watched(SQLite):
        def write(self, records):
            try:
                super().write(records)
            except sqlite3.OperationalError:
                failed.set()
                raise

    with (
        closing(sqlite3.connect(database, isolation_level=None)) as other,
        Ledger(Watched(database), journal=directory) as ledger,
    ):
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN IMMEDIATE")
        run(ledger, *range(50))
        assert failed.wait(30)
        run(ledger, *range(50, 100))
        assert ledger.sinks[0].waiting == 100
        assert ledger.state.size > 0
        other.execute("ROLLBACK")
        assert ledger.flush(60)
        assert ledger.state.size == 0
    assert rows(database) == {str(number): "SUCCESS" for number in range(100)}


FULL_DISK = """
sink = Kept()
with Ledger(sink, journal=sys.argv[2]) as ledger:
    begun = ledger.begin(lost("begun before"))
    run(ledger, "before")
    resource.setrlimit(resource.RLIMIT_FSIZE, (ledger.state.size + 100, resource.RLIM_INFINITY))
    run(ledger, *range(20))
    ledger.end(begun, won("begun before"))
    print(ledger.flush(60), ledger.state.failures > 0, ledger.state.error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    run(ledger, "after")
    print(ledger.flush(60), len(sink.ids), ledger.state.error)
    ledger.begin(lost("cut"))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_s02_a_full_disk_breaks_no_stream_and_costs_no_record(directory):
    """The limit on the size of a file cuts a line in the middle, as a full disk does."""
    assert " ".join(process(FULL_DISK, directory, exits=-signal.SIGKILL)) == (
        f"True True OSError: [Errno {errno.EFBIG}] {os.strerror(errno.EFBIG)} True 23 None"
    )
    with Ledger(sink := Kept(), journal=directory) as ledger:
        assert ledger.flush(60)
    assert "cut" in sink.ids


def test_s02_a_full_disk_with_a_sink_that_is_down_keeps_in_memory_what_it_holds(directory, monkeypatch):
    monkeypatch.setattr(carrier, "WAITING", 10)

    def full(*_arguments):
        raise OSError(errno.ENOSPC, "full")

    sink = Failing(Kept())
    with Ledger(sink, journal=directory) as ledger:
        run(ledger, "first")
        assert sink.failed.wait(30)
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            run(ledger, *range(600))
        sink.well = True
        ledger.flush(60)
        (state,) = ledger.sinks
        assert (state.waiting, state.written + state.left_out) == (0, 601)
        assert 10 <= state.written < 601


def test_s02_a_full_database_takes_all_when_there_is_room(database, directory, monkeypatch):
    failed, names, real = threading.Event(), [], sqlite._connect

    class Watched(SQLite):
        def write(self, records):
            try:
                super().write(records)
            except sqlite3.OperationalError as error:
                names.append(error.sqlite_errorname)
                failed.set()
                raise

    def full(path):
        connection = real(path)
        connection.execute("PRAGMA max_page_count = 8")
        return connection

    with Ledger(Watched(database), journal=directory) as ledger:
        with monkeypatch.context() as patch:
            patch.setattr(sqlite, "_connect", full)
            run(ledger, *range(500))
            assert failed.wait(30)
            run(ledger, "more")
        assert ledger.flush(60)
        assert (ledger.sinks[0].refused, ledger.state.size, {*names}) == (0, 0, {"SQLITE_FULL"})
    assert len(rows(database)) == 501


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device")  # noqa: PTH110 - it is no path of ours
def test_s02_a_full_disk_of_json_lines_waits(tmp_path, directory):
    path = tmp_path / "records.jsonl"
    path.symlink_to("/dev/full")
    with Ledger(JSONLines(path), journal=directory) as ledger:
        run(ledger, *"abc")
        assert not ledger.flush(0.1)
        assert ledger.sinks[0].error == f"OSError: [Errno {errno.ENOSPC}] {os.strerror(errno.ENOSPC)}"
        path.unlink()
        assert ledger.flush(60)
    text = path.read_bytes().splitlines()
    assert [msgspec.json.decode(line, type=Record) for line in text if line] == [won("a"), won("b"), won("c")]


def test_s03_a_sink_that_is_down_for_long_fills_the_journal_to_its_cap_and_then_memory(
    database, directory, monkeypatch
):
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 2_000)
    monkeypatch.setattr(journal, "CAP_BYTES", 20_000)
    sink = Failing(SQLite(database))
    with Ledger(sink, journal=directory) as ledger:
        run(ledger, *range(500))
        assert sink.failed.wait(30)
        assert 20_000 <= ledger.state.size < 23_000
        assert "bytes of records wait for a sink" in ledger.state.error
        assert ledger.sinks[0].waiting == 500
        assert ledger.sinks[0].refused == 0
        sink.well = True
        assert ledger.flush(60)
        assert ledger.state.size < 2_500
        run(ledger, "again")
        assert ledger.flush(60)
        assert (ledger.state.size, ledger.state.error) == (0, None)
    assert len(rows(database)) == 501


def test_s03_what_is_beyond_memory_is_read_back_however_often_the_sink_fails(database, directory, monkeypatch):
    monkeypatch.setattr(carrier, "WAITING", 10)
    monkeypatch.setattr(delivery, "FIRST_PAUSE", 0.0)
    sink = Failing(SQLite(database))
    with Ledger(sink, journal=directory) as ledger:
        run(ledger, *range(1_000))
        while ledger.sinks[0].failures < 50:
            ledger.flush(0)
        sink.well = True
        assert ledger.flush(60)
        assert (ledger.sinks[0].left_out, ledger.sinks[0].refused) == (0, 0)
    assert len(rows(database)) == 1_000


@pytest.mark.parametrize("times", [1, 5, 12])
def test_s04_what_a_sink_stored_and_did_not_confirm_is_there_once(database, directory, monkeypatch, times):
    monkeypatch.setattr(delivery, "FIRST_PAUSE", 0.0)
    faults = [TimeoutError("no answer")] * times

    class Late(SQLite):
        def write(self, records):
            super().write(records)
            if faults:
                raise faults.pop()

    with Ledger(Late(database), journal=directory) as ledger:
        run(ledger, *range(100))
        assert ledger.flush(60)
    assert rows(database) == {str(number): "SUCCESS" for number in range(100)}


KILLED_BEFORE_THE_SINK = """
with Ledger(t.Failing(Kept()), journal=sys.argv[2]) as ledger:
    run(ledger, *range(10))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_s08_a_kill_between_the_end_of_a_stream_and_its_sink_costs_nothing(database, directory):
    process(KILLED_BEFORE_THE_SINK, directory, exits=-signal.SIGKILL)
    for _ in range(2):
        with Ledger(SQLite(database), journal=directory) as ledger:
            assert ledger.flush(60)
    assert rows(database) == {str(number): "SUCCESS" for number in range(10)}


KILLED_IN_THE_MIDDLE = """
async def main():
    tracked = t.sc.track(t.endpoint(stalls=True), Ledger(journal=sys.argv[2]))
    async with tracked.with_context(user="u-1").stream("Why is the sky blue?") as stream:
        async for event in stream:
            if isinstance(event, t.sc.TextDelta):
                print(event.text, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
t.anyio.run(main)
"""


def endpoint(*, stalls=False):
    transport = FaultyTransport(Answer(say("It", "is", "blue")), Fault("stall", at=40) if stalls else None)
    return sc.Endpoint(TINY, "asked", url="https://api.example.com/v1", key="sk-1", transport=transport)


def test_s09_a_kill_in_the_middle_of_a_stream_leaves_a_lost_one_with_the_estimate_of_its_input_priced(directory):
    assert process(KILLED_IN_THE_MIDDLE, directory, exits=-signal.SIGKILL) == ["It"]
    prices = sc.Prices({"asked": {"input": 1_000_000, "output": 1}}, version="7")
    with Ledger(sink := Kept(), journal=directory, prepare=prices) as ledger:
        assert ledger.flush(60)
    (record,) = sink.records
    assert (record.status, record.outcome, record.context.user) == ("LOST", None, "u-1")
    assert (record.usage, record.usage_sources) == (sc.Usage(input_tokens=5), {"input_tokens": "estimated"})
    assert (record.costs.known, record.costs.estimated, record.costs.provenance) == (None, Decimal(5), "estimated")
    assert (record.cost, record.costs.price_list) == (Decimal(5), "own 7")
    assert [attempt.cost for attempt in record.attempts] == [record.costs]


def numbers(value):
    """All numbers in a record."""
    if isinstance(value, dict):
        return [number for item in value.values() for number in numbers(item)]
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, int | float) else []


@pytest.mark.parametrize("hours", [-1, 1])
def test_s12_a_wall_clock_that_jumps_moves_nothing_but_when_a_stream_was_created(
    directory, database, monkeypatch, hours
):
    at = [CLOCK]

    class Wall(datetime):
        @classmethod
        def now(cls, tz=None):
            return at[0].astimezone(tz)

    def jump():
        at[0] += timedelta(hours=hours)

    monkeypatch.setattr(sys.modules["streamcore.tracking.track"], "datetime", Wall)
    monkeypatch.setattr("time.time", lambda: Wall.now().timestamp())
    monkeypatch.setattr("time.time_ns", lambda: int(at[0].timestamp() * 1e9))

    async def main(ledger):
        tracked = sc.track(endpoint(), ledger, prices={"asked": {"input": 1, "output": 1}})
        async with tracked.stream("Why?") as stream:
            async for _ in stream:
                jump()
        jump()
        return stream.record

    with Ledger(SQLite(database), kept := Kept(), journal=directory) as ledger:
        record = anyio.run(main, ledger)
        assert ledger.flush(60)
    assert record.created_at == CLOCK
    assert UUID(record.tracking_id).int >> 80 == int(CLOCK.timestamp() * 1000)
    assert min(numbers(msgspec.to_builtins(kept.records[0]))) >= 0
    assert kept.records[0].marks.closed < 60
    with closing(sqlite3.connect(database)) as connection:
        (row,) = connection.execute("SELECT * FROM requests")
    assert min(numbers([*row])) >= 0


def test_s12_segments_of_a_clock_that_goes_back_are_all_found(directory, monkeypatch):
    times = iter(range(10, 0, -1))
    monkeypatch.setattr("time.time_ns", lambda: next(times) * 1_000_000)
    for number in range(5):
        left(directory, ended=[won(number)])
    with Ledger(sink := Kept(), journal=directory) as ledger:
        assert ledger.flush(60)
    assert sorted(sink.ids) == [*"01234"]


def test_s14_prices_that_change_while_a_stream_runs_leave_it_at_those_it_began_with(directory):
    async def main():
        old = sc.Prices({"asked": {"input": 1_000_000, "output": 0}}, version="old")
        new = sc.Prices({"asked": {"input": 2_000_000, "output": 0}}, version="new")
        models = [sc.track(endpoint(), sink, prices=prices) for sink, prices in zip(sinks, (old, new), strict=True)]
        async with models[0].stream("Why?") as before:
            async with models[1].stream("Why?") as after:
                await after.collect()
            await before.collect()
        for model in models:
            await anyio.to_thread.run_sync(functools.partial(model.ledger.close, 60))

    sinks = [Kept(), Kept()]
    anyio.run(main)
    costs = [sink.records[0].costs for sink in sinks]
    assert [(cost.price_list, cost.amount) for cost in costs] == [("own old", 1), ("own new", 2)]


def test_s15_a_torn_last_line_is_cut(directory):
    path = left(directory, begun=[lost("a")], ended=[won("b")])
    os.truncate(path, path.stat().st_size - 10)
    with Ledger(sink := Kept(), journal=directory) as ledger:
        assert ledger.flush(30)
        assert (sink.records, ledger.state.damaged) == ([lost("a")], 0)
    assert [*directory.iterdir()] == []


def test_s15_a_flipped_bit_costs_one_record_is_counted_and_its_file_is_kept(directory):
    path = left(directory, ended=[won("a"), won("b"), won("c")])
    text = path.read_bytes()
    place = text.index(b'"b"')
    path.write_bytes(text[: place + 1] + b"X" + text[place + 2 :])
    with Ledger(sink := Kept(), journal=directory) as ledger:
        assert ledger.flush(30)
        assert (sink.ids, ledger.state.damaged) == (["a", "c"], 1)
    assert [file.suffix for file in directory.iterdir()] == [".damaged"]


OUT_OF_FILES = """
from streamcore.tracking import journal, keeper
journal.SEGMENT_BYTES = 1_000
keeper.ADOPT_SECONDS = 0.01
sink = SQLite(sys.argv[3])
with Ledger(sink, journal=sys.argv[2]) as ledger:
    run(ledger, "first")
    ledger.flush(60)
    sink.close()
    left(sys.argv[2], ended=[won("adopted")])
    # From here on no more files can be had, whether they are segments, a database, or what a dead process left.
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    run(ledger, *range(50))
    print(ledger.flush(0.2), ledger.state.error, ledger.state.failures > 0, ledger.sinks[0].error is not None)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    while ledger.state.adopted == 0:
        ledger.flush(1)
    print(ledger.flush(60), ledger.state.size, ledger.sinks[0].error)
"""


def test_s16_a_process_that_is_out_of_files_keeps_all_records_and_stores_them_when_it_has_some(database, directory):
    assert " ".join(process(OUT_OF_FILES, directory, database)) == "False None True True True 0 None"
    assert len(rows(database)) == 52
    assert [*directory.iterdir()] == []
