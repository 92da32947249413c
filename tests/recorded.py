"""Recorded answers as a plain look at their bytes sees them: cut where each JSON value ends, without our parsers.

A recording says whose it is, so that its tokens can be priced: where the price list knows its provider and its model,
those, else OpenAI's.
"""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import pytest
from support import MISSING, Row, rows

import streamcore as sc
from streamcore.testing import Answer, FaultyTransport
from streamcore_adapters import anthropic, bedrock, cohere, compatible, gemini, mistral, ollama, openai_responses
from streamcore_adapters.openai_chat import Compatible, Quirks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from streamcore.adapter import Adapter
    from streamcore.testing import Pause

WIRES: Final[dict[str, Adapter]] = {
    "chat_completions": Compatible(url="https://example.org/v1", quirks=Quirks()),
    "responses": openai_responses,
    "messages": anthropic,
    "generate_content": gemini,
    "converse_stream": bedrock,
    "chat_v2": cohere,
    "ollama_chat": ollama,
}
COMPATIBLE: Final[dict[str, Adapter]] = {
    name: getattr(compatible, name)
    for name in ("azure", "cerebras", "deepseek", "fireworks", "groq", "openrouter", "perplexity", "together", "xai")
} | {"mistral": mistral}
HOSTS: Final = {
    "anthropic": "api.anthropic.com",
    "azure": "example.openai.azure.com",
    "bedrock": "bedrock-runtime.us-east-1.amazonaws.com",
    "cerebras": "api.cerebras.ai",
    "cohere": "api.cohere.com",
    "deepseek": "api.deepseek.com",
    "fireworks": "api.fireworks.ai",
    "gemini": "generativelanguage.googleapis.com",
    "groq": "api.groq.com",
    "mistral": "api.mistral.ai",
    "openai": "api.openai.com",
    "openrouter": "openrouter.ai",
    "perplexity": "api.perplexity.ai",
    "together": "api.together.xyz",
    "vertex": "us-central1-aiplatform.googleapis.com",
    "xai": "api.x.ai",
}
TYPES: Final = {
    "sse": "text/event-stream",
    "ndjson": "application/x-ndjson",
    "aws_eventstream": "application/vnd.amazon.eventstream",
    "json_array": "application/json",
}
_EVENT_END: Final = re.compile(rb"(?:\r\n|\r|\n)(?:\r\n|\r|\n)+")


@dataclass(frozen=True, eq=False)
class Recorded:
    """One recording of a wire."""

    wire: str
    row: Row

    @property
    def id(self) -> str:
        return self.row.id

    @property
    def provider(self) -> str:
        return self.row.fields["provider"]

    @property
    def host(self) -> str:
        """The provider's; OpenAI's for a server that no list of prices knows."""
        return HOSTS.get(self.provider, HOSTS["openai"])

    @property
    def adapter(self) -> Adapter:
        return COMPATIBLE.get(self.provider, WIRES[self.wire]) if self.wire == "chat_completions" else WIRES[self.wire]

    @property
    def content_type(self) -> str:
        return TYPES[self.row.fields["framing"]]

    @cached_property
    def pieces(self) -> list[tuple[bytes, Any]]:
        """The body in pieces, each with the JSON value that ends with it, or None."""
        cut = {"sse": _events, "ndjson": _lines, "aws_eventstream": _messages, "json_array": _elements}
        return list(cut[self.row.fields["framing"]](self.row.body))

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [value for _, value in self.pieces if isinstance(value, dict)]

    def endpoint(self, model: str, steps: Iterable[bytes | Pause] | None = None) -> sc.Endpoint:
        """The provider that answers with the recording, at its own address."""
        answer = Answer(list(steps or [self.row.body]), headers={"content-type": self.content_type})
        return sc.Endpoint(self.adapter, model, url=f"https://{self.host}/v1", transport=FaultyTransport(answer))


def recordings(*wires: str) -> list[Recorded]:
    """All recordings of some wires, or of all."""
    return [Recorded(wire, row) for wire in wires or WIRES for row in rows(f"streams-{wire}")]


def params(found: Iterable[Recorded]) -> list[Any]:
    """As pytest parameters; one that is skipped if there are none."""
    return [pytest.param(one, id=one.id) for one in found] or [pytest.param(None, marks=MISSING, id="missing")]


def _value(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _events(body: bytes) -> Iterator[tuple[bytes, Any]]:
    at = 0
    ends = [found.end() for found in _EVENT_END.finditer(body)]
    for end in [*ends, len(body)]:
        piece = body[at:end]
        fields = re.split(rb"\r\n|\r|\n", piece.removeprefix(b"\xef\xbb\xbf"))
        data = [line[5:].removeprefix(b" ") for line in fields if line.startswith(b"data:")]
        if piece:
            yield piece, _value(b"\n".join(data))
        at = end


def _lines(body: bytes) -> Iterator[tuple[bytes, Any]]:
    for line in body.splitlines(keepends=True):
        yield line, _value(line)


def _messages(body: bytes) -> Iterator[tuple[bytes, Any]]:
    while body:
        total, headers = struct.unpack(">II", body[:8])
        yield body[:total], _value(body[12 + headers : total - 4])
        body = body[total:]


def _elements(body: bytes) -> Iterator[tuple[bytes, Any]]:
    """The objects of an array, as far as they are whole."""
    text = body.decode()
    at, end = 0, 0
    while (start := text.find("{", end)) >= 0:
        try:
            value, end = json.JSONDecoder().raw_decode(text, start)
        except ValueError:
            break
        yield text[at:end].encode(), value
        at = end
    if text[at:]:
        yield text[at:].encode(), None
