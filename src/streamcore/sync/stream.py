"""The stream for threads: each step of a `streamcore.Stream`, run by hand or in an event loop elsewhere."""

from __future__ import annotations

from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar
from weakref import WeakKeyDictionary

from streamcore.body import Body
from streamcore.endpoint import Endpoint
from streamcore.errors import LocalError
from streamcore.events import Failure, TextDelta
from streamcore.message import Fold
from streamcore.partial import Partials
from streamcore.request import prompt
from streamcore.stream import Stream as AsyncStream
from streamcore.transport import Source
from streamcore.waiting import BLOCKING

from .alarms import ThreadWait
from .portal import Crossing
from .transport import HTTPX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
    from types import TracebackType

    from streamcore.adapter import Adapter
    from streamcore.endpoint import Model
    from streamcore.events import Event, Finish, Usage
    from streamcore.partial import Partial
    from streamcore.request import Request, RequestWarning
    from streamcore.tracking.record import Record
    from streamcore.transport import Response, ServerSentEvent
    from streamcore.upstream import Attempt, Statistics

__all__ = ["Stream", "decode", "stream", "text"]

T = TypeVar("T")

_CANCELLED: Final = Failure("cancelled", "the stream was cancelled", detail="cancel")


class _Driver(Protocol):
    """How the steps of one stream are run."""

    @property
    def failure(self) -> Failure | None:
        """How the stream was ended from another thread, if nobody else can tell it."""
        ...

    def run(self, step: Callable[[], Awaitable[T]]) -> T:
        """The result of the step."""
        ...

    def cancel(self, stream: AsyncStream) -> None:
        """End the stream, from another thread."""
        ...


class _Native:
    """Runs the steps of one stream by hand, in the thread that asks."""

    def __init__(self) -> None:
        self._wait = ThreadWait()

    @property
    def failure(self) -> Failure | None:
        return self._wait.failure

    def run(self, step: Callable[[], Awaitable[T]]) -> T:
        coroutine: Any = step()
        token = BLOCKING.set(self._wait)
        try:
            coroutine.send(None)
            coroutine.throw(LocalError("this stream waits for an event loop, and here is none"))
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            BLOCKING.reset(token)
        raise LocalError("this stream goes on waiting for an event loop, and here is none")

    def cancel(self, stream: AsyncStream) -> None:  # noqa: ARG002
        self._wait.stop(_CANCELLED)


class Stream:
    """One answer, read event by event by a plain thread. Get it from `stream` or `decode`; hold it with `with`.

    Everything is as with `streamcore.Stream`, without `await`: iterating gives every event up to `Finish`; a `Failure` is
    raised as `StreamFailed` after all that came before it. Only `cancel` may be called by another thread.
    """

    def __init__(self, stream: AsyncStream, driver: _Driver) -> None:
        self._stream = stream
        self._driver = driver
        self._batch: list[Event] = []
        self._position = 0

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
        self._stream.within(connect=connect, first_token=first_token, idle=idle, total=total)
        return self

    @property
    def usage(self) -> Usage | None:
        """The last usage the provider reported, at any time; None before there was one."""
        return self._stream.usage

    @property
    def outcome(self) -> Finish | Failure | None:
        """How the stream ended; None while it goes on. `Failure` of kind `cancelled` if it was left before its end."""
        return self._stream.outcome

    @property
    def warnings(self) -> tuple[RequestWarning, ...]:
        """What in the request the provider cannot take, and was left out."""
        return self._stream.warnings

    @property
    def request_id(self) -> str | None:
        """The provider's id of the request, from the response's headers."""
        return self._stream.request_id

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The requests made for this answer so far, in order: one, or several where a model is made of others."""
        return self._stream.attempts

    @property
    def record(self) -> Record | None:
        """What a tracked stream left behind, from when its outcome is known; None before, and of a stream that is not tracked."""
        return self._stream.record

    @property
    def received(self) -> int:
        """How many bytes came."""
        return self._stream.received

    def statistics(self) -> Statistics:
        """What the stream has been like so far, or altogether once it is closed."""
        return self._stream.statistics()

    def __enter__(self) -> Self:
        self._driver.run(self._stream.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._driver.failure is not None:
            self._stream.settle(self._driver.failure)
        self._driver.run(lambda: self._stream.__aexit__(kind, error, traceback))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        """The next event.

        Raises:
            StreamFailed: The stream failed; every event before the failure has been given.
            LocalError: The stream is not open.
        """
        if self._position == len(self._batch):
            self._batch, self._position = self.read(), 0
            if not self._batch:
                raise StopIteration
        event = self._batch[self._position]
        self._position += 1
        return event

    def read(self) -> list[Event]:
        """The events that one read of the network completed, at least one; [] once the stream has ended.

        Raises:
            StreamFailed: The stream failed; every event before the failure has been given.
            LocalError: The stream is not open.
        """
        events = self._batch[self._position :]
        self._batch, self._position = [], 0
        return events or self._driver.run(self._stream.read)

    def text(self) -> Iterator[str]:
        """The answer's words alone, as they come. Raises what iterating the stream raises."""
        return (event.text for event in self if isinstance(event, TextDelta))

    def partial(self) -> Iterator[Partial]:
        """The arguments of tool calls and the texts of the answer as JSON that grows, as `streamcore.Stream.partial`.

        Raises:
            LocalError: ijson is not installed; raised by the iteration.
        """
        documents = Partials()
        while events := self.read():
            yield from documents.feed(events)

    def collect(self, fold: Fold | None = None) -> Fold:
        """Read to the end and add everything up; into `fold` if given, which keeps what came before a failure.

        Raises:
            StreamFailed: The stream failed.
            LocalError: The stream is not open.
        """
        fold = Fold() if fold is None else fold
        while events := self.read():
            fold.feed(events)
        return fold

    def cancel(self) -> None:
        """End the stream, from any thread: its reader gets what has come, then `StreamFailed`; the connection is broken.

        The outcome is a `Failure` of kind `cancelled` and detail `cancel`, unless the stream has ended before. Until
        TCP is connected, and while headers are awaited on a connection that is used again, it takes effect after that.
        """
        self._driver.cancel(self._stream)


_TRANSPORTS: Final[WeakKeyDictionary[Endpoint, HTTPX]] = WeakKeyDictionary()
"""Of each endpoint that has none of its own, the one that blocks: dropped with the endpoint, and closed by that."""


def stream(model: Model, request: Request | str, /) -> Stream:
    """The stream that will answer, not yet opened: `with` opens it. A string is one user message.

    Raises:
        LocalError: The request cannot be written for this provider.
    """
    if isinstance(request, str):
        request = prompt(request)
    if isinstance(model, Endpoint):
        transport = model.transport
        if transport is None:
            transport = _TRANSPORTS.setdefault(model, HTTPX())
        if isinstance(transport, HTTPX):
            return Stream(model.over(transport).stream(request), _Native())
    return Stream(model.stream(request), Crossing())


def text(model: Model, request: Request | str, /) -> Generator[str]:
    """The answer's words alone, as they come: a generator that holds its stream.

    It is closed with the last word or failure, by its `close()`, and when it is dropped, as `break` does where the `for`
    statement alone has it; hold it with `contextlib.closing` where that must not depend on the interpreter.

    Raises:
        LocalError: The request cannot be written for this provider.
        StreamFailed: The stream failed; every word before the failure has been given.
    """
    with stream(model, request) as words:
        yield from words.text()


_NO_MORE: Final = object()


class _Items:
    """An iterable as an asynchronous one that never suspends. It runs in the context in which it was given."""

    def __init__(self, items: Iterable[Any]) -> None:
        self.close: Callable[[], object] = getattr(items, "close", lambda: None)
        self._next = partial(copy_context().run, next, iter(items), _NO_MORE)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        item = self._next()
        if item is _NO_MORE:
            raise StopAsyncIteration
        return item


class _Source:
    """A body that comes from an iterable, as a response."""

    def __init__(self, items: Iterable[bytes] | Iterable[ServerSentEvent]) -> None:
        self._items = _Items(items)
        source = Source(self._items)
        self.status, self.headers, self.read = source.status, source.headers, source.read

    async def close(self) -> None:
        self._items.close()


def decode(adapter: Adapter, source: Iterable[bytes] | Iterable[ServerSentEvent], /) -> Stream:
    """A stream of a body that came another way: bytes in any cut, or events that `httpx_sse` has parsed.

    The source is closed when the stream is, if it has a `close`. It alone decides how long it blocks: deadlines and
    `cancel` are looked at when it gives something.
    """
    body = _Source(source)

    async def open(connect: float | None) -> Response:  # noqa: ARG001 - it is connected
        return body

    return Stream(AsyncStream(Body(adapter, open)), _Native())
