"""`streamcore reprice`: what stored requests cost, found anew."""

from __future__ import annotations

from decimal import Decimal
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, cast

import msgspec

from streamcore.errors import LocalError
from streamcore.tracking.history.repricing import Repriced, reprice
from streamcore.tracking.prices import Prices

from .sheet import Sheet

if TYPE_CHECKING:
    from pathlib import Path

    from streamcore.tracking.history.queries import Filters
    from streamcore.tracking.history.store import Store
    from streamcore.tracking.prices import PriceList

    from .terminal import Terminal

__all__ = ["read", "run"]

_HEADS: Final = Repriced.__struct_fields__


def run(terminal: Terminal, store: Store, filters: Filters, *, prices: Prices, style: str, dry_run: bool) -> int:
    """Price requests anew, and show what became of those to each model; 0.

    Raises:
        LocalError: The store does not answer, or was made by a newer version.
    """
    found = reprice(store, prices, filters, dry_run=dry_run)
    Sheet(terminal, _HEADS, style).add([[getattr(one, name) for name in _HEADS] for one in found])
    changed = sum(one.changed for one in found)
    terminal.message(f"{changed} would change; nothing was written" if dry_run else f"{changed} changed")
    return 0


def read(path: Path | None, version: str) -> Prices:
    """Prices: those in a file, which are called so, and genai-prices.

    Raises:
        LocalError: There are none, or something in the file is no price.
    """
    if path is None:
        if find_spec("genai_prices") is None:
            raise LocalError("there are no prices: give --prices FILE, or: pip install 'streamcore[prices]'")
        return Prices()
    try:
        own = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, Decimal]])  # as exact as it is written
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LocalError(f"{path} cannot be read as prices: {error}") from error
    return Prices(cast("PriceList", own), version=version)
