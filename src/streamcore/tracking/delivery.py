"""Has one sink take records: again if it fails, in parts if it fails for long, and without one that it refuses.

Theory of operation. A sink that fails is mostly down, and then only time helps: it is asked again for the same records,
and those that have come since, after pauses that grow to `LONGEST_PAUSE`. But one record that it can never store would
hold up all behind it. So after `PATIENCE` failures, and after each as many more, it is asked for halves of them, and for
halves of those. That is safe because a sink knows a record that it has by its `tracking_id`.

A record is *refused* if the sink does not take it alone, asked `PATIENCE` times right after it took others: it is put
aside. Of a sink that takes nothing no record is refused, however long that lasts, and between two that are refused it
has to take something: so one that goes down in the middle costs no more than one that waits a little longer.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from .record import Record
    from .segment import Segment

__all__ = ["Delivery", "Entry", "Sink", "longer"]

FIRST_PAUSE: Final = 0.05  # seconds
LONGEST_PAUSE: Final = 30.0
PATIENCE: Final = 4

_log: Final = logging.getLogger("streamcore.tracking")


class Sink(Protocol):
    """What takes records. It is called from one thread, so it may block. If it has a `close`, that is called at the end."""

    def write(self, records: Sequence[Record], /) -> None:
        """Store them, all or none.

        One that is there already, by its `tracking_id`, is the same and is skipped; but one that is there as `LOST` is
        replaced by one that is not.

        Raises:
            Exception: They are not stored; they will come again, together or in parts.
        """
        ...


class Entry:
    """A stream in the ledger: its record once it has `ended`, and the segment that remembers it until all sinks have it."""

    __slots__ = ("ended", "ready", "record", "segment", "storable")

    def __init__(self, record: Record, segment: Segment | None, *, ended: bool = False) -> None:
        self.record = record
        self.segment = segment
        self.ended = ended
        self.ready = False  # priced, and known to be `storable` or not
        self.storable = False


def longer(pause: float) -> float:
    """The pause after the next failure, in seconds."""
    return min(pause * 2, LONGEST_PAUSE)


class Delivery:
    """Asks one sink, in the thread that calls it. Whoever sets `hurry` ends a pause.

    `take` is told of entries that the sink has taken, `put_aside` of one that it refuses. `error` is what it failed with,
    None once it works again; `failing` says that it has failed, and not yet taken all but what it refuses.
    """

    def __init__(
        self,
        sink: Sink,
        hurry: threading.Event,
        take: Callable[[Sequence[Entry]], None],
        put_aside: Callable[[Entry], None],
    ) -> None:
        self._sink = sink
        self._hurry = hurry
        self._take = take
        self._put_aside = put_aside
        self.name = type(sink).__name__
        self.written = self.failures = 0
        self.error: str | None = None
        self.failing = False
        self.stopped = False

    def deliver(self, entries: list[Entry], more: Callable[[int], list[Entry]]) -> bool:
        """Have the sink take them, however often it fails, and what comes meanwhile; False if it was stopped before.

        `more` gives what there is besides so many.
        """
        tries, pause = 0, FIRST_PAUSE
        while entries and (error := self._ask(entries)) is not None:
            self.failing = True
            self._say(error)
            tries += 1
            if tries % PATIENCE == 0 and len(entries) > 1:
                before, entries = len(entries), self._in_parts(entries)
                if len(entries) < before:
                    tries, pause = PATIENCE - 1, FIRST_PAUSE  # it works: the rest in parts as soon as it fails again
            if self.stopped:
                return False
            if entries:
                pause = self._paused(pause)
                entries = [*entries, *more(len(entries))]
        self._works()
        self.failing = False
        return True

    def _in_parts(self, entries: list[Entry]) -> list[Entry]:
        """Ask for ever smaller parts; what the sink has not taken then, first what it was not asked for alone."""
        parts, alone = _halves(entries), list[Entry]()
        took = False  # something, since it last refused a record
        doubts = 0  # whether it takes anything at all
        while parts and doubts < PATIENCE and not self.stopped:
            part = parts.pop()
            error = self.insist(part[0]) if took and len(part) == 1 else self._ask(part)
            if error is None:
                took, doubts = True, 0
                parts += [[entry] for entry in alone]  # it works: so was it they?
                alone = []
            elif len(part) > 1:
                parts += _halves(part)
            elif took and not self.stopped:
                took = False
                self._refuse(part[0], error)
            else:
                alone += part
                doubts += 1
        return [entry for part in reversed(parts) for entry in part] + alone

    def insist(self, entry: Entry) -> BaseException | None:
        """Ask for one alone, `PATIENCE` times; None if the sink took it."""
        error, pause = self._ask([entry]), FIRST_PAUSE
        for _ in range(PATIENCE - 1):
            if error is None:
                break
            self._hurry.wait(pause)
            error, pause = self._ask([entry]), longer(pause)
        return error

    def _ask(self, entries: list[Entry]) -> BaseException | None:
        """Ask once; None if the sink took them."""
        try:
            self._sink.write([entry.record for entry in entries])
        except BaseException as error:  # noqa: BLE001 - whatever a sink does, the thread must go on
            self.failures += 1
            return error
        self.written += len(entries)
        self._take(entries)
        return None

    def _refuse(self, entry: Entry, error: BaseException) -> None:
        id = entry.record.tracking_id
        _log.error("the sink %s refuses the record %s (%s): it is put aside", self.name, id, type(error).__name__)
        self._put_aside(entry)

    def failed(self, error: BaseException) -> None:
        """Count what went wrong, and say so."""
        self.failures += 1
        self._say(error)

    def _say(self, error: BaseException) -> None:
        """Once, until it works again. What the error says may quote a record: it is in the state, and not in the log."""
        if self.error is None:
            _log.error("the sink %s fails (%s): records wait for it", self.name, type(error).__name__)
        self.error = f"{type(error).__name__}: {error}"

    def _works(self) -> None:
        if self.error is not None:
            _log.warning("the sink %s works again", self.name)
            self.error = None

    def _paused(self, pause: float) -> float:
        """Wait so long, if nobody is in a hurry; how long the next time."""
        if self._hurry.wait(pause):
            self._hurry.clear()  # once for each who is in a hurry
            return FIRST_PAUSE
        return longer(pause)

    def close(self) -> None:
        """Close the sink, if it has a `close`."""
        try:
            getattr(self._sink, "close", _nothing)()
        except Exception as error:  # noqa: BLE001 - there is nobody to be told otherwise
            self.failed(error)


def _nothing() -> None:
    """What a sink does that has nothing to close."""


def _halves(entries: list[Entry]) -> list[list[Entry]]:
    """The second one and the first, which is asked for first: it is taken off the end."""
    middle = len(entries) // 2
    return [entries[middle:], entries[:middle]]
