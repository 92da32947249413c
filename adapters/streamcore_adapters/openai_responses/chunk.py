"""The events of a Responses stream: exactly the fields that are read.

Every event goes through `decode`, which sees what a delta consists of; the rare ones are read once more, in full.
What is carried along as it was sent is `Raw` here. msgspec does not look into it, so the decoder checks beforehand that
the event is UTF-8.
"""

from __future__ import annotations

import binascii
from typing import Final

import msgspec
from msgspec import Raw, Struct, structs

from streamcore.events import Citation, Usage
from streamcore.wire import json_text

__all__ = [
    "CALLS",
    "Call",
    "Delta",
    "Event",
    "Item",
    "Message",
    "Other",
    "Part",
    "Piece",
    "Reasoning",
    "Response",
    "Source",
    "Text",
    "decode",
    "decode_event",
    "decode_text",
    "decode_type",
    "item_of",
    "members",
    "response_of",
    "sent",
    "source_of",
    "usage_of",
]

_NONE: Final = Raw()
_COUNTED: Final = {
    "input_tokens": frozenset({"cached_tokens", "cache_write_tokens"}),
    "output_tokens": frozenset({"reasoning_tokens"}),
}
_USAGE: Final = frozenset({"total_tokens", *_COUNTED, *(f"{name}_details" for name in _COUNTED)})

CALLS: Final = frozenset({"function_call", "custom_tool_call"})
"""The types of item that are calls of the caller's tools."""

_CONTENT: Final = {  # what the blocks of an item hold; its other members are their `opaque`
    "message": {"role", "content"},
    "reasoning": set[str](),
    "function_call": {"call_id", "name", "arguments"},
    "custom_tool_call": {"call_id", "name", "input"},
}


class Delta(Struct, gc=False):
    """An event as far as it may be a delta. Indexes may be missing, and are then known by the item's id."""

    type: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    delta: str | None = None


class Part(Struct, gc=False):
    """A part of a message or of reasoning."""

    type: str | None = None
    text: str | None = None
    refusal: str | None = None
    annotations: list[Raw] | None = None
    logprobs: Raw = _NONE


class Text(Struct, gc=False):
    """An event that brings text, in full. Its `.done` has the whole of it, in one of four fields."""

    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    input: str | None = None

    @property
    def whole(self) -> str:
        """The text that a `.done` event repeats."""
        return self.text or self.refusal or self.arguments or self.input or ""


class Event(Struct, gc=False):
    """Any other event. Some gateways repeat the fields of `response` beside it: they must not be read."""

    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    item: Raw = _NONE
    annotation: Raw = _NONE
    response: Raw = _NONE
    copilot_usage: Raw = _NONE


class Source(Struct, gc=False):
    """Where a passage of the text comes from. Files have a name where pages have a title."""

    url: str | None = None
    title: str | None = None
    filename: str | None = None
    start_index: int | None = None
    end_index: int | None = None
    raw: str = ""

    def cited(self, index: int) -> Citation:
        """The event that says so of block `index`."""
        return Citation(index, self.url, self.title or self.filename, None, self.start_index, self.end_index, self.raw)


class Piece(Struct, gc=False):
    """A part of a finished message, with its sources and its JSON text."""

    part: Part
    sources: list[Source]
    raw: str


class Message(Struct, gc=False):
    """A finished message."""

    pieces: list[Piece]


class Reasoning(Struct, gc=False):
    """Reasoning: a summary of it by OpenAI, the content itself by open models."""

    summary: list[Part] | None = None
    content: list[Part] | None = None

    @property
    def texts(self) -> list[str]:
        """The parts of the summary, or else of the content."""
        summary = [part.text for part in self.summary or () if part.text]
        return summary or [part.text for part in self.content or () if part.text]


class Call(Struct, gc=False):
    """A call of a function or of a custom tool. `given` are the arguments, or the input."""

    call_id: str = ""
    name: str = ""
    given: str = ""


class Other(Struct, gc=False):
    """What is read of an item that is carried along: whose turn it is, and whether it brings an image."""

    call_id: object = None
    execution: object = None
    result: object = None
    output_format: object = None


class Item(Struct, gc=False):
    """An item and its JSON text. `opaque` is what must go back with its blocks: all that these do not hold."""

    type: str
    id: str
    raw: str
    body: Message | Reasoning | Call | Other
    opaque: str | None = None
    image: bytes = b""
    media_type: str = ""


class _Head(Struct, gc=False):
    type: str | None = None
    id: str | None = None


class _Content(Struct, gc=False):
    content: list[Raw] | None = None


class _Call(Struct, gc=False):
    call_id: str | None = None
    name: str | None = None
    arguments: Raw = _NONE  # a string; some servers send the object itself
    input: Raw = _NONE


class _Details(Struct, gc=False):
    reason: str | None = None


class Response(Struct, gc=False):
    """A response: its beginning has an id and a model, its end all the rest."""

    id: str | None = None
    model: str | None = None
    status: str | None = None
    incomplete_details: _Details | None = None
    output: list[Raw] | None = None
    usage: Raw = _NONE
    service_tier: Raw = _NONE
    content_filters: Raw = _NONE  # Azure
    moderation: Raw = _NONE
    conversation: Raw = _NONE
    tool_usage: Raw = _NONE


class _InputDetails(Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(Struct, gc=False):
    reasoning_tokens: int | None = None


class _Usage(Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Typed(Struct, gc=False):
    type: object = None


decode: Final = msgspec.json.Decoder(Delta).decode
decode_text: Final = msgspec.json.Decoder(Text).decode
decode_event: Final = msgspec.json.Decoder(Event).decode
_decode_type: Final = msgspec.json.Decoder(_Typed).decode
_decode_head: Final = msgspec.json.Decoder(_Head).decode
_decode_content: Final = msgspec.json.Decoder(_Content).decode
_decode_part: Final = msgspec.json.Decoder(Part).decode
_decode_reasoning: Final = msgspec.json.Decoder(Reasoning).decode
_decode_call: Final = msgspec.json.Decoder(_Call).decode
_decode_other: Final = msgspec.json.Decoder(Other).decode
_decode_response: Final = msgspec.json.Decoder(Response).decode
_decode_usage: Final = msgspec.json.Decoder(_Usage).decode
_decode_source: Final = msgspec.json.Decoder(Source).decode
_decode_string: Final = msgspec.json.Decoder(str).decode
_decode_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode


def decode_type(data: bytes) -> object:
    """The type of an event of whatever shape; None if it has none.

    Raises:
        DecodeError: It is not an object.
    """
    return _decode_type(data).type


def sent(raw: Raw) -> str:
    """JSON text as it was sent; "" for what is absent, null or empty."""
    text = bytes(raw).decode()
    return "" if text in ("null", "[]", "{}", '""') else text


def members(text: str) -> dict[str, Raw]:
    """The members of an object that are not null."""
    return {name: raw for name, raw in _decode_members(text).items() if bytes(raw) != b"null"}


def _piece(raw: Raw) -> Piece:
    part = _decode_part(raw)
    return Piece(part, [source_of(annotation) for annotation in part.annotations or ()], bytes(raw).decode())


def item_of(raw: Raw) -> Item:
    """An item, read according to its type.

    Raises:
        DecodeError: It is not an object, or not what its type says.
    """
    head, text = _decode_head(raw), bytes(raw).decode()
    item = Item(head.type or "item", head.id or "", text, Call())
    if item.type == "message":
        item.body = Message([_piece(part) for part in _decode_content(raw).content or ()])
    elif item.type == "reasoning":
        item.body = _decode_reasoning(raw)
    elif item.type in CALLS:
        call = _decode_call(raw)
        item.body = Call(call.call_id or "", call.name or "", _given(call.arguments) or _given(call.input))
    else:
        item.body = other = _decode_other(raw)
        if item.type == "image_generation_call":
            item.image = _image(other)
            item.media_type = f"image/{other.output_format if isinstance(other.output_format, str) else 'png'}"
    if item.type in _CONTENT:
        item.opaque = json_text({name: raw for name, raw in members(text).items() if name not in _CONTENT[item.type]})
    elif item.image:
        item.opaque = json_text({"type": item.type, "id": item.id})
    return item


def response_of(raw: Raw) -> Response:
    """What an event says of the whole response; nothing if it has no such member."""
    return _decode_response(raw) if bytes(raw) not in (b"", b"null") else Response()


def source_of(raw: Raw) -> Source:
    """An annotation, of whichever kind."""
    return structs.replace(_decode_source(raw), raw=bytes(raw).decode())


def _given(raw: Raw) -> str:
    return _decode_string(raw) if bytes(raw)[:1] == b'"' else sent(raw)


def _image(item: Other) -> bytes:
    try:
        return binascii.a2b_base64(item.result, strict_mode=True) if isinstance(item.result, str) else b""
    except ValueError:
        return b""


def usage_of(raw: Raw) -> tuple[Usage, str]:
    """The numbers by our names, and the object as it was sent if it holds more than these; "" if not."""
    if not sent(raw):
        return Usage(), ""
    found = _decode_usage(raw)
    read, written = found.input_tokens_details or _InputDetails(), found.output_tokens_details or _OutputDetails()
    usage = Usage(
        input_tokens=found.input_tokens,
        output_tokens=found.output_tokens,
        cache_read_tokens=read.cached_tokens,
        cache_write_tokens=read.cache_write_tokens,
        reasoning_tokens=written.reasoning_tokens,
    )
    names = members(sent(raw))
    inner = {name: members(sent(names.get(f"{name}_details", _NONE)) or "{}").keys() for name in _COUNTED}
    counted = names.keys() <= _USAGE and all(inner[name] <= _COUNTED[name] for name in _COUNTED)
    return usage, "" if counted else sent(raw)
