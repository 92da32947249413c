"""`streamcore usage` and `streamcore requests`: what the SQLite sink of tracking has stored.

The file is only read, so it may be asked while it is written.
"""

from __future__ import annotations

import csv
import io
import sqlite3
from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streamcore.errors import LocalError

from .terminal import BOLD, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from .terminal import Terminal

__all__ = ["GROUPS", "Sum", "requests", "sums", "table", "usage"]

GROUPS: Final = {
    "day": "date(created_at)",
    "model": "model",
    "feature": "feature",
    "user": "user",
    "conversation": "conversation_id",
}

_NANO: Final = Decimal("1e-9")


class Sum(msgspec.Struct, frozen=True):
    """What the requests of one group, paid in one currency, come to. None is unknown, or a group without a name.

    Money is decimal text, since a JSON number is not exact. `failed` are those that did not end well, `unpriced` those of whose cost nothing is known.
    """

    group: str | None
    requests: int
    failed: int
    input_tokens: int | None
    output_tokens: int | None
    cost_known: str | None
    cost_estimated: str | None
    unpriced: int
    currency: str


_SUMS: Final = """
    SELECT {group}, count(*), sum(status <> 'SUCCESS'), sum(input_tokens), sum(output_tokens),
        sum(cost_known_nano), sum(cost_estimated_nano), sum(cost_provenance = 'missing'), currency
    FROM requests WHERE created_at >= ? GROUP BY 1, currency ORDER BY 1, currency
"""

_REQUESTS: Final = """
    SELECT created_at, status, model, feature, user, input_tokens, output_tokens,
        cost_known_nano, cost_estimated_nano, latency_ms, duration_ms, tracking_id, record
    FROM requests WHERE created_at >= ? ORDER BY created_at DESC, tracking_id DESC LIMIT ?
"""

_HEADS: Final = (
    *("created at", "status", "model", "feature", "user", "input", "output"),
    *("cost", "latency ms", "duration ms", "tracking id"),
)


def usage(terminal: Terminal, path: Path, *, by: str, since: str, style: str) -> int:
    """Show what the requests come to, as a table, "json" lines or "csv"; 0."""
    found = sums(path, by=by, since=since)
    if style == "json":
        for one in found:
            terminal.line(msgspec.json.encode(one).decode())
        return 0
    heads = [by, *Sum.__struct_fields__[1:]]
    cells = [[_shown(value) for value in msgspec.structs.astuple(one)] for one in found]
    if style == "csv":
        for line in _csv([heads, *cells]):
            terminal.line(line)
        return 0
    _print(terminal, [head.replace("_", " ") for head in heads], cells)
    return 0


def sums(path: Path, *, by: str, since: str = "") -> list[Sum]:
    """The groups in order, those of a time before `since` (the beginning of an ISO date) left out.

    Raises:
        LocalError: It is no file of records.
    """
    rows = _ask(path, _SUMS.format(group=GROUPS[by]), since)
    return [
        Sum(group, count, failed, read, written, _money(known), _money(estimated), unpriced, currency)
        for group, count, failed, read, written, known, estimated, unpriced, currency in rows
    ]


def requests(terminal: Terminal, path: Path, *, since: str, limit: int, as_json: bool) -> int:
    """Show the last requests, the newest at the end: a table, or each whole record as a line of JSON; 0."""
    rows = _ask(path, _REQUESTS, since, limit)[::-1]
    if as_json:
        for row in rows:
            terminal.line(row[-1])
        return 0
    cells = [[_shown(value) for value in (*row[:7], _money(row[7], row[8]), *row[9:-1])] for row in rows]
    _print(terminal, _HEADS, cells)
    return 0


def _ask(path: Path, question: str, *values: object) -> list[tuple[Any, ...]]:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            return database.execute(question, values).fetchall()
    except sqlite3.Error as error:
        raise LocalError(f"{path} cannot be read as a file of records: {error}") from error


def _money(*nano: int | None) -> str | None:
    """What they are together, in units; None if all are unknown."""
    known = [part for part in nano if part is not None]
    return f"{(sum(known) * _NANO).normalize():f}" if known else None


def _shown(value: str | float | None) -> str:
    if value is None:
        return ""
    return one_line(value) if isinstance(value, str) else f"{value:.0f}"


def _csv(rows: Iterable[Sequence[str]]) -> list[str]:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().splitlines()


def _print(terminal: Terminal, heads: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    head, *lines = table([heads, *cells])
    terminal.line(head, BOLD)
    for line in lines:
        terminal.line(line)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines with aligned columns; what is empty is a hyphen."""
    full = [[cell or "-" for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in full]
