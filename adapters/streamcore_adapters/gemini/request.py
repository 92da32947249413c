"""Writes a request in the words of Google's `generateContent`.

System messages become one `systemInstruction`, wherever they stood. Results of tools become `functionResponse` parts of
a user's turn, and those of one turn go together, since Google counts them. What came from Gemini goes back as it came:
each part with its own signature, parts that only it understands word for word, ids of calls unless they were made up
here (see `gemini`).

Since Gemini 3 a call without a signature is refused, so one that comes from elsewhere gets the value that Google
documents for this. How much to think is a level since then; before, the effort is sent as the budget that Google's own
OpenAI-compatible API makes of it. An unknown model counts as new.

What `extra` holds under `generationConfig` and `toolConfig` is merged with what is derived from the rest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote

from msgspec import UNSET, Raw, Struct, UnsetType, structs

from streamcore.errors import LocalError
from streamcore.request import (
    ExtensionPart,
    File,
    Image,
    ReasoningPart,
    RefusalPart,
    Request,
    Schema,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from streamcore.wire import Warnings, arguments, base64_text, opaque, post, present

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamcore.request import HTTPRequest, Message, Part, Target, Tool

__all__ = ["UNSIGNED", "Opaque", "Source", "encode", "generation"]

_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_LEVELS: Final = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "XHIGH"}
_BUDGETS: Final = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
_NO_CACHE: Final = "what to cache cannot be marked; `cachedContent` in `extra` names what was cached before"
UNSIGNED: Final = "skip_thought_signature_validator"
_GENERATION: Final = re.compile(r"gemini-(\d+)")
_NEWEST: Final = 99
_DATA_URL: Final = re.compile(r"data:([^;,]+)[^,]*;base64,(.*)", re.DOTALL)
_RESOLUTION: Final = "MEDIA_RESOLUTION_"

_JSON: TypeAlias = dict[str, Any]


class Opaque(Struct, gc=False, frozen=True, omit_defaults=True, rename="camel"):
    """What `BlockEnd.opaque` carries. An `id` of null says that the call came without one."""

    thought_signature: str | None = None
    thought: bool | None = None
    id: UnsetType | None = UNSET


class Source(Struct, gc=False, rename="camel"):
    """What marks a citation as one of Gemini's, in either of its forms."""

    segment: Raw = Raw()
    end_index: int | None = None


def encode(request: Request, target: Target) -> HTTPRequest:
    """The request for a streamed answer.

    Raises:
        LocalError: It holds something that cannot be sent at all: arguments that are not a JSON object, bytes without
            their type, the result of an unknown tool, no message but those of the system.
    """
    model = request.model or target.model
    newness = generation(model)
    warnings = Warnings()
    warnings.unsupported(request, ("user", "cache_key"))
    if request.parallel_tool_calls is False:
        warnings.add("parallel_tool_calls", "several calls at once cannot be forbidden")
    system, contents = _Turns(newness, warnings).write(request.messages)
    body: _JSON = {
        "systemInstruction": system,
        "contents": contents,
        "tools": _tools(request.tools, warnings),
        "toolConfig": _tool_config(request),
        "generationConfig": _generation_config(request, newness, warnings),
        "labels": request.metadata or None,
    }
    extra = dict(request.extra or {})
    for name in ("toolConfig", "generationConfig"):
        if body[name] and isinstance(extra.get(name), dict):
            extra[name] = {**body[name], **extra[name]}
    return post(
        f"{target.url}/{_path(model)}:streamGenerateContent?alt=sse",
        body,
        target=target,
        request=structs.replace(request, extra=extra),
        headers={} if target.key is None else {"x-goog-api-key": target.key.reveal()},
        warnings=warnings,
    )


def generation(model: str) -> int:
    """The first number of a model's version; an unknown model counts as new."""
    found = _GENERATION.search(model)
    return int(found[1]) if found else _NEWEST


def _path(model: str) -> str:
    """The model as a resource: `gemini-…` is one of the `models`, `tunedModels/…` says itself what it is."""
    steps = model.split("/") if "/" in model else ["models", model]
    if not {"", ".", ".."}.isdisjoint(steps):
        raise LocalError(f"{model!r} is not the name of a model")
    return "/".join(quote(step, safe="") for step in steps)


def _tools(tools: Sequence[Tool], warnings: Warnings) -> list[_JSON] | None:
    declarations: list[_JSON] = []
    for number, tool in enumerate(tools):
        declaration = {
            "name": tool.name,
            "description": tool.description or None,
            "parametersJsonSchema": tool.parameters,
        }
        declarations.append(present(declaration))
        if tool.cache:
            warnings.add(f"tools[{number}].cache", _NO_CACHE)
    return [{"functionDeclarations": declarations}] if declarations else None


def _tool_config(request: Request) -> _JSON | None:
    """`VALIDATED` is what Google calls strict schemas where the model may also answer in words."""
    choice = request.tool_choice
    if isinstance(choice, ToolChoice):
        calling: _JSON = {"mode": "ANY", "allowedFunctionNames": [choice.name]}
    elif choice in {None, "auto"} and any(tool.strict for tool in request.tools):
        calling = {"mode": "VALIDATED"}
    elif choice is not None:
        calling = {"mode": _MODES[choice]}
    else:
        return None
    return {"functionCallingConfig": calling}


def _generation_config(request: Request, generation: int, warnings: Warnings) -> _JSON | None:
    output = request.output
    if isinstance(output, Schema) and output.description:
        warnings.add("output.description", "a schema is sent without words about it")
    config = {
        "maxOutputTokens": request.max_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "topK": request.top_k,
        "presencePenalty": request.presence_penalty,
        "frequencyPenalty": request.frequency_penalty,
        "stopSequences": request.stop or None,
        "seed": request.seed,
        "responseMimeType": "application/json" if output else None,
        "responseJsonSchema": output.schema if isinstance(output, Schema) else None,
        "thinkingConfig": _thinking_config(request, generation, warnings),
    }
    return present(config) or None


def _thinking_config(request: Request, generation: int, warnings: Warnings) -> _JSON | None:
    """A level or a budget, never both: Google refuses that."""
    reasoning = request.reasoning
    if reasoning is None:
        return None
    effort, budget, level = reasoning.effort, reasoning.budget_tokens, None
    if effort is not None and budget is not None:
        warnings.add("reasoning.effort", "the budget is sent instead: Google takes one of the two")
    elif effort is not None and generation < 3:
        budget = _BUDGETS.get(effort, _BUDGETS["high"])
        if effort not in _BUDGETS:
            warnings.add(
                "reasoning.effort", f"sent as a budget of {budget} tokens, the most that all these models take"
            )
    elif effort is not None:
        level = _LEVELS.get(effort, "MINIMAL" if effort == "none" else "XHIGH")
        if effort not in _LEVELS:
            warnings.add("reasoning.effort", f"sent as {level}: there is no level beyond")
    config = {"thinkingLevel": level, "thinkingBudget": budget, "includeThoughts": reasoning.summary}
    return present(config) or None


class _Turns:
    """Writes the conversation. Remembers the calls, since their results need the names."""

    def __init__(self, generation: int, warnings: Warnings) -> None:
        self._generation = generation
        self._warnings = warnings
        self._calls: dict[str, _JSON] = {}

    def write(self, messages: Sequence[Message]) -> tuple[_JSON | None, list[_JSON]]:
        """The system instruction and the contents."""
        system: list[Any] = []
        contents: list[_JSON] = []
        previous = ""
        for number, message in enumerate(messages):
            path = f"messages[{number}]"
            parts: list[Any] = []
            for place, part in enumerate(message.parts):
                where = f"{path}.content[{place}]"
                if message.role != "system" or isinstance(part, Text):
                    parts += self._part(part, where)
                else:
                    self._warnings.add(where, "left out: the system instruction is words alone")
            if message.role == "assistant":
                self._sign(parts, path)
            if message.role == "system":
                system += parts
                if contents:
                    self._warnings.add(path, "sent as if it stood before the conversation")
            elif not parts:
                self._warnings.add(path, "left out: there is nothing in it to send")
            elif message.role == previous == "tool":
                contents[-1]["parts"] += parts
            else:
                contents.append({"role": "model" if message.role == "assistant" else "user", "parts": parts})
                previous = message.role
        if not contents:
            raise LocalError("there is no message to send, but for the system's")
        return {"parts": system} if system else None, contents

    def _part(self, part: Part, path: str) -> list[Any]:
        """A part in Google's words; none if it cannot be sent, several for a result with images."""
        if part.cache:
            self._warnings.add(f"{path}.cache", _NO_CACHE)
        own = opaque(part.opaque, Opaque) or Opaque()
        if isinstance(part, ToolResult):
            return self._result(part, path)
        if isinstance(part, ExtensionPart):
            return self._extension(part, path)
        written: _JSON
        if isinstance(part, ToolCall):
            written = self._call(part, own)
        elif isinstance(part, Image | File):
            written = self._media(part, path)
        elif isinstance(part, ReasoningPart):
            if part.opaque is not None and own == Opaque():
                self._warnings.add(path, "left out: reasoning that another provider has signed")
                return []
            written = {"text": part.text, "thought": True}
        else:
            written = {"text": part.text}
            self._note(part, path)
            if not part.text and own.thought_signature is None:
                return []
        if own.thought:
            written["thought"] = True
        if own.thought_signature is not None:
            written["thoughtSignature"] = own.thought_signature
        return [written]

    def _note(self, part: Text | RefusalPart, path: str) -> None:
        """What is lost of a text: sources of other providers. Gemini's own are its to remember."""
        if isinstance(part, RefusalPart):
            self._warnings.add(path, "a refusal is sent as plain text")
        else:
            own = [opaque(raw, Source) for raw in part.citations]
            if any(source is None or not (source.segment or source.end_index) for source in own):
                self._warnings.add(f"{path}.citations", "left out: there is no place for sources")

    def _call(self, call: ToolCall, own: Opaque) -> _JSON:
        """The arguments are sent as they are, once they are known to be an object."""
        arguments(call)
        names = {"id": call.id} if own.id is UNSET and call.id else {}
        self._calls[call.id] = names = {**names, "name": call.name}
        return {"functionCall": {**names, "args": Raw((call.arguments or "{}").encode())}}

    def _sign(self, parts: list[Any], path: str) -> None:
        """Gemini 3 and later refuse calls of which the first in a row has no signature."""
        before = False
        for part in parts:
            call = isinstance(part, dict) and "functionCall" in part
            if call and not before and self._generation >= 3 and "thoughtSignature" not in part:
                part["thoughtSignature"] = UNSIGNED
                self._warnings.add(path, "a call without a thought signature: Google is asked not to look for one")
            before = call

    def _result(self, result: ToolResult, path: str) -> list[Any]:
        """The parts beside the words are within the response since Gemini 3, before they stand after it."""
        names = self._calls.get(result.id) or ({"id": result.id, "name": result.name} if result.name else None)
        if names is None:
            raise LocalError(f"{path}: Google wants the name of the tool, and no call before has the id {result.id!r}")
        content = (Text(text=result.content),) if isinstance(result.content, str) else result.content
        words = "\n".join(part.text for part in content if isinstance(part, Text))
        media = [
            self._media(part, f"{path}.content[{place}]")
            for place, part in enumerate(content)
            if not isinstance(part, Text)
        ]
        response = {**names, "response": {"error" if result.is_error else "output": words}}
        if self._generation < 3:
            return [{"functionResponse": response}, *media]
        return [{"functionResponse": {**response, "parts": media} if media else response}]

    def _extension(self, part: ExtensionPart, path: str) -> list[Any]:
        """A part of Gemini's goes back word for word."""
        if not part.name.startswith("gemini:"):
            self._warnings.add(path, f"left out: only its own provider understands {part.name}")
            return []
        if opaque(part.raw, dict[str, Raw]) is None:
            raise LocalError(f"{path}: {part.name} is not a JSON object")
        return [Raw(part.raw.encode())]

    def _media(self, part: Image | File, path: str) -> _JSON:
        """Bytes inline, everything else by address."""
        written: _JSON
        inline = _DATA_URL.fullmatch(part.url or "")
        if part.data is not None:
            if part.media_type is None:
                raise LocalError(f"{path}: Google wants the media type of what is sent as bytes")
            written = {"inlineData": {"mimeType": part.media_type, "data": base64_text(part.data)}}
        elif inline is not None:
            written = {"inlineData": {"mimeType": inline[1], "data": inline[2]}}
        else:
            address = part.url or (part.id if isinstance(part, File) else None)
            if address is None:
                raise LocalError(f"{path}: there are neither bytes nor an address")
            written = {"fileData": present({"mimeType": part.media_type, "fileUri": address})}
        if isinstance(part, File):
            if part.name is not None:
                self._warnings.add(f"{path}.name", "left out: files have no names")
        elif part.detail is not None and part.detail.startswith(_RESOLUTION):
            written["mediaResolution"] = {"level": part.detail}
        elif part.detail is not None:
            self._warnings.add(f"{path}.detail", f"left out: Google's words for it begin with {_RESOLUTION}")
        return written
