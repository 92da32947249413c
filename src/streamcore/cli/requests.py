"""`streamcore requests`: the last stored requests, and those that come."""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from streamcore.errors import LocalError
from streamcore.tracking.history.queries import NAMES, Follower, last

from .sheet import Sheet, escaped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamcore.tracking.history.queries import Cell, Filters, Row
    from streamcore.tracking.history.store import Store

    from .terminal import Terminal

__all__ = ["run"]

_TABLE: Final = {
    "created_at": "created at",
    "status": "status",
    "model": "model",
    "feature": "feature",
    "user": "user",
    "input_tokens": "input",
    "output_tokens": "output",
    "cost": "cost",
    "latency_ms": "latency ms",
    "duration_ms": "duration ms",
    "tracking_id": "tracking id",
}
"""The columns of the table, and their heads. As CSV there are all of `NAMES` but the record."""


def run(
    terminal: Terminal, store: Store, filters: Filters, *, limit: int, style: str, every: float | None = None
) -> int:
    """Show the last requests, the newest at the end; and then, if `every` so many seconds, each that is stored; 0.

    Raises:
        LocalError: The store does not answer when it is first asked.
        BrokenPipeError: Nobody reads on.
    """
    shown = _List(terminal, style)
    if every is None:
        shown.add(last(store, limit, filters))
        return 0
    follower = Follower(store, filters)
    shown.add(follower.first(limit))
    failed = False
    while True:
        _wait(every)
        try:
            found = follower.more()
        except LocalError as error:
            if not failed:
                terminal.warning(f"{error}; it will be asked again")
            failed = True
        else:
            if failed:
                terminal.message("the store answers again")
            failed = False
            shown.add(found)


class _List:
    """Prints requests: the most telling columns as a table, all of them as CSV, whole records as JSON."""

    def __init__(self, terminal: Terminal, style: str) -> None:
        self._terminal = terminal
        self._as_json = style == "json"
        self._names = NAMES[:-1] if style == "csv" else tuple(_TABLE)
        self._sheet = Sheet(terminal, self._names if style == "csv" else [*_TABLE.values()], style)

    def add(self, rows: Iterable[Row]) -> None:
        """Print them."""
        if self._as_json:
            for row in rows:
                self._terminal.line(escaped(str(row["record"])))
        else:
            self._sheet.add([[_cell(row, name) for name in self._names] for row in rows])


def _cell(row: Row, name: str) -> Cell:
    if name != "cost":
        return row[name]
    parts = [part for part in (row["cost_known"], row["cost_estimated"]) if isinstance(part, Decimal)]
    return sum(parts[1:], parts[0]) if parts else None


def _wait(seconds: float) -> None:
    """Wait. Whoever reads a pipe may go meanwhile, and that is not to be found out with the next record alone.

    Raises:
        BrokenPipeError: He has gone.
    """
    file = sys.stdout.fileno()
    if not hasattr(select, "poll") or not stat.S_ISFIFO(os.fstat(file).st_mode):
        time.sleep(seconds)
        return
    poll = select.poll()
    poll.register(file, 0)  # nothing: an error is told without being asked for
    if poll.poll(seconds * 1000):
        raise BrokenPipeError
