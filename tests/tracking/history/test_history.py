"""What was stored, added up, listed and followed: the same from a file and from a server."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import msgspec
import pytest

from histories import RECORDS, STORES, filled, lost, made, sink_at, won
from streamcore.errors import LocalError
from streamcore.events import Usage
from streamcore.tracking.history.queries import FIELDS, NAMES, TIMES, Filters, Follower, Sum, last, sums
from streamcore.tracking.history.store import opened
from streamcore.tracking.record import Cost, Record


@pytest.fixture(params=STORES)
def both(request, tmp_path):
    with filled(request.param, request, tmp_path) as (where, sink), opened(where) as store:
        yield store, sink


@pytest.fixture
def store(both):
    return both[0]


@pytest.fixture
def sink(both):
    return both[1]


def ids(rows):
    return [row["tracking_id"] for row in rows]


def test_days_are_added_up_each_currency_apart(store):
    assert sums(store) == [
        Sum(("2026-11-19",), 1, 0, 10, 20, Decimal("0.0024"), None, 0, "USD"),
        Sum(("2026-11-20",), 1, 0, 10, 20, Decimal(2), None, 0, "EUR"),
        Sum(("2026-11-20",), 3, 1, 20, 40, Decimal("0.1024"), Decimal("0.0000005"), 1, "USD"),
    ]


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("model", ["gpt-4o", "gpt-4o", "local"]),
        ("feature", ["chat", "chat"]),
        ("user", [None, "u-1", "u-2"]),
        ("conversation", ["c-1", "c-2", "c-3", "c-4", "c-5"]),
        ("status", ["ERROR", "SUCCESS", "SUCCESS"]),
        ("answered-by", [None, None]),
        ("host", ["api.openai.com", "api.openai.com"]),
        ("adapter", ["openai_chat", "openai_chat"]),
        ("hour", ["2026-11-19T12", "2026-11-20T12", "2026-11-20T12"]),
        ("month", ["2026-11", "2026-11"]),
        ("tag:team", [None, None, "a", 'b"%?']),
        ("tag:x.y", [None, None, "1"]),
        ("tag:none", [None, None]),
    ],
)
def test_they_are_added_up_by_what_they_were_for(store, by, groups):
    assert [one.group for one in sums(store, [by])] == [(group,) for group in groups]


def test_all_that_can_be_grouped_by_was_tried(store):
    for by in (*FIELDS, *TIMES):
        assert sum(one.requests for one in sums(store, [by])) == len(RECORDS)


def test_they_are_added_up_by_several_things_at_once(store):
    found = sums(store, ["tag:team", "day", "user"])
    assert [(one.group, one.requests) for one in found] == [
        ((None, "2026-11-20", None), 1),
        ((None, "2026-11-20", "u-1"), 1),
        ((None, "2026-11-20", "u-2"), 1),
        (("a", "2026-11-19", "u-1"), 1),
        (('b"%?', "2026-11-20", "u-1"), 1),
    ]


def test_by_nothing_they_are_added_up_all_together(store):
    assert [(one.group, one.requests, one.currency) for one in sums(store, [])] == [((), 1, "EUR"), ((), 4, "USD")]


def test_what_is_no_group_is_an_error_that_names_those_there_are(store):
    with pytest.raises(LocalError, match=r"'1\); DROP' is none of month, day, .*, status and tag:NAME"):
        sums(store, ["1); DROP"])


def test_what_is_unknown_of_all_is_not_0(store):
    assert sums(store, ["model"])[-1] == Sum(("local",), 1, 1, None, None, None, None, 1, "USD")


def test_no_number_is_too_large_to_be_added_up(store, sink):
    most = Usage(2**63 - 1, 2**63 - 1)
    sink.write([made(6, model="m", usage=most), made(7, model="m", usage=most), made(8, model="m", usage=Usage(1, -1))])
    (found,) = sums(store, ["model"], Filters(values={"model": ["m"]}))
    assert (found.input_tokens, found.output_tokens) == (2**64 - 1, 2**64 - 3)


def test_money_is_added_up_exactly(store, sink):
    tenth = Cost(known=Decimal("0.1"), estimated=Decimal("0.000000001"), provenance="estimated")
    sink.write([made(id, feature="f", costs=tenth) for id in range(10, 40)])
    (found,) = sums(store, ["feature"], Filters(values={"feature": ["f"]}))
    assert (found.cost_known, found.cost_estimated) == (Decimal(3), Decimal("0.00000003"))


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (Filters(since=datetime(2026, 11, 19, 12, 0, 0, 1, tzinfo=UTC)), "2345"),
        (Filters(until=datetime(2026, 11, 20, 12, tzinfo=UTC)), "1"),
        (Filters(since=datetime(2026, 11, 20, 13, tzinfo=timezone(timedelta(hours=1)))), "2345"),
        (Filters(values={"model": ["local"]}), "4"),
        (Filters(values={"model": ["local", "gpt-4o"]}), "12345"),
        (Filters(values={"model": ["gpt-4o"], "user": ["u-1"]}), "12"),
        (Filters(values={"model": ["gpt"]}), ""),
        (Filters(values={"user": [""]}), "5"),
        (Filters(values={"user": ["", "u-2"]}), "35"),
        (Filters(values={"status": ["ERROR"]}), "4"),
        (Filters(values={"feature": ["chat"], "conversation": ["c-3", "c-5"]}), "35"),
        (Filters(values={"tag:team": ["a"]}), "1"),
        (Filters(values={"tag:team": ['b"%?'], "tag:x.y": ["1"]}), "2"),
        (Filters(values={"tag:team": [""]}), "345"),
        (Filters(values={"model": ["' OR 1=1 --"]}), ""),
        (Filters(values={"user": ["\udcff"]}), ""),
        (Filters(values={"day": ["2026-11-19"]}), "1"),
    ],
)
def test_filters_say_which_records_are_meant(store, filters, found):
    assert ids(last(store, 100, filters)) == [*found]
    assert sum(one.requests for one in sums(store, ["status"], filters)) == len(found)


def test_the_last_are_listed_the_newest_at_the_end(store):
    assert ids(last(store, 2)) == ["4", "5"]


@pytest.mark.parametrize(("limit", "count"), [(0, 0), (10**30, 5)])
def test_any_limit_will_do(store, limit, count):
    assert len(last(store, limit)) == count


def test_a_row_has_what_is_in_the_columns(store):
    row = last(store, 100)[0]
    assert tuple(row) == NAMES
    assert row["created_at"] == "2026-11-19T12:00:00.000000Z"
    assert row["cost_known"] == Decimal("0.0024")
    assert row["cost_estimated"] is None
    assert msgspec.json.decode(row["tags"]) == {"team": "a"}
    assert (row["latency_ms"], row["duration_ms"], row["input_tokens"]) == (250.0, 1500.0, 10)
    assert msgspec.json.decode(row["record"], type=Record) == RECORDS[0]


def test_a_row_has_its_names_for_all_columns(store):
    assert NAMES[-1] == "record"
    assert len(set(NAMES)) == len(NAMES)


def test_who_follows_begins_with_the_last(store):
    assert ids(Follower(store).first(2)) == ["4", "5"]


def test_who_follows_gets_what_is_stored_since_and_once(store, sink):
    follower = Follower(store)
    follower.first(2)
    assert follower.more() == []
    sink.write([made(7), made(6)])
    assert ids(follower.more()) == ["6", "7"]
    assert follower.more() == []


def test_a_stream_that_began_before_the_others_comes_when_it_is_stored(store, sink):
    follower = Follower(store)
    follower.first(2)
    sink.write([made(0, 1)])
    assert ids(follower.more()) == ["0"]


def test_a_lost_one_comes_again_as_what_it_was(store, sink):
    follower = Follower(store)
    sink.write([made(6, record=lost)])
    assert [row["status"] for row in follower.first(1)] == ["LOST"]
    sink.write([made(6)])
    assert [row["status"] for row in follower.more()] == ["SUCCESS"]
    sink.write([made(6), made(6, record=lost)])
    assert follower.more() == []


def test_who_follows_gets_only_what_is_meant(store, sink):
    follower = Follower(store, Filters(values={"tag:team": ["b"], "user": ["u-1", "u-3"]}))
    assert follower.first(5) == []
    sink.write([made(6, tags={"team": "a"}), made(7, tags={"team": "b"}), made(8, user="u-2", tags={"team": "b"})])
    assert ids(follower.more()) == ["7"]


def test_who_follows_gets_the_first_record_of_all(request, tmp_path):
    for kind in STORES:
        with filled(kind, request, tmp_path, []) as (where, sink), opened(where) as store:
            follower = Follower(store)
            assert follower.first(10) == []
            sink.write([won(1)])
            assert ids(follower.more()) == ["1"]


@pytest.mark.parametrize("kind", STORES)
def test_who_follows_many_who_write_at_once_gets_each_record_once(kind, request, tmp_path):
    writers, batches = 4, 40
    with filled(kind, request, tmp_path, []) as (where, _), opened(where) as store, ThreadPoolExecutor(writers) as pool:
        follower = Follower(store)
        found = ids(follower.first(10))

        def write(name):
            with closing(sink_at(where)) as sink:
                for batch in range(batches):
                    sink.write([made(f"{name}-{batch}-{each}", 1 + batch % 28) for each in range(3)])

        running = [pool.submit(write, name) for name in range(writers)]
        while not all(one.done() for one in running):
            found += ids(follower.more())
        found += ids(follower.more())
        assert [one.exception() for one in running] == [None] * writers
    assert sorted(found) == sorted(f"{n}-{b}-{e}" for n in range(writers) for b in range(batches) for e in range(3))


def test_rows_that_are_deleted_do_not_hide_those_that_come(tmp_path, request):
    with filled("sqlite", request, tmp_path) as (where, sink), opened(where) as store:
        follower = Follower(store)
        follower.first(10)
        with closing(sqlite3.connect(where)) as database, database:
            database.execute("DELETE FROM requests")
        assert follower.more() == []
        sink.write([made(6)])
        assert ids(follower.more()) == ["6"]


def written(connection, id):
    """Store a copy of the first record in a transaction that is open."""
    text = "tracking_id, created_at, status, tags, usage_sources, cost_provenance, currency, attempts, record"
    connection.execute(
        f"INSERT INTO requests ({text}, stored) SELECT %s, {text.partition(', ')[2]}, "
        "CAST(CAST(pg_current_xact_id() AS text) AS bigint) FROM requests WHERE tracking_id = '1'",
        [id],
    )


def test_who_follows_a_server_gets_each_record_once_whoever_commits_first(request, tmp_path):
    import psycopg

    with filled("postgresql", request, tmp_path) as (where, _), opened(where) as store:
        follower = Follower(store)
        with psycopg.connect(where) as slow, psycopg.connect(where) as quick:
            written(slow, "slow")
            assert ids(follower.first(10)) == ["1", "2", "3", "4", "5"]
            written(quick, "quick-1")
            quick.commit()
            assert ids(follower.more()) == ["quick-1"]
            written(quick, "quick-2")
            quick.commit()
            assert ids(follower.more()) == ["quick-2"]
            slow.commit()
            assert ids(follower.more()) == ["slow"]
            assert follower.more() == []


def test_what_was_restored_from_a_younger_server_does_not_come_again_and_again(request, tmp_path):
    import psycopg

    with filled("postgresql", request, tmp_path) as (where, sink), opened(where) as store:
        with psycopg.connect(where) as database:
            database.execute("UPDATE requests SET stored = 2^62")
        follower = Follower(store)
        assert ids(follower.first(1)) == ["5"]
        assert follower.more() == []
        sink.write([made(6)])
        assert ids(follower.more()) == ["6"]
