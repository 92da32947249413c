"""Cohere v2: `POST /v2/chat`, answered by server-sent events.

    message-start
    tool-plan-delta* (content-start content-delta* content-end)* (tool-call-start tool-call-delta* tool-call-end)*
    message-end

Every event has its name as `type` in the JSON, and that is what counts here. Content and tool calls are counted apart,
each from 0; citations stand between the deltas of the text that they are about. The answer is whole with `message-end`,
which also holds the usage; the `[DONE]` that follows says nothing more. Errors in the stream are a `message-end` too.

The plan, in which older models say what they are about to call, is a block of reasoning whose opaque says
`"tool_plan": true`, since it goes back in a place of its own. A citation says which words of the answer rest on a
source (`start` to `end`); its `url` and `title` are those of the first source that has any.

Sources: the `cohere` Python SDK 7.3.1 (types, errors), `@ai-sdk/cohere` 4.0.52, docs.cohere.com ("RAG Streaming", "RAG
Citations", "Tool Use"), and 25 recorded streams; read November 2026.

Where it is not quite right. The stream does not name the model. Image and reasoning tokens, which no document
mentions, are taken to lie within input and output. What Cohere bills is less than what it counts: the usage is what it
counts, and the extension `billed_units` what it bills. A citation whose block has ended becomes a loose extension.
"""

from __future__ import annotations

from typing import Final

from streamcore import sse

from .decoder import Decoder, billed
from .request import encode

__all__ = ["Decoder", "billed", "encode", "framing", "key_variables", "url"]

url: Final = "https://api.cohere.com/v2"
key_variables: Final = ("CO_API_KEY", "COHERE_API_KEY")
framing: Final = sse.Parser
