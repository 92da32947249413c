"""Reads the conversation in a request for Chat Completions: the reverse of `messages`."""

from __future__ import annotations

import mimetypes
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

import msgspec
from msgspec import Raw, Struct, structs

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

from .server_answer import SOUND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_Kinds: TypeAlias = "Mapping[str, Callable[[bytes, str], Part]]"

__all__ = ["Conversation"]

_SOUNDS: Final = {"wav": "audio/wav", "mp3": "audio/mpeg"}


class _Typed(Struct, gc=False):
    type: str


class _Marked(Struct, gc=False):
    """A part that may be the last of what is to be cached, by OpenAI's mark or by that of gateways before Anthropic."""

    prompt_cache_breakpoint: dict[str, Any] | None = None
    cache_control: dict[str, Any] | None = None

    @property
    def cache(self) -> bool:
        """Whether it is marked."""
        return self.prompt_cache_breakpoint is not None or self.cache_control is not None


class _Text(_Marked, kw_only=True, gc=False):
    text: str


class _Refusal(Struct, gc=False):
    refusal: str


class _Address(Struct, gc=False):
    url: str
    detail: str | None = None


class _Image(_Marked, kw_only=True, gc=False):
    image_url: _Address


class _Input(Struct, gc=False):
    data: str
    format: Literal["wav", "mp3"]


class _Audio(_Marked, kw_only=True, gc=False):
    input_audio: _Input


class _Document(Struct, gc=False):
    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None


class _File(_Marked, kw_only=True, gc=False):
    file: _Document


class _Prompt(Struct, gc=False):
    content: str | list[Raw]


class _Function(Struct, gc=False):
    name: str
    arguments: str = ""


class _Call(Struct, gc=False):
    id: str
    function: _Function
    type: str = "function"
    extra_content: Raw = Raw()


class _Id(Struct, gc=False):
    id: str


class _Answer(Struct, gc=False):
    content: str | list[Raw] | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    audio: _Id | None = None
    annotations: list[Raw] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_text: str | None = None
    reasoning_details: list[dict[str, Raw]] | None = None
    reasoning_opaque: str | None = None
    function_call: dict[str, Any] | None = None
    images: list[Raw] | None = None


class _Result(Struct, gc=False):
    tool_call_id: str
    content: str | list[Raw]


class _Role(Struct, gc=False):
    role: str


class Conversation:
    """Reads the turns, and knows which tool each call was for."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def messages(self, raws: Iterable[Raw]) -> tuple[Message, ...]:
        """All turns; adjacent tool messages are one."""
        turns: list[Message] = []
        for number, raw in enumerate(raws):
            turn = self._turn(bytes(raw), f"messages[{number}]")
            if turn.role == "tool" and turns and turns[-1].role == "tool":
                turn = Message("tool", (*turns.pop().parts, *turn.parts))
            turns.append(turn)
        return tuple(turns)

    def _turn(self, data: bytes, path: str) -> Message:
        role = read(data, _Role, path).role
        match role:
            case "system" | "developer":
                prompt = read(data, _Prompt, path)
                return Message("system", _content(prompt.content, f"{path}.content", _TEXTS))
            case "user":
                prompt = read(data, _Prompt, path)
                return Message("user", _content(prompt.content, f"{path}.content", _OF_USERS, others=True))
            case "assistant":
                return Message("assistant", self._answer(read(data, _Answer, path), path))
            case "tool":
                return Message("tool", (self._result(read(data, _Result, path), path),))
            case _:
                raise LocalError(f"{path}.role: unknown: {role!r}")

    def _result(self, result: _Result, path: str) -> ToolResult:
        content = _content(result.content, f"{path}.content", _OF_TOOLS)
        inner = cast("str | tuple[Text | Image | File, ...]", content)  # as _OF_TOOLS says
        return ToolResult(id=result.tool_call_id, content=inner, name=self._names.get(result.tool_call_id))

    def _answer(self, answer: _Answer, path: str) -> str | tuple[Part, ...]:
        if isinstance(answer.content, str) and answer == _Answer(content=answer.content):
            return answer.content
        if answer.function_call is not None:
            raise LocalError(f"{path}.function_call: replaced by tool_calls")
        content = _content(answer.content or "", f"{path}.content", _OF_ASSISTANTS, others=True)
        parts = _reasoning(answer)
        parts += _cited(Message("assistant", content).parts, answer.annotations or ())
        parts += (_part(raw, f"{path}.images[{at}]", _IMAGES) for at, raw in enumerate(answer.images or ()))
        if answer.refusal:
            parts.append(RefusalPart(text=answer.refusal))
        parts += (self._call(call, f"{path}.tool_calls[{at}]") for at, call in enumerate(answer.tool_calls or ()))
        if answer.audio is not None:
            parts.append(File(media_type=SOUND, opaque=json_text({"audio": {"id": answer.audio.id}})))
        return tuple(parts)

    def _call(self, call: _Call, path: str) -> ToolCall:
        if call.type != "function":
            raise LocalError(f"{path}.type: only functions are known, not {call.type!r}")
        self._names[call.id] = call.function.name
        opaque = json_text({"extra_content": call.extra_content}) if call.extra_content else None
        return ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments, opaque=opaque)


def _reasoning(answer: _Answer) -> list[Part]:
    """The reasoning before an answer, in whichever field it is."""
    details = answer.reasoning_details or []
    told = answer.reasoning_content or answer.reasoning or answer.reasoning_text
    pieces = (json_piece for item in details for name in ("text", "summary") if (json_piece := item.get(name)))
    text = told or "".join(piece for piece in (msgspec.json.decode(raw) for raw in pieces) if isinstance(piece, str))
    fields = {"reasoning_details": details, "reasoning_opaque": answer.reasoning_opaque}
    kept = {name: value for name, value in fields.items() if value}
    return [ReasoningPart(text=text, opaque=json_text(kept) if kept else None)] if text or kept else []


def _cited(parts: tuple[Part, ...], annotations: Sequence[Raw]) -> Iterator[Part]:
    """The content; its first text has all sources, as there is nothing that says of which it is."""
    sources = tuple(bytes(raw).decode() for raw in annotations)
    for part in parts:
        if isinstance(part, Text) and sources:
            yield structs.replace(part, citations=sources)
            sources = ()
        else:
            yield part


def _content(content: str | list[Raw], path: str, kinds: _Kinds, *, others: bool = False) -> str | tuple[Part, ...]:
    if isinstance(content, str):
        return content
    return tuple(_part(raw, f"{path}[{at}]", kinds, others=others) for at, raw in enumerate(content))


def _part(raw: Raw, path: str, kinds: _Kinds, *, others: bool = False) -> Part:
    """A part of content. One of another type than `kinds` is kept as it is if `others` may be, for who knows it."""
    data = bytes(raw)
    type = read(data, _Typed, path).type
    if type in kinds:
        return kinds[type](data, path)
    if others:
        return ExtensionPart(name=f"openai_chat:{type}", raw=data.decode())
    raise LocalError(f"{path}.type: must be one of {', '.join(sorted(kinds))} here, not {type!r}")


def _text(data: bytes, path: str) -> Text:
    part = read(data, _Text, path)
    return Text(text=part.text, cache=part.cache)


def _refusal(data: bytes, path: str) -> RefusalPart:
    return RefusalPart(text=read(data, _Refusal, path).refusal)


def _image(data: bytes, path: str) -> Image:
    part = read(data, _Image, path)
    url, detail = part.image_url.url, part.image_url.detail
    if url[:5] != "data:":
        return Image(url=url, detail=detail, cache=part.cache)
    content, media_type = _bytes(url, f"{path}.image_url.url")
    return Image(data=content, media_type=media_type, detail=detail, cache=part.cache)


def _sound(data: bytes, path: str) -> File:
    part = read(data, _Audio, path)
    sound = part.input_audio
    content, _ = _bytes(sound.data, f"{path}.input_audio.data")
    return File(data=content, media_type=_SOUNDS[sound.format], cache=part.cache)


def _file(data: bytes, path: str) -> File:
    part = read(data, _File, path)
    file = part.file
    if file.file_id is not None:
        return File(id=file.file_id, name=file.filename, cache=part.cache)
    if file.file_data is None:
        raise LocalError(f"{path}.file: needs file_data or a file_id")
    content, media_type = _bytes(file.file_data, f"{path}.file.file_data")
    media_type = media_type or mimetypes.guess_type(file.filename or "")[0] or "application/pdf"
    return File(data=content, media_type=media_type, name=file.filename, cache=part.cache)


def _bytes(text: str, path: str) -> tuple[bytes, str]:
    """What base64 says, alone or in a `data:` URL; and the media type, "" if it is not said."""
    head, comma, encoded = text.rpartition(",")
    if comma and (head[:5] != "data:" or head[-7:] != ";base64"):
        raise LocalError(f"{path}: not a data: URL in base64")
    return base64_bytes(encoded, path), head[5:-7]


_TEXTS: Final[_Kinds] = {"text": _text}
_IMAGES: Final[_Kinds] = {"image_url": _image}
_OF_USERS: Final[_Kinds] = {"text": _text, "image_url": _image, "input_audio": _sound, "file": _file}
_OF_TOOLS: Final[_Kinds] = {"text": _text, "image_url": _image, "file": _file}
_OF_ASSISTANTS: Final[_Kinds] = {"text": _text, "refusal": _refusal}
