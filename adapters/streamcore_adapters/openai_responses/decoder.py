"""Turns the events of one response into ours. The wire, and the sources of what is known of it: see the package."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import DecodeError, structs

from streamcore.events import (
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
    ToolCallDelta,
    Usage,
)
from streamcore.failures import read_error

from .chunk import (
    Delta,
    decode,
    decode_event,
    decode_text,
    decode_type,
    item_of,
    response_of,
    sent,
    source_of,
    usage_of,
)
from .items import Items

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.frames import Frame

    from .chunk import Event as WireEvent
    from .chunk import Response
    from .items import TextEvent

__all__ = ["Decoder"]

# What the events that bring text add to, without `.delta`, or `.done` for the whole of it.
_TEXTS: Final[Mapping[str, tuple[type[TextEvent], str]]] = {
    "response.output_text": (TextDelta, "message"),
    "response.refusal": (RefusalDelta, "message"),
    "response.reasoning_summary_text": (ReasoningDelta, "reasoning"),
    "response.reasoning_text": (ReasoningDelta, "reasoning"),
    "response.reasoning": (ReasoningDelta, "reasoning"),  # some open servers
    "response.function_call_arguments": (ToolCallDelta, "function_call"),
    "response.custom_tool_call_input": (ToolCallDelta, "custom_tool_call"),
}
_BEGINNINGS: Final = frozenset({"response.created", "response.queued", "response.in_progress"})
_ENDS: Final[Mapping[str, str]] = {
    "response.completed": "completed",
    "response.done": "completed",  # xAI
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
}
_ERRORS: Final = frozenset({"error", "response.error"})
_KEPT: Final = frozenset(  # events that bring what no later one repeats, or not in this form
    {"response.image_generation_call.partial_image", "response.audio.delta", "response.audio.transcript.delta"}
)
_KNOWN: Final = frozenset(
    {
        *(f"{name}.{end}" for name in _TEXTS for end in ("delta", "done")),
        "response.output_item.added",
        "response.output_item.done",
        "response.output_text.annotation.added",
        *_BEGINNINGS,
        *_ENDS,
        *_ERRORS,
    }
)
_OF_RESPONSE: Final = ("service_tier", "content_filters", "moderation", "conversation", "tool_usage")
_COUNTS_SOMETHING: Final = re.compile(r":\s*[1-9]")  # `tool_usage` is there also if no tool was used, all 0
_REASONS: Final[Mapping[str | None, FinishReason]] = {
    "max_output_tokens": "length",
    "content_filter": "content_filter",
    "steered": "pause",
}
_KINDS: Final[Mapping[str | None, FailureKind]] = {  # what codes mean that come without a status
    "vector_store_timeout": "timeout",
    **dict.fromkeys(
        (
            "bio_policy",
            "misalignment_policy_violation",
            "data_residency_mismatch",
            "invalid_image",
            "invalid_image_format",
            "invalid_base64_image",
            "invalid_image_url",
            "invalid_image_mode",
            "image_too_large",
            "image_too_small",
            "image_parse_error",
            "image_content_policy_violation",
            "image_file_too_large",
            "image_file_not_found",
            "unsupported_image_media_type",
            "empty_image_file",
            "failed_to_download_image",
        ),
        "invalid",
    ),
}


class Decoder:
    """Decodes one response.

    Most events continue the part that the one before continued, which four comparisons show; the type and the place of
    that are kept here. Everything else takes the long road through `_read`.
    """

    __slots__ = ("_content", "_index", "_items", "_kind", "_make", "_output", "_started", "_summary")

    def __init__(self) -> None:
        self._items = Items()
        self._started = False
        self._kind = ""  # the last event's type if it was a delta, its place, and what became of it in which block
        self._output = -1
        self._content: int | None = None
        self._summary: int | None = None
        self._make: type[TextEvent] = TextDelta
        self._index = -1

    def feed(self, frame: Frame, /) -> list[Event]:
        """The events of one server-sent event."""
        try:
            event = decode(frame.data)
        except DecodeError as error:
            return _misfit(frame.data, error)
        if (
            event.output_index == self._output
            and event.type == self._kind
            and event.content_index == self._content
            and event.summary_index == self._summary
        ):
            return [self._make(self._index, event.delta)] if event.delta else []
        events = self._read(event, frame.data)
        self._started = self._started or bool(events)
        return events

    def close(self) -> list[Event]:
        """Nothing: a response ends with one of four events or not at all."""
        return []

    def _read(self, event: Delta, data: bytes) -> list[Event]:
        kind = event.type or ""
        name, _, end = kind.rpartition(".")
        if name in _TEXTS and end in ("delta", "done"):
            return self._text(event, data, *_TEXTS[name], whole=end == "done")
        self._kind = ""
        data.decode()  # what is not UTF-8 must raise here, where the reader can mend it, and not when a Raw is read
        if kind in _BEGINNINGS:
            return self._start(response_of(decode_event(data).response))
        if kind in ("response.output_item.added", "response.output_item.done"):
            return self._item(decode_event(data), done=end == "done")
        if kind == "response.output_text.annotation.added":
            wire = decode_event(data)
            return self._items.cite(wire, source_of(wire.annotation))
        if kind in _ENDS:
            return self._end(_ENDS[kind], data)
        if kind in _ERRORS:
            return [_failure(data, "an error event that names no error")]
        if kind in _KEPT:
            return [Extension(f"openai_responses:{kind.removeprefix('response.')}", data.decode())]
        failure = None if kind else read_error(data)
        return [] if failure is None else [failure]

    def _text(self, event: Delta, data: bytes, make: type[TextEvent], type: str, *, whole: bool) -> list[Event]:
        wire = decode_text(data)
        said = self._items.say(make, type, wire, wire.whole if whole else event.delta or "", whole=whole)
        self._kind = ""
        if said is None:
            return []
        if not whole and event.output_index is not None:
            self._kind, self._output = event.type or "", event.output_index
            self._content, self._summary = event.content_index, event.summary_index
            self._make, self._index = make, said.index
        return [said]

    def _start(self, response: Response) -> list[Event]:
        return [] if self._started else [Start(response.id or None, response.model or None)]

    def _item(self, wire: WireEvent, *, done: bool) -> list[Event]:
        item = item_of(wire.item)
        return self._items.end(wire.output_index, item) if done else self._items.add(wire.output_index, item)

    def _end(self, end: str, data: bytes) -> list[Event]:
        wire = decode_event(data)
        response = response_of(wire.response)
        output = response.output or []
        items = [item_of(raw) for raw in output] if len(output) > self._items.done else []
        usage, more = usage_of(response.usage)
        status = response.status
        if end == "completed" and status in ("incomplete", "failed", "cancelled"):
            end = status
        events = self._start(response)
        if end != "failed":
            events += self._items.end_all(items)
        facts = {name: sent(getattr(response, name)) for name in _OF_RESPONSE}
        facts |= {"usage": more, "copilot_usage": sent(wire.copilot_usage)}
        for name, raw in facts.items():
            if raw and (name != "tool_usage" or _COUNTS_SOMETHING.search(raw)):
                events.append(Extension(f"openai_responses:{name}", raw))
        if usage != Usage():
            events.append(usage)
        return [
            *events,
            _failure(data, "the response failed without an error") if end == "failed" else self._finish(end, response),
        ]

    def _finish(self, end: str, response: Response) -> Finish:
        if end == "incomplete":
            reason = response.incomplete_details.reason if response.incomplete_details else None
            return Finish(_REASONS.get(reason, "other"), reason or end)
        if end == "cancelled":
            return Finish("other", end)
        items = self._items
        return Finish(
            "tool_calls" if items.calls else "pause" if items.waiting else "refusal" if items.refused else "stop", end
        )


def _failure(data: bytes, otherwise: str) -> Failure:
    """The error in an event, or what to say if there is none."""
    failure = read_error(data) or Failure("server", otherwise)
    code = None if failure.code in _KNOWN else failure.code  # the type of the event is no code
    return structs.replace(failure, code=code, kind=_KINDS.get(code, failure.kind))


def _misfit(data: bytes, error: DecodeError) -> list[Event]:
    """What has another shape: the error itself if it is one of the events that are read, else nothing."""
    if data.strip() == b"[DONE]":
        return []  # some gateways end every stream like Chat Completions
    kind = decode_type(data)
    if not isinstance(kind, str) or kind in _KNOWN:
        raise error
    return []
