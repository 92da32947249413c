"""What was stored: added up, listed, and followed as it comes."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct

from streamcore.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamcore.tracking.sinks.table import Value

    from .store import Store

__all__ = ["ALL", "FIELDS", "NAMES", "TIMES", "Cell", "Filters", "Follower", "Row", "Sum", "last", "sums"]

Cell: TypeAlias = str | int | float | Decimal | None
"""A value of a row; None is unknown, or was not said."""

Row: TypeAlias = "dict[str, Cell]"
"""What is in the columns of a stored record, money in units of `currency`, and all of it as JSON (`record`)."""

FIELDS: Final[Mapping[str, str]] = {
    "model": "model",
    "answered-by": "answered_by",
    "provider": "provider",
    "adapter": "adapter",
    "host": "host",
    "feature": "feature",
    "user": '"user"',
    "conversation": "conversation_id",
    "status": "status",
}
"""What records are picked and grouped by, and its column. Besides, `tag:` and the name of a tag."""

TIMES: Final[Mapping[str, int]] = {"month": len("2026-11"), "day": len("2026-11-20"), "hour": len("2026-11-20T18")}
"""What records are grouped by, too: so many letters of the time at which they were made (UTC)."""

_TAG: Final = "tag:"
_LARGEST: Final = 2**63 - 1
_NANO: Final = Decimal("1e-9")
_LOW: Final = 32  # bits: a sum of halves does not overflow, whatever number some provider once gave
_COLUMNS: Final = (
    *(
        "tracking_id",
        "status",
        "finish_reason",
        "failure",
        "provider",
        "adapter",
        "host",
        "model",
        "answered_by",
        "request_id",
    ),
    *("feature", "user", "conversation_id", "tags", "input_tokens", "output_tokens", "cache_read_tokens"),
    *("cache_write_tokens", "reasoning_tokens", "cost_known_nano", "cost_estimated_nano", "cost_provenance"),
    *("currency", "latency_ms", "streaming_duration_ms", "duration_ms", "record"),
)
_AS_TEXT: Final = frozenset({"tags", "record"})  # PostgreSQL has them as JSON
_NANO_COLUMN: Final = "_nano"

NAMES: Final = ("created_at", *(name.removesuffix(_NANO_COLUMN) for name in _COLUMNS))
"""What is in a `Row`."""


class Filters(Struct, frozen=True, kw_only=True):
    """Which records are meant: those for which all of this is true.

    They were made at `since` or later, and before `until`. For each of `FIELDS`, `TIMES` or `tag:NAME` that is named in
    `values` they have one of these; "" is that it was not said.
    """

    since: datetime | None = None
    until: datetime | None = None
    values: Mapping[str, Sequence[str]] = {}

    def sql(self, store: Store, *more: str) -> tuple[str, list[Value]]:
        """A `WHERE` that says so and `more`, whose values come first, and its own values."""
        conditions = [*more]
        values: list[Value] = []
        for sign, at in ((">=", self.since), ("<", self.until)):
            if at is not None:
                conditions.append(f"created_at {sign} ?")
                values.append(at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z")
        for name, wanted in self.values.items():
            column, named = _column(store, name)
            conditions.append(f"coalesce({column}, '') IN ({', '.join('?' * len(wanted))})")
            values += [*named, *map(_text, wanted)]
        return f"WHERE {' AND '.join(conditions)}" if conditions else "", values


ALL: Final = Filters()


class Sum(Struct, frozen=True):
    """What the requests of one group, paid in one currency, come to. None is unknown; in `group`, that it was not said.

    `failed` are those that did not end well, `unpriced` those of whose cost nothing is known.
    """

    group: tuple[str | None, ...]
    requests: int
    failed: int
    input_tokens: int | None
    output_tokens: int | None
    cost_known: Decimal | None
    cost_estimated: Decimal | None
    unpriced: int
    currency: str


def sums(store: Store, by: Sequence[str] = ("day",), filters: Filters = ALL) -> list[Sum]:
    """The groups in order, by any of `FIELDS`, `TIMES` and `tag:NAME`; by none of them all together.

    Raises:
        LocalError: There is no such group, or the store does not answer.
    """
    columns = [_column(store, name) for name in by]
    where, values = filters.sql(store)
    places = [str(place + 1) for place in range(len(by))]
    asked = [
        *(column for column, _ in columns),
        *("count(*)", "count(*) FILTER (WHERE status <> 'SUCCESS')"),
        "count(*) FILTER (WHERE cost_provenance = 'missing')",
        *map(_added, ("input_tokens", "output_tokens", "cost_known_nano", "cost_estimated_nano")),
        "currency",
    ]
    question = f"SELECT {', '.join(asked)} FROM requests {where} GROUP BY {', '.join([*places, 'currency'])}"  # noqa: S608
    rows = store.ask(question, [*(value for _, named in columns for value in named), *values])
    found = [_sum(row[: len(by)], *row[len(by) :]) for row in rows]
    return sorted(found, key=lambda one: ([(part is not None, part or "") for part in one.group], one.currency))


def _column(store: Store, name: str) -> tuple[str, list[Value]]:
    """The SQL of what is picked or grouped by, and its values."""
    if name.startswith(_TAG):
        return store.tag, [_text(name.removeprefix(_TAG))]
    if name in TIMES:
        return f"substr({store.created}, 1, {TIMES[name]})", []
    if name not in FIELDS:
        raise LocalError(f"{name!r} is none of {', '.join([*TIMES, *FIELDS])} and tag:NAME")
    return FIELDS[name], []


def _text(text: str) -> str:
    """As a record keeps it: what no encoding can say is a question mark."""
    return text.encode(errors="replace").decode()


def _added(column: str) -> str:
    return f"sum({column} >> {_LOW}), sum({column} & {2**_LOW - 1})"


def _sum(group: tuple[str | None, ...], count: int, failed: int, unpriced: int, *rest: Any) -> Sum:
    *halves, currency = rest
    read, written, known, estimated = (_whole(*halves[at : at + 2]) for at in range(0, len(halves), 2))
    return Sum(group, count, failed, read, written, _money(known), _money(estimated), unpriced, currency)


def _whole(high: Decimal | int | None, low: Decimal | int | None) -> int | None:
    return None if high is None or low is None else (int(high) << _LOW) + int(low)


def _money(nano: int | None) -> Decimal | None:
    return None if nano is None else nano * _NANO


def last(store: Store, limit: int, filters: Filters = ALL) -> list[Row]:
    """The newest records, the newest of all at the end.

    Raises:
        LocalError: The store does not answer.
    """
    return _last(store, limit, filters, cursor="NULL")[1]


class Follower:
    """Sees each record as it is stored: misses none, and has none twice.

    A `LOST` one that turns out to have ended comes again, as what it is.
    """

    def __init__(self, store: Store, filters: Filters = ALL) -> None:
        self._store = store
        self._filters = filters
        self._cursor: Value = None

    def first(self, limit: int) -> list[Row]:
        """What `last` gives. All that is stored from now on comes with `more`.

        Raises:
            LocalError: The store does not answer.
        """
        self._cursor, rows = _last(self._store, limit, self._filters, cursor=self._store.cursor)
        return rows

    def more(self) -> list[Row]:
        """What was stored since, in the order in which it was made.

        Raises:
            LocalError: The store does not answer; nothing is missed if it does the next time.
        """
        after = self._store.after
        where, values = self._filters.sql(self._store, after)
        known = [self._cursor] * after.count("?")
        self._cursor, rows = _rows(self._store, self._store.cursor, where, [*known, *values])
        return rows


def _last(store: Store, limit: int, filters: Filters, *, cursor: str) -> tuple[Value, list[Row]]:
    where, values = filters.sql(store)
    newest = f"{where} ORDER BY created_at DESC, tracking_id DESC LIMIT ?"
    return _rows(store, cursor, newest, [*values, min(limit, _LARGEST)])


def _rows(store: Store, cursor: str, which: str, values: list[Value]) -> tuple[Value, list[Row]]:
    """Rows, and where the cursor is when all of them were seen: in one question, so that both are of one moment."""
    columns = ", ".join(f"CAST({name} AS TEXT)" if name in _AS_TEXT else f'"{name}"' for name in _COLUMNS)
    question = (
        f"SELECT here.cursor, found.* FROM (SELECT {cursor} AS cursor) AS here "  # noqa: S608 - names of columns
        f"LEFT JOIN (SELECT {store.created} AS made, {columns} FROM requests {which}) AS found ON 1 = 1"
    )
    rows = store.ask(question, values)
    found = [_row(row) for row in rows if row[1] is not None]
    return rows[0][0], sorted(found, key=itemgetter("created_at", "tracking_id"))


def _row(row: tuple[Any, ...]) -> Row:
    values = [
        _money(value) if name.endswith(_NANO_COLUMN) else value for name, value in zip(_COLUMNS, row[2:], strict=True)
    ]
    return dict(zip(NAMES, [row[1], *values], strict=True))
