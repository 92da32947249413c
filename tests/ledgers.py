"""What the tests of the ledger share: records, sinks that fail, and a process that is killed in the middle of its work."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from pathlib import Path

from streamcore.events import Finish, Usage
from streamcore.tracking import carrier, journal
from streamcore.tracking.ledger import Ledger
from streamcore.tracking.record import Record
from streamcore.tracking.sqlite import SQLite

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


class Flaky:
    """A sink before another that fails at random: before it has stored a batch, or when it has."""

    def __init__(self, sink, dice):
        self._sink, self._dice = sink, dice

    def write(self, records):
        if self._dice.random() < 0.2:
            raise OSError("not yet")
        self._sink.write(records)
        if self._dice.random() < 0.2:
            raise OSError("it is stored, but who knows")

    def close(self):
        self._sink.close()


def streams_for_ever(directory, number, told):
    """Run streams, many at a time, until this process is killed; say on a pipe what began (S) and what ended (E)."""
    dice = random.Random(number)
    carrier.GATHER = carrier.FIRST_PAUSE = dice.choice([0.0, 0.001, 0.01])
    carrier.BATCH = dice.choice([1, 20, 500])
    carrier.WAITING = dice.choice([10, 100_000])
    journal.SEGMENT_BYTES = dice.choice([3_000, 100_000])
    sink = Flaky(SQLite(Path(directory) / "requests.db"), dice)
    ledger = Ledger(sink, journal=Path(directory) / "journal", durability=dice.choice(["process", "group"]))
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
