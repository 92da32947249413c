"""The HTTP client, loaded before there is an event loop."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

__all__ = ["load_client"]


def load_client() -> None:
    """Import what `HTTPX` will use. An event loop would keep Ctrl-C waiting until the import is done."""
    import_module("httpx2" if find_spec("httpx2") else "httpx")
