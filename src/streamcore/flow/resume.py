"""Streams whose readers may lose their connection: somebody else reads the provider, into a log that readers follow.

    async with sc.Resumable(sc.MemoryLog()) as streams:      # as long as the service runs
        id = await streams.start(model.stream(request))      # goes on, whoever reads it
        async with streams.follow(id, after=17) as stream:   # from event number 18 on
            ...

What a reader needs to go on is the stream's id and how many events it has had: its cursor.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, Self

import anyio

from streamcore.errors import LocalError, StreamFailed
from streamcore.events import Event, Failure, Finish, Start, Usage
from streamcore.stream import Stream

from .tape import ending

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from anyio.abc import TaskGroup

    from streamcore.deadlines import Deadlines
    from streamcore.request import RequestWarning
    from streamcore.upstream import Attempt

    from .log import Log

__all__ = ["Resumable"]

ALIVE: Final = 15.0  # seconds until a producer that is silent is taken for dead
BEATS: Final = 3  # signs of life in that time: one may be lost, and one be late
LAST_SECONDS: Final = 2.0  # for the last events of a stream that is ended from outside

_LEFT = Failure("cancelled", "whoever read the stream from its provider has left", detail="closed")
_STOPPED = Failure("cancelled", "the stream was stopped", detail="stop")


class _Producer:
    """One stream on its way into the log."""

    def __init__(self, stream: Stream) -> None:
        self.id = secrets.token_urlsafe(16)  # 128 bits: who knows it may read the stream
        self.stream = stream
        self.scope = anyio.CancelScope(shield=True)  # who leaves the owner ends it, and nobody else
        self.closed = anyio.Event()
        self.cursor = 0  # so many events are in the log
        self.pending: list[Event] = []  # and these are not, or nobody knows
        self.ended = False

    def take(self, events: list[Event]) -> None:
        """These were pulled."""
        if self.stream.outcome is not None and not events:
            self.halt(_LEFT)
            return
        self.ended = self.stream.outcome is not None
        self.pending += events

    def halt(self, failure: Failure) -> None:
        """End the stream now, if it goes on; its task will close it."""
        if not self.ended:
            self.ended = True
            self.pending += ending(self.stream, failure, begun=self.cursor > 0 or self.pending != [])
            self.scope.cancel()


class _Following:
    """The upstream of a reader: the log, from some event on."""

    warnings: tuple[RequestWarning, ...] = ()
    request_id: str | None = None
    attempts: tuple[Attempt, ...] = ()  # it asks nobody
    received = 0

    def __init__(self, log: Log, id: str, cursor: int) -> None:
        self._log = log
        self._id = id
        self._cursor = cursor
        self._first: list[Event] = []
        self.usage: Usage | None = None
        self.outcome: Finish | Failure | None = None

    async def open(self, deadlines: Deadlines, /) -> list[Event]:  # noqa: ARG002 - the stream was opened elsewhere
        """Look whether it can be read; what is there already is received first."""
        self._first = await self._log.read(self._id, self._cursor, wait=False)
        return []

    @property
    def receive(self) -> Callable[[], Awaitable[list[Event]]]:
        """Reads on, waiting."""
        return self._read

    async def _read(self) -> list[Event]:
        first, self._first = self._first, []
        return first or await self._log.read(self._id, self._cursor)

    def take(self, received: list[Event], /) -> list[Event]:
        """They are events already."""
        self._cursor += len(received)
        for event in received:
            if isinstance(event, Usage):
                self.usage = event
            elif isinstance(event, Finish | Failure):
                self.outcome = event
        return received

    def fail(self, failure: Failure, /) -> list[Event]:
        """This reader is over; the stream goes on."""
        self.outcome = failure
        return [failure] if self._cursor else [Start(), failure]

    async def close(self, *, drain: bool) -> None:
        """There is nothing to close."""


class Resumable:
    """Owns the tasks that read streams into a log. Hold it with `async with` where nothing ends it but the service's end.

    Only `start` needs that: `follow` and `stop` work wherever the same log can be reached. A producer that has not been
    heard of for `alive` seconds is taken for dead, also while its provider is silent.

    Raises:
        LocalError: `alive` is not above 0.
    """

    def __init__(self, log: Log, *, alive: float = ALIVE) -> None:
        if not alive > 0:
            raise LocalError(f"a sign of life comes within some seconds above 0, not {alive=}")
        self._log = log
        self._alive = alive
        self._group: TaskGroup | None = None
        self._beats: anyio.CancelScope
        self._producers: dict[str, _Producer] = {}
        self._defect: Exception | None = None

    async def __aenter__(self) -> Self:
        if self._group is not None:
            raise LocalError("it is open already")
        self._beats = anyio.CancelScope()
        self._group = await anyio.create_task_group().__aenter__()
        self._group.start_soon(self._beat)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        group, self._group = self._group, None
        assert group is not None
        self._beats.cancel()
        for producer in self._producers.values():
            producer.halt(_LEFT)
            producer.scope.cancel()
        await group.__aexit__(None, None, None)
        if error is None and self._defect is not None:
            raise self._defect

    async def start(self, stream: Stream) -> str:
        """Open the stream, and read it into the log to its end; the id by which it is followed: random, of 128 bits.

        Raises:
            StreamFailed: The stream cannot be opened, or the log has no room.
            LocalError: This is not open, or the stream was opened before.
        """
        self._owner()
        await stream.__aenter__()
        producer = _Producer(stream)
        try:
            await self._log.create(producer.id, alive=self._alive)
            group = self._owner()  # it may have been left meanwhile
        except BaseException:
            await stream.aclose(drain=False)
            raise
        self._producers[producer.id] = producer
        group.start_soon(self._produce, producer)
        return producer.id

    def _owner(self) -> TaskGroup:
        if self._group is None:
            raise LocalError("streams are started inside the `async with` that owns them")
        return self._group

    def follow(self, id: str, *, after: int = 0) -> Stream:
        """The stream from the event on that follows the first `after` ones, and on to its end, also if it has ended.

        The cursor of an event that it gives is `after` plus how many it has given: `enumerate` them from there. To one who
        has had the last event it gives that one again, so that it ends. Opening it fails with a `Failure` of kind `not_found`
        and detail `expired` (no such stream, or none any more) or `gone` (events after the cursor are not kept any more), or
        of kind `invalid` and detail `cursor` (the stream has not so many). If its producer is gone before the end, it ends
        in a `Failure`: `cancelled` and `closed` if the owner left, `truncated` and `producer` if nobody has heard of it.
        """
        return Stream(_Following(self._log, id, after))

    async def stop(self, id: str) -> bool:
        """End the stream for all who follow it, with a `Failure` of kind `cancelled` and detail `stop`; whether it still went on.

        When this returns, the connection to the provider is closed, if this is what reads it; if it is read elsewhere, it is
        when that next appends to the log, or gives a sign of life.
        """
        producer = self._producers.get(id)
        if producer is None:
            return await self._log.stop(id)
        going = not producer.ended
        producer.halt(_STOPPED)
        await producer.closed.wait()
        return going

    async def _produce(self, producer: _Producer) -> None:
        """Read one stream into the log."""
        stream = producer.stream
        failure = _LEFT
        try:
            with producer.scope:
                while not producer.ended:
                    producer.take(await stream.pull())
                    if not await self._append(producer):
                        producer.halt(_STOPPED)
                await stream.aclose()
        except StreamFailed as error:
            failure = error.failure
        except Exception as error:  # noqa: BLE001 - raised when the owner is left
            self._note(error)
            failure = Failure("protocol", f"whoever read the stream broke: {type(error).__name__}", detail="defect")
        finally:
            producer.halt(failure)
            try:
                await stream.aclose(drain=False)
            finally:
                await self._end(producer)

    async def _append(self, producer: _Producer) -> bool:
        events = [*producer.pending]
        going = await self._log.append(producer.id, producer.cursor, events, alive=self._alive)
        producer.cursor += len(events)
        del producer.pending[: len(events)]
        return going

    async def _end(self, producer: _Producer) -> None:
        """What is still to be appended, if the log takes it: if not, it will take the producer for dead."""
        try:
            with anyio.move_on_after(LAST_SECONDS, shield=True):
                if producer.pending:
                    await self._append(producer)
        except Exception as error:  # noqa: BLE001 - raised when the owner is left
            self._note(error)
        finally:
            del self._producers[producer.id]
            producer.closed.set()

    async def _beat(self) -> None:
        """Give signs of life for all streams, and hear who is to stop."""
        with self._beats:
            while True:
                await anyio.sleep(self._alive / BEATS)
                for producer in [*self._producers.values()]:
                    try:
                        if not await self._log.append(producer.id, producer.cursor, [], alive=self._alive):
                            producer.halt(_STOPPED)
                    except Exception as error:  # noqa: BLE001 - raised when the owner is left; the next may get through
                        self._note(error)

    def _note(self, error: Exception) -> None:
        """Keep the first defect; that the log cannot be reached just now is none."""
        if self._defect is None and not isinstance(error, StreamFailed):
            self._defect = error
