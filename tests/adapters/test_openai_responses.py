"""The adapter `openai_responses`: every recording against a plain reading of it, and what no recording shows."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import grammar
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import OWN, params

from adapters import plain_openai_responses as plain
from streamcore import failures
from streamcore.adapter import Adapter
from streamcore.events import (
    Attachment,
    BlockEnd,
    Citation,
    Extension,
    Failure,
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
from streamcore.request import Request, Target
from streamcore.testing import Recording, check_cuts, check_truncation, read
from streamcore_adapters import openai_responses

FUZZING = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
TARGET = Target(openai_responses.url, "gpt-5")
STREAMS = params("streams-responses")

# Single events, and the beginning of an answer: none of them has an end.
CUT_SHORT = {
    "openai-responses-openai-responses-compaction-cancelled-stream-3b9308",
    "openai-responses-responseapplypatchcalloperationdiffdelta-8650d9",
    "openai-responses-responseapplypatchcalloperationdiffdone-d37322",
    "openai-responses-responseoutputitemapplypatchcalldone-5252f5",
    "openai-responses-responseoutputitemcompactiondone-aafaba",
    "openai-responses-responseoutputitemtoolsearchcalladded-0cd670",
    "openai-responses-responseoutputitemtoolsearchoutputdone-ce3911",
    "openai-responses-responsereasoningtextdelta-291069",
    "openai-responses-responsereasoningtextdone-457ea3",
}
WHOLE = [row for row in STREAMS if row.id not in CUT_SHORT]


def samples(body: bytes) -> int | None:
    """How many cuts of a long body are tried."""
    return None if FUZZING else max(4, 100_000 // len(body))


def sse_body(*events: dict[str, Any]) -> bytes:
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()


def event(type: str, *place: int, **fields: Any) -> dict[str, Any]:
    """An event of item `place[0]`, and of part `place[1]` of it."""
    return {"type": f"response.{type}", **dict(zip(("output_index", "content_index"), place, strict=False)), **fields}


def added(index: int, type: str, **fields: Any) -> dict[str, Any]:
    return event("output_item.added", index, item={"type": type, **fields})


def done(index: int, type: str, **fields: Any) -> dict[str, Any]:
    return event("output_item.done", index, item={"type": type, **fields})


def message(*parts: dict[str, Any], id: str = "msg_1", **fields: Any) -> dict[str, Any]:
    return {"type": "message", "id": id, "role": "assistant", "status": "completed", "content": list(parts), **fields}


def text(text: str, *annotations: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": list(annotations), **fields}


def finished(index: int, item: dict[str, Any]) -> dict[str, Any]:
    return event("output_item.done", index, item=item)


def response(type: str = "completed", **fields: Any) -> dict[str, Any]:
    return event(type, response={"id": "resp_1", "model": "gpt", **fields})


CREATED = response("created", status="in_progress", output=[])
COMPLETED = response(status="completed")
SAID = '{"type":"message","id":"msg_1","status":"completed"}'


def all_of(*events: dict[str, Any]) -> list[Any]:
    return read(openai_responses, [sse_body(*events)])


def events_of(*events: dict[str, Any], reason: str = "stop") -> list[Any]:
    """The events between the first and the last of a complete answer."""
    first, *middle, last = all_of(CREATED, *events, COMPLETED)
    assert first == Start("resp_1", "gpt")
    assert last == Finish(reason, "completed")
    return middle


# The module


def test_it_is_an_adapter():
    adapter: Adapter = openai_responses
    assert isinstance(adapter, Adapter)


# Recordings


@pytest.mark.parametrize("row", WHOLE)
def test_a_recording_says_what_a_plain_reading_of_it_says(row):
    events = read(openai_responses, [row.body])
    fold, wanted = Fold(events), plain.decode(row.body)
    usage = None if fold.usage is None else msgspec.structs.asdict(fold.usage)
    others = [json.loads(item.raw) for item in events if isinstance(item, Extension) and item.index is not None]
    assert fold.text == wanted.text
    assert fold.refusal == wanted.refusal
    assert fold.reasoning == wanted.reasoning
    assert [(call.id, call.name, call.arguments) for call in fold.tool_calls] == wanted.tool_calls
    assert [json.loads(citation.raw) for citation in fold.citations] == wanted.citations
    assert others == wanted.others
    assert (usage and {name: usage[name] for name in wanted.usage}) == wanted.usage
    assert fold.outcome == Finish(wanted.finish, wanted.raw)
    assert (fold.id, fold.model) == (wanted.id, wanted.model)


@pytest.mark.parametrize("row", STREAMS)
def test_a_recording_reads_the_same_however_it_is_cut(row):
    grammar.check(check_cuts(openai_responses, row.body, samples=samples(row.body)))


@pytest.mark.parametrize("row", STREAMS)
def test_a_recording_that_ends_early_is_never_whole(row):
    check_truncation(openai_responses, row.body, samples=samples(row.body))


@pytest.mark.parametrize("row", [row for row in STREAMS if row.id in CUT_SHORT] or STREAMS)
def test_a_recording_that_was_cut_short_is_truncated(row):
    assert read(openai_responses, [row.body])[-1].kind == "truncated"


# Errors

KINDS = {400: "invalid", 401: "auth", 503: "overloaded"}
NOT_FOUND = {"openai-responses-cassette-15870f", "openai-responses-wraps-api-errors-on-stream-call-30e167"}


@pytest.mark.parametrize("row", params("errors-responses"))
def test_a_recorded_error_is_known_for_what_it_is(row):
    failure = failures.http_failure(row.status, row.headers, row.body)
    body = json.loads(row.body) if row.body.startswith(b"{") else {}
    error = body["error"] if isinstance(body.get("error"), dict) else body
    kind = "not_found" if row.id in NOT_FOUND else KINDS[row.status]
    assert (failure.kind, failure.status) == (kind, row.status)
    assert failure.code == (error.get("code") or error.get("type"))
    assert failure.message in (error.get("message"), body.get("error"), body.get("detail")) or not body
    assert failure.request_id == row.headers.get("x-request-id")
    assert (failure.should_retry, failure.retry_after) == (None, None)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("insufficient_quota", "quota"),
        ("rate_limit_exceeded", "rate_limit"),
        ("server_error", "server"),
        ("invalid_prompt", "invalid"),
        ("model_not_found", "not_found"),
        ("something_new", "server"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_an_error_event_of_either_shape_ends_the_stream(code, kind, nested):
    error = {"code": code, "message": "No", "param": None}
    event = {"type": "error", "error": {"type": None, **error}} if nested else {"type": "error", **error}
    assert all_of(CREATED, event, COMPLETED) == [Start("resp_1", "gpt"), Failure(kind, "No", code=code)]


def test_an_error_may_be_the_first_event():
    error = {"type": "tokens", "code": "rate_limit_exceeded", "message": "Slow"}
    assert all_of({"type": "error", "error": error}) == [
        Start(),
        Failure("rate_limit", "Slow", code="rate_limit_exceeded"),
    ]


def test_an_error_without_a_type_of_event_is_one():
    body = b'data: {"error": {"type": "server_error", "message": "Busy"}}\n\n'
    assert read(openai_responses, [body])[-1] == Failure("server", "Busy", code="server_error")


def test_an_error_by_another_name_is_one():
    error = {"type": "response.error", "error": {"code": "server_error", "message": "Busy"}}
    assert all_of(error)[-1] == Failure("server", "Busy", code="server_error")


@pytest.mark.parametrize("type", ["error", "response.error"])
def test_an_error_that_says_nothing_is_one(type):
    assert all_of({"type": type})[-1] == Failure("server", "an error event that names no error")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("server_error", "server"),
        ("rate_limit_exceeded", "rate_limit"),
        ("invalid_prompt", "invalid"),
        ("bio_policy", "invalid"),
        ("image_content_policy_violation", "invalid"),
        ("vector_store_timeout", "timeout"),
    ],
)
def test_a_failed_response_says_why(code, kind):
    failed = response("failed", status="failed", error={"code": code, "message": "No"}, output=None, usage=None)
    assert all_of(CREATED, failed)[-1] == Failure(kind, "No", code=code)


def test_a_response_may_fail_without_a_reason():
    assert all_of(response("failed", error=None))[-1] == Failure("server", "the response failed without an error")


def test_the_type_of_an_event_is_no_code():
    assert all_of(response("failed", error={"message": "No"}))[-1] == Failure("server", "No")


def test_a_failed_response_has_its_cost():
    usage = {"input_tokens": 3, "output_tokens": 0}
    failed = response("failed", error={"code": "server_error", "message": "No"}, usage=usage)
    assert all_of(CREATED, failed)[1] == Usage(input_tokens=3, output_tokens=0)


def test_the_content_of_a_failed_response_is_not_said_again():
    failed = response("failed", error={"code": "server_error", "message": "No"}, output=[message(text("Hi"))])
    assert [type(event) for event in all_of(CREATED, failed)] == [Start, Failure]


# The end


@pytest.mark.parametrize(
    ("details", "finish"),
    [
        ({"reason": "max_output_tokens"}, Finish("length", "max_output_tokens")),
        ({"reason": "content_filter"}, Finish("content_filter", "content_filter")),
        ({"reason": "steered"}, Finish("pause", "steered")),
        ({"reason": "max_messages"}, Finish("other", "max_messages")),
        ({"reason": None}, Finish("other", "incomplete")),
        (None, Finish("other", "incomplete")),
    ],
)
def test_an_incomplete_answer_says_why(details, finish):
    assert all_of(CREATED, response("incomplete", incomplete_details=details))[-1] == finish


def test_a_cancelled_response_is_something_else():
    assert all_of(CREATED, response("cancelled"))[-1] == Finish("other", "cancelled")


def test_xai_may_end_with_done():
    assert all_of(CREATED, response("done", status="completed"))[-1] == Finish("stop", "completed")


def test_the_status_of_a_completed_response_counts():
    last = response("completed", status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    assert all_of(CREATED, last)[-1] == Finish("length", "max_output_tokens")


def test_a_completed_response_that_failed_failed():
    assert all_of(response(status="failed", error={"code": "server_error", "message": "No"}))[-1].kind == "server"


@pytest.mark.parametrize("event", [{"type": "response.completed"}, {"type": "response.completed", "response": None}])
def test_the_end_may_hold_no_response(event):
    assert all_of(CREATED, event)[-1] == Finish("stop", "completed")


def test_text_that_is_done_is_no_end():
    events = event("output_text.delta", 0, 0, delta="Hi"), finished(0, message(text("Hi")))
    assert all_of(CREATED, *events)[-1].kind == "truncated"


def test_events_after_the_end_are_ignored():
    after = {"type": "response.rate_limits.updated"}, event("output_text.delta", 0, 0, delta="Late")
    assert all_of(CREATED, COMPLETED, *after) == [Start("resp_1", "gpt"), Finish("stop", "completed")]


def test_a_done_of_another_format_is_ignored():
    body = b"data: [DONE]\n\n" + sse_body(CREATED, COMPLETED) + b"data: [DONE]\n\n"
    assert read(openai_responses, [body]) == [Start("resp_1", "gpt"), Finish("stop", "completed")]


# The start


def test_a_response_starts_once():
    queued, progress = response("queued"), response("in_progress", id="another")
    assert events_of(queued, progress) == []


def test_a_start_may_come_late():
    assert all_of(response("in_progress"), COMPLETED) == [Start("resp_1", "gpt"), Finish("stop", "completed")]


def test_an_answer_may_be_its_last_event():
    assert all_of(response(output=[message(text("Hi"))])) == [
        Start("resp_1", "gpt"),
        TextDelta(0, "Hi"),
        BlockEnd(0, SAID),
        Finish("stop", "completed"),
    ]


def test_a_resumed_answer_has_no_start():
    events = all_of(event("output_text.delta", 0, 0, delta="lo"), response("in_progress"), COMPLETED)
    assert events == [Start(), TextDelta(0, "lo"), BlockEnd(0), Finish("stop", "completed")]


def test_empty_ids_are_none():
    assert all_of(response("created", id="", model=""))[0] == Start()


def test_the_fields_of_the_response_may_be_repeated_beside_it():
    flat = {**CREATED, "id": "resp_1", "text": {"format": {"type": "text"}}, "output": [], "metadata": {}}
    assert all_of(flat, COMPLETED) == [Start("resp_1", "gpt"), Finish("stop", "completed")]


# Framing


def test_events_are_known_without_their_event_line():
    body = sse_body(CREATED, event("output_text.delta", 0, 0, delta="Hi"), COMPLETED)
    nameless = b"\n".join(line for line in body.split(b"\n") if not line.startswith(b"event:"))
    assert read(openai_responses, [nameless]) == read(openai_responses, [body])


@pytest.mark.parametrize(
    "event",
    [
        {"type": "keepalive", "sequence_number": 7},
        {"type": "response.new.delta", "delta": {"any": "thing"}},
        {"type": "response.new", "output_index": "x"},
        event("web_search_call.searching", 0, item_id="ws_1"),
        event("content_part.added", 0, 0, part=text("")),
        event("code_interpreter_call_code.delta", 0, delta="print"),
        {"type": None, "sequence_number": 3},
    ],
)
def test_what_says_nothing_is_skipped(event):
    assert events_of(event) == []


@pytest.mark.parametrize(
    "event",
    [
        event("output_item.added", 0),
        event("output_item.done", 0, item=None),
        event("output_item.done", "0", item=message()),
        done(0, "message", content="Hi"),
        done(0, "reasoning", summary="Hm"),
        done(0, "function_call", call_id=5),
        event("output_text.delta", 0, 0, delta=5),
        event("output_text.annotation.added", 0, 0, annotation=5),
        response(output=5),
        response(usage={"input_tokens": "many"}),
        {"type": 5},
    ],
)
def test_a_known_event_of_the_wrong_shape_fails(event):
    last = read(openai_responses, [f"data: {json.dumps(event)}\n\n".encode()])[-1]
    assert (last.kind, last.detail) == ("protocol", "json")


@pytest.mark.parametrize("data", ["{", "5", '"text"', '{"delta": 5}'])
def test_an_event_that_is_none_fails(data):
    last = read(openai_responses, [f"data: {data}\n\n".encode()])[-1]
    assert (last.kind, last.detail) == ("protocol", "json")


def test_bytes_that_are_not_utf8_are_mended_in_what_is_carried_along():
    body = sse_body(CREATED, done(0, "web_search_call", query="QUERY"), COMPLETED).replace(b"QUERY", b"\xff")
    assert json.loads(read(openai_responses, [body])[1].raw)["query"] == "\ufffd"


def test_half_a_surrogate_pair_is_joined_with_the_other():
    body = sse_body(
        CREATED, event("output_text.delta", 0, 0, delta="1"), event("output_text.delta", 0, 0, delta="2"), COMPLETED
    )
    body = body.replace(b'"delta": "1"', rb'"delta": "\ud83d"').replace(b'"delta": "2"', rb'"delta": "\ude00"')
    assert Fold(read(openai_responses, [body])).text == "😀"


# Messages


def test_text_comes_in_deltas():
    events = events_of(
        added(0, "message", id="msg_1", content=[]),
        event("content_part.added", 0, 0, part=text("")),
        event("output_text.delta", 0, 0, delta="Hel"),
        event("output_text.delta", 0, 0, delta="lo"),
        event("output_text.done", 0, 0, text="Hello"),
        event("content_part.done", 0, 0, part=text("Hello")),
        finished(0, message(text("Hello"))),
    )
    assert events == [TextDelta(0, "Hel"), TextDelta(0, "lo"), BlockEnd(0, SAID)]


def test_empty_deltas_are_skipped():
    deltas = [event("output_text.delta", 0, 0, delta=delta) for delta in ("", "Hi", "", None, "!")]
    assert events_of(*deltas) == [TextDelta(0, "Hi"), TextDelta(0, "!"), BlockEnd(0)]


def test_text_may_come_with_its_end_only():
    assert events_of(event("output_text.done", 0, 0, text="Hi"), finished(0, message(text("Hi")))) == [
        TextDelta(0, "Hi"),
        BlockEnd(0, SAID),
    ]


def test_text_may_come_with_its_item_only():
    assert events_of(finished(0, message(text("Hi")))) == [TextDelta(0, "Hi"), BlockEnd(0, SAID)]


def test_each_part_is_a_block():
    two = event("output_text.delta", 0, 0, delta="a"), event("output_text.delta", 0, 1, delta="b")
    assert events_of(*two, finished(0, message(text("a"), text("b")))) == [
        TextDelta(0, "a"),
        TextDelta(1, "b"),
        BlockEnd(0, SAID),
        BlockEnd(1, SAID),
    ]


def test_parts_may_be_counted_from_another_number():
    delta = event("output_text.delta", 1, 7, delta="Hi")
    assert events_of(delta, finished(1, message(text("Hi")))) == [TextDelta(0, "Hi"), BlockEnd(0, SAID)]


def test_a_part_that_had_no_deltas_comes_with_its_message():
    delta = event("output_text.delta", 0, 1, delta="b")
    assert events_of(delta, finished(0, message(text("a"), text("b")))) == [
        TextDelta(0, "b"),
        TextDelta(1, "a"),
        BlockEnd(0, SAID),
        BlockEnd(1, SAID),
    ]


def test_an_empty_part_is_a_block_that_goes_back():
    assert events_of(finished(0, message(text("")))) == [TextDelta(0, ""), BlockEnd(0, SAID)]


def test_a_message_without_parts_leaves_no_trace():
    assert events_of(finished(0, {**message(), "content": None})) == []


def test_a_refusal_is_one():
    deltas = event("refusal.delta", 0, 0, delta="I "), event("refusal.delta", 0, 0, delta="can't.")
    whole = event("refusal.done", 0, 0, refusal="I can't.")
    end = finished(0, message({"type": "refusal", "refusal": "I can't."}))
    assert events_of(*deltas, whole, end, reason="refusal") == [
        RefusalDelta(0, "I "),
        RefusalDelta(0, "can't."),
        BlockEnd(0, SAID),
    ]


def test_a_message_keeps_what_its_blocks_do_not_hold():
    end = finished(0, message(text("Hi"), phase="commentary", extra={"n": 1.50}, none=None))
    assert json.loads(events_of(end)[-1].opaque) == {**json.loads(SAID), "phase": "commentary", "extra": {"n": 1.5}}


def test_a_part_of_an_unknown_type_is_kept():
    end = finished(0, message({"type": "output_smell", "smell": "rose"}, text("Hi"), {}))
    assert events_of(end) == [
        Extension("openai_responses:output_smell", '{"type": "output_smell", "smell": "rose"}'),
        TextDelta(0, "Hi"),
        Extension("openai_responses:part", "{}"),
        BlockEnd(0, SAID),
    ]


def test_token_probabilities_come_with_their_message():
    end = finished(0, message(text("Hi", logprobs=[{"token": "Hi", "logprob": -0.25}])))
    delta = event("output_text.delta", 0, 0, delta="Hi", logprobs=[{"token": "Hi", "logprob": -0.25}])
    assert events_of(delta, end)[1] == Extension("openai_responses:logprobs", '[{"token": "Hi", "logprob": -0.25}]')


# Sources

URL = {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 1, "end_index": 2}
FILE = {"type": "file_citation", "file_id": "file_1", "filename": "a.txt", "index": 3}


def test_a_source_belongs_to_its_text():
    delta = event("output_text.delta", 0, 0, delta="Hi")
    source = event("output_text.annotation.added", 0, 0, annotation=URL, annotation_index=0)
    assert events_of(delta, source, finished(0, message(text("Hi", URL)))) == [
        TextDelta(0, "Hi"),
        Citation(0, "https://a", "A", None, 1, 2, json.dumps(URL)),
        BlockEnd(0, SAID),
    ]


def test_sources_may_come_with_their_message_only():
    delta = event("output_text.delta", 0, 0, delta="Hi")
    source = event("output_text.annotation.added", 0, 0, annotation=URL)
    assert events_of(delta, source, finished(0, message(text("Hi", URL, FILE))))[2:] == [
        Citation(0, title="a.txt", raw=json.dumps(FILE)),
        BlockEnd(0, SAID),
    ]


def test_a_source_may_come_before_its_text():
    source = event("output_text.annotation.added", 0, 0, annotation=FILE)
    end = finished(0, message(text("Hi", FILE)))
    assert events_of(source, end) == [
        Citation(0, title="a.txt", raw=json.dumps(FILE)),
        TextDelta(0, "Hi"),
        BlockEnd(0, SAID),
    ]


def test_a_source_of_no_text_needs_none():
    source = event("output_text.annotation.added", 0, 0, annotation=FILE)
    events = events_of(source, finished(0, message(text("", FILE))))
    assert events == [Citation(0, title="a.txt", raw=json.dumps(FILE)), BlockEnd(0, SAID)]


# Reasoning

THOUGHT = '{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"}'


def summary(*texts: str) -> list[dict[str, str]]:
    return [{"type": "summary_text", "text": text} for text in texts]


def test_reasoning_may_have_no_text():
    start = added(0, "reasoning", id="rs_1", summary=[], encrypted_content="gA")
    end = done(0, "reasoning", id="rs_1", summary=[], encrypted_content="gAAA", content=None)
    assert events_of(start, end) == [ReasoningDelta(0, ""), BlockEnd(0, THOUGHT)]


def test_the_parts_of_a_summary_are_one_block():
    deltas = [
        event("reasoning_summary_text.delta", 0, summary_index=0, delta="a"),
        event("reasoning_summary_text.delta", 0, summary_index=0, delta="b"),
        event("reasoning_summary_text.done", 0, summary_index=0, text="ab"),
        event("reasoning_summary_text.delta", 0, summary_index=1, delta="c"),
        event("reasoning_summary_text.delta", 0, summary_index=1, delta="d"),
    ]
    end = done(0, "reasoning", id="rs_1", summary=summary("ab", "cd"))
    events = events_of(*deltas, end)
    assert events[:-1] == [ReasoningDelta(0, text) for text in ("a", "b", "\n\nc", "d")]
    assert json.loads(events[-1].opaque) == {"type": "reasoning", "id": "rs_1", "summary": summary("ab", "cd")}


def test_a_summary_may_come_with_its_item_only():
    end = done(0, "reasoning", id="rs_1", summary=summary("a", "", "b"), content=[{"type": "x", "text": "hidden"}])
    assert events_of(end)[0] == ReasoningDelta(0, "a\n\nb")


def test_open_models_send_the_reasoning_itself():
    end = done(0, "reasoning", id="rs_1", summary=[], content=[{"type": "reasoning_text", "text": "ab"}])
    deltas = event("reasoning_text.delta", 0, 0, delta="a"), event("reasoning_text.delta", 0, 0, delta="b")
    assert events_of(*deltas, event("reasoning_text.done", 0, 0, text="ab"), end)[:-1] == [
        ReasoningDelta(0, "a"),
        ReasoningDelta(0, "b"),
    ]


def test_the_reasoning_itself_may_come_with_its_item_only():
    end = done(0, "reasoning", id="rs_1", content=[{"type": "reasoning_text", "text": "ab"}])
    assert events_of(end)[0] == ReasoningDelta(0, "ab")


def test_some_servers_have_a_shorter_name_for_it():
    assert events_of(event("reasoning.delta", 0, delta="Hm")) == [ReasoningDelta(0, "Hm"), BlockEnd(0)]


# Calls

CALLED = '{"type":"function_call","id":"fc_1","status":"completed"}'


def call(arguments: Any = "", **fields: Any) -> dict[str, Any]:
    return {"id": "fc_1", "call_id": "call_1", "name": "add", "arguments": arguments, **fields}


def test_a_call_has_the_id_that_its_result_needs():
    events = events_of(
        added(0, "function_call", **call()),
        event("function_call_arguments.delta", 0, item_id="fc_1", delta='{"a"'),
        event("function_call_arguments.delta", 0, item_id="fc_1", delta=":1}"),
        event("function_call_arguments.done", 0, item_id="fc_1", arguments='{"a":1}'),
        done(0, "function_call", **call('{"a":1}', status="completed")),
        reason="tool_calls",
    )
    assert events == [
        ToolCallStart(0, "call_1", "add"),
        ToolCallDelta(0, '{"a"'),
        ToolCallDelta(0, ":1}"),
        BlockEnd(0, CALLED),
    ]


def test_arguments_may_come_with_their_end_only():
    whole = event("function_call_arguments.done", 0, item_id="fc_1", arguments='{"a":1}')
    end = done(0, "function_call", **call('{"a":1}', status="completed"))
    assert events_of(added(0, "function_call", **call()), whole, end, reason="tool_calls")[1:] == [
        ToolCallDelta(0, '{"a":1}'),
        BlockEnd(0, CALLED),
    ]


def test_arguments_may_come_with_the_start():
    start, end = added(0, "function_call", **call("{}")), done(0, "function_call", **call(None, status="completed"))
    assert events_of(start, end, reason="tool_calls")[1:] == [ToolCallDelta(0, "{}"), BlockEnd(0, CALLED)]


def test_arguments_of_the_start_do_not_count_if_others_come():
    start = added(0, "function_call", **call("{}"))
    delta = event("function_call_arguments.delta", 0, item_id="fc_1", delta='{"a":1}')
    assert events_of(start, delta, reason="tool_calls")[1:] == [ToolCallDelta(0, '{"a":1}'), BlockEnd(0)]


def test_arguments_may_be_an_object():
    end = done(0, "function_call", **call({"a": 1.0}, status="completed"))
    assert events_of(end, reason="tool_calls")[1] == ToolCallDelta(0, '{"a": 1.0}')


def test_a_call_may_have_no_arguments():
    end = done(0, "function_call", **call(status="completed"))
    assert events_of(end, reason="tool_calls") == [ToolCallStart(0, "call_1", "add"), BlockEnd(0, CALLED)]


def test_a_call_begins_with_its_name():
    deltas = [event("function_call_arguments.delta", 0, item_id="fc_1", delta=delta) for delta in ("{", "}")]
    whole = event("function_call_arguments.done", 0, item_id="fc_1", arguments="{}")
    end = done(0, "function_call", **call("{}", status="completed"))
    wanted = [ToolCallStart(0, "call_1", "add"), ToolCallDelta(0, "{}"), BlockEnd(0, CALLED)]
    assert events_of(*deltas, whole, end, reason="tool_calls") == wanted


def test_the_name_may_come_after_the_first_arguments():
    before = event("function_call_arguments.delta", 0, item_id="fc_1", delta="{")
    after = event("function_call_arguments.delta", 0, item_id="fc_1", delta="}")
    assert events_of(before, added(0, "function_call", **call()), after, reason="tool_calls") == [
        ToolCallStart(0, "call_1", "add"),
        ToolCallDelta(0, "{"),
        ToolCallDelta(0, "}"),
        BlockEnd(0),
    ]


def test_a_call_that_was_never_named_is_a_call():
    whole = event("function_call_arguments.done", 0, item_id="fc_1", arguments="{}")
    assert events_of(whole, reason="tool_calls") == [
        ToolCallStart(0, "call_0", ""),
        ToolCallDelta(0, "{}"),
        BlockEnd(0),
    ]


def test_ids_of_calls_are_unique():
    calls = [done(index, "function_call", **call(id=f"fc_{index}")) for index in range(2)]
    events = events_of(*calls, reason="tool_calls")
    assert [event.id for event in events if isinstance(event, ToolCallStart)] == ["call_1", "call_1_1"]


def test_parallel_calls_may_be_mixed():
    events = events_of(
        added(0, "function_call", **call()),
        added(1, "function_call", **call(id="fc_2", call_id="call_2")),
        event("function_call_arguments.delta", 0, delta="1"),
        event("function_call_arguments.delta", 1, delta="2"),
        event("function_call_arguments.delta", 0, delta="1"),
        reason="tool_calls",
    )
    assert [(event.index, event.arguments) for event in events if isinstance(event, ToolCallDelta)] == [
        (0, "1"),
        (1, "2"),
        (0, "1"),
    ]


def test_a_custom_tool_gets_text():
    item = {"id": "ctc_1", "call_id": "call_1", "name": "run", "status": "completed"}
    events = events_of(
        added(0, "custom_tool_call", **item, input=""),
        event("custom_tool_call_input.delta", 0, item_id="ctc_1", delta="ls"),
        event("custom_tool_call_input.done", 0, item_id="ctc_1", input="ls"),
        done(0, "custom_tool_call", **item, input="ls"),
        reason="tool_calls",
    )
    assert events == [
        ToolCallStart(0, "call_1", "run"),
        ToolCallDelta(0, "ls"),
        BlockEnd(0, '{"type":"custom_tool_call","id":"ctc_1","status":"completed"}'),
    ]


def test_a_call_counts_for_more_than_a_refusal():
    refusal = finished(0, message({"type": "refusal", "refusal": "No."}))
    assert events_of(refusal, done(1, "function_call", **call()), reason="tool_calls")


# Other items


def test_what_xai_runs_itself_is_no_call():
    item = {"id": "ctc_1", "call_id": "xs_call_1", "name": "x_keyword_search"}
    events = events_of(
        added(0, "custom_tool_call", **item, input=""),
        event("custom_tool_call_input.delta", 0, item_id="ctc_1", delta="{}"),
        done(0, "custom_tool_call", **item, input="{}"),
    )
    raw = json.dumps({"type": "custom_tool_call", **item, "input": "{}"})
    assert events == [Extension("openai_responses:custom_tool_call", raw, 0), BlockEnd(0)]


def test_other_items_are_carried_along_whole():
    item = {"id": "x_1", "content": 5, "summary": 1.50, "name": None}
    end = done(0, "invented_call", **item)
    assert events_of(added(0, "invented_call", id="x_1"), end) == [
        Extension("openai_responses:invented_call", json.dumps(end["item"]), 0),
        BlockEnd(0),
    ]


def test_an_item_may_have_no_type():
    assert events_of(event("output_item.done", 0, item={}))[0] == Extension("openai_responses:item", "{}", 0)


def test_an_item_that_was_never_done_is_as_it_began():
    start = added(0, "compaction", encrypted_content="x")
    assert events_of(start) == [
        Extension("openai_responses:compaction", json.dumps(start["item"]), 0),
        BlockEnd(0),
    ]


PIXEL = base64.b64encode(b"a picture").decode()


@pytest.mark.parametrize(("format", "media_type"), [("webp", "image/webp"), (None, "image/png"), (5, "image/png")])
def test_a_generated_image_is_one(format, media_type):
    end = done(0, "image_generation_call", id="ig_1", result=PIXEL, output_format=format)
    assert events_of(end) == [
        Attachment(0, media_type, b"a picture"),
        Extension("openai_responses:image_generation_call", json.dumps(end["item"]), 0),
        BlockEnd(0, '{"type":"image_generation_call","id":"ig_1"}'),
    ]


@pytest.mark.parametrize("result", [None, "", "i", "é", "https://a/b.png", 5])
def test_an_image_that_is_none_is_carried_along(result):
    end = done(0, "image_generation_call", id="ig_1", result=result)
    assert [type(event) for event in events_of(end)] == [Extension, BlockEnd]


def test_no_other_result_is_an_image():
    assert [type(event) for event in events_of(done(0, "invented_call", result=PIXEL))] == [Extension, BlockEnd]


@pytest.mark.parametrize("type", ["image_generation_call.partial_image", "audio.delta", "audio.transcript.delta"])
def test_what_no_item_repeats_is_kept(type):
    partial = event(type, 0, partial_image_b64="AA", delta="BB")
    assert events_of(partial) == [Extension(f"openai_responses:{type}", json.dumps(partial))]


@pytest.mark.parametrize(
    "items",
    [
        [{"type": "mcp_approval_request", "id": "mcpr_1"}],
        [{"type": "computer_call", "id": "cu_1", "call_id": "call_1"}],
        [{"type": "tool_search_call", "id": "ts_1", "execution": "client", "call_id": "call_1"}],
        [
            {"type": "shell_call", "id": "sh_1", "call_id": "call_1"},
            {"type": "shell_call_output", "id": "sho_1", "call_id": "call_2"},
        ],
    ],
)
def test_what_the_caller_must_do_is_a_pause(items):
    assert events_of(*[finished(index, item) for index, item in enumerate(items)], reason="pause")


@pytest.mark.parametrize(
    "items",
    [
        [{"type": "web_search_call", "id": "ws_1", "call_id": "call_1"}],
        [{"type": "tool_search_call", "id": "ts_1", "execution": "server", "call_id": None}],
        [
            {"type": "shell_call", "id": "sh_1", "call_id": "call_1"},
            {"type": "shell_call_output", "id": "sho_1", "call_id": "call_1"},
        ],
    ],
)
def test_what_the_provider_did_is_no_pause(items):
    assert events_of(*[finished(index, item) for index, item in enumerate(items)], reason="stop")


# Which item


def test_items_are_known_by_their_index_where_ids_change():
    events = events_of(
        added(0, "message", id="a", content=[]),
        event("output_text.delta", 0, 0, item_id="b", delta="Hi"),
        event("output_text.done", 0, 0, item_id="c", text="Hi"),
        finished(0, message(text("Hi"), id="d")),
    )
    assert events == [TextDelta(0, "Hi"), BlockEnd(0, SAID.replace("msg_1", "d"))]


def test_items_whose_ids_change_are_not_repeated_at_the_end():
    ends = finished(0, message(text("Hi"), id="a")), response(output=[message(text("Hi"), id="b")])
    assert Fold(all_of(CREATED, *ends)).text == "Hi"


def test_items_are_known_by_their_id_without_an_index():
    events = events_of(
        {**added(0, "message", id="msg_1", content=[]), "output_index": None},
        {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "Hel"},
        {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "lo"},
        {**finished(0, message(text("Hello"))), "output_index": None},
    )
    assert events == [TextDelta(0, "Hel"), TextDelta(0, "lo"), BlockEnd(0, SAID)]


def test_an_event_without_index_and_id_belongs_to_the_latest_item():
    events = events_of(
        {"type": "response.output_item.added", "item": {"type": "message"}},
        {"type": "response.output_text.delta", "delta": "Hi"},
        {"type": "response.output_item.done", "item": message(text("Hi"))},
    )
    assert events == [TextDelta(0, "Hi"), BlockEnd(0, SAID)]


def test_calls_may_all_have_the_same_index():
    events = events_of(
        added(0, "function_call", **call()),
        added(0, "function_call", **call(id="fc_2", call_id="call_2")),
        event("function_call_arguments.delta", 0, item_id="fc_1", delta="1"),
        done(0, "function_call", **call("1")),
        event("function_call_arguments.delta", 0, item_id="fc_2", delta="2"),
        done(0, "function_call", **call("2", id="fc_2", call_id="call_2")),
        reason="tool_calls",
    )
    calls = [(event.index, event.arguments) for event in events if isinstance(event, ToolCallDelta)]
    assert calls == [(0, "1"), (1, "2")]


def test_an_item_begins_once():
    start = added(0, "function_call", **call())
    assert events_of(start, start, reason="tool_calls") == [ToolCallStart(0, "call_1", "add"), BlockEnd(0)]


def test_an_item_ends_once():
    end = finished(0, message(text("Hi")))
    assert events_of(end, end) == [TextDelta(0, "Hi"), BlockEnd(0, SAID)]


def test_text_after_the_end_of_its_item_is_another_item():
    delta = event("output_text.delta", 0, 0, delta="Hi")
    assert Fold(all_of(CREATED, delta, finished(0, message(text("Hi"))), delta, COMPLETED)).text == "HiHi"


def test_items_that_the_stream_left_out_come_with_the_end():
    first, second = message(text("a")), message(text("b"), id="msg_2")
    fold = Fold(all_of(CREATED, finished(0, first), response(output=[first, second])))
    assert fold.text == "ab"


def test_an_item_that_was_never_done_ends_with_the_answer():
    events = all_of(
        CREATED, event("output_text.delta", 0, 0, item_id="msg_1", delta="Hi"), response(output=[message(text("Hi"))])
    )
    assert events[1:-1] == [TextDelta(0, "Hi"), BlockEnd(0, SAID)]


# Usage, and what else belongs to the whole answer

COUNTS = {
    "input_tokens": 30,
    "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 5},
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 6},
    "total_tokens": 39,
}


def about(**fields: Any) -> list[Any]:
    return all_of(CREATED, response(**fields))[1:-1]


def test_usage_is_counted():
    assert about(usage=COUNTS) == [Usage(30, 9, cache_read_tokens=20, cache_write_tokens=5, reasoning_tokens=6)]


def test_what_is_not_counted_is_unknown():
    usage = {"input_tokens": 3, "output_tokens": None, "input_tokens_details": None}
    assert about(usage=usage) == [Usage(input_tokens=3)]


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": None}])
def test_no_usage_is_none(usage):
    assert about(usage=usage) == []


@pytest.mark.parametrize("more", [{"cost": 0.5}, {"input_tokens_details": {"orchestration_tokens": 1}}])
def test_usage_that_is_more_than_tokens_is_kept_whole(more):
    usage = {"input_tokens": 3, **more}
    assert about(usage=usage) == [Extension("openai_responses:usage", json.dumps(usage)), Usage(input_tokens=3)]


def test_facts_about_the_answer_are_kept():
    events = about(service_tier="flex", conversation={"id": "conv_1"}, moderation=None, content_filters=[])
    assert events == [
        Extension("openai_responses:service_tier", '"flex"'),
        Extension("openai_responses:conversation", '{"id": "conv_1"}'),
    ]


@pytest.mark.parametrize(("requests", "told"), [(0, 0), (1, 1)])
def test_tools_that_were_used_are_counted(requests, told):
    assert len(about(tool_usage={"web_search": {"num_requests": requests}})) == told


def test_what_copilot_counts_is_kept():
    last = {**COMPLETED, "copilot_usage": {"total": 1}}
    assert all_of(CREATED, last)[1] == Extension("openai_responses:copilot_usage", '{"total": 1}')


# Recordings of our own


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem) for path in sorted(OWN.glob("openai_responses-*.json"))]
)
def test_our_recordings_hold_wherever_they_are_cut(path):
    recording = Recording.load(path)
    check_cuts(openai_responses, recording.data, samples=samples(recording.data))
    check_truncation(openai_responses, recording.data, samples=samples(recording.data))


def own(name: str) -> Fold:
    return Fold(read(openai_responses, [Recording.load(OWN / f"openai_responses-{name}.json").data]))


def test_our_recording_of_parallel_tools():
    fold = own("parallel-tools")
    assert [(call.id, call.name, json.loads(call.arguments)) for call in fold.tool_calls] == [
        ("call_made_up_1", "weather", {"city": "Zürich"}),
        ("call_made_up_2", "time", {}),
    ]
    assert fold.text == "I'll look up both."
    assert fold.reasoning == "**Two lookups**\n\nIndependent of each other."
    assert fold.outcome == Finish("tool_calls", "completed")
    assert fold.usage == Usage(364, 117, cache_read_tokens=256, cache_write_tokens=0, reasoning_tokens=64)


def test_our_recording_of_parallel_tools_goes_back():
    request = Request(messages=(own("parallel-tools").message,))
    items = json.loads(openai_responses.encode(request, TARGET).body)["input"]
    assert [item["id"] for item in items] == ["rs_made_up_1", "msg_made_up_1", "fc_made_up_1", "fc_made_up_2"]
    assert items[0]["encrypted_content"] == "gAAAAABub3QgYSByZWFsIG9uZQ=="
    assert items[1]["phase"] == "commentary"


def test_our_recording_of_a_web_search():
    fold = own("web-search")
    assert [citation.url for citation in fold.citations] == ["https://example.org/rayleigh"]
    assert [type(part).__name__ for part in fold.message.parts] == ["ExtensionPart", "Text"]
    assert json.loads(fold.message.parts[0].raw)["action"]["query"] == "why is the sky blue"
    assert {item.name for item in fold.extensions} == {"openai_responses:service_tier", "openai_responses:tool_usage"}
    assert fold.outcome == Finish("stop", "completed")


def test_our_recording_of_a_refusal():
    fold = own("refusal")
    assert (fold.text, fold.refusal) == ("", "I'm sorry, I can't help with that.")
    assert fold.outcome == Finish("refusal", "completed")


def test_our_recording_of_an_error():
    fold = own("overloaded")
    assert fold.text == "Once upon a time"
    assert fold.outcome == Failure("overloaded", "Our servers are currently overloaded.", code="server_is_overloaded")


# Anything at all

FIELDS = st.sampled_from(
    [
        "type",
        "id",
        "item_id",
        "output_index",
        "content_index",
        "summary_index",
        "delta",
        "text",
        "refusal",
        "arguments",
        "input",
        "item",
        "annotation",
        "response",
        "error",
        "code",
        "message",
        "status",
        "incomplete_details",
        "reason",
        "output",
        "usage",
        "input_tokens",
        "output_tokens_details",
        "reasoning_tokens",
        "content",
        "summary",
        "annotations",
        "call_id",
        "name",
        "result",
        "execution",
        "url",
        "tool_usage",
    ]
)
KINDS_OF_ITEM = st.sampled_from(
    [
        "message",
        "reasoning",
        "function_call",
        "custom_tool_call",
        "web_search_call",
        "image_generation_call",
        "shell_call",
        "shell_call_output",
        "output_text",
        "refusal",
        "invented_tomorrow",
    ]
)
STEMS = st.sampled_from(
    [
        "output_text",
        "refusal",
        "reasoning_summary_text",
        "reasoning_text",
        "function_call_arguments",
        "custom_tool_call_input",
    ]
)
TEXTS = st.builds("response.{}.{}".format, STEMS, st.sampled_from(["added", "delta", "done"]))
TYPES = TEXTS | st.sampled_from(
    [
        "response.created",
        "response.failed",
        "response.done",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_text.annotation.added",
        "error",
    ]
)
SHORT = st.text(max_size=3)
LEAVES = st.none() | st.booleans() | st.integers(-1, 3) | st.floats(allow_nan=False) | KINDS_OF_ITEM | SHORT
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=5), max_leaves=10
)
WILD = VALUES | st.builds(
    lambda fields, name: {**fields, "type": name}, st.dictionaries(FIELDS, VALUES, max_size=5), TYPES
)

PLACE = st.none() | st.integers(0, 2)
IDS = st.none() | st.sampled_from(["", "a", "b"])
PIECES = st.fixed_dictionaries(
    {"type": KINDS_OF_ITEM},
    optional={"text": SHORT, "refusal": SHORT, "annotations": st.lists(st.just(URL), max_size=2)},
)
ITEMS = st.fixed_dictionaries(
    {"type": KINDS_OF_ITEM, "id": IDS},
    optional={
        "content": st.lists(PIECES, max_size=2),
        "summary": st.lists(PIECES, max_size=2),
        "call_id": SHORT,
        "name": st.sampled_from(["f", "", "x_thread_fetch"]),
        "arguments": SHORT,
        "input": SHORT,
        "result": st.just(PIXEL),
    },
)
TAME = st.one_of(
    st.fixed_dictionaries(
        {"type": TEXTS},
        optional={
            "item_id": IDS,
            "output_index": PLACE,
            "content_index": PLACE,
            "summary_index": PLACE,
            "delta": SHORT,
            "text": SHORT,
            "arguments": SHORT,
        },
    ),
    st.builds(lambda place, item: event("output_item.added", place, item=item), PLACE, ITEMS),
    st.builds(lambda place, item: event("output_item.done", place, item=item), PLACE, ITEMS),
    st.builds(lambda *place: event("output_text.annotation.added", *place, annotation=URL), PLACE, PLACE),
)


@given(st.lists(WILD, max_size=6))
def test_any_json_ends_in_one_last_event(values):
    body = b"".join(b"data: %b\n\n" % json.dumps(value).encode() for value in values)
    grammar.check(read(openai_responses, [body, sse_body(COMPLETED)]))


@given(st.lists(TAME, max_size=20), st.lists(ITEMS, max_size=4))
def test_any_order_of_events_is_a_whole_answer(events, output):
    events = all_of(CREATED, *events, response(output=output))
    grammar.check(events)
    assert type(events[-1]) is Finish


@given(st.lists(TAME, max_size=20), st.lists(ITEMS, max_size=4))
def test_any_answer_can_go_back(events, output):
    turn = Fold(all_of(CREATED, *events, response(output=output))).message
    assert openai_responses.encode(Request(messages=(turn,)), TARGET).body


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_end_in_one_last_event(data, more):
    grammar.check(read(openai_responses, [data, b'\n\ndata: {"type":"', more]))
