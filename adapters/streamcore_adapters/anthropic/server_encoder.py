"""Writes the events of one answer as Anthropic's. What waits for what, and why: see `server`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct, structs

from streamcore import sse
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
from streamcore.serving import unsaid
from streamcore.wire import present

from .server_shapes import (
    UNNAMED,
    citation,
    counts,
    error_body,
    fact,
    message,
    own_block,
    returned,
    signature,
    stop_reason,
    unknown_delta,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.dialect import Call

__all__ = ["Encoder"]

_IN_DELTA: Final = frozenset({"stop_sequence", "stop_details", "container", "safeguard_results"})
_NEVER_SENT: Final = ("input_audio_tokens", "output_audio_tokens", "input_image_tokens", "output_image_tokens")
_NOT_IN_AN_ERROR: Final = ("detail", "retry_after", "should_retry", "status")
_TEXTS: Final = frozenset({TextDelta, Citation, RefusalDelta})
_DIRECT: Final = {"caller": {"type": "direct"}}  # what a call has by default
_NONE: Final = -1
_DELTA: Final = b"event: content_block_delta\ndata: %b\n\n"  # a line: msgspec escapes what would end one
_json: Final = msgspec.json.Encoder().encode


class _Piece(Struct, tag="text_delta", tag_field="type"):
    text: str = ""


class _TextEvent(Struct, tag="content_block_delta", tag_field="type"):
    """The one event that there are many of, filled anew for each."""

    index: int
    delta: _Piece


class Encoder:
    """Writes one answer as events. `lost` counts what this format has no place for."""

    __slots__ = (
        "_call",
        "_facts",
        "_fragment",
        "_index",
        "_kinds",
        "_opened",
        "_piece",
        "_said",
        "_start",
        "_started",
        "_text",
        "_tool",
        "_usage",
        "_waiting",
        "lost",
    )

    def __init__(self, call: Call) -> None:
        self.lost: dict[str, int] = {}
        self._call = call
        self._start = Start()
        self._started = False
        self._usage = Usage()  # all that is known, and what `message_start` said
        self._said = Usage()
        self._facts: dict[str, Raw] = {}  # extensions of the whole answer, by the wire's name
        self._kinds: list[type[Event]] = []  # of our blocks
        self._opened: set[int] = set()  # those that have been begun
        self._index = _NONE  # ours of the block that is open; the text's where that is a block of text
        self._text = _NONE
        self._piece = _TextEvent(_NONE, _Piece())  # its index is the wire's of the last block
        self._tool: ToolCallStart | None = None  # a call whose start has not been sent, and its first fragment
        self._fragment = ""
        self._waiting: dict[int, list[Event]] = {}  # what came beside a call, by block

    def feed(self, event: Event, /) -> bytes:
        """The bytes that say this event; b"" if it says nothing, or not yet."""
        if type(event) is TextDelta and event.index == self._text and event.text:
            piece = self._piece
            piece.delta.text = event.text
            return _DELTA % _json(piece)
        if type(event) is ReasoningDelta or type(event) is ToolCallDelta:  # frequent too: not through every case
            return self._begin() + self._content(event, event.index)
        match event:
            case Start():
                self._start = event
                return b""
            case Usage():
                self._usage = structs.replace(self._usage, **present(structs.asdict(event)))
                return self._begin()
            case Finish():
                stop = {"type": "message_stop"}
                self._lose_counts()
                return self._begin() + self._message_delta(self._word(event)) + _event(stop)
            case Failure():
                return self._begin() + self._fail(event)
            case Extension(index=None):
                return self._begin() + self._fact(event)
            case _:
                return self._begin() + self._content(event, _NONE if event.index is None else event.index)

    def _lose(self, key: str) -> bytes:
        self.lost[key] = self.lost.get(key, 0) + 1
        return b""

    def _begin(self) -> bytes:
        if self._started:
            return b""
        self._started, self._said = True, self._usage
        started = message(self._start.id, self._start.model, self._call, counts(self._usage))
        return _event({"type": "message_start", "message": started})

    def _content(self, event: Event, index: int) -> bytes:
        """A block's event: now, or when the call under way has ended."""
        if index == len(self._kinds):
            self._kinds.append(type(event))
        if index != self._index and self._in_call():
            self._waiting.setdefault(index, []).append(event)
            return b""
        written = [self._write(event, index)]
        while self._waiting and not self._in_call():
            index = next(iter(self._waiting))
            written += [self._write(event, index) for event in self._waiting.pop(index)]
        return b"".join(written)

    def _in_call(self) -> bool:
        return self._index >= 0 and self._kinds[self._index] is ToolCallStart

    def _write(self, event: Event, index: int) -> bytes:
        match event:
            case ReasoningDelta() if event.text:
                return self._turn(index) + self._delta({"type": "thinking_delta", "thinking": event.text})
            case ToolCallDelta() if event.arguments:
                if self._tool is not None and not self._fragment:
                    self._fragment = event.arguments
                    return b""
                return self._start_call({}) + self._delta(_fragment(event.arguments))
            case TextDelta() | RefusalDelta() if event.text:
                if type(event) is RefusalDelta:
                    self._lose("RefusalDelta")
                return self._turn(index) + self._delta({"type": "text_delta", "text": event.text})
            case ToolCallStart():
                self._tool, self._fragment = event, ""
                stopped, self._index = self._stop(), index
                return stopped
            case Citation():
                return self._cite(event, index)
            case Attachment():
                return self._lose("Attachment")
            case Extension():
                return self._own_block(event, index)
            case BlockEnd():
                return self._end(event, index)
            case _:
                return b""

    def _turn(self, index: int) -> bytes:
        """Open this block, or another like it, if it is not: the one that is gives way."""
        if index == self._index:
            return b""
        stopped = self._stop()
        self._index = index
        if index in self._opened:
            self._lose("ReasoningDelta.index" if self._kinds[index] is ReasoningDelta else "TextDelta.index")
        self._opened.add(index)
        if self._kinds[index] is ReasoningDelta:
            return stopped + self._open({"type": "thinking", "thinking": "", "signature": ""})
        if self._kinds[index] is not RefusalDelta:
            self._text = index
        return stopped + self._open({"type": "text", "text": ""})

    def _open(self, block: Mapping[str, object] | Raw) -> bytes:
        self._piece.index += 1
        return _event({"type": "content_block_start", "index": self._piece.index, "content_block": block})

    def _delta(self, delta: Mapping[str, object] | Raw) -> bytes:
        return _DELTA % _json({"type": "content_block_delta", "index": self._piece.index, "delta": delta})

    def _stop(self) -> bytes:
        if self._index == _NONE:
            return b""
        self._index = self._text = _NONE
        return _event({"type": "content_block_stop", "index": self._piece.index})

    def _start_call(self, fields: Mapping[str, Raw]) -> bytes:
        """The call's start, if it still waits, with what stands in it besides, and its first fragment."""
        call, fragment = self._tool, self._fragment
        if call is None:
            return b""
        self._tool = None
        id = call.id or f"toolu_{self._piece.index + 1}"
        started = self._open({"type": "tool_use", "id": id, "name": call.name, "input": {}, **fields})
        return started + self._delta(_fragment(fragment)) if fragment else started

    def _end(self, end: BlockEnd, index: int) -> bytes:
        kind, written, kept = self._kinds[index], b"", end.opaque is None
        if kind is ReasoningDelta:
            given = signature(end.opaque)
            if given:
                written = self._turn(index) + self._delta({"type": "signature_delta", "signature": given})
            kept = given is not None
        elif kind is ToolCallStart:
            fields = returned(end.opaque)
            kept = fields is not None and (self._tool is not None or _is_default(fields))
            written = self._start_call(fields or {})
        if not kept:
            self._lose("BlockEnd.opaque")
        return written + self._stop() if index == self._index else written

    def _cite(self, event: Citation, index: int) -> bytes:
        cited = citation(event)
        if cited is None or self._kinds[index] not in _TEXTS:
            return self._lose("Citation")
        if not isinstance(cited, Raw):
            for name in ("start", "end"):
                if getattr(event, name) is not None:
                    self._lose(f"Citation.{name}")
        return self._turn(index) + self._delta({"type": "citations_delta", "citation": cited})

    def _own_block(self, event: Extension, index: int) -> bytes:
        block = own_block(event.name, event.raw)
        if block is None or self._kinds[index] is not Extension:
            return self._lose("Extension")
        stopped, self._index = self._stop(), index
        return stopped + self._open(block) + self._stop()

    def _fact(self, event: Extension) -> bytes:
        """What belongs to the whole answer waits for `message_delta`; an unknown delta goes to the block that is open."""
        delta = unknown_delta(event)
        if delta is not None and self._index >= 0:
            return self._start_call({}) + self._delta(delta)
        known = fact(event) if delta is None else None
        if known is None:
            return self._lose("Extension")
        self._facts[known[0]] = known[1]
        return b""

    def _word(self, finish: Finish) -> str | None:
        word = stop_reason(finish)
        if finish.reason == "content_filter":
            self._lose("Finish.reason")
        if finish.raw not in (None, word):
            self._lose("Finish.raw")
        return word

    def _lose_counts(self) -> None:
        for name in _NEVER_SENT:
            if getattr(self._usage, name) is not None:
                self._lose(f"Usage.{name}")

    def _message_delta(self, word: str | None) -> bytes:
        if not self._usage.input_tokens:
            self._lose("Usage.input_tokens")
        if self._usage.output_tokens is None:
            self._lose("Usage.output_tokens")
        facts = dict(self._facts)
        usage = counts(self._usage, facts.pop("usage", None))
        delta = {name: facts.pop(name) for name in _IN_DELTA & facts.keys()}
        return _event(
            {
                "type": "message_delta",
                "delta": {"stop_reason": word, "stop_sequence": None, **delta},
                "usage": usage,
                **facts,
            }
        )

    def _fail(self, failure: Failure) -> bytes:
        """What there is of a call, the counts if there are new ones, and the error."""
        written = self._start_call({})
        self._lose_counts()
        for _ in (event for events in self._waiting.values() for event in events):
            self._lose("Failure")
        for key in unsaid(failure, _NOT_IN_AN_ERROR):
            self._lose(key)
        if failure.kind in UNNAMED:
            self._lose("Failure.kind")
        if self._facts or self._usage != self._said or self._usage.output_tokens is not None:
            written += self._message_delta(None)
        return written + _event(error_body(failure))


def _event(data: Mapping[str, object]) -> bytes:
    return sse.encode(_json(data), event=str(data["type"]))


def _fragment(text: str) -> dict[str, str]:
    return {"type": "input_json_delta", "partial_json": text}


def _is_default(fields: Mapping[str, Raw]) -> bool:
    return {name: msgspec.json.decode(raw) for name, raw in fields.items()} in ({}, _DIRECT)
