r"""Server-sent events, both ways (WHATWG HTML, §9.2 "Server-sent events", read November 2026).

Theory of operation. Nearly every chunk of a live stream is whole events in one of two shapes, `data: …` or
`event: …` and `data: …`, each closed by an empty line. The parser recognises these by their first and last bytes and
slices the payload out; a chunk with many is split once. Everything else goes line by line through `_feed_lines`,
which follows the standard's algorithm: several data lines, `id`, `retry`, comments, CR, a byte order mark. Between
two events the parser holds no state but the last event id, so it may change from one road to the other there:

    _held    pieces of an unfinished event, starting where an event starts, no CR among them, under 64 KiB;
             joined once, when the piece arrives that can complete it: linear
    _strict  the line road has an event under way (or a BOM or an LF after a CR to wait for): stay on it

Where it is not quite right: `Frame.data` is what was sent, not yet decoded, so invalid UTF-8 is still in it (`text`
below decodes as the standard says); and up to 4 KiB of lines that are no field of the standard are kept in `stray`,
because some servers put a bare JSON error there.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from .errors import FramingError, LocalError
from .events import Failure
from .frames import EVENT_LIMIT, Frame

__all__ = ["Parser", "comment", "encode", "text"]

_BOM: Final = b"\xef\xbb\xbf"
_LF: Final = 10
_CR: Final = 13
_END_OF_LINE: Final = re.compile(rb"\r\n|\n|\r")
_FIELDS: Final = (b"data", b"event", b"id", b"retry")
_KNOWN_FIELD: Final = re.compile(rb"(?:data|event|id|retry):")
_LONGEST_FIELD: Final = 6  # "event:", "retry:": a pending line of this length is known or will never be
_HELD_LIMIT: Final = 64 * 1024
_STRAY_LIMIT: Final = 4 * 1024
_NAMES_KEPT: Final = 64  # event names decoded once each; of at most as many bytes
_RETRY_DIGITS: Final = 640  # what int() takes however low CPython's guard against its quadratic cost is set


def text(frame: Frame) -> str:
    """The frame's data as the standard decodes it: UTF-8, invalid bytes replaced by U+FFFD."""
    return frame.data.decode("utf-8", "replace")


def encode(data: bytes, *, event: str = "", id: str | None = None, retry: int | None = None) -> bytes:
    """One event, ending in its empty line. Each line of `data` gets a field of its own; `retry` is in milliseconds.

    Raises:
        LocalError: `event` or `id` holds a CR, LF or NUL, which would let it forge fields.
    """
    head = ""
    for name, value in (("event", event), ("id", id)):
        if value and not {"\r", "\n", "\0"}.isdisjoint(value):
            raise LocalError(f"the {name} of a server-sent event cannot hold CR, LF or NUL: {value!r}")
    if event:
        head = f"event: {event}\n"
    if id is not None:
        head += f"id: {id}\n"
    if retry is not None:
        head += f"retry: {retry}\n"
    if _LF in data or _CR in data:
        data = b"\ndata: ".join(_END_OF_LINE.split(data))
    return b"%bdata: %b\n\n" % (head.encode(), data)


def comment(words: str = "") -> bytes:
    """A comment, which every client skips: a keep-alive that is safe between two events."""
    return b"".join(b": %b\n" % line for line in _END_OF_LINE.split(words.encode())) + b"\n"


class Parser:
    """Cuts a `text/event-stream` body into frames. Takes bytes in any cut; linear in them.

    `limit` is in bytes and bounds what one event may hold: its data so far and the line under way. Comments and
    unknown fields are dropped as they arrive and count for nothing. `last_event_id` seeds the id, for a reconnection.
    """

    __slots__ = (
        "_bom",
        "_comment",
        "_data",
        "_data_size",
        "_event",
        "_failure",
        "_held",
        "_held_size",
        "_id",
        "_ignoring",
        "_known",
        "_last_event_id",
        "_limit",
        "_line",
        "_line_size",
        "_names",
        "_retry",
        "_skip_lf",
        "_stray",
        "_strict",
    )

    def __init__(self, *, limit: int = EVENT_LIMIT, last_event_id: str = "") -> None:
        self._limit = limit
        self._last_event_id = last_event_id
        self._retry: int | None = None
        self._names: dict[bytes, str] = {}
        self._held: list[bytes] = []
        self._held_size = 0
        self._strict = True  # until the first bytes have shown whether there is a byte order mark
        self._bom: bytes | None = b""
        self._skip_lf = False
        self._line: list[bytes] = []
        self._line_size = 0
        self._known = False
        self._ignoring = False
        self._comment = False
        self._data: list[bytes] = []
        self._data_size = 0
        self._event = ""
        self._id = last_event_id
        self._stray = b""
        self._failure: Failure | None = None

    @property
    def last_event_id(self) -> str:
        """The id of the last block that had one: what a reconnection sends as `Last-Event-ID`."""
        return self._last_event_id

    @property
    def retry(self) -> int | None:
        """The reconnection time in milliseconds that the server last asked for; known with its block's end or `close`."""
        return self._retry

    @property
    def stray(self) -> bytes:
        """The first 4 KiB of lines that are neither fields nor comments, joined by LF."""
        return self._stray

    def feed(self, data: bytes, /) -> list[Frame]:
        """The events that `data` completes. An event is complete with the byte that ends its empty line.

        Raises:
            FramingError: An event is larger than the limit; carries the frames completed before it.
        """
        if self._strict or len(data) > self._limit:
            return self._feed_strict(data)
        if not self._held and data[:6] == b"data: ":
            end = data.find(b"\n") - len(data)
            if end == -2 and data[-1] == _LF and _CR not in data:
                return [Frame(data[6:-2], "message", self._last_event_id)]
            if end == -3 and data[-4:] == b"\r\n\r\n" and data.find(b"\r") == len(data) - 4:
                return [Frame(data[6:-4], "message", self._last_event_id)]
        elif not self._held and data[-2:] == b"\n\n" and _CR not in data:
            frame = self._named(data[:-2])
            if frame is not None:
                return [frame]
        return self._feed_blocks(data)

    def close(self) -> Frame | None:
        """The body ended: the event it was cut off in, as far as it came. The standard would discard it."""
        if self._held:
            self._feed_strict(self._release())
        if self._bom:
            self._stray, self._bom = self._bom, None
        line = b"".join(self._line)
        if line[:5] == b"data:":  # no other field means anything before its line has ended
            self._field(line)
        elif not _KNOWN_FIELD.match(line) and not any(field.startswith(line) for field in _FIELDS):
            self._keep_stray(line)
        self._line = []
        if not self._data:
            return None
        return Frame(b"\n".join(self._data), self._event or "message", self._id)

    def _named(self, block: bytes) -> Frame | None:
        """The frame of a block that is one `event: ` line and one `data: ` line, LF between them."""
        line = block.find(b"\n")
        if block[:7] != b"event: " or block[line + 1 : line + 7] != b"data: " or line < 7:
            return None
        data = block[line + 7 :]
        if _LF in data:
            return None
        name = block[7:line]
        event = self._names.get(name)
        if event is None:
            event = name.decode("utf-8", "replace") or "message"
            if len(self._names) < _NAMES_KEPT and len(name) <= _NAMES_KEPT:
                self._names[name] = event
        return Frame(data, event, self._last_event_id)

    def _release(self) -> bytes:
        data = b"".join(self._held)
        self._held, self._held_size = [], 0
        return data

    def _feed_blocks(self, data: bytes) -> list[Frame]:
        """Whole events wherever the chunk has some; what is left of it is held."""
        separator = b"\r\n\r\n" if _CR in data else b"\n\n"
        held = self._held
        if held:
            if len(separator) == 2 and not (
                _LF in data and (b"\n\n" in data or (data[0] == _LF and held[-1][-1] == _LF))
            ):
                return self._hold(data)
            data = self._release() + data
            if len(data) > self._limit:
                return self._feed_strict(data)
        end = data.rfind(separator)
        if end < 0:
            return self._hold(data) if len(separator) == 2 else self._feed_strict(data)
        frames: list[Frame] = []
        for block in data[:end].split(separator):
            if block[:6] == b"data: " and _LF not in block and _CR not in block:
                frames.append(Frame(block[6:], "message", self._last_event_id))
            elif block:
                frame = self._named(block) if _CR not in block else None
                if frame is None:
                    frames += self._feed_strict(block + separator)
                else:
                    frames.append(frame)
        rest = data[end + len(separator) :]
        if rest:  # without this separator, but perhaps with the other
            frames += self._feed_blocks(rest)
        return frames

    def _hold(self, data: bytes) -> list[Frame]:
        if data:
            self._held.append(data)
            self._held_size += len(data)
            if self._held_size > min(_HELD_LIMIT, self._limit):
                return self._feed_strict(self._release())
        return []

    def _feed_strict(self, data: bytes) -> list[Frame]:
        """The standard's algorithm, line by line."""
        if self._failure is not None:
            raise FramingError(self._failure)
        if self._known and _LF not in data and _CR not in data:  # the middle of a long line
            self._hold_line(data)
            return []
        if self._held:
            data = self._release() + data
        if self._bom is not None:
            data = self._bom + data
            if len(data) < 3 and _BOM.startswith(data):
                self._bom = data
                return []
            self._bom, self._strict = None, False
            return self.feed(data[3:] if data[:3] == _BOM else data)
        if self._skip_lf and data:
            self._skip_lf = False
            if data[0] == _LF:
                data = data[1:]
        frames: list[Frame] = []
        *lines, rest = _END_OF_LINE.split(data)
        try:
            for line in lines:
                if self._ignoring:
                    self._keep_stray(line, new=False)
                elif self._line:
                    self._line.append(line)
                    self._end_line(b"".join(self._line), frames)
                else:
                    self._end_line(line, frames)
                self._line, self._line_size, self._known, self._ignoring = [], 0, False, False
            if lines and not rest and data[-1] == _CR:
                self._skip_lf = True
            if rest:
                self._hold_line(rest)
        except FramingError as error:
            error.frames += frames
            raise
        self._strict = bool(
            self._line
            or self._ignoring
            or self._data
            or self._event
            or self._skip_lf
            or self._id != self._last_event_id
        )
        return frames

    def _hold_line(self, piece: bytes) -> None:
        """Keep the beginning of a line, if it is a field that means something."""
        if self._ignoring:
            self._keep_stray(piece, new=False)
            return
        self._line.append(piece)
        self._line_size += len(piece)
        if not self._known and self._line_size >= _LONGEST_FIELD:
            head = b"".join(self._line)
            if _KNOWN_FIELD.match(head):
                self._known = True
            else:
                self._line, self._ignoring = [], True
                self._keep_stray(head)
        if self._known and self._data_size + self._line_size > self._limit:
            self._too_large(self._line_size)

    def _too_large(self, line_size: int) -> NoReturn:
        """The limit has a failure of its own, kept: whatever is fed later meets it again. Nothing else is kept."""
        self._failure = Failure(
            "protocol",
            f"a server-sent event exceeds the limit of {self._limit} bytes: {self._data_size + line_size} bytes seen, "
            f"{self._data_size} of them collected data, {line_size} in the line under way",
            detail="too_large",
        )
        self._strict, self._line, self._data = True, [], []
        raise FramingError(self._failure)

    def _keep_stray(self, piece: bytes, *, new: bool = True) -> None:
        """Keep a line that is no field, or one more piece of it, unless it is a comment."""
        if new:
            self._comment = piece[:1] == b":"
        if not self._comment and len(self._stray) < _STRAY_LIMIT:
            self._stray = (self._stray + (b"\n" if new and self._stray else b"") + piece)[:_STRAY_LIMIT]

    def _end_line(self, line: bytes, frames: list[Frame]) -> None:
        if line:
            self._field(line)
            return
        self._last_event_id = self._id
        if self._data:
            frames.append(Frame(b"\n".join(self._data), self._event or "message", self._id))
            self._data, self._data_size = [], 0
        self._event = ""

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name not in _FIELDS:
            self._keep_stray(line)
            return
        if self._data_size + len(line) > self._limit:
            self._too_large(len(line))
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            self._data.append(value)
            self._data_size += len(value) + 1
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif value.isdigit() and len(value) <= _RETRY_DIGITS:
            self._retry = int(value)
