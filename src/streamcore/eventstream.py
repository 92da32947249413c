r"""AWS's binary event stream, both ways (`application/vnd.amazon.eventstream`; botocore 1.44 and Smithy, November 2026).

    offset  size
    0       4     T, the length of the whole message
    4       4     H, the length of the headers
    8       4     CRC-32 of bytes 0 to 7
    12      H     headers: length of the name (1 byte), name, type of the value (1 byte), value; and so on
    12 + H        payload
    T - 4   4     CRC-32 of bytes 0 to T - 5

Integers are big-endian. The second CRC covers the first, so it is computed on from there. A frame has no headers: its
`event` says what kind of message it was (`exception:` and `error:` can begin no event's name), its `data` the rest.

    `:message-type`   the frame's event                    its data
    event             the `:event-type`, or `message`      the payload
    exception         `exception:` and `:exception-type`   the payload, or
    error             `error:` and `:error-code`           {"message": …} of the `:error-message` if there is none

Theory of operation. What is not yet a whole message is held in pieces, and joined when the piece arrives that
completes first its prelude and then the message: linear. Most messages of a stream have one of a few sets of headers,
so each set is parsed once and then known by its bytes.

Where it is not quite right: a body whose first byte cannot begin a length that the format allows (text, JSON, HTML)
is taken for no event stream at all. It becomes `stray`, which an error can be found in, rather than a wrong CRC.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias
from zlib import crc32

import msgspec

from .errors import FramingError, LocalError
from .events import Failure
from .frames import EVENT_LIMIT, Frame

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Header", "Parser", "encode", "read_headers"]

Header: TypeAlias = bool | int | bytes | str
"""The value of a header. A timestamp is an int, of milliseconds since 1970; a UUID its 16 bytes."""

_PRELUDE: Final = Struct(">III")
_LENGTHS: Final = Struct(">II")
_PRELUDE_SIZE: Final = 12
_CRC_SIZE: Final = 4
_OVERHEAD: Final = _PRELUDE_SIZE + _CRC_SIZE
_HEADERS_LIMIT: Final = 128 * 1024  # this and the next are botocore's, and what AWS says a message may hold
_PAYLOAD_LIMIT: Final = 24 * 1024 * 1024
_LARGEST_FIRST_BYTE: Final = (_PAYLOAD_LIMIT + _HEADERS_LIMIT + _OVERHEAD) >> 24
_STRAY_LIMIT: Final = 4 * 1024
_EVENTS_KEPT: Final = 64  # sets of headers parsed once each; of at most 1 KiB
_HEADERS_KEPT: Final = 1024

_TRUE, _FALSE, _LONG, _BYTES, _STRING = 0, 1, 5, 6, 7
_WIDTHS: Final[Mapping[int, int]] = {2: 1, 3: 2, 4: 4, _LONG: 8, 8: 8, 9: 16}  # of types with a fixed one; 9 is a UUID
_INTEGERS: Final = frozenset({2, 3, 4, _LONG, 8})


def read_headers(data: bytes, /) -> dict[str, Header]:
    """The headers of one message, from their binary form.

    Raises:
        ValueError: They are cut short, of an unknown type, not UTF-8, or one comes twice.
    """
    headers: dict[str, Header] = {}
    at = 0
    while at < len(data):
        start, at = at + 1, at + 1 + data[at]
        name = data[start:at].decode()
        kind = data[at] if at < len(data) else -1
        at += 1
        width = _WIDTHS.get(kind, 0)
        if kind in {_BYTES, _STRING}:
            width = int.from_bytes(data[at : at + 2], "big")
            at += 2
        start, at = at, at + width
        if at > len(data):
            raise ValueError(f"the header {name!r} is cut short")
        value = data[start:at]
        if name in headers:
            raise ValueError(f"the header {name!r} comes twice")
        if kind in _INTEGERS:
            headers[name] = int.from_bytes(value, "big", signed=True)
        elif kind == _STRING:
            headers[name] = value.decode()
        elif kind in {_TRUE, _FALSE}:
            headers[name] = kind == _TRUE
        elif kind == _BYTES or kind in _WIDTHS:
            headers[name] = value
        else:
            raise ValueError(f"the header {name!r} is of unknown type {kind}")
    return headers


def encode(payload: bytes, headers: Mapping[str, Header] = {}) -> bytes:
    """One message. An int is written as 64 bits.

    Raises:
        LocalError: A header or the payload is larger than the format allows, or a header is not UTF-8.
    """
    head = b"".join(_written(name, value) for name, value in headers.items())
    if len(head) > _HEADERS_LIMIT or len(payload) > _PAYLOAD_LIMIT:
        largest = f"{_HEADERS_LIMIT} bytes of headers and {_PAYLOAD_LIMIT} of payload"
        size = f"{len(head)} and {len(payload)}"
        raise LocalError(f"a message holds at most {largest}, not {size}")
    lengths = _LENGTHS.pack(_OVERHEAD + len(head) + len(payload), len(head))
    message = b"".join((lengths, crc32(lengths).to_bytes(_CRC_SIZE, "big"), head, payload))
    return message + crc32(message).to_bytes(_CRC_SIZE, "big")


def _written(name: str, value: Header) -> bytes:
    try:
        encoded = name.encode()
        head = len(encoded).to_bytes(1, "big") + encoded
        if isinstance(value, bool):
            return head + bytes([_TRUE if value else _FALSE])
        if isinstance(value, int):
            return head + bytes([_LONG]) + value.to_bytes(8, "big", signed=True)
        data = value.encode() if isinstance(value, str) else value
        return head + bytes([_STRING if isinstance(value, str) else _BYTES]) + len(data).to_bytes(2, "big") + data
    except (OverflowError, UnicodeEncodeError) as error:
        raise LocalError(f"the header {name[:50]!r} cannot be written: {error}") from error


def _text(headers: Mapping[str, Header], name: str) -> str:
    value = headers.get(name)
    return value if isinstance(value, str) else ""


def _said(headers: Mapping[str, Header]) -> bytes:
    return msgspec.json.encode({"message": _text(headers, ":error-message")})


class Parser:
    """Cuts a body of binary messages into frames. Takes bytes in any cut; linear in them.

    `limit` is in bytes and bounds one message. A message counts only when both its CRCs are right.
    """

    __slots__ = ("_begun", "_count", "_events", "_failure", "_held", "_held_size", "_limit", "_needed", "_stray")

    def __init__(self, *, limit: int = EVENT_LIMIT) -> None:
        self._limit = limit
        self._begun = False
        self._held: list[bytes] = []  # pieces of an unfinished message; to be joined when they are `_needed` bytes
        self._held_size = 0
        self._needed = _PRELUDE_SIZE
        self._events: dict[bytes, str] = {}  # of plain events, by their headers
        self._count = 0
        self._stray = b""
        self._failure: Failure | None = None

    @property
    def stray(self) -> bytes:
        """The first 4 KiB of a body that is no event stream; else empty."""
        return self._stray

    def feed(self, data: bytes, /) -> list[Frame]:
        """The messages that `data` completes.

        Raises:
            FramingError: A CRC is wrong (detail `crc`), a message larger than the limit (`too_large`), or its headers
                or lengths malformed (`frame`); carries the frames of the messages before it.
        """
        if self._failure is not None:
            raise FramingError(self._failure)
        if not self._begun and data:
            self._begun = True
            if data[0] > _LARGEST_FIRST_BYTE:
                self._stray = data[:1]
                data = data[1:]
        if self._stray:
            self._stray += data[: _STRAY_LIMIT - len(self._stray)]
            return []
        if self._held:
            self._held.append(data)
            self._held_size += len(data)
            if self._held_size < self._needed:
                return []
            data = b"".join(self._held)
        return self._messages(data)

    def close(self) -> Frame | None:
        """The body ended: what came of the message it was cut off in, its lengths and headers included.

        That is no payload, on purpose: without its CRC nothing in it counts, even if the payload is all there.
        """
        rest = b"".join(self._held)
        self._held = []
        return Frame(rest) if rest else None

    def _messages(self, data: bytes) -> list[Frame]:
        """The whole messages at the beginning; the rest is held."""
        frames: list[Frame] = []
        start, size = 0, len(data)
        needed = _PRELUDE_SIZE
        while size - start >= _PRELUDE_SIZE:
            total, headers_size, crc = _PRELUDE.unpack_from(data, start)
            if crc != crc32(data[start : start + 8]):
                self._fail("crc", "the CRC of its lengths is wrong", frames)
            if total > self._limit or headers_size > _HEADERS_LIMIT or headers_size + _OVERHEAD > total:
                self._refuse(total, headers_size, frames)
            if size - start < total:
                needed = total
                break
            payload = start + _PRELUDE_SIZE + headers_size
            end = start + total - _CRC_SIZE
            if crc32(data[start + 8 : end], crc) != int.from_bytes(data[end : end + _CRC_SIZE], "big"):
                self._fail("crc", "its CRC is wrong", frames)
            headers = data[start + _PRELUDE_SIZE : payload]
            event = self._events.get(headers)
            if event is None:
                frames.append(self._frame(headers, data[payload:end], frames))
            else:
                frames.append(Frame(data[payload:end], event))
            start += total
        self._held = [data[start:]] if start < size else []
        self._held_size = size - start
        self._needed = needed
        self._count += len(frames)
        return frames

    def _frame(self, data: bytes, payload: bytes, frames: list[Frame]) -> Frame:
        """The frame of a message whose headers have not been seen yet."""
        try:
            headers = read_headers(data)
        except ValueError as error:
            self._fail("frame", str(error), frames)
        if headers.get(":message-type") == "exception":
            return Frame(payload or _said(headers), f"exception:{_text(headers, ':exception-type')}")
        if headers.get(":message-type") == "error":
            return Frame(payload or _said(headers), f"error:{_text(headers, ':error-code')}")
        event = _text(headers, ":event-type") or "message"
        if len(self._events) < _EVENTS_KEPT and len(data) <= _HEADERS_KEPT:
            self._events[data] = event
        return Frame(payload, event)

    def _refuse(self, total: int, headers_size: int, frames: list[Frame]) -> NoReturn:
        if total > self._limit:
            self._fail("too_large", f"its {total} bytes exceed the limit of {self._limit}", frames)
        self._fail("frame", f"{headers_size} bytes of headers do not fit a message of {total}", frames)

    def _fail(self, detail: str, what: str, frames: list[Frame]) -> NoReturn:
        """The fault is kept: whatever is fed later meets it again. Nothing else is kept."""
        number = self._count + len(frames) + 1
        self._failure = Failure("protocol", f"message {number} of the event stream: {what}", detail=detail)
        self._held = []
        raise FramingError(self._failure, frames)
