r"""Server-sent events, both ways (WHATWG HTML, §9.2 "Server-sent events", read November 2026).

Theory of operation. Nearly every event of a live stream has the shape of the one before: the same bytes in front of its
payload (`data: `, or an `event:` line and `data: `), the same empty line after it. The parser keeps that shape in mind,
so it recognises a chunk that is one event by comparing both ends, and cuts a chunk of many with a single split. Every
other event goes line by line through `_feed_strict`, which follows the standard's algorithm: several data lines, `id`,
`retry`, comments, CR, a byte order mark. Between two events the parser holds no state but the last event id, so it may
change from one road to the other there:

    _shape   of the last event: what stands before its payload and how long that is, what after it, and its type
    _held    an unfinished event, from where it starts, no CR in it, up to 64 KiB; searched no further than its end,
             and copied once when that comes: linear
    _strict  the line road has an event under way (or a BOM or an LF after a CR to wait for): stay on it

Where it is not quite right: `Frame.data` is what was sent, not yet decoded, so invalid UTF-8 is still in it (`text`
below decodes as the standard says); and up to 4 KiB of lines that are no field of the standard are kept in `stray`,
because some servers put a bare JSON error there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn

from .errors import FramingError, LocalError
from .events import Failure
from .frames import EVENT_LIMIT, Frame

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Parser", "comment", "encode", "text"]

_BOM: Final = b"\xef\xbb\xbf"
_LF: Final = 10
_CR: Final = 13
_END_OF_LINE: Final = re.compile(rb"\r\n|\n|\r")
_UNSAFE: Final = re.compile("[\r\n\0]")  # in a type or an id they would forge fields, or void them
_FIELDS: Final = (b"data", b"event", b"id", b"retry")
_HEAD: Final = re.compile(rb"(?:event: ?+([^\r\n]{1,64})\r?\n)?data: ")  # what a shape begins with
_KNOWN_FIELD: Final = re.compile(rb"(?:data|event|id|retry):")
_LONGEST_FIELD: Final = 6  # "event:", "retry:": a pending line of this length is known or will never be
_FIRST_PIECES: Final = _LONGEST_FIELD + 1  # of a line: they hold its field's name, the colon and the space
_HELD_LIMIT: Final = 64 * 1024
_STRAY_LIMIT: Final = 4 * 1024
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
        if value and _UNSAFE.search(value):
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
        "_held_limit",
        "_id",
        "_ignoring",
        "_known",
        "_last_event_id",
        "_limit",
        "_line",
        "_line_size",
        "_retry",
        "_shape",
        "_skip_lf",
        "_stray",
        "_strict",
    )

    def __init__(self, *, limit: int = EVENT_LIMIT, last_event_id: str = "") -> None:
        self._limit = limit
        self._last_event_id = last_event_id
        self._retry: int | None = None
        self._shape = b"data: ", 6, b"\n\n", -2, "message"
        self._held = bytearray()
        self._held_limit = min(_HELD_LIMIT, limit)
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
        held = self._held
        if held:
            if _LF in data or _CR in data:
                return self._feed_part(data)
            held += data
            return [] if len(held) <= self._held_limit else self._feed_strict(b"")
        if self._strict or len(data) > self._limit:
            return self._feed_strict(data)
        head, start, tail, end, event = self._shape
        if data[end:] == tail and data[:start] == head:  # in this order: a piece of an event has no such end
            payload = data[start:end]
            if _LF not in payload and _CR not in payload:
                return [Frame(payload, event, self._last_event_id)]
        return self._feed_part(data)

    def close(self) -> Frame | None:
        """The body ended: the event it was cut off in, as far as it came. The standard would discard it."""
        if self._held:
            self._feed_strict(self._release())
        if self._bom:
            self._stray, self._bom = self._bom, None
        line = b"".join(self._line) or self._release()
        if line[:5] == b"data:":  # no other field means anything before its line has ended
            self._field(line)
        elif not _KNOWN_FIELD.match(line) and not any(field.startswith(line) for field in _FIELDS):
            self._keep_stray(line)
        self._line = []
        if not self._data:
            return None
        return Frame(b"\n".join(self._data), self._event or "message", self._id)

    def _feed_part(self, data: bytes) -> list[Frame]:
        """A chunk that ends what is held, or is not just one event: cut off what is whole, hold the rest."""
        if _CR in data:
            separator = b"\r\n\r\n"
        elif _LF in data:
            separator = b"\n\n"
        else:
            return self._hold(data)
        held = self._held
        size = data.rfind(separator) + len(separator)
        if size < len(separator):
            if _CR in data:
                return self._feed_strict(data)
            if not held or data[0] != _LF or held[-1] != _LF:
                return self._hold(data)
            size = 1  # the cut went through the empty line
        if len(held) + len(data) > self._limit:
            return self._feed_strict(data)
        held += data[:size]
        frames = self._feed_whole(self._release(), separator)
        rest = data[size:]
        return frames + self._feed_part(rest) if rest else frames  # it may have separators of the other kind

    def _feed_whole(self, data: bytes, separator: bytes) -> list[Frame]:
        """Whole events, the last with its separator: one that was held, or many, cut by one split."""
        head, start, tail, end, event = self._shape
        frames: list[Frame] = []
        if data[:start] != head or tail != separator:
            self._learn(data, separator)
            head, start, tail, end, event = self._shape
            if data[:start] != head or tail != separator:
                self._feed_others(data[: -len(separator)], separator, frames)
                return frames
        payloads = data[start:end]
        if _LF not in payloads and _CR not in payloads:
            return [Frame(payloads, event, self._last_event_id)]
        for payload in payloads.split(separator + head):  # nearly every piece is one
            if _LF not in payload and _CR not in payload:
                frames.append(Frame(payload, event, self._last_event_id))
            else:
                self._feed_others(head + payload, separator, frames)
        return frames

    def _feed_others(self, blocks: bytes, separator: bytes, frames: list[Frame]) -> None:
        """Events some of which have another shape than the last one."""
        for block in blocks.split(separator):
            if block[: self._shape[1]] != self._shape[0]:
                self._learn(block, separator)
            head, start, _, _, event = self._shape
            payload = block[start:]
            if block[:start] == head and _LF not in payload and _CR not in payload:
                frames.append(Frame(payload, event, self._last_event_id))
            elif block:
                frames += self._feed_strict(block + separator)

    def _learn(self, block: bytes, separator: bytes) -> None:
        """Keep the shape of this event in mind, if it is one that events usually have."""
        match = _HEAD.match(block)
        if match is not None:
            event = (match[1] or b"message").decode("utf-8", "replace")
            self._shape = match[0], match.end(), separator, -len(separator), event

    def _hold(self, data: bytes) -> list[Frame]:
        self._held += data
        return [] if len(self._held) <= self._held_limit else self._feed_strict(b"")

    def _release(self) -> bytes:
        data = bytes(self._held)
        self._held.clear()
        return data

    def _feed_strict(self, data: bytes) -> list[Frame]:
        """The standard's algorithm, line by line."""
        if self._failure is not None:
            raise FramingError(self._failure)
        if self._known and data and _LF not in data and _CR not in data:  # the middle of a long line
            self._line.append(data)
            self._line_size += len(data)
            if self._data_size + self._line_size > self._limit:
                self._too_large(self._line_size)
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
        *lines, rest = _END_OF_LINE.split(data) if _CR in data else data.split(b"\n")
        try:
            for line in lines:
                if self._ignoring:
                    self._keep_stray(line, new=False)
                elif self._line:
                    self._line.append(line)
                    self._field(b"".join(self._line[:_FIRST_PIECES]), self._line[_FIRST_PIECES:])
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
            self._ignoring or self._data or self._event or self._skip_lf or self._id != self._last_event_id
        )
        if self._line and not self._strict:
            self._strict = self._line_size > self._held_limit
            if not self._strict:  # the line begins an event: back to the fast road
                self._held += b"".join(self._line)
                self._line, self._line_size, self._known = [], 0, False
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

    def _field(self, line: bytes, more: Sequence[bytes] = ()) -> None:
        """A line that is not empty; `more` is the rest of a value that came in pieces, joined once."""
        name, _, value = line.partition(b":")
        if name not in _FIELDS:
            self._keep_stray(line)
            return
        size = len(line) + sum(map(len, more))
        if self._data_size + size > self._limit:
            self._too_large(size)
        if value[:1] == b" ":
            value = value[1:]
        if more:
            value = b"".join([value, *more])
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
