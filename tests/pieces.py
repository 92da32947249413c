"""A response made of pieces, and streams over it: for tests of what reads, not of what is read."""

from __future__ import annotations

import anyio
import pytest
from tiny import TINY, say

from streamcore.body import Body
from streamcore.errors import StreamFailed
from streamcore.events import BlockEnd, Finish, Start, TextDelta, Usage
from streamcore.stream import Stream

HELLO = [
    Start(),
    TextDelta(0, "Hel"),
    TextDelta(0, "lo"),
    Usage(output_tokens=2),
    BlockEnd(0),
    Finish("stop", "done"),
]
"""What `tiny.say("Hel", "lo")` is read as."""

HANG = anyio.sleep_forever
HEL, LO, END = say("Hel", "lo")


class Pieces:
    """A response that gives these pieces: bytes; seconds of silence; a function to await; an exception to raise."""

    def __init__(self, *pieces, status=200, headers=None):
        self.status = status
        self.headers = headers or {}
        self.pieces = list(pieces)
        self.closed = 0

    async def read(self):
        await anyio.lowlevel.checkpoint()
        while self.pieces:
            piece = self.pieces.pop(0)
            if isinstance(piece, bytes):
                return piece
            if isinstance(piece, BaseException):
                raise piece
            await (piece() if callable(piece) else anyio.sleep(piece))
        return b""

    async def close(self):
        self.closed += 1


def over(response, *, opening=None, deadlines=None, **options):
    """The stream of a response, opened after `opening` seconds, or by awaiting `opening`."""

    async def open(connect):
        if opening is not None:
            await (opening() if callable(opening) else anyio.sleep(opening))
        return response

    return Stream(Body(TINY, open, **options), deadlines=deadlines)


async def everything(stream):
    async with stream:
        return [event async for event in stream]


async def failure(stream):
    """How a stream fails, and what it gives before; it is its outcome as well."""
    seen = []
    with pytest.raises(StreamFailed) as caught:
        async with stream:
            async for event in stream:
                seen.append(event)
    assert stream.outcome == caught.value.failure
    return caught.value.failure, seen
