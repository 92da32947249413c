"""A second model, asked when the first is slow to begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from streamcore.errors import LocalError, StreamFailed
from streamcore.events import Failure
from streamcore.stream import Stream

from .choice import Choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamcore.endpoint import Model
    from streamcore.request import Request

__all__ = ["hedge"]

_OUTRUN: Final = Failure("cancelled", "another model was first", detail="hedge")


class _Race:
    """One race: who has content first. Owns its tasks only until then, inside one call."""

    def __init__(self, choice: Choice, request: Request) -> None:
        self._choice = choice
        self._request = request
        self._group = anyio.create_task_group()
        self._lost = anyio.Event()
        self._winner: Stream | None = None
        self._failures: list[Failure] = []
        self._defects: list[Exception] = []

    async def run(self, models: Sequence[Model], after: float) -> Stream:
        """Start one model after the other, each when the last start was long ago or one has failed; the winner's stream.

        Raises:
            StreamFailed: All have failed; the last failure.
        """
        async with self._group as group:
            for model in models:
                self._lost = anyio.Event()
                group.start_soon(self._begin, model)
                with anyio.move_on_after(after):
                    await self._lost.wait()
        if self._defects:
            raise self._defects[0]
        if self._winner is None:
            raise StreamFailed(self._failures[-1])
        return self._winner

    async def _begin(self, model: Model) -> None:
        """Begin one stream. The first with content ends the race, which cancels the others."""
        try:
            stream = await self._choice.begin(model.stream(self._request))
        except StreamFailed as error:
            self._failures.append(error.failure)
            self._lost.set()
        except Exception as error:  # noqa: BLE001 - raised by whoever waits, and not as a group
            self._defects.append(error)
            self._group.cancel_scope.cancel()
        else:
            if self._winner is None:
                self._winner = stream
                for other in self._choice.streams:
                    if other is not stream:
                        other.settle(_OUTRUN)  # it says why it was cancelled, and not only that it was
                self._group.cancel_scope.cancel()
            else:
                await stream.aclose(drain=False)


class _Hedge:
    def __init__(self, models: Sequence[Model], after: float) -> None:
        self._models = models
        self._after = after

    def stream(self, request: Request, /) -> Stream:
        """The stream whose content comes first."""
        return Stream(Choice(lambda choice: _Race(choice, request).run(self._models, self._after)))


def hedge(*models: Model, after: float) -> Model:
    """A model that asks the first of `models`, and each next one if there is no content `after` so many seconds.

    One that fails is replaced by the next at once. The first with content is the answer; the others are cancelled as soon
    as it has it, and are in `Stream.attempts` with what is known of their usage. If none answers, the last failure is
    raised.

    Raises:
        LocalError: There is no model, or `after` is below 0.
    """
    if not models or after < 0:
        raise LocalError(f"a hedge needs at least one model and no negative time, not {len(models)} and {after=}")
    return _Hedge(models, after)
