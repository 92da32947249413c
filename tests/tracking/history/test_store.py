"""What can be asked for records, and what is said when it cannot."""

from __future__ import annotations

import sqlite3
import sys
import traceback
from contextlib import closing

import pytest

from histories import STORES, filled, made
from streamcore.errors import LocalError
from streamcore.tracking.history.queries import Follower, last
from streamcore.tracking.history.store import is_address, opened

PASSWORD = "canary-of-a-password"


def said(where, *, change=False):
    """What is said, and all of it that a traceback would show, of a store that does not answer."""
    with pytest.raises(LocalError) as raised, opened(where) as store:
        if change:
            store.change("UPDATE requests SET status = ?", [["ERROR"]])
        last(store, 1)
    return str(raised.value), "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("where", "is_one"),
    [("postgresql://h/d", True), ("postgres://", True), ("requests.db", False), ("./postgres://x", False)],
)
def test_an_address_is_told_from_a_path(where, is_one):
    assert is_address(where) is is_one


def test_a_file_that_is_not_there_is_not_made(tmp_path):
    assert "none.db cannot be read as a file of records: unable to open" in said(tmp_path / "none.db")[0]
    said(tmp_path / "none.db", change=True)
    assert not [*tmp_path.iterdir()]


def test_a_file_that_is_something_else_says_so(tmp_path):
    (tmp_path / "x.db").write_bytes(b"something else entirely" * 100)
    assert "file is not a database" in said(tmp_path / "x.db")[0]


def test_a_file_is_only_read(tmp_path, request):
    with filled("sqlite", request, tmp_path) as (where, _), opened(where) as store:
        with pytest.raises(LocalError, match="readonly database"):
            store.ask("DELETE FROM requests RETURNING tracking_id")
        assert len(last(store, 10)) == 5


def test_a_server_is_only_read(tmp_path, request):
    with filled("postgresql", request, tmp_path) as (where, _), opened(where) as store:
        with pytest.raises(LocalError, match="read-only transaction"):
            store.ask("DELETE FROM requests RETURNING tracking_id")
        assert len(last(store, 10)) == 5


def test_a_file_that_was_put_in_place_of_another_is_found(tmp_path, request):
    with filled("sqlite", request, tmp_path) as (where, sink), opened(where) as store:
        assert len(last(store, 10)) == 5
        sink.close()
        (tmp_path / "a file?.db").unlink()
        sink.write([made(6)])
        assert len(last(store, 10)) == 1


@pytest.mark.parametrize("kind", STORES)
def test_a_change_is_made_whole_or_not_at_all(kind, tmp_path, request):
    with filled(kind, request, tmp_path) as (where, _), opened(where) as store:
        with pytest.raises(LocalError):
            store.change("UPDATE requests SET status = ? WHERE tracking_id = ?", [["LOST", "1"], [None, "2"]])
        store.change("UPDATE requests SET status = ? WHERE tracking_id = ?", [["ERROR", "3"], ["TIMEOUT", "4"]])
        assert [row["status"] for row in last(store, 10)] == ["SUCCESS", "SUCCESS", "ERROR", "TIMEOUT", "SUCCESS"]


def test_a_file_of_a_newer_version_is_not_changed(tmp_path, request):
    with filled("sqlite", request, tmp_path) as (where, _):
        with closing(sqlite3.connect(where)) as newer:
            newer.execute("PRAGMA user_version = 99")
        assert "of version 99" in said(where, change=True)[0]


def test_a_server_of_a_newer_version_is_not_changed(tmp_path, request):
    import psycopg

    with filled("postgresql", request, tmp_path) as (where, _):
        with psycopg.connect(where) as newer:
            newer.execute("UPDATE requests_version SET version = 99")
        assert "of version 99" in said(where, change=True)[0]


def test_a_file_of_the_first_version_is_read_and_only_following_it_needs_a_newer_one(tmp_path):
    from streamcore.tracking.sinks.sqlite import MIGRATIONS, SQLite

    with closing(sqlite3.connect(tmp_path / "old.db")) as old:
        old.execute(MIGRATIONS[0])
        old.execute("PRAGMA user_version = 1")
    with opened(tmp_path / "old.db") as store:
        assert last(store, 10) == []
        with pytest.raises(LocalError, match="older than this streamcore, until a record is stored"):
            Follower(store).first(10)
        with closing(SQLite(tmp_path / "old.db")) as sink:
            sink.write([])
        assert Follower(store).first(10) == []


def test_a_server_whose_connection_broke_is_asked_anew(tmp_path, request):
    import psycopg

    with filled("postgresql", request, tmp_path) as (where, _), opened(where) as store:
        assert len(last(store, 10)) == 5
        pid = store._reader.info.backend_pid
        with psycopg.connect(where) as other:
            other.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        with pytest.raises(LocalError, match="cannot be asked for records: terminating connection"):
            last(store, 10)
        assert len(last(store, 10)) == 5


def test_a_database_without_records_says_so(address):
    assert 'relation "requests" does not exist' in said(address)[0]


def test_a_server_that_was_never_asked_is_closed_all_the_same(address):
    with opened(address):
        pass


def test_no_password_is_in_what_is_said_of_a_server_that_refuses_it(postgres):
    import psycopg
    from psycopg import sql

    with psycopg.connect(postgres.conninfo(), autocommit=True) as database:
        database.execute("DROP ROLE IF EXISTS keeper")
        database.execute(sql.SQL("CREATE ROLE keeper LOGIN PASSWORD {}").format("another"))
    address = postgres.address(user="keeper", password=PASSWORD)
    short, whole = said(address)
    assert "password authentication failed" in short
    assert PASSWORD not in whole


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://u:{PASSWORD}@[h/d",
        f"postgresql://u:{PASSWORD} x@h/d",
        f"postgresql://u:{PASSWORD}/x@h/d",
        f"postgresql://u:x@{PASSWORD}@h/d",
        f"postgresql://u:{PASSWORD}%@h/d",
        f"postgres://u:p@h/d?pasword={PASSWORD}",
    ],
)
def test_an_address_that_cannot_be_understood_is_not_quoted(address):
    pytest.importorskip("psycopg")
    short, whole = said(address)
    assert "postgresql://user:password@host:port/database" in short
    assert PASSWORD not in whole


def test_a_password_that_comes_back_is_struck_out(monkeypatch):
    psycopg = pytest.importorskip("psycopg")

    def connect(address, **_):
        raise psycopg.OperationalError(f"cannot reach {address}")

    monkeypatch.setattr(psycopg, "connect", connect)
    assert "cannot reach postgresql://u:***@h/d" in said(f"postgresql://u:{PASSWORD}@h/d")[0]


def test_without_psycopg_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert "pip install 'streamcore[postgres]'" in said("postgresql://h/d")[0]
