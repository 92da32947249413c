"""Writes a request in the words of Chat Completions, and says how its dialects differ.

The API takes no reasoning, citations or generated images of an earlier turn, and does not know that a tool result is
an error. A dialect may want some of that back: `Quirks.replay` says what. Sources and the whole wire: see `openai_chat`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from msgspec import Struct, structs

from streamcore.request import ToolChoice
from streamcore.wire import Warnings, post, present

from .messages import Writer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamcore.request import HTTPRequest, Reasoning, Request, Target, Tool

__all__ = ["Quirks", "encode"]

_Block: TypeAlias = dict[str, Any]


class Quirks(Struct, frozen=True, kw_only=True):
    """How a dialect differs from OpenAI, whose ways are the defaults.

    `path` follows the target's URL. The key goes into `key_header`, after `Bearer` if that is `authorization`. `unsupported`
    are fields of `Request`. `reasoning` is the parameter that controls it: the effort alone, OpenRouter's object, or
    DeepSeek's switch; `budget` the one that bounds its tokens. `reasoning_text` says whether its text comes: never, always,
    or as the field of that name says. `replay` names what of an earlier answer the server wants back, by the wire's own words:
    reasoning_content, reasoning or reasoning_text; reasoning_details, reasoning_opaque, extra_content, annotations.

    `schemas` says whether an answer can be held to a JSON Schema, `files` where the fields of a file stand in its part, and
    `prefix` whether an assistant's turn at the end, which is to be continued, must be marked.

    `done` says what `[DONE]` proves: nothing that a finish reason does not (`optional`), what a finish reason alone does
    not (`required`), or all that there is to prove (`enough`). `reasoning_outside`: the usage counts reasoning neither as
    completion nor in the total.
    """

    path: str = "/chat/completions"
    key_header: str = "authorization"
    unsupported: tuple[str, ...] = ("top_k",)
    include_usage: bool = True
    system_role: Literal["system", "developer"] = "system"
    max_tokens: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    seed: str = "seed"
    user: str = "safety_identifier"
    schemas: bool = True
    files: Literal["nested", "flat"] = "nested"
    prefix: bool = False
    reasoning: Literal["reasoning_effort", "reasoning", "thinking"] = "reasoning_effort"
    budget: str = ""
    reasoning_text: Literal["never", "always", "include_reasoning"] = "never"
    cache: Literal["", "prompt_cache_breakpoint", "cache_control"] = "prompt_cache_breakpoint"
    replay: tuple[str, ...] = ()
    done: Literal["optional", "required", "enough"] = "optional"
    reasoning_outside: bool = False


_OPENAI: Final = Quirks()


def encode(request: Request, target: Target, *, quirks: Quirks = _OPENAI) -> HTTPRequest:
    """The request for a streamed answer.

    Raises:
        LocalError: It holds what cannot be sent at all, such as an image that is neither bytes nor an address.
    """
    warnings = Warnings()
    warnings.unsupported(request, quirks.unsupported)
    request = _without(request, quirks.unsupported)
    _check_tools(request, warnings)
    body = {
        "model": request.model or target.model,
        "messages": Writer(warnings, quirks).messages(request.messages),
        "stream": True,
        "stream_options": {"include_usage": True} if quirks.include_usage else None,
        "tools": [_tool(tool) for tool in request.tools] or None,
        "response_format": _response_format(request, quirks, warnings),
        quirks.max_tokens: request.max_tokens,
        **_tool_choice(request),
        **_reasoning(request.reasoning, quirks, warnings),
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "stop": request.stop or None,
        quirks.seed: request.seed,
        quirks.user: request.user,
        "metadata": request.metadata,
        "prompt_cache_key": request.cache_key,
    }
    headers: dict[str, str] = {}
    if target.key is not None:
        key = target.key.reveal()
        headers[quirks.key_header] = f"Bearer {key}" if quirks.key_header == "authorization" else key
    url = f"{target.url}{quirks.path}"
    return post(url, body, target=target, request=request, headers=headers, warnings=warnings)


def _without(request: Request, fields: Iterable[str]) -> Request:
    values = {name: getattr(request, name) for name in fields}
    return structs.replace(
        request, **{name: () if isinstance(value, tuple) else None for name, value in values.items()}
    )


def _has_tools(request: Request) -> bool:
    return bool(request.tools) or "tools" in (request.extra or {})


def _check_tools(request: Request, warnings: Warnings) -> None:
    for number, tool in enumerate(request.tools):
        if tool.cache:
            warnings.add(f"tools[{number}].cache", "tools are cached with what follows them, not by themselves")
    for name in ("tool_choice", "parallel_tool_calls"):
        if getattr(request, name) is not None and not _has_tools(request):
            warnings.add(name, "refused without tools")


def _tool(tool: Tool) -> _Block:
    function = {"name": tool.name, "description": tool.description or None, "parameters": tool.parameters}
    return {"type": "function", "function": present({**function, "strict": tool.strict})}


def _tool_choice(request: Request) -> _Block:
    if not _has_tools(request):
        return {}
    choice = request.tool_choice
    named = {"type": "function", "function": {"name": choice.name}} if isinstance(choice, ToolChoice) else choice
    return {"tool_choice": named, "parallel_tool_calls": request.parallel_tool_calls}


def _response_format(request: Request, quirks: Quirks, warnings: Warnings) -> _Block | None:
    output = request.output
    if output is None:
        return None
    if output != "json" and not quirks.schemas:
        warnings.add("output", "sent as a wish for any JSON: this provider takes no schema")
        output = "json"
    if output == "json":
        return {"type": "json_object"}
    named = {"name": output.name, "description": output.description, "schema": output.schema, "strict": output.strict}
    return {"type": "json_schema", "json_schema": present(named)}


def _reasoning(reasoning: Reasoning | None, quirks: Quirks, warnings: Warnings) -> _Block:
    if reasoning is None:
        return {}
    effort, budget = reasoning.effort, reasoning.budget_tokens
    if quirks.reasoning == "reasoning":
        if effort is not None and budget is not None:
            warnings.add("reasoning.budget_tokens", "excluded by an effort, which is sent")
            budget = None
        exclude = None if reasoning.summary is None else not reasoning.summary
        return {"reasoning": present({"effort": effort, "max_tokens": budget, "exclude": exclude}) or None}
    if budget is not None and not quirks.budget:
        warnings.add("reasoning.budget_tokens", "not supported by this provider")
    rest = {quirks.budget: budget} if quirks.budget else {}
    if quirks.reasoning_text == "include_reasoning":
        rest["include_reasoning"] = reasoning.summary
    elif quirks.reasoning_text == "never" and reasoning.summary:
        warnings.add("reasoning.summary", "nothing in a request asks for the text of the reasoning")
    elif quirks.reasoning_text == "always" and reasoning.summary is False:
        warnings.add("reasoning.summary", "reasoning is always sent")
    if quirks.reasoning == "thinking" and effort == "none":
        return {"thinking": {"type": "disabled"}, **rest}
    thinking = {"type": "enabled"} if quirks.reasoning == "thinking" and effort else None
    return {"thinking": thinking, "reasoning_effort": effort, **rest}
