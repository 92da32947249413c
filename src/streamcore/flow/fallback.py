"""The next model, as long as nothing of the answer was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from streamcore.errors import LocalError, StreamFailed
from streamcore.stream import Stream

from .choice import Choice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamcore.deadlines import Deadlines
    from streamcore.endpoint import Model
    from streamcore.events import Failure
    from streamcore.request import Request

__all__ = ["fallback"]


class _Fallback:
    def __init__(
        self, models: Sequence[Model], *, when: Callable[[Failure], bool] | None, deadlines: Deadlines | None
    ) -> None:
        self._models = models
        self._when = when
        self._deadlines = {} if deadlines is None else structs.asdict(deadlines)

    def stream(self, request: Request, /) -> Stream:
        """The stream of the first model whose answer has content."""
        return Stream(Choice(lambda choice: self._choose(choice, request)))

    async def _choose(self, choice: Choice, request: Request) -> Stream:
        *others, last = self._models
        for model in others:
            try:
                return await choice.begin(model.stream(request).within(**self._deadlines))
            except StreamFailed as error:
                if self._when is not None and not self._when(error.failure):
                    raise
        return await choice.begin(last.stream(request).within(**self._deadlines))


def fallback(
    *models: Model, when: Callable[[Failure], bool] | None = None, deadlines: Deadlines | None = None
) -> Model:
    """A model that asks each of `models` in turn, until one's answer has content.

    So an overloaded error inside a 200 stream, and a stream that dies after its role delta, still fall through. `when`
    says for which failures; by default for every one, since another provider may well take what this one refuses.
    `deadlines` are for the stream of each model, over its own. Who answered is in `Start`, who was asked in
    `Stream.attempts`; the last failure is raised if none answers.

    Raises:
        LocalError: There is no model.
    """
    if not models:
        raise LocalError("a fallback needs at least one model")
    return _Fallback(models, when=when, deadlines=deadlines)
