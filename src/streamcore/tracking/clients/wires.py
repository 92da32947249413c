"""Whose format an HTTP request speaks, told by its address: for clients that are only listened to.

A row says how a path ends, at which hosts, and by which names the adapter and the dialect are found that read it. The
first row that fits counts, so hosts that have a row of their own stand before those that any host may be. Adapters are
loaded when the first request asks for them.

Sources: the addresses that the official SDKs of November 2026 send to, and those of 1,350 recorded requests.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from msgspec import Struct

from streamcore import adapter as adapters
from streamcore.adapter import Adapter  # noqa: TC001 - msgspec resolves the annotations

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["WIRES", "Wire", "find"]


class Wire(Struct, frozen=True, kw_only=True):
    """One format at some address.

    `adapter` reads the answers, `dialect` (a name) the requests; without one no tokens are guessed from what was asked.
    `path` is how the path ends; `{model}` stands for a part of it that names the model, which else the body does.
    `hosts` are names that also stand for all names below them, with a port where it takes one; empty for any host.
    `streams` is whether a request is for a stream if its body does not say so in a field `stream`.
    """

    adapter: str | Adapter
    path: str
    hosts: tuple[str, ...] = ()
    dialect: str | None = None
    streams: bool = False

    @property
    def name(self) -> str:
        """The adapter's name, for the record."""
        return self.adapter if isinstance(self.adapter, str) else getattr(self.adapter, "__name__", repr(self.adapter))

    def load(self) -> Adapter:
        """The adapter itself.

        Raises:
            LocalError: There is none of that name.
        """
        return adapters.load(self.adapter) if isinstance(self.adapter, str) else self.adapter

    def matches(self, host: str, port: int | None, path: str) -> dict[str, str] | None:
        """What the path names (the model, or nothing), if this is the format that is spoken at this address."""
        if self.hosts and not any(_is_at(name, host, port) for name in self.hosts):
            return None
        found = _pattern(self.path).search(path)
        return None if found is None else {name: unquote(part) for name, part in found.groupdict().items()}


def _compatible(adapter: str, *hosts: str) -> Wire:
    return Wire(adapter=adapter, path="/chat/completions", hosts=hosts, dialect="openai_chat")


_MODEL: Final = "/{model}:"

WIRES: Final = (
    Wire(adapter="mistral", path="/chat/completions", hosts=("mistral.ai",), dialect="mistral"),
    _compatible("azure", "openai.azure.com", "cognitiveservices.azure.com", "services.ai.azure.com"),
    _compatible("cerebras", "api.cerebras.ai"),
    _compatible("deepseek", "api.deepseek.com"),
    _compatible("fireworks", "api.fireworks.ai"),
    _compatible("groq", "api.groq.com"),
    _compatible("openrouter", "openrouter.ai"),
    _compatible("perplexity", "api.perplexity.ai"),
    _compatible("together", "api.together.ai", "api.together.xyz"),
    _compatible("xai", "x.ai"),
    _compatible("ollama_v1", "127.0.0.1:11434", "localhost:11434"),
    _compatible("openai", "openai.com"),
    _compatible("openai_chat"),
    Wire(adapter="openai_responses", path="/responses", dialect="openai_responses"),
    Wire(adapter="anthropic", path="/v1/messages", dialect="anthropic"),
    Wire(adapter="anthropic", path=_MODEL + "streamRawPredict", dialect="anthropic", streams=True),  # Vertex AI
    Wire(adapter="gemini", path=_MODEL + "streamGenerateContent", dialect="gemini", streams=True),
    Wire(adapter="bedrock", path="/model/{model}/converse-stream", streams=True),
    Wire(adapter="cohere", path="/v2/chat", dialect="cohere"),
    Wire(adapter="ollama", path="/api/chat", dialect="ollama", streams=True),
)


def find(wires: Iterable[Wire], host: str, port: int | None, path: str) -> tuple[Wire, dict[str, str]] | None:
    """The first of these formats that is spoken at this address, and what the path names; None for none of them.

    `path` is percent-encoded, as it is sent, without the query.
    """
    for wire in wires:
        named = wire.matches(host, port, path)
        if named is not None:
            return wire, named
    return None


def _is_at(name: str, host: str, port: int | None) -> bool:
    name, _, wanted = name.partition(":")
    return (host == name or host.endswith(f".{name}")) and (not wanted or wanted == str(port))


@cache
def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", path)
    return re.compile(
        "".join(re.escape(part) if i % 2 == 0 else f"(?P<{part}>[^/]+?)" for i, part in enumerate(parts)) + "/?$"
    )
