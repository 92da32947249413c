"""What adapters share when they write a request and read JSON back."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import msgspec
from msgspec import Raw

from .errors import LocalError
from .request import HTTPRequest, RequestWarning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .request import Request, Target, ToolCall

__all__ = [
    "Warnings",
    "arguments",
    "base64_text",
    "data_url",
    "fields",
    "json_text",
    "opaque",
    "post",
    "present",
    "unique",
    "word",
]

_T = TypeVar("_T")
_NULL: Final = Raw(b"null")
_decode_fields: Final = msgspec.json.Decoder[dict[str, Raw] | None](dict[str, Raw] | None).decode


class Warnings:
    """Collects what a provider cannot take while a request is written."""

    def __init__(self) -> None:
        self._items: list[RequestWarning] = []

    def add(self, field: str, message: str) -> None:
        """Note that `field` (a path within the request) is not sent as it was given, and why."""
        self._items.append(RequestWarning(field, message))

    def unsupported(self, request: Request, fields: Sequence[str]) -> None:
        """Note each of these fields of the request that is set."""
        for field in fields:
            if getattr(request, field) not in (None, "", (), [], {}):
                self.add(field, "not supported by this provider")

    @property
    def items(self) -> tuple[RequestWarning, ...]:
        """All that was noted, in order."""
        return tuple(self._items)


def post(
    url: str,
    body: Mapping[str, Any],
    *,
    target: Target,
    request: Request,
    headers: Mapping[str, str],
    warnings: Warnings,
    accept: str = "text/event-stream",
) -> HTTPRequest:
    """A POST of JSON: `body` without what is None, the request's `extra` over it, the target's headers over `headers`.

    Raises:
        LocalError: Something in the body is not JSON: NaN, half a surrogate pair, an object of another kind.
    """
    fields = {**present(body), **(request.extra or {})}
    try:
        data = msgspec.json.encode(fields)
        finite = b"null" not in data or _finite(fields)
    except (TypeError, ValueError, UnicodeEncodeError, RecursionError, msgspec.MsgspecError) as error:
        raise LocalError(f"the request cannot be written as JSON: {error}") from error
    if not finite:
        raise LocalError("the request cannot be written as JSON: NaN and infinity are none")
    return HTTPRequest(
        "POST",
        url,
        {
            "content-type": "application/json",
            "accept": accept,
            "accept-encoding": "identity",
            **headers,
            **{name.lower(): value for name, value in target.headers.items()},
        },
        data,
        warnings.items,
    )


def _finite(value: object) -> bool:
    """Whether no number in a JSON value is NaN or infinite: msgspec writes those as null."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, msgspec.Struct):
        return _finite(msgspec.structs.asdict(value))
    if isinstance(value, Mapping):
        return all(_finite(item) for item in cast("Mapping[str, object]", value).values())
    if isinstance(value, list | tuple):
        return all(_finite(item) for item in cast("Sequence[object]", value))
    return True


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


def base64_text(data: bytes) -> str:
    """Standard base64, as JSON carries bytes."""
    return base64.b64encode(data).decode("ascii")


def data_url(data: bytes, media_type: str) -> str:
    """Bytes as a `data:` URL."""
    return f"data:{media_type};base64,{base64_text(data)}"


def arguments(call: ToolCall) -> dict[str, Any]:
    """A call's arguments as the object that some providers want; {} for none.

    Raises:
        LocalError: They are not a JSON object.
    """
    try:
        return msgspec.json.decode(call.arguments or "{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        what = f"the arguments of tool call {call.id!r} ({call.name})"
        raise LocalError(f"{what} are not a JSON object: {error}") from error


def opaque(text: str | None, type: type[_T], /) -> _T | None:
    """The fields of `type` in what a `BlockEnd` carried; None if there is nothing, or nothing this adapter wrote."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=type)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None


def unique(id: str, index: int, taken: set[str]) -> str:
    """The id for the call of block `index`: this one, or one made of it if another call of the answer has taken it."""
    while id in taken:
        id = f"{id}_{index}"
    taken.add(id)
    return id


def json_text(value: object) -> str:
    """JSON text of a value; of a `msgspec.Raw`, exactly what was sent."""
    return msgspec.json.encode(value).decode()


def fields(data: bytes | Raw | None) -> dict[str, Raw]:
    """The members of an object that are not null; none of null.

    Raises:
        DecodeError: It is no object.
    """
    members = _decode_fields(_NULL if data is None else data)
    return {} if members is None else {name: raw for name, raw in members.items() if bytes(raw) != b"null"}


def word(raw: Raw | None) -> str | None:
    """A string; None of anything else."""
    value: object = None if raw is None else msgspec.json.decode(raw)
    return value if isinstance(value, str) else None
