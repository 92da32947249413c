"""Serves Ollama's format: `POST /api/chat`, answered by lines of JSON, or by one object; the reverse of the adapter.

A message has one text, one reasoning, calls and images, so what a reader makes of the lines is a normal form of the
events: all text is one block and all reasoning another, which stand where they began and end with the answer; a refusal
is text; calls and images are written whole when their block ends. Empty deltas say nothing. Arguments that are no JSON
object end the answer with an error, for nothing else would say so, unless its limit of tokens ended it: what a limit
cut is no call. The counts come with the last line. Of a failure within a stream only the words are told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Raw, Struct

from streamcore import ndjson
from streamcore.events import (
    Attachment,
    BlockEnd,
    Citation,
    Event,
    Extension,
    Failure,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from streamcore.request import File, Image, ReasoningPart, RefusalPart, Text, ToolCall
from streamcore.serving import STATUSES, one_line, unsaid

from .server_answer import Answer, Line, Message, encode, losses
from .server_request import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.dialect import Call
    from streamcore.message import Fold

__all__ = ["Encoder", "content_type", "error", "keep_alive", "losses", "parse", "path", "render"]

path: Final = "/api/chat"
content_type: Final = "application/x-ndjson"
keep_alive: Final = b""

_ASSISTANT: Final = "assistant"


class _Block(Struct, gc=False):
    """A block that is open: how it began, and its pieces if they are written at its end."""

    first: Event
    pieces: list[str] = []
    data: list[bytes] = []


class Encoder:
    """Writes one answer."""

    __slots__ = ("_answer", "_begun", "_blocks", "_most", "_named", "_remote_host", "_texts")

    def __init__(self, call: Call) -> None:
        self._answer = Answer(call)
        self._blocks: dict[int, _Block] = {}  # those that are open
        self._begun = False  # whether a line has been written
        self._texts: dict[int, type[Event]] = {}  # which of the two texts of a message each block is part of
        self._named = False  # whether the provider said which model it is
        self._most = -1  # the latest block that was said anything of
        self._remote_host: Raw | None = None  # of the first line

    @property
    def lost(self) -> Mapping[str, int]:
        """What had no place, so far."""
        return self._answer.lost

    def feed(self, event: Event, /) -> bytes:
        """The bytes that say this event. A `Failure` is a line with an error, the last."""
        match event:
            case TextDelta() | RefusalDelta():
                self._say(event, TextDelta)
                return self._line(Message(_ASSISTANT, event.text)) if event.text else b""
            case ReasoningDelta():
                self._say(event, ReasoningDelta)
                return self._line(Message(_ASSISTANT, "", event.text)) if event.text else b""
            case ToolCallStart():
                self._block(event.index, event)
                return b""
            case ToolCallDelta():
                self._block(event.index, event).pieces.append(event.arguments)
                return b""
            case Attachment():
                return self._add_attachment(event)
            case Citation():
                self._block(event.index, event)
                self._answer.lose("Citation")
                return b""
            case Extension():
                return self._extend(event)
            case BlockEnd():
                return self._end(event)
            case Start():
                self._start(event)
                return b""
            case Usage():
                self._answer.count(event)
                return b""
            case Finish():
                if self._answer.is_malformed(event):
                    self._abandon()
                    return _error(self._answer.malformed)
                return self._write(self._answer.last(event, Message(_ASSISTANT, "")))
            case _:  # a `Failure`, or a type error
                return self._fail(event)

    def _block(self, index: int, event: Event) -> _Block:
        """The open block of this index, which the event opens if there is none."""
        block = self._blocks.get(index)
        if block is None:
            block = self._blocks[index] = _Block(event)
            if type(event) is RefusalDelta:
                self._answer.lose("RefusalDelta")
        return block

    def _say(self, event: TextDelta | RefusalDelta | ReasoningDelta, kind: type[TextDelta | ReasoningDelta]) -> None:
        """Note whose words these are, of all those that become one text."""
        self._block(event.index, event)
        if event.index not in self._texts and event.text:
            if kind in self._texts.values():
                self._answer.lose(f"{kind.__name__}.index")
            self._texts[event.index] = kind
        self._most = max(event.index, self._most)

    def _add_attachment(self, event: Attachment) -> bytes:
        block = self._block(event.index, event)
        if event.data is not None:
            block.data.append(event.data)
        if event.url is not None:
            self._answer.lose("Attachment.url")
        return b""

    def _line(self, message: Message) -> bytes:
        return self._write(self._answer.line(message))

    def _write(self, line: Line) -> bytes:
        if not self._begun:
            self._begun = True
            line.remote_host = self._remote_host
        return ndjson.encode(encode(line))

    def _start(self, event: Start) -> None:
        self._named = bool(event.model)
        self._answer.model = event.model or self._answer.model
        if event.id is not None:
            self._answer.lose("Start.id")

    def _extend(self, event: Extension) -> bytes:
        """What is Ollama's own goes where it came from: the first line, one of its own, or the last."""
        if event.index is not None:
            self._block(event.index, event)
        provider, _, word = event.name.partition(":")
        if provider == "ollama" and event.index is None:
            if word == "logprobs" and (logprobs := one_line(event.raw, b"[")) is not None:
                line = self._answer.line(Message(_ASSISTANT, ""))
                line.logprobs = logprobs
                return self._write(line)
            if word == "remote_host" and not self._begun and (host := one_line(event.raw, b'"')) is not None:
                self._remote_host = host
                return b""
            if self._answer.keep(word, event.raw):
                return b""
        self._answer.lose("Extension")
        return b""

    def _end(self, event: BlockEnd) -> bytes:
        """The end of a block: a call or an image is written now."""
        block = self._blocks.pop(event.index)
        answer, first = self._answer, block.first
        if isinstance(first, ToolCallStart):
            calls = answer.call(first.id, first.name, "".join(block.pieces), event.opaque)
            if calls and self._most > event.index:
                answer.lose("ToolCallStart.index")
            self._most = max(event.index, self._most)
            return self._line(Message(_ASSISTANT, "", tool_calls=calls)) if calls else b""
        answer.forget(event.opaque)
        if isinstance(first, Attachment):
            self._most = max(event.index, self._most)
            images = answer.image(first.media_type, b"".join(block.data) if block.data else None)
            return self._line(Message(_ASSISTANT, "", images=images)) if images else b""
        return b""

    def _fail(self, failure: Failure) -> bytes:
        lose = self._answer.lose
        if failure.kind != "server":
            lose("Failure.kind")
        for key in unsaid(failure, Failure.__struct_fields__[2:]):
            lose(key)
        self._abandon()
        return _error(failure.message or failure.kind)

    def _abandon(self) -> None:
        """Count what an answer that failed has not told yet, and will not."""
        answer = self._answer
        answer.abandon()
        if answer.usage != Usage():
            answer.lose("Usage")
        if not self._begun and self._named:
            answer.lose("Start.model")
        if not self._begun and self._remote_host is not None:
            answer.lose("Extension")
        for _ in (block for block in self._blocks.values() if block.data):
            answer.lose("Attachment")


def render(fold: Fold, call: Call) -> bytes:
    """The whole answer as one object; what has gone wrong as an error, as far as a body can say it."""
    outcome = fold.outcome
    if isinstance(outcome, Failure):
        return error(outcome)[1]
    answer = Answer(call)
    answer.model = fold.model or answer.model
    answer.usage = fold.usage or Usage()
    message = Message(_ASSISTANT, "")
    for part in fold.message.parts:
        if isinstance(part, Text | RefusalPart):
            message.content += part.text
        elif isinstance(part, ReasoningPart):
            message.thinking = (message.thinking or "") + part.text
        elif isinstance(part, ToolCall):
            message.tool_calls += answer.call(part.id, part.name, part.arguments, part.opaque)
        elif isinstance(part, Image | File):
            message.images += answer.image(part.media_type or "", part.data)
    line = answer.line(message)
    extensions = {item.name: item.raw for item in fold.extensions if item.name.startswith("ollama:")}
    for name, raw in extensions.items():
        answer.keep(name.removeprefix("ollama:"), raw)
    if outcome is not None:
        if answer.is_malformed(outcome):
            return encode({"error": answer.malformed})
        line = answer.last(outcome, message)
    line.remote_host = one_line(extensions.get("ollama:remote_host", ""), b'"')
    line.logprobs = one_line(extensions.get("ollama:logprobs", ""), b"[")
    return encode(line)


def error(failure: Failure) -> tuple[int, bytes]:
    """The HTTP status and Ollama's error object. What is not the client's doing is a bad gateway."""
    return STATUSES[failure.kind], encode({"error": failure.message or failure.kind})


def _error(message: str) -> bytes:
    return ndjson.encode(encode({"error": message}))
