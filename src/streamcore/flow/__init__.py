"""Models made of other models, and streams of other streams. Whatever wraps a model is a model, so they nest in any order."""

from .fallback import fallback
from .hedge import hedge
from .limit import limit
from .retry import retry

__all__ = ["fallback", "hedge", "limit", "retry"]
