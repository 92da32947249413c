"""What the adapter `gemini` writes for every kind of request."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from streamcore.errors import LocalError
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
from streamcore_adapters import gemini

TARGET = Target(gemini.url, "gemini-2.5-flash")
NEW = Target(gemini.url, "gemini-3-pro-preview")
HI = Message("user", "Hi")
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def encoded(*messages: Message, target: Target = TARGET, **fields: Any) -> Any:
    return gemini.encode(Request(messages=messages or (HI,), **fields), target)


def body(*messages: Message, target: Target = TARGET, **fields: Any) -> Any:
    """What is sent, after asserting that nothing is left out."""
    http = encoded(*messages, target=target, **fields)
    assert http.warnings == ()
    return json.loads(http.body)


def contents(*messages: Message, target: Target = TARGET) -> Any:
    return body(*messages, target=target)["contents"]


def parts(*content: Any, role: str = "user", target: Target = TARGET) -> Any:
    return contents(Message(role, content), target=target)[0]["parts"]


def warned(*messages: Message, target: Target = TARGET, **fields: Any) -> tuple[Any, list[RequestWarning]]:
    http = encoded(*messages, target=target, **fields)
    return json.loads(http.body), list(http.warnings)


# The HTTP request


def test_the_model_is_in_the_address():
    http = encoded()
    url = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    assert (http.method, http.url) == ("POST", url)


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("gemini 2?", "models/gemini%202%3F"),
        ("gemini@001", "models/gemini%40001"),
        ("models/gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("tunedModels/mine é", "tunedModels/mine%20%C3%A9"),
    ],
)
def test_the_name_of_the_model_is_percent_encoded(model, path):
    assert encoded(model=model).url == f"{gemini.url}/{path}:streamGenerateContent?alt=sse"


@pytest.mark.parametrize("model", ["../secret", "models/", "models/../x", "a/./b", "/x"])
def test_a_model_that_would_leave_its_place_is_refused(model):
    with pytest.raises(LocalError, match="is not the name of a model"):
        encoded(model=model)


def test_vertex_ai_is_an_address_and_a_header():
    url = "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google"
    http = encoded(target=Target(url, "gemini-2.5-pro", headers={"Authorization": "Bearer t"}))
    assert http.url == f"{url}/models/gemini-2.5-pro:streamGenerateContent?alt=sse"
    assert http.headers["authorization"] == "Bearer t"
    assert "x-goog-api-key" not in http.headers


def test_the_key_is_in_its_header_alone():
    http = encoded(target=Target(gemini.url, "m", Secret("hidden")))
    assert http.headers["x-goog-api-key"] == "hidden"
    assert "hidden" not in http.url
    assert "hidden" not in repr(http)
    assert b"hidden" not in http.body


# Parameters


def test_a_prompt_is_all_there_is():
    assert json.loads(gemini.encode(prompt("Hi", system="Be brief", max_tokens=5), TARGET).body) == {
        "systemInstruction": {"parts": [{"text": "Be brief"}]},
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "generationConfig": {"maxOutputTokens": 5},
    }


@pytest.mark.parametrize(
    ("fields", "config"),
    [
        ({"max_tokens": 5}, {"maxOutputTokens": 5}),
        ({"temperature": 0.0}, {"temperature": 0.0}),
        ({"top_p": 0.5}, {"topP": 0.5}),
        ({"top_k": 3}, {"topK": 3}),
        ({"presence_penalty": 0.1}, {"presencePenalty": 0.1}),
        ({"frequency_penalty": 0.1}, {"frequencyPenalty": 0.1}),
        ({"stop": ("a", "b")}, {"stopSequences": ["a", "b"]}),
        ({"seed": 7}, {"seed": 7}),
        ({"output": "json"}, {"responseMimeType": "application/json"}),
        ({"output": Schema(SCHEMA)}, {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}),
        ({"reasoning": Reasoning(budget_tokens=512)}, {"thinkingConfig": {"thinkingBudget": 512}}),
        ({"reasoning": Reasoning(summary=True)}, {"thinkingConfig": {"includeThoughts": True}}),
        ({"reasoning": Reasoning(effort="none")}, {"thinkingConfig": {"thinkingBudget": 0}}),
        ({"reasoning": Reasoning(effort="minimal")}, {"thinkingConfig": {"thinkingBudget": 1024}}),
        ({"reasoning": Reasoning(effort="low")}, {"thinkingConfig": {"thinkingBudget": 1024}}),
        ({"reasoning": Reasoning(effort="medium")}, {"thinkingConfig": {"thinkingBudget": 8192}}),
        ({"reasoning": Reasoning(effort="high")}, {"thinkingConfig": {"thinkingBudget": 24576}}),
        ({"reasoning": Reasoning()}, None),
        ({"parallel_tool_calls": True}, None),
    ],
)
def test_parameters_have_their_fields(fields, config):
    assert body(**fields).get("generationConfig") == config


@pytest.mark.parametrize("model", ["gemini-3-pro-preview", "gemini-10-flash", "gemini-flash-latest", "gemma-4"])
@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high", "xhigh"])
def test_effort_is_a_level_since_gemini_3(model, effort):
    config = body(model=model, reasoning=Reasoning(effort=effort, summary=False))["generationConfig"]
    assert config == {"thinkingConfig": {"thinkingLevel": effort.upper(), "includeThoughts": False}}


@pytest.mark.parametrize(
    ("target", "effort", "config"),
    [
        (NEW, "none", {"thinkingLevel": "MINIMAL"}),
        (NEW, "max", {"thinkingLevel": "XHIGH"}),
        (TARGET, "xhigh", {"thinkingBudget": 24576}),
        (TARGET, "max", {"thinkingBudget": 24576}),
    ],
)
def test_an_effort_without_a_level_is_the_nearest(target, effort, config):
    sent, warnings = warned(target=target, reasoning=Reasoning(effort=effort))
    assert sent["generationConfig"]["thinkingConfig"] == config
    assert [warning.field for warning in warnings] == ["reasoning.effort"]


def test_a_budget_goes_before_an_effort():
    sent, warnings = warned(target=NEW, reasoning=Reasoning(effort="low", budget_tokens=9))
    assert sent["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 9}
    assert warnings == [RequestWarning("reasoning.effort", "the budget is sent instead: Google takes one of the two")]


@pytest.mark.parametrize("field", ["user", "cache_key"])
def test_what_has_no_field_is_warned_of(field):
    sent, warnings = warned(**{field: "x"})
    assert sent == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    assert [warning.field for warning in warnings] == [field]


def test_parallel_calls_cannot_be_forbidden():
    assert [warning.field for warning in warned(parallel_tool_calls=False)[1]] == ["parallel_tool_calls"]


def test_a_schema_has_no_description():
    assert [one.field for one in warned(output=Schema(SCHEMA, description="d"))[1]] == ["output.description"]


def test_metadata_are_labels():
    assert body(metadata={"team": "x"})["labels"] == {"team": "x"}


def test_extra_goes_last():
    extra = {"safetySettings": [], "contents": []}
    assert body(extra=extra) == {"safetySettings": [], "contents": []}


def test_extra_adds_to_the_two_configurations():
    extra = {"generationConfig": {"topK": 9, "responseModalities": ["IMAGE"]}, "toolConfig": {"retrievalConfig": {}}}
    sent = body(max_tokens=5, top_k=1, tool_choice="none", extra=extra)
    assert sent["generationConfig"] == {"maxOutputTokens": 5, "topK": 9, "responseModalities": ["IMAGE"]}
    assert sent["toolConfig"] == {"functionCallingConfig": {"mode": "NONE"}, "retrievalConfig": {}}


def test_extra_may_be_the_whole_configuration():
    extra = {"generationConfig": {"topK": 9}, "toolConfig": None}
    assert body(tool_choice="none", extra=extra) | {"contents": 0} == extra | {"contents": 0}


def test_what_is_no_json_is_refused():
    with pytest.raises(LocalError, match="cannot be written as JSON"):
        encoded(temperature=float("nan"))


# Tools


def test_tools_are_declarations():
    tools = (Tool("f", "Does f", SCHEMA), Tool("g"))
    declared = [{"name": "f", "description": "Does f", "parametersJsonSchema": SCHEMA}, {"name": "g"}]
    assert body(tools=tools)["tools"] == [{"functionDeclarations": declared}]


def test_a_tool_cannot_be_cached():
    assert [one.field for one in warned(tools=(Tool("f"), Tool("g", cache=True)))[1]] == ["tools[1].cache"]


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (ToolChoice("f"), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    ],
)
def test_the_choice_is_a_mode(choice, calling):
    sent = body(tools=(Tool("f"),), tool_choice=choice)
    assert sent["toolConfig"] == {"functionCallingConfig": calling}


@pytest.mark.parametrize(("choice", "mode"), [(None, "VALIDATED"), ("auto", "VALIDATED"), ("required", "ANY")])
def test_strict_tools_are_validated(choice, mode):
    sent = body(tools=(Tool("f"), Tool("g", strict=True)), tool_choice=choice)
    assert sent["toolConfig"] == {"functionCallingConfig": {"mode": mode}}


@pytest.mark.parametrize("strict", [None, False])
def test_tools_alone_need_no_choice(strict):
    assert "toolConfig" not in body(tools=(Tool("f", strict=strict),))


# Messages


def test_roles_are_user_and_model():
    assert contents(HI, Message("assistant", "Yes?"), HI) == [
        {"role": "user", "parts": [{"text": "Hi"}]},
        {"role": "model", "parts": [{"text": "Yes?"}]},
        {"role": "user", "parts": [{"text": "Hi"}]},
    ]


def test_system_messages_are_one_instruction():
    sent = body(Message("system", "a"), Message("system", (Text(text="b"), Text(text="c"))), HI)
    assert sent["systemInstruction"] == {"parts": [{"text": "a"}, {"text": "b"}, {"text": "c"}]}


def test_a_late_system_message_is_sent_as_an_early_one():
    sent, warnings = warned(HI, Message("system", "a"))
    assert sent["systemInstruction"] == {"parts": [{"text": "a"}]}
    assert warnings == [RequestWarning("messages[1]", "sent as if it stood before the conversation")]


def test_the_system_has_no_pictures():
    sent, warnings = warned(Message("system", (Image(url="u"),)), HI)
    assert "systemInstruction" not in sent
    assert [warning.field for warning in warnings] == ["messages[0].content[0]"]


@pytest.mark.parametrize("messages", [(), (Message("system", "a"),), (Message("user", ""),)])
def test_there_must_be_something_to_send(messages):
    with pytest.raises(LocalError, match="there is no message to send"):
        gemini.encode(Request(messages=messages), TARGET)


def test_an_empty_message_is_left_out():
    sent, warnings = warned(HI, Message("assistant", ""), Message("assistant", (Text(text=""),)))
    assert len(sent["contents"]) == 1
    assert [warning.field for warning in warnings] == ["messages[1]", "messages[2]"]


def test_caching_cannot_be_asked_for():
    sent, warnings = warned(Message("user", (Text(text="a", cache=True),)))
    assert sent["contents"][0]["parts"] == [{"text": "a"}]
    assert [warning.field for warning in warnings] == ["messages[0].content[0].cache"]


# Parts

DATA = base64.b64encode(b"\x89PNG").decode()


@pytest.mark.parametrize(
    ("part", "written"),
    [
        (Image(data=b"\x89PNG", media_type="image/png"), {"inlineData": {"mimeType": "image/png", "data": DATA}}),
        (Image(url=f"data:image/png;base64,{DATA}"), {"inlineData": {"mimeType": "image/png", "data": DATA}}),
        (
            Image(url="data:text/plain;charset=x;base64,YQ=="),
            {"inlineData": {"mimeType": "text/plain", "data": "YQ=="}},
        ),
        (Image(url="https://e.org/a.png"), {"fileData": {"fileUri": "https://e.org/a.png"}}),
        (Image(url="gs://b/a", media_type="image/png"), {"fileData": {"mimeType": "image/png", "fileUri": "gs://b/a"}}),
        (File(data=b"\x89PNG", media_type="a/b"), {"inlineData": {"mimeType": "a/b", "data": DATA}}),
        (File(url="gs://b/a", media_type="a/b"), {"fileData": {"mimeType": "a/b", "fileUri": "gs://b/a"}}),
        (File(id="files/1"), {"fileData": {"fileUri": "files/1"}}),
        (
            Image(url="u", detail="MEDIA_RESOLUTION_HIGH"),
            {"fileData": {"fileUri": "u"}, "mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"}},
        ),
    ],
)
def test_media_are_sent_by_value_or_by_address(part, written):
    assert parts(part) == [written]


def test_bytes_need_a_type():
    with pytest.raises(LocalError, match=r"^messages\[0\]\.content\[0\]: Google wants the media type"):
        encoded(Message("user", (File(data=b"x"),)))


@pytest.mark.parametrize("part", [Image(), File()])
def test_media_need_bytes_or_an_address(part):
    with pytest.raises(LocalError, match=r"^messages\[0\]\.content\[0\]: there are neither bytes nor an address"):
        encoded(Message("user", (part,)))


@pytest.mark.parametrize(
    ("part", "field"), [(Image(url="u", detail="low"), "detail"), (File(id="1", name="n"), "name")]
)
def test_what_media_lose_is_warned_of(part, field):
    sent, warnings = warned(Message("user", (part,)))
    assert list(sent["contents"][0]["parts"][0]) == ["fileData"]
    assert [warning.field for warning in warnings] == [f"messages[0].content[0].{field}"]


def test_reasoning_is_a_thought():
    part = ReasoningPart(text="a", opaque='{"thoughtSignature":"s"}')
    assert parts(part, role="assistant") == [{"text": "a", "thought": True, "thoughtSignature": "s"}]


def test_unsigned_reasoning_is_a_thought():
    assert parts(ReasoningPart(text="a"), role="assistant") == [{"text": "a", "thought": True}]


@pytest.mark.parametrize("opaque", ['{"signature":"s"}', '{"id":"rs_1"}', "nonsense"])
def test_reasoning_that_another_has_signed_is_left_out(opaque):
    content = (ReasoningPart(text="a", opaque=opaque), Text(text="b", opaque=opaque))
    sent, warnings = warned(Message("assistant", content))
    assert sent["contents"][0]["parts"] == [{"text": "b"}]
    assert [warning.field for warning in warnings] == ["messages[0].content[0]"]


def test_a_refusal_is_text():
    sent, warnings = warned(Message("assistant", (RefusalPart(text="No"),)))
    assert sent["contents"][0]["parts"] == [{"text": "No"}]
    assert warnings == [RequestWarning("messages[0].content[0]", "a refusal is sent as plain text")]


def test_an_empty_text_is_sent_for_its_signature():
    assert parts(Text(text="", opaque='{"thoughtSignature":"s"}'), role="assistant") == [
        {"text": "", "thoughtSignature": "s"}
    ]


@pytest.mark.parametrize("raw", ['{"segment": {}, "groundingChunkIndices": []}', '{"startIndex": 1, "endIndex": 2}'])
def test_its_own_sources_are_not_missed(raw):
    assert parts(Text(text="a", citations=(raw,)), role="assistant") == [{"text": "a"}]


@pytest.mark.parametrize("raw", ['{"type": "char_location", "cited_text": "x"}', "nonsense"])
def test_the_sources_of_others_are_missed(raw):
    warnings = warned(Message("assistant", (Text(text="a", citations=(raw,)),)))[1]
    assert warnings == [RequestWarning("messages[0].content[0].citations", "left out: there is no place for sources")]


def test_a_thought_image_is_one_again():
    opaque = '{"thoughtSignature":"s","thought":true}'
    (part,) = parts(Image(data=b"a", media_type="image/png", opaque=opaque), role="assistant")
    assert (part["thought"], part["thoughtSignature"]) == (True, "s")


def test_a_part_that_only_google_understands_goes_back_word_for_word():
    raw = '{"executableCode": {"code": "1"},  "thoughtSignature": "s"}'
    http = encoded(Message("assistant", (ExtensionPart(name="gemini:executable_code", raw=raw),)))
    assert raw.encode() in http.body


def test_a_part_that_only_another_understands_is_left_out():
    sent, warnings = warned(HI, Message("assistant", (ExtensionPart(name="anthropic:x", raw="{}"), Text(text="a"))))
    assert sent["contents"][1]["parts"] == [{"text": "a"}]
    assert warnings == [
        RequestWarning("messages[1].content[0]", "left out: only its own provider understands anthropic:x")
    ]


@pytest.mark.parametrize("raw", ["", "[1]", "{", '{"a": 1}, {}'])
def test_an_extension_that_is_no_object_is_refused(raw):
    with pytest.raises(LocalError, match=r"^messages\[0\]\.content\[0\]: gemini:x is not a JSON object"):
        encoded(Message("assistant", (ExtensionPart(name="gemini:x", raw=raw),)))


# Calls and their results


def call(id: str = "1", name: str = "f", **fields: Any) -> ToolCall:
    return ToolCall(id=id, name=name, **fields)


def result(id: str = "1", content: Any = "42", **fields: Any) -> Message:
    return Message("tool", (ToolResult(id=id, content=content, **fields),))


def answered(content: Any, target: Target = TARGET, **fields: Any) -> Any:
    """The parts that a result becomes."""
    messages = (Message("assistant", (call(opaque='{"thoughtSignature":"s"}'),)), result(content=content, **fields))
    return contents(*messages, target=target)[1]["parts"]


def test_a_call_has_its_arguments_as_they_are():
    http = encoded(Message("assistant", (call(arguments='{"x" : 1.0}'),)))
    assert b'{"functionCall":{"id":"1","name":"f","args":{"x" : 1.0}}}' in http.body


def test_a_call_without_arguments_has_an_empty_object():
    assert parts(call(), role="assistant") == [{"functionCall": {"id": "1", "name": "f", "args": {}}}]


def test_a_call_has_its_signature():
    part = call(opaque='{"thoughtSignature":"s"}')
    assert parts(part, role="assistant")[0]["thoughtSignature"] == "s"


def test_an_id_that_was_made_up_is_not_sent():
    sent = contents(Message("assistant", (call(opaque='{"id":null}'),)), result())
    assert sent[0]["parts"] == [{"functionCall": {"name": "f", "args": {}}}]
    assert sent[1]["parts"] == [{"functionResponse": {"name": "f", "response": {"output": "42"}}}]


def test_arguments_must_be_an_object():
    with pytest.raises(LocalError, match="the arguments of tool call '1' .f. are not a JSON object"):
        encoded(Message("assistant", (call(arguments="[1]"),)))


def test_a_result_has_the_name_of_its_call():
    assert answered("42") == [{"functionResponse": {"id": "1", "name": "f", "response": {"output": "42"}}}]


def test_an_error_is_one():
    assert answered("no", is_error=True)[0]["functionResponse"]["response"] == {"error": "no"}


def test_a_result_belongs_to_the_last_call_of_its_id():
    first, second = (Message("assistant", (call(name=name),)) for name in "fg")
    sent = contents(first, result(), second, result())
    assert [sent[place]["parts"][0]["functionResponse"]["name"] for place in (1, 3)] == ["f", "g"]


def test_results_of_one_turn_are_one_turn():
    calls = Message("assistant", (call("1"), call("2", "g")))
    sent = contents(calls, result("1"), result("2"), HI, result("1"))
    assert [len(turn["parts"]) for turn in sent] == [2, 2, 1, 1]
    assert [turn["role"] for turn in sent] == ["model", "user", "user", "user"]


def test_a_result_may_name_its_tool_itself():
    assert contents(result(name="f"))[0]["parts"][0]["functionResponse"]["name"] == "f"


def test_a_result_of_an_unknown_tool_is_refused():
    with pytest.raises(LocalError, match=r"^messages\[0\]\.content\[0\]: .* no call before has the id '1'"):
        encoded(result())


def test_images_stand_within_a_result_since_gemini_3():
    content = (Text(text="a"), Image(data=b"\x89PNG", media_type="image/png"), Text(text="b"))
    assert answered(content, NEW) == [
        {
            "functionResponse": {
                "id": "1",
                "name": "f",
                "response": {"output": "a\nb"},
                "parts": [{"inlineData": {"mimeType": "image/png", "data": DATA}}],
            }
        }
    ]


def test_images_stand_after_a_result_before_gemini_3():
    content = (Text(text="a"), Image(data=b"\x89PNG", media_type="image/png"))
    assert answered(content) == [
        {"functionResponse": {"id": "1", "name": "f", "response": {"output": "a"}}},
        {"inlineData": {"mimeType": "image/png", "data": DATA}},
    ]


def test_a_call_without_signature_is_marked_for_gemini_3():
    calls = Message("assistant", (call("1"), call("2"), Text(text="a"), call("3")))
    sent, warnings = warned(calls, target=NEW)
    signatures = [part.get("thoughtSignature") for part in sent["contents"][0]["parts"]]
    assert signatures == ["skip_thought_signature_validator", None, None, "skip_thought_signature_validator"]
    assert {warning.field for warning in warnings} == {"messages[0]"}


def test_one_signature_is_enough_for_calls_in_a_row():
    calls = (call("1", opaque='{"thoughtSignature":"s"}'), call("2"))
    signed = [part.get("thoughtSignature") for part in parts(*calls, role="assistant", target=NEW)]
    assert signed == ["s", None]


def test_other_parts_need_no_mark():
    raw = '{"toolCall": {"id": "1"}}'
    extension = ExtensionPart(name="gemini:tool_call", raw=raw)
    assert parts(extension, Text(text="a"), role="assistant", target=NEW) == [json.loads(raw), {"text": "a"}]
