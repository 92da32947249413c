"""Serves Gemini's format: `POST /{version}/models/{model}:{method}`, the reverse of the adapter.

The method says how to answer: `streamGenerateContent` by server-sent events, with or without `alt=sse`;
`generateContent` by one body. The version is whatever the client's library takes for the current one.

Every chunk is what Google sends: a candidate with at least one part, be it an empty text; Google's own client takes an
answer with any other chunk for invalid, and leaves it out of a conversation. So usage waits for the next chunk. Nothing
marks where a block begins or ends, so what a reader makes of the bytes is a normal form of the events:

- Text and reasoning are written as they come: adjacent deltas of one kind are one block, whatever their index, and a
  block that another kind interrupts goes on as a new one. A refusal is text. Empty deltas say nothing.
- A signature of text or reasoning follows it as an empty part of its own, as Gemini itself does when it streams. What
  another provider wants back is the signature, in base64, and `parse` takes it out again.
- Calls and images are written whole when their block ends. Arguments that are no JSON object end the answer with
  `MALFORMED_FUNCTION_CALL`, unless its limit of tokens did: what a limit cut is no call.
- Pieces of sound of one type are one block, each piece a part.
- Sources become `groundingMetadata` when their block ends, and again at the end (the last one counts), unless the
  answer is Gemini's own: then its own metadata says them.
- Of the usage the last counts. `Finish.raw` is a word of Google's, and after a call `STOP` means `tool_calls`.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Raw, Struct

from streamcore import sse
from streamcore.events import (
    Attachment,
    BlockEnd,
    Citation,
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
from streamcore.request import ExtensionPart, File, Image, ReasoningPart, RefusalPart, Text, ToolCall
from streamcore.wire import present

from .request import Opaque
from .server_answer import Answer, losses
from .server_chunk import Candidate, Chunk, Content, Counts, Part, encode, one_line
from .server_request import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.dialect import Call
    from streamcore.events import Event, FailureKind
    from streamcore.message import Fold

__all__ = ["Encoder", "content_type", "error", "keep_alive", "losses", "parse", "path", "render"]

path: Final = "/{version}/models/{model}:{method}"
content_type: Final = "text/event-stream"
keep_alive: Final = b""

_ERRORS: Final[Mapping[FailureKind, tuple[int, str]]] = {
    "invalid": (400, "INVALID_ARGUMENT"),
    "auth": (401, "UNAUTHENTICATED"),
    "permission": (403, "PERMISSION_DENIED"),
    "not_found": (404, "NOT_FOUND"),
    "rate_limit": (429, "RESOURCE_EXHAUSTED"),
    "quota": (429, "RESOURCE_EXHAUSTED"),
    "cancelled": (499, "CANCELLED"),
    "overloaded": (503, "UNAVAILABLE"),
    "timeout": (504, "DEADLINE_EXCEEDED"),
}
_BROKEN: Final = (502, "INTERNAL")
_RPC: Final = "type.googleapis.com/google.rpc."
_NOTHING: Final = Opaque()
_Words: TypeAlias = TextDelta | RefusalDelta


class _Block(Struct, gc=False):
    """A block that is open: how it began, its pieces as far as they are needed again, its sources."""

    first: Event
    pieces: list[str] = []
    data: list[Attachment] = []
    citations: list[Citation] = []
    before: int = 0  # bytes of text in front of it; -1 if another text came between its pieces


class Encoder:
    """Writes one answer."""

    __slots__ = ("_answer", "_blocks", "_bytes", "_pieces", "_text", "_uncounted")

    def __init__(self, call: Call) -> None:
        self._answer = Answer(call.id, call.request.model)
        self._blocks: dict[int, _Block] = {}  # those that are open
        self._text = -1  # the block of text that was written to last, and its pieces
        self._pieces: list[str] = []
        self._bytes = 0  # of text before these
        self._uncounted = False  # whether there is a usage that no chunk has told

    @property
    def lost(self) -> Mapping[str, int]:
        """What had no place, so far."""
        return self._answer.lost

    def feed(self, event: Event, /) -> bytes:
        """The bytes that say this event. A `Failure` is an error object in a frame of its own, the last."""
        match event:
            case TextDelta() | RefusalDelta():
                return self._add_text(event)
            case ReasoningDelta():
                self._block(event.index, event)
                return self._chunk(Part(event.text, thought=True)) if event.text else b""
            case ToolCallStart():
                self._block(event.index, event)
                return b""
            case ToolCallDelta():
                self._block(event.index, event).pieces.append(event.arguments)
                return b""
            case Attachment():
                return self._add_attachment(event)
            case Citation():
                return self._cite(event)
            case Extension():
                return self._extend(event)
            case BlockEnd():
                return self._end(event)
            case Start():
                self._answer.start(event)
                return b""
            case Usage():
                self._answer.count(event)
                self._uncounted = True
                return b""
            case Finish():
                return _framed(self._answer.last(event, [Part("")]))
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

    def _chunk(self, part: Part | Raw, grounding: Raw | None = None, logprobs: Raw | None = None) -> bytes:
        answer = self._answer
        usage = answer.counts() if self._uncounted else None
        self._uncounted = False
        candidate = Candidate(Content([part]), grounding_metadata=grounding, logprobs_result=logprobs)
        return _framed(Chunk([candidate], None, usage, answer.model, answer.id))

    def _add_text(self, event: _Words) -> bytes:
        if event.index != self._text:
            self._move_to(event)
        if not event.text:
            return b""
        self._pieces.append(event.text)
        return self._chunk(Part(event.text))

    def _move_to(self, event: _Words) -> None:
        """Another block of text is written to."""
        self._leave_text()
        block = self._block(event.index, event)
        block.before = -1 if block.pieces else self._bytes
        self._text, self._pieces = event.index, [] if block.pieces else block.pieces

    def _leave_text(self) -> None:
        self._bytes += len("".join(self._pieces).encode())
        self._text, self._pieces = -1, []

    def _add_attachment(self, event: Attachment) -> bytes:
        """Sound can be heard as it comes; all else is of use when it is whole."""
        block = self._block(event.index, event)
        if event.media_type.startswith("audio/"):
            return self._chunk(self._answer.media(event.media_type, event.data, event.url, _NOTHING))
        block.data.append(event)
        return b""

    def _cite(self, event: Citation) -> bytes:
        block = self._block(event.index, event)
        if isinstance(block.first, TextDelta | RefusalDelta | Citation):
            block.citations.append(event)
        else:
            self._answer.lose("Citation")
        return b""

    def _extend(self, event: Extension) -> bytes:
        """What is Gemini's own goes where it came from: a part, another candidate, a field of the last chunk."""
        provider, _, word = event.name.partition(":")
        raw = one_line(event.raw) if provider == "gemini" else None
        if event.index is not None:
            self._block(event.index, event)
        if raw is not None:
            is_object = bytes(raw).lstrip().startswith(b"{")
            if event.index is not None and is_object:
                return self._chunk(raw)
            if event.index is None and word == "candidate" and is_object:
                return _framed(Chunk([raw], None, None, self._answer.model, self._answer.id))
            if event.index is None and word == "logprobs_result":
                return self._chunk(Part(""), logprobs=raw)
            if event.index is None and self._answer.keep(word, raw):
                return b""
        self._answer.lose("Extension")
        return b""

    def _end(self, event: BlockEnd) -> bytes:
        """The end of a block: a call or an image is written now, and what must come back with a text."""
        block = self._blocks.pop(event.index)
        own = self._answer.own(event.opaque)
        first = block.first
        if isinstance(first, ToolCallStart):
            parts = self._answer.call(first.id, first.name, "".join(block.pieces), own)
            return self._chunk(parts[0]) if parts else b""
        if isinstance(first, ReasoningDelta):
            signature = Part("", thought=True, thought_signature=own.thought_signature)
            return b"" if own.thought_signature is None else self._chunk(signature)
        if isinstance(first, TextDelta | RefusalDelta | Citation):
            return self._end_text(event.index, block, own)
        if block.data:
            pieces = [piece.data for piece in block.data if piece.data is not None]
            last = block.data[-1]
            return self._chunk(self._answer.media(last.media_type, b"".join(pieces) if pieces else None, last.url, own))
        if own != _NOTHING:
            self._answer.lose("BlockEnd.opaque")
        return b""

    def _end_text(self, index: int, block: _Block, own: Opaque) -> bytes:
        if index == self._text:
            self._leave_text()
        grounding = self._answer.cite(block.citations, "".join(block.pieces), block.before) if block.citations else None
        if grounding is None and own.thought_signature is None:
            return b""
        return self._chunk(Part("", thought_signature=own.thought_signature), grounding)

    def _fail(self, failure: Failure) -> bytes:
        """The usage, for an error has no place for it; then the error."""
        answer = self._answer
        status, body = error(failure)
        for name in ("detail", "request_id", "should_retry"):
            if getattr(failure, name) is not None:
                answer.lose(f"Failure.{name}")
        if failure.status not in {None, status}:
            answer.lose("Failure.status")
        usage = answer.counts()
        head = b"" if usage == Counts() else _framed(Chunk(None, None, usage, answer.model, answer.id))
        return head + sse.encode(body)


def render(fold: Fold, call: Call) -> bytes:
    """The whole answer as one body; what has gone wrong as an error, as far as a body can say it."""
    outcome = fold.outcome
    if isinstance(outcome, Failure):
        return error(outcome)[1]
    answer = Answer(call.id, call.request.model)
    answer.start(Start(fold.id, fold.model))
    answer.count(fold.usage or Usage())
    for extension in fold.extensions:
        provider, _, word = extension.name.partition(":")
        raw = one_line(extension.raw) if provider == "gemini" else None
        if raw is not None:
            answer.keep(word, raw)
    parts = _parts(fold, answer)
    return encode(answer.last(outcome, parts or [Part("")]))


def _parts(fold: Fold, answer: Answer) -> list[Part | Raw]:
    """The parts of a whole answer, each with its signature; and its sources, found again by what they were sent as."""
    parts: list[Part | Raw] = []
    groups = [tuple(group) for _, group in groupby(fold.citations, lambda citation: citation.index)]
    size = 0
    for part in fold.message.parts:
        own = answer.own(part.opaque)
        signature = own.thought_signature
        if isinstance(part, Text | RefusalPart):
            if part.text or signature is not None:
                parts.append(Part(part.text, thought_signature=signature))
            raws = part.citations if isinstance(part, Text) else ()
            for group in groups:
                if raws and raws == tuple(citation.raw for citation in group if citation.raw is not None):
                    answer.cite(group, part.text, size)
                    groups.remove(group)
                    break
            size += len(part.text.encode())
        elif isinstance(part, ReasoningPart):
            if part.text or signature is not None:
                parts.append(Part(part.text, thought=True, thought_signature=signature))
        elif isinstance(part, ToolCall):
            parts += answer.call(part.id, part.name, part.arguments, own)
        elif isinstance(part, Image | File):
            parts.append(answer.media(part.media_type, part.data, part.url, own))
        elif isinstance(part, ExtensionPart) and part.name.startswith("gemini:"):
            raw = one_line(part.raw)
            if raw is not None and bytes(raw).lstrip().startswith(b"{"):
                parts.append(raw)
    return parts


def error(failure: Failure) -> tuple[int, bytes]:
    """The HTTP status and Google's error object. What is not the client's doing is a bad gateway."""
    code, status = _ERRORS.get(failure.kind, _BROKEN)
    words = [failure.code, "INSUFFICIENT_QUOTA" if failure.kind == "quota" else None]
    details = [{"@type": f"{_RPC}ErrorInfo", "reason": word} for word in words if word not in {None, status}]
    if failure.retry_after is not None:
        seconds = f"{failure.retry_after:.3f}".rstrip("0").rstrip(".")
        details.append({"@type": f"{_RPC}RetryInfo", "retryDelay": f"{seconds}s"})
    said = {"code": code, "message": failure.message, "status": status, "details": details or None}
    return code, encode({"error": present(said)})


def _framed(chunk: Chunk) -> bytes:
    return sse.encode(encode(chunk))
