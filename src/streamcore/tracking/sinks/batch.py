"""A batch of records as PostgreSQL takes it: one statement with one parameter, all rows as an array of JSON arrays.

That is as fast as `COPY` into a temporary table, which not every role may make, and costs this process half of what a statement a
row does. U+0000, which PostgreSQL has in no text, becomes U+FFFD.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streamcore.tracking.text import storable

from .table import COLUMNS, insert, row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamcore.tracking.record import Record

__all__ = ["INSERT", "TYPES", "rows"]

_JSON: Final = ("tags", "usage_sources", "attempts", "record")
TYPES: Final = (
    dict.fromkeys(COLUMNS, "text")
    | dict.fromkeys(_JSON, "jsonb")
    | {name: "bigint" for name in COLUMNS if name.endswith(("_tokens", "_nano"))}
    | {name: "double precision" for name in COLUMNS if name.endswith("_ms")}
    | {"created_at": "timestamptz"}
)
_STORED: Final = "CAST(CAST(pg_current_xact_id() AS text) AS bigint)"  # as it has no cast of its own


def _field(place: int, name: str) -> str:
    """What is at a place of the array that a row comes as."""
    kind = TYPES[name]
    if kind == "jsonb":
        return f"value -> {place}"
    return f"value ->> {place}" if kind == "text" else f"CAST(value ->> {place} AS {kind})"


_FIELDS: Final = ", ".join(_field(place, name) for place, name in enumerate(COLUMNS))
_ROWS: Final = f"SELECT {_FIELDS}, {_STORED} FROM jsonb_array_elements(%s::jsonb) AS new(value)"  # noqa: S608 - words of ours
INSERT: Final = insert(_ROWS).encode()
_PLACES: Final = tuple(place for place, name in enumerate(COLUMNS) if name in _JSON)
_ESCAPE: Final = re.compile(rb"\\(u0000|.)")  # each escape of a JSON text as a whole: `\\u0000` is none of U+0000


def rows(records: Sequence[Record]) -> str:
    """The rows as JSON: each `tracking_id` once, and in order, so that no two batches lock each other."""
    once: dict[str, Record] = {}
    for record in records:
        found = once.get(record.tracking_id)
        if found is None or (found.status == "LOST" and record.status != "LOST"):
            once[record.tracking_id] = record
    chosen = [once[key] for key in sorted(once)]
    try:
        text = _encoded(chosen)
    except UnicodeEncodeError:
        text = _encoded([storable(record) for record in chosen])
    if b"\\u0000" in text:
        text = _ESCAPE.sub(_without_nul, text)
    return text.decode()


def _encoded(records: Sequence[Record]) -> bytes:
    return msgspec.json.encode([_values(record) for record in records])


def _values(record: Record) -> list[object]:
    """The values of its row, of which some are JSON already."""
    values: list[Any] = [*row(record)]
    for place in _PLACES:
        values[place] = msgspec.Raw(values[place])
    return values


def _without_nul(escape: re.Match[bytes]) -> bytes:
    return "\ufffd".encode() if escape[1] == b"u0000" else escape[0]
