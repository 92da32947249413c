"""Time that passes only when nobody has anything else to do: an hour of silence is tested in no time."""

from __future__ import annotations

import asyncio
import selectors
from math import inf, nextafter
from typing import Any, Final, Literal

__all__ = ["VirtualTimeLoop", "virtual_time"]


_RESOLUTION: Final = 1e-9  # asyncio runs timers due in less than this; after 97 days, a float of seconds cannot say it


class _Selector(selectors.DefaultSelector):
    """Asked to wait, it looks at the sockets and, if nothing has come, lets the time pass at once."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select()
        ready = super().select(0)
        if not ready and (timeout > 0 or self.now + _RESOLUTION == self.now):
            self.now = max(self.now + timeout, nextafter(self.now, inf))  # on, even if too little to be added
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose clock begins at 0 and jumps to the next timer when no task can run.

    Code that awaits timers alone runs as ever, in no time and always alike. Time does not wait for threads or for the
    other end of a socket: whoever awaits those with a deadline runs into it.
    """

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Seconds of virtual time."""
        return self._virtual.now


def virtual_time(backend: Literal["asyncio", "trio"]) -> tuple[str, dict[str, Any]]:
    """The name and the options of an event loop with virtual time.

    `anyio.run(main, backend=name, backend_options=options)` takes them, and both together are what the `anyio_backend`
    fixture of anyio's pytest plugin may return. Each call makes a clock of its own.
    """
    if backend == "trio":
        from trio.testing import MockClock  # noqa: PLC0415 - of the two event loops only one need be installed

        return backend, {"clock": MockClock(autojump_threshold=0)}
    return backend, {"loop_factory": VirtualTimeLoop}
