"""Where records go: written down at once, and carried to the sinks by threads of their own.

A stream never waits for a sink. Its beginning and its end are lines in the journal, if there is one, written before
anything else happens; from there each sink takes them in batches, at its own pace. A sink that fails holds up neither
streams nor other sinks, and a record that it refuses no other record: see `carrier` and `delivery`. Nor does a journal
that fails hold up anything: records go on in memory. Both are told of in `Ledger.sinks` and `Ledger.state`, and in one line
of the log when they break and one when they are back. What dead processes left comes in by `keeper`.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from time import monotonic
from typing import TYPE_CHECKING, Final, Self

import anyio
from msgspec import Struct

from .carrier import Carrier, SinkState
from .delivery import Entry, Sink
from .journal import Journal
from .keeper import Keeper
from .text import storable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .journal import Durability
    from .record import Record
    from .segment import Segment

__all__ = ["Entry", "JournalState", "Ledger", "Sink", "SinkState"]

CLOSE_SECONDS: Final = 5.0
LEAVE_SECONDS: Final = 1.0  # that a thread gets at least to end what it does

_log: Final = logging.getLogger("streamcore.tracking")


class JournalState(Struct, frozen=True, kw_only=True):
    """How the journal does: bytes that wait for a sink, how often it failed, the last error; None once it works again.

    `adopted` are records that dead processes left behind, `damaged` lines of theirs that could not be read.
    """

    size: int
    failures: int
    error: str | None
    adopted: int
    damaged: int


def _same(record: Record) -> Record:
    return record


class Ledger:
    """Takes records from any thread and any event loop, and has each sink store each of them once.

    `journal` is a directory, shared by as many processes as you like; without one, what sinks have not taken is lost with
    the process. `prepare` is called in a thread, once before a record reaches the first sink; if it raises, the record
    goes on as it is. After a fork the child has a ledger of its own, begun with its first stream.

    Raises:
        LocalError: A journal cannot be had on this platform.
        OSError: The journal's directory cannot be made or written.
    """

    def __init__(
        self,
        *sinks: Sink,
        journal: str | Path | None = None,
        durability: Durability = "process",
        prepare: Callable[[Record], Record] = _same,
    ) -> None:
        self._sinks = sinks
        self._path = journal
        self._durability: Durability = durability
        self._prepare = prepare
        self._failures = 0
        self._error: str | None = None
        self._opening = threading.Lock()
        self._open(self._new_journal())
        self._watch_forks()

    def _new_journal(self) -> Journal | None:
        return None if self._path is None else Journal(self._path, durability=self._durability)

    def _open(self, journal: Journal | None) -> None:
        self._journal = journal
        self._closed = False
        self._lock = threading.RLock()  # re-entrant: a signal's handler may end a stream in the middle of another's end
        self._preparing = threading.Lock()
        self._carriers = [
            Carrier(sink, self._lock, self._make_ready, self._settle, self._set_aside) for sink in self._sinks
        ]
        self._keeper = None if journal is None else Keeper(journal, self._carriers, self._lock, self._failed)
        atexit.register(self.close)
        self._forked = False

    def _watch_forks(self) -> None:
        """Asking for the process's number with each stream would cost half of what is done for it in memory."""
        method = weakref.WeakMethod(self._after_fork)

        def forked() -> None:
            if (found := method()) is not None:
                found()

        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=forked)

    def _after_fork(self) -> None:
        self._forked = True
        self._opening = threading.Lock()

    def _begin_anew(self) -> None:
        """After a fork: the threads, the lock on the files and what waits are the parent's."""
        with self._opening:
            if not self._forked:
                return
            journal = None
            try:
                if self._journal is not None and not self._closed:
                    self._journal.abandon()
                journal = self._new_journal()
            except OSError as error:
                self._failed(error)
            self._open(journal)

    @property
    def sinks(self) -> tuple[SinkState, ...]:
        """How each sink does."""
        return tuple(carrier.state() for carrier in self._carriers)

    @property
    def state(self) -> JournalState | None:
        """How the journal does; None without one."""
        if self._journal is None or self._keeper is None:
            return None
        return JournalState(
            size=self._journal.size,
            failures=self._failures + self._keeper.failures,
            error=self._error,
            adopted=self._keeper.adopted,
            damaged=self._keeper.damaged,
        )

    def begin(self, record: Record) -> Entry:
        """A stream begins. `record` is what it shall have been if the process dies: its status is `LOST`. Never raises."""
        if self._forked:
            self._begin_anew()
        entry = Entry(record, None)
        with self._lock:
            if self._journal is not None and not self._closed:
                try:
                    entry.segment = self._journal.begin(record)
                except Exception as error:  # noqa: BLE001 - a stream is never broken by its record
                    self._failed(error)
                else:
                    self._worked()
        return entry

    def end(self, entry: Entry, record: Record) -> None:
        """It has ended; `record` is the whole of it. A second end of the same stream is none. Never raises."""
        if self._forked:
            self._begin_anew()
        with self._lock:
            if entry.ended:
                return
            entry.ended, entry.record = True, record
            start = self._write_end(entry, record)
            took = sum([carrier.add(entry, start) for carrier in self._carriers])
            if entry.segment is not None:
                entry.segment.pending += took
                # The stream itself goes on no more; but what a sink left out keeps the file for the next to adopt.
                self._settle_one(entry.segment, took == len(self._carriers))

    def _write_end(self, entry: Entry, record: Record) -> int | None:
        """The offset of its line in the journal; None if there is none."""
        if entry.segment is not None and entry.segment.closed:
            entry.segment = None  # it began before a fork, or before `close`
        if self._journal is None or self._closed:
            return None
        try:
            entry.segment, start = self._journal.end(entry.segment, record)
        except Exception as error:  # noqa: BLE001 - see begin
            self._failed(error)
            return None
        self._worked()
        return start

    def _failed(self, error: BaseException) -> None:
        if self._error is None:
            _log.error("the journal fails (%s): records are in memory only", type(error).__name__)
        self._failures += 1
        self._error = f"{type(error).__name__}: {error}"

    def _worked(self) -> None:
        if self._error is not None:
            _log.warning("the journal works again")
            self._error = None

    def _settle_one(self, segment: Segment, count: int) -> None:
        assert self._journal is not None
        try:
            self._journal.settled(segment, count)
        except OSError as error:
            self._failed(error)

    def _settle(self, entries: Sequence[Entry]) -> None:
        with self._lock:
            for entry in entries:
                if entry.segment is not None:
                    self._settle_one(entry.segment, 1)

    def _set_aside(self, entry: Entry) -> Entry:
        """Have the journal remember a record that a sink refused beside no others; the entry that waits in its place."""
        with self._lock:
            if self._journal is None or self._closed:
                return entry
            try:
                segment = self._journal.set_aside(entry.record)
            except Exception as error:  # noqa: BLE001 - it stays where it is
                self._failed(error)
                return entry
            if entry.segment is not None:
                self._settle_one(entry.segment, 1)
            return Entry(entry.record, segment, ended=True)

    def _make_ready(self, entry: Entry) -> None:
        with self._preparing:
            if entry.ready:
                return
            entry.ready = True
            try:
                entry.record = self._prepare(entry.record)
            except Exception as error:  # noqa: BLE001 - foreign code
                _log.error("%s is not prepared (%s)", entry.record.tracking_id, type(error).__name__)
            try:
                entry.record = storable(entry.record)
                entry.storable = True
            except Exception as error:  # noqa: BLE001 - whatever is in it
                _log.error("%s cannot be stored (%s)", entry.record.tracking_id, type(error).__name__)

    def flush(self, seconds: float) -> bool:
        """Wait until every sink has all records of streams that have ended, those adopted too.

        False if it takes longer, or if a sink refuses one: it is asked for those once more. It blocks: in an event loop,
        run it in a thread.
        """
        deadline = monotonic() + seconds
        looked = self._keeper is None or self._keeper.looked.wait(seconds)
        flushed = [carrier.flush(deadline) for carrier in self._carriers]  # every one, whatever the first says
        return looked and all(flushed)

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Flush, and end the threads. What no sink has taken by then stays in the journal, or is lost without one.

        To be called when all streams have ended: one that ends later is left out. Python calls it when it exits.
        """
        if self._closed or self._forked:
            return
        atexit.unregister(self.close)
        deadline = monotonic() + seconds
        self.flush(seconds)
        deadline = max(deadline, monotonic() + LEAVE_SECONDS)
        if self._keeper is not None:
            self._keeper.stop(deadline)  # before those that it hands on to
        for carrier in self._carriers:
            carrier.stop(deadline)
        with self._lock:
            self._closed = True
            if self._journal is not None:
                self._journal.close()
        for sink in self.sinks:
            if missing := sink.waiting + sink.refused:
                fate = "are lost" if self._journal is None else "wait in the journal"
                _log.error("records that the sink %s has not taken %s: %d", sink.name, fate, missing)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.close)
