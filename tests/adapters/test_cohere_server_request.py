"""Cohere's format as we serve it: what we read in the requests of its clients."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from streamcore.dialect import Call
from streamcore.errors import LocalError
from streamcore.request import (
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
from streamcore_adapters import cohere
from streamcore_adapters.cohere import server

PLAN = '{"tool_plan":true}'
HI = [{"role": "user", "content": "hi"}]
PNG = b"\x89PNG\r\n"
ANY = {"type": "object", "properties": {}}


def parse(body):
    return server.parse(body if isinstance(body, bytes) else json.dumps(body).encode(), {})


def asked(**fields):
    return parse({"model": "m", "messages": HI, **fields}).request


def told(*messages):
    return parse({"model": "m", "messages": messages}).request.messages


def cited(number=None):
    place = {} if number is None else {"content_index": number}
    return json.dumps({"start": 0, "end": 2, "text": "Hi", "sources": [{"type": "tool", "id": "f:0"}], **place})


# Round trips

WORDS = st.text(min_size=1, max_size=5)
TEXTS = WORDS.map(lambda words: Text(text=words))
IMAGES = st.sampled_from(
    [Image(data=PNG, media_type="image/png"), Image(url="https://a/b.png", detail="low"), Image(url="https://a")]
)
FILES = st.builds(lambda text, name: File(data=text.encode(), media_type="text/plain", name=name), WORDS, WORDS)
SOURCES = st.sampled_from([(), (cited(),), (cited(), cited(0))])


def listed(items, **sizes):
    return st.lists(items, **sizes).map(tuple)


@st.composite
def conversations(draw):
    messages = draw(st.sampled_from([[], [Message("system", "be brief")], [Message("system", (Text(text="a"),) * 2)]]))
    for number in range(draw(st.integers(1, 3))):
        messages = [*messages, Message("user", draw(listed(TEXTS | IMAGES, min_size=1, max_size=3)))]
        plan = [ReasoningPart(text=words, opaque=PLAN) for words in draw(st.lists(WORDS, max_size=1))]
        before = draw(st.sampled_from([(), (ReasoningPart(text="hm"),)]))
        texts = tuple(Text(text=words) for words in draw(st.lists(WORDS, max_size=2)))
        if texts and not before:
            texts = (structs.replace(texts[0], citations=draw(SOURCES)), *texts[1:])
        names = draw(st.lists(st.sampled_from("fg"), min_size=not texts, max_size=3))
        calls = [ToolCall(id=f"c{number}_{at}", name=name, arguments='{"x": 1.50}') for at, name in enumerate(names)]
        messages.append(Message("assistant", (*plan, *before, *texts, *calls)))
        if calls:
            content = WORDS | listed(TEXTS | FILES, min_size=2, max_size=3)
            results = tuple(ToolResult(id=call.id, name=call.name, content=draw(content)) for call in calls)
            messages.append(Message("tool", results))
    return tuple(messages)


def maybe(strategy):
    return st.none() | strategy


TOOLS = (Tool("f", "does", {"type": "object", "properties": {"x": {"type": "integer"}}}), Tool("g"))
REASONINGS = [None, Reasoning(effort="none"), Reasoning(budget_tokens=9), Reasoning(summary=True)]
REQUESTS = st.builds(
    Request,
    messages=conversations(),
    model=st.just("command-a"),
    tools=st.sampled_from([(), TOOLS, tuple(structs.replace(tool, strict=True) for tool in TOOLS), TOOLS[1:]]),
    output=st.sampled_from([None, "json", Schema({"type": "object"})]),
    reasoning=st.sampled_from(REASONINGS),
    max_tokens=maybe(st.integers(1, 99)),
    temperature=maybe(st.floats(0, 1)),
    top_p=maybe(st.floats(0, 1)),
    top_k=maybe(st.integers(0, 500)),
    presence_penalty=maybe(st.floats(0, 1)),
    frequency_penalty=maybe(st.floats(0, 1)),
    stop=st.sampled_from([(), ("a", "b")]),
    seed=maybe(st.integers(0, 9)),
    extra=st.sampled_from([None, {"safety_mode": "STRICT", "documents": [{"id": "d", "data": {"n": "1"}}]}]),
).flatmap(
    lambda request: st.sampled_from([None, "none", "required"] if request.tools else [None]).map(
        lambda choice: structs.replace(request, tool_choice=choice)
    )
)


def as_read(request):
    """The request with all messages as parts, and the parameters of every tool."""
    return structs.replace(
        request,
        messages=tuple(Message(message.role, message.parts) for message in request.messages),
        tools=tuple(structs.replace(tool, parameters=tool.parameters or ANY) for tool in request.tools),
    )


@given(REQUESTS)
def test_a_request_reads_back_as_it_was_written(request):
    sent = cohere.encode(request, Target(cohere.url, ""))
    assert not sent.warnings
    call = parse(sent.body)
    assert call == Call(request=call.request)
    assert as_read(call.request) == as_read(request)


@given(REQUESTS)
def test_what_was_read_is_written_as_it_came(request):
    body = cohere.encode(request, Target(cohere.url, "")).body
    assert json.loads(cohere.encode(parse(body).request, Target("", "")).body) == json.loads(body)


# What else clients say


@pytest.mark.parametrize(("stream", "streams"), [({}, False), ({"stream": None}, False), ({"stream": True}, True)])
def test_an_answer_is_streamed_if_the_client_says_so(stream, streams):
    assert parse({"model": "m", "messages": HI, **stream}).stream is streams


def test_what_is_null_is_not_there():
    names = [
        "tools",
        "tool_choice",
        "strict_tools",
        "response_format",
        "thinking",
        "p",
        "stop_sequences",
        "safety_mode",
    ]
    assert asked(**dict.fromkeys(names)) == asked()


@pytest.mark.parametrize(
    ("format", "output"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, "json"),
        ({"type": "json_object", "json_schema": {"type": "object"}}, Schema({"type": "object"})),
    ],
)
def test_the_form_of_an_answer(format, output):
    assert asked(response_format=format).output == output


@pytest.mark.parametrize(
    ("thinking", "reasoning"),
    [
        ({"type": "enabled"}, Reasoning(summary=True)),
        ({"type": "enabled", "token_budget": 5}, Reasoning(budget_tokens=5)),
        ({"type": "disabled", "token_budget": 5}, Reasoning(effort="none")),
    ],
)
def test_how_much_to_think(thinking, reasoning):
    assert asked(thinking=thinking).reasoning == reasoning


def test_one_tool_that_is_named_is_one_that_is_required():
    request = Request(messages=(Message("user", "hi"),), tools=(Tool("f"),), tool_choice=ToolChoice("f"))
    assert parse(cohere.encode(request, Target("", "m")).body).request.tool_choice == "required"


def test_a_plan_comes_before_the_content_and_calls_after():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": None}}
    (message,) = told({"role": "assistant", "tool_calls": [call], "tool_plan": "I will", "content": "Well"})
    assert message.parts == (
        ReasoningPart(text="I will", opaque=PLAN),
        Text(text="Well"),
        ToolCall(id="c", name="f"),
    )


def test_an_answer_of_words_alone_is_plain():
    assert told({"role": "assistant", "content": "Hi", "tool_calls": None}) == (Message("assistant", "Hi"),)


def test_an_answer_may_be_empty():
    assert told({"role": "assistant", "content": None}) == (Message("assistant", ()),)


@pytest.mark.parametrize(("number", "place"), [(None, 1), (1, 1), (2, 2), (0, 1), (3, 1), (-1, 1)], ids=str)
def test_a_source_goes_to_the_text_that_it_names_or_to_the_first(number, place):
    source = cited(number)
    thinking = {"type": "thinking", "thinking": "hm"}
    texts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    (message,) = told({"role": "assistant", "content": [thinking, *texts], "citations": [json.loads(source)]})
    assert [getattr(part, "citations", ()) for part in message.parts] == [
        (source,) if at == place else () for at in range(3)
    ]


def test_a_source_without_a_text_is_left_out():
    (message,) = told({"role": "assistant", "tool_plan": "I will", "citations": [json.loads(cited())]})
    assert message.parts == (ReasoningPart(text="I will", opaque=PLAN),)


@pytest.mark.parametrize(
    ("document", "text", "name"),
    [
        ({"data": {"title": "T", "text": "t"}, "id": "d"}, "t", "T"),
        ({"data": {"text": "t"}, "id": "d"}, "t", "d"),
        ({"data": {"text": "t"}}, "t", None),
        ({"data": "words", "id": "d"}, "words", "d"),
        ({"data": {"title": "T", "snippet": "s"}, "id": "d"}, '{"title":"T","snippet":"s"}', "T"),
        ({"data": {"text": "t", "n": 1}}, '{"text":"t","n":1}', None),
        ({"data": {"text": "t", "title": 1}}, '{"text":"t","title":1}', None),
        ({"data": {}}, "{}", None),
    ],
)
def test_a_document_is_a_file_of_text(document, text, name):
    (message,) = told(
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "document", "document": document}]},
    )
    file = File(data=text.encode(), media_type="text/plain", name=name)
    assert message.parts == (ToolResult(id="c", content=(file,)),)


def test_arguments_are_as_they_were_sent():
    function = {"name": "f", "arguments": '{"x":\n 1.50'}
    (message,) = told({"role": "assistant", "tool_calls": [{"id": "c", "function": function}]})
    assert message.parts == (ToolCall(id="c", name="f", arguments='{"x":\n 1.50'),)


IMAGE = {"type": "image_url"}


def user(*content):
    return {"model": "m", "messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body: not JSON"),
        (b'{"model":"\xff"}', "the body: not UTF-8"),
        (b"[]", "the body: Expected `object`"),
        ({}, "model: is missing"),
        ({"model": "m"}, "messages: is missing"),
        ({"model": "m", "messages": []}, "messages: must hold at least one"),
        ({"model": "m", "messages": [{"role": "boss"}]}, "messages[0].role: Invalid value 'boss'"),
        ({"model": "m", "messages": [*HI, {"content": "x"}]}, "messages[1].role: is missing"),
        ({"model": "m", "messages": [{"role": "user"}]}, "messages[0].content: is missing"),
        (user({"type": "video"}), "messages[0].content[0].type: Invalid value 'video'"),
        (user({"type": "thinking", "thinking": "x"}), "messages[0].content[0].type: Invalid value 'thinking'"),
        (user({**IMAGE, "image_url": {}}), "messages[0].content[0].image_url.url: is missing"),
        (user({**IMAGE, "image_url": {"url": "data:image/png,x"}}), "messages[0].content[0].image_url.url: not a data"),
        (user({**IMAGE, "image_url": {"url": "data:;base64,*"}}), "messages[0].content[0].image_url.url: not base64"),
        ({"model": "m", "messages": HI, "tools": [{"type": "x", "function": {"name": "f"}}]}, "tools[0].type: "),
        ({"model": "m", "messages": HI, "tools": [{"function": {}}]}, "tools[0].function.name: is missing"),
        ({"model": "m", "messages": HI, "tool_choice": "AUTO"}, "tool_choice: Invalid enum value 'AUTO'"),
        ({"model": "m", "messages": HI, "thinking": {"type": "wild"}}, "thinking.type: Invalid enum value 'wild'"),
        ({"model": "m", "messages": HI, "k": "1"}, "k: Expected `int | null`, got `str`"),
        (b'{"model":"m","messages":[{"role":"user","content":"x"}],"x":' + b"[" * 100_000, "the body: "),
    ],
)
def test_what_is_wrong_in_a_request_is_said_with_its_path(body, message):
    with pytest.raises(LocalError) as caught:
        parse(body)
    assert str(caught.value).startswith(message)


def test_an_image_by_data_url_is_bytes():
    url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    (message,) = parse(user({**IMAGE, "image_url": {"url": url, "detail": "high"}})).request.messages
    assert message.parts == (Image(data=PNG, media_type="image/png", detail="high"),)


NAMES = ["model", "messages", "role", "content", "tool_calls", "function", "name", "arguments", "type", "thinking"]


@given(
    st.recursive(
        st.none() | st.integers() | st.sampled_from(["user", "tool", "assistant", "m", "text"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
        max_leaves=20,
    )
)
def test_a_body_of_the_wrong_shape_is_a_local_error_or_a_request(body):
    with contextlib.suppress(LocalError):
        assert isinstance(parse(body), Call)
