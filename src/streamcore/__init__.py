"""Any LLM provider's stream as one small, exact event model, and back again.

    import streamcore as sc

    async with sc.model("openai:gpt-4o").stream("Why is the sky blue?") as stream:
        async for event in stream:
            ...

Importing streamcore loads nothing else: not an HTTP client, not an adapter, not an event loop. Each name brings what it
needs with its first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .adapter import Adapter, load
    from .body import decode
    from .deadlines import Deadlines
    from .endpoint import Endpoint, Model, model
    from .errors import Error, LocalError, StreamFailed
    from .events import (
        Attachment,
        BlockEnd,
        Citation,
        Delta,
        Event,
        Extension,
        Failure,
        Finish,
        ReasoningDelta,
        RefusalDelta,
        Start,
        TextDelta,
        ToolCallDelta,
        ToolCallStart,
        Usage,
    )
    from .fast import Fast
    from .flow.fallback import fallback
    from .flow.hedge import hedge
    from .flow.limit import limit
    from .flow.log import Log, MemoryLog
    from .flow.resume import Resumable
    from .flow.retry import retry
    from .flow.tee import tee
    from .message import Fold
    from .partial import Partial, Partials
    from .reader import Reader
    from .request import (
        ExtensionPart,
        File,
        Image,
        Message,
        Reasoning,
        ReasoningPart,
        Request,
        Schema,
        Text,
        Tool,
        ToolCall,
        ToolChoice,
        ToolResult,
        prompt,
    )
    from .stream import Stream
    from .tracking.clients.client import tracked_client
    from .tracking.context import context
    from .tracking.ledger import Ledger
    from .tracking.prices import Prices
    from .tracking.record import Record
    from .tracking.sinks.sqlite import SQLite
    from .tracking.track import Tracked, track
    from .transport import HTTPX
    from .upstream import Attempt, Origin, Statistics, Upstream

__version__ = "0.1.0"

_LAZY = {
    "adapter": ("Adapter", "load"),
    "body": ("decode",),
    "deadlines": ("Deadlines",),
    "endpoint": ("Endpoint", "Model", "model"),
    "errors": ("Error", "LocalError", "StreamFailed"),
    "events": (
        "Attachment",
        "BlockEnd",
        "Citation",
        "Delta",
        "Event",
        "Extension",
        "Failure",
        "Finish",
        "ReasoningDelta",
        "RefusalDelta",
        "Start",
        "TextDelta",
        "ToolCallDelta",
        "ToolCallStart",
        "Usage",
    ),
    "fast": ("Fast",),
    "flow.fallback": ("fallback",),
    "flow.hedge": ("hedge",),
    "flow.limit": ("limit",),
    "flow.log": ("Log", "MemoryLog"),
    "flow.resume": ("Resumable",),
    "flow.retry": ("retry",),
    "flow.tee": ("tee",),
    "message": ("Fold",),
    "partial": ("Partial", "Partials"),
    "reader": ("Reader",),
    "request": (
        "ExtensionPart",
        "File",
        "Image",
        "Message",
        "Reasoning",
        "ReasoningPart",
        "Request",
        "Schema",
        "Text",
        "Tool",
        "ToolCall",
        "ToolChoice",
        "ToolResult",
        "prompt",
    ),
    "stream": ("Stream",),
    "tracking.clients.client": ("tracked_client",),
    "tracking.context": ("context",),
    "tracking.prices": ("Prices",),
    "tracking.ledger": ("Ledger",),
    "tracking.record": ("Record",),
    "tracking.sinks.sqlite": ("SQLite",),
    "tracking.track": ("Tracked", "track"),
    "transport": ("HTTPX",),
    "upstream": ("Attempt", "Origin", "Statistics", "Upstream"),
}
_HOMES = {name: module for module, names in _LAZY.items() for name in names}

__all__ = [
    "HTTPX",
    "Adapter",
    "Attachment",
    "Attempt",
    "BlockEnd",
    "Citation",
    "Deadlines",
    "Delta",
    "Endpoint",
    "Error",
    "Event",
    "Extension",
    "ExtensionPart",
    "Failure",
    "Fast",
    "File",
    "Finish",
    "Fold",
    "Image",
    "Ledger",
    "LocalError",
    "Log",
    "MemoryLog",
    "Message",
    "Model",
    "Origin",
    "Partial",
    "Partials",
    "Prices",
    "Reader",
    "Reasoning",
    "ReasoningDelta",
    "ReasoningPart",
    "Record",
    "RefusalDelta",
    "Request",
    "Resumable",
    "SQLite",
    "Schema",
    "Start",
    "Statistics",
    "Stream",
    "StreamFailed",
    "Text",
    "TextDelta",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallStart",
    "ToolChoice",
    "ToolResult",
    "Tracked",
    "Upstream",
    "Usage",
    "context",
    "decode",
    "fallback",
    "hedge",
    "limit",
    "load",
    "model",
    "prompt",
    "retry",
    "tee",
    "track",
    "tracked_client",
]


def __getattr__(name: str) -> object:
    module = _HOMES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
