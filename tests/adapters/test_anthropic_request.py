"""What the adapter `anthropic` sends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamcore.errors import LocalError
from streamcore.events import (
    BlockEnd,
    Citation,
    Extension,
    Finish,
    ReasoningDelta,
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
from streamcore_adapters import anthropic

TARGET = Target(anthropic.url, "claude-opus-5", Secret("sk-very-secret"))
OLD = Target(anthropic.url, "claude-opus-4", headers={"Anthropic-Version": "2023-06-01"})
ADD = Tool("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}})
CACHED = {"type": "ephemeral"}
SIGNED = '{"signature":"c2ln"}'


def body_of(request: Request, target: Target = TARGET) -> dict[str, Any]:
    return json.loads(anthropic.encode(request, target).body)


def ask(*parts: Any, role: Any = "user", **fields: Any) -> Request:
    return Request(messages=(Message(role, parts or "Hi"),), **fields)


def content_of(*parts: Any, role: Any = "user", target: Target = TARGET) -> list[dict[str, Any]]:
    """The blocks that these parts of one turn become."""
    (turn,) = body_of(ask(*parts, role=role), target)["messages"]
    return turn["content"]


def warnings_of(request: Request, target: Target = TARGET) -> list[str]:
    return [warning.field for warning in anthropic.encode(request, target).warnings]


# Where it goes


def test_a_prompt_is_one_turn():
    assert body_of(prompt("Hi", system="Be brief.", max_tokens=5)) == {
        "model": "claude-opus-5",
        "max_tokens": 5,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "stream": True,
    }


def test_it_is_posted_to_messages():
    request = anthropic.encode(prompt("Hi"), TARGET)
    assert (request.method, request.url) == ("POST", "https://api.anthropic.com/v1/messages")


def test_the_key_and_the_version_are_headers():
    headers = anthropic.encode(prompt("Hi"), TARGET).headers
    assert headers["x-api-key"] == "sk-very-secret"
    assert headers["anthropic-version"] == "2026-10-21"


def test_no_key_is_no_header():
    assert "x-api-key" not in anthropic.encode(prompt("Hi"), OLD).headers


def test_the_version_of_the_target_is_sent():
    assert anthropic.encode(prompt("Hi"), OLD).headers["anthropic-version"] == "2023-06-01"


def test_the_key_is_shown_to_nobody():
    assert "very-secret" not in repr(anthropic.encode(prompt("Hi"), TARGET))


def test_the_model_of_the_request_comes_first():
    assert body_of(ask(model="claude-haiku-5"))["model"] == "claude-haiku-5"


# Limits and sampling


def test_a_limit_is_always_sent():
    assert body_of(ask())["max_tokens"] == 8192


def test_a_limit_of_nothing_is_a_limit():
    assert body_of(ask(max_tokens=0))["max_tokens"] == 0


def test_a_budget_is_added_to_the_limit_of_ours():
    assert body_of(ask(reasoning=Reasoning(budget_tokens=20_000)))["max_tokens"] == 28_192


@pytest.mark.parametrize("field", ["temperature", "top_p", "top_k"])
def test_the_new_version_refuses_sampling(field):
    request = ask(**{field: 1})
    assert field not in body_of(request)
    assert anthropic.encode(request, TARGET).warnings == (RequestWarning(field, "API version 2026-10-21 refuses it"),)


@pytest.mark.parametrize("field", ["temperature", "top_p", "top_k"])
def test_the_old_version_takes_sampling(field):
    request = ask(**{field: 1})
    assert body_of(request, OLD)[field] == 1
    assert warnings_of(request, OLD) == []


def test_stop_sequences_are_sent():
    assert body_of(ask(stop=("END", "\n\n")))["stop_sequences"] == ["END", "\n\n"]


@pytest.mark.parametrize(
    ("field", "value"), [("presence_penalty", 0.5), ("frequency_penalty", 0.5), ("seed", 0), ("cache_key", "k")]
)
def test_what_the_api_has_no_word_for_is_warned_of(field, value):
    assert warnings_of(ask(**{field: value})) == [field]


def test_extra_comes_last():
    assert body_of(ask(max_tokens=5, extra={"max_tokens": 6, "speed": "fast"}))["max_tokens"] == 6


def test_the_user_is_metadata():
    assert body_of(ask(user="u1"))["metadata"] == {"user_id": "u1"}


def test_metadata_may_name_the_user():
    assert body_of(ask(metadata={"user_id": "u2"}))["metadata"] == {"user_id": "u2"}


def test_other_metadata_is_warned_of():
    request = ask(metadata={"team": "x"})
    assert "metadata" not in body_of(request)
    assert warnings_of(request) == ["metadata.team"]


# Tools


def test_a_tool_is_its_schema():
    assert body_of(ask(tools=(ADD,)))["tools"] == [
        {"name": "add", "description": "Adds.", "input_schema": ADD.parameters}
    ]


def test_a_tool_without_parameters_takes_an_empty_object():
    assert body_of(ask(tools=(Tool("now"),)))["tools"] == [
        {"name": "now", "input_schema": {"type": "object", "properties": {}}}
    ]


def test_the_schema_of_a_tool_is_always_an_object():
    tool = Tool("f", parameters={"properties": {"a": {}}})
    assert body_of(ask(tools=(tool,)))["tools"][0]["input_schema"] == {"type": "object", "properties": {"a": {}}}


def test_a_tool_may_be_strict_and_cached():
    tool = Tool("now", strict=True, cache=True)
    assert body_of(ask(tools=(tool,)))["tools"][0].items() >= {"strict": True, "cache_control": CACHED}.items()


@pytest.mark.parametrize(
    ("choice", "parallel", "wanted"),
    [
        ("auto", None, {"type": "auto"}),
        ("none", None, {"type": "none"}),
        ("required", None, {"type": "any"}),
        (ToolChoice("add"), None, {"type": "tool", "name": "add"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice("add"), False, {"type": "tool", "name": "add", "disable_parallel_tool_use": True}),
        ("none", False, {"type": "none"}),
        ("auto", True, {"type": "auto"}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (None, True, None),
        (None, None, None),
    ],
)
def test_tool_choice_and_parallel_calls_are_one_field(choice, parallel, wanted):
    request = ask(tools=(ADD,), tool_choice=choice, parallel_tool_calls=parallel)
    assert body_of(request).get("tool_choice") == wanted
    assert warnings_of(request) == []


def test_a_choice_without_tools_is_left_out():
    request = ask(tool_choice="required", parallel_tool_calls=False)
    assert "tool_choice" not in body_of(request)
    assert warnings_of(request) == ["tool_choice", "parallel_tool_calls"]


def test_a_choice_may_be_of_server_tools():
    request = ask(tool_choice="required", extra={"tools": [{"type": "web_search_20260209", "name": "web_search"}]})
    assert body_of(request)["tool_choice"] == {"type": "any"}


# Output and reasoning


def test_a_schema_is_the_format():
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    request = ask(output=Schema(schema, strict=True))
    assert body_of(request)["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    assert warnings_of(request) == []


def test_what_a_schema_cannot_say_is_warned_of():
    assert warnings_of(ask(output=Schema({}, description="A thing", strict=False))) == [
        "output.description",
        "output.strict",
    ]


def test_there_is_no_json_mode():
    request = ask(output="json")
    assert "output_config" not in body_of(request)
    assert warnings_of(request) == ["output"]


@pytest.mark.parametrize(
    ("reasoning", "thinking", "config"),
    [
        (None, None, None),
        (Reasoning(), None, None),
        (Reasoning(effort="xhigh"), {"type": "adaptive"}, {"effort": "xhigh"}),
        (Reasoning(effort="none"), {"type": "disabled"}, None),
        (Reasoning(budget_tokens=0), {"type": "disabled"}, None),
        (Reasoning(budget_tokens=2048), {"type": "enabled", "budget_tokens": 2048}, None),
        (Reasoning(summary=True), {"type": "adaptive", "display": "summarized"}, None),
        (Reasoning(effort="low", summary=False), {"type": "adaptive", "display": "omitted"}, {"effort": "low"}),
        (
            Reasoning(effort="high", budget_tokens=2048, summary=True),
            {"type": "enabled", "budget_tokens": 2048, "display": "summarized"},
            {"effort": "high"},
        ),
    ],
)
def test_reasoning_is_thinking_and_effort(reasoning, thinking, config):
    request = ask(reasoning=reasoning)
    body = body_of(request)
    assert (body.get("thinking"), body.get("output_config")) == (thinking, config)
    assert warnings_of(request) == []


def test_the_least_effort_is_low():
    request = ask(reasoning=Reasoning(effort="minimal"))
    assert body_of(request)["output_config"] == {"effort": "low"}
    assert warnings_of(request) == ["reasoning.effort"]


def test_no_effort_has_no_budget():
    request = ask(reasoning=Reasoning(effort="none", budget_tokens=2048))
    assert body_of(request)["thinking"] == {"type": "disabled"}
    assert warnings_of(request) == ["reasoning.budget_tokens"]


# Turns


def test_system_messages_before_the_first_turn_are_the_system_prompt():
    messages = Message("system", "A"), Message("system", (Text(text="B", cache=True),)), Message("user", "Hi")
    assert body_of(Request(messages=messages))["system"] == [
        {"type": "text", "text": "A"},
        {"type": "text", "text": "B", "cache_control": CACHED},
    ]


def test_a_later_system_message_is_a_turn():
    messages = Message("user", "Hi"), Message("assistant", "Ho"), Message("system", "Be brief.")
    body = body_of(Request(messages=messages))
    assert "system" not in body
    assert body["messages"][2] == {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}


def test_turns_of_one_role_are_one():
    messages = Message("user", "A"), Message("user", "B"), Message("assistant", "C"), Message("assistant", "D")
    turns = body_of(Request(messages=messages))["messages"]
    assert [(turn["role"], [block["text"] for block in turn["content"]]) for turn in turns] == [
        ("user", ["A", "B"]),
        ("assistant", ["C", "D"]),
    ]


def test_tool_results_stand_first_in_one_turn():
    results = ToolResult(id="toolu_1", content="1"), Text(text="And now?"), ToolResult(id="toolu_2", content="2")
    messages = Message("user", results), Message("tool", (ToolResult(id="toolu_3", content="3"),))
    (turn,) = body_of(Request(messages=messages))["messages"]
    assert turn["role"] == "user"
    assert [block.get("tool_use_id") for block in turn["content"]] == ["toolu_1", "toolu_2", "toolu_3", None]


def test_a_turn_of_which_nothing_can_be_sent_is_left_out():
    request = Request(messages=(Message("user", "Hi"), Message("assistant", ""), Message("user", "Ho")))
    assert len(body_of(request)["messages"]) == 1
    assert warnings_of(request) == ["messages[1]"]


# Parts


def test_text_may_be_cached():
    assert content_of(Text(text="Hi", cache=True)) == [{"type": "text", "text": "Hi", "cache_control": CACHED}]


def test_empty_text_is_left_out():
    request = ask(Text(text=""), Text(text="Hi"))
    assert body_of(request)["messages"][0]["content"] == [{"type": "text", "text": "Hi"}]
    assert warnings_of(request) == ["messages[0].content[0]"]


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png", "image/gif", "image/webp"])
def test_an_image_is_base64(media_type):
    assert content_of(Image(data=b"\x89", media_type=media_type)) == [
        {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": "iQ=="}}
    ]


def test_an_image_is_a_url():
    source = {"type": "url", "url": "https://a.b/c.png"}
    assert content_of(Image(url="https://a.b/c.png")) == [{"type": "image", "source": source}]


def test_the_detail_of_an_image_is_warned_of():
    assert warnings_of(ask(Image(url="https://a.b/c.png", detail="low"))) == ["messages[0].content[0].detail"]


@pytest.mark.parametrize("media_type", ["image/bmp", None])
def test_an_image_of_another_type_is_left_out(media_type):
    request = ask(Text(text="?"), Image(data=b"BM", media_type=media_type))
    assert len(body_of(request)["messages"][0]["content"]) == 1
    assert warnings_of(request) == ["messages[0].content[1]"]


def test_an_image_of_nothing_cannot_be_sent():
    with pytest.raises(LocalError, match=r"messages\[0\]\.content\[0\]: Image has no bytes, no URL and no id"):
        anthropic.encode(ask(Image()), TARGET)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        (
            File(data=b"%PDF", media_type="application/pdf"),
            {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
        ),
        (File(data="ä".encode(), media_type="text/plain"), {"type": "text", "media_type": "text/plain", "data": "ä"}),
        (File(data=b"# A", media_type="text/markdown"), {"type": "text", "media_type": "text/plain", "data": "# A"}),
        (File(url="https://a.b/c.pdf"), {"type": "url", "url": "https://a.b/c.pdf"}),
        (File(url="https://a.b/c", media_type="application/pdf"), {"type": "url", "url": "https://a.b/c"}),
        (File(id="file_1"), {"type": "file", "file_id": "file_1"}),
    ],
)
def test_a_file_is_a_document(file, source):
    assert content_of(file) == [{"type": "document", "source": source}]


def test_the_name_of_a_file_is_its_title():
    assert content_of(File(id="file_1", name="a.pdf"))[0]["title"] == "a.pdf"


def test_a_file_may_be_an_image():
    source = {"type": "file", "file_id": "file_1"}
    assert content_of(File(id="file_1", media_type="image/png")) == [{"type": "image", "source": source}]


@pytest.mark.parametrize(
    "file",
    [
        File(data=b"RIFF", media_type="audio/wav"),
        File(data=b"?"),
        File(url="https://a.b/c.txt", media_type="text/plain"),
    ],
)
def test_a_file_of_another_type_is_left_out(file):
    request = ask(Text(text="?"), file)
    assert len(body_of(request)["messages"][0]["content"]) == 1
    assert warnings_of(request) == ["messages[0].content[1]"]


def test_text_that_is_not_utf8_cannot_be_sent():
    with pytest.raises(LocalError, match=r"messages\[0\]\.content\[0\]: the text is not UTF-8"):
        anthropic.encode(ask(File(data=b"\xff", media_type="text/plain")), TARGET)


def test_a_file_of_nothing_cannot_be_sent():
    with pytest.raises(LocalError, match="File has no bytes"):
        anthropic.encode(ask(File()), TARGET)


def test_the_new_version_refuses_the_documents_of_the_assistant():
    request = ask(Text(text="Here:"), File(id="file_1"), role="assistant")
    assert len(body_of(request)["messages"][0]["content"]) == 1
    assert warnings_of(request) == ["messages[0].content[1]"]


def test_the_old_version_takes_the_documents_of_the_assistant():
    assert content_of(File(id="file_1"), role="assistant", target=OLD)[0]["type"] == "document"


def test_the_assistant_has_no_images():
    image = File(id="file_1", media_type="image/png")
    assert warnings_of(ask(Text(text="Here:"), image, role="assistant"), OLD) == ["messages[0].content[1]"]


@pytest.mark.parametrize(
    ("role", "part"),
    [
        ("user", ReasoningPart(text="Hm", opaque=SIGNED)),
        ("user", ToolCall(id="toolu_1", name="f")),
        ("assistant", Image(url="https://a.b/c.png")),
        ("assistant", ToolResult(id="toolu_1")),
        ("system", Image(url="https://a.b/c.png")),
        ("tool", Text(text="Hi")),
    ],
)
def test_a_part_that_its_role_cannot_hold_is_left_out(role, part):
    request = Request(messages=(Message("user", "Hi"), Message(role, (part,))))
    assert len(body_of(request)["messages"]) == 1
    assert warnings_of(request) == ["messages[1].content[0]", "messages[1]"]


def test_a_refusal_is_text():
    refusal = RefusalPart(text="No.")
    assert content_of(refusal, role="assistant") == [{"type": "text", "text": "No."}]
    assert warnings_of(ask(refusal, role="assistant")) == ["messages[0].content[0]"]


def test_a_tool_result_is_text():
    assert content_of(ToolResult(id="toolu_1", content="3", cache=True), role="tool") == [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "3", "cache_control": CACHED}
    ]


def test_a_tool_result_may_be_an_error():
    assert content_of(ToolResult(id="toolu_1", content="Oops", is_error=True))[0]["is_error"] is True


def test_a_tool_result_may_hold_parts():
    parts = Text(text="See:"), Image(url="https://a.b/c.png"), Image(data=b"BM", media_type="image/bmp")
    request = ask(ToolResult(id="toolu_1", content=parts))
    (block,) = body_of(request)["messages"][0]["content"]
    assert [part["type"] for part in block["content"]] == ["text", "image"]
    assert warnings_of(request) == ["messages[0].content[0].content[2]"]


def test_a_tool_call_is_an_object():
    call = ToolCall(id="toolu_1", name="add", arguments='{"a": 1.0}')
    assert content_of(call, role="assistant") == [
        {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1.0}}
    ]


def test_arguments_go_back_number_for_number():
    call = ToolCall(id="toolu_1", name="f", arguments='{"n": 123456789012345678901234567890, "x": 1.10}')
    assert call.arguments.encode() in anthropic.encode(ask(call, role="assistant"), TARGET).body


def test_no_arguments_are_an_empty_object():
    assert content_of(ToolCall(id="toolu_1", name="now"), role="assistant")[0]["input"] == {}


def test_the_ids_of_other_providers_are_made_to_fit():
    call, result = ToolCall(id="functions.f:0", name="f"), ToolResult(id="functions.f:0")
    turns = body_of(Request(messages=(Message("assistant", (call,)), Message("tool", (result,)))))["messages"]
    ids = turns[0]["content"][0]["id"], turns[1]["content"][0]["tool_use_id"]
    assert ids == ("functions_f_0", "functions_f_0")


@pytest.mark.parametrize("arguments", ["{", "[]", "1", '"\ud800"'])
def test_arguments_that_are_no_object_cannot_be_sent(arguments):
    call = ToolCall(id="toolu_1", name="f", arguments=arguments)
    with pytest.raises(LocalError, match=r"messages\[0\]\.content\[0\]: the arguments of tool call 'toolu_1' \(f\)"):
        anthropic.encode(ask(call, role="assistant"), TARGET)


def test_text_that_is_no_unicode_cannot_be_sent():
    with pytest.raises(LocalError, match="cannot be written as JSON"):
        anthropic.encode(ask(Text(text="\ud800")), TARGET)


# What goes back


def turn_of(*events: Any) -> list[dict[str, Any]]:
    """The assistant's turn that a stream of these events becomes in the next request."""
    turn = Fold([Start("msg_1", "claude"), *events, Finish("stop")]).message
    (sent,) = body_of(Request(messages=(turn,)))["messages"]
    return sent["content"]


def test_a_signature_goes_back_with_its_thinking():
    assert turn_of(ReasoningDelta(0, "Hm"), BlockEnd(0, SIGNED)) == [
        {"type": "thinking", "thinking": "Hm", "signature": "c2ln"}
    ]


def test_thinking_that_was_not_shown_goes_back():
    assert turn_of(ReasoningDelta(0, ""), BlockEnd(0, SIGNED)) == [
        {"type": "thinking", "thinking": "", "signature": "c2ln"}
    ]


@pytest.mark.parametrize(
    "opaque", [None, '{"encrypted_content":"x"}', '{"signature":null}', '{"signature":5}', "[]", "{"]
)
def test_the_reasoning_of_others_is_left_out(opaque):
    request = ask(ReasoningPart(text="Hm", opaque=opaque), Text(text="Hi"), role="assistant")
    assert body_of(request)["messages"][0]["content"] == [{"type": "text", "text": "Hi"}]
    assert warnings_of(request) == ["messages[0].content[0]"]


def test_thinking_cannot_be_cached():
    request = ask(ReasoningPart(text="Hm", opaque=SIGNED, cache=True), role="assistant")
    assert "cache_control" not in body_of(request)["messages"][0]["content"][0]
    assert warnings_of(request) == ["messages[0].content[0].cache"]


def test_who_called_a_tool_goes_back():
    opaque = '{"caller":{"type": "direct"},"toolset_name":"browser","id":"not ours"}'
    assert turn_of(ToolCallStart(0, "toolu_1", "f"), ToolCallDelta(0, '{"x":1}'), BlockEnd(0, opaque)) == [
        {
            "type": "tool_use",
            "id": "toolu_1",
            "name": "f",
            "input": {"x": 1},
            "caller": {"type": "direct"},
            "toolset_name": "browser",
        }
    ]


def test_what_others_attach_to_a_tool_call_is_left_out():
    call = ToolCall(id="toolu_1", name="f", opaque='{"thoughtSignature":"x"}')
    assert content_of(call, role="assistant")[0].keys() == {"type", "id", "name", "input"}


def test_citations_go_back_with_their_text():
    citation = {"type": "char_location", "cited_text": "is blue", "document_index": 0, "file_id": None}
    assert turn_of(Citation(0, raw=json.dumps(citation)), TextDelta(0, "Blue."), BlockEnd(0)) == [
        {"type": "text", "text": "Blue.", "citations": [citation]}
    ]


@pytest.mark.parametrize("citation", ['{"type":"url_citation","url":"https://a.b"}', "{}", "{", "5", '"\ud800"'])
def test_the_citations_of_others_are_left_out(citation):
    request = ask(Text(text="Hi", citations=(citation,)), role="assistant")
    assert body_of(request)["messages"][0]["content"] == [{"type": "text", "text": "Hi"}]
    assert warnings_of(request) == ["messages[0].content[0].citations[0]"]


def test_the_new_version_refuses_the_citations_of_the_user():
    request = ask(Text(text="Hi", citations=('{"type":"char_location"}',)))
    assert body_of(request)["messages"][0]["content"] == [{"type": "text", "text": "Hi"}]
    assert warnings_of(request) == ["messages[0].content[0].citations"]


def test_the_old_version_takes_the_citations_of_the_user():
    text = Text(text="Hi", citations=('{"type":"char_location"}',))
    assert content_of(text, target=OLD)[0]["citations"] == [{"type": "char_location"}]


def test_an_extension_goes_back_as_it_came():
    raw = '{"type":"redacted_thinking","data":"abc","n":1.10}'
    request = ask(ExtensionPart(name="anthropic:redacted_thinking", raw=raw), role="assistant")
    assert raw.encode() in anthropic.encode(request, TARGET).body


def test_a_block_comes_back_from_its_stream():
    raw = '{"type":"compaction","content":"Before"}'
    assert turn_of(Extension("anthropic:compaction", raw, 0), BlockEnd(0)) == [json.loads(raw)]


def test_an_extension_may_be_cached():
    part = ExtensionPart(name="anthropic:web_search_tool_result", raw='{"type":"web_search_tool_result"}', cache=True)
    assert content_of(part, role="assistant") == [{"type": "web_search_tool_result", "cache_control": CACHED}]


def test_the_user_may_send_an_extension():
    part = ExtensionPart(name="anthropic:container_upload", raw='{"type":"container_upload","file_id":"file_1"}')
    assert content_of(part) == [{"type": "container_upload", "file_id": "file_1"}]


def test_the_extensions_of_others_are_left_out():
    request = ask(ExtensionPart(name="gemini:part", raw="{}"), Text(text="Hi"), role="assistant")
    assert len(body_of(request)["messages"][0]["content"]) == 1
    assert warnings_of(request) == ["messages[0].content[0]"]


@pytest.mark.parametrize("raw", ["", "[]", "{", '{"a":"\ud800"}'])
def test_an_extension_that_is_no_object_cannot_be_sent(raw):
    part = ExtensionPart(name="anthropic:fallback", raw=raw)
    with pytest.raises(LocalError, match=r"messages\[0\]\.content\[0\]: the raw text of anthropic:fallback"):
        anthropic.encode(ask(part, role="assistant"), TARGET)
