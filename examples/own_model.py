"""A model of one's own: anything with `stream`. This one remembers answers, and plays them again.

What a `Stream` reads from is an `Upstream`; deadlines, cancellation and statistics come with the stream.
"""

from collections.abc import Awaitable, Callable

import anyio

import streamcore as sc
from streamcore.request import RequestWarning
from streamcore.testing import ScriptedModel


class Remembered:
    """An answer that is known: all its events come at once."""

    usage: sc.Usage | None = None
    request_id: str | None = None
    received = 0
    outcome: sc.Finish | sc.Failure | None = None
    warnings: tuple[RequestWarning, ...] = ()
    attempts: tuple[sc.Attempt, ...] = ()

    def __init__(self, events: list[sc.Event]) -> None:
        self.events = events

    async def open(self, _deadlines: sc.Deadlines, /) -> list[sc.Event]:
        """Nothing has to be done."""
        return []

    @property
    def receive(self) -> Callable[[], Awaitable[list[sc.Event]]]:
        """The waiting; what it returns goes to `take`."""
        return self.remember

    async def remember(self) -> list[sc.Event]:
        """Here the network would be waited for."""
        return self.events

    def take(self, received: list[sc.Event], /) -> list[sc.Event]:
        """The understanding of what was received."""
        self.outcome = sc.Finish("stop")
        return received

    def fail(self, failure: sc.Failure, /) -> list[sc.Event]:
        """Left before it was played."""
        self.outcome = failure
        return [failure]

    async def close(self, *, drain: bool) -> None:
        """Nothing is open."""


class Memory:
    """Asks a model for what it has not been asked before."""

    def __init__(self, model: sc.Model) -> None:
        self.model = model
        self.answers: dict[sc.Request, list[sc.Event]] = {}

    def stream(self, request: sc.Request, /) -> sc.Stream:
        """The stream of the answer, played again if it is known."""
        events = self.answers.get(request)
        if events is None:
            return self.model.stream(request)
        upstream: sc.Upstream[list[sc.Event]] = Remembered(events)
        return sc.Stream(upstream)

    async def learn(self, request: sc.Request) -> None:
        """Ask, and keep the whole answer."""
        async with self.stream(request) as stream:
            self.answers[request] = [event async for event in stream]


async def main() -> None:
    """The model is asked once."""
    asked = ScriptedModel([sc.Start(), sc.TextDelta(0, "Hello"), sc.Finish("stop")])
    memory, request = Memory(asked), sc.prompt("hi")
    await memory.learn(request)
    async with memory.stream(request) as stream:
        print(f"{(await stream.collect()).text}, asked {len(asked.requests)} time")


if __name__ == "__main__":
    anyio.run(main)
