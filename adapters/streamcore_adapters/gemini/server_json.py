"""Reading a request's JSON, with the path of what is wrong in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

import msgspec
from msgspec import Raw, Struct

from streamcore.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["camel", "given", "items", "json_schema", "plain", "read", "split"]

_T = TypeVar("_T")
_S = TypeVar("_S", bound=Struct)
_Fields: TypeAlias = dict[str, Raw]

_SNAKE: Final = re.compile(rb'"[a-z]+(?:_[a-z]+)+"\s*:')
_STEP: Final = re.compile(r"_([a-z])")
_AS_THEY_ARE: Final = {
    "args",
    "labels",
    "parameters",
    "parametersJsonSchema",
    "response",
    "responseJsonSchema",
    "responseSchema",
}
_DEEPEST: Final = 12  # levels from the body to the type of an image in the result of a tool; each is read once more
_COUNTS: Final = {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}
_NAMES: Final = {"defs": "$defs", "ref": "$ref"}


def read(data: Raw | bytes, type: type[_T], path: str) -> _T:
    """JSON of this type.

    Raises:
        LocalError: It is not; names the path.
    """
    try:
        return msgspec.json.decode(data, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        what, _, within = str(error).partition(" - at `$")
        raise LocalError(f"{(path + within.rstrip('`')).lstrip('.') or 'the body'}: {what}") from error


def given(raw: Raw) -> bool:
    """Whether there is something in a raw field: null is nothing."""
    return bool(raw) and bytes(raw) != b"null"


def items(raw: Raw, path: str) -> list[Raw]:
    """The elements of a list; of one, the brackets may be missing."""
    if not given(raw):
        return []
    return [raw] if bytes(raw).lstrip().startswith(b"{") else read(raw, list[Raw], path)


def split(raw: Raw | bytes, type: type[_S], path: str) -> tuple[_S, _Fields]:
    """What `type` knows of an object, and the rest."""
    known = read(raw, type, path)
    rest = {name: value for name, value in read(raw, dict[str, Raw], path).items() if given(value)}
    return known, {name: value for name, value in rest.items() if name not in type.__struct_encode_fields__}


def plain(fields: Mapping[str, Raw]) -> dict[str, Any]:
    """The fields as Python objects."""
    return {name: read(value, object, name) for name, value in fields.items()}


def camel(body: bytes) -> bytes:
    """The body with its names in camel case, if any is not; what a client has named itself stays as it is."""
    return bytes(_camel(Raw(body), _DEEPEST)) if _SNAKE.search(body) else body


def _camel(value: Raw, depth: int) -> Raw:
    begin = bytes(value).lstrip()[:1]
    if depth and begin == b"{":
        fields = {_STEP.sub(_capital, name): field for name, field in read(value, dict[str, Raw], "").items()}
        values = {n: field if n in _AS_THEY_ARE else _camel(field, depth - 1) for n, field in fields.items()}
        return Raw(msgspec.json.encode(values))
    if depth and begin == b"[":
        return Raw(msgspec.json.encode([_camel(item, depth - 1) for item in read(value, list[Raw], "")]))
    return value


def _capital(step: re.Match[str]) -> str:
    return step[1].upper()


def json_schema(value: Any) -> Any:
    """Google's dialect of OpenAPI schemas as JSON Schema: types in capitals, `nullable`, counts as strings."""
    if isinstance(value, list):
        return [json_schema(item) for item in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    given_as = {_STEP.sub(_capital, name): item for name, item in cast("dict[str, object]", value).items()}
    nullable = given_as.pop("nullable", None) is True
    given_as.pop("propertyOrdering", None)
    schema: dict[str, Any] = {}
    for name, item in given_as.items():
        if name in {"properties", "defs"} and isinstance(item, dict):
            members = cast("dict[str, object]", item)
            schema[_NAMES.get(name, name)] = {member: json_schema(inner) for member, inner in members.items()}
        elif name in {"items", "additionalProperties", "anyOf", "prefixItems"}:
            schema[name] = json_schema(item)
        elif name == "type" and isinstance(item, str):
            schema[name] = [item.lower(), "null"] if nullable else item.lower()
        elif name in _COUNTS and isinstance(item, str) and item.isdigit():
            schema[name] = int(item)
        else:
            schema[_NAMES.get(name, name)] = item
    if nullable and isinstance(schema.get("enum"), list):
        schema["enum"] = [*schema["enum"], None]
    if nullable and isinstance(schema.get("anyOf"), list):
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
    return schema
