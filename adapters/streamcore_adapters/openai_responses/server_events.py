"""Writes our events as those of one response. The wire, and what of it is ours to choose: see `server`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Raw

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
from streamcore.serving import one_line, unsaid
from streamcore.wire import opaque

from .chunk import members
from .server_items import (
    CARRIED,
    CUSTOM,
    FUNCTION,
    KINDS,
    MARK,
    REASONING,
    REFUSAL,
    TEXT,
    Block,
    Wire,
    annotation_of,
    code_of,
    custom_tools,
    echo,
    image_item,
    json,
    usage_object,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.dialect import Call

__all__ = ["Encoder"]

_Object: TypeAlias = dict[str, Any]

_OWN: Final = "openai_responses:"
_OF_RESPONSE: Final = frozenset(
    {"service_tier", "content_filters", "moderation", "conversation", "tool_usage", "usage"}
)
_KEPT: Final = frozenset({"image_generation_call.partial_image", "audio.delta", "audio.transcript.delta"})
_COUNTS_APART: Final = ("input_audio_tokens", "input_image_tokens", "output_audio_tokens", "output_image_tokens")
_SIDES: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
_SERVER: Final = frozenset({"protocol", "truncated", "connection"})
_NO_ID: Final = re.compile(r"[^A-Za-z0-9_-]")
_ID_LIMIT: Final = 40  # characters of the answer's id in those of its items, which have 64 in all
_WORDS: Final[Mapping[str, str]] = {  # why an answer is not completed
    "max_output_tokens": "length",
    "content_filter": "content_filter",
    "steered": "pause",
    "other": "other",
    "max_messages": "other",
    "cancelled": "other",
}
_USUAL: Final[Mapping[str, str]] = {
    "refusal": "content_filter",  # one without words: those would say so in a completed answer
    "length": "max_output_tokens",
    "content_filter": "content_filter",
    "pause": "steered",
    "other": "other",
}


class Encoder:
    """Writes one response. `answer` is the response itself, as JSON, once it has ended."""

    def __init__(self, call: Call) -> None:
        self._echo = echo(call.request)
        self._custom = custom_tools(call.request)
        self._id = call.id
        self._created = call.created
        self._model = call.request.model or ""
        self._unique = ""
        self._number = 0
        self._places = 0
        self._blocks: dict[int, Block] = {}
        self._output: dict[int, Raw] = {}  # by place: items need not end in the order in which they began
        self._facts: dict[str, Raw] = {}
        self._copilot: Raw | None = None
        self._usage: Usage | None = None
        self._called = self._refused = False
        self.lost: dict[str, int] = {}
        self.answer = b""

    def feed(self, event: Event, /) -> bytes:
        """The bytes that say this event. A text's later deltas, which are most events, take the short road."""
        if isinstance(event, TextDelta | ReasoningDelta | RefusalDelta):
            block = self._blocks.get(event.index)
            if block is not None and block.pieces and event.text:
                return self._delta(block, event.text)
            return self._say(event, event.index, event.text)
        if isinstance(event, ToolCallDelta):
            return self._say(event, event.index, event.arguments)
        if isinstance(event, Start):
            return self._start(event)
        if isinstance(event, Usage):
            self._usage = event
            return b""
        if isinstance(event, BlockEnd):
            return self._end(self._blocks.pop(event.index), event.opaque)
        if isinstance(event, Finish):
            return self._finish(event)
        if isinstance(event, Failure):
            return self._fail(event)
        if event.index is None:
            return self._fact(event)
        return self._content(event, event.index)

    def _lose(self, name: str) -> None:
        self.lost[name] = self.lost.get(name, 0) + 1

    def _send(self, *events: Wire) -> bytes:
        frames: list[bytes] = []
        for event in events:
            event.sequence_number = self._number
            self._number += 1
            frames.append(sse.encode(json(event), event=event.type))
        return b"".join(frames)

    def _delta(self, block: Block, text: str) -> bytes:
        block.pieces.append(text)
        says, number = block.says, self._number
        self._number = number + 1
        wire = Wire(block.delta, number, block.id, block.place, says.content, says.summary, text, says.logprobs)
        return b"%b%b\n\n" % (block.head, json(wire))

    def _response(self, status: str, **fields: object) -> Raw:
        """The whole response as it now stands."""
        head = {"id": self._id, "object": "response", "created_at": self._created, "status": status}
        output = [self._output[place] for place in sorted(self._output)]
        self.answer = json({**head, **self._echo, "model": self._model, "output": output, **fields})
        return Raw(self.answer)

    def _start(self, event: Start) -> bytes:
        self._id = event.id or self._id
        self._model = event.model or self._model
        self._unique = _NO_ID.sub("", self._id.removeprefix("resp_"))[-_ID_LIMIT:]
        response = self._response("in_progress")
        return self._send(Wire("response.created", response=response), Wire("response.in_progress", response=response))

    def _place(self, block: Block) -> None:
        """Give a block its place among the items, and its id."""
        block.place = self._places
        block.id = f"{block.says.prefix}_{self._unique}_{self._places}"
        self._places += 1

    def _begin(self, block: Block) -> bytes:
        self._place(block)
        added = Wire("response.output_item.added", output_index=block.place, item=block.whole("", None))
        if block.says.item != "message":
            return self._send(added)
        part = block.at("response.content_part.added")
        part.part = block.part("")
        return self._send(added, part)

    def _opened(self, event: Event, index: int) -> tuple[Block, bytes]:
        """The block of this index, and the bytes that begin it if it is new."""
        block = self._blocks.get(index)
        if block is not None:
            return block, b""
        block = self._blocks[index] = Block(KINDS[type(event)])
        self._refused = self._refused or block.says is REFUSAL
        return block, b"" if block.says is CARRIED else self._begin(block)

    def _say(self, event: Event, index: int, text: str) -> bytes:
        """Any text; the first of a summary opens the part that it stands in."""
        block, begun = self._opened(event, index)
        if not text:
            return begun
        if block.says is REASONING and not block.pieces:
            part = block.at("response.reasoning_summary_part.added")
            part.part = block.part("")
            begun += self._send(part)
        return begun + self._delta(block, text)

    def _content(self, event: ToolCallStart | Citation | Attachment | Extension, index: int) -> bytes:
        if isinstance(event, ToolCallStart):
            self._called = True
            block = self._blocks[index] = Block(CUSTOM if event.name in self._custom else FUNCTION)
            block.call_id, block.name = event.id, event.name
            return self._begin(block)
        block, begun = self._opened(event, index)
        if isinstance(event, Citation):
            return begun + self._cite(block, event)
        if isinstance(event, Attachment):
            block.attachments.append(event)
        elif (
            block.says is CARRIED
            and block.item is None
            and event.name.startswith(_OWN)
            and opaque(event.raw, dict[str, Raw]) is not None
        ):
            block.item = one_line(event.raw)
        else:
            self._lose("Extension")
        return begun

    def _cite(self, block: Block, event: Citation) -> bytes:
        annotation = annotation_of(event, sum(map(len, block.pieces))) if block.says is TEXT else None
        if annotation is None:
            self._lose("Citation")
            return b""
        if event.text is not None:
            self._lose("Citation.text")
        if event.raw is not None and not isinstance(annotation, Raw):
            self._lose("Citation.raw")
        wire = block.at("response.output_text.annotation.added")
        wire.annotation, wire.annotation_index = annotation, len(block.annotations)
        block.annotations.append(annotation)
        return self._send(wire)

    def _end(self, block: Block, opaque: str | None) -> bytes:
        says = block.says
        if says is CARRIED:
            return self._carry(block, opaque)
        begun = self._delta(block, "{}") if says is FUNCTION and not block.pieces else b""  # clients parse it
        text = "".join(block.pieces)
        said = block.at(f"{says.event}.done")
        setattr(said, says.field, text)
        said.logprobs = says.logprobs if block.logprobs is None else block.logprobs
        events = [said] if says is not REASONING or text else []
        if says.part and events:
            group = "content" if says.item == "message" else "reasoning_summary"
            part = block.at(f"response.{group}_part.done")
            part.part = block.part(text)
            events.append(part)
        done = block.whole(text, self._members(block, opaque))
        return begun + self._send(*events) + self._done(block.place, Raw(json(done)))

    def _members(self, block: Block, text: str | None) -> _Object:
        """What an item's provider wants back with it."""
        if text is None:
            return {}
        if block.says is REASONING:
            return {"encrypted_content": f"{MARK}{text}"}
        own: _Object = members(text) if opaque(text, dict[str, Raw]) is not None else {}
        if bytes(own.pop("type", b"")) != b'"%b"' % block.says.item.encode():
            self._lose("BlockEnd.opaque")
            return {}
        if own.pop("id", None) is not None:
            self._lose("BlockEnd.opaque.id")
        return {name: one_line(bytes(raw).decode()) for name, raw in own.items()}

    def _carry(self, block: Block, opaque: str | None) -> bytes:
        """An item that comes whole: as it was, or an image as if OpenAI's tool had made it."""
        self._place(block)
        item = block.item
        if item is None:
            image = image_item(block.attachments, block.id)
            if image is None:
                self._places -= 1
                if block.attachments:
                    self._lose("Attachment")
                return b""
            item = Raw(json(image))
            if opaque is not None:
                self._lose("BlockEnd.opaque")
        added = Wire("response.output_item.added", output_index=block.place, item=item)
        return self._send(added) + self._done(block.place, item)

    def _done(self, place: int, item: Raw) -> bytes:
        self._output[place] = item
        return self._send(Wire("response.output_item.done", output_index=place, item=item))

    def _fact(self, event: Extension) -> bytes:
        """What belongs to the response: at its end, or an event that no later one repeats."""
        name = event.name.removeprefix(_OWN)
        raw = one_line(event.raw) if event.name.startswith(_OWN) else None
        texts = [block for block in self._blocks.values() if block.says is TEXT and block.logprobs is None]
        if raw is not None and name in _OF_RESPONSE:
            self._facts[name] = raw
        elif raw is not None and name == "copilot_usage":
            self._copilot = raw
        elif raw is not None and name == "logprobs" and texts:
            texts[0].logprobs = raw
        elif raw is not None and name in _KEPT and opaque(event.raw, dict[str, Raw]) is not None:
            number, self._number = self._number, self._number + 1
            wire = {**members(event.raw), "type": f"response.{name}", "sequence_number": number}
            data = one_line(json(wire).decode()) or b""
            return sse.encode(bytes(data), event=f"response.{name}")
        else:
            self._lose("Extension")
        return b""

    def _whole(self, status: str, **fields: object) -> Wire:
        """The last event, with all that the response came to."""
        usage = self._usage or Usage()
        counts = usage_object(usage)
        for name in _COUNTS_APART if counts or "usage" in self._facts else (*_COUNTS_APART, *_SIDES):
            if getattr(usage, name) is not None:
                self._lose(f"Usage.{name}")
        response = self._response(status, **{"usage": counts, **self._facts, **fields})
        return Wire(f"response.{status}", response=response, copilot_usage=self._copilot)

    def _finish(self, event: Finish) -> bytes:
        reason, raw = event.reason, event.raw
        content = "tool_calls" if self._called else "refusal" if self._refused else "stop"
        waiting = reason == "pause" and raw == "completed"  # for the caller to act on an item that was carried along
        completed = waiting or reason in ("stop", "tool_calls", content)
        word = "completed" if completed else raw if raw and _WORDS.get(raw) == reason else _USUAL[reason]
        if raw not in (None, word):
            self._lose("Finish.raw")
        if not waiting and reason != (content if completed else _WORDS[word]):
            self._lose("Finish.reason")
        if completed:
            return self._send(self._whole("completed"))
        return self._send(self._whole("incomplete", incomplete_details={"reason": word}))

    def _fail(self, event: Failure) -> bytes:
        for key in unsaid(event):
            self._lose(key)
        if event.kind in _SERVER:
            self._lose("Failure.kind")
        for _ in (block for block in self._blocks.values() if block.attachments):
            self._lose("Attachment")
        code = code_of(event)
        if event.code not in (None, code):
            self._lose("Failure.code")
        error = {"code": code, "message": event.message}
        return self._send(self._whole("failed", error=error))
