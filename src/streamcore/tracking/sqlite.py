"""A sink that needs no server: one file of SQLite, which other processes read and write meanwhile.

The table is `requests`, a row for each record: what is asked for often in columns of its own, the whole record as JSON in
`record`. Durations are milliseconds. `created_at` is UTC, as `2026-11-20T18:42:35.123456Z`, so that it sorts and `date()`
takes it. Money is whole billionths of `currency` (`cost_known_nano`, `cost_estimated_nano`), so that SQL adds it up exactly;
a price a token may be finer than that, so a row is rounded, half to even: the exact amount is in `record`. What is unknown is NULL.
"""

from __future__ import annotations

import os
import sqlite3
from datetime import UTC
from decimal import ROUND_HALF_EVEN, Context, Decimal
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from streamcore.errors import LocalError
from streamcore.events import Failure, Finish

from .segment import encoded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .record import Record

__all__ = ["MIGRATIONS", "SQLite"]

_Value: TypeAlias = str | int | float | None

MIGRATIONS: Final = (
    """
    CREATE TABLE requests (
        tracking_id TEXT PRIMARY KEY NOT NULL,
        created_at TEXT NOT NULL,
        status TEXT NOT NULL,
        finish_reason TEXT,
        failure TEXT,
        adapter TEXT,
        model TEXT,
        host TEXT,
        answered_by TEXT,
        request_id TEXT,
        feature TEXT,
        user TEXT,
        conversation_id TEXT,
        tags TEXT NOT NULL,
        input_tokens INTEGER,
        output_tokens INTEGER,
        cache_read_tokens INTEGER,
        cache_write_tokens INTEGER,
        reasoning_tokens INTEGER,
        usage_sources TEXT NOT NULL,
        cost_known_nano INTEGER,
        cost_estimated_nano INTEGER,
        cost_provenance TEXT NOT NULL,
        currency TEXT NOT NULL,
        latency_ms REAL,
        streaming_duration_ms REAL,
        duration_ms REAL,
        attempts TEXT NOT NULL,
        record TEXT NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX requests_created_at ON requests (created_at)",
)
"""What makes a file of one version one of the next. Only ever added to: `PRAGMA user_version` says how many are done."""

_BUSY_MILLISECONDS: Final = 1_000  # then the ledger asks again
_LARGEST: Final = 2**63 - 1
_NANO: Final = Decimal(10**9)
_MONEY: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)


class SQLite:
    """Stores records in a file, which is made if it is not there. One connection, opened with the first record.

    It is in WAL mode with `synchronous=NORMAL`: a killed process loses nothing that was stored, a power cut perhaps the
    last transactions, and nothing is ever half there.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._process = os.getpid()
        self._parents: list[sqlite3.Connection | None] = []

    def write(self, records: Sequence[Record], /) -> None:
        """Store them in one transaction. A record that is there stays, but a `LOST` one gives way to one that is not.

        Raises:
            sqlite3.Error: They are not stored: locked, full, not a database.
            LocalError: The file was written by a newer version.
        """
        rows = [_row(record) for record in records]
        self._leave_to_parent()
        with self._lock:
            connection = self._open()
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(_INSERT, rows)
                connection.execute("COMMIT")
            except BaseException:
                self._drop()  # rolls back, and a file that was put in its place is found
                raise

    def close(self) -> None:
        """Close the file. A later record opens it again."""
        self._leave_to_parent()
        with self._lock:
            self._drop()

    def _leave_to_parent(self) -> None:
        """In a forked child, neither the connection nor the lock may be used, and the connection not even closed."""
        if self._process != os.getpid():
            self._lock, self._process = Lock(), os.getpid()
            self._parents.append(self._connection)
            self._connection = None

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _connect(self._path)
        return self._connection


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_MILLISECONDS / 1000, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    """Have the file be of this version; another process may be at it as well."""
    if _version(connection) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    version = _version(connection)
    if version > len(MIGRATIONS):
        raise LocalError(f"the file is of version {version}, and this streamcore knows {len(MIGRATIONS)}")
    for script in MIGRATIONS[version:]:
        connection.execute(script)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _integer(value: int | None) -> int | None:
    """A number that SQLite can hold; one that nobody ever paid for is unknown."""
    return value if value is None or abs(value) <= _LARGEST else None


def _nano(amount: Decimal | None) -> int | None:
    if amount is None or not amount.is_finite():
        return None
    return _integer(int(_MONEY.to_integral_value(_MONEY.multiply(amount, _NANO))))


def _created(record: Record) -> str:
    at = record.created_at.astimezone(UTC)
    return at.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _closed(record: Record) -> float | None:
    closed = record.marks.closed
    return None if closed is None else closed * 1000


_COLUMNS: Final[dict[str, Callable[[Record], _Value]]] = {
    "tracking_id": lambda record: record.tracking_id,
    "created_at": _created,
    "status": lambda record: record.status,
    "finish_reason": lambda record: record.outcome.reason if isinstance(record.outcome, Finish) else None,
    "failure": lambda record: record.outcome.kind if isinstance(record.outcome, Failure) else None,
    "adapter": lambda record: None if record.origin is None else record.origin.adapter,
    "model": lambda record: None if record.origin is None else record.origin.model,
    "host": lambda record: None if record.origin is None else record.origin.host,
    "answered_by": lambda record: record.answered_by,
    "request_id": lambda record: record.request_id,
    "feature": lambda record: record.context.feature,
    "user": lambda record: record.context.user,
    "conversation_id": lambda record: record.context.conversation_id,
    "tags": lambda record: _json(record.context.tags),
    "input_tokens": lambda record: _integer(record.usage.input_tokens),
    "output_tokens": lambda record: _integer(record.usage.output_tokens),
    "cache_read_tokens": lambda record: _integer(record.usage.cache_read_tokens),
    "cache_write_tokens": lambda record: _integer(record.usage.cache_write_tokens),
    "reasoning_tokens": lambda record: _integer(record.usage.reasoning_tokens),
    "usage_sources": lambda record: _json(record.usage_sources),
    "cost_known_nano": lambda record: _nano(record.costs.known),
    "cost_estimated_nano": lambda record: _nano(record.costs.estimated),
    "cost_provenance": lambda record: record.costs.provenance,
    "currency": lambda record: record.costs.currency,
    "latency_ms": lambda record: record.latency_ms,
    "streaming_duration_ms": lambda record: record.streaming_duration_ms,
    "duration_ms": _closed,
    "attempts": lambda record: _json(record.attempts),
    "record": lambda record: encoded(record).decode(),
}

_INSERT: Final = (
    f"INSERT INTO requests ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "  # noqa: S608
    f"ON CONFLICT (tracking_id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _COLUMNS)} "
    "WHERE requests.status = 'LOST' AND excluded.status <> 'LOST'"
)


def _row(record: Record) -> list[_Value]:
    return [column(record) for column in _COLUMNS.values()]
