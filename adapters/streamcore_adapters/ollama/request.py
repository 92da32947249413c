"""Writes a request in the words of Ollama.

What controls the sampling goes into `options`, and what `extra` holds under that name is merged with it. Nothing says
that a tool must be called; that none may be is said by leaving them out. Results of tools need the tool's name, which
is looked up among the calls before them. Sources and the whole wire: see `ollama`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from msgspec import UNSET, Raw, Struct, UnsetType, structs

from streamcore.errors import LocalError
from streamcore.request import Image, ReasoningPart, RefusalPart, Text, ToolCall, ToolResult
from streamcore.wire import Warnings, arguments, base64_text, opaque, post, present

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamcore.request import HTTPRequest, Message, Part, Reasoning, Request, Schema, Target

__all__ = ["encode"]

_Block: TypeAlias = dict[str, Any]

_EFFORTS: Final = {"minimal": "low", "xhigh": "high"}  # refused by name; instead the nearest that every server takes
_NO_SUCH: Final = "not supported by this provider"
_DATA_URL: Final = re.compile(r"data:[^,]*;base64,(.*)", re.DOTALL)
_HOLDS: Final[Mapping[str, frozenset[type[Part]]]] = {
    "system": frozenset({Text}),
    "user": frozenset({Text, Image}),
    "assistant": frozenset({Text, Image, ReasoningPart, RefusalPart, ToolCall}),
    "tool": frozenset({ToolResult}),
    "result": frozenset({Text, Image}),
}


class _Id(Struct, gc=False, forbid_unknown_fields=True):
    """What the opaque of a call says here: null, if it came without an id."""

    id: UnsetType | None = UNSET


def encode(request: Request, target: Target) -> HTTPRequest:
    """The request for a streamed answer.

    Raises:
        LocalError: It holds what cannot be sent at all, such as arguments that are not a JSON object.
    """
    warnings = Warnings()
    warnings.unsupported(request, ("user", "metadata", "cache_key"))
    options = present(
        {
            "num_predict": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": request.top_k,
            "presence_penalty": request.presence_penalty,
            "frequency_penalty": request.frequency_penalty,
            "stop": request.stop or None,
            "seed": request.seed,
        }
    )
    extra = dict(request.extra or {})
    if isinstance(extra.get("options"), Mapping):
        extra["options"] = {**options, **cast("Mapping[str, Any]", extra["options"])}
    body = {
        "model": request.model or target.model,
        "messages": _Writer(warnings).messages(request.messages),
        "stream": True,
        "tools": _tools(request, warnings),
        "format": _format(request.output, warnings),
        "think": _think(request.reasoning, warnings),
        "options": options or None,
    }
    return post(
        f"{target.url}/api/chat",
        body,
        target=target,
        request=structs.replace(request, extra=extra),
        headers={"authorization": f"Bearer {target.key.reveal()}"} if target.key else {},
        warnings=warnings,
        accept="application/x-ndjson",
    )


def _tools(request: Request, warnings: Warnings) -> list[_Block] | None:
    choice = request.tool_choice
    if choice == "none" and request.tools:
        warnings.add("tools", "left out: nothing else keeps the model from calling one")
        return None
    if choice not in {None, "auto", "none"}:
        warnings.add("tool_choice", _NO_SUCH)
    if request.parallel_tool_calls is False:
        warnings.add("parallel_tool_calls", _NO_SUCH)
    written: list[_Block] = []
    for number, tool in enumerate(request.tools):
        for name in ("strict", "cache"):
            if getattr(tool, name):
                warnings.add(f"tools[{number}].{name}", _NO_SUCH)
        parameters = {"type": "object", **(tool.parameters or {"properties": {}})}
        function = {"name": tool.name, "description": tool.description or None, "parameters": parameters}
        written.append({"type": "function", "function": present(function)})
    return written or None


def _format(output: str | Schema | None, warnings: Warnings) -> object:
    if output is None or isinstance(output, str):
        return output
    if output.description:
        warnings.add("output.description", _NO_SUCH)
    if output.strict is False:
        warnings.add("output.strict", "a schema is always enforced")
    return output.schema


def _think(reasoning: Reasoning | None, warnings: Warnings) -> bool | str | None:
    """A level if there is one, else on or off. Reasoning is always shown."""
    if reasoning is None:
        return None
    effort, budget = reasoning.effort, reasoning.budget_tokens
    if effort == "none" or budget == 0:
        return False
    if reasoning.summary is False:
        warnings.add("reasoning.summary", "reasoning is always sent")
    if budget is not None:
        warnings.add("reasoning.budget_tokens", "reasoning has levels here, and no budget")
    if effort is None:
        return True if budget is not None or reasoning.summary else None
    if effort in _EFFORTS:
        warnings.add("reasoning.effort", f"sent as {_EFFORTS[effort]}: there is no {effort}")
    return _EFFORTS.get(effort, effort)


class _Writer:
    """Writes the conversation. Remembers the calls, since their results need the names."""

    def __init__(self, warnings: Warnings) -> None:
        self._warn = warnings.add
        self._calls: dict[str, _Block] = {}

    def messages(self, messages: Iterable[Message]) -> list[_Block]:
        """One for each turn, and one for each tool result."""
        written: list[_Block] = []
        for number, message in enumerate(messages):
            path = f"messages[{number}]"
            parts = self._taken(message.parts, message.role, f"{path}.content")
            if message.role == "tool":
                turns = [self._result(part, at) for part, at in parts if isinstance(part, ToolResult)]
            else:
                turns = self._turn(message.role, parts)
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
                self._warn(f"{at}.cache", "what is cached is up to the server")
            if part.opaque is not None and opaque(part.opaque, _Id) is None:
                self._warn(f"{at}.opaque", "left out: not what this provider would take back")
            if isinstance(part, Text) and part.citations:
                self._warn(f"{at}.citations", "left out: there is no place for sources")
        return taken

    def _turn(self, role: str, parts: Iterable[tuple[Part, str]]) -> list[_Block]:
        """At most one message. Pieces of an answer are joined; other texts are set apart, as the server sets turns."""
        words: list[str] = []
        thoughts: list[str] = []
        images: list[str] = []
        calls: list[_Block] = []
        for part, path in parts:
            if isinstance(part, Text | RefusalPart):
                words.append(part.text)
                if isinstance(part, RefusalPart):
                    self._warn(path, "a refusal is sent as plain text")
            elif isinstance(part, ReasoningPart):
                thoughts.append(part.text)
            elif isinstance(part, Image):
                images += self._image(part, path)
            else:
                calls.append(self._call(cast("ToolCall", part), path))  # see _HOLDS: nothing else comes here
        content = ("" if role == "assistant" else "\n\n").join(words)
        fields = {"thinking": "".join(thoughts), "images": images, "tool_calls": calls}
        rest = {name: value for name, value in fields.items() if value}
        return [{"role": role, "content": content, **rest}] if content or rest else []

    def _call(self, part: ToolCall, path: str) -> _Block:
        try:
            arguments(part)
        except LocalError as error:
            raise LocalError(f"{path}: {error}") from error
        has_id = (opaque(part.opaque, _Id) or _Id()).id is UNSET
        self._calls[part.id] = {"tool_name": part.name, **({"tool_call_id": part.id} if has_id else {})}
        given = Raw((part.arguments or "{}").encode())  # as the model wrote it, number for number
        return {**({"id": part.id} if has_id else {}), "function": {"name": part.name, "arguments": given}}

    def _result(self, part: ToolResult, path: str) -> _Block:
        if part.is_error:
            self._warn(f"{path}.is_error", "sent like any other result")
        names = self._calls.get(part.id) or present({"tool_name": part.name, "tool_call_id": part.id})
        given = (Text(text=part.content),) if isinstance(part.content, str) else part.content
        turn = self._turn("tool", self._taken(given, "result", f"{path}.content"))
        return {"role": "tool", "content": "", **(turn[0] if turn else {}), **names}

    def _image(self, part: Image, path: str) -> list[str]:
        """An image in base64; none if the server would have to fetch it."""
        if part.detail is not None:
            self._warn(f"{path}.detail", _NO_SUCH)
        if part.data is not None:
            return [base64_text(part.data)]
        if part.url is None:
            raise LocalError(f"{path}: an image needs its bytes")
        inline = _DATA_URL.fullmatch(part.url)
        if inline is None:
            self._warn(path, "left out: this provider takes no images by URL")
            return []
        return [inline[1]]
