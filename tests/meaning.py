"""What a stream says, however it says it: the form in which the answers of two formats are compared.

Free are: where a delta ends, and empty ones; blocks that hold nothing; `""` where nothing is known; arguments `""` for
`{}`; a source that is named twice for the same words; when usage and extensions come, of each name the last; and in an
answer that failed, where its blocks end. All else that differs must be among what the encoder counted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec import structs

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

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamcore.events import Event

TEXTS = (TextDelta, ReasoningDelta, RefusalDelta)
NO_INDEX = {f"{kind.__name__}.index": kind for kind in (*TEXTS, ToolCallStart, Attachment)}


def value(text: str | None) -> Any:
    """What JSON text says, so that spaces do not matter; other text is itself."""
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text


@dataclass
class Block:
    """A block of content, whole."""

    kind: type[Event]
    id: str = ""
    name: str = ""
    text: str = ""
    media: list[Attachment] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    ended: bool = False
    made_up: bool = False  # whether nobody but the adapter gave the call its id
    whole: bool = True  # whether no other block of the kind came between its deltas

    @property
    def says(self) -> bool:
        return bool(self.text or self.media or self.kind is ToolCallStart)

    def plain(self, *, in_order: bool) -> tuple[Any, ...]:
        """All of it but its sources, comparable; letters alone if their order is not known."""
        if self.kind is ToolCallStart:
            return "call", None if self.made_up else self.id, self.name, value(self.text)
        data = b"".join(piece.data or b"" for piece in self.media)
        media = (self.media[-1].media_type, data, self.media[-1].url) if self.media else None
        return self.kind.__name__, self.text if in_order else sorted(self.text), media


class Meaning:
    """What events amount to, without what `lost` names: fields are None, blocks without an index one, events apart."""

    def __init__(self, events: Sequence[Event], lost: Mapping[str, int] = {}) -> None:
        self.lost = lost
        self.start, self.usage, self.last = Start(), Usage(), events[-1]
        self.blocks: dict[int, Block] = {}
        self.extensions: dict[tuple[str, int | None], Any] = {}
        self.opaque: list[Any] = []
        self.raws: list[Any] = []
        self._latest: dict[type[Event], int] = {}
        for event in events:
            self._add(event)

    def _add(self, event: Event) -> None:
        if isinstance(event, Start):
            kept = self._kept(event)
            self.start = Start(kept.id or None, kept.model or None)
        elif isinstance(event, Usage):
            self.usage = self._kept(event)
        elif isinstance(event, Extension):
            self.extensions[event.name, event.index] = value(event.raw)
        elif not isinstance(event, Finish | Failure):
            self._content(event, event.index)

    def _kept(self, event: Any) -> Any:
        """An event without the fields that are lost."""
        name = type(event).__name__
        if name == "Usage" and name in self.lost:
            return Usage()
        gone = {key.partition(".")[2] for key in self.lost if key.startswith(f"{name}.")}
        return structs.replace(event, **dict.fromkeys(gone & set(event.__struct_fields__)))

    def _content(self, event: Any, index: int) -> None:
        kind = TextDelta if isinstance(event, Citation) else type(event)
        if "RefusalDelta" in self.lost and kind is RefusalDelta:
            kind = TextDelta
        block = self.blocks.get(index)
        if block is None and kind is not BlockEnd:
            block = self.blocks[index] = Block(kind)
        if block is None:
            return  # an extension's
        if isinstance(event, TEXTS) and event.text:
            before = self._latest.get(kind, index)
            if before > index or (before != index and block.text):
                block.whole = False
            self._latest[kind] = index
            block.text += event.text
        elif isinstance(event, ToolCallDelta):
            block.text += event.arguments
        elif isinstance(event, ToolCallStart):
            block.id, block.name = event.id, event.name
        elif isinstance(event, Attachment):
            block.media.append(structs.replace(self._kept_media(event), index=0))
        elif isinstance(event, Citation):
            self.raws += [value(event.raw)] if event.raw else []
            block.citations.append(event)
        elif isinstance(event, BlockEnd):
            self._end(block, event)

    def _kept_media(self, event: Attachment) -> Attachment:
        gone = {name: "" for name in ("media_type",) if f"Attachment.{name}" in self.lost}
        return structs.replace(event, **gone, **({"url": None} if "Attachment.url" in self.lost else {}))

    def _end(self, block: Block, event: BlockEnd) -> None:
        block.ended = True
        own = value(event.opaque)
        block.made_up = block.kind is ToolCallStart and own.get("id", "") is None
        if "BlockEnd.opaque.id" in self.lost:
            own.pop("id", None)
        if own:
            self.opaque.append(own)

    def content(self) -> tuple[list[Block], list[Block]]:
        """The blocks in their order; and those that are lost of their index, one of each kind (of calls, all)."""
        loose = {kind for key, kind in NO_INDEX.items() if key in self.lost}
        loose |= {TextDelta} if "RefusalDelta" in self.lost else set()
        ordered = [block for _, block in sorted(self.blocks.items())]
        joined: dict[Any, Block] = {}
        for number, block in enumerate(block for block in ordered if block.kind in loose):
            sound = block.media[-1].media_type if block.media else ""
            key = number if block.kind is ToolCallStart else (block.kind, sound)
            one = joined.setdefault(key, Block(block.kind))
            one.id, one.name, one.made_up, one.ended = block.id, block.name, block.made_up, block.ended
            one.whole = one.whole and block.whole
            one.citations += [self._moved(citation, len(one.text)) for citation in block.citations]
            one.text += block.text
            one.media += block.media
        return [block for block in ordered if block.kind not in loose], list(joined.values())

    @staticmethod
    def _moved(citation: Citation, by: int) -> Citation:
        start, end = (None if at is None else at + by for at in (citation.start, citation.end))
        return structs.replace(citation, start=start, end=end)

    def source(self, block: Block, citation: Citation) -> tuple[Any, ...]:
        kept = self._kept(structs.replace(citation, raw=None))
        place = (kept.start, kept.end) if block.whole else (None, None)
        return kept.url or None, kept.title or None, kept.text or None, *place


def differences(first: Sequence[Event], second: Sequence[Event], lost: Mapping[str, int], back: Meaning) -> list[Any]:
    """What `second` does not say of `first`, and no count in `lost` says so. `back` is what a client sent back of it."""
    given, found = Meaning(first, lost), Meaning(second, lost)
    wrong: list[Any] = []

    def check(what: str, one: Any, other: Any) -> None:
        if one != other:
            wrong.append((what, one, other))

    check("start", given.start, found.start)
    check("usage", given.usage, found.usage)
    malformed = "ToolCallDelta" in lost and not (isinstance(given.last, Finish) and given.last.reason == "length")
    if not malformed:
        wrong += _outcome(given.last, found.last, lost)
    wrong += _content(given, found)
    wrong += [] if malformed else _sources(given, found)
    for what, key, ones, others in (
        ("opaque", "BlockEnd.opaque", given.opaque, [*found.opaque, *back.opaque]),
        ("raw", "Citation.raw", given.raws, [*found.raws, *back.raws]),
        ("extension", "Extension", [*_by_name(given)], [*_by_name(found)]),
    ):
        missing = [one for one in ones if one not in others and not (what == "raw" and _carried(one, found))]
        allowed = [key, "Failure", "Citation"] if what == "raw" else [key, "Failure"]
        if what == "opaque":  # goes with its block
            allowed += ["ToolCallStart", "ToolCallDelta", "Attachment"]
        if len(missing) > sum(lost.get(name, 0) for name in allowed):
            wrong.append((what, missing, others))
    return wrong


def _carried(raw: Any, found: Meaning) -> bool:
    """Whether a provider's own source came along in an extension."""
    return any(json.dumps(raw) in json.dumps(whole) for whole in found.extensions.values())


def _by_name(meaning: Meaning) -> list[tuple[str, Any]]:
    return [(name, raw if index is not None else None) for (name, index), raw in meaning.extensions.items()]


def _outcome(given: Event, found: Event, lost: Mapping[str, int]) -> list[Any]:
    if type(given) is not type(found):
        return [("outcome", given, found)]
    name = type(given).__name__
    return [
        (f"{name}.{key}", getattr(given, key), getattr(found, key))
        for key in given.__struct_fields__
        if f"{name}.{key}" not in lost
        and getattr(given, key) not in (None, "")
        and getattr(given, key) != getattr(found, key)
    ]


def _content(given: Meaning, found: Meaning) -> list[Any]:
    lost, failed = given.lost, isinstance(found.last, Failure)
    wrong: list[Any] = []
    unfinished = {block.id for block in given.blocks.values() if block.kind is ToolCallStart and not block.ended}
    made_up = {block.id for block in given.blocks.values() if block.made_up}
    for number, (whole, read) in enumerate(zip(given.content(), found.content(), strict=True)):
        ones = [block for block in whole if block.says and not _gone(block, given)]
        others = [
            block for block in read if block.says and not (block.kind is ToolCallStart and block.id in unfinished)
        ]
        for block in others:
            block.made_up = block.made_up or block.id in made_up
        in_order = not number or all(block.whole for block in ones)
        said, heard = ([block.plain(in_order=in_order) for block in group] for group in (ones, others))
        if number:
            said, heard = sorted(said, key=repr), sorted(heard, key=repr)
        if "Attachment" in lost:
            said = _within_count(said, heard, lost["Attachment"])
        if said != heard and not (failed and "Failure" in lost):
            wrong.append(("content", said, heard))
    return wrong


def _gone(block: Block, meaning: Meaning) -> bool:
    """Whether a block is none for the format, which said so; or was not whole when the answer failed."""
    if block.kind is not ToolCallStart:
        return False
    if "ToolCallDelta" in meaning.lost and not isinstance(value(block.text), dict):
        return True
    return ("ToolCallStart" in meaning.lost and not block.name) or not block.ended


def _within_count(said: list[Any], heard: list[Any], count: int) -> list[Any]:
    """What was said without the attachments that were not heard, if they were counted."""
    missing = [one for one in said if one[0] == "Attachment" and one not in heard]
    return [one for one in said if one not in missing] if len(missing) <= count else said


def _sources(given: Meaning, found: Meaning) -> list[Any]:
    def of(meaning: Meaning) -> list[Any]:
        blocks = [block for group in meaning.content() for block in group]
        return [meaning.source(block, citation) for block in blocks for citation in block.citations]

    def within(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
        return all(a is None or a == b for a, b in zip(one, other, strict=True))

    ones, others = of(given), of(found)
    missing = [one for one in dict.fromkeys(ones) if not any(within(one, other) for other in others)]
    if any(_carried(raw, found) for raw in given.raws):
        missing = []
    added = [other for other in others if not any(within(one, other) for one in ones)]
    if len(missing) > given.lost.get("Citation", 0) + given.lost.get("Failure", 0) or added:
        return [("sources", missing, added)]
    return []
