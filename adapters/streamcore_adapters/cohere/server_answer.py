"""What an answer in Cohere's format is made of when we write it, in a stream or whole, and what has no place in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Raw, Struct

from streamcore.events import Failure, Finish, Usage
from streamcore.request import ReasoningPart, RefusalPart, Text, ToolCall
from streamcore.serving import STATUSES, given, one_line
from streamcore.wire import opaque, present

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streamcore.dialect import Call
    from streamcore.events import Citation, FailureKind
    from streamcore.message import Fold
    from streamcore.request import Part

__all__ = [
    "Place",
    "error",
    "failed",
    "finish_reason",
    "has_word",
    "json",
    "losses",
    "render",
    "source",
    "usage_out",
    "whole",
]

json: Final = msgspec.json.Encoder().encode

losses: Final[Mapping[str, str]] = {
    "Attachment": "an answer is words and calls",
    "BlockEnd.opaque": "nothing can be sent along to come back; that reasoning was a plan is known too late in a stream",
    "Citation": "only words have sources; one that comes when its words have given way is loose",
    "Citation.raw": "another provider's citation is written anew, in this format's words",
    "Citation.text": "what was quoted is the snippet of a document, which has no one name among Cohere's",
    "Extension": "only this format's own have a place, likelihoods beside words",
    "Failure.detail": "an error within a stream is words and a code",
    "Failure.kind": "an error within a stream is `ERROR` or `TIMEOUT` and a code, the provider's own if it gave one",
    "Failure.request_id": "an error within a stream is words and a code",
    "Failure.retry_after": "an error within a stream is words and a code",
    "Failure.should_retry": "an error within a stream is words and a code",
    "Failure.status": "the stream began with 200",
    "Finish.raw": "another provider's word gives way to this format's",
    "Finish.reason": "there are words for stop, which is of calls if there are any, and length; others are read as `other`",
    "ReasoningDelta.index": "contents come one after the other: a block that gave way goes on as another",
    "RefusalDelta": "written as text",
    "Start.model": "an answer does not name its model",
    "TextDelta.index": "contents come one after the other: a block that gave way goes on as another",
    "Usage.cache_write_tokens": "not counted apart",
    "Usage.input_audio_tokens": "not counted apart",
    "Usage.output_audio_tokens": "not counted apart",
    "Usage.output_image_tokens": "not counted apart",
}

_WORDS: Final = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}
_TYPES: Final = {"text": "TEXT_CONTENT", "thinking": "THINKING_CONTENT"}
_CITED: Final = {"PLAN": "plan", "THINKING_CONTENT": "thinking"}  # anything else is text


_CODES: Final[Mapping[FailureKind, str]] = {  # words that are read as what they say
    "auth": "authentication_error",
    "permission": "permission_error",
    "invalid": "invalid_request_error",
    "not_found": "not_found_error",
    "quota": "insufficient_quota",
    "rate_limit": "rate_limit_error",
    "overloaded": "overloaded_error",
    "timeout": "timeout_error",
    "cancelled": "cancelled",
}


class Place(Struct, gc=False):
    """Where words of an answer stand: in which content, of what kind, and which they are.

    `base` is how many characters of our block came before this content, and `words` is what is in it. `last` is whether
    a reader takes a citation that names no content for one of this.
    """

    kind: str
    number: int
    words: str
    base: int = 0
    last: bool = True


class _Own(Struct, gc=False):
    """What marks a citation as one of Cohere's."""

    sources: list[Raw]
    type: str | None = None
    content_index: int | None = None


class _Plan(Struct, gc=False):
    tool_plan: bool = False


def whole(text: str | None) -> Raw | None:
    """JSON text on one line; None if it is no JSON, or null."""
    raw = one_line(text)
    return None if raw is None or not given(raw) else raw


def source(event: Citation, place: Place | None, *, moved: bool = True) -> tuple[Raw, bool]:
    """A citation in Cohere's words, and whether it was one of Cohere's: these are moved along with their words.

    Without a place, one of another provider's does not say which words rest on the source.
    """
    own, raw = opaque(event.raw, _Own), whole(event.raw)
    if own is None or raw is None:
        where = {} if place is None else _where(event, place)
        document = present({"url": event.url, "title": event.title, "snippet": event.text})
        return Raw(json({**where, "sources": [{"type": "document", "document": document}]})), False
    if place is None or not moved:
        return raw, True
    named = own.content_index == place.number or (own.content_index is None and place.last)
    if named and not place.base and _CITED.get(own.type or "", "text") == place.kind:
        return raw, True
    fields: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, Raw])
    kept = {name: value for name, value in fields.items() if name not in {"start", "end", "text"}}
    return Raw(json({**kept, **_where(event, place)})), True


def _where(event: Citation, place: Place) -> dict[str, Any]:
    """Which words of the answer rest on a source, as far as they are known, and in this content."""
    found: dict[str, Any] = {"type": _TYPES[place.kind], "content_index": place.number}
    ends = {"start": event.start, "end": event.end}
    moved = {name: at - place.base for name, at in ends.items() if at is not None}
    if min(moved.values(), default=-1) < 0:
        return found
    if len(moved) == len(ends):
        found["text"] = place.words[moved["start"] : moved["end"]]
    return {**moved, **found}


def finish_reason(finish: Finish, *, calls: bool) -> str:
    """The format's word; where it has none, ours in its letters."""
    if finish.reason == "stop":
        word = "STOP_SEQUENCE" if finish.raw == "STOP_SEQUENCE" else "COMPLETE"
        return "TOOL_CALL" if calls else word
    return _WORDS.get(finish.reason, finish.reason.upper())


def has_word(finish: Finish) -> bool:
    """Whether the format has a word for this reason."""
    return finish.reason in _WORDS


def usage_out(usage: Usage, billed: Raw | None) -> dict[str, Any] | None:
    """The counts in the format's own places; None if there are none."""
    tokens = present(
        {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "image_tokens": usage.input_image_tokens,
        }
    )
    return present({"billed_units": billed, "tokens": tokens or None, "cached_tokens": usage.cache_read_tokens}) or None


def failed(failure: Failure) -> dict[str, Any]:
    """How a message ends that failed."""
    return {"finish_reason": "TIMEOUT" if failure.kind == "timeout" else "ERROR", **_fault(failure)}


def error(failure: Failure) -> tuple[int, bytes]:
    """The HTTP status and the body that say a failure before the stream has begun."""
    fault = _fault(failure)
    return STATUSES[failure.kind], json({"message": fault["error"], "error_type": fault["error_type"]})


def _code(failure: Failure) -> str:
    """The provider's own code, or else a word for the kind."""
    return failure.code or _CODES.get(failure.kind, "server_error")


def _fault(failure: Failure) -> dict[str, Any]:
    return {"error": failure.message or failure.kind, "error_type": _code(failure)}


def render(fold: Fold, call: Call) -> bytes:
    """The whole answer as one body. One that failed says so as Cohere does, only one that has ended has a reason."""
    message = _message(fold.message.parts, fold.citations)
    billed, logprobs = None, list[Raw]()
    for extension in fold.extensions:
        raw = whole(extension.raw)
        if raw is None:
            continue
        if extension.name == "cohere:billed_units":
            billed = raw
        elif extension.name == "cohere:logprobs":
            logprobs.append(raw)
        elif extension.name == "cohere:citations":
            message.setdefault("citations", []).append(raw)
    body: dict[str, Any] = {"id": fold.id or call.id, "finish_reason": None, "message": message}
    if isinstance(fold.outcome, Finish):
        body["finish_reason"] = finish_reason(fold.outcome, calls="tool_calls" in message)
    elif isinstance(fold.outcome, Failure):
        body |= failed(fold.outcome)
    usage = usage_out(fold.usage or Usage(), billed)
    return json({**body, **present({"usage": usage, "logprobs": logprobs or None})})


def _message(parts: Iterable[Part], citations: Iterable[Citation]) -> dict[str, Any]:
    """The message: a plan and calls stand beside its content, and so do the sources of all its texts."""
    content: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    plan, texts = "", list[Place]()
    for part in parts:
        if isinstance(part, ToolCall):
            function = {"name": part.name, "arguments": part.arguments}
            calls.append({"id": part.id, "type": "function", "function": function})
        elif isinstance(part, ReasoningPart):
            if (opaque(part.opaque, _Plan) or _Plan()).tool_plan:
                plan += part.text
            elif part.text:
                content.append({"type": "thinking", "thinking": part.text})
        elif isinstance(part, Text | RefusalPart) and part.text:
            texts.append(Place("text", len(content), part.text))
            content.append({"type": "text", "text": part.text})
    place = texts[0] if len(texts) == 1 else None
    sources = [source(citation, place, moved=False)[0] for citation in citations]
    fields = {"tool_calls": calls, "tool_plan": plan, "content": content, "citations": sources}
    return {"role": "assistant", **{name: value for name, value in fields.items() if value}}
