"""Writes a request in the words of the Responses API.

Nothing is stored unless `extra` says `"store": True`: then reasoning that came without its encrypted content can go
back too, for the provider has it. Sources and the whole wire: see the package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from streamcore.request import ToolChoice
from streamcore.wire import Warnings, post, present

from .messages import Writer

if TYPE_CHECKING:
    from streamcore.request import HTTPRequest, JSONSchema, Reasoning, Request, Schema, Target, Tool

__all__ = ["encode"]

_Object: TypeAlias = dict[str, Any]

_UNSUPPORTED: Final = ("top_k", "presence_penalty", "frequency_penalty", "stop", "seed")
_NO_PARAMETERS: Final[JSONSchema] = {"type": "object", "properties": {}, "additionalProperties": False}


def encode(request: Request, target: Target) -> HTTPRequest:
    """The request for a streamed answer.

    Raises:
        LocalError: It holds what cannot be sent at all, such as an image that is neither bytes nor an address.
    """
    warnings = Warnings()
    warnings.unsupported(request, _UNSUPPORTED)
    stored = bool((request.extra or {}).get("store", False))
    reasoning = _reasoning(request.reasoning, warnings)
    encrypted = reasoning is not None and reasoning.get("effort") != "none"
    body = {
        "model": request.model or target.model,
        "input": Writer(warnings, stored=stored).items(request.messages),
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"] if encrypted else None,
        "reasoning": reasoning,
        "text": None if request.output is None else {"format": _format(request.output)},
        "tools": [_tool(tool, f"tools[{number}]", warnings) for number, tool in enumerate(request.tools)] or None,
        **_tool_choice(request, warnings),
        "max_output_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "safety_identifier": request.user,
        "metadata": request.metadata,
        "prompt_cache_key": request.cache_key,
    }
    headers = {} if target.key is None else {"authorization": f"Bearer {target.key.reveal()}"}
    return post(f"{target.url}/responses", body, target=target, request=request, headers=headers, warnings=warnings)


def _reasoning(reasoning: Reasoning | None, warnings: Warnings) -> _Object | None:
    if reasoning is None:
        return None
    if reasoning.budget_tokens is not None:
        warnings.add("reasoning.budget_tokens", "not supported by this provider")
    return present({"effort": reasoning.effort, "summary": "auto" if reasoning.summary else None}) or None


def _format(output: str | Schema) -> _Object:
    if isinstance(output, str):
        return {"type": "json_object"}
    named = {"name": output.name, "description": output.description, "schema": output.schema, "strict": output.strict}
    return {"type": "json_schema", **present(named)}


def _tool(tool: Tool, path: str, warnings: Warnings) -> _Object:
    if tool.cache:
        warnings.add(f"{path}.cache", "tools are cached with what follows them, not by themselves")
    function = {"description": tool.description or None, "parameters": tool.parameters or _NO_PARAMETERS}
    return {"type": "function", "name": tool.name, **present({**function, "strict": tool.strict})}


def _tool_choice(request: Request, warnings: Warnings) -> _Object:
    if not request.tools and "tools" not in (request.extra or {}):
        for name in ("tool_choice", "parallel_tool_calls"):
            if getattr(request, name) is not None:
                warnings.add(name, "refused without tools")
        return {}
    choice = request.tool_choice
    named = {"type": "function", "name": choice.name} if isinstance(choice, ToolChoice) else choice
    return {"tool_choice": named, "parallel_tool_calls": request.parallel_tool_calls}
