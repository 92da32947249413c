"""Answers of 2,000 events in the exact wire form of every provider, made up.

Most events are words of the answer, as in life; some 60 each are reasoning (OpenAI's chat sends none) and the arguments
of a tool call (Gemini, Mistral and Ollama send them whole). The average event has the size that recorded streams show:
337 bytes for OpenAI's chat (with its `obfuscation`), 133 for Anthropic (with its `event:` line and its padding), 429
for Gemini (with its CRLF); the others have the fields of their recordings in the same order.
"""

from __future__ import annotations

import base64
import json
import random
import string
from typing import TYPE_CHECKING, Any

from streamcore import eventstream

from .words import EVENTS, SIDE_EVENTS, Transcript, arguments, compact, phrases, words

if TYPE_CHECKING:
    from collections.abc import Callable


def image() -> bytes:
    """One event of a million bytes that holds a generated image, as Gemini sends it."""
    data = base64.b64encode(random.Random(0).randbytes(750_000)).decode()
    part = {"inlineData": {"mimeType": "image/png", "data": data}}
    return b"data: %b\r\n\r\n" % json.dumps(_gemini_chunk(part, 1290)).encode()


def _openai(rng: random.Random) -> Transcript:
    text = words(rng, EVENTS - SIDE_EVENTS - 5)
    fragments = arguments(rng, SIDE_EVENTS)
    call = {"index": 0, "id": "call_9vJqQm0n2WbU6cX1ZtR4yLeK", "type": "function"}
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": "", "refusal": None},
        *({"content": word} for word in text),
        {"tool_calls": [{**call, "function": {"name": "look_up", "arguments": ""}}]},
        *({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in fragments),
    ]
    chunks = [_openai_chunk(rng, [_openai_choice(delta, None)]) for delta in deltas]
    chunks.append(_openai_chunk(rng, [_openai_choice({}, "tool_calls")]))
    details = {"prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0}}
    chunks.append(
        _openai_chunk(rng, [], {"prompt_tokens": 19, "completion_tokens": 2011, "total_tokens": 2030, **details})
    )
    payloads = [compact(chunk) for chunk in chunks]
    events = [b"data: %b\n\n" % payload for payload in [*payloads, b"[DONE]"]]
    return Transcript("openai_chat", tuple(events), tuple(payloads), "".join(text))


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
        "obfuscation": _padding(rng, 6, 21),
    }


def _anthropic(rng: random.Random) -> Transcript:
    text = phrases(rng, EVENTS - 2 * SIDE_EVENTS - 11, 2)
    thinking = [{"type": "thinking_delta", "thinking": word} for word in phrases(rng, SIDE_EVENTS, 2)]
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
        *_anthropic_block(1, {"type": "text", "text": ""}, [{"type": "text_delta", "text": word} for word in text]),
        *_anthropic_block(
            2, tool, [{"type": "input_json_delta", "partial_json": piece} for piece in arguments(rng, SIDE_EVENTS)]
        ),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {**usage, "output_tokens": 2011},
        },
        {"type": "message_stop"},
    ]
    payloads = [compact(event)[:-1] + b" " * rng.randint(0, 18) + b"}" for event in events]
    return Transcript("anthropic", tuple(map(_named, events, payloads)), tuple(payloads), "".join(text))


def _anthropic_block(index: int, begin: dict[str, Any], deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": begin},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _gemini(rng: random.Random) -> Transcript:
    texts = phrases(rng, EVENTS - SIDE_EVENTS - 2, 9)
    called = json.loads("".join(arguments(rng, SIDE_EVENTS)))
    signature = "".join(rng.choices(string.ascii_letters, k=300))
    call = {"functionCall": {"name": "look_up", "args": called}, "thoughtSignature": signature}
    parts: list[dict[str, Any]] = [
        *({"text": text, "thought": True} for text in phrases(rng, SIDE_EVENTS, 9)),
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


def _mistral(rng: random.Random) -> Transcript:
    text = words(rng, EVENTS - SIDE_EVENTS - 3)
    thoughts = [
        [{"type": "thinking", "thinking": [{"type": "text", "text": word}]}] for word in words(rng, SIDE_EVENTS)
    ]
    called = {"name": "look_up", "arguments": "".join(arguments(rng, SIDE_EVENTS))}
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": ""},
        *({"content": thought} for thought in thoughts),
        *({"content": word} for word in text),
        {"tool_calls": [{"id": "D681PevKs", "function": called, "index": 0}]},
    ]
    chunks = [
        {
            "id": "b8bd268b702148ecabd29c1edcbbc870",
            "object": "chat.completion.chunk",
            "created": 1769355100,
            "model": "magistral-small-latest",
            "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
        }
        for delta in deltas
    ]
    chunks[-1]["choices"][0]["finish_reason"] = "tool_calls"
    chunks[-1]["usage"] = {"prompt_tokens": 19, "total_tokens": 2030, "completion_tokens": 2011}
    payloads = [compact(chunk) for chunk in chunks]
    events = [b"data: %b\n\n" % payload for payload in [*payloads, b"[DONE]"]]
    return Transcript("mistral", tuple(events), tuple(payloads), "".join(text))


def _openai_responses(rng: random.Random) -> Transcript:
    text = words(rng, EVENTS - 2 * SIDE_EVENTS - 17)
    thoughts, fragments = words(rng, SIDE_EVENTS), arguments(rng, SIDE_EVENTS)
    response = {
        "id": "resp_076fe7632dc1849900690c23859c848194b36d9bf017335c22",
        "object": "response",
        "created_at": 1762403205,
        "status": "in_progress",
        "model": "gpt-5-mini-2025-08-07",
        "output": [],
        "tools": [{"type": "function", "name": "look_up", "parameters": {"type": "object"}, "strict": True}],
        "usage": None,
        "metadata": {},
    }
    message = {"type": "message", "status": "in_progress", "role": "assistant"}
    part = {"type": "output_text", "annotations": [], "logprobs": []}
    call = {"type": "function_call", "call_id": "call_9vJqQm0n2WbU6cX1ZtR4", "name": "look_up", "arguments": ""}
    usage = {"input_tokens": 19, "output_tokens": 2011, "total_tokens": 2030}
    where = [
        {"item_id": f"msg_076fe7632dc1849900690c23860fb48194b403fdb9c04c36{n}", "output_index": n} for n in range(3)
    ]
    summed = {**where[0], "summary_index": 0}
    said = {**where[1], "content_index": 0, "logprobs": []}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": response},
        {"type": "response.in_progress", "response": response},
        *_item(
            where[0], {"type": "reasoning", "summary": []}, _deltas(rng, "reasoning_summary_text", summed, thoughts)
        ),
        *_item(
            where[1],
            {**message, "content": []},
            [
                {"type": "response.content_part.added", **said, "part": {**part, "text": ""}},
                *_deltas(rng, "output_text", said, text),
                {"type": "response.content_part.done", **said, "part": {**part, "text": "".join(text)}},
            ],
        ),
        *_item(where[2], call, _deltas(rng, "function_call_arguments", where[2], fragments)),
        {"type": "response.completed", "response": {**response, "status": "completed", "usage": usage}},
    ]
    payloads = [
        compact({"type": event["type"], "sequence_number": number, **event}) for number, event in enumerate(events)
    ]
    return Transcript("openai_responses", tuple(map(_named, events, payloads)), tuple(payloads), "".join(text))


def _item(where: dict[str, Any], item: dict[str, Any], events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    at = {"output_index": where["output_index"], "item": {"id": where["item_id"], **item}}
    return [{"type": "response.output_item.added", **at}, *events, {"type": "response.output_item.done", **at}]


def _deltas(rng: random.Random, name: str, where: dict[str, Any], texts: list[str]) -> list[dict[str, Any]]:
    whole = {"arguments" if name == "function_call_arguments" else "text": "".join(texts)}
    return [
        *(
            {"type": f"response.{name}.delta", **where, "delta": text, "obfuscation": _padding(rng, 6, 16)}
            for text in texts
        ),
        {"type": f"response.{name}.done", **where, **whole},
    ]


def _bedrock(rng: random.Random) -> Transcript:
    text = phrases(rng, EVENTS - 2 * SIDE_EVENTS - 8, 2)
    thoughts = [{"reasoningContent": {"text": word}} for word in phrases(rng, SIDE_EVENTS, 2)]
    thoughts.append({"reasoningContent": {"signature": "".join(rng.choices(string.ascii_letters, k=300))}})
    tool = {"toolUse": {"toolUseId": "tooluse_01MnXq7pT3bV9cLwK5sRzYdA", "name": "look_up"}}
    fragments = [{"toolUse": {"input": fragment}} for fragment in arguments(rng, SIDE_EVENTS)]
    events: list[tuple[str, dict[str, Any]]] = [
        ("messageStart", {"role": "assistant"}),
        *_bedrock_block(0, thoughts),
        *_bedrock_block(1, [{"text": phrase} for phrase in text]),
        ("contentBlockStart", {"contentBlockIndex": 2, "start": tool}),
        *_bedrock_block(2, fragments),
        ("messageStop", {"stopReason": "tool_use"}),
        (
            "metadata",
            {
                "metrics": {"latencyMs": 1528},
                "usage": {"inputTokens": 19, "outputTokens": 2011, "totalTokens": 2030},
            },
        ),
    ]
    padding = string.ascii_letters + string.digits
    payloads = [compact({**event, "p": padding[: rng.randint(2, 60)]}) for _, event in events]
    head = {":content-type": "application/json", ":message-type": "event"}
    framed = [
        eventstream.encode(payload, {":event-type": name, **head})
        for (name, _), payload in zip(events, payloads, strict=True)
    ]
    return Transcript("bedrock", tuple(framed), tuple(payloads), "".join(text))


def _bedrock_block(index: int, deltas: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    at = {"contentBlockIndex": index}
    return [*(("contentBlockDelta", {**at, "delta": delta}) for delta in deltas), ("contentBlockStop", at)]


def _cohere(rng: random.Random) -> Transcript:
    text = words(rng, EVENTS - 2 * SIDE_EVENTS - 8)
    call = {"id": "look_up_8vJqQm0n2WbU", "type": "function", "function": {"name": "look_up", "arguments": ""}}
    fragments = [{"tool_calls": {"function": {"arguments": fragment}}} for fragment in arguments(rng, SIDE_EVENTS)]
    usage = {"billed_units": {"input_tokens": 19, "output_tokens": 2011}, "cached_tokens": 0}
    tokens = {"tokens": {"input_tokens": 1413, "output_tokens": 2016, "reasoning_tokens": 60}}
    events: list[dict[str, Any]] = [
        {"delta": {"message": {"content": [], "role": "assistant", "tool_calls": []}}, "type": "message-start"},
        *_cohere_block(
            "content",
            0,
            {"content": {"thinking": "", "type": "thinking"}},
            [{"content": {"thinking": word}} for word in words(rng, SIDE_EVENTS)],
        ),
        *_cohere_block(
            "content", 1, {"content": {"text": "", "type": "text"}}, [{"content": {"text": word}} for word in text]
        ),
        *_cohere_block("tool-call", 0, {"tool_calls": call}, fragments),
        {"delta": {"finish_reason": "TOOL_CALL", "usage": {**usage, **tokens}}, "type": "message-end"},
    ]
    events[0]["id"] = "736ff1c0-1a4b-42b9-91d8-22d72839d105"
    payloads = [compact(event) for event in events]
    framed = [*map(_named, events, payloads), b"data: [DONE]\n\n"]
    return Transcript("cohere", tuple(framed), tuple(payloads), "".join(text))


def _cohere_block(name: str, index: int, begin: dict[str, Any], deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"delta": {"message": begin}, "index": index, "type": f"{name}-start"},
        *({"delta": {"message": delta}, "index": index, "type": f"{name}-delta"} for delta in deltas),
        {"index": index, "type": f"{name}-end"},
    ]


def _ollama(rng: random.Random) -> Transcript:
    text = words(rng, EVENTS - SIDE_EVENTS - 2)
    call = {"index": 0, "name": "look_up", "arguments": json.loads("".join(arguments(rng, SIDE_EVENTS)))}
    messages: list[dict[str, Any]] = [
        *({"content": "", "thinking": word} for word in words(rng, SIDE_EVENTS)),
        *({"content": word} for word in text),
        {"content": "", "tool_calls": [{"id": "call_5qv1p0xk", "function": call}]},
        {"content": ""},
    ]
    lines: list[dict[str, Any]] = [
        {
            "model": "qwen3.6:latest",
            "created_at": f"2026-08-07T06:08:{number // 100:02}.{rng.randrange(10**6):06}Z",
            "message": {"role": "assistant", **message},
            "done": False,
        }
        for number, message in enumerate(messages)
    ]
    durations = {"total_duration": 8625649709, "load_duration": 142828459}
    lines[-1] |= {"done": True, "done_reason": "stop", **durations, "prompt_eval_count": 19, "eval_count": 2011}
    payloads = [compact(line) for line in lines]
    return Transcript("ollama", tuple(payload + b"\n" for payload in payloads), tuple(payloads), "".join(text))


def _named(event: dict[str, Any], payload: bytes) -> bytes:
    """A server-sent event that says its type twice."""
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), payload)


def _padding(rng: random.Random, low: int, high: int) -> str:
    return "".join(rng.choices(string.ascii_letters + string.digits, k=rng.randint(low, high)))


WIRES: dict[str, Callable[[random.Random], Transcript]] = {
    "openai_chat": _openai,
    "openai_responses": _openai_responses,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "bedrock": _bedrock,
    "cohere": _cohere,
    "mistral": _mistral,
    "ollama": _ollama,
}
"""By adapter."""
