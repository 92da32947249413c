"""Serves Chat Completions: our events as its chunks. The reverse of the decoder; `parse` is the reverse of `encode`.

What a client gets back, as its normal form: one block each of text, reasoning, refusal and sound, in which all deltas of
that kind come in their order, offsets of citations moved along; tool calls interleaved as they came; images whole, when
their block has ended. Deltas without words are not sent. All blocks end with the answer, the last usage before that. A
`Failure` is an error object, whose code is the provider's own or else our kind; no finish reason and no `[DONE]` follow.

Reasoning is written as `reasoning_content`, which most clients of such servers read, and what must come back with it as
whole items of `reasoning_details` when its block ends; of reasoning without words, that is its place. A call's `extra_content` comes in a last fragment without words.

Where it is not quite right. A client that shows the text of both fields shows the reasoning twice, if there are such
items. Of the four finish reasons that official clients know, `stop` also has to say "other".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import UNSET, Raw, UnsetType, structs

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
from streamcore.wire import base64_text, data_url

from .server_answer import (
    SOUND,
    Address,
    AnswerChoice,
    AnswerChunk,
    AnswerDelta,
    CallOut,
    FunctionOut,
    ImageOut,
    Replay,
    Sound,
    annotation,
    error,
    error_body,
    finish_reason,
    json,
    place,
    usage_out,
)
from .server_request import parse
from .server_whole import render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.dialect import Call

__all__ = ["Encoder", "content_type", "error", "keep_alive", "losses", "parse", "path", "render"]

path: Final = "/v1/chat/completions"
content_type: Final = "text/event-stream"
keep_alive: Final = sse.comment("keep-alive")
losses: Final[Mapping[str, str]] = {
    "TextDelta.index": "a message has one text: further blocks of it are appended",
    "ReasoningDelta.index": "a message has one reasoning text: further blocks of it are appended",
    "RefusalDelta.index": "a message has one refusal: further blocks of it are appended",
    "Attachment": "only images and PCM sound can be streamed, an image only when it is whole",
    "Attachment.index": "a message has one sound: further blocks of it are appended",
    "Attachment.media_type": "an image by URL does not say its type",
    "Attachment.url": "an image of which there are bytes is sent without its URL, a sound always",
    "Citation": "an annotation needs a URL",
    "Citation.raw": "another provider's citation is written anew, in this format's words",
    "Extension": "only this format's own have a place",
    "BlockEnd.opaque": "only this format's own replay tokens have a place, each with its own kind of block",
    "Usage": "sent only to a client that asked for it",
    "Finish.reason": "there are words for stop, length, tool calls and content filter; a pause is said as length",
    "Finish.raw": "another provider's word gives way to this format's",
    "Failure.detail": "an error object holds a message, a type and a code",
    "Failure.status": "the stream began with 200",
    "Failure.retry_after": "a header's matter; the headers are sent",
    "Failure.should_retry": "a header's matter; the headers are sent",
    "Failure.request_id": "a header's matter; the headers are sent",
}
_INDEXES: Final[Mapping[str, str]] = {
    "text": "TextDelta.index",
    "reasoning": "ReasoningDelta.index",
    "refusal": "RefusalDelta.index",
    "sound": "Attachment.index",
}
_NOTHING: Final = AnswerDelta()


class Encoder:
    """The chunks of one answer. Most add to the text of the one before: these are one Struct, used again."""

    __slots__ = (
        "_bases",
        "_calls",
        "_chunk",
        "_costs",
        "_images",
        "_kinds",
        "_length",
        "_plain",
        "_plain_delta",
        "_refused",
        "_text",
        "_usage",
        "_usage_asked",
        "lost",
    )

    def __init__(self, call: Call) -> None:
        self.lost: dict[str, int] = {}
        self._usage_asked = call.usage
        self._usage = Usage()
        self._costs: dict[str, Raw] = {}
        self._kinds: dict[int, str] = {}  # what each block is, since its first event
        self._text = -1  # the text block under way
        self._bases: dict[int, int] = {}  # how much text came before each block of it, in characters
        self._length = 0
        self._refused = False
        self._calls: dict[int, int] = {}  # the number of each call among the calls, by its block
        self._images: dict[int, list[Attachment]] = {}  # those whose block has not ended
        self._plain_delta = AnswerDelta(content="")
        usage: UnsetType | None = None if call.usage else UNSET
        model = call.request.model or ""
        self._chunk = AnswerChunk(call.id, "chat.completion.chunk", call.created, model, [], usage)
        self._plain = structs.replace(self._chunk, choices=[AnswerChoice(self._plain_delta)])

    def feed(self, event: Event, /) -> bytes:
        """The chunks that say this event; b"" if there is nothing to say, or not yet."""
        match event:
            case TextDelta():
                return self._say(event)
            case ReasoningDelta():
                self._enter(event.index, "reasoning")
                return self._write(AnswerDelta(reasoning_content=event.text)) if event.text else b""
            case ToolCallDelta():
                number = self._calls[event.index]
                return self._fragment(CallOut(FunctionOut(event.arguments), number)) if event.arguments else b""
            case ToolCallStart():
                self._enter(event.index, "call")
                number = self._calls[event.index] = len(self._calls)
                return self._fragment(CallOut(FunctionOut("", event.name), number, event.id, "function"))
            case RefusalDelta():
                self._enter(event.index, "refusal")
                self._refused = self._refused or bool(event.text)
                return self._write(AnswerDelta(refusal=event.text)) if event.text else b""
            case Citation():
                return self._cite(event)
            case Attachment():
                return self._attach(event)
            case Extension():
                return self._extend(event)
            case BlockEnd():
                return self._end_block(event)
            case Usage():
                self._usage = event
                return b""
            case Start():
                return self._start(event)
            case Finish():
                return self._finish(event)
            case _:
                return self._fail(event)

    def _start(self, event: Start) -> bytes:
        for chunk in (self._chunk, self._plain):
            chunk.id, chunk.model = event.id or chunk.id, event.model or chunk.model
        return self._write(AnswerDelta("assistant", ""))

    def _say(self, event: TextDelta) -> bytes:
        if event.index != self._text:
            self._enter(event.index, "text")
            self._text = event.index
        if not event.text:
            return b""
        self._length += len(event.text)
        self._plain_delta.content = event.text
        return sse.encode(json(self._plain))

    def _cite(self, event: Citation) -> bytes:
        self._enter(event.index, "text")
        base = self._bases.get(event.index, 0)
        source = annotation(event, base)
        if source is None:
            self._lose("Citation")
            return b""
        if event.raw is not None and (base or annotation(structs.replace(event, url=None)) is None):
            self._lose("Citation.raw")
        return self._write(AnswerDelta(annotations=[source]))

    def _attach(self, event: Attachment) -> bytes:
        kind = "sound" if event.media_type == SOUND else "image" if event.media_type[:6] == "image/" else ""
        self._enter(event.index, kind)
        if self._kinds[event.index] == "image":
            self._images.setdefault(event.index, []).append(event)
            return b""
        if self._kinds[event.index] != "sound":
            self._lose("Attachment")
            return b""
        if event.url is not None:
            self._lose("Attachment.url")
        return self._write(AnswerDelta(audio=Sound(data=base64_text(event.data)))) if event.data else b""

    def _extend(self, event: Extension) -> bytes:
        index = event.index
        if index is not None:
            self._enter(index, "part")
        where, name, raw = place(event)
        if where == "usage":
            self._costs[name] = raw
        elif where == "choices":
            return self._send(structs.replace(self._chunk, choices=[raw]))
        elif where == "chunk":
            chunk = structs.replace(self._chunk, choices=[AnswerChoice(_NOTHING)])
            return self._send(structs.replace(chunk, **{name: raw}))
        elif where == "choice":
            choice = structs.replace(AnswerChoice(_NOTHING), **{name: raw})
            return self._send(structs.replace(self._chunk, choices=[choice]))
        elif where and (index is None or self._kinds[index] == "part"):
            several = name == "annotations" or where == "content"
            field = where if where == "content" else name
            return self._write(structs.replace(_NOTHING, **{field: [raw] if several else raw}))
        else:
            self._lose("Extension")
        return b""

    def _end_block(self, event: BlockEnd) -> bytes:
        kind, index = self._kinds[event.index], event.index
        image = self._image(self._images.pop(index)) if kind == "image" else b""
        if event.opaque is None:
            return image
        own = Replay.read(event.opaque)
        if kind == "reasoning" and (own.reasoning_details or own.reasoning_opaque):
            details, sealed = own.reasoning_details, own.reasoning_opaque
            return self._write(AnswerDelta(reasoning_details=details, reasoning_opaque=sealed))
        if kind == "call" and own.extra_content:
            number, extra = self._calls[index], own.extra_content
            return self._fragment(CallOut(FunctionOut(""), number, extra_content=extra))
        if kind == "sound" and own.audio and own.audio.id:
            return self._write(AnswerDelta(audio=Sound(own.audio.id)))
        self._lose("BlockEnd.opaque")
        return image

    def _image(self, pieces: list[Attachment]) -> bytes:
        data = b"".join(piece.data for piece in pieces if piece.data)
        last = pieces[-1]
        if data:
            address = data_url(data, last.media_type)
            if last.url is not None:
                self._lose("Attachment.url")
        elif last.url:
            address = last.url
            if last.media_type != "image/*":
                self._lose("Attachment.media_type")
        else:
            self._lose("Attachment")
            return b""
        return self._write(AnswerDelta(images=[ImageOut(Address(address))]))

    def _finish(self, event: Finish) -> bytes:
        reason = event.reason
        word = finish_reason(reason, calls=bool(self._calls), refusal=self._refused)
        read = "tool_calls" if self._calls else "refusal" if self._refused else "stop"  # by what the answer has
        if reason != (read if word == "stop" else word):
            self._lose("Finish.reason")
        if event.raw not in (None, word):
            self._lose("Finish.raw")
        choice = AnswerChoice(_NOTHING, finish_reason=word)
        return self._send(structs.replace(self._chunk, choices=[choice])) + self._count() + sse.encode(b"[DONE]")

    def _fail(self, event: Failure) -> bytes:
        for key in unsaid(event):
            self._lose(key)
        for _ in self._images:
            self._lose("Attachment")
        return self._count() + sse.encode(error_body(event))

    def _count(self) -> bytes:
        """The chunk that holds the usage and nothing else, also before an error: what was used was used."""
        if self._usage_asked and self._usage != Usage():
            return self._send(structs.replace(self._chunk, usage=usage_out(self._usage, self._costs)))
        if self._usage != Usage():
            self._lose("Usage")
        for _ in self._costs:
            self._lose("Extension")
        return b""

    def _fragment(self, call: CallOut) -> bytes:
        return self._write(AnswerDelta(tool_calls=[call]))

    def _write(self, delta: AnswerDelta) -> bytes:
        return self._send(structs.replace(self._chunk, choices=[AnswerChoice(delta)]))

    def _send(self, chunk: AnswerChunk) -> bytes:
        return sse.encode(json(chunk))

    def _enter(self, index: int, kind: str) -> None:
        """Note what a block is, by its first event; and that it will be one with an earlier one, if so."""
        if index in self._kinds:
            return
        if kind in _INDEXES and kind in self._kinds.values():
            self._lose(_INDEXES[kind])
        self._kinds[index] = kind
        self._bases[index] = self._length

    def _lose(self, name: str) -> None:
        self.lost[name] = self.lost.get(name, 0) + 1
