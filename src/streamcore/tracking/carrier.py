"""Carries records to one sink, in a thread of its own.

Records wait in memory, up to `WAITING` of them. Beyond that a record which is in the journal is only remembered as a range
of its file, and read back when there is room; another one is left out, and counted. How a sink is asked, and what if it
fails or refuses a record, is told in `delivery`. What it refused is asked for again every `SELDOM` seconds, and whenever
somebody flushes; what it refused in a process that is dead now is among it from the start.
"""

from __future__ import annotations

import threading
from collections import deque
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from .delivery import PATIENCE, Delivery, Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from .delivery import Sink
    from .segment import Segment

__all__ = ["Carrier", "SinkState"]

BATCH: Final = 500  # records a sink gets at once: what SQLite and PostgreSQL take well in one transaction
GATHER: Final = 0.05  # seconds in which a batch gathers
SELDOM: Final = 600.0
WAITING: Final = 100_000  # some 200 MB
REFUSED: Final = 10_000  # that are kept in memory


class SinkState(Struct, frozen=True, kw_only=True):
    """How a sink does: how many records it took, wait for it, were refused by it and left out; how often it failed.

    `refused` are the records that it did not take alone, while it took others: they are put aside, and asked for again
    now and then. `left_out` are those that it will not get from this process. `error` is what it failed with, None once it
    works again.
    """

    name: str
    written: int
    waiting: int
    refused: int
    left_out: int
    failures: int
    error: str | None


class _Range(Struct):
    """Records of a segment that are not in memory."""

    start: int
    end: int
    count: int


class Carrier:
    """One sink, its queue and its thread. `lock` is the ledger's: `add` is called under it.

    `prepare` makes an entry ready for a sink; `settle` is told of entries that the sink has, or will never have; `set_aside`
    of one that it refuses, and gives the entry that is to wait in its place.
    """

    def __init__(
        self,
        sink: Sink,
        lock: AbstractContextManager[object],
        prepare: Callable[[Entry], None],
        settle: Callable[[Sequence[Entry]], None],
        set_aside: Callable[[Entry], Entry],
    ) -> None:
        self._lock = lock
        self._prepare = prepare
        self._settle = settle
        self._set_aside = set_aside
        self._queue: deque[Entry] = deque()
        self._elsewhere: dict[Segment, _Range] = {}
        self._refused: deque[Entry] = deque()
        self._due = inf  # when those are asked for again
        self._wake: SimpleQueue[None] = SimpleQueue()  # alone re-entrant: an Event's lock is not
        self._awake = False
        self._hurry = threading.Event()
        self._progress = threading.Condition()
        self._added = self._done = self._left_out = 0
        self._delivery = Delivery(sink, self._hurry, self._took, self._put_aside)
        self._thread = threading.Thread(target=self._run, name=f"streamcore-{self._delivery.name}", daemon=True)
        self._thread.start()

    def state(self) -> SinkState:
        """How the sink does."""
        done, refused = self._done, len(self._refused)  # in this order, and before `_added`, none is counted twice
        waiting = self._added - done - refused
        return SinkState(
            name=self._delivery.name,
            written=self._delivery.written,
            waiting=waiting,
            refused=refused,
            left_out=self._left_out,
            failures=self._delivery.failures,
            error=self._delivery.error,
        )

    def add(self, entry: Entry, start: int | None) -> bool:
        """Take a record that ended; `start` is the offset of its line, if it has one. False: it is left out."""
        full = len(self._queue) >= WAITING
        if self._delivery.stopped or (full and start is None):
            self._left_out += 1
            return False
        if entry.segment is not None and start is not None and (full or self._elsewhere):
            self.add_range(entry.segment, start, entry.segment.size, 1)
            return True
        self._added += 1
        self._queue.append(entry)
        self._awaken()
        return True

    def add_range(self, segment: Segment, start: int, end: int, count: int) -> None:
        """Take records that are read from a segment when there is room: all between two offsets."""
        found = self._elsewhere.setdefault(segment, _Range(start, end, 0))
        found.end = end
        found.count += count
        self._added += count
        self._awaken()

    def _awaken(self) -> None:
        if not self._awake:
            self._awake = True
            self._wake.put(None)

    def flush(self, deadline: float) -> bool:
        """Wait until the sink has all records added so far, or until `deadline` on the monotonic clock: whether it has.

        Those that it refused are asked for once more, and not waited for.
        """
        with self._lock:
            wanted = self._added
        self._hurry.set()
        if self._refused and not self._delivery.stopped:
            self._due = 0.0
            self._wake.put(None)

        def finished() -> bool:
            out = self._done + len(self._refused)
            return out >= wanted and not self._delivery.failing and monotonic() < self._due

        with self._progress:
            return self._progress.wait_for(finished, max(0.0, deadline - monotonic())) and not self._refused

    def stop(self, deadline: float) -> None:
        """End the thread after what it does now, or leave it alone at the deadline. What still waits is left out."""
        with self._lock:
            self._delivery.stopped = True
        self._wake.put(None)
        self._hurry.set()
        self._thread.join(max(0.0, deadline - monotonic()))

    def _run(self) -> None:
        while self._awaited():
            entries = self._more(0)
            if entries and not self._delivery.deliver(entries, self._more):
                break
            if monotonic() >= self._due:
                self._ask_again()
            if self._queue or self._elsewhere:
                self._awaken()
            else:
                self._hurry.clear()
            self._progressed(0)
        self._delivery.close()

    def _awaited(self) -> bool:
        """Wait until there is something to do; False when there is to be no more."""
        try:
            self._wake.get(timeout=None if self._due == inf else max(0.0, self._due - monotonic()))
        except Empty:
            return True
        if len(self._queue) < BATCH:
            self._hurry.wait(GATHER)
        self._awake = False
        return not self._delivery.stopped

    def _more(self, held: int) -> list[Entry]:
        """The next records, as many as a batch has besides those that are held."""
        if not self._queue and self._elsewhere:
            self._read_back()
        queue = self._queue
        return self._storable([queue.popleft() for _ in range(min(BATCH - held, len(queue)))])

    def _storable(self, entries: list[Entry]) -> list[Entry]:
        """Those of them that a sink can store; the others are left out."""
        for entry in entries:
            self._prepare(entry)
        bad = [entry for entry in entries if not entry.storable]
        if bad:
            self._settle(bad)
            self._leave_out(len(bad))
        return [entry for entry in entries if entry.storable]

    def _read_back(self) -> None:
        """Some of what is not in memory."""
        segment, found = next(iter(self._elsewhere.items()))
        try:
            records, position = segment.read(found.start, found.end)
        except OSError as error:
            self._delivery.failed(error)
            return
        entries = [Entry(record, segment, ended=True) for record in records]
        with self._lock:
            if not segment.refused:
                self._queue.extend(entries)
            found.count -= len(records)
            found.start = position
            unread = found.count if position >= found.end else 0
            if position >= found.end:
                del self._elsewhere[segment]
        self._leave_out(unread)  # lines that cannot be read any more; their file is kept
        if segment.refused:
            self._due = 0.0
            for entry in self._storable(entries):
                self._keep_refused(entry)

    def _leave_out(self, count: int) -> None:
        with self._lock:
            self._left_out += count
        self._progressed(count)

    def _took(self, entries: Sequence[Entry]) -> None:
        self._settle(entries)
        self._progressed(len(entries))

    def _put_aside(self, entry: Entry) -> None:
        self._due = min(self._due, monotonic() + SELDOM)
        self._keep_refused(self._set_aside(entry))

    def _keep_refused(self, entry: Entry) -> None:
        """Beyond what memory holds it is in its file alone, for another process."""
        if len(self._refused) < REFUSED:
            self._refused.append(entry)
        else:
            self._leave_out(1)

    def _ask_again(self) -> None:
        """Ask for those that were refused, one by one, until `PATIENCE` of them are refused again."""
        patience = PATIENCE
        for _ in range(len(self._refused)):
            entry = self._refused.popleft()
            if self._delivery.insist(entry) is not None:
                self._refused.append(entry)
                patience -= 1
            if not patience:
                break
        self._due = monotonic() + SELDOM if self._refused else inf

    def _progressed(self, count: int) -> None:
        with self._progress:
            self._done += count
            self._progress.notify_all()
