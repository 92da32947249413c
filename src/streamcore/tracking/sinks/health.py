"""How a ledger does, as numbers with names: for the sinks that make metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamcore.tracking.ledger import Ledger

__all__ = ["JOURNAL", "SINK", "Number", "numbers"]


class Number(Struct, frozen=True):
    """What a number is called, whether it only ever grows, its unit (UCUM), and what it is."""

    name: str
    kind: Literal["counter", "gauge"]
    unit: str
    help: str


SINK: Final = {
    "written": Number("sink.records_written", "counter", "{record}", "Records that the sink took."),
    "waiting": Number("sink.records_waiting", "gauge", "{record}", "Records that wait for the sink."),
    "refused": Number("sink.records_refused", "gauge", "{record}", "Records that the sink does not take, but others."),
    "left_out": Number("sink.records_left_out", "counter", "{record}", "Records it will not get from this process."),
    "failures": Number("sink.failures", "counter", "{failure}", "How often the sink failed."),
    "error": Number("sink.broken", "gauge", "1", "1 as long as the sink fails."),
}
"""Of each sink, by the fields of its `SinkState`."""

JOURNAL: Final = {
    "size": Number("journal.bytes", "gauge", "By", "Bytes that wait for a sink."),
    "failures": Number("journal.failures", "counter", "{failure}", "Lines that could not be written."),
    "error": Number("journal.broken", "gauge", "1", "1 as long as the journal fails."),
    "adopted": Number("journal.records_adopted", "counter", "{record}", "Records that dead processes left behind."),
    "damaged": Number("journal.lines_damaged", "counter", "{line}", "Lines of theirs that could not be read."),
}
"""Of the journal, by the fields of `JournalState`."""


def numbers(ledger: Ledger) -> Iterator[tuple[str, str | None, int]]:
    """The name of each number, the sink that it is of, if it is of one, and the number.

    The second sink of a kind is called `SQLite-2`.
    """
    seen: dict[str, int] = {}
    for state in ledger.sinks:
        seen[state.name] = count = seen.get(state.name, 0) + 1
        sink = state.name if count == 1 else f"{state.name}-{count}"
        for field, number in SINK.items():
            yield number.name, sink, _value(getattr(state, field))
    journal = ledger.state
    if journal is not None:
        for field, number in JOURNAL.items():
            yield number.name, None, _value(getattr(journal, field))


def _value(value: int | str | None) -> int:
    """A count; of an error, whether there is one."""
    return value if isinstance(value, int) else int(value is not None)
