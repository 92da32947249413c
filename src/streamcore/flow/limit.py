"""No more than so many streams at once."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import anyio
from anyio.lowlevel import RunVar

from streamcore.errors import LocalError, StreamFailed
from streamcore.events import Failure
from streamcore.stream import Stream

from .choice import Choice

if TYPE_CHECKING:
    from streamcore.endpoint import Model
    from streamcore.request import Request

__all__ = ["limit"]


class _Place:
    """One stream's place among those that may be open: taken once, given back once."""

    def __init__(self, slots: anyio.Semaphore) -> None:
        self._slots = slots
        self._taken = False

    async def take(self) -> None:
        await self._slots.acquire()
        self._taken = True

    def give_back(self) -> None:
        if self._taken:
            self._taken = False
            self._slots.release()


class _Limit:
    def __init__(self, model: Model, concurrency: int, waiting: int | None) -> None:
        self._model = model
        self._concurrency = concurrency
        self._waiting = waiting
        self._slots: RunVar[anyio.Semaphore] = RunVar(f"streamcore.limit-{uuid4()}")  # of each event loop its own

    def stream(self, request: Request, /) -> Stream:
        """The stream of the model, opened when there is room."""
        place: _Place | None = None

        async def choose(choice: Choice) -> Stream:
            nonlocal place
            slots = self._slots.get(None)
            if slots is None:
                slots = anyio.Semaphore(self._concurrency)
                self._slots.set(slots)
            if slots.value == 0 and self._waiting is not None and slots.statistics().tasks_waiting >= self._waiting:
                message = f"{self._concurrency} streams are open, and {self._waiting} wait already"
                raise StreamFailed(Failure("overloaded", message, detail="limit"))
            place = _Place(slots)
            await place.take()
            return await choice.enter(self._model.stream(request))

        def leave() -> None:
            if place is not None:
                place.give_back()

        return Stream(Choice(choose, leave))


def limit(model: Model, concurrency: int, *, waiting: int | None = None) -> Model:
    """A model of which at most `concurrency` streams are open at once; the others wait for a place, first come first served.

    At most `waiting` of them wait (None for any number, 0 for none); the next fails at once, with a `Failure` of kind
    `overloaded` and detail `limit`. A place is given back when its stream is left. The limit is for each event loop.

    Raises:
        LocalError: `concurrency` is below 1, or `waiting` below 0.
    """
    if concurrency < 1 or (waiting is not None and waiting < 0):
        raise LocalError(f"a limit is at least 1, and nobody or somebody waits, not {concurrency=}, {waiting=}")
    return _Limit(model, concurrency, waiting)
