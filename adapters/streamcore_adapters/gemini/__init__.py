"""Google Gemini and Vertex AI: `POST …/models/{model}:streamGenerateContent?alt=sse`.

    data: {"candidates": [{"content": {"parts": [{"text": "Hel"}]}}], "usageMetadata": {…}, "responseId": "…"}
    data: {"candidates": [{"content": {"parts": [{"text": "lo"}]}, "finishReason": "STOP"}], …}

Every frame holds what is new: parts of the answer, without a start, a stop or an id, and the usage so far. A new block
begins whenever the kind of part changes; a call, an image, whatever has a `thoughtSignature` is a block of its own.

There is no last event. The answer is whole when every candidate has had a `finishReason` (or the prompt was blocked) and
the body ends; early models put a reason on every chunk and the last one counts, so `Finish` waits for the end. Without
`alt=sse` the same objects come in a JSON array, which must have been closed as well.

A signature must go back on the very part that it came with, and a signed part must not be merged with another. So signed
text is a block of its own even within a sentence, and even if it is empty: Gemini 3 ends its answers with `{"text": "",
"thoughtSignature": "…"}`, which is a text block without text whose `BlockEnd.opaque` has the signature. For a call
without an `id` one is made up, and `"id": null` in the opaque says so. Parts that only Google understands (code
execution, tools on its side) become extensions that hold the whole part.

Vertex AI is the same wire at another address: a target whose url ends in `/publishers/google`, with an `authorization`
header of the caller's own instead of a key. Sources: google-genai 3.4, @ai-sdk/google 4.0.121, ai.google.dev ("Thought
signatures"), and some 2,300 recorded streams; read November 2026.

Where it is not quite right: where a model puts a `finishReason` on every chunk, a body that was cut between two looks
whole. Sources that become known after their block of text has ended are not put on it. Of several candidates the first
is the answer, the others are extensions.
"""

from __future__ import annotations

from typing import Final

from .chunk import Framing
from .decoder import Decoder
from .request import encode

__all__ = ["Decoder", "encode", "framing", "key_variables", "url"]

url: Final = "https://generativelanguage.googleapis.com/v1beta"
key_variables: Final = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
framing: Final = Framing
