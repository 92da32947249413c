"""Mistral's format as we serve it: what we read in the requests of its clients."""

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
from streamcore_adapters import mistral
from streamcore_adapters.mistral import server

SIGNED = '{"thinking":{"signature":"s"}}'
HI = [{"role": "user", "content": "hi"}]
PNG = b"\x89PNG\r\n"


def parse(body):
    return server.parse(body if isinstance(body, bytes) else json.dumps(body).encode(), {})


def asked(**fields):
    return parse({"model": "m", "messages": HI, **fields}).request


def part_of(block, role="user"):
    (message,) = parse({"model": "m", "messages": [{"role": role, "content": [block]}]}).request.messages
    (part,) = message.parts
    return part


# Round trips

WORDS = st.text(min_size=1, max_size=5)
TEXTS = WORDS.map(lambda words: Text(text=words))
PARTS = TEXTS | st.sampled_from(
    [
        Image(data=PNG, media_type="image/png", detail="low"),
        Image(url="https://a/b.png"),
        File(data=b"%PDF", media_type="application/pdf", name="a.pdf"),
        File(url="https://a/b.pdf", name="b.pdf"),
        File(url="https://a/b.pdf"),
        File(id="f-1"),
        File(data=b"RIFF....", media_type="audio/wav"),
        File(data=b"OggS....", media_type="audio/ogg"),
        File(data=b"ID3", media_type="audio/mpeg"),
        File(url="https://a/b.mp3", media_type="audio/mpeg"),
    ]
)


@st.composite
def conversations(draw):
    messages = draw(st.sampled_from([[], [Message("system", "be brief")]]))
    for number in range(draw(st.integers(1, 3))):
        messages = [*messages, Message("user", tuple(draw(st.lists(PARTS, min_size=1, max_size=3))))]
        opaque = draw(st.sampled_from([None, SIGNED]))
        thoughts = [ReasoningPart(text=words, opaque=opaque) for words in draw(st.lists(WORDS, max_size=1))]
        names = draw(st.lists(st.sampled_from("fg"), max_size=3))
        calls = [ToolCall(id=f"abcdefg{number}{at}", name=name, arguments="{}") for at, name in enumerate(names)]
        messages.append(Message("assistant", (*thoughts, draw(TEXTS), *calls)))
        if calls:
            content = WORDS | st.lists(TEXTS, min_size=2, max_size=3).map(tuple)
            results = tuple(ToolResult(id=call.id, name=call.name, content=draw(content)) for call in calls)
            messages.append(Message("tool", results))
    return tuple(messages)


def maybe(strategy):
    return st.none() | strategy


TOOL = Tool("f", "does", {"type": "object", "properties": {"x": {"type": "integer"}}}, strict=True)
SCHEMA = Schema({"type": "object"}, "n", "d", strict=True)
REQUESTS = st.builds(
    Request,
    messages=conversations(),
    model=st.just("magistral"),
    tools=st.just((TOOL,)),
    tool_choice=st.sampled_from([None, "auto", "none", "required", ToolChoice("f")]),
    parallel_tool_calls=maybe(st.booleans()),
    output=st.sampled_from([None, "json", SCHEMA]),
    reasoning=maybe(
        st.builds(Reasoning, st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"]))
    ),
    max_tokens=maybe(st.integers(1, 99)),
    temperature=maybe(st.floats(0, 1)),
    top_p=maybe(st.floats(0, 1)),
    top_k=maybe(st.integers(1, 9)),
    presence_penalty=maybe(st.floats(-2, 2)),
    frequency_penalty=maybe(st.floats(-2, 2)),
    stop=st.sampled_from([(), ("a",), ("a", "b")]),
    seed=maybe(st.integers(0, 9)),
    metadata=st.sampled_from([None, {"team": "blue"}]),
    cache_key=maybe(st.just("k")),
    extra=st.sampled_from([None, {"safe_prompt": True}, {"metadata": {"n": 1}}, {"metadata": ["x"]}]),
)


def as_read(request):
    messages = tuple(Message(message.role, message.parts) for message in request.messages)
    hidden = request.extra is not None and "metadata" in request.extra
    return structs.replace(request, messages=messages, metadata=None if hidden else request.metadata)


@given(REQUESTS)
def test_a_request_reads_back_as_it_was_written(request):
    sent = mistral.encode(request, Target(mistral.url, ""))
    assert not sent.warnings
    call = parse(sent.body)
    assert call == Call(request=call.request)
    assert as_read(call.request) == as_read(request)


@given(REQUESTS)
def test_what_was_read_is_written_as_it_came(request):
    body = mistral.encode(request, Target(mistral.url, "")).body
    assert json.loads(mistral.encode(parse(body).request, Target("", "")).body) == json.loads(body)


# What else clients say


@pytest.mark.parametrize(("stream", "streams"), [({}, False), ({"stream": False}, False), ({"stream": True}, True)])
def test_an_answer_is_streamed_if_the_client_says_so_and_its_usage_always_told(stream, streams):
    call = parse({"model": "m", "messages": HI, **stream})
    assert (call.stream, call.usage) == (streams, True)


@pytest.mark.parametrize(("word", "choice"), [("any", "required"), ("required", "required"), ("auto", "auto")])
def test_any_tool_is_required(word, choice):
    assert asked(tool_choice=word).tool_choice == choice


def test_an_image_may_be_its_address():
    assert part_of({"type": "image_url", "image_url": "https://a"}) == Image(url="https://a")


@pytest.mark.parametrize("sound", ["data:audio/wav;base64,UklGRg==", "UklGRg=="])
def test_a_sound_is_known_by_what_it_says_or_by_its_bytes(sound):
    assert part_of({"type": "input_audio", "input_audio": sound}) == File(data=b"RIFF", media_type="audio/wav")


@pytest.mark.parametrize(
    ("name", "kind"), [("a.wav", "audio/x-wav"), ("a.html", "audio/mpeg"), ("a", "audio/mpeg"), ("a.mp3", "audio/mpeg")]
)
def test_a_sound_by_its_address_is_a_sound(name, kind):
    part = part_of({"type": "input_audio", "input_audio": f"https://a/{name}"})
    assert part in {File(url=f"https://a/{name}", media_type=each) for each in (kind, "audio/wav", "audio/vnd.wave")}


@pytest.mark.parametrize("thinking", ["Hm", [{"type": "text", "text": "H"}, {"type": "reference"}, {"text": "m"}]])
def test_thinking_is_reasoning(thinking):
    part = part_of({"type": "thinking", "thinking": thinking, "signature": None}, "assistant")
    assert part == ReasoningPart(text="Hm")


def test_a_part_that_nobody_else_has_goes_back_as_it_came():
    raw = {"type": "reference", "reference_ids": [0]}
    part = part_of(raw, "assistant")
    assert isinstance(part, ExtensionPart)
    assert (part.name, json.loads(part.raw)) == ("openai_chat:reference", raw)


def test_the_mark_of_a_prefix_is_its_place():
    messages = [*HI, {"role": "assistant", "content": "Well", "prefix": True}]
    request = parse({"model": "m", "messages": messages}).request
    assert json.loads(mistral.encode(request, Target("", "m")).body)["messages"] == messages


def test_a_result_may_be_nothing():
    call = {"id": "a", "function": {"name": "f", "arguments": "{}"}}
    turns = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "a", "content": None}]
    *_, results = parse({"model": "m", "messages": turns}).request.messages
    assert results.parts == (ToolResult(id="a", name="f"),)


def user(*content):
    return {"model": "m", "messages": [*HI, {"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body: not JSON"),
        (b'{"model":"\xff"}', "the body: not UTF-8"),
        ({}, "model: "),
        ({"model": "m", "messages": 1}, "messages: Expected `array`"),
        ({"model": "m", "messages": [1]}, "messages[0]: Expected `object`"),
        ({"model": "m", "messages": []}, "messages: "),
        ({"model": "m", "messages": [{"role": "boss"}]}, "messages[0].role: "),
        (user("x"), "messages[1].content[0]: Expected `object`"),
        (user({"type": "image_url"}), "messages[1].content[0].image_url: is missing"),
        (user({"type": "document_url"}), "messages[1].content[0].document_url: is missing"),
        (user({"type": "document_url", "document_url": "*"}), "messages[1].content[0].file.file_data: not base64"),
        (user({"type": "input_audio", "input_audio": "*"}), "messages[1].content[0].file.file_data: not base64"),
        (user({"type": "input_audio", "input_audio": "é"}), "messages[1].content[0].file.file_data: not base64"),
        (user({"type": "thinking", "thinking": 1}), "messages[1].content[0].thinking: Expected `str | array`"),
        ({"model": "m", "messages": HI, "tool_choice": "some"}, "tool_choice: "),
    ],
)
def test_what_is_wrong_in_a_request_is_said_with_its_path(body, message):
    with pytest.raises(LocalError) as caught:
        parse(body)
    assert str(caught.value).startswith(message)


def test_a_document_by_data_url_is_bytes():
    url = "data:application/pdf;base64," + base64.b64encode(b"%PDF").decode()
    part = part_of({"type": "document_url", "document_url": url, "document_name": None})
    assert part == File(data=b"%PDF", media_type="application/pdf")


NAMES = ["model", "messages", "role", "content", "tool_calls", "function", "name", "type", "thinking", "metadata"]


@given(
    st.recursive(
        st.none() | st.integers() | st.sampled_from(["user", "tool", "assistant", "m", "thinking", "document_url"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
        max_leaves=20,
    )
)
def test_a_body_of_the_wrong_shape_is_a_local_error_or_a_request(body):
    with contextlib.suppress(LocalError):
        assert isinstance(parse(body), Call)
