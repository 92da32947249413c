"""The adapter `cohere`: every recording against a plain reading of it, and what no recording shows."""

from __future__ import annotations

import json
import os
from typing import Any

import msgspec
import pytest
from grammar import check
from hypothesis import given
from hypothesis import strategies as st
from support import OWN, params

from adapters import plain_cohere as plain
from streamcore import failures
from streamcore.adapter import Adapter
from streamcore.events import (
    BlockEnd,
    Citation,
    Extension,
    Failure,
    Finish,
    ReasoningDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from streamcore.message import Fold
from streamcore.testing import Recording, check_cuts, check_truncation, read
from streamcore_adapters import cohere

FUZZING = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
PLAN = '{"tool_plan":true}'
DONE = b"data: [DONE]\n\n"


def samples(body: bytes) -> int | None:
    """How many cuts of a long body are tried."""
    return None if FUZZING else max(4, 300_000 // len(body))


def sse_body(*events: Any) -> bytes:
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()


def event(type: str, index: int | None = None, **message: Any) -> dict[str, Any]:
    place = {} if index is None else {"index": index}
    return {"type": type, **place, "delta": {"message": message}}


def start(**fields: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    return {"type": "message-start", "id": "msg-1", "delta": {"message": message}, **fields}


def begin(index: int, type: str = "text", text: str = "") -> dict[str, Any]:
    return event("content-start", index, content={"type": type, type: text})


def delta(index: int, **content: str) -> dict[str, Any]:
    return event("content-delta", index, content=content)


def plan(text: str | None) -> dict[str, Any]:
    return event("tool-plan-delta", tool_plan=text)


def call(index: int | None, id: str | None, name: str | None, arguments: str | None = "") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return event("tool-call-start", index, tool_calls={"id": id, "type": "function", "function": function})


def arguments(index: int | None, text: str) -> dict[str, Any]:
    return event("tool-call-delta", index, tool_calls={"function": {"arguments": text}})


def cite(**citation: Any) -> dict[str, Any]:
    return event("citation-start", 0, citations=citation)


def stop(type: str, index: int | None) -> dict[str, Any]:
    return {"type": f"{type}-end", **({} if index is None else {"index": index})}


def end(reason: str | None = "COMPLETE", **fields: Any) -> dict[str, Any]:
    return {"type": "message-end", "delta": {"finish_reason": reason, **fields}}


def events_of(*events: Any) -> list[Any]:
    """The events between the first and the last of a complete answer."""
    first, *middle, last = read(cohere, [sse_body(start(), *events, end()) + DONE])
    assert first == Start("msg-1")
    assert last == Finish("stop", "COMPLETE")
    return middle


def last_of(*events: Any) -> Any:
    return read(cohere, [sse_body(start(), *events)])[-1]


# The module


def test_it_is_an_adapter():
    adapter: Adapter = cohere
    assert isinstance(adapter, Adapter)


# Recordings


@pytest.mark.parametrize("row", params("streams-chat_v2"))
def test_a_recording_says_what_a_plain_reading_of_it_says(row):
    fold, wanted = Fold(read(cohere, [row.body])), plain.decode(row.body)
    usage = msgspec.structs.asdict(fold.usage)
    assert (fold.id, fold.model) == (wanted.id, None)
    assert fold.text == wanted.text
    assert fold.reasoning == wanted.reasoning
    assert [(made.id, made.name, json.loads(made.arguments)) for made in fold.tool_calls] == wanted.tool_calls
    assert {name: usage[name] for name in wanted.usage} == wanted.usage
    assert fold.outcome == Finish(wanted.finish, wanted.end["finish_reason"])
    assert [json.loads(citation.raw) for citation in fold.citations] == wanted.citations
    assert [json.loads(extension.raw) for extension in fold.extensions] == [wanted.end["usage"]["billed_units"]]


@pytest.mark.parametrize("row", params("streams-chat_v2"))
def test_a_recorded_citation_counts_the_characters_of_the_text(row):
    fold = Fold(read(cohere, [row.body]))
    for citation in fold.citations:
        assert fold.text[citation.start : citation.end] == json.loads(citation.raw)["text"]


@pytest.mark.parametrize("row", params("streams-chat_v2"))
def test_a_recording_reads_the_same_however_it_is_cut(row):
    check_cuts(cohere, row.body, samples=samples(row.body))


@pytest.mark.parametrize("row", params("streams-chat_v2"))
def test_a_recording_that_ends_early_is_never_whole(row):
    check_truncation(cohere, row.body, samples=samples(row.body))


# Errors

KINDS = {400: "invalid", 404: "not_found", 422: "invalid"}
ERRORS = params("errors-chat_v2")
IN_STREAM = [error for error in ERRORS if error.values[0] is None or error.values[0].status == 200]


@pytest.mark.parametrize("row", ERRORS)
def test_a_recorded_error_is_known_for_what_it_is(row):
    if row.status == 200:
        message, word = plain.decode(row.body).error
        failure = Failure("server", message, detail="model_output", code=word)
        assert read(cohere, [row.body])[-1] == failure
    else:
        failure = failures.http_failure(row.status, row.headers, row.body)
        message = json.loads(row.body)["message"]
        assert failure == Failure(
            KINDS[row.status], message, status=row.status, request_id=row.headers.get("x-debug-trace-id")
        )


@pytest.mark.parametrize("row", IN_STREAM)
def test_a_recorded_error_in_the_stream_reads_the_same_however_it_is_cut(row):
    check_cuts(cohere, row.body)
    check_truncation(cohere, row.body)


def test_the_code_of_an_error_is_its_type():
    body = {"error_type": "INVALID_TOOL_GENERATION", "id": "1", "message": "No"}
    failure = failures.http_failure(422, {"x-debug-trace-id": "t"}, json.dumps(body).encode())
    assert failure == Failure("invalid", "No", status=422, code="INVALID_TOOL_GENERATION", request_id="t")


@pytest.mark.parametrize(
    ("fields", "failure"),
    [
        ({"reason": "ERROR", "error": "No"}, Failure("server", "No", code="ERROR")),
        ({"reason": "ERROR"}, Failure("server", "the answer ended with ERROR", code="ERROR")),
        ({"reason": "TIMEOUT", "error": "Slow"}, Failure("timeout", "Slow", code="TIMEOUT")),
        ({"reason": "TIMEOUT"}, Failure("timeout", "the answer ended with TIMEOUT", code="TIMEOUT")),
        ({"reason": None, "error": "No"}, Failure("server", "No")),
        ({"reason": "COMPLETE", "error": "No", "error_type": "X"}, Failure("server", "No", code="X")),
    ],
)
def test_an_answer_may_end_in_an_error(fields, failure):
    events = read(cohere, [sse_body(start(), begin(0, text="Once"), end(**fields)) + DONE])
    assert events == [Start("msg-1"), TextDelta(0, "Once"), failure]


def test_what_an_error_has_cost_is_said_before_it():
    events = read(cohere, [sse_body(start(), end("ERROR", usage={"tokens": {"input_tokens": 3}}))])
    assert events[1:] == [
        Usage(input_tokens=3),
        Failure("server", "the answer ended with ERROR", code="ERROR"),
    ]


def test_an_error_of_another_shape_is_one():
    last = read(cohere, [b'event: error\ndata: {"error": {"message": "No", "code": "unauthorized"}}\n\n'])[-1]
    assert last == Failure("auth", "No", code="unauthorized")


# The end


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "stop"),
        ("MAX_TOKENS", "length"),
        ("TOOL_CALL", "tool_calls"),
        ("INVENTED_TOMORROW", "other"),
        (None, "other"),
    ],
)
def test_the_reason_is_translated(raw, reason):
    assert last_of(end(raw)) == Finish(reason, raw)


def test_an_end_without_a_delta_is_one():
    assert last_of({"type": "message-end"}) == Finish("other")


def test_without_a_last_event_there_is_no_end():
    assert read(cohere, [sse_body(start(), begin(0, text="Hi"), stop("content", 0)) + DONE])[-1].kind == "truncated"


def test_nothing_follows_the_end():
    assert last_of(end(), begin(0, text="Late")) == Finish("stop", "COMPLETE")


# Framing


def test_events_are_known_without_their_event_line():
    body = sse_body(start(), begin(0), delta(0, text="Hi"), stop("content", 0), end())
    nameless = b"\n".join(piece for piece in body.split(b"\n") if not piece.startswith(b"event:"))
    assert read(cohere, [nameless]) == read(cohere, [body])


@pytest.mark.parametrize(
    "unknown",
    [
        {"type": "heartbeat"},
        {"type": "heartbeat", "index": "x"},
        {"type": "citation-end", "index": 0},
        {"type": "debug"},
        {"type": "debug", "prompt": None},
    ],
)
def test_events_that_say_nothing_are_skipped_whatever_their_shape(unknown):
    assert events_of(unknown) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "content-delta", "index": "0"},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": 5}}}},
        {"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": {"id": 5}}}},
        {"type": "message-end", "delta": []},
        {"type": "message-end", "delta": {"usage": {"tokens": {"input_tokens": "many"}}}},
        {"type": 5},
    ],
)
def test_a_known_event_of_the_wrong_shape_fails(wrong):
    last = last_of(wrong, end())
    assert (last.kind, last.detail) == ("protocol", "json")


@pytest.mark.parametrize("data", ["{", "5", "[]", '{"delta": 5}', '{"type": null, "delta": 5}'])
def test_an_event_that_is_none_fails(data):
    last = read(cohere, [f"data: {data}\n\n".encode()])[-1]
    assert (last.kind, last.detail) == ("protocol", "json")


def test_bytes_that_are_not_utf_8_cost_an_event_nothing_else():
    likely = {**delta(0, text="Hi"), "logprobs": {"text": "#"}}
    body = sse_body(start(), plan("Hm"), likely, end()).replace(b"#", b"\xff")
    assert read(cohere, [body]) == [
        Start("msg-1"),
        ReasoningDelta(0, "Hm"),
        BlockEnd(0, PLAN),
        TextDelta(1, "Hi"),
        Extension("cohere:logprobs", '{"text": "\ufffd"}'),
        BlockEnd(1),
        Finish("stop", "COMPLETE"),
    ]


# The start


def test_a_message_starts_once():
    assert events_of(start(id="msg-2")) == []


def test_an_answer_may_lack_its_start():
    assert read(cohere, [sse_body(begin(0, text="Hi"), start(), end())]) == [
        Start(),
        TextDelta(0, "Hi"),
        BlockEnd(0),
        Finish("stop", "COMPLETE"),
    ]


def test_what_says_nothing_does_not_take_the_place_of_the_start():
    body = DONE + sse_body({"type": "heartbeat"}, start(), end())
    assert read(cohere, [body])[0] == Start("msg-1")


# Content


def test_text_comes_in_deltas():
    assert events_of(begin(0), delta(0, text="Hel"), delta(0, text="lo"), stop("content", 0)) == [
        TextDelta(0, "Hel"),
        TextDelta(0, "lo"),
        BlockEnd(0),
    ]


def test_thinking_comes_in_deltas():
    thought = begin(0, "thinking"), delta(0, thinking="Hm"), delta(0, thinking="."), stop("content", 0)
    assert events_of(*thought, begin(1), delta(1, text="Hi"), stop("content", 1)) == [
        ReasoningDelta(0, "Hm"),
        ReasoningDelta(0, "."),
        BlockEnd(0),
        TextDelta(1, "Hi"),
        BlockEnd(1),
    ]


def test_a_block_may_begin_with_its_first_words():
    assert events_of(begin(0, text="Hi"), stop("content", 0)) == [TextDelta(0, "Hi"), BlockEnd(0)]


def test_a_block_may_lack_its_start():
    assert events_of(delta(0, text="Hi"), stop("content", 0)) == [TextDelta(0, "Hi"), BlockEnd(0)]


def test_empty_deltas_are_skipped():
    empty = delta(0, text=""), delta(0), event("content-delta", 0), {"type": "content-delta", "index": 0}
    assert events_of(begin(0), *empty, delta(0, text="Hi"), *empty, stop("content", 0)) == [
        TextDelta(0, "Hi"),
        BlockEnd(0),
    ]


def test_an_empty_block_leaves_no_trace():
    assert events_of(begin(0), stop("content", 0), begin(1, text="Hi"), stop("content", 1)) == [
        TextDelta(0, "Hi"),
        BlockEnd(0),
    ]


def test_a_block_that_never_ended_ends_where_its_index_starts_again():
    assert events_of(begin(0, text="Hi"), begin(0, text="Ho")) == [
        TextDelta(0, "Hi"),
        BlockEnd(0),
        TextDelta(1, "Ho"),
        BlockEnd(1),
    ]


def test_text_after_the_end_of_its_block_is_another():
    assert events_of(begin(0, text="Hi"), stop("content", 0), delta(0, text="Ho")) == [
        TextDelta(0, "Hi"),
        BlockEnd(0),
        TextDelta(1, "Ho"),
        BlockEnd(1),
    ]


def test_two_blocks_may_be_under_way():
    texts = delta(0, text="a"), delta(1, text="b"), delta(0, text="a"), stop("content", 0), delta(1, text="b")
    assert events_of(*texts, stop("content", 1)) == [
        TextDelta(0, "a"),
        TextDelta(1, "b"),
        TextDelta(0, "a"),
        BlockEnd(0),
        TextDelta(1, "b"),
        BlockEnd(1),
    ]


def test_text_and_thinking_of_one_index_are_two_blocks():
    assert events_of(delta(0, text="Hi"), delta(0, text="!", thinking="Hm"), stop("content", 0)) == [
        TextDelta(0, "Hi"),
        ReasoningDelta(1, "Hm"),
        TextDelta(0, "!"),
        BlockEnd(0),
        BlockEnd(1),
    ]


def test_an_end_without_a_block_is_ignored():
    assert events_of(stop("content", 3), stop("tool-call", 3)) == []


# Tools


def test_a_plan_goes_before_its_calls_and_says_what_it_is():
    planned = plan("I will"), plan(" add."), plan(""), plan(None), call(0, "add_1", "add")
    assert events_of(*planned, arguments(0, '{"a"'), arguments(0, ": 1}"), arguments(0, ""), stop("tool-call", 0)) == [
        ReasoningDelta(0, "I will"),
        ReasoningDelta(0, " add."),
        BlockEnd(0, PLAN),
        ToolCallStart(1, "add_1", "add"),
        ToolCallDelta(1, '{"a"'),
        ToolCallDelta(1, ": 1}"),
        BlockEnd(1),
    ]


def test_a_plan_ends_where_text_begins():
    assert events_of(plan("Hm"), begin(0, text="Hi")) == [
        ReasoningDelta(0, "Hm"),
        BlockEnd(0, PLAN),
        TextDelta(1, "Hi"),
        BlockEnd(1),
    ]


def test_a_plan_may_be_all_there_is():
    assert events_of(plan("Hm")) == [ReasoningDelta(0, "Hm"), BlockEnd(0, PLAN)]


def test_calls_follow_each_other():
    calls = call(0, "a_1", "a"), stop("tool-call", 0), call(1, "b_1", "b", "{}"), stop("tool-call", 1)
    assert events_of(*calls) == [
        ToolCallStart(0, "a_1", "a"),
        BlockEnd(0),
        ToolCallStart(1, "b_1", "b"),
        ToolCallDelta(1, "{}"),
        BlockEnd(1),
    ]


def test_calls_and_content_are_counted_apart():
    events = events_of(begin(0, "thinking", "Hm"), stop("content", 0), call(0, "a_1", "a"), stop("tool-call", 0))
    assert events == [ReasoningDelta(0, "Hm"), BlockEnd(0), ToolCallStart(1, "a_1", "a"), BlockEnd(1)]


def test_a_call_that_never_ended_ends_where_its_index_starts_again():
    assert events_of(call(0, "a_1", "a"), call(0, "b_1", "b"), stop("tool-call", 0)) == [
        ToolCallStart(0, "a_1", "a"),
        BlockEnd(0),
        ToolCallStart(1, "b_1", "b"),
        BlockEnd(1),
    ]


def test_a_call_may_lack_everything():
    nameless = call(None, None, None, None), arguments(None, "{}"), stop("tool-call", None)
    assert events_of(*nameless, event("tool-call-start", 1), event("tool-call-delta", 1)) == [
        ToolCallStart(0, "call_0", ""),
        ToolCallDelta(0, "{}"),
        BlockEnd(0),
        ToolCallStart(1, "call_1", ""),
        BlockEnd(1),
    ]


def test_an_id_that_another_call_has_is_made_unique():
    calls = call(0, "a_1", "a"), stop("tool-call", 0), call(1, "a_1", "a"), stop("tool-call", 1)
    starts = [event for event in events_of(*calls) if type(event) is ToolCallStart]
    assert starts == [ToolCallStart(0, "a_1", "a"), ToolCallStart(1, "a_1_1", "a")]


def test_arguments_without_a_call_fail():
    failure = Failure("protocol", "arguments for tool call 2, which has not begun", detail="grammar")
    assert last_of(call(0, "a_1", "a"), arguments(2, "{}"), end()) == failure


# Citations


def cited(*events: Any) -> list[Any]:
    return [given for given in events_of(*events) if type(given) in (Citation, Extension)]


def test_a_citation_is_of_the_text_under_way():
    fields = {"start": 0, "end": 2, "text": "Hi", "sources": [{"type": "tool", "id": "add_1:0", "tool_output": {}}]}
    assert cited(begin(0, text="Hi"), cite(**fields)) == [Citation(0, start=0, end=2, raw=json.dumps(fields))]


def test_a_citation_is_of_the_block_that_it_names():
    events = [delta(0, text="a"), delta(1, text="b"), cite(start=0, end=1, content_index=0, type="TEXT_CONTENT")]
    assert [citation.index for citation in cited(*events)] == [0]


def test_a_citation_that_names_no_block_is_of_the_last():
    assert [given.index for given in cited(delta(0, text="a"), delta(1, text="b"), cite(start=0, end=1))] == [1]


def test_a_citation_may_be_of_a_plan():
    raw = '{"start": 0, "end": 6, "type": "PLAN"}'
    assert events_of(plan("I will"), cite(**json.loads(raw)), plan(" add")) == [
        ReasoningDelta(0, "I will"),
        Citation(0, start=0, end=6, raw=raw),
        ReasoningDelta(0, " add"),
        BlockEnd(0, PLAN),
    ]


@pytest.mark.parametrize(
    ("type", "index"), [("THINKING_CONTENT", 0), ("TEXT_CONTENT", 1), ("INVENTED_TOMORROW", 1), (None, 1)]
)
def test_a_citation_is_of_the_last_block_of_its_kind(type, index):
    assert [given.index for given in cited(delta(0, thinking="Hm"), delta(1, text="Hi"), cite(type=type))] == [index]


@pytest.mark.parametrize(
    "late",
    [
        cite(start=0, end=2),
        cite(start=0, end=2, content_index=7),
        cite(start="0"),
        event("citation-start", 0, citations=[{"start": 0}]),
    ],
)
def test_a_citation_that_finds_no_block_is_kept_loose(late):
    raw = json.dumps(late["delta"]["message"]["citations"])
    events = begin(0, text="Hi"), stop("content", 0), begin(1, "thinking", "Hm"), late
    assert cited(*events) == [Extension("cohere:citations", raw)]


@pytest.mark.parametrize("empty", [event("citation-start", 0), event("citation-start", 0, citations=None)])
def test_a_citation_that_is_none_says_nothing(empty):
    assert events_of(empty) == []


@pytest.mark.parametrize(
    ("sources", "url", "title"),
    [
        (None, None, None),
        ([], None, None),
        ([{"type": "document", "document": "Penguins"}], None, None),
        ([{"type": "document", "document": {"title": "Penguins", "url": 5}}], None, "Penguins"),
        ([{"type": "document", "document": {"title": 5, "url": "https://example.org"}}], "https://example.org", None),
        (
            [
                {"type": "tool", "tool_output": {"content": "3"}},
                {"type": "tool", "tool_output": {"title": "Penguins", "url": "https://example.org"}},
                {"type": "document", "document": {"title": "Seals", "url": "https://example.com"}},
            ],
            "https://example.org",
            "Penguins",
        ),
    ],
)
def test_a_citation_is_named_by_its_first_source_that_has_a_name(sources, url, title):
    (citation,) = cited(begin(0, text="Hi"), cite(start=0, end=2, sources=sources))
    assert (citation.url, citation.title) == (url, title)


# About the whole answer


def said_at_the_end(usage: Any) -> list[Any]:
    return read(cohere, [sse_body(start(), end(usage=usage))])[1:-1]


def test_the_tokens_are_the_usage_and_not_what_is_billed():
    tokens = {"input_tokens": 70.0, "output_tokens": 9, "reasoning_tokens": 4.0, "image_tokens": 30}
    billed = {"input_tokens": 3, "output_tokens": 9, "search_units": 1}
    assert said_at_the_end({"tokens": tokens, "cached_tokens": 64, "billed_units": billed}) == [
        Usage(input_tokens=70, output_tokens=9, cache_read_tokens=64, reasoning_tokens=4, input_image_tokens=30),
        Extension("cohere:billed_units", json.dumps(billed)),
    ]


@pytest.mark.parametrize("usage", [None, {}, {"tokens": None, "billed_units": None}, {"tokens": {}}])
def test_usage_that_says_nothing_is_none(usage):
    assert said_at_the_end(usage) == []


def test_likelihoods_follow_what_they_are_about():
    likely = {**delta(0, text="Hi"), "logprobs": {"token_ids": [5], "text": "Hi", "logprobs": [-0.5]}}
    raw = json.dumps(likely["logprobs"])
    assert events_of(begin(0, text="O"), likely, {**delta(0, text="!"), "logprobs": None}) == [
        TextDelta(0, "O"),
        TextDelta(0, "Hi"),
        Extension("cohere:logprobs", raw),
        TextDelta(0, "!"),
        BlockEnd(0),
    ]


def test_the_prompt_that_was_asked_for_is_kept():
    assert events_of({"type": "debug", "prompt": "<BOS>Hi"}) == [Extension("cohere:debug", '"<BOS>Hi"')]


# Recordings of our own


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in sorted(OWN.glob("cohere-*.json"))])
def test_our_recordings_hold_wherever_they_are_cut(path):
    recording = Recording.load(path)
    check_cuts(cohere, recording.data, samples=samples(recording.data))
    check_truncation(cohere, recording.data, samples=samples(recording.data))


def own(name: str) -> Fold:
    return Fold(read(cohere, [Recording.load(OWN / f"cohere-{name}.json").data]))


def test_our_recording_of_parallel_tools():
    fold = own("parallel-tools")
    assert fold.reasoning == "I will look up both."
    assert [part.opaque for part in fold.message.parts] == [PLAN, None, None]
    assert [(made.id, made.name, json.loads(made.arguments)) for made in fold.tool_calls] == [
        ("weather_a1b2c3", "weather", {"city": "Zürich"}),
        ("time_d4e5f6", "time", {}),
    ]
    assert fold.usage == Usage(input_tokens=1204, output_tokens=58, cache_read_tokens=960)
    assert fold.outcome == Finish("tool_calls", "TOOL_CALL")


def test_our_recording_of_sources():
    fold = own("sources")
    assert fold.reasoning == "The first document says it."
    spans = [(citation.title, fold.text[citation.start : citation.end]) for citation in fold.citations]
    assert spans == [("Tall penguins", "emperor penguins"), ("Penguin habitats", "Antarctica")]
    assert fold.usage == Usage(input_tokens=702, output_tokens=29, cache_read_tokens=0, reasoning_tokens=8)
    assert fold.outcome == Finish("stop", "COMPLETE")


def test_our_recording_of_an_error():
    fold = own("error-in-stream")
    assert fold.text == "Once upon"
    assert fold.outcome == Failure("timeout", "the model took too long", code="TIMEOUT")


# Anything at all

WORDS = st.sampled_from(
    [
        "type",
        "id",
        "index",
        "delta",
        "message",
        "content",
        "text",
        "thinking",
        "tool_plan",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "citations",
        "start",
        "end",
        "sources",
        "document",
        "tool_output",
        "content_index",
        "finish_reason",
        "usage",
        "tokens",
        "input_tokens",
        "billed_units",
        "cached_tokens",
        "error",
        "logprobs",
        "prompt",
    ]
)
TYPES = st.sampled_from(
    [
        "message-start",
        "content-start",
        "content-delta",
        "content-end",
        "tool-plan-delta",
        "tool-call-start",
        "tool-call-delta",
        "tool-call-end",
        "citation-start",
        "citation-end",
        "message-end",
        "debug",
        "invented-tomorrow",
    ]
)
SHORT = st.text(max_size=3)
INDEXES = st.none() | st.integers(0, 2)
LEAVES = (
    st.none() | st.booleans() | st.integers(-1, 3) | st.floats(allow_nan=False, allow_infinity=False) | TYPES | SHORT
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5))


def fields(**optional: Any) -> Any:
    return st.fixed_dictionaries({}, optional=optional)


CONTENT = fields(type=SHORT, text=SHORT, thinking=SHORT)
CALLS = fields(id=SHORT, function=fields(name=SHORT, arguments=SHORT))
CITATIONS = fields(start=st.integers(0, 3), end=st.integers(0, 3), type=SHORT, content_index=INDEXES, sources=VALUES)
RIGHT_EVENTS = st.fixed_dictionaries(
    {
        "type": TYPES.filter(lambda name: name not in {"message-end", "tool-call-delta"}),
        "index": INDEXES,
        "delta": fields(message=fields(content=CONTENT, tool_plan=SHORT, tool_calls=CALLS, citations=CITATIONS)),
    },
    optional={"logprobs": VALUES, "prompt": VALUES},
)


@given(st.lists(VALUES | st.fixed_dictionaries({"type": TYPES, "index": VALUES, "delta": VALUES}), max_size=12))
def test_any_json_ends_in_one_last_event(values):
    body = b"".join(b"data: %b\n\n" % json.dumps(value).encode() for value in values)
    check(read(cohere, [body, sse_body(end())]))


@given(st.lists(RIGHT_EVENTS, max_size=20))
def test_any_order_of_events_ends_in_a_finish(events):
    read_events = read(cohere, [sse_body(*events, end())])
    check(read_events)
    assert type(read_events[-1]) is Finish


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_end_in_one_last_event(data, more):
    check(read(cohere, [data, b'\n\ndata: {"type":"content-delta","', more]))
