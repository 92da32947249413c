"""Waits that can be ended from outside: by a deadline, or by another task.

A cancel scope around each read would double what a read costs on asyncio, and one held across reads would be held
while the caller runs. So a stream keeps one timer, moved when it rings rather than whenever something happens. What
rings ends the wait that goes on just then: on asyncio it cancels the task, as `asyncio.timeout` does, on trio a scope
around that wait. Without an event loop (`streamcore.sync`) another thread breaks the connection.

A deadline never overtakes what has arrived: when it is due, the loop gets some turns to hand over what the socket holds,
so a loop that was busy for a second does not blame the provider. And the consumer's own slowness is not the
provider's: `first_token` and `idle` run only while somebody waits.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar, copy_context
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import anyio
from anyio import to_thread

from .errors import StreamFailed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager

    import trio

    from .deadlines import Watch
    from .events import Failure

__all__ = ["BLOCKING", "ThreadsWait", "Wait", "at_most", "in_thread", "new_wait"]

T = TypeVar("T")
A = TypeVar("A")

GRACE: Final = 0.02  # seconds until it is looked at again whether a wait that was to end has ended
TURNS: Final = 3  # of the loop: one polls the socket, one wakes the task; uvloop takes one more


class Wait(Protocol):
    """How the waits of one stream are ended from outside."""

    waiter: Any
    """Who waits in a guarded step; to be set to None when it has returned. Is it None then, `claim` has to be asked."""

    @property
    def now(self) -> Callable[[], float]:
        """The clock of the event loop, in seconds."""
        ...

    def watch(self, watch: Watch) -> None:
        """From now on end a wait when a deadline is due; to be said again when the next is due sooner than it was."""
        ...

    def guard(self, step: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
        """The step as one that can be ended; to be awaited by one task at a time."""
        ...

    def stop(self, failure: Failure) -> bool:
        """End the wait that goes on, with this failure, unless it is being ended already; False if nobody waits."""
        ...

    def claim(self, error: BaseException | None) -> Failure | None:
        """A guarded step raised this, or nothing: the failure that it was ended with, None if that came from elsewhere."""
        ...

    def close(self) -> None:
        """There will be no more waits."""
        ...


class _AsyncioWait:
    """On asyncio: the task that waits is cancelled by hand, and that is told apart from what others cancel.

    Every `Task.cancel` is counted by the task. More than there were when the wait began means that somebody else wants
    the task to end: theirs goes first, whichever came first.
    """

    def __init__(self) -> None:
        import asyncio  # noqa: PLC0415 - a loop of it runs, so it is loaded

        loop = self._loop = asyncio.get_running_loop()
        self._current = partial(asyncio.current_task, loop)  # without it, most of the time is spent to find the loop
        self._cancelled = asyncio.CancelledError
        self._cancelling = 0
        self._ended: asyncio.Task[Any] | None = None
        self._failure: Failure | None = None
        self._watch: Watch | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.waiter: asyncio.Task[Any] | None = None
        plain = type(loop).time is asyncio.BaseEventLoop.time
        self.now: Callable[[], float] = monotonic if plain else loop.time  # the same, without a method in between

    def watch(self, watch: Watch) -> None:
        self.close()
        self._watch = watch

    def guard(self, step: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
        current = self._current

        def guarded() -> Awaitable[T]:  # not a coroutine of its own: that would cost as much again
            task: Any = current()
            self.waiter = task
            self._cancelling = task.cancelling()
            if self._timer is None and self._watch is not None:
                self._ring(self._watch)
            return step()

        return guarded

    def _ring(self, watch: Watch, turns: int = TURNS) -> None:
        """Look whether a deadline is due, and again when it is; then some turns of the loop later, for what has arrived."""
        now, when = self.now(), watch.due()
        self._timer = None
        if when == inf:
            self._watch = None
        elif self.waiter is not None:  # if nobody waits, who does so next winds it up again
            if now < when:
                self._timer = self._loop.call_at(when, self._ring, watch)
            elif turns:
                self._timer = self._loop.call_later(0, self._ring, watch, turns - 1)
            elif not self._end(self.waiter, watch.overdue(now)):
                self._timer = self._loop.call_later(GRACE, self._ring, watch)

    def stop(self, failure: Failure) -> bool:
        if self.waiter is None:
            return self._ended is not None
        self._end(self.waiter, failure)
        return True

    def _end(self, task: asyncio.Task[Any], failure: Failure | None) -> bool:
        """End the wait that goes on, unless somebody else is about to end the whole task."""
        if task.cancelling() > self._cancelling:
            return False
        self.waiter, self._ended, self._failure = None, task, failure
        task.cancel()
        return True

    def claim(self, error: BaseException | None) -> Failure | None:
        task, failure = self._ended, self._failure
        self.waiter = self._ended = self._failure = None
        if task is None:
            return None
        others = task.uncancel() > self._cancelling
        if isinstance(error, self._cancelled) and others:
            # A cancelled scope does not know our exception for its own, but will cancel the next wait as well.
            ours = not error.args and anyio.current_effective_deadline() == -inf
        else:
            ours = isinstance(error, StreamFailed | self._cancelled)
        return failure if ours else None

    def close(self) -> None:
        self.waiter = self._watch = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _TrioWait:
    """On trio: a cancel scope around each wait, left in the same step.

    A deadline of that scope's own would go first when data has arrived in the same turn of the loop; so the timer is a
    system task, which has no place in anybody's nursery, and looks again some turns later, as on asyncio.
    """

    def __init__(self) -> None:
        import trio  # noqa: PLC0415 - a loop of it runs, so it is loaded

        self._trio = trio
        self._failure: Failure | None = None
        self._watch: Watch | None = None
        self._timer: trio.CancelScope | None = None
        self.waiter: trio.CancelScope | None = None
        self.now: Callable[[], float] = trio.lowlevel.current_clock().current_time

    def watch(self, watch: Watch) -> None:
        self.close()
        self._watch = watch

    def guard(self, step: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
        async def guarded() -> T:
            if self._timer is None and self._watch is not None:
                self._timer = self._trio.CancelScope()
                self._trio.lowlevel.spawn_system_task(self._ring, self._watch, self._timer)
            with self._trio.CancelScope() as self.waiter:
                return await step()
            assert self._failure is not None
            raise StreamFailed(self._failure)

        return guarded

    async def _ring(self, watch: Watch, timer: trio.CancelScope) -> None:
        """Sleep until a deadline is due, give what has arrived some turns of the loop, and look whether it still is."""
        with timer:
            while self.waiter is not None and (when := watch.due()) < inf:
                await self._trio.sleep_until(when)
                for _ in range(TURNS):
                    await self._trio.lowlevel.checkpoint()
                failure = watch.overdue(self.now())
                if failure is not None:
                    self.stop(failure)
        if self._timer is timer:
            self._timer = None  # who waits next winds it up again
            if watch.due() == inf:
                self._watch = None

    def stop(self, failure: Failure) -> bool:
        scope = self.waiter
        if scope is None:
            return self._failure is not None
        self.waiter, self._failure = None, failure
        scope.cancel()
        return True

    def claim(self, error: BaseException | None) -> Failure | None:
        failure = self._failure
        self.waiter = self._failure = None
        return failure if isinstance(error, StreamFailed) else None

    def close(self) -> None:
        self.waiter = self._watch = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class ThreadsWait(Wait, Protocol):
    """How the waits of a stream are ended that blocks a thread, and has no event loop (`streamcore.sync`)."""

    def at_most(self, seconds: float) -> AbstractContextManager[object]:
        """End what blocks in this scope after so many seconds."""
        ...

    def hold(self, stop: Callable[[], None]) -> None:
        """What blocks from now on ends when another thread calls `stop`; it is called here if the stream was ended."""
        ...

    def let_go(self) -> None:
        """What `hold` named must not be called any more."""
        ...

    def left(self) -> float:
        """The seconds until the next deadline; inf if there is none. A little if it has passed: for what has arrived."""
        ...


BLOCKING: Final[ContextVar[ThreadsWait | None]] = ContextVar("streamcore.waiting.BLOCKING", default=None)
"""Set while a stream is driven by hand: then nothing may suspend, and an event loop that runs is somebody else's."""


def new_wait() -> Wait:
    """The waits of one stream, on the event loop that runs. Trio first: as a guest it runs inside asyncio's."""
    blocking = BLOCKING.get()
    if blocking is not None:
        return blocking
    trio: Any = sys.modules.get("trio")
    return _TrioWait() if trio is not None and trio.lowlevel.in_trio_task() else _AsyncioWait()


def at_most(seconds: float) -> AbstractContextManager[object]:
    """A scope that is left after so many seconds; without an event loop, what blocks in it fails then."""
    blocking = BLOCKING.get()
    return anyio.move_on_after(seconds) if blocking is None else blocking.at_most(seconds)


async def in_thread(work: Callable[[A], T], argument: A) -> T:
    """The result of work that may block: done in another thread, or in this one where that may be blocked."""
    if BLOCKING.get() is not None:
        context = copy_context()
        context.run(BLOCKING.set, None)  # what it does with streams of its own is its own business
        return context.run(work, argument)
    return await to_thread.run_sync(work, argument, abandon_on_cancel=True)
