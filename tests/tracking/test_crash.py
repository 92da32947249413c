"""Processes are killed at random points, and what they store in fails; nothing that began is ever missing or there twice."""

from __future__ import annotations

import multiprocessing
import os
import random
import sqlite3
from contextlib import closing

import psycopg
import pytest

import ledgers
from streamcore.tracking.ledger import Ledger
from streamcore.tracking.sinks.postgres import PostgreSQL
from streamcore.tracking.sinks.sqlite import SQLite

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a journal needs locks on files")


@pytest.fixture(scope="module")
def forking():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ledgers", "psycopg"])
    return context


@pytest.fixture
def dice():
    return random.Random(LONG and os.urandom(8))


ASKED = "SELECT tracking_id, status FROM requests"


class File:
    """Where records are stored, and what happens to it besides: here nothing."""

    conninfo = None

    def __init__(self, directory):
        self._path = directory / "requests.db"

    def sink(self):
        return SQLite(self._path)

    def rows(self):
        with closing(sqlite3.connect(self._path)) as database:
            return database.execute(ASKED).fetchall()

    def while_it_runs(self, ended):
        """Called again and again while a process writes, with the number of its streams that have ended."""

    def when_it_is_dead(self):
        """Called when it was killed, before another reads its journal."""


class Server:
    """A server that has `troubles`; those that it had by now are in `had`."""

    def __init__(self, server, conninfo, directory, dice):
        self._server, self.conninfo, self._directory, self._dice = server, conninfo, directory, dice
        self.troubles, self.had = set(), set()
        self._next = 1

    def sink(self):
        return PostgreSQL(self.conninfo)

    def rows(self):
        return self._ask(ASKED)

    def _ask(self, question):
        with psycopg.connect(self.conninfo, autocommit=True) as database:
            answer = database.execute(question)
            return answer.fetchall() if answer.description else []

    def prepare(self):
        with closing(self.sink()) as sink:
            sink.write([])
        if "no room" in self.troubles:
            self._ask(NO_ROOM)

    def while_it_runs(self, ended):
        may = self.troubles & {"cut", "crash"}
        if not may or ended < self._next:
            return
        trouble = self._dice.choice(sorted(may - self.had or may))
        if trouble == "crash":
            self._server.crash()
        elif not any(self._ask(CUT) for _ in range(10)):
            return  # there is no connection to be cut
        self.had.add(trouble)
        self._next = ended + self._dice.randrange(100, 900)

    def when_it_is_dead(self):
        self._next = 1
        for path in (self._directory / "journal").glob("*.journal") if "torn" in self.troubles else ():
            line = self._dice.choice(path.read_bytes().splitlines(keepends=True) or [b"S 5d1c2f0a {}"])
            with path.open("ab") as file:
                file.write(line[: self._dice.randrange(len(line))])
            self.had.add("torn")
        if "no room" in self.troubles and self._ask("SELECT last_value > 1 FROM times") == [(True,)]:
            self.had.add("no room")


CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'streamcore'"

NO_ROOM = """
    CREATE SEQUENCE times;
    CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('times') % 3 = 2 THEN  -- that it was asked stays, whatever becomes of the transaction
            RAISE 'could not extend file "base/5/16384": No space left on device' USING ERRCODE = '53100';
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER no_room AFTER INSERT ON requests EXECUTE FUNCTION no_room()
"""


def killed(process, told, ends, meanwhile):
    """The streams that began and those that ended, as a process said before it was killed."""
    ours, theirs = told
    process.start()
    theirs.close()
    text = b""
    with ours:
        while piece := os.read(ours.fileno(), 65_536):
            text += piece
            ended = text.count(b"E ")
            meanwhile(ended)
            if ended >= ends:
                process.kill()
    process.join()
    assert process.exitcode == -9
    said = {"S": set(), "E": set()}
    for line in text.decode().splitlines():
        kind, id = line.split()
        said[kind].add(id)
    return said["S"], said["E"]


def killed_again_and_again(runs, dice, forking, directory, store):
    """Kill one process after another, and look into the store after each."""
    began, ended = set(), set()
    for number in range(runs):
        told = forking.Pipe(duplex=False)
        arguments = (str(directory), number, told[1], store.conninfo)
        process = forking.Process(target=ledgers.streams_for_ever, args=arguments)
        one_began, one_ended = killed(process, told, dice.choice([1, 10, 100, 1_000]), store.while_it_runs)
        began |= one_began
        ended |= one_ended
        store.when_it_is_dead()
        with Ledger(store.sink(), journal=directory / "journal") as ledger:
            assert any(ledger.flush(60) for _ in range(3))  # one that was refused by chance is asked for again
            assert ledger.state.damaged == 0
        if LONG and number % 20 and number != runs - 1:
            continue  # to look at all there is would take ever longer
        rows = store.rows()
        statuses = dict(rows)
        assert len(rows) == len(statuses)
        assert began <= statuses.keys()
        # At most one stream a run began, or ended, without the process having had the time to say so.
        assert len(statuses.keys() - began) <= number + 1
        assert {statuses[id] for id in ended} == {"SUCCESS"}
        assert sum(statuses[id] != "LOST" for id in began - ended) <= number + 1
        assert not list((directory / "journal").glob("*.journal"))
    assert "LOST" in statuses.values()


def test_after_a_kill_each_finished_stream_is_there_once_and_each_started_one_too(forking, tmp_path, dice):
    killed_again_and_again(500 if LONG else 30, dice, forking, tmp_path, File(tmp_path))


@pytest.fixture
def server(postgres, conninfo, tmp_path, dice):
    return Server(postgres, conninfo, tmp_path, dice)


TROUBLES = ["cut", "crash", "no room", "torn"]


@pytest.mark.parametrize("troubles", [[], *([trouble] for trouble in TROUBLES), TROUBLES], ids=" and ".join)
def test_so_it_is_in_postgresql_whatever_happens_to_it_and_to_the_journal(forking, tmp_path, dice, server, troubles):
    """The sink fails besides, before it stores and when it has stored: so what it gets again are often duplicates."""
    server.troubles = {*troubles}
    server.prepare()
    runs = (500 if troubles == TROUBLES else 100) if LONG else 5
    killed_again_and_again(runs, dice, forking, tmp_path, server)
    assert server.had == server.troubles
