"""What Google's JSON has of its own: two spellings of its names, lists without brackets, schemas of another dialect."""

from __future__ import annotations

import re
from typing import Any, Final, cast

import msgspec
from msgspec import Raw

from streamcore.serving import given, read

__all__ = ["camel", "items", "json_schema"]

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


def items(raw: Raw, path: str) -> list[Raw]:
    """The elements of a list; of one, the brackets may be missing."""
    if not given(raw):
        return []
    return [raw] if bytes(raw).lstrip().startswith(b"{") else read(raw, list[Raw], path)


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
