"""A sink that stores records in PostgreSQL, with psycopg 3.

Its table is `requests`, as `table` tells, in the first schema of the role's `search_path`; `created_at` is a time with its
zone, what is JSON is `jsonb`, and `requests_version` says which of the `MIGRATIONS` are done.

Connections are kept from batch to batch, in a pool that is no more than a list. That of psycopg connects in threads of its own,
so whoever waits for it is told neither at once nor why it cannot; and a process that forks or forgets to close it takes ten
seconds to exit, since Python 3.13.

A batch is one statement in one transaction, as `batch` tells. Nothing of a session is kept between two of them, neither tables
nor prepared statements, so pgbouncer may stand in between.
"""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager, suppress
from threading import Lock, Timer
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from streamcore.errors import LocalError

from .batch import INSERT, rows

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from psycopg import Connection

    from streamcore.tracking.record import Record

    _Connection: TypeAlias = Connection[tuple[Any, ...]]

__all__ = ["MIGRATIONS", "PostgreSQL"]

MIGRATIONS: Final = (
    b"""
    CREATE TABLE requests (
        tracking_id text COLLATE "C" PRIMARY KEY,
        created_at timestamptz NOT NULL,
        status text NOT NULL,
        finish_reason text,
        failure text,
        adapter text,
        model text,
        host text,
        answered_by text,
        request_id text,
        feature text,
        "user" text,
        conversation_id text,
        tags jsonb NOT NULL,
        input_tokens bigint,
        output_tokens bigint,
        cache_read_tokens bigint,
        cache_write_tokens bigint,
        reasoning_tokens bigint,
        usage_sources jsonb NOT NULL,
        cost_known_nano bigint,
        cost_estimated_nano bigint,
        cost_provenance text NOT NULL,
        currency text NOT NULL,
        latency_ms double precision,
        streaming_duration_ms double precision,
        duration_ms double precision,
        attempts jsonb NOT NULL,
        record jsonb NOT NULL,
        stored bigint NOT NULL,
        provider text
    )
    """,
    b"CREATE INDEX requests_created_at ON requests (created_at)",
    b"CREATE INDEX requests_stored ON requests (stored)",
)
"""What makes the tables of one version those of the next. Only ever added to: `requests_version` says how many are done."""

CONNECT_SECONDS: Final = 5
LEAVE_SECONDS: Final = 5.0  # that the server gets after `seconds` to say itself that it was too slow
IDLE_SECONDS: Final = 60.0  # after so long a connection is not trusted: a firewall may have forgotten it

_LOCK: Final = 0x73747265616D  # "stream", among the advisory locks of a database


class PostgreSQL:
    """Stores records in a database. It is asked for nothing before the first of them comes.

    `conninfo` is a URL or the `key=value` form of libpq; what it leaves out comes from the variables `PGHOST`,
    `PGPASSWORD` and so on. There are as many connections as threads that store at once: one for a `Ledger`.
    A batch that takes more than `seconds` fails, and whoever does not answer at all is cut off some seconds later.

    Raises:
        LocalError: psycopg is missing, or `conninfo` is none.
    """

    def __init__(self, conninfo: str = "", *, seconds: float = 10.0) -> None:
        self._settings = _settings(conninfo)
        self._seconds = seconds
        self._lock = Lock()
        self._idle: list[tuple[_Connection, float]] = []  # and since when
        self._process = os.getpid()
        self._parents: list[object] = []

    def write(self, records: Sequence[Record], /) -> None:
        """Store them in one transaction. A record that is there stays, but a `LOST` one gives way to one that is not.

        Raises:
            psycopg.Error: They are not stored: no connection, no right, no room, too slow.
            LocalError: The tables were made by a newer version, or the database is not one of UTF-8.
        """
        text = rows(records)
        self._leave_to_parent()
        connection = self._taken() or self._connected()
        try:
            with self._transaction(connection):
                connection.execute(INSERT, [text])
        except BaseException:
            connection.close()  # which rolls back and, other than a ROLLBACK, waits for nobody
            self.close()  # the others may well be no better
            raise
        with self._lock:
            self._idle.append((connection, monotonic()))

    def close(self) -> None:
        """Close the connections. A later record opens new ones."""
        self._leave_to_parent()
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def _leave_to_parent(self) -> None:
        """In a forked child, neither the connections nor the lock may be used, and the connections not even closed."""
        if self._process != os.getpid():
            self._lock, self._process = Lock(), os.getpid()
            self._parents.append(self._idle)
            self._idle = []

    def _taken(self) -> _Connection | None:
        """The connection that was used last, if it is not too long ago."""
        with self._lock:
            if not self._idle:
                return None
            connection, since = self._idle.pop()
        if monotonic() - since < IDLE_SECONDS:
            return connection
        connection.close()
        return None

    def _connected(self) -> _Connection:
        """A new connection, to tables of this version."""
        import psycopg  # noqa: PLC0415 - an extra

        connection = psycopg.connect(**self._settings)
        try:
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _transaction(self, connection: _Connection) -> Generator[None]:
        """A transaction that ends in time, one way or another. Whoever leaves it with an error closes the connection."""
        limit = f"SET LOCAL statement_timeout = {self._seconds * 1000:.0f}"
        with _cut_after(self._seconds + LEAVE_SECONDS, connection):
            connection.execute(b"BEGIN ISOLATION LEVEL READ COMMITTED; " + limit.encode())
            yield
            connection.execute(b"COMMIT")

    def _migrate(self, connection: _Connection) -> None:
        """Have the tables be of this version; another process may be at it as well. Where nothing is to do, no right is needed to."""
        encoding = connection.info.parameter_status("server_encoding")
        if encoding not in {"UTF8", None}:  # what stands in between may not say
            raise LocalError(f"the database is one of {encoding}, and records are text in UTF8")
        with self._transaction(connection):
            if _there(connection) and _version(connection) == len(MIGRATIONS):
                return
            connection.execute(b"SELECT pg_advisory_xact_lock(%d)" % _LOCK)
            # Whether it is there must not be asked with `to_regclass` here, which may not see what was waited for.
            connection.execute(b"CREATE TABLE IF NOT EXISTS requests_version (version integer NOT NULL)")
            version = _version(connection)
            if version > len(MIGRATIONS):
                raise LocalError(f"the database is of version {version}, and this streamcore knows {len(MIGRATIONS)}")
            for script in MIGRATIONS[version:]:
                connection.execute(script)
            connection.execute(b"DELETE FROM requests_version")
            connection.execute(b"INSERT INTO requests_version VALUES (%d)" % len(MIGRATIONS))


def _there(connection: _Connection) -> bool:
    ((there,),) = connection.execute(b"SELECT to_regclass('requests_version') IS NOT NULL").fetchall()
    return bool(there)


def _version(connection: _Connection) -> int:
    """How many migrations are done."""
    ((version,),) = connection.execute(b"SELECT coalesce(max(version), 0) FROM requests_version").fetchall()
    return int(version)


@contextmanager
def _cut_after(seconds: float, connection: _Connection) -> Generator[None]:
    """Whoever waits for a server that neither answers nor hangs up is told, after some time, that it has."""
    line = socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)  # of whatever family it is

    def cut() -> None:
        with suppress(OSError):  # it is gone by now
            line.shutdown(socket.SHUT_RDWR)

    timer = Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        line.close()


def _settings(conninfo: str) -> dict[str, Any]:
    """What psycopg is called with. What it says of a bad `conninfo` may quote the password in it, so that is not said."""
    try:
        import psycopg.conninfo  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise LocalError("the PostgreSQL sink is an extra: pip install 'streamcore[postgres]'") from error
    try:
        given = psycopg.conninfo.conninfo_to_dict(conninfo)
    except (psycopg.ProgrammingError, ValueError):  # the latter of U+0000 and half a surrogate pair
        given = None
    if given is None:  # and outside of the `except`, so that it is not the context either
        raise LocalError("this is no connection string of PostgreSQL: neither postgresql://… nor key=value …")
    ours = {"connect_timeout": CONNECT_SECONDS, "fallback_application_name": "streamcore"}
    # Statements that are prepared belong to a session, which pgbouncer does not keep.
    return {**ours, **given, "client_encoding": "UTF8", "autocommit": True, "prepare_threshold": None}
