"""Anthropic Messages: `POST /v1/messages`, answered by named server-sent events.

    message_start (content_block_start content_block_delta* content_block_stop)* message_delta message_stop

Every event repeats its name as `type` in the JSON, and that is what counts here, so gateways that lose or rename the
`event:` line are read too. `ping` comes at any time. The answer is whole with `message_stop` and not before: a
`stop_reason` alone says that the content is complete, not that the stream was.

What belongs to the whole answer and has no place of its own (container, stop details, the usage where it holds more
than token counts) becomes extensions without an index. They wait for `message_delta`, so that nothing of the kind
precedes the first content. Usage counts are totals that overwrite each other; the output that `message_start` counts
is a placeholder (1 to 8 tokens, whatever follows) and kept back until `message_delta` had its chance to replace it.

Sources: the `anthropic` Python SDK 2.11, platform.claude.com ("Versions", "Migrating to API version 2026-10-21",
"Claude API errors"), and recorded streams of Anthropic, Azure, Vertex and gateways; read November 2026.

Where it is not quite right: a `fallback` block changes the model in mid-answer, but `Start` was sent long before and
keeps the first one's name. A delta of an unknown type cannot be folded into its block and becomes a loose extension.
Events of an unknown type are skipped, for they may be heartbeats.
"""

from __future__ import annotations

from typing import Final

from streamcore import sse

from .decoder import Decoder, billed
from .request import encode

__all__ = ["Decoder", "billed", "encode", "framing", "key_variables", "url"]

url: Final = "https://api.anthropic.com/v1"
key_variables: Final = ("ANTHROPIC_API_KEY",)
framing: Final = sse.Parser
