"""Gemini's chunks as events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import UNSET, DecodeError, Raw, structs

from streamcore.events import (
    Attachment,
    BlockEnd,
    Event,
    Extension,
    Failure,
    Finish,
    FinishReason,
    ReasoningDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from streamcore.failures import read_error
from streamcore.wire import json_text, unique

from .arguments import Arguments
from .chunk import (
    ABSENT,
    FAULTS,
    NUMBERED,
    REASONS,
    Counts,
    Data,
    Numbers,
    Unread,
    decode,
    decode_next,
    kind,
    more_written,
    raw_text,
    usage,
)
from .request import Opaque
from .sources import Sources

if TYPE_CHECKING:
    from streamcore.frames import Frame

    from .chunk import Call, Candidate, Chunk, NextChunk, Part

__all__ = ["Decoder"]

_OF_THE_WHOLE: Final = (
    "grounding_metadata",
    "url_context_metadata",
    "citation_metadata",
    "safety_ratings",
    "avg_logprobs",
    "continuation_token",
)
_NOTHING: Final = Opaque()
_UNKNOWN: Final = Usage()


class Decoder:
    """Reads one response."""

    __slots__ = (
        "_arguments",
        "_blocked",
        "_calls",
        "_counts",
        "_finish_message",
        "_id",
        "_ids",
        "_in_array",
        "_index",
        "_media_type",
        "_numbers",
        "_opaque",
        "_reason",
        "_sources",
        "_started",
        "_takes",
        "_text",
        "_unfinished",
        "_usage",
        "_whole",
    )

    def __init__(self) -> None:
        self._started = False
        self._id: str | None = None
        self._index = -1  # of the last block
        self._takes: type[Event] | None = None  # what it takes, None once it has ended
        self._text: list[str] = []  # what it has taken, since sources are places in it
        self._media_type = ""
        self._arguments: Arguments | None = None  # of the call that is being streamed
        self._opaque = _NOTHING
        self._calls = 0
        self._ids: set[str] = set()  # theirs
        self._sources = Sources()
        self._counts = Counts()  # the last in full, and the numbers that the usage was made of, filled anew for each
        self._numbers = Numbers()
        self._usage = _UNKNOWN
        self._whole: dict[str, str] = {}  # JSON: the latest of what belongs to the whole answer
        self._unfinished: set[int] = set()  # candidates, besides the first
        self._in_array = False
        self._reason: str | None = None
        self._finish_message: str | None = None
        self._blocked: str | None = None

    def feed(self, frame: Frame, /) -> list[Event]:
        """The events of one frame. Nearly all go on with the open text, and say nothing else but the usage."""
        try:
            if self._takes is TextDelta or self._takes is ReasoningDelta:
                more = self._feed_next(decode_next(frame.data))
                if more is not None:
                    return more
            chunk = decode(frame.data)
        except DecodeError:
            events = self._feed_other(frame.data)
            if events is None:
                raise
            return events
        return self._feed_any(frame, chunk)

    def _feed_next(self, chunk: NextChunk) -> list[Event] | None:
        """More of the open text; None if it is anything else."""
        candidates = chunk.candidates
        if candidates is None or len(candidates) != 1 or chunk.error is not ABSENT:
            return None
        candidate = candidates[0]
        content = candidate.content
        if (
            content is None
            or content.parts is None
            or len(content.parts) != 1
            or candidate.finish_reason is not None
            or candidate.index
            or candidate.grounding_metadata is not ABSENT
            or candidate.url_context_metadata is not ABSENT
            or candidate.citation_metadata is not ABSENT
            or candidate.safety_ratings is not ABSENT
            or candidate.logprobs_result is not ABSENT
        ):
            return None
        part = content.parts[0]
        takes = ReasoningDelta if part.thought else TextDelta
        if takes is not self._takes or not part.text or part.thought_signature is not None:
            return None
        events: list[Event] = [takes(self._index, part.text)]
        counts = chunk.usage_metadata
        if counts is not None and counts != self._numbers and not self._recount(counts, events):
            return None
        self._text.append(part.text)
        return events

    def close(self) -> list[Event]:
        """The end of the answer, if every candidate has finished, and the array has ended if there is one."""
        word = self._blocked or self._reason
        if word is None or self._unfinished or self._in_array:
            return []
        if word in FAULTS:
            message = self._finish_message or f"what the model generated cannot be used: {word}"
            return [Failure("server", message, detail="model_output", code=word, request_id=self._id)]
        reason: FinishReason = "content_filter" if self._blocked else REASONS.get(word, "other")
        if reason == "stop" and self._calls:
            reason = "tool_calls"
        elif reason != "stop" and self._finish_message is not None:
            self._whole["finish_message"] = json_text(self._finish_message)
        for name in ("service_tier", "traffic_type"):
            if getattr(self._counts, name) is not None:
                self._whole[name] = json_text(getattr(self._counts, name))
        events: list[Event] = []
        self._end(events, last=True)
        events += [Extension(f"gemini:{name}", raw) for name, raw in self._whole.items()]
        events.append(Finish(reason, word))
        return events

    def _feed_other(self, data: bytes) -> list[Event] | None:
        """A frame that is no chunk: the end of the array, a proxy's goodbye, an odd error; None if none of these."""
        if data == b"]":
            self._in_array = False
        elif data != b"[DONE]":
            failure = read_error(data)
            return None if failure is None else [failure]
        return []

    def _feed_any(self, frame: Frame, chunk: Chunk) -> list[Event]:
        """Any chunk, whatever is in it."""
        if chunk.error and (said := raw_text(chunk.error)) != "null":
            failure = read_error(frame.data) or Failure("server", f"an error without a message: {said}")
            return [structs.replace(failure, request_id=self._id)]
        events: list[Event] = []
        if not self._started:
            self._started = True
            self._id = chunk.response_id
            events.append(Start(chunk.response_id, chunk.model_version))
        unread = Unread(frame.data)
        for place, candidate in enumerate(chunk.candidates or ()):
            if not candidate.index:
                self._feed_candidate(candidate, place, unread, events)
                continue
            events.append(Extension("gemini:candidate", unread.candidate(place)))
            if candidate.finish_reason:
                self._unfinished.discard(candidate.index)
            else:
                self._unfinished.add(candidate.index)
        feedback = chunk.prompt_feedback
        if feedback is not None and feedback.block_reason and not chunk.candidates:
            self._blocked = str(feedback.block_reason)
            self._whole["prompt_feedback"] = unread.feedback()
        if chunk.usage_metadata is not None:
            self._count(chunk.usage_metadata, events)
        if frame.event == "element":
            self._in_array = True
        return events

    def _feed_candidate(self, candidate: Candidate, place: int, unread: Unread, events: list[Event]) -> None:
        """What is new about the answer. Sources first: a part may end the block that they are about."""
        for name in _OF_THE_WHOLE:
            raw: Raw = getattr(candidate, name)
            if raw and (text := raw_text(raw)) != "null":
                self._whole[name] = text
                if name == "grounding_metadata":
                    self._sources.ground(text)
                elif name == "citation_metadata":
                    self._sources.cite(text)
        if candidate.logprobs_result and (text := raw_text(candidate.logprobs_result)) != "null":
            events.append(Extension("gemini:logprobs_result", text))
        parts = None if candidate.content is None else candidate.content.parts
        for number, part in enumerate(parts or ()):
            if part.text is not None:
                self._add_text(part, part.text, events)
            elif part.function_call is not None:
                self._add_call(part, part.function_call, events)
            elif part.inline_data is not None or part.file_data is not None:
                self._add_attachment(part, part.inline_data or part.file_data or Data(), events)
            else:
                self._add_extension(unread.part(place, number), events)
        reason = candidate.finish_reason
        if reason:
            self._reason = NUMBERED.get(reason, str(reason)) if isinstance(reason, int) else reason
            self._finish_message = candidate.finish_message

    def _add_text(self, part: Part, text: str, events: list[Event]) -> None:
        """A piece of text. A signed one is a block of its own, be it empty."""
        takes = ReasoningDelta if part.thought else TextDelta
        signature = part.thought_signature
        if not text and signature is None:
            return
        if takes is not self._takes or signature is not None:
            self._begin(takes, events)
        self._text.append(text)
        events.append(takes(self._index, text))
        if signature is not None:
            self._opaque = Opaque(thought_signature=signature)
            self._end(events)

    def _add_call(self, part: Part, call: Call, events: list[Event]) -> None:
        """A whole call, or the beginning of one, or what continues or ends the one that is open."""
        if call.name:
            self._begin(ToolCallDelta, events)
            made_up = f"call_{self._calls}" if self._id is None else f"call_{self._id}_{self._calls}"
            self._calls += 1
            id = unique(call.id or made_up, self._index, self._ids)
            self._opaque = Opaque(thought_signature=part.thought_signature, id=UNSET if id == call.id else None)
            events.append(ToolCallStart(self._index, id, call.name))
            args = raw_text(call.args)
            args = "{}" if args in {"", "null"} else args
            if args != "{}" or not (call.will_continue or call.partial_args):
                events.append(ToolCallDelta(self._index, args))
                self._end(events)
                return
            self._arguments = Arguments()
        elif self._arguments is None:
            return
        elif part.thought_signature is not None:  # documented for the first piece; of no use if it were lost
            self._opaque = structs.replace(self._opaque, thought_signature=part.thought_signature)
        text = "".join([self._arguments.feed(argument) for argument in call.partial_args or ()])
        if text:
            events.append(ToolCallDelta(self._index, text))
        if not call.will_continue:
            self._end(events)

    def _add_attachment(self, part: Part, data: Data, events: list[Event]) -> None:
        """An image or a file, or a piece of sound: that comes in many."""
        goes_back = Opaque(thought_signature=part.thought_signature, thought=part.thought or None)
        media_type = data.mime_type or "application/octet-stream"
        in_pieces = media_type.startswith("audio/") and goes_back == _NOTHING
        if not in_pieces or self._takes is not Attachment or media_type != self._media_type:
            self._begin(Attachment, events)
        self._media_type = media_type
        events.append(Attachment(self._index, media_type, data.data, data.file_uri))
        if not in_pieces:
            self._opaque = goes_back
            self._end(events)

    def _add_extension(self, raw: str, events: list[Event]) -> None:
        """A part of a kind that has no event of its own. A part without a kind has only its signature to keep."""
        word = kind(raw)
        if word is not None:
            self._begin(Extension, events)
            events.append(Extension(f"gemini:{word}", raw, self._index))
            self._end(events)

    def _begin(self, takes: type[Event], events: list[Event]) -> None:
        """A new block, after the end of the one before."""
        self._end(events)
        self._index += 1
        self._takes = takes

    def _end(self, events: list[Event], *, last: bool = False) -> None:
        """The end of the open block: a streamed call's last brackets, a text's sources, what must go back with it."""
        if self._takes is None:
            return
        if self._arguments is not None:
            events.append(ToolCallDelta(self._index, self._arguments.close()))
        elif self._takes is TextDelta:
            events += self._sources.of(self._index, "".join(self._text), last=last)
        events.append(BlockEnd(self._index, None if self._opaque == _NOTHING else json_text(self._opaque)))
        self._takes, self._arguments, self._opaque, self._text = None, None, _NOTHING, []

    def _count(self, counts: Counts, events: list[Event]) -> None:
        """Usage, if it has changed. Most of Vertex AI's chunks name only the tier."""
        self._counts = counts
        counted = usage(counts)
        if counted == _UNKNOWN:
            return
        prompt, tools = counts.prompt_token_count, counts.tool_use_prompt_token_count
        self._numbers = Numbers(prompt, counts.cached_content_token_count, None, tools)
        if counted != self._usage:
            self._usage = counted
            events.append(counted)

    def _recount(self, now: Numbers, events: list[Event]) -> bool:
        """Usage of more text: whether it is only more that was written. Then no more was of images or sound."""
        seen, last = self._numbers, self._usage
        seen.candidates_token_count = now.candidates_token_count
        seen.thoughts_token_count = now.thoughts_token_count
        if seen != now:
            return False
        counted = more_written(last, now)
        if counted != last:
            self._usage = counted
            events.append(counted)
        return True
