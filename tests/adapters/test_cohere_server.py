"""Cohere's format as we serve it: what its readers make of what we write, Cohere's own client among them."""

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
from streamcore import sse
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
from streamcore.request import File, Message, Reasoning, ReasoningPart, Tool, ToolCall, ToolResult, prompt
from streamcore.testing import Answer, check_truncation, read, serve
from streamcore_adapters import cohere
from streamcore_adapters.cohere import server as dialect

CALL = Call(request=prompt("Hi"), id="asked")
PLAN = '{"tool_plan":true}'
KINDS = {
    TextDelta: "text",
    RefusalDelta: "text",
    Citation: "text",
    ReasoningDelta: "thinking",
    ToolCallStart: "call",
}
OWN = {"start": 0, "end": 2, "text": "Hi", "sources": [{"type": "tool", "id": "f:0", "tool_output": {"url": "u"}}]}
LOOSE = [
    Extension("cohere:debug", '"the\\nprompt"'),
    Extension("cohere:logprobs", '{"text":"Hi",\n"token_ids":[1],"logprobs":[-0.50]}'),
    Extension("cohere:billed_units", '{"input_tokens":3.0,"output_tokens":1}'),
    Extension("cohere:citations", json.dumps(OWN)),
    Extension("cohere:citations", "[]"),
    Extension("cohere:debug", "null"),
    Extension("cohere:billed_units", "{"),
    Extension("cohere:what", "1"),
]


def write(*events, call=CALL):
    encoder = dialect.Encoder(call)
    body = b"".join(encoder.feed(event) for event in events)
    assert encoder.lost.keys() <= dialect.losses.keys()
    return body


def sent(*events):
    """The JSON of the events of an answer, after its start."""
    frames = sse.Parser().feed(write(Start(), *events))
    found = [json.loads(frame.data) for frame in frames if frame.data != b"[DONE]"]
    assert [event["type"] for event in found] == [frame.event for frame in frames if frame.data != b"[DONE]"]
    return found[1:]


def names(*events):
    return [event["type"].replace("content", str(event.get("index", ""))) for event in sent(*events)]


def lost(*events):
    encoder = dialect.Encoder(CALL)
    for event in (Start(), *events):
        encoder.feed(event)
    return encoder.lost


def cut(body, places):
    bounds = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(bounds)]


# Round trips


def in_turn(events):
    """The events in the order in which they are written: what comes beside a call waits for its end."""
    out, call, waiting = [], None, {}
    for event in events:
        index = getattr(event, "index", None)
        if isinstance(event, Failure):
            out += [held for block in waiting.values() for held in block]
        if index is None:
            out.append(event)
            continue
        if call not in {None, index}:
            waiting.setdefault(index, []).append(event)
            continue
        queue = [event]
        while queue:
            out.append(queue.pop(0))
            if isinstance(out[-1], ToolCallStart):
                call = out[-1].index
            elif isinstance(out[-1], BlockEnd) and out[-1].index == call:
                call = None
            if not queue and call is None and waiting:
                queue = waiting.pop(next(iter(waiting)))
    return out


class Normal:
    """What a reader makes of the events: the normal form that the server's docstring describes."""

    def __init__(self, events):
        self.out = []
        self.count = self.contents = 0
        self.kinds, self.numbers, self.front = {}, {}, None  # of our blocks: what, and the reader's; which is open
        self.wires, self.said, self.base, self.cited = {}, {}, {}, {}
        self.usage, self.billed, self.loose, self.called = Usage(), [], [], False
        for event in in_turn(events):
            self.add(event)

    def begin(self, index):
        self.stop()
        self.numbers[index] = self.count
        self.count += 1

    def stop(self):
        if self.front is not None:
            self.out.append(BlockEnd(self.numbers[self.front]))
        self.front = None

    def add(self, event):
        match event:
            case Start():
                self.out.append(Start(event.id or CALL.id))
            case Usage():
                self.usage = event
            case Finish() | Failure():
                self.end(event)
            case Extension(index=None):
                self.extend(event)
            case _:
                kind = self.kinds.setdefault(event.index, KINDS.get(type(event), ""))
                self.content(event, event.index, kind)

    def extend(self, event):
        if event.raw in {"null", "{"}:
            return
        if event.name == "cohere:debug" or (event.name == "cohere:logprobs" and self.front is not None):
            self.out.append(event)
        elif event.name == "cohere:billed_units":
            self.billed = [event]
        elif event.name == "cohere:citations":
            self.loose.append(event)

    def content(self, event, index, kind):
        match event:
            case TextDelta() | RefusalDelta() | ReasoningDelta() if event.text:
                self.say(index, kind, event.text)
            case ToolCallStart():
                self.begin(index)
                self.called = True
                number = self.numbers[index]
                self.out.append(ToolCallStart(number, event.id or f"call_{number}", event.name))
            case ToolCallDelta() if event.arguments:
                self.out.append(ToolCallDelta(self.numbers[index], event.arguments))
            case Citation() if kind in {"text", "thinking"} and index in self.wires:
                self.cite(index, kind, event)
            case Citation():
                self.cited.setdefault(index, []).append(event)
            case BlockEnd() if kind == "call":
                self.out.append(BlockEnd(self.numbers[index]))
            case BlockEnd() if index == self.front:
                self.stop()

    def say(self, index, kind, text):
        if index != self.front:
            self.begin(index)
            self.front = index
            self.base[index] = len(self.said.get(index, ""))
            self.wires[index] = self.contents
            self.contents += 1
        self.said[index] = self.said.get(index, "") + text
        self.out.append((TextDelta if kind == "text" else ReasoningDelta)(self.numbers[index], text))
        for citation in self.cited.pop(index, ()):
            self.cite(index, kind, citation)

    def cite(self, index, kind, event):
        base, number = self.base[index], self.wires[index]
        own = event.raw and json.loads(event.raw)
        place = {"type": "TEXT_CONTENT" if kind == "text" else "THINKING_CONTENT", "content_index": number}
        ends = {"start": event.start, "end": event.end}
        ends = {name: at - base for name, at in ends.items() if at is not None}
        if all(at >= 0 for at in ends.values()):
            place |= ends
            place |= {"text": self.said[index][base:][ends["start"] : ends["end"]]} if len(ends) == 2 else {}
        if not own or "sources" not in own:
            document = {"url": event.url, "title": event.title, "snippet": event.text}
            document = {name: value for name, value in document.items() if value is not None}
            found = {"sources": [{"type": "document", "document": document}], **place}
        elif (
            base
            or own.get("content_index", number if index == self.front else None) != number
            or own.get("type", "TEXT_CONTENT") != place["type"]
        ):
            found = {"sources": own["sources"], **place}
        else:
            found = own
        raw = json.dumps(found, sort_keys=True)
        if index != self.front:
            self.out.append(Extension("cohere:citations", raw))
            return
        source = found["sources"][0]
        said = source.get("document") or source.get("tool_output") or {}
        start, end = found.get("start"), found.get("end")
        self.out.append(
            Citation(self.numbers[index], said.get("url"), said.get("title"), start=start, end=end, raw=raw)
        )

    def end(self, event):
        self.usage = structs.replace(
            self.usage,
            cache_write_tokens=None,
            input_audio_tokens=None,
            output_audio_tokens=None,
            output_image_tokens=None,
        )
        report = [*([] if self.usage == Usage() else [self.usage]), *self.billed]
        if isinstance(event, Failure):
            code = event.code or CODES.get(event.kind, "server_error")
            self.out += [*report, Failure(as_read(event.kind, event.code), event.message or event.kind, code=code)]
            return
        word = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}.get(event.reason)
        reason = event.reason if word else "other"
        if event.reason == "stop" and self.called:
            word, reason = "TOOL_CALL", "tool_calls"
        elif (event.reason, event.raw) == ("stop", "STOP_SEQUENCE"):
            word = event.raw
        self.out += [*self.loose, *report, Finish(reason, word or event.reason.upper())]


CODES = {
    "auth": "authentication_error",
    "permission": "permission_error",
    "invalid": "invalid_request_error",
    "not_found": "not_found_error",
    "quota": "insufficient_quota",
    "rate_limit": "rate_limit_error",
    "overloaded": "overloaded_error",
    "timeout": "timeout_error",
    "cancelled": "cancelled",
}


def as_read(kind, code):
    """What a reader makes of a kind: what the code says, if that is a known word."""
    said = next((name for name, word in CODES.items() if word == code), None)
    if code and said is None and kind != "timeout":
        return "server"
    return said or (kind if kind in CODES else "server")


def settled(events):
    """The events, what is Cohere's own as JSON of one form."""
    out = []
    for event in events:
        own = isinstance(event, Citation | Extension)
        out.append(structs.replace(event, raw=json.dumps(json.loads(event.raw), sort_keys=True)) if own else event)
    return out


PLACES = st.none() | st.integers(0, 4)


def own(event):
    """The event, or one with what this format has a place for in its stead."""
    match event:
        case ToolCallStart():
            return st.builds(ToolCallStart, st.just(event.index), st.sampled_from(["", f"c{event.index}"]), TEXT)
        case Citation():
            foreign = st.builds(
                lambda start, end, raw: structs.replace(event, start=start, end=end, raw=raw, text="q"),
                PLACES,
                PLACES,
                st.sampled_from([None, "{}", '{"url":"x"}']),
            )
            named = st.sampled_from([{}, {"content_index": 0}, {"content_index": 1}])
            mine = named.map(
                lambda more: Citation(event.index, "u", start=0, end=2, raw=json.dumps({**OWN, **more}, indent=1))
            )
            return foreign | mine
        case Extension(index=None):
            return st.sampled_from(LOOSE)
        case BlockEnd():
            return st.sampled_from([None, PLAN, "{}"]).map(lambda opaque: BlockEnd(event.index, opaque))
        case Finish():
            return st.just(event) | st.just(Finish("stop", "STOP_SEQUENCE"))
    return st.just(event)


@st.composite
def answers(draw):
    return [draw(own(event)) for event in draw(streams())]


@given(answers().map(distinct), st.lists(st.integers(0, 100_000), max_size=8))
def test_any_stream_reads_back_in_normal_form(events, places):
    found = read(cohere, cut(write(*events), places))
    assert settled(found) == settled(Normal(events).out)


@given(answers().map(distinct))
def test_only_a_good_end_says_done(events):
    body = write(*events)
    assert body.endswith(b"data: [DONE]\n\n") == isinstance(events[-1], Finish)
    assert body.count(b"event: message-end\n") == 1


@given(answers().map(distinct))
def test_what_an_adapter_read_is_written_without_loss(events):
    once = read(cohere, [write(*events)])
    encoder = dialect.Encoder(CALL)
    twice = read(cohere, [b"".join(encoder.feed(event) for event in once)])
    assert settled(twice) == settled(Normal(once).out)
    if not isinstance(once[-1], Failure):
        assert encoder.lost.keys() <= {"Finish.reason", "Finish.raw"}


@pytest.mark.parametrize("row", params("streams-chat_v2"))
def test_a_recording_is_written_as_it_was(row):
    once = read(cohere, [row.body])
    encoder = dialect.Encoder(CALL)
    twice = read(cohere, [b"".join(encoder.feed(event) for event in once)])
    assert encoder.lost.keys() <= {"BlockEnd.opaque"}  # a plan is reasoning
    assert settled(twice) == settled(BlockEnd(e.index) if isinstance(e, BlockEnd) else e for e in once)


ANSWER = [
    Start("msg_1", "a-model"),
    ReasoningDelta(0, "Hm"),
    ReasoningDelta(0, "m."),
    BlockEnd(0, '{"signature":"s"}'),
    TextDelta(1, "It is "),
    TextDelta(1, "5\n"),
    Citation(1, "https://a", "A", "five", 6, 7),
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
    check_truncation(cohere, write(*ANSWER))


def test_it_is_a_dialect():
    assert isinstance(dialect, Dialect)
    assert (dialect.path, dialect.content_type) == ("/v2/chat", "text/event-stream")


def test_a_keep_alive_says_nothing():
    body = write(*ANSWER)
    assert read(cohere, [body.replace(b"\n\n", b"\n\n" + dialect.keep_alive)]) == read(cohere, [body])


# What is written


def test_an_answer_is_what_cohere_sends():
    assert write(Start("msg_1"), TextDelta(0, "Hi"), BlockEnd(0), Usage(70, 1), Finish("stop")) == (
        b'event: message-start\ndata: {"id":"msg_1","type":"message-start","delta":{"message":{"role":"assistant",'
        b'"content":[],"tool_plan":"","tool_calls":[],"citations":[]}}}\n\n'
        b'event: content-start\ndata: {"type":"content-start","index":0,"delta":{"message":{"content":'
        b'{"type":"text","text":""}}}}\n\n'
        b'event: content-delta\ndata: {"type":"content-delta","index":0,"delta":{"message":{"content":'
        b'{"text":"Hi"}}}}\n\n'
        b'event: content-end\ndata: {"type":"content-end","index":0}\n\n'
        b'event: message-end\ndata: {"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":'
        b'{"tokens":{"input_tokens":70,"output_tokens":1}}}}\n\n'
        b"data: [DONE]\n\n"
    )


def test_the_first_delta_of_a_text_looks_like_the_others():
    first, second = (event for event in sent(TextDelta(0, "a"), TextDelta(0, "a")) if event["type"] == "content-delta")
    assert first == second


def test_the_call_names_an_answer_that_does_not():
    assert read(cohere, [write(Start(), Finish("stop"))])[0] == Start("asked")


def test_a_block_gives_way_to_the_next_and_goes_on_as_a_new_one():
    events = [ReasoningDelta(0, "a"), TextDelta(1, "b"), ReasoningDelta(0, "c"), BlockEnd(1), BlockEnd(0)]
    assert names(*events) == [
        "0-start",
        "0-delta",
        "0-end",
        "1-start",
        "1-delta",
        "1-end",
        "2-start",
        "2-delta",
        "2-end",
    ]


def test_calls_come_one_after_the_other():
    calls = [event for event in sent(*ANSWER[1:]) if event["type"].startswith("tool-call")]
    assert [(event["type"], event["index"]) for event in calls] == [
        ("tool-call-start", 0),
        ("tool-call-delta", 0),
        ("tool-call-end", 0),
        ("tool-call-start", 1),
        ("tool-call-delta", 1),
        ("tool-call-delta", 1),
        ("tool-call-end", 1),
    ]


def test_what_waits_for_a_call_is_written_before_a_failure():
    events = [ToolCallStart(0, "a", "f"), ToolCallStart(1, "b", "g"), TextDelta(2, "x"), Failure("server", "broke")]
    assert names(*events) == ["tool-call-start", "tool-call-start", "0-start", "0-delta", "message-end"]


def cited(*events):
    return [event["delta"]["message"]["citations"] for event in sent(*events) if event["type"] == "citation-start"]


def test_a_source_of_another_provider_is_a_document():
    assert cited(*ANSWER[1:]) == [
        {
            "start": 6,
            "end": 7,
            "text": "5",
            "type": "TEXT_CONTENT",
            "content_index": 1,
            "sources": [{"type": "document", "document": {"url": "https://a", "title": "A", "snippet": "five"}}],
        }
    ]


def test_a_source_of_coheres_is_sent_as_it_was():
    raw = json.dumps({**OWN, "content_index": 0, "more": 1.50})
    assert f'"citations":{raw}'.encode() in write(Start(), TextDelta(0, "Hi"), Citation(0, raw=raw))


def test_a_source_of_coheres_moves_along_with_its_words():
    plan = json.dumps({**OWN, "type": "PLAN"})
    assert cited(ReasoningDelta(0, "Hi"), Citation(0, start=0, end=2, raw=plan)) == [
        {**OWN, "type": "THINKING_CONTENT", "content_index": 0}
    ]


def test_sources_wait_for_the_words_of_their_block():
    source = Citation(0, "u")
    assert names(source, TextDelta(0, "a"), TextDelta(0, "b")) == [
        "0-start",
        "0-delta",
        "citation-start",
        "citation-end",
        "0-delta",
    ]
    assert lost(source, BlockEnd(0)) == lost(source, Failure("server", "x")) == {"Citation": 1}


@pytest.mark.parametrize("end", [None, 1])
def test_a_citation_of_words_that_have_given_way_to_a_call_is_lost(end):
    events = [TextDelta(0, "a"), ToolCallStart(1, "b", "f"), BlockEnd(1), Citation(0, "u", start=0, end=end)]
    assert lost(*events) == {"Citation": 1}


def test_citations_have_numbers_of_their_own():
    events = sent(TextDelta(0, "a"), Citation(0, "u"), Citation(0, "v"))
    assert [event["index"] for event in events if event["type"].startswith("citation")] == [0, 0, 1, 1]


def test_likelihoods_stand_beside_an_empty_delta_of_their_words():
    *_, event = sent(TextDelta(0, "Hi"), Extension("cohere:logprobs", '{"logprobs":[-0.5]}'))
    assert (event["delta"], event["logprobs"]) == ({"message": {"content": {"text": ""}}}, {"logprobs": [-0.5]})


def test_what_is_billed_stands_beside_the_usage():
    billed = Extension("cohere:billed_units", '{"input_tokens":3}')
    usage = Usage(70, 2, cache_read_tokens=5, reasoning_tokens=1, input_image_tokens=9)
    (end,) = sent(billed, usage, Finish("stop"))
    assert end["delta"]["usage"] == {
        "billed_units": {"input_tokens": 3},
        "tokens": {"input_tokens": 70, "output_tokens": 2, "reasoning_tokens": 1, "image_tokens": 9},
        "cached_tokens": 5,
    }


def test_a_usage_that_nobody_told_is_left_out():
    assert sent(Finish("stop")) == [{"type": "message-end", "delta": {"finish_reason": "COMPLETE"}}]


@pytest.mark.parametrize(
    ("events", "keys"),
    [
        ([Attachment(0, "image/png", b"PNG"), BlockEnd(0)], ["Attachment"]),
        ([Extension("cohere:debug", '"x"', 0)], ["Extension"]),
        ([Extension("cohere:logprobs", "{}")], ["Extension"]),
        ([Extension("cohere:citations", "{}"), Failure("server", "x")], ["Extension"]),
        *(([extension], ["Extension"]) for extension in LOOSE[5:]),
        ([ToolCallStart(0, "a", "f"), Citation(0, "u")], ["Citation"]),
        ([TextDelta(0, "a"), Citation(0, "u", raw='{"url":"u"}')], ["Citation.raw"]),
        ([TextDelta(0, "a"), Citation(0, "u", text="q")], ["Citation.text"]),
        ([TextDelta(0, "a"), ReasoningDelta(1, "b"), TextDelta(0, "c")], ["TextDelta.index"]),
        ([ReasoningDelta(0, "a"), TextDelta(1, "b"), ReasoningDelta(0, "c")], ["ReasoningDelta.index"]),
        ([RefusalDelta(0, "a"), RefusalDelta(0, "b")], ["RefusalDelta"]),
        ([ReasoningDelta(0, "a"), BlockEnd(0, PLAN)], ["BlockEnd.opaque"]),
        ([Start("1", "m")], ["Start.model"]),
        ([Finish("pause", "pause_turn")], ["Finish.reason", "Finish.raw"]),
        ([Finish("stop", "STOP_SEQUENCE")], []),
        ([ToolCallStart(0, "a", "f"), BlockEnd(0), Finish("stop")], ["Finish.reason"]),
        ([Failure("timeout", "x", code="slow_down")], ["Failure.kind"]),
        ([Failure("overloaded", "x", code="c")], ["Failure.kind"]),
        (
            [Failure("server", "x", "d", 500, "c", 1.0, True, "r")],
            ["Failure.detail", "Failure.request_id", "Failure.retry_after", "Failure.should_retry", "Failure.status"],
        ),
        (
            [Usage(1, 2, 3, 4, 5, 6, 7, 8, 9), Finish("stop")],
            [
                "Usage.cache_write_tokens",
                "Usage.input_audio_tokens",
                "Usage.output_audio_tokens",
                "Usage.output_image_tokens",
            ],
        ),
    ],
)
def test_what_has_no_place_is_counted(events, keys):
    assert lost(*events) == dict.fromkeys(keys, 1)


@pytest.mark.parametrize(
    ("events", "word"),
    [
        ([Finish("stop", "end_turn")], "COMPLETE"),
        ([Finish("stop", "STOP_SEQUENCE")], "STOP_SEQUENCE"),
        ([Finish("length", "STOP_SEQUENCE")], "MAX_TOKENS"),
        ([Finish("tool_calls")], "TOOL_CALL"),
        ([ToolCallStart(0, "a", "f"), BlockEnd(0), Finish("stop")], "TOOL_CALL"),
        ([Finish("content_filter")], "CONTENT_FILTER"),
        ([Finish("other", "weird")], "OTHER"),
    ],
)
def test_reasons_are_coheres_where_it_has_one(events, word):
    assert sent(*events)[-1]["delta"]["finish_reason"] == word


# Failures


@pytest.mark.parametrize("kind", FailureKind.__args__)
def test_a_failure_ends_a_stream_as_an_error_with_what_it_cost(kind):
    body = write(*ANSWER[:6], Usage(1, 2), Failure(kind, "broke", code="theirs"))
    *_, usage, failure = read(cohere, [body])
    assert usage == Usage(1, 2)
    assert failure == Failure("timeout" if kind == "timeout" else "server", "broke", code="theirs")


@pytest.mark.parametrize("kind", FailureKind.__args__)
def test_a_failure_without_a_code_of_its_own_keeps_its_kind(kind):
    failure = read(cohere, [write(Start(), Failure(kind, "broke"))])[-1]
    assert (failure.kind, lost(Failure(kind, "broke"))) == (
        (kind, {}) if kind in {*CODES, "server"} else ("server", {"Failure.kind": 1})
    )


def test_a_failure_always_says_something():
    (end,) = sent(Failure("overloaded", ""))
    assert end["delta"] == {"finish_reason": "ERROR", "error": "overloaded", "error_type": "overloaded_error"}


def test_a_call_that_came_out_malformed_is_still_the_models():
    failure = Failure("server", "invalid", detail="model_output", code="INVALID_TOOL_GENERATION")
    assert read(cohere, [write(Start(), failure)])[-1] == failure


@pytest.mark.parametrize("kind", FailureKind.__args__)
def test_an_error_before_the_stream_has_its_status(kind):
    status, body = dialect.error(Failure(kind, "broke", status=599, request_id="r"))
    said = {"message": "broke", "error_type": CODES.get(kind, "server_error")}
    assert (status, json.loads(body)) == (STATUSES[kind], said)
    assert http_failure(status, {}, body).kind == as_read(kind, None)


# The whole answer


def render(*events):
    return json.loads(dialect.render(Fold(events), CALL))


def test_a_whole_answer():
    assert render(*ANSWER) == {
        "id": "msg_1",
        "finish_reason": "TOOL_CALL",
        "message": {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "Hmm."}, {"type": "text", "text": "It is 5\n"}],
            "tool_calls": [
                {"id": "call_a", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}},
                {"id": "call_b", "type": "function", "function": {"name": "sub", "arguments": '{"x":2}'}},
            ],
            "citations": cited(*ANSWER[1:]),
        },
        "usage": {
            "tokens": {"input_tokens": 9, "output_tokens": 5, "reasoning_tokens": 2},
            "cached_tokens": 4,
        },
    }


def test_a_whole_answer_has_all_that_a_stream_has():
    plan = [ReasoningDelta(0, "I will"), BlockEnd(0, PLAN), ReasoningDelta(1, ""), BlockEnd(1)]
    body = render(Start(), *plan, RefusalDelta(2, "No"), BlockEnd(2), Attachment(3, "x/y"), *LOOSE, Finish("stop"))
    assert body == {
        "id": "asked",
        "finish_reason": "COMPLETE",
        "message": {
            "role": "assistant",
            "tool_plan": "I will",
            "content": [{"type": "text", "text": "No"}],
            "citations": [OWN, []],
        },
        "usage": {"billed_units": {"input_tokens": 3.0, "output_tokens": 1}},
        "logprobs": [{"text": "Hi", "token_ids": [1], "logprobs": [-0.5]}],
    }


def test_places_of_sources_are_left_out_where_they_would_be_wrong():
    raw = json.dumps(OWN)
    events = [TextDelta(0, "ab"), Citation(0, "u", start=0, end=1), TextDelta(1, "Hi"), Citation(1, raw=raw)]
    foreign, own = render(Start(), *events)["message"]["citations"]
    assert (foreign, own) == ({"sources": [{"type": "document", "document": {"url": "u"}}]}, OWN)


def test_an_answer_that_goes_on_has_no_reason():
    assert render(Start("1"), TextDelta(0, ""))["finish_reason"] is None


def test_a_whole_answer_that_failed_says_so():
    body = render(Start("1"), TextDelta(0, "a"), BlockEnd(0), Failure("timeout", "too slow"))
    assert body == {
        "id": "1",
        "finish_reason": "TIMEOUT",
        "message": {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
        "error": "too slow",
        "error_type": "timeout_error",
    }


# The official client


TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
HI = [{"role": "user", "content": "Hi"}]
JSON = {"content-type": "application/json"}


@pytest.fixture
def sdk():
    return pytest.importorskip("cohere", reason="the official SDK is not installed")


def ask_cohere(sdk, body, ask, **answer):
    """What the client makes of an answer, and the calls that we read."""
    pieces = [piece + b"\n\n" for piece in body.split(b"\n\n")[:-1]] or [body]
    with serve(Answer(pieces, **answer)) as server:
        with sdk.ClientV2("key", base_url=server.url) as client:
            result = ask(client)
        assert {request.path for request in server.requests} == {dialect.path}
        return result, [dialect.parse(request.body, {}) for request in server.requests]


def told(sdk, *events, body=None):
    """The events that the client reads."""
    body = body or write(*events)
    found, _ = ask_cohere(sdk, body, lambda client: list(client.chat_stream(model="m", messages=HI)))
    return found


def test_the_client_reads_text_reasoning_calls_sources_and_usage(sdk):
    events = told(sdk, *ANSWER)
    contents = [event.delta.message.content for event in events if event.type == "content-delta"]
    assert "".join(content.thinking or "" for content in contents) == "Hmm."
    assert "".join(content.text or "" for content in contents) == "It is 5\n"
    calls = [event.delta.message.tool_calls for event in events if event.type == "tool-call-start"]
    assert [(call.id, call.function.name) for call in calls] == [("call_a", "add"), ("call_b", "sub")]
    arguments = ["", ""]
    for event in events:
        if event.type == "tool-call-delta":
            arguments[event.index] += event.delta.message.tool_calls.function.arguments
    assert arguments == ['{"a":1}', '{"x":2}']
    (citation,) = (event.delta.message.citations for event in events if event.type == "citation-start")
    assert (citation.start, citation.end, citation.text, citation.content_index) == (6, 7, "5", 1)
    assert citation.sources[0].document["url"] == "https://a"
    end = events[-1].delta
    assert (end.finish_reason, end.error) == ("TOOL_CALL", None)
    usage = end.usage
    assert (usage.tokens.input_tokens, usage.tokens.output_tokens, usage.cached_tokens) == (9, 5, 4)


def test_the_client_reads_no_event_that_we_did_not_write(sdk):
    body = write(*ANSWER)
    written = [event["type"] for event in sent(*ANSWER[1:])]
    kept = body.replace(b"\n\n", b"\n\n" + dialect.keep_alive)
    assert [event.type for event in told(sdk, body=kept)] == ["message-start", *written]


def test_the_client_reads_a_refusal_as_text_and_its_reason(sdk):
    _, _, said, _, end = told(sdk, Start("1"), RefusalDelta(0, "No."), BlockEnd(0), Finish("refusal"))
    assert (said.delta.message.content.text, end.delta.finish_reason) == ("No.", "REFUSAL")


def test_the_client_reads_an_error_in_the_stream(sdk):
    end = told(sdk, *ANSWER[:6], Failure("overloaded", "too many"))[-1].delta
    assert (end.finish_reason, end.error, end.error_type) == ("ERROR", "too many", "overloaded_error")


@pytest.mark.filterwarnings("ignore:The `__fields__`:DeprecationWarning:cohere.core.unchecked_base_model")
def test_the_client_sends_a_conversation_back(sdk):
    def ask(client):
        first = client.chat(model="m", messages=HI, tools=TOOLS, strict_tools=True, p=0.5, safety_mode="OFF")
        results = [
            {"role": "tool", "tool_call_id": "call_a", "content": "1"},
            {
                "role": "tool",
                "tool_call_id": "call_b",
                "content": [{"type": "document", "document": {"id": "d", "data": {"title": "T", "text": "2"}}}],
            },
        ]
        thinking = {"type": "enabled", "token_budget": 9}
        client.chat(model="m", messages=[*HI, first.message, *results], thinking=thinking)
        return first

    answer, [first, second] = ask_cohere(sdk, dialect.render(Fold(ANSWER), CALL), ask, headers=JSON)
    assert (answer.finish_reason, answer.usage.tokens.input_tokens) == ("TOOL_CALL", 9)
    assert (first.stream, first.request.tools) == (False, (Tool("add", parameters={"type": "object"}, strict=True),))
    assert (first.request.top_p, first.request.extra) == (0.5, {"safety_mode": "OFF"})
    assert second.request.reasoning == Reasoning(budget_tokens=9)
    _, said, results = second.request.messages
    reasoning, text, *calls = said.parts
    assert (reasoning, text.text) == (ReasoningPart(text="Hmm."), "It is 5\n")
    assert [json.loads(source)["start"] for source in text.citations] == [6]
    assert calls == [
        ToolCall(id="call_a", name="add", arguments='{"a":1}'),
        ToolCall(id="call_b", name="sub", arguments='{"x":2}'),
    ]
    document = File(data=b"2", media_type="text/plain", name="T")
    assert results == Message(
        "tool",
        (ToolResult(id="call_a", name="add", content="1"), ToolResult(id="call_b", name="sub", content=(document,))),
    )


@pytest.mark.parametrize(("kind", "name"), [("not_found", "NotFoundError"), ("rate_limit", "TooManyRequestsError")])
def test_the_client_raises_the_class_of_an_error(sdk, kind, name):
    def ask(client):
        with pytest.raises(sdk.core.ApiError) as caught:
            client.chat(model="m", messages=HI, request_options={"max_retries": 0})
        return caught.value

    status, body = dialect.error(Failure(kind, "broke"))
    found, _ = ask_cohere(sdk, body, ask, status=status, headers=JSON)
    assert (type(found).__name__, found.status_code, found.body["message"]) == (name, status, "broke")
