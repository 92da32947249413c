"""The AI SDK's UI message stream, version 1: what `useChat` reads. Written only, so it has no `path` and no `parse`.

    start start-step (text-* | reasoning-* | tool-input-* | source-url | file | data-*)* finish-step finish [DONE]

What its clients post, and where, is the application's own business; so are a body that is not a stream and the shape of
`messageMetadata`, which here is `{"model", "usage"}`. Every block is a part with its index for an id. A refusal is a text
that says so, and what a block must go back with is kept: both in `providerMetadata.streamcore`, which the client returns
with its messages. Whatever else a provider has is a `data-extension`. Only parts are written that version 6 of the
client knows too: one that it doesn't know ends its stream.

A stream that failed has neither `finish` nor `[DONE]`: its last part is `error`, or `abort` where somebody cancelled it.

Sources: npm `ai` 7.0.173 and 6.0.326 (chunks, processing, stream protocol); read November 2026.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct, structs

from streamcore import sse
from streamcore.errors import LocalError
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
from streamcore.serving import STATUSES, events, one_line, unsaid
from streamcore.wire import data_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.dialect import Call
    from streamcore.events import FinishReason
    from streamcore.message import Fold

__all__ = ["Encoder", "content_type", "error", "headers", "keep_alive", "losses", "parse", "path", "render"]

path: Final = ""
content_type: Final = "text/event-stream"
keep_alive: Final = sse.comment("keep-alive")
headers: Final[Mapping[str, str]] = {
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
    "x-vercel-ai-ui-message-stream": "v1",
}
"""What an answer has besides its content type: its clients know the protocol by it."""

losses: Final[Mapping[str, str]] = {
    "Attachment": "a file has bytes or an address",
    "BlockEnd.opaque": "what is an extension and nothing else has no end of its own",
    "Citation": "a source has an address",
    "Citation.raw": "its address, title, place and words are sent",
    "Extension": "what is no JSON cannot be sent",
    "Failure.code": "an error is a text",
    "Failure.detail": "an error is a text",
    "Failure.kind": "an error is a text",
    "Failure.request_id": "an error is a text",
    "Failure.retry_after": "an error is a text",
    "Failure.should_retry": "an error is a text",
    "Failure.status": "an error is a text",
    "Finish.raw": "the format has words of its own",
    "Finish.reason": "a refusal is `content-filter`, a pause `other`",
}
"""What the format cannot carry, and why."""

_REASONS: Final[Mapping[FinishReason, str]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool-calls",
    "content_filter": "content-filter",
    "refusal": "content-filter",
    "pause": "other",
    "other": "other",
}
_STATUSES: Final = {**STATUSES, "quota": 402}
_NOT_SAID: Final = ("code", "detail", "request_id", "retry_after", "should_retry", "status")
_REFUSAL: Final = {"streamcore": {"refusal": True}}
_json: Final = msgspec.json.Encoder().encode


class _Part(Struct, omit_defaults=True, gc=False, rename="camel"):
    """Any part of the stream. The fields of a delta come first."""

    type: str
    id: str | None = None
    delta: str | None = None
    tool_call_id: str | None = None
    input_text_delta: str | None = None
    tool_name: str | None = None
    input: object = None
    error_text: str | None = None
    message_id: str | None = None
    message_metadata: object = None
    source_id: str | None = None
    url: str | None = None
    title: str | None = None
    media_type: str | None = None
    data: object = None
    finish_reason: str | None = None
    reason: str | None = None
    provider_metadata: object = None


class _Counts(Struct, omit_defaults=True, rename="camel"):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    input_audio_tokens: int | None = None
    output_audio_tokens: int | None = None
    input_image_tokens: int | None = None
    output_image_tokens: int | None = None
    total_tokens: int | None = None


class _Block:
    """A block under way. `delta` is the part that adds to it; one without is written when it is whole."""

    __slots__ = ("attachments", "call", "delta", "end", "id", "pieces")

    def __init__(self, id: str, kind: str) -> None:
        self.id = id
        self.delta = f"{kind}-delta" if kind else ""
        self.end = f"{kind}-end"
        self.call: ToolCallStart | None = None
        self.pieces: list[str] = []
        self.attachments: list[Attachment] = []


class Encoder:
    """Writes one message, in one step."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._blocks: dict[int, _Block] = {}
        self._sources = 0
        self._model: str | None = None
        self._usage: Usage | None = None
        self.lost: dict[str, int] = {}

    def feed(self, event: Event, /) -> bytes:
        """The bytes that say this event."""
        if isinstance(event, TextDelta | ReasoningDelta | RefusalDelta):
            return self._say(event)
        if isinstance(event, ToolCallDelta):
            return self._argue(self._blocks[event.index], event.arguments)
        if isinstance(event, Usage):
            self._usage = event
            return b""
        if isinstance(event, Start):
            self._model = event.model or self._call.request.model
            id = event.id or self._call.id or None
            metadata = None if self._model is None else {"model": self._model}
            return _send(_Part("start", message_id=id, message_metadata=metadata)) + _send(_Part("start-step"))
        if isinstance(event, Finish):
            return self._finish(event)
        if isinstance(event, Failure):
            return self._fail(event)
        if isinstance(event, Extension):
            return self._extension(event)
        if isinstance(event, BlockEnd):
            return self._end(self._blocks.pop(event.index), event.opaque)
        if isinstance(event, ToolCallStart):
            block = self._blocks[event.index] = _Block(event.id, "tool-input")
            block.call = event
            return _send(_Part("tool-input-start", tool_call_id=event.id, tool_name=event.name))
        if isinstance(event, Citation):
            return self._cite(event)
        self._blocks.setdefault(event.index, _Block(str(event.index), "")).attachments.append(event)
        return b""

    def _lose(self, name: str) -> None:
        self.lost[name] = self.lost.get(name, 0) + 1

    def _say(self, event: TextDelta | ReasoningDelta | RefusalDelta) -> bytes:
        block = self._blocks.get(event.index)
        begun = b""
        if block is None:
            kind = "reasoning" if isinstance(event, ReasoningDelta) else "text"
            block = self._blocks[event.index] = _Block(str(event.index), kind)
            metadata = _REFUSAL if isinstance(event, RefusalDelta) else None
            begun = _send(_Part(f"{kind}-start", block.id, provider_metadata=metadata))
        return begun + _send(_Part(block.delta, block.id, event.text)) if event.text else begun

    def _argue(self, block: _Block, text: str) -> bytes:
        if not text:
            return b""
        block.pieces.append(text)
        return _send(_Part(block.delta, tool_call_id=block.id, input_text_delta=text))

    def _end(self, block: _Block, token: str | None) -> bytes:
        metadata = None if token is None else {"streamcore": {"opaque": token}}
        if block.call is not None:
            text = "".join(block.pieces) or "{}"
            input = one_line(text)
            part = _Part("tool-input-available", tool_call_id=block.id, tool_name=block.call.name, input=input)
            if input is None:
                part.type, part.input, part.error_text = "tool-input-error", text, "the arguments are not JSON"
        elif block.delta:
            part = _Part(block.end, block.id)
        elif not block.attachments:  # an extension, which has been sent
            if token is not None:
                self._lose("BlockEnd.opaque")
            return b""
        else:
            last = block.attachments[-1]
            data = b"".join(piece.data or b"" for piece in block.attachments)
            url = data_url(data, last.media_type) if data else last.url
            if not url:
                self._lose("Attachment")
                return b""
            part = _Part("file", url=url, media_type=last.media_type)
        part.provider_metadata = metadata
        return _send(part)

    def _cite(self, event: Citation) -> bytes:
        begun = b"" if event.index in self._blocks else self._say(TextDelta(event.index, ""))
        if event.raw is not None:
            self._lose("Citation.raw")
        if not event.url:
            self._lose("Citation")
            return begun
        self._sources += 1
        place = {"start": event.start, "end": event.end, "text": event.text}
        known: dict[str, Any] = {name: value for name, value in place.items() if value is not None}
        part = _Part("source-url", source_id=f"source-{self._sources}", url=event.url, title=event.title)
        part.provider_metadata = {"streamcore": {"id": str(event.index), **known}}
        return begun + _send(part)

    def _extension(self, event: Extension) -> bytes:
        if event.index is not None:
            self._blocks.setdefault(event.index, _Block(str(event.index), ""))
        value = one_line(event.raw)
        if value is None:
            self._lose("Extension")
            return b""
        return _send(_Part("data-extension", data={"name": event.name, "value": value}))

    def _finish(self, event: Finish) -> bytes:
        if event.raw is not None:
            self._lose("Finish.raw")
        if event.reason in ("refusal", "pause"):
            self._lose("Finish.reason")
        metadata: dict[str, object] = {} if self._model is None else {"model": self._model}
        usage = self._usage
        if usage is not None:
            metadata["usage"] = _Counts(**structs.asdict(usage), total_tokens=usage.total_tokens)
        part = _Part("finish", finish_reason=_REASONS[event.reason], message_metadata=metadata or None)
        return _send(_Part("finish-step")) + _send(part) + sse.encode(b"[DONE]")

    def _fail(self, event: Failure) -> bytes:
        for name in unsaid(event, _NOT_SAID):
            self._lose(name)
        if event.kind == "cancelled":
            return _send(_Part("abort", reason=event.message))
        self._lose("Failure.kind")
        return _send(_Part("error", error_text=event.message))


def parse(body: bytes, matched: Mapping[str, str], /) -> Call:  # noqa: ARG001 - it does not matter what they are
    """Nobody asks in this format: what its client posts is whatever the application makes of it.

    Raises:
        LocalError: Always.
    """
    raise LocalError("the UI stream is a format of answers: nobody can ask in it")


def render(fold: Fold, call: Call) -> bytes:
    """The whole answer as the stream that it would have been, block by block: there is no other form of it."""
    encoder = Encoder(call)
    return b"".join(encoder.feed(event) for event in events(fold))


def error(failure: Failure) -> tuple[int, bytes]:
    """The HTTP status, and the text that the client shows."""
    return _STATUSES[failure.kind], failure.message.encode()


def _send(part: _Part) -> bytes:
    return sse.encode(_json(part))
