"""Reads what clients of Mistral ask for: the reverse of `encode`.

A request is put into the words of `openai_chat`, each thing in its old place, and read as one of those; what only Mistral
has a word for becomes our own parts then. Usage is never asked for, and always told. The mark of a `prefix` says nothing
that its place at the end does not. The type of a sound is told by its first bytes, or by its address.
"""

from __future__ import annotations

import base64
import mimetypes
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import msgspec
from msgspec import Struct, structs

from streamcore.request import ExtensionPart, File, ReasoningPart
from streamcore.serving import read, read_body
from streamcore.wire import json_text
from streamcore_adapters.openai_chat.server import parse as parse_chat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from streamcore.dialect import Call
    from streamcore.request import Message, Part

__all__ = ["parse"]

_Object: TypeAlias = dict[str, Any]

_OWN: Final = "openai_chat:"
_HEARD: Final = "audio_url"  # a sound by its address meanwhile: `input_audio` is something else there
_SOUNDS: Final = {b"RIFF": "audio/wav", b"OggS": "audio/ogg", b"fLaC": "audio/flac"}


class _Words(Struct, gc=False):
    text: str = ""


class _Thinking(Struct, gc=False):
    thinking: list[_Words] | str
    signature: str | None = None


class _Document(Struct, gc=False):
    document_url: str
    document_name: str | None = None


class _Sound(Struct, gc=False):
    input_audio: str


def parse(body: bytes, matched: Mapping[str, str], /) -> Call:
    """What a client asks for.

    Raises:
        LocalError: It is no request of this format; says where not.
    """
    fields = read_body(body, _Object)
    metadata = fields.get("metadata")
    if _is_words(metadata):
        metadata = None
    else:  # any JSON is welcome there
        fields["metadata"] = None
    if fields.get("tool_choice") == "any":
        fields["tool_choice"] = "required"
    for message, path in _objects(fields.get("messages"), "messages"):
        if message.get("role") == "tool" and message.get("content") is None:
            message["content"] = ""
        for part, at in _objects(message.get("content"), f"{path}.content"):
            part.update(_in_other_words(part, at))
    fields["seed"] = fields.pop("random_seed", None)
    call = parse_chat(json_text(fields).encode(), matched)
    request = call.request
    if metadata is not None:
        request = structs.replace(request, extra={**(request.extra or {}), "metadata": metadata})
    request = structs.replace(request, messages=tuple(_message(message) for message in request.messages))
    return structs.replace(call, request=request, usage=True)


def _is_words(metadata: object) -> bool:
    """Whether `metadata` can stand in a Request: an object of strings, or none."""
    if not isinstance(metadata, dict):
        return metadata is None
    return all(isinstance(value, str) for value in cast("_Object", metadata).values())


def _objects(value: object, path: str) -> Iterator[tuple[_Object, str]]:
    """The objects in a list, with their places; nothing of what is no list of objects, which is said elsewhere."""
    for number, item in enumerate(cast("list[object]", value) if isinstance(value, list) else ()):
        if isinstance(item, dict):
            yield cast("_Object", item), f"{path}[{number}]"


def _in_other_words(part: _Object, path: str) -> _Object:
    """What of a part is said otherwise in `openai_chat`. What has no word there must have its shape here already."""
    match part:
        case {"type": "image_url", "image_url": str(address)}:
            return {"image_url": {"url": address}}
        case {"type": "file", "file_id": str(id)}:
            return {"file": {"file_id": id}}
        case {"type": "input_audio", "input_audio": str(sound)}:
            if _is_address(sound):
                return {"type": _HEARD}
            data = sound if sound.startswith("data:") else f"data:{_sound_type(sound)};base64,{sound}"
            return {"type": "file", "file": {"file_data": data}}
        case {"type": "document_url"}:
            document = read(json_text(part).encode(), _Document, path)
            if _is_address(document.document_url):
                return {}
            file = {"file_data": document.document_url, "filename": document.document_name}
            return {"type": "file", "file": file}
        case {"type": "thinking"}:
            read(json_text(part).encode(), _Thinking, path)
            return {}
        case _:
            return {}


def _is_address(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _sound_type(encoded: str) -> str:
    """By its first bytes; MP3, which may begin with many things, if it is nothing else that is known."""
    try:
        return _SOUNDS.get(base64.b64decode(encoded[:8])[:4], "audio/mpeg")
    except ValueError:
        return "audio/mpeg"  # that it is not base64 is said where all of it is read


def _message(message: Message) -> Message:
    if isinstance(message.content, str):
        return message
    return structs.replace(message, content=tuple(_part(part) for part in message.content))


def _part(part: Part) -> Part:
    """A part that only Mistral has a word for, as ours."""
    if not isinstance(part, ExtensionPart) or part.name not in _PARTS:
        return part
    return _PARTS[part.name](part.raw)


def _thinking(raw: str) -> ReasoningPart:
    part = msgspec.json.decode(raw, type=_Thinking)
    words = part.thinking
    text = words if isinstance(words, str) else "".join(piece.text for piece in words)
    signature = None if part.signature is None else json_text({"thinking": {"signature": part.signature}})
    return ReasoningPart(text=text, opaque=signature)


def _document(raw: str) -> File:
    part = msgspec.json.decode(raw, type=_Document)
    return File(url=part.document_url, name=part.document_name)


def _sound(raw: str) -> File:
    address = msgspec.json.decode(raw, type=_Sound).input_audio
    kind = mimetypes.guess_type(address)[0] or ""
    return File(url=address, media_type=kind if kind.startswith("audio/") else "audio/mpeg")


_PARTS: Final[Mapping[str, Callable[[str], Part]]] = {
    f"{_OWN}thinking": _thinking,
    f"{_OWN}document_url": _document,
    f"{_OWN}{_HEARD}": _sound,
}
