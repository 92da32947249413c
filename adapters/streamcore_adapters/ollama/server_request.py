"""Reads what clients of Ollama ask for: the reverse of `request`.

A call without an `id` (Ollama's own Python client drops them) gets one from its place in the conversation, and `"id":
null` in its opaque says so. A result is told by its `tool_call_id`, else by its `tool_name`, else by its place: then it
belongs to the first call that has none yet. Images stand after the words, and their type is read off their first bytes.
Whatever a `Request` has no place for goes into `extra` under Ollama's names, and what is left of `options` too.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Raw, Struct, structs

from streamcore.dialect import Call
from streamcore.errors import LocalError
from streamcore.request import (
    Image,
    Message,
    Reasoning,
    ReasoningPart,
    Request,
    Schema,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from streamcore.serving import REASONING, given, plain, read, read_body, split

from .decoder import media_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.request import Part

__all__ = ["parse"]

_Effort = Literal["low", "medium", "high", "max"]

_ABSENT: Final = Raw()
_MADE_UP: Final = '{"id":null}'


class _Function(Struct, gc=False):
    name: str
    arguments: Raw = _ABSENT


class _Call(Struct, gc=False):
    function: _Function
    id: str | None = None


class _Message(Struct, gc=False):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[_Call] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class _Declared(Struct, gc=False):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Tool(Struct, gc=False):
    function: _Declared
    type: Literal["function"] | None = None


class _Options(Struct, gc=False):
    num_predict: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] | None = None
    seed: int | None = None


class _Body(Struct, gc=False):
    model: str
    messages: list[_Message] = []
    stream: bool | None = None
    tools: list[_Tool] | None = None
    format: Raw = _ABSENT
    think: bool | _Effort | None = None
    options: Raw = _ABSENT


def parse(body: bytes, matched: Mapping[str, str], /) -> Call:  # noqa: ARG001 - the path names nothing
    """What a client asks for, streamed unless it says otherwise.

    Raises:
        LocalError: It is no request of this format; says where not.
    """
    asked, others = split(read_body(body, Raw), _Body, "")
    if not asked.messages:
        raise LocalError("messages: there are none")
    options, left = split(asked.options if given(asked.options) else b"{}", _Options, "options")
    extra, rest = plain(others), plain(left)
    limit = options.num_predict
    if limit is not None and limit < 1:  # as much as the model likes, or as fits
        rest["num_predict"], limit = limit, None
    if rest:
        extra["options"] = rest
    request = Request(
        messages=_Turns().read(asked.messages),
        model=asked.model,
        tools=tuple(
            Tool(tool.function.name, tool.function.description or "", tool.function.parameters)
            for tool in asked.tools or ()
        ),
        output=_output(asked.format),
        reasoning=_reasoning(asked.think),
        max_tokens=limit,
        temperature=options.temperature,
        top_p=options.top_p,
        top_k=options.top_k,
        presence_penalty=options.presence_penalty,
        frequency_penalty=options.frequency_penalty,
        stop=options.stop or (),
        seed=options.seed,
        extra=extra or None,
    )
    return Call(request=request, stream=asked.stream is not False)


def _output(format: Raw) -> Literal["json"] | Schema | None:
    """`"json"`, or a schema."""
    if not given(format) or bytes(format) == b'""':
        return None
    if bytes(format) == b'"json"':
        return "json"
    return Schema(read(format, dict[str, Any], "format"))


def _reasoning(think: bool | _Effort | None) -> Reasoning | None:  # noqa: FBT001 - the wire's own
    if think is None:
        return None
    if isinstance(think, str):
        return Reasoning(effort=think)
    return REASONING if think else Reasoning(effort="none")


class _Turns:
    """Reads the conversation. Remembers the calls, since results need not name them."""

    def __init__(self) -> None:
        self._waiting: list[ToolCall] = []  # calls that have no result yet

    def read(self, messages: list[_Message]) -> tuple[Message, ...]:
        """All turns; results that follow one another in one message."""
        turns: list[Message] = []
        for number, message in enumerate(messages):
            path = f"messages[{number}]"
            if message.role != "tool":
                turns.append(self._turn(message, number, path))
                continue
            result = self._result(message, path)
            if turns and turns[-1].role == "tool":
                turns[-1] = structs.replace(turns[-1], content=(*turns[-1].parts, result))
            else:
                turns.append(Message("tool", (result,)))
        return tuple(turns)

    def _turn(self, message: _Message, number: int, path: str) -> Message:
        content = message.content or ""
        parts: list[Part] = [ReasoningPart(text=message.thinking)] if message.thinking else []
        parts += [Text(text=content)] if content else []
        parts += _images(message, path)
        for place, call in enumerate(message.tool_calls or ()):
            arguments = bytes(call.function.arguments) if given(call.function.arguments) else b"{}"
            read(arguments, dict[str, Raw], f"{path}.tool_calls[{place}].function.arguments")
            made_up = None if call.id else f"call_{number}_{place}"
            part = ToolCall(
                id=made_up or call.id or "",
                name=call.function.name,
                arguments=arguments.decode("utf-8", "replace"),
                opaque=_MADE_UP if made_up else None,
            )
            self._waiting.append(part)
            parts.append(part)
        is_plain = len(parts) == 1 and isinstance(parts[0], Text)
        return Message(message.role, content if is_plain else tuple(parts))

    def _result(self, message: _Message, path: str) -> ToolResult:
        id, name = message.tool_call_id or None, message.tool_name or None
        named = (
            call for call in self._waiting if (id is not None and call.id == id) or (id is None and call.name == name)
        )
        call = next(named, None)
        if call is None and id is None:
            if not self._waiting:
                raise LocalError(f"{path}: there is no call before it that has no result yet")
            call = self._waiting[0]
        if call is not None:
            self._waiting.remove(call)
            id, name = call.id, name or call.name
        words = message.content or ""
        images = _images(message, path)
        content = (*((Text(text=words),) if words else ()), *images) if images else words
        return ToolResult(id=id or "", content=content, name=name)


def _images(message: _Message, path: str) -> list[Image]:
    images: list[Image] = []
    for number, text in enumerate(message.images or ()):
        try:
            data = base64.b64decode(text, validate=True)
        except ValueError as error:
            raise LocalError(f"{path}.images[{number}]: {error}") from error
        kind = media_type(data)
        images.append(Image(data=data, media_type=kind if kind.startswith("image/") else None))
    return images
