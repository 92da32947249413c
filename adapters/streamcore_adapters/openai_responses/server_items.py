"""What a response that we write is made of: its events, its items, and what a block's text is called in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from msgspec import Raw, Struct, structs

from streamcore import sse
from streamcore.events import (
    Attachment,
    Citation,
    Event,
    Extension,
    Failure,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    Usage,
)
from streamcore.frames import Frame
from streamcore.request import Target
from streamcore.serving import one_line
from streamcore.wire import base64_text, opaque

from .decoder import Decoder
from .request import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.events import FailureKind
    from streamcore.request import Request

__all__ = [
    "CARRIED",
    "CUSTOM",
    "FUNCTION",
    "KINDS",
    "MARK",
    "REASONING",
    "REFUSAL",
    "TEXT",
    "Block",
    "Wire",
    "annotation_of",
    "code_of",
    "custom_tools",
    "echo",
    "image_item",
    "json",
    "losses",
    "usage_object",
]

_Object: TypeAlias = dict[str, Any]

MARK: Final = "streamcore:"
"""What stands in `encrypted_content` before what a block of reasoning must go back with, whoever its provider is."""

losses: Final[Mapping[str, str]] = {
    "Attachment": "only generated images have an item, and only with their bytes",
    "BlockEnd.opaque": "a message or a call has no place for another provider's token; reasoning has",
    "BlockEnd.opaque.id": "an item's id is sent with its beginning, before that of the provider's item is known",
    "Citation": "only text has sources, and a source needs an address",
    "Citation.raw": "another provider's citation; its address, title and place are sent",
    "Citation.text": "what a source says is not quoted",
    "Extension": "another provider's, or not where this one has any",
    "Failure.code": "one that says another kind here than it said there gives way to the kind's",
    "Failure.detail": "an error has a code and a message",
    "Failure.kind": "a fault of the road, or of what was sent on it, is a `server_error`",
    "Failure.request_id": "an error has a code and a message",
    "Failure.retry_after": "an error has a code and a message",
    "Failure.should_retry": "an error has a code and a message",
    "Failure.status": "an error has a code and a message",
    "Finish.raw": "another provider's word",
    "Finish.reason": "a completed answer says no more, and a refusal without words is an incomplete one",
    "Usage.cache_read_tokens": "clients refuse counts of one side only",
    "Usage.cache_write_tokens": "clients refuse counts of one side only",
    "Usage.reasoning_tokens": "clients refuse counts of one side only",
    "Usage.input_audio_tokens": "not counted apart",
    "Usage.input_image_tokens": "not counted apart",
    "Usage.input_tokens": "clients refuse counts of one side only",
    "Usage.output_audio_tokens": "not counted apart",
    "Usage.output_image_tokens": "not counted apart",
    "Usage.output_tokens": "clients refuse counts of one side only",
}
"""What the format cannot carry, and why."""

_ANNOTATIONS: Final = frozenset({"url_citation", "file_citation", "container_file_citation", "file_path"})
_DEFAULTS: Final[_Object] = {  # of a response, where the request says nothing; clients want all of them
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "usage": None,
}
_NOT_ECHOED: Final = frozenset({"error", "incomplete_details", "usage"})
_CODES: Final[Mapping[FailureKind, str]] = {
    "auth": "invalid_api_key",
    "permission": "permission_denied",
    "invalid": "invalid_prompt",
    "not_found": "model_not_found",
    "rate_limit": "rate_limit_exceeded",
    "quota": "insufficient_quota",
    "overloaded": "server_is_overloaded",
    "timeout": "timeout",
    "cancelled": "cancelled",
}

json: Final = msgspec.json.Encoder().encode


class _Annotation(Struct, gc=False):
    type: str = ""
    url_citation: object = None  # where Chat Completions has the address: its annotations have the same type


class Wire(Struct, omit_defaults=True, gc=False):
    """Any event of the stream. The fields of a delta come first."""

    type: str
    sequence_number: int = -1
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    delta: str | None = None
    logprobs: object = None
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    input: str | None = None
    annotation: object = None
    annotation_index: int | None = None
    part: object = None
    item: object = None
    response: object = None
    copilot_usage: object = None


class Says(Struct, frozen=True, gc=False):
    """How a kind of block is written: its item's type and the beginning of its id, its events, the whole text's field.

    Text that stands in a part of its item has that part's type and index too.
    """

    item: str
    prefix: str
    event: str
    field: str
    part: str = ""
    content: int | None = None
    summary: int | None = None
    logprobs: tuple[()] | None = None


TEXT: Final = Says("message", "msg", "response.output_text", "text", "output_text", content=0, logprobs=())
REFUSAL: Final = Says("message", "msg", "response.refusal", "refusal", "refusal", content=0)
REASONING: Final = Says("reasoning", "rs", "response.reasoning_summary_text", "text", "summary_text", summary=0)
FUNCTION: Final = Says("function_call", "fc", "response.function_call_arguments", "arguments")
CUSTOM: Final = Says("custom_tool_call", "ctc", "response.custom_tool_call_input", "input")
CARRIED: Final = Says("", "ig", "", "")
KINDS: Final[Mapping[type[Event], Says]] = {
    TextDelta: TEXT,
    Citation: TEXT,
    RefusalDelta: REFUSAL,
    ReasoningDelta: REASONING,
    Attachment: CARRIED,
    Extension: CARRIED,
}


class Block:
    """A block under way, which is an item of its own."""

    __slots__ = (
        "annotations",
        "attachments",
        "call_id",
        "delta",
        "head",
        "id",
        "item",
        "logprobs",
        "name",
        "pieces",
        "place",
        "says",
    )

    def __init__(self, says: Says) -> None:
        self.says = says
        self.place = 0
        self.id = self.call_id = self.name = ""
        self.delta = f"{says.event}.delta"
        self.head = sse.encode(b"", event=self.delta)[:-2]  # of its deltas, whose JSON has no end of line in it
        self.pieces: list[str] = []
        self.annotations: list[object] = []
        self.logprobs: Raw | None = None
        self.attachments: list[Attachment] = []
        self.item: Raw | None = None  # of one that is carried along

    def at(self, event: str) -> Wire:
        """An event of this block's text."""
        return Wire(event, -1, self.id, self.place, self.says.content, self.says.summary)

    def part(self, text: str) -> _Object:
        """The part that the text stands in."""
        part: _Object = {"type": self.says.part, self.says.field: text}
        if self.says is TEXT:
            part |= {"annotations": self.annotations, "logprobs": self.logprobs or ()}
        return part

    def whole(self, text: str, own: Mapping[str, object] | None) -> _Object:
        """The item: at its beginning if `own` is None, which is else what its provider gave it besides the content."""
        says = self.says
        head: _Object = {"id": self.id, "type": says.item}
        if says is REASONING:
            return {**head, "summary": [self.part(text)] if text else [], **(own or {})}
        head |= {"status": "in_progress"} if own is None else {"status": "completed", **own}
        if says.item == "message":
            return {**head, "role": "assistant", "content": [] if own is None else [self.part(text)]}
        return {**head, "call_id": self.call_id, "name": self.name, says.field: text}


def annotation_of(event: Citation, here: int) -> object:
    """A citation as this format has it; None if it can't. One that nobody placed stands `here`, where it came."""
    own = opaque(event.raw, _Annotation)
    if event.raw is not None and own is not None and own.type in _ANNOTATIONS and own.url_citation is None:
        return one_line(event.raw)
    if not event.url:
        return None
    start = event.start if event.start is not None else event.end
    end = event.end if event.end is not None else event.start
    return {
        "type": "url_citation",
        "url": event.url,
        "title": event.title or "",
        "start_index": here if start is None else start,
        "end_index": here if end is None else end,
    }


def image_item(attachments: list[Attachment], id: str) -> _Object | None:
    """A generated image as the item of OpenAI's own tool; None if it is something else, or elsewhere."""
    data = b"".join(piece.data or b"" for piece in attachments)
    kind, _, name = attachments[-1].media_type.partition("/") if attachments else ("", "", "")
    if kind != "image" or not name or not data:
        return None
    head = {"id": id, "type": "image_generation_call", "status": "completed"}
    return {**head, "output_format": name, "result": base64_text(data)}


def usage_object(usage: Usage | None) -> _Object | None:
    """The counts; None if one of the two is not known that clients take for granted."""
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def code_of(failure: Failure) -> str:
    """The failure's code if it says here what it said there, else the one that this API has for its kind."""
    if failure.code is not None:
        response = {"error": {"code": failure.code, "message": "-"}}
        back = Decoder().feed(Frame(json({"type": "response.failed", "response": response})))[-1]
        if isinstance(back, Failure) and back.kind == failure.kind:
            return failure.code
    return _CODES.get(failure.kind, "server_error")


def echo(request: Request) -> _Object:
    """What a response repeats of the request, in this format's words."""
    body = encode(structs.replace(request, messages=()), Target("", "")).body
    fields = msgspec.json.decode(body, type=dict[str, Raw])
    names = (_DEFAULTS.keys() & fields.keys()) - _NOT_ECHOED
    return {**_DEFAULTS, **{name: fields[name] for name in sorted(names)}}


def custom_tools(request: Request) -> frozenset[str]:
    """The names of the caller's tools that take text instead of JSON."""
    tools: Any = (request.extra or {}).get("tools", ())
    return frozenset(tool["name"] for tool in tools if tool.get("type") == "custom")
