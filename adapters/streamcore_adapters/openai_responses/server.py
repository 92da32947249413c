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
from streamcore.request import ExtensionPart, Image
from streamcore.serving import STATUSES, events

from .server_events import Encoder
from .server_items import code_of, json, losses
from .server_request import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.dialect import Call
    from streamcore.events import Failure, FailureKind
    from streamcore.message import Fold
    from streamcore.request import Part

__all__ = ["Encoder", "content_type", "error", "keep_alive", "losses", "parse", "path", "render"]

path: Final = "/v1/responses"
content_type: Final = "text/event-stream"
keep_alive: Final = sse.comment("keep-alive")

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
    return STATUSES[failure.kind], json({"error": {**told, "code": code_of(failure)}})


def render(fold: Fold, call: Call) -> bytes:
    """The response as one object: the one that its stream would have ended with."""
    encoder = Encoder(call)
    for event in events(fold, together=_one_block):
        encoder.feed(event)
    return encoder.answer


def _one_block(part: Part, following: Part) -> bool:
    """Whether the second part is the item that the first, an image, was taken from."""
    return isinstance(part, Image) and (
        isinstance(following, ExtensionPart) and following.name.startswith("openai_responses:image")
    )
