"""What the dialect `anthropic` reads in a request."""

from __future__ import annotations

import base64
import json

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
    Request,
    Schema,
    Target,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from streamcore_adapters import anthropic
from streamcore_adapters.anthropic import server as dialect

# The version that takes everything: sampling, citations on a user's words, documents of the assistant.
OLD = Target(anthropic.url, "claude-opus-4", headers={"anthropic-version": "2023-06-01"})
CACHED = {"type": "ephemeral"}
CITATION = '{"type":"web_search_result_location","url":"u","encrypted_index":"RWR"}'
REDACTED = '{"type":"redacted_thinking","data":"x"}'
DATA = base64.b64encode(b"data").decode()


def parse(**fields):
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}], **fields}
    return dialect.parse(json.dumps(body).encode(), {})


def request(**fields):
    return parse(**fields).request


def turns(*blocks, role="user"):
    """The messages that a turn of these blocks becomes."""
    return request(messages=[{"role": role, "content": list(blocks)}]).messages


def part(block, role="user"):
    (message,) = turns(block, role=role)
    (found,) = message.content
    return found


def refused(**fields):
    with pytest.raises(LocalError) as caught:
        parse(**fields)
    return str(caught.value)


# There and back: any request that `encode` takes whole

WORDS = st.text(min_size=1, max_size=8)
FLAG = st.booleans()
TEXT = st.builds(Text, text=WORDS, cache=FLAG, citations=st.sampled_from([(), (CITATION,)]))
IMAGE = st.builds(Image, data=st.binary(), media_type=st.just("image/png"), cache=FLAG) | st.builds(Image, url=WORDS)
FILE = st.one_of(
    st.builds(File, data=st.binary(), media_type=st.just("application/pdf"), name=st.none() | WORDS, cache=FLAG),
    st.builds(File, data=WORDS.map(str.encode), media_type=st.just("text/plain")),
    st.builds(File, id=WORDS),
    st.builds(File, id=WORDS, media_type=st.just("image/*")),
    st.builds(File, url=WORDS),
)
ID = st.from_regex(r"[a-zA-Z0-9_-]{1,9}", fullmatch=True)
RESULT = st.builds(
    ToolResult,
    id=ID,
    content=st.text(max_size=5) | st.lists(TEXT | IMAGE | FILE, max_size=2).map(tuple),
    is_error=FLAG,
    cache=FLAG,
)
OTHER = st.just(ExtensionPart(name="anthropic:redacted_thinking", raw=REDACTED))
REASONED = st.builds(
    ReasoningPart, text=st.text(max_size=5), opaque=st.sampled_from(['{"signature":"c2ln"}', '{"signature":"x"}'])
)
CALLED = st.builds(
    ToolCall,
    id=ID,
    name=WORDS,
    arguments=st.sampled_from(["{}", '{"a": 1.0}']),
    opaque=st.sampled_from([None, '{"caller":{"type":"direct"}}']),
    cache=FLAG,
)
ASKED = st.lists(TEXT | IMAGE | FILE, min_size=1, max_size=3).map(lambda parts: Message("user", tuple(parts)))
GIVEN = st.lists(RESULT, min_size=1, max_size=3).map(lambda parts: Message("tool", tuple(parts)))
SAID = st.lists(TEXT | REASONED | CALLED | OTHER, min_size=1, max_size=3).map(
    lambda parts: Message("assistant", tuple(parts))
)
SYSTEM = st.lists(TEXT, min_size=1, max_size=2).map(lambda parts: Message("system", tuple(parts)))
TOOL = st.builds(
    Tool, WORDS, st.text(max_size=5), st.just({"type": "object", "properties": {}}), st.none() | FLAG, FLAG
)
REASONING = st.one_of(
    st.just(Reasoning(effort="none")),
    st.builds(Reasoning, st.sampled_from(["low", "max"]), st.none() | st.integers(1, 9), st.none() | FLAG),
    st.builds(Reasoning, st.none(), st.integers(1, 9), st.none() | FLAG),
    st.builds(Reasoning, st.none(), st.none(), FLAG),
)
NUMBER = st.none() | st.floats(0, 1)


@st.composite
def requests(draw):
    cycles = draw(st.lists(st.tuples(ASKED, SAID, GIVEN), max_size=2))
    tools = tuple(draw(st.lists(TOOL, max_size=2)))
    choice = draw(st.sampled_from([None, "auto", "required", ToolChoice("f")])) if tools else None
    return Request(
        messages=(*draw(st.lists(SYSTEM, max_size=1)), *(turn for cycle in cycles for turn in cycle), draw(ASKED)),
        model="m",
        max_tokens=draw(st.integers(0, 2**40)),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=None if choice is None else draw(st.sampled_from([None, False])),
        output=draw(st.sampled_from([None, Schema({"type": "object"})])),
        reasoning=draw(st.none() | REASONING),
        temperature=draw(NUMBER),
        top_p=draw(NUMBER),
        top_k=draw(st.none() | st.integers(0, 9)),
        stop=tuple(draw(st.lists(WORDS, max_size=2))),
        user=draw(st.none() | WORDS),
        extra=draw(st.sampled_from([None, {"service_tier": "auto"}])),
    )


@given(requests())
def test_what_encode_writes_is_read(wanted):
    written = anthropic.encode(wanted, OLD)
    assert written.warnings == ()
    call = dialect.parse(written.body, {})
    assert call.request == wanted
    assert call.stream


@given(requests())
def test_what_was_read_is_written_again(wanted):
    body = anthropic.encode(wanted, OLD).body
    assert json.loads(anthropic.encode(dialect.parse(body, {}).request, OLD).body) == json.loads(body)


# Turns


def test_plain_words_stay_plain():
    assert request(system="Be brief.").messages == (Message("system", "Be brief."), Message("user", "Hi"))


def test_system_comes_in_mid_conversation_too():
    assert turns({"type": "text", "text": "x"}, role="system") == (Message("system", (Text(text="x"),)),)


def test_results_are_a_turn_before_the_rest():
    results, rest = turns({"type": "text", "text": "x"}, {"type": "tool_result", "tool_use_id": "t"})
    assert results == Message("tool", (ToolResult(id="t"),))
    assert rest == Message("user", (Text(text="x"),))


def test_a_turn_of_nothing_is_one():
    assert turns() == (Message("user", ()),)


def test_a_stream_is_asked_for():
    assert parse(stream=True).stream
    assert not parse().stream
    assert parse().usage


# Blocks


@pytest.mark.parametrize(
    "block",
    [
        {"type": "search_result", "source": "s", "title": "t", "content": []},
        {"type": "document", "source": {"type": "content", "content": "x"}},
        {"type": "document", "source": {"type": "url", "url": "u"}, "citations": {"enabled": True}},
        {"type": "document", "source": {"type": "url", "url": "u"}, "context": "c"},
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "tool_reference", "tool_name": "f"}]},
    ],
)
def test_a_block_that_is_no_part_of_ours_goes_back_as_it_came(block):
    found = part(block)
    assert found.name == f"anthropic:{block['type']}"
    assert json.loads(found.raw) == block


def test_a_document_without_citations_is_a_file():
    block = {"type": "document", "source": {"type": "url", "url": "u"}, "citations": {"enabled": False}}
    assert part(block) == File(url="u")


def test_a_cache_hint_is_kept():
    assert part({"type": "text", "text": "x", "cache_control": {**CACHED, "ttl": "1h"}}).cache


def test_thinking_without_a_signature_has_nothing_to_return():
    assert part({"type": "thinking", "thinking": "hm"}, "assistant") == ReasoningPart(text="hm")


def test_thinking_of_another_provider_has_what_that_one_wants_back():
    block = {"type": "thinking", "thinking": "hm", "signature": '{"reasoning_details":[1]}'}
    assert part(block, "assistant").opaque == '{"reasoning_details":[1]}'


@pytest.mark.parametrize(("index", "citations"), [("", ()), ('{"x":1}', ('{"x":1}',))])
def test_a_citation_of_another_provider_is_as_that_one_wrote_it(index, citations):
    block = {"type": "text", "text": "x", "citations": [{**json.loads(CITATION), "encrypted_index": index}]}
    assert part(block, "assistant").citations == citations


def test_a_citation_of_a_document_is_kept():
    citation = {"type": "char_location", "cited_text": "x"}
    (found,) = part({"type": "text", "text": "x", "citations": [citation]}, "assistant").citations
    assert json.loads(found) == citation


def test_arguments_are_kept_to_the_digit():
    body = b"""{"model": "m", "max_tokens": 1, "messages": [{"role": "assistant", "content": [
        {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1.10, "y": 12345678901234567890123}}]}]}"""
    (message,) = dialect.parse(body, {}).request.messages
    assert message.content[0].arguments == '{"x": 1.10, "y": 12345678901234567890123}'


# What only this format has


def test_a_tool_of_the_server_is_sent_on_as_it_is():
    tools = [{"name": "f", "input_schema": {"type": "object"}}, {"type": "web_search_20260209", "name": "web_search"}]
    found = request(tools=tools)
    assert found.tools == (Tool("f", parameters={"type": "object"}),)
    assert found.extra == {"tools": tools}


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("thinking", {"type": "adaptive"}),
        ("thinking", {"type": "between_tools"}),
        ("thinking", {"type": "adaptive", "display": "updates"}),
        ("output_config", {"effort": "low", "task_budget": {"type": "tokens", "total": 5}}),
        ("tool_choice", {"type": "auto", "disable_parallel_tool_use": False}),
        ("cache_control", CACHED),
        ("container", "c"),
        ("metadata", {"user_id": "u", "more": 1}),
    ],
)
def test_what_encode_would_not_write_is_sent_on_as_it_is(member, value):
    found = request(**{member: value})
    assert found.extra == {member: value}
    assert json.loads(anthropic.encode(found, OLD).body)[member] == value


def test_thinking_that_is_only_switched_on_is_to_be_seen_elsewhere():
    assert request(thinking={"type": "adaptive"}).reasoning == Reasoning(summary=True)


def test_null_is_nothing():
    assert request(thinking=None, service_tier=None, tools=[], system=None).extra is None


def test_sampling_is_left_to_the_version():
    found = request(temperature=0.5)
    assert (found.temperature, found.extra) == (0.5, None)
    assert "temperature" not in json.loads(anthropic.encode(found, structs.replace(OLD, headers={})).body)


# What is refused


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": ""}, "model: "),
        ({"max_tokens": -1}, "max_tokens: "),
        ({"max_tokens": "5"}, "max_tokens: Expected `int`, got `str`"),
        ({"messages": []}, "messages: "),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role: Invalid enum value 'tool'"),
        ({"messages": [{"role": "user"}]}, "messages[0].content: is missing"),
        ({"system": [{"type": "image"}]}, "system[0].type: image cannot stand in a turn of role system"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema: is missing"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name: is missing"),
        ({"tool_choice": {"type": "any", "name": 1}}, "tool_choice.name: Expected"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens: is missing"),
        ({"output_config": {"format": {"type": "x"}}}, "output_config.format.type: Invalid value 'x'"),
        ({"stop_sequences": ["a", 1]}, "stop_sequences[1]: Expected"),
    ],
)
def test_a_wrong_field_is_named(fields, words):
    assert refused(**fields).startswith(words)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (1, ": Expected `object`, got `int`"),
        ({}, ".type: is missing"),
        ({"type": "text"}, ".text: is missing"),
        ({"type": "text", "text": "x", "citations": [1]}, ".citations[0]: Expected"),
        ({"type": "text", "text": "x", "cache_control": {"type": "x"}}, ".cache_control.type: Invalid"),
        ({"type": "thinking", "thinking": "x"}, ".type: thinking cannot stand in a turn of role user"),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "!"}}, ".source.data: "),
        ({"type": "image", "source": {"type": "text", "data": "x"}}, ".source.type: Invalid value 'text'"),
        ({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text"}]}, ".content[0].text: is missing"),
    ],
)
def test_a_wrong_block_is_named(block, words):
    assert refused(messages=[{"role": "user", "content": [block]}]).startswith("messages[0].content[0]" + words)


def test_arguments_are_an_object():
    call = {"type": "tool_use", "id": "t", "name": "f", "input": "{}"}
    words = refused(messages=[{"role": "assistant", "content": [call]}])
    assert words == "messages[0].content[0].input: Expected `object`, got `str`"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"model": "\xff"}', b"[" * 100_000])
def test_what_is_no_object_is_refused(body):
    with pytest.raises(LocalError, match="^the body: (not JSON|not UTF-8|nested too deeply|Expected `object`)"):
        dialect.parse(body, {})


def test_the_official_sdk_is_understood():
    sdk = pytest.importorskip("anthropic", reason="the official SDK is not installed")
    from streamcore.testing import Answer, serve

    with serve(Answer([b"{}"], headers={"content-type": "application/json"}, framing="length")) as server:
        with sdk.Anthropic(api_key="k", base_url=server.url) as client:
            client.messages.create(
                model="m",
                max_tokens=5,
                system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
                messages=[
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "4"}]},
                ],
                tools=[{"name": "f", "input_schema": {"type": "object"}}],
                thinking={"type": "enabled", "budget_tokens": 1024},
            )
        (received,) = server.requests
    assert received.path == dialect.path
    assert dialect.parse(received.body, {}).request == Request(
        messages=(
            Message("system", (Text(text="Be brief.", cache=True),)),
            Message("user", "Hi"),
            Message("assistant", (ToolCall(id="t", name="f", arguments="{}"),)),
            Message("tool", (ToolResult(id="t", content="4"),)),
        ),
        model="m",
        max_tokens=5,
        tools=(Tool("f", parameters={"type": "object"}),),
        reasoning=Reasoning(budget_tokens=1024),
    )
