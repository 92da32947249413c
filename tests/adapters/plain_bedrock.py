"""Reads a Bedrock stream the slow and obvious way: the whole body at once, every payload through `json.loads`.

`blocks` is the answer's content as the API would have returned it without streaming, `facts` what else it says.
"""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass, field
from typing import Any

REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "refusal": "refusal",
    "pause_turn": "pause",
}


@dataclass
class Plain:
    blocks: list[dict[str, Any]] = field(default_factory=list)
    wire_usage: dict[str, Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    stop_reason: str | None = None
    finish: str | None = None
    error: tuple[str, dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        return "".join(
            block["text"] if "text" in block else block["citationsContent"]["content"][0]["text"]
            for block in self.blocks
            if "text" in block or "citationsContent" in block
        )

    @property
    def reasoning(self) -> str:
        texts = [block["reasoningContent"].get("reasoningText", {}) for block in self.of("reasoningContent")]
        return "".join(text.get("text", "") for text in texts)

    @property
    def tool_calls(self) -> list[tuple[str | None, str, Any]]:
        calls = [block["toolUse"] for block in self.of("toolUse")]
        return [(call["toolUseId"], call["name"], call["input"]) for call in calls if "type" not in call]

    @property
    def citations(self) -> list[dict[str, Any]]:
        return [
            citation for block in self.of("citationsContent") for citation in block["citationsContent"]["citations"]
        ]

    @property
    def usage(self) -> dict[str, int | None] | None:
        wire = self.wire_usage
        if wire is None:
            return None
        read, written = wire.get("cacheReadInputTokens"), wire.get("cacheWriteInputTokens")
        return {
            "input_tokens": wire["inputTokens"] + (read or 0) + (written or 0),
            "output_tokens": wire["outputTokens"],
            "cache_read_tokens": read,
            "cache_write_tokens": written,
        }

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [block for block in self.blocks if kind in block]


def messages(body: bytes) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """The headers, all of which are strings, and the payload of each message."""
    found = []
    while body:
        total, size = struct.unpack(">II", body[:8])
        message, body = body[:total], body[total:]
        rest, headers = message[12 : 12 + size], {}
        while rest:
            name, rest = rest[1 : 1 + rest[0]].decode(), rest[1 + rest[0] :]
            assert rest[0] == 7
            (length,) = struct.unpack(">H", rest[1:3])
            headers[name], rest = rest[3 : 3 + length].decode(), rest[3 + length :]
        payload = message[12 + size : -4]
        found.append((headers, json.loads(payload) if payload else {}))
    return found


def decode(body: bytes) -> Plain:
    plain = Plain()
    pieces: dict[int, list[dict[str, Any]]] = {}
    starts: dict[int, dict[str, Any]] = {}
    for headers, payload in messages(body):
        index = payload.get("contentBlockIndex")
        match headers.get(":event-type"):
            case "contentBlockStart":
                starts[index] = payload["start"]
                pieces.setdefault(index, [])
            case "contentBlockDelta":
                pieces.setdefault(index, []).append(payload["delta"])
            case "messageStop":
                plain.stop_reason = payload["stopReason"]
                plain.finish = REASONS.get(payload["stopReason"], "other")
                plain.facts |= {key: payload[key] for key in payload if key not in ("stopReason", "p")}
            case "metadata":
                plain.wire_usage = payload["usage"]
                plain.facts |= {key: payload[key] for key in payload if key not in ("usage", "metrics", "p")}
        if headers.get(":message-type") == "exception":
            plain.error = headers[":exception-type"], payload
        if headers.get(":message-type") == "error":
            plain.error = headers[":error-code"], {"message": headers[":error-message"]}
    plain.blocks = [block(starts.get(index, {}), deltas) for index, deltas in pieces.items()]
    return plain


def block(start: dict[str, Any], deltas: list[dict[str, Any]]) -> dict[str, Any]:
    text = "".join(delta.get("text", "") for delta in deltas)
    citations = [delta["citation"] for delta in deltas if "citation" in delta]
    reasoning = [delta["reasoningContent"] for delta in deltas if "reasoningContent" in delta]
    if "toolUse" in start:
        given = "".join(delta["toolUse"]["input"] for delta in deltas)
        return {"toolUse": {**start["toolUse"], "input": parsed(given or "{}")}}
    if "toolResult" in start:
        items = [item for delta in deltas for item in delta["toolResult"]]
        said = "".join(item["text"] for item in items if "text" in item)
        content = [{"text": said}] if said else items
        return {"toolResult": {**start["toolResult"], "content": content}}
    if "image" in start:
        data = b"".join(base64.b64decode(delta["image"]["source"]["bytes"]) for delta in deltas)
        source = {"bytes": base64.b64encode(data).decode()}
        return {"image": {"format": start["image"]["format"], "source": source}}
    if any("redactedContent" in piece for piece in reasoning):
        redacted = b"".join(base64.b64decode(piece["redactedContent"]) for piece in reasoning)
        return {"reasoningContent": {"redactedContent": base64.b64encode(redacted).decode()}}
    if reasoning:
        thought = {"text": "".join(piece.get("text", "") for piece in reasoning)}
        signature = "".join(piece.get("signature", "") for piece in reasoning)
        return {"reasoningContent": {"reasoningText": thought | ({"signature": signature} if signature else {})}}
    if citations:
        return {"citationsContent": {"content": [{"text": text}], "citations": citations}}
    return {"text": text}


def parsed(text: str) -> Any:
    """JSON as a value; text that is none, such as arguments cut short, as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text
