"""Reads what clients of Gemini ask for: the reverse of `request`.

Field names may be in snake case, and a list of one may come without its brackets: Google takes both, and its own
examples for curl have them. The dialect of OpenAPI in `parameters` and `responseSchema` becomes JSON Schema. A call
without an `id` gets one from its place in the conversation, and `"id": null` in its opaque says so; a result without
one belongs to the first call of that name that has none yet.

What a `Request` has no place for goes into `extra` under Google's names: safety settings, what was cached, tools that
run at Google (then with all the tools beside them), and what is left of `generationConfig` and `toolConfig`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Raw, Struct

from streamcore.dialect import Call
from streamcore.errors import LocalError
from streamcore.request import Reasoning, Request, Schema, Tool, ToolChoice
from streamcore.serving import given, plain, read, read_body, split

from .chunk import ABSENT
from .request import generation
from .server_json import camel, items, json_schema
from .server_messages import Content, Turns

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["parse"]

_METHODS: Final = {"streamGenerateContent": True, "generateContent": False}
_MODES: Final[Mapping[str, Literal["auto", "none", "required"] | None]] = {
    "MODE_UNSPECIFIED": None,
    "AUTO": "auto",
    "ANY": "required",
    "NONE": "none",
    "VALIDATED": None,  # the tools are strict
}
_EFFORTS: Final[Mapping[str, Literal["minimal", "low", "medium", "high", "xhigh"] | None]] = {
    "THINKING_LEVEL_UNSPECIFIED": None,
    "MINIMAL": "minimal",
    "LOW": "low",
    "MEDIUM": "medium",
    "HIGH": "high",
    "XHIGH": "xhigh",
}


class _Body(Struct, gc=False, rename="camel"):
    model: Raw = ABSENT  # the address says it
    contents: Raw = ABSENT
    system_instruction: Content | None = None
    tools: Raw = ABSENT
    tool_config: Raw = ABSENT
    generation_config: Raw = ABSENT
    labels: dict[str, str] | None = None


class _Config(Struct, gc=False, rename="camel"):
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None  # Google's own client sends 40.0
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop_sequences: tuple[str, ...] | None = None
    seed: int | None = None
    thinking_config: Raw = ABSENT
    response_mime_type: str | None = None
    response_json_schema: dict[str, Any] | None = None
    response_schema: dict[str, Any] | None = None


class _Thinking(Struct, gc=False, rename="camel"):
    include_thoughts: bool | None = None
    thinking_budget: int | None = None
    thinking_level: str | None = None


class _Choice(Struct, gc=False, rename="camel"):
    function_calling_config: Raw = ABSENT


class _Calling(Struct, gc=False, rename="camel"):
    mode: str | None = None
    allowed_function_names: tuple[str, ...] | None = None


class _Tools(Struct, gc=False, rename="camel"):
    function_declarations: Raw = ABSENT


class _Declaration(Struct, gc=False, rename="camel"):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    parameters_json_schema: dict[str, Any] | None = None


def parse(body: bytes, matched: Mapping[str, str], /) -> Call:
    """What a client asks for; `matched` has the `model`, and the `method`, which says whether it wants a stream.

    Raises:
        LocalError: It is no request of this format; says where not.
    """
    method = matched.get("method", "streamGenerateContent")
    if method not in _METHODS:
        raise LocalError(f"{method!r} is not served here, only {' and '.join(_METHODS)}")
    try:
        return Call(request=_request(body, matched["model"]), stream=_METHODS[method])
    except RecursionError as error:
        raise LocalError("the body: nested too deeply") from error


def _request(body: bytes, model: str) -> Request:
    fields, rest = split(camel(read_body(body, Raw)), _Body, "")
    turns = Turns(generation(model))
    messages = turns.read(items(fields.contents, "contents"))
    if not messages:
        raise LocalError("contents: there is nothing in it")
    extra = plain(rest)
    choice, strict = _tool_choice(fields.tool_config, extra)
    path = "generationConfig"
    config, other = split(fields.generation_config if given(fields.generation_config) else b"{}", _Config, path)
    own = plain(other)
    output, reasoning = _output(config, own), _reasoning(config.thinking_config, own)
    if config.top_k is not None and not config.top_k.is_integer():
        raise LocalError(f"{path}.topK: Expected `int`, got {config.top_k}")
    return Request(
        messages=(*turns.read_system(fields.system_instruction), *messages),
        model=model,
        tools=_tools(fields.tools, extra, strict=strict),
        tool_choice=choice,
        output=output,
        reasoning=reasoning,
        max_tokens=config.max_output_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        top_k=None if config.top_k is None else int(config.top_k),
        presence_penalty=config.presence_penalty,
        frequency_penalty=config.frequency_penalty,
        stop=config.stop_sequences or (),
        seed=config.seed,
        metadata=fields.labels,
        extra={**extra, **({path: own} if own else {})} or None,
    )


def _tools(raw: Raw, extra: dict[str, Any], *, strict: bool | None) -> tuple[Tool, ...]:
    """The functions. If there is anything that is none, or more about one, all go into `extra` as well."""
    tools: list[Tool] = []
    other = False
    for number, item in enumerate(items(raw, "tools")):
        path = f"tools[{number}]"
        functions, rest = split(item, _Tools, path)
        other = other or bool(rest)
        for place, function in enumerate(items(functions.function_declarations, f"{path}.functionDeclarations")):
            declared, rest = split(function, _Declaration, f"{path}.functionDeclarations[{place}]")
            other = other or bool(rest)
            parameters = declared.parameters_json_schema
            if parameters is None and declared.parameters is not None:
                parameters = json_schema(declared.parameters)
            tools.append(Tool(declared.name, declared.description or "", parameters, strict))
    if other:
        extra["tools"] = [read(item, object, "tools") for item in items(raw, "tools")]
    return tuple(tools)


def _tool_choice(
    raw: Raw, extra: dict[str, Any]
) -> tuple[Literal["auto", "none", "required"] | ToolChoice | None, bool | None]:
    """Which tools may be called, and whether strictly. More than one name can be said to Google only."""
    if not given(raw):
        return None, None
    path = "toolConfig.functionCallingConfig"
    choice, rest = split(raw, _Choice, "toolConfig")
    own = plain(rest)
    calling, rest = _Calling(), dict[str, Raw]()
    if given(choice.function_calling_config):
        calling, rest = split(choice.function_calling_config, _Calling, path)
    mode = (calling.mode or "MODE_UNSPECIFIED").upper()
    if mode not in _MODES:
        raise LocalError(f"{path}.mode: {calling.mode!r} is none of {', '.join(_MODES)}")
    names = list(calling.allowed_function_names or ())
    named = ToolChoice(names[0]) if mode == "ANY" and len(names) == 1 else None
    if rest or (names and named is None):
        own["functionCallingConfig"] = read(choice.function_calling_config, object, path)
    if own:
        extra["toolConfig"] = own
    return named or _MODES[mode], True if mode == "VALIDATED" else None


def _output(config: _Config, own: dict[str, Any]) -> Literal["json"] | Schema | None:
    """JSON, of a schema or not. Other types are Google's own."""
    schema = config.response_json_schema
    if schema is None and config.response_schema is not None:
        schema = json_schema(config.response_schema)
    if config.response_mime_type not in {None, "application/json", "text/plain"}:
        own["responseMimeType"] = config.response_mime_type
        if config.response_schema is not None:
            own["responseSchema"] = config.response_schema
        if config.response_json_schema is not None:
            own["responseJsonSchema"] = config.response_json_schema
        return None
    if schema is not None:
        return Schema(schema)
    return "json" if config.response_mime_type == "application/json" else None


def _reasoning(raw: Raw, own: dict[str, Any]) -> Reasoning | None:
    """How much to think. A budget below 0 leaves it to Google, in a way that only Google understands."""
    path = "generationConfig.thinkingConfig"
    thinking, rest = split(raw if given(raw) else b"{}", _Thinking, path)
    level = (thinking.thinking_level or "THINKING_LEVEL_UNSPECIFIED").upper()
    if level not in _EFFORTS:
        raise LocalError(f"{path}.thinkingLevel: {thinking.thinking_level!r} is none of {', '.join(_EFFORTS)}")
    budget = thinking.thinking_budget
    if rest or (budget is not None and budget < 0):
        own["thinkingConfig"] = read(raw, object, path)
        budget = None if budget is None or budget < 0 else budget
    reasoning = Reasoning(effort=_EFFORTS[level], budget_tokens=budget, summary=thinking.include_thoughts)
    return None if reasoning == Reasoning() else reasoning
