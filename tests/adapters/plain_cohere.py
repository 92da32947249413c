"""Reads a Cohere v2 stream the slow and obvious way: the whole body at once, every event through `json.loads`.

`message` is the message as the API itself would have returned it without streaming, which is also how it goes back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

REASONS = {"COMPLETE": "stop", "STOP_SEQUENCE": "stop", "MAX_TOKENS": "length", "TOOL_CALL": "tool_calls"}


@dataclass
class Plain:
    id: str | None = None
    content: list[dict[str, Any]] = field(default_factory=list)
    plan: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    citations: list[dict[str, Any]] = field(default_factory=list)
    end: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "".join(block["text"] for block in self.content if block["type"] == "text")

    @property
    def reasoning(self) -> str:
        """The plan, which comes before everything else, and what was thought."""
        return self.plan + "".join(block["thinking"] for block in self.content if block["type"] == "thinking")

    @property
    def tool_calls(self) -> list[tuple[str | None, str, Any]]:
        return [
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"] or "{}"))
            for call in self.calls
        ]

    @property
    def usage(self) -> dict[str, int | None]:
        usage = self.end["usage"]
        tokens = usage.get("tokens") or {}
        return {
            "input_tokens": tokens.get("input_tokens"),
            "output_tokens": tokens.get("output_tokens"),
            "cache_read_tokens": usage.get("cached_tokens"),
            "reasoning_tokens": tokens.get("reasoning_tokens"),
            "input_image_tokens": tokens.get("image_tokens"),
        }

    @property
    def finish(self) -> str:
        return REASONS.get(self.end["finish_reason"], "other")

    @property
    def error(self) -> tuple[str, str] | None:
        return (self.end["error"], self.end["error_type"]) if "error" in self.end else None

    @property
    def message(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant"}
        if self.content:
            only = self.content[0]
            message["content"] = only["text"] if len(self.content) == 1 and only["type"] == "text" else self.content
        if self.plan:
            message["tool_plan"] = self.plan
        if self.calls:
            message["tool_calls"] = self.calls
        if self.citations:
            message["citations"] = self.citations
        return message


def events(body: bytes) -> list[dict[str, Any]]:
    found = []
    for piece in body.decode("utf-8").split("\n\n"):
        data = [line[6:] for line in piece.split("\n") if line.startswith("data: ")]
        if data and data != ["[DONE]"]:
            found.append(json.loads("\n".join(data)))
    return found


def decode(body: bytes) -> Plain:
    plain = Plain()
    for event in events(body):
        kind = event["type"]
        if kind == "message-start":
            plain.id = event["id"]
        elif kind == "tool-plan-delta":
            plain.plan += event["delta"]["message"]["tool_plan"]
        elif kind == "content-start":
            plain.content.append(event["delta"]["message"]["content"])
        elif kind == "content-delta":
            for name, piece in event["delta"]["message"]["content"].items():
                plain.content[event["index"]][name] += piece
        elif kind == "tool-call-start":
            plain.calls.append(event["delta"]["message"]["tool_calls"])
        elif kind == "tool-call-delta":
            function = event["delta"]["message"]["tool_calls"]["function"]
            plain.calls[event["index"]]["function"]["arguments"] += function["arguments"]
        elif kind == "citation-start":
            plain.citations.append(event["delta"]["message"]["citations"])
        elif kind == "message-end":
            plain.end = event["delta"]
    return plain
