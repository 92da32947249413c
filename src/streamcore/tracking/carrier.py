"""Carries records to one sink, in a thread of its own.

Records wait in memory, up to `WAITING` of them. Beyond that a record which is in the journal is only remembered as a range
of its file, and read back when there is room; another one is left out, and counted. A sink that fails is asked again with
the same records, after pauses that grow to `LONGEST_PAUSE`: it must know a record by its `tracking_id`.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from .record import Record
    from .segment import Segment

__all__ = ["Carrier", "Entry", "Sink", "SinkState", "longer"]

BATCH: Final = 500  # records a sink gets at once: what SQLite and PostgreSQL take well in one transaction
GATHER: Final = 0.05  # seconds in which a batch gathers
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 30.0
WAITING: Final = 100_000  # some 200 MB

_log: Final = logging.getLogger("streamcore.tracking")


class Sink(Protocol):
    """What takes records. It is called from one thread, so it may block. If it has a `close`, that is called at the end."""

    def write(self, records: Sequence[Record], /) -> None:
        """Store them, all or none.

        One that is there already, by its `tracking_id`, is the same and is skipped; but one that is there as `LOST` is
        replaced by one that is not.

        Raises:
            Exception: They are not stored; they will come again.
        """
        ...


class SinkState(Struct, frozen=True, kw_only=True):
    """How a sink does: how many records it took, wait for it and were left out; how often it failed, and with what.

    `error` is None once it works again.
    """

    name: str
    written: int
    waiting: int
    left_out: int
    failures: int
    error: str | None


class Entry:
    """A stream in the ledger: its record once it has `ended`, and the segment that remembers it until all sinks have it."""

    __slots__ = ("ended", "ready", "record", "segment", "storable")

    def __init__(self, record: Record, segment: Segment | None, *, ended: bool = False) -> None:
        self.record = record
        self.segment = segment
        self.ended = ended
        self.ready = False  # priced, and known to be `storable` or not
        self.storable = False


class _Range(Struct):
    """Records of a segment that are not in memory."""

    start: int
    end: int
    count: int


def _nothing() -> None:
    """What a sink does that has nothing to close."""


def longer(pause: float) -> float:
    """The pause after the next failure, in seconds."""
    return min(pause * 2, LONGEST_PAUSE)


class Carrier:
    """One sink, its queue and its thread. `lock` is the ledger's: `add` is called under it.

    `prepare` makes an entry ready for a sink; `settle` is told of entries that the sink has, or will never have.
    """

    def __init__(
        self,
        sink: Sink,
        lock: AbstractContextManager[object],
        prepare: Callable[[Entry], None],
        settle: Callable[[Sequence[Entry]], None],
    ) -> None:
        self._sink = sink
        self._lock = lock
        self._prepare = prepare
        self._settle = settle
        self._queue: deque[Entry] = deque()
        self._elsewhere: dict[Segment, _Range] = {}
        self._wake: SimpleQueue[None] = SimpleQueue()  # alone re-entrant: an Event's lock is not
        self._awake = False
        self._hurry = threading.Event()
        self._progress = threading.Condition()
        self._closing = False
        self._added = self._done = self._written = self._left_out = self._failures = 0
        self._error: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"streamcore-{self.name}", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """What the sink is called in the log."""
        return type(self._sink).__name__

    def state(self) -> SinkState:
        """How the sink does."""
        return SinkState(
            name=self.name,
            written=self._written,
            waiting=self._added - self._done,
            left_out=self._left_out,
            failures=self._failures,
            error=self._error,
        )

    def add(self, entry: Entry, start: int | None) -> bool:
        """Take a record that ended; `start` is the offset of its line, if it has one. False: it is left out."""
        full = len(self._queue) >= WAITING
        if self._closing or (full and start is None):
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
        """Wait until the sink has all records added so far, or until `deadline` on the monotonic clock: whether it has."""
        with self._lock:
            wanted = self._added
        self._hurry.set()
        with self._progress:
            return self._progress.wait_for(lambda: self._done >= wanted, max(0.0, deadline - monotonic()))

    def stop(self, deadline: float) -> None:
        """End the thread after what it does now, or leave it alone at the deadline. What still waits is left out."""
        with self._lock:
            self._closing = True
        self._wake.put(None)
        self._hurry.set()
        self._thread.join(max(0.0, deadline - monotonic()))

    def _run(self) -> None:
        while batch := self._gather():
            for entry in batch:
                self._prepare(entry)
            records = [entry.record for entry in batch if entry.storable]
            if records and not self._deliver(records):
                break
            with self._lock:
                self._left_out += len(batch) - len(records)
            self._settle(batch)
            self._progressed(len(batch))
        try:
            getattr(self._sink, "close", _nothing)()
        except Exception as error:  # noqa: BLE001 - there is nobody to be told otherwise
            self._failed(error)

    def _gather(self) -> list[Entry]:
        """The next batch; [] when there is to be no more."""
        while True:
            self._wake.get()
            if len(self._queue) < BATCH:
                self._hurry.wait(GATHER)
            self._awake = False
            if self._closing:
                return []
            if not self._queue and self._elsewhere:
                self._read_back()
            queue = self._queue
            batch = [queue.popleft() for _ in range(min(BATCH, len(queue)))]
            if queue or self._elsewhere:
                self._awaken()
            if batch:
                return batch
            self._hurry.clear()

    def _read_back(self) -> None:
        """Some of what is not in memory."""
        segment, found = next(iter(self._elsewhere.items()))
        try:
            records, position = segment.read(found.start, found.end)
        except OSError as error:
            self._failed(error)
            return
        with self._lock:
            self._queue.extend(Entry(record, segment, ended=True) for record in records)
            found.count -= len(records)
            found.start = position
            if position >= found.end:
                del self._elsewhere[segment]
                self._left_out += found.count  # lines that cannot be read any more; their file is kept
                self._progressed(found.count)

    def _deliver(self, records: Sequence[Record]) -> bool:
        """Have the sink take them, however often it fails; False if there is no time for that any more."""
        pause = FIRST_PAUSE
        while True:
            try:
                self._sink.write(records)
            except BaseException as error:  # noqa: BLE001 - whatever a sink does, the thread must go on
                self._failed(error)
            else:
                self._worked(len(records))
                return True
            if self._closing:
                return False
            if self._hurry.wait(pause):
                self._hurry.clear()  # once for each who is in a hurry
                pause = FIRST_PAUSE
            else:
                pause = longer(pause)

    def _failed(self, error: BaseException) -> None:
        """Say so once. What the error says may quote a record: it is in the state, and not in the log."""
        if self._error is None:
            _log.error("the sink %s fails (%s): records wait for it", self.name, type(error).__name__)
        self._failures += 1
        self._error = f"{type(error).__name__}: {error}"

    def _worked(self, count: int) -> None:
        self._written += count
        if self._error is not None:
            _log.warning("the sink %s works again", self.name)
            self._error = None

    def _progressed(self, count: int) -> None:
        with self._progress:
            self._done += count
            self._progress.notify_all()
