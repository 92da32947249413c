"""How a request reaches a provider and its body comes back: one method, `open`.

`HTTPX` does it with an `httpx.AsyncClient` or an `httpx2.AsyncClient`, which work alike. What it takes care of, because
the clients do not:

* Admission is a first-in-first-out semaphore of our own in front of a pool without a limit. With httpx's own queue a
  thousand requests on a hundred slots stalled the event loop for seconds.
* The socket is closed on every exit, and both clients' pools are left in order (`closing`). httpx 0.28 forgets
  connections when a task is cancelled while one is opened or waited for; so each new connection is noted as it is made,
  and closed here. Closing it is the first thing that happens and needs no further turn of the event loop, so not even a
  second `task.cancel()` comes before it.
* `accept-encoding: identity` (a compressed body hides where it was cut), redirects never followed (both clients carry
  `x-api-key` along), no `.netrc`.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from math import inf
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self, TypeAlias, runtime_checkable
from uuid import uuid4
from weakref import WeakSet

import anyio
from anyio.lowlevel import RunVar

from . import sse
from .client_errors import failure_of
from .closing import CLOSE_SECONDS, apart, close, close_iterator, close_lost, forgets
from .errors import StreamFailed
from .events import Failure

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterable, AsyncIterator, Mapping

    import httpx
    import httpx2

    from .request import HTTPRequest

    Client: TypeAlias = httpx.AsyncClient | httpx2.AsyncClient

__all__ = [
    "CONCURRENCY",
    "HTTPX",
    "Response",
    "ServerSentEvent",
    "Source",
    "Transport",
    "close_clients",
    "failure_of",
    "new_client",
]

CONNECT_SECONDS: Final = 10.0
READ_SECONDS: Final = 300.0  # reasoning models have been seen silent for minutes
CONCURRENCY: Final = 100

_CLIENTS: Final[RunVar[WeakSet[Client]]] = RunVar("streamcore.transport.clients")


class Response(Protocol):
    """An answer whose body has not been read yet."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, names in lower case."""
        ...

    async def read(self) -> bytes:
        """The next bytes of the body as the network gave them; b"" at its end.

        Raises:
            StreamFailed: The connection broke or timed out; a `Failure` of kind connection, truncated, protocol, timeout.
        """
        ...

    async def close(self) -> None:
        """Close the body, and the connection unless the body was read to its end. May be called again; never raises."""
        ...


class Transport(Protocol):
    """What carries requests."""

    async def open(self, request: HTTPRequest, /, *, connect: float | None = None) -> Response:
        """Send the request; return when the headers are there. A connection has `connect` seconds to be made.

        Raises:
            StreamFailed: There is no answer; a `Failure` of kind connection, protocol or timeout.
        """
        ...


class _Lane:
    """What belongs to one run of an event loop: connections cannot outlive it."""

    def __init__(self, client: Client, concurrency: int) -> None:
        self.client = client
        self.slots = anyio.Semaphore(concurrency)
        self.forgetful = forgets(client)
        self.closing: set[asyncio.Task[None]] = set()


class HTTPX:
    """Sends requests with httpx or httpx2.

    Without a `client` it makes one itself, of httpx2 where that is installed, without a limit on connections, one for
    each event loop that uses it; `aclose` (or `async with`) closes it. A client given stays the caller's to close, with
    its own timeouts and limits. At most `concurrency` streams are open at once; the rest wait their turn in order.
    """

    def __init__(self, client: Client | None = None, *, concurrency: int = CONCURRENCY) -> None:
        self._client = client
        self._concurrency = concurrency
        self._lane: RunVar[_Lane] = RunVar(f"streamcore.HTTPX-{uuid4()}")  # anyio before 4.11 finds it by name

    async def open(self, request: HTTPRequest, /, *, connect: float | None = None) -> Response:
        """Send the request as it is; return when the headers are there.

        `connect` is the seconds that a new connection may take, from the name to the end of TLS; None for the client's own.

        Raises:
            StreamFailed: There is no answer; a `Failure` of kind connection, protocol or timeout.
        """
        lane = self._lane.get(None)
        if lane is None:
            lane = _Lane(self._client or self._new_client(), self._concurrency)
            self._lane.set(lane)
        await lane.slots.acquire()
        try:
            return await _send(lane, request, connect)
        except BaseException:
            lane.slots.release()
            raise

    @staticmethod
    def _new_client() -> Client:
        client: Client = new_client("AsyncClient")
        clients = _CLIENTS.get(None)
        if clients is None:
            _CLIENTS.set(clients := WeakSet())
        clients.add(client)
        return client

    async def aclose(self) -> None:
        """Close the client of this event loop, if it was made here."""
        lane = self._lane.get(None)
        if lane is not None and self._client is None:
            await lane.client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


async def close_clients() -> None:
    """Close the clients that were made here for this event loop, because it is about to end."""
    for client in list(_CLIENTS.get(())):
        await client.aclose()


def new_client(kind: Literal["AsyncClient", "Client"]) -> Any:
    """A client of httpx2, or of httpx where that is not installed."""
    try:
        library: Any = import_module("httpx2")
    except ImportError:
        library = import_module("httpx")
    timeout = library.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS, write=READ_SECONDS, pool=None)
    limits = library.Limits(max_connections=None, max_keepalive_connections=CONCURRENCY)
    return getattr(library, kind)(timeout=timeout, limits=limits)


async def _send(lane: _Lane, request: HTTPRequest, connect: float | None) -> _HTTPXResponse:
    client: Any = lane.client  # the two libraries' types differ in name alone
    opened: list[Any] = []
    scope = anyio.CancelScope()  # the client's own limit is for each step of connecting, this one for all of them

    async def note(name: str, info: Mapping[str, Any]) -> None:
        if connect is not None and name == "connection.connect_tcp.started" and scope.deadline == inf:
            scope.deadline = anyio.current_time() + connect
        elif name in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            opened.append(info["return_value"])
        elif name.endswith(".send_request_headers.started"):
            scope.deadline = inf

    message = client.build_request(
        request.method, request.url, headers=dict(request.headers), content=request.body, extensions={"trace": note}
    )
    try:
        with scope:
            response = await client.send(message, stream=True, follow_redirects=False, auth=None)
            return _HTTPXResponse(response, lane)
    except BaseException as error:
        await _give_up(lane, opened, message.url)
        if isinstance(error, Exception) and (failure := failure_of(error, headers=False)) is not None:
            cause = None if failure.kind == "invalid" else error  # what refuses a header shows it, and so the key
            raise StreamFailed(failure) from cause
        raise
    await _give_up(lane, opened, message.url)
    raise StreamFailed(Failure("timeout", f"no connection was made within {connect:g} s", detail="connect"))


async def _give_up(lane: _Lane, opened: list[Any], url: Any) -> None:
    try:
        for stream in opened[-1:]:
            await close(stream)
    finally:
        if lane.forgetful:
            await apart(partial(close_lost, lane.client, url), lane.closing)


class _HTTPXResponse:
    def __init__(self, response: Any, lane: _Lane) -> None:
        self._response = response
        self._lane: _Lane | None = lane
        self._body: AsyncIterator[bytes] = response.stream.__aiter__()
        self._ended = False
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers  # case-insensitive in both libraries

    async def read(self) -> bytes:
        try:
            return await self._body.__anext__()
        except StopAsyncIteration:
            self._ended = True
            return b""
        except Exception as error:
            failure = failure_of(error, headers=True)
            if failure is None:
                raise
            raise StreamFailed(failure) from error

    async def close(self) -> None:
        lane, self._lane = self._lane, None
        if lane is None:
            return
        lane.slots.release()
        try:
            network = self._response.extensions.get("network_stream")
            if network is not None and not self._ended:
                await close(network)
        finally:
            if self._ended and not lane.forgetful:  # nothing is awaited
                await self._clear(lane)
            else:
                await apart(partial(self._clear, lane), lane.closing)

    async def _clear(self, lane: _Lane) -> None:
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await close_iterator(self._body)
            await self._response.aclose()
        if lane.forgetful:
            await close_lost(lane.client, self._response.request.url)


@runtime_checkable
class ServerSentEvent(Protocol):
    """An event that another library has cut already, such as `httpx_sse.ServerSentEvent`."""

    @property
    def event(self) -> str:
        """Its type."""
        ...

    @property
    def data(self) -> str:
        """Its data."""
        ...

    @property
    def id(self) -> str:
        """The last event id."""
        ...


class Source:
    """A body that came another way, as a response: bytes, or events that were parsed elsewhere, written out again."""

    status = 200
    headers: Mapping[str, str] = {}

    def __init__(self, source: AsyncIterable[bytes] | AsyncIterable[ServerSentEvent]) -> None:
        self._items: AsyncIterator[bytes | ServerSentEvent] = aiter(source)

    async def read(self) -> bytes:
        """The next bytes that are not empty; b"" at the end."""
        async for item in self._items:
            if not isinstance(item, ServerSentEvent):
                if item:
                    return item
            elif item.data:
                event = "" if item.event == "message" else item.event.replace("\0", "\ufffd")
                return sse.encode(item.data.encode("utf-8", "replace"), event=event)
        return b""

    async def close(self) -> None:
        """Close the source, if it can be closed."""
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await close_iterator(self._items)
