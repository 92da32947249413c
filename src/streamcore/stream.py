"""A stream of events that is being read: pulled by its reader, with no task and no queue behind it.

    async with model.stream(request) as stream:
        async for event in stream:
            ...

Back-pressure is TCP's: bytes are read when events are asked for. Leaving the `async with` by any road (end, `break`,
exception, cancellation, timeout) settles the outcome first, synchronously, and then closes the connection, so a second
cancellation may cut short a polite goodbye but never the bookkeeping. No cancel scope is held while the caller runs.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Final, Self

import anyio
from msgspec import structs

from .errors import LocalError, StreamFailed
from .events import Event, Failure, Finish, TextDelta, Usage
from .failures import http_failure, request_id, shown
from .message import Fold
from .reader import Reader
from .transport import Source

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
    from types import TracebackType

    from .adapter import Adapter
    from .request import RequestWarning, Secret
    from .transport import Response, ServerSentEvent

__all__ = ["Stream", "decode"]

DRAIN_SECONDS: Final = 1.0
DRAIN_BYTES: Final = 64 * 1024  # what may follow the last event; more is not worth a kept connection
ERROR_BYTES: Final = 64 * 1024  # of the body of an HTTP error
ERROR_SECONDS: Final = 5.0

# The essence of a MIME type that may hold events. Servers label streams loosely; HTML is what a proxy's error page is.
_STREAM_TYPES: Final = frozenset(
    {
        "",
        "text/event-stream",
        "text/plain",
        "application/json",
        "application/x-ndjson",
        "application/x-json-stream",
        "application/octet-stream",
        "application/vnd.amazon.eventstream",
    }
)


class Stream:
    """One answer, read event by event. Get it from a model; hold it with `async with`; read it from one task.

    Iterating gives every event up to `Finish`. A `Failure` is not given but raised, as `StreamFailed`, after all that
    came before it; so is one that happens while the stream is opened, then by `async with` itself.
    """

    def __init__(
        self,
        adapter: Adapter,
        open: Callable[[], Awaitable[Response]],
        *,
        warnings: Iterable[RequestWarning] = (),
        secret: Secret | None = None,
    ) -> None:
        self._open = open
        self._reader = Reader(adapter)
        self._warnings = tuple(warnings)
        self._secret = secret
        self._response: Response | None = None
        self._request_id: str | None = None
        self._batch: list[Event] = []
        self._position = 0
        self._outcome: Finish | Failure | None = None
        self._state = "new"

    @property
    def usage(self) -> Usage | None:
        """The last usage the provider reported, at any time; None before there was one."""
        return self._reader.usage

    @property
    def outcome(self) -> Finish | Failure | None:
        """How the stream ended; None while it goes on. `Failure` of kind `cancelled` if it was left before its end."""
        return self._outcome

    @property
    def warnings(self) -> tuple[RequestWarning, ...]:
        """What in the request the provider cannot take, and was left out."""
        return self._warnings

    @property
    def request_id(self) -> str | None:
        """The provider's id of the request, from the response's headers."""
        return self._request_id

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise LocalError("a stream can be opened once; ask the model for another")
        self._state = "open"
        try:
            self._response = response = await self._open()
            await self._check(response)
        except StreamFailed as error:
            self._settle(error.failure)
            await self._close()
            raise StreamFailed(self._scrub(error.failure)) from error.__cause__
        except BaseException as error:
            self._settle(_left(error))
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._settle(_left(error))
        if error is None and isinstance(self._outcome, Finish):
            await self._drain()
        await self._close()

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
        events = await self._next()
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
        return await self._next()

    def text(self) -> AsyncIterator[str]:
        """The answer's words alone, as they come. Raises what iterating the stream raises."""
        return _Text(self)

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

    async def _next(self) -> list[Event]:
        reader, response = self._reader, self._response
        while self._outcome is None:
            if response is None or self._state != "open":
                raise LocalError("the stream is not open: read it inside its `async with`")
            try:
                data = await response.read()
            except StreamFailed as error:
                events = reader.close(error.failure)
            except BaseException:
                self._finish(reader.close(Failure("cancelled", "a read was cancelled", detail="read")))
                raise
            else:
                events = reader.feed(data) if data else reader.close()
            if reader.outcome is not None:
                events = self._finish(events)
            if events:
                return events
        if isinstance(self._outcome, Failure):
            raise StreamFailed(self._outcome)
        return []

    def _finish(self, events: list[Event]) -> list[Event]:
        """The stream has ended with these events: note how, and keep a failure for raising."""
        outcome = self._reader.outcome
        if isinstance(outcome, Failure):
            events = events[:-1]
            outcome = self._scrub(outcome)
        self._outcome = outcome
        return events

    def _scrub(self, failure: Failure) -> Failure:
        """Some providers repeat the key in their error, or some of it."""
        changes: dict[str, str] = {}
        if self._secret is not None and self._secret.reveal() in failure.message:
            changes["message"] = failure.message.replace(self._secret.reveal(), "***")
        if failure.request_id is None and self._request_id is not None:
            changes["request_id"] = self._request_id
        return structs.replace(failure, **changes) if changes else failure

    def _settle(self, failure: Failure) -> None:
        """The stream is over, and failed like this if it had not ended: synchronous, so no cancellation comes between."""
        self._state = "closed"
        if self._outcome is None:
            self._finish(self._reader.close(failure))

    async def _check(self, response: Response) -> None:
        """Refuse an answer that holds no events.

        Raises:
            StreamFailed: Another status than 200, a compressed body, or a type that is no stream's.
        """
        headers = response.headers
        status = response.status
        if status != 200:
            raise StreamFailed(http_failure(status, dict(headers), await _beginning(response)))
        self._request_id = request_id(headers)
        if headers.get("content-encoding", "identity") != "identity":
            message = f"the body is encoded as {headers['content-encoding']!r}, although identity was asked for"
            raise StreamFailed(Failure("protocol", message, detail="content_encoding", status=status))
        essence = headers.get("content-type", "").partition(";")[0].strip().lower()
        if essence not in _STREAM_TYPES:
            beginning = shown(await _beginning(response))
            message = f"the body is {essence!r}, not a stream of events; it begins {beginning}"
            raise StreamFailed(Failure("protocol", message, detail="content_type", status=status))

    async def _drain(self) -> None:
        """Read what follows the last event, if it is little and comes soon: only then the connection can be used again."""
        response = self._response
        left = DRAIN_BYTES
        with anyio.move_on_after(DRAIN_SECONDS):
            try:
                while response is not None and left > 0 and (data := await response.read()):
                    left -= len(data)
            except StreamFailed:
                return

    async def _close(self) -> None:
        if self._response is not None:
            await self._response.close()

    def __del__(self) -> None:
        if getattr(self, "_state", "") == "open":
            warnings.warn(f"{self!r} was opened without `async with` and never closed", ResourceWarning, stacklevel=2)


class _Text:
    """The text of a stream's `TextDelta`s. A class, not a generator: leaving it leaves nothing behind."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __aiter__(self) -> _Text:
        return self

    async def __anext__(self) -> str:
        async for event in self._stream:
            if type(event) is TextDelta:
                return event.text
        raise StopAsyncIteration


def _left(error: BaseException | None) -> Failure:
    """How a reader left a stream that had not ended."""
    if error is None:
        return Failure("cancelled", "the reader left the stream before its end", detail="closed")
    if isinstance(error, Exception):
        return Failure("cancelled", f"the reader left the stream with {type(error).__name__}", detail="exception")
    return Failure("cancelled", "the reader's task was cancelled", detail="task")


async def _beginning(response: Response) -> bytes:
    """As much of a body as an error needs, and no longer than it is worth."""
    data = b""
    with anyio.move_on_after(ERROR_SECONDS):
        try:
            while len(data) < ERROR_BYTES and (more := await response.read()):
                data += more
        except StreamFailed:
            pass
    return data[:ERROR_BYTES]


def decode(adapter: Adapter, source: AsyncIterable[bytes] | AsyncIterable[ServerSentEvent]) -> Stream:
    """A stream of a body that came another way: bytes in any cut, or events that `httpx_sse` has parsed.

    The source is closed when the stream is, if it has an `aclose`.
    """

    async def open() -> Response:
        return Source(source)

    return Stream(adapter, open)
