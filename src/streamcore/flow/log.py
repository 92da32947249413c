"""Where the events of streams are kept, so that a reader can lose its connection and go on; here in memory.

An event is known by how many came before it: a *cursor* is a number of events, the same in every store. So a client that
counts what it reads needs to be told nothing, a batch may be cut anywhere, and appending again what is there already
changes nothing.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

import anyio
from msgspec import Struct

from streamcore.errors import LocalError, StreamFailed
from streamcore.events import Event, Failure, Finish, Start

from .tape import Tape

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Log", "MemoryLog", "dead", "expired", "gone", "unheard_of"]

EVENTS: Final = 50_000  # of one stream: more than the longest answers have, of a token an event
STREAMS: Final = 1_000
SECONDS: Final = 120.0  # after the end: a reload of a page, a tunnel, not a lunch


class Log(Protocol):
    """A store of streams' events, for many streams, producers and readers at once.

    Every method raises `StreamFailed` if the store itself cannot be reached.
    """

    async def create(self, id: str, /, *, alive: float) -> None:
        """Begin a stream, whose producer will be heard of within `alive` seconds.

        Raises:
            StreamFailed: There is no room: a `Failure` of kind `overloaded` and detail `log`.
        """
        ...

    async def append(self, id: str, cursor: int, events: Sequence[Event], /, *, alive: float) -> bool:
        """Add what comes after the first `cursor` events; what is there already is passed over. None is a sign of life.

        A `Finish` or `Failure` ends the stream, and some time after that it expires; a producer not heard of for as long as
        it last said ends it too, as `dead` says. False if there is to be no more: it has ended, has expired, or somebody
        wants it to `stop`.
        """
        ...

    async def read(self, id: str, cursor: int, /, *, wait: bool = True) -> list[Event]:
        """Some or all of what comes after the first `cursor` events, waiting until there is something, or [] without a wait.

        After the last event there is the last event, again.

        Raises:
            StreamFailed: There is nothing to be read there: `expired`, `gone` or `unheard_of`.
        """
        ...

    async def stop(self, id: str, /) -> bool:
        """Ask the producer to end the stream; whether it still goes on."""
        ...


def expired(id: str) -> Failure:
    """There is no such stream, or there is none any more: a store cannot tell."""
    return Failure("not_found", f"there is no stream {id!r}, or it has expired", detail="expired")


def gone(cursor: int, base: int) -> Failure:
    """Events after the cursor are not kept any more."""
    return Failure("not_found", f"events after number {cursor} are gone; number {base} is the oldest", detail="gone")


def unheard_of(cursor: int, tail: int) -> Failure:
    """The cursor is none of this stream's."""
    return Failure("invalid", f"there is no event number {cursor} among {tail}", detail="cursor")


def dead() -> Failure:
    """The producer has not been heard of for too long."""
    return Failure("truncated", "the producer of the stream is gone", detail="producer")


class _Kept(Struct):
    """One stream in memory. `alive`: when its producer is taken for dead; `until`: when it expires, once it has ended."""

    tape: Tape
    alive: float
    until: float | None = None
    stopping: bool = False


class MemoryLog:
    """Streams kept in this process, on one event loop.

    Of each stream at least the last `events` are kept, and at most twice as many. It expires `seconds` after its end;
    sooner, if there would be more than `streams`, the one first that ended first. If none has ended, there is no room.
    """

    def __init__(self, *, events: int = EVENTS, streams: int = STREAMS, seconds: float = SECONDS) -> None:
        if events < 1 or streams < 1 or seconds < 0:
            raise LocalError(f"a log keeps some events, and for some time, not {events=}, {streams=}, {seconds=}")
        self._events = events
        self._streams = streams
        self._seconds = seconds
        self._kept: dict[str, _Kept] = {}
        self._ended: deque[str] = deque()  # in order, so the oldest is found at once

    async def create(self, id: str, /, *, alive: float) -> None:
        """As `Log.create`."""
        self._expire()
        if len(self._kept) >= self._streams:
            self._make_room()
        self._kept[id] = _Kept(Tape(), anyio.current_time() + alive)

    def _expire(self) -> None:
        now = anyio.current_time()
        while self._ended and (until := self._kept[self._ended[0]].until) is not None and now >= until:
            del self._kept[self._ended.popleft()]

    def _make_room(self) -> None:
        for id in [*self._kept]:
            self._bury(id)
        if not self._ended:
            message = f"{self._streams} streams are kept, and all of them go on"
            raise StreamFailed(Failure("overloaded", message, detail="log"))
        del self._kept[self._ended.popleft()]

    def _bury(self, id: str) -> None:
        """End the stream, if its producer is dead."""
        kept = self._kept[id]
        if kept.until is None and anyio.current_time() >= kept.alive:
            self._add(id, [dead()] if kept.tape.tail else [Start(), dead()])

    def _add(self, id: str, events: Sequence[Event]) -> None:
        kept = self._kept[id]
        if events and isinstance(events[-1], Finish | Failure):
            kept.until = anyio.current_time() + self._seconds
            self._ended.append(id)
        kept.tape.extend(events)
        kept.tape.forget(kept.tape.tail - self._events)

    async def append(self, id: str, cursor: int, events: Sequence[Event], /, *, alive: float) -> bool:
        """As `Log.append`."""
        self._expire()
        kept = self._kept.get(id)
        if kept is None or kept.until is not None:
            return False
        tail = kept.tape.tail
        if cursor > tail:
            raise LocalError(f"events after number {cursor} cannot follow number {tail}")
        kept.alive = anyio.current_time() + alive
        self._add(id, events[tail - cursor :])
        return not kept.stopping

    async def read(self, id: str, cursor: int, /, *, wait: bool = True) -> list[Event]:
        """As `Log.read`."""
        while True:
            self._expire()
            kept = self._kept.get(id)
            if kept is None:
                raise StreamFailed(expired(id))
            self._bury(id)
            tape = kept.tape
            if not 0 <= cursor <= tape.tail:
                raise StreamFailed(unheard_of(cursor, tape.tail))
            if cursor < tape.base:
                raise StreamFailed(gone(cursor, tape.base))
            if cursor == tape.tail and kept.until is not None:
                cursor -= 1
            if cursor < tape.tail or not wait:
                return tape.since(cursor)
            with anyio.move_on_after(kept.alive - anyio.current_time()):
                await tape.wait()

    async def stop(self, id: str, /) -> bool:
        """As `Log.stop`."""
        kept = self._kept.get(id)
        if kept is None or kept.until is not None:
            return False
        kept.stopping = True
        return True
