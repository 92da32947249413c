"""What an answer in Gemini's format is made of when we write it: `chunk` the other way round."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw, Struct

if TYPE_CHECKING:
    from streamcore.events import Usage

__all__ = ["Call", "Candidate", "Chunk", "Content", "Counts", "Data", "Part", "counts", "encode"]

encode = msgspec.json.Encoder().encode


class Call(Struct, gc=False, omit_defaults=True):
    """A function call, whole."""

    name: str
    args: Raw
    id: str | None = None


class Data(Struct, gc=False, omit_defaults=True, rename="camel"):
    """An image, a sound, a file: of `inlineData` the bytes, of `fileData` the address."""

    mime_type: str | None = None
    data: bytes | None = None
    file_uri: str | None = None


class Part(Struct, gc=False, omit_defaults=True, rename="camel"):
    """A part of the answer."""

    text: str | None = None
    thought: bool | None = None
    function_call: Call | None = None
    inline_data: Data | None = None
    file_data: Data | None = None
    thought_signature: str | None = None


class Content(Struct, gc=False):
    """What a chunk adds. Parts of kinds that only Google understands are JSON."""

    parts: list[Part | Raw]
    role: str = "model"


class Candidate(Struct, gc=False, omit_defaults=True, rename="camel"):
    """The answer, and what is known about the whole of it."""

    content: Content
    finish_reason: str | None = None
    finish_message: Raw | str | None = None
    grounding_metadata: Raw | None = None
    url_context_metadata: Raw | None = None
    citation_metadata: Raw | None = None
    safety_ratings: Raw | None = None
    avg_logprobs: Raw | None = None
    continuation_token: Raw | None = None
    logprobs_result: Raw | None = None


class _Detail(Struct, gc=False, rename="camel"):
    modality: str
    token_count: int


class Counts(Struct, gc=False, omit_defaults=True, rename="camel"):
    """Tokens so far."""

    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    total_token_count: int | None = None
    prompt_tokens_details: list[_Detail] | None = None
    candidates_tokens_details: list[_Detail] | None = None
    service_tier: Raw | None = None
    traffic_type: Raw | None = None


class Chunk(Struct, gc=False, omit_defaults=True, rename="camel"):
    """One frame, or the whole answer."""

    candidates: list[Candidate | Raw] | None = None
    prompt_feedback: Raw | None = None
    usage_metadata: Counts | None = None
    model_version: str | None = None
    response_id: str | None = None


def counts(usage: Usage) -> Counts:
    """The usage in Google's terms: what was thought is not among what the candidates hold."""
    answer, thoughts = usage.output_tokens, usage.reasoning_tokens
    if answer is not None and thoughts is not None:
        answer = max(0, answer - thoughts)
    told = Counts(usage.input_tokens, usage.cache_read_tokens, answer, thoughts, usage.total_tokens)
    told.prompt_tokens_details = _details(usage.input_tokens, usage.input_audio_tokens, usage.input_image_tokens)
    told.candidates_tokens_details = _details(answer, usage.output_audio_tokens, usage.output_image_tokens)
    return told


def _details(total: int | None, audio: int | None, images: int | None) -> list[_Detail] | None:
    """What was counted apart, and the rest of the total as text."""
    if audio is None and images is None:
        return None
    details = [_Detail(name, count) for name, count in (("AUDIO", audio), ("IMAGE", images)) if count is not None]
    text = (total or 0) - (audio or 0) - (images or 0)
    return [_Detail("TEXT", text), *details] if text > 0 else details
