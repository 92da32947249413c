"""Reads a request as the clients of the Responses API send it. What of it is kept where: see `server`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

from streamcore.dialect import Call
from streamcore.errors import LocalError
from streamcore.request import Message, Reasoning, Request, Schema, Tool, ToolChoice
from streamcore.serving import read, read_body
from streamcore.wire import json_text

from .chunk import members
from .server_input import conversation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["parse"]

_Kept: TypeAlias = dict[str, Any]

_NONE: Final = Raw()
_ENCRYPTED: Final = ["reasoning.encrypted_content"]
_EXTRA: Final = (
    "background",
    "context_management",
    "conversation",
    "max_tool_calls",
    "moderation",
    "previous_response_id",
    "prompt",
    "prompt_cache_options",
    "prompt_cache_retention",
    "service_tier",
    "top_logprobs",
    "truncation",
)
"""What only this format has."""
_PLAIN_TOOL: Final = frozenset({"type", "name", "description", "parameters", "strict"})


class _Format(Struct):
    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str = "answer"
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class _Text(Struct):
    format: _Format | None = None
    verbosity: str | None = None


class _Reasoning(Struct):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class _Body(Struct):
    model: str
    input: str | list[Raw]
    instructions: str | None = None
    stream: bool | None = None
    store: bool | None = None
    include: list[str] | None = None
    reasoning: _Reasoning | None = None
    text: _Text | None = None
    tools: list[Raw] | None = None
    tool_choice: Raw = _NONE
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    safety_identifier: str | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    prompt_cache_key: str | None = None


class _Tool(Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Choice(Struct):
    type: str
    name: str | None = None


def parse(body: bytes, matched: Mapping[str, str]) -> Call:  # noqa: ARG001 - the path names nothing
    """The call that a body is.

    Raises:
        LocalError: It is not JSON, or not a request of this format; says where.
    """
    wire = read_body(body, _Body)
    kept: dict[str, Raw] = members(body.decode())
    extra: _Kept = {name: msgspec.json.decode(kept[name]) for name in _EXTRA if name in kept}
    if wire.store:
        extra["store"] = True
    messages = [] if wire.instructions is None else [Message("system", wire.instructions)]
    request = Request(
        messages=(*messages, *conversation(wire.input)),
        model=wire.model,
        tools=_tools(wire.tools or [], extra),
        tool_choice=_tool_choice(wire.tool_choice, extra),
        parallel_tool_calls=wire.parallel_tool_calls,
        output=_output(wire.text, kept, extra),
        reasoning=_reasoning(wire, kept, extra),
        max_tokens=wire.max_output_tokens,
        temperature=wire.temperature,
        top_p=wire.top_p,
        user=wire.user if wire.safety_identifier is None else wire.safety_identifier,
        metadata=wire.metadata,
        cache_key=wire.prompt_cache_key,
        extra=extra or None,
    )
    return Call(request=request, stream=bool(wire.stream))


def _output(text: _Text | None, kept: Mapping[str, Raw], extra: _Kept) -> Literal["json"] | Schema | None:
    if text is None:
        return None
    if text.verbosity is not None:
        extra["text"] = msgspec.json.decode(kept["text"])
    form = text.format or _Format()
    if form.type == "json_schema":
        if form.schema is None:
            raise LocalError("text.format.schema: is missing")
        return Schema(form.schema, form.name, form.description, form.strict)
    return "json" if form.type == "json_object" else None


def _reasoning(wire: _Body, kept: Mapping[str, Raw], extra: _Kept) -> Reasoning | None:
    """How much to think; and `include`, of which that is part."""
    given = wire.reasoning
    thinks = given is not None and given.effort != "none" and (given.effort or given.summary) is not None
    if wire.include and not (thinks and wire.include == _ENCRYPTED):  # which goes without saying
        extra["include"] = wire.include
    if given is None:
        return None
    if given.summary not in (None, "auto") or not members(json_text(kept["reasoning"])).keys() <= {"effort", "summary"}:
        extra["reasoning"] = msgspec.json.decode(kept["reasoning"])
    return Reasoning(effort=given.effort, summary=True if given.summary else None)


def _tools(tools: Sequence[Raw], extra: _Kept) -> tuple[Tool, ...]:
    """The functions; all tools as they are in `extra` too, if some are more than that."""
    found: list[Tool] = []
    for number, raw in enumerate(tools):
        path = f"tools[{number}]"
        type = read(raw, _Choice, path).type
        known = type == "function"
        if known:
            tool = read(raw, _Tool, path)
            found.append(Tool(tool.name, tool.description or "", tool.parameters, tool.strict))
        elif type == "custom":
            read(raw, _Tool, path)
        if not (known and members(json_text(raw)).keys() <= _PLAIN_TOOL):
            extra["tools"] = [msgspec.json.decode(tool) for tool in tools]
    return tuple(found)


def _tool_choice(raw: Raw, extra: _Kept) -> Literal["auto", "none", "required"] | ToolChoice | None:
    if bytes(raw) in (b"", b"null"):
        return None
    if bytes(raw)[:1] == b'"':
        return read(raw, Literal["auto", "none", "required"], "tool_choice")  # type: ignore[arg-type]
    choice = read(raw, _Choice, "tool_choice")
    if choice.type != "function":
        extra["tool_choice"] = msgspec.json.decode(raw)
        return None
    if choice.name is None:
        raise LocalError("tool_choice.name: is missing")
    return ToolChoice(choice.name)
