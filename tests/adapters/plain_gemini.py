"""Reads a Gemini stream the slow and obvious way: the whole body at once, every chunk through `json.loads`.

`turn` is what the model said as parts that can be sent back: unsigned text of one kind joined, all else as it came.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

FILTERED = [
    "SAFETY",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "RECITATION",
    "LANGUAGE",
    "IMAGE_SAFETY",
    "MODEL_ARMOR",
]
REASONS = {"STOP": "stop", 1: "stop", "MAX_TOKENS": "length", "CONTINUATION": "pause"} | dict.fromkeys(
    FILTERED, "content_filter"
)
NUMBERS = {1: "STOP"}


@dataclass
class Plain:
    id: str | None = None
    model: str | None = None
    parts: list[dict[str, Any]] = field(default_factory=list)
    wire_usage: dict[str, Any] = field(default_factory=dict)
    finish_reason: Any = None
    block_reason: Any = None
    grounding: dict[str, Any] = field(default_factory=dict)
    citations: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        return "".join(part["text"] for part in self.parts if "text" in part and not part.get("thought"))

    @property
    def reasoning(self) -> str:
        return "".join(part["text"] for part in self.parts if "text" in part and part.get("thought"))

    @property
    def tool_calls(self) -> list[tuple[str | None, str, Any]]:
        calls = [part["functionCall"] for part in self.parts if "functionCall" in part]
        return [(call.get("id"), call["name"], call.get("args") or {}) for call in calls]

    @property
    def signatures(self) -> list[str]:
        return [part["thoughtSignature"] for part in self.parts if "thoughtSignature" in part]

    @property
    def usage(self) -> dict[str, int | None]:
        wire = self.wire_usage
        answer, thoughts = wire.get("candidatesTokenCount"), wire.get("thoughtsTokenCount")
        prompt = wire.get("promptTokenCount")
        return {
            "input_tokens": None if prompt is None else prompt + (wire.get("toolUsePromptTokenCount") or 0),
            "output_tokens": None if answer is None and thoughts is None else (answer or 0) + (thoughts or 0),
            "cache_read_tokens": wire.get("cachedContentTokenCount"),
            "cache_write_tokens": None,
            "reasoning_tokens": thoughts,
            "output_image_tokens": {
                detail["modality"]: detail["tokenCount"] for detail in wire.get("candidatesTokensDetails") or []
            }.get("IMAGE"),
        }

    @property
    def finish(self) -> str | None:
        if self.block_reason:
            return "content_filter"
        if self.finish_reason is None:
            return None
        reason = REASONS.get(self.finish_reason, "other")
        return "tool_calls" if reason == "stop" and self.tool_calls else reason

    @property
    def turn(self) -> list[dict[str, Any]]:
        turn: list[dict[str, Any]] = []
        for part in self.parts:
            before = turn[-1] if turn else {}
            if part in ({"text": ""}, {"text": "", "thought": True}):
                continue
            if part.keys() <= {"text", "thought"} and part.keys() == before.keys():
                turn[-1] = part | {"text": before["text"] + part["text"]}
            elif "functionCall" in part:
                turn.append(part | {"functionCall": {"args": {}} | part["functionCall"]})
            else:
                turn.append(part)
        return turn


def chunks(body: bytes) -> list[Any]:
    text = body.decode("utf-8-sig").strip()
    if text.startswith("["):
        return json.loads(text)
    if text.startswith("{"):
        return [json.loads(text)]
    found = []
    for piece in text.replace("\r\n", "\n").split("\n\n"):
        data = [line[5:] for line in piece.split("\n") if line.startswith("data:")]
        if data and data[0].strip() != "[DONE]":
            found.append(json.loads("\n".join(data)))
    return found


def decode(body: bytes) -> Plain:
    plain = Plain()
    found = chunks(body)
    plain.id, plain.model = found[0].get("responseId"), found[0].get("modelVersion")
    for chunk in found:
        if chunk.get("error"):
            plain.error = chunk["error"]
            break
        for candidate in chunk.get("candidates") or []:
            plain.parts += (candidate.get("content") or {}).get("parts") or []
            plain.finish_reason = candidate.get("finishReason") or plain.finish_reason
            plain.grounding = candidate.get("groundingMetadata") or plain.grounding
            cited = candidate.get("citationMetadata") or {}
            plain.citations += cited.get("citations") or cited.get("citationSources") or []
        if not chunk.get("candidates"):
            plain.block_reason = (chunk.get("promptFeedback") or {}).get("blockReason") or plain.block_reason
        usage = chunk.get("usageMetadata") or {}
        if any("TokenCount" in name and count is not None for name, count in usage.items()):
            plain.wire_usage = usage
    return plain


def segments(plain: Plain) -> list[tuple[str, str]]:
    """The words that grounding is about, and the page each rests on."""
    pages = plain.grounding.get("groundingChunks") or []
    return [
        (support["segment"]["text"], pages[index]["web"]["uri"])
        for support in plain.grounding.get("groundingSupports") or []
        for index in support["groundingChunkIndices"]
    ]
