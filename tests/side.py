"""What the tests of tracked clients share: servers in memory for httpx and httpx2."""

from __future__ import annotations

import anyio
import httpx
import httpx2

LIBRARIES = {"httpx": httpx, "httpx2": httpx2}
SSE = {"content-type": "text/event-stream"}


class Answer:
    """What is answered: chunks, then `error` if there is one, or nothing more and no end (`hangs`).

    `failure` comes instead of an answer, and `mute` is neither. `cancel` is called when it begins to wait for ever.
    """

    def __init__(
        self, chunks=(), *, status=200, headers=SSE, error=None, hangs=False, failure=None, extensions=None, mute=False
    ):
        self.chunks = list(chunks)
        self.status = status
        self.headers = headers
        self.error = error
        self.hangs = hangs
        self.failure = failure
        self.mute = mute
        self.cancel = None
        self.extensions = {"http_version": b"HTTP/1.1", "odd": object()} if extensions is None else extensions


class Served:
    """What happened to a server in memory: the requests it got, and how many bodies were closed."""

    def __init__(self):
        self.requests = []
        self.closed = 0
        self.transport_closed = 0
        self.entered = 0


def client(library, answer, *, sync, **options):
    """A client of this library for which every answer is this one, or what it gives for the request; and what it served."""
    served = Served()

    def answer_to(request):
        body = getattr(request, "_content", None)  # one that follows a redirect has only a stream
        served.requests.append((request.method, str(request.url), dict(request.headers.items()), body))
        found = answer(request) if callable(answer) else answer
        if found.failure is not None:
            raise found.failure
        return found

    def response(found, body):
        return library.Response(
            found.status, headers=found.headers, stream=body(found, served), extensions=found.extensions
        )

    class Body(library.SyncByteStream):
        def __init__(self, found, served):
            self.found = found
            self.left = iter(found.chunks)  # who comes a second time gets the rest, as from a socket

        def __iter__(self):
            yield from self.left
            if self.found.error is not None:
                raise self.found.error

        def close(self):
            served.closed += 1

    class AsyncBody(library.AsyncByteStream):
        def __init__(self, found, served):
            self.found = found
            self.left = iter(found.chunks)

        async def __aiter__(self):
            for chunk in self.left:
                await anyio.lowlevel.checkpoint()
                yield chunk
            if self.found.hangs:
                self.found.cancel()
                await anyio.sleep_forever()
            if self.found.error is not None:
                raise self.found.error

        async def aclose(self):
            served.closed += 1

    class Transport(library.BaseTransport):
        def handle_request(self, request):
            return response(answer_to(request), Body)

        def close(self):
            served.transport_closed += 1

        def __enter__(self):
            served.entered += 1
            return self

    class AsyncTransport(library.AsyncBaseTransport):
        async def handle_async_request(self, request):
            found = answer_to(request)
            if found.mute:
                found.cancel()
                await anyio.sleep_forever()
            return response(found, AsyncBody)

        async def aclose(self):
            served.transport_closed += 1

        async def __aenter__(self):
            served.entered += 1
            return self

    made = (
        library.Client(transport=Transport(), **options)
        if sync
        else library.AsyncClient(transport=AsyncTransport(), **options)
    )
    return made, served
