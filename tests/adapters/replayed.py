"""What the next request must hold after an answer, worked out from the raw frames of its stream.

Nothing here uses the adapters. For each wire there is a function that makes the assistant's turn of a stream, one that
finds it in a request, and the names under which tokens stand: what the caller does not understand and the provider
must get back (signatures, encrypted reasoning, ids). Sources: the providers' documentation of multi-turn use.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapters import (
    plain_anthropic,
    plain_bedrock,
    plain_cohere,
    plain_gemini,
    plain_ollama,
    plain_openai_chat,
    plain_openai_responses,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Calls = list[tuple[str | None, str]]  # the id of each, and its name (or type) where its result has that too
Tokens = Counter[tuple[str, str]]  # the name and the value of each

ARGUMENTS = ("input", "args", "arguments")  # what is named "id" in there is the model's word
UNSIGNED = "skip_thought_signature_validator"

# The field in which a server that speaks Chat Completions wants reasoning back.
REASONING_FIELDS = {
    "cerebras": "reasoning",
    "deepseek": "reasoning_content",
    "fireworks": "reasoning_content",
    "groq": "reasoning",
    "llama_cpp": "reasoning_content",
    "ollama_v1": "reasoning",
    "openrouter": "reasoning",
    "sglang": "reasoning_content",
    "together": "reasoning",
    "vllm": "reasoning",
    "xai": "reasoning_content",
}


class _Nine:
    """Equal to nine letters and digits: an id for a call that has none, or one that Mistral would not take back."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and re.fullmatch("[a-zA-Z0-9]{9}", other) is not None

    __hash__ = None

    def __repr__(self) -> str:
        return "<nine letters and digits>"


NINE: Any = _Nine()


@dataclass(frozen=True)
class Turn:
    """An assistant's turn in its provider's words, the calls in it, and the tokens."""

    content: Any
    calls: Calls
    tokens: Tokens


@dataclass(frozen=True)
class Sent:
    """The turn that a request holds, and what the results after it say of the calls that they answer."""

    turn: Turn
    results: Calls


@dataclass(frozen=True)
class Wire:
    """How a turn is made of a stream (by a model, or for a server), and found in a request."""

    wanted: Callable[[bytes, str], Turn]
    sent: Callable[[dict[str, Any]], Sent]


def found(value: Any, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The strings that have one of these names, however deep."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in names and isinstance(inner, str):
                yield from [(name, inner)] if inner else []
            elif name not in ARGUMENTS:
                yield from found(inner, names)
    elif isinstance(value, list):
        for inner in value:
            yield from found(inner, names)


def found_all(value: Any, names: Iterable[str]) -> Tokens:
    return Counter(found(value, names))


# Anthropic Messages: a turn goes back block by block, unmodified, in order; empty text is refused.

_OF_MESSAGES = ("signature", "data", "encrypted_content", "encrypted_index", "encrypted_stdout", "id", "tool_use_id")


def messages_wanted(body: bytes, _: str) -> Turn:
    pieces: list[Any] = []
    signatures: dict[int, str] = {}
    for event in plain_anthropic.events(body):
        begun, delta = event.get("content_block") or {}, event.get("delta") or {}
        if "signature" in begun | delta:  # the last one of a block counts
            signatures[event["index"]] = (begun | delta)["signature"]
        else:
            pieces += [(event.get("message") or {}).get("content"), begun, delta]
    pieces += [{"signature": signature} for signature in signatures.values()]
    content = []
    for block in plain_anthropic.decode(body).blocks:
        empty = not block.get("text", block.get("signature", "-"))
        kept = {name: value for name, value in block.items() if name != "citations" or value}
        content += [] if empty else [kept]
    return Turn(content, _calls_of_messages(content), found_all(pieces, _OF_MESSAGES))


def messages_sent(request: dict[str, Any]) -> Sent:
    turns = [turn["content"] for turn in request["messages"] if turn["role"] == "assistant"]
    users = [block for turn in request["messages"] if turn["role"] == "user" for block in turn["content"]]
    results: Calls = [(block["tool_use_id"], "") for block in users if block["type"] == "tool_result"]
    turn = turns[0] if turns else []
    return Sent(Turn(turn, _calls_of_messages(turn), found_all(turn, _OF_MESSAGES)), results)


def _calls_of_messages(content: list[dict[str, Any]]) -> Calls:
    return [(block["id"], "") for block in content if block["type"] == "tool_use"]


# Bedrock Converse: likewise; blank text is refused.


def converse_wanted(body: bytes, _: str) -> Turn:
    tokens: Tokens = Counter()
    signatures: dict[int, str] = {}
    redacted: dict[int, bytes] = {}
    for _headers, payload in plain_bedrock.messages(body):
        index = payload.get("contentBlockIndex", -1)
        tokens += found_all(payload.get("start"), ("toolUseId",))
        piece = (payload.get("delta") or {}).get("reasoningContent") or {}
        signatures[index] = signatures.get(index, "") + piece.get("signature", "")
        redacted[index] = redacted.get(index, b"") + base64.b64decode(piece.get("redactedContent", ""))
    tokens += Counter(("signature", value) for value in signatures.values() if value)
    tokens += Counter(("redactedContent", base64.b64encode(value).decode()) for value in redacted.values() if value)
    content = [block for block in plain_bedrock.decode(body).blocks if block.get("text", "-").strip()]
    return Turn(content, _calls_of_converse(content), tokens)


def converse_sent(request: dict[str, Any]) -> Sent:
    turns = [turn["content"] for turn in request["messages"] if turn["role"] == "assistant"]
    users = [block for turn in request["messages"] if turn["role"] == "user" for block in turn["content"]]
    results: Calls = [(block["toolResult"]["toolUseId"], "") for block in users if "toolResult" in block]
    turn = turns[0] if turns else []
    tokens = found_all(turn, ("signature", "redactedContent", "toolUseId"))
    return Sent(Turn(turn, _calls_of_converse(turn), tokens), results)


def _calls_of_converse(content: list[dict[str, Any]]) -> Calls:
    calls = [block["toolUse"] for block in content if "toolUse" in block]
    return [(call["toolUseId"], "") for call in calls if "type" not in call]


# OpenAI Responses: the items of the answer; reasoning that led to nothing is refused.

_OF_RESPONSES = ("id", "call_id", "encrypted_content", "phase")


def responses_wanted(body: bytes, _: str) -> Turn:
    items = [_item_that_returns(item) for item in plain_openai_responses.decode(body).items]
    while items and items[-1]["type"] == "reasoning" and "openai" in items[-1].get("format", "openai"):
        items.pop()
    events = plain_openai_responses.events(body)
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    return Turn(items, _calls_of_responses(items), found_all((done or items)[: len(items)], _OF_RESPONSES))


def responses_wanted_where_nothing_is_stored(body: bytes) -> list[tuple[str, str | None]]:
    """The type and the id of each item: no reasoning that came without its content, and after it no id but of what ran
    at the provider."""
    found: list[tuple[str, str | None]] = []
    nameless = False
    for item in responses_wanted(body, "").content:
        if item["type"] == "reasoning" and not (item.get("encrypted_content") or item.get("content")):
            nameless = True
            continue
        named = not nameless or item["type"] not in ("message", "function_call", "custom_tool_call")
        found.append((item["type"], item.get("id") if named else None))
    return found


def responses_sent(request: dict[str, Any]) -> Sent:
    outputs = ("function_call_output", "custom_tool_call_output")
    answers = [item for item in request["input"] if item.get("type") in outputs]
    turn = [item for item in request["input"] if item not in answers and item.get("role") != "user"]
    results: Calls = [(item["call_id"], item["type"]) for item in answers]
    return Sent(Turn(turn, _calls_of_responses(turn), found_all(turn, _OF_RESPONSES)), results)


def _item_that_returns(item: dict[str, Any]) -> dict[str, Any]:
    """An item of the model's without what is null, a message without the token probabilities of its parts."""
    if item["type"] not in ("message", "reasoning", "function_call", "custom_tool_call"):
        return item
    kept = {name: value for name, value in item.items() if value is not None}
    if item["type"] == "message":
        kept["content"] = [{name: part[name] for name in part if name != "logprobs"} for part in item["content"]]
    return kept


def _calls_of_responses(items: list[dict[str, Any]]) -> Calls:
    calls = [item for item in items if item.get("type") in ("function_call", "custom_tool_call")]
    mine = [call for call in calls if call["name"] not in plain_openai_responses.SEARCHES_OF_X]
    return [(call["call_id"], f"{call['type']}_output") for call in mine]


# Gemini: every part with its own signature. Since Gemini 3 the first call in a row needs one.

_OF_GENERATE_CONTENT = ("thoughtSignature", "id")


def generate_content_wanted(body: bytes, model: str) -> Turn:
    plain = plain_gemini.decode(body)
    parts, tokens = plain.turn, found_all(plain.parts, _OF_GENERATE_CONTENT)
    signs = not model.startswith(("gemini-1", "gemini-2"))
    before: dict[str, Any] = {}
    for part in parts:
        first = "functionCall" in part and "functionCall" not in before
        if signs and first and "thoughtSignature" not in part:
            part["thoughtSignature"] = UNSIGNED
            tokens["thoughtSignature", UNSIGNED] += 1
        before = part
    return Turn(parts, _calls_of_generate_content(parts, "functionCall"), tokens)


def generate_content_sent(request: dict[str, Any]) -> Sent:
    turns = [turn["parts"] for turn in request["contents"] if turn["role"] == "model"]
    users = [part for turn in request["contents"] if turn["role"] == "user" for part in turn["parts"]]
    turn = turns[0] if turns else []
    calls = _calls_of_generate_content(turn, "functionCall")
    sent = Turn(turn, calls, found_all(turn, _OF_GENERATE_CONTENT))
    return Sent(sent, _calls_of_generate_content(users, "functionResponse"))


def _calls_of_generate_content(parts: list[dict[str, Any]], kind: str) -> Calls:
    return [(part[kind].get("id"), part[kind]["name"]) for part in parts if kind in part]


# Cohere: one message, with its plan, its calls, and the sources of all its texts.


def chat_v2_wanted(body: bytes, _: str) -> Turn:
    deltas = [(event.get("delta") or {}).get("message") for event in plain_cohere.events(body)]
    message = plain_cohere.decode(body).message
    for call in message.get("tool_calls") or []:
        call["function"]["arguments"] = call["function"]["arguments"] or "{}"
    return Turn(message, _calls_of_functions(message), found_all(deltas, ("id",)))


def chat_v2_sent(request: dict[str, Any]) -> Sent:
    return _sent_as_messages(request, ("id",))


# Ollama: one message, with its thinking and its calls, and their ids where it gave any.


def ollama_chat_wanted(body: bytes, _: str) -> Turn:
    lines = [json.loads(line) for line in body.decode().split("\n") if line.strip()]
    message = plain_ollama.decode(body).message
    tokens = found_all([line.get("message") for line in lines], ("id",))
    return Turn(message, _calls_of_ollama(message), tokens)


def ollama_chat_sent(request: dict[str, Any]) -> Sent:
    results = [message for message in request["messages"] if message["role"] == "tool"]
    turn = next((message for message in request["messages"] if message["role"] == "assistant"), None)
    answered: Calls = [(result.get("tool_call_id"), result["tool_name"]) for result in results]
    return Sent(Turn(turn, _calls_of_ollama(turn or {}), found_all(turn, ("id",))), answered)


def _calls_of_ollama(message: dict[str, Any]) -> Calls:
    return [(call.get("id"), call["function"]["name"]) for call in message.get("tool_calls") or []]


# Chat Completions: one message; what the server wants besides text and calls is in its own fields.

_OF_CHAT_COMPLETIONS = ("signature", "data", "thought_signature", "reasoning_opaque")


def chat_completions_wanted(body: bytes, server: str) -> Turn:
    plain = plain_openai_chat.decode(body)
    deltas = list(_deltas(body))
    details = _details(deltas) if server in ("openrouter", "any") else []
    message: dict[str, Any] = {"role": "assistant", "content": plain.text}
    field = REASONING_FIELDS.get(server, "reasoning_content" if server == "any" else "")
    if details:
        message["reasoning_details"] = details
    elif plain.reasoning and field:
        message[field] = plain.reasoning
    for delta in deltas:
        if delta.get("reasoning_opaque") and server == "any":
            message["reasoning_opaque"] = delta["reasoning_opaque"]
    annotations = [item for delta in deltas for item in delta.get("annotations") or []]
    if annotations and server == "any":
        message["annotations"] = annotations
    if plain.refusal:
        message["refusal"] = plain.refusal
    if plain.calls:
        message["tool_calls"] = [_chat_call(call, server) for call in plain.calls]
    if not plain.text and {"refusal", "tool_calls"} & message.keys():
        message["content"] = None
    return _chat_turn(deltas, message)


def mistral_wanted(body: bytes, _: str) -> Turn:
    """Thinking is a part of the content, and so is the text beside it."""
    plain, deltas = plain_openai_chat.decode(body), list(_deltas(body))
    parts: dict[str, Any] = {}
    for delta in deltas:
        content = delta.get("content") or []
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if part["type"] == "text" and part["text"]:
                parts["text"] = {"type": "text", "text": plain.text}
            elif part["type"] == "reference":
                parts["reference"] = part
            elif part["type"] == "thinking":
                thinking = [{"type": "text", "text": plain.reasoning}]
                signed = {"signature": part["signature"]} if part.get("signature") else {}
                parts["thinking"] = {"type": "thinking", "thinking": thinking, **signed, "closed": True}
    message: dict[str, Any] = {"role": "assistant", "content": list(parts.values())}
    if parts.keys() <= {"text"}:
        message["content"] = plain.text or (None if plain.calls else "")
    if plain.calls:
        message["tool_calls"] = [_chat_call(call, "") for call in plain.calls]
        for call in message["tool_calls"]:
            call["id"] = call["id"] if call["id"] == NINE else NINE
    return _chat_turn(deltas, message)


def chat_completions_sent(request: dict[str, Any]) -> Sent:
    return _sent_as_messages(request, _OF_CHAT_COMPLETIONS)


def _deltas(body: bytes) -> Iterator[dict[str, Any]]:
    """What each chunk adds to the first choice."""
    for _, data in plain_openai_chat.payloads(body):
        if data.strip().startswith("[DONE]"):
            return
        for choice in json.loads(data).get("choices") or []:
            if not choice.get("index"):
                yield choice.get("delta") or {}


def _chat_turn(deltas: list[dict[str, Any]], message: dict[str, Any]) -> Turn:
    """An answer without anything in it leaves no message. What this server does not take holds no token."""
    taken = [{name: value for name, value in delta.items() if name in message} for delta in deltas]
    empty = message == {"role": "assistant", "content": ""}
    return Turn(None if empty else message, _calls_of_functions(message), found_all(taken, _OF_CHAT_COMPLETIONS))


def _chat_call(call: dict[str, Any], server: str) -> dict[str, Any]:
    arguments = plain_openai_chat.whole(call["arguments"]) or "{}"
    extra = {"extra_content": call["extra"]} if call["extra"] and server == "any" else {}
    return {
        "id": call["id"] or NINE,
        "type": "function",
        "function": {"name": call["name"], "arguments": arguments},
        **extra,
    }


def _details(deltas: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items, of which each piece of text continues the one before, until that is signed."""
    items: list[dict[str, Any]] = []
    for delta in deltas:
        for piece in delta.get("reasoning_details") or []:
            last = items[-1] if items else {}
            same = all(last.get(name) == piece.get(name) for name in ("type", "index"))
            if not (same and last and "data" not in piece and not last.get("signature")):
                items.append(dict(piece))
                continue
            for name, value in piece.items():
                if name in ("text", "summary") and value:
                    last[name] = (last.get(name) or "") + value
                elif value not in (None, ""):
                    last[name] = value
    return items


def _calls_of_functions(message: dict[str, Any]) -> Calls:
    return [(call["id"], "") for call in message.get("tool_calls") or []]


def _sent_as_messages(request: dict[str, Any], names: Iterable[str]) -> Sent:
    turn = next((message for message in request["messages"] if message["role"] == "assistant"), None)
    results: Calls = [(message["tool_call_id"], "") for message in request["messages"] if message["role"] == "tool"]
    return Sent(Turn(turn, _calls_of_functions(turn or {}), found_all(turn, names)), results)


WIRES = {
    "messages": Wire(messages_wanted, messages_sent),
    "converse_stream": Wire(converse_wanted, converse_sent),
    "responses": Wire(responses_wanted, responses_sent),
    "generate_content": Wire(generate_content_wanted, generate_content_sent),
    "chat_v2": Wire(chat_v2_wanted, chat_v2_sent),
    "ollama_chat": Wire(ollama_chat_wanted, ollama_chat_sent),
    "chat_completions": Wire(chat_completions_wanted, chat_completions_sent),
    "mistral": Wire(mistral_wanted, chat_completions_sent),
}
