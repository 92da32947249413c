"""The events that every provider's stream becomes.

    stream = Start *(delta | BlockEnd | Usage) (Finish | Failure)

Content comes in *blocks*, numbered from 0 in order of appearance by `index`. The first delta of an index opens its
block; `BlockEnd` closes it; several may be open at once. Every open block has ended before `Finish`. There is exactly
one last event, and it is a `Finish` or a `Failure`: a body that stops early is a `Failure`, never a `Finish`.

All events are msgspec Structs, tagged in the field `type`, so a recorded stream is one JSON line an event. Provider
data that we carry without reading it (`raw`, `opaque`) is JSON text, exactly as it was sent.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

__all__ = [
    "Attachment",
    "BlockEnd",
    "Citation",
    "Delta",
    "Event",
    "Extension",
    "Failure",
    "FailureKind",
    "Finish",
    "FinishReason",
    "ReasoningDelta",
    "RefusalDelta",
    "Start",
    "TextDelta",
    "ToolCallDelta",
    "ToolCallStart",
    "Usage",
    "is_content",
]

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "refusal", "pause", "other"]

FailureKind: TypeAlias = Literal[
    "auth",
    "permission",
    "invalid",
    "not_found",
    "rate_limit",
    "quota",
    "overloaded",
    "server",
    "protocol",
    "truncated",
    "connection",
    "timeout",
    "cancelled",
]

_RETRYABLE = frozenset({"rate_limit", "overloaded", "server", "truncated", "connection", "timeout"})


class _Event(Struct, frozen=True, gc=False, tag_field="type", omit_defaults=True):
    """What all events share: immutable, compared by value, unseen by the garbage collector."""


class Start(_Event, frozen=True, gc=False, tag="start"):
    """The response began. `model` is the one that really answers, which may differ from the one asked for."""

    id: str | None = None
    model: str | None = None


class TextDelta(_Event, frozen=True, gc=False, tag="text"):
    """More of the answer."""

    index: int
    text: str


class ReasoningDelta(_Event, frozen=True, gc=False, tag="reasoning"):
    """More of the reasoning, or of its summary. Empty where a provider keeps the text and sends only a signature."""

    index: int
    text: str


class RefusalDelta(_Event, frozen=True, gc=False, tag="refusal"):
    """The model declines, in words."""

    index: int
    text: str


class ToolCallStart(_Event, frozen=True, gc=False, tag="tool_call"):
    """A tool call began. `id` is the provider's, or made up here where the provider has none; unique in the stream."""

    index: int
    id: str
    name: str


class ToolCallDelta(_Event, frozen=True, gc=False, tag="arguments"):
    """A fragment of the call's arguments: of JSON text, not a JSON value."""

    index: int
    arguments: str


class Citation(_Event, frozen=True, gc=False, tag="citation"):
    """A source for block `index`.

    `start` and `end` count characters of that block's text, where the provider says so; `text` is what was quoted
    from the source; `raw` is the provider's own citation as JSON text.
    """

    index: int
    url: str | None = None
    title: str | None = None
    text: str | None = None
    start: int | None = None
    end: int | None = None
    raw: str | None = None


class Attachment(_Event, frozen=True, gc=False, tag="attachment"):
    """A generated image, sound or file, or a piece of one: `data` of one block joins in order. Bytes or a URL."""

    index: int
    media_type: str
    data: bytes | None = None
    url: str | None = None


class Extension(_Event, frozen=True, gc=False, tag="extension"):
    """What only this provider has, kept so that nothing is lost.

    `name` is `"<adapter>:<the provider's word>"`; `raw` is JSON text. With an `index` it is (part of) a content block
    that the same provider wants back in the next request; without, it belongs to the response.
    """

    name: str
    raw: str
    index: int | None = None


class BlockEnd(_Event, frozen=True, gc=False, tag="block_end"):
    """Block `index` is complete; if it is a tool call, it may now run.

    `opaque` is JSON text (an object) that the same provider must get back with this block: a signature, encrypted
    reasoning, an item id. None where there is none.
    """

    index: int
    opaque: str | None = None


class Usage(_Event, frozen=True, gc=False, tag="usage"):
    """Tokens so far, as the provider counts them. Cumulative: the last one counts. Unknown is None, never 0.

    `input_tokens` is everything read, cache included; `output_tokens` everything generated, reasoning included. The
    others are parts of these two.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    input_audio_tokens: int | None = None
    output_audio_tokens: int | None = None
    input_image_tokens: int | None = None
    output_image_tokens: int | None = None

    @property
    def total_tokens(self) -> int | None:
        """Input and output together; None unless both are known."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens


class Finish(_Event, frozen=True, gc=False, tag="finish"):
    """The answer ended as the provider meant it to. `reason` is ours, `raw` the provider's word."""

    reason: FinishReason
    raw: str | None = None


class Failure(_Event, frozen=True, gc=False, tag="failure"):
    """The answer ended badly. Data that can be sent, stored and compared; carries no header, key or prompt.

    `detail` narrows the kind: for `timeout` which clock ran out (connect, first_token, idle, total), for `connection`
    what broke (dns, refused, tls, reset, ...), for `protocol` what was malformed (json, too_large, content_type,
    grammar, ...). `code` is the provider's own error code, `status` the HTTP status if one was received,
    `retry_after` seconds. `should_retry` is the provider's word on it, if it gave one.
    """

    kind: FailureKind
    message: str
    detail: str | None = None
    status: int | None = None
    code: str | None = None
    retry_after: float | None = None
    should_retry: bool | None = None
    request_id: str | None = None

    @property
    def retryable(self) -> bool:
        """Whether the same request may do better later: the provider's word, else what the kind implies."""
        return self.kind in _RETRYABLE if self.should_retry is None else self.should_retry


Delta: TypeAlias = (
    TextDelta | ReasoningDelta | RefusalDelta | ToolCallStart | ToolCallDelta | Citation | Attachment | Extension
)
"""The events that carry content."""

Event: TypeAlias = Start | Delta | BlockEnd | Usage | Finish | Failure
"""Every event. Match on it exhaustively: a new one then breaks your type check, not your service."""

_CONTENT = frozenset({ToolCallStart, Citation, Attachment})


def is_content(event: Event, /) -> bool:
    """Whether the event says something of the answer: not a bare start, an empty delta, a count or an end of something."""
    if isinstance(event, TextDelta | ReasoningDelta | RefusalDelta):
        return event.text != ""
    if isinstance(event, ToolCallDelta):
        return event.arguments != ""
    return type(event) in _CONTENT or (isinstance(event, Extension) and event.index is not None)
