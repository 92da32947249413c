"""The chunks of Chat Completions as events."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

from msgspec import DecodeError, Raw

from streamcore.events import (
    Attachment,
    BlockEnd,
    Citation,
    Event,
    Extension,
    Failure,
    FailureKind,
    Finish,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    Usage,
)
from streamcore.wire import json_text

from .blocks import Calls, ReasoningDetails, attachment
from .chunk import (
    OF_RESPONSE,
    Annotation,
    Audio,
    Choice,
    Chunk,
    Delta,
    Part,
    ToolCall,
    decode,
    decode_next,
    failure_of,
    raw_annotations,
    raw_choice,
    raw_logprobs,
    raw_parts,
    sent,
    usage_of,
)
from .quirks import Quirks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.frames import Frame

__all__ = ["Decoder"]


_OPENAI: Final = Quirks()
_REASONS: Final[Mapping[str, FinishReason]] = {
    "stop": "stop",
    "eos": "stop",  # Together
    "eos_token": "stop",  # Hugging Face
    "end_turn": "stop",  # what a gateway lets through from Anthropic
    "length": "length",
    "model_length": "length",  # Mistral
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "refusal",
}
_FAULTS: Final[Mapping[str, FailureKind]] = {
    "error": "server",  # Mistral, OpenRouter
    "insufficient_system_resource": "overloaded",  # DeepSeek
    "abort": "cancelled",  # SGLang
}


class Decoder:
    """The chunks of one response as events.

    Most chunks differ from the one before in nothing but their text. One comparison of the two, over all fields and in
    C, finds that out; everything else takes the long road through `_read`. (What belongs to the whole response and not
    to a choice is decoded on that road only: it is repeated, or comes first or last.) After a chunk that is not text the
    next is taken for another such, so that nobody's reasoning is decoded twice.
    """

    __slots__ = (
        "_audio",
        "_audio_id",
        "_calls",
        "_details",
        "_held",
        "_id",
        "_indexes",
        "_opaque",
        "_others",
        "_plain",
        "_plain_delta",
        "_quirks",
        "_reason",
        "_reasoning",
        "_refusal",
        "_started",
        "_text",
        "_told",
        "_usage",
        "_worded",
    )

    def __init__(self, quirks: Quirks = _OPENAI) -> None:
        self._quirks = quirks
        self._started = False
        self._id = ""
        self._held: list[Event] = []  # what came before the first chunk that says who answers
        self._plain: list[Choice] | None = None  # of the last chunk if that was text and nothing else; and its delta
        self._plain_delta = Delta()
        self._indexes = count()
        self._text = self._reasoning = self._refusal = self._audio = -1  # their blocks, if there are any yet
        self._audio_id: str | None = None
        self._details = ReasoningDetails()
        self._worded = False  # whether the reasoning came in words of its own: items after it only repeat them
        self._opaque: dict[str, object] = {}
        self._calls = Calls(self._indexes)
        self._others: dict[int, bool] = {}  # the other choices, and whether they are finished
        self._told: dict[str, Raw | str] = {}
        self._usage = Usage()
        self._reason: str | None = None

    def feed(self, frame: Frame, /) -> list[Event]:
        """The events of one chunk."""
        try:
            if self._plain is not None:
                more = decode_next(frame.data)
                choices = more.choices
                if choices and (delta := choices[0].delta) is not None:
                    text = delta.content
                    if type(text) is str and text:
                        self._plain_delta.content = text
                        if choices == self._plain and more.usage is more.error is more.x_groq is None:
                            return [TextDelta(self._text, text)]
            chunk = decode(frame.data)
        except DecodeError:
            if frame.data.lstrip()[:6] == b"[DONE]":
                return self._end(done=True)
            raise
        return self._read(chunk, frame)

    def close(self) -> list[Event]:
        """The body has ended: what a finish reason proves, if the server may leave out `[DONE]`."""
        return [] if self._quirks.done == "required" else self._end(done=False)

    def _read(self, chunk: Chunk, frame: Frame) -> list[Event]:
        events: list[Event] = []
        choices = chunk.choices or ()
        self._id = self._id or chunk.id or ""
        for name in OF_RESPONSE:
            if value := getattr(chunk, name):
                self._tell(name, value, events)
        for at, choice in enumerate(choices):
            if choice.index:
                self._read_other(choice, choice.index, raw_choice(frame.data, at), events)
            else:
                self._read_choice(choice, at, frame.data, events)
        tokens = chunk.usage or (chunk.x_groq.usage if chunk.x_groq else None)
        if tokens:
            usage = usage_of(tokens, reasoning_outside=self._quirks.reasoning_outside)
            if usage not in (self._usage, Usage()):
                self._usage = usage
                events.append(usage)
            self._tell("cost", tokens.cost, events)
            self._tell("cost_in_usd_ticks", tokens.cost_in_usd_ticks, events)
        failure = failure_of(chunk, frame)
        if failure is not None:
            events.append(failure)
        if not self._started:
            if not (chunk.id or chunk.model or choices or failure):
                self._held += events  # Azure speaks of the prompt before it says who answers
                return []
            self._started = True
            events[:0] = [Start(chunk.id or None, chunk.model or None), *self._held]
        self._plain = None
        if self._text >= 0 and not tokens and len(choices) == 1 and choices[0].is_text:
            self._plain, self._plain_delta = chunk.choices, choices[0].delta or Delta()
        return events

    def _read_other(self, choice: Choice, index: int, raw: str, events: list[Event]) -> None:
        """A choice other than the first, as it was sent, unless it says nothing."""
        self._others[index] = bool(choice.finish_reason) or self._others.get(index, False)
        if choice.finish_reason or (choice.delta or Delta()) not in (Delta(), Delta(content="")):
            events.append(Extension("openai_chat:choice", raw))

    def _read_choice(self, choice: Choice, at: int, data: bytes, events: list[Event]) -> None:
        delta = choice.delta
        if delta is not None:
            self._read_reasoning(delta, events)
            if isinstance(delta.content, str):
                self._say(delta.content, events)
            elif delta.content:
                for part, raw in zip(delta.content, raw_parts(data, at), strict=True):
                    self._read_part(part, raw, events)
            if delta.refusal:
                self._refusal = self._block(self._refusal)
                events.append(RefusalDelta(self._refusal, delta.refusal))
            for piece in delta.tool_calls or ():
                self._calls.add(piece, self._id, events)
            if delta.function_call is not None:
                self._calls.add(ToolCall(index=0, function=delta.function_call), self._id, events)
            for image in (image for image in delta.images or () if image.address):
                index = self._block()
                events += (attachment(index, image.address), BlockEnd(index))
            if delta.audio is not None:
                self._read_audio(delta.audio, events)
            if delta.annotations:
                self._cite(delta.annotations, raw_annotations(data, at), events)
            self._tell("executed_tools", delta.executed_tools, events)
            self._tell("provider_metadata", delta.provider_metadata, events)
        if choice.has_logprobs:
            events.append(Extension("openai_chat:logprobs", raw_logprobs(data, at)))
        self._tell("content_filter_results", choice.content_filter_results, events)
        if choice.finish_reason:
            self._reason = choice.finish_reason
            self._calls.end(self._id, events)

    def _read_reasoning(self, delta: Delta, events: list[Event]) -> None:
        """Reasoning in whichever field it is; where it is in two, they hold the same."""
        text = delta.reasoning_content or delta.reasoning or delta.reasoning_text or ""
        if delta.reasoning_details:
            detailed = self._details.add(delta.reasoning_details)
            text = text or ("" if self._worded else detailed)
        elif text:
            self._worded = True
        if delta.reasoning_opaque:
            self._opaque["reasoning_opaque"] = delta.reasoning_opaque
        if text or (self._reasoning < 0 and (delta.reasoning_details or delta.reasoning_opaque)):
            self._reasoning = self._block(self._reasoning)
            events.append(ReasoningDelta(self._reasoning, text))

    def _read_part(self, part: Part, raw: str, events: list[Event]) -> None:
        if part.type == "text" or part.type is None:
            self._say(part.text or "", events)
        elif part.type in ("thinking", "reasoning"):
            if part.signature:
                self._opaque["thinking"] = {"signature": part.signature}
            if part.reasoning or (self._reasoning < 0 and part.signature):
                self._reasoning = self._block(self._reasoning)
                events.append(ReasoningDelta(self._reasoning, part.reasoning))
        else:
            events.append(Extension(f"openai_chat:{part.type}", raw, self._block()))

    def _read_audio(self, audio: Audio, events: list[Event]) -> None:
        self._audio_id = audio.id or self._audio_id
        self._say(audio.transcript or "", events)
        if audio.data:
            self._audio = self._block(self._audio)
            events.append(Attachment(self._audio, "audio/pcm", audio.data))  # the one format that it streams

    def _cite(self, annotations: list[Annotation], raws: list[str], events: list[Event]) -> None:
        for annotation, raw in zip(annotations, raws, strict=True):
            source = annotation.url_citation
            if source is None:
                events.append(Extension("openai_chat:annotation", raw))
                continue
            self._text = self._block(self._text)
            place = source.start_index, source.end_index
            events.append(Citation(self._text, source.url, source.title, source.content, *place, raw))

    def _say(self, text: str, events: list[Event]) -> None:
        if text:
            self._text = self._block(self._text)
            events.append(TextDelta(self._text, text))

    def _tell(self, name: str, value: Raw | str | None, events: list[Event]) -> None:
        """What belongs to the response as a whole, when it is new."""
        if value and value != self._told.get(name):
            raw = sent(value) if isinstance(value, Raw) else json_text(value)
            if raw:
                self._told[name] = value
                events.append(Extension(f"openai_chat:{name}", raw))

    def _block(self, index: int = -1) -> int:
        """This block, or a new one."""
        return next(self._indexes) if index < 0 else index

    def _end(self, *, done: bool) -> list[Event]:
        """The end, if this was one: every choice has finished, or the server says so by `[DONE]` alone."""
        reason = self._reason
        if reason is None and not (done and self._started and self._quirks.done == "enough"):
            return []
        if not all(self._others.values()):
            return []
        events: list[Event] = []
        self._calls.end(self._id, events)
        opaque = {**self._details.fields(), **self._opaque}
        if opaque:
            events.append(BlockEnd(self._reasoning, json_text(opaque)))
        if self._audio_id and self._audio >= 0:
            events.append(BlockEnd(self._audio, json_text({"audio": {"id": self._audio_id}})))
        events.append(self._outcome(reason))
        return events

    def _outcome(self, reason: str | None) -> Finish | Failure:
        word = reason or "stop"
        if word in _FAULTS:
            return Failure(_FAULTS[word], f"the answer ended with finish reason {word!r}", code=word)
        unified: FinishReason = _REASONS.get(word, "other")
        if unified == "stop" and self._calls:
            unified = "tool_calls"
        elif unified == "stop" and self._refusal >= 0:
            unified = "refusal"
        return Finish(unified, reason)
