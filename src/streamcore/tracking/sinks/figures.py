"""What of a record is counted, and under which labels: for the sinks that make metrics of records.

A metric has a time series for each combination of its labels, for ever. What callers choose (models, tags) may be
endless, so there is a limit on both: see `Bounded`.
"""

from __future__ import annotations

import math
from threading import Lock
from typing import TYPE_CHECKING, Final

from streamcore.events import Failure
from streamcore.tracking.providers import provider_of
from streamcore.tracking.record import AttemptRecord, Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from decimal import Decimal

    from streamcore.tracking.record import Context, Cost, Record

__all__ = ["Bounded", "amounts", "attempts_of", "error_type", "label", "seconds", "shown"]

LONGEST: Final = 128  # characters of a label
COMBINATIONS: Final = 10  # times the limit of values


def attempts_of(record: Record) -> tuple[AttemptRecord, ...]:
    """Its attempts; of a stream that asked nobody we know of, one that is the whole stream."""
    if record.attempts:
        return record.attempts
    tokens = Tokens(usage=record.usage, sources=record.usage_sources)
    alone = AttemptRecord(
        origin=record.origin,
        answered_by=record.answered_by,
        status=record.status,
        outcome=record.outcome,
        chosen=True,
        tokens=tokens,
        cost=record.costs,
    )
    return (alone,)


def amounts(cost: Cost) -> Iterator[tuple[str, float]]:
    """What is `known` of a cost, and what is `estimated`: each if it is a sum that can be added."""
    parts: tuple[tuple[str, Decimal | None], ...] = (("known", cost.known), ("estimated", cost.estimated))
    for provenance, amount in parts:
        if amount is not None and amount.is_finite() and amount >= 0:
            yield provenance, float(amount)


def error_type(outcome: object, status: str) -> str | None:
    """What went wrong, in one of a few words: a failure's kind, or `lost`. None if nothing did.

    A stream that its reader left has not failed; one that the provider cancelled has.
    """
    if isinstance(outcome, Failure):
        ours = outcome.kind == "cancelled" and outcome.status is None
        return None if ours else outcome.kind
    return "lost" if status == "LOST" else None


def label(name: str, what: Record | AttemptRecord, context: Context) -> str | None:
    """The value of a label: of a stream or one of its attempts, of what it is for, or of its tag of that name."""
    origin = what.origin
    match name:
        case "provider":
            return provider_of(origin)
        case "adapter" | "model" | "host":
            asked: str | None = getattr(origin, name, None)
            return asked
        case "answered_by":
            return what.answered_by
        case "feature" | "user" | "conversation_id":
            said: str | None = getattr(context, name)
            return said
        case _:
            return context.tags.get(name)


def shown(value: str | None) -> str:
    """A value that every exporter can write; "" for none."""
    return (value or "")[:LONGEST].encode("utf-8", "replace").decode()


def seconds(value: float | None) -> float | None:
    """A time that can be measured with; None for what is none."""
    return value if value is not None and math.isfinite(value) and value >= 0 else None


class Bounded:
    """Lets through so many values of each label and ten times as many combinations; what comes later is `other`.

    It is first come, first served, for as long as the process lives, as are the time series.
    """

    def __init__(self, limit: int, other: str) -> None:
        self._limit = limit
        self._other = other
        self._values: dict[int, set[str]] = {}
        self._combinations: set[tuple[str, ...]] = set()
        self._lock = Lock()

    def __call__(self, values: Sequence[str | None]) -> tuple[str, ...]:
        """The values, or `other` in the place of those that are too many."""
        with self._lock:
            found = tuple([self._one(place, shown(value)) for place, value in enumerate(values)])
            if found not in self._combinations:
                if len(self._combinations) >= self._limit * COMBINATIONS:
                    return tuple([self._other] * len(found))
                self._combinations.add(found)
            return found

    def _one(self, place: int, value: str) -> str:
        known = self._values.setdefault(place, {""})
        if value in known:
            return value
        if len(known) > self._limit:
            return self._other
        known.add(value)
        return value
