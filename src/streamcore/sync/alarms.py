"""What wakes a thread that blocks: a clock of the whole process, and the waits of one stream."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from heapq import heappop, heappush
from itertools import count
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from streamcore.errors import StreamFailed
from streamcore.waiting import GRACE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from streamcore.deadlines import Watch
    from streamcore.events import Failure

__all__ = ["Alarms", "OfProcess", "ThreadWait"]

T = TypeVar("T")

LINGER: Final = 5.0  # seconds that the clock's thread waits for another alarm before it ends


class OfProcess(Generic[T]):
    """One object for the process. A forked child, which has none of our threads and maybe a lock of theirs, gets its own."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made = (os.getpid(), make())

    def get(self) -> T:
        """The object."""
        process = os.getpid()
        if self._made[0] != process:
            self._made = (process, self._make())
        return self._made[1]


class Alarms:
    """A clock that calls back, in a thread of its own, which starts with the first alarm and ends when there are none."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, list[Callable[[], None]]]] = []
        self._numbers = count()
        self._runs = False

    def set(self, when: float, ring: Callable[[], None]) -> Callable[[], None]:
        """Call `ring`, which must be quick, at this time of `monotonic`; what is returned calls it off."""
        alarm = [ring]
        with self._changed:
            heappush(self._due, (when, next(self._numbers), alarm))
            if not self._runs:
                threading.Thread(target=self._run, name="streamcore-alarms", daemon=True).start()
                self._runs = True
            elif self._due[0][2] is alarm:
                self._changed.notify()
        return alarm.clear

    def _run(self) -> None:
        while (alarm := self._next()) is not None:
            for ring in alarm[:]:
                ring()

    def _next(self) -> list[Callable[[], None]] | None:
        """The alarm that is due; None if there has been none for a while."""
        with self._changed:
            while True:
                if not self._due and not self._changed.wait(LINGER) and not self._due:
                    self._runs = False
                    return None
                seconds = self._due[0][0] - monotonic()
                if seconds <= 0:
                    return heappop(self._due)[2]
                self._changed.wait(seconds)


_ALARMS: Final = OfProcess(Alarms)


class ThreadWait:
    """The waits of a stream that blocks a thread: what it blocks on is broken from another thread.

    Deadlines take one alarm, which moves when it rings, as the timer of an event loop does. After a stop there is no way
    back: whatever the stream waits for next fails at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watch: Watch | None = None
        self._call_off: Callable[[], None] | None = None
        self._stop: Callable[[], None] | None = None
        self.failure: Failure | None = None
        self.waiter: Any = None
        self.now: Callable[[], float] = monotonic

    def watch(self, watch: Watch) -> None:
        """From now on end a wait when a deadline is due, which may be sooner than the alarm that is set."""
        self.close()
        self._watch = watch

    def left(self) -> float:
        """The seconds until the next deadline; inf if there is none. A little if it has passed: for what has arrived."""
        return inf if self._watch is None else max(self._watch.due() - monotonic(), GRACE)

    def guard(self, step: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
        """The step as one that can be ended. What has arrived goes before that."""

        async def guarded() -> T:
            self._begin()
            received = await step()
            if self.failure is not None and not received:
                raise StreamFailed(self.failure)
            return received

        return guarded

    def _begin(self) -> None:
        self.waiter = self  # first this, then the look at the alarm: `_ring` does it the other way round
        if self.failure is not None:
            raise StreamFailed(self.failure)
        if self._watch is not None and self._call_off is None:
            with self._lock:
                self._wind()

    def _wind(self) -> None:
        seconds = self.left()
        if self._call_off is None and seconds < inf:
            self._call_off = _ALARMS.get().set(monotonic() + seconds, self._ring)

    def _ring(self) -> None:
        with self._lock:
            self._call_off = None
            if self._watch is None or self.waiter is None:
                return  # if nobody waits, who does so next winds it up again
            failure = self._watch.overdue(monotonic())
            if failure is None:
                self._wind()
            else:
                self._end(failure)

    def stop(self, failure: Failure) -> bool:
        """End the stream, from any thread."""
        with self._lock:
            self._end(failure)
        return True

    def _end(self, failure: Failure) -> None:
        if self.failure is None:
            self.failure = failure
            if self._stop is not None:
                self._stop()

    def hold(self, stop: Callable[[], None]) -> None:
        """What blocks from now on ends when another thread calls `stop`; it is called here if the stream was ended."""
        with self._lock:
            self._stop = stop
            if self.failure is not None:
                stop()

    def let_go(self) -> None:
        """What `hold` named must not be called any more."""
        with self._lock:
            self._stop = None

    @contextmanager
    def at_most(self, seconds: float) -> Generator[None]:
        """End what blocks in this scope after so many seconds."""
        call_off = _ALARMS.get().set(monotonic() + seconds, self._interrupt)
        try:
            yield
        finally:
            call_off()

    def _interrupt(self) -> None:
        with self._lock:
            if self._stop is not None:
                self._stop()

    def claim(self, error: BaseException | None) -> Failure | None:
        """A guarded step raised this, or nothing: the failure that it was ended with, None if that came from elsewhere."""
        self.waiter = None
        if not isinstance(error, StreamFailed):
            return None
        return self.failure or (None if self._watch is None else self._watch.overdue(monotonic()))

    def close(self) -> None:
        """There will be no more waits."""
        with self._lock:
            self.waiter = self._watch = None
            if self._call_off is not None:
                self._call_off()
                self._call_off = None
