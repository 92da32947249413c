"""Reads an Ollama stream the slow and obvious way: the whole body at once, every line through `json.loads`.

The lines add up to the one message that the API would have returned without streaming.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Plain:
    model: str | None = None
    text: str = ""
    reasoning: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)
    error: object = None

    @property
    def tool_calls(self) -> list[tuple[str | None, str, Any]]:
        """The calls; old servers sent "" where there were no arguments."""
        functions = [(call.get("id"), call["function"]) for call in self.calls]
        return [(id, function["name"], function["arguments"] or {}) for id, function in functions]

    @property
    def usage(self) -> dict[str, int | None]:
        return {
            "input_tokens": self.last.get("prompt_eval_count"),
            "output_tokens": self.last.get("eval_count"),
        }

    @property
    def finish(self) -> str | None:
        if not self.last:
            return None
        if self.last["done_reason"] == "stop" and self.calls:
            return "tool_calls"
        return {"stop": "stop", "length": "length"}.get(self.last["done_reason"], "other")

    @property
    def message(self) -> dict[str, Any]:
        """What goes back in the next request."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.reasoning:
            message["thinking"] = self.reasoning
        calls = []
        for id, name, arguments in self.tool_calls:
            call = {"function": {"name": name, "arguments": arguments}}
            calls.append(call if id is None else {"id": id, **call})
        return {**message, "tool_calls": calls} if calls else message


def decode(body: bytes) -> Plain:
    plain = Plain()
    for line in body.decode("utf-8").split("\n"):
        if not line.strip():
            continue
        value = json.loads(line)
        if "error" in value:
            plain.error = value["error"]
            break
        plain.model = plain.model or value["model"]
        message = value["message"]
        plain.text += message.get("content") or ""
        plain.reasoning += message.get("thinking") or ""
        plain.calls += message.get("tool_calls") or []
        if value["done"]:
            plain.last = value
            break
    return plain
