"""How a request reaches a provider from a plain thread: `streamcore.transport`, with httpx's blocking client.

What is the same is taken from there. What differs: a socket that blocks is woken by shutting it down from another thread,
which is what a deadline and `Stream.cancel` do. Until TCP is connected, and while headers are awaited on a connection
that is used again, httpx shows no socket: then deadlines are its timeouts, and a cancellation is seen when that is done.
"""

from __future__ import annotations

import os
import socket
import weakref
from collections import deque
from contextlib import ExitStack, suppress
from functools import partial
from math import inf
from threading import Event, Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from streamcore.client_errors import failure_of
from streamcore.errors import LocalError, StreamFailed
from streamcore.events import Failure
from streamcore.transport import CONCURRENCY, new_client
from streamcore.waiting import BLOCKING, GRACE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx
    import httpx2

    from streamcore.request import HTTPRequest
    from streamcore.transport import Response
    from streamcore.waiting import ThreadsWait

    Client: TypeAlias = httpx.Client | httpx2.Client

__all__ = ["HTTPX"]


class _Slots:
    """Places for so many; the rest wait their turn in order, and may be woken before it."""

    def __init__(self, number: int) -> None:
        self._lock = Lock()
        self._queue: deque[Event] = deque()
        self.free = number

    def take(self, wait: ThreadsWait) -> None:
        turn = Event()
        with self._lock:
            if self.free:
                self.free -= 1
                return
            self._queue.append(turn)
        try:
            wait.hold(turn.set)
            turn.wait()
        except BaseException:
            if not self._leave(turn):
                self.give_back()
            raise
        finally:
            wait.let_go()
        if self._leave(turn):
            raise StreamFailed(Failure("cancelled", "the stream was ended while it waited for its turn"))

    def _leave(self, turn: Event) -> bool:
        """Whether it leaves the queue before it had its turn."""
        with self._lock:
            with suppress(ValueError):
                self._queue.remove(turn)
                return True
            return False

    def give_back(self) -> None:
        with self._lock:
            if self._queue:
                self._queue.popleft().set()
            else:
                self.free += 1


class _Lane:
    """What belongs to one process: connections must not be shared with a child."""

    def __init__(self, client: Client, concurrency: int) -> None:
        self.process = os.getpid()
        self.client = client
        self.slots = _Slots(concurrency)


class HTTPX:
    """Sends requests with the blocking client of httpx or httpx2, for streams of `streamcore.sync`.

    Without a `client` it makes one itself, of httpx2 where that is installed, without a limit on connections; `close`
    (or `with`) closes it, and so does being dropped, or the end of the process. A client given stays the caller's to
    close. At most `concurrency` streams are open at once; the rest wait their turn in order. Threads may share it.
    """

    def __init__(self, client: Client | None = None, *, concurrency: int = CONCURRENCY) -> None:
        self._client = client
        self._concurrency = concurrency
        self._lock = Lock()
        self._made: _Lane | None = None

    async def open(self, request: HTTPRequest, /, *, connect: float | None = None) -> Response:
        """Send the request as it is; return when the headers are there. Blocks; never suspends.

        `connect` is the seconds for a new connection, each address of the name by itself; None for the client's own.

        Raises:
            StreamFailed: There is no answer; a `Failure` of kind connection, protocol or timeout.
            LocalError: It is used in an event loop, which it would block.
        """
        wait = BLOCKING.get()
        if wait is None:
            raise LocalError("a transport that blocks is for streamcore.sync alone, and for endpoints it gets directly")
        lane = self._lane()
        lane.slots.take(wait)
        try:
            return _Road(lane, wait, connect).send(request)
        except BaseException:
            wait.let_go()
            lane.slots.give_back()
            raise

    def _lane(self) -> _Lane:
        lane = self._made
        if lane is None or lane.process != os.getpid():
            with self._lock:
                lane = self._made
                if lane is None or lane.process != os.getpid():
                    lane = self._made = _Lane(self._client or self._new_client(), self._concurrency)
        return lane

    def _new_client(self) -> Client:
        client: Client = new_client("Client")
        weakref.finalize(self, client.close)
        return client

    def close(self) -> None:
        """Close the client, if it was made here."""
        lane, self._made = self._made, None
        if lane is not None and self._client is None:
            lane.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Road:
    """One request on its way, and the connection it gets."""

    def __init__(self, lane: _Lane, wait: ThreadsWait, connect: float | None) -> None:
        self._lane = lane
        self._client: Any = lane.client  # the two libraries' types differ in name alone
        self._wait = wait
        self._connect = connect
        self._late = inf  # when the connection should have been made
        self._connecting = ExitStack()
        self._network: Any = None
        self._timeouts: dict[str, float | None] = self._client.timeout.as_dict()
        self._read = self._timeouts["read"]

    def send(self, request: HTTPRequest) -> _HTTPXResponse:
        limits = {"connect": self._connect or inf, "read": inf, "write": inf}
        for name, seconds in limits.items():
            least = min(seconds, self._timeouts[name] or inf, self._wait.left() + GRACE)
            self._timeouts[name] = None if least == inf else least
        message = self._client.build_request(
            request.method,
            request.url,
            headers=dict(request.headers),
            content=request.body,
            extensions={"trace": self._note, "timeout": self._timeouts},
        )
        try:
            response = self._client.send(message, stream=True, follow_redirects=False, auth=None)
        except BaseException as error:
            self._connecting.close()
            if self._network is not None:
                self._network.close()
            failure = failure_of(error, headers=False) if isinstance(error, Exception) else None
            if failure is None:
                raise
            if monotonic() >= self._late:
                message = f"no connection was made within {self._connect:g} s"
                failure = Failure("timeout", message, detail="connect")
            cause = None if failure.kind == "invalid" else error  # what refuses a header shows it, and so the key
            raise StreamFailed(failure) from cause
        self._timeouts["read"] = self._read  # from here on there is a socket that an alarm can shut down
        return _HTTPXResponse(response, self._lane.slots, self._wait)

    def _note(self, name: str, info: Mapping[str, Any]) -> None:
        """What httpx says of its steps: the connection that is made, and that it has been."""
        if name == "connection.connect_tcp.started" and self._connect is not None and self._late == inf:
            self._late = monotonic() + self._connect
            self._connecting.enter_context(self._wait.at_most(self._connect))
        elif name == "connection.connect_tcp.complete":
            self._network = info["return_value"]
            twin = self._connecting.enter_context(_socket(self._network).dup())  # TLS takes the descriptor away from it
            self._wait.hold(partial(_shut, twin))
        elif name == "connection.start_tls.complete":
            self._network = info["return_value"]
        elif name.endswith(".send_request_headers.started"):
            if self._network is not None:
                self._wait.hold(partial(_shut, _socket(self._network)))
            self._connecting.close()
            self._late = inf


class _HTTPXResponse:
    def __init__(self, response: Any, slots: _Slots, wait: ThreadsWait) -> None:
        self._response = response
        self._slots: _Slots | None = slots
        self._wait = wait
        self._network: Any = response.extensions.get("network_stream")
        self._body: Iterator[bytes] = iter(response.stream)
        self._ended = False
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        if self._network is not None:
            wait.hold(partial(_shut, _socket(self._network)))

    async def read(self) -> bytes:
        try:
            data = next(self._body, b"")
        except Exception as error:
            failure = failure_of(error, headers=True)
            if failure is None:
                raise
            raise StreamFailed(failure) from error
        self._ended = not data
        return data

    async def close(self) -> None:
        slots, self._slots = self._slots, None
        if slots is None:
            return
        slots.give_back()
        self._wait.let_go()
        if self._network is not None and not self._ended:
            self._network.close()
        self._response.close()


def _socket(network: Any) -> socket.socket:
    found: socket.socket = network.get_extra_info("socket")
    return found


def _shut(connection: socket.socket) -> None:
    """Wake whoever reads from a connection or writes to it; the descriptor stays theirs to close."""
    with suppress(OSError):  # it is closed already
        socket.socket.shutdown(
            connection, socket.SHUT_RDWR
        )  # a TLS socket's own would forget its keys under the reader
