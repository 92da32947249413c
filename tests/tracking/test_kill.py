"""Processes are killed at random points while everything else fails as well; nothing is missing then, or there twice.

The sink fails before it has stored a batch, or when it has, and so gets duplicates; some records it never takes. The disk is
full now and then, for the journal and for the database, and what was being written is torn.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sqlite3
from contextlib import closing

import pytest

import ledgers
from streamcore.tracking import keeper
from streamcore.tracking.ledger import Ledger
from streamcore.tracking.sinks.sqlite import SQLite

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a journal needs locks on files")


@pytest.fixture(scope="module")
def forking():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ledgers"])
    return context


def killed(forking, directory, number, ends, streams=ledgers.troubled_streams):
    """The streams that began, those that ended, and those that nobody knows of, as a process told before it was killed."""
    ours, theirs = forking.Pipe(duplex=False)
    process = forking.Process(target=streams, args=(str(directory), number, theirs))
    process.start()
    theirs.close()
    told, text = {"S": set(), "E": set(), "M": set()}, b""
    with ours:
        while piece := os.read(ours.fileno(), 65_536):
            text += piece
            if text.count(b"E ") >= ends:
                process.kill()
    process.join()
    assert process.exitcode == -9
    for line in text.decode().splitlines():
        kind, id = line.split()
        told[kind].add(id)
    return told


def torn(directory, dice):
    """What was being written when the power went: a part of a line at the end of some files, of others a line of rubbish."""
    line = b'E 0b7be1d4 {"tracking_id":"torn"}\n'
    for path in directory.glob("*.journal"):
        if dice.random() < 0.7:
            with path.open("ab") as file:
                file.write(line if dice.random() < 0.5 else line[: dice.randrange(len(line))])


def test_after_a_kill_amid_all_troubles_each_stream_that_was_written_down_is_there_once(forking, tmp_path):
    dice = random.Random(LONG and os.urandom(8))
    told = {"S": set(), "E": set(), "M": set()}
    damaged = 0
    for number in range(500 if LONG else 15):
        for kind, ids in killed(forking, tmp_path, number, dice.choice([1, 10, 100, 1_000])).items():
            told[kind] |= ids
        began, ended, unknown = told["S"], told["E"], told["M"]
        torn(tmp_path / "journal", dice)
        with Ledger(SQLite(tmp_path / "requests.db"), journal=tmp_path / "journal") as ledger:
            assert ledger.flush(60)
            damaged += ledger.state.damaged
        with closing(sqlite3.connect(tmp_path / "requests.db")) as database:
            rows = database.execute("SELECT tracking_id, status FROM requests").fetchall()
        statuses = dict(rows)
        assert len(rows) == len(statuses)
        assert began <= statuses.keys()
        # At most one stream a run began, or ended, without the process having had the time to say so.
        assert len(statuses.keys() - began - ended - unknown) <= number + 1
        assert {statuses[id] for id in ended} == {"SUCCESS"}
        assert sum(statuses[id] != "LOST" for id in began - ended - unknown) <= number + 1
        assert not list((tmp_path / "journal").glob("*.journal"))
    assert "LOST" in statuses.values()
    assert unknown
    assert damaged


def test_a_service_that_lives_on_takes_over_what_is_killed_beside_it(forking, tmp_path, monkeypatch):
    monkeypatch.setattr(keeper, "ADOPT_SECONDS", 0.01)
    dice = random.Random(LONG and os.urandom(8))
    began, ended = set(), set()
    with Ledger(SQLite(tmp_path / "requests.db"), journal=tmp_path / "journal") as ledger:
        for number in range(100 if LONG else 5):
            told = killed(forking, tmp_path, number, dice.choice([1, 100, 1_000]), ledgers.streams_for_ever)
            ledgers.run(ledger, f"own {number}")
            began |= told["S"] | {f"own {number}"}
            ended |= told["E"] | {f"own {number}"}
        while len(list((tmp_path / "journal").glob("*.journal"))) > 1:
            assert ledger.flush(60)
        assert ledger.state.adopted > 0
    with closing(sqlite3.connect(tmp_path / "requests.db")) as database:
        statuses = dict(database.execute("SELECT tracking_id, status FROM requests"))
    assert began <= statuses.keys()
    assert {statuses[id] for id in ended} == {"SUCCESS"}
