"""`streamcore models`: what `--model` can name, where it is, and whether its key is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from streamcore.adapter import load, names

from .terminal import BOLD, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .terminal import Terminal

__all__ = ["Row", "rows", "run", "table"]

_HEADS: Final = ("name", "address", "key variable", "key")


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """One adapter; a line of `--json`. `url` is "" where `--url` must be given, or the adapter has an `error`."""

    name: str
    url: str
    key_variables: tuple[str, ...]
    key_set: bool
    error: str | None = None


def run(terminal: Terminal, environ: Mapping[str, str], *, as_json: bool) -> int:
    """Show them as a table, or as JSON lines; 0, also if some cannot be loaded."""
    found = rows(environ)
    if as_json:
        for row in found:
            terminal.line(msgspec.json.encode(row).decode())
        return 0
    head, *lines = table(found)
    terminal.line(head, BOLD)
    for line in lines:
        terminal.line(line)
    return 0


def rows(environ: Mapping[str, str]) -> list[Row]:
    """All adapters that are installed, by name."""
    return [_row(name, environ) for name in names()]


def _row(name: str, environ: Mapping[str, str]) -> Row:
    try:
        adapter = load(name)
        url, variables = adapter.url, tuple(adapter.key_variables)
    except Exception as error:  # noqa: BLE001 - anything can go wrong in a package of somebody else's
        return Row(name, "", (), key_set=False, error=f"{type(error).__name__}: {one_line(str(error))}")
    return Row(name, url, variables, key_set=any(environ.get(variable) for variable in variables))


def table(rows: Iterable[Row]) -> list[str]:
    """The rows under their heads. What cannot be loaded says why in place of the rest, however long that is."""
    rows = list(rows)
    cells = [_HEADS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells if column < len(line)) for column in range(len(_HEADS))]
    lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]
    for number, row in enumerate(rows, 1):
        if row.error is not None:
            lines[number] = f"{row.name.ljust(widths[0])}  cannot be loaded: {row.error}"
    return lines


def _cells(row: Row) -> tuple[str, ...]:
    if row.error is not None:
        return (row.name,)
    variables, state = " or ".join(row.key_variables), "set" if row.key_set else "not set"
    return row.name, row.url or "give --url", variables, state if variables else "not needed"
