"""What the tests of the ledger share: records, sinks that fail, and a process that is killed in the middle of its work."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from pathlib import Path

from streamcore.events import Finish, Usage
from streamcore.tracking import carrier, delivery, journal
from streamcore.tracking.journal import Journal
from streamcore.tracking.ledger import Entry, Ledger
from streamcore.tracking.record import Record
from streamcore.tracking.sinks.postgres import PostgreSQL
from streamcore.tracking.sinks.sqlite import SQLite

AT = datetime(2026, 11, 20, 18, 42, 35, 123456, tzinfo=UTC)


def lost(id, **more):
    """What is known of a stream that has only begun."""
    return Record(tracking_id=str(id), created_at=AT, status="LOST", **more)


def won(id, **more):
    """A stream that ended well."""
    known = {"outcome": Finish("stop"), "usage": Usage(10, 20)} | more
    return Record(tracking_id=str(id), created_at=AT, status="SUCCESS", **known)


def run(ledger, *ids):
    """Streams that begin and end."""
    for id in ids:
        ledger.end(ledger.begin(lost(id)), won(id))


def left(directory, *, begun=(), ended=()):
    """Leave a segment as a dead process does; its path."""
    journal = Journal(directory)
    for record in begun:
        segment = journal.begin(record)
    for record in ended:
        segment, _ = journal.end(None, record)
    journal.close()
    return segment.path


class Kept:
    """A sink in memory. It raises what `faults` says, before it stores or `after`."""

    def __init__(self, *faults, after=False):
        self.records = []
        self.batches = []
        self.faults = [*faults]
        self.after = after
        self.closed = False

    def write(self, records):
        self.batches.append([record.tracking_id for record in records])
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None and not self.after:
            raise fault
        self.records += records
        if fault is not None:
            raise fault

    def close(self):
        self.closed = True

    @property
    def ids(self):
        return [record.tracking_id for record in self.records]


class Picky(Kept):
    """A sink that never takes some records, nor a batch that holds one."""

    def __init__(self, *bad):
        super().__init__()
        self.bad = {*bad}

    def write(self, records):
        bad = {record.tracking_id for record in records} & self.bad
        if bad:
            self.faults.insert(0, ValueError("sk-secret"))
        super().write(records)


class Book(Ledger):
    """A ledger without threads. A stream that ends twice, or without having begun, is a failed test."""

    def __init__(self):
        self.begun = []
        self.records = []

    def begin(self, record):
        self.begun.append(record)
        return Entry(record, None)

    def end(self, entry, record):
        assert not entry.ended
        assert entry.record in self.begun
        assert entry.record.tracking_id == record.tracking_id
        entry.ended = True
        self.records.append(record)

    @property
    def record(self):
        """The one record there is."""
        [record] = self.records
        assert len(self.begun) == 1
        return record


class Flaky:
    """A sink before another that fails at random, before it has stored a batch or when it has, and never takes some records."""

    def __init__(self, sink, dice, refuses=lambda record: False):
        self._sink, self._dice, self._refuses = sink, dice, refuses

    def write(self, records):
        if self._dice.random() < 0.2 or any(map(self._refuses, records)):
            raise OSError("not yet")
        self._sink.write(records)
        if self._dice.random() < 0.2:
            raise OSError("it is stored, but who knows")

    def close(self):
        self._sink.close()


def streams_for_ever(directory, number, told, conninfo=None):
    """Run streams, many at a time, until this process is killed; say on a pipe what began (S) and what ended (E).

    They are stored in PostgreSQL, or without a `conninfo` in a file of the directory.
    """
    dice = random.Random(number)
    carrier.GATHER = delivery.FIRST_PAUSE = dice.choice([0.0, 0.001, 0.01])
    carrier.BATCH = dice.choice([1, 20, 500])
    carrier.WAITING = dice.choice([10, 100_000])
    journal.SEGMENT_BYTES = dice.choice([3_000, 100_000])
    sink = SQLite(Path(directory) / "requests.db") if conninfo is None else PostgreSQL(conninfo)
    ledger = Ledger(
        Flaky(sink, dice), journal=Path(directory) / "journal", durability=dice.choice(["process", "group"])
    )
    running, begun = [], 0
    while True:
        if len(running) < 20 and dice.random() < 0.55:
            begun += 1
            id = f"{number}-{begun}"
            running.append((id, ledger.begin(lost(id))))
            os.write(told.fileno(), f"S {id}\n".encode())
        elif running:
            id, entry = running.pop(dice.randrange(len(running)))
            ledger.end(entry, won(id))
            os.write(told.fileno(), f"E {id}\n".encode())


def troubled_streams(directory, number, told):
    """The same with a disk that is full now and then, and a sink that refuses some records for good.

    What could not be written down meanwhile is told as well (M).
    """
    dice = random.Random(number)
    carrier.GATHER = delivery.FIRST_PAUSE = dice.choice([0.0, 0.001, 0.01])
    carrier.BATCH = dice.choice([5, 20, 500])
    carrier.WAITING = dice.choice([10, 100_000])
    journal.SEGMENT_BYTES = dice.choice([3_000, 100_000])
    sink = Flaky(SQLite(Path(directory) / "requests.db"), dice, lambda record: record.tracking_id.endswith("77"))
    ledger = Ledger(sink, journal=Path(directory) / "journal", durability=dice.choice(["process", "group"]))
    running, begun, full = [], 0, False
    while True:
        if dice.random() < (0.05 if full else 0.005):
            full = not full
            limit_files(dice.choice([1_000, 10_000]) if full else None)
        failures = ledger.state.failures
        if len(running) < 20 and dice.random() < 0.55:
            begun += 1
            kind, id = "S", f"{number}-{begun}"
            running.append((id, ledger.begin(lost(id))))
        elif running:
            kind, (id, entry) = "E", running.pop(dice.randrange(len(running)))
            ledger.end(entry, won(id))
        else:
            continue
        os.write(told.fileno(), f"{kind if failures == ledger.state.failures else 'M'} {id}\n".encode())


def limit_files(size):
    """From now on no file gets larger than that, as on a full disk; None is no limit."""
    import resource

    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (most if size is None else size, most))
