r"""A JSON array that is sent element by element (Google's streams without `alt=sse`), or objects one after another.

Theory of operation. Only braces matter, square brackets between two objects, and strings, in which neither means
anything. `_depth` counts the open braces; at 0 the parser is between two objects. One expression runs over all that
changes nothing, whole strings included, up to the next brace; a string that the chunk cuts is remembered by two bits:
inside it, and just after a backslash. So each byte is looked at twice at most, and the pieces of an object are joined
once, when its last brace comes: linear, however the body is cut.

    a frame's event   its data
    element           an object in the array
    end               `]`, which closes the array: an array without it was cut off
    message           an object outside of any array

Where it is not quite right: commas, colons and the brackets inside an object are not checked, since whoever decodes
the frame does that; so a comma too many between two objects is forgiven.
"""

from __future__ import annotations

import re
from typing import Final

from .errors import FramingError
from .events import Failure
from .frames import EVENT_LIMIT, Frame

__all__ = ["Parser"]

_BOM: Final = b"\xef\xbb\xbf"
_BLANK: Final = b" \t\r\n,"
_STRAY_LIMIT: Final = 4 * 1024

# Possessive throughout: what has matched is never tried again in another way. Otherwise a string that the chunk cuts
# would cost exponential time. None of them can fail, for each may match nothing.
_STRING: Final = rb'"(?:[^"\\]++|\\.)*+"'
_INSIDE: Final = re.compile(rb'(?:[^"{}]++|' + _STRING + rb")*+", re.DOTALL)
_BETWEEN: Final = re.compile(rb'(?:[^"{}\[\]]++|' + _STRING + rb")*+", re.DOTALL)
_REST_OF_STRING: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


class Parser:
    """Cuts a streamed JSON array into its objects. Takes bytes in any cut; linear in them.

    `limit` is in bytes and bounds what one object may hold.
    """

    __slots__ = ("_arrays", "_begun", "_depth", "_escaped", "_failure", "_held", "_limit", "_size", "_stray", "_string")

    def __init__(self, *, limit: int = EVENT_LIMIT) -> None:
        self._limit = limit
        self._begun = False  # whether the bytes have shown that no byte order mark is to come
        self._arrays = 0
        self._depth = 0
        self._string = False
        self._escaped = False
        self._held: list[bytes] = []  # pieces of the object under way (or, at the start, of a byte order mark)
        self._size = 0
        self._stray = b""
        self._failure: Failure | None = None

    @property
    def stray(self) -> bytes:
        """The first 4 KiB that are neither object nor array, from the first such byte on."""
        return self._stray

    def feed(self, data: bytes, /) -> list[Frame]:
        """The objects that `data` completes, in order, and the end of the array.

        Raises:
            FramingError: An object is larger than the limit; carries the frames completed before it.
        """
        if self._failure is not None:
            raise FramingError(self._failure)
        if not self._begun:
            data = self._after_bom(data)
        frames: list[Frame] = []
        start = 0  # of what is not yet in a frame
        at = self._end_of_string(data, 0) if self._string and data else 0
        while at < len(data):
            at = _end(_INSIDE if self._depth else _BETWEEN, data, at)
            byte = data[at : at + 1]
            if byte == b'"':  # a string that goes on in the next chunk
                self._string = True
                at = self._end_of_string(data, at + 1)
            elif self._depth:
                at += 1
                self._depth += (byte == b"{") - (byte == b"}")
                if not self._depth:
                    self._hold(data[start:at], frames)
                    frames.append(self._release())
                    start = at
            else:
                self._keep_stray(data[start:at])
                start, at = at, at + 1
                if byte == b"{":
                    self._depth = 1
                else:
                    frames += self._bracket(byte)
                    start = at
        if self._depth:
            self._hold(data[start:], frames)
        else:
            self._keep_stray(data[start:])
        return frames

    def close(self) -> Frame | None:
        """The body ended: the object it was cut off in, as far as it came."""
        if self._depth:
            return self._release()
        self._keep_stray(b"".join(self._held))  # half a byte order mark
        self._held = []
        return None

    def _after_bom(self, data: bytes) -> bytes:
        """What follows the byte order mark, if there is one; nothing while that is open."""
        data = b"".join((*self._held, data))
        self._begun = len(data) >= len(_BOM) or not _BOM.startswith(data)
        self._held = [] if self._begun else [data]
        return data.removeprefix(_BOM) if self._begun else b""

    def _end_of_string(self, data: bytes, at: int) -> int:
        """Where to go on, `at` being inside a string: after its last quote, or at the end of the data."""
        at = _end(_REST_OF_STRING, data, at + self._escaped)
        self._escaped = data[at : at + 1] == b"\\"  # the last byte: what it escapes comes in the next chunk
        self._string = self._escaped or at == len(data)
        return at + 1

    def _bracket(self, byte: bytes) -> list[Frame]:
        """A square bracket between two objects, or a byte that has no business there."""
        if byte == b"[":
            self._arrays += 1
        elif byte == b"]" and self._arrays:
            self._arrays -= 1
            return [] if self._arrays else [Frame(b"]", "end")]
        else:
            self._keep_stray(byte)
        return []

    def _hold(self, piece: bytes, frames: list[Frame]) -> None:
        """Keep a piece of an object, up to the limit, whose failure is kept: whatever is fed later meets it again."""
        self._size += len(piece)
        if self._size > self._limit:
            self._failure = Failure(
                "protocol",
                f"a JSON object exceeds the limit of {self._limit} bytes: {self._size} bytes seen, {len(piece)} of them just now",
                detail="too_large",
            )
            self._held, self._depth = [], 0
            raise FramingError(self._failure, frames)
        self._held.append(piece)

    def _release(self) -> Frame:
        """The object that was held."""
        frame = Frame(b"".join(self._held), "element" if self._arrays else "message")
        self._held, self._size, self._depth = [], 0, 0
        return frame

    def _keep_stray(self, piece: bytes) -> None:
        if len(self._stray) < _STRAY_LIMIT:
            self._stray = (self._stray + (piece if self._stray else piece.lstrip(_BLANK)))[:_STRAY_LIMIT]


def _end(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    """Where that stops which `pattern` runs over, from `at` on."""
    match = pattern.match(data, at)
    assert match is not None
    return match.end()
