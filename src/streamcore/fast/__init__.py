"""A faster transport: HTTP/1.1 on asyncio's own connections, parsed by llhttp (the extra `streamcore[fast]`).

Most of what an event costs over `HTTPX` is spent in httpx: its parser is Python, it hands over each chunk of HTTP by
itself, and its pool looks at every connection for every request. Here the parser is httptools, which uvicorn uses, all
that one read brought is handed over together, and the pool is a table. An event costs a fifth, a request with a thousand
streams open a hundredth. The numbers, and what else was tried (aiohttp, httpx-aiohttp, pyreqwest), are in docs/speed.md.

What it gains from having no client between itself and the socket:

* What came before a fault is delivered before it; aiohttp forgets what it holds when a connection breaks.
* A connection is closed without an await, so no second cancellation can come before that.
* The `connect` deadline covers the name, TCP and TLS together.
* A server that closes an idle connection is noticed at once; a request is not sent into it.

It speaks HTTP/1.1 alone, knows no proxy, and trusts whom httpx trusts. On trio it is `HTTPX`.
"""

from __future__ import annotations

import asyncio
import ssl
from importlib import import_module
from socket import SOCK_STREAM, gaierror
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import uuid4

import anyio
from anyio.lowlevel import RunVar

from streamcore.errors import LocalError, StreamFailed
from streamcore.events import Failure
from streamcore.transport import CONCURRENCY, CONNECT_SECONDS, HTTPX

from .connection import Answer, Connection, Pool
from .head import written

if TYPE_CHECKING:
    from socket import socket

    import httptools

    from streamcore.request import HTTPRequest
    from streamcore.transport import Response

    from .head import Address

__all__ = ["Fast"]

STAGGER_SECONDS: Final = 0.25  # between attempts at a name's addresses: RFC 8305 section 8


class Fast:
    """Sends requests over HTTP/1.1, at a fraction of what httpx costs. Made on asyncio; on trio, httpx does the work.

    Used by one event loop after another or by several, it has connections for each; `aclose` (or `async with`) closes
    those of the one that runs. At most `concurrency` streams are open at once; the rest wait their turn in order.

    Raises:
        LocalError: The extra is not installed.
    """

    def __init__(self, *, concurrency: int = CONCURRENCY) -> None:
        try:
            self._parser = import_module("httptools").HttpResponseParser
            self._dial = import_module("aiohappyeyeballs").start_connection
        except ImportError as error:
            raise LocalError("the fast transport is an extra: pip install 'streamcore[fast]'") from error
        self._concurrency = concurrency
        self._lane: RunVar[_Lane | HTTPX] = RunVar(f"streamcore.Fast-{uuid4()}")

    async def open(self, request: HTTPRequest, /, *, connect: float | None = None) -> Response:
        """Send the request as it is; return when the headers are there.

        `connect` is the seconds that a new connection may take, from the name to the end of TLS; None for 10.

        Raises:
            StreamFailed: There is no answer; a `Failure` of kind connection, protocol, timeout or invalid.
        """
        lane = self._lane.get(None)
        if lane is None:
            if anyio.get_cancelled_exc_class() is asyncio.CancelledError:
                lane = _Lane(self._parser, self._dial, self._concurrency)
            else:
                lane = HTTPX(concurrency=self._concurrency)
            self._lane.set(lane)
        return await lane.open(request, connect=connect)

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        lane = self._lane.get(None)
        if lane is not None:
            await lane.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class _Lane:
    """What belongs to one run of an event loop: its connections, and whose turn it is."""

    def __init__(self, parser: type[httptools.HttpResponseParser], dial: Any, concurrency: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = Pool(parser)
        self.slots = anyio.Semaphore(concurrency, fast_acquire=True)  # in order all the same
        self._dial = dial
        self._tls: ssl.SSLContext | None = None

    async def open(self, request: HTTPRequest, /, *, connect: float | None = None) -> Response:
        await self.slots.acquire()
        try:
            address, head = written(request)
            seconds = CONNECT_SECONDS if connect is None else connect
            connection = self._pool.take(address) or await self._connect(address, seconds)
            await connection.ask(head + request.body)
        except BaseException:
            self.slots.release()
            raise
        return Answer(connection, self.slots)

    async def _connect(self, address: Address, seconds: float) -> Connection:
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                sock = await self._reach(address)
                try:
                    _, connection = await self._loop.create_connection(
                        lambda: Connection(self._pool, address),
                        sock=sock,
                        ssl=self._context() if address.tls else None,
                        server_hostname=address.host if address.tls else None,
                    )
                except BaseException:
                    sock.close()
                    raise
        except OSError as error:
            late = Failure("timeout", f"no connection was made within {seconds:g} s", detail="connect")
            raise StreamFailed(late if limit.expired() else _not_connected(error)) from error
        if connection.closing:
            raise StreamFailed(Failure("connection", "the server closed the connection at once", detail="closed"))
        self._pool.add(connection)
        return connection

    async def _reach(self, address: Address) -> socket:
        """A TCP connection to the first address of the name that answers."""
        task = asyncio.current_task()
        assert task is not None
        cancelled = task.cancelling()
        found = await self._loop.getaddrinfo(address.host, address.port, type=SOCK_STREAM)
        sock: socket = await self._dial(found, happy_eyeballs_delay=STAGGER_SECONDS, loop=self._loop)
        if task.cancelling() > cancelled:  # it may swallow a cancellation while it stops its other attempts
            sock.close()
            raise asyncio.CancelledError
        return sock

    def _context(self) -> ssl.SSLContext:
        """To trust whom httpx trusts; made once, since that takes milliseconds."""
        if self._tls is None:
            tls: ssl.SSLContext = import_module("httpx").create_ssl_context()
            tls.set_alpn_protocols(["http/1.1"])
            self._tls = tls
        return self._tls

    async def aclose(self) -> None:
        self._pool.abort()
        await asyncio.sleep(0)  # the turn in which the loop lets go of the sockets


def _not_connected(error: OSError) -> Failure:
    detail = "unreachable"
    if isinstance(error, gaierror):
        detail = "dns"
    elif isinstance(error, ssl.SSLError):
        detail = "tls"
    elif isinstance(error, ConnectionRefusedError):
        detail = "refused"
    retry = False if detail == "tls" else None
    return Failure("connection", f"cannot connect: {error}", detail=detail, should_retry=retry)
