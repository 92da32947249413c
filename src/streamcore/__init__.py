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
    from .message import Fold
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
    from .stream import Stream, decode
    from .transport import HTTPX

__version__ = "0.1.0"

_LAZY = {
    "adapter": ("Adapter", "load"),
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
    "message": ("Fold",),
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
    "stream": ("Stream", "decode"),
    "transport": ("HTTPX",),
}
_HOMES = {name: module for module, names in _LAZY.items() for name in names}

__all__ = [
    "HTTPX",
    "Adapter",
    "Attachment",
    "BlockEnd",
    "Citation",
    "Delta",
    "Endpoint",
    "Error",
    "Event",
    "Extension",
    "ExtensionPart",
    "Failure",
    "File",
    "Finish",
    "Fold",
    "Image",
    "LocalError",
    "Message",
    "Model",
    "Reader",
    "Reasoning",
    "ReasoningDelta",
    "ReasoningPart",
    "RefusalDelta",
    "Request",
    "Schema",
    "Start",
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
    "Usage",
    "decode",
    "load",
    "model",
    "prompt",
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
