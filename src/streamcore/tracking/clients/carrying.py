"""Transports and streams of httpx and httpx2 that are what they hold, and tell a tap what goes through.

Theory of operation. A transport carries requests to the one inside and hands back its very responses. If a request is for
a stream, the response's stream is put inside one that gives the same chunks, or raises the same exceptions, when the tap
has been told. So the client, its pool, its proxies, its hooks and whoever uses it see what they would have seen. The
classes are made for each library when its first client comes: the clients ask for its own kinds.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from .tap import Tap
    from .watch import Watch

__all__ = ["is_ours", "kinds"]


def is_ours(transport: object) -> bool:
    """Whether it is one that tells."""
    return isinstance(transport, _Holder)


@cache
def kinds(name: str) -> tuple[type[Any], type[Any]]:
    """The transports for clients of this library, sync and async: made with the transport that they hold, and a watch."""
    library: Any = import_module(name)
    stream = type("TrackedStream", (_Stream, library.SyncByteStream), {})
    async_stream = type("TrackedAsyncStream", (_AsyncStream, library.AsyncByteStream), {})
    return (
        type("TrackedTransport", (_Transport, library.BaseTransport), {"stream": stream}),
        type("TrackedAsyncTransport", (_AsyncTransport, library.AsyncBaseTransport), {"stream": async_stream}),
    )


class _Holder:
    stream: type[Any]

    def __init__(self, inner: Any, watch: Watch) -> None:
        self._inner = inner
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self).get("_inner"), name)


class _Transport(_Holder):
    def handle_request(self, request: Any) -> Any:
        tap = self._watch.begin(request)
        if tap is None:
            return self._inner.handle_request(request)
        try:
            response = self._inner.handle_request(request)
        except BaseException as error:
            tap.unanswered(error)
            raise
        self._watch.listen(tap, request, response, self.stream)
        return response

    def close(self) -> None:
        self._inner.close()

    def __enter__(self) -> Any:
        self._inner.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._inner.__exit__(*exception)


class _AsyncTransport(_Holder):
    async def handle_async_request(self, request: Any) -> Any:
        tap = self._watch.begin(request)
        if tap is None:
            return await self._inner.handle_async_request(request)
        try:
            response = await self._inner.handle_async_request(request)
        except BaseException as error:
            tap.unanswered(error)
            raise
        self._watch.listen(tap, request, response, self.stream)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def __aenter__(self) -> Any:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._inner.__aexit__(*exception)


class _Stream:
    def __init__(self, inner: Any, tap: Tap) -> None:
        self._inner = inner
        self._tap = tap

    def __iter__(self) -> Iterator[bytes]:
        tap = self._tap
        chunks: Iterator[bytes] = iter(self._inner)
        tap.asked()
        try:
            for chunk in chunks:
                tap.came(chunk)
                yield chunk
                tap.asked()
        except GeneratorExit:
            tap.closed()
            if isinstance(chunks, Generator):  # as `yield from` does, by which the libraries reach it
                chunks.close()
            raise
        except BaseException as error:
            tap.broke(error)
            raise
        tap.exhausted()

    def close(self) -> None:
        self._tap.closed()
        self._inner.close()


class _AsyncStream:
    def __init__(self, inner: Any, tap: Tap) -> None:
        self._inner = inner
        self._tap = tap

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Chunks(aiter(self._inner), self._tap)  # which only the reader holds, as if it were the one inside

    async def aclose(self) -> None:
        self._tap.closed()
        await self._inner.aclose()


class _Chunks:
    """An asynchronous generator, as far as anybody is concerned: httpx2 closes iterators that are one."""

    def __init__(self, chunks: AsyncIterator[bytes], tap: Tap) -> None:
        self._chunks = chunks
        self._generator: Any = chunks if isinstance(chunks, AsyncGenerator) else None
        self._tap = tap

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        tap = self._tap
        tap.asked()
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            tap.exhausted()
            raise
        except BaseException as error:
            tap.broke(error)
            raise
        tap.came(chunk)
        return chunk

    async def aclose(self) -> None:
        self._tap.closed()
        if self._generator is not None:
            await self._generator.aclose()


_generators: Any = AsyncGenerator  # the name that the type checkers know has no `register`
_generators.register(_Chunks)
