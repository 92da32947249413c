"""Reads what clients of Cohere ask for: the reverse of `request`.

A plan comes before the content of its message and is marked as `cohere` marks it, calls come after; the sources of an
answer go to the text that they name, else to its first. A document in a tool's result is a file of plain text: its
`text` if it has nothing but that and a title, else its data as JSON. Whatever a `Request` has no place for, such as
`documents` and `safety_mode`, goes into `extra` under Cohere's names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from msgspec import Raw, Struct, structs

from streamcore.dialect import Call
from streamcore.errors import LocalError
from streamcore.request import (
    File,
    Image,
    Message,
    Reasoning,
    ReasoningPart,
    Request,
    Schema,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from streamcore.serving import REASONING, base64_bytes, plain, read_body, split
from streamcore.wire import json_text, opaque

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streamcore.request import Part

__all__ = ["parse"]

_PLAN: Final = '{"tool_plan":true}'


class _Text(Struct, gc=False, tag="text", tag_field="type"):
    text: str


class _Thinking(Struct, gc=False, tag="thinking", tag_field="type"):
    thinking: str


class _Address(Struct, gc=False):
    url: str
    detail: str | None = None


class _Image(Struct, gc=False, tag="image_url", tag_field="type"):
    image_url: _Address


class _Data(Struct, gc=False):
    data: dict[str, Any] | str
    id: str | None = None


class _Document(Struct, gc=False, tag="document", tag_field="type"):
    document: _Data


class _Function(Struct, gc=False):
    name: str
    arguments: str | None = None


class _Call(Struct, gc=False):
    id: str
    function: _Function
    type: Literal["function"] = "function"


class _System(Struct, gc=False, tag="system", tag_field="role"):
    content: str | list[_Text]


class _User(Struct, gc=False, tag="user", tag_field="role"):
    content: str | list[_Text | _Image]


class _Assistant(Struct, gc=False, tag="assistant", tag_field="role"):
    content: str | list[_Text | _Thinking] | None = None
    tool_calls: list[_Call] | None = None
    tool_plan: str | None = None
    citations: list[Raw] | None = None


class _Result(Struct, gc=False, tag="tool", tag_field="role"):
    tool_call_id: str
    content: str | list[_Text | _Document]


class _Declared(Struct, gc=False):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Tool(Struct, gc=False):
    function: _Declared
    type: Literal["function"] = "function"


class _Format(Struct, gc=False):
    type: Literal["text", "json_object"]
    json_schema: dict[str, Any] | None = None


class _Reasoning(Struct, gc=False):
    type: Literal["enabled", "disabled"]
    token_budget: int | None = None


class _Body(Struct, gc=False):
    model: str
    messages: list[_System | _User | _Assistant | _Result]
    stream: bool | None = None
    tools: list[_Tool] | None = None
    strict_tools: bool | None = None
    tool_choice: Literal["NONE", "REQUIRED"] | None = None
    response_format: _Format | None = None
    thinking: _Reasoning | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    p: float | None = None
    k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop_sequences: tuple[str, ...] | None = None
    seed: int | None = None


class _Named(Struct, gc=False):
    """What of a citation says where it belongs."""

    content_index: int | None = None


_Content: TypeAlias = "_Text | _Thinking | _Image"
_CHOICES: Final[Mapping[str | None, Literal["none", "required"]]] = {"NONE": "none", "REQUIRED": "required"}


def parse(body: bytes, matched: Mapping[str, str], /) -> Call:  # noqa: ARG001 - the path names nothing
    """What a client asks for, in one answer unless it says otherwise.

    Raises:
        LocalError: It is no request of this format; says where not.
    """
    asked, rest = split(read_body(body, Raw), _Body, "")
    if not asked.messages:
        raise LocalError("messages: must hold at least one")
    wanted = asked.response_format
    request = Request(
        messages=_messages(asked.messages),
        model=asked.model,
        tools=tuple(
            Tool(
                tool.function.name,
                tool.function.description or "",
                tool.function.parameters,
                True if asked.strict_tools else None,
            )
            for tool in asked.tools or ()
        ),
        tool_choice=_CHOICES.get(asked.tool_choice),
        output=_output(wanted),
        reasoning=_reasoning(asked.thinking),
        max_tokens=asked.max_tokens,
        temperature=asked.temperature,
        top_p=asked.p,
        top_k=asked.k,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        stop=asked.stop_sequences or (),
        seed=asked.seed,
        extra=plain(rest) or None,
    )
    return Call(request=request, stream=bool(asked.stream))


def _output(wanted: _Format | None) -> Literal["json"] | Schema | None:
    if wanted is None or wanted.type == "text":
        return None
    return "json" if wanted.json_schema is None else Schema(wanted.json_schema)


def _reasoning(wanted: _Reasoning | None) -> Reasoning | None:
    if wanted is None:
        return None
    if wanted.type == "disabled":
        return Reasoning(effort="none")
    return REASONING if wanted.token_budget is None else Reasoning(budget_tokens=wanted.token_budget)


def _messages(messages: Iterable[_System | _User | _Assistant | _Result]) -> tuple[Message, ...]:
    """All turns; results that follow one another in one message, each with the name of its call's tool."""
    turns: list[Message] = []
    names: dict[str, str] = {}
    for number, message in enumerate(messages):
        if isinstance(message, _Result):
            id = message.tool_call_id
            result = ToolResult(id=id, content=_answered(message.content), name=names.get(id))
            before = turns.pop().parts if turns and turns[-1].role == "tool" else ()
            turns.append(Message("tool", (*before, result)))
        elif isinstance(message, _Assistant):
            names |= {call.id: call.function.name for call in message.tool_calls or ()}
            turns.append(Message("assistant", _answer(message)))
        else:
            role: Literal["system", "user"] = "system" if isinstance(message, _System) else "user"
            turns.append(Message(role, _content(message.content, f"messages[{number}].content")))
    return tuple(turns)


def _content(content: str | Iterable[_Content], path: str) -> str | tuple[Part, ...]:
    if isinstance(content, str):
        return content
    return tuple(_part(block, f"{path}[{number}]") for number, block in enumerate(content))


def _part(block: _Content, path: str) -> Part:
    if isinstance(block, _Text):
        return Text(text=block.text)
    if isinstance(block, _Thinking):
        return ReasoningPart(text=block.thinking)
    url, detail = block.image_url.url, block.image_url.detail
    if url[:5] != "data:":
        return Image(url=url, detail=detail)
    head, _, encoded = url.partition(",")
    if head[-7:] != ";base64":
        raise LocalError(f"{path}.image_url.url: not a data: URL in base64")
    data = base64_bytes(encoded, f"{path}.image_url.url")
    return Image(data=data, media_type=head[5:-7], detail=detail)


def _answer(message: _Assistant) -> str | tuple[Part, ...]:
    """The parts of an earlier answer."""
    if isinstance(message.content, str) and message == _Assistant(message.content):
        return message.content
    blocks = [_Text(message.content)] if isinstance(message.content, str) else message.content or []
    sources = _sources(message.citations or (), [isinstance(block, _Text) for block in blocks])
    parts: list[Part] = [ReasoningPart(text=message.tool_plan, opaque=_PLAN)] if message.tool_plan else []
    for block, own in zip(blocks, sources, strict=True):
        part = _part(block, "")
        parts.append(structs.replace(part, citations=own) if isinstance(part, Text) else part)
    for call in message.tool_calls or ():
        function = call.function
        parts.append(ToolCall(id=call.id, name=function.name, arguments=function.arguments or ""))
    return tuple(parts)


def _sources(citations: Iterable[Raw], texts: list[bool]) -> list[tuple[str, ...]]:
    """The citations of each block: of that which they name, else of the first text; of none if there is no text."""
    found: list[list[str]] = [[] for _ in texts]
    first = texts.index(True) if True in texts else None
    for raw in citations:
        own = bytes(raw).decode()
        named = (opaque(own, _Named) or _Named()).content_index
        place = named if named is not None and 0 <= named < len(texts) and texts[named] else first
        if place is not None:
            found[place].append(own)
    return [tuple(own) for own in found]


def _answered(content: str | Iterable[_Text | _Document]) -> str | tuple[Text | Image | File, ...]:
    """What a tool has answered."""
    if isinstance(content, str):
        return content
    return tuple(Text(text=block.text) if isinstance(block, _Text) else _file(block.document) for block in content)


def _file(document: _Data) -> File:
    data, name = document.data, document.id
    if isinstance(data, str):
        return File(data=data.encode(), media_type="text/plain", name=name)
    title, text = data.get("title"), data.get("text")
    if isinstance(title, str):
        name = title
    if not isinstance(text, str) or not data.keys() <= {"title", "text"} or not isinstance(title, str | None):
        text = json_text(data)
    return File(data=text.encode(), media_type="text/plain", name=name)
