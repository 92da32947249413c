"""Reads a request for Chat Completions: the reverse of `encode`.

Every field that has a place in our Request is read into it; all others go into `extra`, so that a provider of this
format gets what its client said. What other servers want back of an earlier answer (reasoning, signatures, annotations)
is read wherever they put it. Adjacent `tool` messages are one turn of ours, and a result gets its tool's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from msgspec import Raw, Struct

from streamcore.dialect import Call
from streamcore.errors import LocalError
from streamcore.request import Reasoning, Request, Schema, Tool, ToolChoice
from streamcore.serving import REASONING, read, read_body

from .server_answer import json
from .server_messages import Conversation

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["parse"]

_Effort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class _StreamOptions(Struct, gc=False):
    include_usage: bool | None = None


class _Function(Struct, gc=False):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Tool(Struct, gc=False):
    type: Literal["function"]
    function: _Function
    cache_control: dict[str, Any] | None = None


class _Named(Struct, gc=False):
    name: str


class _Choice(Struct, gc=False):
    function: _Named


class _JSONSchema(Struct, gc=False):
    name: str
    schema: dict[str, Any] = {}
    description: str | None = None
    strict: bool | None = None


class _Format(Struct, gc=False):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _JSONSchema | None = None


class _Reasoning(Struct, gc=False):
    """OpenRouter's object."""

    enabled: bool | None = None
    effort: _Effort | None = None
    max_tokens: int | None = None
    exclude: bool | None = None


class _Body(Struct, gc=False):
    model: str
    messages: list[Raw]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    tools: list[_Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: _Format | None = None
    reasoning_effort: _Effort | None = None
    reasoning: _Reasoning | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    safety_identifier: str | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    prompt_cache_key: str | None = None
    n: int | None = None
    functions: list[Raw] | None = None


_KNOWN: Final = frozenset(_Body.__struct_fields__)


def parse(body: bytes, matched: Mapping[str, str], /) -> Call:
    """Read a request's body; its path names nothing.

    Raises:
        LocalError: It is none; says where.
    """
    del matched
    fields = read_body(body, dict[str, Any])
    asked = read(body, _Body, "")
    if not asked.messages:
        raise LocalError("messages: must hold at least one")
    if asked.functions:
        raise LocalError("functions: replaced by tools")
    if (asked.n or 1) > 1 and not asked.stream:
        raise LocalError("n: several answers can only be streamed")
    extra = {name: value for name, value in fields.items() if name not in _KNOWN and value is not None}
    if isinstance(asked.tool_choice, dict) and asked.tool_choice.get("type") != "function":
        extra["tool_choice"] = asked.tool_choice  # of a kind that only this format has
    if (asked.n or 1) > 1:
        extra["n"] = asked.n
    options = asked.stream_options or _StreamOptions()
    request = Request(
        messages=Conversation().messages(asked.messages),
        model=asked.model,
        tools=tuple(_tool(tool) for tool in asked.tools or ()),
        tool_choice=_tool_choice(asked.tool_choice),
        parallel_tool_calls=asked.parallel_tool_calls,
        output=_output(asked.response_format),
        reasoning=_reasoning(asked),
        max_tokens=asked.max_tokens if asked.max_completion_tokens is None else asked.max_completion_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        top_k=asked.top_k,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        stop=(asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ()),
        seed=asked.seed,
        user=asked.user if asked.safety_identifier is None else asked.safety_identifier,
        metadata=asked.metadata,
        cache_key=asked.prompt_cache_key,
        extra=extra or None,
    )
    return Call(request=request, stream=bool(asked.stream), usage=not asked.stream or bool(options.include_usage))


def _tool(tool: _Tool) -> Tool:
    function = tool.function
    return Tool(
        function.name,
        function.description or "",
        function.parameters,
        function.strict,
        tool.cache_control is not None,
    )


def _tool_choice(
    choice: Literal["none", "auto", "required"] | dict[str, Any] | None,
) -> Literal["none", "auto", "required"] | ToolChoice | None:
    if not isinstance(choice, dict):
        return choice
    if choice.get("type") != "function":
        return None
    return ToolChoice(read(json(choice), _Choice, "tool_choice").function.name)


def _output(wanted: _Format | None) -> Literal["json"] | Schema | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return "json"
    named = wanted.json_schema
    if named is None:
        raise LocalError("response_format.json_schema: is missing")
    return Schema(named.schema, named.name, named.description, named.strict)


def _reasoning(asked: _Body) -> Reasoning | None:
    """OpenAI's effort, or OpenRouter's object, which may exclude the text."""
    more = asked.reasoning or _Reasoning()
    effort = asked.reasoning_effort or more.effort
    if effort is None and more == _Reasoning():
        return None
    if more.enabled is False:
        return Reasoning(effort="none")
    reasoning = Reasoning(effort, more.max_tokens, None if more.exclude is None else not more.exclude)
    return REASONING if reasoning == Reasoning() else reasoning
