"""What every stream cost, how fast it was, and for whom: one record for each, whatever becomes of it."""

from .clients.client import tracked_client
from .clients.wires import Wire
from .context import context, from_headers, to_headers
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
    "Wire",
    "context",
    "from_headers",
    "to_headers",
    "track",
    "tracked_client",
]
