"""Short streams, made up, one for each wire: full of what must go back, and beside each the turn that must be sent.

The words of the tokens are not real ones; where they stand is what the providers document.
"""

from __future__ import annotations

import json
from typing import Any

from adapters.replayed import NINE
from streamcore import eventstream


def sse(*events: Any, end: str = "") -> bytes:
    texts = [f"data: {json.dumps(event)}\n\n" for event in events]
    named = [f"event: {event['type']}\n" if "type" in event else "" for event in events]
    return ("".join(name + text for name, text in zip(named, texts, strict=True)) + end).encode()


DONE = "data: [DONE]\n\n"

# Anthropic Messages


def blocks(*content: tuple[dict[str, Any], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    for index, (begun, deltas) in enumerate(content):
        events.append({"type": "content_block_start", "index": index, "content_block": begun})
        events += ({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
        events.append({"type": "content_block_stop", "index": index})
    return events


CITATION = {
    "type": "web_search_result_location",
    "url": "https://example.org/sky",
    "title": "Sky",
    "encrypted_index": "index-1",
    "cited_text": "The sky is blue.",
}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "sky"}}
HIT = {"type": "web_search_result", "url": "https://example.org/sky", "title": "Sky", "encrypted_content": "page-1"}
HITS = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [HIT]}
REDACTED = {"type": "redacted_thinking", "data": "redacted-1"}
CALLER = {"type": "code_execution_20250825", "tool_id": "srvtoolu_1"}

MESSAGES = sse(
    {
        "type": "message_start",
        "message": {"id": "msg_1", "model": "claude-opus-5", "content": [], "usage": {"input_tokens": 5}},
    },
    *blocks(
        (
            {"type": "thinking", "thinking": "", "signature": ""},
            [
                {"type": "thinking_delta", "thinking": "Let me "},
                {"type": "thinking_delta", "thinking": "look."},
                {"type": "signature_delta", "signature": "signed-1=="},
            ],
        ),
        (REDACTED, []),
        ({**SEARCH, "input": {}}, [{"type": "input_json_delta", "partial_json": '{"query": "sky"}'}]),
        (HITS, []),
        (
            {"type": "text", "text": "", "citations": []},
            [
                {"type": "citations_delta", "citation": CITATION},
                {"type": "text_delta", "text": "It is "},
                {"type": "text_delta", "text": "blue."},
            ],
        ),
        # The text of this thought was kept back.
        ({"type": "thinking", "thinking": "", "signature": ""}, [{"type": "signature_delta", "signature": "signed-2"}]),
        (
            {"type": "tool_use", "id": "toolu_1", "name": "paint", "input": {}, "caller": CALLER},
            [{"type": "input_json_delta", "partial_json": piece} for piece in ("", '{"n": 1', "e2}")],
        ),
        ({"type": "tool_use", "id": "toolu_2", "name": "stop", "input": {}}, []),
    ),
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
    {"type": "message_stop"},
)
MESSAGES_TURN = [
    {"type": "thinking", "thinking": "Let me look.", "signature": "signed-1=="},
    REDACTED,
    SEARCH,
    HITS,
    {"type": "text", "text": "It is blue.", "citations": [CITATION]},
    {"type": "thinking", "thinking": "", "signature": "signed-2"},
    {"type": "tool_use", "id": "toolu_1", "name": "paint", "input": {"n": 100.0}, "caller": CALLER},
    {"type": "tool_use", "id": "toolu_2", "name": "stop", "input": {}},
]

# Bedrock Converse


def message(type: str, **payload: Any) -> bytes:
    return eventstream.encode(json.dumps(payload).encode(), {":event-type": type, ":message-type": "event"})


def block(index: int, *deltas: dict[str, Any], **start: Any) -> bytes:
    begun = message("contentBlockStart", contentBlockIndex=index, start=start) if start else b""
    pieces = (message("contentBlockDelta", contentBlockIndex=index, delta=delta) for delta in deltas)
    return begun + b"".join(pieces) + message("contentBlockStop", contentBlockIndex=index)


SOURCE = {
    "title": "Sky",
    "sourceContent": [{"text": "The sky is blue."}],
    "location": {"documentChar": {"documentIndex": 0, "start": 1, "end": 5}},
}
CONVERSE = b"".join(
    [
        message("messageStart", role="assistant"),
        block(
            0,
            {"reasoningContent": {"text": "Let me "}},
            {"reasoningContent": {"text": "look."}},
            {"reasoningContent": {"signature": "signed-"}},
            {"reasoningContent": {"signature": "1=="}},
        ),
        block(
            1, {"reasoningContent": {"redactedContent": "cmVkYWN0"}}, {"reasoningContent": {"redactedContent": "ZWQ="}}
        ),
        block(2, {"citation": SOURCE}, {"text": "It is "}, {"text": "blue."}),
        block(
            3,
            {"toolUse": {"input": '{"n": 1'}},
            {"toolUse": {"input": "e2}"}},
            toolUse={"toolUseId": "tooluse_1", "name": "paint"},
        ),
        block(4, {"toolUse": {"input": ""}}, toolUse={"toolUseId": "tooluse_2", "name": "stop"}),
        message("messageStop", stopReason="tool_use"),
        message("metadata", usage={"inputTokens": 5, "outputTokens": 9, "totalTokens": 14}),
    ]
)
CONVERSE_TURN = [
    {"reasoningContent": {"reasoningText": {"text": "Let me look.", "signature": "signed-1=="}}},
    {"reasoningContent": {"redactedContent": "cmVkYWN0ZWQ="}},
    {"citationsContent": {"content": [{"text": "It is blue."}], "citations": [SOURCE]}},
    {"toolUse": {"toolUseId": "tooluse_1", "name": "paint", "input": {"n": 100.0}}},
    {"toolUse": {"toolUseId": "tooluse_2", "name": "stop", "input": {}}},
]

# OpenAI Responses


def item(index: int, item: dict[str, Any], *events: dict[str, Any], **begun: Any) -> list[dict[str, Any]]:
    place = {"output_index": index, "item_id": item["id"]}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": {**item, **begun}},
        *({**event, "type": f"response.{event['type']}", **place} for event in events),
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


NOTE = {"type": "url_citation", "url": "https://example.org/sky", "title": "Sky", "start_index": 0, "end_index": 5}
THOUGHT = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "Let me look."}],
    "encrypted_content": "whole-1",
}
SEARCHED = {
    "type": "web_search_call",
    "id": "ws_1",
    "status": "completed",
    "action": {"type": "search", "query": "sky"},
}
HIDDEN = {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "whole-2"}
SAID = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "phase": "commentary",
    "content": [{"type": "output_text", "text": "It is blue.", "annotations": [NOTE]}],
}
PAINT = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "paint",
    "arguments": '{"n": 1e2}',
    "status": "completed",
}
SHELL = {
    "type": "custom_tool_call",
    "id": "ctc_1",
    "call_id": "call_2",
    "name": "shell",
    "input": "ls -l",
    "status": "completed",
}
RESPONSES_TURN = [THOUGHT, SEARCHED, SAID, HIDDEN, PAINT, SHELL]
RESPONSES = sse(
    {"type": "response.created", "response": {"id": "resp_1", "model": "gpt-5", "output": []}},
    *item(
        0,
        THOUGHT,
        {"type": "reasoning_summary_text.delta", "summary_index": 0, "delta": "Let me look."},
        summary=[],
        encrypted_content="a part of it",
    ),
    *item(1, SEARCHED, status="in_progress"),
    *item(
        2,
        SAID,
        {"type": "output_text.delta", "content_index": 0, "delta": "It is "},
        {"type": "output_text.annotation.added", "content_index": 0, "annotation_index": 0, "annotation": NOTE},
        {"type": "output_text.delta", "content_index": 0, "delta": "blue."},
        content=[],
    ),
    *item(3, HIDDEN, encrypted_content="a part of that"),
    *item(4, PAINT, {"type": "function_call_arguments.delta", "delta": '{"n": 1e2}'}, arguments=""),
    *item(5, SHELL, {"type": "custom_tool_call_input.delta", "delta": "ls -l"}, input=""),
    {
        "type": "response.completed",
        "response": {"id": "resp_1", "model": "gpt-5", "status": "completed", "output": RESPONSES_TURN},
    },
)

# Gemini


def parts(*parts: dict[str, Any], **candidate: Any) -> dict[str, Any]:
    content = {"role": "model", "parts": list(parts)}
    return {"candidates": [{"content": content, **candidate}], "responseId": "r", "modelVersion": "gemini-3-pro"}


RAN = [
    {"executableCode": {"language": "PYTHON", "code": "print(1)", "id": "code-1"}, "thoughtSignature": "signed-1"},
    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1", "id": "code-1"}},
    {"toolCall": {"id": "search-1", "toolType": "GOOGLE_SEARCH", "args": {"q": "sky"}}, "thoughtSignature": "signed-2"},
    {"toolResponse": {"id": "search-1", "toolType": "GOOGLE_SEARCH", "response": {}}, "thoughtSignature": "signed-3"},
]
DRAWN = {"inlineData": {"mimeType": "image/png", "data": "aW1hZ2U="}, "thoughtSignature": "signed-4"}
DRAFT = {"inlineData": {"mimeType": "image/png", "data": "ZHJhZnQ="}, "thought": True}
CALLED = [
    {"functionCall": {"id": "fn-1", "name": "paint", "args": {"n": 1}}, "thoughtSignature": "signed-6"},
    {"functionCall": {"name": "stop", "args": {}}},  # at the same time as the one before, and without an id
]
GENERATE_CONTENT = sse(
    parts({"text": "Let me ", "thought": True}),
    parts({"text": "look.", "thought": True}),
    parts(RAN[0], RAN[1]),
    parts(RAN[2]),
    parts(RAN[3], DRAFT, DRAWN),
    parts({"text": "It is "}),
    parts({"text": "blue."}),
    parts({"text": "", "thoughtSignature": "signed-5"}),
    parts(CALLED[0]),
    parts({"functionCall": {"name": "stop"}}, finishReason="STOP"),
)
GENERATE_CONTENT_TURN = [
    {"text": "Let me look.", "thought": True},
    *RAN,
    DRAFT,
    DRAWN,
    {"text": "It is blue."},
    {"text": "", "thoughtSignature": "signed-5"},
    *CALLED,
]

# Cohere


def cohere(type: str, index: int | None = None, /, **message: Any) -> dict[str, Any]:
    place = {} if index is None else {"index": index}
    return {"type": type, **place, "delta": {"message": message}}


CITED = {
    "start": 0,
    "end": 5,
    "text": "It is",
    "sources": [{"type": "tool", "id": "paint_1:0", "tool_output": {"title": "Sky"}}],
    "type": "TEXT_CONTENT",
}


def cohere_call(id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


CHAT_V2 = sse(
    {"type": "message-start", "id": "msg-1", "delta": {"message": {"role": "assistant"}}},
    cohere("tool-plan-delta", tool_plan="I will "),
    cohere("tool-plan-delta", tool_plan="paint."),
    cohere("content-start", 0, content={"type": "thinking", "thinking": ""}),
    cohere("content-delta", 0, content={"thinking": "Let me look."}),
    {"type": "content-end", "index": 0},
    cohere("content-start", 1, content={"type": "text", "text": ""}),
    cohere("content-delta", 1, content={"text": "It is "}),
    cohere("content-delta", 1, content={"text": "blue."}),
    cohere("citation-start", 0, citations=CITED),
    {"type": "citation-end", "index": 0},
    {"type": "content-end", "index": 1},
    cohere("tool-call-start", 0, tool_calls=cohere_call("paint_1", "paint", "")),
    cohere("tool-call-delta", 0, tool_calls={"function": {"arguments": '{"n": 1e2}'}}),
    {"type": "tool-call-end", "index": 0},
    {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": {}}},
)
CHAT_V2_TURN = {
    "role": "assistant",
    "tool_plan": "I will paint.",
    "content": [{"type": "thinking", "thinking": "Let me look."}, {"type": "text", "text": "It is blue."}],
    "citations": [CITED],
    "tool_calls": [cohere_call("paint_1", "paint", '{"n": 1e2}')],
}

# Ollama


def line(done: bool = False, **message: Any) -> bytes:
    end = {"done_reason": "stop", "prompt_eval_count": 5, "eval_count": 9} if done else {}
    value = {"model": "qwen3", "created_at": "2026-11-20T00:00:00Z", "message": {"role": "assistant", **message}}
    return json.dumps({**value, "done": done, **end}).encode() + b"\n"


OLLAMA_CHAT = b"".join(
    [
        line(content="", thinking="Let me "),
        line(content="", thinking="look."),
        line(content="It is "),
        line(content="blue."),
        line(
            content="", tool_calls=[{"id": "call_1", "function": {"index": 0, "name": "paint", "arguments": {"n": 1}}}]
        ),
        line(content="", tool_calls=[{"function": {"name": "stop", "arguments": {}}}]),
        line(True, content=""),
    ]
)
OLLAMA_CHAT_TURN = {
    "role": "assistant",
    "content": "It is blue.",
    "thinking": "Let me look.",
    "tool_calls": [
        {"id": "call_1", "function": {"name": "paint", "arguments": {"n": 1}}},
        {"function": {"name": "stop", "arguments": {}}},
    ],
}

# Chat Completions: OpenRouter, which wants back what was signed, and Mistral, whose content is a list


def chunk(finish: str | None = None, /, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "gen-1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}


def detail(type: str, **fields: Any) -> dict[str, Any]:
    return {"type": type, "format": "anthropic-claude-v1", "index": 0, **fields}


def call(index: int, **fields: Any) -> dict[str, Any]:
    function = {name: fields.pop(name) for name in ("name", "arguments") if name in fields}
    return {"index": index, **fields, "function": function}


CHAT_COMPLETIONS = sse(
    chunk(reasoning="Let me ", reasoning_details=[detail("reasoning.text", text="Let me ")]),
    chunk(reasoning="look.", reasoning_details=[detail("reasoning.text", text="look.")]),
    chunk(reasoning_details=[detail("reasoning.text", signature="signed-1==")]),
    chunk(reasoning_details=[detail("reasoning.encrypted", data="redacted-1", index=1, id="rs_1")]),
    chunk(reasoning="On.", reasoning_details=[detail("reasoning.text", text="On.", signature="signed-2", index=2)]),
    chunk(content="It is "),
    chunk(content="blue."),
    chunk(tool_calls=[call(0, id="call_1", name="paint", arguments="")]),
    chunk(tool_calls=[call(0, arguments='{"n": 1e2}')]),
    chunk(tool_calls=[call(1, id="call_2", name="stop", arguments="")]),
    chunk("tool_calls"),
    end=DONE,
)
CHAT_COMPLETIONS_TURN = {
    "role": "assistant",
    "content": "It is blue.",
    "reasoning_details": [
        detail("reasoning.text", text="Let me look.", signature="signed-1=="),
        detail("reasoning.encrypted", data="redacted-1", index=1, id="rs_1"),
        detail("reasoning.text", text="On.", signature="signed-2", index=2),
    ],
    "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "paint", "arguments": '{"n": 1e2}'}},
        {"id": "call_2", "type": "function", "function": {"name": "stop", "arguments": "{}"}},
    ],
}
MISTRAL = sse(
    chunk(role="assistant", content=[{"type": "thinking", "thinking": [{"type": "text", "text": "Let me "}]}]),
    chunk(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "look."}], "signature": "signed-1"}]),
    chunk(content="It is blue."),
    chunk(
        "tool_calls", tool_calls=[call(0, id="Abc123xyz", name="paint", arguments='{"n": 1e2}'), call(1, name="stop")]
    ),
    end=DONE,
)
MISTRAL_TURN = {
    "role": "assistant",
    "content": [
        {
            "type": "thinking",
            "thinking": [{"type": "text", "text": "Let me look."}],
            "signature": "signed-1",
            "closed": True,
        },
        {"type": "text", "text": "It is blue."},
    ],
    "tool_calls": [
        {"id": "Abc123xyz", "type": "function", "function": {"name": "paint", "arguments": '{"n": 1e2}'}},
        {"id": NINE, "type": "function", "function": {"name": "stop", "arguments": "{}"}},
    ],
}

# DeepSeek, which wants reasoning back as text, and a server that wants back whatever anyone has thought of

DEEPSEEK = sse(
    chunk(role="assistant", content=None, reasoning_content="Let me "),
    chunk(content=None, reasoning_content="look."),
    chunk(content="It is blue."),
    chunk(tool_calls=[call(0, id="call_1", name="paint", arguments='{"n": 1e2}')]),
    chunk("tool_calls", content=""),
    end=DONE,
)
DEEPSEEK_TURN = {
    "role": "assistant",
    "content": "It is blue.",
    "reasoning_content": "Let me look.",
    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "paint", "arguments": '{"n": 1e2}'}}],
}
GOOGLE = {"google": {"thought_signature": "signed-2"}}
ANNOTATION = {"type": "url_citation", "url_citation": {"url": "https://example.org/sky", "title": "Sky"}}
CURIOUS = sse(
    chunk(reasoning_text="Let me look."),
    chunk(reasoning_opaque="opaque-1"),
    chunk(content="It is blue.", annotations=[ANNOTATION]),
    chunk(tool_calls=[call(0, id="call_1", name="paint", arguments="", extra_content=GOOGLE)]),
    chunk(tool_calls=[call(0, arguments='{"n": 1e2}')]),
    chunk(tool_calls=[call(1, name="stop", arguments="{}")]),
    chunk("tool_calls"),
    end=DONE,
)
CURIOUS_TURN = {
    "role": "assistant",
    "content": "It is blue.",
    "reasoning_content": "Let me look.",
    "reasoning_opaque": "opaque-1",
    "annotations": [ANNOTATION],
    "tool_calls": [
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "paint", "arguments": '{"n": 1e2}'},
            "extra_content": GOOGLE,
        },
        {"id": NINE, "type": "function", "function": {"name": "stop", "arguments": "{}"}},
    ],
}

MADE_UP: dict[str, tuple[str, str, bytes, Any]] = {
    "anthropic": ("messages", "claude-opus-5", MESSAGES, MESSAGES_TURN),
    "bedrock": ("converse_stream", "us.anthropic.claude-opus-5-v1:0", CONVERSE, CONVERSE_TURN),
    "cohere": ("chat_v2", "command-a", CHAT_V2, CHAT_V2_TURN),
    "curious": ("chat_completions", "any", CURIOUS, CURIOUS_TURN),
    "deepseek": ("chat_completions", "deepseek", DEEPSEEK, DEEPSEEK_TURN),
    "gemini": ("generate_content", "gemini-3-pro-preview", GENERATE_CONTENT, GENERATE_CONTENT_TURN),
    "mistral": ("mistral", "magistral-medium-latest", MISTRAL, MISTRAL_TURN),
    "ollama": ("ollama_chat", "qwen3", OLLAMA_CHAT, OLLAMA_CHAT_TURN),
    "openai_responses": ("responses", "gpt-5", RESPONSES, RESPONSES_TURN),
    "openrouter": ("chat_completions", "openrouter", CHAT_COMPLETIONS, CHAT_COMPLETIONS_TURN),
}
"""By whose it is: the wire; the model, or the server; the stream; the turn."""
