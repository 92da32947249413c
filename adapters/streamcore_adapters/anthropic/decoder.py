"""Anthropic's events as ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import DecodeError, Raw, Struct, structs

from streamcore.adapter import Billed
from streamcore.events import Event, Extension, Failure, Finish, FinishReason, Start, TextDelta, Usage
from streamcore.failures import read_error
from streamcore.wire import fields, json_text, opaque, present, word

from .blocks import DELTAS, Blocks, Delta, items, unknown_delta

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.frames import Frame

__all__ = ["COUNTED", "READ", "REASONS", "Decoder"]


REASONS: Final[Mapping[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "compaction": "pause",
    "refusal": "refusal",
}
_EVENTS: Final = frozenset(
    {
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "error",
    }
)
READ: Final = frozenset({"type", "id", "role", "model", "content", "delta", "usage", "stop_reason"})


class _Event(Struct, gc=False):
    """What nearly every event consists of. The rare ones are read once more, field by field."""

    type: str | None = None
    index: int | None = None
    delta: Delta | None = None


class _Details(Struct, gc=False):
    thinking_tokens: int | None = None


class _Counts(Struct, gc=False):
    input_tokens: int | None = None  # without what the cache gave or took
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: _Details | None = None


class _Written(Struct, gc=False):
    ephemeral_1h_input_tokens: int | None = None


class _Used(Struct, gc=False):
    web_search_requests: int | None = None


class _Bill(Struct, gc=False):
    cache_creation: _Written | None = None
    server_tool_use: _Used | None = None


COUNTED: Final = frozenset(_Counts.__struct_fields__)
_decode: Final = msgspec.json.Decoder(_Event).decode
_decode_counts: Final = msgspec.json.Decoder(_Counts).decode


def billed(extension: Extension) -> Billed | None:
    """What of the usage is billed apart: searches, and what stays in the cache for an hour."""
    usage = opaque(extension.raw, _Bill) if extension.name == "anthropic:usage" else None
    if usage is None:
        return None
    written, used = usage.cache_creation or _Written(), usage.server_tool_use or _Used()
    hour, searches = written.ephemeral_1h_input_tokens, used.web_search_requests
    return Billed(cache_write_1h_tokens=hour, web_searches=searches) if hour or searches else None


class Decoder:
    """Decodes one streamed message."""

    __slots__ = ("_blocks", "_counts", "_emitted", "_facts", "_id", "_reason", "_report", "_started", "_usage")

    def __init__(self) -> None:
        self._blocks = Blocks()
        self._started = False
        self._id: str | None = None
        self._reason: str | None = None
        self._usage: dict[str, Raw] = {}  # as the wire has it, what of it is counted, and the last that was said of it
        self._counts = _Counts()
        self._report = Usage()
        self._facts: dict[str, str] = {}  # about the whole answer: all there are, and those that were emitted
        self._emitted: dict[str, str] = {}

    def feed(self, frame: Frame, /) -> list[Event]:
        """The events of one server-sent event."""
        try:
            event = _decode(frame.data)
        except DecodeError as error:
            return _misfit(frame.data, error)
        delta = event.delta
        blocks = self._blocks
        if delta is not None and delta.type == "text_delta" and event.index == blocks.wire:
            return [TextDelta(blocks.index, delta.text)] if delta.text else []
        if event.type == "content_block_delta":
            return [] if delta is None else blocks.delta(event.index, delta, frame.data)
        return self._feed_rare(event, frame.data)

    def close(self) -> list[Event]:
        """Nothing: a message ends with `message_stop` or not at all."""
        return []

    def _feed_rare(self, event: _Event, data: bytes) -> list[Event]:
        data.decode()  # what is not UTF-8 must raise here, where the reader can mend it, not when a Raw is written
        match event.type:
            case "content_block_start":
                return self._blocks.begin(event.index, fields(data).get("content_block", Raw()))
            case "content_block_stop":
                return self._blocks.end(event.index)
            case "message_start":
                return self._message_start(fields(fields(data).get("message")))
            case "message_delta":
                return self._message_delta(fields(data))
            case "message_stop":
                return self._message_stop(fields(data))
            case "error":
                return [read_error(data) or Failure("server", "an error event that names no error")]
            case None:
                failure = read_error(data)
                return [] if failure is None else [failure]
            case _:
                return []

    def _message_start(self, message: dict[str, Raw]) -> list[Event]:
        id, model = word(message.get("id")), word(message.get("model"))
        if self._started:
            if id == self._id:
                return []
            return [Failure("protocol", f"message {id!r} began inside message {self._id!r}", detail="grammar")]
        content = items(message.get("content"))
        usage = self._count(fields(message.get("usage")), final=False)
        self._started, self._id, self._reason = True, id, word(message.get("stop_reason"))
        self._note(message)
        prefilled = [event for raw in content for event in self._blocks.whole(raw)]
        return [Start(id or None, model or None), *usage, *prefilled]

    def _message_delta(self, event: dict[str, Raw]) -> list[Event]:
        delta = fields(event.get("delta"))
        usage = self._count(fields(event.get("usage")), final=True)
        self._reason = word(delta.get("stop_reason")) or self._reason
        self._note(event)
        self._note(delta)
        return [*usage, *self._flush()]

    def _message_stop(self, event: dict[str, Raw]) -> list[Event]:
        self._note(event)
        usage = self._count({}, final=True)
        finish = Finish(REASONS.get(self._reason or "", "other"), self._reason)
        return [*self._blocks.end_all(), *usage, *self._flush(), finish]

    def _count(self, usage: dict[str, Raw], *, final: bool) -> list[Event]:
        """The usage if it changed; with the output tokens once they are `final`."""
        new = _decode_counts(msgspec.json.encode(usage))
        self._usage.update(usage)
        self._counts = counts = structs.replace(self._counts, **present(structs.asdict(new)))
        uncached, details = counts.input_tokens, counts.output_tokens_details
        read, written = counts.cache_read_input_tokens, counts.cache_creation_input_tokens
        report = Usage(
            # No prompt is of 0 tokens: gateways say so at the beginning, where they do not know it yet.
            input_tokens=None if uncached is None else uncached + (read or 0) + (written or 0) or None,
            output_tokens=counts.output_tokens if final else None,
            cache_read_tokens=read,
            cache_write_tokens=written,
            reasoning_tokens=None if details is None else details.thinking_tokens,
        )
        if not self._usage.keys() <= COUNTED:
            self._facts["usage"] = json_text(self._usage)
        if report == self._report:
            return []
        self._report = report
        return [report]

    def _note(self, members: dict[str, Raw]) -> None:
        self._facts.update({name: json_text(raw) for name, raw in members.items() if name not in READ})

    def _flush(self) -> list[Event]:
        """The facts that are new or have changed."""
        new = {name: text for name, text in self._facts.items() if self._emitted.get(name) != text}
        self._emitted.update(new)
        return [Extension(f"anthropic:{name}", text) for name, text in new.items()]


def _misfit(data: bytes, error: DecodeError) -> list[Event]:
    """What has another shape: the error itself if it is one of our events, else nothing."""
    if data.strip() == b"[DONE]":
        return []  # some gateways end every stream like OpenAI's
    event = fields(data)
    kind = word(event.get("type"))
    if kind == "content_block_delta":
        delta = word(fields(event.get("delta")).get("type"))
        if delta is not None and delta not in DELTAS:
            return unknown_delta(delta, data)
    elif kind is not None and kind not in _EVENTS:
        return []
    raise error
