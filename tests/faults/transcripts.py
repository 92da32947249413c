"""Answers of every wire: text, reasoning, a tool call, an error in the middle; written by our own encoders."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import streamcore as sc
from streamcore import dialect, eventstream

if TYPE_CHECKING:
    from streamcore.adapter import Adapter

CALL = dialect.Call(request=sc.prompt("hi"), id="a-1", created=1)
USAGE = sc.Usage(input_tokens=3, output_tokens=4)
START = sc.Start("a-1", "m")
KINDS: dict[str, list[sc.Event]] = {
    "text": [
        START,
        sc.TextDelta(0, "Hé"),
        sc.TextDelta(0, 'l"lo\n'),
        sc.TextDelta(0, "😀"),
        sc.BlockEnd(0),
        USAGE,
        sc.Finish("stop"),
    ],
    "reasoning": [
        START,
        sc.ReasoningDelta(0, "Hm"),
        sc.ReasoningDelta(0, "m…"),
        sc.BlockEnd(0),
        sc.TextDelta(1, "Yes."),
        sc.BlockEnd(1),
        USAGE,
        sc.Finish("length"),
    ],
    "tool": [
        START,
        sc.ToolCallStart(0, "c-1", "look"),
        sc.ToolCallDelta(0, '{"at":'),
        sc.ToolCallDelta(0, '"é"}'),
        sc.BlockEnd(0),
        sc.ToolCallStart(1, "c-2", "go"),
        sc.ToolCallDelta(1, "{}"),
        sc.BlockEnd(1),
        USAGE,
        sc.Finish("tool_calls"),
    ],
    "error": [
        START,
        sc.TextDelta(0, "Hel"),
        sc.TextDelta(0, "lo"),
        sc.Failure("overloaded", "busy", code="overloaded_error"),
    ],
}

# What proves the end of an answer, in the bytes of each wire: before it, no stream may finish.
PROOFS = {
    "openai_chat": b'"finish_reason":"',
    "openai_responses": b"event: response.",
    "anthropic": b"event: message_stop",
    "gemini": b'"finishReason":"',
    "cohere": b'"message-end"',
    "mistral": b'"finish_reason":"',
    "ollama": b'"done":true',
    "bedrock": b"messageStop",
}


@dataclass(frozen=True)
class Transcript:
    """One body. `proof` is the byte from which on it may have ended well, its length if it never does."""

    name: str
    adapter: Adapter
    body: bytes
    content_type: str
    proof: int


def bedrock(events: list[dict[str, Any]]) -> bytes:
    """Messages of Amazon's Converse stream: each the one field of an object."""
    body = b""
    for event in events:
        [(name, fields)] = event.items()
        kind = "exception" if name.endswith("Exception") else "event"
        body += eventstream.encode(
            json.dumps(fields).encode(),
            {":message-type": kind, f":{kind}-type": name, ":content-type": "application/json"},
        )
    return body


def block(index: int, *deltas: dict[str, Any], start: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    begun = [{"contentBlockStart": {"contentBlockIndex": index, "start": start}}] if start else []
    said = [{"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}} for delta in deltas]
    return [*begun, *said, {"contentBlockStop": {"contentBlockIndex": index}}]


def stopped(reason: str) -> list[dict[str, Any]]:
    usage = {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}
    return [{"messageStop": {"stopReason": reason}}, {"metadata": {"usage": usage}}]


BEGUN = {"messageStart": {"role": "assistant"}}
USE = {"toolUse": {"toolUseId": "c-1", "name": "look"}}
BEDROCK = {
    "text": [BEGUN, *block(0, {"text": "Hé"}, {"text": 'l"lo\n'}), *stopped("end_turn")],
    "reasoning": [
        BEGUN,
        *block(0, {"reasoningContent": {"text": "Hmm"}}, {"reasoningContent": {"signature": "c2ln"}}),
        *block(1, {"text": "Yes."}),
        *stopped("max_tokens"),
    ],
    "tool": [
        BEGUN,
        *block(0, {"toolUse": {"input": '{"at":'}}, {"toolUse": {"input": '"é"}'}}, start=USE),
        *stopped("tool_use"),
    ],
    "error": [BEGUN, *block(0, {"text": "Hel"})[:-1], {"throttlingException": {"message": "slow down"}}],
}


def made(wire: str, kind: str) -> Transcript:
    adapter: Any = import_module(f"streamcore_adapters.{wire}")
    if wire == "bedrock":
        body, content_type = bedrock(BEDROCK[kind]), "application/vnd.amazon.eventstream"
    else:
        server: Any = import_module(f"streamcore_adapters.{wire}.server")
        encoder = server.Encoder(CALL)
        body, content_type = b"".join(encoder.feed(event) for event in KINDS[kind]), server.content_type
    proof = body.rfind(PROOFS[wire]) if kind != "error" else -1
    return Transcript(f"{wire}-{kind}", adapter, body, content_type, len(body) if proof < 0 else proof)


TRANSCRIPTS = [made(wire, kind) for wire in PROOFS for kind in KINDS]
