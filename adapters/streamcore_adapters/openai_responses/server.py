"""Serves the Responses API: reads what its clients ask, and writes any provider's events as one of its streams.

Every block is an item of its own, with the one part that its text stands in; its events nest like OpenAI's, whatever
else is under way. All the ids of items are ours. An id is sent with an item's beginning, long before we know that of
the provider's own item, and clients (the AI SDK for one) find the end of an item by the id it began with. What
reasoning must go back with, whoever its provider is, is in `encrypted_content`, behind a mark of ours, and comes out of
it unchanged. A message and a call keep what OpenAI gave them but the id, which an API that stores nothing has no use for.

What a reader makes of what is written here is what went in, in this normal form. A block begins with its first
character, source or call, or else where it ends; blocks count in that order. Empty deltas are gone, and so is all that
`losses` names. Reasoning is a summary of one part. The arguments of a function are never empty but `{}`. A source has a
place: where it came, if nobody said. Items that are carried along and images come whole, at their end. The last usage
comes last, after what belongs to the response. `completed` is read as what the items say.

A request keeps in `extra` what only this API has, and there all its tools, or the whole of `reasoning` or `text`, if
something in them has no other place. Only a client that asks for it has its answer stored, if the provider does that.

Sources: as in the package; and `@ai-sdk/openai` 4.0.118 for what clients refuse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamcore import sse
from streamcore.events import (
    Attachment,
    BlockEnd,
    Citation,
    Event,
    Extension,
    Failure,
    FailureKind,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
)
from streamcore.request import ExtensionPart, Image, Part, ReasoningPart, RefusalPart, Text, ToolCall, ToolResult

from .server_events import Encoder
from .server_items import code_of, json, losses
from .server_request import parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from streamcore.dialect import Call
    from streamcore.message import Fold

__all__ = ["Encoder", "content_type", "error", "keep_alive", "losses", "parse", "path", "render"]

path: Final = "/v1/responses"
content_type: Final = "text/event-stream"
keep_alive: Final = sse.comment("keep-alive")

_STATUSES: Final[Mapping[FailureKind, int]] = {
    "invalid": 400,
    "auth": 401,
    "permission": 403,
    "not_found": 404,
    "quota": 429,
    "rate_limit": 429,
    "overloaded": 503,
    "timeout": 504,
}
_TYPES: Final[Mapping[FailureKind, str]] = {
    "invalid": "invalid_request_error",
    "auth": "authentication_error",
    "permission": "permission_error",
    "not_found": "not_found_error",
    "quota": "insufficient_quota",
    "rate_limit": "rate_limit_error",
}


def error(failure: Failure) -> tuple[int, bytes]:
    """The HTTP status and the body that say a failure."""
    told = {"message": failure.message, "type": _TYPES.get(failure.kind, "server_error"), "param": None}
    return _STATUSES.get(failure.kind, 502), json({"error": {**told, "code": code_of(failure)}})


def render(fold: Fold, call: Call) -> bytes:
    """The response as one object: the one that its stream would have ended with."""
    encoder = Encoder(call)
    for event in _again(fold):
        encoder.feed(event)
    return encoder.answer


def _again(fold: Fold) -> Iterator[Event]:
    """The events that amount to what a fold holds. An answer that has not ended was cut."""
    yield Start(fold.id, fold.model)
    parts = fold.message.parts
    cited = {citation.raw: citation for citation in fold.citations}
    index = 0
    for number, part in enumerate(parts):
        yield from _content(part, index, cited)
        following = parts[number + 1 : number + 2]
        if not (isinstance(part, Image) and _is_its_item(following)):  # an image and its item are one block
            yield BlockEnd(index, part.opaque)
            index += 1
    yield from fold.extensions
    if fold.usage is not None:
        yield fold.usage
    yield fold.outcome or Failure("truncated", "the answer had not ended")


def _is_its_item(parts: Sequence[Part]) -> bool:
    return any(isinstance(part, ExtensionPart) and part.name.startswith("openai_responses:image") for part in parts)


def _content(part: Part, index: int, cited: Mapping[str | None, Citation]) -> Iterator[Event]:
    assert not isinstance(part, ToolResult), "the model answers no calls"
    if isinstance(part, Text):
        yield TextDelta(index, part.text)
        for raw in part.citations:
            source = cited[raw]
            yield Citation(index, source.url, source.title, source.text, source.start, source.end, raw)
    elif isinstance(part, ReasoningPart):
        yield ReasoningDelta(index, part.text)
    elif isinstance(part, RefusalPart):
        yield RefusalDelta(index, part.text)
    elif isinstance(part, ToolCall):
        yield ToolCallStart(index, part.id, part.name)
        yield ToolCallDelta(index, part.arguments)
    elif isinstance(part, ExtensionPart):
        yield Extension(part.name, part.raw, index)
    else:
        yield Attachment(index, part.media_type or "", part.data, part.url)
