"""A stream as something simpler: its words, or the JSON that it says. Classes, not generators: leaving one leaves nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .events import TextDelta
from .partial import Partials

if TYPE_CHECKING:
    from .events import Event
    from .partial import Partial

__all__ = ["Documents", "Words"]


class _Readable(Protocol):
    async def __anext__(self) -> Event: ...

    def __aiter__(self) -> _Readable: ...

    async def read(self) -> list[Event]: ...


class Words:
    """The text of a stream's `TextDelta`s."""

    def __init__(self, stream: _Readable) -> None:
        self._stream = stream

    def __aiter__(self) -> Words:
        return self

    async def __anext__(self) -> str:
        async for event in self._stream:
            if type(event) is TextDelta:
                return event.text
        raise StopAsyncIteration


class Documents:
    """What a stream's events say as JSON, each document as often as it grew."""

    def __init__(self, stream: _Readable) -> None:
        self._stream = stream
        self._documents = Partials()
        self._changed: list[Partial] = []

    def __aiter__(self) -> Documents:
        return self

    async def __anext__(self) -> Partial:
        while not self._changed:
            events = await self._stream.read()
            if not events:
                raise StopAsyncIteration
            self._changed = self._documents.feed(events)[::-1]
        return self._changed.pop()
