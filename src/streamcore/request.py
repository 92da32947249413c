"""What is asked of a model, in one form for every provider.

A `Request` says what is wanted; an adapter's `encode` says it in the provider's words and returns an `HTTPRequest`.
What a provider has no word for is reported in `HTTPRequest.warnings`, never dropped in silence. JSON values that a
caller gives (schemas, `extra`) are plain Python objects; JSON that a provider gave and must get back is JSON text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from .errors import LocalError
from .redaction import shown_url

__all__ = [
    "Content",
    "ExtensionPart",
    "File",
    "HTTPRequest",
    "Image",
    "JSONSchema",
    "Message",
    "Part",
    "Reasoning",
    "ReasoningPart",
    "RefusalPart",
    "Request",
    "RequestWarning",
    "Schema",
    "Secret",
    "Target",
    "Text",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolResult",
    "prompt",
]

JSONSchema: TypeAlias = Mapping[str, Any]


class Secret:
    """A key that shows itself to nobody: not in a repr, a log line, a pickle or a record."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The key itself, for the one header it belongs in."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, _memo: object) -> Secret:
        return self

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        return type(self), ("",)  # a copy in another process has no key


class _Part(Struct, frozen=True, tag_field="type", omit_defaults=True, kw_only=True):
    """What all parts of a message share.

    `cache` asks the provider to keep the prompt up to and including this part; `opaque` is the JSON text that came in
    this block's `BlockEnd` and goes back to the provider it came from.
    """

    cache: bool = False
    opaque: str | None = None


class Text(_Part, frozen=True, tag="text"):
    """Words. `citations` are the provider's own, as JSON text, for a block that goes back to it."""

    text: str
    citations: tuple[str, ...] = ()


class Image(_Part, frozen=True, tag="image"):
    """An image, as bytes (with their media type) or by URL. `detail` is a provider's word for the resolution."""

    data: bytes | None = None
    url: str | None = None
    media_type: str | None = None
    detail: str | None = None


class File(_Part, frozen=True, tag="file"):
    """A document or a sound: bytes (with their media type), a URL, or the `id` of a file the provider has already."""

    data: bytes | None = None
    url: str | None = None
    id: str | None = None
    media_type: str | None = None
    name: str | None = None


class ReasoningPart(_Part, frozen=True, tag="reasoning"):
    """Reasoning of an earlier turn, to be returned to the provider that signed it."""

    text: str


class RefusalPart(_Part, frozen=True, tag="refusal"):
    """A refusal of an earlier turn."""

    text: str


class ToolCall(_Part, frozen=True, tag="tool_call"):
    """A call the model made. `arguments` is JSON text, "" for none."""

    id: str
    name: str
    arguments: str = ""


class ToolResult(_Part, frozen=True, tag="tool_result"):
    """The answer to a tool call: words, or parts where the provider can read them. `name` is the tool's."""

    id: str
    content: str | tuple[Text | Image | File, ...] = ""
    name: str | None = None
    is_error: bool = False


class ExtensionPart(_Part, frozen=True, tag="extension"):
    """A block that only its provider understands, returned to it as it came. `name` is the `Extension`'s."""

    name: str
    raw: str


Part: TypeAlias = Text | Image | File | ReasoningPart | RefusalPart | ToolCall | ToolResult | ExtensionPart
Content: TypeAlias = str | Sequence[Part]
Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


class Message(Struct, frozen=True, omit_defaults=True):
    """One turn of a conversation. `tool` turns hold `ToolResult` parts and nothing else."""

    role: Role
    content: str | tuple[Part, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The content as parts, also where it was given as a plain string."""
        if isinstance(self.content, str):
            return (Text(text=self.content),) if self.content else ()
        return self.content


class Tool(Struct, frozen=True, omit_defaults=True):
    """A function the model may call. `parameters` is the JSON Schema of its arguments, an object."""

    name: str
    description: str = ""
    parameters: JSONSchema | None = None
    strict: bool | None = None
    cache: bool = False


class ToolChoice(Struct, frozen=True):
    """The model must call the tool of this name."""

    name: str


class Schema(Struct, frozen=True, omit_defaults=True):
    """The answer must be JSON of this schema."""

    schema: JSONSchema
    name: str = "answer"
    description: str | None = None
    strict: bool | None = None


class Reasoning(Struct, frozen=True, omit_defaults=True):
    """How much to think. `effort` and `budget_tokens` exclude each other with some providers.

    `summary` asks for the text of the reasoning (or a summary of it) in the stream; None leaves the provider's default.
    """

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    budget_tokens: int | None = None
    summary: bool | None = None


class Request(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What is asked of a model. Everything but the messages may be left to the provider.

    `model` overrides the endpoint's. `max_tokens` bounds the output, reasoning included. `output` is `"json"` for any
    JSON or a `Schema`. `cache_key` groups requests that share a beginning. `extra` goes into the body as it is, last,
    over what was derived from the rest: it is for what only one provider has.
    """

    messages: tuple[Message, ...]
    model: str | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: Literal["auto", "none", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    output: Literal["json"] | Schema | None = None
    reasoning: Reasoning | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    user: str | None = None
    metadata: Mapping[str, str] | None = None
    cache_key: str | None = None
    extra: Mapping[str, Any] | None = None


class RequestWarning(Struct, frozen=True):
    """Something in the request that the provider cannot take. `field` is a path: `top_k`, `messages[2].content[0]`."""

    field: str
    message: str


class Target(Struct, frozen=True):
    """Where a request goes: the address up to the API's root, the model, the key, and headers of the caller's own."""

    url: str
    model: str
    key: Secret | None = None
    headers: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"Target(url={shown_url(self.url)!r}, model={self.model!r}, key={self.key!r}, headers={sorted(self.headers)})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # msgspec's own shows every value
        return [
            ("url", shown_url(self.url)),
            ("model", self.model),
            ("key", self.key),
            ("headers", sorted(self.headers)),
        ]


class HTTPRequest(Struct, frozen=True):
    """What is sent. Header names are lower case; the repr shows no header's value and no body."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    warnings: tuple[RequestWarning, ...] = ()

    def __repr__(self) -> str:
        return f"HTTPRequest({self.method} {shown_url(self.url)}, headers={sorted(self.headers)}, body={len(self.body)} bytes)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("method", self.method), ("url", shown_url(self.url)), ("headers", sorted(self.headers))]


def prompt(text: str, *, system: str | None = None, max_tokens: int | None = None) -> Request:
    """A request with one user message, and a system message before it if given.

    Raises:
        LocalError: The text is empty.
    """
    if not text:
        raise LocalError("a prompt needs at least one character")
    head = () if system is None else (Message("system", system),)
    return Request(messages=(*head, Message("user", text)), max_tokens=max_tokens)
