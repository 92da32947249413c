"""The last events of a stream, by number, for any number of readers who each stand somewhere else.

Events are numbered from 0. A reader holds the number of the event it wants next, so what it costs to add one is not paid
for each reader: a batch is stored once, and one bell wakes all who wait.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

import anyio

from streamcore.events import BlockEnd, Event, Extension, Failure, Finish, Start, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamcore.stream import Stream

__all__ = ["GAP", "Outline", "Tape", "ending", "gap"]

GAP: Final = "streamcore:gap"


class Tape:
    """Events from number `base` up to `tail`, which is the number that the next one gets."""

    __slots__ = ("_bell", "_events", "base", "tail")

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._bell: anyio.Event | None = None
        self.base = 0
        self.tail = 0

    def extend(self, events: Sequence[Event]) -> None:
        """Add events, and wake who waits for them."""
        self._events += events
        self.tail += len(events)
        self.ring()

    def since(self, number: int) -> list[Event]:
        """All from this number on, as a list of the caller's own."""
        return self._events[number - self.base :]

    def forget(self, number: int) -> None:
        """Nobody wants those before this number. They go when they are at least as many as those that stay: linear."""
        old = number - self.base
        if old * 2 >= len(self._events):
            del self._events[:old]
            self.base = number

    def ring(self) -> None:
        """Wake all who wait."""
        if self._bell is not None:
            self._bell.set()
            self._bell = None

    async def wait(self) -> None:
        """Until somebody rings."""
        if self._bell is None:
            self._bell = anyio.Event()
        await self._bell.wait()


class Outline:
    """The events of a stream without which the others would break its grammar, however many of those are left out.

    These are `Start`, the first event of each block, the start of each call, and the ends of blocks. (Usage is
    cumulative, so all but the last can be left out; the last event of all is nobody's to leave out.)
    """

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._events: list[Event] = []
        self._blocks = 0
        self._type: type[Event] | None = None  # what continues the block it belongs to, as the last event did
        self._index: int | None = None

    def mark(self, events: Sequence[Event], number: int) -> None:
        """These come next; the first of them has this number."""
        for at, event in enumerate(events, number):
            kind = type(event)
            if kind is self._type and event.index == self._index:  # type: ignore[union-attr]
                continue
            if not isinstance(event, Start | Usage | Finish | Failure):
                if event.index != self._blocks and kind is not BlockEnd:
                    self._type, self._index = kind, event.index
                    continue
                self._blocks += kind is not BlockEnd
            elif kind is not Start:
                continue
            self._numbers.append(at)
            self._events.append(event)

    def between(self, first: int, last: int, lost: int = 0) -> tuple[list[Event], int]:
        """What must stay of the events from `first` up to `last`, with a gap where others were; how many were after it.

        `lost` are missing before the first.
        """
        kept: list[Event] = []
        for at in range(bisect_left(self._numbers, first), bisect_left(self._numbers, last)):
            lost += self._numbers[at] - first
            if lost:
                kept.append(gap(lost))
            kept.append(self._events[at])
            first, lost = self._numbers[at] + 1, 0
        return kept, lost + last - first


def gap(events: int) -> Extension:
    """What stands where so many events are missing."""
    return Extension(GAP, f'{{"events":{events}}}')


def ending(source: Stream, failure: Failure, *, begun: bool) -> list[Event]:
    """End the stream with this failure unless it has ended: the last events, for those who read it as another stream.

    Does not wait. `begun` says whether any of its events were taken from it.
    """
    last = source.settle(failure)
    if not last:  # it ended without them: a `Finish` that was never given to anybody is none
        last = [*last, source.outcome if isinstance(source.outcome, Failure) else failure]
    return last if begun or type(last[0]) is Start else [Start(), *last]
