"""What the format `openai_responses` reads from its clients' requests."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

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
    Schema,
    Target,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from streamcore.testing import Answer, serve
from streamcore_adapters import openai_responses
from streamcore_adapters.openai_responses import server as dialect

TARGET = Target(openai_responses.url, "gpt")
WORDS = st.text(min_size=1, max_size=8)
NUMBER = st.none() | st.floats(0, 2)
SAID = '{"type":"message","id":"msg_1","status":"completed","phase":"final_answer"}'
THOUGHT = '{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"Hm."}],"encrypted_content":"gAAA"}'
CALLED = '{"type":"function_call","id":"fc_1","status":"completed"}'
CUSTOM = '{"type":"custom_tool_call","id":"ctc_1","status":"completed"}'
PAGE = '{"type":"url_citation","url":"https://a","title":"A","start_index":0,"end_index":2}'
NO_PARAMETERS = {"type": "object", "properties": {}, "additionalProperties": False}

TEXT = st.builds(Text, text=WORDS, cache=st.booleans())
IMAGE = st.builds(Image, url=st.just("https://a/b.png"), detail=st.sampled_from([None, "low"]), cache=st.booleans())
IMAGE |= st.builds(Image, data=st.binary(max_size=8), media_type=st.just("image/png"), cache=st.booleans())
FILE = st.sampled_from(
    [
        File(id="file_1"),
        File(url="https://a/b.pdf", cache=True),
        File(data=b"%PDF", media_type="application/pdf", name="a.pdf"),
        File(id="file_2", media_type="image/*"),
    ]
)
RESULT = st.builds(ToolResult, id=WORDS, content=WORDS | st.tuples(IMAGE, TEXT))
SEARCH = ExtensionPart(name="openai_responses:web_search_call", raw='{"type":"web_search_call","id":"ws_1"}')
TURN = st.one_of(
    st.builds(Message, st.just("system"), WORDS | st.tuples(TEXT, TEXT)),
    st.builds(Message, st.just("user"), WORDS | st.lists(TEXT | IMAGE | FILE, min_size=1, max_size=3).map(tuple)),
    st.builds(Message, st.just("tool"), st.lists(RESULT, min_size=1, max_size=2).map(tuple)),
    st.builds(
        Message,
        st.just("assistant"),
        st.lists(
            st.one_of(
                st.builds(Text, text=WORDS, opaque=st.just(SAID), citations=st.sampled_from([(), (PAGE,)])),
                st.builds(RefusalPart, text=WORDS, opaque=st.sampled_from([None, SAID])),
                st.builds(
                    ToolCall, id=WORDS, name=WORDS, arguments=WORDS, opaque=st.sampled_from([None, CALLED, CUSTOM])
                ),
                st.just(SEARCH),
            ),
            min_size=1,
            max_size=4,
        ).map(lambda parts: (ReasoningPart(text="Hm.", opaque=THOUGHT), *parts)),
    ),
)
REQUESTS = st.builds(
    Request,
    messages=st.lists(TURN, max_size=4).map(tuple),
    model=st.just("gpt"),
    tools=st.just(
        (
            Tool("add", "Adds.", {"type": "object"}, strict=True),
            Tool("now"),
        )
    ),
    tool_choice=st.sampled_from([None, "auto", "none", "required", ToolChoice("add")]),
    parallel_tool_calls=st.none() | st.booleans(),
    output=st.sampled_from([None, "json", Schema({"type": "object"}, "point", "A point.", strict=True)]),
    reasoning=st.none()
    | st.builds(Reasoning, effort=st.sampled_from([None, "none", "low", "max"]), summary=st.sampled_from([None, True])),
    max_tokens=st.none() | st.integers(1, 99),
    temperature=NUMBER,
    top_p=NUMBER,
    user=st.none() | WORDS,
    metadata=st.none() | st.dictionaries(WORDS, WORDS, max_size=2),
    cache_key=st.none() | WORDS,
    extra=st.sampled_from([None, {"store": True}, {"truncation": "auto", "prompt_cache_options": {"ttl": "30m"}}]),
)


def in_order(part: Any) -> Any:
    return structs.replace(part, opaque=part.opaque and json.dumps(json.loads(part.opaque), sort_keys=True))


def normal(request: Request) -> Request:
    """Turns as parts, what goes back in one order; those of the model or of tools that follow each other are one.

    A tool always has parameters, and asking for nothing of the reasoning is not asking.
    """
    turns: list[Message] = []
    for message in request.messages:
        if turns and turns[-1].role == message.role and message.role in ("assistant", "tool"):
            turns[-1] = Message(message.role, (*turns[-1].parts, *message.parts))
        else:
            turns.append(Message(message.role, message.parts))
    turns = [Message(turn.role, tuple(map(in_order, turn.parts))) for turn in turns]
    tools = tuple(structs.replace(tool, parameters=tool.parameters or NO_PARAMETERS) for tool in request.tools)
    reasoning = None if request.reasoning == Reasoning() else request.reasoning
    return structs.replace(request, messages=tuple(turns), tools=tools, reasoning=reasoning)


def parsed(input: Any = "Hi", **fields: Any) -> Request:
    body = json.dumps({"model": "gpt", "input": input, **fields})
    return dialect.parse(body.encode(), {}).request


def parts_of(*items: Any) -> list[Any]:
    return [part for message in parsed(list(items)).messages for part in message.parts]


@given(REQUESTS)
def test_a_request_is_read_as_it_was_before_it_was_written(request):
    sent = openai_responses.encode(request, TARGET)
    assert sent.warnings == ()
    call = dialect.parse(sent.body, {})
    assert call.stream
    assert normal(call.request) == normal(request)


@given(REQUESTS)
def test_a_request_that_was_read_is_written_as_it_came(request):
    sent = openai_responses.encode(request, TARGET)
    again = openai_responses.encode(dialect.parse(sent.body, {}).request, TARGET)
    assert json.loads(again.body) == json.loads(sent.body)


def test_the_shortest_request():
    call = dialect.parse(b'{"model":"gpt","input":"Hi"}', {})
    assert call.request == Request(messages=(Message("user", "Hi"),), model="gpt")
    assert not call.stream


def test_instructions_come_first():
    assert parsed(instructions="Be brief.").messages[0] == Message("system", "Be brief.")


def test_a_developer_is_the_system():
    assert parsed([{"role": "developer", "content": "Be brief."}]).messages == (Message("system", "Be brief."),)


def test_a_message_without_ids_has_nothing_to_return():
    said = {"type": "message", "role": "assistant", "content": "Hi"}
    assert parts_of(said) == [Text(text="Hi")]


def test_what_a_message_has_besides_its_content_goes_back_with_it():
    (part,) = parts_of({"role": "assistant", "phase": "commentary", "content": [{"type": "output_text", "text": "Hi"}]})
    assert json.loads(part.opaque) == {"type": "message", "phase": "commentary"}


def test_an_image_that_the_provider_has_is_a_file():
    parts = [{"type": "input_image", "file_id": "file_1"}, {"type": "input_file", "file_id": "file_2"}]
    assert parts_of({"role": "user", "content": parts}) == [File(id="file_1", media_type="image/*"), File(id="file_2")]


def test_files_come_as_data_or_by_their_address():
    data = {"type": "input_file", "file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"}
    parts = [data, {"type": "input_file", "file_url": "https://a/b.pdf"}]
    assert parts_of({"role": "user", "content": parts}) == [
        File(data=b"%PDF", media_type="application/pdf", name="a.pdf"),
        File(url="https://a/b.pdf"),
    ]


def test_a_custom_tool_without_an_id_stays_one():
    (part,) = parts_of({"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "***"})
    assert (part.arguments, part.opaque) == ("***", '{"type":"custom_tool_call"}')


@pytest.mark.parametrize(
    ("type", "role"),
    [("web_search_call", "assistant"), ("shell_call_output", "user"), ("mcp_approval_response", "user")],
)
def test_any_other_item_is_carried_along(type, role):
    (turn,) = parsed([{"type": type, "id": "x"}]).messages
    assert turn.role == role
    assert turn.parts[0].name == f"openai_responses:{type}"


def test_reasoning_by_an_open_server_has_its_content():
    thought = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Hm."}]}
    assert parts_of(thought)[0].text == "Hm."


def test_what_only_this_format_has_is_extra():
    fields = {"service_tier": "flex", "previous_response_id": "resp_0", "top_logprobs": 2}
    assert parsed(**fields, unheard_of=1).extra == fields


def test_tools_that_are_no_plain_functions_stay_as_they_are():
    tools = [{"type": "function", "name": "add", "defer_loading": True}, {"type": "web_search"}]
    tools += [{"type": "custom", "name": "patch"}]
    request = parsed(tools=tools, tool_choice={"type": "custom", "name": "patch"})
    assert request.tools == (Tool("add"),)
    assert request.extra == {"tools": tools, "tool_choice": tools[2]}


def test_reasoning_that_says_more_stays_as_it_is():
    for reasoning in ({"effort": "low", "context": "auto"}, {"effort": "low", "summary": "detailed"}):
        request = parsed(reasoning=reasoning)
        assert request.reasoning.effort == "low"
        assert request.extra == {"reasoning": reasoning}


def test_what_is_to_be_included_is_kept_unless_it_goes_without_saying():
    encrypted = ["reasoning.encrypted_content"]
    assert parsed(include=encrypted).extra == {"include": encrypted}
    assert parsed(include=encrypted, reasoning={"effort": "low"}).extra is None
    assert parsed(include=[*encrypted, "x"], reasoning={"effort": "low"}).extra == {"include": [*encrypted, "x"]}


def test_verbosity_is_kept_with_the_format():
    text = {"verbosity": "low", "format": {"type": "json_object"}}
    request = parsed(text=text)
    assert (request.output, request.extra) == ("json", {"text": text})
    assert parsed(text={}).output is None


def test_the_old_name_of_the_user():
    assert parsed(user="u").user == "u"
    assert parsed(tool_choice=None).tool_choice is None


USER = {"role": "user"}
IMAGE_PART = {"type": "input_image"}


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"model": 1}, "model: Expected `str`"),
        ({"input": 1}, "input: Expected"),
        ({"input": [1]}, "input[0]: Expected `object`"),
        ({"input": [{}]}, "input[0].role: is missing"),
        ({"input": [{"role": "robot"}]}, "input[0].role: Invalid enum value"),
        ({"input": [USER]}, "input[0].content: is missing"),
        ({"input": [{**USER, "content": [{"type": "x"}]}]}, "input[0].content[0].type: Invalid enum value"),
        ({"input": [{**USER, "content": [{"type": "input_text"}]}]}, "input[0].content[0].text: is missing"),
        ({"input": [{**USER, "content": [{"type": "refusal"}]}]}, "input[0].content[0].type: only an assistant"),
        ({"input": [{**USER, "content": [IMAGE_PART]}]}, "input[0].content[0]: an image needs"),
        (
            {"input": [{**USER, "content": [{**IMAGE_PART, "image_url": "data:image/png,x"}]}]},
            "input[0].content[0].image_url: not a data URL",
        ),
        (
            {"input": [{**USER, "content": [{**IMAGE_PART, "image_url": "data:image/png;base64,x"}]}]},
            "input[0].content[0].image_url: not base64",
        ),
        ({"input": [{**USER, "content": [{"type": "input_file"}]}]}, "input[0].content[0]: a file needs"),
        (
            {"input": [{**USER, "content": [{"type": "input_file", "file_data": "x"}]}]},
            "input[0].content[0].file_data: not a data URL",
        ),
        ({"input": [{"role": "assistant", "content": [IMAGE_PART]}]}, "input[0].content[0].type: an assistant's"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f"}]}, "input[0].arguments: is missing"),
        (
            {"input": [{"type": "function_call_output", "call_id": "c", "output": [{}]}]},
            "input[0].output[0].type: is missing",
        ),
        ({"tools": [{}]}, "tools[0].type: is missing"),
        ({"tools": [{"type": "function"}]}, "tools[0].name: is missing"),
        ({"tools": [{"type": "custom"}]}, "tools[0].name: is missing"),
        ({"tool_choice": "some"}, "tool_choice: Invalid enum value 'some'"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name: is missing"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema: is missing"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort: Invalid enum value 'huge'"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(fields, where):
    with pytest.raises(LocalError, match=re.escape(where)):
        parsed(**{"input": "Hi", **fields})


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"model":"\xff","input":""}', b"[" * 9999, b'{"x":' + b"[" * 9999]
)
def test_what_is_no_request_is_said_to_be_none(body):
    with pytest.raises(LocalError, match="the body"):
        dialect.parse(body, {})


def test_the_official_clients_request_is_read():
    openai = pytest.importorskip("openai", reason="the official client is not installed")
    refusal = Answer([b'{"error":{"message":"No.","code":"x"}}'], 400, {"content-type": "application/json"})
    with serve(refusal) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0)
        with client, pytest.raises(openai.BadRequestError):
            client.responses.create(
                model="gpt",
                instructions="Be brief.",
                input=[{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
                tools=[{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}],
                reasoning={"effort": "low"},
                stream=True,
            )
        (received,) = server.requests
    assert received.path == dialect.path
    call = dialect.parse(received.body, {})
    assert (call.stream, call.request) == (
        True,
        Request(
            messages=(Message("system", "Be brief."), Message("user", (Text(text="Hi"),))),
            model="gpt",
            tools=(Tool("f", parameters={"type": "object"}, strict=True),),
            reasoning=Reasoning(effort="low"),
        ),
    )
