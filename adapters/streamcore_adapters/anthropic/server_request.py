"""Reads the request of a client that speaks Anthropic Messages: `encode`, backwards.

Tool results become turns of role `tool`, before the rest of the turn that they came in. A block that has no part of
ours (redacted thinking, server tools and their results, a document with citations switched on) becomes an
`ExtensionPart("anthropic:<type>")` with its JSON, which this format takes back as it came; so does a tool result that
holds one. A member of the body that `encode` would write differently, or not at all, goes into `Request.extra` as the
client wrote it: `service_tier`, the list of tools if one of them is a server tool. That is for this format alone.

What is signed is what `BlockEnd` carried (see `server`): thinking without a signature has no `opaque`.

Where it is not quite right: of a cache hint on a block only the fact is kept, not its `ttl`, and an `effort` without
`thinking` is sent on as reasoning, which switches thinking on. A media type goes with its bytes; by URL there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, structs

from streamcore.dialect import Call
from streamcore.errors import LocalError
from streamcore.request import (
    ExtensionPart,
    File,
    Image,
    Message,
    Part,
    Reasoning,
    ReasoningPart,
    Request,
    Schema,
    Target,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from streamcore.serving import REASONING, read, read_body
from streamcore.wire import json_text, opaque

from .blocks import RETURNED
from .request import encode
from .server_body import (
    URL,
    Body,
    Bytes,
    Choice,
    Cited,
    DocumentBlock,
    Effort,
    FileId,
    Head,
    ImageBlock,
    TextBlock,
    Thinking,
    ThinkingBlock,
    ToolBody,
    ToolResultBlock,
    ToolUseBlock,
    Turn,
    Words,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["parse"]

_Fields: TypeAlias = dict[str, Any]

_ELSEWHERE: Final = frozenset({"model", "messages", "system", "stream"})
_SPOKEN_BY: Final = {"tool_use": "assistant", "thinking": "assistant", "tool_result": "user"}
_CHOICES: Final[Mapping[str, Literal["auto", "none", "required"]]] = {"auto": "auto", "none": "none", "any": "required"}
_NULL: Final = Raw(b"null")
_SUMMARIES: Final = {"summarized": True, "omitted": False}
# All versions of the API alike, for what a client's version takes is its own business.
_PLAIN: Final = Target("", "", headers={"anthropic-version": "2023-06-01"})


def parse(body: bytes, matched: Mapping[str, str], /) -> Call:  # noqa: ARG001 - the path names nothing
    """What a client asks for, from the body of its request.

    Raises:
        LocalError: It is not JSON, or something in it is missing or of the wrong kind; says what, and where.
    """
    members = read_body(body, _Fields)
    wire = read(body, Body, "")
    system = [] if wire.system is None else _messages(Turn("system", wire.system), "system")
    turns = [
        message
        for number, turn in enumerate(wire.messages)
        for message in _messages(turn, f"messages[{number}].content")
    ]
    choice, output = wire.tool_choice, wire.output_config
    request = Request(
        messages=(*system, *turns),
        model=wire.model,
        max_tokens=wire.max_tokens,
        tools=tuple(_tools(wire.tools or [])),
        tool_choice=None if choice is None else _choice(choice),
        parallel_tool_calls=False if choice is not None and choice.disable_parallel_tool_use else None,
        output=None if output is None or output.format is None else Schema(output.format.schema),
        reasoning=_reasoning(wire.thinking, None if output is None else output.effort),
        stop=tuple(wire.stop_sequences or ()),
        temperature=wire.temperature,
        top_p=wire.top_p,
        top_k=wire.top_k,
        user=None if wire.metadata is None else wire.metadata.user_id,
    )
    return Call(request=structs.replace(request, extra=_extra(request, members)), stream=wire.stream is True)


def _extra(request: Request, members: _Fields) -> _Fields | None:
    """The members that `encode` would not write as the client did."""
    written = msgspec.json.decode(encode(structs.replace(request, messages=()), _PLAIN).body, type=_Fields)
    left = {
        name: value
        for name, value in members.items()
        if name not in _ELSEWHERE and value not in (None, []) and written.get(name) != value
    }
    return left or None


def _tools(tools: list[ToolBody]) -> Iterator[Tool]:
    """The tools that the client runs; those of the server are for `extra`."""
    for number, tool in enumerate(tools):
        if tool.type not in (None, "custom"):
            continue
        if tool.input_schema is None:
            raise LocalError(f"tools[{number}].input_schema: is missing")
        cached = tool.cache_control is not None
        yield Tool(tool.name, tool.description or "", tool.input_schema, tool.strict, cached)


def _choice(choice: Choice) -> Literal["auto", "none", "required"] | ToolChoice:
    if choice.type != "tool":
        return _CHOICES[choice.type]
    if choice.name is None:
        raise LocalError("tool_choice.name: is missing")
    return ToolChoice(choice.name)


def _reasoning(thinking: Thinking | None, effort: Effort | None) -> Reasoning | None:
    if thinking is None:
        return None if effort is None else Reasoning(effort=effort)
    summary = _SUMMARIES.get(thinking.display or "")
    if thinking.type == "disabled":
        return Reasoning(effort="none")
    if thinking.type == "enabled" and thinking.budget_tokens is None:
        raise LocalError("thinking.budget_tokens: is missing")
    reasoning = Reasoning(effort, thinking.budget_tokens, summary)
    return REASONING if reasoning == Reasoning() else reasoning


def _messages(turn: Turn, path: str) -> list[Message]:
    """A turn as one message, or as two if there are tool results in it."""
    if isinstance(turn.content, str):
        return [Message(turn.role, turn.content)]
    parts = [_part(raw, turn.role, f"{path}[{number}]") for number, raw in enumerate(turn.content)]
    results = tuple(part for part in parts if isinstance(part, ToolResult))
    rest = tuple(part for part in parts if not isinstance(part, ToolResult))
    messages = [Message("tool", results)] if results else []
    return [*messages, Message(turn.role, rest)] if rest or not results else messages


def _part(raw: Raw, role: str, path: str) -> Part:
    head = read(raw, Head, path)
    if _SPOKEN_BY.get(head.type, role) != role or (role == "system" and head.type != "text"):
        raise LocalError(f"{path}.type: {head.type} cannot stand in a turn of role {role}")
    cache = head.cache_control is not None
    match head.type:
        case "text":
            text = read(raw, TextBlock, path)
            sources = [_citation(item, f"{path}.citations[{n}]") for n, item in enumerate(text.citations or [])]
            return Text(text=text.text, citations=tuple(source for source in sources if source), cache=cache)
        case "image":
            source = read(raw, ImageBlock, path).source
            if isinstance(source, FileId):
                return File(id=source.file_id, media_type="image/*", cache=cache)
            if isinstance(source, URL):
                return Image(url=source.url, cache=cache)
            return Image(data=source.data, media_type=source.media_type, cache=cache)
        case "document":
            return _document(read(raw, DocumentBlock, path), cache=cache) or _extension(head, raw)
        case "thinking":
            thinking = read(raw, ThinkingBlock, path)
            return ReasoningPart(text=thinking.thinking, opaque=_signed(thinking.signature))
        case "tool_use":
            call = read(raw, ToolUseBlock, path)
            members = read(raw, dict[str, Raw], path)
            carried = {name: members[name] for name in sorted(RETURNED) if bytes(members.get(name, _NULL)) != b"null"}
            own = json_text(carried) if carried else None
            return ToolCall(id=call.id, name=call.name, arguments=json_text(members["input"]), opaque=own, cache=cache)
        case "tool_result":
            return _tool_result(raw, path, cache=cache) or _extension(head, raw)
        case _:
            return _extension(head, raw)


def _extension(head: Head, raw: Raw) -> ExtensionPart:
    return ExtensionPart(name=f"anthropic:{head.type}", raw=json_text(raw))


def _document(document: DocumentBlock, *, cache: bool) -> File | None:
    """The file; None where it is more than a file."""
    source, name = document.source, document.title
    if document.context is not None or (document.citations is not None and document.citations.enabled):
        return None
    match source:
        case Bytes():
            return File(data=source.data, media_type=source.media_type, name=name, cache=cache)
        case Words():
            return File(data=source.data.encode(), media_type=source.media_type, name=name, cache=cache)
        case URL():
            return File(url=source.url, name=name, cache=cache)
        case FileId():
            return File(id=source.file_id, name=name, cache=cache)
        case _:
            return None


def _tool_result(raw: Raw, path: str, *, cache: bool) -> ToolResult | None:
    """The result; None where it holds what is no part of one of ours."""
    result = read(raw, ToolResultBlock, path)
    content: str | tuple[Text | Image | File, ...] = ""
    if isinstance(result.content, str):
        content = result.content
    elif result.content is not None:
        parts = [_part(item, "user", f"{path}.content[{number}]") for number, item in enumerate(result.content)]
        content = tuple(part for part in parts if isinstance(part, Text | Image | File))
        if len(content) < len(parts):
            return None
    return ToolResult(id=result.tool_use_id, content=content, is_error=result.is_error is True, cache=cache)


def _signed(signature: str) -> str | None:
    """What `BlockEnd` carried: of another provider all of it, as JSON; of Anthropic the signature, which is none."""
    if opaque(signature, dict[str, Raw]) is not None:
        return signature
    return json_text({"signature": signature}) if signature else None


def _citation(raw: Raw, path: str) -> str | None:
    """The citation as it came; another provider's as that one wrote it, if it wrote any."""
    given = read(raw, Cited, path).encrypted_index
    if given is None:
        return json_text(raw)
    return (given if opaque(given, dict[str, Raw]) is not None else json_text(raw)) if given else None
