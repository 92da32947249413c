"""Writes a request in the words of Cohere v2.

The API names no tool that must be called: where one is named, some tool is required. JSON of a schema has no mode of
its own but is a variant of JSON. Reasoning is on or off, or has a budget. Sources and the whole wire: see `cohere`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from msgspec import Raw, Struct

from streamcore.errors import LocalError
from streamcore.request import (
    File,
    Image,
    ReasoningPart,
    RefusalPart,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from streamcore.wire import Warnings, data_url, opaque, post, present

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streamcore.request import HTTPRequest, Message, Part, Reasoning, Request, Schema, Target

__all__ = ["encode"]

_Block: TypeAlias = dict[str, Any]

_NO_SUCH: Final = "not supported by this provider"
_HOLDS: Final[Mapping[str, frozenset[type[Part]]]] = {
    "system": frozenset({Text}),
    "user": frozenset({Text, Image}),
    "assistant": frozenset({Text, ReasoningPart, RefusalPart, ToolCall}),
    "tool": frozenset({ToolResult}),
    "result": frozenset({Text, File}),
}


class _Plan(Struct, gc=False, forbid_unknown_fields=True):
    tool_plan: bool = False


class _Citation(Struct, gc=False):
    """What marks a citation as one of Cohere's."""

    start: int
    end: int
    sources: list[Raw]


def encode(request: Request, target: Target) -> HTTPRequest:
    """The request for a streamed answer.

    Raises:
        LocalError: It holds what cannot be sent at all, such as an image that is neither bytes nor an address.
    """
    warnings = Warnings()
    warnings.unsupported(request, ("user", "metadata", "cache_key"))
    body = {
        "model": request.model or target.model,
        "messages": _Writer(warnings).messages(request.messages),
        "stream": True,
        **_tools(request, warnings),
        "response_format": _response_format(request.output, warnings),
        "thinking": _thinking(request.reasoning, warnings),
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "p": request.top_p,
        "k": request.top_k,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "stop_sequences": request.stop or None,
        "seed": request.seed,
    }
    headers = {} if target.key is None else {"authorization": f"Bearer {target.key.reveal()}"}
    return post(f"{target.url}/chat", body, target=target, request=request, headers=headers, warnings=warnings)


def _tools(request: Request, warnings: Warnings) -> _Block:
    """The tools, and how they are to be used. They are strict together or not at all."""
    written: list[_Block] = []
    strict = [tool.strict for tool in request.tools]
    for number, tool in enumerate(request.tools):
        parameters = {"type": "object", **(tool.parameters or {"properties": {}})}
        function = {"name": tool.name, "description": tool.description or None, "parameters": parameters}
        written.append({"type": "function", "function": present(function)})
        if tool.cache:
            warnings.add(f"tools[{number}].cache", _NO_SUCH)
        if tool.strict and not all(strict):
            warnings.add(f"tools[{number}].strict", "left out: all tools are strict, or none")
    if request.parallel_tool_calls is False:
        warnings.add("parallel_tool_calls", _NO_SUCH)
    return {
        "tools": written or None,
        "strict_tools": True if strict and all(strict) else None,
        "tool_choice": _tool_choice(request, warnings),
    }


def _tool_choice(request: Request, warnings: Warnings) -> str | None:
    choice = request.tool_choice
    if choice in {None, "auto"}:
        return None
    if not request.tools and "tools" not in (request.extra or {}):
        warnings.add("tool_choice", "left out: there are no tools")
        return None
    if choice == "none":
        return "NONE"
    if isinstance(choice, ToolChoice) and [tool.name for tool in request.tools] != [choice.name]:
        warnings.add("tool_choice", "a tool cannot be named: any one of them is required")
    return "REQUIRED"


def _response_format(output: str | Schema | None, warnings: Warnings) -> _Block | None:
    if output is None:
        return None
    if isinstance(output, str):
        return {"type": "json_object"}
    if output.description:
        warnings.add("output.description", _NO_SUCH)
    if output.strict is False:
        warnings.add("output.strict", "a schema is always enforced")
    return {"type": "json_object", "json_schema": output.schema}


def _thinking(reasoning: Reasoning | None, warnings: Warnings) -> _Block | None:
    if reasoning is None:
        return None
    effort, budget = reasoning.effort, reasoning.budget_tokens
    if effort == "none" or budget == 0:
        return {"type": "disabled"}
    if reasoning.summary is False:
        warnings.add("reasoning.summary", "reasoning is always sent")
    if effort is not None:
        warnings.add("reasoning.effort", "reasoning is on here, or has a budget")
    if effort is None and budget is None and not reasoning.summary:
        return None
    return present({"type": "enabled", "token_budget": budget})


class _Writer:
    """Writes the conversation."""

    def __init__(self, warnings: Warnings) -> None:
        self._warn = warnings.add

    def messages(self, messages: Iterable[Message]) -> list[_Block]:
        """One for each turn, and one for each tool result."""
        written: list[_Block] = []
        for number, message in enumerate(messages):
            path = f"messages[{number}]"
            parts = self._taken(message.parts, message.role, f"{path}.content")
            if message.role == "tool":
                turns = [self._result(cast("ToolResult", part), at) for part, at in parts]
            elif message.role == "assistant":
                turns = self._assistant(parts)
            else:
                content = _content(self._block(part, at) for part, at in parts)
                turns = [{"role": message.role, "content": content}] if content else []
            if not turns:
                self._warn(path, "left out: nothing in it can be sent")
            written += turns
        return written

    def _taken(self, parts: Iterable[Part], place: str, path: str) -> list[tuple[Part, str]]:
        """The parts that can stand in this place, each with its path; and a warning of what is lost."""
        taken: list[tuple[Part, str]] = []
        for number, part in enumerate(parts):
            at = f"{path}[{number}]"
            if type(part) not in _HOLDS[place]:
                self._warn(at, f"left out: {type(part).__name__} cannot stand here")
                continue
            taken.append((part, at))
            if part.cache:
                self._warn(f"{at}.cache", _NO_SUCH)
            if part.opaque is not None and opaque(part.opaque, _Plan) is None:
                self._warn(f"{at}.opaque", "left out: not what this provider would take back")
            if isinstance(part, Text) and part.citations and place != "assistant":
                self._warn(f"{at}.citations", "left out: only the assistant has sources")
        return taken

    def _block(self, part: Part, path: str) -> _Block:
        if isinstance(part, Image):
            return {"type": "image_url", "image_url": present({"url": _address(part, path), "detail": part.detail})}
        return {"type": "text", "text": cast("Text", part).text}

    def _assistant(self, parts: Iterable[tuple[Part, str]]) -> list[_Block]:
        """At most one message. A plan stands beside the content, and so do the sources of all its texts."""
        content: list[_Block] = []
        calls: list[_Block] = []
        citations: list[Raw] = []
        plan = ""
        for part, path in parts:
            if isinstance(part, ToolCall):
                function = {"name": part.name, "arguments": part.arguments or "{}"}
                calls.append({"id": part.id, "type": "function", "function": function})
            elif not isinstance(part, ReasoningPart):
                content.append({"type": "text", "text": cast("Text | RefusalPart", part).text})
                citations += self._citations(part, path)
            elif (opaque(part.opaque, _Plan) or _Plan()).tool_plan:
                plan += part.text
            elif part.text:
                content.append({"type": "thinking", "thinking": part.text})
        fields = {"content": _content(content), "tool_plan": plan, "tool_calls": calls, "citations": citations}
        written = {name: value for name, value in fields.items() if value}
        return [{"role": "assistant", **written}] if written else []

    def _citations(self, part: Part, path: str) -> list[Raw]:
        own: list[Raw] = []
        for number, text in enumerate(part.citations if isinstance(part, Text) else ()):
            if opaque(text, _Citation) is None:
                self._warn(f"{path}.citations[{number}]", "left out: not a citation of this provider's")
            else:
                own.append(Raw(text.encode()))
        return own

    def _result(self, part: ToolResult, path: str) -> _Block:
        if part.is_error:
            self._warn(f"{path}.is_error", "sent like any other result")
        content: object = part.content
        if not isinstance(part.content, str):
            blocks: list[_Block] = []
            for item, at in self._taken(part.content, "result", f"{path}.content"):
                blocks += self._document(item, at) if isinstance(item, File) else [self._block(item, at)]
            content = _content(blocks) or ""
        return {"role": "tool", "tool_call_id": part.id, "content": content}

    def _document(self, part: File, path: str) -> list[_Block]:
        """A text, as a document that the answer may cite."""
        if part.data is None or not (part.media_type or "").startswith("text/"):
            self._warn(path, "left out: documents are text, given as bytes")
            return []
        try:
            text = part.data.decode()
        except UnicodeDecodeError as error:
            raise LocalError(f"{path}: the text is not UTF-8: {error}") from error
        return [{"type": "document", "document": {"data": present({"title": part.name, "text": text})}}]


def _content(blocks: Iterable[_Block]) -> object:
    """A plain string where that says it all; None if there is nothing."""
    listed = list(blocks)
    if len(listed) == 1 and listed[0]["type"] == "text":
        return listed[0]["text"]
    return listed or None


def _address(part: Image, path: str) -> str:
    if part.url is not None:
        return part.url
    if part.data is None or part.media_type is None:
        raise LocalError(f"{path}: an image needs a url, or data and its media_type")
    return data_url(part.data, part.media_type)
