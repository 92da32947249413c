"""The adapter `gemini`: every recording against a plain reading of it, and what no recording shows."""

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

from adapters import plain_gemini as plain
from streamcore import failures, jsonarray
from streamcore.adapter import Adapter, load
from streamcore.events import (
    Attachment,
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
from streamcore.frames import Frame
from streamcore.message import Fold
from streamcore.testing import Recording, check_cuts, check_truncation, read
from streamcore_adapters import gemini

FUZZING = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"

# Streams that stop without a finish reason: cut off, or trimmed for a test; in one the last event is not JSON.
NEVER_WHOLE = {
    "gemini-genc-chat-stream-thinking-mock-12f5bc",
    "gemini-genc-failure-empty-content-82e021",
    "gemini-genc-google-genai-creates-a-streaming-genai-span-cd7288",
    "gemini-genc-streaming-failure-malformed-content-df6418",
    "vertex-genc-streaming-failure-empty-content-a53aad",
    "vertex-genc-streaming-success-empty-text-part-c0362f",
    "vertex-genc-streaming-success-quotes-escaped-0700f3",
}
NOT_JSON = "vertex-genc-streaming-success-empty-text-part-c0362f"
UNUSABLE = {
    "gemini-genc-testplugincallbackintegration-agent-tool-def-49ca90",
    "gemini-genc-testplugincallbackintegration-agent-tool-def-64d98e",
}


def samples(body: bytes) -> int | None:
    """How many cuts of a long body are tried."""
    return None if FUZZING else max(4, 200_000 // len(body))


def sse_body(*chunks: Any) -> bytes:
    return "".join(f"data: {json.dumps(chunk)}\r\n\r\n" for chunk in chunks).encode()


def array_body(*chunks: Any) -> bytes:
    return ("[" + "\n,\r\n".join(json.dumps(chunk, indent=2) for chunk in chunks) + "\n]\n").encode()


def chunk(*parts: Any, **candidate: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, **candidate}], "responseId": "r"}


def end(reason: Any = "STOP", **candidate: Any) -> dict[str, Any]:
    return {"candidates": [{"finishReason": reason, **candidate}], "responseId": "r"}


def counted(**usage: Any) -> dict[str, Any]:
    return {"usageMetadata": usage}


def events_of(*chunks: Any) -> list[Any]:
    """The events between the first and the last of a whole answer."""
    first, *middle, last = read(gemini, [sse_body(*chunks, end())])
    assert first == Start("r")
    assert isinstance(last, Finish)
    return middle


def content_of(*chunks: Any) -> list[Any]:
    """Likewise, without the ends of blocks that have nothing to give back."""
    return [event for event in events_of(*chunks) if not isinstance(event, BlockEnd) or event.opaque]


def last_of(*chunks: Any) -> Any:
    return read(gemini, [sse_body(*chunks)])[-1]


# The module


def test_it_is_an_adapter():
    adapter: Adapter = gemini
    assert isinstance(adapter, Adapter)


def test_it_is_found_by_its_name():
    assert load("gemini") is gemini


# Recordings


@pytest.mark.parametrize("row", params("streams-generate_content"))
def test_a_recording_says_what_a_plain_reading_of_it_says(row):
    fold = Fold(read(gemini, [row.body]))
    if row.id == NOT_JSON:
        assert fold.text == "1"
        return
    wanted = plain.decode(row.body)
    calls = [(call.name, json.loads(call.arguments)) for call in fold.tool_calls]
    usage = msgspec.structs.asdict(fold.usage or Usage())
    assert (fold.id, fold.model) == (wanted.id, wanted.model)
    assert fold.text == wanted.text
    assert fold.reasoning == wanted.reasoning
    assert calls == [call[1:] for call in wanted.tool_calls]
    assert {name: usage[name] for name in wanted.usage} == wanted.usage


@pytest.mark.parametrize("row", params("streams-generate_content"))
def test_a_recording_ends_as_it_should(row):
    outcome = Fold(read(gemini, [row.body])).outcome
    if row.id in NEVER_WHOLE:
        assert isinstance(outcome, Failure)
        assert outcome.kind == "truncated"
    elif row.id in UNUSABLE:
        assert (outcome.kind, outcome.detail, outcome.code) == ("server", "model_output", "UNEXPECTED_TOOL_CALL")
    else:
        wanted = plain.decode(row.body)
        word = wanted.block_reason or plain.NUMBERS.get(wanted.finish_reason, wanted.finish_reason)
        assert outcome == Finish(wanted.finish, word)


@pytest.mark.parametrize("row", params("streams-generate_content"))
def test_a_recording_reads_the_same_however_it_is_cut(row):
    grammar.check(check_cuts(gemini, row.body, samples=samples(row.body)))


@pytest.mark.parametrize("row", params("streams-generate_content"))
def test_a_recording_that_ends_early_is_never_whole(row):
    """Where every chunk has a reason, only what lies before the first of them can be known to be cut off."""
    body = row.body
    if "finish_reason_on_several_chunks" in row.flags and row.fields["framing"] == "sse":
        body = body[: body.index(b'"finishReason"')]
    check_truncation(gemini, body, samples=samples(body))


@pytest.mark.parametrize("row", [row for row in params("streams-generate_content") if row.id != NOT_JSON])
def test_recorded_sources_are_put_on_the_words_they_are_about(row):
    fold, wanted = Fold(read(gemini, [row.body])), plain.decode(row.body)
    grounded = [citation for citation in fold.citations if "segment" in citation.raw]
    assert [(fold.text[one.start : one.end], one.url) for one in grounded] == plain.segments(wanted)
    cited = [citation for citation in fold.citations if "segment" not in citation.raw]
    assert {one.url for one in cited} == {source.get("uri") or None for source in wanted.citations}


@pytest.mark.parametrize("path", sorted(OWN.glob("gemini-*.json")), ids=lambda path: path.stem)
def test_an_own_recording_reads_the_same_however_it_is_cut(path):
    body = Recording.load(path).data
    grammar.check(check_cuts(gemini, body, samples=samples(body)))
    check_truncation(gemini, body, samples=samples(body))


def own(name: str) -> Fold:
    return Fold(read(gemini, [Recording.load(OWN / f"gemini-{name}.json").data]))


def test_the_recording_of_parallel_tools():
    fold = own("parallel-tools")
    calls = [(call.id, json.loads(call.arguments)) for call in fold.tool_calls]
    assert calls == [("fn-1", {"place": "Ålesund"}), ("fn-2", {"place": "Tromsø", "unit": "°C"})]
    assert [call.opaque for call in fold.tool_calls] == ['{"thoughtSignature":"c2lnbmVkIG9uY2UgZm9yIGJvdGg="}', None]
    assert fold.reasoning.startswith("**Two places**")
    assert fold.usage == Usage(52, 52, reasoning_tokens=33)
    assert fold.outcome == Finish("tool_calls", "STOP")


def test_the_recording_of_a_grounded_answer():
    fold = own("grounded")
    assert {fold.text[one.start : one.end] for one in fold.citations} == {"der Dom ist 157 m hoch."}
    assert [one.title for one in fold.citations] == ["example.org", "Köln"]
    assert fold.message.parts[1].opaque == '{"thoughtSignature":"c2lnbmVkIGF0IHRoZSBlbmQ="}'
    assert fold.usage == Usage(132, 76, reasoning_tokens=60)
    assert [one.name for one in fold.extensions] == ["gemini:grounding_metadata"]


def test_the_recording_of_a_filtered_answer():
    fold = own("safety")
    assert (fold.text, fold.outcome) == ("First you", Finish("content_filter", "SAFETY"))
    assert fold.extensions[1] == Extension("gemini:finish_message", '"The answer was stopped."')


def test_the_recording_of_a_blocked_prompt():
    fold = own("prompt-blocked")
    assert (fold.text, fold.outcome) == ("", Finish("content_filter", "PROHIBITED_CONTENT"))
    assert fold.extensions == [Extension("gemini:prompt_feedback", '{"blockReason": "PROHIBITED_CONTENT"}')]


def test_the_recording_of_an_error_without_a_frame():
    fold = own("error-in-stream")
    assert fold.text == "Once upon"
    assert fold.outcome == Failure(
        "overloaded", "The model is overloaded.", status=503, code="UNAVAILABLE", retry_after=7.0
    )


def test_the_recording_of_an_array():
    fold = own("array")
    assert fold.text == "Let me count.It is 45, not {44}."
    assert [part.name for part in fold.message.parts[1:3]] == ["gemini:executable_code", "gemini:code_execution_result"]
    assert fold.outcome == Finish("stop", "STOP")


def test_the_recording_of_streamed_arguments():
    (call,) = own("streamed-arguments").tool_calls
    legs = [{"to": 'Bergen "B"', "hours": 6.5}, {"to": "Voss"}]
    assert json.loads(call.arguments) == {"trip": {"from": "Oslo", "legs": legs}, "direct": False, "seat": None}
    assert call.opaque == '{"thoughtSignature":"c2lnbmVkIGJlZm9yZSB0aGUgYXJndW1lbnRz","id":null}'


# Errors

KINDS = {400: "invalid", 401: "auth", 403: "permission", 404: "not_found", 429: "rate_limit", 503: "overloaded"}
MALFORMED = "vertex-genc-stream-generate-content-invalid-role-4178a8"


@pytest.mark.parametrize("row", params("errors-generate_content"))
def test_a_recorded_error_is_known_for_what_it_is(row):
    failure = failures.http_failure(row.status, row.headers, row.body)
    described = {} if row.id == MALFORMED else json.loads(row.body)["error"]
    reason = next((one["reason"] for one in described.get("details", ()) if "reason" in one), None)
    assert failure.kind == ("auth" if reason == "API_KEY_INVALID" else KINDS[row.status])
    assert failure.code == (reason or described.get("status"))
    assert failure.message.startswith(described.get("message", "HTTP 400; the body begins"))
    assert (failure.status, failure.request_id, failure.retry_after) == (row.status, None, None)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        ("INVALID_ARGUMENT", 400, "invalid"),
        ("FAILED_PRECONDITION", 400, "invalid"),
        ("OUT_OF_RANGE", 400, "invalid"),
        ("UNAUTHENTICATED", 401, "auth"),
        ("PERMISSION_DENIED", 403, "permission"),
        ("NOT_FOUND", 404, "not_found"),
        ("RESOURCE_EXHAUSTED", 429, "rate_limit"),
        ("CANCELLED", 499, "cancelled"),
        ("UNKNOWN", 500, "server"),
        ("INTERNAL", 500, "server"),
        ("DATA_LOSS", 500, "server"),
        ("UNIMPLEMENTED", 501, "server"),
        ("UNAVAILABLE", 503, "overloaded"),
        ("DEADLINE_EXCEEDED", 504, "timeout"),
    ],
)
def test_an_error_in_the_stream_ends_it(status, code, kind):
    error = {"error": {"code": code, "message": "No", "status": status}}
    events = read(gemini, [sse_body(chunk({"text": "Hi"}), error, end())])
    assert events == [Start("r"), TextDelta(0, "Hi"), Failure(kind, "No", status=code, code=status, request_id="r")]


def test_an_error_may_have_only_its_status():
    error = {"error": {"code": None, "message": "Busy", "status": "UNAVAILABLE"}}
    assert read(gemini, [sse_body(error)]) == [Start(), Failure("overloaded", "Busy", code="UNAVAILABLE")]


def test_the_time_to_wait_is_in_the_details():
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"}
    error = {"error": {"code": 429, "message": "No", "status": "RESOURCE_EXHAUSTED", "details": [info]}}
    assert last_of(error).retry_after == 37.0
    assert failures.http_failure(429, {}, json.dumps([error]).encode()).retry_after == 37.0


@pytest.mark.parametrize("body", [array_body, sse_body], ids=["array", "events"])
def test_an_error_may_be_all_there_is(body):
    error = {"error": {"code": 503, "message": "Busy", "status": "UNAVAILABLE"}}
    failure = Failure("overloaded", "Busy", status=503, code="UNAVAILABLE")
    assert read(gemini, [body(error)]) == [Start(), failure]


def test_an_error_may_be_the_whole_body():
    body = json.dumps({"error": {"code": 404, "message": "No", "status": "NOT_FOUND"}}, indent=2).encode()
    assert read(gemini, [body])[-1] == Failure("not_found", "No", status=404, code="NOT_FOUND")


def test_an_error_in_an_array_within_an_event_is_one():
    assert last_of([{"error": {"code": 503, "message": "Busy"}}]) == Failure("overloaded", "Busy", status=503)


def test_an_error_that_says_nothing_is_one():
    assert last_of({"error": {}}) == Failure("server", "an error without a message: {}")


def test_no_error_is_none():
    assert last_of(chunk({"text": "Hi"}) | {"error": None}, end()) == Finish("stop", "STOP")


def test_a_bare_error_after_content_ends_the_stream():
    bare = json.dumps({"error": {"code": 499, "message": "Gone", "status": "CANCELLED"}}, indent=2)
    body = sse_body(chunk({"text": "Hi"})) + bare.replace("\n", "\r\n").encode()
    failure = Failure("cancelled", "Gone", status=499, code="CANCELLED")
    assert check_cuts(gemini, body) == [Start("r"), TextDelta(0, "Hi"), failure]


@pytest.mark.parametrize("data", ["{", "5", '"text"', "[]", '{"candidates": 5}', '{"candidates": [{"index": "0"}]}'])
def test_a_frame_that_is_no_chunk_fails(data):
    last = read(gemini, [f"data: {data}\r\n\r\n".encode()])[-1]
    assert (last.kind, last.detail) == ("protocol", "json")


def test_a_page_of_html_is_no_stream():
    last = read(gemini, [b"<html>Bad Gateway</html>"])[-1]
    assert (last.kind, last.detail) == ("protocol", "content_type")


# The end


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("CONTINUATION", "pause"),
        ("SAFETY", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        ("RECITATION", "content_filter"),
        ("LANGUAGE", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("IMAGE_PROHIBITED_CONTENT", "content_filter"),
        ("IMAGE_RECITATION", "content_filter"),
        ("MODEL_ARMOR", "content_filter"),
        ("OTHER", "other"),
        ("IMAGE_OTHER", "other"),
        ("NO_IMAGE", "other"),
        ("ESCALATION", "other"),
        ("PUP_LIMITED_DISABLED", "other"),
        ("FINISH_REASON_UNSPECIFIED", "other"),
        ("INVENTED_TOMORROW", "other"),
    ],
)
def test_the_finish_reason_is_translated(raw, reason):
    assert last_of(end(raw)) == Finish(reason, raw)


@pytest.mark.parametrize(
    ("number", "finish"),
    [
        (1, Finish("stop", "STOP")),
        (2, Finish("length", "MAX_TOKENS")),
        (3, Finish("content_filter", "SAFETY")),
        (4, Finish("content_filter", "RECITATION")),
        (5, Finish("other", "OTHER")),
        (9, Finish("other", "9")),
    ],
)
def test_the_finish_reason_may_be_a_number(number, finish):
    assert last_of(end(number)) == finish


@pytest.mark.parametrize("reason", [None, 0, ""])
def test_no_finish_reason_is_no_end(reason):
    assert last_of(chunk({"text": "Hi"}, finishReason=reason)).kind == "truncated"


@pytest.mark.parametrize(
    "word",
    [
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
    ],
)
def test_output_that_cannot_be_used_is_a_failure(word):
    last = last_of(chunk({"text": "Hi"}), end(word, finishMessage="Malformed: f("))
    assert last == Failure("server", "Malformed: f(", detail="model_output", code=word, request_id="r")


def test_output_that_cannot_be_used_needs_no_message():
    message = "what the model generated cannot be used: MALFORMED_RESPONSE"
    assert last_of(end("MALFORMED_RESPONSE")).message == message


def test_the_last_finish_reason_counts():
    assert last_of(chunk({"text": "a"}, finishReason="STOP"), end("RECITATION")) == Finish(
        "content_filter", "RECITATION"
    )


def test_a_stop_after_a_call_means_the_call():
    assert last_of(chunk({"functionCall": {"name": "f"}}), end()) == Finish("tool_calls", "STOP")


def test_a_limit_after_a_call_is_still_the_limit():
    assert last_of(chunk({"functionCall": {"name": "f"}}), end("MAX_TOKENS")) == Finish("length", "MAX_TOKENS")


def test_what_is_said_about_a_stop_is_not_kept():
    assert events_of(end(finishMessage="Model generated function call(s).")) == []


def test_a_continuation_names_its_token():
    events = read(gemini, [sse_body(chunk({"text": "a"}), end("CONTINUATION", continuationToken="t"))])
    assert events[-2:] == [Extension("gemini:continuation_token", '"t"'), Finish("pause", "CONTINUATION")]


def test_a_blocked_prompt_needs_no_candidate():
    body = {"promptFeedback": {"blockReason": 1}, "candidates": None}
    assert last_of(body) == Finish("content_filter", "1")


@pytest.mark.parametrize("feedback", [None, {}, {"blockReason": None}, {"safetyRatings": []}])
def test_a_prompt_that_was_not_blocked_is_no_end(feedback):
    assert last_of({"promptFeedback": feedback}).kind == "truncated"


def test_feedback_beside_an_answer_does_not_block_it():
    assert last_of(end() | {"promptFeedback": {"blockReason": "OTHER"}}) == Finish("stop", "STOP")


def test_every_candidate_has_to_finish():
    second = {"candidates": [{"index": 1, "content": {"parts": [{"text": "b"}]}}]}
    assert last_of(chunk({"text": "a"}), second, end()).kind == "truncated"
    assert last_of(chunk({"text": "a"}), second, end(), end(index=1)) == Finish("stop", "STOP")


def test_other_candidates_are_extensions():
    raw = '{"index": 1, "content": {"parts": [{"text": "b"}]}, "finishReason": "STOP"}'
    assert content_of({"candidates": [json.loads(raw)], "responseId": "r"}) == [Extension("gemini:candidate", raw)]


def test_several_other_candidates_may_come_at_once():
    other = [{"index": index, "finishReason": "STOP"} for index in (1, 2)]
    events = events_of({"candidates": other, "responseId": "r"})
    assert [json.loads(event.raw) for event in events] == other


def test_done_is_no_chunk():
    body = sse_body(chunk({"text": "a"}), end()) + b"data: [DONE]\r\n\r\n"
    assert read(gemini, [body])[-1] == Finish("stop", "STOP")


def test_a_last_event_without_its_blank_line_counts():
    assert read(gemini, [sse_body(end())[:-4]])[-1] == Finish("stop", "STOP")


def test_an_array_that_was_not_closed_is_cut_off():
    body = array_body(chunk({"text": "Hi"}), end())
    assert read(gemini, [body])[-1] == Finish("stop", "STOP")
    assert read(gemini, [body.rstrip(b"\n]")])[-1].kind == "truncated"


def test_an_array_may_begin_with_a_byte_order_mark():
    body = b"\xef\xbb\xbf" + array_body(chunk({"text": "Hi"}), end())
    assert check_cuts(gemini, body)[1] == TextDelta(0, "Hi")


def test_a_whole_answer_in_one_object_is_read():
    events = read(gemini, [json.dumps(chunk({"text": "Hi"}, finishReason="STOP"), indent=1).encode()])
    assert events == [Start("r"), TextDelta(0, "Hi"), BlockEnd(0), Finish("stop", "STOP")]


# Framing


def test_blank_lines_before_the_first_event_say_nothing():
    body = b"\r\n \r\n" + sse_body(chunk({"text": "Hi"}), end())
    assert check_cuts(gemini, body)[1] == TextDelta(0, "Hi")


def test_a_body_of_blanks_has_no_frame():
    framing = gemini.framing()
    assert [framing.feed(b" "), framing.feed(b"\n"), framing.close(), framing.stray] == [[], [], None, b" \n"]


def test_a_body_that_stays_blank_is_taken_for_events():
    framing = gemini.framing()
    assert framing.feed(b"\n" * 100) == []
    assert framing.feed(b"data: 1\n\n") == [Frame(b"1")]


def test_the_framing_chosen_reports_what_is_stray():
    framing = gemini.framing()
    framing.feed(b"[nonsense")
    assert framing.stray == b"nonsense"
    assert framing.close() is None


def test_json_is_framed_as_json():
    parser = jsonarray.Parser()
    body = array_body({"a": 1}, {"b": 2})
    assert gemini.framing().feed(body) == parser.feed(body)


# Content


def test_the_start_names_response_and_model():
    assert read(gemini, [sse_body(end() | {"modelVersion": "gemini-9"})])[0] == Start("r", "gemini-9")


def test_text_goes_on_in_one_block():
    assert content_of(chunk({"text": "a"}), chunk({"text": "b"}), chunk({"text": "c"}, {"text": "d"})) == [
        TextDelta(0, letter) for letter in "abcd"
    ]


def test_thoughts_are_reasoning():
    assert content_of(chunk({"text": "a", "thought": True}), chunk({"text": "b", "thought": True})) == [
        ReasoningDelta(0, "a"),
        ReasoningDelta(0, "b"),
    ]


def test_another_kind_of_part_is_another_block():
    assert events_of(chunk({"text": "a", "thought": True}, {"text": "b"}), chunk({"text": "c", "thought": True})) == [
        ReasoningDelta(0, "a"),
        BlockEnd(0),
        TextDelta(1, "b"),
        BlockEnd(1),
        ReasoningDelta(2, "c"),
        BlockEnd(2),
    ]


@pytest.mark.parametrize(
    "part", [{"text": ""}, {"text": "", "thought": True}, {}, {"thought": True}, {"thought": None}]
)
def test_a_part_that_says_nothing_is_no_block(part):
    assert events_of(chunk(part)) == []


@pytest.mark.parametrize("content", [None, {}, {"parts": None}, {"parts": []}, {"role": "model"}])
def test_a_candidate_may_have_no_content(content):
    assert events_of({"candidates": [{"content": content}], "responseId": "r"}) == []


def test_signed_text_is_a_block_of_its_own():
    assert content_of(chunk({"text": "a"}), chunk({"text": "b", "thoughtSignature": "s"}), chunk({"text": "c"})) == [
        TextDelta(0, "a"),
        TextDelta(1, "b"),
        BlockEnd(1, '{"thoughtSignature":"s"}'),
        TextDelta(2, "c"),
    ]


def test_an_empty_text_with_a_signature_is_a_block():
    assert content_of(chunk({"text": "a"}), chunk({"text": "", "thoughtSignature": "s"})) == [
        TextDelta(0, "a"),
        TextDelta(1, ""),
        BlockEnd(1, '{"thoughtSignature":"s"}'),
    ]


def test_thoughts_may_be_signed():
    assert content_of(chunk({"text": "a", "thought": True, "thoughtSignature": "s"})) == [
        ReasoningDelta(0, "a"),
        BlockEnd(0, '{"thoughtSignature":"s"}'),
    ]


def test_a_call_is_whole():
    body = b'data: {"candidates": [{"content": {"parts": [{"functionCall": {"id": "1", "name": "f", "args": {"x" : 1.0}}}]}}]}\n\n'
    assert read(gemini, [body + sse_body(end())])[1:4] == [
        ToolCallStart(0, "1", "f"),
        ToolCallDelta(0, '{"x" : 1.0}'),
        BlockEnd(0),
    ]


def test_a_call_has_its_signature():
    events = events_of(chunk({"functionCall": {"id": "1", "name": "f", "args": {}}, "thoughtSignature": "s"}))
    assert events[2] == BlockEnd(0, '{"thoughtSignature":"s"}')


@pytest.mark.parametrize("args", [{}, {"args": None}, {"args": {}}])
def test_a_call_without_arguments_has_an_empty_object(args):
    assert events_of(chunk({"functionCall": {"id": "1", "name": "f", **args}}))[1] == ToolCallDelta(0, "{}")


def test_calls_without_ids_get_some():
    call = {"functionCall": {"name": "f"}}
    events = events_of(chunk(call, call), chunk(call))
    starts = [event for event in events if isinstance(event, ToolCallStart)]
    assert [event.id for event in starts] == ["call_r_0", "call_r_1", "call_r_2"]
    assert events[2] == BlockEnd(0, '{"id":null}')


def test_ids_are_made_up_without_the_id_of_the_response():
    events = read(gemini, [sse_body({"candidates": chunk({"functionCall": {"name": "f"}})["candidates"]})])
    assert events[1] == ToolCallStart(0, "call_0", "f")


def test_a_call_with_an_empty_id_has_none():
    assert events_of(chunk({"functionCall": {"id": "", "name": "f"}}))[0].id == "call_r_0"


def test_an_image_is_whole():
    part = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(b"\x89PNG").decode()}}
    assert content_of(chunk(part, part)) == [Attachment(index, "image/png", b"\x89PNG") for index in (0, 1)]


def test_an_image_may_be_signed_and_thought():
    part = {"inlineData": {"mimeType": "image/png", "data": "aGk="}, "thought": True, "thoughtSignature": "s"}
    assert content_of(chunk(part))[1] == BlockEnd(0, '{"thoughtSignature":"s","thought":true}')


def test_sound_comes_in_pieces_of_one_block():
    first, second = ({"inlineData": {"mimeType": "audio/L16;rate=24000", "data": data}} for data in ("aGk=", "IQ=="))
    other = {"inlineData": {"mimeType": "audio/mp3", "data": "IQ=="}}
    assert content_of(chunk(first), chunk(second), chunk(other)) == [
        Attachment(0, "audio/L16;rate=24000", b"hi"),
        Attachment(0, "audio/L16;rate=24000", b"!"),
        Attachment(1, "audio/mp3", b"!"),
    ]


def test_signed_sound_is_a_block_of_its_own():
    piece = {"inlineData": {"mimeType": "audio/mp3", "data": "IQ=="}}
    assert [event.index for event in content_of(chunk(piece, piece | {"thoughtSignature": "s"}, piece))] == [0, 1, 1, 2]


def test_a_file_has_an_address():
    part = {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/v.mp4"}}
    assert content_of(chunk(part)) == [Attachment(0, "video/mp4", url="gs://b/v.mp4")]


def test_a_file_may_have_no_type():
    assert content_of(chunk({"fileData": {"fileUri": "u"}})) == [Attachment(0, "application/octet-stream", url="u")]


def test_what_is_no_base64_fails():
    last = last_of(chunk({"inlineData": {"mimeType": "image/png", "data": "!"}}), end())
    assert (last.kind, last.detail) == ("protocol", "json")


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ('{"executableCode": {"code": "1"}, "thoughtSignature": "s"}', "gemini:executable_code"),
        ('{"codeExecutionResult": {"output": "1"}}', "gemini:code_execution_result"),
        ('{"toolCall": {"id": "1", "toolType": "GOOGLE_SEARCH_WEB"}}', "gemini:tool_call"),
        ('{"thoughtSignature": "s", "toolResponse": {"id": "1"}}', "gemini:tool_response"),
        ('{"partMetadata": {}, "inventedTomorrow": [1]}', "gemini:invented_tomorrow"),
        ('{"thoughtSignature": "s"}', "gemini:part"),
    ],
)
def test_a_part_that_only_google_understands_is_kept_whole(raw, name):
    body = sse_body(chunk({"text": "a"}, json.loads(raw), {"text": "b"}))
    events = read(gemini, [body + sse_body(end())])
    assert events[1:6] == [TextDelta(0, "a"), BlockEnd(0), Extension(name, raw, 1), BlockEnd(1), TextDelta(2, "b")]


def test_parts_that_only_google_understands_are_told_apart():
    parts = [{"executableCode": {"code": str(number)}} for number in range(3)]
    events = content_of(chunk(*parts[:2]), chunk(parts[2]))
    assert [json.loads(event.raw) for event in events] == parts


def test_a_part_with_half_a_character_in_its_name_is_kept():
    body = b'data: {"candidates": [{"content": {"parts": [{"\\ud83d": 1}]}, "finishReason": "STOP"}]}\n\n'
    assert read(gemini, [body])[1] == Extension("gemini:\ufffd", '{"\ufffd": 1}', 0)


def test_half_a_character_at_the_end_of_a_delta_waits_for_the_other():
    body = b"".join(
        b'data: {"candidates": [{"content": {"parts": [{"text": "%b"}]}}]}\r\n\r\n' % half
        for half in (rb"a\ud83d", rb"\ude00b")
    )
    events = read(gemini, [body + sse_body(end())])
    assert events[1:3] == [TextDelta(0, "a"), TextDelta(0, "😀b")]


def test_bytes_that_are_not_utf_8_do_not_end_an_answer():
    body = sse_body(chunk({"executableCode": {"code": "x"}}), end()).replace(b'"x"', b'"\xff"')
    assert read(gemini, [body])[1].raw == '{"executableCode": {"code": "\ufffd"}}'


# What belongs to the whole answer


def test_the_latest_of_what_belongs_to_the_answer_comes_before_the_end():
    events = events_of(
        chunk({"text": "a"}, groundingMetadata={"n": 1}, safetyRatings=[1]),
        chunk({"text": "b"}, groundingMetadata={"n": 2}, urlContextMetadata={"u": 1}, safetyRatings=None),
        end(avgLogprobs=-0.5),
    )
    assert events[-4:] == [
        Extension("gemini:grounding_metadata", '{"n": 2}'),
        Extension("gemini:safety_ratings", "[1]"),
        Extension("gemini:url_context_metadata", '{"u": 1}'),
        Extension("gemini:avg_logprobs", "-0.5"),
    ]


def test_log_probabilities_come_with_their_words():
    events = content_of(chunk({"text": "a"}, logprobsResult={"n": 1}), chunk({"text": "b"}, logprobsResult=None))
    assert events == [Extension("gemini:logprobs_result", '{"n": 1}'), TextDelta(0, "a"), TextDelta(0, "b")]


def test_the_tier_is_told_once():
    tiers = counted(serviceTier="priority", trafficType=2)
    assert content_of(chunk({"text": "a"}) | tiers, chunk({"text": "b"}) | tiers)[2:] == [
        Extension("gemini:service_tier", '"priority"'),
        Extension("gemini:traffic_type", "2"),
    ]


def test_an_answer_that_is_cut_off_says_nothing_about_the_whole():
    events = read(gemini, [sse_body(chunk({"text": "a"}, groundingMetadata={"n": 1}))])
    assert events[:-1] == [Start("r"), TextDelta(0, "a")]


# Usage


@pytest.mark.parametrize(
    ("wire", "usage"),
    [
        ({"promptTokenCount": 4, "totalTokenCount": 4}, Usage(4)),
        ({"promptTokenCount": 4, "candidatesTokenCount": 2}, Usage(4, 2)),
        ({"promptTokenCount": 4, "thoughtsTokenCount": 3}, Usage(4, 3, reasoning_tokens=3)),
        ({"promptTokenCount": 4, "candidatesTokenCount": 2, "thoughtsTokenCount": 3}, Usage(4, 5, reasoning_tokens=3)),
        ({"promptTokenCount": 4, "toolUsePromptTokenCount": 9}, Usage(13)),
        ({"promptTokenCount": 4, "cachedContentTokenCount": 3}, Usage(4, cache_read_tokens=3)),
        ({"candidatesTokenCount": 0}, Usage(None, 0)),
        ({"promptTokenCount": 4, "promptTokensDetails": []}, Usage(4)),
        (
            {
                "promptTokenCount": 9,
                "toolUsePromptTokenCount": 1,
                "candidatesTokenCount": 7,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 4},
                    {"modality": "IMAGE", "tokenCount": 3},
                    {"modality": "AUDIO", "tokenCount": 2},
                    {"modality": "VIDEO", "tokenCount": None},
                ],
                "toolUsePromptTokensDetails": [{"modality": "IMAGE", "tokenCount": 1}],
                "candidatesTokensDetails": [{"modality": 2, "tokenCount": 5}, {"modality": 4, "tokenCount": 2}],
            },
            Usage(10, 7, None, None, None, 2, 2, 4, 5),
        ),
    ],
)
def test_usage_counts_everything_read_and_written(wire, usage):
    assert events_of(end() | counted(**wire)) == [usage]


def test_usage_is_told_when_it_changes():
    same = {"promptTokenCount": 4, "candidatesTokenCount": 1}
    more = same | {"candidatesTokenCount": 2}
    events = content_of(*(chunk({"text": "a"}) | counted(**usage) for usage in (same, same, more)))
    assert [event for event in events if isinstance(event, Usage)] == [Usage(4, 1), Usage(4, 2)]


def test_counts_that_say_nothing_take_nothing_back():
    events = content_of(chunk({"text": "a"}) | counted(promptTokenCount=4), end() | counted(trafficType="ON_DEMAND"))
    assert [event for event in events if isinstance(event, Usage)] == [Usage(4)]


def test_a_chunk_without_counts_changes_nothing():
    events = content_of(chunk({"text": "a"}) | counted(promptTokenCount=4), chunk({"text": "b"}), end())
    assert [event for event in events if isinstance(event, Usage)] == [Usage(4)]


@pytest.mark.parametrize(
    ("more", "usage"),
    [
        ({"promptTokenCount": 6}, Usage(6, 1)),
        ({"cachedContentTokenCount": 3}, Usage(4, 1, 3)),
        ({"toolUsePromptTokenCount": 2}, Usage(6, 1)),
    ],
)
def test_usage_between_words_tells_what_was_read(more, usage):
    first = {"promptTokenCount": 4, "candidatesTokenCount": 1}
    events = content_of(*(chunk({"text": "a"}) | counted(**wire) for wire in (first, first | more)))
    assert events[1::2] == [Usage(4, 1), usage]


def test_counts_between_words_that_say_nothing_take_nothing_back():
    usages = ({"promptTokenCount": 4}, {"trafficType": "ON_DEMAND"}, {"trafficType": "ON_DEMAND"})
    events = content_of(*(chunk({"text": "a"}) | counted(**usage) for usage in usages))
    assert [event for event in events if isinstance(event, Usage)] == [Usage(4)]


def test_words_after_an_image_do_not_take_its_tokens_back():
    image = {"promptTokenCount": 4, "candidatesTokenCount": 9}
    details = {"candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 8}]}
    more = image | {"candidatesTokenCount": 10}
    events = content_of(chunk({"text": "a"}) | counted(**image, **details), chunk({"text": "b"}) | counted(**more))
    assert events[1::2] == [Usage(4, 9, output_image_tokens=8), Usage(4, 10, output_image_tokens=8)]


# Sources


def support(start: int | None, finish: int, text: str | None = None, *pages: int) -> dict[str, Any]:
    segment = {"startIndex": start, "endIndex": finish, "text": text}
    return {
        "segment": {name: value for name, value in segment.items() if value is not None},
        "groundingChunkIndices": list(pages),
    }


def grounding(*supports: Any) -> dict[str, Any]:
    pages = [
        {"web": {"uri": "w", "title": "Web"}},
        {"retrievedContext": {"uri": "r", "text": "quoted"}},
        {"maps": {"uri": "m"}},
        {"image": {"sourceUri": "i"}},
        {},
    ]
    return {"groundingMetadata": {"groundingChunks": pages, "groundingSupports": list(supports)}}


def citations(*chunks: Any) -> list[Citation]:
    return [event for event in events_of(*chunks) if isinstance(event, Citation)]


def test_every_kind_of_page_is_a_source():
    found = citations(chunk({"text": "abc"}, **grounding(support(None, 3, None, 0, 1, 2, 3, 4, 5, -1))))
    assert [(one.url, one.title, one.text) for one in found] == [
        ("w", "Web", None),
        ("r", None, "quoted"),
        ("m", None, None),
        ("i", None, None),
        (None, None, None),
    ]
    assert {(one.start, one.end) for one in found} == {(0, 3)}


def test_places_count_bytes():
    (one,) = citations(chunk({"text": "Grüße, 😀 Welt"}, **grounding(support(9, 18, "😀 Welt", 0))))
    assert (one.start, one.end) == (7, 13)


def test_places_count_all_the_text_before():
    parts = [{"text": "äb"}, {"text": "t", "thought": True}, {"text": "cde"}]
    (one,) = citations(chunk(*parts), chunk(**grounding(support(4, 6, "de", 0))))
    assert (one.index, one.start, one.end) == (2, 1, 3)


def test_places_may_count_within_the_part():
    parts = [{"text": "ab"}, {"text": "t", "thought": True}, {"text": "cde"}]
    (one,) = citations(chunk(*parts), chunk(**grounding(support(0, 2, "cd", 0))))
    assert (one.index, one.start, one.end) == (2, 0, 2)


def test_sources_come_before_the_end_of_their_block():
    parts = [{"text": "abc"}, {"text": "", "thoughtSignature": "s"}]
    events = events_of(chunk(*parts, **grounding(support(0, 3, "abc", 0))))
    assert [type(event) for event in events[:3]] == [TextDelta, Citation, BlockEnd]


def test_sources_come_once():
    same = grounding(support(0, 3, "abc", 0))
    assert (
        len(citations(chunk({"text": "abc"}, **same), chunk({"text": "abc", "thought": True}, **same), end(**same)))
        == 1
    )


@pytest.mark.parametrize(
    "wrong",
    [
        support(0, 9, None, 0),
        support(2, 2, None, 0),
        support(-2, 1, None, 0),
        support(0, 2, "xy", 0),
        {},
        {"segment": 5},
        5,
    ],
)
def test_a_segment_that_is_nowhere_has_no_citation(wrong):
    assert citations(chunk({"text": "abc"}, **grounding(wrong))) == []


@pytest.mark.parametrize("metadata", [{}, {"groundingSupports": 5}, 5, [], {"groundingSupports": None}])
def test_grounding_of_another_shape_is_only_kept(metadata):
    events = content_of(chunk({"text": "abc"}, groundingMetadata=metadata))
    assert events == [TextDelta(0, "abc"), Extension("gemini:grounding_metadata", json.dumps(metadata))]


def test_a_support_without_pages_is_a_citation():
    (one,) = citations(chunk({"text": "abc"}, **grounding(support(0, 1, None))))
    assert (one.url, one.start, one.end) == (None, 0, 1)


@pytest.mark.parametrize("name", ["citations", "citationSources"])
def test_recitations_are_sources(name):
    source = {"startIndex": 1, "endIndex": 3, "uri": "u", "title": "T", "license": "mit"}
    (one,) = citations(chunk({"text": "abc"}, citationMetadata={name: [source]}))
    assert one == Citation(0, "u", "T", None, 1, 3, json.dumps(source))


def test_a_recitation_may_reach_beyond_what_has_come():
    metadata = {"citations": [{"endIndex": 4, "uri": "u"}]}
    (one,) = citations(chunk({"text": "ab"}, citationMetadata=metadata), chunk({"text": "cd"}))
    assert (one.start, one.end) == (0, 4)


def test_a_recitation_that_grows_is_one():
    first, second = ({"citations": [{"endIndex": size, "uri": "u"}]} for size in (2, 4))
    (one,) = citations(chunk({"text": "ab"}, citationMetadata=first), chunk({"text": "cd"}, citationMetadata=second))
    assert (one.start, one.end) == (0, 4)


def test_a_recitation_that_is_nowhere_is_put_on_the_last_text():
    metadata = {"citations": [{"startIndex": 50, "endIndex": 60, "uri": "u"}, {"uri": ""}, 5]}
    parts = [{"text": "ab"}, {"text": "t", "thought": True}, {"text": "c"}]
    found = citations(chunk(*parts, citationMetadata=metadata))
    assert [(one.index, one.url, one.start, one.end) for one in found] == [(2, "u", None, None), (2, None, None, None)]


@pytest.mark.parametrize("metadata", [{}, {"citations": None}, {"citations": 5}, 5])
def test_recitations_of_another_shape_are_only_kept(metadata):
    assert citations(chunk({"text": "abc"}, citationMetadata=metadata)) == []


# Streamed arguments


def piece(path: str | None = None, *, more: bool = True, **value: Any) -> dict[str, Any]:
    arguments = {} if path is None else {"partialArgs": [{"jsonPath": path, **value}]}
    return {"functionCall": {**arguments, **({"willContinue": True} if more else {})}}


def arguments(events: list[Any]) -> list[str]:
    return [event.arguments for event in events if isinstance(event, ToolCallDelta)]


BEGIN = {"functionCall": {"name": "f", "willContinue": True}}


def test_arguments_are_written_as_they_come():
    events = events_of(
        chunk(BEGIN),
        chunk(piece("$.a", stringValue="x", willContinue=True)),
        chunk(piece("$.a", stringValue="y")),
        chunk(piece()),
        chunk(piece(more=False)),
    )
    assert arguments(events) == ['{"a":"x', "y", '"}']
    assert events[-1] == BlockEnd(0, '{"id":null}')


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_streamed_call_has_its_signature_wherever_it_came(at):
    pieces = [BEGIN, piece("$.a", stringValue="x"), {"functionCall": {}}]
    signed = [part | {"thoughtSignature": "s"} if number == at else part for number, part in enumerate(pieces)]
    assert events_of(*map(chunk, signed))[-1] == BlockEnd(0, '{"thoughtSignature":"s","id":null}')


def test_a_call_ends_with_a_piece_that_does_not_continue():
    assert arguments(events_of(chunk(BEGIN), chunk(piece("$.a", numberValue=1, more=False)))) == ['{"a":1', "}"]


def test_a_call_may_begin_with_its_first_argument():
    first = {"functionCall": {"name": "f", "id": "1", "partialArgs": [{"jsonPath": "$.a", "boolValue": True}]}}
    assert arguments(events_of(chunk(first))) == ['{"a":true', "}"]


def test_a_streamed_call_without_arguments_has_an_empty_object():
    assert arguments(events_of(chunk(BEGIN), chunk(piece(more=False)))) == ["{}"]


@pytest.mark.parametrize("args", [{}, None])
def test_arguments_that_are_still_to_come_may_be_announced_as_empty(args):
    begin = {"functionCall": {"name": "f", "args": args, "willContinue": True}}
    assert arguments(events_of(chunk(begin), chunk(piece("$.a", numberValue=1, more=False)))) == ['{"a":1', "}"]


def test_whole_arguments_need_no_end():
    whole = {"functionCall": {"name": "f", "args": {"a": 1}, "willContinue": True}}
    assert arguments(events_of(chunk(whole), chunk(piece(more=False)))) == ['{"a": 1}']


def test_another_call_ends_the_one_before():
    events = events_of(chunk(BEGIN), chunk(piece("$.a", stringValue="x")), chunk({"functionCall": {"name": "g"}}))
    assert [type(event) for event in events] == [
        ToolCallStart,
        ToolCallDelta,
        ToolCallDelta,
        BlockEnd,
        ToolCallStart,
        ToolCallDelta,
        BlockEnd,
    ]


def test_an_answer_that_is_whole_ends_its_call():
    assert arguments(events_of(chunk(BEGIN), chunk(piece("$.a", stringValue="x")))) == ['{"a":"x', '"}']


def test_an_answer_that_is_cut_off_does_not_end_its_call():
    fold = Fold(read(gemini, [sse_body(chunk(BEGIN), chunk(piece("$.a", stringValue="x")))]))
    assert fold.tool_calls == []
    assert fold.outcome.kind == "truncated"


@pytest.mark.parametrize("stray", [piece("$.a", stringValue="x"), piece(more=False), {"functionCall": {"name": ""}}])
def test_a_piece_of_no_call_is_skipped(stray):
    assert events_of(chunk(stray)) == []


# Anything at all

NAMES = [
    "candidates",
    "content",
    "parts",
    "text",
    "thought",
    "thoughtSignature",
    "functionCall",
    "id",
    "name",
    "args",
    "partialArgs",
    "willContinue",
    "jsonPath",
    "stringValue",
    "numberValue",
    "nullValue",
    "inlineData",
    "mimeType",
    "data",
    "fileData",
    "fileUri",
    "executableCode",
    "finishReason",
    "finishMessage",
    "index",
    "groundingMetadata",
    "groundingChunks",
    "groundingSupports",
    "segment",
    "startIndex",
    "endIndex",
    "groundingChunkIndices",
    "citationMetadata",
    "citations",
    "uri",
    "usageMetadata",
    "promptTokenCount",
    "candidatesTokenCount",
    "promptTokensDetails",
    "modality",
    "tokenCount",
    "promptFeedback",
    "blockReason",
    "error",
    "code",
    "message",
    "status",
    "responseId",
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 40)
    | st.floats(allow_nan=False)
    | st.sampled_from(
        ["", "a", "ä😀", "\ud83d", "$.a[0].b", "$.a[]", "STOP", "MALFORMED_RESPONSE", "aGk=", "audio/mp3"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=20,
)
TEXTS = st.sampled_from(["", "a", "ä😀", "\ud83d"])
SEGMENT = st.fixed_dictionaries(
    {}, optional={"startIndex": st.integers(-1, 9), "endIndex": st.integers(-1, 9), "text": TEXTS}
)
CALL = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["f", ""]),
        "id": st.sampled_from(["i", ""]),
        "args": VALUES,
        "willContinue": st.booleans(),
        "partialArgs": st.lists(
            st.fixed_dictionaries(
                {"jsonPath": st.text(st.sampled_from("$.[]'\"ab01-"), max_size=12)},
                optional={
                    "stringValue": TEXTS,
                    "numberValue": VALUES,
                    "boolValue": st.booleans(),
                    "nullValue": st.none(),
                },
            ),
            max_size=3,
        ),
    },
)
PART = st.fixed_dictionaries(
    {},
    optional={
        "text": TEXTS,
        "thought": st.booleans(),
        "thoughtSignature": st.sampled_from(["s", ""]),
        "functionCall": CALL,
        "inlineData": st.fixed_dictionaries({"mimeType": st.sampled_from(["audio/mp3", "image/png"])}),
        "executableCode": VALUES,
    },
)
CANDIDATE = st.fixed_dictionaries(
    {"content": st.fixed_dictionaries({"parts": st.lists(PART, max_size=4)})},
    optional={
        "index": st.integers(0, 1),
        "finishReason": st.sampled_from(["STOP", "SAFETY", "MALFORMED_RESPONSE", 0, 1]),
        "groundingMetadata": st.fixed_dictionaries(
            {"groundingSupports": st.lists(st.fixed_dictionaries({"segment": SEGMENT}), max_size=3)}
        )
        | VALUES,
        "citationMetadata": st.fixed_dictionaries({"citations": st.lists(SEGMENT, max_size=2)}) | VALUES,
    },
)
CHUNK = st.fixed_dictionaries(
    {"candidates": st.lists(CANDIDATE, max_size=2)},
    optional={
        "usageMetadata": st.dictionaries(st.sampled_from(["promptTokenCount", "thoughtsTokenCount"]), st.integers(0, 9))
    },
)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_have_an_end(data, json_begins):
    grammar.check(read(gemini, [b"[{" if json_begins else b"data: {", data]))


@given(
    st.lists(VALUES | st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4), max_size=4),
    st.sampled_from([sse_body, array_body]),
)
def test_any_json_has_an_end(values, body):
    grammar.check(read(gemini, [body(*values)]))


@given(st.lists(CHUNK, max_size=5), st.sampled_from([sse_body, array_body]))
def test_any_chunks_have_an_end_and_whole_calls_are_json(values, body):
    events = read(gemini, [body(*values, end())])
    grammar.check(events)
    assert isinstance(events[-1], Finish | Failure)
    for call in Fold(events).tool_calls:
        json.loads(call.arguments)


def test_an_id_that_is_made_up_is_no_other_calls():
    calls = [{"functionCall": {"id": "call_1", "name": "f"}}, {"functionCall": {"name": "f"}}]
    chunk = {"candidates": [{"content": {"parts": calls}, "finishReason": "STOP"}]}
    events = read(gemini, [b"data: " + json.dumps(chunk).encode() + b"\n\n"])
    assert [event.id for event in events if isinstance(event, ToolCallStart)] == ["call_1", "call_1_1"]
