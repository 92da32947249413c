"""A sink that needs no server: one file of SQLite, which other processes read and write meanwhile.

Its table is `requests`, as `table` tells; `created_at` is there as `2026-11-20T18:42:35.123456Z`, so that it sorts and
`date()` takes it.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

from streamcore.errors import LocalError

from .table import COLUMNS, insert, row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamcore.tracking.record import Record

__all__ = ["MIGRATIONS", "SQLite"]

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
    "ALTER TABLE requests ADD COLUMN stored INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX requests_stored ON requests (stored)",
    "ALTER TABLE requests ADD COLUMN provider TEXT",  # NULL in rows that were there before
)
"""What makes a file of one version one of the next. Only ever added to: `PRAGMA user_version` says how many are done."""

_BUSY_MILLISECONDS: Final = 1_000  # then the ledger asks again
_STORED: Final = "(SELECT coalesce(max(stored), 0) + 1 FROM requests)"  # it rises: there is one writer at a time
_INSERT: Final = insert(f"VALUES ({', '.join('?' * len(COLUMNS))}, {_STORED})")


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
        rows = [row(record) for record in records]
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
