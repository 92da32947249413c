"""One event loop for all streams that need one, in a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import os
from concurrent.futures import Future, wait
from contextvars import Context, copy_context
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Final, TypeVar

from streamcore.errors import LocalError
from streamcore.transport import close_clients
from streamcore.waiting import BLOCKING

from .alarms import OfProcess

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streamcore.events import Failure
    from streamcore.stream import Stream

__all__ = ["Crossing", "Loop"]

T = TypeVar("T")

CANCEL_SECONDS: Final = 5.0  # that an interrupted step gets to close what it has open


class Loop:
    """An event loop in a thread, started with the first use and stopped, its connections closed, when Python exits.

    It is kept in between: a loop for each stream would cost a thread, and a new connection to the provider each time.
    By asyncio's own means a step takes one trip there and back; anyio's portal takes two, and three times as long.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._process = os.getpid()
        self._thread: Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event

    def start(self) -> asyncio.AbstractEventLoop:
        """The loop, which runs."""
        with self._lock:
            if self._thread is None:
                started: Future[None] = Future()
                self._thread = Thread(
                    target=lambda: asyncio.run(self._run(started)), name="streamcore-sync", daemon=True
                )
                self._thread.start()
                started.result()
                atexit.register(self.stop)
            return self._loop

    async def _run(self, started: Future[None]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        started.set_result(None)
        await self._stop.wait()
        await close_clients()

    def stop(self) -> None:
        """End the loop, and what still runs in it. A later use starts another."""
        if self._process != os.getpid():
            return  # registered before a fork: the child has no such thread
        atexit.unregister(self.stop)
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._loop.call_soon_threadsafe(self._stop.set)
                thread.join()


_LOOP: Final = OfProcess(Loop)


class Crossing:
    """Runs the steps of one stream in the event loop. The thread that asks waits, and may be interrupted."""

    failure: Failure | None = None

    def __init__(self) -> None:
        self._loop = _LOOP.get().start()

    def run(self, step: Callable[[], Awaitable[T]]) -> T:
        """The step's result. After an interrupt it is cancelled, and has closed what it opened."""
        tasks: list[asyncio.Task[T]] = []
        ended: Future[T] = Future()

        async def steps() -> T:
            return await step()

        def begin() -> None:
            tasks.append(self._loop.create_task(steps()))
            tasks[0].add_done_callback(lambda task: _pass_on(task, ended))

        def cancel() -> None:
            if tasks:
                tasks[0].cancel()
            else:
                ended.set_exception(LocalError("interrupted before it began"))

        try:
            self._loop.call_soon_threadsafe(begin, context=_context())
            return ended.result()
        except BaseException:
            if not ended.done():
                self._loop.call_soon_threadsafe(cancel)
                wait([ended], CANCEL_SECONDS)
            raise

    def cancel(self, stream: Stream) -> None:
        """End the stream, and wait until it has."""
        self.run(stream.cancel)


def _context() -> Context:
    """The caller's context variables, without those that say what runs the caller: another event loop, or we by hand."""
    context = copy_context()
    context.run(BLOCKING.set, None)
    for variable in context:
        if variable.name == "current_async_library_cvar":  # sniffio's and anyio's
            context.run(variable.set, "asyncio")
    return context


def _pass_on(task: asyncio.Task[Any], ended: Future[Any]) -> None:
    """How the task ended, to the thread that waits for it."""
    try:
        ended.set_result(task.result())
    except BaseException as error:  # noqa: BLE001 - raised there
        ended.set_exception(error)
