"""What the adapter `ollama` sends."""

from __future__ import annotations

import base64
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
from streamcore_adapters import ollama

TARGET = Target(ollama.url, "qwen3:4b", Secret("ol-very-secret"))
PARAMETERS = {"type": "object", "properties": {"a": {"type": "integer"}}}
ADD = Tool("add", "Adds.", PARAMETERS)
WIRE_ADD = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": PARAMETERS}}
FOREIGN = '{"signature":"c2ln"}'
NO_ID = '{"id":null}'
PNG = b"\x89PNG"


def body_of(request: Request) -> dict[str, Any]:
    return json.loads(ollama.encode(request, TARGET).body)


def ask(*parts: Any, role: Any = "user", **fields: Any) -> Request:
    return Request(messages=(Message(role, parts or "Hi"),), **fields)


def turns_of(*messages: Message) -> list[dict[str, Any]]:
    """What is sent, after asserting that nothing is left out."""
    encoded = ollama.encode(Request(messages=messages), TARGET)
    assert encoded.warnings == ()
    return json.loads(encoded.body)["messages"]


def turn_of(*parts: Any, role: Any = "user") -> dict[str, Any]:
    (turn,) = turns_of(Message(role, parts))
    return turn


def warnings_of(request: Request) -> list[str]:
    warnings = ollama.encode(request, TARGET).warnings
    assert all(isinstance(warning, RequestWarning) and warning.message for warning in warnings)
    return [warning.field for warning in warnings]


# The frame of it


def test_the_smallest_request():
    request = ollama.encode(prompt("Hi"), Target("http://host:11434", "m"))
    assert (request.method, request.url) == ("POST", "http://host:11434/api/chat")
    assert json.loads(request.body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
    }
    assert request.headers["accept"] == "application/x-ndjson"
    assert request.warnings == ()


def test_the_key_goes_into_its_header_alone():
    request = ollama.encode(prompt("Hi"), TARGET)
    assert request.headers["authorization"] == "Bearer ol-very-secret"
    assert b"secret" not in request.body
    assert "secret" not in repr(request) + repr(TARGET)


@pytest.mark.parametrize("key", [None, Secret("")])
def test_without_a_key_there_is_no_header(key):
    assert "authorization" not in ollama.encode(prompt("Hi"), Target(ollama.url, "m", key)).headers


def test_the_request_may_name_the_model():
    assert body_of(ask(model="other"))["model"] == "other"


# Options


@pytest.mark.parametrize(
    ("fields", "wire"),
    [
        ({"max_tokens": 9}, {"options": {"num_predict": 9}}),
        (
            {"temperature": 0, "top_p": 0.9, "top_k": 40},
            {"options": {"temperature": 0, "top_p": 0.9, "top_k": 40}},
        ),
        (
            {"presence_penalty": 1, "frequency_penalty": -1},
            {"options": {"presence_penalty": 1, "frequency_penalty": -1}},
        ),
        ({"stop": ("a", "b")}, {"options": {"stop": ["a", "b"]}}),
        ({"seed": 7}, {"options": {"seed": 7}}),
        ({"reasoning": Reasoning()}, {}),
        ({"reasoning": Reasoning(effort="none")}, {"think": False}),
        ({"reasoning": Reasoning(effort="low")}, {"think": "low"}),
        ({"reasoning": Reasoning(effort="medium")}, {"think": "medium"}),
        ({"reasoning": Reasoning(effort="high", summary=True)}, {"think": "high"}),
        ({"reasoning": Reasoning(effort="max")}, {"think": "max"}),
        ({"reasoning": Reasoning(budget_tokens=0, summary=False)}, {"think": False}),
        ({"reasoning": Reasoning(summary=True)}, {"think": True}),
        ({"output": "json"}, {"format": "json"}),
        ({"output": Schema(PARAMETERS, strict=True)}, {"format": PARAMETERS}),
        ({"tools": (ADD,)}, {"tools": [WIRE_ADD]}),
        ({"tools": (ADD,), "tool_choice": "auto", "parallel_tool_calls": True}, {"tools": [WIRE_ADD]}),
        ({"tool_choice": "none"}, {}),
        ({"extra": {"keep_alive": "5m", "think": True}}, {"keep_alive": "5m", "think": True}),
        ({"extra": {"options": {"num_ctx": 8192}}}, {"options": {"num_ctx": 8192}}),
        (
            {"temperature": 1, "seed": 7, "extra": {"options": {"num_ctx": 8192, "seed": 8}}},
            {"options": {"temperature": 1, "seed": 8, "num_ctx": 8192}},
        ),
    ],
)
def test_an_option_has_its_place(fields, wire):
    request = ollama.encode(ask(**fields), TARGET)
    body = json.loads(request.body)
    assert {name: value for name, value in body.items() if name not in {"model", "messages", "stream"}} == wire
    assert request.warnings == ()


@pytest.mark.parametrize(
    ("tool", "wire"),
    [
        (Tool("now"), {"type": "object", "properties": {}}),
        (Tool("now", parameters={"properties": {"a": {}}}), {"type": "object", "properties": {"a": {}}}),
    ],
)
def test_the_parameters_of_a_tool_are_an_object(tool, wire):
    assert body_of(ask(tools=(tool,)))["tools"] == [
        {"type": "function", "function": {"name": "now", "parameters": wire}}
    ]


@pytest.mark.parametrize(
    ("fields", "paths", "wire"),
    [
        ({"user": "u", "metadata": {"k": "v"}, "cache_key": "k"}, ["user", "metadata", "cache_key"], {}),
        ({"tools": (ADD,), "tool_choice": "none"}, ["tools"], {}),
        ({"tools": (ADD,), "tool_choice": "required"}, ["tool_choice"], {"tools": [WIRE_ADD]}),
        ({"tools": (ADD,), "tool_choice": ToolChoice("add")}, ["tool_choice"], {"tools": [WIRE_ADD]}),
        ({"parallel_tool_calls": False}, ["parallel_tool_calls"], {}),
        (
            {"tools": (Tool("add", "Adds.", PARAMETERS, strict=True, cache=True),)},
            ["tools[0].strict", "tools[0].cache"],
            {"tools": [WIRE_ADD]},
        ),
        (
            {"output": Schema(PARAMETERS, description="D", strict=False)},
            ["output.description", "output.strict"],
            {"format": PARAMETERS},
        ),
        ({"reasoning": Reasoning(effort="minimal")}, ["reasoning.effort"], {"think": "low"}),
        ({"reasoning": Reasoning(effort="xhigh")}, ["reasoning.effort"], {"think": "high"}),
        ({"reasoning": Reasoning(budget_tokens=9)}, ["reasoning.budget_tokens"], {"think": True}),
        (
            {"reasoning": Reasoning(effort="low", budget_tokens=9, summary=False)},
            ["reasoning.summary", "reasoning.budget_tokens"],
            {"think": "low"},
        ),
    ],
)
def test_what_there_is_no_word_for_is_said(fields, paths, wire):
    assert warnings_of(ask(**fields)) == paths
    body = body_of(ask(**fields))
    assert {name: value for name, value in body.items() if name not in {"model", "messages", "stream"}} == wire


def test_options_of_another_kind_are_the_callers_own():
    assert body_of(ask(temperature=1, extra={"options": None}))["options"] is None


# Turns


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_words_are_content(role):
    assert turn_of(Text(text="Hi"), role=role) == {"role": role, "content": "Hi"}


@pytest.mark.parametrize("role", ["system", "user"])
def test_texts_that_are_given_apart_stay_apart(role):
    assert turn_of(Text(text="One"), Text(text="Two"), role=role)["content"] == "One\n\nTwo"


def test_pieces_of_an_answer_are_joined():
    turn = Message("assistant", (Text(text="Hel"), RefusalPart(text="lo")))
    sent = ollama.encode(Request(messages=(turn,)), TARGET)
    assert json.loads(sent.body)["messages"][0]["content"] == "Hello"
    assert sent.warnings == (RequestWarning("messages[0].content[1]", "a refusal is sent as plain text"),)


@pytest.mark.parametrize("image", [Image(data=PNG), Image(url="data:image/png;base64,iVBORw==")])
def test_an_image_is_sent_as_its_bytes(image):
    wire = base64.b64encode(PNG).decode()
    assert turn_of(Text(text="Look"), image) == {"role": "user", "content": "Look", "images": [wire]}


def test_reasoning_goes_back():
    assert turn_of(ReasoningPart(text="Hm, "), ReasoningPart(text="so"), role="assistant") == {
        "role": "assistant",
        "content": "",
        "thinking": "Hm, so",
    }


def test_a_call_goes_back_with_its_arguments_as_they_were_written():
    call = ToolCall(id="call_1", name="add", arguments='{"a": 1.0, "b": 12345678901234567890}')
    request = ollama.encode(ask(call, role="assistant"), TARGET)
    assert b'"arguments":{"a": 1.0, "b": 12345678901234567890}' in request.body
    assert json.loads(request.body)["messages"][0]["tool_calls"][0]["id"] == "call_1"


def test_a_call_without_arguments_has_an_empty_object():
    turn = turn_of(ToolCall(id="call_1", name="now"), role="assistant")
    assert turn["tool_calls"] == [{"id": "call_1", "function": {"name": "now", "arguments": {}}}]


def test_an_id_that_was_made_up_does_not_go_back():
    call = ToolCall(id="call_x_0", name="add", arguments="{}", opaque=NO_ID)
    assert turns_of(Message("assistant", (call,)), Message("tool", (ToolResult(id="call_x_0", content="3"),))) == [
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "add", "arguments": {}}}]},
        {"role": "tool", "content": "3", "tool_name": "add"},
    ]


def test_a_result_names_the_tool_that_was_called():
    call = ToolCall(id="call_1", name="add", arguments="{}")
    (_, result) = turns_of(Message("assistant", (call,)), Message("tool", (ToolResult(id="call_1", content="3"),)))
    assert result == {"role": "tool", "content": "3", "tool_name": "add", "tool_call_id": "call_1"}


def test_a_result_without_its_call_says_what_it_knows():
    assert turns_of(Message("tool", (ToolResult(id="call_1", name="add"), ToolResult(id="call_2", content="3")))) == [
        {"role": "tool", "content": "", "tool_name": "add", "tool_call_id": "call_1"},
        {"role": "tool", "content": "3", "tool_call_id": "call_2"},
    ]


def test_a_result_may_hold_texts_and_images():
    result = ToolResult(id="call_1", content=(Text(text="One"), Text(text="Two"), Image(data=PNG)))
    assert turn_of(result, role="tool") == {
        "role": "tool",
        "content": "One\n\nTwo",
        "images": [base64.b64encode(PNG).decode()],
        "tool_call_id": "call_1",
    }


def test_an_answer_of_another_provider_goes_back_as_far_as_it_can():
    events = [
        Start("msg_1", "claude"),
        ReasoningDelta(0, "Hm"),
        BlockEnd(0, FOREIGN),
        TextDelta(1, "Hi"),
        Citation(1, raw='{"type":"char_location"}'),
        BlockEnd(1),
        ToolCallStart(2, "toolu_1", "add"),
        ToolCallDelta(2, '{"a":1}'),
        BlockEnd(2, '{"id":"fc_1"}'),
        Finish("tool_calls"),
    ]
    request = Request(messages=(Fold(events).message,))
    assert warnings_of(request) == [
        "messages[0].content[0].opaque",
        "messages[0].content[1].citations",
        "messages[0].content[2].opaque",
    ]
    assert body_of(request)["messages"] == [
        {
            "role": "assistant",
            "content": "Hi",
            "thinking": "Hm",
            "tool_calls": [{"id": "toolu_1", "function": {"name": "add", "arguments": {"a": 1}}}],
        }
    ]


def test_a_signed_call_of_gemini_is_not_taken_for_one_of_ours():
    call = ToolCall(id="call_1", name="add", opaque='{"id":null,"thoughtSignature":"c2ln"}')
    request = ask(call, role="assistant")
    assert warnings_of(request) == ["messages[0].content[0].opaque"]
    assert body_of(request)["messages"][0]["tool_calls"][0]["id"] == "call_1"


@pytest.mark.parametrize(
    ("role", "part", "path"),
    [
        ("system", Image(data=PNG), ""),
        ("user", File(data=b"%PDF", media_type="application/pdf"), ""),
        ("user", ToolCall(id="call_1", name="add"), ""),
        ("user", ReasoningPart(text="Hm"), ""),
        ("assistant", File(id="file_1"), ""),
        ("assistant", ExtensionPart(name="anthropic:server_tool_use", raw="{}"), ""),
        ("tool", Text(text="3"), ""),
        ("user", Image(url="https://example.org/a.png"), ""),
        ("user", Text(text="Hi", cache=True), ".cache"),
        ("user", Text(text="Hi", opaque=FOREIGN), ".opaque"),
        ("user", Text(text="Hi", citations=("{}",)), ".citations"),
        ("user", Image(data=PNG, detail="low"), ".detail"),
        ("tool", ToolResult(id="call_1", content="No", is_error=True), ".is_error"),
        ("tool", ToolResult(id="call_1", content=(File(id="file_1"),)), ".content[0]"),
        ("tool", ToolResult(id="call_1", content=(Text(text="Hi", cache=True),)), ".content[0].cache"),
    ],
)
def test_what_cannot_stand_in_a_turn_is_said(role, part, path):
    warnings = warnings_of(ask(part, role=role))
    assert warnings[0] == f"messages[0].content[0]{path}"


def test_a_turn_of_which_nothing_is_left_is_left_out():
    request = Request(messages=(Message("user", "Hi"), Message("assistant", (Text(text=""),))))
    assert warnings_of(request) == ["messages[1]"]
    assert body_of(request)["messages"] == [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("part", "what"),
    [
        (ToolCall(id="call_1", name="add", arguments="{"), "the arguments of tool call 'call_1' "),
        (ToolCall(id="call_1", name="add", arguments="[1]"), "the arguments of tool call 'call_1' "),
        (Image(), "an image needs its bytes"),
    ],
)
def test_what_cannot_be_sent_at_all_is_an_error(part, what):
    with pytest.raises(LocalError, match=rf"^messages\[0\]\.content\[0\]: {what}"):
        ollama.encode(ask(part, role="assistant"), TARGET)
