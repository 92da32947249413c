r"""JSON lines, both ways: one JSON value a line, as https://jsonlines.org and Ollama write them (read November 2026).

A line ends in LF, and a CR before it is dropped; a CR elsewhere is white space of the JSON. Lines of nothing but white
space are skipped: some servers send them to keep a connection alive. What a line holds is not looked at, but for one
thing: an unfinished last line that no JSON value can begin with (a proxy's page of HTML) is `stray`, not a frame.
"""

from __future__ import annotations

from typing import Final, NoReturn

from .errors import FramingError, LocalError
from .events import Failure
from .frames import EVENT_LIMIT, Frame

__all__ = ["Parser", "encode"]

_LF: Final = 10
_CR: Final = 13
_STRAY_LIMIT: Final = 4 * 1024
_BEGINS_JSON: Final = b'{["-0123456789tfn'


def encode(data: bytes) -> bytes:
    """One JSON value as a line.

    Raises:
        LocalError: The text holds a raw CR or LF, which would let it forge lines; in a JSON string they are escaped.
    """
    if _LF in data or _CR in data:  # numbers: a search for bytes takes six times as long
        raise LocalError("a JSON line cannot hold a raw CR or LF")
    return data + b"\n"


class Parser:
    """Cuts a body of JSON lines into frames. Takes bytes in any cut; linear in them.

    `limit` is in bytes and bounds one line, without the LF that ends it.
    """

    __slots__ = ("_failure", "_held", "_held_size", "_limit", "_stray")

    def __init__(self, *, limit: int = EVENT_LIMIT) -> None:
        self._limit = limit
        self._held: list[bytes] = []  # pieces of an unfinished line, joined once, when its end comes
        self._held_size = 0
        self._stray = b""
        self._failure: Failure | None = None

    @property
    def stray(self) -> bytes:
        """The first 4 KiB of an unfinished last line that is not the beginning of JSON; empty before `close`."""
        return self._stray

    def feed(self, data: bytes, /) -> list[Frame]:
        """The lines that `data` completes.

        Raises:
            FramingError: A line is longer than the limit; carries the frames completed before it.
        """
        if self._failure is not None:
            raise FramingError(self._failure)
        frames: list[Frame] = []
        *lines, rest = data.split(b"\n")
        for line in lines:
            whole = self._release(line) if self._held else line
            if len(whole) > self._limit:
                self._too_large(len(whole), frames)
            value = whole.removesuffix(b"\r")
            if value and not value.isspace():
                frames.append(Frame(value))
        if rest:
            self._held.append(rest)
            self._held_size += len(rest)
            if self._held_size > self._limit:
                self._too_large(self._held_size, frames)
        return frames

    def close(self) -> Frame | None:
        """The body ended: its last line, if no LF ended it."""
        line = self._release(b"")
        beginning = line.lstrip()[:1]
        if not beginning:
            return None
        if beginning in _BEGINS_JSON:
            return Frame(line.removesuffix(b"\r"))
        self._stray = line[:_STRAY_LIMIT]
        return None

    def _release(self, end: bytes) -> bytes:
        line = b"".join((*self._held, end))
        self._held, self._held_size = [], 0
        return line

    def _too_large(self, size: int, frames: list[Frame]) -> NoReturn:
        """The limit has a failure of its own, kept: whatever is fed later meets it again. Nothing else is kept."""
        self._held = []
        message = f"a line of JSON exceeds the limit of {self._limit} bytes: {size} bytes seen"
        self._failure = Failure("protocol", message, detail="too_large")
        raise FramingError(self._failure, frames)
