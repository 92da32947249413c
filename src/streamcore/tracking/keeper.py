"""Looks after a journal in a thread: takes over what dead processes left, and syncs.

What has died is looked for at the start and every `ADOPT_SECONDS`, so that a service takes over from the short-lived
processes beside it. Locks tell which files are nobody's; so any number of processes may look, and one finds.
"""

from __future__ import annotations

import logging
import threading
from time import monotonic
from typing import TYPE_CHECKING, Final

from .journal import GROUP_SECONDS, sync

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from .carrier import Carrier
    from .journal import Journal

__all__ = ["Keeper"]

ADOPT_SECONDS: Final = 30.0
AGAIN_SECONDS: Final = 0.5  # if there is more than could be taken at once

_log: Final = logging.getLogger("streamcore.tracking")


class Keeper:
    """The thread. `lock` is the ledger's; `failed` is told, under it, of a sync that failed.

    `looked` is set as soon as all that was there at the start is taken over. `adopted` counts records, `damaged` lines of
    theirs that could not be read, and `failures` how often it could not look.
    """

    def __init__(
        self,
        journal: Journal,
        carriers: Sequence[Carrier],
        lock: AbstractContextManager[object],
        failed: Callable[[OSError], None],
    ) -> None:
        self._journal = journal
        self._carriers = carriers
        self._lock = lock
        self._failed = failed
        self._stop = threading.Event()
        self.looked = threading.Event()
        self.adopted = self.damaged = self.failures = 0
        self._thread = threading.Thread(target=self._run, name="streamcore-journal", daemon=True)
        self._thread.start()

    def stop(self, deadline: float) -> None:
        """End the thread, or leave it alone at the deadline."""
        self._stop.set()
        self._thread.join(max(0.0, deadline - monotonic()))

    def _run(self) -> None:
        due, stopped = monotonic(), False
        while not stopped:
            if monotonic() >= due:
                due = monotonic() + (ADOPT_SECONDS if self._look() else AGAIN_SECONDS)
            if self._journal.grouped:
                stopped = self._stop.wait(GROUP_SECONDS)
                self._sync()
            else:
                stopped = self._stop.wait(max(0.0, due - monotonic()))

    def _look(self) -> bool:
        """Take over what there is; False if that was not all."""
        whole = True
        try:
            whole = not self._carriers or self._adopt()
        except OSError as error:
            if not self.failures:
                _log.error("what dead processes left is not taken over (%s)", type(error).__name__)
            self.failures += 1
        if whole:
            self.looked.set()
        return whole

    def _adopt(self) -> bool:
        for segment in self._journal.adopt():
            try:
                count = segment.survey()
            except OSError:
                segment.close(delete=False)
                raise
            with self._lock:
                if self._stop.is_set():
                    segment.close(delete=False)
                    return True
                self.adopted += count
                self.damaged += segment.damaged
                self._journal.keep(segment, count * len(self._carriers))
                for carrier in self._carriers if count else ():
                    carrier.add_range(segment, 0, segment.size, count)
        return not self._journal.crowded

    def _sync(self) -> None:
        """Outside of the lock: it may take milliseconds."""
        try:
            with self._lock:
                files = self._journal.dirty()
            for file in files:
                sync(file)
        except OSError as error:
            with self._lock:
                self._failed(error)
