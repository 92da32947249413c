"""What dialects share: a client's JSON read with the place of what is wrong in it, and ours put into theirs."""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from .errors import LocalError
from .events import (
    Attachment,
    BlockEnd,
    Citation,
    Event,
    Extension,
    Failure,
    FailureKind,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
)
from .request import ExtensionPart, Part, Reasoning, ReasoningPart, RefusalPart, Text, ToolCall, ToolResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .message import Fold

__all__ = [
    "REASONING",
    "STATUSES",
    "base64_bytes",
    "events",
    "given",
    "one_line",
    "plain",
    "read",
    "read_body",
    "split",
    "unsaid",
]

_T = TypeVar("_T")
_S = TypeVar("_S", bound=Struct)

STATUSES: Final[Mapping[FailureKind, int]] = {
    "invalid": 400,
    "auth": 401,
    "permission": 403,
    "not_found": 404,
    "quota": 429,
    "rate_limit": 429,
    "cancelled": 499,
    "server": 502,
    "protocol": 502,
    "truncated": 502,
    "connection": 502,
    "overloaded": 503,
    "timeout": 504,
}
"""The HTTP status of a failure. What is not the client's doing is a bad gateway; 499, which no standard has, is nginx's
for a request that nobody waits for. A format whose errors are words alone says a quota as 402: the status is all it has."""

REASONING: Final = Reasoning(summary=True)
"""What a client asks for that switches reasoning on and says no more: to see it. How much of it is left to the model."""

_AT: Final = re.compile(r"(.*) - at `\$(.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(.*)`")


def read_body(body: bytes, type: type[_T]) -> _T:
    """The whole body of a request, as JSON of this type. All of it is UTF-8, what the type has no field for as well.

    Raises:
        LocalError: It is not; names the place.
    """
    try:
        body.decode()  # msgspec does not look into what it skips, nor into what is kept as `Raw`
    except UnicodeDecodeError as error:
        raise LocalError(f"the body: not UTF-8: {error}") from error
    return read(body, type, "")


def read(data: bytes | Raw, type: type[_T], path: str) -> _T:
    """JSON of this type, which stands at `path` in the request.

    Raises:
        LocalError: It is not; names the place of what is wrong, or missing, from the request's root on.
    """
    try:
        return msgspec.json.decode(data, type=type)
    except msgspec.ValidationError as error:
        what, within = str(error), ""
        if found := _AT.fullmatch(what):
            what, within = found.groups()
        if missing := _MISSING.fullmatch(what):
            what, within = "is missing", f"{within}.{missing[1]}"
        place = f"{path}{within}".strip(".") or "the body"
        raise LocalError(f"{place}: {what}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LocalError(f"{path or 'the body'}: not JSON: {error}") from error
    except RecursionError as error:
        raise LocalError(f"{path or 'the body'}: nested too deeply") from error


def given(raw: Raw) -> bool:
    """Whether a field that is read as `Raw` has a value: `Raw()`, its default, is none, and null is none."""
    return bool(raw) and bytes(raw) != b"null"


def split(data: bytes | Raw, type: type[_S], path: str) -> tuple[_S, dict[str, Raw]]:
    """What `type` knows of an object, and the rest of its members, save those that are null.

    Raises:
        LocalError: It is no such object; names the place.
    """
    known = type.__struct_encode_fields__
    rest = {name: raw for name, raw in read(data, dict[str, Raw], path).items() if name not in known and given(raw)}
    return read(data, type, path), rest


def plain(members: Mapping[str, Raw]) -> dict[str, Any]:
    """The members as Python objects, as they go into `Request.extra`.

    Raises:
        LocalError: One is nested too deeply.
    """
    return {name: read(raw, object, name) for name, raw in members.items()}


def base64_bytes(text: str, path: str) -> bytes:
    """What base64 says, which stands at `path` in the request.

    Raises:
        LocalError: It is not base64.
    """
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise LocalError(f"{path}: not base64: {error}") from error


def one_line(text: str | None, begin: bytes = b"") -> Raw | None:
    """JSON text to be put into other JSON; None if it is none, or begins with no byte of `begin`.

    It is as it was, but in one line, because frames end at the ends of lines: of several, the white space is gone.
    """
    if text is None:
        return None
    try:
        data = text.encode().strip(b" \t\r\n")
        msgspec.json.decode(data, type=Raw)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    if begin and data[:1] not in begin:
        return None
    return Raw(msgspec.json.format(data, indent=-1) if b"\n" in data or b"\r" in data else data)


_BESIDE: Final = ("detail", "request_id", "retry_after", "should_retry", "status")


def unsaid(failure: Failure, fields: Sequence[str] = _BESIDE) -> list[str]:
    """The losses, as `Failure.status`, of those fields that a format has no place for and this failure has.

    Most formats have none in a stream for any but the kind, the message and the code.
    """
    return [f"Failure.{name}" for name in fields if getattr(failure, name) is not None]


def events(fold: Fold, *, together: Callable[[Part, Part], bool] | None = None) -> Iterator[Event]:
    """Events that amount to what a fold holds, each block whole and ended. An answer without an end was cut.

    `together` says whether a part and the one after it were one block, which a message does not tell.
    """
    yield Start(fold.id, fold.model)
    parts = fold.message.parts
    cited = {citation.raw: citation for citation in fold.citations}
    index = 0
    for number, part in enumerate(parts, 1):
        yield from _content(part, index, cited)
        if together is None or number == len(parts) or not together(part, parts[number]):
            yield BlockEnd(index, part.opaque)
            index += 1
    yield from fold.extensions
    if fold.usage is not None:
        yield fold.usage
    yield fold.outcome or Failure("truncated", "the answer had not ended")


def _content(part: Part, index: int, cited: Mapping[str | None, Citation]) -> Iterator[Event]:
    assert not isinstance(part, ToolResult), "the model answers no calls"
    if isinstance(part, Text):
        yield TextDelta(index, part.text)
        for raw in part.citations:
            source = cited[raw]
            yield Citation(index, source.url, source.title, source.text, source.start, source.end, raw)
    elif isinstance(part, ReasoningPart):
        yield ReasoningDelta(index, part.text)
    elif isinstance(part, RefusalPart):
        yield RefusalDelta(index, part.text)
    elif isinstance(part, ToolCall):
        yield ToolCallStart(index, part.id, part.name)
        yield ToolCallDelta(index, part.arguments)
    elif isinstance(part, ExtensionPart):
        yield Extension(part.name, part.raw, index)
    else:
        yield Attachment(index, part.media_type or "", part.data, part.url)
