"""A server for `test_many` and `test_flow_burst`, a process of its own: many answers at once, an event every so often.

    python -m benchmarks.paced 1000 50 0.02

prints the port it listens on. Whenever so many requests have come it answers all of them, with so many events so many
seconds apart, each connection at its own place in that time. The words of an event are
the time at which it was sent, by the clock that all processes share. Ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time

SLICES = 20  # of the time between two events of one answer: connections are served in so many groups
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = (
    b'data: {"id":"c-1","object":"chat.completion.chunk","created":1766394480,"model":"model",'
    b'"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":%b}]}\n\n'
)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST = chunk(EVENT % (b"", b'"stop"')) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """A client that asks once more when it has its answer."""

    def __init__(self, waiting: asyncio.Queue[asyncio.Transport]) -> None:
        self._waiting = waiting
        self._received = b""

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        _, _, rest = head.lower().partition(b"content-length:")
        if found and len(body) >= int(rest.partition(b"\r")[0] or 0):
            self._received = b""
            self._transport.write(HEAD)
            self._waiting.put_nowait(self._transport)


async def pace(transports: list[asyncio.Transport], events: int, gap: float) -> None:
    """The answers, beside each other."""
    groups = [transports[at::SLICES] for at in range(SLICES)]
    start = time.monotonic()
    for turn in range(events * SLICES):
        await asyncio.sleep(start + turn * gap / SLICES - time.monotonic())
        data = chunk(EVENT % (b"%.6f " % time.monotonic(), b"null"))
        for transport in groups[turn % SLICES]:
            transport.write(data)
    for transport in transports:
        transport.write(LAST)


async def main(streams: int, events: int, gap: float) -> None:
    """Serve until nobody is there to read the port."""
    waiting: asyncio.Queue[asyncio.Transport] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(waiting), "127.0.0.1", 0, backlog=8192)
    ended = asyncio.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(ended.set)), daemon=True).start()
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - how the port is found

    async def serve(group: asyncio.TaskGroup) -> None:
        while True:
            group.create_task(pace([await waiting.get() for _ in range(streams)], events, gap))

    async with asyncio.TaskGroup() as group:
        task = group.create_task(serve(group))
        await ended.wait()
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
