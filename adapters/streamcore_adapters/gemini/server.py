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
from streamcore.serving import one_line, unsaid

from .request import Opaque
from .server_answer import Answer, losses
from .server_chunk import Candidate, Chunk, Content, Counts, Part, encode
from .server_request import parse
from .server_whole import error, render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.dialect import Call
    from streamcore.events import Event

__all__ = ["Encoder", "content_type", "error", "keep_alive", "losses", "parse", "path", "render"]

path: Final = "/{version}/models/{model}:{method}"
content_type: Final = "text/event-stream"
keep_alive: Final = b""

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

    __slots__ = (
        "_answer",
        "_begun",
        "_blocks",
        "_bytes",
        "_latest",
        "_most",
        "_pending",
        "_pieces",
        "_takes",
        "_text",
        "_uncounted",
    )

    def __init__(self, call: Call) -> None:
        self._answer = Answer(call.id, call.request.model)
        self._blocks: dict[int, _Block] = {}  # those that are open
        self._text = -1  # the block of text that was written to last, and its pieces
        self._pieces: list[str] = []
        self._bytes = 0  # of text before these
        self._takes: str = ""  # what a reader takes the last part for, and the block that it was of
        self._latest = self._most = -1  # and the latest of all that was said anything of
        self._pending = 0  # sources told, which a reader puts nowhere before the block has ended
        self._begun: set[int] = set()  # blocks of which something was said
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
            case Usage():  # as many as texts, from Gemini: not behind all other cases, of which each costs 40 ns
                self._answer.count(event)
                self._uncounted = True
                return b""
            case ReasoningDelta():
                self._block(event.index, event)
                if not event.text:
                    return b""
                self._turn(event.index, "ReasoningDelta")
                return self._chunk(Part(event.text, thought=True))
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

    def _turn(self, index: int, takes: str) -> None:
        """What is written next is of this block, which for a reader may be another's, or not this one's any more."""
        if index == self._latest and takes == self._takes:
            return
        if takes == self._takes or index in self._begun:
            self._answer.lose(f"{takes.partition(':')[0]}.index")
        if index in self._begun:
            self._blocks[index].before = -1  # in two for a reader: nothing can be said of it as a whole
        self._begun.add(index)
        if takes != self._takes:
            self._pending = 0
        self._takes, self._latest, self._most = takes, index, max(index, self._most)

    def _close(self, index: int) -> None:
        """What is written next is a part that is whole: a reader's block ends with it."""
        self._takes, self._most, self._pending = "", max(index, self._most), 0

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
        self._turn(event.index, "TextDelta")
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
            self._turn(event.index, f"Attachment:{event.media_type}")
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
                self._close(event.index)
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
            if not parts:
                return b""
            if self._most > event.index:
                self._answer.lose("ToolCallStart.index")
            self._close(event.index)
            return self._chunk(parts[0])
        if isinstance(first, ReasoningDelta):
            signature = Part("", thought=True, thought_signature=own.thought_signature)
            if own.thought_signature is None:
                return b""
            self._close(event.index)
            return self._chunk(signature)
        if isinstance(first, TextDelta | RefusalDelta | Citation):
            return self._end_text(event.index, block, own)
        if block.data:
            pieces = [piece.data for piece in block.data if piece.data is not None]
            last = block.data[-1]
            self._close(event.index)
            return self._chunk(self._answer.media(last.media_type, b"".join(pieces) if pieces else None, last.url, own))
        if own != _NOTHING:
            self._answer.lose("BlockEnd.opaque")
        return b""

    def _end_text(self, index: int, block: _Block, own: Opaque) -> bytes:
        if index == self._text:
            self._leave_text()
        is_open = (self._takes, self._latest) == ("TextDelta", index)  # for a reader: what is over gets no sources
        before = block.before if is_open else -1
        grounding = self._answer.cite(block.citations, "".join(block.pieces), before) if block.citations else None
        if grounding is None and own.thought_signature is None:
            return b""
        self._pending += 0 if grounding is None else len(block.citations)
        if own.thought_signature is not None:
            self._close(index)
        return self._chunk(Part("", thought_signature=own.thought_signature), grounding)

    def _fail(self, failure: Failure) -> bytes:
        """The usage, for an error has no place for it; then the error."""
        answer = self._answer
        status, body = error(failure)
        for key in unsaid(failure, ("detail", "request_id", "should_retry")):
            answer.lose(key)
        if failure.status not in {None, status}:
            answer.lose("Failure.status")
        usage = answer.counts()
        answer.abandon()
        sources = self._pending + sum(len(block.citations) for block in self._blocks.values())
        if sources:
            answer.lose("Citation", sources)
        told = self._most >= 0 or (answer.id, answer.model) == (None, None)
        head = b"" if usage == Counts() and told else _framed(Chunk(None, None, usage, answer.model, answer.id))
        return head + sse.encode(body)


def _framed(chunk: Chunk) -> bytes:
    return b"data: %b\n\n" % encode(chunk)  # one line: msgspec escapes what would end it, and `one_line` what is raw
