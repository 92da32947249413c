"""The content blocks of an Anthropic message: what they start with, what is added to them, what they end as.

Text, thinking and tool use have events of their own. Every other block, whether this module has heard of it or not
(server tools and their results, redacted thinking, compaction, fallback), is collected, and is one
`Extension("anthropic:<type>")` with the block's whole JSON when it ends. A block gets its index with its first event,
so a block without content, which the API would not take back, leaves no trace.

Sources and the whole wire: see `anthropic`.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import DecodeError, Raw, Struct

from streamcore.events import (
    BlockEnd,
    Citation,
    Event,
    Extension,
    Failure,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
)
from streamcore.wire import fields, json_text, unique, word

__all__ = ["DELTAS", "RETURNED", "Blocks", "Delta", "items", "unknown_delta"]

_TAKEN_BY: Final = {
    "text_delta": "text",
    "citations_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "thinking",
}
_OWN: Final = frozenset({"text", "thinking", "tool_use"})
RETURNED: Final = frozenset({"caller", "toolset_name"})  # what a tool call has besides, and must get back
_UNSIGNED: Final = '{"signature":""}'
_NO_INDEX: Final = -1  # none of the wire's
_NULL: Final = Raw(b"null")

DELTAS: Final = frozenset({*_TAKEN_BY, "input_json_delta", "compaction_delta"})
"""The types of delta that are known here."""


class Delta(Struct, gc=False):
    """The frequent deltas, all in one."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None


_decode_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_items: Final = msgspec.json.Decoder[list[Raw] | None](list[Raw] | None).decode


def items(raw: Raw | None) -> list[Raw]:
    """The items of an array; none of null.

    Raises:
        DecodeError: It is no array.
    """
    return _decode_items(_NULL if raw is None else raw) or []


def unknown_delta(type: str, data: bytes) -> list[Event]:
    """What becomes of an event whose delta is of a type unknown here: it is kept whole, beside the content."""
    return [Extension(f"anthropic:{type}", data.decode())]


class _Block:
    """A block under way. `index` is ours, negative until the block has an event; `raw` is the JSON it started with."""

    __slots__ = ("assigned", "index", "input", "members", "opaque", "pieces", "raw", "type")

    def __init__(self, type: str, members: dict[str, Raw], raw: str = "") -> None:
        self.type = type
        self.members = members
        self.raw = raw
        self.index = -1
        self.opaque: str | None = None
        self.input = ""  # arguments that came whole, with the start of a tool call
        self.pieces: list[str] = []  # fragments of an extension's input
        self.assigned: dict[str, Raw] = {}  # fields of an extension that a delta has set

    def whole(self) -> str:
        """An extension's JSON with everything that came after its start."""
        text = "".join(self.pieces)
        if not text and not self.assigned:
            return self.raw
        members: dict[str, object] = {**self.members, **self.assigned}
        if text:
            members["input"] = _json_or_string(text)
        return json_text(members)


class Blocks:
    """The blocks of one message. `wire` and `index` are the wire's and our index of the text block under way."""

    __slots__ = ("_count", "_ids", "_open", "index", "wire")

    def __init__(self) -> None:
        self.wire: int | None = _NO_INDEX
        self.index = -1
        self._open: dict[int | None, _Block] = {}  # by the wire's index
        self._count = 0  # our indexes given out so far
        self._ids: set[str] = set()  # of calls

    def whole(self, raw: Raw) -> list[Event]:
        """A block that came in one piece, outside the stream of blocks."""
        return self.begin(_NO_INDEX, raw) + self.end(_NO_INDEX)

    def begin(self, wire: int | None, raw: Raw) -> list[Event]:
        """A block starts, with what it holds already."""
        members = _decode_object(raw)
        block = _Block(word(members.get("type")) or "block", members, json_text(raw))
        citations = items(members.get("citations")) if block.type == "text" else []
        events = self.end(wire)  # in case it never stopped
        self._open[wire] = block
        if block.type == "text":
            events += self._text(wire, block, word(members.get("text")))
            for citation in citations:
                events += self._citation(block, citation)
        elif block.type == "thinking":
            signature = word(members.get("signature"))
            block.opaque = None if signature is None else json_text({"signature": signature})
            events += self._thinking(block, word(members.get("thinking")))
        elif block.type == "tool_use":
            events.append(self._tool_use(block, members))
        return events

    def delta(self, wire: int | None, delta: Delta, data: bytes) -> list[Event]:
        """Something is added to a block; `data` is the whole event."""
        kind = delta.type or "delta"
        block = self._open.get(wire)
        if block is None:  # some gateways leave out the start
            if kind not in _TAKEN_BY:
                return self._misplaced(kind, wire, data)
            block = self._open[wire] = _Block(_TAKEN_BY[kind], {})
        if kind == "thinking_delta" and block.type == "thinking":
            return self._thinking(block, delta.thinking)
        if kind == "input_json_delta" and block.type == "tool_use":
            if not delta.partial_json:
                return []
            block.input = ""
            return [ToolCallDelta(block.index, delta.partial_json)]
        if kind == "text_delta" and block.type == "text":
            return self._text(wire, block, delta.text)
        return self._attach(wire, block, kind, delta, data)

    def end(self, wire: int | None) -> list[Event]:
        """A block is complete; nothing if there is none of this index."""
        block = self._open.pop(wire, None)
        if block is None:
            return []
        events: list[Event] = []
        if block.type not in _OWN:
            events.append(Extension(f"anthropic:{block.type}", block.whole(), self._place(block)))
        elif block.input:
            events.append(ToolCallDelta(block.index, block.input))
        elif block.index < 0 and block.opaque not in (None, _UNSIGNED):
            events.append(ReasoningDelta(self._place(block), ""))  # the text was kept from us, the signature was not
        if block.index >= 0:
            events.append(BlockEnd(block.index, block.opaque))
        if wire == self.wire:
            self.wire = _NO_INDEX
        return events

    def end_all(self) -> list[Event]:
        """The message is complete, whatever block was not said to be."""
        return [event for wire in list(self._open) for event in self.end(wire)]

    def _place(self, block: _Block) -> int:
        if block.index < 0:
            block.index = self._count
            self._count += 1
        return block.index

    def _text(self, wire: int | None, block: _Block, text: str | None) -> list[Event]:
        if not text:
            return []
        self.wire, self.index = wire, self._place(block)
        return [TextDelta(self.index, text)]

    def _thinking(self, block: _Block, text: str | None) -> list[Event]:
        return [ReasoningDelta(self._place(block), text)] if text else []

    def _tool_use(self, block: _Block, members: dict[str, Raw]) -> ToolCallStart:
        extra = {name: raw for name, raw in members.items() if name in RETURNED and bytes(raw) != b"null"}
        block.opaque = json_text(extra) if extra else None
        given = members.get("input", _NULL)
        if msgspec.json.decode(given):
            block.input = json_text(given)
        index = self._place(block)
        id = unique(word(members.get("id")) or f"toolu_{index}", index, self._ids)
        return ToolCallStart(index, id, word(members.get("name")) or "")

    def _citation(self, block: _Block, raw: Raw) -> list[Event]:
        """A source. Its `start_char_index` counts in the document, not in the answer, so it stays in `raw`."""
        members = fields(raw)
        if not members:
            return []
        source = word(members.get("source")) or ""  # of a search result: its URL, or a name of the caller's own
        url = word(members.get("url")) or (source if "://" in source else None)
        title = word(members.get("title")) or word(members.get("document_title"))
        quoted = word(members.get("cited_text"))
        return [Citation(self._place(block), url=url, title=title, text=quoted, raw=json_text(raw))]

    def _attach(self, wire: int | None, block: _Block, kind: str, delta: Delta, data: bytes) -> list[Event]:
        """The deltas of which a block has one or a few."""
        data.decode()  # what is not UTF-8 must raise here, where the reader can mend it, not when a Raw is written
        members = fields(fields(data).get("delta"))
        if kind == "signature_delta" and block.type == "thinking":
            block.opaque = json_text({"signature": word(members.get("signature")) or ""})
        elif kind == "citations_delta" and block.type == "text":
            return self._citation(block, members.get("citation", _NULL))
        elif kind == "input_json_delta" and block.type not in _OWN:
            block.pieces.append(delta.partial_json or "")
        elif kind == "compaction_delta" and block.type not in _OWN:
            del members["type"]
            block.assigned.update(members)
        elif block.type in _OWN:
            return self._misplaced(kind, wire, data)
        else:
            return unknown_delta(kind, data)
        return []

    def _misplaced(self, kind: str, wire: int | None, data: bytes) -> list[Event]:
        if kind not in DELTAS:
            return unknown_delta(kind, data)
        return [Failure("protocol", f"{kind} for block {wire}, which takes none", detail="grammar")]


def _json_or_string(text: str) -> Raw | str:
    """Text as the JSON it is; one that was cut short, as a string."""
    try:
        msgspec.json.decode(text)
    except (DecodeError, RecursionError):
        return text
    return Raw(text.encode())
