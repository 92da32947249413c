"""Made-up answers of 2,000 events in the exact wire form of three providers, and the ways in which they arrive.

The same in every run. Most events are words of the answer, as in life; some 60 each are reasoning (OpenAI's chat sends
none) and the arguments of tool calls (Gemini sends them whole). The average event has the size that recorded streams
show: 337 bytes for OpenAI (with its `obfuscation`), 133 for Anthropic (with its `event:` line and its padding), 429 for
Gemini (with its CRLF).
"""

from __future__ import annotations

import base64
import json
import random
import string
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS = 2_000
SIDE_EVENTS = 60

_WORDS = (
    " the", " of", " and", " light", " scatters", " shorter", " wave", "lengths", ",", " sky", " blue", " air", ".",
    " molecules", " more", " than", " red", " by", " far", " which", " is", " why", " a", " clear", " day", " looks",
    " as", " it", " does", " —", " “", "Ray", "leigh", "”", " 4", "π", ".\n\n", "-", " **", "note", "**", " evening",
)  # fmt: skip


@dataclass(frozen=True)
class Transcript:
    """One answer: its events as bytes, the JSON in them, and the words that a reader must have seen."""

    wire: str
    events: tuple[bytes, ...]
    payloads: tuple[bytes, ...]
    text: str

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(self.events)


@cache
def transcript(wire: str) -> Transcript:
    """The answer in the form of one adapter."""
    return WIRES[wire](random.Random(wire))


CHUNKINGS: dict[str, Callable[[Transcript], list[bytes]]] = {
    "one event": lambda transcript: list(transcript.events),
    "4 KiB": lambda transcript: pieces(transcript.body, 4 * 1024),
    "64 KiB": lambda transcript: pieces(transcript.body, 64 * 1024),
    "7-50 B": lambda transcript: splits(transcript.body, 7, 50),
}
"""What one read of the network gives."""


def image() -> bytes:
    """One event of a million bytes that holds a generated image, as Gemini sends it."""
    data = base64.b64encode(random.Random(0).randbytes(750_000)).decode()
    part = {"inlineData": {"mimeType": "image/png", "data": data}}
    return b"data: %b\r\n\r\n" % json.dumps(_gemini_chunk(part, 1290)).encode()


def pieces(body: bytes, size: int) -> list[bytes]:
    """The body in chunks of so many bytes."""
    return [body[at : at + size] for at in range(0, len(body), size)]


def splits(body: bytes, low: int, high: int) -> list[bytes]:
    """The body in chunks of random sizes from `low` to `high`."""
    rng = random.Random(len(body))
    chunks = []
    at = 0
    while at < len(body):
        size = rng.randint(low, high)
        chunks.append(body[at : at + size])
        at += size
    return chunks


def _openai(rng: random.Random) -> Transcript:
    words = _words(rng, EVENTS - SIDE_EVENTS - 5)
    arguments = _arguments(rng, SIDE_EVENTS)
    call = {"index": 0, "id": "call_9vJqQm0n2WbU6cX1ZtR4yLeK", "type": "function"}
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": "", "refusal": None},
        *({"content": word} for word in words),
        {"tool_calls": [{**call, "function": {"name": "look_up", "arguments": ""}}]},
        *({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in arguments),
    ]
    chunks = [_openai_chunk(rng, [_openai_choice(delta, None)]) for delta in deltas]
    chunks.append(_openai_chunk(rng, [_openai_choice({}, "tool_calls")]))
    details = {"prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0}}
    chunks.append(
        _openai_chunk(rng, [], {"prompt_tokens": 19, "completion_tokens": 2011, "total_tokens": 2030, **details})
    )
    payloads = [_json(chunk) for chunk in chunks]
    events = [b"data: %b\n\n" % payload for payload in [*payloads, b"[DONE]"]]
    return Transcript("openai_chat", tuple(events), tuple(payloads), "".join(words))


def _openai_choice(delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}


def _openai_chunk(rng: random.Random, choices: list[Any], usage: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-CpWBUfJwr3dU5jYKq82GvTjyGSm7r",
        "object": "chat.completion.chunk",
        "created": 1766394480,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": "fp_f97eff32c5",
        "choices": choices,
        "usage": usage,
        "obfuscation": "".join(rng.choices(string.ascii_letters + string.digits, k=rng.randint(6, 21))),
    }


def _anthropic(rng: random.Random) -> Transcript:
    words = _phrases(rng, EVENTS - 2 * SIDE_EVENTS - 11, 2)
    thinking = [{"type": "thinking_delta", "thinking": word} for word in _phrases(rng, SIDE_EVENTS, 2)]
    thinking.append({"type": "signature_delta", "signature": "".join(rng.choices(string.ascii_letters, k=300))})
    tool = {"type": "tool_use", "id": "toolu_01MnXq7pT3bV9cLwK5sRzYdA", "name": "look_up", "input": {}}
    usage = {"input_tokens": 19, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    message = {
        "model": "claude-sonnet-4-5-20250929",
        "id": "msg_01BhHXaB52vAhWQrfFLqrSMZ",
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 4, "service_tier": "standard"},
    }
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        *_anthropic_block(0, {"type": "thinking", "thinking": "", "signature": ""}, thinking),
        {"type": "ping"},
        *_anthropic_block(1, {"type": "text", "text": ""}, [{"type": "text_delta", "text": word} for word in words]),
        *_anthropic_block(
            2, tool, [{"type": "input_json_delta", "partial_json": piece} for piece in _arguments(rng, SIDE_EVENTS)]
        ),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {**usage, "output_tokens": 2011},
        },
        {"type": "message_stop"},
    ]
    payloads = [_json(event)[:-1] + b" " * rng.randint(0, 18) + b"}" for event in events]
    framed = [
        b"event: %b\ndata: %b\n\n" % (event["type"].encode(), payload)
        for event, payload in zip(events, payloads, strict=True)
    ]
    return Transcript("anthropic", tuple(framed), tuple(payloads), "".join(words))


def _anthropic_block(index: int, begin: dict[str, Any], deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": begin},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _gemini(rng: random.Random) -> Transcript:
    texts = _phrases(rng, EVENTS - SIDE_EVENTS - 2, 9)
    arguments = json.loads("".join(_arguments(rng, SIDE_EVENTS)))
    signature = "".join(rng.choices(string.ascii_letters, k=300))
    call = {"functionCall": {"name": "look_up", "args": arguments}, "thoughtSignature": signature}
    parts: list[dict[str, Any]] = [
        *({"text": text, "thought": True} for text in _phrases(rng, SIDE_EVENTS, 9)),
        *({"text": text} for text in texts),
        call,
    ]
    chunks = [_gemini_chunk(part, 9 * number) for number, part in enumerate(parts)]
    chunks.append(_gemini_chunk({"text": ""}, 9 * len(parts)))
    chunks[-1]["candidates"][0]["finishReason"] = "STOP"
    payloads = [json.dumps(chunk, ensure_ascii=False, separators=(",", ": ")).encode() for chunk in chunks]
    return Transcript(
        "gemini", tuple(b"data: %b\r\n\r\n" % payload for payload in payloads), tuple(payloads), "".join(texts)
    )


def _gemini_chunk(part: dict[str, Any], tokens: int) -> dict[str, Any]:
    return {
        "candidates": [{"content": {"parts": [part], "role": "model"}, "index": 0}],
        "usageMetadata": {
            "promptTokenCount": 1135,
            "candidatesTokenCount": tokens,
            "totalTokenCount": 1361 + tokens,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1135}],
            "thoughtsTokenCount": 226,
            "serviceTier": "standard",
        },
        "modelVersion": "gemini-3.1-pro-preview",
        "responseId": "VYEPauj2Noe3jMcP_dvjoQg",
    }


WIRES: dict[str, Callable[[random.Random], Transcript]] = {
    "openai_chat": _openai,
    "anthropic": _anthropic,
    "gemini": _gemini,
}


def _words(rng: random.Random, number: int) -> list[str]:
    return rng.choices(_WORDS, k=number)


def _phrases(rng: random.Random, number: int, length: int) -> list[str]:
    return ["".join(_words(rng, length)) for _ in range(number)]


def _arguments(rng: random.Random, number: int) -> list[str]:
    """A JSON object in so many fragments."""
    return ['{"query":"', *(word.replace("\n", " ") for word in _words(rng, number - 2)), '"}']


def _json(value: dict[str, Any]) -> bytes:
    """JSON as these two write it: without spaces, and UTF-8 as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
