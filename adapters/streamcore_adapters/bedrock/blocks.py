"""The content blocks of a Bedrock answer: what announces them, what is added to them, what they end as.

Text, reasoning, tool calls and images have events of their own. Every other block (tools that run at the provider,
their results, redacted reasoning) is collected, and is one `Extension` with the block's whole JSON when it ends. A
block gets its index with its first event: text that is empty from beginning to end leaves no trace.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import DecodeError, Raw, Struct

from streamcore.events import (
    Attachment,
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
from streamcore.wire import base64_text, fields, json_text, unique, word

__all__ = ["Blocks", "Delta", "Reasoning", "ToolInput"]

_ANNOUNCED: Final = frozenset({"toolUse", "toolResult", "image"})
_OF_THE_CALLER: Final = frozenset({None, "tool_use"})  # the types of a tool call that is not run at the provider


class ToolInput(Struct, gc=False):
    """A fragment of a tool call's arguments."""

    input: str | None = None


class Reasoning(Struct, gc=False, rename="camel"):
    """A piece of reasoning; one of the three."""

    text: str | None = None
    signature: str | None = None
    redacted_content: bytes | None = None


class Delta(Struct, gc=False, rename="camel"):
    """The frequent deltas, one of the three. The rare ones are read once more, field by field."""

    text: str | None = None
    tool_use: ToolInput | None = None
    reasoning_content: Reasoning | None = None


class _S3(Struct, gc=False):
    uri: str | None = None


class _Source(Struct, gc=False, rename={"data": "bytes", "s3_location": "s3Location"}):
    data: bytes | None = None
    s3_location: _S3 | None = None


class _Image(Struct, gc=False):
    source: _Source | None = None


class _Web(Struct, gc=False):
    url: str | None = None


class _Location(Struct, gc=False):
    web: _Web | None = None


class _Quote(Struct, gc=False):
    text: str | None = None


class _Cited(Struct, gc=False, rename="camel"):
    title: str | None = None
    source: str | None = None
    source_content: list[_Quote] | None = None
    location: _Location | None = None


_decode_items: Final = msgspec.json.Decoder[list[dict[str, Raw]] | None](list[dict[str, Raw]] | None).decode
_decode_image: Final = msgspec.json.Decoder(_Image).decode
_decode_cited: Final = msgspec.json.Decoder(_Cited).decode


class _Block:
    """A block under way. `index` is ours, negative until the block has an event."""

    __slots__ = ("format", "id", "index", "kind", "members", "name", "pieces", "redacted", "results")

    def __init__(self, kind: str, members: dict[str, Raw] | None = None) -> None:
        self.members = members = members or {}  # what announced it
        self.id = word(members.get("toolUseId"))
        self.name = word(members.get("name"))
        self.format = word(members.get("format")) or "*"
        # text, reasoning, call, image; or the wire's name of a block that becomes an extension
        self.kind = "call" if kind == "toolUse" and word(members.get("type")) in _OF_THE_CALLER else kind
        self.index = -1
        self.pieces: list[str] = []  # of the signature, or of the input of a tool at the provider
        self.redacted: list[bytes] = []
        self.results: list[dict[str, Any]] = []  # of a tool at the provider

    def add_results(self, items: list[dict[str, Any]]) -> None:
        """More of a tool's result; text continues the text before it."""
        for item in items:
            text, before = item.get("text"), self.results[-1].get("text") if self.results else None
            if isinstance(text, str) and isinstance(before, str):
                self.results[-1] = {"text": before + text}
            else:
                self.results.append(item)

    def whole(self) -> str:
        """An extension's JSON: the content block as it must go back."""
        if self.kind == "reasoning":
            return json_text({"reasoningContent": {"redactedContent": base64_text(b"".join(self.redacted))}})
        if self.kind == "toolUse":
            return json_text({"toolUse": {**self.members, "input": _json_or_string("".join(self.pieces) or "{}")}})
        return json_text({"toolResult": {**self.members, "content": self.results}})


class Blocks:
    """The blocks of one answer. `wire` and `index` are the wire's and our index of the text block under way."""

    __slots__ = ("_count", "_ids", "_open", "called", "index", "wire")

    def __init__(self) -> None:
        self.wire: int | None = -1
        self.index = -1
        self.called = False  # whether there was a tool call for the caller to run
        self._open: dict[int | None, _Block] = {}  # by the wire's index
        self._count = 0  # our indexes given out so far
        self._ids: set[str] = set()  # of calls

    def begin(self, wire: int | None, start: dict[str, Raw]) -> list[Event]:
        """A block is announced."""
        blocks = [_Block(kind, fields(raw)) for kind, raw in start.items() if kind in _ANNOUNCED]
        events = self.end(wire)  # in case it never stopped
        events += (
            Extension(f"bedrock:{kind}", json_text(raw)) for kind, raw in start.items() if kind not in _ANNOUNCED
        )
        for block in blocks[:1]:  # it is a union
            self._open[wire] = block
            if block.kind == "call":
                index = self._place(block)
                id = unique(block.id or f"tooluse_{index}", index, self._ids)
                events.append(ToolCallStart(index, id, block.name or ""))
                self.called = True
        return events

    def delta(self, wire: int | None, delta: Delta, data: bytes) -> list[Event]:
        """Something is added to a block; `data` is the whole event."""
        if delta.text is not None:
            return self._text(wire, delta.text)
        if delta.tool_use is not None:
            return self._input(wire, delta.tool_use.input)
        if delta.reasoning_content is not None:
            return self._reasoning(wire, delta.reasoning_content)
        data.decode()  # what is not UTF-8 must raise here, where the reader can mend it, not when a Raw is written
        members = fields(fields(data).get("delta"))
        return [event for name, raw in members.items() for event in self._rare(wire, name, raw)]

    def end(self, wire: int | None) -> list[Event]:
        """A block is complete; nothing if there is none of this index."""
        block = self._open.pop(wire, None)
        if wire == self.wire:
            self.wire = -1
        if block is None:
            return []
        events: list[Event] = []
        opaque: str | None = None
        signature = "".join(block.pieces)
        if block.kind == "reasoning" and signature:
            opaque = json_text({"signature": signature})
            if block.index < 0:
                events.append(ReasoningDelta(self._place(block), ""))  # its text was kept from us
        if block.redacted or block.kind in {"toolUse", "toolResult"}:
            name = "reasoningContent" if block.redacted else block.kind
            events.append(Extension(f"bedrock:{name}", block.whole(), self._place(block)))
        if block.index >= 0:
            events.append(BlockEnd(block.index, opaque))
        return events

    def end_all(self) -> list[Event]:
        """The answer is complete, whatever block was not said to be."""
        return [event for wire in list(self._open) for event in self.end(wire)]

    def _place(self, block: _Block) -> int:
        if block.index < 0:
            block.index = self._count
            self._count += 1
        return block.index

    def _take(self, wire: int | None, kind: str) -> _Block | None:
        """The block of this index, new if there is none; None if it is of another kind."""
        block = self._open.get(wire)
        if block is None:
            block = self._open[wire] = _Block(kind)
        return block if block.kind == kind else None

    def _text(self, wire: int | None, text: str) -> list[Event]:
        if not text:
            return []
        block = self._take(wire, "text")
        if block is None:
            return self._misplaced("text", wire)
        self.wire, self.index = wire, self._place(block)
        return [TextDelta(self.index, text)]

    def _input(self, wire: int | None, input: str | None) -> list[Event]:
        block = self._open.get(wire)
        if block is not None and block.kind == "call":
            return [ToolCallDelta(block.index, input)] if input else []
        if block is None or block.kind != "toolUse":
            return self._misplaced("toolUse", wire)
        block.pieces.append(input or "")
        return []

    def _reasoning(self, wire: int | None, reasoning: Reasoning) -> list[Event]:
        block = self._take(wire, "reasoning")
        if block is None:
            return self._misplaced("reasoningContent", wire)
        if reasoning.signature:
            block.pieces.append(reasoning.signature)
        if reasoning.redacted_content:
            block.redacted.append(reasoning.redacted_content)
        return [ReasoningDelta(self._place(block), reasoning.text)] if reasoning.text else []

    def _rare(self, wire: int | None, name: str, raw: Raw) -> list[Event]:
        if name == "citation":
            return self._citation(wire, raw)
        if name == "image":
            return self._image(wire, raw)
        if name != "toolResult":
            return [Extension(f"bedrock:{name}", json_text(raw))]
        items = [_with_text(item) for item in _items(raw)]
        block = self._open.get(wire)
        if block is None or block.kind != name:
            return self._misplaced(name, wire)
        block.add_results(items)
        return []

    def _citation(self, wire: int | None, raw: Raw) -> list[Event]:
        """A source. Its location is one in the document, not in the answer, so it stays in `raw`."""
        cited = _decode_cited(raw)
        if not fields(raw):
            return []
        block = self._take(wire, "text")
        if block is None:
            return self._misplaced("citation", wire)
        source = cited.source or ""
        url = cited.location.web.url if cited.location and cited.location.web else None
        quoted = "".join(quote.text or "" for quote in cited.source_content or ())
        return [
            Citation(
                self._place(block),
                url=url or (source if "://" in source else None),
                title=cited.title,
                text=quoted or None,
                raw=json_text(raw),
            )
        ]

    def _image(self, wire: int | None, raw: Raw) -> list[Event]:
        source = _decode_image(raw).source
        block = self._open.get(wire)
        if block is None or block.kind != "image":
            return self._misplaced("image", wire)
        if source is None or (source.data is None and source.s3_location is None):
            return [Extension("bedrock:image", json_text(raw))]  # an error, with a message
        url = source.s3_location.uri if source.s3_location else None
        return [Attachment(self._place(block), f"image/{block.format}", source.data, url)]

    @staticmethod
    def _misplaced(kind: str, wire: int | None) -> list[Event]:
        return [Failure("protocol", f"{kind} for block {wire}, which takes none", detail="grammar")]


def _items(raw: Raw) -> list[dict[str, Raw]]:
    return _decode_items(raw) or []


def _with_text(item: dict[str, Raw]) -> dict[str, Any]:
    """An item of a tool's result, its text decoded so that more can be added to it."""
    text = word(item.get("text"))
    return dict(item) if text is None else {"text": text}


def _json_or_string(text: str) -> Raw | str:
    """Text as the JSON it is; one that was cut short, as a string."""
    try:
        msgspec.json.decode(text)
    except (DecodeError, RecursionError):
        return text
    return Raw(text.encode())
