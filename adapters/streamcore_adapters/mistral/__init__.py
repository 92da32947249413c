"""Mistral's Chat Completions: OpenAI's format, with other words in the request and lists in the answer.

Reasoning models answer with a list of parts, `thinking` among them, and take it back so; `openai_chat` reads them. What
differs in a request: `random_seed`, documents and sound in parts of their own, no `user`, no `stream_options` (usage
comes unasked), and an unknown field is refused. The id of a tool call must be nine letters and digits: others, of calls
that another provider made, are replaced by nine that are always the same. A turn of the assistant's at the end is
marked `prefix` and will be continued.

Sources: the `mistralai` Python SDK 3.7.0, `@ai-sdk/mistral` 4.0.87, mistral-common on ids, 36 recorded streams; read
November 2026.

Where it is not quite right. The answer to a prefix begins with that prefix again, also as events. All thinking of one
answer is one block, which goes back before or after its text as it began. Signatures of thinking are documented but
were never seen: the last one counts. A model that does not think refuses a conversation in which another one did.
"""

from __future__ import annotations

import re
from hashlib import blake2s
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, structs

from streamcore import sse
from streamcore.request import ExtensionPart, File, ReasoningPart, RefusalPart, Text, ToolCall, ToolResult
from streamcore.wire import base64_text, data_url, json_text, opaque, present
from streamcore_adapters import openai_chat
from streamcore_adapters.openai_chat import Decoder, Quirks

if TYPE_CHECKING:
    from streamcore.request import HTTPRequest, Message, Part, Request, Target, Tool

__all__ = ["Decoder", "encode", "framing", "key_variables", "url"]

url: Final = "https://api.mistral.ai/v1"
key_variables: Final = ("MISTRAL_API_KEY",)
framing: Final = sse.Parser

_QUIRKS: Final = Quirks(
    max_tokens="max_tokens",
    unsupported=("user",),
    include_usage=False,
    seed="random_seed",
    prefix=True,
    reasoning_text="always",
    cache="",
)
_ID: Final = re.compile("[a-zA-Z0-9]{9}")
_NO_ARGUMENTS: Final = {"type": "object", "properties": dict[str, Any]()}


class _Signature(Struct, gc=False):
    signature: str | None = None


class _Thinking(Struct, gc=False):
    thinking: _Signature


def encode(request: Request, target: Target) -> HTTPRequest:
    """The request for a streamed answer.

    Raises:
        LocalError: It holds what cannot be sent at all, such as an image that is neither bytes nor an address.
    """
    request = structs.replace(
        request,
        messages=tuple(_message(message) for message in request.messages),
        tools=tuple(_tool(tool) for tool in request.tools),
    )
    return openai_chat.encode(request, target, quirks=_QUIRKS)


def _message(message: Message) -> Message:
    """The message with what only Mistral has a word for in that word. Every part keeps its place."""
    return structs.replace(message, content=tuple(_part(part, message.role) for part in message.parts))


def _part(part: Part, role: str) -> Part:
    if isinstance(part, ToolCall | ToolResult):
        return structs.replace(part, id=_id(part.id))
    if isinstance(part, ReasoningPart) and role == "assistant":
        return _thinking(part)
    if isinstance(part, RefusalPart) and role == "assistant":
        return Text(text=part.text, cache=part.cache, opaque=part.opaque)  # there is no field for it
    if isinstance(part, File) and role == "user":
        return _file(part)
    return part


def _id(id: str) -> str:
    return id if _ID.fullmatch(id) else blake2s(id.encode(errors="replace")).hexdigest()[:9]


def _thinking(part: ReasoningPart) -> Part:
    own = opaque(part.opaque, _Thinking)
    block = {
        "type": "thinking",
        "thinking": [{"type": "text", "text": part.text}],
        "signature": own.thinking.signature if own else None,
        "closed": True,
    }
    return _block(part, block, opaque=None if own else part.opaque)


def _file(part: File) -> Part:
    """A file as the part that it is; one that says too little is left for the error that names it."""
    sound = (part.media_type or "").startswith("audio/")
    if part.id is not None:
        return _block(part, {"type": "file", "file_id": part.id}, opaque=part.opaque)
    if part.data is None:
        address = part.url
    elif part.media_type is None:
        address = None
    else:
        address = base64_text(part.data) if sound else data_url(part.data, part.media_type)
    if address is None:
        return part
    if sound:
        return _block(part, {"type": "input_audio", "input_audio": address}, opaque=part.opaque)
    block = {"type": "document_url", "document_url": address, "document_name": part.name}
    return _block(part, block, opaque=part.opaque)


def _block(part: Part, block: dict[str, Any], *, opaque: str | None) -> Part:
    raw = json_text(present(block))
    return ExtensionPart(name=f"openai_chat:{block['type']}", raw=raw, cache=part.cache, opaque=opaque)


def _tool(tool: Tool) -> Tool:
    return structs.replace(tool, parameters=_NO_ARGUMENTS if tool.parameters is None else tool.parameters)
