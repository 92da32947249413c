"""What reads one stream for several readers.

The source is pulled by one task, which lives as long as the tee. Readers stand somewhere on the tape of its last
events, and each one's policy says what happens when it is too far back. The task is ended by a scope of its own, so the
group around it never has a reason to raise: an exception of the caller's comes out as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import anyio
from anyio.lowlevel import checkpoint

from streamcore.events import Event, Failure, Finish, Start, Usage
from streamcore.stream import Stream

from .tape import Outline, Tape, ending, gap

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streamcore.deadlines import Deadlines
    from streamcore.request import RequestWarning
    from streamcore.upstream import Attempt

__all__ = ["LEFT", "Policy", "Pump"]

Policy: TypeAlias = Literal["wait", "drop", "leave"]
"""What happens when a reader is too far behind: the source waits for it, it loses events, or it is cut off."""

LEFT: Final = Failure("cancelled", "the tee was left before the stream's end", detail="closed")


class _Reader:
    """The upstream of one reader: its place on the tape."""

    def __init__(self, pump: Pump, policy: Policy, position: int) -> None:
        self._pump = pump
        self._tape = pump.tape
        self._kept, self._lost = pump.outline.between(0, position)  # of what it skips; how many after that
        self._cut: Failure | None = None
        self._begun = False
        self.policy: Policy = policy
        self.position = position
        self.usage: Usage | None = None
        self.outcome: Finish | Failure | None = None

    async def open(self, deadlines: Deadlines, /) -> list[Event]:  # noqa: ARG002 - it is open
        """The source is open already."""
        return []

    @property
    def receive(self) -> Callable[[], Awaitable[None]]:
        """Waits until there is something to take."""
        return self._wait

    async def _wait(self) -> None:
        tape = self._tape
        while self.position == tape.tail and not self._kept:
            self._pump.check()
            await tape.wait()

    def take(self, received: None, /) -> list[Event]:  # noqa: ARG002 - it is on the tape
        """All that this reader has not had yet."""
        pump = self._pump
        self._begun = True
        if self._cut is not None:
            self.outcome = self._cut
            return self._kept
        events = self._gather()
        if pump.outcome is not None:
            self.outcome = pump.outcome
            pump.forget(self)
        elif pump.space is not None:
            pump.space.set()
        return events

    def _gather(self) -> list[Event]:
        events = self._tape.since(self.position)
        self.position = self._tape.tail
        skipped = self._kept
        if self._lost:
            skipped.append(gap(self._lost))
        usage = self._pump.usage
        if usage is not self.usage:
            self.usage = usage
            if skipped and usage is not None and not any(type(event) is Usage for event in events):
                skipped.append(usage)
        if skipped:
            events = skipped + events
            self._kept, self._lost = [], 0
        return events

    def skip(self, number: int) -> None:
        """Go on from this number, with what must stay of the events before it."""
        kept, self._lost = self._pump.outline.between(self.position, number, self._lost)
        self._kept += kept
        self.position = number

    def cut(self, failure: Failure) -> None:
        """Nothing more for this reader than what it has not had yet, and then this."""
        self._kept = [*self._gather(), failure]
        self._cut = failure
        self._pump.forget(self, failure)

    def fail(self, failure: Failure, /) -> list[Event]:
        """It is over for this reader; the others go on."""
        self.outcome = failure
        self._pump.forget(self, failure)
        return [failure] if self._begun else [Start(), failure]

    async def close(self, *, drain: bool) -> None:
        """Nothing for one of several; the last of them waits until the source is closed."""
        await self._pump.left(drain=drain)

    @property
    def received(self) -> int:
        """How many bytes the source has received."""
        return self._pump.source.received

    @property
    def request_id(self) -> str | None:
        """The source's."""
        return self._pump.source.request_id

    @property
    def warnings(self) -> tuple[RequestWarning, ...]:
        """The source's."""
        return self._pump.source.warnings

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The source's."""
        return self._pump.source.attempts


class Pump:
    """What pulls an open stream onto the tape, at the pace that its readers allow."""

    def __init__(self, source: Stream, buffer: int, replay: int) -> None:
        self._buffer = buffer
        self._replay = replay
        self._readers: list[_Reader] = []
        self.scope = anyio.CancelScope(shield=True)  # of the task that pulls, which is ended by nobody but who holds it
        self.closed = anyio.Event()
        self._defect: Exception | None = None
        self.raised = False
        self.source = source
        self.tape = Tape()
        self.outline = Outline()
        self.space: anyio.Event | None = None  # set by a reader that has caught up
        self.usage: Usage | None = None
        self.outcome: Finish | Failure | None = None

    def add(self, policy: Policy) -> Stream:
        """A reader from now on, with the last events if there is a replay. Of an ended stream there is always the end."""
        tail = self.tape.tail
        replay = self._replay if self.outcome is None else max(self._replay, 1)
        reader = _Reader(self, policy, max(tail - replay, 0))
        self._readers.append(reader)
        return Stream(reader)

    async def run(self) -> None:
        """Pull until the stream ends, or until nobody is left; then close it."""
        source, tape = self.source, self.tape
        try:
            with self.scope:
                while True:
                    self._publish(await source.pull())
                    if self.outcome is not None:
                        break
                    slowest = min((reader.position for reader in self._readers), default=tape.tail)
                    if tape.tail - slowest >= self._buffer:
                        await self._hold()
                    tape.forget(min(slowest, tape.tail - max(self._replay, 1)))
                await source.aclose()
        except Exception as error:  # noqa: BLE001 - raised by the readers
            self._defect = error
            tape.ring()
        finally:
            self.stop(LEFT)
            try:
                await source.aclose(drain=False)
            finally:
                self.closed.set()

    def _publish(self, events: list[Event]) -> None:
        """Put these on the tape."""
        source, tape = self.source, self.tape
        if self.outcome is not None:
            return  # stopped meanwhile
        if source.outcome is not None:
            events = events or ending(source, LEFT, begun=tape.tail > 0)
            last = events[-1]
            assert isinstance(last, Finish | Failure)
            self.outcome = last
        self.usage = source.usage
        self.outline.mark(events, tape.tail)
        tape.extend(events)

    async def _hold(self) -> None:
        """Somebody is too far behind: wait for those who are waited for, and leave the others behind."""
        tail, buffer = self.tape.tail, self._buffer
        if any(reader.policy != "wait" for reader in self._readers):
            await checkpoint()  # a reader that only has not had its turn yet is not slow
        for reader in [*self._readers]:
            behind = tail - reader.position
            if reader.policy == "wait" or behind <= buffer:
                continue
            if reader.policy == "drop":
                reader.skip(tail - buffer)
            else:
                reader.cut(Failure("cancelled", f"the reader was {behind} events behind", detail="slow"))
        while any(reader.policy == "wait" and tail - reader.position >= buffer for reader in self._readers):
            self.space = anyio.Event()
            await self.space.wait()
        self.space = None

    def stop(self, failure: Failure) -> None:
        """End the stream now, if it goes on; the task that pulls will close it."""
        if self.outcome is None and self._defect is None:
            self._publish(ending(self.source, failure, begun=self.tape.tail > 0))
            self.scope.cancel()

    def forget(self, reader: _Reader, failure: Failure = LEFT) -> None:
        """This one will read no more. The last one takes the stream along."""
        if reader in self._readers:
            self._readers.remove(reader)
        if not self._readers:
            self.stop(failure)
        elif self.space is not None:
            self.space.set()

    async def left(self, *, drain: bool) -> None:
        """One has left: if nobody is there any more, until the stream is closed, and politely if there is time for it."""
        if not self._readers:
            if not drain:
                self.scope.cancel()
            await self.closed.wait()

    def check(self) -> None:
        """Raise what was raised by the stream and is not its failure: a defect."""
        if self._defect is not None:
            self.raised = True
            raise self._defect
