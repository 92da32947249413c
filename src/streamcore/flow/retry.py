"""The same model once more, as long as nothing of the answer was given."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import anyio

from streamcore.errors import LocalError, StreamFailed
from streamcore.stream import Stream

from .choice import Choice

if TYPE_CHECKING:
    from streamcore.endpoint import Model
    from streamcore.events import Failure
    from streamcore.request import Request

__all__ = ["retry"]

LONGEST_WAIT: Final = 60.0  # seconds; providers have asked for days


class _Retry:
    def __init__(self, model: Model, *, attempts: int, seconds: float | None, backoff: float) -> None:
        self._model = model
        self._attempts = attempts
        self._seconds = seconds
        self._backoff = backoff

    def stream(self, request: Request, /) -> Stream:
        """The stream of the first attempt that has content."""
        return Stream(Choice(lambda choice: self._choose(choice, request)))

    async def _choose(self, choice: Choice, request: Request) -> Stream:
        give_up = None if self._seconds is None else anyio.current_time() + self._seconds
        for attempt in range(1, self._attempts):
            try:
                return await choice.begin(self._model.stream(request))
            except StreamFailed as error:
                wait = self._wait(error.failure, attempt)
                late = give_up is not None and anyio.current_time() + wait >= give_up
                if late or not error.failure.retryable:
                    raise
            await anyio.sleep(wait)
        return await choice.begin(self._model.stream(request))

    def _wait(self, failure: Failure, attempt: int) -> float:
        """Full jitter (anywhere up to the exponential), so that many who failed at once do not come back at once."""
        doubled = self._backoff * 2.0 ** min(attempt - 1, 60)  # beyond that it would be too large for a float one day
        jitter = random.uniform(0, min(doubled, LONGEST_WAIT))  # noqa: S311 - no secret
        return min(max(failure.retry_after or 0.0, 0.0), LONGEST_WAIT) + jitter


def retry(model: Model, *, attempts: int = 3, seconds: float | None = None, backoff: float = 0.5) -> Model:
    """A model that asks `model` again when it fails before the first content of its answer, if that may help.

    What may help is `Failure.retryable`: the provider's own word (`x-should-retry`) or what the kind implies. It waits as
    long as the provider asks, if it does (`retry-after`, `retry-after-ms`; a minute at most), and then a random time of up
    to `backoff` seconds, doubled with each attempt. After `attempts` in all, or when the next would begin later than `seconds` after
    the first, the last failure is raised. A failure after the first content is never retried.

    Raises:
        LocalError: `attempts` is below 1, or `seconds` or `backoff` below 0.
    """
    if attempts < 1 or backoff < 0 or (seconds is not None and seconds < 0):
        raise LocalError(f"retry needs an attempt and no negative time, not {attempts=}, {seconds=}, {backoff=}")
    return _Retry(model, attempts=attempts, seconds=seconds, backoff=backoff)
