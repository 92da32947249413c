"""Files that remember which streams began and how they ended, whatever becomes of the process.

Theory of operation. Each process writes *segments* of its own, `<time>-<pid>-<number>.journal`, into one directory, and
holds a lock on each as long as it lives. A line is written with one `write`, so the kernel has it before the call
returns and a killed process loses nothing:

    S 5d1c2f0a {"tracking_id": …}        a stream began; what is known of it by then
    E 0b7be1d4 {"tracking_id": …}        it ended; the whole record

The number is the CRC-32 of what follows it. A line is read only up to its newline and only if its CRC is right: a torn
tail is cut, a damaged line in the middle is counted and passed over, and its file kept under the name `*.damaged`.

When all that a segment holds has reached every sink, it is emptied or deleted. A record that a sink refuses would keep
its segment for ever: it is written again to one of its own kind, `*-refused.journal`, which has no others.

A segment without an owner (its lock is free) is adopted by whoever looks next: its ends are records, its beginnings
without an end are `LOST` ones. Sinks know a record by its `tracking_id`, so that what was written before the crash and is
read again is there once.

`durability` says what a power cut may cost: `process` all that the kernel had not yet written (2 µs a line),
`group` what came within the last `GROUP_SECONDS` (its owner syncs), `record` nothing (a sync each line: 0.15 ms and more).

A lock belongs to the open file, which a forked child shares: a child that goes on without its own `Journal` keeps its
parent's segments from being adopted for as long as it lives, and must not write to them.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from .segment import BEGUN, ENDED, REFUSED, Segment, lock
from .text import encoded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .record import Record

__all__ = ["Durability", "Journal", "sync"]

Durability: TypeAlias = Literal["process", "group", "record"]

GROUP_SECONDS: Final = 0.01
SEGMENT_BYTES: Final = 16 * 1024 * 1024
CAP_BYTES: Final = 1024 * 1024 * 1024  # what may wait for a sink that is down: some 2.5 million records
OPEN_SEGMENTS: Final = 128  # beyond so many no more are adopted: each is an open file


class Journal:
    """A directory of segments, shared by all processes that name it. Not for a network file system: locks must hold.

    Not for several threads at once: its owner holds a lock.

    Raises:
        OSError: The directory cannot be made or written.
        LocalError: This platform has no locks on files.
    """

    def __init__(self, directory: str | Path, *, durability: Durability = "process") -> None:
        self._directory = Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._durability: Durability = durability
        self._number = 0
        self._current = self._new()
        self._refused: Segment | None = None
        self._others: list[Segment] = []  # full, of refused records, or adopted: no new streams, but something pending
        self._closed = False

    def _new(self, kind: str = "") -> Segment:
        self._number += 1
        path = self._directory / f"{time.time_ns()}-{os.getpid()}-{self._number}{kind}.journal"
        unlocked = path.with_suffix(".new")  # so that nobody adopts it before it is locked
        file = os.open(unlocked, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_RDWR, 0o600)
        try:
            lock(file)
            unlocked.rename(path)
            if self._durability != "process":
                _sync_directory(self._directory)
        except BaseException:
            os.close(file)
            unlocked.unlink(missing_ok=True)
            raise
        return Segment(path, file)

    def _own(self) -> list[Segment]:
        return [*self._others, self._current]

    @property
    def grouped(self) -> bool:
        """Whether its owner is to sync every `GROUP_SECONDS`."""
        return self._durability == "group"

    @property
    def size(self) -> int:
        """Bytes that wait for a sink."""
        return self._current.size + sum(segment.size for segment in self._others)

    def begin(self, record: Record) -> Segment:
        """A stream began: the segment that is also to be told of its end.

        Raises:
            OSError: It could not be written, or more than `CAP_BYTES` wait already.
        """
        segment = self._room()
        self._write(segment, BEGUN, record)
        segment.pending += 1
        return segment

    def end(self, segment: Segment | None, record: Record) -> tuple[Segment, int]:
        """A stream ended: its segment, a new one if it had none, and the offset of its line.

        Raises:
            OSError: It could not be written.
        """
        if segment is None:
            segment = self._room()
            segment.pending += 1
            try:
                return segment, self._write(segment, ENDED, record)
            except BaseException:
                segment.pending -= 1
                raise
        return segment, self._write(segment, ENDED, record)

    def set_aside(self, record: Record) -> Segment:
        """A sink refused a record: the segment that has it from now on, beside no others, so that they need not stay.

        Raises:
            OSError: It could not be written, or more than `CAP_BYTES` wait already.
        """
        if self._refused is None or self._refused.size >= SEGMENT_BYTES:
            self._check_cap()
            self._refused = self._new(REFUSED)
            self._others.append(self._refused)
        self._write(self._refused, ENDED, record)
        self._refused.pending += 1
        return self._refused

    def _check_cap(self) -> None:
        if self.size >= CAP_BYTES:
            raise OSError(f"{self.size} bytes of records wait for a sink")

    def _room(self) -> Segment:
        if self._current.size >= SEGMENT_BYTES:
            self._check_cap()
            with suppress(OSError):  # if no more files can be had, this one grows
                full, self._current = self._current, self._new()
                self._others.append(full)
        return self._current

    def _write(self, segment: Segment, kind: bytes, record: Record) -> int:
        start = segment.size
        segment.write(kind, encoded(record))
        if self._durability == "record":
            self.sync()
        return start

    def settled(self, segment: Segment, count: int) -> None:
        """So much of what is pending in a segment is so no more: one without anything is emptied or deleted."""
        segment.pending -= count
        if segment.pending or self._closed:
            return
        if segment is self._current:
            segment.clear()
        else:
            self._others.remove(segment)
            if segment is self._refused:
                self._refused = None
            segment.close(delete=True)

    def dirty(self) -> list[int]:
        """Descriptors of the files written to since this was last asked; whoever asks syncs and closes them."""
        found = [segment for segment in self._own() if segment.dirty]
        for segment in found:
            segment.dirty = False
        return [segment.duplicate() for segment in found]

    def sync(self) -> None:
        """Have what was written survive a power cut.

        Raises:
            OSError: It may not.
        """
        for file in self.dirty():
            sync(file)

    @property
    def crowded(self) -> bool:
        """Whether no more is adopted until some of what is pending is settled: files are open, and there is a cap."""
        return len(self._others) >= OPEN_SEGMENTS or self.size >= CAP_BYTES // 2

    def adopt(self) -> Iterator[Segment]:
        """The segments whose processes are gone, locked, but not looked into, until it is `crowded`.

        Each is to be kept or closed. Those of another user stay for another process of theirs.

        Raises:
            OSError: The directory cannot be read, or no file be opened.
        """
        own = {segment.path for segment in self._own()}
        for path in sorted(self._directory.iterdir()):  # `glob` keeps it to itself if the directory cannot be read
            if path.suffix != ".journal" or path in own:
                continue
            if self.crowded:
                return
            try:
                file = os.open(path, os.O_RDWR)
            except (FileNotFoundError, PermissionError):
                continue  # another process was faster, or is another user's
            if lock(file) and path.exists():  # if not: it lives, or was adopted and deleted between the two
                yield Segment(path, file)
            else:
                os.close(file)

    def keep(self, segment: Segment, pending: int) -> None:
        """An adopted segment counts from now on as one of ours; without anything pending it is deleted."""
        segment.pending = pending
        self._others.append(segment)
        self.settled(segment, 0)

    def close(self) -> None:
        """Let go of the files. Those with something pending stay for the next to adopt."""
        for segment in self._own():
            segment.close(delete=segment.pending == 0)
        self._closed = True

    def abandon(self) -> None:
        """Close the files in a forked child; they are its parent's."""
        for segment in self._own():
            segment.close(delete=False)
        self._closed = True


def sync(file: int) -> None:
    """Sync what `dirty` gave, and close it."""
    try:
        getattr(os, "fdatasync", os.fsync)(file)  # macOS has only the other
    finally:
        os.close(file)


def _sync_directory(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
