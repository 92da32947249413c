"""The chunks of a Chat Completions stream: exactly the fields that are read, whichever server sends them.

Every field may be null or missing from some server. `decode` is what each frame goes through, unless `decode_next` has
found it to be more of the same text; the `raw_*` functions read the same bytes once more, for the few chunks of which a
part is carried along as it was sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import msgspec
from msgspec import Raw, Struct

from streamcore.events import Failure, Usage
from streamcore.failures import read_error, shown

if TYPE_CHECKING:
    from streamcore.frames import Frame

__all__ = [
    "OF_RESPONSE",
    "Annotation",
    "Audio",
    "Choice",
    "Chunk",
    "Delta",
    "Function",
    "Image",
    "Part",
    "Tokens",
    "ToolCall",
    "decode",
    "decode_next",
    "failure_of",
    "raw_annotations",
    "raw_choice",
    "raw_logprobs",
    "raw_parts",
    "sent",
    "usage_of",
]

_NONE: Final = Raw()


class Function(Struct, gc=False):
    """`arguments` is a fragment of JSON text; an object from Mistral, whole."""

    name: str | None = None
    arguments: str | dict[str, object] | None = None


class ToolCall(Struct, gc=False):
    """A fragment of a call. `extra_content` is where Gemini puts its thought signature."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    extra_content: Raw = _NONE


class _URL(Struct, gc=False):
    url: str | None = None


class Image(Struct, gc=False):
    """A generated image."""

    image_url: _URL | str | None = None

    @property
    def address(self) -> str:
        """Where it is; "" if nowhere."""
        where = self.image_url
        return (where.url if isinstance(where, _URL) else where) or ""


class Audio(Struct, gc=False):
    """A piece of sound, base64 on the wire, or of its transcript."""

    id: str | None = None
    data: bytes | None = None
    transcript: str | None = None


class Part(Struct, gc=False):
    """A part of content that is a list: `thinking` is Mistral's word, `summary` that of Databricks."""

    type: str | None = None
    text: str | None = None
    thinking: list[Part] | str | None = None
    summary: list[Part] | str | None = None
    signature: str | None = None

    @property
    def reasoning(self) -> str:
        """The text of reasoning, as far as there is any."""
        inner = self.thinking or self.summary or ""
        return inner if isinstance(inner, str) else "".join(part.text or "" for part in inner)


class URLCitation(Struct, gc=False):
    """Where a passage of the text comes from."""

    url: str | None = None
    title: str | None = None
    content: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class Annotation(Struct, gc=False):
    """Of several kinds; this one is common to OpenAI and OpenRouter."""

    url_citation: URLCitation | None = None


class Delta(Struct, gc=False):
    """What a chunk adds to the message."""

    content: str | list[Part] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_text: str | None = None  # Copilot, as `reasoning_opaque`
    reasoning_details: list[dict[str, object]] | None = None  # OpenRouter, Vercel, MiniMax
    reasoning_opaque: str | None = None
    annotations: list[Annotation] | None = None
    images: list[Image] | None = None
    audio: Audio | None = None
    executed_tools: Raw = _NONE  # Groq
    provider_metadata: Raw = _NONE  # Vercel


class Choice(Struct, gc=False):
    """One of the answers."""

    index: int | None = None
    delta: Delta | None = None
    finish_reason: str | None = None
    logprobs: object = None
    content_filter_results: Raw = _NONE  # Azure

    @property
    def has_logprobs(self) -> bool:
        """Whether there are token probabilities; OpenRouter sends an object full of null for none."""
        found = self.logprobs
        return any(cast("dict[str, object]", found).values()) if isinstance(found, dict) else bool(found)

    @property
    def is_text(self) -> bool:
        """Whether this is text, and nothing that would have to be read again in the next chunk."""
        delta = self.delta
        if self.index or self.finish_reason or self.logprobs or delta is None:
            return False
        return isinstance(delta.content, str) and delta == Delta(content=delta.content)


class _PromptDetails(Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    created_cache_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class _CompletionDetails(Struct, gc=False):
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class Tokens(Struct, gc=False):
    """A usage object: the details that OpenAI knows, and where others put the same numbers."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    prompt_token_details: _PromptDetails | None = None  # Mistral's other spelling
    completion_tokens_details: _CompletionDetails | None = None
    cached_tokens: int | None = None  # Together, Moonshot
    num_cached_tokens: int | None = None  # Mistral
    prompt_cache_hit_tokens: int | None = None  # DeepSeek
    cache_read_input_tokens: int | None = None  # gateways before Anthropic
    cache_creation_input_tokens: int | None = None
    reasoning_tokens: int | None = None  # SGLang, Together, Perplexity
    completion_reasoning_tokens: int | None = None  # Groq's compound models
    cost: Raw = _NONE  # OpenRouter, Perplexity
    cost_in_usd_ticks: Raw = _NONE  # xAI


class _Groq(Struct, gc=False):
    usage: Tokens | None = None
    error: object = None


class _NextChunk(Struct, gc=False):
    """A chunk as far as it says whether it is more of the text before it: decoded in three quarters of the time."""

    choices: list[Choice] | None = None
    usage: Tokens | None = None
    x_groq: _Groq | None = None
    error: object = None


class Chunk(_NextChunk, gc=False):
    """One event of the stream."""

    id: str | None = None
    model: str | None = None
    service_tier: str | None = None
    provider: str | None = None
    citations: Raw = _NONE
    search_results: Raw = _NONE
    images: Raw = _NONE
    moderation: Raw = _NONE
    prompt_filter_results: Raw = _NONE
    warnings: Raw = _NONE
    cost: Raw = _NONE


OF_RESPONSE: Final = (
    "service_tier",
    "provider",
    "citations",
    "search_results",
    "images",
    "moderation",
    "prompt_filter_results",
    "warnings",
    "cost",
)
"""The fields of a chunk that are carried along: they belong to the response as a whole."""


class _RawDelta(Struct, gc=False):
    content: list[Raw] | str | None = None
    annotations: list[Raw] | None = None


class _RawChoice(Struct, gc=False):
    delta: _RawDelta | None = None
    logprobs: Raw = _NONE


class _RawChunk(Struct, gc=False):
    choices: list[Raw]


decode: Final = msgspec.json.Decoder(Chunk).decode
decode_next: Final = msgspec.json.Decoder(_NextChunk).decode
_decode_raw: Final = msgspec.json.Decoder(_RawChunk).decode
_decode_raw_choice: Final = msgspec.json.Decoder(_RawChoice).decode


def sent(raw: Raw) -> str:
    """JSON text as it was sent; "" for what is absent, null or empty."""
    text = bytes(raw).decode("utf-8", "replace")  # msgspec does not look into what it leaves raw
    return "" if text in ("null", "[]", "{}", '""') else text


def raw_choice(data: bytes, at: int) -> str:
    """One of the choices of a chunk."""
    return sent(_decode_raw(data).choices[at])


def raw_logprobs(data: bytes, at: int) -> str:
    """The token probabilities of one of the choices."""
    return sent(_decode_raw_choice(_decode_raw(data).choices[at]).logprobs)


def raw_parts(data: bytes, at: int) -> list[str]:
    """The parts of a content that is a list."""
    content = (_decode_raw_choice(_decode_raw(data).choices[at]).delta or _RawDelta()).content
    return [sent(part) for part in content] if isinstance(content, list) else []


def raw_annotations(data: bytes, at: int) -> list[str]:
    """The annotations of one of the choices."""
    delta = _decode_raw_choice(_decode_raw(data).choices[at]).delta or _RawDelta()
    return [sent(item) for item in delta.annotations or ()]


def usage_of(tokens: Tokens, *, reasoning_outside: bool = False) -> Usage:
    """The numbers by our names, with what lies outside the totals added to them.

    That reasoning is not counted as completion shows in a total that holds both (xAI); `reasoning_outside` says it of
    a server whose total does not. Mistral's prompt leaves its audio out.
    """
    prompt = tokens.prompt_tokens_details or tokens.prompt_token_details or _PromptDetails()
    completion = tokens.completion_tokens_details or _CompletionDetails()
    read, written = tokens.prompt_tokens, tokens.completion_tokens
    cached = _first(
        prompt.cached_tokens,
        tokens.cached_tokens,
        tokens.num_cached_tokens,
        tokens.prompt_cache_hit_tokens,
        tokens.cache_read_input_tokens,
    )
    reasoning = _first(completion.reasoning_tokens, tokens.reasoning_tokens, tokens.completion_reasoning_tokens)
    if read is not None and written is not None:
        rest = (tokens.total_tokens or 0) - read - written
        if reasoning and (reasoning_outside or rest == reasoning):
            written += reasoning
        elif rest > 0 and rest == prompt.audio_tokens:
            read += rest
        if cached is not None and cached > read:
            read += cached
    return Usage(
        input_tokens=read,
        output_tokens=written,
        cache_read_tokens=cached,
        cache_write_tokens=_first(
            prompt.cache_write_tokens,
            prompt.cache_creation_input_tokens,
            prompt.created_cache_tokens,
            tokens.cache_creation_input_tokens,
        ),
        reasoning_tokens=reasoning,
        input_audio_tokens=prompt.audio_tokens,
        output_audio_tokens=completion.audio_tokens,
        input_image_tokens=prompt.image_tokens,
        output_image_tokens=completion.image_tokens,
    )


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def failure_of(chunk: Chunk, frame: Frame) -> Failure | None:
    """The error that a chunk is, or has beside its choices."""
    error = chunk.error or (chunk.x_groq.error if chunk.x_groq else None)
    if not error and frame.event != "error" and chunk.choices is not None:
        return None
    failure = read_error(frame.data)
    if failure is None and (error or frame.event == "error"):
        failure = Failure("server", f"an error of unknown shape: {shown(frame.data)}")
    return failure
