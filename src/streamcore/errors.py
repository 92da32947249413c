"""The exceptions.

    Exception
    └── Error
        ├── LocalError          the caller's mistake; nothing was sent
        └── StreamFailed        the other side's fault, or the road's; carries the `Failure`
            └── FramingError    raised by a framing on its own; also carries the frames before the fault

Every one of them pickles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .events import Failure
    from .frames import Frame

__all__ = ["Error", "FramingError", "LocalError", "StreamFailed"]


class Error(Exception):
    """Whatever streamcore raises on purpose."""


class LocalError(Error):
    """A mistake on this side: a request that cannot be sent as it is, an adapter that does not exist."""


class StreamFailed(Error):  # noqa: N818 - says what happened
    """A stream ended in a `Failure`. Everything that came before it has been delivered."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure

    def __str__(self) -> str:
        failure = self.failure
        status = "" if failure.status is None else f", HTTP {failure.status}"
        detail = "" if failure.detail is None else f" ({failure.detail})"
        return f"{failure.kind}{detail}{status}: {failure.message}"


class FramingError(StreamFailed):
    """A body broke its framing. `frames` are those that were complete before."""

    def __init__(self, failure: Failure, frames: Sequence[Frame] = ()) -> None:
        super().__init__(failure)
        self.frames = list(frames)

    def __reduce__(self) -> tuple[type[FramingError], tuple[Failure, list[Frame]]]:
        return type(self), (self.failure, self.frames)
