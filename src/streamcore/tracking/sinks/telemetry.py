"""What the sinks share that make spans and metrics, which cannot be made twice."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from streamcore.errors import LocalError
from streamcore.tracking.identity import begun_here

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamcore.tracking.ledger import Ledger
    from streamcore.tracking.record import Record

__all__ = ["Telemetry"]

_log: Final = logging.getLogger("streamcore.tracking")


class Telemetry(ABC):
    """Makes something of each record, once, and shows how ledgers do.

    What ended in a process that died afterwards is skipped unless `adopted`: that process may have made it itself. `defect`
    is what the log says of a record that nothing could be made of.
    """

    def __init__(self, *, adopted: bool, defect: str) -> None:
        self._adopted = adopted
        self._defect = defect
        self._watched: dict[str, Ledger] = {}
        self.failures = 0
        self.skipped = 0

    @abstractmethod
    def _make(self, record: Record) -> None:
        """Make it of this record."""
        ...

    @abstractmethod
    def _show(self) -> None:
        """From now on show how the ledgers do that are watched."""
        ...

    def write(self, records: Sequence[Record], /) -> None:
        """Make of each what this sink makes. One that it fails for is left out, and does not fail the others."""
        for record in records:
            if not (self._adopted or record.status == "LOST" or begun_here(record.tracking_id)):
                self.skipped += 1
                continue
            try:
                self._make(record)
            except Exception as error:  # noqa: BLE001 - the batch would come again, and be there twice
                if self.failures == 0:
                    _log.error("%s %s (%s)", record.tracking_id, self._defect, type(error).__name__)
                self.failures += 1

    def watch(self, ledger: Ledger, name: str = "") -> None:
        """Show whenever it is asked how a ledger does: its sinks and its journal. Several are told apart by their `name`.

        Raises:
            LocalError: A ledger of that name is watched already.
        """
        if name in self._watched:
            raise LocalError(f"a ledger named {name!r} is watched already: give each a name")
        self._watched[name] = ledger
        if len(self._watched) == 1:
            self._show()
