"""A stream of events that is being read: pulled by its reader, with no task and no queue behind it.

    async with model.stream(request) as stream:
        async for event in stream:
            ...

Back-pressure is TCP's: bytes are read when events are asked for. Leaving the `async with` by any road (end, `break`,
exception, cancellation, timeout) settles the outcome first, synchronously, and then closes the connection, so a second
cancellation may cut short a polite goodbye but never the bookkeeping. No cancel scope is held while the caller runs.

What a stream reads from is its *upstream*: one response body (`body.Body`), or other streams (`flow`).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal, Self

import anyio

from .deadlines import Deadlines, Watch
from .errors import LocalError, StreamFailed
from .events import Event, Failure, Finish, Usage
from .message import Fold
from .meter import Meter
from .views import Documents, Words
from .waiting import GRACE, new_wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import TracebackType

    from .partial import Partial
    from .request import RequestWarning
    from .tracking.record import Record
    from .upstream import Attempt, Observer, Statistics, Upstream
    from .waiting import Wait

__all__ = ["Stream"]

_CANCELLED = Failure("cancelled", "the stream was cancelled", detail="cancel")


class Stream:
    """One answer, read event by event. Get it from a model; hold it with `async with`; read it from one task.

    Iterating gives every event up to `Finish`. A `Failure` is not given but raised, as `StreamFailed`, after all that
    came before it; so is one that happens while the stream is opened, then by `async with` itself.
    """

    def __init__(self, upstream: Upstream[Any], *, deadlines: Deadlines | None = None) -> None:
        self._upstream = upstream
        self._take = upstream.take
        self._deadlines = deadlines or Deadlines()
        self._watch: Watch | None = None
        self._wait: Wait
        self._receive: Callable[[], Awaitable[Any]]
        self._held: list[Event] = []  # what the next read gives, without a wait
        self._batch: list[Event] = []
        self._position = 0
        self._outcome: Finish | Failure | None = None
        self._cut: Failure | None = None  # a read was cancelled: the outcome, unless whoever ends it knows better
        self._state: Literal["new", "open", "ended", "closing", "closed"] = "new"
        self._closed: anyio.Event | None = None
        self._begun = False
        self._observers: list[Observer] = []
        self._meter = Meter()

    def within(
        self,
        *,
        connect: float | None = None,
        first_token: float | None = None,
        idle: float | None = None,
        total: float | None = None,
    ) -> Self:
        """Set deadlines for this stream, in seconds as for `Deadlines`; those not named stay as they were. Returns itself.

        Raises:
            LocalError: One is not above 0, or the stream is open already.
        """
        if self._state != "new":
            raise LocalError("deadlines are set before the stream is opened")
        given = Deadlines(connect=connect, first_token=first_token, idle=idle, total=total)
        self._deadlines = given.over(self._deadlines)
        return self

    def observe(self, observer: Observer) -> Self:
        """Have somebody told when the stream is opened and when its outcome is known. Returns itself.

        Raises:
            LocalError: The stream is open already.
        """
        if self._state != "new":
            raise LocalError("a stream is observed from before it is opened")
        self._observers.append(observer)
        self._meter.counts = True
        return self

    @property
    def record(self) -> Record | None:
        """What a tracked stream left behind, from when its outcome is known; None before, and of a stream that is not tracked."""
        return self._observers[-1].record if self._observers else None

    @property
    def usage(self) -> Usage | None:
        """The last usage the provider reported, at any time; None before there was one."""
        return self._upstream.usage

    @property
    def outcome(self) -> Finish | Failure | None:
        """How the stream ended; None until it has. `Failure` of kind `cancelled` if it was left before its end."""
        return self._outcome

    @property
    def warnings(self) -> tuple[RequestWarning, ...]:
        """What in the request the provider cannot take, and was left out."""
        return self._upstream.warnings

    @property
    def request_id(self) -> str | None:
        """The provider's id of the request, from the response's headers."""
        return self._upstream.request_id

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The requests made for this answer so far, in order: one, or several where a model is made of others."""
        attempts = self._upstream.attempts
        return self._meter.timed(attempts) if self._begun else attempts

    @property
    def received(self) -> int:
        """How many bytes came."""
        return self._upstream.received

    def statistics(self) -> Statistics:
        """What the stream has been like so far, or altogether once it is closed."""
        now = self._wait.now() if self._begun else 0.0
        return self._meter.statistics(now, self._upstream.received, self.attempts)

    async def __aenter__(self) -> Self:
        if self._state != "new":
            if self._begun or not isinstance(self._outcome, Failure):
                raise LocalError("a stream can be opened once; ask the model for another")
            raise StreamFailed(self._outcome)  # cancelled before it began
        wait, upstream, deadlines = self._begin(), self._upstream, self._deadlines
        try:
            events = await wait.guard(lambda: upstream.open(deadlines))()
        except StreamFailed as error:
            raise StreamFailed(await self._give_up(wait.claim(error) or error.failure)) from error.__cause__
        except BaseException as error:
            failure = wait.claim(error)
            outcome = await self._give_up(failure or _left(error))
            if failure is None:
                raise
            raise StreamFailed(outcome) from None
        wait.claim(None)
        self._receive = wait.guard(upstream.receive)
        self._held = events
        now = wait.now()
        if self._watch is not None:
            self._watch.came(events, now)
        if self._meter.answered(events, now):
            self._begun_to_answer()
        return self

    def _begun_to_answer(self) -> None:
        if self._watch is not None:
            self._wait.watch(self._watch)  # `idle` may be due sooner than `first_token` was

    def _begin(self) -> Wait:
        self._state, self._begun = "open", True
        wait = self._wait = new_wait()
        opened = self._meter.opened = wait.now()
        deadlines = self._deadlines
        if deadlines != Deadlines(connect=deadlines.connect):
            self._watch = Watch(deadlines, opened)
            wait.watch(self._watch)
        for observer in self._observers:
            observer.opened(self)
        return wait

    async def _give_up(self, failure: Failure) -> Failure:
        """It could not be opened."""
        self._meter.waited = self._wait.now() - self._meter.opened
        self.settle(failure)
        await self._close(drain=False)
        return self._outcome if isinstance(self._outcome, Failure) else failure

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.settle(self._cut or _left(error))
        await self._close(drain=error is None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next event.

        Raises:
            StreamFailed: The stream failed; every event before the failure has been given.
            LocalError: The stream is not open.
        """
        if self._position < len(self._batch):
            event = self._batch[self._position]
            self._position += 1
            return event
        events = await self.pull()
        if self._outcome is not None:
            events = self._given(events)
            if not events:
                raise StopAsyncIteration
        if len(events) > 1:
            self._batch, self._position = events, 1
        return events[0]

    async def read(self) -> list[Event]:
        """The events that one read of the network completed, at least one; [] once the stream has ended.

        Raises:
            StreamFailed: The stream failed; every event before the failure has been given.
            LocalError: The stream is not open.
        """
        if self._position < len(self._batch):
            events = self._batch[self._position :]
            self._batch, self._position = [], 0
            return events
        events = await self.pull()
        return events if self._outcome is None else self._given(events)

    def text(self) -> AsyncIterator[str]:
        """The answer's words alone, as they come. Raises what iterating the stream raises."""
        return Words(self)

    def partial(self) -> AsyncIterator[Partial]:
        """The arguments of tool calls and the texts of the answer as JSON that grows, each time some of it came.

        For each read of the network each document that it changed, once. Needs the extra `partial`. A text that is no
        JSON is given as well, as one that is broken. Raises what iterating the stream raises.

        Raises:
            LocalError: ijson is not installed; raised by the iteration.
        """
        return Documents(self)

    async def collect(self, fold: Fold | None = None) -> Fold:
        """Read to the end and add everything up; into `fold` if given, which keeps what came before a failure.

        Raises:
            StreamFailed: The stream failed.
            LocalError: The stream is not open.
        """
        fold = Fold() if fold is None else fold
        while events := await self.read():
            fold.feed(events)
        return fold

    async def pull(self) -> list[Event]:
        """As `read`, for those who pass events on: a `Failure` is the last event of the last batch, and not raised.

        Knows nothing of a batch that iterating has begun.

        Raises:
            LocalError: The stream is not open.
        """
        if self._held or self._state != "open":
            return self._rest()
        wait, watch, meter = self._wait, self._watch, self._meter
        asked = now = wait.now()
        if watch is not None:
            watch.asked(now)
        while True:
            try:
                received = await self._receive()
            except BaseException as error:  # noqa: BLE001 - told apart there, and raised again
                events = self._broken(error, asked)
                now = wait.now()
            else:
                if wait.waiter is None:
                    wait.claim(None)
                wait.waiter = None
                events = self._take(received)
                now = wait.now()
                if meter.first_byte is None and received:
                    meter.first_byte = now
                if watch is not None and (failure := watch.came(events, now)) is not None:
                    events = [*events, *self._upstream.fail(failure)]
            if events or self._outcome is not None:
                break
        if meter.came(events, asked, now):
            self._begun_to_answer()
        if self._upstream.outcome is not None:
            await self._over(events)
        return events

    def _rest(self) -> list[Event]:
        """What came while the stream was opened, or was still to come when it was ended; [] when there is no more."""
        if self._cut is not None:
            self._held = self.settle(self._cut)
        if self._state == "open":
            if self._watch is not None:
                self._watch.asked(self._wait.now())
            last = self._held[-1]
            if isinstance(last, Finish | Failure):
                self._state = "ended"
                self._conclude(last)
        elif self._outcome is None:
            raise LocalError("the stream is not open: read it inside its `async with`")
        events, self._held = self._held, []
        self._meter.events += len(events)
        return events

    async def _over(self, events: list[Event]) -> None:
        if self._outcome is not None:
            return  # another task has ended it meanwhile
        outcome = self._upstream.outcome
        assert outcome is not None
        self._state = "ended"
        self._conclude(outcome)
        if isinstance(outcome, Failure):
            self._held = events  # given by a next read, if this one is cancelled now
            await self._close(drain=False)
            self._held = []

    def _conclude(self, outcome: Finish | Failure) -> None:
        """The outcome is known: whoever observes the stream is told before anything else can happen."""
        self._outcome = outcome
        if self._begun:
            self._meter.concluded = self._wait.now()
            for observer in self._observers:
                observer.ended(self)

    def _broken(self, error: BaseException, asked: float) -> list[Event]:
        """A wait raised: the last events, if that was the other side's fault or ours; else it is raised again."""
        failure = self._wait.claim(error)
        if failure is None and isinstance(error, StreamFailed):
            failure = error.failure
        if failure is not None:
            return self._upstream.fail(failure)
        self._meter.waited += self._wait.now() - asked
        if self._outcome is None:
            self._cut = Failure("cancelled", "a read was cancelled", detail="read")
            self._state = "ended"
        raise error

    def _given(self, events: list[Event]) -> list[Event]:
        """What of the last batch is given rather than raised."""
        outcome = self._outcome
        if isinstance(outcome, Failure):
            events = events[:-1]
            if not events:
                raise StreamFailed(outcome)
        return events

    async def cancel(self) -> None:
        """End the stream, from any task of its event loop: its reader gets what has come, then `StreamFailed`.

        The outcome is a `Failure` of kind `cancelled` and detail `cancel`, unless the stream has ended before. When this
        returns, the connection is closed.
        """
        closed = self._closed = self._closed or anyio.Event()
        while self._state == "open" and self._wait.stop(_CANCELLED):
            with anyio.move_on_after(GRACE):  # the wait may have ended by itself just then
                await closed.wait()
        self._held = self.settle(_CANCELLED)
        await self._close(drain=False)

    def settle(self, failure: Failure) -> list[Event]:
        """End the stream without a wait, for those who make streams of others: its last events, if they were still to come.

        The outcome is this failure, unless there was one or what came proves that the answer is whole. The connection is
        still to be closed.
        """
        events, self._held = self._held, []
        ended = self._outcome is not None
        if not ended:
            events = [*events, *self._upstream.fail(failure)]
        if self._state in {"new", "open"}:
            self._state = "ended"
        self._cut = None
        if self._begun:
            self._meter.ended = self._meter.ended or self._wait.now()
        if not ended:
            self._conclude(self._upstream.outcome or failure)
        return events

    async def aclose(self, *, drain: bool = True) -> None:
        """Leave the stream, as the end of its `async with` does; what follows its `Finish` is read if there is time to `drain`."""
        self.settle(self._cut or _left(None))
        await self._close(drain=drain)

    async def _close(self, *, drain: bool) -> None:
        """Let go of the connection, once; who comes second waits until that is done."""
        if self._state == "closing":
            self._closed = self._closed or anyio.Event()
            await self._closed.wait()
        elif self._state != "closed":
            self._state = "closing"
            try:
                if self._begun:
                    self._wait.close()
                    await self._upstream.close(drain=drain)
            finally:
                self._state = "closed"
                if self._closed is not None:
                    self._closed.set()

    def __del__(self) -> None:
        if getattr(self, "_state", "new") in {"open", "ended"}:
            warnings.warn(f"{self!r} was opened without `async with` and never closed", ResourceWarning, stacklevel=2)


def _left(error: BaseException | None) -> Failure:
    """How a reader left a stream that had not ended."""
    if error is None:
        return Failure("cancelled", "the reader left the stream before its end", detail="closed")
    if isinstance(error, Exception):
        return Failure("cancelled", f"the reader left the stream with {type(error).__name__}", detail="exception")
    return Failure("cancelled", "the reader's task was cancelled", detail="task")
