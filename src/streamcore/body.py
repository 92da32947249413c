"""One response of one provider, as what a stream reads from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import structs

from .errors import StreamFailed
from .events import Event, Failure, Finish, Usage
from .failures import http_failure, request_id, shown
from .reader import Reader
from .redaction import NO_SECRETS
from .stream import Stream
from .transport import Source
from .upstream import Attempt
from .waiting import at_most

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Iterable

    from .adapter import Adapter
    from .deadlines import Deadlines
    from .redaction import Secrets
    from .request import RequestWarning
    from .transport import Response, ServerSentEvent
    from .upstream import Origin

__all__ = ["Body", "decode"]

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


class Body:
    """A response body and the reader of its format: the upstream of a plain stream.

    `open` sends the request, given the seconds there are to connect; `origin` says whose answer it is; `secrets` are
    struck from what the provider says of it.
    """

    def __init__(
        self,
        adapter: Adapter,
        open: Callable[[float | None], Awaitable[Response]],
        *,
        origin: Origin | None = None,
        warnings: Iterable[RequestWarning] = (),
        secrets: Secrets = NO_SECRETS,
    ) -> None:
        self._open = open
        self._reader = Reader(adapter)
        self._origin = origin
        self.secrets = secrets
        self._response: Response | None = None
        self.outcome: Finish | Failure | None = None
        self.warnings = tuple(warnings)
        self.request_id: str | None = None

    @property
    def usage(self) -> Usage | None:
        """The last usage the provider reported."""
        return self._reader.usage

    @property
    def received(self) -> int:
        """How many bytes came."""
        return self._reader.received

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """This one."""
        model = self._reader.model
        return (
            Attempt(
                origin=self._origin,
                outcome=self.outcome,
                usage=self._reader.usage,
                billed=self._reader.billed,
                request_id=self.request_id,
                answered_by=None if model is None else self.secrets.struck(model),
            ),
        )

    async def open(self, deadlines: Deadlines) -> list[Event]:
        """Send the request and look at the answer's headers; no events yet."""
        self._response = response = await self._open(deadlines.connect)
        await self._check(response)
        return []

    @property
    def receive(self) -> Callable[[], Awaitable[bytes]]:
        """The response's own `read`."""
        assert self._response is not None
        return self._response.read

    def take(self, data: bytes) -> list[Event]:
        """What these bytes completed; b"" is the end of the body."""
        reader = self._reader
        events = reader.feed(data) if data else reader.close()
        return events if reader.outcome is None else self._ended(events)

    def fail(self, failure: Failure) -> list[Event]:
        """No more bytes will come, for this reason: the events that end the stream."""
        return [] if self.outcome is not None else self._ended(self._reader.close(failure))

    def _ended(self, events: list[Event]) -> list[Event]:
        outcome = self._reader.outcome
        if isinstance(outcome, Failure):
            outcome = self._scrub(outcome)
            events[-1:] = [outcome]
        self.outcome = outcome
        return events

    def _scrub(self, failure: Failure) -> Failure:
        """Some providers repeat the key in their error, or some of it."""
        if failure.request_id is None and self.request_id is not None:
            failure = structs.replace(failure, request_id=self.request_id)
        return self.secrets.struck_failure(failure)

    async def _check(self, response: Response) -> None:
        """Refuse an answer that holds no events.

        Raises:
            StreamFailed: Another status than 200, a compressed body, or a type that is no stream's.
        """
        headers = response.headers
        status = response.status
        if status != 200:
            raise StreamFailed(http_failure(status, dict(headers), await _beginning(response)))
        id = request_id(headers)
        self.request_id = None if id is None else self.secrets.struck(id)
        if headers.get("content-encoding", "identity") != "identity":
            message = f"the body is encoded as {headers['content-encoding']!r}, although identity was asked for"
            raise StreamFailed(Failure("protocol", message, detail="content_encoding", status=status))
        essence = headers.get("content-type", "").partition(";")[0].strip().lower()
        if essence not in _STREAM_TYPES:
            beginning = shown(await _beginning(response))
            message = f"the body is {essence!r}, not a stream of events; it begins {beginning}"
            raise StreamFailed(Failure("protocol", message, detail="content_type", status=status))

    async def close(self, *, drain: bool) -> None:
        """Close the response; after a `Finish`, if there is time to `drain` it, so that its connection can be used again."""
        response = self._response
        if response is None:
            return
        try:
            if drain and isinstance(self.outcome, Finish):
                await _drain(response)
        finally:
            await response.close()


async def _drain(response: Response) -> None:
    """Read what follows the last event, if it is little and comes soon."""
    left = DRAIN_BYTES
    with at_most(DRAIN_SECONDS):
        try:
            while left > 0 and (data := await response.read()):
                left -= len(data)
        except StreamFailed:
            return


async def _beginning(response: Response) -> bytes:
    """As much of a body as an error needs, and no longer than it is worth."""
    data = b""
    with at_most(ERROR_SECONDS):
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

    async def open(connect: float | None) -> Response:  # noqa: ARG001 - it is connected
        return Source(source)

    return Stream(Body(adapter, open))
