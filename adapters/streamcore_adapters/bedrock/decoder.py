"""Decodes a Bedrock answer. The whole wire: see the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import DecodeError, Raw, Struct, structs

from streamcore import eventstream
from streamcore.adapter import Billed
from streamcore.events import Event, Extension, Failure, Finish, FinishReason, Start, TextDelta, Usage
from streamcore.failures import read_error, shown
from streamcore.wire import fields, json_text, opaque, word

from .blocks import Blocks, Delta

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.frames import Frame

__all__ = ["Decoder", "framing"]

framing: Final = eventstream.Parser

_REASONS: Final[Mapping[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "refusal": "refusal",  # this and the next are Claude's own words, which come through where Bedrock has none
    "pause_turn": "pause",
}
_MALFORMED: Final = frozenset({"malformed_model_output", "malformed_tool_use"})
_READ: Final = frozenset({"stopReason", "usage", "metrics", "p"})
_COUNTED: Final = frozenset(
    {
        "inputTokens",
        "outputTokens",
        "totalTokens",
        "cacheReadInputTokens",
        "cacheWriteInputTokens",
        "cacheReadInputTokenCount",  # the same once more, under an older name
        "cacheWriteInputTokenCount",
    }
)


class _DeltaEvent(Struct, gc=False, rename="camel"):
    content_block_index: int | None = None
    delta: Delta | None = None


class _BlockEvent(Struct, gc=False, rename="camel"):
    content_block_index: int | None = None


class _Counts(Struct, gc=False, rename="camel"):
    input_tokens: int | None = None  # without what the cache gave or took
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None


class _Kept(Struct, gc=False, rename="camel"):
    ttl: str = ""
    input_tokens: int = 0


class _Bill(Struct, gc=False, rename="camel"):
    cache_details: list[_Kept] | None = None


_decode: Final = msgspec.json.Decoder(_DeltaEvent).decode
_decode_block: Final = msgspec.json.Decoder(_BlockEvent).decode
_decode_counts: Final = msgspec.json.Decoder(_Counts).decode


def billed(extension: Extension) -> Billed | None:
    """What of what was written to the cache stays there for an hour."""
    usage = opaque(extension.raw, _Bill) if extension.name == "bedrock:usage" else None
    counts = [] if usage is None else [kept.input_tokens for kept in usage.cache_details or () if kept.ttl == "1h"]
    return Billed(cache_write_1h_tokens=sum(counts)) if counts else None


class Decoder:
    """Decodes one streamed answer."""

    __slots__ = ("_blocks", "_end", "_usage")

    def __init__(self) -> None:
        self._blocks = Blocks()
        self._usage = Usage()  # the last that was reported
        self._end: Finish | Failure | None = None  # how the answer ended, while its usage may follow

    def feed(self, frame: Frame, /) -> list[Event]:
        """The events of one message."""
        if frame.event != "contentBlockDelta":
            return self._feed_rare(frame)
        event = _decode(frame.data)
        delta = event.delta
        if delta is None:
            return []
        blocks = self._blocks
        if delta.text is not None and event.content_block_index == blocks.wire:
            return [TextDelta(blocks.index, delta.text)] if delta.text else []
        return blocks.delta(event.content_block_index, delta, frame.data)

    def close(self) -> list[Event]:
        """How the answer ended, if it did: the usage did not follow."""
        end, self._end = self._end, None
        return [] if end is None else [end]

    def _feed_rare(self, frame: Frame) -> list[Event]:
        data = frame.data
        match frame.event:
            case "messageStart":
                fields(data)
                return [Start()]
            case "contentBlockStart":
                data.decode()  # what is not UTF-8 must raise here, where the reader can mend it
                wire = _decode_block(data).content_block_index
                return self._blocks.begin(wire, fields(fields(data).get("start")))
            case "contentBlockStop":
                return self._blocks.end(_decode_block(data).content_block_index)
            case "messageStop":
                data.decode()
                return self._message_stop(fields(data))
            case "metadata":
                data.decode()
                return self._metadata(fields(data))
            case "message":
                raise DecodeError("a message without a type")
            case event:
                kind, colon, name = event.partition(":")
                return [_failure(name or kind, data)] if colon else []

    def _message_stop(self, members: dict[str, Raw]) -> list[Event]:
        reason = word(members.get("stopReason"))
        facts = _facts(members)
        if reason in _MALFORMED:
            message = f"the model ended with {reason}"
            self._end = Failure("server", message, detail="model_output", code=reason)
        elif reason == "end_turn" and self._blocks.called:  # said by some models that have called a tool all the same
            self._end = Finish("tool_calls", reason)
        else:
            self._end = Finish(_REASONS.get(reason or "", "other"), reason)
        return [*self._blocks.end_all(), *facts]

    def _metadata(self, members: dict[str, Raw]) -> list[Event]:
        usage = members.get("usage", Raw(b"{}"))
        counts = _decode_counts(usage)
        uncached, read, written = counts.input_tokens, counts.cache_read_input_tokens, counts.cache_write_input_tokens
        report = Usage(
            input_tokens=None if uncached is None else uncached + (read or 0) + (written or 0),
            output_tokens=counts.output_tokens,
            cache_read_tokens=read,
            cache_write_tokens=written,
        )
        facts = _facts(members)
        if _facts({name: raw for name, raw in fields(usage).items() if name not in _COUNTED}):
            facts.append(Extension("bedrock:usage", json_text(usage)))
        if report != self._usage:
            self._usage = report
            facts.insert(0, report)
        return facts + self.close()


def _facts(members: dict[str, Raw]) -> list[Event]:
    """About the whole answer: all that is read nowhere else and says something."""
    return [
        Extension(f"bedrock:{name}", json_text(raw))
        for name, raw in members.items()
        if name not in _READ and msgspec.json.decode(raw) not in ({}, [], "")
    ]


def _failure(name: str, data: bytes) -> Failure:
    """What an exception means follows from its name. Its message may be the model's own, and then has its status too."""
    try:
        members = fields(data)
        said = word(members.get("message")) or word(members.get("Message")) or ""
        original = word(members.get("originalMessage")) or ""
        status: object = msgspec.json.decode(members.get("originalStatusCode", b"null"))
    except DecodeError:
        said, original, status = f"its payload begins {shown(data)}", "", None
    message = ": ".join(dict.fromkeys(text for text in (said, original) if text)) or f"{name} without a message"
    error = json_text({"error": {"type": name, "message": message}}).encode()
    failure = read_error(error) or Failure("server", message)
    return structs.replace(failure, status=status) if isinstance(status, int) and 400 <= status < 600 else failure
