"""The small sinks: a file of JSON lines, and a function of yours."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from streamcore.tracking.text import encoded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamcore.tracking.record import Record

__all__ = ["Callback", "JSONLines"]


class JSONLines:
    """Appends a line of JSON for each record. The file is opened for each batch, so that it may be moved away.

    A file cannot tell what it has: after a crash, and after a full disk, some lines are there twice, or a piece of one.
    The last line of a `tracking_id` counts, but not a `LOST` one after another.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._torn = False  # the last line is not whole

    def write(self, records: Sequence[Record], /) -> None:
        """Append them.

        Raises:
            OSError: They are not there, or not all of them.
        """
        text = b"\n" * self._torn + b"".join([encoded(record) + b"\n" for record in records])
        file = os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        try:
            self._torn = True
            written = os.write(file, text)
            if written != len(text):
                raise OSError(f"only {written} of {len(text)} bytes were written")
            self._torn = False
        finally:
            os.close(file)


class Callback:
    """Calls a function with each record, in a thread of its own. If it raises, the record comes again, and so do those after it.

    It must know a record that it has seen by its `tracking_id`: after a crash some come twice.
    """

    def __init__(self, function: Callable[[Record], object]) -> None:
        self._function = function
        self._called: set[str] = set()  # with these, in a batch that comes again, whole or in parts

    def write(self, records: Sequence[Record], /) -> None:
        """Call the function with each that it has not been called with."""
        for record in records:
            if record.tracking_id not in self._called:
                self._function(record)
                self._called.add(record.tracking_id)
        self._called.difference_update([record.tracking_id for record in records])
