"""What the adapter `cohere` sends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamcore.errors import LocalError
from streamcore.events import BlockEnd, Citation, Finish, ReasoningDelta, Start, TextDelta, ToolCallDelta, ToolCallStart
from streamcore.message import Fold
from streamcore.request import (
    ExtensionPart,
    File,
    Image,
    Message,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Request,
    RequestWarning,
    Schema,
    Secret,
    Target,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    prompt,
)
from streamcore_adapters import cohere

TARGET = Target(cohere.url, "command-a-03-2025", Secret("co-very-secret"))
PARAMETERS = {"type": "object", "properties": {"a": {"type": "integer"}}}
ADD = Tool("add", "Adds.", PARAMETERS)
NOW = Tool("now")
WIRE_ADD = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": PARAMETERS}}
WIRE_NOW = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}
PLAN = '{"tool_plan":true}'
FOREIGN = '{"signature":"c2ln"}'
SOURCED = '{"start": 0, "end": 2, "text": "Hi", "sources": [{"type": "tool", "id": "add_1:0"}]}'


def body_of(request: Request) -> dict[str, Any]:
    return json.loads(cohere.encode(request, TARGET).body)


def options_of(request: Request) -> dict[str, Any]:
    return {name: value for name, value in body_of(request).items() if name not in {"model", "messages", "stream"}}


def ask(*parts: Any, role: Any = "user", **fields: Any) -> Request:
    return Request(messages=(Message(role, parts or "Hi"),), **fields)


def turn_of(*parts: Any, role: Any = "user") -> dict[str, Any]:
    """What is sent, after asserting that nothing is left out."""
    encoded = cohere.encode(ask(*parts, role=role), TARGET)
    assert encoded.warnings == ()
    (turn,) = json.loads(encoded.body)["messages"]
    return turn


def warnings_of(request: Request) -> list[str]:
    warnings = cohere.encode(request, TARGET).warnings
    assert all(isinstance(warning, RequestWarning) and warning.message for warning in warnings)
    return [warning.field for warning in warnings]


# The frame of it


def test_the_smallest_request():
    request = cohere.encode(prompt("Hi"), Target("https://host/v2", "m"))
    assert (request.method, request.url) == ("POST", "https://host/v2/chat")
    assert json.loads(request.body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
    }
    assert request.warnings == ()


def test_the_key_goes_into_its_header_alone():
    request = cohere.encode(prompt("Hi"), TARGET)
    assert request.headers["authorization"] == "Bearer co-very-secret"
    assert b"secret" not in request.body
    assert "secret" not in repr(request) + repr(TARGET)


def test_without_a_key_there_is_no_header():
    assert "authorization" not in cohere.encode(prompt("Hi"), Target("", "m")).headers


def test_the_request_may_name_the_model():
    assert body_of(ask(model="other"))["model"] == "other"


# Options


@pytest.mark.parametrize(
    ("fields", "wire"),
    [
        ({"max_tokens": 9, "temperature": 0.5}, {"max_tokens": 9, "temperature": 0.5}),
        ({"top_p": 0.9, "top_k": 40}, {"p": 0.9, "k": 40}),
        ({"presence_penalty": 1, "frequency_penalty": 0.5}, {"presence_penalty": 1, "frequency_penalty": 0.5}),
        ({"stop": ("a", "b"), "seed": 7}, {"stop_sequences": ["a", "b"], "seed": 7}),
        ({"reasoning": Reasoning()}, {}),
        ({"reasoning": Reasoning(summary=True)}, {"thinking": {"type": "enabled"}}),
        ({"reasoning": Reasoning(effort="none", summary=False)}, {"thinking": {"type": "disabled"}}),
        ({"reasoning": Reasoning(budget_tokens=0)}, {"thinking": {"type": "disabled"}}),
        ({"reasoning": Reasoning(budget_tokens=9)}, {"thinking": {"type": "enabled", "token_budget": 9}}),
        ({"output": "json"}, {"response_format": {"type": "json_object"}}),
        (
            {"output": Schema(PARAMETERS, strict=True)},
            {"response_format": {"type": "json_object", "json_schema": PARAMETERS}},
        ),
        ({"tools": (ADD, NOW), "parallel_tool_calls": True}, {"tools": [WIRE_ADD, WIRE_NOW]}),
        ({"tools": (NOW,), "tool_choice": "auto"}, {"tools": [WIRE_NOW]}),
        ({"tools": (NOW,), "tool_choice": "none"}, {"tools": [WIRE_NOW], "tool_choice": "NONE"}),
        ({"tools": (NOW,), "tool_choice": "required"}, {"tools": [WIRE_NOW], "tool_choice": "REQUIRED"}),
        ({"tools": (NOW,), "tool_choice": ToolChoice("now")}, {"tools": [WIRE_NOW], "tool_choice": "REQUIRED"}),
        ({"tools": (Tool("now", strict=True),)}, {"tools": [WIRE_NOW], "strict_tools": True}),
        ({"tools": (Tool("now", strict=False),)}, {"tools": [WIRE_NOW]}),
        ({"extra": {"safety_mode": "STRICT", "documents": ["d"]}}, {"safety_mode": "STRICT", "documents": ["d"]}),
        (
            {"extra": {"tools": [WIRE_NOW]}, "tool_choice": "required"},
            {"tools": [WIRE_NOW], "tool_choice": "REQUIRED"},
        ),
    ],
)
def test_an_option_has_its_place(fields, wire):
    assert warnings_of(ask(**fields)) == []
    assert options_of(ask(**fields)) == wire


@pytest.mark.parametrize(
    ("fields", "paths", "wire"),
    [
        ({"user": "u", "metadata": {"k": "v"}, "cache_key": "k"}, ["user", "metadata", "cache_key"], {}),
        ({"tool_choice": "none"}, ["tool_choice"], {}),
        (
            {"tools": (ADD, NOW), "tool_choice": ToolChoice("add")},
            ["tool_choice"],
            {"tools": [WIRE_ADD, WIRE_NOW], "tool_choice": "REQUIRED"},
        ),
        ({"parallel_tool_calls": False}, ["parallel_tool_calls"], {}),
        ({"tools": (Tool("now", cache=True),)}, ["tools[0].cache"], {"tools": [WIRE_NOW]}),
        ({"tools": (ADD, Tool("now", strict=True))}, ["tools[1].strict"], {"tools": [WIRE_ADD, WIRE_NOW]}),
        (
            {"output": Schema(PARAMETERS, description="D", strict=False)},
            ["output.description", "output.strict"],
            {"response_format": {"type": "json_object", "json_schema": PARAMETERS}},
        ),
        ({"reasoning": Reasoning(effort="high")}, ["reasoning.effort"], {"thinking": {"type": "enabled"}}),
        ({"reasoning": Reasoning(summary=False)}, ["reasoning.summary"], {}),
        (
            {"reasoning": Reasoning(effort="low", budget_tokens=9)},
            ["reasoning.effort"],
            {"thinking": {"type": "enabled", "token_budget": 9}},
        ),
    ],
)
def test_what_there_is_no_word_for_is_said(fields, paths, wire):
    assert warnings_of(ask(**fields)) == paths
    assert options_of(ask(**fields)) == wire


# Turns


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_one_text_is_a_string(role):
    assert turn_of(Text(text="Hi"), role=role) == {"role": role, "content": "Hi"}


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_several_texts_are_a_list(role):
    assert turn_of(Text(text="One"), Text(text="Two"), role=role)["content"] == [
        {"type": "text", "text": "One"},
        {"type": "text", "text": "Two"},
    ]


@pytest.mark.parametrize(
    ("image", "wire"),
    [
        (Image(url="https://example.org/a.png"), {"url": "https://example.org/a.png"}),
        (Image(data=b"\x89PNG", media_type="image/png"), {"url": "data:image/png;base64,iVBORw=="}),
        (Image(url="https://example.org/a.png", detail="low"), {"url": "https://example.org/a.png", "detail": "low"}),
    ],
)
def test_an_image_is_an_address(image, wire):
    assert turn_of(image)["content"] == [{"type": "image_url", "image_url": wire}]


def test_thinking_goes_back_before_its_text():
    assert turn_of(ReasoningPart(text="Hm"), RefusalPart(text="No"), role="assistant")["content"] == [
        {"type": "thinking", "thinking": "Hm"},
        {"type": "text", "text": "No"},
    ]


def test_a_plan_goes_back_in_a_place_of_its_own():
    parts = ReasoningPart(text="I will", opaque=PLAN), ToolCall(id="add_1", name="add", arguments='{"a": 1}')
    assert turn_of(*parts, ReasoningPart(text=" add.", opaque=PLAN), role="assistant") == {
        "role": "assistant",
        "tool_plan": "I will add.",
        "tool_calls": [{"id": "add_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}],
    }


def test_a_call_without_arguments_has_an_empty_object():
    (call,) = turn_of(ToolCall(id="now_1", name="now"), role="assistant")["tool_calls"]
    assert call["function"]["arguments"] == "{}"


def test_sources_go_back_as_they_came():
    texts = Text(text="Hi", citations=(SOURCED,)), Text(text="Ho", citations=(SOURCED,))
    request = cohere.encode(ask(*texts, role="assistant"), TARGET)
    assert f'"citations":[{SOURCED},{SOURCED}]'.encode() in request.body
    assert request.warnings == ()


def test_the_result_of_a_call_is_a_turn():
    results = ToolResult(id="add_1", content="3", name="add"), ToolResult(id="add_2")
    encoded = cohere.encode(ask(*results, role="tool"), TARGET)
    assert json.loads(encoded.body)["messages"] == [
        {"role": "tool", "tool_call_id": "add_1", "content": "3"},
        {"role": "tool", "tool_call_id": "add_2", "content": ""},
    ]


def test_a_result_may_hold_documents():
    file = File(data="Größe".encode(), media_type="text/markdown", name="Sizes")
    assert turn_of(ToolResult(id="add_1", content=(Text(text="See"), file)), role="tool")["content"] == [
        {"type": "text", "text": "See"},
        {"type": "document", "document": {"data": {"title": "Sizes", "text": "Größe"}}},
    ]


def test_a_result_of_which_nothing_is_left_is_still_a_result():
    request = ask(ToolResult(id="add_1", content=(Image(url="https://example.org/a.png"),)), role="tool")
    assert warnings_of(request) == ["messages[0].content[0].content[0]"]
    assert body_of(request)["messages"] == [{"role": "tool", "tool_call_id": "add_1", "content": ""}]


def test_an_answer_of_another_provider_goes_back_as_far_as_it_can():
    events = [
        Start("msg_1", "claude"),
        ReasoningDelta(0, "Hm"),
        BlockEnd(0, FOREIGN),
        ReasoningDelta(1, ""),
        BlockEnd(1, FOREIGN),
        TextDelta(2, "Hi"),
        Citation(2, raw='{"type":"char_location"}'),
        Citation(2, raw=SOURCED),
        BlockEnd(2),
        ToolCallStart(3, "toolu_1", "add"),
        ToolCallDelta(3, '{"a":1}'),
        BlockEnd(3, '{"id":"fc_1"}'),
        Finish("tool_calls"),
    ]
    request = Request(messages=(Fold(events).message,))
    assert warnings_of(request) == [
        "messages[0].content[0].opaque",
        "messages[0].content[1].opaque",
        "messages[0].content[3].opaque",
        "messages[0].content[2].citations[0]",
    ]
    assert body_of(request)["messages"] == [
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "Hi"}],
            "tool_calls": [{"id": "toolu_1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}],
            "citations": [json.loads(SOURCED)],
        }
    ]


@pytest.mark.parametrize(
    ("role", "part", "path"),
    [
        ("system", Image(url="https://example.org/a.png"), ""),
        ("user", File(data=b"Hi", media_type="text/plain"), ""),
        ("user", ToolCall(id="add_1", name="add"), ""),
        ("user", ReasoningPart(text="Hm"), ""),
        ("assistant", Image(url="https://example.org/a.png"), ""),
        ("assistant", ExtensionPart(name="anthropic:server_tool_use", raw="{}"), ""),
        ("tool", Text(text="3"), ""),
        ("user", Text(text="Hi", cache=True), ".cache"),
        ("user", Text(text="Hi", opaque=FOREIGN), ".opaque"),
        ("user", Text(text="Hi", citations=(SOURCED,)), ".citations"),
        ("assistant", Text(text="Hi", citations=("{}",)), ".citations[0]"),
        ("tool", ToolResult(id="add_1", content="No", is_error=True), ".is_error"),
        ("tool", ToolResult(id="add_1", content=(File(data=b"%PDF", media_type="application/pdf"),)), ".content[0]"),
        ("tool", ToolResult(id="add_1", content=(File(id="file_1", media_type="text/plain"),)), ".content[0]"),
        ("tool", ToolResult(id="add_1", content=(File(data=b"Hi"),)), ".content[0]"),
        ("tool", ToolResult(id="add_1", content=(Text(text="Hi", cache=True),)), ".content[0].cache"),
    ],
)
def test_what_cannot_stand_in_a_turn_is_said(role, part, path):
    assert warnings_of(ask(part, role=role))[0] == f"messages[0].content[0]{path}"


@pytest.mark.parametrize("parts", [(Text(text=""),), (ReasoningPart(text=""),)])
def test_a_turn_of_which_nothing_is_left_is_left_out(parts):
    request = Request(messages=(Message("user", "Hi"), Message("assistant", parts), Message("user", "")))
    assert warnings_of(request) == ["messages[1]", "messages[2]"]
    assert body_of(request)["messages"] == [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("role", "part", "what"),
    [
        ("user", Image(), r": an image needs a url"),
        ("user", Image(data=b"\x89PNG"), r": an image needs a url"),
        (
            "tool",
            ToolResult(id="add_1", content=(File(data=b"\xff", media_type="text/plain"),)),
            r"\.content\[0\]: the text is not UTF-8",
        ),
    ],
)
def test_what_cannot_be_sent_at_all_is_an_error(role, part, what):
    with pytest.raises(LocalError, match=rf"^messages\[0\]\.content\[0\]{what}"):
        cohere.encode(ask(part, role=role), TARGET)
