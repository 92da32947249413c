"""What a stream's events amount to: text, message, tool calls, usage, outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from .events import (
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
from .request import ExtensionPart, File, Image, Message, Part, ReasoningPart, RefusalPart, Text, ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Fold"]

_TEXTS = (TextDelta, ReasoningDelta, RefusalDelta)


class _Block:
    """What has come of one block: how it began, and its pieces, joined when asked for."""

    __slots__ = ("attachments", "citations", "ended", "extensions", "first", "opaque", "pieces")

    def __init__(self, first: Event) -> None:
        self.first = first
        self.pieces: list[str] = []
        self.citations: list[Citation] = []
        self.attachments: list[Attachment] = []
        self.extensions: list[Extension] = []
        self.opaque: str | None = None
        self.ended = False

    @property
    def kind(self) -> type[Event]:
        """What the block is; one that begins with a citation is text."""
        return TextDelta if isinstance(self.first, Citation) else type(self.first)

    def text(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""

    def attachment(self) -> Attachment:
        pieces = [piece.data for piece in self.attachments if piece.data is not None]
        return structs.replace(self.attachments[-1], data=b"".join(pieces) if pieces else None)

    def parts(self) -> list[Part]:
        """The block as it goes back: itself, then what its provider attached to it."""
        first, opaque = self.first, self.opaque
        parts: list[Part] = []
        if isinstance(first, TextDelta | Citation):
            raws = tuple(citation.raw for citation in self.citations if citation.raw is not None)
            parts.append(Text(text=self.text(), citations=raws, opaque=opaque))
        elif isinstance(first, ReasoningDelta):
            parts.append(ReasoningPart(text=self.text(), opaque=opaque))
        elif isinstance(first, RefusalDelta):
            parts.append(RefusalPart(text=self.text(), opaque=opaque))
        elif isinstance(first, ToolCallStart):
            parts.append(ToolCall(id=first.id, name=first.name, arguments=self.text() or "{}", opaque=opaque))
        elif isinstance(first, Attachment):
            whole = self.attachment()
            part = Image if whole.media_type.startswith("image/") else File
            parts.append(part(data=whole.data, url=whole.url, media_type=whole.media_type, opaque=opaque))
        inherited = opaque if isinstance(first, Extension) else None
        parts += (ExtensionPart(name=item.name, raw=item.raw, opaque=inherited) for item in self.extensions)
        return parts


class Fold:
    """Adds events up. May be asked at any time, also of a stream that failed: then it holds what came before."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._blocks: list[_Block] = []
        self._loose: list[Extension] = []
        self._start = Start()
        self._usage: Usage | None = None
        self._outcome: Finish | Failure | None = None
        self.feed(events)

    def feed(self, events: Iterable[Event]) -> None:
        """Add events, in the order in which a reader or a stream gave them."""
        for event in events:
            self._add(event)

    def _add(self, event: Event) -> None:
        if isinstance(event, Start):
            self._start = event
        elif isinstance(event, Usage):
            self._usage = event
        elif isinstance(event, Finish | Failure):
            self._outcome = event
        elif event.index is None:
            self._loose.append(event)
        else:
            self._add_content(event, event.index)

    def _add_content(self, event: Event, index: int) -> None:
        if index == len(self._blocks):
            self._blocks.append(_Block(event))
        block = self._blocks[index]
        if isinstance(event, _TEXTS):
            block.pieces.append(event.text)
        elif isinstance(event, ToolCallDelta):
            block.pieces.append(event.arguments)
        elif isinstance(event, Citation):
            block.citations.append(event)
        elif isinstance(event, Attachment):
            block.attachments.append(event)
        elif isinstance(event, Extension):
            block.extensions.append(event)
        elif isinstance(event, BlockEnd):
            block.opaque, block.ended = event.opaque, True

    @property
    def id(self) -> str | None:
        """The provider's id of the response."""
        return self._start.id

    @property
    def model(self) -> str | None:
        """The model that answered."""
        return self._start.model

    @property
    def usage(self) -> Usage | None:
        """The last usage reported."""
        return self._usage

    @property
    def outcome(self) -> Finish | Failure | None:
        """How the stream ended; None while it goes on."""
        return self._outcome

    @property
    def text(self) -> str:
        """The answer's text, all text blocks together."""
        return self._joined(TextDelta)

    @property
    def reasoning(self) -> str:
        """The reasoning's text, as far as it was sent."""
        return self._joined(ReasoningDelta)

    @property
    def refusal(self) -> str:
        """The words in which the model declined; "" if it did not."""
        return self._joined(RefusalDelta)

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The calls that ended. One without arguments has `"{}"`; what the model wrote wrong is kept as it is.

        After a `Finish` for `length` the last one may have been cut in the middle of its arguments.
        """
        return [part for block in self._blocks if block.ended for part in block.parts() if isinstance(part, ToolCall)]

    @property
    def citations(self) -> list[Citation]:
        """The sources, in order."""
        return [citation for block in self._blocks for citation in block.citations]

    @property
    def attachments(self) -> list[Attachment]:
        """The generated images, sounds and files; the pieces of each joined."""
        return [block.attachment() for block in self._blocks if block.attachments]

    @property
    def extensions(self) -> list[Extension]:
        """What belongs to the response rather than to a block."""
        return list(self._loose)

    @property
    def message(self) -> Message:
        """The assistant's turn, to be appended to the next request: the same provider accepts it, signatures and all.

        Tool calls that never ended are left out: their arguments are not whole.
        """
        whole = (block for block in self._blocks if block.ended or not isinstance(block.first, ToolCallStart))
        return Message("assistant", tuple(part for block in whole for part in block.parts()))

    def _joined(self, kind: type[Event]) -> str:
        return "".join(block.text() for block in self._blocks if block.kind is kind)
