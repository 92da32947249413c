"""Reads an Anthropic stream the slow and obvious way: the whole body at once, every event through `json.loads`.

`blocks` is the message's content as the API itself would have returned it without streaming.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "compaction": "pause",
    "refusal": "refusal",
}


@dataclass
class Plain:
    id: str | None = None
    model: str | None = None
    blocks: list[dict[str, Any]] = field(default_factory=list)
    wire_usage: dict[str, Any] = field(default_factory=dict)
    stop_reason: str | None = None
    finish: str | None = None
    error: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        return "".join(block["text"] for block in self.blocks if block["type"] == "text")

    @property
    def reasoning(self) -> str:
        return "".join(block["thinking"] for block in self.blocks if block["type"] == "thinking")

    @property
    def tool_calls(self) -> list[tuple[str | None, str, Any]]:
        return [(block["id"], block["name"], block["input"]) for block in self.blocks if block["type"] == "tool_use"]

    @property
    def citations(self) -> list[dict[str, Any]]:
        return [citation for block in self.blocks for citation in block.get("citations") or []]

    @property
    def usage(self) -> dict[str, int | None]:
        wire = self.wire_usage
        read, written = wire.get("cache_read_input_tokens"), wire.get("cache_creation_input_tokens")
        details = wire.get("output_tokens_details") or {}
        return {
            "input_tokens": wire["input_tokens"] + (read or 0) + (written or 0),
            "output_tokens": wire["output_tokens"],
            "cache_read_tokens": read,
            "cache_write_tokens": written,
            "reasoning_tokens": details.get("thinking_tokens"),
        }


def events(body: bytes) -> list[dict[str, Any]]:
    found = []
    for piece in body.decode("utf-8").replace("\r\n", "\n").split("\n\n"):
        data = [line[5:] for line in piece.split("\n") if line.startswith("data:")]
        if data and data[0].strip() != "[DONE]":
            found.append(json.loads("\n".join(data)))
    return found


def decode(body: bytes) -> Plain:
    plain = Plain()
    under_way: dict[int, dict[str, Any]] = {}
    fragments: dict[int, str] = {}
    for event in events(body):
        kind = event["type"]
        if kind == "message_start":
            message = event["message"]
            plain.id, plain.model = message["id"], message["model"]
            plain.blocks += message["content"]
            plain.wire_usage = {name: value for name, value in message["usage"].items() if value is not None}
        elif kind == "content_block_start":
            under_way[event["index"]] = event["content_block"]
            plain.blocks.append(event["content_block"])
            fragments[event["index"]] = ""
        elif kind == "content_block_delta":
            block, delta = under_way[event["index"]], event["delta"]
            if delta["type"] == "text_delta":
                block["text"] += delta["text"]
            elif delta["type"] == "thinking_delta":
                block["thinking"] += delta["thinking"]
            elif delta["type"] == "signature_delta":
                block["signature"] = delta["signature"]
            elif delta["type"] == "citations_delta":
                block["citations"] = [*(block.get("citations") or []), delta["citation"]]
            elif delta["type"] == "compaction_delta":
                block["content"] = delta["content"]
                block["encrypted_content"] = delta["encrypted_content"]
            elif delta["type"] == "input_json_delta":
                fragments[event["index"]] += delta["partial_json"]
        elif kind == "message_delta":
            plain.stop_reason = event["delta"]["stop_reason"]
            plain.wire_usage.update({name: value for name, value in event["usage"].items() if value is not None})
        elif kind == "message_stop":
            plain.finish = REASONS.get(plain.stop_reason, "other")
        elif kind == "error":
            plain.error = event["error"]
    for index, text in fragments.items():
        if text:
            under_way[index]["input"] = parsed(text)
    return plain


def parsed(text: str) -> Any:
    """JSON as a value; text that is none, such as arguments cut short, as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text
