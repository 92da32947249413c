"""What the models share that choose among streams: try, until one has content; that one is the answer.

Everything up to the first content happens while the stream is opened, since until then the answer may still come from
elsewhere; after it, the choice is made for good, and reads go to the chosen stream with nothing in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from streamcore.errors import StreamFailed
from streamcore.events import Event, Failure, Finish, Usage, is_content

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streamcore.deadlines import Deadlines
    from streamcore.request import RequestWarning
    from streamcore.stream import Stream
    from streamcore.upstream import Attempt

__all__ = ["Choice"]


class Choice:
    """The upstream of a model that is made of others.

    `choose` opens streams, by `begin` or `enter`, and returns the one it takes; `left` is called when that is closed.
    `streams` are those that were opened, in order.
    """

    def __init__(self, choose: Callable[[Choice], Awaitable[Stream]], left: Callable[[], None] = lambda: None) -> None:
        self._choose = choose
        self._left = left
        self._connect: float | None = None
        self._chosen: Stream | None = None
        self._first: dict[Stream, list[Event]] = {}  # what each gave up to its first content
        self._failure: Failure | None = None
        self.streams: list[Stream] = []

    async def enter(self, stream: Stream) -> Stream:
        """Open the stream.

        Raises:
            StreamFailed: It cannot be opened.
        """
        self.streams.append(stream)
        if self._connect is not None:
            stream.within(connect=self._connect)
        return await stream.__aenter__()

    async def begin(self, stream: Stream) -> Stream:
        """Open the stream and read it up to its first content, or to its `Finish` if it has none.

        Raises:
            StreamFailed: It failed before that, and is closed.
        """
        events = self._first[stream] = []
        await self.enter(stream)
        try:
            while True:
                batch = await stream.pull()
                events += batch
                if isinstance(stream.outcome, Finish) or any(map(is_content, batch)):
                    return stream
                if isinstance(stream.outcome, Failure):
                    raise StreamFailed(stream.outcome)  # noqa: TRY301 - closed below as after any other
        except BaseException:
            await stream.aclose(drain=False)
            raise

    async def open(self, deadlines: Deadlines, /) -> list[Event]:
        """Choose; what the chosen stream gave meanwhile."""
        self._connect = deadlines.connect
        self._chosen = chosen = await self._choose(self)
        return self._first.get(chosen, [])

    @property
    def receive(self) -> Callable[[], Awaitable[list[Event]]]:
        """The chosen stream's own `pull`."""
        assert self._chosen is not None
        return self._chosen.pull

    def take(self, received: list[Event], /) -> list[Event]:
        """They are events already; none, if another task has ended the chosen stream."""
        return received or ([] if self.outcome is None else [self.outcome])

    def fail(self, failure: Failure, /) -> list[Event]:
        """End whatever goes on: the last events of the chosen stream."""
        self._failure = failure
        last = {stream: stream.settle(failure) for stream in self.streams}
        return [failure] if self._chosen is None else last[self._chosen]

    async def close(self, *, drain: bool) -> None:
        """Close what is open."""
        try:
            for stream in self.streams:
                await stream.aclose(drain=drain and stream is self._chosen)
        finally:
            self._left()

    @property
    def outcome(self) -> Finish | Failure | None:
        """The chosen stream's."""
        return self._failure if self._chosen is None else self._chosen.outcome

    @property
    def usage(self) -> Usage | None:
        """The chosen stream's."""
        return None if self._chosen is None else self._chosen.usage

    @property
    def received(self) -> int:
        """How many bytes the chosen stream received."""
        return 0 if self._chosen is None else self._chosen.received

    @property
    def request_id(self) -> str | None:
        """The chosen stream's."""
        return None if self._chosen is None else self._chosen.request_id

    @property
    def warnings(self) -> tuple[RequestWarning, ...]:
        """The chosen stream's."""
        return () if self._chosen is None else self._chosen.warnings

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Those of all the streams, in order."""
        return tuple(
            attempt if stream is self._chosen else structs.replace(attempt, chosen=False)
            for stream in self.streams
            for attempt in stream.attempts
        )
