"""The pieces of an Anthropic answer, made of ours: blocks, citations, counts, the error. Why so: see `server`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct

from streamcore.events import Citation, Extension, Failure, FailureKind, Finish, FinishReason, Usage
from streamcore.request import ExtensionPart, ReasoningPart, RefusalPart, Text, ToolCall
from streamcore.serving import STATUSES
from streamcore.wire import opaque, present

from .blocks import DELTAS, RETURNED
from .decoder import COUNTED, READ, REASONS
from .request import is_citation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.dialect import Call
    from streamcore.request import Part

__all__ = [
    "UNNAMED",
    "block",
    "citation",
    "counts",
    "error_body",
    "error_status",
    "fact",
    "message",
    "own_block",
    "returned",
    "signature",
    "stop_reason",
    "unknown_delta",
]

_WORDS: Final[Mapping[FinishReason, str | None]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
    "other": None,  # any client has to know null, and this one does not tell it a reason that was none
}
_TYPES: Final[Mapping[FailureKind, str]] = {
    "auth": "authentication_error",
    "permission": "permission_error",
    "invalid": "invalid_request_error",
    "not_found": "not_found_error",
    "rate_limit": "rate_limit_error",
    "quota": "billing_error",
    "overloaded": "overloaded_error",
    "timeout": "timeout_error",
}
_STATUSES: Final[Mapping[FailureKind, int]] = {**STATUSES, "quota": 402, "overloaded": 529}
_OWN: Final = "anthropic:"

UNNAMED: Final[frozenset[FailureKind]] = frozenset({"protocol", "truncated", "connection", "cancelled"})
"""The kinds that are all an `api_error`."""


class _Signed(Struct, forbid_unknown_fields=True):
    signature: str


class _Typed(Struct):
    type: str


class _Event(Struct, tag="content_block_delta", tag_field="type"):
    delta: Raw


def message(id: str | None, model: str | None, call: Call, usage: Mapping[str, object]) -> dict[str, object]:
    """A message without content yet."""
    return {
        "id": id or call.id,
        "type": "message",
        "role": "assistant",
        "model": model or call.request.model or "",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


def block(part: Part, sources: Mapping[str | None, Citation]) -> object | None:
    """A part of the answer as a block; None if it has nothing in it, or no place. `sources` are by their `raw`."""
    match part:
        case Text():
            found = [citation(sources.get(raw, Citation(0, raw=raw))) for raw in part.citations]
            cited = [source for source in found if source is not None]
            text = {"type": "text", "text": part.text, "citations": cited or None}
            return present(text) if part.text or cited else None
        case RefusalPart() if part.text:
            return {"type": "text", "text": part.text}
        case ReasoningPart():
            signed = signature(part.opaque) or ""
            return {"type": "thinking", "thinking": part.text, "signature": signed} if part.text or signed else None
        case ToolCall():
            given = part.arguments or "{}"
            input = {"INVALID_JSON": given} if opaque(given, dict[str, Raw]) is None else Raw(given.encode())
            return {
                "type": "tool_use",
                "id": part.id,
                "name": part.name,
                "input": input,
                **(returned(part.opaque) or {}),
            }
        case ExtensionPart():
            return own_block(part.name, part.raw)
        case _:
            return None


def signature(text: str | None) -> str | None:
    """What signs a block of thinking: Anthropic's signature, or all that another provider's `BlockEnd` carried.

    "" if there is nothing, None if it is no JSON object.
    """
    if text is None:
        return ""
    own = opaque(text, _Signed)
    if own is not None:
        return own.signature
    return None if opaque(text, dict[str, Raw]) is None else text


def returned(text: str | None) -> dict[str, Raw] | None:
    """What a call's `BlockEnd` carried; None if that is not Anthropic's."""
    fields = {} if text is None else opaque(text, dict[str, Raw])
    if fields is None or not fields.keys() <= RETURNED:
        return None
    return {name: _line(raw) for name, raw in fields.items()}


def citation(event: Citation) -> object | None:
    """A citation: a Raw if it is Anthropic's own, else one of a web search; None if it has no URL."""
    raw = event.raw or ""
    if is_citation(raw):
        return _line(Raw(raw.encode()))
    if event.url is None:
        return None
    return {
        "type": "web_search_result_location",
        "url": event.url,
        "title": event.title or "",
        "cited_text": event.text or "",
        "encrypted_index": "" if opaque(raw, dict[str, Raw]) is None else raw,
    }


def own_block(name: str, raw: str) -> Raw | None:
    """A block that only Anthropic has."""
    if not name.startswith(_OWN) or opaque(raw, _Typed) is None:
        return None
    return _line(Raw(raw.encode()))


def fact(event: Extension) -> tuple[str, Raw] | None:
    """What belongs to the whole answer, by its name on the wire; None if it is not Anthropic's."""
    name = event.name.removeprefix(_OWN)
    raw = opaque(event.raw, Raw)
    if raw is None or name == event.name:
        return None
    if name in READ and (name != "usage" or opaque(event.raw, dict[str, Raw]) is None):
        return None
    return name, _line(raw)


def unknown_delta(event: Extension) -> Raw | None:
    """What was added to a block in a way that the decoder has not heard of."""
    whole = opaque(event.raw, _Event)
    if whole is None or not event.name.startswith(_OWN):
        return None
    delta = opaque(bytes(whole.delta).decode(), _Typed)
    return None if delta is None or delta.type in DELTAS else _line(whole.delta)


def counts(usage: Usage, more: Raw | None = None) -> dict[str, object]:
    """The counts, and what else Anthropic's usage had. Input is what the cache neither gave nor took."""
    read, written = usage.cache_read_tokens, usage.cache_write_tokens
    uncached = (usage.input_tokens or 0) - (read or 0) - (written or 0)
    details = None if usage.reasoning_tokens is None else {"thinking_tokens": usage.reasoning_tokens}
    own = {} if more is None else msgspec.json.decode(more, type=dict[str, Raw])
    return {
        **{name: raw for name, raw in own.items() if name not in COUNTED},
        **present(
            {
                "input_tokens": max(uncached, 0),
                "cache_creation_input_tokens": written,
                "cache_read_input_tokens": read,
                "output_tokens": usage.output_tokens or 0,
                "output_tokens_details": details,
            }
        ),
    }


def stop_reason(finish: Finish) -> str | None:
    """The provider's word if it is one of Anthropic's and means the same."""
    if finish.raw is not None and REASONS.get(finish.raw) == finish.reason:
        return finish.raw
    return _WORDS[finish.reason]


def error_body(failure: Failure) -> dict[str, object]:
    """The error, with the provider's code; without one, the kind where the type does not tell it."""
    type = _TYPES.get(failure.kind, "api_error")
    code = failure.code or (failure.kind if failure.kind in UNNAMED else type)
    details = None if code == type else {"error_code": code}
    body = present({"type": type, "message": failure.message, "details": details})
    return present({"type": "error", "error": body, "request_id": failure.request_id})


def error_status(failure: Failure) -> int:
    """The HTTP status of a failure: Anthropic's own, or a gateway's."""
    return _STATUSES[failure.kind]


def _line(raw: Raw) -> Raw:
    """JSON on one line: an end of line can only stand between its tokens."""
    return Raw(bytes(raw).replace(b"\n", b" ").replace(b"\r", b" "))
