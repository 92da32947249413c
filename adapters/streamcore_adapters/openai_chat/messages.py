"""Writes a conversation in the words of Chat Completions."""

from __future__ import annotations

import mimetypes
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

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
from streamcore.wire import Warnings, base64_text, data_url, opaque, present

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .quirks import Quirks

__all__ = ["Writer"]

_Block: TypeAlias = dict[str, Any]

_OWN: Final = "openai_chat:"
_AUDIO: Final = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
_MARKERS: Final[Mapping[str, _Block]] = {
    "prompt_cache_breakpoint": {"prompt_cache_breakpoint": {"mode": "explicit"}},
    "cache_control": {"cache_control": {"type": "ephemeral"}},
}
_HOLDS: Final[Mapping[str, frozenset[type[Part]]]] = {
    "system": frozenset({Text}),
    "user": frozenset({Text, Image, File, ExtensionPart}),
    "assistant": frozenset({Text, File, ReasoningPart, RefusalPart, ToolCall, ExtensionPart}),
    "tool": frozenset({ToolResult}),
}


class _Reasoning(Struct, gc=False):
    reasoning_details: list[Raw] | None = None
    reasoning_opaque: str | None = None


class _Call(Struct, gc=False):
    extra_content: Raw = Raw()


class _Id(Struct, gc=False):
    id: str


class _Audio(Struct, gc=False):
    audio: _Id | None = None


class Writer:
    """Writes the conversation."""

    def __init__(self, warnings: Warnings, quirks: Quirks) -> None:
        self._warn = warnings.add
        self._quirks = quirks

    def messages(self, messages: Iterable[Message]) -> list[_Block]:
        """One for each turn, and one for each tool result."""
        written: list[_Block] = []
        for number, message in enumerate(messages):
            turn = self._turn(message, f"messages[{number}].content")
            if not turn:
                self._warn(f"messages[{number}]", "left out: nothing in it can be sent")
            written += turn
        if self._quirks.prefix and written and written[-1]["role"] == "assistant":
            written[-1]["prefix"] = True
        return written

    def _turn(self, message: Message, path: str) -> list[_Block]:
        parts: list[tuple[Part, str]] = []
        for number, part in enumerate(message.parts):
            at = f"{path}[{number}]"
            if type(part) not in _HOLDS[message.role]:
                self._warn(at, f"{type(part).__name__} cannot stand in a turn of role {message.role}")
            elif isinstance(part, ExtensionPart) and not part.name.startswith(_OWN):
                self._warn(at, f"{part.name} is another provider's")
            else:
                parts.append((part, at))
        if message.role == "tool":
            return [self._tool_result(part, at) for part, at in parts if isinstance(part, ToolResult)]
        if message.role == "assistant":
            return self._assistant(parts)
        blocks = [block for part, at in parts for block in self._blocks(part, at)]
        role = self._quirks.system_role if message.role == "system" else "user"
        return [{"role": role, "content": _content(blocks)}] if blocks else []

    def _blocks(self, part: Part, path: str) -> list[_Block | Raw]:
        """The content that a part is, at most one block."""
        self._own(part, path, understood=False)
        if isinstance(part, ExtensionPart):
            self._uncached(part, path)
            return [Raw(part.raw.encode())]
        block: _Block | None
        if isinstance(part, Text):
            block = {"type": "text", "text": part.text}
        elif isinstance(part, Image):
            block = {"type": "image_url", "image_url": present({"url": _address(part, path), "detail": part.detail})}
        else:
            block = self._file(cast("File", part), path)  # see _HOLDS: nothing else comes here
        if block is None:
            return []
        if part.cache:
            block |= _MARKERS.get(self._quirks.cache, {})
            if not self._quirks.cache:
                self._uncached(part, path)
        return [block]

    def _file(self, part: File, path: str) -> _Block | None:
        if part.id is not None:
            return self._file_block({"file_id": part.id})
        if part.data is None:
            if part.url is None:
                raise LocalError(f"{path}: a file needs data or an id")
            self._warn(path, "left out: this provider takes no files by URL")
            return None
        if part.media_type is None:
            raise LocalError(f"{path}: the data of a file needs a media_type")
        if part.media_type in _AUDIO:
            sound = {"data": base64_text(part.data), "format": _AUDIO[part.media_type]}
            return {"type": "input_audio", "input_audio": sound}
        if part.media_type.startswith("audio/"):
            self._warn(path, f"left out: sound must be WAV or MP3, not {part.media_type}")
            return None
        name = part.name or f"file{mimetypes.guess_extension(part.media_type) or ''}"  # data without a name is refused
        return self._file_block({"filename": name, "file_data": data_url(part.data, part.media_type)})

    def _file_block(self, fields: _Block) -> _Block:
        return {"type": "file", **(fields if self._quirks.files == "flat" else {"file": fields})}

    def _tool_result(self, part: ToolResult, path: str) -> _Block:
        if part.is_error:
            self._warn(f"{path}.is_error", "sent like any other result")
        texts = (Text(text=part.content),) if isinstance(part.content, str) else part.content
        blocks: list[_Block | Raw] = []
        for number, item in enumerate(texts):
            if isinstance(item, Text):
                blocks += self._blocks(item, f"{path}.content[{number}]")
            else:
                self._warn(f"{path}.content[{number}]", f"left out: a tool result cannot hold {type(item).__name__}")
        self._own(part, path, understood=False)
        self._uncached(part, path)
        return {"role": "tool", "tool_call_id": part.id, "content": _content(blocks)}

    def _assistant(self, parts: Iterable[tuple[Part, str]]) -> list[_Block]:
        content: list[_Block | Raw] = []
        rest: _Block = {}
        for part, path in parts:
            match part:
                case ReasoningPart():
                    self._reasoning(part, path, rest)
                case RefusalPart():
                    rest["refusal"] = rest.get("refusal", "") + part.text
                    self._own(part, path, understood=False)
                case ToolCall():
                    rest.setdefault("tool_calls", []).append(self._tool_call(part, path))
                case File():
                    self._sound(part, path, rest)
                case _:
                    content += self._blocks(part, path)
            if isinstance(part, Text):
                self._citations(part, path, rest)
            elif not isinstance(part, ExtensionPart):
                self._uncached(part, path)
        if not content and not rest:
            return []
        words = [block for block in content if isinstance(block, dict) and block.keys() == {"type", "text"}]
        text: object = "".join(block["text"] for block in words) if len(words) == len(content) else content
        if not content and {"tool_calls", "refusal", "audio"} & rest.keys():
            text = None
        return [{"role": "assistant", "content": text, **rest}]

    def _reasoning(self, part: ReasoningPart, path: str, message: _Block) -> None:
        """Whole items if there are any, else the words, in the fields that the server wants back."""
        replay = self._quirks.replay
        own = opaque(part.opaque, _Reasoning) or _Reasoning()
        self._own(part, path, understood=own != _Reasoning())
        if own.reasoning_details and "reasoning_details" in replay:
            message.setdefault("reasoning_details", []).extend(own.reasoning_details)
            return
        field = next((name for name in ("reasoning_content", "reasoning", "reasoning_text") if name in replay), None)
        if field is not None and part.text:
            message[field] = message.get(field, "") + part.text
        if own.reasoning_opaque and "reasoning_opaque" in replay:
            message["reasoning_opaque"] = own.reasoning_opaque
        elif field is None:
            self._warn(path, "left out: this provider takes no reasoning back")

    def _tool_call(self, part: ToolCall, path: str) -> _Block:
        call: _Block = {
            "id": part.id,
            "type": "function",
            "function": {"name": part.name, "arguments": part.arguments or "{}"},
        }
        own = opaque(part.opaque, _Call) or _Call()
        if own.extra_content and "extra_content" in self._quirks.replay:
            call["extra_content"] = own.extra_content
        else:
            self._own(part, path, understood=False)
        return call

    def _sound(self, part: File, path: str, message: _Block) -> None:
        own = opaque(part.opaque, _Audio)
        if own is None or own.audio is None:
            self._warn(path, "left out: an assistant's turn holds no files but its own sound")
        else:
            message["audio"] = {"id": own.audio.id}

    def _citations(self, part: Text, path: str, message: _Block) -> None:
        if part.citations and "annotations" in self._quirks.replay:
            message.setdefault("annotations", []).extend(Raw(raw.encode()) for raw in part.citations)
        elif part.citations:
            self._warn(f"{path}.citations", "left out: this provider takes none back")

    def _own(self, part: Part, path: str, *, understood: bool) -> None:
        if part.opaque is not None and not understood:
            self._warn(f"{path}.opaque", "left out: not what this provider would take back")

    def _uncached(self, part: Part, path: str) -> None:
        if part.cache:
            self._warn(f"{path}.cache", "not supported here by this provider")


def _address(part: Image, path: str) -> str:
    if part.url is not None:
        return part.url
    if part.data is None or part.media_type is None:
        raise LocalError(f"{path}: an image needs a url, or data and its media_type")
    return data_url(part.data, part.media_type)


def _content(blocks: Sequence[_Block | Raw]) -> object:
    """A plain string if that says it all: there are servers that take nothing else."""
    if not blocks:
        return ""
    first = blocks[0]
    if len(blocks) == 1 and isinstance(first, dict) and first.keys() == {"type", "text"}:
        return first["text"]
    return blocks
