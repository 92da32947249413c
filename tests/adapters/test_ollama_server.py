"""Ollama's format as we serve it: what its readers make of what we write, Ollama's own client among them."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from answers import STATUSES
from strategies import EVENTS, distinct, streams
from streamcore.adapter import Adapter
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
from streamcore.message import Fold
from streamcore.request import Message, Reasoning, Request, Text, Tool, ToolCall, ToolResult, prompt
from streamcore.testing import Answer, read, serve
from streamcore_adapters import ollama
from streamcore_adapters.ollama import server as dialect

CALL = Call(request=structs.replace(prompt("hi"), model="m"), created=1_700_000_000)
TIME = "2023-11-14T22:13:20Z"
NO_ID = '{"id":null}'
PNG = b"\x89PNG\r\n"


def write(events, call=CALL):
    encoder = dialect.Encoder(call)
    return b"".join(encoder.feed(event) for event in events)


def said(*events, call=CALL):
    """The lines of an answer."""
    return [json.loads(line) for line in write([Start(None, "m"), *events], call).splitlines()]


def messages(*events):
    return [{k: v for k, v in line["message"].items() if k != "role"} for line in said(*events)]


def lost(*events):
    encoder = dialect.Encoder(CALL)
    for event in events:
        encoder.feed(event)
    return encoder.lost


def cut(body, places):
    bounds = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(bounds)]


def media_type(data):
    known = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp", b"GIF8": "image/gif"}
    return next((name for magic, name in known.items() if data.startswith(magic)), "application/octet-stream")


class Normal:
    """What a reader makes of the events: the normal form that the server's docstring describes."""

    def __init__(self, events):
        self.out = []
        self.model, self.open, self.indexes = events[0].model or None, {}, {}
        self.count, self.malformed, self.calls, self.usage = 0, False, 0, None
        self.durations, self.host = {}, None
        for event in events[1:]:
            self.add(event)
        if len(self.out) > 1 or isinstance(self.out[-1], Finish):  # there is a line that names the model
            self.out = [Start(None, self.model), *([self.host] if self.host else []), *self.out]
        else:
            self.out = [Start(), *self.out]

    def begin(self):
        self.count += 1
        return self.count - 1

    def say(self, kind, text):
        if text:
            if kind not in self.indexes:
                self.indexes[kind] = self.begin()
            self.out.append(kind(self.indexes[kind], text))

    def add(self, event):
        match event:
            case Usage():
                self.usage = event
            case Finish():
                self.finish(event)
            case Failure():
                self.out.append(Failure("server", event.message or event.kind))
            case Extension(index=None):
                if event.name == "ollama:logprobs":
                    self.out.append(event)
                elif event.name == "ollama:remote_host" and not self.out:
                    self.host = event
                elif event.name == "ollama:eval_duration":
                    self.durations[event.name] = event
            case BlockEnd():
                self.close(self.open.pop(event.index), event.opaque)
            case _:
                self.open.setdefault(event.index, []).append(event)
                if isinstance(event, TextDelta | RefusalDelta | ReasoningDelta):
                    self.say(ReasoningDelta if isinstance(event, ReasoningDelta) else TextDelta, event.text)

    def close(self, block, own):
        first = block[0]
        if isinstance(first, ToolCallStart):
            arguments = "".join(e.arguments for e in block if isinstance(e, ToolCallDelta)) or "{}"
            self.call(first, arguments, made_up=own == NO_ID)
        elif isinstance(first, Attachment) and first.media_type.startswith("image/"):
            pieces = [e.data for e in block if isinstance(e, Attachment) and e.data is not None]
            if pieces:
                index = self.begin()
                data = b"".join(pieces)
                self.out += [Attachment(index, media_type(data), data), BlockEnd(index)]

    def call(self, start, arguments, *, made_up):
        try:
            good = isinstance(json.loads(arguments), dict)
        except ValueError:
            good = False
        if not good:
            self.malformed = True
            return
        index = self.begin()
        self.calls += 1
        id = "" if made_up else start.id
        self.out += [
            ToolCallStart(index, id or f"call_20231114T221320Z_{index}", start.name),
            ToolCallDelta(index, arguments),
            BlockEnd(index, None if id else NO_ID),
        ]

    def finish(self, finish):
        reason = "stop" if finish.reason == "tool_calls" else finish.reason
        if self.malformed and reason != "length":
            self.out.append(Failure("server", ""))
            return
        self.out += [*self.durations.values(), *(BlockEnd(index) for index in sorted(self.indexes.values()))]
        raw = "load" if reason == "other" and finish.raw == "load" else reason
        unified = reason if reason in {"stop", "length"} else "other"
        self.out.append(Finish("tool_calls" if reason == "stop" and self.calls else unified, raw))


def merged(events):
    """Adjacent deltas of one block as one; nothing of the usage, which has tests of its own."""
    out = []
    for event in events:
        joins = isinstance(event, TextDelta | ReasoningDelta) and type(out[-1]) is type(event)
        if joins and out[-1].index == event.index:
            out[-1] = structs.replace(event, text=out[-1].text + event.text)
        elif not isinstance(event, Usage):
            out.append(event)
    return out


def check_round_trip(events, places):
    call = Call(request=Request(messages=()), created=1_700_000_000)
    encoder = dialect.Encoder(call)
    body = b"".join(encoder.feed(event) for event in events)
    assert encoder.lost.keys() <= dialect.losses.keys()
    found = read(ollama, cut(body, places))
    normal = Normal(events)
    if isinstance(normal.out[-1], Failure) and normal.malformed:
        assert (found[-1].kind, bool(found[-1].message)) == ("server", True)
        found, normal.out = found[:-1], normal.out[:-1]
    assert merged(found) == merged(normal.out)
    counts = Fold(found).usage or Usage()
    if isinstance(found[-1], Finish):
        usage = normal.usage or Usage()
        assert counts == Usage(usage.input_tokens, usage.output_tokens)


JSON_OBJECT = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5), max_size=2).map(json.dumps)
ARGUMENTS = JSON_OBJECT | st.sampled_from(["", "{}", "[1]", '{"city":', '{"deep": {"π": [1.50, null]}}'])
CUTS = st.lists(st.integers(0, 100_000), max_size=8)


@st.composite
def answers(draw):
    """The events of one answer with all that Ollama has a place for."""
    events = [draw(EVENTS[Start])]
    events += draw(st.sampled_from([[], [Extension("ollama:remote_host", '"https://ollama.com:443"')]]))
    for index in range(draw(st.integers(0, 6))):
        block = draw(
            st.one_of(
                st.lists(st.builds(TextDelta, st.just(index), st.text(max_size=6)), min_size=1, max_size=3),
                st.lists(st.builds(ReasoningDelta, st.just(index), st.text(max_size=6)), min_size=1, max_size=3),
                st.tuples(
                    st.builds(ToolCallStart, st.just(index), st.sampled_from(["", "a", "b"]), st.sampled_from("fg")),
                    st.builds(ToolCallDelta, st.just(index), ARGUMENTS),
                ),
                st.tuples(st.builds(Attachment, st.just(index), st.just("image/png"), st.sampled_from([PNG, b"?"]))),
            )
        )
        events += [*block, BlockEnd(index, draw(st.sampled_from([None, NO_ID, '{"signature":"x"}'])))]
        events += draw(st.sampled_from([[], [Extension("ollama:logprobs", '[{"token":"a"}]')]]))
        events += draw(st.lists(EVENTS[Usage], max_size=1))
    events += draw(st.sampled_from([[], [Extension("ollama:eval_duration", "12")]]))
    return [*events, draw(EVENTS[Finish] | EVENTS[Failure] | st.just(Finish("other", "load")))]


@given(streams(), CUTS)
def test_any_stream_reads_back_in_normal_form(events, places):
    check_round_trip(events, places)


@given(answers().map(distinct), CUTS)
def test_an_answer_with_all_that_ollama_has_reads_back_in_normal_form(events, places):
    check_round_trip(events, places)


def test_the_package_is_an_adapter_and_a_dialect():
    assert isinstance(ollama, Adapter)
    assert isinstance(dialect, Dialect)
    assert (dialect.path, dialect.content_type, dialect.keep_alive) == ("/api/chat", "application/x-ndjson", b"")


def test_a_line_is_what_ollama_sends():
    assert write([Start(None, "qwen3:4b"), TextDelta(0, "Hi")]) == (
        b'{"model":"qwen3:4b","message":{"role":"assistant","content":"Hi"},"done":false,'
        b'"created_at":"2023-11-14T22:13:20Z"}\n'
    )


def test_what_is_not_known_is_left_out():
    call = Call(request=Request(messages=()))
    assert write([Start(), TextDelta(0, "Hi")], call) == (
        b'{"model":"","message":{"role":"assistant","content":"Hi"},"done":false}\n'
    )


def test_the_call_names_a_model_that_does_not():
    assert json.loads(write([Start(), TextDelta(0, "Hi")]))["model"] == "m"


def test_the_last_line_has_the_counts_and_the_times():
    times = ["total_duration", "load_duration", "prompt_eval_duration", "eval_duration"]
    facts = [Extension(f"ollama:{name}", "7") for name in times]
    [line] = said(*facts, Usage(3, 2), Finish("stop"))
    assert line == {
        "model": "m",
        "created_at": TIME,
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 3,
        "eval_count": 2,
        **dict.fromkeys(times, 7),
    }


def test_reasoning_is_thinking_and_a_refusal_is_content():
    assert messages(ReasoningDelta(0, "hm"), RefusalDelta(1, "No.")) == [
        {"content": "", "thinking": "hm"},
        {"content": "No."},
    ]
    assert lost(RefusalDelta(0, "No"), RefusalDelta(0, ".")) == {"RefusalDelta": 1}


def test_parallel_calls_are_written_whole_and_numbered():
    events = [
        ToolCallStart(0, "a", "f"),
        ToolCallStart(1, "b", "g"),
        ToolCallDelta(1, '{"x": '),
        ToolCallDelta(1, "1.50}"),
        BlockEnd(1),
        BlockEnd(0, NO_ID),
    ]
    assert b'"arguments":{"x": 1.50}' in write([Start(), *events])
    assert [message["tool_calls"] for message in messages(*events)] == [
        [{"function": {"index": 0, "name": "g", "arguments": {"x": 1.5}}, "id": "b"}],
        [{"function": {"index": 1, "name": "f", "arguments": {}}}],
    ]


def test_arguments_over_several_lines_become_one():
    body = write([Start(), ToolCallStart(0, "c", "f"), ToolCallDelta(0, '\n{\r\n "x":\n 1.50}\n'), BlockEnd(0)])
    assert b'"arguments":{"x":1.50}' in body


@pytest.mark.parametrize("arguments", ["[1]", "{", "nonsense", "\n", '"\ud800"', "[" * 100_000])
def test_arguments_that_are_no_object_end_the_answer_badly(arguments):
    events = [ToolCallStart(0, "c", "f"), ToolCallDelta(0, arguments), BlockEnd(0), Finish("tool_calls")]
    assert said(*events) == [{"error": "the arguments of a call of f are not a JSON object"}]
    assert lost(*events) == {"ToolCallDelta": 1}
    assert lost(Start(None, "m"), *events) == {"ToolCallDelta": 1, "Start.model": 1}


def test_a_call_that_a_limit_cut_is_left_out():
    events = [ToolCallStart(0, "c", "f"), ToolCallDelta(0, '{"x'), BlockEnd(0), Finish("length")]
    assert [line["done_reason"] for line in said(*events)] == ["length"]


def test_an_image_is_written_when_it_is_whole():
    events = [Attachment(0, "image/png", PNG[:2]), Attachment(0, "image/png", PNG[2:]), BlockEnd(0)]
    assert messages(*events) == [{"content": "", "images": ["iVBORw0K"]}]
    assert not lost(*events)


@pytest.mark.parametrize(
    ("attachment", "key"),
    [
        (Attachment(0, "audio/wav", b"RIFF"), {"Attachment": 1}),
        (Attachment(0, "image/png", None, "https://a"), {"Attachment": 1, "Attachment.url": 1}),
        (Attachment(0, "image/avif", b"?"), {"Attachment.media_type": 1}),
    ],
)
def test_what_is_no_image_is_lost(attachment, key):
    assert lost(attachment, BlockEnd(0)) == key


def test_likelihoods_are_a_line_of_their_own():
    [line] = said(Extension("ollama:logprobs", '[{"token":"a"}]'))
    assert (line["logprobs"], line["message"]["content"]) == ([{"token": "a"}], "")


@pytest.mark.parametrize(
    "extension",
    [
        Extension("gemini:safety_ratings", "[]"),
        Extension("ollama:logprobs", "{}"),
        Extension("ollama:remote_host", "1"),
        Extension("ollama:eval_duration", "soon"),
        Extension("ollama:what", "1"),
        Extension("ollama:logprobs", "[]", 0),
    ],
)
def test_other_extensions_are_lost(extension):
    assert lost(extension) == {"Extension": 1}


def test_the_server_that_answered_is_named_by_the_first_line_alone():
    host = Extension("ollama:remote_host", '"https://ollama.com:443"')
    assert [line.get("remote_host") for line in said(host, TextDelta(0, "a"), TextDelta(0, "b"))] == [
        "https://ollama.com:443",
        None,
    ]
    assert lost(TextDelta(0, "a"), host) == {"Extension": 1}


def test_what_has_no_place_is_counted():
    usage = Usage(1, 2, 3, 4, 5, 6, 7, 8, 9)
    events = [Start("id", "m"), usage, TextDelta(0, "a"), Citation(0, "https://a"), BlockEnd(0, '{"x":1}')]
    assert lost(*events, Finish("refusal")) == {
        "Start.id": 1,
        "Usage.cache_read_tokens": 1,
        "Usage.cache_write_tokens": 1,
        "Usage.reasoning_tokens": 1,
        "Usage.input_audio_tokens": 1,
        "Usage.output_audio_tokens": 1,
        "Usage.input_image_tokens": 1,
        "Usage.output_image_tokens": 1,
        "Citation": 1,
        "BlockEnd.opaque": 1,
        "Finish.reason": 1,
    }


@pytest.mark.parametrize(
    ("finish", "word"),
    [
        (Finish("stop", "end_turn"), "stop"),
        (Finish("tool_calls"), "stop"),
        (Finish("length"), "length"),
        (Finish("other", "load"), "load"),
        (Finish("other"), "other"),
        (Finish("content_filter", "load"), "content_filter"),
    ],
)
def test_finish_reasons_are_ollamas_where_it_has_one(finish, word):
    assert said(finish)[0]["done_reason"] == word


@pytest.mark.parametrize("kind", FailureKind.__args__)
def test_a_failure_ends_a_stream_with_an_error_and_is_not_done(kind):
    body = write([Start(None, "m"), TextDelta(0, "a"), Failure(kind, "it broke")])
    assert b'"done":true' not in body
    assert body.endswith(b'{"error":"it broke"}\n')
    assert read(ollama, [body])[-1] == Failure("server", "it broke")


@pytest.mark.parametrize("kind", FailureKind.__args__)
def test_an_error_before_the_stream_has_its_status(kind):
    assert dialect.error(Failure(kind, "it broke")) == (STATUSES[kind], b'{"error":"it broke"}')


def test_an_error_always_says_something():
    assert dialect.error(Failure("timeout", "")) == (504, b'{"error":"timeout"}')
    assert write([Start(), Failure("timeout", "")]) == b'{"error":"timeout"}\n'


def test_of_a_failure_the_words_remain():
    failure = Failure("timeout", "no", "idle", 504, "c", 1.0, True, "id")
    assert lost(Start(), Usage(1), failure) == {
        "Failure.kind": 1,
        "Failure.detail": 1,
        "Failure.status": 1,
        "Failure.code": 1,
        "Failure.retry_after": 1,
        "Failure.should_retry": 1,
        "Failure.request_id": 1,
        "Usage": 1,
    }
    assert not lost(Start(), Failure("server", "no"))


WHOLE = [
    Start("r", "m"),
    Extension("ollama:remote_host", '"https://a"'),
    ReasoningDelta(0, "hm"),
    BlockEnd(0),
    TextDelta(1, "so"),
    BlockEnd(1),
    ReasoningDelta(2, "!"),
    BlockEnd(2),
    RefusalDelta(3, " no"),
    BlockEnd(3),
    ToolCallStart(4, "c", "f"),
    ToolCallDelta(4, '{"x":1}'),
    BlockEnd(4),
    Attachment(5, "image/png", PNG),
    BlockEnd(5),
    Extension("cohere:what", "{}", 6),
    BlockEnd(6),
    Extension("ollama:logprobs", "[]"),
    Extension("ollama:eval_duration", "7"),
    Usage(3, 2),
]
MESSAGE = {
    "role": "assistant",
    "content": "so no",
    "thinking": "hm!",
    "tool_calls": [{"function": {"index": 0, "name": "f", "arguments": {"x": 1}}, "id": "c"}],
    "images": ["iVBORw0K"],
}


def render(*events):
    return json.loads(dialect.render(Fold(events), CALL))


def test_a_whole_answer_is_one_object():
    assert render(*WHOLE, Finish("tool_calls")) == {
        "model": "m",
        "created_at": TIME,
        "message": MESSAGE,
        "done": True,
        "done_reason": "stop",
        "remote_host": "https://a",
        "logprobs": [],
        "eval_duration": 7,
        "prompt_eval_count": 3,
        "eval_count": 2,
    }


def test_a_whole_answer_that_has_not_ended_is_not_done():
    assert render(Start(), TextDelta(0, "a")) == {
        "model": "m",
        "created_at": TIME,
        "message": {"role": "assistant", "content": "a"},
        "done": False,
    }


def test_a_whole_answer_that_failed_is_an_error():
    assert render(*WHOLE, Failure("overloaded", "no")) == {"error": "no"}
    call = [ToolCallStart(0, "c", "f"), ToolCallDelta(0, "["), BlockEnd(0)]
    assert render(Start(), *call, Finish("stop")) == {"error": "the arguments of a call of f are not a JSON object"}


ANSWER = [
    Start("r", "qwen3:4b"),
    ReasoningDelta(0, "Hm."),
    BlockEnd(0),
    TextDelta(1, "Mö"),
    TextDelta(1, "bel."),
    BlockEnd(1),
    RefusalDelta(2, " No."),
    BlockEnd(2),
    ToolCallStart(3, "c1", "f"),
    ToolCallDelta(3, '{"x":1}'),
    BlockEnd(3),
    ToolCallStart(4, "c2", "g"),
    BlockEnd(4),
    Usage(9, 7),
    Finish("tool_calls"),
]


def ask_ollama(body, ask, **answer):
    """What Ollama's own client makes of an answer, and the requests that it sent, as we read them."""
    client = pytest.importorskip("ollama", reason="Ollama's client is not installed")
    with serve(Answer([body], **answer)) as server:
        with client.Client(host=server.url) as asking:
            result = ask(asking)
        assert {request.path for request in server.requests} == {dialect.path}
        return result, [dialect.parse(request.body, {}) for request in server.requests]


def test_ollamas_client_reads_a_stream():
    found, [call] = ask_ollama(
        write(ANSWER),
        lambda client: list(client.chat("qwen3:4b", [{"role": "user", "content": "hi"}], stream=True, think="low")),
    )
    assert call.request == Request(
        messages=(Message("user", "hi"),), model="qwen3:4b", reasoning=Reasoning(effort="low")
    )
    assert "".join(part.message.thinking or "" for part in found) == "Hm."
    assert "".join(part.message.content for part in found) == "Möbel. No."
    calls = [call.function for part in found for call in part.message.tool_calls or ()]
    assert [(call.name, call.arguments) for call in calls] == [("f", {"x": 1}), ("g", {})]
    end = found[-1]
    assert (end.done, end.done_reason, end.prompt_eval_count, end.eval_count) == (True, "stop", 9, 7)


def test_ollamas_client_sends_a_conversation_back():
    def ask(client):
        turns = [{"role": "user", "content": "hi", "images": [PNG]}]
        answer = client.chat("qwen3:4b", turns, tools=[{"function": {"name": "f"}}], options={"num_ctx": 9, "seed": 1})
        result = {"role": "tool", "tool_name": "f", "content": "1"}
        client.chat("qwen3:4b", [*turns, answer.message, result])

    body = dialect.render(Fold(ANSWER), CALL)
    _, [first, second] = ask_ollama(body, ask, headers={"content-type": "application/json"})
    assert (first.stream, first.request.tools, first.request.seed) == (False, (Tool("f"),), 1)
    assert first.request.extra == {"options": {"num_ctx": 9}}
    _, answer, results = second.request.messages
    assert answer.parts[1:] == (
        Text(text="Möbel. No."),
        ToolCall(id="call_1_0", name="f", arguments='{"x":1}', opaque=NO_ID),
        ToolCall(id="call_1_1", name="g", arguments="{}", opaque=NO_ID),
    )
    assert results.parts == (ToolResult(id="call_1_0", name="f", content="1"),)


def test_ollamas_client_raises_an_error_in_the_stream():
    def ask(client):
        with pytest.raises(Exception, match="too many") as caught:
            list(client.chat("m", [{"role": "user", "content": "hi"}], stream=True))
        return caught.value

    found, _ = ask_ollama(write([*ANSWER[:5], Failure("overloaded", "too many")]), ask)
    assert type(found).__name__ == "ResponseError"


def test_ollamas_client_raises_an_error_before_the_stream():
    def ask(client):
        with pytest.raises(Exception, match="no such model") as caught:
            list(client.chat("m", [{"role": "user", "content": "hi"}], stream=True))
        return caught.value

    status, body = dialect.error(Failure("not_found", "no such model"))
    found, _ = ask_ollama(body, ask, status=status, headers={"content-type": "application/json"})
    assert found.status_code == 404


def test_blocks_that_become_one_text_are_counted():
    both = [TextDelta(0, "a"), ReasoningDelta(1, "b"), RefusalDelta(2, "c"), ReasoningDelta(3, "d"), TextDelta(0, "e")]
    assert lost(Start(), *both) == {"RefusalDelta": 1, "TextDelta.index": 1, "ReasoningDelta.index": 1}


def test_a_call_that_is_written_behind_what_came_beside_it_is_counted():
    assert lost(Start(), ToolCallStart(0, "c", "f"), TextDelta(1, "a"), BlockEnd(0)) == {"ToolCallStart.index": 1}


@pytest.mark.parametrize(
    ("finish", "expected"),
    [
        (Finish("stop", "end_turn"), {"Finish.raw": 1, "Finish.reason": 1}),
        (Finish("tool_calls", "stop"), {}),
        (Finish("length", "max_tokens"), {"Finish.raw": 1}),
    ],
)
def test_what_becomes_of_the_end_of_an_answer_with_a_call_is_counted(finish, expected):
    assert lost(Start(), ToolCallStart(0, "c", "f"), BlockEnd(0), finish) == expected


def test_what_waited_for_the_end_is_lost_with_an_answer_that_fails():
    facts = [Extension("ollama:total_duration", "5"), Extension("ollama:remote_host", '"h"')]
    events = [Start(None, "m"), *facts, Attachment(0, "image/png", b"1"), Failure("server", "x")]
    assert lost(*events) == {"Start.model": 1, "Extension": 2, "Attachment": 1}
