"""The table `requests`, a row for each record: the same columns with the same meaning in every database.

What is asked for often has a column of its own, and `record` is the whole record as JSON. Durations are milliseconds.
`created_at` is UTC. Money is whole billionths of `currency` (`cost_known_nano`, `cost_estimated_nano`), so that SQL adds it
up exactly; a price a token may be finer than that, so a row is rounded, half to even: the exact amount is in `record`.
What is unknown is NULL. The name `user` is a word of SQL's own, so it is always quoted.

`stored` is not the record's but the database's: what those know a row by who follow the table (`store` tells how).
"""

from __future__ import annotations

from datetime import UTC
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from streamcore.events import Failure, Finish
from streamcore.tracking.text import encoded

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamcore.tracking.record import Record

__all__ = ["COLUMNS", "Value", "insert", "row"]

Value: TypeAlias = str | int | float | None

_LARGEST: Final = 2**63 - 1
_NANO: Final = Decimal(10**9)
_MONEY: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _integer(value: int | None) -> int | None:
    """A number that a column can hold; one that nobody ever paid for is unknown."""
    return value if value is None or abs(value) <= _LARGEST else None


def _nano(amount: Decimal | None) -> int | None:
    if amount is None or not amount.is_finite():
        return None
    return _integer(int(_MONEY.to_integral_value(_MONEY.multiply(amount, _NANO))))


def _created(record: Record) -> str:
    """As `2026-11-20T18:42:35.123456Z`: it sorts as text, and every database takes it for a time."""
    at = record.created_at.astimezone(UTC)
    return at.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _closed(record: Record) -> float | None:
    closed = record.marks.closed
    return None if closed is None else closed * 1000


COLUMNS: Final[dict[str, Callable[[Record], Value]]] = {
    "tracking_id": lambda record: record.tracking_id,
    "created_at": _created,
    "status": lambda record: record.status,
    "finish_reason": lambda record: record.outcome.reason if isinstance(record.outcome, Finish) else None,
    "failure": lambda record: record.outcome.kind if isinstance(record.outcome, Failure) else None,
    "provider": lambda record: record.provider,
    "adapter": lambda record: None if record.origin is None else record.origin.adapter,
    "model": lambda record: None if record.origin is None else record.origin.model,
    "host": lambda record: None if record.origin is None else record.origin.host,
    "answered_by": lambda record: record.answered_by,
    "request_id": lambda record: record.request_id,
    "feature": lambda record: record.context.feature,
    "user": lambda record: record.context.user,
    "conversation_id": lambda record: record.context.conversation_id,
    "tags": lambda record: _json(record.context.tags),
    "input_tokens": lambda record: _integer(record.usage.input_tokens),
    "output_tokens": lambda record: _integer(record.usage.output_tokens),
    "cache_read_tokens": lambda record: _integer(record.usage.cache_read_tokens),
    "cache_write_tokens": lambda record: _integer(record.usage.cache_write_tokens),
    "reasoning_tokens": lambda record: _integer(record.usage.reasoning_tokens),
    "usage_sources": lambda record: _json(record.usage_sources),
    "cost_known_nano": lambda record: _nano(record.costs.known),
    "cost_estimated_nano": lambda record: _nano(record.costs.estimated),
    "cost_provenance": lambda record: record.costs.provenance,
    "currency": lambda record: record.costs.currency,
    "latency_ms": lambda record: record.latency_ms,
    "streaming_duration_ms": lambda record: record.streaming_duration_ms,
    "duration_ms": _closed,
    "attempts": lambda record: _json(record.attempts),
    "record": lambda record: encoded(record).decode(),
}
"""The value of each column, as SQLite keeps it and PostgreSQL reads it."""


def row(record: Record) -> list[Value]:
    """The values of a record, in the order of `COLUMNS`."""
    return [column(record) for column in COLUMNS.values()]


def insert(values: str) -> str:
    """The statement that stores rows, which come from `values`: a `VALUES` or a `SELECT`, of `COLUMNS` and `stored`.

    A row that is there stays, but a `LOST` one gives way to one that is not.
    """
    names = [f'"{name}"' for name in (*COLUMNS, "stored")]
    return (
        f"INSERT INTO requests ({', '.join(names)}) {values} "
        f"ON CONFLICT (tracking_id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in names)} "
        "WHERE requests.status = 'LOST' AND excluded.status <> 'LOST'"
    )
