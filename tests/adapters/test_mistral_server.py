"""Mistral's format as we serve it: what its readers make of what we write, Mistral's own client among them."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from support import params

from answers import STATUSES
from strategies import TEXT, distinct, streams
from streamcore.dialect import Call, Dialect
from streamcore.events import (
    Attachment,
    BlockEnd,
    Citation,
    Extension,
    Failure,
    FailureKind,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from streamcore.failures import http_failure
from streamcore.message import Fold
from streamcore.request import Request, prompt
from streamcore.testing import Answer, check_truncation, read, serve
from streamcore_adapters import mistral
from streamcore_adapters.mistral import server

CALL = Call(request=Request(messages=prompt("Hi").messages, model="asked"), id="cmpl-1", created=1_700_000_000)
SIGNED = '{"thinking":{"signature":"s"}}'
REFERENCE = '{"type":"reference",\n"reference_ids":[0]}'
OTHER = '{"index":1,"delta":{"content":"b"},"finish_reason":"stop"}'
OWN = [
    Extension("openai_chat:logprobs", '{"content":[{"token":"a"}]}'),
    Extension("openai_chat:choice", OTHER),
    Extension("openai_chat:cost", "1"),
]


def write(*events, call=CALL):
    encoder = server.Encoder(call)
    body = b"".join(encoder.feed(event) for event in events)
    assert encoder.lost.keys() <= server.losses.keys()
    return body


def chunks(*events):
    frames = [frame.removeprefix(b"data: ") for frame in write(*events).split(b"\n\n")[:-1]]
    return [json.loads(frame) for frame in frames if frame != b"[DONE]"]


def deltas(*events):
    """What the chunks of these events add, after the role."""
    return [chunk["choices"][0]["delta"] for chunk in chunks(Start("1", "m"), *events)[1:]]


def lost(*events):
    encoder = server.Encoder(CALL)
    for event in (Start(), *events):
        encoder.feed(event)
    return encoder.lost


def cut(body, places):
    bounds = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(bounds)]


# Round trips


class Normal:
    """What a reader makes of the events: the normal form that the server's docstring describes."""

    def __init__(self, events):
        self.out, self.ends = [], {}
        self.count, self.numbers, self.first, self.pieces = 0, {}, {}, {}
        self.usage, self.calls = Usage(), False
        for event in events:
            self.add(event)

    def block(self, key):
        if key not in self.numbers:
            self.numbers[key] = len(self.numbers)
            self.ends[self.numbers[key]] = None
        return self.numbers[key]

    def add(self, event):
        match event:
            case Start():
                self.out.append(Start(event.id or CALL.id, event.model or CALL.request.model))
            case Usage():
                self.usage = event
            case Finish() | Failure():
                self.end(event)
            case Extension(index=None):
                if event in OWN[:2]:
                    self.out.append(event)
            case BlockEnd():
                self.end_block(event)
            case _:
                first = self.first.setdefault(event.index, event)
                self.content(event, first)

    def content(self, event, first):
        match event:
            case TextDelta() | RefusalDelta() if event.text:
                self.out.append(TextDelta(self.block("text"), event.text))
            case ReasoningDelta() if event.text:
                self.out.append(ReasoningDelta(self.block("reasoning"), event.text))
            case ToolCallDelta():
                self.pieces.setdefault(event.index, []).append(event.arguments)
            case Extension() if event.name == "openai_chat:reference" and isinstance(first, Extension):
                self.out.append(structs.replace(event, index=self.block(object())))

    def end_block(self, event):
        first = self.first[event.index]
        if isinstance(first, ReasoningDelta) and event.opaque == SIGNED:
            if "reasoning" not in self.numbers:
                self.out.append(ReasoningDelta(self.block("reasoning"), ""))
            self.ends[self.block("reasoning")] = event.opaque
        elif isinstance(first, ToolCallStart):
            index = self.block(event.index)
            arguments = "".join(self.pieces.get(event.index, ())) or "{}"
            self.out += [ToolCallStart(index, first.id, first.name), ToolCallDelta(index, arguments)]
            self.calls = True

    def end(self, event):
        usage = [] if self.usage == Usage() else [self.usage]
        if isinstance(event, Failure):
            kind = "server" if event.kind in {"protocol", "truncated", "connection"} else event.kind
            self.out += [*usage, Failure(kind, event.message or event.kind, code=event.code or event.kind)]
            return
        words = {"pause": "length", "other": "stop", "refusal": "content_filter"}
        reason = words.get(event.reason, event.reason)
        word = "tool_calls" if event.reason == "stop" and self.calls else reason
        reason = "tool_calls" if word == "stop" and self.calls else word
        word = "model_length" if (event.reason, event.raw) == ("length", "model_length") else word
        ends = [BlockEnd(index, opaque) for index, opaque in self.ends.items()]
        self.out += [*usage, *ends, Finish(reason, word)]


def settled(events):
    """The last usage, then the ends of all blocks, come just before a good end; what is carried along on one line."""
    content = [event for event in events[:-1] if not isinstance(event, BlockEnd | Usage)]
    content = [
        structs.replace(event, raw=json.dumps(json.loads(event.raw))) if isinstance(event, Extension) else event
        for event in content
    ]
    usages = [event for event in events if isinstance(event, Usage)][-1:]
    ends = sorted((event for event in events if isinstance(event, BlockEnd)), key=lambda end: end.index)
    return [*content, *usages, *(ends if isinstance(events[-1], Finish) else ()), events[-1]]


COUNTS = st.none() | st.integers(0, 1000)
USAGES = st.builds(Usage, st.none() | st.integers(1000, 2**50), st.none() | st.integers(1000, 2**50), *[COUNTS] * 7)


def own(event):
    """The event, or one with what this format has a place for in its stead."""
    match event:
        case ToolCallStart():
            return st.just(ToolCallStart(event.index, f"call_{event.index}", event.name or "f"))
        case Extension(index=None):
            return st.sampled_from(OWN)
        case Extension():
            return st.just(event) | st.just(Extension("openai_chat:reference", REFERENCE, event.index))
        case BlockEnd():
            return st.sampled_from([None, SIGNED, '{"signature":"s"}']).map(lambda own: BlockEnd(event.index, own))
        case Usage():
            return USAGES
        case Failure():
            return st.sampled_from([None, "strange"]).map(lambda code: structs.replace(event, code=code))
        case Finish():
            return st.just(event) | st.just(Finish("length", "model_length"))
    return st.just(event)


@st.composite
def answers(draw):
    return [draw(own(event)) for event in draw(streams())]


@given(answers().map(distinct), st.lists(st.integers(0, 100_000), max_size=8))
def test_any_stream_reads_back_in_normal_form(events, places):
    found = read(mistral, cut(write(*events), places))
    assert settled(found) == settled(Normal(events).out)


@given(answers().map(distinct))
def test_only_a_good_end_says_done(events):
    body = write(*events)
    assert body.endswith(b"data: [DONE]\n\n") == isinstance(events[-1], Finish)
    assert (chunks(*events)[-1]["choices"][0]["finish_reason"] == "error") == isinstance(events[-1], Failure)


@given(answers().map(distinct))
def test_every_call_is_one_chunk_with_its_name(events):
    said = [delta["tool_calls"] for delta in deltas(*events[1:]) if "tool_calls" in delta]
    assert [call["index"] for [call] in said] == list(range(len(said)))
    assert all(call["function"]["name"] and isinstance(call["function"]["arguments"], str) for [call] in said)


@given(answers().map(distinct), TEXT)
def test_what_an_adapter_read_is_written_without_loss(events, text):
    once = read(mistral, [write(*events[:-1], *[BlockEnd(i) for i in open_blocks(events)], Finish("stop", text))])
    encoder = server.Encoder(CALL)
    twice = read(mistral, [b"".join(encoder.feed(event) for event in once)])
    assert encoder.lost.keys() <= {"Finish.raw", "ToolCallStart.index"}  # calls end with the answer
    assert settled(twice)[:-1] == settled(Normal(once).out)[:-1]


def open_blocks(events):
    indexes = dict.fromkeys(event.index for event in events if getattr(event, "index", None) is not None)
    return [index for index in indexes if not any(isinstance(e, BlockEnd) and e.index == index for e in events)]


@pytest.mark.parametrize(
    "row",
    [
        row
        for row in params("streams-chat_completions")
        if row.values[0] is None or row.values[0].fields["provider"] == "mistral"
    ],
)
def test_a_recording_is_written_as_it_was(row):
    encoder = server.Encoder(CALL)
    events = read(mistral, [row.body])
    once = Fold(events)
    twice = Fold(read(mistral, [b"".join(encoder.feed(event) for event in events)]))
    assert encoder.lost.keys() <= {"Finish.raw", "Failure.status", "ToolCallStart.index"}
    assert (twice.text, twice.reasoning, twice.usage) == (once.text, once.reasoning, once.usage)
    assert [call.arguments or "{}" for call in twice.tool_calls] == [call.arguments for call in once.tool_calls]


ANSWER = [
    Start("cmpl-9", "magistral"),
    ReasoningDelta(0, "Hm"),
    ReasoningDelta(0, "m."),
    BlockEnd(0, SIGNED),
    TextDelta(1, "Let me "),
    TextDelta(1, "see\n"),
    BlockEnd(1),
    ToolCallStart(2, "call_a", "add"),
    ToolCallStart(3, "call_b", "sub"),
    ToolCallDelta(3, '{"x":'),
    ToolCallDelta(2, '{"a":1}'),
    ToolCallDelta(3, "2}"),
    BlockEnd(2),
    BlockEnd(3),
    Usage(9, 5, cache_read_tokens=4, reasoning_tokens=2),
    Finish("tool_calls", "tool_use"),
]


def test_a_body_that_is_cut_is_never_whole():
    check_truncation(mistral, write(*ANSWER))


def test_it_is_a_dialect():
    assert isinstance(server, Dialect)
    assert (server.path, server.content_type) == ("/v1/chat/completions", "text/event-stream")


def test_a_keep_alive_says_nothing():
    body = write(*ANSWER)
    assert read(mistral, [body.replace(b"\n\n", b"\n\n" + server.keep_alive)]) == read(mistral, [body])


# What is written


def test_a_chunk_is_what_mistral_sends():
    body = write(Start("1", "m"), TextDelta(0, "Hi"), Usage(2, 1), BlockEnd(0), Finish("stop"))
    head = b'data: {"id":"1","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"delta":'
    assert body == (
        head + b'{"role":"assistant","content":""},"index":0,"finish_reason":null}]}\n\n' + head + b'{"content":"Hi"},'
        b'"index":0,"finish_reason":null}]}\n\n' + head + b'{"content":""},"index":0,"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":2,"completion_tokens":1,"total_tokens":3}}\n\ndata: [DONE]\n\n'
    )


def test_the_first_delta_of_a_text_looks_like_the_others():
    assert deltas(TextDelta(0, "a"), TextDelta(0, "a")) == [{"content": "a"}] * 2


def test_the_call_names_what_the_provider_does_not():
    (chunk,) = chunks(Start())
    assert (chunk["id"], chunk["model"], chunk["created"]) == ("cmpl-1", "asked", 1_700_000_000)
    assert chunks(Start(), TextDelta(0, ""), TextDelta(0, "a"))[1]["model"] == "asked"
    assert json.loads(write(Start(), call=Call(request=prompt("Hi"))).split(b" ", 1)[1])["model"] == ""


def test_reasoning_is_a_part_of_the_content():
    part = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}
    signed = {"type": "thinking", "thinking": [], "signature": "s"}
    assert deltas(ReasoningDelta(0, "Hm"), BlockEnd(0, SIGNED)) == [{"content": [part]}, {"content": [signed]}]


def test_a_call_is_sent_when_it_is_whole():
    written = [delta["tool_calls"] for delta in deltas(*ANSWER[7:]) if "tool_calls" in delta]
    assert written == [
        [{"id": "call_a", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}, "index": 0}],
        [{"id": "call_b", "type": "function", "function": {"name": "sub", "arguments": '{"x":2}'}, "index": 1}],
    ]


def test_a_call_without_arguments_has_an_empty_object():
    (delta,) = deltas(ToolCallStart(0, "a", "f"), BlockEnd(0))
    assert delta["tool_calls"][0]["function"]["arguments"] == "{}"


@pytest.mark.parametrize(
    ("events", "keys"),
    [
        ([TextDelta(0, "a"), TextDelta(1, "b")], ["TextDelta.index"]),
        ([ReasoningDelta(0, "a"), ReasoningDelta(1, "b")], ["ReasoningDelta.index"]),
        ([RefusalDelta(0, "a"), RefusalDelta(0, "b")], ["RefusalDelta"]),
        ([Attachment(0, "image/png", b"PNG"), BlockEnd(0)], ["Attachment"]),
        ([TextDelta(0, "a"), Citation(0, "u")], ["Citation"]),
        ([TextDelta(0, "a"), BlockEnd(0, SIGNED)], ["BlockEnd.opaque"]),
        ([ReasoningDelta(0, "a"), BlockEnd(0, '{"signature":"s"}')], ["BlockEnd.opaque"]),
        ([ReasoningDelta(0, "a"), BlockEnd(0, SIGNED)], []),
        ([Extension("openai_chat:cost", "1")], ["Extension"]),
        ([Extension("gemini:x", "1", 0)], ["Extension"]),
        ([TextDelta(0, "a"), Extension("openai_chat:reference", REFERENCE, 0)], ["Extension"]),
        ([ToolCallStart(0, "a", "f"), TextDelta(1, "b"), BlockEnd(0)], ["ToolCallStart.index"]),
        ([ToolCallStart(0, "a", "f"), Failure("server", "x")], ["ToolCallStart"]),
        ([ToolCallStart(0, "a", "f"), BlockEnd(0), Failure("server", "x")], []),
        ([Finish("pause", "pause_turn")], ["Finish.reason", "Finish.raw"]),
        ([Finish("length", "model_length")], []),
        ([Finish("content_filter")], []),
        ([ToolCallStart(0, "a", "f"), BlockEnd(0), Finish("stop")], ["Finish.reason"]),
        (
            [Failure("server", "x", "d", 500, "c", 1.0, True, "r")],
            ["Failure.detail", "Failure.request_id", "Failure.retry_after", "Failure.should_retry", "Failure.status"],
        ),
    ],
)
def test_what_has_no_place_is_counted(events, keys):
    assert lost(*events) == dict.fromkeys(keys, 1)


def test_a_usage_that_nobody_told_is_left_out():
    assert "usage" not in chunks(Start(), Finish("stop"))[-1]


# Failures


@pytest.mark.parametrize("kind", FailureKind.__args__)
def test_a_failure_ends_a_stream_as_an_error_with_what_it_cost(kind):
    *_, end = chunks(*ANSWER[:6], Usage(1, 2), Failure(kind, "broke"))
    assert (end["choices"][0]["finish_reason"], end["usage"]["total_tokens"]) == ("error", 3)
    assert (end["error"]["message"], end["error"]["code"]) == ("broke", kind)


@pytest.mark.parametrize("kind", FailureKind.__args__)
def test_an_error_before_the_stream_has_its_status_and_its_kind(kind):
    status, body = server.error(Failure(kind, "broke", status=599, request_id="r"))
    said = json.loads(body)
    assert (status, said["object"], said["message"], said["code"]) == (STATUSES[kind], "error", "broke", kind)
    assert http_failure(status, {}, body).kind == ("server" if status == 502 else kind)


# The whole answer


def render(*events):
    return json.loads(server.render(Fold(events), CALL))


def test_a_whole_answer():
    body = render(*ANSWER)
    assert body.pop("usage")["total_tokens"] == 14
    message = {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "Hmm."}], "signature": "s"},
            {"type": "text", "text": "Let me see\n"},
        ],
        "tool_calls": [
            {"id": "call_a", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}},
            {"id": "call_b", "type": "function", "function": {"name": "sub", "arguments": '{"x":2}'}},
        ],
    }
    assert body == {
        "id": "cmpl-9",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "magistral",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
    }


def test_words_alone_are_a_string():
    body = render(Start(), TextDelta(0, "a"), RefusalDelta(1, "b"), Attachment(2, "x/y"), Finish("stop"))
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "ab"}
    assert (body["id"], body["usage"]["prompt_tokens"]) == ("cmpl-1", None)


def test_parts_that_only_this_format_has_make_the_content_a_list():
    events = [TextDelta(0, "a"), Extension("openai_chat:reference", REFERENCE, 1), Extension("gemini:x", "{}", 2)]
    message = render(Start(), *events, Finish("stop"))["choices"][0]["message"]
    assert message["content"] == [{"type": "text", "text": "a"}, json.loads(REFERENCE)]


def test_an_answer_that_goes_on_has_no_reason():
    body = json.loads(server.render(Fold([Start(), ReasoningDelta(0, "")]), Call(request=prompt("Hi"))))
    choice = body["choices"][0]
    assert choice == {
        "index": 0,
        "message": {"role": "assistant", "content": [{"type": "thinking", "thinking": []}]},
        "finish_reason": None,
    }


def test_a_whole_answer_that_failed_says_so():
    body = render(Start("1"), Failure("timeout", "too slow"))
    assert (body["choices"][0]["finish_reason"], body["error"]["message"]) == ("error", "too slow")


# The official client

HI = [{"role": "user", "content": "Hi"}]
JSON = {"content-type": "application/json"}


@pytest.fixture
def sdk():
    return pytest.importorskip("mistralai.client", reason="the official SDK is not installed")


def ask_mistral(sdk, body, ask, **answer):
    """What the client makes of an answer, and the calls that we read."""
    pieces = [piece + b"\n\n" for piece in body.split(b"\n\n")[:-1]] or [body]
    with serve(Answer(pieces, **answer)) as serving:
        with sdk.Mistral(api_key="key", server_url=serving.url) as client:
            result = ask(client)
        assert {request.path for request in serving.requests} == {server.path}
        return result, [server.parse(request.body, {}) for request in serving.requests]


def told(sdk, *events, body=None):
    """The chunks that the client reads."""
    body = body or write(*events)
    found, _ = ask_mistral(sdk, body, lambda client: [e.data for e in client.chat.stream(model="m", messages=HI)])
    return found


def test_the_client_reads_text_reasoning_calls_and_usage(sdk):
    body = write(*ANSWER)
    found = told(sdk, body=body.replace(b"\n\n", b"\n\n" + server.keep_alive))
    contents = [chunk.choices[0].delta.content for chunk in found]
    assert "".join(content for content in contents if isinstance(content, str)) == "Let me see\n"
    thinking = [part for content in contents if isinstance(content, list) for part in content]
    assert "".join(words.text for part in thinking for words in part.thinking) == "Hmm."
    assert thinking[-1].signature == "s"
    calls = [call for chunk in found for call in chunk.choices[0].delta.tool_calls or ()]
    assert [(call.id, call.index, call.function.name, call.function.arguments) for call in calls] == [
        ("call_a", 0, "add", '{"a":1}'),
        ("call_b", 1, "sub", '{"x":2}'),
    ]
    end = found[-1]
    assert (end.choices[0].finish_reason, end.usage.prompt_tokens, end.usage.total_tokens) == ("tool_calls", 9, 14)
    assert end.usage.prompt_tokens_details == {"cached_tokens": 4}


def test_the_client_reads_a_refusal_as_text_and_that_it_is_none_of_an_answer(sdk):
    *_, said, end = told(sdk, Start("1", "m"), RefusalDelta(0, "No."), BlockEnd(0), Finish("refusal"))
    assert (said.choices[0].delta.content, end.choices[0].finish_reason) == ("No.", "content_filter")


def test_the_client_reads_that_a_stream_failed(sdk):
    end = told(sdk, *ANSWER[:6], Usage(1, 2), Failure("overloaded", "too many"))[-1]
    assert (end.choices[0].finish_reason, end.usage.total_tokens) == ("error", 3)


def test_the_client_sends_a_conversation_back(sdk):
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}

    def ask(client):
        first = client.chat.complete(model="m", messages=HI, tools=[tool], tool_choice="any", random_seed=7)
        results = [
            {"role": "tool", "tool_call_id": "call_a", "name": "add", "content": "1"},
            {"role": "tool", "tool_call_id": "call_b", "content": "2"},
        ]
        said = first.choices[0].message
        client.chat.complete(model="m", messages=[*HI, said, *results], reasoning_effort="high", safe_prompt=True)
        return first

    answer, [first, second] = ask_mistral(sdk, server.render(Fold(ANSWER), CALL), ask, headers=JSON)
    assert (answer.choices[0].finish_reason, answer.usage.total_tokens) == ("tool_calls", 14)
    assert (first.request.tools[0].name, first.request.tool_choice, first.request.seed) == ("add", "required", 7)
    assert (second.request.reasoning.effort, second.request.extra) == ("high", {"safe_prompt": True})
    _, said, results = second.request.messages
    assert said == Fold(ANSWER).message
    assert [(result.id, result.name, result.content) for result in results.parts] == [
        ("call_a", "add", "1"),
        ("call_b", "sub", "2"),
    ]


def test_the_client_raises_an_error_before_the_stream(sdk):
    def ask(client):
        with pytest.raises(sdk.errors.SDKError, match="who are you") as caught:
            client.chat.complete(model="m", messages=HI)
        return caught.value

    status, body = server.error(Failure("auth", "who are you"))
    found, _ = ask_mistral(sdk, body, ask, status=status, headers=JSON)
    assert found.status_code == 401
