"""Stored records, to be asked for: a file of SQLite or a server of PostgreSQL, in one SQL for both.

It has `?` for each value, and only what both understand; where they differ, a `Store` has the words. Whatever a user names
is a value, never a part of the text. Reading is read-only, so it may be done while others write.

A row that is new, or that took the place of a `LOST` one, has a `stored` by which those who follow the store know it. In
SQLite, where one writes at a time, it rises from row to row. In PostgreSQL nothing rises as it becomes visible: a number from a
sequence may be seen after a later one. So it is the number of the transaction, and who follows keeps his last snapshot: what
it did not show and the present one does is new.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from streamcore.errors import LocalError
from streamcore.tracking.sinks import postgres, sqlite

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from streamcore.tracking.sinks.table import Value

__all__ = ["Store", "is_address", "opened"]

_PATIENCE: Final = 30  # seconds in which a writer gets its turn, or a server answers
_CREATED: Final = """to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
_AFTER: Final = """
    stored >= CAST(CAST(pg_snapshot_xmin(CAST(? AS pg_snapshot)) AS TEXT) AS BIGINT)
    AND NOT pg_visible_in_snapshot(CAST(CAST(stored AS TEXT) AS xid8), CAST(? AS pg_snapshot))
    AND stored < CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS TEXT) AS BIGINT)
"""  # the last line: not what was restored from another server, whose transactions had other numbers


class Store(Protocol):
    """Where records are, and the SQL that is its own.

    `created` is the time of a record as text, `tag` its tag of the name that is the value, `cursor` where a follower is
    who has seen all, and `after` what was stored after a cursor, which is the value each time that it is asked for.
    """

    @property
    def created(self) -> str: ...
    @property
    def tag(self) -> str: ...
    @property
    def cursor(self) -> str: ...
    @property
    def after(self) -> str: ...

    def ask(self, question: str, values: Sequence[Value] = (), /) -> list[tuple[Any, ...]]:
        """What it answers.

        Raises:
            LocalError: It does not answer, or is no store of records.
        """
        ...

    def change(self, statement: str, rows: Sequence[Sequence[Value]], /) -> None:
        """Run a statement for each of these rows of values, in one transaction.

        Raises:
            LocalError: Nothing was changed.
        """
        ...


def is_address(where: str) -> bool:
    """Whether this is the address of a server, and not the path of a file."""
    return where.startswith(("postgresql://", "postgres://"))


@contextmanager
def opened(where: str | Path) -> Generator[Store]:
    """The store at a path, or at an address such as `postgresql://host/database`.

    Raises:
        LocalError: It is an address that cannot be understood, or the extra `postgres` is missing.
    """
    if isinstance(where, str) and is_address(where):
        with closing(_Server(where)) as server:
            yield server
    else:
        yield _File(Path(where))


class _File:
    """A file of SQLite. It is opened for each question, so that one that was put in its place is found."""

    created = "created_at"
    tag = "(SELECT value FROM json_each(tags) WHERE key = CAST(? AS TEXT))"
    cursor = "(SELECT coalesce(max(stored), 0) FROM requests)"
    after = "stored > ?"

    def __init__(self, path: Path) -> None:
        self._path = path

    def ask(self, question: str, values: Sequence[Value] = (), /) -> list[tuple[Any, ...]]:
        with self._database("ro") as database:
            version = _version(database)
            try:
                return database.execute(question, values).fetchall()
            except sqlite3.OperationalError as error:
                if 0 < version < len(sqlite.MIGRATIONS):
                    raise LocalError(f"{self._path} is older than this streamcore, until a record is stored") from error
                raise

    def change(self, statement: str, rows: Sequence[Sequence[Value]], /) -> None:
        with self._database("rw") as database:
            _check(_version(database), len(sqlite.MIGRATIONS))
            database.execute("BEGIN IMMEDIATE")
            database.executemany(statement, rows)
            database.execute("COMMIT")

    @contextmanager
    def _database(self, mode: str) -> Generator[sqlite3.Connection]:
        uri = f"{self._path.absolute().as_uri()}?mode={mode}"
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=_PATIENCE, isolation_level=None)) as database:
                yield database
        except sqlite3.Error as error:
            raise LocalError(f"{self._path} cannot be read as a file of records: {error}") from error


class _Server:
    """A server of PostgreSQL. One connection for all questions, made anew when it broke."""

    created = _CREATED
    tag = "(tags ->> CAST(? AS TEXT))"
    cursor = "CAST(pg_current_snapshot() AS TEXT)"
    after = _AFTER

    def __init__(self, address: str) -> None:
        self._psycopg = _psycopg()
        self._address = address
        self._name, self._password = _understood(address)
        self._reader: Any = None

    def ask(self, question: str, values: Sequence[Value] = (), /) -> list[tuple[Any, ...]]:
        with self._errors():
            if self._reader is None or self._reader.closed:
                self._reader = self._connection(read_only=True)
            with self._reader.transaction():
                found: list[tuple[Any, ...]] = self._reader.execute(_theirs(question), values).fetchall()
            return found

    def change(self, statement: str, rows: Sequence[Sequence[Value]], /) -> None:
        with self._errors(), closing(self._connection(read_only=False)) as writer, writer.transaction():
            _check(writer.execute(b"SELECT max(version) FROM requests_version").fetchone()[0], len(postgres.MIGRATIONS))
            writer.cursor().executemany(_theirs(statement), rows)

    def close(self) -> None:
        """Let go of the server."""
        if self._reader is not None:
            self._reader.close()

    def _connection(self, *, read_only: bool) -> Any:
        connection = self._psycopg.connect(
            self._address, connect_timeout=_PATIENCE, client_encoding="UTF8", prepare_threshold=None
        )
        connection.read_only = read_only
        return connection

    @contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except self._psycopg.Error as error:
            said = str(error).replace(self._password, "***") if self._password else str(error)
            raise LocalError(f"{self._name} cannot be asked for records: {said}") from None


def _version(database: sqlite3.Connection) -> int:
    found: int = database.execute("PRAGMA user_version").fetchone()[0]
    return found


def _check(version: int, known: int) -> None:
    if version > known:
        raise LocalError(f"the records are of version {version}, and this streamcore knows {known}")


def _psycopg() -> Any:
    try:
        return import_module("psycopg")
    except ImportError as error:
        raise LocalError(
            f"PostgreSQL needs the extra postgres: pip install 'streamcore[postgres]' ({error})"
        ) from error


def _understood(address: str) -> tuple[str, str]:
    """An address as it may be shown, and its password. What libpq says of a wrong one quotes it, so nobody hears that."""
    parts: dict[str, str] = {"host": "@"}
    with suppress(import_module("psycopg").ProgrammingError):
        parts = import_module("psycopg.conninfo").conninfo_to_dict(address)
    name = f"postgresql://{parts.get('host', '')}/{parts.get('dbname', '')}"
    if "@" in name:  # a password with a slash in it reads as a host and a database
        raise LocalError(
            "the address of PostgreSQL is not to be understood; it is postgresql://user:password@host:port/database, "
            "with % and two digits for what has a meaning there (@ is %40, / is %2F)"
        )
    return name, parts.get("password", "")


def _theirs(text: str) -> bytes:
    """SQL as psycopg takes it, which in bytes may be made of anything."""
    return text.replace("?", "%s").encode()
