"""A loopback HTTP server that answers with raw bytes, cut, paused and broken as a test wants it.

It runs in threads of its own, so the code under test may use any event loop, or none.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Final, Literal, Self, TypeAlias

from msgspec import Struct, field

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Answer", "Endless", "Pause", "ReceivedRequest", "Server", "Step", "head", "serve"]

_PATIENCE: Final = 30.0  # seconds after which a stuck connection is given up, so that a broken test ends


class Pause(Struct, frozen=True):
    """Wait before the next piece. Ends early when the client goes or the server stops."""

    seconds: float


class Endless(Struct, frozen=True):
    """Send this piece again and again, with so many seconds before each, until the client goes or the server stops."""

    piece: bytes
    seconds: float = 0.0


Step: TypeAlias = bytes | Pause | Endless | Literal["reset", "close", "hang", "garble"]


class Answer(Struct, frozen=True):
    """What the server answers. Each piece of `body` is sent by itself.

    `"reset"` breaks the connection with a TCP RST, `"close"` ends it (with a chunked or counted body: too early),
    `"hang"` sends nothing more until the client goes, `"garble"` ends it after a chunk without a size, if there are
    chunks. `framing` is how HTTP delimits the body: in chunks, by `content-length`, by closing the connection, or
    `"raw"`: the body is all that is sent, status line and all.
    """

    body: Sequence[Step] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})
    framing: Literal["chunked", "length", "close", "raw"] = "chunked"


class ReceivedRequest(Struct, frozen=True):
    """What a client sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


Script: TypeAlias = Answer | Callable[[ReceivedRequest], Answer]


class Server:
    """A running server. `requests` are those received, `connections` how many were ever opened."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._changed = threading.Condition()
        self._connections: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self.requests: list[ReceivedRequest] = []
        self.connections = 0
        self._threads[0].start()

    @property
    def url(self) -> str:
        """The server's address, without a slash at its end."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def open_connections(self) -> int:
        """Connections that neither side has closed."""
        with self._changed:
            return len(self._connections)

    def wait_for(self, condition: Callable[[], bool], *, seconds: float = _PATIENCE) -> bool:
        """Wait until the condition holds, looked at whenever something happens; whether it does."""
        with self._changed:
            return self._changed.wait_for(condition, timeout=seconds)

    def close(self) -> None:
        """Stop, and close every connection."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._changed:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(_PATIENCE)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._converse, args=(connection,), daemon=True)
            with self._changed:
                self._connections.add(connection)
                self.connections += 1
                self._changed.notify_all()
            self._threads.append(thread)
            thread.start()

    def _converse(self, connection: socket.socket) -> None:
        with connection:
            reading = connection.makefile("rb")
            try:
                while (request := _read_request(reading)) is not None:
                    with self._changed:
                        self.requests.append(request)
                        self._changed.notify_all()
                    answer = self._script if isinstance(self._script, Answer) else self._script(request)
                    if not self._play(connection, answer):
                        break
            except OSError:
                pass  # the client left, or a script broke the connection
            finally:
                reading.close()
                with self._changed:
                    self._connections.discard(connection)
                    self._changed.notify_all()

    def _play(self, connection: socket.socket, answer: Answer) -> bool:
        """Send an answer; whether the connection can take another."""
        connection.sendall(head(answer))
        for step in answer.body:
            if isinstance(step, bytes):
                connection.sendall(_chunk(answer, step))
            elif isinstance(step, Pause):
                if not _stays(connection, step.seconds):
                    return False
            elif isinstance(step, Endless):
                piece = _chunk(answer, step.piece)
                while not step.seconds or _stays(connection, step.seconds):
                    connection.sendall(piece)
                return False
            elif step == "hang":
                return _stays(connection, _PATIENCE)
            else:
                if step == "garble" and answer.framing == "chunked":
                    connection.sendall(b"no size\r\n")
                elif step == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
        if answer.framing == "chunked":
            connection.sendall(b"0\r\n\r\n")
        return answer.framing in ("chunked", "length")


def serve(script: Script) -> Server:
    """Start a server on a free port of 127.0.0.1; `with` closes it. `script` answers every request, or each by itself."""
    return Server(script)


def _stays(connection: socket.socket, seconds: float) -> bool:
    """Wait; whether the client is still there, seen at once when it leaves."""
    connection.settimeout(max(seconds, 0.001))
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except TimeoutError:
        return True
    except ConnectionError:
        return False
    finally:
        connection.settimeout(_PATIENCE)


def _chunk(answer: Answer, data: bytes) -> bytes:
    """A piece of the body as HTTP delimits it."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data and answer.framing == "chunked" else data


def head(answer: Answer) -> bytes:
    """The status line and the headers, as they are sent."""
    if answer.framing == "raw":
        return b""
    headers = dict(answer.headers)
    if answer.framing == "chunked":
        headers["transfer-encoding"] = "chunked"
    elif answer.framing == "length":
        headers["content-length"] = str(sum(len(step) for step in answer.body if isinstance(step, bytes)))
    else:
        headers["connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {answer.status} Scripted\r\n{lines}\r\n".encode("latin-1")


def _read_request(reading: IO[bytes]) -> ReceivedRequest | None:
    """The next request on a connection; None if the client is done, left in the middle, or speaks something else."""
    words = reading.readline().decode("latin-1").split(" ")
    if len(words) != 3:
        return None
    method, path, _ = words
    headers: dict[str, str] = {}
    while (line := reading.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    size = int(headers.get("content-length", "0"))
    body = reading.read(size)
    return ReceivedRequest(method, path, headers, body) if line and len(body) == size else None
