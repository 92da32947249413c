"""Ollama's format as we serve it: what we read in the requests of its clients."""

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
    ToolResult,
)
from streamcore_adapters import ollama
from streamcore_adapters.ollama import server as dialect

NO_ID = '{"id":null}'
PNG = b"\x89PNG\r\n"
HI = [{"role": "user", "content": "hi"}]


def ask(body):
    """The request in a body, given as Python objects or as bytes."""
    return dialect.parse(body if isinstance(body, bytes) else json.dumps(body).encode(), {}).request


def asked(**fields):
    return ask({"model": "m", "messages": HI, **fields})


def told(*messages):
    return ask({"model": "m", "messages": messages}).messages


TOOL = Tool("f", "does", {"type": "object", "properties": {"x": {"type": "integer"}}})
WORDS = st.text(min_size=1, max_size=5)
IMAGES = st.lists(st.just(Image(data=PNG, media_type="image/png")), max_size=2)
JSON_OBJECT = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5), max_size=2).map(json.dumps)


@st.composite
def conversations(draw):
    messages = draw(st.sampled_from([[], [Message("system", "be brief")]]))
    for number in range(draw(st.integers(1, 3))):
        messages = [*messages, Message("user", (Text(text=draw(WORDS)), *draw(IMAGES)))]
        opaque = draw(st.sampled_from([None, NO_ID]))
        calls = tuple(
            ToolCall(id=f"c{number}_{place}", name=name, arguments=draw(JSON_OBJECT), opaque=opaque)
            for place, name in enumerate(draw(st.lists(st.sampled_from("fg"), max_size=3)))
        )
        thoughts = draw(st.sampled_from([(), (ReasoningPart(text="hm"),)]))
        messages.append(Message("assistant", (*thoughts, Text(text=draw(WORDS)), *draw(IMAGES), *calls)))
        if calls:
            results = st.builds(lambda words, images: (Text(text=words), *images) if images else words, WORDS, IMAGES)
            parts = (ToolResult(id=call.id, name=call.name, content=draw(results)) for call in calls)
            messages.append(Message("tool", tuple(parts)))
    return tuple(messages)


def maybe(strategy):
    return st.none() | strategy


REQUESTS = st.builds(
    Request,
    messages=conversations(),
    model=st.just("qwen3:4b"),
    tools=st.sampled_from([(), (TOOL,)]),
    output=st.sampled_from([None, "json", Schema({"type": "object"})]),
    reasoning=st.sampled_from(
        [None, Reasoning(summary=True), *(Reasoning(effort=e) for e in ("none", "low", "medium", "high", "max"))]
    ),
    max_tokens=maybe(st.integers(1, 99)),
    temperature=maybe(st.floats(0, 2)),
    top_p=maybe(st.floats(0, 1)),
    top_k=maybe(st.integers(1, 9)),
    presence_penalty=maybe(st.floats(-2, 2)),
    frequency_penalty=maybe(st.floats(-2, 2)),
    stop=st.sampled_from([(), ("a", "b")]),
    seed=maybe(st.integers(0, 9)),
    extra=st.sampled_from([None, {"keep_alive": "5m", "options": {"num_ctx": 4096}}]),
)


def as_sent(request):
    """The request with all messages as parts, and names for the ids that are made up here."""
    calls = {}
    messages = []
    for message in request.messages:
        parts = []
        for part in message.parts:
            if isinstance(part, ToolCall):
                calls[part.id] = part.id if part.opaque is None else f"made-up-{len(calls)}"
            has_id = isinstance(part, ToolCall | ToolResult)
            parts.append(structs.replace(part, id=calls[part.id]) if has_id else part)
        messages.append(Message(message.role, tuple(parts)))
    return structs.replace(request, messages=tuple(messages))


@given(REQUESTS)
def test_a_request_reads_back_as_it_was_written(request):
    sent = ollama.encode(request, Target(ollama.url, ""))
    assert not sent.warnings
    call = dialect.parse(sent.body, {})
    assert call == Call(request=call.request)
    assert as_sent(call.request) == as_sent(request)


@pytest.mark.parametrize(("stream", "streams"), [({}, True), ({"stream": None}, True), ({"stream": False}, False)])
def test_an_answer_is_streamed_unless_the_client_says_otherwise(stream, streams):
    assert dialect.parse(json.dumps({"model": "m", "messages": HI, **stream}).encode(), {}).stream is streams


def test_arguments_are_as_they_were_sent():
    body = b'{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":{"x": 1.50}}}]}]}'
    assert ask(body).messages[0].parts == (ToolCall(id="c", name="f", arguments='{"x": 1.50}'),)


CALLS = {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}, {"function": {"name": "g"}}]}


def test_a_call_without_an_id_gets_one():
    [message] = told(CALLS)
    assert message.parts == (
        ToolCall(id="call_0_0", name="f", arguments="{}", opaque=NO_ID),
        ToolCall(id="call_0_1", name="g", arguments="{}", opaque=NO_ID),
    )


@pytest.mark.parametrize(
    ("names", "answered"),
    [
        ([{"tool_name": "g"}, {"tool_name": "f"}], [("call_0_1", "g"), ("call_0_0", "f")]),
        ([{}, {}], [("call_0_0", "f"), ("call_0_1", "g")]),
        ([{"tool_name": "other"}], [("call_0_0", "other")]),
        ([{"tool_call_id": "call_0_1"}], [("call_0_1", "g")]),
        ([{"tool_call_id": "elsewhere", "tool_name": "h"}], [("elsewhere", "h")]),
    ],
)
def test_a_result_finds_its_call(names, answered):
    _, results = told(CALLS, *({"role": "tool", "content": "1", **name} for name in names))
    assert [(result.id, result.name) for result in results.parts] == answered


def test_images_stand_after_the_words():
    assert told({"role": "user", "content": "hi", "images": ["iVBORw0K", "Pw=="]}) == (
        Message("user", (Text(text="hi"), Image(data=PNG, media_type="image/png"), Image(data=b"?"))),
    )


def test_a_result_may_be_an_image():
    _, results = told(CALLS, {"role": "tool", "images": ["iVBORw0K"]})
    assert results.parts[0].content == (Image(data=PNG, media_type="image/png"),)


@pytest.mark.parametrize("format", [None, ""])
def test_no_format_is_none(format):
    assert asked(format=format).output is None


@pytest.mark.parametrize(
    ("think", "reasoning"),
    [
        (None, None),
        (True, Reasoning(summary=True)),
        (False, Reasoning(effort="none")),
        ("max", Reasoning(effort="max")),
    ],
)
def test_how_much_to_think(think, reasoning):
    assert asked(think=think).reasoning == reasoning


def test_a_limit_that_is_none_stays_among_the_options():
    request = asked(options={"num_predict": -1})
    assert (request.max_tokens, request.extra) == (None, {"options": {"num_predict": -1}})


def test_what_only_ollama_knows_goes_back():
    request = asked(keep_alive=0, truncate=None, logprobs=True, options={"num_ctx": 9, "top_k": 3})
    assert (request.top_k, request.extra) == (3, {"keep_alive": 0, "logprobs": True, "options": {"num_ctx": 9}})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body: not JSON: Input data was truncated"),
        (b'{"model":"\xff"}', "the body: "),
        ({}, "model: is missing"),
        ({"model": "m"}, "messages: there are none"),
        ({"model": "m", "messages": [{"role": "boss"}]}, "messages[0].role: Invalid enum value 'boss'"),
        ({"model": "m", "messages": [{"role": "user", "content": [1]}]}, "messages[0].content: Expected `str | null`"),
        ({"model": "m", "messages": [{"role": "user", "images": ["*"]}]}, "messages[0].images[0]: "),
        ({"model": "m", "messages": [{"role": "tool"}]}, "messages[0]: there is no call before it"),
        (
            {
                "model": "m",
                "messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}],
            },
            "messages[0].tool_calls[0].function.arguments: Expected `object`, got `str`",
        ),
        ({"model": "m", "messages": HI, "tools": [{"type": "x", "function": {"name": "f"}}]}, "tools[0].type: "),
        ({"model": "m", "messages": HI, "tools": [{"function": {}}]}, "tools[0].function.name: is missing"),
        ({"model": "m", "messages": HI, "format": "xml"}, "format: Expected `object`, got `str`"),
        ({"model": "m", "messages": HI, "think": "wild"}, "think: "),
        ({"model": "m", "messages": HI, "options": {"seed": "1"}}, "options.seed: Expected `int | null`, got `str`"),
        (b'{"model":"m","x":' + b"[" * 100_000, "the body: "),
    ],
)
def test_what_is_wrong_in_a_request_is_said_with_its_path(body, message):
    with pytest.raises(LocalError) as caught:
        ask(body)
    assert str(caught.value).startswith(message)


NAMES = ["model", "messages", "role", "content", "tool_calls", "function", "name", "arguments", "options", "format"]


@given(
    st.recursive(
        st.none() | st.integers() | st.sampled_from(["user", "tool", "assistant", "m"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
        max_leaves=20,
    )
)
def test_a_body_of_the_wrong_shape_is_a_local_error_or_a_request(body):
    with contextlib.suppress(LocalError):
        assert isinstance(ask(body), Request)
