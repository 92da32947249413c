"""Rows for people and for programs: a table, CSV or JSON lines.

What callers of a service have said about themselves is in them, so it may be hostile. A row is one line; it has no control
character, also in a pipe, which may end at a terminal; and a spreadsheet computes nothing that a text begins with.
"""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec

from .terminal import BOLD, PLAIN, harmless, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from streamcore.tracking.history.queries import Cell

    from .terminal import Terminal

__all__ = ["Sheet", "escaped"]

# What a formula begins with (OWASP, CSV Injection), also in the wide signs that a Japanese spreadsheet takes.
_FORMULAS: Final = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
_CONTROLS: Final = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}


class Sheet:
    """Prints rows as they come, in a `style`: "table", "csv" or "json". What is unknown is a hyphen, nothing, or null."""

    def __init__(self, terminal: Terminal, heads: Sequence[str], style: str = "table") -> None:
        self._terminal = terminal
        self._heads = list(heads)
        self._style = style
        self._widths = [0] * len(heads)
        self._headed = False

    def add(self, rows: Iterable[Sequence[Cell]]) -> None:
        """Print them, and the heads before the first. A column of a table is as wide as its widest cell so far."""
        if self._style == "json":
            for row in rows:
                self._terminal.line(_json(dict(zip(self._heads, row, strict=True))))
        elif self._style == "csv":
            self._print([[_guarded(cell) for cell in row] for row in rows], self._heads, _comma_separated)
        else:
            heads = [head.replace("_", " ") for head in self._heads]
            cells = [[_shown(cell) or "-" for cell in row] for row in rows]
            self._widths = [
                max(map(len, column)) for column in zip(heads, *cells, map("".ljust, self._widths), strict=True)
            ]
            self._print(cells, heads, self._aligned)

    def _print(self, rows: Sequence[Sequence[str]], heads: Sequence[str], line: Callable[[Sequence[str]], str]) -> None:
        if not self._headed:
            self._headed = True
            self._terminal.line(line(heads), BOLD if self._style == "table" else PLAIN)
        for row in rows:
            self._terminal.line(line(row))

    def _aligned(self, row: Sequence[str]) -> str:
        return "  ".join(map(str.ljust, row, self._widths)).rstrip()


def _plain(amount: Decimal) -> str:
    """A decimal number in digits, all of them and no more."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _json(row: Mapping[str, Cell]) -> str:
    values = {name: _plain(cell) if isinstance(cell, Decimal) else cell for name, cell in row.items()}
    return escaped(msgspec.json.encode(values).decode())


def escaped(text: str) -> str:
    """The same JSON without the control characters that JSON does not escape."""
    return text.translate(_CONTROLS)


def _shown(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case str():
            return harmless(one_line(cell))
        case Decimal():
            return _plain(cell)
        case _:
            return f"{cell:.0f}"


def _guarded(cell: Cell) -> str:
    text = _shown(cell)
    return f"'{text}" if isinstance(cell, str) and text.startswith(_FORMULAS) else text


def _comma_separated(row: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(row)
    return text.getvalue()
