from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from itertools import permutations

import msgspec
import pytest

from ledgers import lost, won
from streamcore.errors import LocalError
from streamcore.events import Failure, Usage
from streamcore.tracking.record import AttemptRecord, Context, Cost, Marks, Record
from streamcore.tracking.sinks import sqlite as module
from streamcore.tracking.sinks.sqlite import MIGRATIONS, SQLite
from streamcore.upstream import Origin


@pytest.fixture
def path(tmp_path):
    return tmp_path / "requests.db"


@pytest.fixture
def sink(path):
    sink = SQLite(path)
    yield sink
    sink.close()


def rows(path, columns="*"):
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(f"SELECT {columns} FROM requests ORDER BY tracking_id")]


WHOLE = won(
    1,
    context=Context(feature="chat", user="u-1", conversation_id="c-9", tags={"team": "ü"}),
    origin=Origin(adapter="openai_chat", model="gpt-4o", host="api.openai.com"),
    answered_by="gpt-4o-2026",
    request_id="req_1",
    usage=Usage(100, 20, 3, 4, 5),
    usage_sources={"input_tokens": "reported"},
    costs=Cost(known=Decimal("0.0024"), estimated=Decimal("1e-9"), provenance="estimated", currency="EUR"),
    marks=Marks(first_content=0.5, last_content=2.0, closed=2.25),
    attempts=(AttemptRecord(status="SUCCESS"),),
)


def test_a_record_is_a_row_with_what_is_asked_for_in_columns(sink, path):
    sink.write([WHOLE])
    (row,) = rows(path)
    del row["record"], row["stored"]
    assert row == {
        "tracking_id": "1",
        "created_at": "2026-11-20T18:42:35.123456Z",
        "status": "SUCCESS",
        "finish_reason": "stop",
        "failure": None,
        "adapter": "openai_chat",
        "model": "gpt-4o",
        "provider": "openai",
        "host": "api.openai.com",
        "answered_by": "gpt-4o-2026",
        "request_id": "req_1",
        "feature": "chat",
        "user": "u-1",
        "conversation_id": "c-9",
        "tags": '{"team":"ü"}',
        "input_tokens": 100,
        "output_tokens": 20,
        "cache_read_tokens": 3,
        "cache_write_tokens": 4,
        "reasoning_tokens": 5,
        "usage_sources": '{"input_tokens":"reported"}',
        "cost_known_nano": 2_400_000,
        "cost_estimated_nano": 1,
        "cost_provenance": "estimated",
        "currency": "EUR",
        "latency_ms": 500.0,
        "streaming_duration_ms": 1_500.0,
        "duration_ms": 2_250.0,
        "attempts": '[{"status":"SUCCESS"}]',
    }


def test_the_whole_record_is_there_too(sink, path):
    sink.write([WHOLE])
    assert msgspec.json.decode(rows(path)[0]["record"], type=Record) == WHOLE


def test_what_is_unknown_is_null(sink, path):
    sink.write([lost(1)])
    (row,) = rows(path)
    unknown = {name for name, value in row.items() if value is None}
    assert unknown == row.keys() - {
        *("tracking_id", "created_at", "status", "tags", "usage_sources", "cost_provenance", "currency"),
        *("attempts", "record", "stored"),
    }


def test_a_failure_is_there_by_its_kind(sink, path):
    sink.write([won(1, outcome=Failure("overloaded", "later"))])
    assert rows(path, "failure, finish_reason") == [{"failure": "overloaded", "finish_reason": None}]


def test_the_time_is_that_of_greenwich(sink, path):
    at = datetime(2026, 11, 20, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    sink.write([msgspec.structs.replace(won(1), created_at=at)])
    assert rows(path, "created_at, date(created_at) AS day") == [
        {"created_at": "2026-11-19T23:30:00.000000Z", "day": "2026-11-19"}
    ]


def test_a_number_that_no_column_can_hold_is_unknown(sink, path):
    sink.write([won(1, usage=Usage(2**63, 2**63 - 1))])
    assert rows(path, "input_tokens, output_tokens") == [{"input_tokens": None, "output_tokens": 2**63 - 1}]


def test_a_record_that_comes_twice_is_there_once(sink, path):
    sink.write([won(1), won(1)])
    sink.write([won(1), won(2)])
    assert [row["tracking_id"] for row in rows(path)] == ["1", "2"]


@pytest.mark.parametrize("order", [*permutations([lost(1), won(1), lost(1)])])
def test_an_end_replaces_lost_and_never_the_reverse(sink, path, order):
    for record in order:
        sink.write([record])
    assert rows(path, "status, finish_reason, input_tokens") == [
        {"status": "SUCCESS", "finish_reason": "stop", "input_tokens": 10}
    ]


def test_what_is_stored_later_has_a_higher_number(sink, path):
    sink.write([won(2), lost(9)])
    sink.write([won(2), won(1)])
    assert rows(path, "tracking_id, stored") == [
        {"tracking_id": "1", "stored": 3},
        {"tracking_id": "2", "stored": 1},
        {"tracking_id": "9", "stored": 2},
    ]


def test_an_end_that_replaces_lost_counts_as_stored_then(sink, path):
    sink.write([lost(1), won(2)])
    sink.write([won(1), lost(2)])
    assert rows(path, "stored") == [{"stored": 3}, {"stored": 2}]


def test_the_first_end_stays(sink, path):
    sink.write([won(1)])
    sink.write([won(1, usage=Usage(7, 7))])
    assert rows(path, "input_tokens") == [{"input_tokens": 10}]


def test_a_batch_is_there_whole_or_not_at_all(sink, path, monkeypatch):
    sink.write([won(1)])
    monkeypatch.setattr(module, "row", lambda record: [record.tracking_id] + [None] * (len(module.COLUMNS) - 1))
    with pytest.raises(sqlite3.IntegrityError):
        sink.write([won(2)])
    monkeypatch.undo()
    sink.write([won(3)])
    assert [row["tracking_id"] for row in rows(path)] == ["1", "3"]


def test_a_locked_file_takes_nothing_and_later_all(sink, path, monkeypatch):
    monkeypatch.setattr(module, "_BUSY_MILLISECONDS", 0)
    sink.write([won(1)])
    sink.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            sink.write([won(2)])
        other.execute("ROLLBACK")
    sink.write([won(2)])
    assert len(rows(path)) == 2


def test_a_file_that_is_no_database_is_an_error_and_left_alone(sink, path):
    path.write_bytes(b"something else entirely" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        sink.write([won(1)])
    assert path.read_bytes() == b"something else entirely" * 100


def test_readers_are_not_held_up(sink, path):
    sink.write([won(1)])
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        before = reader.execute("SELECT count(*) FROM requests").fetchone()
        sink.write([won(2)])
        assert before == reader.execute("SELECT count(*) FROM requests").fetchone() == (1,)


@pytest.mark.parametrize("version", range(len(MIGRATIONS)))
def test_an_older_file_becomes_one_of_this_version_and_keeps_its_rows(path, version, tmp_path):
    new = SQLite(tmp_path / "new.db")
    new.write([won(1)])
    new.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        for script in MIGRATIONS[:version]:
            old.execute(script)
        if version:
            old.execute("ATTACH ? AS new", (str(tmp_path / "new.db"),))
            columns = ", ".join(row[1] for row in old.execute("PRAGMA table_info(requests)"))
            old.execute(f"INSERT INTO requests ({columns}) SELECT {columns} FROM new.requests")
        old.execute(f"PRAGMA user_version = {version}")
    sink = SQLite(path)
    sink.write([won(2)])
    sink.close()
    assert [row["tracking_id"] for row in rows(path)] == (["1", "2"] if version else ["2"])
    with closing(sqlite3.connect(path)) as now, closing(sqlite3.connect(tmp_path / "new.db")) as then:
        schema = "SELECT name, sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY name"
        assert now.execute(schema).fetchall() == then.execute(schema).fetchall()
        assert now.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_a_file_that_another_process_has_just_brought_up_to_date_is_left_so(path, monkeypatch):
    """The version is asked for again under the lock."""
    first = SQLite(path)
    first.write([won(1)])
    first.close()
    answers, real = [1], module._version
    monkeypatch.setattr(module, "_version", lambda connection: answers.pop() if answers else real(connection))
    sink = SQLite(path)
    sink.write([won(2)])
    sink.close()
    assert len(rows(path)) == 2


def test_a_newer_file_is_not_touched(sink, path):
    with closing(sqlite3.connect(path, isolation_level=None)) as newer:
        newer.execute("PRAGMA user_version = 99")
    with pytest.raises(LocalError, match="version 99"):
        sink.write([won(1)])


def test_a_closed_sink_opens_again_with_the_next_record(sink, path):
    sink.write([won(1)])
    sink.close()
    sink.close()
    sink.write([won(2)])
    assert len(rows(path)) == 2


def test_after_a_fork_the_child_has_a_connection_of_its_own(sink, path, monkeypatch):
    sink.write([won(1)])
    before = sink._connection
    monkeypatch.setattr(os, "getpid", lambda: -1)
    sink.write([won(2)])
    assert sink._connection is not before
    assert len(rows(path)) == 2
    sink.close()
    monkeypatch.undo()
    before.close()
