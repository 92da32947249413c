"""Reads the conversation that a client of Gemini sends."""

from __future__ import annotations

import base64
import contextlib
import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Raw, Struct, structs

from streamcore.errors import LocalError
from streamcore.request import ExtensionPart, File, Image, Message, ReasoningPart, Text, ToolCall, ToolResult
from streamcore.serving import given, read
from streamcore.wire import base64_text, json_text, opaque

from .chunk import ABSENT, kind, raw_text
from .request import UNSIGNED, Opaque
from .server_json import items

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamcore.request import Part

__all__ = ["Content", "Turns"]

_Role: TypeAlias = Literal["system", "user", "assistant", "tool"]

_ROLES: Final[Mapping[str | None, _Role]] = {
    None: "user",
    "user": "user",
    "function": "user",
    "model": "assistant",
}
_NOTHING: Final = Opaque()
_UNSIGNED: Final = base64_text(UNSIGNED.encode())
_STANDARD: Final = str.maketrans("-_", "+/")
_IMAGE: Final = re.compile(r"[^?#]*\.(?:png|jpe?g|gif|webp)(?:[?#].*)?", re.IGNORECASE | re.DOTALL)


class Content(Struct, gc=False):
    """One turn."""

    parts: Raw = ABSENT
    role: str | None = None


class _Call(Struct, gc=False):
    name: str
    id: str | None = None
    args: Raw = ABSENT


class _Result(Struct, gc=False):
    name: str | None = None
    id: str | None = None
    response: Raw = ABSENT
    parts: Raw = ABSENT


class _Data(Struct, gc=False, rename="camel"):
    mime_type: str
    data: str
    display_name: str | None = None


class _File(Struct, gc=False, rename="camel"):
    file_uri: str
    mime_type: str | None = None
    display_name: str | None = None


class _Resolution(Struct, gc=False):
    level: str | None = None


class _Part(Struct, gc=False, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: _Call | None = None
    function_response: _Result | None = None
    inline_data: _Data | None = None
    file_data: _File | None = None
    media_resolution: _Resolution | None = None
    video_metadata: Raw = ABSENT


class Turns:
    """Reads turns. Remembers the calls, since results may name no more than the function."""

    def __init__(self, generation: int) -> None:
        self._generation = generation
        self._waiting: dict[str, list[str]] = {}  # the ids of the calls of each function that have no result yet

    def read(self, contents: Sequence[Raw]) -> list[Message]:
        """All turns of the user, the model and the tools."""
        messages: list[Message] = []
        for number, raw in enumerate(contents):
            path = f"contents[{number}]"
            content = read(raw, Content, path)
            if content.role not in _ROLES:
                raise LocalError(f"{path}.role: {content.role!r} is neither user nor model")
            self._turn(content, _ROLES[content.role], path, messages)
        return [_finished(message) for message in messages]

    def read_system(self, content: Content | None) -> list[Message]:
        """The system's message, if there is one."""
        messages: list[Message] = []
        if content is not None:
            self._turn(content, "system", "systemInstruction", messages)
        return [_finished(message) for message in messages]

    def _turn(self, content: Content, role: _Role, path: str, messages: list[Message]) -> None:
        """The messages of one turn: results of tools stand in one of their own, whatever is beside them."""
        groups: list[tuple[_Role, list[Part]]] = []
        for place, raw in enumerate(items(content.parts, f"{path}.parts")):
            part = self._part(raw, f"{path}.parts[{place}]")
            if part is None:
                continue
            group: _Role = "tool" if isinstance(part, ToolResult) else role
            before = groups[-1][1][-1] if groups else None
            if isinstance(before, ToolResult) and isinstance(part, Image | File) and self._generation < 3:
                groups[-1][1][-1] = _with_media(before, part)
            elif groups and groups[-1][0] == group:
                groups[-1][1].append(part)
            else:
                groups.append((group, [part]))
        if role == "assistant" and groups and messages and messages[-1].role == role:
            _, parts = groups.pop(0)
            messages[-1] = Message(role, _joined(messages[-1].parts, parts))
        messages += [Message(group, tuple(parts)) for group, parts in groups]

    def _part(self, raw: Raw, path: str) -> Part | None:
        """One part; None for an empty text."""
        part = read(raw, _Part, path)
        own = _own(part.thought_signature)
        if given(part.video_metadata):
            return _extension(raw, path)
        if part.text is not None:
            if not part.text and own.thought_signature is None:
                return None
            return (ReasoningPart if part.thought else Text)(text=part.text, opaque=_opaque(own))
        if part.function_call is not None:
            return self._call(part.function_call, own, path)
        if part.function_response is not None:
            return self._result(part.function_response, f"{path}.functionResponse")
        if part.inline_data is not None or part.file_data is not None:
            return _media(part, structs.replace(own, thought=part.thought or None), path)
        return _extension(raw, path)

    def _call(self, call: _Call, own: Opaque, path: str) -> ToolCall:
        id = call.id
        if not id:
            id = "call_" + "_".join(re.findall(r"\d+", path))
            own = structs.replace(own, id=None)
        self._waiting.setdefault(call.name, []).append(id)
        arguments = raw_text(call.args) if given(call.args) else "{}"
        read(arguments.encode(), dict[str, Raw], f"{path}.functionCall.args")
        return ToolCall(id=id, name=call.name, arguments=arguments, opaque=_opaque(own))

    def _result(self, result: _Result, path: str) -> ToolResult:
        """`output` or `error` are the words of a result; any other response is one, as JSON."""
        waiting = self._waiting.get(result.name or "", [])
        id = result.id or (waiting[0] if waiting else None)
        if id is None:
            raise LocalError(f"{path}: there is no call of {result.name!r} before it that has no result yet")
        if id in waiting:
            waiting.remove(id)
        response = read(result.response, dict[str, Raw], f"{path}.response") if given(result.response) else {}
        word = next(iter(response), "output") if len(response) == 1 else ""
        words = raw_text(result.response) if response else ""
        if word in {"output", "error"} and response:
            words = raw_text(response[word])
            words = read(response[word], str, path) if words.startswith('"') else words
        media: list[Image | File] = []
        for place, raw in enumerate(items(result.parts, f"{path}.parts")):
            where = f"{path}.parts[{place}]"
            media.append(_media(read(raw, _Part, where), Opaque(), where))
        content = (*((Text(text=words),) if words else ()), *media) if media else words
        return ToolResult(id=id, content=content, name=result.name, is_error=word == "error")


def _media(part: _Part, own: Opaque, path: str) -> Image | File:
    """An image or any other file. An address without a type is an image if it ends like one."""
    detail = part.media_resolution.level if part.media_resolution is not None else None
    goes_back = _opaque(own)
    if part.inline_data is not None:
        inline = part.inline_data
        data = _bytes(inline.data, f"{path}.inlineData.data")
        if inline.mime_type.startswith("image/"):
            return Image(data=data, media_type=inline.mime_type, detail=detail, opaque=goes_back)
        return File(data=data, media_type=inline.mime_type, name=inline.display_name, opaque=goes_back)
    if part.file_data is None:
        raise LocalError(f"{path}: there is neither inlineData nor fileData in it")
    file = part.file_data
    is_image = _IMAGE.fullmatch(file.file_uri) if file.mime_type is None else file.mime_type.startswith("image/")
    if is_image:
        return Image(url=file.file_uri, media_type=file.mime_type, detail=detail, opaque=goes_back)
    return File(url=file.file_uri, media_type=file.mime_type, name=file.display_name, opaque=goes_back)


def _finished(message: Message) -> Message:
    """A message of one text as that text; and what another provider signed with its signature."""
    parts: list[Part] = []
    for part in message.parts:
        before = parts[-1] if parts else None
        if before is not None and before.opaque is None and type(before) is type(part) and _is_seal(part):
            parts[-1] = structs.replace(before, opaque=part.opaque)
        else:
            parts.append(part)
    match parts:
        case [Text(opaque=None) as words]:
            return Message(message.role, words.text)
        case _:
            return Message(message.role, tuple(parts))


def _is_seal(part: Part) -> bool:
    """Whether it is nothing but what another provider wants back with the part before: one that Gemini signs stays."""
    empty = isinstance(part, Text | ReasoningPart) and not part.text
    return empty and (opaque(part.opaque, Opaque) or _NOTHING).thought_signature is None


def _with_media(result: ToolResult, part: Image | File) -> ToolResult:
    """A result with an image that stands after it, as it does before Gemini 3."""
    words = result.content
    content = (Text(text=words),) if isinstance(words, str) and words else words or ()
    return structs.replace(result, content=(*content, part))


def _joined(before: Sequence[Part], after: Sequence[Part]) -> tuple[Part, ...]:
    """One turn of what Google's own client keeps as several, one for each chunk of an answer."""
    last, first = before[-1], after[0]
    if isinstance(last, Text) and isinstance(first, Text) and last.opaque is None is first.opaque:
        return (*before[:-1], Text(text=last.text + first.text), *after[1:])
    if isinstance(last, ReasoningPart) and isinstance(first, ReasoningPart) and last.opaque is None is first.opaque:
        return (*before[:-1], ReasoningPart(text=last.text + first.text), *after[1:])
    return (*before, *after)


def _extension(raw: Raw, path: str) -> ExtensionPart:
    text = raw_text(raw)
    word = kind(text)
    if word is None:
        raise LocalError(f"{path}: there is nothing in it")
    return ExtensionPart(name=f"gemini:{word}", raw=text)


def _bytes(data: str, path: str) -> bytes:
    """Base64 of either alphabet: Google's own clients use the one for addresses."""
    try:
        return base64.b64decode(data.translate(_STANDARD) + "=" * (-len(data) % 4), validate=True)
    except ValueError as error:
        raise LocalError(f"{path}: {error}") from error


def _own(signature: str | None) -> Opaque:
    """The signature in the alphabet in which Gemini sends it; nothing for the one that says that there is none."""
    if signature is None or signature == UNSIGNED:
        return _NOTHING
    standard = signature.translate(_STANDARD)
    return _NOTHING if standard == _UNSIGNED else Opaque(thought_signature=standard)


def _opaque(own: Opaque) -> str | None:
    """What goes back with a part. Another provider's is within the signature, as `server_answer` put it there."""
    if own == _NOTHING:
        return None
    with contextlib.suppress(ValueError):
        text = base64.b64decode(own.thought_signature or "", validate=True).decode()
        if text.startswith("{") and opaque(text, dict[str, Raw]) is not None:
            return text
    return json_text(own)
