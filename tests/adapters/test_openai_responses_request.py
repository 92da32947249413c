"""What the adapter `openai_responses` sends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamcore.errors import LocalError
from streamcore.events import Attachment, BlockEnd, Extension, Finish, Start
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
from streamcore_adapters import openai_responses

TARGET = Target(openai_responses.url, "gpt-5", Secret("sk-very-secret"))
ADD = Tool("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}})
STORED = {"store": True}
THOUGHT = '{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"}'
PLAIN_THOUGHT = '{"type":"reasoning","id":"rs_1","summary":[]}'
SAID = '{"type":"message","id":"msg_1","status":"completed","phase":"final_answer"}'
CALLED = '{"type":"function_call","id":"fc_1","status":"completed"}'
CUSTOM = '{"type":"custom_tool_call","id":"ctc_1","status":"completed"}'
URL = {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 0, "end_index": 2}


def body_of(request: Request) -> dict[str, Any]:
    return json.loads(openai_responses.encode(request, TARGET).body)


def ask(*parts: Any, role: Any = "user", **fields: Any) -> Request:
    return Request(messages=(Message(role, parts or "Hi"),), **fields)


def input_of(*parts: Any, role: Any = "user", **fields: Any) -> list[dict[str, Any]]:
    """The items that these parts of one turn become."""
    return body_of(ask(*parts, role=role, **fields))["input"]


def said(*parts: Any, **fields: Any) -> list[dict[str, Any]]:
    """The items that these parts of an assistant's turn become."""
    return input_of(*parts, role="assistant", **fields)


def warnings_of(*parts: Any, role: Any = "user", **fields: Any) -> list[str]:
    return [warning.field for warning in openai_responses.encode(ask(*parts, role=role, **fields), TARGET).warnings]


# Where it goes


def test_a_prompt_is_two_messages():
    assert body_of(prompt("Hi", system="Be brief.", max_tokens=5)) == {
        "model": "gpt-5",
        "input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "stream": True,
        "store": False,
        "max_output_tokens": 5,
    }


def test_it_is_posted_to_responses():
    request = openai_responses.encode(prompt("Hi"), TARGET)
    assert (request.method, request.url) == ("POST", "https://api.openai.com/v1/responses")


def test_the_key_is_a_bearer():
    assert openai_responses.encode(prompt("Hi"), TARGET).headers["authorization"] == "Bearer sk-very-secret"


def test_no_key_is_no_header():
    assert "authorization" not in openai_responses.encode(prompt("Hi"), Target(openai_responses.url, "gpt-5")).headers


def test_the_key_is_shown_to_nobody():
    assert "very-secret" not in repr(openai_responses.encode(prompt("Hi"), TARGET))


def test_the_model_of_the_request_comes_first():
    assert body_of(ask(model="gpt-6"))["model"] == "gpt-6"


# Limits and sampling


@pytest.mark.parametrize(
    ("field", "wire", "value"),
    [
        ("max_tokens", "max_output_tokens", 0),
        ("temperature", "temperature", 0),
        ("top_p", "top_p", 0.5),
        ("user", "safety_identifier", "u1"),
        ("metadata", "metadata", {"team": "x"}),
        ("cache_key", "prompt_cache_key", "k"),
    ],
)
def test_a_field_has_its_own_name(field, wire, value):
    request = ask(**{field: value})
    assert body_of(request)[wire] == value
    assert openai_responses.encode(request, TARGET).warnings == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [("top_k", 1), ("presence_penalty", 0.5), ("frequency_penalty", 0.5), ("stop", ("END",)), ("seed", 0)],
)
def test_what_the_api_has_no_word_for_is_warned_of(field, value):
    request = ask(**{field: value})
    assert field not in body_of(request)
    assert openai_responses.encode(request, TARGET).warnings == (
        RequestWarning(field, "not supported by this provider"),
    )


def test_extra_comes_last():
    body = body_of(ask(extra={"store": True, "background": True}, max_tokens=5))
    assert (body["store"], body["background"], body["max_output_tokens"]) == (True, True, 5)


# Tools


def test_a_tool_is_flat():
    assert body_of(ask(tools=(ADD,)))["tools"] == [
        {"type": "function", "name": "add", "description": "Adds.", "parameters": ADD.parameters}
    ]


def test_a_tool_without_parameters_takes_an_empty_object():
    assert body_of(ask(tools=(Tool("now", strict=True),)))["tools"] == [
        {
            "type": "function",
            "name": "now",
            "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
            "strict": True,
        }
    ]


def test_a_tool_is_not_cached_by_itself():
    assert warnings_of(tools=(ADD, Tool("now", cache=True))) == ["tools[1].cache"]


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        (ToolChoice("add"), {"type": "function", "name": "add"}),
    ],
)
def test_a_tool_can_be_chosen(choice, wire):
    assert body_of(ask(tools=(ADD,), tool_choice=choice))["tool_choice"] == wire


def test_parallel_calls_can_be_forbidden():
    assert body_of(ask(tools=(ADD,), parallel_tool_calls=False))["parallel_tool_calls"] is False


def test_a_choice_without_tools_is_left_out():
    fields = {"tool_choice": "required", "parallel_tool_calls": False}
    assert not fields.keys() & body_of(ask(**fields)).keys()
    assert warnings_of(**fields) == ["tool_choice", "parallel_tool_calls"]


def test_a_choice_may_be_of_the_providers_tools():
    request = ask(tool_choice="required", extra={"tools": [{"type": "web_search"}]})
    assert body_of(request)["tool_choice"] == "required"


# Output and reasoning


def test_any_json_can_be_asked_for():
    assert body_of(ask(output="json"))["text"] == {"format": {"type": "json_object"}}


def test_a_schema_is_flat():
    schema = {"type": "object", "properties": {}}
    assert body_of(ask(output=Schema(schema, description="A thing", strict=True)))["text"] == {
        "format": {
            "type": "json_schema",
            "name": "answer",
            "description": "A thing",
            "schema": schema,
            "strict": True,
        }
    }


def test_what_a_schema_leaves_open_is_left_out():
    assert body_of(ask(output=Schema({})))["text"]["format"] == {"type": "json_schema", "name": "answer", "schema": {}}


@pytest.mark.parametrize(
    ("reasoning", "wire", "include"),
    [
        (None, None, None),
        (Reasoning(), None, None),
        (Reasoning(summary=False), None, None),
        (Reasoning(effort="none"), {"effort": "none"}, None),
        (Reasoning(effort="xhigh"), {"effort": "xhigh"}, ["reasoning.encrypted_content"]),
        (Reasoning(summary=True), {"summary": "auto"}, ["reasoning.encrypted_content"]),
        (Reasoning("low", summary=True), {"effort": "low", "summary": "auto"}, ["reasoning.encrypted_content"]),
    ],
)
def test_reasoning_that_is_asked_for_comes_encrypted(reasoning, wire, include):
    body = body_of(ask(reasoning=reasoning))
    assert (body.get("reasoning"), body.get("include")) == (wire, include)


def test_there_is_no_budget():
    assert warnings_of(reasoning=Reasoning(budget_tokens=5)) == ["reasoning.budget_tokens"]


# Turns of the caller's


def test_system_messages_stay_where_they_are():
    messages = Message("user", "Hi"), Message("system", "Be brief.")
    assert body_of(Request(messages=messages))["input"] == [
        {"role": "user", "content": "Hi"},
        {"role": "system", "content": "Be brief."},
    ]


def test_parts_are_blocks():
    assert input_of(Text(text="a"), Text(text="b", cache=True)) == [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "a"},
                {"type": "input_text", "text": "b", "prompt_cache_breakpoint": {"mode": "explicit"}},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (Image(url="https://a/b.png"), {"type": "input_image", "image_url": "https://a/b.png"}),
        (
            Image(data=b"x", media_type="image/png", detail="low"),
            {"type": "input_image", "image_url": "data:image/png;base64,eA==", "detail": "low"},
        ),
        (File(id="file_1"), {"type": "input_file", "file_id": "file_1"}),
        (File(url="https://a/b.pdf"), {"type": "input_file", "file_url": "https://a/b.pdf"}),
        (
            File(data=b"x", media_type="application/pdf", name="b.pdf"),
            {"type": "input_file", "filename": "b.pdf", "file_data": "data:application/pdf;base64,eA=="},
        ),
        (
            File(data=b"x", media_type="application/pdf"),
            {"type": "input_file", "filename": "file.pdf", "file_data": "data:application/pdf;base64,eA=="},
        ),
        (
            File(data=b"x", media_type="a/unknown"),
            {"type": "input_file", "filename": "file", "file_data": "data:a/unknown;base64,eA=="},
        ),
        (File(id="file_1", media_type="image/png"), {"type": "input_image", "file_id": "file_1"}),
        (
            File(data=b"x", media_type="image/png"),
            {"type": "input_image", "image_url": "data:image/png;base64,eA=="},
        ),
    ],
)
def test_images_and_files_are_blocks(part, block):
    assert input_of(part) == [{"role": "user", "content": [block]}]
    assert warnings_of(part) == []


def test_a_name_needs_the_data():
    assert input_of(File(id="file_1", name="a.pdf"))[0]["content"] == [{"type": "input_file", "file_id": "file_1"}]
    assert warnings_of(File(id="file_1", name="a.pdf")) == ["messages[0].content[0].name"]


def test_there_is_no_sound():
    parts = Text(text="Hi"), File(data=b"x", media_type="audio/wav")
    assert input_of(*parts) == [{"role": "user", "content": "Hi"}]
    assert warnings_of(*parts) == ["messages[0].content[1]"]


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        (Image(), "messages[0].content[0]: Image has no bytes, no URL and no id"),
        (File(), "messages[0].content[0]: File has no bytes, no URL and no id"),
        (Image(data=b"x"), "messages[0].content[0]: the data of an image needs a media_type"),
        (File(data=b"x"), "messages[0].content[0]: the data of a file needs a media_type"),
        (
            ExtensionPart(name="openai_responses:x", raw="5"),
            "messages[0].content[0]: the raw text of openai_responses:x is not a JSON object",
        ),
    ],
)
def test_what_cannot_be_sent_is_an_error(part, wrong):
    with pytest.raises(LocalError) as raised:
        body_of(ask(part))
    assert str(raised.value) == wrong


def test_what_belongs_to_the_assistant_is_left_out():
    part = Text(text="Hi", opaque=SAID, citations=(json.dumps(URL),))
    assert input_of(part) == [{"role": "user", "content": "Hi"}]
    assert warnings_of(part) == ["messages[0].content[0].opaque", "messages[0].content[0].citations"]


@pytest.mark.parametrize(
    ("role", "part"),
    [
        ("system", Image(url="https://a")),
        ("user", ReasoningPart(text="Hm")),
        ("user", RefusalPart(text="No")),
        ("user", ToolCall(id="call_1", name="add")),
        ("assistant", File(id="file_1")),
        ("assistant", ToolResult(id="call_1")),
        ("assistant", Image(url="https://a")),
        ("tool", Text(text="Hi")),
    ],
)
def test_a_part_in_the_wrong_turn_is_left_out(role, part):
    assert input_of(part, role=role) == []
    assert warnings_of(part, role=role) == ["messages[0].content[0]", "messages[0]"]


def test_extensions_of_others_are_left_out():
    assert warnings_of(ExtensionPart(name="anthropic:x", raw="{}")) == ["messages[0].content[0]", "messages[0]"]


def test_an_item_stands_between_the_blocks():
    item = ExtensionPart(name="openai_responses:mcp_approval_response", raw='{"type":"mcp_approval_response"}')
    assert input_of(Text(text="a"), item, Text(text="b")) == [
        {"role": "user", "content": "a"},
        {"type": "mcp_approval_response"},
        {"role": "user", "content": "b"},
    ]


# Tool results


def test_a_result_is_an_item():
    assert input_of(ToolResult(id="call_1", content="3"), role="tool") == [
        {"type": "function_call_output", "call_id": "call_1", "output": "3"}
    ]


def test_a_result_may_hold_images():
    parts = Text(text="Look"), Image(url="https://a")
    assert input_of(ToolResult(id="call_1", content=parts), role="tool")[0]["output"] == [
        {"type": "input_text", "text": "Look"},
        {"type": "input_image", "image_url": "https://a"},
    ]


def test_a_result_of_one_text_is_a_string():
    assert input_of(ToolResult(id="call_1", content=(Text(text="3"),)), role="tool")[0]["output"] == "3"


def test_the_result_of_a_custom_tool_is_another_item():
    turns = (
        Message("assistant", (ToolCall(id="call_1", name="run", arguments="ls", opaque=CUSTOM),)),
        Message("tool", (ToolResult(id="call_1", content="a.txt"), ToolResult(id="call_2"))),
    )
    assert [item["type"] for item in body_of(Request(messages=turns))["input"]] == [
        "custom_tool_call",
        "custom_tool_call_output",
        "function_call_output",
    ]


def test_what_a_result_cannot_say_is_warned_of():
    result = ToolResult(id="call_1", content=(File(data=b"x", media_type="audio/wav"),), is_error=True, cache=True)
    path = "messages[0].content[0]"
    assert warnings_of(result, role="tool") == [f"{path}.cache", f"{path}.is_error", f"{path}.content[0]"]


def test_the_opaque_text_of_a_result_is_left_out():
    assert warnings_of(ToolResult(id="call_1", opaque="{}"), role="tool") == ["messages[0].content[0].opaque"]


# Turns of the assistant's


def test_words_written_by_hand_are_a_plain_message():
    assert said(Text(text="Hi")) == [{"role": "assistant", "content": "Hi"}]


def test_parts_written_by_hand_are_one_message():
    assert said(Text(text="a"), RefusalPart(text="b")) == [
        {
            "role": "assistant",
            "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}],
        }
    ]


def test_a_message_goes_back_with_its_id_and_phase():
    assert said(Text(text="Hi", opaque=SAID, citations=(json.dumps(URL),))) == [
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "phase": "final_answer",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hi", "annotations": [URL]}],
        }
    ]


def test_the_blocks_of_a_message_are_one_item_again():
    (item,) = said(Text(text="a", opaque=SAID), RefusalPart(text="b", opaque=SAID))
    assert item["content"] == [
        {"type": "output_text", "text": "a", "annotations": []},
        {"type": "refusal", "refusal": "b"},
    ]


def test_two_messages_remain_two():
    other = SAID.replace("msg_1", "msg_2")
    items = said(Text(text="a", opaque=SAID), Text(text="b", opaque=other), Text(text="c"))
    assert [item.get("id") for item in items] == ["msg_1", "msg_2", None]


def test_a_message_does_not_reach_over_a_call():
    call = ToolCall(id="call_1", name="add", arguments="{}")
    assert len(said(Text(text="a"), call, Text(text="b"))) == 3


@pytest.mark.parametrize("opaque", ['{"signature":"c2ln"}', '{"type":"reasoning"}', "5", "{", '{"type":5}'])
def test_the_opaque_text_of_another_provider_is_left_out(opaque):
    part = Text(text="Hi", opaque=opaque)
    assert said(part) == [{"role": "assistant", "content": "Hi"}]
    assert warnings_of(part, role="assistant") == ["messages[0].content[0].opaque"]


@pytest.mark.parametrize(
    ("citation", "kept"),
    [
        (URL, True),
        ({"type": "file_citation", "file_id": "file_1"}, True),
        ({"type": "url_citation", "url_citation": {"url": "https://a"}}, False),
        ({"type": "char_location", "url": "https://a"}, False),
        (5, False),
    ],
)
def test_citations_go_back_if_they_are_its_own(citation, kept):
    part = Text(text="Hi", citations=(json.dumps(citation),))
    content = said(part)[0]["content"]
    assert content == ([{"type": "output_text", "text": "Hi", "annotations": [citation]}] if kept else "Hi")
    assert warnings_of(part, role="assistant") == ([] if kept else ["messages[0].content[0].citations[0]"])


def test_a_call_goes_back_with_both_ids():
    assert said(ToolCall(id="call_1", name="add", arguments='{"a": 1}', opaque=CALLED)) == [
        {
            "type": "function_call",
            "id": "fc_1",
            "status": "completed",
            "call_id": "call_1",
            "name": "add",
            "arguments": '{"a": 1}',
        }
    ]


def test_a_call_of_another_provider_has_one_id():
    part = ToolCall(id="toolu_1", name="add", opaque='{"caller":{"type":"direct"}}')
    assert said(part) == [{"type": "function_call", "call_id": "toolu_1", "name": "add", "arguments": "{}"}]
    assert warnings_of(part, role="assistant") == ["messages[0].content[0].opaque"]


def test_the_arguments_of_a_call_need_not_be_json():
    assert said(ToolCall(id="call_1", name="add", arguments='{"a"'))[0]["arguments"] == '{"a"'


def test_a_custom_call_goes_back_as_one():
    assert said(ToolCall(id="call_1", name="run", arguments="ls", opaque=CUSTOM)) == [
        {
            "type": "custom_tool_call",
            "id": "ctc_1",
            "status": "completed",
            "call_id": "call_1",
            "name": "run",
            "input": "ls",
        }
    ]


def test_an_item_goes_back_as_it_came():
    raw = '{"type":"web_search_call","id":"ws_1","score":1.50}'
    encoded = openai_responses.encode(
        ask(ExtensionPart(name="openai_responses:web_search_call", raw=raw), role="assistant"), TARGET
    )
    assert raw in encoded.body.decode()


def test_what_an_assistant_said_cannot_be_cached():
    parts = Text(text="Hi", cache=True), ToolCall(id="call_1", name="add", cache=True)
    assert warnings_of(*parts, role="assistant") == ["messages[0].content[0].cache", "messages[0].content[1].cache"]


def test_a_generated_image_goes_back_as_its_item():
    raw = '{"type":"image_generation_call","id":"ig_1","result":"eA=="}'
    events = [
        Start(),
        Attachment(0, "image/png", b"x"),
        Extension("openai_responses:image_generation_call", raw, 0),
        BlockEnd(0, '{"type":"image_generation_call","id":"ig_1"}'),
        Finish("stop"),
    ]
    encoded = openai_responses.encode(Request(messages=(Fold(events).message,)), TARGET)
    assert json.loads(encoded.body)["input"] == [json.loads(raw)]
    assert encoded.warnings == ()


# Reasoning of earlier turns

ANSWER = Text(text="Hi", opaque=SAID)
CALL = ToolCall(id="call_1", name="add", opaque=CALLED)
BY_HAND = {"phase": "final_answer", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}


def test_encrypted_reasoning_goes_back_before_what_it_led_to():
    items = said(ReasoningPart(text="", opaque=THOUGHT), ANSWER)
    assert items[0] == json.loads(THOUGHT)
    assert items[1]["id"] == "msg_1"


def test_a_summary_is_always_sent():
    assert said(ReasoningPart(text="", opaque=THOUGHT.replace('"summary":[],', "")), ANSWER)[0]["summary"] == []


@pytest.mark.parametrize("part", [ReasoningPart(text="Hm", opaque='{"signature":"c2ln"}'), ReasoningPart(text="Hm")])
def test_reasoning_of_another_provider_is_left_out(part):
    assert said(part, ANSWER) == [BY_HAND]
    assert warnings_of(part, ANSWER, role="assistant") == ["messages[0].content[0]"]


def test_where_reasoning_is_left_out_the_items_after_it_have_no_ids():
    thought = ReasoningPart(text="", opaque=PLAIN_THOUGHT)
    assert said(thought, ANSWER, CALL) == [
        BY_HAND,
        {"type": "function_call", "status": "completed", "call_id": "call_1", "name": "add", "arguments": "{}"},
    ]
    assert warnings_of(thought, ANSWER, CALL, role="assistant") == ["messages[0].content[0]"]


def test_reasoning_that_is_stored_goes_back_by_its_id():
    items = said(ReasoningPart(text="", opaque=PLAIN_THOUGHT), ANSWER, extra=STORED)
    assert [item["id"] for item in items] == ["rs_1", "msg_1"]


def test_open_reasoning_goes_back_as_it_is():
    content = [{"type": "reasoning_text", "text": "Hm"}]
    opaque = json.dumps({**json.loads(PLAIN_THOUGHT), "content": content})
    assert said(ReasoningPart(text="Hm", opaque=opaque), ANSWER)[0]["content"] == content


def test_reasoning_that_led_to_nothing_is_left_out():
    thought = ReasoningPart(text="", opaque=THOUGHT)
    assert [item["type"] for item in said(thought, CALL, thought, thought)] == ["reasoning", "function_call"]
    assert warnings_of(thought, CALL, thought, thought, role="assistant") == [
        "messages[0].content[2]",
        "messages[0].content[3]",
    ]


def test_two_thoughts_may_lead_to_one_thing():
    thought = ReasoningPart(text="", opaque=THOUGHT)
    assert [item["type"] for item in said(thought, thought, CALL)] == ["reasoning", "reasoning", "function_call"]


@pytest.mark.parametrize(("format", "kept"), [("google-gemini-v1", 2), ("openai-responses-v1", 1)])
def test_openrouter_has_other_models_reasoning_last(format, kept):
    thought = json.dumps({**json.loads(THOUGHT), "format": format})
    assert len(said(ANSWER, ReasoningPart(text="", opaque=thought))) == kept
