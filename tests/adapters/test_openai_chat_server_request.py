"""What the dialect `openai_chat` reads of a request: the reverse of what the adapter sends."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
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
from streamcore_adapters.openai_chat import Compatible, Quirks
from streamcore_adapters.openai_chat import server as dialect

REPLAY = ("reasoning_content", "reasoning_details", "reasoning_opaque", "extra_content", "annotations")
FULL = Compatible(url="https://example.org/v1", quirks=Quirks(replay=REPLAY, unsupported=(), reasoning="reasoning"))
USER = {"role": "user", "content": "Hi"}
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

WORDS = st.text(min_size=1, max_size=6)
COUNT = st.none() | st.integers(0, 2**40)
NUMBER = st.none() | st.floats(-2, 2)
CACHE = st.booleans()
SCHEMA = st.sampled_from([{"type": "object"}, {"type": "object", "properties": {"a": {"type": "integer"}}}])
TEXTS = st.builds(Text, text=WORDS, cache=CACHE)
IMAGES = st.builds(
    Image, data=st.binary(min_size=1, max_size=4), media_type=st.just("image/png"), cache=CACHE
) | st.builds(Image, url=st.just("https://example.org/a.png"), detail=st.none() | st.just("low"), cache=CACHE)
KIND = st.sampled_from(["audio/wav", "audio/mpeg", "application/pdf"])
FILES = st.builds(File, id=WORDS, cache=CACHE) | st.builds(
    lambda data, kind, cache: File(
        data=data, media_type=kind, name=None if kind[:5] == "audio" else "a.pdf", cache=cache
    ),
    st.binary(min_size=1, max_size=4),
    KIND,
    CACHE,
)
OTHERS = st.just(ExtensionPart(name="openai_chat:video_url", raw='{"type":"video_url","n":1.50}'))
DETAILS = '{"reasoning_details":[{"type":"reasoning.text","text":"why","signature":"s","n":1.50}]}'
REASONINGS = st.sampled_from(
    [
        ReasoningPart(text="Hm"),
        ReasoningPart(text="why", opaque=DETAILS),
        ReasoningPart(text="Hm", opaque='{"reasoning_opaque":"o"}'),
    ]
)
CITED = st.builds(Text, text=WORDS, citations=st.sampled_from([(), ('{"type":"url_citation","n":1.50}',)]))


@st.composite
def exchanges(draw, number):
    """An assistant's turn, and the results of its calls."""
    names = draw(st.lists(WORDS, max_size=2))
    extra = st.sampled_from([None, '{"extra_content":{"google":{"n":1.50}}}'])
    calls = [
        ToolCall(id=f"call_{number}_{at}", name=name, arguments='{"a":1}', opaque=draw(extra))
        for at, name in enumerate(names)
    ]
    head = [draw(REASONINGS)] if draw(st.booleans()) else []
    said = draw(st.sampled_from(["text", "refusal", "other"]))
    audio = File(media_type="audio/pcm", opaque='{"audio":{"id":"audio_1"}}')
    content = {
        "text": [draw(CITED)],
        "refusal": [RefusalPart(text=draw(WORDS))],
        "other": [draw(TEXTS), draw(OTHERS), audio],
    }[said]
    content, sound = (content[:-1], content[-1:]) if said == "other" else (content, [])
    parts = [*head, *content, *calls, *sound]
    results = st.one_of(WORDS, st.lists(TEXTS, min_size=2, max_size=3).map(tuple))
    answers = tuple(ToolResult(id=call.id, name=call.name, content=draw(results)) for call in calls)
    turns = [Message("assistant", tuple(parts))]
    return [*turns, Message("tool", answers)] if answers else turns


@st.composite
def conversations(draw):
    messages = [Message("system", tuple(draw(st.lists(TEXTS, min_size=1, max_size=2))))]
    for number in range(draw(st.integers(0, 2))):
        parts = st.lists(TEXTS | IMAGES | FILES | OTHERS, min_size=1, max_size=3)
        messages += [Message("user", tuple(draw(parts))), *draw(exchanges(number))]
    return tuple(messages)


TOOLS = st.lists(
    st.builds(Tool, WORDS, st.just("") | WORDS, st.none() | SCHEMA, st.none() | st.booleans()), min_size=1, max_size=2
)
REASONING = st.builds(Reasoning, st.sampled_from(EFFORTS), st.none(), st.none() | st.booleans()) | st.builds(
    Reasoning, st.none(), st.integers(1, 9)
)
REQUESTS = st.builds(
    Request,
    messages=conversations(),
    model=WORDS,
    tools=TOOLS.map(tuple),
    tool_choice=st.none() | st.sampled_from(["auto", "none", "required", ToolChoice("f")]),
    parallel_tool_calls=st.none() | st.booleans(),
    output=st.none() | st.just("json") | st.builds(Schema, SCHEMA, WORDS, st.none() | WORDS, st.none() | st.booleans()),
    reasoning=st.none() | REASONING,
    max_tokens=COUNT,
    temperature=NUMBER,
    top_p=NUMBER,
    top_k=COUNT,
    presence_penalty=NUMBER,
    frequency_penalty=NUMBER,
    stop=st.lists(WORDS, max_size=2).map(tuple),
    seed=COUNT,
    user=st.none() | WORDS,
    metadata=st.none() | st.dictionaries(WORDS, WORDS, min_size=1, max_size=2),
    cache_key=st.none() | WORDS,
    extra=st.none() | st.just({"logit_bias": {"1": 2}, "n": 2}),
)


def parsed(**fields):
    return dialect.parse(json.dumps({"model": "m", "messages": [USER], **fields}).encode(), {})


def request(**fields):
    return parsed(**fields).request


def turns(*messages):
    return request(messages=list(messages)).messages


def content(*parts, role="user"):
    return turns({"role": role, "content": list(parts)})[0].content


def refusal_of(**fields):
    with pytest.raises(LocalError) as caught:
        parsed(**fields)
    return str(caught.value)


def same(asked):
    """All turns as parts; a lone text as the same text; opaque JSON as its value."""

    def plain(part):
        if isinstance(part, ToolResult) and isinstance(part.content, str):
            part = structs.replace(part, content=(Text(text=part.content),))
        return structs.replace(part, opaque=None), part.opaque and json.loads(part.opaque)

    messages = [(message.role, [plain(part) for part in message.parts]) for message in asked.messages]
    return messages, structs.replace(asked, messages=())


@settings(max_examples=150)
@given(REQUESTS)
def test_what_the_adapter_sends_is_read_back(asked):
    encoded = FULL.encode(asked, Target("https://example.org/v1", "m"))
    assert encoded.warnings == ()
    call = dialect.parse(encoded.body, {})
    assert (call.stream, call.usage) == (True, True)
    assert same(call.request) == same(asked)


def test_the_smallest_request():
    call = parsed()
    assert call.request == Request(messages=(Message("user", "Hi"),), model="m")
    assert (call.stream, call.usage, call.id, call.created) == (False, True, "", 0)


@pytest.mark.parametrize(
    ("options", "usage"),
    [({}, False), ({"include_usage": True}, True), ({"include_usage": None}, False), (None, False)],
)
def test_a_stream_ends_with_usage_if_asked(options, usage):
    call = parsed(stream=True, stream_options=options)
    assert (call.stream, call.usage) == (True, usage)


def test_fields_without_a_place_are_kept_for_a_provider_of_this_format():
    fields = {"logit_bias": {"1": 2}, "service_tier": "flex", "chat_template_kwargs": {"a": None}}
    assert request(**fields, store=None, n=1).extra == fields


def test_several_answers_can_be_streamed_and_not_be_whole():
    assert parsed(n=2, stream=True).request.extra == {"n": 2}
    assert refusal_of(n=2) == "n: several answers can only be streamed"


def test_older_and_newer_words_for_the_same():
    assert request(max_tokens=5).max_tokens == 5
    assert request(max_tokens=5, max_completion_tokens=0).max_tokens == 0
    assert request(user="a").user == "a"
    assert request(user="a", safety_identifier="b").user == "b"
    assert request(stop="x").stop == ("x",)
    assert request(reasoning_effort="low").reasoning == Reasoning("low")
    assert request(reasoning={"exclude": True}).reasoning == Reasoning(summary=False)
    assert request(reasoning={"enabled": True}).reasoning == Reasoning(summary=True)
    assert request(reasoning={"enabled": False}).reasoning == Reasoning(effort="none")
    assert request(response_format={"type": "text"}).output is None


def test_a_choice_of_tools_that_only_this_format_has_is_kept():
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}
    asked = request(tool_choice=choice)
    assert (asked.tool_choice, asked.extra) == (None, {"tool_choice": choice})


def test_a_tool_may_be_marked_for_the_cache():
    tool = {"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}}
    assert request(tools=[tool]).tools == (Tool("f", cache=True),)


def test_developer_is_system():
    assert turns({"role": "developer", "content": "Be kind."}) == (Message("system", "Be kind."),)


def test_a_plain_answer_stays_a_string():
    assert turns({"role": "assistant", "content": "Hi"}) == (Message("assistant", "Hi"),)
    assert turns({"role": "assistant", "content": None}) == (Message("assistant", ()),)


def test_results_of_adjacent_messages_are_one_turn_and_know_their_tool():
    call = {"id": "a", "function": {"name": "f", "arguments": "{}"}}
    results = [{"role": "tool", "tool_call_id": id, "content": id} for id in ("a", "b")]
    *_, last = turns({"role": "assistant", "tool_calls": [call]}, *results)
    assert last == Message("tool", (ToolResult(id="a", content="a", name="f"), ToolResult(id="b", content="b")))


def test_an_answer_in_parts():
    parts = [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "No"}, {"type": "text", "text": "b"}]
    source = '{"type":"url_citation"}'
    answer = {"role": "assistant", "content": parts, "annotations": [json.loads(source)]}
    (turn,) = turns(answer)
    cited, refused, text = turn.parts
    assert [json.loads(raw) for raw in cited.citations] == [json.loads(source)]
    assert (refused, text) == (RefusalPart(text="No"), Text(text="b"))


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "reasoning_text"])
def test_reasoning_is_read_wherever_it_is(field):
    (turn,) = turns({"role": "assistant", "content": "a", field: "Hm"})
    assert turn.parts == (ReasoningPart(text="Hm"), Text(text="a"))


def test_reasoning_may_be_in_its_items_alone():
    items = [{"text": "a"}, {"summary": "b"}, {"type": "reasoning.encrypted", "data": "x", "text": None}]
    (turn,) = turns({"role": "assistant", "reasoning_details": items})
    (part,) = turn.parts
    assert part.text == "ab"
    assert json.loads(part.opaque) == {"reasoning_details": items}


def test_images_of_an_answer_come_back():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,UE5H"}}
    (turn,) = turns({"role": "assistant", "images": [image]})
    assert turn.parts == (Image(data=b"PNG", media_type="image/png"),)


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ({"file_data": "YQ=="}, File(data=b"a", media_type="application/pdf")),
        ({"file_data": "YQ==", "filename": "a.csv"}, File(data=b"a", media_type="text/csv", name="a.csv")),
        ({"file_data": "data:text/x;base64,YQ=="}, File(data=b"a", media_type="text/x")),
        ({"file_id": "f"}, File(id="f")),
    ],
)
def test_a_file_may_say_its_type_or_not(file, part):
    assert content({"type": "file", "file": file}) == (part,)


def user(*parts):
    return {"messages": [USER, {"role": "user", "content": list(parts)}]}


def assistant(**fields):
    return {"messages": [{"role": "assistant", **fields}]}


CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": None}, "model: Expected `str`, got `null`"),
        ({"temperature": "hot"}, "temperature: Expected `float | null`, got `str`"),
        ({"messages": []}, "messages: must hold at least one"),
        ({"messages": [5]}, "messages[0]: Expected `object`, got `int`"),
        ({"messages": [{}]}, "messages[0].role: is missing"),
        ({"messages": [{"role": "user"}]}, "messages[0].content: is missing"),
        ({"messages": [{"role": "robot"}]}, "messages[0].role: unknown: 'robot'"),
        (user({}), "messages[1].content[0].type: is missing"),
        (user({"type": 5}), "messages[1].content[0].type: Expected `str`, got `int`"),
        (user({"type": "text"}), "messages[1].content[0].text: is missing"),
        (user({"type": "image_url", "image_url": {}}), "messages[1].content[0].image_url.url: is missing"),
        (
            user({"type": "image_url", "image_url": {"url": "data:image/png,x"}}),
            "messages[1].content[0].image_url.url: not a data: URL in base64",
        ),
        (
            user({"type": "input_audio", "input_audio": {"data": "!", "format": "wav"}}),
            "messages[1].content[0].input_audio.data: not base64: Only base64 data is allowed",
        ),
        (
            user({"type": "input_audio", "input_audio": {"data": "é", "format": "wav"}}),
            "messages[1].content[0].input_audio.data: not base64: string argument should contain only ASCII characters",
        ),
        (
            user({"type": "input_audio", "input_audio": {"data": "", "format": "ogg"}}),
            "messages[1].content[0].input_audio.format: Invalid enum value 'ogg'",
        ),
        (user({"type": "file", "file": {}}), "messages[1].content[0].file: needs file_data or a file_id"),
        (
            {"messages": [{"role": "system", "content": [{"type": "video"}]}]},
            "messages[0].content[0].type: must be one of text here, not 'video'",
        ),
        (assistant(function_call={}), "messages[0].function_call: replaced by tool_calls"),
        (assistant(tool_calls=[CALL, {"id": "b"}]), "messages[0].tool_calls[1].function: is missing"),
        (
            assistant(tool_calls=[CALL, {**CALL, "type": "custom"}]),
            "messages[0].tool_calls[1].type: only functions are known, not 'custom'",
        ),
        ({"tools": [{"type": "custom"}]}, "tools[0].type: Invalid enum value 'custom'"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function: is missing"),
        ({"tool_choice": "maybe"}, "tool_choice: Invalid enum value 'maybe'"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema: is missing"),
        ({"functions": [{}]}, "functions: replaced by tools"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(fields, words):
    assert refusal_of(**fields) == words


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{}", "model: is missing"),
        (b"[]", "the body: Expected `object`, got `array`"),
        (b"hello", "the body: not JSON: JSON is malformed: invalid character (byte 0)"),
        (b"", "the body: not JSON: Input data was truncated"),
        (
            b'{"x":"\xff"}',
            "the body: not UTF-8: 'utf-8' codec can't decode byte 0xff in position 6: invalid start byte",
        ),
    ],
)
def test_a_body_that_is_no_request(body, words):
    with pytest.raises(LocalError) as caught:
        dialect.parse(body, {})
    assert str(caught.value) == words


def test_json_that_is_nested_too_deeply_is_no_request():
    with pytest.raises(LocalError, match="^the body: nested too deeply$"):
        dialect.parse(b'{"x":' + b"[" * 100_000, {})
