"""Ollama's own API: `POST /api/chat`, answered by lines of JSON.

    {"model": "qwen3:4b", "created_at": "…", "message": {"role": "assistant", "content": "Hi"}, "done": false}
    {"model": "qwen3:4b", "created_at": "…", "message": {…}, "done": true, "done_reason": "stop", "eval_count": 18}

Each line holds what is new of one message, the last one too, and one line may bring reasoning, words and tool calls at
once. The message has one text and one reasoning, so there is a block of each at most, which ends with the answer; a
tool call comes whole and ends at once. The answer is whole with the line that says `done`; a line with an `error` ends
it badly. Calls of older servers have no id: one is made up, `"id": null` in the opaque says so, and it does not go back.

Sources: ollama/ollama at fb30760 (`api/types.go`, `server/routes.go`, `template/template.go`, `docs/api`), the `ollama`
Python client 0.6.3, and 30 recorded streams of local servers and ollama.com; read November 2026.

Where it is not quite right. Servers of early 2024 gave no `done_reason`; the answer is whole, but why it ended is not
known. How much of the prompt came from the cache is not told, and some builds leave that part out of the count. An
image comes without its type, which is read off its first bytes. `<think>` tags of models that do not think stay text.
"""

from __future__ import annotations

from typing import Final

from streamcore import ndjson

from .decoder import Decoder
from .request import encode

__all__ = ["Decoder", "encode", "framing", "key_variables", "url"]

url: Final = "http://127.0.0.1:11434"
key_variables: Final = ("OLLAMA_API_KEY",)
framing: Final = ndjson.Parser
