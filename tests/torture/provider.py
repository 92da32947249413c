"""A provider for hundreds of connections at once: an asyncio server in one thread, that says who is still connected.

What it answers is written in the request, as a `Plan`, so each stream of a test has its own; every word of an answer is
the plan's tag, so an answer that reached another request shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from dataclasses import dataclass
from typing import Literal

PATIENCE = 30.0  # seconds after which a wait is given up, so that a broken test ends
STALLED = 0.1  # seconds without a byte taken after which a write counts as blocked
PIECE = b"data: " + b" " * (64 * 1024 - 20) + b'{"t":"word"}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Plan:
    """So many seconds to the headers, then events so many seconds apart, then the end.

    `flood` sends as much as is taken, and `line` one line that does not end.
    """

    tag: int = 0
    first: float = 0.0
    gap: float = 0.0
    events: int = 3
    end: Literal["done", "hang", "reset", "close", "flood", "line"] = "done"

    def __str__(self) -> str:
        return f"plan {self.tag} {self.first:.6f} {self.gap:.6f} {self.events} {self.end};"

    @classmethod
    def read(cls, body: bytes) -> Plan:
        """The plan in a request's body."""
        found = re.search(rb"plan (\d+) ([\d.]+) ([\d.]+) (\d+) (\w+);", body)
        assert found is not None
        tag, first, gap, events, end = (part.decode() for part in found.groups())
        return cls(int(tag), float(first), float(gap), int(events), end)


class _Connection(asyncio.Protocol):
    """One client. An answer is played by a task that ends with the connection."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._received = b""
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport):
        self._transport = transport
        transport.set_write_buffer_limits(0)  # what is written has been taken by the kernel
        self._writable.set()
        self._provider.note(opened=self)

    def connection_lost(self, error):
        self.resume_writing()
        if self._task is not None:
            self._task.cancel()
        self._provider.note(closed=self)

    def pause_writing(self):
        self._writable.clear()
        self._timer = asyncio.get_running_loop().call_later(STALLED, self._stalled)

    def resume_writing(self):
        self._writable.set()
        if self._timer is not None:
            self._timer.cancel()

    def _stalled(self):
        self._provider.note(stalled=True)

    def data_received(self, data):
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if found and length is not None and len(rest) >= int(length[1]):
            self._received = b""
            self._task = asyncio.get_running_loop().create_task(self._play(Plan.read(rest)))

    async def _play(self, plan: Plan) -> None:
        with contextlib.suppress(ConnectionError):
            self._provider.note(asked=True)
            await asyncio.sleep(plan.first)
            await self._write(HEAD)
            for _ in range(plan.events):
                await self._event(b'{"t":"%d."}' % plan.tag)
                await asyncio.sleep(plan.gap)
            await self._end(plan)

    async def _end(self, plan: Plan) -> None:
        match plan.end:
            case "done":
                await self._event(b'{"n":%d,"end":"done"}' % plan.events)
                await asyncio.sleep(plan.gap)
                await self._write(b"0\r\n\r\n")
            case "reset" | "close":
                (self._transport.abort if plan.end == "reset" else self._transport.close)()
            case "flood" | "line":
                piece = PIECE if plan.end == "flood" else b"data: " + bytes(64 * 1024).replace(b"\0", b"a")
                while True:
                    await self._chunk(piece)
            case _:
                await asyncio.Event().wait()

    async def _event(self, data: bytes) -> None:
        await self._chunk(b"data: %b\n\n" % data)

    async def _chunk(self, data: bytes) -> None:
        await self._write(b"%x\r\n%b\r\n" % (len(data), data))

    async def _write(self, data: bytes) -> None:
        if self._transport.is_closing():
            raise ConnectionResetError
        self._transport.write(data)
        await self._writable.wait()
        self._provider.sent += len(data)

    def abort(self) -> None:
        """Be gone."""
        self._transport.abort()


class Provider:
    """Serves until its `with` is left. `connections` were ever opened, `sent` bytes taken by the clients' side."""

    def __init__(self) -> None:
        self._open: set[_Connection] = set()
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self.connections = 0
        self.requests = 0
        self.stalls = 0
        self.sent = 0

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=4096)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for connection in list(self._open):
            connection.abort()
        while self._open:
            await asyncio.sleep(0)

    def note(self, *, opened=None, closed=None, asked=False, stalled=False):
        """Something happened: who waits looks again."""
        with self._changed:
            if opened is not None:
                self._open.add(opened)
                self.connections += 1
            self._open.discard(closed)
            self.requests += asked
            self.stalls += stalled
            self._changed.notify_all()

    @property
    def open_connections(self) -> int:
        """Those that the client has not closed."""
        with self._changed:
            return len(self._open)

    def wait_for(self, condition) -> bool:
        """Wait until the condition holds, looked at whenever something happens; whether it does."""
        with self._changed:
            return self._changed.wait_for(condition, timeout=PATIENCE)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)
