"""The ledger alone: what a stream pays for its record, and how many records a second SQLite and PostgreSQL take."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count

import psycopg
import pytest

import postgres_server
from streamcore.events import Finish, Usage
from streamcore.tracking.ledger import Ledger
from streamcore.tracking.record import Context, Cost, Marks, Record
from streamcore.tracking.sinks.postgres import PostgreSQL
from streamcore.tracking.sinks.sqlite import SQLite
from streamcore.tracking.sinks.table import COLUMNS, insert, row
from streamcore.upstream import Origin

pytestmark = pytest.mark.benchmark(group="ledger", timer=time.process_time)

STREAMS = 1_000
NUMBERS = count()


def record(status="SUCCESS"):
    """One as long as most are."""
    return Record(
        tracking_id=f"0190{next(NUMBERS):028x}",
        created_at=datetime(2026, 11, 20, tzinfo=UTC),
        status=status,
        context=Context(feature="chat", user="u-1", conversation_id="c-9"),
        outcome=Finish("stop"),
        origin=Origin(adapter="openai_chat", model="gpt-4o", host="api.openai.com"),
        usage=Usage(100, 20),
        usage_sources={"input_tokens": "reported", "output_tokens": "reported"},
        costs=Cost(known=Decimal("0.00123"), provenance="derived"),
        marks=Marks(sent=0.1, first_content=0.5, last_content=0.9, closed=1.0),
    )


class Nowhere:
    """A sink that costs nothing."""

    def write(self, records):
        pass


def streams(ledger, records):
    """Each of them begins and ends."""
    for one in records:
        ledger.end(ledger.begin(one), one)


def test_a_stream_in_the_ledger(race, tmp_path):
    """Processor time of all threads: the carrier's too."""
    records = [record() for _ in range(STREAMS)]
    with Ledger(Nowhere(), journal=tmp_path / "journal") as journal, Ledger(Nowhere()) as memory:
        race(
            "begin and end",
            {"with a journal": lambda: streams(journal, records), "in memory": lambda: streams(memory, records)},
            count=STREAMS,
            per="stream",
        )


def test_records_into_sqlite(race, tmp_path):
    """Batches of 500, as the ledger makes them, beside a transaction for each record."""
    sink = SQLite(tmp_path / "requests.db")

    def batches():
        for _ in range(STREAMS // 500):
            sink.write([record() for _ in range(500)])

    def alone():
        for _ in range(STREAMS):
            sink.write([record()])

    race("records into SQLite", {"500 at once": batches, "one at once": alone}, count=STREAMS, per="record")
    sink.close()


@pytest.fixture(scope="module")
def conninfo():
    """A server that does all it can not to lose anything, as servers do."""
    try:
        with postgres_server.started(fsync="on") as server:
            yield server.conninfo()
    except postgres_server.NoServerError as error:
        pytest.skip(str(error))


STATEMENT = insert(f"VALUES ({', '.join(['%s'] * len(COLUMNS))}, 0)").encode()


def timed(what, timer, goal):
    return pytest.param(what, goal, marks=pytest.mark.benchmark(group="ledger", timer=timer), id=what)


@pytest.mark.parametrize(
    ("what", "goal"),
    [timed("by the clock", time.perf_counter, 0.8), timed("processor time here", time.process_time, 1.5)],
)
def test_records_into_postgresql(race, tmp_path, conninfo, what, goal):
    """Batches of 500, beside SQLite and what psycopg offers for many rows: with the server's time, and what is left for streams."""
    sink, file = PostgreSQL(conninfo), SQLite(tmp_path / "requests.db")
    sink.write([])

    def batches(write):
        for _ in range(STREAMS // 500):
            write([record() for _ in range(500)])

    with psycopg.connect(conninfo) as connection:

        def many(records):
            connection.cursor().executemany(STATEMENT, [row(one) for one in records])
            connection.commit()

        race(
            f"records into PostgreSQL, {what}",
            {
                "the sink": lambda: batches(sink.write),
                "SQLite": lambda: batches(file.write),
                "psycopg's executemany": lambda: batches(many),
            },
            at_least={"psycopg's executemany": goal},
            count=STREAMS,
            per="record",
        )
    sink.close()
    file.close()
