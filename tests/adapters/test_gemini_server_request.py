"""Gemini's format as we serve it: what we read in the requests of its clients."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from streamcore.dialect import Call
from streamcore.errors import LocalError
from streamcore.request import (
    ExtensionPart,
    File,
    Image,
    Message,
    Reasoning,
    ReasoningPart,
    Request,
    Schema,
    Target,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from streamcore_adapters import gemini
from streamcore_adapters.gemini import server as dialect

MATCHED = {"version": "v1beta", "model": "gemini-3-pro", "method": "streamGenerateContent"}
SIGNED = '{"thoughtSignature":"c2lnbmVk"}'
JSON_OBJECT = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5), max_size=2)


def ask(body, **matched):
    """The request in a body, given as Python objects or as bytes."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return dialect.parse(body, {**MATCHED, **matched}).request


def turn(*parts, role="user"):
    return {"contents": [{"role": role, "parts": list(parts)}]}


def asked(**fields):
    return ask({**turn({"text": "hi"}), **fields})


def part(*parts, **matched):
    """The one part of a message of these, as it was read."""
    [message] = ask(turn(*parts), **matched).messages
    return message.parts[-1]


TOOL = Tool("f", "does", {"type": "object", "properties": {"x": {"type": "integer"}}})
OPAQUE = st.sampled_from([None, SIGNED])
WORDS = st.text(min_size=1, max_size=5)
IMAGES = st.builds(Image, data=st.binary(max_size=3), media_type=st.just("image/png"), opaque=OPAQUE) | st.builds(
    Image, url=st.just("https://a/b.png"), detail=st.sampled_from([None, "MEDIA_RESOLUTION_LOW"])
)
FILES = st.builds(File, data=st.binary(max_size=3), media_type=st.just("application/pdf")) | st.builds(
    File, url=st.just("gs://a/b"), media_type=st.sampled_from([None, "video/mp4"])
)
TEXTS = st.builds(Text, text=WORDS, opaque=OPAQUE)
SPOKEN = st.one_of(
    TEXTS,
    st.builds(ReasoningPart, text=WORDS, opaque=OPAQUE),
    st.just(Text(text="", opaque=SIGNED)),
    st.just(ExtensionPart(name="gemini:executable_code", raw='{"executableCode": {"code": "1"}}')),
    st.just(Image(data=b"1", media_type="image/png", opaque='{"thoughtSignature":"c2ln","thought":true}')),
)
RESULTS = st.one_of(
    WORDS, st.tuples(IMAGES.filter(lambda image: image.opaque is None)), st.tuples(st.builds(Text, text=WORDS), FILES)
)


@st.composite
def conversations(draw):
    messages = [Message("system", draw(st.lists(TEXTS, min_size=1, max_size=2).map(tuple)))]
    for number in range(draw(st.integers(1, 3))):
        messages.append(Message("user", draw(st.lists(TEXTS | IMAGES | FILES, min_size=1, max_size=2).map(tuple))))
        names = draw(st.lists(st.sampled_from("fg"), max_size=3))
        opaque = draw(st.sampled_from([SIGNED, '{"thoughtSignature":"c2ln","id":null}']))
        calls = tuple(
            ToolCall(id=f"c{number}_{place}", name=name, arguments=draw(JSON_OBJECT.map(json.dumps)), opaque=opaque)
            for place, name in enumerate(names)
        )
        messages.append(Message("assistant", (*draw(st.lists(SPOKEN, min_size=1, max_size=3)), *calls)))
        if calls:
            is_error = draw(st.booleans())
            results = (ToolResult(id=c.id, name=c.name, content=draw(RESULTS), is_error=is_error) for c in calls)
            messages.append(Message("tool", tuple(results)))
    return tuple(messages)


def maybe(strategy):
    return st.none() | strategy


REQUESTS = st.builds(
    Request,
    messages=conversations(),
    model=st.sampled_from(["gemini-3-pro", "gemini-2.5-flash"]),
    tools=st.sampled_from([(), (TOOL,), (structs.replace(TOOL, strict=True), Tool("g", strict=True))]),
    tool_choice=st.sampled_from([None, "auto", "none", "required", ToolChoice("f")]),
    output=st.sampled_from([None, "json", Schema({"type": "object"})]),
    reasoning=maybe(
        st.builds(
            Reasoning,
            effort=st.sampled_from([None, "minimal", "low", "medium", "high", "xhigh"]),
            summary=maybe(st.booleans()),
        )
        | st.builds(Reasoning, budget_tokens=st.integers(0, 99), summary=maybe(st.booleans()))
    ),
    max_tokens=maybe(st.integers(1, 99)),
    temperature=maybe(st.floats(0, 2)),
    top_p=maybe(st.floats(0, 1)),
    top_k=maybe(st.integers(1, 9)),
    presence_penalty=maybe(st.floats(-2, 2)),
    frequency_penalty=maybe(st.floats(-2, 2)),
    stop=st.sampled_from([(), ("a", "b")]),
    seed=maybe(st.integers(0, 9)),
    metadata=maybe(st.just({"team": "a"})),
    extra=st.sampled_from([None, {"safetySettings": [{"category": "x"}], "generationConfig": {"candidateCount": 2}}]),
)


def as_sent(request):
    """The request as far as Google's words say it: what is plain, strict, named, or made up here."""
    calls = {}  # the new id of each call
    messages = []
    for message in request.messages:
        parts = []
        for one in message.parts:
            if isinstance(one, ToolCall):
                calls[one.id] = one.id if "null" not in one.opaque else f"made-up-{len(calls)}"
            has_id = isinstance(one, ToolCall | ToolResult)
            parts.append(structs.replace(one, id=calls[one.id]) if has_id else one)
        messages.append(Message(message.role, tuple(parts)))
    strict = request.tool_choice in (None, "auto") and any(tool.strict for tool in request.tools)
    reasoning = request.reasoning
    if reasoning is not None and reasoning.effort is not None and request.model == "gemini-2.5-flash":
        budgets = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576}
        reasoning = Reasoning(budget_tokens=budgets[reasoning.effort], summary=reasoning.summary)
    return structs.replace(
        request,
        messages=tuple(messages),
        tools=tuple(structs.replace(tool, strict=strict or None) for tool in request.tools),
        tool_choice=None if strict else request.tool_choice,
        reasoning=None if reasoning == Reasoning() else reasoning,
    )


@given(REQUESTS)
def test_a_request_reads_back_as_it_was_written(request):
    sent = gemini.encode(request, Target(gemini.url, ""))
    call = dialect.parse(sent.body, {**MATCHED, "model": request.model})
    assert call == Call(request=call.request, stream=True)
    assert as_sent(call.request) == as_sent(request)


@pytest.mark.parametrize(("method", "stream"), [("streamGenerateContent", True), ("generateContent", False)])
def test_the_method_says_how_to_answer(method, stream):
    body = json.dumps(turn({"text": "hi"})).encode()
    assert dialect.parse(body, {**MATCHED, "method": method}).stream is stream


def test_without_a_method_there_is_a_stream():
    assert dialect.parse(json.dumps(turn({"text": "hi"})).encode(), {"model": "m"}).stream


def test_the_model_is_that_of_the_address():
    assert asked(model="models/other").model == "gemini-3-pro"
    assert asked(model="models/other").extra is None


def test_names_in_snake_case_and_lists_without_brackets_are_taken():
    request = ask(
        {
            "system_instruction": {"parts": {"text": "be brief"}},
            "contents": {"parts": [{"inline_data": {"mime_type": "image/png", "data": "iVBORw=="}}, {"text": "hi"}]},
            "tools": {"function_declarations": {"name": "f", "parameters": {"type": "OBJECT", "max_properties": "3"}}},
            "generation_config": {"max_output_tokens": 3, "stop_sequences": ["a"]},
            "safety_settings": [{"category": "x"}],
        }
    )
    assert request == Request(
        model="gemini-3-pro",
        messages=(
            Message("system", "be brief"),
            Message("user", (Image(data=b"\x89PNG", media_type="image/png"), Text(text="hi"))),
        ),
        tools=(Tool("f", "", {"type": "object", "maxProperties": 3}),),
        max_tokens=3,
        stop=("a",),
        extra={"safetySettings": [{"category": "x"}]},
    )


def test_names_that_the_client_gave_stay_in_snake_case():
    body = turn({"function_call": {"name": "f", "args": {"x_y": {"a_b": 1}}}}, role="model")
    [message] = ask(body).messages
    assert message.parts[0].arguments == '{"x_y": {"a_b": 1}}'


def test_arguments_are_as_they_were_sent():
    body = b'{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","id":"c","args":{"x": 1.50}}}]}]}'
    assert ask(body).messages[0].parts == (ToolCall(id="c", name="f", arguments='{"x": 1.50}'),)


def test_a_result_without_an_id_belongs_to_the_first_call_of_its_name():
    call, result = {"functionCall": {"name": "f"}}, {"functionResponse": {"name": "f", "response": {"output": "1"}}}
    turns = [{"role": "model", "parts": [call, call]}, {"role": "function", "parts": [result, result]}]
    calls, results = ask({"contents": turns}).messages
    assert [part.id for part in calls.parts] == [part.id for part in results.parts] == ["call_0_0", "call_0_1"]
    assert {part.opaque for part in calls.parts} == {'{"id":null}'}


def test_results_stand_in_a_message_of_their_own():
    call = {"functionCall": {"name": "f", "id": "c"}}
    result = {"functionResponse": {"name": "f", "id": "c", "response": {"output": "1"}}}
    turns = [{"role": "model", "parts": [call]}, {"role": "user", "parts": [{"text": "a"}, result, {"text": "b"}]}]
    assert [message.role for message in ask({"contents": turns}).messages] == ["assistant", "user", "tool", "user"]


@pytest.mark.parametrize("words", [(), (Text(text="1"),)])
def test_before_gemini_3_an_image_after_a_result_belongs_to_it(words):
    response = {"response": {"output": words[0].text}} if words else {}
    image = {"inlineData": {"mimeType": "image/png", "data": ""}}
    parts = [{"functionResponse": {"name": "f", "id": "c", **response}}, image]
    read = Image(data=b"", media_type="image/png")
    assert part(*parts, model="gemini-2.0-flash").content == (*words, read)
    assert [message.role for message in ask(turn(*parts)).messages] == ["tool", "user"]


@pytest.mark.parametrize(
    ("response", "content", "is_error"),
    [
        ({"output": "1"}, "1", False),
        ({"error": "no"}, "no", True),
        ({"output": {"x": 1}}, '{"x": 1}', False),
        ({"result": 5}, '{"result": 5}', False),
        ({"output": "1", "error": "2"}, '{"output": "1", "error": "2"}', False),
        ({}, "", False),
        (None, "", False),
    ],
)
def test_the_response_of_a_tool_is_its_output_or_all_of_it(response, content, is_error):
    result = part({"functionResponse": {"name": "f", "id": "c", "response": response}})
    assert (result.content, result.is_error) == (content, is_error)


def test_files_within_a_result_are_its_own():
    file = {"fileData": {"fileUri": "gs://a", "mimeType": "application/pdf", "displayName": "a.pdf"}}
    result = part({"functionResponse": {"name": "f", "id": "c", "parts": [file]}})
    assert result.content == (File(url="gs://a", media_type="application/pdf", name="a.pdf"),)


def test_an_address_without_a_type_is_an_image_if_it_ends_like_one():
    assert part({"fileData": {"fileUri": "https://a/b.JPG?x=1"}}) == Image(url="https://a/b.JPG?x=1")
    assert part({"fileData": {"fileUri": "https://a/?b.jpg"}}) == File(url="https://a/?b.jpg")


def test_bytes_may_be_in_the_alphabet_of_addresses():
    assert part({"inlineData": {"mimeType": "image/png", "data": "_-8"}}).data == b"\xff\xef"


def test_signatures_come_back_in_the_alphabet_in_which_they_went():
    assert part({"text": "", "thoughtSignature": "a-_b"}).opaque == '{"thoughtSignature":"a+/b"}'


@pytest.mark.parametrize(
    "signature", ["skip_thought_signature_validator", "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="]
)
def test_what_says_that_there_is_no_signature_is_none(signature):
    assert part({"functionCall": {"name": "f", "id": "c"}, "thoughtSignature": signature}).opaque is None


def test_a_video_keeps_its_metadata_as_an_extension():
    raw = '{"fileData": {"fileUri": "gs://a"}, "videoMetadata": {"fps": 2}}'
    body = f'{{"contents": {{"parts": [{raw}]}}}}'.encode()
    assert ask(body).messages[0].parts == (ExtensionPart(name="gemini:file_data", raw=raw),)


def test_an_empty_text_is_left_out():
    assert ask(turn({"text": ""}, {"text": "a"})).messages == (Message("user", "a"),)


def test_schemas_of_openapi_become_json_schema():
    openapi = {
        "type": "OBJECT",
        "nullable": True,
        "propertyOrdering": ["type"],
        "properties": {
            "type": {"type": "STRING", "nullable": True, "enum": ["a"], "minLength": "1"},
            "any_of": {"any_of": [{"type": "INTEGER"}, {"ref": "#/$defs/x"}], "nullable": True, "maxItems": 2},
        },
        "items": True,
        "defs": {"x": {"type": ["string"]}},
    }
    assert asked(tools=[{"functionDeclarations": [{"name": "f", "parameters": openapi}]}]).tools[0].parameters == {
        "type": ["object", "null"],
        "properties": {
            "type": {"type": ["string", "null"], "enum": ["a", None], "minLength": 1},
            "any_of": {"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/x"}, {"type": "null"}], "maxItems": 2},
        },
        "items": True,
        "$defs": {"x": {"type": ["string"]}},
    }


def test_tools_that_run_at_google_go_back_with_all_the_others():
    tools = [{"googleSearch": {}}, {"functionDeclarations": [{"name": "f"}]}]
    request = asked(tools=tools)
    assert (request.tools, request.extra) == ((Tool("f"),), {"tools": tools})


def test_what_only_google_knows_about_a_function_goes_back_as_well():
    tools = [{"functionDeclarations": [{"name": "f", "behavior": "BLOCKING"}]}]
    assert asked(tools=tools).extra == {"tools": tools}


@pytest.mark.parametrize(
    ("calling", "choice", "is_extra"),
    [
        (None, None, False),
        ({}, None, False),
        ({"mode": "auto"}, "auto", False),
        ({"mode": "NONE"}, "none", False),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, ToolChoice("f"), False),
        ({"mode": "ANY", "allowedFunctionNames": ["f", "g"]}, "required", True),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["f"]}, None, True),
        ({"mode": "AUTO", "streamFunctionCallArguments": True}, "auto", True),
    ],
)
def test_which_tools_may_be_called(calling, choice, is_extra):
    request = asked(toolConfig={"functionCallingConfig": calling})
    assert request.tool_choice == choice
    assert request.extra == ({"toolConfig": {"functionCallingConfig": calling}} if is_extra else None)


def test_what_is_left_of_the_configurations_goes_back():
    extra = {"toolConfig": {"retrievalConfig": {"x": 1}}, "generationConfig": {"logprobs": 2}, "cachedContent": "c"}
    assert asked(**extra).extra == extra
    assert asked(toolConfig=None, generationConfig=None, cachedContent=None).extra is None


@pytest.mark.parametrize(
    ("config", "output"),
    [
        ({"responseMimeType": "text/plain"}, None),
        ({"responseMimeType": "application/json"}, "json"),
        ({"responseMimeType": "application/json", "responseSchema": {"type": "ARRAY"}}, Schema({"type": "array"})),
        ({"responseJsonSchema": {"type": "array"}}, Schema({"type": "array"})),
    ],
)
def test_the_form_of_the_answer(config, output):
    request = asked(generationConfig=config)
    assert (request.output, request.extra) == (output, None)


@pytest.mark.parametrize("schema", ["responseSchema", "responseJsonSchema"])
def test_a_form_that_only_google_knows_goes_back(schema):
    config = {"responseMimeType": "text/x.enum", schema: {"type": "STRING"}}
    request = asked(generationConfig=config)
    assert (request.output, request.extra) == (None, {"generationConfig": config})


@pytest.mark.parametrize(
    ("config", "reasoning", "is_extra"),
    [
        ({}, None, False),
        ({"thinkingLevel": "low"}, Reasoning(effort="low"), False),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, None, False),
        ({"thinkingBudget": -1, "includeThoughts": True}, Reasoning(summary=True), True),
        ({"thinkingBudget": 5, "new": 1}, Reasoning(budget_tokens=5), True),
        ({"new": 1}, None, True),
    ],
)
def test_how_much_to_think(config, reasoning, is_extra):
    request = asked(generationConfig={"thinkingConfig": config})
    assert request.reasoning == reasoning
    assert request.extra == ({"generationConfig": {"thinkingConfig": config}} if is_extra else None)


def test_a_whole_number_may_be_sent_as_a_float():
    assert asked(generationConfig={"topK": 40.0}).top_k == 40


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body: not JSON: Input data was truncated"),
        (b"[]", "the body: Expected `object`, got `array`"),
        (b'{"contents":"\xff"}', "the body: not UTF-8: "),
        (b"{}", "contents: there is nothing in it"),
        (turn({"text": ""}), "contents: there is nothing in it"),
        (turn({"text": 1}), "contents[0].parts[0].text: Expected `str | null`, got `int`"),
        (turn({}), "contents[0].parts[0]: there is nothing in it"),
        (turn({"text": "a"}, role="system"), "contents[0].role: 'system' is neither user nor model"),
        ({"contents": 1}, "contents: Expected `array`, got `int`"),
        (
            turn({"inlineData": {"data": ""}}),
            "contents[0].parts[0].inlineData.mimeType: is missing",
        ),
        (
            turn({"inlineData": {"mimeType": "image/png", "data": "*"}}),
            "contents[0].parts[0].inlineData.data: ",
        ),
        (
            turn({"functionCall": {"name": "f", "args": []}}),
            "contents[0].parts[0].functionCall.args: Expected `object`, got `array`",
        ),
        (
            turn({"functionResponse": {"name": "f"}}),
            "contents[0].parts[0].functionResponse: there is no call of 'f' before it that has no result yet",
        ),
        (
            turn({"functionResponse": {"name": "f", "id": "c", "parts": [{"text": "a"}]}}),
            "contents[0].parts[0].functionResponse.parts[0]: there is neither inlineData nor fileData in it",
        ),
        ({**turn({"text": "a"}), "generationConfig": {"topK": 1.5}}, "generationConfig.topK: Expected `int`, got 1.5"),
        ({**turn({"text": "a"}), "generationConfig": {"seed": "1"}}, "generationConfig.seed: Expected `int | null`"),
        (
            {**turn({"text": "a"}), "generationConfig": {"thinkingConfig": {"thinkingLevel": "WILD"}}},
            "generationConfig.thinkingConfig.thinkingLevel: 'WILD' is none of",
        ),
        (
            {**turn({"text": "a"}), "toolConfig": {"functionCallingConfig": {"mode": "WILD"}}},
            "toolConfig.functionCallingConfig.mode: 'WILD' is none of",
        ),
        (
            {**turn({"text": "a"}), "tools": [{"functionDeclarations": [{}]}]},
            "tools[0].functionDeclarations[0].name: is missing",
        ),
        (b'{"contents":' + b"[" * 100_000, "the body: nested too deeply"),
        (b'{"system_instruction":' + b"[" * 30 + b"]" * 30 + b"}", "systemInstruction: Expected `object | null`"),
    ],
)
def test_what_is_wrong_in_a_request_is_said_with_its_path(body, message):
    with pytest.raises(LocalError) as caught:
        ask(body)
    assert str(caught.value).startswith(message)


def test_other_methods_are_not_served():
    with pytest.raises(LocalError, match="'countTokens' is not served here"):
        ask(turn({"text": "a"}), method="countTokens")


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "contents",
                        "parts",
                        "role",
                        "text",
                        "functionCall",
                        "functionResponse",
                        "name",
                        "tools",
                        "inlineData",
                        "functionDeclarations",
                        "parameters",
                        "generationConfig",
                        "toolConfig",
                        "system_instruction",
                        "response",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_a_body_of_the_wrong_shape_is_a_local_error_or_a_request(body):
    with contextlib.suppress(LocalError):
        assert isinstance(ask(body), Request)


@pytest.mark.parametrize(
    ("pieces", "read"),
    [
        ([{"text": "a"}, {"text": "b"}], (Text(text="ab"),)),
        ([{"text": "a", "thought": True}, {"text": "b", "thought": True}], (ReasoningPart(text="ab"),)),
        ([{"text": "a", "thought": True}, {"text": "b"}], (ReasoningPart(text="a"), Text(text="b"))),
    ],
)
def test_the_turns_that_googles_client_keeps_for_each_chunk_are_one(pieces, read):
    contents = [{"role": "user", "parts": [{"text": "hi"}]}]
    contents += [{"role": "model", "parts": [piece]} for piece in pieces]
    _, answer = ask({"contents": contents}).messages
    assert answer.parts == read


@pytest.mark.parametrize("depth", range(50, 2500, 50))
def test_a_schema_of_any_depth_is_read_or_refused(depth):
    schema = '{"anyOf":[' * depth + "{}" + "]}" * depth
    tools = f'[{{"functionDeclarations":[{{"name":"f","parameters":{schema}}}]}}]'
    try:
        found = ask(f'{{"contents":[{{"parts":[{{"text":"hi"}}]}}],"tools":{tools}}}'.encode())
    except LocalError as error:
        words = str(error)
    else:
        words = found.tools[0].name
    assert words == "f" or words.endswith(": nested too deeply")
