"""Writes the turns of a conversation for Bedrock's Converse.

Turns of one role that follow each other are sent as one, and tool results stand first in theirs. Text that is empty or
blank is refused by the API and left out. What came from the assistant with a signature, an id or a citation goes back
as it came. A part to be cached is followed by a `cachePoint`, where the API takes one.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeAlias

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
from streamcore.wire import Warnings, arguments, base64_text, opaque

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["CACHE_POINT", "Block", "Conversation"]

Block: TypeAlias = dict[str, Any]

CACHE_POINT: Final = {"cachePoint": {"type": "default"}}

_HOLDS: Final[Mapping[str, frozenset[type[Part]]]] = {
    "system": frozenset({Text, ExtensionPart}),
    "user": frozenset({Text, Image, File, ToolResult, ExtensionPart}),
    "assistant": frozenset({Text, ReasoningPart, RefusalPart, ToolCall, ExtensionPart}),
    "tool": frozenset({ToolResult}),
}
_FORMATS: Final[Mapping[str, tuple[str, str]]] = {
    "audio/aac": ("audio", "aac"),
    "audio/flac": ("audio", "flac"),
    "audio/m4a": ("audio", "m4a"),
    "audio/mp4": ("audio", "mp4"),
    "audio/mpeg": ("audio", "mp3"),
    "audio/ogg": ("audio", "ogg"),
    "audio/opus": ("audio", "opus"),
    "audio/wav": ("audio", "wav"),
    "audio/webm": ("audio", "webm"),
    "audio/x-wav": ("audio", "wav"),
    "application/msword": ("document", "doc"),
    "application/pdf": ("document", "pdf"),
    "application/vnd.ms-excel": ("document", "xls"),
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ("document", "xlsx"),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ("document", "docx"),
    "text/csv": ("document", "csv"),
    "text/html": ("document", "html"),
    "text/markdown": ("document", "md"),
    "text/plain": ("document", "txt"),
    "image/gif": ("image", "gif"),
    "image/jpeg": ("image", "jpeg"),
    "image/png": ("image", "png"),
    "image/webp": ("image", "webp"),
    "video/3gpp": ("video", "three_gp"),
    "video/mp4": ("video", "mp4"),
    "video/mpeg": ("video", "mpeg"),
    "video/quicktime": ("video", "mov"),
    "video/webm": ("video", "webm"),
    "video/x-flv": ("video", "flv"),
    "video/x-matroska": ("video", "mkv"),
    "video/x-ms-wmv": ("video", "wmv"),
}
_SUFFIXES: Final[Mapping[str, tuple[str, str]]] = {format: (kind, format) for kind, format in _FORMATS.values()} | {
    "3gp": ("video", "three_gp"),
    "htm": ("document", "html"),
    "jpg": ("image", "jpeg"),
    "mpg": ("video", "mpeg"),
}
_FILES: Final = frozenset({"audio", "document", "image", "video"})
_FILES_OF_A_RESULT: Final = frozenset({"document", "image", "video"})
_NOT_IN_A_NAME: Final = re.compile(r"[^a-zA-Z0-9\s\-()\[\]]")
_LONGEST_NAME: Final = 190  # of the 200 that the API takes; the rest is for a number
_LONGEST_ID: Final = 64
_NOT_IN_AN_ID: Final = re.compile(r"[^a-zA-Z0-9_.:-]")
_NOT_IN_AN_ID_OF_CLAUDE: Final = re.compile(r"[^a-zA-Z0-9_-]")
_ID_OF_MISTRAL: Final = re.compile(r"[a-zA-Z0-9]{9}")


class _Signed(Struct, gc=False):
    signature: str | None = None


class _Citation(Struct, gc=False, rename="camel"):
    type: Raw = Raw()
    source_content: list[Block] | None = None
    location: Block | None = None


class Conversation:
    """Writes messages as turns. `family` is the model's: some want their tool calls' ids in a form of their own."""

    def __init__(self, warnings: Warnings, family: str) -> None:
        self._warn = warnings.add
        self._family = family
        self._names: set[str] = set()  # of documents, which must all differ
        self.tools: dict[str, None] = {}  # those that were called, by name
        self.uses_tools = False  # whether there is a call or a result

    def turns(self, messages: Iterable[Message]) -> tuple[list[Block], list[Block]]:
        """The system prompt, and the turns that follow it."""
        system: list[Block] = []
        turns: list[tuple[str, list[list[Block]]]] = []
        for number, message in enumerate(messages):
            path = f"messages[{number}]"
            written = self._parts(message.parts, message.role, f"{path}.content")
            role = "user" if message.role == "tool" else message.role
            if not written:
                self._warn(path, "left out: nothing in it can be sent")
            elif role == "system" and not turns:
                system += (block for blocks in written for block in blocks)
            elif turns and turns[-1][0] == role:
                turns[-1][1].extend(written)
            else:
                turns.append((role, written))
        for turn, parts in turns:
            if turn == "user":  # an assistant's are of tools that the provider ran, and stay where they were
                parts.sort(key=lambda blocks: "toolResult" not in blocks[0])
        return system, [
            {"role": turn, "content": [block for blocks in parts for block in blocks]} for turn, parts in turns
        ]

    def _parts(self, parts: Iterable[Part], role: str, path: str) -> list[list[Block]]:
        """The blocks of each part: one, and a cache point if it is to be cached."""
        written: list[list[Block]] = []
        for number, part in enumerate(parts):
            where = f"{path}[{number}]"
            if type(part) not in _HOLDS[role]:
                self._warn(where, f"{type(part).__name__} cannot stand in a turn of role {role}")
                continue
            block = self._part(part, role, where)
            if block is not None:
                written.append([block, CACHE_POINT] if part.cache and self._can_cache(block, where) else [block])
        return written

    def _can_cache(self, block: Block, path: str) -> bool:
        document = block.get("document")
        if "reasoningContent" in block:
            self._warn(f"{path}.cache", "reasoning cannot end what is cached")
        elif "video" in block or (isinstance(document, dict) and document["format"] != "pdf"):
            self._warn(f"{path}.cache", "of files, only an image or a PDF can end what is cached")
        else:
            return True
        return False

    def _part(self, part: Part, role: str, path: str) -> Block | None:
        if isinstance(part, Text | RefusalPart):
            return self._text(part, role, path)
        if isinstance(part, Image | File):
            return self._file(part, path, _FILES)
        if isinstance(part, ReasoningPart):
            return self._reasoning(part, path)
        if isinstance(part, ToolCall):
            return self._tool_call(part, path)
        if isinstance(part, ToolResult):
            return self._tool_result(part, path)
        return self._extension(part, path)

    def _text(self, part: Text | RefusalPart, role: str, path: str) -> Block | None:
        if not part.text.strip():
            self._warn(path, "left out: blank text is refused")
            return None
        own: list[Raw] = []
        for number, citation in enumerate(part.citations if isinstance(part, Text) else ()):
            if role == "assistant" and _is_citation(citation):
                own.append(Raw(citation.encode()))
            else:
                self._warn(f"{path}.citations[{number}]", "not a citation by an assistant of this provider's")
        if own:
            return {"citationsContent": {"content": [{"text": part.text}], "citations": own}}
        return {"text": part.text}

    def _file(self, part: Image | File, path: str, kinds: frozenset[str]) -> Block | None:
        if isinstance(part, Image) and part.detail is not None:
            self._warn(f"{path}.detail", "not supported by this provider")
        if part.data is not None:
            source: Block = {"bytes": base64_text(part.data)}
        elif part.url is not None and part.url.startswith("s3://"):
            source = {"s3Location": {"uri": part.url}}
        elif part.url is not None or (isinstance(part, File) and part.id is not None):
            self._warn(path, "left out: files are given as bytes or by an address that begins s3://")
            return None
        else:
            raise LocalError(f"{path}: {type(part).__name__} has no bytes and no URL")
        kind, format = _format(part)
        if kind not in kinds or (isinstance(part, Image) and kind != "image"):
            what = part.media_type or "one of no media type"
            self._warn(path, f"left out: {what} is not a format that this provider reads here")
            return None
        name = {"name": self._name(part, path)} if kind == "document" else {}
        return {kind: {**name, "format": format, "source": source}}

    def _name(self, part: Image | File, path: str) -> str:
        """A document's name as the API takes it, and no other document has it."""
        given = (part.name if isinstance(part, File) else None) or "document"
        stem, _, suffix = given.rpartition(".")
        wanted = stem if stem and suffix.lower() in _SUFFIXES else given
        name = " ".join(_NOT_IN_A_NAME.sub("-", wanted).split())[:_LONGEST_NAME].rstrip() or "document"
        if name != wanted:
            self._warn(f"{path}.name", f"sent as {name!r}: the API takes ASCII letters, digits, ' -()[]'")
        unique, count = name, 1
        while unique in self._names:
            count += 1
            unique = f"{name} ({count})"
        self._names.add(unique)
        return unique

    def _reasoning(self, part: ReasoningPart, path: str) -> Block | None:
        carried = opaque(part.opaque, _Signed)
        if carried is None or not carried.signature:
            self._warn(path, "left out: reasoning that this provider has not signed")
            return None
        return {"reasoningContent": {"reasoningText": {"text": part.text, "signature": carried.signature}}}

    def _tool_call(self, part: ToolCall, path: str) -> Block:
        try:
            arguments(part)
        except LocalError as error:
            raise LocalError(f"{path}: {error}") from error
        self.uses_tools = True
        self.tools.setdefault(part.name)
        given = Raw((part.arguments or "{}").encode())  # as the model wrote it, number for number
        return {"toolUse": {"toolUseId": self._id(part.id), "name": part.name, "input": given}}

    def _tool_result(self, part: ToolResult, path: str) -> Block:
        self.uses_tools = True
        if part.name:
            self.tools.setdefault(part.name)
        given = (Text(text=part.content),) if isinstance(part.content, str) else part.content
        content: list[Block] = []
        for number, item in enumerate(given):
            where = path if isinstance(part.content, str) else f"{path}.content[{number}]"
            if item.cache:
                self._warn(f"{where}.cache", "a part of a result cannot end what is cached")
            if isinstance(item, Text):
                content += [{"text": item.text}] if item.text.strip() else []
            else:
                block = self._file(item, where, _FILES_OF_A_RESULT)
                content += [] if block is None else [block]
        status = {"status": "error"} if part.is_error else {}
        return {"toolResult": {"toolUseId": self._id(part.id), "content": content, **status}}

    def _id(self, id: str) -> str:
        """A tool call's id as the model takes it: the same for the call and its result, whoever gave it."""
        digest = sha256(id.encode("utf-8", "surrogatepass")).hexdigest()
        if self._family == "mistral":
            return id if _ID_OF_MISTRAL.fullmatch(id) else digest[:9]
        fitting = (_NOT_IN_AN_ID_OF_CLAUDE if self._family == "claude" else _NOT_IN_AN_ID).sub("_", id)
        return fitting if len(fitting) <= _LONGEST_ID else f"{fitting[:31]}_{digest[:32]}"

    def _extension(self, part: ExtensionPart, path: str) -> Block | None:
        if not part.name.startswith("bedrock:"):
            self._warn(path, f"{part.name} is another provider's")
            return None
        block: Block | None = opaque(part.raw, dict[str, Raw])
        if block is None:
            raise LocalError(f"{path}: the raw text of {part.name} is not a JSON object")
        return block


def _format(part: Image | File) -> tuple[str, str]:
    """What kind of block it is and its format: by its media type, or else by what its name or address ends in."""
    media_type = (part.media_type or "").partition(";")[0].strip().lower()
    if media_type:
        return _FORMATS.get(media_type, ("document", "txt") if media_type.startswith("text/") else ("", ""))
    name = part.url or (part.name if isinstance(part, File) else None) or ""
    return _SUFFIXES.get(name.rpartition(".")[2].lower(), ("", ""))


def _is_citation(text: str) -> bool:
    """Whether it is one of this API's, which alone say where in what: those of others have a type."""
    citation = opaque(text, _Citation)
    return citation is not None and not citation.type and bool(citation.location or citation.source_content)
