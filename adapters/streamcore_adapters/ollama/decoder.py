"""Ollama's lines as events."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct

from streamcore.events import (
    Attachment,
    BlockEnd,
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
from streamcore.wire import json_text, unique

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.frames import Frame

__all__ = ["Decoder", "media_type"]

_REASONS: Final[Mapping[str, FinishReason]] = {"stop": "stop", "length": "length"}
_DURATIONS: Final = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
_MADE_UP: Final = '{"id":null}'
_NOT_IN_AN_ID: Final = re.compile(r"[^0-9A-Za-z]")
_IMAGES: Final = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp", b"GIF8": "image/gif"}
_NONE: Final = Raw()


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: Raw = _NONE  # an object; of older servers also ""


class _Call(Struct, gc=False):
    id: str | None = None
    function: _Function | None = None


class _Message(Struct, gc=False):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_Call] | None = None
    images: list[bytes] | None = None


class _Line(Struct, gc=False):
    model: str | None = None
    created_at: str | None = None
    message: _Message | None = None
    done: bool | None = None
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    total_duration: Raw = _NONE  # these four in nanoseconds
    load_duration: Raw = _NONE
    prompt_eval_duration: Raw = _NONE
    eval_duration: Raw = _NONE
    remote_model: str | None = None
    remote_host: str | None = None
    logprobs: Raw = _NONE
    error: Raw = _NONE


_NOTHING: Final = _Message()
_decode: Final = msgspec.json.Decoder(_Line).decode


class Decoder:
    """Decodes one answer."""

    __slots__ = ("_count", "_ids", "_reasoning", "_started", "_text")

    def __init__(self) -> None:
        self._started = False
        self._count = 0  # blocks so far
        self._ids: set[str] = set()  # of calls
        self._text = self._reasoning = -1  # their blocks, if there are any yet

    def feed(self, frame: Frame, /) -> list[Event]:
        """The events of one line."""
        line = _decode(frame.data)
        if line.error and _json(line.error):
            return [read_error(frame.data) or Failure("server", "an error that says nothing")]
        message = line.message or _NOTHING
        calls = [(call, _arguments(call)) for call in message.tool_calls] if message.tool_calls else None
        facts = _facts(line) if line.done or line.logprobs else None
        events: list[Event] = []
        if not self._started:
            self._start(line, events)
        if message.thinking:
            if self._reasoning < 0:
                self._reasoning = self._block()
            events.append(ReasoningDelta(self._reasoning, message.thinking))
        if message.content:
            if self._text < 0:
                self._text = self._block()
            events.append(TextDelta(self._text, message.content))
        if calls:
            for call, text in calls:
                self._call(call, text, line.created_at or "", events)
        if message.images:
            for image in message.images:
                index = self._block()
                events += (Attachment(index, media_type(image), image), BlockEnd(index))
        if facts:
            events += facts
        if line.done:
            self._end(line, events)
        return events

    def close(self) -> list[Event]:
        """Nothing: an answer ends with the line that says so, or not at all."""
        return []

    def _block(self) -> int:
        self._count += 1
        return self._count - 1

    def _start(self, line: _Line, events: list[Event]) -> None:
        """A server may pass the question on: then the model that answers is not the one that was asked."""
        self._started = True
        events.append(Start(None, line.remote_model or line.model or None))
        if line.remote_host:
            events.append(Extension("ollama:remote_host", json_text(line.remote_host)))

    def _call(self, call: _Call, text: str, created_at: str, events: list[Event]) -> None:
        """A whole call. The time, to the nanosecond, tells an id made up in one turn from those of another."""
        index = self._block()
        name = (call.function and call.function.name) or ""
        id = unique(call.id or f"call_{_NOT_IN_AN_ID.sub('', created_at)}_{index}", index, self._ids)
        events.append(ToolCallStart(index, id, name))
        if text:
            events.append(ToolCallDelta(index, text))
        events.append(BlockEnd(index, None if call.id == id else _MADE_UP))

    def _end(self, line: _Line, events: list[Event]) -> None:
        usage = Usage(input_tokens=line.prompt_eval_count, output_tokens=line.eval_count)
        if usage != Usage():
            events.append(usage)
        reason: FinishReason = _REASONS.get(line.done_reason or "", "other")
        if reason == "stop" and self._ids:
            reason = "tool_calls"
        events.append(Finish(reason, line.done_reason))


def _arguments(call: _Call) -> str:
    """The arguments as JSON text: an object as it was sent, a string as what it says, nothing as ""."""
    text = "" if call.function is None else _json(call.function.arguments)
    return msgspec.json.decode(text, type=str) if text[:1] == '"' else text


def _facts(line: _Line) -> list[Event]:
    """How likely the tokens of this line were, and of the whole answer, how long it took."""
    texts = ((name, _json(getattr(line, name))) for name in ("logprobs", *_DURATIONS))
    return [Extension(f"ollama:{name}", text) for name, text in texts if text]


def _json(raw: Raw) -> str:
    """What was sent; "" for null and for what was not sent at all."""
    return json_text(raw) if raw and bytes(raw) != b"null" else ""


def media_type(image: bytes) -> str:
    """What an image is by its first bytes."""
    return next((name for magic, name in _IMAGES.items() if image.startswith(magic)), "application/octet-stream")
