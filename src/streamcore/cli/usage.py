"""`streamcore usage`: what stored requests come to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamcore.tracking.history.queries import Sum, sums

from .sheet import Sheet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamcore.tracking.history.queries import Filters
    from streamcore.tracking.history.store import Store

    from .terminal import Terminal

__all__ = ["run"]


_HEADS: Final = Sum.__struct_fields__[1:]


def run(terminal: Terminal, store: Store, filters: Filters, *, by: Sequence[str], style: str) -> int:
    """Show a row for each group; 0.

    Raises:
        LocalError: There is no such group, or the store does not answer.
    """
    found = sums(store, by, filters)
    Sheet(terminal, [*by, *_HEADS], style).add(
        [[*one.group, *(getattr(one, name) for name in _HEADS)] for one in found]
    )
    return 0
