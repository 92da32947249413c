"""Reads a Responses stream the slow and obvious way: the whole body at once, every event through `json.loads`.

`items` are the items as the API itself would have returned them without streaming: those that were said to be done, or
if there were none, those that the last event repeats.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

SEARCHES_OF_X = ("x_keyword_search", "x_semantic_search", "x_user_search", "x_thread_fetch")


@dataclass
class Plain:
    id: str | None = None
    model: str | None = None
    items: list[dict[str, Any]] = field(default_factory=list)
    wire_usage: dict[str, Any] | None = None
    finish: str | None = None
    raw: str | None = None
    error: dict[str, Any] | None = None

    def of(self, *types: str) -> list[dict[str, Any]]:
        return [item for item in self.items if item["type"] in types]

    @property
    def parts(self) -> list[dict[str, Any]]:
        return [part for item in self.of("message") for part in item["content"]]

    @property
    def text(self) -> str:
        return "".join(part["text"] for part in self.parts if part["type"] == "output_text")

    @property
    def refusal(self) -> str:
        return "".join(part["refusal"] for part in self.parts if part["type"] == "refusal")

    @property
    def reasoning(self) -> str:
        texts = []
        for item in self.of("reasoning"):
            parts = item["summary"] or item.get("content") or []
            texts.append("\n\n".join(part["text"] for part in parts))
        return "".join(texts)

    @property
    def tool_calls(self) -> list[tuple[str | None, str, str]]:
        calls = []
        for item in self.of("function_call", "custom_tool_call"):
            if item["name"] not in SEARCHES_OF_X:
                calls.append((item["call_id"], item["name"], item.get("arguments", item.get("input"))))
        return calls

    @property
    def citations(self) -> list[dict[str, Any]]:
        return [annotation for part in self.parts for annotation in part.get("annotations") or []]

    @property
    def others(self) -> list[dict[str, Any]]:
        own = ("message", "reasoning", "function_call", "custom_tool_call")
        return [item for item in self.items if item["type"] not in own or item.get("name") in SEARCHES_OF_X]

    @property
    def usage(self) -> dict[str, int | None] | None:
        wire = self.wire_usage
        if wire is None:
            return None
        inner, outer = wire.get("input_tokens_details") or {}, wire.get("output_tokens_details") or {}
        return {
            "input_tokens": wire["input_tokens"],
            "output_tokens": wire["output_tokens"],
            "cache_read_tokens": inner.get("cached_tokens"),
            "cache_write_tokens": inner.get("cache_write_tokens"),
            "reasoning_tokens": outer.get("reasoning_tokens"),
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
    for event in events(body):
        kind = event["type"]
        if kind == "response.created":
            plain.id, plain.model = event["response"]["id"] or None, event["response"]["model"]
        elif kind == "response.output_item.done":
            plain.items.append(event["item"])
        elif kind == "error":
            plain.error = event.get("error", event)
            return plain
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            response = event["response"]
            plain.items = plain.items or response.get("output") or []
            plain.wire_usage, plain.error = response.get("usage"), response.get("error")
            if kind == "response.incomplete":
                plain.raw = response["incomplete_details"]["reason"]
                plain.finish = {"max_output_tokens": "length"}.get(plain.raw, plain.raw)
            elif kind == "response.completed":
                plain.raw = "completed"
                plain.finish = "tool_calls" if plain.tool_calls else "refusal" if plain.refusal else "stop"
            return plain
    return plain
