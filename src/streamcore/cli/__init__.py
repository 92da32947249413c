"""The command `streamcore`: a demonstration without a key, a chat, recordings, what can be asked, what requests came to.

Exit status: 0 finished, 1 failed, 2 not asked rightly, 130 interrupted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_INTERRUPTED: Final = 130  # what a shell reports for a command that SIGINT ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status. `arguments` are those of the process by default."""
    try:
        from .command import run  # noqa: PLC0415 - so that Ctrl-C is quiet while the rest is loaded, too

        return run(arguments)
    except KeyboardInterrupt:
        return _INTERRUPTED
