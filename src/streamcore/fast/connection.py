"""One connection of HTTP/1.1: what is written to it, and what the parser makes of what comes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from streamcore.errors import StreamFailed
from streamcore.events import Failure
from streamcore.transport import READ_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import anyio
    import httptools

    from .head import Address

__all__ = ["Answer", "Connection", "Pool"]

KEEP_SECONDS: Final = 15.0  # how long an unused connection is kept: aiohttp's number; httpx has 5
HELD_BYTES: Final = 64 * 1024  # of a body that nobody reads, before the socket is not read either; and of headers
GRACE: Final = 0.02  # seconds for a loop that was busy to hand over what has arrived, before silence is declared


class Pool:
    """The connections of one event loop. Taking one costs the same however many there are."""

    def __init__(self, parser: type[httptools.HttpResponseParser]) -> None:
        self.parser = parser
        self._all: set[Connection] = set()
        self._idle: dict[Address, dict[Connection, None]] = {}  # ordered sets: the last one used is taken first

    def add(self, connection: Connection) -> None:
        """One was made, and somebody has it: uvloop does not tell one that nobody got that it is closed."""
        self._all.add(connection)

    def keep(self, connection: Connection, address: Address) -> None:
        """One can take another request."""
        self._idle.setdefault(address, {})[connection] = None

    def take(self, address: Address) -> Connection | None:
        """One that can take a request, if there is."""
        idle = self._idle.get(address)
        while idle:
            connection, _ = idle.popitem()
            if not connection.closing:
                return connection
        return None

    def forget(self, connection: Connection, address: Address) -> None:
        """One is closed."""
        self._all.discard(connection)
        self._idle.get(address, {}).pop(connection, None)

    def abort(self) -> None:
        """Close all."""
        for connection in list(self._all):
            connection.abort()


class Connection(asyncio.Protocol):
    """One connection, and the answer that comes over it: the `pieces` of its body, until it is `over`.

    The parser calls the methods named `on_…`; `on_body` is the list's own, with no Python in between.
    """

    def __init__(self, pool: Pool, address: Address) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = pool
        self._address = address
        self._transport: Any = None
        self._waiter: asyncio.Future[None] | None = None
        self._since = 0.0  # when the waiter began to wait
        self._timer: asyncio.TimerHandle | None = None
        self._held = 0  # bytes that came since the last were taken, headers included
        self._paused = False
        self._reusable = False
        self._unbounded = False  # the body ends with the connection
        self.headers: dict[str, str] = {}
        self.status = 0  # once the headers are there
        self.pieces: list[bytes] = []
        self.over = True
        self.failure: Failure | None = None
        self.on_body = self.pieces.append
        self._parser: httptools.HttpResponseParser | None = pool.parser(self)

    async def ask(self, message: bytes) -> None:
        """Send a request; return when the headers of its answer are there."""
        self.status, self.over, self._held = 0, False, 0
        self._set_timer(READ_SECONDS, self._look)
        self._transport.write(message)
        try:
            while not self.status and self.failure is None:
                await self.change()
        except BaseException:
            self.abort()
            raise
        if not self.status and self.failure is not None:
            raise StreamFailed(self.failure)

    def change(self) -> asyncio.Future[None]:
        """Done when something has come, or nothing more will."""
        self._since = self._loop.time()
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def take(self) -> bytes:
        """The pieces that have come, as one."""
        pieces = self.pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._held = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return data

    def release(self) -> None:
        """The answer is done with: keep the connection if it can take another request, else close it."""
        if self.over and self._reusable and not self.pieces and not self.closing:
            self._pool.keep(self, self._address)
            self._set_timer(KEEP_SECONDS, self.abort)
        else:
            self.abort()

    @property
    def closing(self) -> bool:
        """Whether it is closed, or about to be."""
        closing: bool = self._transport.is_closing()
        return closing

    def abort(self) -> None:
        """Close it now, without a goodbye."""
        self._forget()
        self._transport.abort()

    def _forget(self) -> None:
        self._pool.forget(self, self._address)
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self, seconds: float, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, then)

    def _look(self) -> None:
        """Whether the server is silent: looked at when the timer rings, rather than moving it with every byte."""
        left = READ_SECONDS - self._silence()
        self._set_timer(*((left, self._look) if left > 0 else (GRACE, self._give_up)))

    def _give_up(self) -> None:
        if self._silence() < READ_SECONDS:
            self._look()
        else:
            clock = "idle" if self.status else "first_token"
            self._fail(Failure("timeout", f"the server was silent for {READ_SECONDS:g} s", detail=clock))

    def _silence(self) -> float:
        """For how many seconds somebody has been waiting."""
        waiting = self._waiter is not None and not self._waiter.done()
        return self._loop.time() - self._since if waiting else 0.0

    def _fail(self, failure: Failure) -> None:
        """No more will come. What has come is still to be had, and after it this."""
        if not self.over:
            self.over, self.failure = True, failure
        self.abort()
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():  # done: it was cancelled
            waiter.set_result(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except Exception as error:  # noqa: BLE001 - the parser's own, of many kinds
            self._fail(Failure("protocol", f"the answer is not HTTP: {error}", detail="http"))
            return
        self._held += len(data)
        if self._held > HELD_BYTES and not self.over:
            if not self.pieces:
                self._fail(Failure("protocol", f"{self._held} bytes and no body among them", detail="http"))
            else:
                self._paused = True
                self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._parser = None  # it knows this object's methods: a circle otherwise
        if exc is not None:
            failure = Failure("connection", f"the connection broke: {exc or type(exc).__name__}", detail="reset")
        elif not self.status:
            failure = Failure("connection", "the server closed the connection without an answer", detail="closed")
        else:
            failure = Failure("truncated", "the body ended before its announced end", detail="incomplete")
            self.over = self.over or self._unbounded
        self._fail(failure)

    def on_message_begin(self) -> None:
        if self.over:
            raise ValueError("there is more than was asked for")
        self.headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:  # later ones are trailers
            key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status, headers = self._parser.get_status_code(), self.headers
        if status >= 200:  # others announce it
            self.status = status
            self._reusable = self._parser.should_keep_alive()  # the parser does not know any more at the end
            self._unbounded = "content-length" not in headers and "chunked" not in headers.get("transfer-encoding", "")

    def on_message_complete(self) -> None:
        self.over = self.status != 0


class Answer:
    """The response. Its connection is its own until it is closed."""

    def __init__(self, connection: Connection, slots: anyio.Semaphore) -> None:
        self._connection: Connection | None = connection
        self._slots = slots
        self.status = connection.status
        self.headers: Mapping[str, str] = connection.headers

    async def read(self) -> bytes:
        """What came since the last time; b"" at the end.

        Raises:
            StreamFailed: The connection broke, or was silent for too long.
        """
        connection = self._connection
        if connection is None:
            return b""
        while not connection.pieces:
            if connection.over:
                if connection.failure is not None:
                    raise StreamFailed(connection.failure)
                return b""
            await connection.change()
        return connection.take()

    async def close(self) -> None:
        """Let go of the connection. Without an await, so nothing comes in between."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._slots.release()
            connection.release()
