"""How long a stream may take, and what of that has passed."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

from .errors import LocalError
from .events import Failure, is_content

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .events import Event

__all__ = ["Deadlines", "Watch"]

_MISSED: Final = {
    "first_token": "no content came",
    "idle": "no more content came",
    "total": "the answer did not end",
}


class Deadlines(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How long a stream may take, in seconds; None for as long as it likes.

    `connect`: until there is a connection: name, TCP and TLS. `first_token`: from opening the stream to its first
    content. `idle`: between two pieces of content, and before the first where `first_token` is not set. `total`: from
    opening the stream to its end, the consumer's time included. Content is text, reasoning, a call, a citation, an
    attachment; pings, comments, role deltas and empty deltas are not. The one that ran out is `Failure.detail`.

    Raises:
        LocalError: One is not above 0.
    """

    connect: float | None = None
    first_token: float | None = None
    idle: float | None = None
    total: float | None = None

    def __post_init__(self) -> None:
        for name, seconds in structs.asdict(self).items():
            if seconds is not None and not seconds > 0:
                raise LocalError(f"a deadline is a number of seconds above 0, not {name}={seconds!r}")

    def over(self, others: Deadlines) -> Deadlines:
        """These, and of the others what these leave open."""
        return Deadlines(**{**_given(others), **_given(self)})


def _given(deadlines: Deadlines) -> dict[str, float]:
    return {name: seconds for name, seconds in structs.asdict(deadlines).items() if seconds is not None}


class Watch:
    """What the deadlines of one open stream say, at the times they are told of."""

    __slots__ = ("_deadlines", "_end", "_name", "_patience", "_silent", "_told")

    def __init__(self, deadlines: Deadlines, opened: float) -> None:
        self._deadlines = deadlines
        self._end = inf if deadlines.total is None else opened + deadlines.total
        self._name = "idle" if deadlines.first_token is None else "first_token"
        self._patience: float = getattr(deadlines, self._name) or inf
        self._silent = self._told = opened  # since when there is silence, the consumer's own time taken off

    def asked(self, now: float) -> None:
        """The consumer wants more, and waits from now on; what has passed since it was told something was its own time."""
        self._silent += now - self._told
        self._told = now

    def came(self, events: Iterable[Event], now: float) -> Failure | None:
        """These events came; the failure that it is by now, if a deadline has passed all the same."""
        self._told = now
        if any(map(is_content, events)):
            self._silent = now
            self._name, self._patience = "idle", self._deadlines.idle or inf
        return self.overdue(now)

    def due(self) -> float:
        """When the next deadline is due, if nothing comes; inf for never again."""
        return min(self._end, self._silent + self._patience)

    def overdue(self, now: float) -> Failure | None:
        """The deadline that has passed, as a failure."""
        if now < self._end and now < self._silent + self._patience:
            return None
        name = "total" if self._end <= self._silent + self._patience else self._name
        seconds: float = getattr(self._deadlines, name)
        return Failure("timeout", f"{_MISSED[name]} within {seconds:g} s", detail=name)
