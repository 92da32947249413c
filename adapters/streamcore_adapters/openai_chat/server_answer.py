"""What an answer in this format is made of, whole or in chunks, and where its parts come from.

The Structs of `chunk` say what is read; these say what is written. JSON text that is carried along is written without
a raw newline, which many clients would take for the end of an event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, structs

from streamcore.serving import STATUSES, one_line
from streamcore.wire import opaque

from .chunk import OF_RESPONSE, Annotation, Choice, Part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.events import Citation, Extension, Failure, FailureKind, FinishReason, Usage

__all__ = [
    "SOUND",
    "Address",
    "AnswerChoice",
    "AnswerChunk",
    "AnswerDelta",
    "AnswerMessage",
    "CallOut",
    "FunctionOut",
    "ImageOut",
    "Replay",
    "Sound",
    "UsageOut",
    "annotation",
    "error",
    "error_body",
    "finish_reason",
    "json",
    "place",
    "usage_out",
]

SOUND: Final = "audio/pcm"
"""The one format of sound that is streamed."""

json: Final = msgspec.json.Encoder().encode
_OWN: Final = "openai_chat:"
_PLACES: Final[Mapping[str, str]] = {
    **dict.fromkeys(OF_RESPONSE, "chunk"),
    **dict.fromkeys(("logprobs", "content_filter_results"), "choice"),
    **dict.fromkeys(("executed_tools", "provider_metadata", "annotation"), "delta"),
    **dict.fromkeys(("cost", "cost_in_usd_ticks"), "usage"),
    "choice": "choices",
}
_TEXTS: Final = ("service_tier", "provider")  # of what is carried along, those that are a string
_TYPES: Final[Mapping[FailureKind, str]] = {
    "invalid": "invalid_request_error",
    "auth": "authentication_error",
    "permission": "permission_error",
    "not_found": "not_found_error",
    "quota": "insufficient_quota",
    "rate_limit": "rate_limit_error",
    "overloaded": "service_unavailable_error",
    "timeout": "timeout_error",
    "cancelled": "cancelled",
}


class Address(Struct, gc=False):
    """Where an image is: a `data:` URL too."""

    url: str


class ImageOut(Struct, gc=False):
    """A generated image, as OpenRouter sends it."""

    image_url: Address
    type: Literal["image_url"] = "image_url"


class FunctionOut(Struct, gc=False, omit_defaults=True):
    """The function of a call; `arguments` are a string in every fragment: there are clients that add them up blindly."""

    arguments: str | UnsetType = UNSET
    name: str | None = None


class CallOut(Struct, gc=False, omit_defaults=True):
    """A tool call or a fragment of one; only a fragment has an `index`."""

    function: FunctionOut
    index: int | UnsetType = UNSET
    id: str | None = None
    type: str | None = None
    extra_content: Raw | UnsetType = UNSET


class Sound(Struct, gc=False, omit_defaults=True):
    """A piece of sound, base64, or its id. The whole answer has a transcript, here empty: it was told as text."""

    id: str | None = None
    data: str | None = None
    transcript: str | None = None


class AnswerDelta(Struct, gc=False, omit_defaults=True):
    """What a chunk adds."""

    role: str | None = None
    content: str | list[Raw] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning_details: list[dict[str, Raw]] | None = None
    reasoning_opaque: str | None = None
    tool_calls: list[CallOut] | None = None
    annotations: list[Raw] | None = None
    images: list[ImageOut] | None = None
    audio: Sound | None = None
    executed_tools: Raw | UnsetType = UNSET
    provider_metadata: Raw | UnsetType = UNSET


class AnswerMessage(Struct, gc=False):
    """A whole message: its content and refusal are always there, null for none."""

    role: str = "assistant"
    content: str | list[Raw] | None = None
    refusal: str | None = None
    reasoning_content: str | UnsetType = UNSET
    reasoning_details: list[dict[str, Raw]] | UnsetType = UNSET
    reasoning_opaque: str | UnsetType = UNSET
    tool_calls: list[CallOut] | UnsetType = UNSET
    annotations: list[Raw] | UnsetType = UNSET
    images: list[ImageOut] | UnsetType = UNSET
    audio: Sound | UnsetType = UNSET
    executed_tools: Raw | UnsetType = UNSET
    provider_metadata: Raw | UnsetType = UNSET


class AnswerChoice(Struct, gc=False):
    """The one answer: `delta` in a stream, else `message`."""

    delta: AnswerDelta | UnsetType = UNSET
    message: AnswerMessage | UnsetType = UNSET
    index: int = 0
    finish_reason: str | None = None
    logprobs: Raw | UnsetType = UNSET
    content_filter_results: Raw | UnsetType = UNSET


class _PromptOut(Struct, gc=False, omit_defaults=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class _CompletionOut(Struct, gc=False, omit_defaults=True):
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class UsageOut(Struct, gc=False):
    """Token counts. The three sums are always there: null, never 0, where they are unknown."""

    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    prompt_tokens_details: _PromptOut | UnsetType
    completion_tokens_details: _CompletionOut | UnsetType
    cost: Raw | UnsetType = UNSET
    cost_in_usd_ticks: Raw | UnsetType = UNSET


class AnswerChunk(Struct, gc=False):
    """A chunk, or a whole answer. `usage` is null in a chunk that is not the last of a stream that will have it."""

    id: str
    object: str
    created: int
    model: str
    choices: list[AnswerChoice | Raw]
    usage: UsageOut | UnsetType | None = UNSET
    service_tier: Raw | UnsetType = UNSET
    provider: Raw | UnsetType = UNSET
    citations: Raw | UnsetType = UNSET
    search_results: Raw | UnsetType = UNSET
    images: Raw | UnsetType = UNSET
    moderation: Raw | UnsetType = UNSET
    prompt_filter_results: Raw | UnsetType = UNSET
    warnings: Raw | UnsetType = UNSET


class Replay(Struct, gc=False):
    """What a `BlockEnd` carries of this format."""

    reasoning_details: list[dict[str, Raw]] | None = None
    reasoning_opaque: str | None = None
    extra_content: Raw | UnsetType = UNSET
    audio: Sound | None = None

    @classmethod
    def read(cls, text: str | None) -> Replay:
        """Nothing, if `text` is another provider's."""
        raw = one_line(text)
        return (opaque(bytes(raw).decode(), cls) if raw else None) or cls()


class _Error(Struct, gc=False):
    message: str
    type: str
    code: str
    param: None = None


class _ErrorBody(Struct, gc=False):
    error: _Error


def place(event: Extension) -> tuple[str, str, Raw]:
    """Where an extension goes, the field there, and its text; nowhere ("") if it is another provider's or malformed."""
    own, _, name = event.name.partition(":")
    raw, where = one_line(event.raw), _PLACES.get(name, "")
    if f"{own}:" != _OWN or raw is None or (name in _TEXTS and bytes(raw)[:1] != b'"'):
        return "", name, Raw()
    if event.index is not None:
        part = opaque(event.raw, Part)
        where = "content" if part and part.type == name and name not in ("text", "thinking", "reasoning") else ""
    elif name == "choice":
        choice = opaque(event.raw, Choice)
        where = where if choice and choice.index else ""
    elif name == "annotation":
        found = opaque(event.raw, Annotation)
        where, name = where if found and not found.url_citation else "", "annotations"
    return where, name, raw


def annotation(event: Citation, base: int = 0) -> Raw | None:
    """A citation as its provider wrote it if that was this format, else from its fields; None if it has no address.

    `base` is how much text came before the citation's own block: an annotation counts from the beginning of all.
    """
    found = opaque(event.raw, Annotation)
    raw = one_line(event.raw) if found and found.url_citation and not base else None
    if raw is not None or event.url is None:
        return raw
    fields = {
        "start_index": None if event.start is None else event.start + base,
        "end_index": None if event.end is None else event.end + base,
        "url": event.url,
        "title": event.title,
        "content": event.text,
    }
    source = {name: value for name, value in fields.items() if value is not None}
    return Raw(json({"type": "url_citation", "url_citation": source}))


def usage_out(usage: Usage, costs: Mapping[str, Raw]) -> UsageOut:
    """The numbers in the format's own places, and what they cost where a provider said it."""
    prompt = _PromptOut(
        usage.cache_read_tokens, usage.cache_write_tokens, usage.input_audio_tokens, usage.input_image_tokens
    )
    completion = _CompletionOut(usage.reasoning_tokens, usage.output_audio_tokens, usage.output_image_tokens)
    out = UsageOut(
        usage.input_tokens,
        usage.output_tokens,
        usage.total_tokens,
        prompt if prompt != _PromptOut() else UNSET,
        completion if completion != _CompletionOut() else UNSET,
    )
    return structs.replace(out, **costs)


def finish_reason(reason: FinishReason, *, calls: bool, refusal: bool) -> str:
    """The format's word. It has four; a refusal without words and an answer that pauses take the nearest that warns."""
    if reason == "stop":
        return "tool_calls" if calls else "stop"
    if reason == "refusal":
        return "stop" if refusal else "content_filter"
    return {"pause": "length", "other": "stop"}.get(reason, reason)


def error_body(failure: Failure) -> bytes:
    """The error object. Where the provider gave no code, ours is the failure's kind."""
    kind = failure.kind
    return json(_ErrorBody(_Error(failure.message or kind, _TYPES.get(kind, "server_error"), failure.code or kind)))


def error(failure: Failure) -> tuple[int, bytes]:
    """The HTTP status and the body that say a failure before the stream has begun."""
    return STATUSES[failure.kind], error_body(failure)
