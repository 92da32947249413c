"""Records for the clients of others: the official SDKs, and whatever else uses httpx or httpx2."""

from .client import tracked_client
from .wires import Wire

__all__ = ["Wire", "tracked_client"]
