"""A whole answer of Chat Completions, for a client that did not ask for a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Raw, Struct, structs

from streamcore.events import Extension, Finish
from streamcore.request import ExtensionPart, File, Image, ReasoningPart, RefusalPart, Text, ToolCall
from streamcore.wire import base64_text, data_url, opaque

from .server_answer import (
    SOUND,
    Address,
    AnswerChoice,
    AnswerChunk,
    AnswerMessage,
    CallOut,
    FunctionOut,
    ImageOut,
    Replay,
    Sound,
    annotation,
    finish_reason,
    json,
    place,
    usage_out,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamcore.dialect import Call
    from streamcore.message import Fold
    from streamcore.request import Part

__all__ = ["render"]


class _Logprobs(Struct, gc=False, omit_defaults=True):
    content: list[Raw] | None = None
    refusal: list[Raw] | None = None


def render(fold: Fold, call: Call) -> bytes:
    """The whole answer as one body. Only one that finished has a finish reason."""
    message = _message(fold.message.parts)
    choice, costs, logprobs = AnswerChoice(message=message), dict[str, Raw](), _Logprobs()
    model = fold.model or call.request.model or ""
    body = AnswerChunk(fold.id or call.id, "chat.completion", call.created, model, [choice])
    sources = _sources(fold)
    for extension in fold.extensions:
        where, name, raw = place(extension)
        if where == "usage":
            costs[name] = raw
        elif where == "chunk":
            setattr(body, name, raw)
        elif where and name == "logprobs":
            _collect(raw, logprobs)
        elif where == "choice":
            choice.content_filter_results = raw
        elif where and name == "annotations":
            sources.append(raw)
        elif where == "delta":
            setattr(message, name, raw)
    if sources:
        message.annotations = sources
    choice.logprobs = Raw(json(logprobs if logprobs != _Logprobs() else None))
    if isinstance(fold.outcome, Finish):
        calls, refusal = bool(message.tool_calls), bool(message.refusal)
        choice.finish_reason = finish_reason(fold.outcome.reason, calls=calls, refusal=refusal)
    if fold.usage is not None:
        body.usage = usage_out(fold.usage, costs)
    return json(body)


def _message(parts: Sequence[Part]) -> AnswerMessage:
    """The parts, each kind in its field. The content is a list only if it has to be."""
    message = AnswerMessage()
    content: list[str | Raw] = []
    for part in parts:
        match part:
            case Text():
                content.append(part.text)
            case ReasoningPart():
                _reason(part, message)
            case RefusalPart():
                message.refusal = (message.refusal or "") + part.text
            case ToolCall():
                function = FunctionOut(part.arguments, part.name)
                extra = Replay.read(part.opaque).extra_content
                written = CallOut(function, id=part.id, type="function", extra_content=extra)
                message.tool_calls = [*(message.tool_calls or ()), written]
            case Image():
                address = data_url(part.data, part.media_type or "") if part.data else part.url
                if address:
                    message.images = [*(message.images or ()), ImageOut(Address(address))]
            case File() if part.media_type == SOUND and part.data:
                own = Replay.read(part.opaque).audio or Sound()
                message.audio = Sound(own.id, base64_text(part.data), "")
            case ExtensionPart():
                where, _, raw = place(Extension(part.name, part.raw, index=0))
                content += [raw] if where else []
            case _:
                pass  # what a message of this format cannot hold
    words = [item for item in content if isinstance(item, str)]
    if len(words) == len(content):
        message.content = "".join(words) if content else None
    else:
        texts = (Raw(json({"type": "text", "text": item})) if isinstance(item, str) else item for item in content)
        message.content = list(texts)
    return message


def _reason(part: ReasoningPart, message: AnswerMessage) -> None:
    own = Replay.read(part.opaque)
    if part.text:
        message.reasoning_content = (message.reasoning_content or "") + part.text
    if own.reasoning_details:
        message.reasoning_details = [*(message.reasoning_details or ()), *own.reasoning_details]
    if own.reasoning_opaque:
        message.reasoning_opaque = own.reasoning_opaque


def _sources(fold: Fold) -> list[Raw]:
    """The citations. Places are left out where several texts have become one: they would be wrong."""
    moved = sum(isinstance(part, Text) for part in fold.message.parts) > 1
    sources: list[Raw] = []
    for citation in fold.citations:
        still = structs.replace(citation, start=None, end=None, raw=None) if moved else citation
        source = annotation(still)
        sources += [] if source is None else [source]
    return sources


def _collect(raw: Raw, logprobs: _Logprobs) -> None:
    """Add the probabilities of some tokens to those before."""
    more = opaque(bytes(raw).decode(), _Logprobs) or _Logprobs()
    if more.content:
        logprobs.content = [*(logprobs.content or ()), *more.content]
    if more.refusal:
        logprobs.refusal = [*(logprobs.refusal or ()), *more.refusal]
