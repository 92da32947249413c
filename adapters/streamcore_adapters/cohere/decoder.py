"""Cohere's events as ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import msgspec
from msgspec import DecodeError, Raw, Struct

from streamcore.adapter import Billed
from streamcore.events import (
    BlockEnd,
    Citation,
    Event,
    Extension,
    Failure,
    Finish,
    FinishReason,
    ReasoningDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from streamcore.failures import read_error
from streamcore.wire import json_text, opaque, unique

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.events import FailureKind
    from streamcore.frames import Frame

__all__ = ["Decoder", "failure_kind"]

_REASONS: Final[Mapping[str, FinishReason]] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
}
_FAULTS: Final = frozenset({"ERROR", "TIMEOUT"})
_EVENTS: Final = frozenset(
    {
        "message-start",
        "content-start",
        "content-delta",
        "content-end",
        "tool-plan-delta",
        "tool-call-start",
        "tool-call-delta",
        "tool-call-end",
        "citation-start",
        "message-end",
    }
)
_CITED: Final = {"PLAN": "tool_plan", "THINKING_CONTENT": "thinking"}
_PLAN: Final = '{"tool_plan":true}'
_NO_INDEX: Final = -1  # none of the wire's
_NONE: Final = Raw()


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct, gc=False):
    id: str | None = None
    function: _Function | None = None


class _Content(Struct, gc=False):
    text: str | None = None
    thinking: str | None = None


class _Message(Struct, gc=False):
    content: _Content | list[Raw] | None = None  # lists only in `message-start`, and empty there
    tool_calls: _Call | list[Raw] | None = None
    tool_plan: str | None = None
    citations: Raw = _NONE


class _Tokens(Struct, gc=False):
    input_tokens: int | float | None = None  # floats by the SDK, integers in every recording
    output_tokens: int | float | None = None
    reasoning_tokens: int | float | None = None
    image_tokens: int | float | None = None


class _Usage(Struct, gc=False):
    tokens: _Tokens | None = None
    cached_tokens: int | float | None = None
    billed_units: Raw = _NONE


class _Delta(Struct, gc=False):
    message: _Message | None = None
    finish_reason: str | None = None
    usage: _Usage | None = None
    error: str | None = None
    error_type: str | None = None


class _Event(Struct, gc=False):
    type: str | None = None
    id: str | None = None
    index: int | None = None
    delta: _Delta | None = None
    logprobs: Raw = _NONE
    prompt: Raw = _NONE


class _Source(Struct, gc=False):
    document: object = None
    tool_output: object = None


class _Citation(Struct, gc=False):
    start: int | None = None
    end: int | None = None
    type: str | None = None
    content_index: int | None = None
    sources: list[_Source] | None = None


_decode: Final = msgspec.json.Decoder(_Event).decode
_decode_type: Final = msgspec.json.Decoder(dict[str, Raw]).decode


def billed(extension: Extension) -> Billed | None:
    """The tokens that are billed: without Cohere's own prompt, and without what came from the cache."""
    units = opaque(extension.raw, _Tokens) if extension.name == "cohere:billed_units" else None
    if units is None:
        return None
    return Billed(input_tokens=_whole(units.input_tokens), output_tokens=_whole(units.output_tokens))


class Decoder:
    """Decodes one answer."""

    __slots__ = ("_blocks", "_count", "_ids", "_index", "_started", "_wire")

    def __init__(self) -> None:
        self._started = False
        self._count = 0  # our indexes given out so far
        self._ids: set[str] = set()  # of calls
        self._blocks: dict[tuple[str, int | None], int] = {}  # those under way, by their kind and the wire's index
        self._wire: int | None = _NO_INDEX  # the wire's and our index of the text under way
        self._index = -1

    def feed(self, frame: Frame, /) -> list[Event]:
        """The events of one server-sent event."""
        try:
            event = _decode(frame.data)
        except DecodeError as error:
            return _misfit(frame.data, error)
        if event.type == "content-delta" and event.index == self._wire and not event.logprobs:
            message = event.delta and event.delta.message
            if message and type(content := message.content) is _Content and content.text and not content.thinking:
                return [TextDelta(self._index, content.text)]
        frame.data.decode()  # what is not UTF-8 must raise here, where the reader can mend it, not when a Raw is written
        events = self._feed_any(event, frame.data)
        self._started = self._started or bool(events)
        return events

    def close(self) -> list[Event]:
        """Nothing: an answer ends with `message-end` or not at all."""
        return []

    def _feed_any(self, event: _Event, data: bytes) -> list[Event]:
        delta = event.delta or _Delta()
        message = delta.message or _Message()
        call = message.tool_calls if isinstance(message.tool_calls, _Call) else _Call()
        match event.type:
            case "message-start":
                return [] if self._started else [Start(event.id or None)]
            case "content-start" | "content-delta":
                return self._content(event, message)
            case "content-end":
                return self._end("text", event.index) + self._end("thinking", event.index)
            case "tool-plan-delta":
                plan = message.tool_plan
                return [ReasoningDelta(self._block("tool_plan", None), plan)] if plan else []
            case "tool-call-start":
                return self._begin_call(event.index, call)
            case "tool-call-delta":
                return self._continue_call(event.index, call)
            case "tool-call-end":
                return self._end("tool_call", event.index)
            case "citation-start":
                return self._cite(message.citations)
            case "message-end":
                return self._message_end(delta)
            case "debug":
                return _extension("debug", event.prompt)
            case _:
                failure = read_error(data)
                return [] if failure is None else [failure]

    def _block(self, kind: str, wire: int | None) -> int:
        """Our index of a block that is under way, or begins now."""
        if (kind, wire) not in self._blocks:
            self._blocks[kind, wire] = self._count
            self._count += 1
        return self._blocks[kind, wire]

    def _end(self, kind: str, wire: int | None) -> list[Event]:
        """A block is complete; nothing if none is under way."""
        index = self._blocks.pop((kind, wire), None)
        if index is None:
            return []
        if index == self._index:
            self._wire = _NO_INDEX
        return [BlockEnd(index, _PLAN if kind == "tool_plan" else None)]

    def _content(self, event: _Event, message: _Message) -> list[Event]:
        """Text or thinking, which is said to begin and then continues, in either event."""
        events = self._end("tool_plan", None)
        wire = event.index
        if event.type == "content-start":
            events += self._end("text", wire) + self._end("thinking", wire)  # in case it never ended
        content = message.content if isinstance(message.content, _Content) else _Content()
        if content.thinking:
            events.append(ReasoningDelta(self._block("thinking", wire), content.thinking))
        if content.text:
            self._wire, self._index = wire, self._block("text", wire)
            events.append(TextDelta(self._index, content.text))
        return events + _extension("logprobs", event.logprobs)

    def _begin_call(self, wire: int | None, call: _Call) -> list[Event]:
        events = self._end("tool_plan", None) + self._end("tool_call", wire)
        index = self._block("tool_call", wire)
        function = call.function or _Function()
        id = unique(call.id or f"call_{index}", index, self._ids)
        events.append(ToolCallStart(index, id, function.name or ""))
        if function.arguments:
            events.append(ToolCallDelta(index, function.arguments))
        return events

    def _continue_call(self, wire: int | None, call: _Call) -> list[Event]:
        text = call.function and call.function.arguments
        if not text:
            return []
        if ("tool_call", wire) not in self._blocks:
            return [Failure("protocol", f"arguments for tool call {wire}, which has not begun", detail="grammar")]
        return [ToolCallDelta(self._block("tool_call", wire), text)]

    def _cite(self, raw: Raw) -> list[Event]:
        """A source of the block it names, or of the last of its kind; a loose one if there is no such block."""
        text = json_text(raw) if raw else "null"
        citation = opaque(text, _Citation)
        if citation is None:
            return _extension("citations", raw)
        kind, place = _CITED.get(citation.type or "", "text"), citation.content_index
        blocks = reversed(self._blocks.items())
        index = next((index for (name, wire), index in blocks if name == kind and place in {None, wire}), None)
        if index is None:
            return _extension("citations", raw)
        url, title = _source(citation)
        return [Citation(index, url, title, start=citation.start, end=citation.end, raw=text)]

    def _message_end(self, delta: _Delta) -> list[Event]:
        usage = delta.usage or _Usage()
        report = _report(usage)
        events: list[Event] = [] if report == Usage() else [report]
        events += _extension("billed_units", usage.billed_units)
        reason = delta.finish_reason
        if delta.error or reason in _FAULTS:
            return [*events, _failure(delta)]
        return [*self._end("tool_plan", None), *events, Finish(_REASONS.get(reason or "", "other"), reason)]


def _extension(name: str, raw: Raw) -> list[Event]:
    """What belongs to the whole answer, if it says anything."""
    return [Extension(f"cohere:{name}", json_text(raw))] if raw and bytes(raw) != b"null" else []


def _source(citation: _Citation) -> tuple[str | None, str | None]:
    """The address and the title of the first source that has either."""
    for source in citation.sources or ():
        for place in (source.document, source.tool_output):
            members: Mapping[str, object] = cast("dict[str, object]", place) if isinstance(place, dict) else {}
            url, title = members.get("url"), members.get("title")
            if isinstance(url, str) or isinstance(title, str):
                return url if isinstance(url, str) else None, title if isinstance(title, str) else None
    return None, None


def _report(usage: _Usage) -> Usage:
    tokens = usage.tokens or _Tokens()
    return Usage(
        input_tokens=_whole(tokens.input_tokens),
        output_tokens=_whole(tokens.output_tokens),
        cache_read_tokens=_whole(usage.cached_tokens),
        reasoning_tokens=_whole(tokens.reasoning_tokens),
        input_image_tokens=_whole(tokens.image_tokens),
    )


def _whole(count: float | None) -> int | None:
    return None if count is None else int(count)


def _failure(delta: _Delta) -> Failure:
    """A tool call that came out malformed is the model's fault: it may succeed when tried again."""
    word = delta.error_type or delta.finish_reason
    return Failure(
        failure_kind(delta.finish_reason, delta.error_type),
        delta.error or f"the answer ended with {word}",
        detail="model_output" if word == "INVALID_TOOL_GENERATION" else None,
        code=word,
    )


def failure_kind(reason: str | None, word: str | None) -> FailureKind:
    """What an answer failed of: what the code word says, if that is a known one, else the finish reason."""
    known = read_error(msgspec.json.encode({"error": True, "message": reason, "error_type": word}))
    said = "server" if known is None else known.kind
    return "timeout" if said == "server" and reason == "TIMEOUT" else said


def _misfit(data: bytes, error: DecodeError) -> list[Event]:
    """What has another shape: an event of a kind unknown here says nothing, one of a known kind is malformed."""
    if data.strip() == b"[DONE]":
        return []
    kind: object = msgspec.json.decode(_decode_type(data).get("type", b"null"))
    if not isinstance(kind, str) or kind in _EVENTS:
        raise error
    return []
