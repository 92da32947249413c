"""Serves Anthropic Messages: our events as named server-sent events, or as one message.

    message_start (content_block_start content_block_delta* content_block_stop)* message_delta message_stop

One block is open at a time, and ours may be several. Text and reasoning give way: what another block interrupts is
stopped, and goes on, if it does, as a block of its own, so that nobody waits for words that are there. A tool call is
not interrupted, for its stop says that it may run: what comes beside it waits for its end, block by block, and is not
sent if the call never ends because the answer failed. A block without content is not sent: the API would not take it
back.

`message_start` waits for the event after `Start`, which may be the `Usage` that belongs into it. Clients insist on
numbers there and for the output in `message_delta`, so what is not known is 0 until it is: `message_delta` has every
count that was ever reported, also before an error, where it names no stop reason.

What a `BlockEnd` carried is a thinking block's `signature`: Anthropic's own as it was, any other provider's as its
whole JSON, which `parse` tells apart. If that comes after the block gave way, it gets an empty thinking block. A tool
call's start waits for its second fragment or its end, because `caller` and `toolset_name`, which stand in it, come
with the end. Another provider's citation is one of a web search, its JSON in `encrypted_index`.

So what comes back through the adapter is the same but for this (the normal form): blocks in that order, cut where they
gave way, and none empty; refusals as text; the opaque of reasoning in a signature, and no other but of calls in one
piece; two usages, where 0 may stand for unknown; loose extensions before the outcome, the last of each name.

Sources: as `anthropic`, and what the official SDKs and `@ai-sdk/anthropic` (its schema insists on `input_tokens` and
`output_tokens`) do with a stream; read November 2026.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from streamcore import sse
from streamcore.errors import LocalError
from streamcore.events import Failure, Finish, Usage

from .server_encoder import Encoder
from .server_request import parse
from .server_shapes import block, counts, error_body, error_status, fact, message, stop_reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.dialect import Call
    from streamcore.message import Fold

__all__ = ["Encoder", "content_type", "error", "keep_alive", "losses", "parse", "path", "render"]

path: Final = "/v1/messages"
content_type: Final = "text/event-stream"
keep_alive: Final = sse.encode(b'{"type": "ping"}', event="ping")

losses: Final[Mapping[str, str]] = {
    "TextDelta.index": "one block is open at a time: what another interrupts goes on as a block of its own",
    "ReasoningDelta.index": "one block is open at a time: what another interrupts goes on as a block of its own",
    "Attachment": "an answer holds no images, sounds or files",
    "BlockEnd.opaque": "only thinking is signed; a call has `caller` and `toolset_name`, if it comes in one fragment",
    "Citation": "stands in text, and has a URL if it is another provider's",
    "Citation.start": "a citation is of its whole block",
    "Citation.end": "a citation is of its whole block",
    "Extension": "another provider's, or none of the places that this one's have",
    "Failure": "what waited for the end of a tool call is not sent if the answer fails before",
    "Failure.detail": "an error has a type, a code and a message",
    "Failure.kind": "protocol, truncated, connection and cancelled are an api_error, and its code if there is no other",
    "Failure.retry_after": "a header, which an error inside a stream has none of",
    "Failure.should_retry": "a header, which an error inside a stream has none of",
    "Failure.status": "inside a stream it is 200",
    "Finish.raw": "another provider's word",
    "Finish.reason": "a content filter's stop is sent as a refusal",
    "RefusalDelta": "sent as text; the stop reason says what it is",
    "Usage.input_tokens": "0 where it is not known to the end: clients insist on a number",
    "Usage.output_tokens": "0 where it is not known to the end: clients insist on a number",
    "Usage.input_audio_tokens": "counted in the whole only",
    "Usage.output_audio_tokens": "counted in the whole only",
    "Usage.input_image_tokens": "counted in the whole only",
    "Usage.output_image_tokens": "counted in the whole only",
}


def render(fold: Fold, call: Call) -> bytes:
    """The message.

    Raises:
        LocalError: The answer failed, which no message can say: see `error`.
    """
    outcome = fold.outcome
    if isinstance(outcome, Failure):
        raise LocalError(f"the answer failed ({outcome.kind}), and a message would not say so")
    facts = dict(found for event in fold.extensions if (found := fact(event)) is not None)
    sources = {citation.raw: citation for citation in fold.citations}
    usage = counts(fold.usage or Usage(), facts.pop("usage", None))
    answer = message(fold.id, fold.model, call, usage)
    answer["content"] = [made for part in fold.message.parts if (made := block(part, sources)) is not None]
    answer["stop_reason"] = stop_reason(outcome) if isinstance(outcome, Finish) else None
    return msgspec.json.encode(answer | facts)


def error(failure: Failure) -> tuple[int, bytes]:
    """The HTTP status and the body that say a failure."""
    return error_status(failure), msgspec.json.encode(error_body(failure))
