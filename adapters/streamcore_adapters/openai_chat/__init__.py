"""OpenAI Chat Completions, and the many servers that speak it in their own way.

The wire: server-sent events without names, one JSON chunk each, `data: [DONE]` after the last. A chunk holds `choices`,
each with a `delta`, whose fields (content, refusal, tool_calls, ...) are fragments of one message. Usage comes in a
chunk of its own after the finish reason, or wherever a server likes; an error is a chunk with a true `error`.

Sources: `openai` 3.51.0 and `@ai-sdk/openai` 4.0.118; for other servers the SDKs of DeepSeek, Groq, xAI, OpenRouter,
Together, Fireworks, Perplexity, Cerebras and Mistral, and the servers of vLLM, SGLang and llama.cpp (read November 2026).
What the bytes show (which field holds the reasoning, where the usage is, whether the reasoning is counted in it) is
detected; what they do not show is said in `Quirks`.

Where it is not quite right. Only choice 0 becomes blocks; the others stay raw. Some servers send a finish reason with
each of several tool calls, so a body cut just there looks whole, unless its quirks say that `[DONE]` is required.
What `total_tokens` holds beyond all that is named (Gemini's thoughts) is not counted. `<think>` tags stay text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from streamcore import sse
from streamcore.errors import LocalError

from .decoder import Decoder
from .quirks import Quirks
from .request import encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamcore.adapter import EventDecoder
    from streamcore.frames import Framing
    from streamcore.request import HTTPRequest, Request, Target

__all__ = ["Compatible", "Decoder", "Quirks", "encode", "framing", "key_variables", "url"]

url: Final = "https://api.openai.com/v1"
key_variables: Final = ("OPENAI_API_KEY",)
framing: Final = sse.Parser


class Compatible(Struct, frozen=True, kw_only=True):
    """Another server that speaks this format: an adapter by itself, as this package is one for OpenAI.

    `url` is "" where each customer has an address of their own; `example_url` then shows what one looks like.
    """

    url: str
    example_url: str = ""
    key_variables: tuple[str, ...] = ()
    quirks: Quirks = Quirks()

    @property
    def framing(self) -> Callable[[], Framing]:
        """Makes the framing of one response body."""
        return sse.Parser

    def encode(self, request: Request, target: Target) -> HTTPRequest:
        """Write the request for a streamed answer. Raises LocalError for what cannot be written at all."""
        if not (self.url or target.url):
            raise LocalError(f"each customer of this provider has an address: pass url=, such as {self.example_url!r}")
        return encode(request, target, quirks=self.quirks)

    def Decoder(self) -> EventDecoder:  # noqa: N802 - a member of the protocol
        """Make the decoder of one response."""
        return Decoder(self.quirks)
