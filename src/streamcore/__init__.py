"""Any LLM provider's stream as one small, exact event model, and back again."""

from __future__ import annotations

from .errors import Error, LocalError, StreamFailed
from .events import *  # noqa: F403
