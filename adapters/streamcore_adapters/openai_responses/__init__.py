"""OpenAI Responses: `POST /responses`, answered by named server-sent events.

    response.created
    (response.output_item.added (response.<part>.delta* response.<part>.done)* response.output_item.done)*
    response.completed | response.incomplete | response.failed | error

An answer is a list of *items*: messages, reasoning, tool calls, and what OpenAI's own tools did. An event says by
`output_index` and `item_id` which item it belongs to, and by `content_index` or `summary_index` which part of it. The
same text comes up to four times: in deltas, in `.done` events, in the finished item and in the last event, and some
servers leave out all but one of these. It is taken from the first that has it. `type` in the JSON is what counts: not
every server names its events, and not every gateway keeps the ids of the items.

Messages, refusals, reasoning and function calls have events of their own. Every other item, whether this package has
heard of it or not, becomes one `Extension("openai_responses:<type>")` with its whole JSON when it is done. The answer
is whole with one of the last events above and not before; whatever follows is ignored.

Requests are stateless unless `extra` says otherwise: `store` is false, and where reasoning is asked for it is asked
for encrypted, so that it can be sent back. Each `BlockEnd.opaque` holds what its item has besides the content.

Sources: `openai` 3.51.0 (types, streaming, errors), `@ai-sdk/openai` 4.0.118, `@ai-sdk/xai` 5.0.12, and some 3,000
recorded streams of OpenAI, Azure, OpenRouter, xAI, Copilot, Bedrock and open servers; read November 2026.

Where it is not quite right. What OpenAI's tools do shows when they have done it: the code they write and the commands
they run are not streamed. Token probabilities come once, with the end of their message. A tool search, a patch or a
shell command that the caller is to run is an extension, and the answer then ends in `pause`. Tokens of a generated
image are counted outside the usage, so they stay in the extension `tool_usage`. xAI runs its searches of X by itself
and yet calls them custom tools: these four names are known here, and a tool of the caller's own may not have them.
"""

from __future__ import annotations

from typing import Final

from streamcore import sse

from .decoder import Decoder
from .request import encode

__all__ = ["Decoder", "encode", "framing", "key_variables", "url"]

url: Final = "https://api.openai.com/v1"
key_variables: Final = ("OPENAI_API_KEY",)
framing: Final = sse.Parser
