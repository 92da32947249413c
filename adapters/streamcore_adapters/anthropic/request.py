"""Writes a request in the words of Anthropic Messages.

Two versions of the API are alive. `2026-10-21` is sent unless the target's headers name another as
`anthropic-version`; it refuses what `2023-06-01` takes: sampling parameters, documents in an assistant's turn,
citations on a user's words. The rules follow the version that is sent.

The API demands `max_tokens`. Where a request has none, 8,192 are sent, and a thinking budget on top, for that counts
against them.

Turns of one role that follow each other are sent as one, and tool results stand first in theirs, as the API wants
them. What came from the assistant with a signature, an id or a citation goes back as it came. Sources and the whole
wire: see `anthropic`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Raw, Struct

from streamcore.errors import LocalError
from streamcore.request import (
    ExtensionPart,
    File,
    Image,
    Message,
    Part,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from streamcore.wire import Warnings, arguments, base64_text, opaque, post, present

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streamcore.request import HTTPRequest, Target

__all__ = ["encode", "is_citation"]

_Block: TypeAlias = dict[str, Any]

_VERSION: Final = "2026-10-21"
_MAX_TOKENS: Final = 8192
_CACHED: Final = {"type": "ephemeral"}
_IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_NOT_IN_AN_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")  # the ids of other providers may hold dots and colons
_CHOICES: Final = {"auto": "auto", "none": "none", "required": "any"}
_HOLDS: Final[Mapping[str, frozenset[type[Part]]]] = {
    "system": frozenset({Text}),
    "user": frozenset({Text, Image, File, ToolResult, ExtensionPart}),
    "assistant": frozenset({Text, File, ReasoningPart, RefusalPart, ToolCall, ExtensionPart}),
    "tool": frozenset({ToolResult}),
}


class _Signed(Struct, gc=False):
    signature: str | None = None


class _Citation(Struct, gc=False):
    type: str = ""


def encode(request: Request, target: Target) -> HTTPRequest:
    """The request for a streamed answer, of at most 8,192 tokens (besides a thinking budget) where it sets no limit.

    Raises:
        LocalError: It holds what cannot be sent at all, such as arguments that are not a JSON object.
    """
    headers = {"anthropic-version": _VERSION}
    if target.key is not None:
        headers["x-api-key"] = target.key.reveal()
    version = next((value for name, value in target.headers.items() if name.lower() == "anthropic-version"), _VERSION)
    warnings = Warnings()
    system, messages = _Writer(warnings, strict=version >= _VERSION).turns(request.messages)
    body = {
        "model": request.model or target.model,
        "max_tokens": _max_tokens(request),
        "system": system or None,
        "messages": messages,
        "tools": [_tool(tool) for tool in request.tools] or None,
        "tool_choice": _tool_choice(request, warnings),
        "thinking": _thinking(request.reasoning, warnings),
        "output_config": _output_config(request, warnings),
        "stop_sequences": request.stop or None,
        "metadata": _metadata(request, warnings),
        "stream": True,
    }
    for name in ("temperature", "top_p", "top_k"):
        if version < _VERSION:
            body[name] = getattr(request, name)
        elif getattr(request, name) is not None:
            warnings.add(name, f"API version {version} refuses it")
    warnings.unsupported(request, ("presence_penalty", "frequency_penalty", "seed", "cache_key"))
    return post(f"{target.url}/messages", body, target=target, request=request, headers=headers, warnings=warnings)


def _max_tokens(request: Request) -> int:
    if request.max_tokens is not None:
        return request.max_tokens
    return _MAX_TOKENS + ((request.reasoning and request.reasoning.budget_tokens) or 0)


def _tool(tool: Tool) -> _Block:
    return present(
        {
            "name": tool.name,
            "description": tool.description or None,
            "input_schema": {"type": "object", **(tool.parameters or {"properties": {}})},
            "strict": tool.strict,
            "cache_control": _CACHED if tool.cache else None,
        }
    )


def _tool_choice(request: Request, warnings: Warnings) -> _Block | None:
    choice, parallel = request.tool_choice, request.parallel_tool_calls
    if not request.tools and "tools" not in (request.extra or {}):
        for name in ("tool_choice", "parallel_tool_calls"):
            if getattr(request, name) is not None:
                warnings.add(name, "refused without tools")
        return None
    if isinstance(choice, ToolChoice):
        wire: _Block = {"type": "tool", "name": choice.name}
    elif choice is not None:
        wire = {"type": _CHOICES[choice]}
    elif parallel is False:
        wire = {"type": "auto"}
    else:
        return None
    if parallel is False and choice != "none":
        wire["disable_parallel_tool_use"] = True
    return wire


def _thinking(reasoning: Reasoning | None, warnings: Warnings) -> _Block | None:
    """Within a budget if one is given, else as much as the model likes. Whether it is shown is said here too."""
    if reasoning is None:
        return None
    budget = reasoning.budget_tokens
    if reasoning.effort == "none" or budget == 0:
        if budget:
            warnings.add("reasoning.budget_tokens", "there is none where the effort is none")
        return {"type": "disabled"}
    display = None if reasoning.summary is None else "summarized" if reasoning.summary else "omitted"
    if budget is not None:
        return present({"type": "enabled", "budget_tokens": budget, "display": display})
    if reasoning.effort is not None or display is not None:
        return present({"type": "adaptive", "display": display})
    return None


def _output_config(request: Request, warnings: Warnings) -> _Block | None:
    config: _Block = {}
    effort = None if request.reasoning is None else request.reasoning.effort
    if effort == "minimal":
        warnings.add("reasoning.effort", "the least is low, which is sent")
        config["effort"] = "low"
    elif effort is not None and effort != "none":
        config["effort"] = effort
    output = request.output
    if output == "json":
        warnings.add("output", "there is no JSON mode without a schema")
    elif output is not None:
        config["format"] = {"type": "json_schema", "schema": output.schema}
        if output.description:
            warnings.add("output.description", "not supported by this provider")
        if output.strict is False:
            warnings.add("output.strict", "a schema is always enforced")
    return config or None


def _metadata(request: Request, warnings: Warnings) -> _Block | None:
    metadata = dict(request.metadata or {})
    given = metadata.pop("user_id", None)
    for name in metadata:
        warnings.add(f"metadata.{name}", "this provider takes user_id only")
    return {"user_id": request.user or given} if request.user or given else None


class _Writer:
    """Writes the conversation. `strict` is whether the rules of API version 2026-10-21 hold."""

    def __init__(self, warnings: Warnings, *, strict: bool) -> None:
        self._warn = warnings.add
        self._strict = strict

    def turns(self, messages: Iterable[Message]) -> tuple[list[_Block], list[_Block]]:
        """The system prompt, and the turns that follow it."""
        system: list[_Block] = []
        turns: list[tuple[str, list[_Block]]] = []
        for number, message in enumerate(messages):
            path = f"messages[{number}]"
            blocks = self._blocks(message.parts, message.role, f"{path}.content")
            role = "user" if message.role == "tool" else message.role
            if not blocks:
                self._warn(path, "left out: nothing in it can be sent")
            elif role == "system" and not turns:
                system += blocks
            elif turns and turns[-1][0] == role:
                turns[-1][1].extend(blocks)
            else:
                turns.append((role, blocks))
        for _, blocks in turns:
            blocks.sort(key=lambda block: block.get("type") != "tool_result")
        return system, [{"role": role, "content": blocks} for role, blocks in turns]

    def _blocks(self, parts: Iterable[Part], role: str, path: str) -> list[_Block]:
        blocks = (self._block(part, role, f"{path}[{number}]") for number, part in enumerate(parts))
        return [block for block in blocks if block is not None]

    def _block(self, part: Part, role: str, path: str) -> _Block | None:
        if type(part) not in _HOLDS[role]:
            self._warn(path, f"{type(part).__name__} cannot stand in a turn of role {role}")
            return None
        block = self._written(part, role, path)
        if block is not None and part.cache:
            if isinstance(part, ReasoningPart):
                self._warn(f"{path}.cache", "a thinking block cannot end what is cached")
            else:
                block["cache_control"] = _CACHED
        return block

    def _written(self, part: Part, role: str, path: str) -> _Block | None:
        if isinstance(part, Text | RefusalPart):
            return self._text(part, role, path)
        if isinstance(part, Image):
            return self._image(part, path)
        if isinstance(part, File):
            return self._file(part, role, path)
        if isinstance(part, ReasoningPart):
            return self._reasoning(part, path)
        if isinstance(part, ToolCall):
            return _tool_call(part, path)
        if isinstance(part, ToolResult):
            return self._tool_result(part, path)
        return self._extension(part, path)

    def _text(self, part: Text | RefusalPart, role: str, path: str) -> _Block | None:
        if not part.text:
            self._warn(path, "left out: empty text is refused")
            return None
        if isinstance(part, RefusalPart):
            self._warn(path, "a refusal is sent as plain text")
        block: _Block = {"type": "text", "text": part.text}
        citations = part.citations if isinstance(part, Text) else ()
        if citations and role != "assistant" and self._strict:
            self._warn(f"{path}.citations", f"API version {_VERSION} takes them from the assistant only")
            return block
        own: list[Raw] = []
        for number, citation in enumerate(citations):
            if is_citation(citation):
                own.append(Raw(citation.encode()))
            else:
                self._warn(f"{path}.citations[{number}]", "not a citation of this provider's")
        if own:
            block["citations"] = own
        return block

    def _image(self, part: Image | File, path: str) -> _Block | None:
        if isinstance(part, Image) and part.detail is not None:
            self._warn(f"{path}.detail", "not supported by this provider")
        if part.data is not None and part.media_type not in _IMAGES:
            self._warn(path, f"images are JPEG, PNG, GIF or WebP, not {part.media_type or 'of no media type'}")
            return None
        return {"type": "image", "source": _source(part, path)}

    def _file(self, part: File, role: str, path: str) -> _Block | None:
        media_type = part.media_type or ""
        kind = media_type.partition("/")[0]
        if role == "assistant" and (self._strict or kind == "image"):
            self._warn(path, "a file cannot stand in an assistant's turn")
            return None
        if kind == "image":
            return self._image(part, path)
        if kind == "text" and part.data is not None:
            try:
                source = {"type": "text", "media_type": "text/plain", "data": part.data.decode()}
            except UnicodeDecodeError as error:
                raise LocalError(f"{path}: the text is not UTF-8: {error}") from error
        elif part.id is not None or media_type == "application/pdf" or (part.data is None and not media_type):
            source = _source(part, path)
        else:
            self._warn(path, f"documents are PDF, or text given as bytes, not {media_type or 'of no media type'}")
            return None
        return present({"type": "document", "source": source, "title": part.name})

    def _reasoning(self, part: ReasoningPart, path: str) -> _Block | None:
        carried = opaque(part.opaque, _Signed)
        if carried is None or carried.signature is None:
            self._warn(path, "left out: reasoning that this provider has not signed")
            return None
        return {"type": "thinking", "thinking": part.text, "signature": carried.signature}

    def _tool_result(self, part: ToolResult, path: str) -> _Block:
        given = part.content
        content = given if isinstance(given, str) else self._blocks(given, "user", f"{path}.content")
        block: _Block = {"type": "tool_result", "tool_use_id": _NOT_IN_AN_ID.sub("_", part.id), "content": content}
        if part.is_error:
            block["is_error"] = True
        return block

    def _extension(self, part: ExtensionPart, path: str) -> _Block | None:
        if not part.name.startswith("anthropic:"):
            self._warn(path, f"{part.name} is another provider's")
            return None
        block: _Block | None = opaque(part.raw, dict[str, Raw])
        if block is None:
            raise LocalError(f"{path}: the raw text of {part.name} is not a JSON object")
        return block


def is_citation(text: str) -> bool:
    """Whether it is one of this API's: char_location, page_location, web_search_result_location, ..."""
    citation = opaque(text, _Citation)
    return citation is not None and citation.type.endswith("_location")


def _tool_call(part: ToolCall, path: str) -> _Block:
    try:
        arguments(part)
    except LocalError as error:
        raise LocalError(f"{path}: {error}") from error
    given = Raw((part.arguments or "{}").encode())  # as the model wrote it, number for number
    block: _Block = {"type": "tool_use", "id": _NOT_IN_AN_ID.sub("_", part.id), "name": part.name, "input": given}
    carried = opaque(part.opaque, dict[str, Raw]) or {}
    return block | {name: carried[name] for name in ("caller", "toolset_name") if name in carried}


def _source(part: Image | File, path: str) -> _Block:
    if part.data is not None:
        return {"type": "base64", "media_type": part.media_type, "data": base64_text(part.data)}
    if isinstance(part, File) and part.id is not None:
        return {"type": "file", "file_id": part.id}
    if part.url is not None:
        return {"type": "url", "url": part.url}
    raise LocalError(f"{path}: {type(part).__name__} has no bytes, no URL and no id")
