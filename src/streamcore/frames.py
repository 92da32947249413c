"""Frames: what a framing cuts a body into."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

__all__ = ["EVENT_LIMIT", "Frame", "Framing"]

EVENT_LIMIT = 16 * 1024 * 1024
"""Bytes that one frame may hold. 1 MiB proved too small: generated images travel as single events of over 2 MB."""


class Frame(Struct, frozen=True, gc=False):
    """One unit of a body: a server-sent event, a JSON line, an element of an array, a binary message.

    `data` is the payload as sent, UTF-8 by the standard but not checked; `event` its type; `id` the last event id.
    """

    data: bytes
    event: str = "message"
    id: str = ""


class Framing(Protocol):
    """Cuts the bytes of one body into frames, however they are split. Does no I/O."""

    @property
    def stray(self) -> bytes:
        """The first bytes that belong to no frame (at most 4 KiB): where an error that is not framed can be found."""
        ...

    def feed(self, data: bytes, /) -> list[Frame]:
        """The frames that `data` completes, in order.

        Raises:
            FramingError: The body broke its framing or a limit; carries the frames that came before.
        """
        ...

    def close(self) -> Frame | None:
        """The body ended: the frame it was cut off in, as far as it came, or None if it ended between frames."""
        ...
