"""What the adapter `openai_chat` sends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamcore.errors import LocalError
from streamcore.events import (
    Attachment,
    BlockEnd,
    Citation,
    Extension,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
)
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
from streamcore_adapters import openai_chat
from streamcore_adapters.openai_chat import Compatible, Quirks

TARGET = Target(openai_chat.url, "gpt-5.6", Secret("sk-very-secret"))
ADD = Tool("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}})
FOREIGN = '{"signature":"c2ln"}'
BREAKPOINT = {"prompt_cache_breakpoint": {"mode": "explicit"}}
USER = {"role": "user", "content": "Hi"}


def sent(request: Request, **quirks: Any) -> Any:
    return Compatible(url=openai_chat.url, quirks=Quirks(**quirks)).encode(request, TARGET)


def body_of(request: Request, **quirks: Any) -> dict[str, Any]:
    return json.loads(sent(request, **quirks).body)


def ask(*parts: Any, role: Any = "user", **fields: Any) -> Request:
    return Request(messages=(Message(role, parts or "Hi"),), **fields)


def turn_of(*parts: Any, role: Any = "assistant", **quirks: Any) -> dict[str, Any]:
    (turn,) = body_of(ask(*parts, role=role), **quirks)["messages"]
    return turn


def content_of(*parts: Any, role: Any = "user", **quirks: Any) -> Any:
    return turn_of(*parts, role=role, **quirks)["content"]


def warnings_of(request: Request, **quirks: Any) -> list[str]:
    warnings = sent(request, **quirks).warnings
    assert all(isinstance(warning, RequestWarning) and warning.message for warning in warnings)
    return [warning.field for warning in warnings]


# The frame of it


def test_the_smallest_request():
    request = openai_chat.encode(prompt("Hi"), Target("https://host/v1", "m"))
    assert (request.method, request.url) == ("POST", "https://host/v1/chat/completions")
    assert json.loads(request.body) == {
        "model": "m",
        "messages": [USER],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert request.warnings == ()


def test_the_key_goes_into_its_header_alone():
    request = openai_chat.encode(prompt("Hi"), TARGET)
    assert request.headers["authorization"] == "Bearer sk-very-secret"
    assert b"secret" not in request.body
    assert "secret" not in repr(request) + repr(TARGET)


def test_without_a_key_there_is_no_header():
    assert "authorization" not in openai_chat.encode(prompt("Hi"), Target("", "m")).headers


def test_a_server_may_name_the_path_and_the_header_of_the_key():
    request = sent(prompt("Hi"), path="/chat/completions?api-version=1", key_header="api-key")
    assert request.url == f"{openai_chat.url}/chat/completions?api-version=1"
    assert request.headers["api-key"] == "sk-very-secret"


def test_the_request_may_name_the_model():
    assert body_of(ask(model="other"))["model"] == "other"


def test_extra_fields_come_last():
    assert body_of(ask(temperature=1, extra={"temperature": 0.5, "verbosity": "low"}))["temperature"] == 0.5


# Options


@pytest.mark.parametrize(
    ("fields", "wire"),
    [
        ({"max_tokens": 9}, {"max_completion_tokens": 9}),
        ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
        ({"presence_penalty": 1, "frequency_penalty": -1}, {"presence_penalty": 1, "frequency_penalty": -1}),
        ({"stop": ("a", "b")}, {"stop": ["a", "b"]}),
        ({"seed": 7}, {"seed": 7}),
        ({"user": "u"}, {"safety_identifier": "u"}),
        ({"metadata": {"k": "v"}}, {"metadata": {"k": "v"}}),
        ({"cache_key": "k"}, {"prompt_cache_key": "k"}),
        ({"reasoning": Reasoning(effort="high")}, {"reasoning_effort": "high"}),
        ({"reasoning": Reasoning(summary=False)}, {}),
        ({"output": "json"}, {"response_format": {"type": "json_object"}}),
        (
            {"output": Schema({"type": "object"}, description="D", strict=True)},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "description": "D", "schema": {"type": "object"}, "strict": True},
                }
            },
        ),
        (
            {"tools": (ADD,), "tool_choice": "required", "parallel_tool_calls": False},
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {"name": "add", "description": "Adds.", "parameters": ADD.parameters},
                    }
                ],
                "tool_choice": "required",
                "parallel_tool_calls": False,
            },
        ),
        (
            {"tools": (Tool("f", strict=True),), "tool_choice": ToolChoice("f")},
            {
                "tools": [{"type": "function", "function": {"name": "f", "strict": True}}],
                "tool_choice": {"type": "function", "function": {"name": "f"}},
            },
        ),
    ],
)
def test_options(fields, wire):
    request = ask(**fields)
    body = body_of(request)
    assert {name: body[name] for name in body.keys() - {"model", "messages", "stream", "stream_options"}} == wire
    assert warnings_of(request) == []


@pytest.mark.parametrize(
    ("quirks", "fields", "wire"),
    [
        ({"max_tokens": "max_tokens"}, {"max_tokens": 9}, {"max_tokens": 9}),
        ({"unsupported": ()}, {"top_k": 5}, {"top_k": 5}),
        ({"user": "user_id"}, {"user": "u"}, {"user_id": "u"}),
        ({"include_usage": False}, {}, {"stream_options": None}),
        ({"reasoning": "reasoning"}, {"reasoning": Reasoning(effort="low")}, {"reasoning": {"effort": "low"}}),
        (
            {"reasoning": "reasoning"},
            {"reasoning": Reasoning(budget_tokens=99, summary=False)},
            {"reasoning": {"max_tokens": 99, "exclude": True}},
        ),
        (
            {"reasoning": "reasoning"},
            {"reasoning": Reasoning(summary=True)},
            {"reasoning": {"enabled": True, "exclude": False}},
        ),
        ({"reasoning": "reasoning"}, {"reasoning": Reasoning()}, {"reasoning": None}),
        (
            {"reasoning": "thinking"},
            {"reasoning": Reasoning(effort="high")},
            {"thinking": {"type": "enabled"}, "reasoning_effort": "high"},
        ),
        (
            {"reasoning": "thinking"},
            {"reasoning": Reasoning(effort="none")},
            {"thinking": {"type": "disabled"}, "reasoning_effort": None},
        ),
        ({"reasoning_text": "always"}, {"reasoning": Reasoning(summary=True)}, {"reasoning_effort": None}),
        (
            {"reasoning_text": "include_reasoning"},
            {"reasoning": Reasoning(summary=False)},
            {"include_reasoning": False},
        ),
        ({"reasoning_text": "include_reasoning"}, {"reasoning": Reasoning()}, {"include_reasoning": None}),
        ({"reasoning": "thinking"}, {"reasoning": Reasoning()}, {"thinking": None}),
        ({"budget": "thinking_token_budget"}, {"reasoning": Reasoning(budget_tokens=9)}, {"thinking_token_budget": 9}),
        ({"seed": "random_seed"}, {"seed": 7}, {"random_seed": 7, "seed": None}),
        ({"schemas": False}, {"output": "json"}, {"response_format": {"type": "json_object"}}),
    ],
)
def test_options_of_servers(quirks, fields, wire):
    request = ask(**fields)
    body = body_of(request, **quirks)
    assert {name: body.get(name) for name in wire} == wire
    assert warnings_of(request, **quirks) == []


@pytest.mark.parametrize(
    ("quirks", "fields", "paths"),
    [
        ({}, {"top_k": 5}, ["top_k"]),
        ({"unsupported": ("stop", "user", "reasoning")}, {"stop": ("a",), "user": "u"}, ["stop", "user"]),
        ({}, {"tool_choice": "auto", "parallel_tool_calls": True}, ["tool_choice", "parallel_tool_calls"]),
        ({}, {"tools": (Tool("f", cache=True),)}, ["tools[0].cache"]),
        ({}, {"reasoning": Reasoning(budget_tokens=9)}, ["reasoning.budget_tokens"]),
        ({}, {"reasoning": Reasoning(summary=True)}, ["reasoning.summary"]),
        (
            {"reasoning": "reasoning"},
            {"reasoning": Reasoning(effort="low", budget_tokens=9)},
            ["reasoning.budget_tokens"],
        ),
        ({"reasoning_text": "always"}, {"reasoning": Reasoning(summary=False)}, ["reasoning.summary"]),
        ({"schemas": False}, {"output": Schema({"type": "object"})}, ["output"]),
    ],
)
def test_options_that_are_left_out_with_a_warning(quirks, fields, paths):
    assert warnings_of(ask(**fields), **quirks) == paths


def test_what_is_unsupported_is_not_sent():
    body = body_of(ask(stop=("a",), top_k=5), unsupported=("stop", "top_k"))
    assert "stop" not in body
    assert "top_k" not in body


def test_a_schema_becomes_a_wish_for_json_where_there_are_none():
    body = body_of(ask(output=Schema({"type": "object"})), schemas=False)
    assert body["response_format"] == {"type": "json_object"}


def test_a_tool_choice_holds_for_tools_of_the_callers_own():
    request = ask(tool_choice="required", extra={"tools": [{"type": "custom"}]})
    assert body_of(request)["tool_choice"] == "required"
    assert warnings_of(request) == []


# Turns


def test_a_system_turn_has_the_role_of_the_server():
    request = prompt("Hi", system="Be brief.")
    assert body_of(request)["messages"][0] == {"role": "system", "content": "Be brief."}
    assert body_of(request, system_role="developer")["messages"][0]["role"] == "developer"


def test_texts_of_a_user_stay_apart():
    assert content_of(Text(text="a"), Text(text="b")) == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]


def test_texts_of_an_assistant_are_one():
    assert content_of(Text(text="a"), Text(text="b"), role="assistant") == "ab"


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (Image(url="https://x/i.png"), {"type": "image_url", "image_url": {"url": "https://x/i.png"}}),
        (
            Image(data=b"i", media_type="image/png", detail="low"),
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aQ==", "detail": "low"}},
        ),
        (File(id="file-1"), {"type": "file", "file": {"file_id": "file-1"}}),
        (
            File(data=b"f", media_type="application/pdf", name="a.pdf"),
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,Zg=="}},
        ),
        (
            File(data=b"f", media_type="application/pdf"),
            {"type": "file", "file": {"filename": "file.pdf", "file_data": "data:application/pdf;base64,Zg=="}},
        ),
        (
            File(data=b"f", media_type="application/x-unheard-of"),
            {"type": "file", "file": {"filename": "file", "file_data": "data:application/x-unheard-of;base64,Zg=="}},
        ),
        (
            File(data=b"s", media_type="audio/wav"),
            {"type": "input_audio", "input_audio": {"data": "cw==", "format": "wav"}},
        ),
        (
            File(data=b"s", media_type="audio/mpeg"),
            {"type": "input_audio", "input_audio": {"data": "cw==", "format": "mp3"}},
        ),
        (ExtensionPart(name="openai_chat:reference", raw='{"type":"reference"}'), {"type": "reference"}),
    ],
)
def test_parts_of_a_user(part, block):
    assert content_of(part) == [block]


@pytest.mark.parametrize(
    "part",
    [
        Image(),
        Image(data=b"i"),
        File(),
        File(data=b"f"),
    ],
)
def test_what_cannot_be_sent_at_all(part):
    with pytest.raises(LocalError, match=r"messages\[0\]\.content\[1\]: "):
        sent(ask(Text(text="a"), part))


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (File(id="file-1"), {"type": "file", "file_id": "file-1"}),
        (
            File(data=b"f", media_type="application/pdf", name="a.pdf"),
            {"type": "file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,Zg=="},
        ),
    ],
)
def test_a_server_may_have_flat_files(part, block):
    assert content_of(part, files="flat") == [block]


def test_a_server_may_mark_the_turn_that_is_to_be_continued():
    begun = Message("assistant", "It is"), Message("user", "Hi"), Message("assistant", "It is")
    marks = [turn.get("prefix") for turn in body_of(Request(messages=begun), prefix=True)["messages"]]
    assert marks == [None, None, True]


def test_other_turns_at_the_end_are_not_marked():
    assert body_of(ask(), prefix=True)["messages"] == [USER]
    assert body_of(Request(messages=()), prefix=True)["messages"] == []


def test_a_server_without_an_address_wants_one():
    nowhere = Compatible(url="", example_url="https://<yours>.example.org/v1")
    with pytest.raises(LocalError, match="pass url=, such as 'https://<yours>.example.org/v1'"):
        nowhere.encode(prompt("Hi"), Target("", "m"))
    assert nowhere.encode(prompt("Hi"), Target("https://x", "m")).url == "https://x/chat/completions"


def test_a_tool_result_is_a_turn_of_its_own():
    results = ToolResult(id="a", content="1"), ToolResult(id="b", content=(Text(text="2"), Text(text="3")))
    assert body_of(ask(*results, ToolResult(id="c"), role="tool"))["messages"] == [
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {
            "role": "tool",
            "tool_call_id": "b",
            "content": [{"type": "text", "text": "2"}, {"type": "text", "text": "3"}],
        },
        {"role": "tool", "tool_call_id": "c", "content": ""},
    ]


def test_a_tool_call_of_an_assistant():
    assert turn_of(Text(text="So"), ToolCall(id="a", name="f", arguments='{"x":1}'), ToolCall(id="b", name="g")) == {
        "role": "assistant",
        "content": "So",
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }


def test_calls_alone_have_no_content():
    assert turn_of(ToolCall(id="a", name="f"))["content"] is None


def test_a_refusal_goes_back_as_one():
    assert turn_of(RefusalPart(text="I "), RefusalPart(text="won't")) == {
        "role": "assistant",
        "content": None,
        "refusal": "I won't",
    }


def test_a_block_of_its_own_kind_goes_back_as_it_came():
    parts = Text(text="See"), ExtensionPart(name="openai_chat:reference", raw='{"type":"reference"}')
    assert content_of(*parts, role="assistant") == [{"type": "text", "text": "See"}, {"type": "reference"}]


@pytest.mark.parametrize(
    ("role", "part"),
    [
        ("system", Image(url="u")),
        ("user", ToolCall(id="a", name="f")),
        ("user", ToolResult(id="a")),
        ("user", File(url="https://x/f.pdf")),
        ("user", File(data=b"s", media_type="audio/ogg")),
        ("user", ExtensionPart(name="gemini:part", raw="{}")),
        ("assistant", Image(url="u")),
        ("assistant", File(id="f")),
        ("assistant", ReasoningPart(text="Hm")),
        ("tool", Text(text="a")),
    ],
)
def test_parts_that_are_left_out_with_a_warning(role, part):
    request = ask(part, role=role)
    assert warnings_of(request) == ["messages[0].content[0]", "messages[0]"]
    assert body_of(request)["messages"] == []


@pytest.mark.parametrize(
    ("role", "part", "path"),
    [
        ("user", Text(text="a", opaque=FOREIGN), "opaque"),
        ("assistant", Text(text="a", citations=("{}",)), "citations"),
        ("assistant", RefusalPart(text="a", opaque=FOREIGN), "opaque"),
        ("assistant", RefusalPart(text="a", cache=True), "cache"),
        ("assistant", ToolCall(id="a", name="f", opaque=FOREIGN), "opaque"),
        ("assistant", ToolCall(id="a", name="f", opaque='{"extra_content":{"google":{}}}'), "opaque"),
        ("assistant", ToolCall(id="a", name="f", cache=True), "cache"),
        ("user", ExtensionPart(name="openai_chat:reference", raw="{}", cache=True), "cache"),
        ("tool", ToolResult(id="a", is_error=True), "is_error"),
        ("tool", ToolResult(id="a", opaque=FOREIGN), "opaque"),
        ("tool", ToolResult(id="a", cache=True), "cache"),
        ("tool", ToolResult(id="a", content=(Image(url="u"),)), "content[0]"),
    ],
)
def test_details_of_parts_that_are_left_out_with_a_warning(role, part, path):
    request = ask(part, role=role)
    assert warnings_of(request) == [f"messages[0].content[0].{path}"]
    assert len(body_of(request)["messages"]) == 1


def test_an_empty_turn_is_left_out_with_a_warning():
    request = Request(messages=(Message("user", ""), Message("user", "Hi")))
    assert warnings_of(request) == ["messages[0]"]
    assert body_of(request)["messages"] == [USER]


# What is to be cached


def test_the_prompt_is_cached_up_to_a_part():
    text = {"type": "text", "text": "a", **BREAKPOINT}
    assert content_of(Text(text="a", cache=True)) == [text]
    assert content_of(Text(text="a", cache=True), role="assistant") == [text]
    assert content_of(ToolResult(id="t", content=(Text(text="a", cache=True),)), role="tool") == [text]


def test_a_server_may_mark_it_in_the_words_of_anthropic():
    blocks = content_of(Text(text="a", cache=True), Image(url="u", cache=True), cache="cache_control")
    assert [block["cache_control"] for block in blocks] == [{"type": "ephemeral"}] * 2


def test_a_server_may_know_no_marks():
    request = ask(Text(text="a", cache=True))
    assert warnings_of(request, cache="") == ["messages[0].content[0].cache"]
    assert body_of(request, cache="")["messages"] == [{"role": "user", "content": "a"}]


# What an answer wants back

DETAILS = '{"reasoning_details":[{"type":"reasoning.encrypted","index":0,"data":"x"}]}'


def reasoned(opaque: str | None = None) -> Message:
    events = [Start(), ReasoningDelta(0, "Hm"), TextDelta(1, "Hi"), BlockEnd(0, opaque), BlockEnd(1), Finish("stop")]
    return Fold(events).message


def replayed(message: Message, *replay: str) -> dict[str, Any]:
    (turn,) = body_of(Request(messages=(message,)), replay=replay)["messages"]
    return turn


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "reasoning_text"])
def test_reasoning_goes_back_under_the_name_that_the_server_has_for_it(field):
    assert replayed(reasoned(), field) == {"role": "assistant", "content": "Hi", field: "Hm"}


def test_reasoning_in_several_blocks_goes_back_as_one():
    message = Message("assistant", (ReasoningPart(text="a"), ReasoningPart(text="b")))
    assert replayed(message, "reasoning") == {"role": "assistant", "content": "", "reasoning": "ab"}


def test_reasoning_details_go_back_instead_of_the_text():
    assert replayed(reasoned(DETAILS), "reasoning", "reasoning_details") == {
        "role": "assistant",
        "content": "Hi",
        "reasoning_details": [{"type": "reasoning.encrypted", "index": 0, "data": "x"}],
    }


def test_opaque_reasoning_goes_back_with_its_text():
    assert replayed(reasoned('{"reasoning_opaque":"x"}'), "reasoning_text", "reasoning_opaque") == {
        "role": "assistant",
        "content": "Hi",
        "reasoning_text": "Hm",
        "reasoning_opaque": "x",
    }


def test_reasoning_without_words_leaves_no_field():
    message = Message("assistant", (ReasoningPart(text=""), Text(text="Hi")))
    assert replayed(message, "reasoning_content") == {"role": "assistant", "content": "Hi"}


@pytest.mark.parametrize(
    ("opaque", "replay", "paths"),
    [
        (None, (), ["messages[0].content[0]"]),
        (DETAILS, (), ["messages[0].content[0]"]),
        (None, ("reasoning_details",), ["messages[0].content[0]"]),
        (FOREIGN, ("reasoning",), ["messages[0].content[0].opaque"]),
        ("no JSON", ("reasoning",), ["messages[0].content[0].opaque"]),
        (DETAILS, ("reasoning_details",), []),
    ],
)
def test_reasoning_that_cannot_go_back_is_named(opaque, replay, paths):
    assert warnings_of(Request(messages=(reasoned(opaque),)), replay=replay) == paths


def test_a_thought_signature_goes_back_with_its_call():
    opaque = '{"extra_content":{"google": {"thought_signature": "Eo123"}}}'
    events = [Start(), ToolCallStart(0, "a", "f"), ToolCallDelta(0, "{}"), BlockEnd(0, opaque), Finish("tool_calls")]
    (call,) = replayed(Fold(events).message, "extra_content")["tool_calls"]
    assert call["extra_content"] == {"google": {"thought_signature": "Eo123"}}


def test_citations_go_back_where_they_are_wanted():
    cited = [Start(), TextDelta(0, "Hi"), Citation(0, "u", raw='{"type":"url_citation"}'), BlockEnd(0), Finish("stop")]
    assert replayed(Fold(cited).message, "annotations")["annotations"] == [{"type": "url_citation"}]


def test_sound_goes_back_by_its_id():
    end = BlockEnd(0, '{"audio":{"id":"audio_1"}}')
    events = [Start(), Attachment(0, "audio/pcm", b"x"), end, Finish("stop")]
    assert replayed(Fold(events).message) == {"role": "assistant", "content": None, "audio": {"id": "audio_1"}}


def test_a_refused_answer_goes_back():
    events = [Start(), RefusalDelta(0, "No"), BlockEnd(0), Finish("refusal")]
    assert replayed(Fold(events).message)["refusal"] == "No"


def test_a_block_of_an_answer_goes_back():
    events = [Start(), Extension("openai_chat:reference", '{"type":"reference"}', 0), BlockEnd(0), Finish("stop")]
    assert replayed(Fold(events).message)["content"] == [{"type": "reference"}]
