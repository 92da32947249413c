"""What every stream cost, how fast it was, and for whom: one record for each, whatever becomes of it."""

from .context import context
from .counting import Characters, TokenCounter
from .prices import Prices
from .record import AttemptRecord, Context, Cost, Marks, Record, Tokens
from .track import Tracked, track

__all__ = [
    "AttemptRecord",
    "Characters",
    "Context",
    "Cost",
    "Marks",
    "Prices",
    "Record",
    "TokenCounter",
    "Tokens",
    "Tracked",
    "context",
    "track",
]
