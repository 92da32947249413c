"""Serves Cohere's format: `POST /v2/chat`, our events as its own. The reverse of the decoder, and `parse` of `encode`.

What a client gets back, as its normal form: one content or call after the other, as Cohere's clients expect them. So a
block of words gives way to the next that has any, and goes on as a new one; what comes beside a call waits until the
call has ended. A refusal is text, a plan is reasoning. Deltas and blocks without words say nothing. Citations follow
the first words of their block; of one that has given way already they are loose, though they name it, and loose ones
come at the end. The last usage comes with the end, also of an answer that failed: that is a `message-end` whose reason
is `ERROR` or `TIMEOUT`, and no `[DONE]` follows.

Where it is not quite right. A source of another provider's is a document that has only what our citation says of it.
Reasoning is called a plan at its end, when it has been written as thinking. Cohere's own clients raise nothing for an
error within a stream: who uses them has to look at the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Raw, Struct

from streamcore import sse
from streamcore.events import (
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
from streamcore.serving import unsaid

from .decoder import failure_kind
from .server_answer import Place, error, failed, finish_reason, has_word, json, losses, render, source, usage_out, whole
from .server_request import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.dialect import Call

__all__ = ["Encoder", "content_type", "error", "keep_alive", "losses", "parse", "path", "render"]

path: Final = "/v2/chat"
content_type: Final = "text/event-stream"
keep_alive: Final = sse.comment("keep-alive")

_KINDS: Final[Mapping[type[Event], str]] = {
    TextDelta: "text",
    RefusalDelta: "text",
    Citation: "text",
    ReasoningDelta: "thinking",
    ToolCallStart: "call",
}
_UNCOUNTED: Final = [name for name in Usage.__struct_fields__ if f"Usage.{name}" in losses]
_NONE: Final = -1
_DELTA: Final = b"event: content-delta\ndata: %b\n\n"  # a line: msgspec escapes what would end one


class _Words(Struct, gc=False):
    text: str = ""


class _Content(Struct, gc=False):
    content: _Words


class _Delta(Struct, gc=False):
    message: _Content


class _TextEvent(Struct, gc=False, tag="content-delta", tag_field="type"):
    """The one event that there are many of, filled anew for each."""

    index: int
    delta: _Delta


class _Block(Struct, gc=False):
    """One of our blocks. `pieces` are the words of its content on the wire, before which came `base` characters."""

    index: int
    kind: str  # "text", "thinking", "call", or "" for what has no place
    number: int = _NONE  # the wire's, of the content or call; none while there is nothing to say
    pieces: list[str] = []
    base: int = 0
    sources: list[Citation] = []  # those that came before any words


class Encoder:
    """Writes one answer. `lost` counts what had no place, so far."""

    __slots__ = (
        "_billed",
        "_blocks",
        "_call",
        "_calls",
        "_contents",
        "_front",
        "_id",
        "_loose",
        "_piece",
        "_pieces",
        "_sources",
        "_text",
        "_usage",
        "_waiting",
        "_words",
        "lost",
    )

    def __init__(self, call: Call) -> None:
        self.lost: dict[str, int] = {}
        self._id = call.id
        self._usage = Usage()
        self._billed: Raw | None = None
        self._blocks: dict[int, _Block] = {}  # those that have not ended, by our index
        self._contents = self._calls = self._sources = 0  # the wire's numbers given out so far, each kind its own
        self._front: _Block | None = None  # the block whose content is open on the wire
        self._text = _NONE  # our index of it, if it is text; and its words so far
        self._pieces: list[str] = []
        self._call: _Block | None = None  # the call that is under way
        self._waiting: dict[int, list[Event]] = {}  # what came beside it, by block
        self._loose: list[Raw] = []
        self._words = _Words()
        self._piece = _TextEvent(_NONE, _Delta(_Content(self._words)))

    def feed(self, event: Event, /) -> bytes:
        """The bytes that say this event; b"" if it says nothing, or not yet."""
        if type(event) is TextDelta and event.index == self._text and event.text:
            self._pieces.append(event.text)
            self._words.text = event.text
            return _DELTA % json(self._piece)
        match event:
            case Start():
                return self._start(event)
            case Usage():
                self._usage = event
                return b""
            case Finish():
                return self._finish(event)
            case Failure():
                return self._fail(event)
            case Extension(index=None):
                return self._extend(event)
            case _:
                return self._content(event, _NONE if event.index is None else event.index)

    def _lose(self, key: str) -> bytes:
        self.lost[key] = self.lost.get(key, 0) + 1
        return b""

    def _start(self, event: Start) -> bytes:
        if event.model is not None:
            self._lose("Start.model")
        nothing: list[Raw] = []
        message = {
            "role": "assistant",
            "content": nothing,
            "tool_plan": "",
            "tool_calls": nothing,
            "citations": nothing,
        }
        return _event({"id": event.id or self._id, "type": "message-start", "delta": {"message": message}})

    def _content(self, event: Event, index: int) -> bytes:
        """A block's event: now, or when the call under way has ended."""
        block = self._blocks.get(index)
        if block is None:
            block = self._blocks[index] = _Block(index, _KINDS.get(type(event), ""))
            if type(event) is RefusalDelta:
                self._lose("RefusalDelta")
        if self._call is not None and self._call is not block:
            self._waiting.setdefault(index, []).append(event)
            return b""
        written = [self._write(event, block)]
        while self._waiting and self._call is None:
            index = next(iter(self._waiting))
            block = self._blocks[index]
            written += [self._write(event, block) for event in self._waiting.pop(index)]
        return b"".join(written)

    def _write(self, event: Event, block: _Block) -> bytes:
        match event:
            case TextDelta() | ReasoningDelta() | RefusalDelta():
                return self._say(event.text, block) if event.text else b""
            case ToolCallDelta():
                fragment = {"function": {"arguments": event.arguments}}
                return _message("tool-call-delta", block.number, tool_calls=fragment) if event.arguments else b""
            case ToolCallStart():
                return self._stop() + self._begin_call(event, block)
            case Citation() if block.kind in {"text", "thinking"}:
                if block.number != _NONE:
                    return self._cite(event, block)
                block.sources.append(event)
                return b""
            case BlockEnd():
                return self._end(event, block)
            case _:
                return self._lose(type(event).__name__)

    def _say(self, text: str, block: _Block) -> bytes:
        written = self._turn(block)
        block.pieces.append(text)
        written += _message("content-delta", block.number, content={block.kind: text})
        if block.sources:
            written += b"".join(self._cite(event, block) for event in block.sources)
            block.sources = []
        return written

    def _turn(self, block: _Block) -> bytes:
        """Begin a content for this block's words, if its own is not open: the one that is gives way."""
        if block is self._front:
            return b""
        stopped = self._stop()
        if block.number != _NONE:
            self._lose("TextDelta.index" if block.kind == "text" else "ReasoningDelta.index")
        block.base += len("".join(block.pieces))
        block.pieces, block.number = [], self._contents
        self._contents += 1
        self._front = block
        if block.kind == "text":
            self._text, self._pieces, self._piece.index = block.index, block.pieces, block.number
        return stopped + _message("content-start", block.number, content={"type": block.kind, block.kind: ""})

    def _stop(self) -> bytes:
        front, self._front, self._text = self._front, None, _NONE
        return b"" if front is None else _event({"type": "content-end", "index": front.number})

    def _begin_call(self, event: ToolCallStart, block: _Block) -> bytes:
        self._call = block
        block.number = self._calls
        self._calls += 1
        function = {"name": event.name, "arguments": ""}
        call = {"id": event.id, "type": "function", "function": function}
        return _message("tool-call-start", block.number, tool_calls=call)

    def _cite(self, event: Citation, block: _Block) -> bytes:
        if block is not self._front:
            self._lose("Citation")
        block.pieces[:] = ["".join(block.pieces)]  # joined once: linear
        place = Place(block.kind, block.number, block.pieces[0], block.base, last=block is self._front)
        raw, own = source(event, place)
        if not own and event.raw is not None:
            self._lose("Citation.raw")
        if not own and event.text is not None:
            self._lose("Citation.text")
        return self._source(raw)

    def _source(self, raw: Raw) -> bytes:
        number = self._sources
        self._sources += 1
        return _message("citation-start", number, citations=raw) + _event({"type": "citation-end", "index": number})

    def _end(self, event: BlockEnd, block: _Block) -> bytes:
        del self._blocks[block.index]
        if event.opaque is not None:
            self._lose("BlockEnd.opaque")
        for _ in block.sources:
            self._lose("Citation")
        if block is self._call:
            self._call = None
            return _event({"type": "tool-call-end", "index": block.number})
        return self._stop() if block is self._front else b""

    def _extend(self, event: Extension) -> bytes:
        """What is Cohere's own goes where it came from; a loose citation and what is billed, to the end."""
        raw, front = whole(event.raw), self._front
        if raw is not None and event.name == "cohere:debug":
            return _event({"type": "debug", "prompt": raw})
        if raw is not None and event.name == "cohere:logprobs" and front is not None:
            delta = {"message": {"content": {front.kind: ""}}}
            return _event({"type": "content-delta", "index": front.number, "delta": delta, "logprobs": raw})
        if raw is not None and event.name == "cohere:billed_units":
            self._billed = raw
        elif raw is not None and event.name == "cohere:citations":
            self._loose.append(raw)
        else:
            self._lose("Extension")
        return b""

    def _finish(self, event: Finish) -> bytes:
        word = finish_reason(event, calls=self._calls > 0)
        if not has_word(event) or (event.reason, word) == ("stop", "TOOL_CALL"):
            self._lose("Finish.reason")
        if event.raw not in {None, word}:
            self._lose("Finish.raw")
        loose = b"".join(self._source(raw) for raw in self._loose)
        return loose + self._last({"finish_reason": word}) + sse.encode(b"[DONE]")

    def _fail(self, event: Failure) -> bytes:
        """What waits is written first, as far as it came: it was delivered, and there is no order any more to keep."""
        waiting = [(self._blocks[index], events) for index, events in self._waiting.items()]
        written = b"".join(self._write(waits, block) for block, events in waiting for waits in events)
        for block in self._blocks.values():
            for _ in block.sources:
                self._lose("Citation")
        for _ in self._loose:
            self._lose("Extension")
        last = failed(event)
        if failure_kind(last["finish_reason"], last["error_type"]) != event.kind:
            self._lose("Failure.kind")
        for key in unsaid(event):
            self._lose(key)
        return written + self._last(last)

    def _last(self, delta: dict[str, Any]) -> bytes:
        """The end of the message, with what it has cost."""
        for name in _UNCOUNTED:
            if getattr(self._usage, name) is not None:
                self._lose(f"Usage.{name}")
        usage = usage_out(self._usage, self._billed)
        return _event({"type": "message-end", "delta": delta if usage is None else {**delta, "usage": usage}})


def _message(type: str, index: int, **message: object) -> bytes:
    return _event({"type": type, "index": index, "delta": {"message": message}})


def _event(event: dict[str, Any]) -> bytes:
    return sse.encode(json(event), event=event["type"])
