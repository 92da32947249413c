"""An upstream that is fed by hand: what a test of streams made of streams reads from."""

from __future__ import annotations

from math import inf

import anyio
from anyio.lowlevel import checkpoint

from streamcore.events import BlockEnd, Failure, Finish, Start, TextDelta, Usage

HELLO = [
    Start("r", "m"),
    TextDelta(0, "Hel"),
    TextDelta(0, "lo"),
    Usage(output_tokens=2),
    BlockEnd(0),
    Finish("stop", "done"),
]


class Fed:
    """An upstream that gives the batches it is fed; None breaks it with an error that is no failure."""

    warnings = ()
    request_id = "req-1"
    attempts = ()
    received = 7

    def __init__(self, *batches, bug=None, drains=False):
        self.usage = self.outcome = None
        self.send, self._receive = anyio.create_memory_object_stream(inf)
        self.asked = self.closed = 0
        self.drained = not drains
        self.draining = anyio.Event()
        self.bug = bug
        self.feed(*batches)

    def feed(self, *batches):
        for batch in batches:
            self.send.send_nowait(batch)

    async def open(self, deadlines):
        return []

    @property
    def receive(self):
        return self._wait

    async def _wait(self):
        self.asked += 1
        if self.bug is not None and not self._receive.statistics().current_buffer_used:
            raise self.bug
        return await self._receive.receive()

    def take(self, events):
        for event in events:
            if isinstance(event, Usage):
                self.usage = event
            if isinstance(event, Finish | Failure):
                self.outcome = event
        return events

    def fail(self, failure):
        if self.outcome is not None:
            return []
        self.outcome = failure
        return [failure]

    async def close(self, *, drain):
        try:
            if drain and not self.drained:
                self.draining.set()
                await anyio.sleep_forever()
        finally:
            self.closed += 1
            self.send.close()
            self._receive.close()


async def turns(count=20):
    """Of the event loop: what can go on without bytes has gone on after some."""
    for _ in range(count):
        await checkpoint()
