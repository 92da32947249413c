"""Reads the items of a conversation, as clients of the Responses API send them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Raw, Struct

from streamcore.errors import LocalError
from streamcore.request import (
    ExtensionPart,
    File,
    Image,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    Text,
    ToolCall,
    ToolResult,
)
from streamcore.serving import base64_bytes, read
from streamcore.wire import json_text

from .chunk import members
from .server_items import MARK

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["conversation"]

_GIVEN: Final = frozenset({"mcp_approval_response", "compaction_trigger", "configuration_update", "additional_tools"})
"""Items of the caller's, besides those whose name ends in `_output`."""


class _Head(Struct):
    type: str | None = None
    role: Literal["system", "developer", "user", "assistant"] | None = None


class _Message(Struct):
    content: str | list[Raw]


class _Part(Struct):
    type: Literal["input_text", "output_text", "text", "refusal", "input_image", "input_file"]
    text: str | None = None
    refusal: str | None = None
    annotations: list[Raw] | None = None
    image_url: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    detail: str | None = None
    prompt_cache_breakpoint: dict[str, Any] | None = None


class _Call(Struct):
    call_id: str
    name: str
    arguments: str | None = None
    input: str | None = None


class _Output(Struct):
    call_id: str
    output: str | list[Raw]


class _Summary(Struct):
    text: str = ""


class _Thought(Struct):
    summary: list[_Summary] | None = None
    content: list[_Summary] | None = None
    encrypted_content: str | None = None


def conversation(input: str | list[Raw]) -> list[Message]:
    """The turns. Items of the model's that follow each other are one, and so are results of tools."""
    if isinstance(input, str):
        return [Message("user", input)]
    turns: list[Message] = []
    for number, raw in enumerate(input):
        turn = _item(raw, f"input[{number}]")
        last = turns[-1] if turns else turn
        if turns and turn.role == last.role and turn.role in ("assistant", "tool"):
            turns[-1] = Message(turn.role, (*last.parts, *turn.parts))
        else:
            turns.append(turn)
    return turns


def _item(raw: Raw, path: str) -> Message:
    head = read(raw, _Head, path)
    if head.type in (None, "message"):
        return _message(raw, head.role, path)
    if head.type == "reasoning":
        return Message("assistant", (_thought(raw, path),))
    if head.type in ("function_call", "custom_tool_call"):
        return Message("assistant", (_call(raw, head.type, path),))
    if head.type in ("function_call_output", "custom_tool_call_output"):
        result = read(raw, _Output, path)
        if isinstance(result.output, str):
            return Message("tool", (ToolResult(id=result.call_id, content=result.output),))
        parts = _parts(result.output, f"{path}.output")
        return Message("tool", (ToolResult(id=result.call_id, content=parts),))
    role: Literal["user", "assistant"] = "user" if head.type.endswith("_output") or head.type in _GIVEN else "assistant"
    return Message(role, (ExtensionPart(name=f"openai_responses:{head.type}", raw=json_text(raw)),))


def _message(raw: Raw, role: str | None, path: str) -> Message:
    if role is None:
        raise LocalError(f"{path}.role: is missing")
    content = read(raw, _Message, path).content
    if role != "assistant":
        known: Literal["system", "user"] = "user" if role == "user" else "system"
        return Message(known, content if isinstance(content, str) else _parts(content, f"{path}.content"))
    own = _own(raw, "message", "role", "content")
    if isinstance(content, str):
        return Message("assistant", (Text(text=content, opaque=own),))
    return Message("assistant", tuple(_said(part, own, f"{path}.content[{at}]") for at, part in enumerate(content)))


def _own(raw: Raw, type: str, *content: str) -> str | None:
    """What an item has besides its content; None if that is its type at most."""
    own = {name: value for name, value in members(json_text(raw)).items() if name not in content}
    return json_text({"type": type, **own}) if own.keys() - {"type"} else None


def _text(part: _Part, name: Literal["text", "refusal"], path: str) -> str:
    text = part.text if name == "text" else part.refusal
    if text is None:
        raise LocalError(f"{path}.{name}: is missing")
    return text


def _said(raw: Raw, own: str | None, path: str) -> Part:
    part = read(raw, _Part, path)
    if part.type == "refusal":
        return RefusalPart(text=_text(part, "refusal", path), opaque=own)
    if part.type in ("input_image", "input_file"):
        raise LocalError(f"{path}.type: an assistant's message holds no {part.type}")
    citations = tuple(map(json_text, part.annotations or ()))
    return Text(text=_text(part, "text", path), citations=citations, opaque=own)


def _call(raw: Raw, type: str, path: str) -> ToolCall:
    call = read(raw, _Call, path)
    name = "arguments" if type == "function_call" else "input"
    given: str | None = getattr(call, name)
    if given is None:
        raise LocalError(f"{path}.{name}: is missing")
    own = _own(raw, type, "call_id", "name", name)
    if own is None and name == "input":
        own = json_text({"type": type})  # that its result must have another type, too
    return ToolCall(id=call.call_id, name=call.name, arguments=given, opaque=own)


def _thought(raw: Raw, path: str) -> ReasoningPart:
    """Reasoning, with what its provider gave it: found in the encrypted content if we put it there."""
    thought = read(raw, _Thought, path)
    text = "\n\n".join(part.text for part in thought.summary or thought.content or () if part.text)
    encrypted = thought.encrypted_content or ""
    if encrypted.startswith(MARK):
        return ReasoningPart(text=text, opaque=encrypted.removeprefix(MARK))
    return ReasoningPart(text=text, opaque=_own(raw, "reasoning"))


def _parts(content: Sequence[Raw], path: str) -> tuple[Text | Image | File, ...]:
    return tuple(_part(raw, f"{path}[{number}]") for number, raw in enumerate(content))


def _part(raw: Raw, path: str) -> Text | Image | File:
    part = read(raw, _Part, path)
    cache = part.prompt_cache_breakpoint is not None
    if part.type == "refusal":
        raise LocalError(f"{path}.type: only an assistant's message holds a refusal")
    if part.type == "input_image":
        if part.image_url is not None:
            data, url, media_type = _address(part.image_url, f"{path}.image_url")
            return Image(data=data, url=url, media_type=media_type, detail=part.detail, cache=cache)
        if part.file_id is None:
            raise LocalError(f"{path}: an image needs an image_url or a file_id")
        return File(id=part.file_id, media_type="image/*", cache=cache)
    if part.type != "input_file":
        return Text(text=_text(part, "text", path), cache=cache)
    if part.file_data is not None:
        data, _, media_type = _address(part.file_data, f"{path}.file_data")
        if data is None:
            raise LocalError(f"{path}.file_data: not a data URL in base64")
        return File(data=data, media_type=media_type, name=part.filename, cache=cache)
    if part.file_id is None and part.file_url is None:
        raise LocalError(f"{path}: a file needs file_data, a file_url or a file_id")
    return File(id=part.file_id, url=part.file_url, cache=cache)


def _address(text: str, path: str) -> tuple[bytes | None, str | None, str | None]:
    """The bytes and their media type in a `data:` URL; else the address itself."""
    if text[:5].lower() != "data:":
        return None, text, None
    head, comma, data = text[5:].partition(",")
    media_type, base64, _ = head.partition(";base64")
    if not (comma and base64 and media_type):
        raise LocalError(f"{path}: not a data URL in base64 with a media type")
    return base64_bytes(data, path), None, media_type
