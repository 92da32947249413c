"""The body of a request as clients of Anthropic Messages send it. Fields that are not read here are not looked at."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Raw, Struct

__all__ = [
    "URL",
    "Body",
    "Bytes",
    "Choice",
    "Cited",
    "DocumentBlock",
    "Effort",
    "FileId",
    "Head",
    "ImageBlock",
    "TextBlock",
    "Thinking",
    "ThinkingBlock",
    "ToolBody",
    "ToolResultBlock",
    "ToolUseBlock",
    "Turn",
    "Words",
]

Effort: TypeAlias = Literal["low", "medium", "high", "xhigh", "max"]
"""How much effort an answer is worth."""


class Cache(Struct, gc=False):
    type: Literal["ephemeral"]


class Head(Struct, kw_only=True):
    """What all blocks share."""

    type: str
    cache_control: Cache | None = None


class TextBlock(Head, kw_only=True):
    """Words, with the sources they are from."""

    text: str
    citations: list[Raw] | None = None


class Cited(Struct):
    """The one field of a citation that tells whose it is."""

    encrypted_index: str | None = None


class Bytes(Struct, tag="base64", tag_field="type"):
    """Data in base64."""

    media_type: str
    data: bytes


class URL(Struct, tag="url", tag_field="type"):
    """An address, which Anthropic fetches itself."""

    url: str


class FileId(Struct, tag="file", tag_field="type"):
    """A file that was uploaded."""

    file_id: str


class Words(Struct, tag="text", tag_field="type"):
    """A text as a document."""

    data: str
    media_type: Literal["text/plain"] = "text/plain"


class Nested(Struct, tag="content", tag_field="type"):
    content: Raw


class ImageBlock(Head, kw_only=True):
    """An image."""

    source: Bytes | URL | FileId


class Enabled(Struct):
    enabled: bool = False


class DocumentBlock(Head, kw_only=True):
    """A document, and what is to be done with it."""

    source: Bytes | URL | FileId | Words | Nested
    title: str | None = None
    context: str | None = None
    citations: Enabled | None = None


class ThinkingBlock(Head, kw_only=True):
    """Thinking of an earlier turn."""

    thinking: str
    signature: str = ""


class ToolUseBlock(Head, kw_only=True):
    """A call of an earlier turn."""

    id: str
    name: str
    input: dict[str, Raw]


class ToolResultBlock(Head, kw_only=True):
    """What a call gave."""

    tool_use_id: str
    content: str | list[Raw] | None = None
    is_error: bool | None = None


class Turn(Struct):
    """A turn of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Raw]


class ToolBody(Struct):
    """A tool: of the client, which has a schema, or of the server, which has a type."""

    name: str
    input_schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None
    cache_control: Cache | None = None
    type: str | None = None


class Choice(Struct):
    """What is to be called, and whether more than one."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(Struct):
    """Whether to think, and how much."""

    type: str
    budget_tokens: Annotated[int, Meta(ge=0)] | None = None
    display: str | None = None


class Format(Struct, tag="json_schema", tag_field="type"):
    schema: dict[str, Any]


class Output(Struct):
    effort: Effort | None = None
    format: Format | None = None


class Metadata(Struct):
    user_id: str | None = None


class Body(Struct, kw_only=True):
    """The whole request."""

    model: Annotated[str, Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=0)]
    messages: Annotated[list[Turn], Meta(min_length=1)]
    system: str | list[Raw] | None = None
    tools: list[ToolBody] | None = None
    tool_choice: Choice | None = None
    thinking: Thinking | None = None
    output_config: Output | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    metadata: Metadata | None = None
    stream: bool | None = None
