"""Writes a request in the words of Chat Completions.

The API takes no reasoning, citations or generated images of an earlier turn, and does not know that a tool result is
an error. A server may want some of that back: `Quirks.replay` says what. Sources and the whole wire: see `openai_chat`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import structs

from streamcore.request import ToolChoice
from streamcore.wire import Warnings, post, present

from .messages import Writer
from .quirks import Quirks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamcore.request import HTTPRequest, Reasoning, Request, Target, Tool

__all__ = ["encode"]

_Block: TypeAlias = dict[str, Any]


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
        enabled = (
            True if reasoning.summary and effort is None and budget is None else None
        )  # what else is said implies it
        fields = {"enabled": enabled, "effort": effort, "max_tokens": budget, "exclude": exclude}
        return {"reasoning": present(fields) or None}
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
