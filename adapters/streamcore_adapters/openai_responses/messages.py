"""Writes a conversation as the items that the Responses API takes."""

from __future__ import annotations

import mimetypes
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

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
from streamcore.wire import data_url, present

from .replay import Replay, carried, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streamcore.wire import Warnings

__all__ = ["Writer"]

_Object: TypeAlias = dict[str, Any]
_Content: TypeAlias = Text | Image | File

_OWN: Final = "openai_responses:"
_CACHED: Final = {"mode": "explicit"}
_HOLDS: Final[Mapping[str, frozenset[type[Part]]]] = {
    "system": frozenset({Text}),
    "user": frozenset({Text, Image, File, ToolResult, ExtensionPart}),
    "assistant": frozenset({Text, Image, ReasoningPart, RefusalPart, ToolCall, ExtensionPart}),
    "tool": frozenset({ToolResult}),
}


class Writer:
    """Writes the conversation. `stored` says that the provider has the items of earlier answers."""

    def __init__(self, warnings: Warnings, *, stored: bool) -> None:
        self._warn = warnings.add
        self._replay = Replay(warnings, stored=stored)

    def items(self, messages: Iterable[Message]) -> list[_Object]:
        """All turns."""
        items: list[_Object] = []
        for number, message in enumerate(messages):
            path = f"messages[{number}]"
            turn = self._turn(message, f"{path}.content")
            if not turn:
                self._warn(path, "left out: nothing in it can be sent")
            items += turn
        return items

    def _turn(self, message: Message, path: str) -> list[_Object]:
        parts: list[tuple[Part, str]] = []
        for number, part in enumerate(message.parts):
            at = f"{path}[{number}]"
            if type(part) not in _HOLDS[message.role]:
                self._warn(at, f"{type(part).__name__} cannot stand in a turn of role {message.role}")
            elif isinstance(part, ExtensionPart) and not part.name.startswith(_OWN):
                self._warn(at, f"{part.name} is another provider's")
            else:
                parts.append((part, at))
        return self._replay.items(parts) if message.role == "assistant" else self._given(message.role, parts)

    def _given(self, role: str, parts: Iterable[tuple[Part, str]]) -> list[_Object]:
        """A turn that is not the model's: a message, or several with other items between them."""
        items: list[_Object] = []
        blocks: list[_Object] = []
        for part, path in parts:
            if isinstance(part, ToolResult | ExtensionPart):
                items += (*_message(role, blocks), self._whole(part, path))
                blocks = []
            else:
                blocks += self._block(cast("_Content", part), path)  # the others cannot stand here
        return items + _message(role, blocks)

    def _whole(self, part: ToolResult | ExtensionPart, path: str) -> _Object:
        """A part that is an item."""
        if part.cache:
            self._warn(f"{path}.cache", "not supported here by this provider")
        return self._tool_result(part, path) if isinstance(part, ToolResult) else carried(part, path)

    def _block(self, part: _Content, path: str) -> list[_Object]:
        """The content that a part is, at most one block."""
        if part.opaque is not None:
            self._warn(f"{path}.opaque", "left out: not what this provider would take back")
        if isinstance(part, Text):
            block: _Object | None = {"type": "input_text", "text": part.text}
            if part.citations:
                self._warn(f"{path}.citations", "left out: only the assistant's turns have any")
        elif isinstance(part, Image):
            block = present({"type": "input_image", **_image(part, path), "detail": part.detail})
        else:
            block = self._file(part, path)
        if block is None:
            return []
        if part.cache:
            block["prompt_cache_breakpoint"] = _CACHED
        return [block]

    def _file(self, part: File, path: str) -> _Object | None:
        media_type = part.media_type or ""
        if media_type.startswith("image/"):
            return {"type": "input_image", **_image(part, path)}
        if media_type.startswith("audio/"):
            self._warn(path, "left out: this provider takes no sound")
            return None
        if part.data is not None:
            if not media_type:
                raise LocalError(f"{path}: the data of a file needs a media_type")
            name = part.name or f"file{mimetypes.guess_extension(media_type) or ''}"  # data without a name is refused
            return {"type": "input_file", "filename": name, "file_data": data_url(part.data, media_type)}
        if part.name is not None:
            self._warn(f"{path}.name", "left out: only a file sent as data can be named")
        return {"type": "input_file", **_reference(part, path, "file_url")}

    def _tool_result(self, part: ToolResult, path: str) -> _Object:
        if part.is_error:
            self._warn(f"{path}.is_error", "sent like any other result")
        if part.opaque is not None:
            self._warn(f"{path}.opaque", "left out: not what this provider would take back")
        output: object = part.content
        if not isinstance(part.content, str):
            items = enumerate(part.content)
            output = plain([block for at, item in items for block in self._block(item, f"{path}.content[{at}]")])
        type = "custom_tool_call_output" if part.id in self._replay.custom else "function_call_output"
        return {"type": type, "call_id": part.id, "output": output}


def _message(role: str, blocks: list[_Object]) -> list[_Object]:
    return [{"role": role, "content": plain(blocks)}] if blocks else []


def _image(part: Image | File, path: str) -> _Object:
    if part.data is None:
        return _reference(part, path, "image_url")
    if part.media_type is None:
        raise LocalError(f"{path}: the data of an image needs a media_type")
    return {"image_url": data_url(part.data, part.media_type)}


def _reference(part: Image | File, path: str, url: str) -> _Object:
    """What is elsewhere: with the provider, or at an address."""
    if isinstance(part, File) and part.id is not None:
        return {"file_id": part.id}
    if part.url is None:
        raise LocalError(f"{path}: {type(part).__name__} has no bytes, no URL and no id")
    return {url: part.url}
