from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import traceback
import warnings
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import count, permutations

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from ledgers import lost, won
from streamcore.errors import LocalError
from streamcore.events import Failure, Finish, Usage
from streamcore.tracking.record import AttemptRecord, Context, Cost, Marks, Record
from streamcore.tracking.sinks import postgres as module
from streamcore.tracking.sinks.batch import TYPES
from streamcore.tracking.sinks.postgres import MIGRATIONS, PostgreSQL
from streamcore.tracking.sinks.sqlite import SQLite
from streamcore.tracking.sinks.table import COLUMNS
from streamcore.upstream import Origin

NUMBERS = count()
CANARY = "p%ssw0rd-canary-7b1e"

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


@pytest.fixture
def sink(conninfo):
    with closing(PostgreSQL(conninfo)) as sink:
        yield sink


def rows(conninfo, columns="*"):
    with psycopg.connect(conninfo, row_factory=dict_row) as database:
        return database.execute(f"SELECT {columns} FROM requests ORDER BY tracking_id").fetchall()


def ids(conninfo):
    return [row["tracking_id"] for row in rows(conninfo, "tracking_id")]


def sessions(conninfo):
    """The numbers of the server's processes that serve sinks."""
    with psycopg.connect(conninfo) as other:
        asked = "SELECT pid FROM pg_stat_activity WHERE application_name = 'streamcore'"
        return {pid for (pid,) in other.execute(asked)}


def session(conninfo):
    """The number of the only one; of those that were closed the server hears a little later."""
    while len(found := sessions(conninfo)) != 1:
        assert found
    return found.pop()


def cut(conninfo):
    """End the sessions of all sinks, and wait until they have ended."""
    with psycopg.connect(conninfo) as other:
        for pid in sessions(conninfo):
            other.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])


def test_a_record_is_a_row_with_what_is_asked_for_in_columns(sink, conninfo):
    sink.write([WHOLE])
    (row,) = rows(conninfo)
    del row["record"], row["stored"]
    assert row == {
        "tracking_id": "1",
        "created_at": datetime(2026, 11, 20, 18, 42, 35, 123456, tzinfo=UTC),
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
        "tags": {"team": "ü"},
        "input_tokens": 100,
        "output_tokens": 20,
        "cache_read_tokens": 3,
        "cache_write_tokens": 4,
        "reasoning_tokens": 5,
        "usage_sources": {"input_tokens": "reported"},
        "cost_known_nano": 2_400_000,
        "cost_estimated_nano": 1,
        "cost_provenance": "estimated",
        "currency": "EUR",
        "latency_ms": 500.0,
        "streaming_duration_ms": 1_500.0,
        "duration_ms": 2_250.0,
        "attempts": [{"status": "SUCCESS"}],
    }


def test_the_whole_record_is_there_too(sink, conninfo):
    sink.write([WHOLE])
    (row,) = rows(conninfo, "record::text AS record")
    assert msgspec.json.decode(row["record"], type=Record) == WHOLE


def test_the_columns_are_those_of_sqlite_in_the_same_order(sink, conninfo, tmp_path):
    sink.write([WHOLE])
    with closing(SQLite(tmp_path / "requests.db")) as file:
        file.write([WHOLE])
        names = [column[1] for column in file._connection.execute("PRAGMA table_info(requests)")]
    assert list(rows(conninfo)[0]) == names
    assert sorted(names) == sorted([*COLUMNS, "stored"])


def test_the_types_that_a_batch_is_read_with_are_those_of_the_table(sink, conninfo):
    sink.write([WHOLE])
    with psycopg.connect(conninfo) as database:
        asked = "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = 'requests'::regclass AND attnum > 0"
        found = dict(database.execute(asked).fetchall())
    assert found == TYPES | {"created_at": "timestamp with time zone", "stored": "bigint"}


def test_what_is_unknown_is_null(sink, conninfo):
    sink.write([lost(1)])
    (row,) = rows(conninfo)
    unknown = {name for name, value in row.items() if value is None}
    assert unknown == row.keys() - {
        *("tracking_id", "created_at", "status", "tags", "usage_sources", "cost_provenance", "currency"),
        *("attempts", "record", "stored"),
    }


def test_a_failure_is_there_by_its_kind(sink, conninfo):
    sink.write([won(1, outcome=Failure("overloaded", "later"))])
    assert rows(conninfo, "failure, finish_reason") == [{"failure": "overloaded", "finish_reason": None}]


def test_the_time_is_the_same_moment(sink, conninfo):
    at = datetime(2026, 11, 20, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    sink.write([msgspec.structs.replace(won(1), created_at=at)])
    assert rows(conninfo, "created_at") == [{"created_at": at}]


def test_a_number_that_no_column_can_hold_is_unknown(sink, conninfo):
    sink.write([won(1, usage=Usage(2**63, 2**63 - 1))])
    assert rows(conninfo, "input_tokens, output_tokens") == [{"input_tokens": None, "output_tokens": 2**63 - 1}]


def test_the_sum_of_money_is_exact(sink, conninfo):
    sink.write([won(number, costs=Cost(known=Decimal("0.1"))) for number in range(30)])
    assert rows(conninfo, "sum(cost_known_nano) OVER () AS sum, tracking_id")[0]["sum"] == 3 * 10**9


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@example(["a\0b", "\ud83d", "\\u0000", "\\\0", "\0\0", "\ude00\0"])
@given(st.lists(st.text(st.characters() | st.sampled_from("\0\\u0\ud83d\"'%")), min_size=6, max_size=6))
def test_any_text_is_stored_and_what_postgresql_does_not_take_is_replaced(sink, conninfo, words):
    id = str(next(NUMBERS))
    context = Context(feature=words[0], user=words[1], conversation_id=words[2], tags={words[3]: words[4]})
    sink.write([won(id, context=context, outcome=Finish("stop", raw=words[5]))])
    clean = [word.encode(errors="replace").decode().replace("\0", "\ufffd") for word in words]
    *columns, record = found(conninfo, id)
    assert columns == [*clean[:3], {clean[3]: clean[4]}]
    assert msgspec.json.decode(record, type=Record).outcome == Finish("stop", raw=clean[5])


def found(conninfo, id):
    with psycopg.connect(conninfo) as database:
        asked = 'SELECT feature, "user", conversation_id, tags, record::text FROM requests WHERE tracking_id = %s'
        return database.execute(asked, [id]).fetchone()


def test_a_record_that_comes_twice_is_there_once(sink, conninfo):
    sink.write([won(1), won(1)])
    sink.write([won(1), won(2)])
    assert ids(conninfo) == ["1", "2"]


ENDS = [*permutations([lost(1), won(1), lost(1)])]
ONE_ROW = [{"status": "SUCCESS", "finish_reason": "stop", "input_tokens": 10}]


@pytest.mark.parametrize("order", ENDS)
def test_an_end_replaces_lost_and_never_the_reverse(sink, conninfo, order):
    for record in order:
        sink.write([record])
    assert rows(conninfo, "status, finish_reason, input_tokens") == ONE_ROW


@pytest.mark.parametrize("order", ENDS)
def test_an_end_replaces_lost_and_never_the_reverse_in_one_batch_too(sink, conninfo, order):
    sink.write(order)
    assert rows(conninfo, "status, finish_reason, input_tokens") == ONE_ROW


@pytest.mark.parametrize("batches", [[[0, 1]], [[0], [1]]])
def test_the_first_end_stays(sink, conninfo, batches):
    both = [won(1), won(1, usage=Usage(7, 7))]
    for batch in batches:
        sink.write([both[number] for number in batch])
    assert rows(conninfo, "input_tokens") == [{"input_tokens": 10}]


def test_a_batch_is_there_whole_or_not_at_all(sink, conninfo):
    sink.write([won(1)])
    with psycopg.connect(conninfo) as database:
        database.execute("ALTER TABLE requests ADD CHECK (tracking_id <> '3')")
    with pytest.raises(psycopg.errors.CheckViolation):
        sink.write([won(2), won(3)])
    sink.write([won(4)])
    assert ids(conninfo) == ["1", "4"]


def test_it_is_connected_to_by_a_url_too(address, conninfo):
    with closing(PostgreSQL(address)) as sink:
        sink.write([won(1)])
    assert ids(conninfo) == ["1"]


def test_what_the_address_leaves_out_comes_from_the_environment(postgres, schema, conninfo, monkeypatch):
    monkeypatch.setenv("PGHOST", str(postgres.directory))
    monkeypatch.setenv("PGUSER", "postgres")
    monkeypatch.setenv("PGOPTIONS", schema["options"])
    with closing(PostgreSQL("postgresql:///postgres")) as sink:
        sink.write([won(1)])
    assert ids(conninfo) == ["1"]


def test_nothing_to_store_makes_the_tables_all_the_same(sink, conninfo):
    sink.write([])
    assert rows(conninfo) == []


def test_two_who_store_the_same_at_once_do_not_lock_each_other_up(conninfo):
    batch = [won(number) for number in range(200)]
    with closing(PostgreSQL(conninfo)) as sink:
        errors = at_once(lambda: sink.write(batch), lambda: sink.write(batch[::-1]))
    assert (errors, len(rows(conninfo))) == ([], 200)


def at_once(*acts):
    """What they raised, each in a thread of its own, all begun together."""
    together, errors = threading.Barrier(len(acts)), []

    def run(act):
        together.wait()
        try:
            act()
        except psycopg.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


# The connection.


def test_nothing_is_asked_of_the_server_before_the_first_record():
    sink = PostgreSQL("host=/nowhere")
    sink.close()
    with pytest.raises(psycopg.OperationalError):
        sink.write([won(1)])


def test_one_that_is_cut_costs_the_batch_and_the_next_gets_another(sink, conninfo):
    sink.write([won(1)])
    cut(conninfo)
    with pytest.raises(psycopg.OperationalError):
        sink.write([won(2)])
    sink.write([won(2)])
    assert ids(conninfo) == ["1", "2"]


def test_a_server_that_was_restarted_is_found_again(sink, conninfo, postgres):
    sink.write([won(1)])
    postgres.crash()
    with pytest.raises(psycopg.OperationalError):
        sink.write([won(2)])
    sink.write([won(2)])
    assert ids(conninfo) == ["1", "2"]


def test_why_there_is_no_connection_is_in_the_error(conninfo):
    sink = PostgreSQL(conninfo + " dbname=nothing")
    with pytest.raises(psycopg.OperationalError, match='"nothing" does not exist'):
        sink.write([won(1)])


def test_a_batch_that_waits_too_long_for_a_lock_fails_and_comes_again(conninfo):
    with closing(PostgreSQL(conninfo, seconds=0.05)) as sink, psycopg.connect(conninfo) as other:
        sink.write([won(1)])
        other.execute("LOCK TABLE requests")
        with pytest.raises(psycopg.errors.QueryCanceled):
            sink.write([won(2)])
        other.rollback()
        sink.write([won(2)])
    assert ids(conninfo) == ["1", "2"]


def test_a_server_that_does_not_answer_is_left(conninfo, monkeypatch):
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.0)
    with closing(PostgreSQL(conninfo, seconds=0.2)) as sink:
        sink.write([won(1)])
        pid = session(conninfo)
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(psycopg.OperationalError):
                sink.write([won(2)])
        finally:
            os.kill(pid, signal.SIGCONT)
        sink.write([won(2)])
    assert ids(conninfo) == ["1", "2"]


def test_a_server_that_takes_a_connection_and_says_nothing_is_left():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = PostgreSQL(f"host=127.0.0.1 port={silent.getsockname()[1]} connect_timeout=2")
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            sink.write([won(1)])


def test_one_that_is_gone_when_it_is_to_be_cut_is_no_matter():
    with socket.socket() as never_connected, module._cut_after(0.0, never_connected):
        for timer in threading.enumerate():
            if isinstance(timer, threading.Timer):
                timer.join()


def test_threads_that_store_at_once_have_a_connection_each_which_the_next_batches_use(sink, conninfo):
    for batch in range(3):
        assert at_once(*[lambda name=f"{batch}-{number}": sink.write([won(name)]) for number in range(4)]) == []
        assert 1 <= len(sessions(conninfo)) <= 4
    assert len(ids(conninfo)) == 12


def test_one_that_was_not_used_for_long_gives_way_to_another(sink, conninfo, monkeypatch):
    """Whatever stands in between may have forgotten it, without a word."""
    sink.write([won(1)])
    first = session(conninfo)
    sink.write([won(2)])
    assert session(conninfo) == first
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    sink.write([won(3)])
    assert first not in (session(conninfo), *sessions(conninfo))
    assert len(ids(conninfo)) == 3


def test_a_closed_sink_opens_again_with_the_next_record(sink, conninfo):
    sink.write([won(1)])
    sink.close()
    sink.close()
    sink.write([won(2)])
    assert ids(conninfo) == ["1", "2"]


def test_closing_leaves_no_connection_and_no_thread(conninfo):
    before = set(threading.enumerate())
    sink = PostgreSQL(conninfo)
    sink.write([won(1)])
    sink.close()
    assert set(threading.enumerate()) <= before
    while sessions(conninfo):  # the server hears of it a little later
        pass


def write_and_leave(sink, record):
    """What a forked child does."""
    sink.write([record])
    sink.close()


def test_after_a_fork_the_child_has_a_connection_of_its_own(sink, conninfo):
    sink.write([won(1)])
    ours = session(conninfo)
    child = multiprocessing.get_context("fork").Process(target=write_and_leave, args=(sink, won(2)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which belong to the tests
        child.start()
    child.join()
    assert child.exitcode == 0
    assert ours in sessions(conninfo)
    sink.write([won(3)])
    assert ids(conninfo) == ["1", "2", "3"]


def test_in_a_forked_child_the_connections_of_the_parent_are_left_alone(sink, conninfo, monkeypatch):
    sink.write([won(1)])
    ((parents, _),) = sink._idle
    monkeypatch.setattr(os, "getpid", lambda: -1)
    sink.write([won(2)])
    sink.close()
    assert not parents.closed
    monkeypatch.undo()
    parents.close()
    assert ids(conninfo) == ["1", "2"]


# The tables.


def tables(conninfo):
    """What the tables are like."""
    columns = """
        SELECT table_name, column_name, data_type, collation_name, is_nullable, column_default
        FROM information_schema.columns WHERE table_schema = current_schema ORDER BY table_name, ordinal_position
    """
    indexes = (
        "SELECT replace(indexdef, current_schema, '') FROM pg_indexes WHERE schemaname = current_schema ORDER BY 1"
    )
    with psycopg.connect(conninfo) as database:
        version = database.execute("SELECT version FROM requests_version").fetchall()
        return database.execute(columns).fetchall(), database.execute(indexes).fetchall(), version


@pytest.mark.parametrize("version", range(len(MIGRATIONS)))
def test_older_tables_become_those_of_this_version_and_keep_their_rows(postgres, new_schema, version):
    old, new = postgres.conninfo(**new_schema()), postgres.conninfo(**new_schema())
    with closing(PostgreSQL(new)) as sink:
        sink.write([won(2)])
    with psycopg.connect(old) as database:
        if version:
            database.execute("CREATE TABLE requests_version (version integer NOT NULL)")
            database.execute("INSERT INTO requests_version VALUES (%s)", [version])
        for script in MIGRATIONS[:version]:
            database.execute(script)
        if version:
            needed = "'1', now(), 'LOST', '{}', '{}', 'missing', 'USD', '[]', '{}', 0"
            names = "tracking_id, created_at, status, tags, usage_sources, cost_provenance, currency, attempts, record, stored"
            database.execute(f"INSERT INTO requests ({names}) VALUES ({needed})")
    with closing(PostgreSQL(old)) as sink:
        sink.write([won(2)])
    assert ids(old) == ["1", "2"][not version :]
    assert tables(old) == tables(new)
    assert tables(old)[2] == [(len(MIGRATIONS),)]


def test_many_who_begin_at_the_same_time_make_the_tables_once(conninfo):
    sinks = [PostgreSQL(conninfo) for _ in range(8)]
    errors = at_once(*[lambda sink=sink, number=number: sink.write([won(number)]) for number, sink in enumerate(sinks)])
    for sink in sinks:
        sink.close()
    assert (errors, ids(conninfo)) == ([], [*map(str, range(8))])
    assert tables(conninfo)[2] == [(len(MIGRATIONS),)]


def test_newer_tables_are_not_touched(sink, conninfo):
    with psycopg.connect(conninfo) as newer:
        newer.execute("CREATE TABLE requests_version AS SELECT 99 AS version")
    with pytest.raises(LocalError, match="version 99"):
        sink.write([won(1)])
    with psycopg.connect(conninfo) as newer:
        assert newer.execute("SELECT to_regclass('requests')").fetchone() == (None,)


def test_a_table_of_that_name_which_is_not_ours_is_left_alone(sink, conninfo):
    with psycopg.connect(conninfo) as database:
        database.execute("CREATE TABLE requests AS SELECT 1 AS theirs")
    with pytest.raises(psycopg.errors.DuplicateTable):
        sink.write([won(1)])
    with psycopg.connect(conninfo) as database:
        assert database.execute("SELECT * FROM requests").fetchall() == [(1,)]
        assert database.execute("SELECT to_regclass('requests_version')").fetchone() == (None,)


def test_a_database_that_is_not_utf_8_is_refused(postgres):
    with psycopg.connect(postgres.conninfo(), autocommit=True) as database:
        database.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
        with pytest.raises(LocalError, match="LATIN1"):
            PostgreSQL(postgres.conninfo(dbname="latin")).write([won(1)])
        database.execute("DROP DATABASE latin")


RIGHTS = """
    DROP ROLE IF EXISTS recorder;
    CREATE ROLE recorder LOGIN;
    GRANT USAGE ON SCHEMA {schema} TO recorder;
    GRANT SELECT ON requests_version TO recorder;
    GRANT SELECT, INSERT, UPDATE ON requests TO recorder
"""
"""What the documentation says is enough, once the tables are there."""


def test_a_role_that_may_make_nothing_stores_records_in_tables_that_are_there(sink, conninfo):
    sink.write([lost(1)])
    with psycopg.connect(conninfo, autocommit=True) as owner:
        (name,) = owner.execute("SELECT current_schema").fetchone()
        owner.execute(RIGHTS.format(schema=name))
        with closing(PostgreSQL(conninfo + " user=recorder")) as other:
            other.write([won(1), won(2)])
        owner.execute("DROP OWNED BY recorder; DROP ROLE recorder")
    assert rows(conninfo, "tracking_id, status") == [
        {"tracking_id": "1", "status": "SUCCESS"},
        {"tracking_id": "2", "status": "SUCCESS"},
    ]


# What must not be said, and what is missing.


@pytest.mark.parametrize(
    "conninfo",
    [
        f"host=db password={CANARY} and more",
        f"host=db pasword={CANARY}",
        f"postgresql://me:{CANARY}@db/requests",  # `%ss` is no percent-encoding
        f"postgresql://me:secret@db:{CANARY}/requests?x",
        f"host=db password={CANARY}\ud83d",
    ],
)
def test_what_is_no_connection_string_is_refused_without_a_word_of_it(conninfo):
    with pytest.raises(LocalError, match="no connection string") as caught:
        PostgreSQL(conninfo)
    assert CANARY not in everything(caught.value)


def everything(error):
    """What an error says, and what those say that it came from."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(error.args)


@pytest.fixture
def keeper(conninfo):
    """Makes a role that has to say its password."""
    with psycopg.connect(conninfo, autocommit=True) as owner:

        def make(password):
            owner.execute(f"DROP ROLE IF EXISTS keeper; CREATE ROLE keeper SUPERUSER LOGIN PASSWORD '{password}'")

        yield make
        owner.execute("DROP OWNED BY keeper; DROP ROLE keeper")


@pytest.mark.parametrize(
    "wrong", [f"password={CANARY}", f"password={CANARY} port=1", f"password={CANARY} dbname=nothing"]
)
def test_no_password_is_in_an_error_a_log_or_a_repr(keeper, conninfo, caplog, wrong):
    caplog.set_level(logging.DEBUG, "psycopg")
    keeper("another-canary")
    sink = PostgreSQL(f"{conninfo} user=keeper {wrong}")
    with pytest.raises(psycopg.OperationalError) as caught:
        sink.write([won(1)])
    said = everything(caught.value) + caplog.text + repr(sink)
    assert all(word not in said for word in (CANARY, "another-canary"))


def test_a_password_that_is_right_is_in_nothing_that_is_logged(keeper, conninfo, caplog):
    caplog.set_level(logging.DEBUG, "psycopg")
    keeper(CANARY)
    sink = PostgreSQL(f"{conninfo} user=keeper password={CANARY}")
    sink.write([won(1)])
    cut(conninfo)
    with pytest.raises(psycopg.OperationalError) as caught:
        sink.write([won(2)])
    sink.close()
    assert CANARY not in everything(caught.value) + caplog.text + repr(sink)


def test_without_psycopg_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(LocalError, match=r"pip install 'streamcore\[postgres\]'"):
        PostgreSQL("host=db")
