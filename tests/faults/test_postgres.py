"""What goes wrong between a ledger and a PostgreSQL, by the numbers of the fault model: with a real server."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from ledgers import left, lost, run, won
from streamcore.tracking import delivery, journal
from streamcore.tracking.ledger import Ledger
from streamcore.tracking.sinks.postgres import PostgreSQL

STREAMS = range(100)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "journal"


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(delivery, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(delivery, "LONGEST_PAUSE", 0.1)


def rows(conninfo):
    """The status of each record; that none is there twice is the key's business."""
    with psycopg.connect(conninfo) as database:
        return dict(database.execute("SELECT tracking_id, status FROM requests").fetchall())


def all_won(ids):
    return {str(id): "SUCCESS" for id in ids}


def test_s01_a_locked_table_holds_up_no_stream_and_takes_all_when_it_is_free(conninfo, directory):
    sink = PostgreSQL(conninfo, seconds=0.2)
    sink.write([])
    with Ledger(sink, journal=directory) as ledger:
        with psycopg.connect(conninfo) as other:
            other.execute("LOCK TABLE requests")
            run(ledger, *STREAMS)
            assert not ledger.flush(0.5)
            assert ledger.sinks[0].error.startswith("QueryCanceled")
        assert ledger.flush(60)
        assert (ledger.sinks[0].refused, ledger.sinks[0].left_out) == (0, 0)
    assert rows(conninfo) == all_won(STREAMS)


FULL = """
    CREATE TABLE room (rows int);
    CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NOT EXISTS (SELECT FROM room) THEN
            RAISE 'could not extend file "base/5/16384": No space left on device' USING ERRCODE = '53100';
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER no_room AFTER INSERT ON requests EXECUTE FUNCTION no_room()
"""


def test_s02_a_server_whose_disk_is_full_takes_all_when_there_is_room(conninfo, directory):
    with Ledger(sink := PostgreSQL(conninfo), journal=directory) as ledger:
        sink.write([])
        with psycopg.connect(conninfo) as database:
            database.execute(FULL)
        run(ledger, *STREAMS)
        assert not ledger.flush(0.5)
        assert ledger.sinks[0].error.startswith("DiskFull")
        with psycopg.connect(conninfo) as database:
            database.execute("INSERT INTO room VALUES (1)")
        assert ledger.flush(60)
        assert (ledger.sinks[0].refused, ledger.state.size) == (0, 0)
    assert rows(conninfo) == all_won(STREAMS)


def test_s03_a_server_that_is_down_breaks_no_stream_and_has_all_when_it_is_back(
    postgres, conninfo, directory, monkeypatch
):
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 2_000)
    with Ledger(PostgreSQL(conninfo), journal=directory) as ledger:
        run(ledger, "before")
        assert ledger.flush(60)
        with postgres.down():
            run(ledger, *STREAMS)
            assert not ledger.flush(0.5)
            assert (ledger.sinks[0].waiting, ledger.state.failures) == (100, 0)
            assert ledger.sinks[0].error.startswith("OperationalError: connection")
        assert ledger.flush(60)
        assert (ledger.sinks[0].error, ledger.sinks[0].left_out, ledger.state.size) == (None, 0, 0)
    assert rows(conninfo) == all_won(["before", *STREAMS])


def test_s03_a_server_that_is_down_when_the_process_ends_gets_all_from_the_next(postgres, conninfo, directory):
    with postgres.down():
        ledger = Ledger(PostgreSQL(conninfo), journal=directory)
        run(ledger, *STREAMS)
        ledger.close(0.1)
    with Ledger(PostgreSQL(conninfo), journal=directory) as ledger:
        assert ledger.flush(60)
    assert rows(conninfo) == all_won(STREAMS)


class Between:
    """Stands between a sink and the server. It loses the answer to as many commits as it is told, and hangs up then."""

    def __init__(self, server, directory):
        self._server = str(server / ".s.PGSQL.5432")
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(directory / ".s.PGSQL.5432"))
        self._door.listen()
        self.to_lose = 0
        self._threads = [threading.Thread(target=self._welcome)]
        self._threads[0].start()

    def _welcome(self):
        while True:
            try:
                near, _ = self._door.accept()
            except OSError:
                return  # it is closed
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._server)
            for one, other, answers in ((near, far, False), (far, near, True)):
                self._threads.append(threading.Thread(target=self._pass, args=(one, other, answers)))
                self._threads[-1].start()

    def _pass(self, one, other, answers):
        try:
            while data := one.recv(1_000_000):
                if answers and self.to_lose and b"COMMIT\0" in data:
                    self.to_lose -= 1
                    break
                other.sendall(data)
        except OSError:
            pass  # the other thread has hung up
        for end in (one, other):
            with suppress(OSError):  # they have hung up themselves
                end.shutdown(socket.SHUT_RDWR)
        if answers:
            one.close()
            other.close()

    def close(self):
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        for thread in self._threads:
            thread.join()


@contextmanager
def between(server):
    directory = Path(tempfile.mkdtemp(prefix="between-"))
    try:
        with closing(Between(server.directory, directory)) as proxy:
            yield proxy, f"host={directory}"
    finally:
        shutil.rmtree(directory)


@pytest.mark.parametrize("times", [1, 3])
def test_s04_what_a_server_stored_and_could_not_say_so_is_there_once(postgres, conninfo, directory, times):
    with between(postgres) as (proxy, host), Ledger(PostgreSQL(f"{conninfo} {host}"), journal=directory) as ledger:
        run(ledger, "before")
        assert ledger.flush(60)
        proxy.to_lose = times
        run(ledger, *STREAMS)
        assert ledger.flush(60)
        assert (proxy.to_lose, ledger.sinks[0].failures, ledger.sinks[0].refused) == (0, times, 0)
    assert rows(conninfo) == all_won(["before", *STREAMS])


def test_s08_what_a_dead_process_had_ended_is_there_once_whether_it_was_stored_or_not(conninfo, directory):
    left(directory, ended=[won(id) for id in STREAMS])
    with closing(PostgreSQL(conninfo)) as sink:
        sink.write([won(id) for id in STREAMS[:50]])
    with Ledger(PostgreSQL(conninfo), journal=directory) as ledger:
        assert ledger.flush(60)
    assert rows(conninfo) == all_won(STREAMS)


def test_s09_what_a_dead_process_had_only_begun_is_lost_unless_its_end_is_stored(conninfo, directory):
    left(directory, begun=[lost(id) for id in STREAMS])
    with closing(PostgreSQL(conninfo)) as sink:
        sink.write([won(id) for id in STREAMS[:50]])
    with Ledger(PostgreSQL(conninfo), journal=directory) as ledger:
        assert ledger.flush(60)
    assert rows(conninfo) == all_won(STREAMS) | {str(id): "LOST" for id in STREAMS[50:]}


def test_s15_a_torn_last_line_costs_nothing(conninfo, directory):
    path = left(directory, ended=[won(id) for id in STREAMS])
    with path.open("ab") as file:
        file.write(path.read_bytes()[:50])
    with Ledger(PostgreSQL(conninfo), journal=directory) as ledger:
        assert ledger.flush(60)
        assert ledger.state.damaged == 0
    assert rows(conninfo) == all_won(STREAMS)
