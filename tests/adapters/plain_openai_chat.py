"""Reads a Chat Completions stream the slow and obvious way: the whole body at once, every event through `json.loads`.

Knows the first choice only, as the adapter does. `tool_calls` are what the wire said: an id is None where it gave none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

REASONS = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "length": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


@dataclass
class Plain:
    started: bool = False
    id: str | None = None
    model: str | None = None
    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    details: list[dict[str, Any]] = field(default_factory=list)
    wire_usage: dict[str, Any] | None = None
    reason: str | None = None
    done: bool = False
    error: Any = None
    malformed: str | None = None

    @property
    def tool_calls(self) -> list[tuple[str | None, str, str]]:
        return [(call["id"], call["name"], whole(call["arguments"]) or "{}") for call in self.calls]

    @property
    def finish(self) -> str | None:
        if not self.reason:
            return None
        unified = REASONS.get(self.reason, "other")
        if unified == "stop" and self.calls:
            return "tool_calls"
        return "refusal" if unified == "stop" and self.refusal else unified

    @property
    def usage(self) -> dict[str, int | None] | None:
        """The numbers of `streamcore.events.Usage`, by the table of the providers' documentation."""
        usage = self.wire_usage
        if not usage or usage.get("prompt_tokens") is None:
            return None
        inputs = usage.get("prompt_tokens_details") or usage.get("prompt_token_details") or {}
        outputs = usage.get("completion_tokens_details") or {}
        read, written, total = usage["prompt_tokens"], usage["completion_tokens"], usage.get("total_tokens")
        reasoning = known(
            outputs.get("reasoning_tokens"), *values(usage, "reasoning_tokens", "completion_reasoning_tokens")
        )
        if reasoning and total == read + written + reasoning:
            written += reasoning
        elif inputs.get("audio_tokens") and total == read + written + inputs["audio_tokens"]:
            read += inputs["audio_tokens"]
        names = ("cached_tokens", "num_cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens")
        cached = known(inputs.get("cached_tokens"), *values(usage, *names))
        if cached is not None and cached > read:
            read += cached
        stored = known(*values(inputs, "cache_write_tokens", "cache_creation_input_tokens"))
        return {
            "input_tokens": read,
            "output_tokens": written,
            "cache_read_tokens": cached,
            "cache_write_tokens": known(stored, usage.get("cache_creation_input_tokens")),
            "reasoning_tokens": reasoning,
            "input_audio_tokens": inputs.get("audio_tokens"),
            "output_audio_tokens": outputs.get("audio_tokens"),
            "input_image_tokens": inputs.get("image_tokens"),
            "output_image_tokens": outputs.get("image_tokens"),
        }


def values(fields: dict[str, Any], *names: str) -> list[Any]:
    return [fields.get(name) for name in names]


def known(*candidates: Any) -> Any:
    return next((value for value in candidates if value is not None), None)


def whole(text: str) -> str:
    """Halves of surrogate pairs that two deltas brought, joined."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def payloads(body: bytes) -> list[tuple[str, str]]:
    """The events, as pairs of their type and their data."""
    events, kind, data = [], "message", []
    for line in [*body.decode("utf-8", "replace").replace("\r\n", "\n").split("\n"), ""]:
        if not line:
            if data:
                events.append((kind, "\n".join(data)))
            kind, data = "message", []
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif line.startswith("event:"):
            kind = line[6:].strip()
    return events


def decode(body: bytes) -> Plain:
    plain = Plain()
    for kind, data in payloads(body):
        if data.strip().startswith("[DONE]"):
            plain.done = True
            break
        try:
            chunk = json.loads(data)
        except ValueError:
            plain.malformed = data
            break
        if chunk.get("error") or kind == "error":
            plain.error = chunk.get("error", chunk)
            break
        read_chunk(chunk, plain)
    plain.text, plain.reasoning, plain.refusal = whole(plain.text), whole(plain.reasoning), whole(plain.refusal)
    return plain


def read_chunk(chunk: dict[str, Any], plain: Plain) -> None:
    if not plain.started and (chunk.get("id") or chunk.get("model") or chunk.get("choices")):
        plain.started = True
        plain.id, plain.model = chunk.get("id") or None, chunk.get("model") or None
    for usage in ((chunk.get("x_groq") or {}).get("usage"), chunk.get("usage")):
        if usage and usage.get("prompt_tokens") is not None:
            plain.wire_usage = usage
    for choice in chunk.get("choices") or []:
        if choice.get("index", 0) == 0:
            read_delta(choice.get("delta") or {}, plain)
            plain.reason = choice.get("finish_reason") or plain.reason


def read_delta(delta: dict[str, Any], plain: Plain) -> None:
    details = delta.get("reasoning_details") or []
    detailed = "".join(item.get("text") or item.get("summary") or "" for item in details)
    fields = values(delta, "reasoning_content", "reasoning", "reasoning_text")
    plain.reasoning += next((text for text in fields if text), detailed)
    plain.details += details
    content = delta.get("content") or ""
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
        if part["type"] == "text":
            plain.text += part["text"]
        elif part["type"] in ("thinking", "reasoning"):
            plain.reasoning += "".join(
                inner.get("text", "") for inner in part.get("thinking") or part.get("summary") or []
            )
    plain.refusal += delta.get("refusal") or ""
    for piece in delta.get("tool_calls") or []:
        read_call(piece, plain.calls)


def read_call(piece: dict[str, Any], calls: list[dict[str, Any]]) -> None:
    """A piece begins a call if its id is new, or its index is; else it continues the one that it names."""
    id, index = piece.get("id") or None, piece.get("index")
    name, arguments = piece["function"].get("name") or "", piece["function"].get("arguments") or ""
    same = [call for call in calls if (call["id"] == id if id else call["index"] == index)]
    if id and not same and not name:
        same = [call for call in calls if call["index"] == index]
    if same:
        call = same[-1]
        call["name"] = call["name"] or name
    else:
        call = {"id": id, "index": index, "name": name, "arguments": "", "extra": piece.get("extra_content")}
        calls.append(call)
    call["arguments"] += arguments if isinstance(arguments, str) else json.dumps(arguments, separators=(",", ":"))
