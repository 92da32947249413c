"""A server for `test_http`, a process of its own: answers every request with the same bytes, prepared in advance.

    python -m benchmarks.loopback openai_chat

prints the port it listens on. Each event of the answer is a chunk of HTTP/1.1; all are sent at once. Ends with its
standard input.
"""

from __future__ import annotations

import socket
import sys
import threading

from .transcripts import transcript


def main(wire: str) -> None:
    """Serve until nobody is there to read the port."""
    chunks = (b"%x\r\n%b\r\n" % (len(event), event) for event in transcript(wire).events)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    answer = b"".join([head, *chunks, b"0\r\n\r\n"])
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listener, answer), daemon=True).start()
    print(listener.getsockname()[1], flush=True)  # noqa: T201 - how the port is found
    sys.stdin.read()


def _accept(listener: socket.socket, answer: bytes) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve, args=(connection, answer), daemon=True).start()


def _serve(connection: socket.socket, answer: bytes) -> None:
    reading = connection.makefile("rb")
    size = 0
    while line := reading.readline():
        if line[:15].lower() == b"content-length:":
            size = int(line[15:])
        elif line == b"\r\n":
            reading.read(size)
            size = 0
            connection.sendall(answer)


if __name__ == "__main__":
    main(sys.argv[1])
