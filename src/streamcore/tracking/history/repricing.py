"""Prices history anew, from the usage that was stored with each record.

What a record cost is found again, attempt by attempt, at the prices of the time at which it was made. Where there is no price
now, what was known stays: a price that is gone from a list was not wrong. Nothing else of a record changes.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct, structs

from streamcore.tracking.prices import together
from streamcore.tracking.record import Cost, Record
from streamcore.tracking.sinks.table import COLUMNS

from .queries import ALL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streamcore.tracking.record import AttemptRecord
    from streamcore.tracking.sinks.table import Value

    from .queries import Filters
    from .store import Store

__all__ = ["Repriced", "reprice"]

BATCH: Final = 500  # records a transaction: others who write wait for some 10 ms

_COSTS: Final = ("cost_known_nano", "cost_estimated_nano", "cost_provenance", "currency")
# A `LOST` record may have given way to what it really was since it was read.
_UPDATE: Final = (
    f"UPDATE requests SET {', '.join(f'{name} = ?' for name in _COSTS)}, attempts = ?, record = ? "  # noqa: S608
    "WHERE tracking_id = ? AND status = ?"
)
_EXACT: Final = Context(prec=60)


class Repriced(Struct):
    """What became of the requests to one model that were paid in one currency.

    `changed` have other costs than before, in any part, or by another price list. `unpriced` have no usage, or no price
    was found for some of it: that part keeps what it had. `before` and `after` are what all of them cost together, estimates
    included; None if nothing is known.
    """

    model: str | None
    currency: str
    requests: int = 0
    changed: int = 0
    unpriced: int = 0
    before: Decimal | None = None
    after: Decimal | None = None


def reprice(
    store: Store,
    prices: Callable[[Record], Record],
    filters: Filters = ALL,
    *,
    dry_run: bool = False,
) -> list[Repriced]:
    """Price stored records anew, by `Prices` as a rule, and write down what changes unless it is a `dry_run`.

    Each batch is a transaction, and others may write meanwhile. If it is interrupted, run it again: what is priced
    rightly is not touched. A record in another currency than that of the prices is left as it is.

    Raises:
        LocalError: The store does not answer, or was made by a newer version.
    """
    found: dict[tuple[str | None, str], Repriced] = {}
    for batch in _batches(store, filters):
        changes: list[list[Value]] = []
        for id, status, model, currency, text in batch:
            one = found.setdefault((model, currency), Repriced(model, currency))
            changed = _count(one, text, prices)
            if changed is not None:
                changes.append([*(COLUMNS[name](changed) for name in _COSTS), *_written(text, changed), id, status])
        if changes and not dry_run:
            store.change(_UPDATE, changes)
    return sorted(found.values(), key=lambda one: (one.model is not None, one.model or "", one.currency))


def _batches(store: Store, filters: Filters) -> Iterator[list[tuple[str, str, str | None, str, str]]]:
    """All records that are meant, by their key."""
    where, values = filters.sql(store, "tracking_id > ?")
    question = (
        "SELECT tracking_id, status, model, currency, CAST(record AS TEXT) "  # noqa: S608 - only conditions
        f"FROM requests {where} ORDER BY tracking_id LIMIT {BATCH}"
    )
    last = ""
    while batch := store.ask(question, [last, *values]):
        yield batch
        last = batch[-1][0]


def _count(one: Repriced, text: str, prices: Callable[[Record], Record]) -> Record | None:
    """Add a record to what became of those like it; the record, if it changes."""
    one.requests += 1
    try:
        record = msgspec.json.decode(text, type=Record)
    except msgspec.DecodeError:
        one.unpriced += 1  # written by a version that knew other words
        return None
    new, whole = _repriced(record, prices(record))
    one.unpriced += not whole
    one.before = _plus(one.before, record.cost)
    one.after = _plus(one.after, new.cost)
    if new == record:
        return None
    one.changed += 1
    return new


def _repriced(old: Record, new: Record) -> tuple[Record, bool]:
    """The record with the costs that it has from now on, and whether none of them had to stay."""
    if new.costs.provenance == "missing":
        return old, False
    if old.costs.provenance != "missing" and old.costs.currency != new.costs.currency:
        return old, True
    attempts = tuple(map(_priced, old.attempts, new.attempts))
    if attempts == new.attempts:
        return new, True
    costs = together([attempt.cost for attempt in attempts if attempt.served])
    return structs.replace(new, attempts=attempts, costs=costs), False


def _priced(old: AttemptRecord, new: AttemptRecord) -> AttemptRecord:
    return old if new.cost.provenance == "missing" else new


def _written(text: str, new: Record) -> tuple[str, str]:
    """The attempts and the record as JSON, with these costs; all else, known here or not, is as it was written."""
    whole = msgspec.json.decode(text, type=dict[str, Raw])
    attempts = msgspec.json.decode(whole.get("attempts", b"[]"), type=list[dict[str, Raw]])
    for each, attempt in zip(attempts, new.attempts, strict=True):
        if attempt.cost != Cost():
            each["cost"] = Raw(msgspec.json.encode(attempt.cost))
    whole |= {"costs": Raw(msgspec.json.encode(new.costs)), "attempts": Raw(msgspec.json.encode(attempts))}
    return bytes(whole["attempts"]).decode(), msgspec.json.encode(whole).decode()


def _plus(total: Decimal | None, amount: Decimal | None) -> Decimal | None:
    return total if amount is None else _EXACT.add(total or Decimal(0), amount)
