"""What was stored, in SQLite or PostgreSQL: added up, listed, followed, and priced anew."""

from .queries import Filters, Follower, Sum, last, sums
from .repricing import Repriced, reprice
from .store import Store, opened

__all__ = ["Filters", "Follower", "Repriced", "Store", "Sum", "last", "opened", "reprice", "sums"]
