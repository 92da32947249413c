"""Serves Mistral's Chat Completions: the chunks of `openai_chat`, as Mistral's own clients want them.

They read reasoning as parts of the content (`thinking`) and know no other field for it; they refuse a fragment of a call
that does not repeat the tool's name, so a call is one chunk, sent when it is whole; and they are told the usage unasked,
in the chunk that ends the answer.

What a client gets back, as its normal form: one block of text and one of reasoning, in which all deltas of that kind
come in their order, calls whole and in the order of their ends, then the last usage and the end of all blocks. A refusal
is text. Deltas without words are not sent. A `Failure` is a chunk whose finish reason is `error`, with an error object
beside it; no `[DONE]` follows. A call that had not ended then is not sent: it could be taken for one.

Where it is not quite right. Mistral's own client drops the error object, and raises nothing: who uses it has to look at
the reason. A reason that Mistral does not have is said as by `openai_chat`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Raw, Struct

from streamcore import sse
from streamcore.events import (
    BlockEnd,
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
from streamcore.request import ExtensionPart, ReasoningPart, RefusalPart, Text, ToolCall
from streamcore.serving import STATUSES, unsaid
from streamcore.wire import opaque, present
from streamcore_adapters.openai_chat.server import content_type, keep_alive, path
from streamcore_adapters.openai_chat.server_answer import error_body, finish_reason, place, usage_out

from .server_request import parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streamcore.dialect import Call
    from streamcore.message import Fold
    from streamcore.request import Part

__all__ = ["Encoder", "content_type", "error", "keep_alive", "losses", "parse", "path", "render"]

losses: Final[Mapping[str, str]] = {
    "Attachment": "an answer is words and calls",
    "BlockEnd.opaque": "only the signature of reasoning has a place",
    "Citation": "a reference names what the client has sent, and nothing else",
    "Extension": "only parts of the content, likelihoods and other choices have a place",
    "Failure.detail": "an error object holds a message, a type and a code",
    "Failure.request_id": "a header's matter; the headers are sent",
    "Failure.retry_after": "a header's matter; the headers are sent",
    "Failure.should_retry": "a header's matter; the headers are sent",
    "Failure.status": "the stream began with 200",
    "Finish.raw": "another provider's word gives way to this format's",
    "Finish.reason": "there are words for stop, which is of calls if there are any, length and content filter",
    "ReasoningDelta.index": "all reasoning is one: further blocks of it are appended",
    "RefusalDelta": "written as text",
    "TextDelta.index": "all text is one: further blocks of it are appended",
    "ToolCallStart.index": "a call is sent when it ends: what came beside it stands before it",
    "ToolCallStart": "a call is sent whole: one that was under way when the answer failed is not",
}
_ONE: Final = {TextDelta: "TextDelta.index", ReasoningDelta: "ReasoningDelta.index"}
_json: Final = msgspec.json.Encoder().encode


class _Words(Struct, gc=False):
    content: str = ""


class _Choice(Struct, gc=False):
    delta: _Words
    index: int = 0
    finish_reason: None = None


class _Chunk(Struct, gc=False):
    """A chunk of text, of which there are many: one, filled anew for each."""

    id: str
    object: str
    created: int
    model: str
    choices: list[_Choice]


class _Signature(Struct, gc=False):
    signature: str


class _Own(Struct, gc=False):
    """What a `BlockEnd` carries of this format."""

    thinking: _Signature


class Encoder:
    """Writes one answer. `lost` counts what had no place, so far."""

    __slots__ = ("_calls", "_chunk", "_kinds", "_latest", "_pieces", "_text", "_usage", "_words", "lost")

    def __init__(self, call: Call) -> None:
        self.lost: dict[str, int] = {}
        self._usage = Usage()
        self._calls = 0
        self._kinds: dict[int, Event] = {}  # how each block began
        self._pieces: dict[int, list[str]] = {}  # the arguments of the calls that have not ended
        self._text = self._latest = -1  # the text block under way, and the last that something was said of
        self._words = _Words()
        model = call.request.model or ""
        self._chunk = _Chunk(call.id, "chat.completion.chunk", call.created, model, [_Choice(self._words)])

    def feed(self, event: Event, /) -> bytes:
        """The bytes that say this event; b"" if it says nothing, or not yet."""
        if type(event) is TextDelta and event.index == self._text and event.text:
            self._words.content = event.text
            return sse.encode(_json(self._chunk))
        match event:
            case Start():
                self._chunk.id, self._chunk.model = event.id or self._chunk.id, event.model or self._chunk.model
                return self._say({"role": "assistant", "content": ""})
            case Usage():
                self._usage = event
                return b""
            case Finish():
                return self._finish(event)
            case Failure():
                return self._fail(event)
            case Extension(index=None):
                return self._extend(event)
            case _:
                return self._content(event, -1 if event.index is None else event.index)

    def _lose(self, key: str) -> bytes:
        self.lost[key] = self.lost.get(key, 0) + 1
        return b""

    def _content(self, event: Event, index: int) -> bytes:
        if index not in self._kinds:
            self._begin(event, index)
        if not isinstance(event, ToolCallStart | ToolCallDelta):
            self._latest = max(index, self._latest)
        match event:
            case TextDelta() | RefusalDelta():
                return self._say({"content": event.text}) if event.text else b""
            case ReasoningDelta():
                return self._say({"content": [_thinking(event.text)]}) if event.text else b""
            case ToolCallStart():
                self._pieces[index] = []
                return b""
            case ToolCallDelta():
                self._pieces[index].append(event.arguments)
                return b""
            case Extension() if isinstance(self._kinds[index], Extension) and place(event)[0] == "content":
                return self._say({"content": [place(event)[2]]})
            case BlockEnd():
                return self._end(event, self._kinds[index])
            case _:
                return self._lose(type(event).__name__)

    def _begin(self, event: Event, index: int) -> None:
        """Note how a block began; and that it will be one with an earlier one, if so."""
        kind = type(event)
        if kind is RefusalDelta:
            self._lose("RefusalDelta")
        if kind in _ONE and any(type(first) is kind for first in self._kinds.values()):
            self._lose(_ONE[kind])
        if kind is TextDelta:
            self._text = index
        self._kinds[index] = event

    def _end(self, event: BlockEnd, first: Event) -> bytes:
        own = opaque(event.opaque, _Own) if isinstance(first, ReasoningDelta) else None
        if own is not None:
            return self._say({"content": [{**_thinking(""), "signature": own.thinking.signature}]})
        if event.opaque is not None:
            self._lose("BlockEnd.opaque")
        if not isinstance(first, ToolCallStart):
            return b""
        if self._latest > event.index:  # also the end of a later call
            self._lose("ToolCallStart.index")
        call = {**_call(first.id, first.name, "".join(self._pieces.pop(event.index))), "index": self._calls}
        self._calls += 1
        return self._say({"tool_calls": [call]})

    def _extend(self, event: Extension) -> bytes:
        where, name, raw = place(event)
        if where == "choices":
            return self._write([raw])
        if (where, name) == ("choice", "logprobs"):
            return self._write([{**_choice({}), "logprobs": raw}])
        return self._lose("Extension")

    def _finish(self, event: Finish) -> bytes:
        word = _word(event, calls=self._calls > 0)
        if event.reason not in {word, "length"}:
            self._lose("Finish.reason")
        if event.raw not in {None, word}:
            self._lose("Finish.raw")
        return self._last(word) + sse.encode(b"[DONE]")

    def _fail(self, event: Failure) -> bytes:
        for _ in self._pieces:
            self._lose("ToolCallStart")
        for key in unsaid(event):
            self._lose(key)
        return self._last("error", error=_fault(event))

    def _last(self, word: str, **more: object) -> bytes:
        """The chunk that says how it ended and what it cost."""
        usage = {} if self._usage == Usage() else {"usage": usage_out(self._usage, {})}
        return self._write([_choice({"content": ""}, word)], **usage, **more)

    def _say(self, delta: dict[str, Any]) -> bytes:
        return self._write([_choice(delta)])

    def _write(self, choices: list[dict[str, Any] | Raw], **more: object) -> bytes:
        chunk = self._chunk
        body = {"id": chunk.id, "object": chunk.object, "created": chunk.created, "model": chunk.model}
        return sse.encode(_json({**body, "choices": choices, **more}))


def render(fold: Fold, call: Call) -> bytes:
    """The whole answer as one body. Its counts are always there: null, never 0, where they are unknown."""
    outcome = fold.outcome
    message = _message(fold.message.parts)
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": None}
    if isinstance(outcome, Finish):
        choice["finish_reason"] = _word(outcome, calls="tool_calls" in message)
    elif outcome is not None:
        choice["finish_reason"] = "error"
    body = {
        "id": fold.id or call.id,
        "object": "chat.completion",
        "created": call.created,
        "model": fold.model or call.request.model or "",
        "choices": [choice],
        "usage": usage_out(fold.usage or Usage(), {}),
        "error": _fault(outcome) if isinstance(outcome, Failure) else None,
    }
    return _json(present(body))


def error(failure: Failure) -> tuple[int, bytes]:
    """The HTTP status and the body that say a failure before the stream has begun."""
    return STATUSES[failure.kind], _json({"object": "error", **_fault(failure)})


def _message(parts: Iterable[Part]) -> dict[str, Any]:
    """The message; its content is a list only if it has to be."""
    content: list[Any] = []
    calls: list[dict[str, Any]] = []
    plain = True
    for part in parts:
        if isinstance(part, Text | RefusalPart):
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, ToolCall):
            calls.append(_call(part.id, part.name, part.arguments))
        elif isinstance(part, ReasoningPart):
            own = opaque(part.opaque, _Own)
            content.append({**_thinking(part.text), **({"signature": own.thinking.signature} if own else {})})
            plain = False
        elif isinstance(part, ExtensionPart):
            where, _, raw = place(Extension(part.name, part.raw, index=0))
            if where == "content":
                content.append(raw)
                plain = False
    text = "".join(block["text"] for block in content) if plain else content
    return {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}


def _choice(delta: dict[str, Any], word: str | None = None) -> dict[str, Any]:
    return {"delta": delta, "index": 0, "finish_reason": word}


def _thinking(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}] if text else []}


def _call(id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments or "{}"}}


def _word(finish: Finish, *, calls: bool) -> str:
    if (finish.reason, finish.raw) == ("length", "model_length"):
        return "model_length"
    return finish_reason(finish.reason, calls=calls, refusal=False)


def _fault(failure: Failure) -> dict[str, Raw]:
    """The error object, as `openai_chat` has it."""
    return msgspec.json.decode(error_body(failure), type=dict[str, dict[str, Raw]])["error"]
