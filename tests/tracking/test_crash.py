"""Processes are killed at random points; nothing that began is ever missing or there twice."""

from __future__ import annotations

import multiprocessing
import os
import random
import sqlite3
from contextlib import closing

import pytest

import ledgers
from streamcore.tracking.ledger import Ledger
from streamcore.tracking.sqlite import SQLite

RUNS = 500 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 30

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a journal needs locks on files")


@pytest.fixture(scope="module")
def forking():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ledgers"])
    return context


def killed(forking, directory, number, ends):
    """The streams that began and those that ended, as a process told before it was killed."""
    ours, theirs = forking.Pipe(duplex=False)
    process = forking.Process(target=ledgers.streams_for_ever, args=(str(directory), number, theirs))
    process.start()
    theirs.close()
    told, text = {"S": set(), "E": set()}, b""
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
    return told["S"], told["E"]


def test_after_a_kill_each_finished_stream_is_there_once_and_each_started_one_too(forking, tmp_path):
    dice = random.Random(os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" and os.urandom(8))
    began, ended = set(), set()
    for number in range(RUNS):
        one_began, one_ended = killed(forking, tmp_path, number, dice.choice([1, 10, 100, 1_000]))
        began |= one_began
        ended |= one_ended
        with Ledger(SQLite(tmp_path / "requests.db"), journal=tmp_path / "journal") as ledger:
            assert ledger.flush(60)
            assert ledger.state.damaged == 0
        with closing(sqlite3.connect(tmp_path / "requests.db")) as database:
            statuses = dict(database.execute("SELECT tracking_id, status FROM requests"))
            rows = database.execute("SELECT count(*) FROM requests").fetchone()[0]
        assert rows == len(statuses)
        assert began <= statuses.keys()
        # At most one stream a run began, or ended, without the process having had the time to say so.
        assert len(statuses.keys() - began) <= number + 1
        assert {statuses[id] for id in ended} == {"SUCCESS"}
        assert sum(statuses[id] != "LOST" for id in began - ended) <= number + 1
        assert not list((tmp_path / "journal").glob("*.journal"))
    assert "LOST" in statuses.values()
