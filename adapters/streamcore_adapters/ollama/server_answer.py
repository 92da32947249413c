"""What an answer in Ollama's format is made of when we write it: one message, in lines or whole, and how it ended."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct

from streamcore.events import Usage
from streamcore.serving import one_line
from streamcore.wire import opaque

from .decoder import media_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.dialect import Call
    from streamcore.events import Finish

__all__ = ["Answer", "Line", "Message", "encode", "losses"]

encode: Final = msgspec.json.Encoder().encode

losses: Final[Mapping[str, str]] = {
    "TextDelta.index": "a message has one text: further blocks of it are appended",
    "ReasoningDelta.index": "a message has one reasoning text: further blocks of it are appended",
    "ToolCallStart.index": "a call is whole when it ends: what came beside it stands before it",
    "Attachment": "an answer has images alone, and their bytes",
    "Attachment.media_type": "read off the first bytes, as PNG, JPEG, WebP or GIF",
    "Attachment.url": "an answer has images alone, and their bytes",
    "BlockEnd.opaque": "nothing can be sent along to come back",
    "Citation": "there is no place for sources",
    "Extension": "only Ollama's own have a place, the server's name no other than the first line",
    "Failure.code": "an error within a stream is words alone",
    "Failure.detail": "an error within a stream is words alone",
    "Failure.kind": "an error within a stream is words alone",
    "Failure.request_id": "an error within a stream is words alone",
    "Failure.retry_after": "an error within a stream is words alone",
    "Failure.should_retry": "an error within a stream is words alone",
    "Failure.status": "an error within a stream is words alone",
    "Finish.raw": "another provider's word gives way to Ollama's",
    "Finish.reason": "there are words for `stop`, which is of calls if there are any, and `length`; others become `other`",
    "RefusalDelta": "written as text",
    "Start.id": "an answer has no id",
    "Start.model": "not told of an answer that failed at once",
    "ToolCallDelta": "arguments are an object: others end the answer with an error",
    "Usage": "not told of an answer that failed",
    **{
        f"Usage.{name}": "not counted apart"
        for name in Usage.__struct_fields__
        if name not in {"input_tokens", "output_tokens"}
    },
}

_DURATIONS: Final = {"total_duration", "load_duration", "prompt_eval_duration", "eval_duration"}
_HOUSEKEEPING: Final = {"load", "unload"}
_MADE_UP: Final = {"id": None}


class _Function(Struct, gc=False):
    index: int
    name: str
    arguments: Raw


class _Call(Struct, gc=False, omit_defaults=True):
    function: _Function
    id: str | None = None


class Message(Struct, gc=False, omit_defaults=True):
    """The message, or what is new of it."""

    role: str
    content: str
    thinking: str | None = None
    tool_calls: list[_Call] = []
    images: list[bytes] = []


class Line(Struct, gc=False, omit_defaults=True):
    """One line, or the whole answer."""

    model: str
    message: Message
    done: bool
    created_at: str | None = None
    remote_host: Raw | None = None
    logprobs: Raw | None = None
    done_reason: str | None = None
    total_duration: Raw | None = None
    load_duration: Raw | None = None
    prompt_eval_count: int | None = None
    prompt_eval_duration: Raw | None = None
    eval_count: int | None = None
    eval_duration: Raw | None = None


class Answer:
    """One answer: what has to be remembered until its end, and what was lost on the way."""

    __slots__ = ("_calls", "_durations", "created_at", "lost", "malformed", "model", "usage")

    def __init__(self, call: Call) -> None:
        self.model = call.request.model or ""
        self.created_at = datetime.fromtimestamp(call.created, UTC).isoformat()[:-6] + "Z" if call.created else None
        self.lost: dict[str, int] = {}
        self.malformed = ""  # what was wrong with a call
        self.usage = Usage()
        self._calls = 0
        self._durations: dict[str, Raw] = {}

    def lose(self, key: str) -> None:
        """Count what has no place."""
        self.lost[key] = self.lost.get(key, 0) + 1

    def count(self, usage: Usage) -> None:
        """Take a usage, which replaces the one before."""
        self.usage = usage
        for name in Usage.__struct_fields__[2:]:
            if getattr(usage, name) is not None:
                self.lose(f"Usage.{name}")

    def forget(self, text: str | None) -> None:
        """Count what a provider wants back with a block, unless it is how a call without an id was marked."""
        if text is not None and opaque(text, dict[str, object]) != _MADE_UP:
            self.lose("BlockEnd.opaque")

    def line(self, message: Message) -> Line:
        """A line that is not the last."""
        return Line(self.model, message, done=False, created_at=self.created_at)

    def call(self, id: str, name: str, arguments: str, own: str | None) -> list[_Call]:
        """A whole call; nothing if its arguments are none."""
        self.forget(own)
        args = one_line(arguments or "{}", b"{")
        if args is None:
            self.lose("ToolCallDelta")
            self.malformed = f"the arguments of a call of {name} are not a JSON object"
            return []
        self._calls += 1
        made_up = opaque(own, dict[str, object]) == _MADE_UP
        return [_Call(_Function(self._calls - 1, name, args), None if made_up else id or None)]

    def image(self, kind: str, data: bytes | None) -> list[bytes]:
        """An image; nothing for any other attachment."""
        if data is None or not kind.startswith("image/"):
            self.lose("Attachment")
            return []
        if media_type(data) != kind:
            self.lose("Attachment.media_type")
        return [data]

    def keep(self, word: str, raw: str) -> bool:
        """Take how long something took; whether it is that."""
        duration = one_line(raw, b"0123456789") if word in _DURATIONS else None
        if duration is None:
            return False
        self._durations[word] = duration
        return True

    def last(self, finish: Finish, message: Message) -> Line:
        """The last line, which says how the answer ended, what it cost and how long it took."""
        line = self.line(message)
        line.done = True
        line.prompt_eval_count, line.eval_count = self.usage.input_tokens, self.usage.output_tokens
        for name, duration in self._durations.items():
            setattr(line, name, duration)
        if finish.reason in {"stop", "tool_calls"}:
            line.done_reason = "stop"
        elif finish.reason == "length":
            line.done_reason = "length"
        elif finish.reason == "other" and finish.raw in _HOUSEKEEPING:
            line.done_reason = finish.raw
        else:
            line.done_reason = finish.reason
        if finish.raw not in {None, line.done_reason}:
            self.lose("Finish.raw")
        read = line.done_reason if line.done_reason in {"stop", "length"} else "other"
        if finish.reason != ("tool_calls" if read == "stop" and self._calls else read):
            self.lose("Finish.reason")
        return line

    def abandon(self) -> None:
        """The answer has failed: how long it took is not told."""
        for _ in self._durations:
            self.lose("Extension")

    def is_malformed(self, finish: Finish) -> bool:
        """Whether a call went wrong for any other reason than a limit, which cuts what is not yet a call."""
        return bool(self.malformed) and finish.reason != "length"
