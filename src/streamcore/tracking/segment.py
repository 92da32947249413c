"""One file of a journal: lines that say which streams began and how they ended. What they look like is in `journal`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final
from zlib import crc32

import msgspec

from streamcore.errors import LocalError

from .record import Record

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BEGUN", "ENDED", "REFUSED", "Segment", "lock"]

READ_BYTES: Final = 256 * 1024  # read back at a time: some 600 records

BEGUN: Final = b"S"
ENDED: Final = b"E"
REFUSED: Final = "-refused"  # ends the name of a file that has only such records

_decode: Final = msgspec.json.Decoder(Record).decode


def lock(file: int) -> bool:
    """Lock an open file, unless somebody else holds it."""
    try:
        import fcntl  # noqa: PLC0415 - not on every platform
    except ImportError:
        raise LocalError("a journal needs fcntl, which this platform lacks: leave the journal out") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Segment:
    """One open and locked file of a journal. Lines of one stream are all in one segment, if the disk is not full.

    `size` is in bytes. `pending` counts what keeps the file: streams that have not ended, and records, for each sink that
    has yet to take them. `refused` says that it has only records that some sink refused. `lost` are the streams of a dead
    process that never ended; `damaged` counts lines.
    """

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self.refused = path.stem.endswith(REFUSED)
        self._file = file
        self._torn = False  # the last line is not whole: the disk was full
        self.size = 0
        self.pending = 0
        self.dirty = False
        self.lost: frozenset[str] = frozenset()
        self.damaged = 0

    def write(self, kind: bytes, text: bytes) -> None:
        """Append a line.

        Raises:
            OSError: It is not there, or not whole.
        """
        line = b"%b %08x %b\n" % (kind, crc32(text), text)
        if self._torn:
            line = b"\n" + line
        self._torn = True
        written = os.write(self._file, line)
        self.size += written
        if written != len(line):
            raise OSError(f"only {written} of {len(line)} bytes were written")
        self._torn = False
        self.dirty = True

    def read(self, start: int, end: int) -> tuple[list[Record], int]:
        """Some of the records between two offsets, at least one if there is any, and the offset after them."""
        lines, position = self._lines(start, end)
        found = [entry for line in lines if (entry := _parse(line)) is not None]
        return [record for kind, record in found if kind == ENDED or record.tracking_id in self.lost], position

    def _lines(self, start: int, end: int) -> tuple[list[bytes], int]:
        size, left = READ_BYTES, end - start
        while True:
            chunk = os.pread(self._file, min(size, left), start)
            last = len(chunk) < size or size == left
            cut = chunk.rfind(b"\n") + 1
            if cut or last:
                return chunk[:cut].split(b"\n"), end if last else start + cut
            size *= 2

    def survey(self) -> int:
        """How many records a dead process left here, those of lost streams included."""
        self.size = os.fstat(self._file).st_size
        begun: set[str] = set()
        ended = position = 0
        while position < self.size:
            lines, position = self._lines(position, self.size)
            for line in filter(None, lines):
                found = _parse(line)
                if found is None:
                    self.damaged += 1
                elif found[0] == ENDED:
                    begun.discard(found[1].tracking_id)
                    ended += 1
                else:
                    begun.add(found[1].tracking_id)
        self.lost = frozenset(begun)
        return ended + len(begun)

    @property
    def closed(self) -> bool:
        """Whether it is nobody's here any more."""
        return self._file < 0

    def duplicate(self) -> int:
        """Another descriptor of the file, which stays open if this one is closed."""
        return os.dup(self._file)

    def clear(self) -> None:
        """Forget all that was written: every sink has it."""
        os.ftruncate(self._file, 0)
        self.size, self._torn = 0, False

    def close(self, *, delete: bool) -> None:
        """Let go of the file; what is left in it belongs to whoever opens the directory next."""
        if delete and self.damaged:
            self.path.rename(self.path.with_suffix(".damaged"))
        elif delete:
            self.path.unlink(missing_ok=True)
        file, self._file = self._file, -1  # a number that is soon another file's
        os.close(file)


def _parse(line: bytes) -> tuple[bytes, Record] | None:
    kind, _, rest = line.partition(b" ")
    check, _, text = rest.partition(b" ")
    if kind not in {BEGUN, ENDED} or check != b"%08x" % crc32(text):
        return None
    try:
        return kind, _decode(text)
    except msgspec.DecodeError:
        return None  # written by a version that knew other fields
