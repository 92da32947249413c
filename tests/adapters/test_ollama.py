"""The adapter `ollama`: every recording against a plain reading of it, and what no recording shows."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import msgspec
import pytest
from grammar import check
from hypothesis import given
from hypothesis import strategies as st
from support import OWN, params

from adapters import plain_ollama as plain
from streamcore import failures
from streamcore.adapter import Adapter
from streamcore.events import (
    Attachment,
    BlockEnd,
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
from streamcore_adapters import ollama

FUZZING = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
TIME = "2026-08-17T08:22:52.961893Z"
NO_ID = '{"id":null}'


def samples(body: bytes) -> int | None:
    """How many cuts of a long body are tried."""
    return None if FUZZING else max(4, 300_000 // len(body))


def ndjson_body(*lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def line(**message: Any) -> dict[str, Any]:
    return {
        "model": "qwen3:4b",
        "created_at": TIME,
        "message": {"role": "assistant", "content": "", **message},
        "done": False,
    }


def call(name: str, arguments: Any, **fields: Any) -> dict[str, Any]:
    return {**fields, "function": {"index": 0, "name": name, "arguments": arguments}}


def done(reason: str | None = "stop", *, message: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {**line(**(message or {})), "done": True, "done_reason": reason, **fields}


def events_of(*lines: Any) -> list[Any]:
    """The events of these lines and a last one, after the start and before the finish."""
    first, *middle, last = read(ollama, [ndjson_body(*lines, done())])
    assert first == Start(None, "qwen3:4b")
    assert type(last) is Finish
    return middle


def last_of(*lines: Any) -> Any:
    return read(ollama, [ndjson_body(*lines)])[-1]


# The module


def test_it_is_an_adapter():
    adapter: Adapter = ollama
    assert isinstance(adapter, Adapter)


# Recordings


@pytest.mark.parametrize("row", params("streams-ollama_chat"))
def test_a_recording_says_what_a_plain_reading_of_it_says(row):
    fold, wanted = Fold(read(ollama, [row.body])), plain.decode(row.body)
    calls = [(called.id, called.name, json.loads(called.arguments)) for called in fold.tool_calls]
    usage = msgspec.structs.asdict(fold.usage)
    assert (fold.id, fold.model) == (None, wanted.model)
    assert fold.text == wanted.text
    assert fold.reasoning == wanted.reasoning
    assert [named[1:] for named in calls] == [named[1:] for named in wanted.tool_calls]
    assert all(named[0] in {called[0], None} for named, called in zip(wanted.tool_calls, calls, strict=True))
    assert {name: usage[name] for name in wanted.usage} == wanted.usage
    assert fold.outcome == Finish(wanted.finish, wanted.last["done_reason"])


@pytest.mark.parametrize("row", params("streams-ollama_chat"))
def test_a_recording_reads_the_same_however_it_is_cut(row):
    check_cuts(ollama, row.body, samples=samples(row.body))


@pytest.mark.parametrize("row", params("streams-ollama_chat"))
def test_a_recording_that_ends_early_is_never_whole(row):
    check_truncation(ollama, row.body, samples=samples(row.body))


@pytest.mark.parametrize("row", params("streams-ollama_chat"))
def test_a_recording_says_how_long_it_took(row):
    fold, wanted = Fold(read(ollama, [row.body])), plain.decode(row.body).last
    said = {extension.name: json.loads(extension.raw) for extension in fold.extensions}
    assert said == {f"ollama:{name}": value for name, value in wanted.items() if name.endswith("_duration")}


# Errors

KINDS = {400: "invalid", 401: "auth", 404: "not_found"}


@pytest.mark.parametrize("row", params("errors-ollama_chat"))
def test_a_recorded_error_is_known_for_what_it_is(row):
    error = json.loads(row.body)["error"]
    message, code = (error, None) if isinstance(error, str) else (error["message"], error["code"])
    failure = failures.http_failure(row.status, row.headers, row.body)
    assert failure == Failure(KINDS[row.status], message, status=row.status, code=code)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        ("the runner died", Failure("server", "the runner died")),
        ({"message": "No", "code": "invalid_api_key"}, Failure("auth", "No", code="invalid_api_key")),
        ("", Failure("server", "an error that says nothing")),
        ({}, Failure("server", "an error that says nothing")),
    ],
)
def test_an_error_in_the_stream_ends_it(error, failure):
    events = read(ollama, [ndjson_body(line(content="Once"), {"error": error}, line(content=" upon"), done())])
    assert events == [Start(None, "qwen3:4b"), TextDelta(0, "Once"), failure]


def test_an_error_may_be_the_first_line():
    assert read(ollama, [ndjson_body({"error": "No"})]) == [Start(), Failure("server", "No")]


def test_an_error_of_null_is_none():
    assert events_of({**line(content="Hi"), "error": None}) == [TextDelta(0, "Hi"), BlockEnd(0)]


# The end


@pytest.mark.parametrize(
    ("raw", "reason"),
    [("stop", "stop"), ("length", "length"), ("load", "other"), ("unload", "other"), ("", "other"), (None, "other")],
)
def test_the_reason_is_translated(raw, reason):
    assert last_of(line(content="Hi"), done(raw)) == Finish(reason, raw)


def test_a_reason_that_is_missing_is_none():
    assert last_of(line(), {"model": "m", "done": True}) == Finish("other")


def test_a_stop_after_a_call_is_for_the_call():
    assert last_of(line(tool_calls=[call("add", {})]), done()) == Finish("tool_calls", "stop")


def test_a_length_after_a_call_is_a_length():
    assert last_of(line(tool_calls=[call("add", {})]), done("length")) == Finish("length", "length")


def test_without_a_last_line_there_is_no_end():
    assert last_of(line(content="Hi"), line(content="")).kind == "truncated"


def test_the_last_line_needs_no_line_feed():
    assert read(ollama, [ndjson_body(done())[:-1]])[-1] == Finish("stop", "stop")


def test_nothing_follows_the_end():
    assert last_of(done(), line(content="Late")) == Finish("stop", "stop")


def test_the_last_line_may_bring_the_last_of_everything():
    message = {"content": "!", "thinking": "Hm", "tool_calls": [call("add", {"a": 1}, id="call_1")]}
    assert read(ollama, [ndjson_body(line(content="Hi"), done(message=message))]) == [
        Start(None, "qwen3:4b"),
        TextDelta(0, "Hi"),
        ReasoningDelta(1, "Hm"),
        TextDelta(0, "!"),
        ToolCallStart(2, "call_1", "add"),
        ToolCallDelta(2, '{"a": 1}'),
        BlockEnd(2),
        BlockEnd(0),
        BlockEnd(1),
        Finish("tool_calls", "stop"),
    ]


# Lines


def test_text_comes_in_deltas():
    assert events_of(line(content="Hel"), line(content="lo")) == [
        TextDelta(0, "Hel"),
        TextDelta(0, "lo"),
        BlockEnd(0),
    ]


def test_reasoning_and_text_may_share_a_line():
    assert events_of(line(thinking="Hm", content="Hi"), line(thinking="Oh"), line(content="!")) == [
        ReasoningDelta(0, "Hm"),
        TextDelta(1, "Hi"),
        ReasoningDelta(0, "Oh"),
        TextDelta(1, "!"),
        BlockEnd(0),
        BlockEnd(1),
    ]


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"message": None},
        {"message": {}},
        {"message": {"content": None, "thinking": None, "tool_calls": None, "images": None}},
        {"message": {"content": "", "thinking": "", "tool_calls": [], "images": []}, "logprobs": None},
    ],
)
def test_a_line_that_says_nothing_gives_nothing(value):
    assert events_of(line(), value) == []


def test_blank_lines_and_carriage_returns_are_skipped():
    body = b"\n\r\n" + ndjson_body(line(content="Hi"), done()).replace(b"\n", b"\r\n\r\n")
    assert read(ollama, [body]) == read(ollama, [ndjson_body(line(content="Hi"), done())])


@pytest.mark.parametrize(
    "wrong",
    [
        5,
        [],
        {"message": 5},
        {"message": {"content": 5}},
        {"message": {"tool_calls": [{"id": 5}]}},
        {"message": {"images": ["#"]}},
        {"done": True, "eval_count": "many"},
    ],
)
def test_a_line_of_the_wrong_shape_fails(wrong):
    last = last_of(line(), wrong, done())
    assert (last.kind, last.detail) == ("protocol", "json")


def test_a_line_that_is_no_json_fails():
    last = read(ollama, [ndjson_body(line()) + b"{\n"])[-1]
    assert (last.kind, last.detail) == ("protocol", "json")


# Who answers


def test_a_model_without_a_name_is_unknown():
    assert read(ollama, [ndjson_body({"model": "", "message": {}}, done())])[0] == Start()


def test_the_model_that_really_answers_is_named():
    first = {**line(content="Hi"), "model": "big:cloud", "remote_model": "big", "remote_host": "https://ollama.com"}
    assert read(ollama, [ndjson_body(first, first, done())])[:3] == [
        Start(None, "big"),
        Extension("ollama:remote_host", '"https://ollama.com"'),
        TextDelta(0, "Hi"),
    ]


# Tool calls


def test_a_call_comes_whole():
    assert events_of(line(tool_calls=[call("add", {"a": [1, 2.0]}, id="call_1")])) == [
        ToolCallStart(0, "call_1", "add"),
        ToolCallDelta(0, '{"a": [1, 2.0]}'),
        BlockEnd(0),
    ]


def test_several_calls_may_share_a_line():
    calls = [call("add", {"a": 1}, id="call_1"), call("add", {"a": 2}, id="call_2")]
    fold = Fold(read(ollama, [ndjson_body(line(tool_calls=calls), done())]))
    assert [(called.id, called.arguments) for called in fold.tool_calls] == [
        ("call_1", '{"a": 1}'),
        ("call_2", '{"a": 2}'),
    ]


@pytest.mark.parametrize("id", [None, ""])
def test_a_call_without_an_id_gets_one_and_says_so(id):
    assert events_of(line(content="Hi"), line(tool_calls=[call("add", {"a": 1}, id=id)])) == [
        TextDelta(0, "Hi"),
        ToolCallStart(1, "call_20260817T082252961893Z_1", "add"),
        ToolCallDelta(1, '{"a": 1}'),
        BlockEnd(1, NO_ID),
        BlockEnd(0),
    ]


def test_an_id_that_another_call_has_is_replaced_and_says_so():
    calls = [call("add", {}, id="call_1"), call("add", {}, id="call_1")]
    found = [event for event in events_of(line(tool_calls=calls)) if not isinstance(event, ToolCallDelta)]
    assert found == [
        ToolCallStart(0, "call_1", "add"),
        BlockEnd(0),
        ToolCallStart(1, "call_1_1", "add"),
        BlockEnd(1, NO_ID),
    ]


def test_ids_that_are_made_up_differ():
    calls = [call("add", {}), call("add", {})]
    fold = Fold(read(ollama, [ndjson_body(line(tool_calls=calls), {"message": {"tool_calls": calls}}, done())]))
    assert len({called.id for called in fold.tool_calls}) == 4


def test_ids_that_are_made_up_differ_from_turn_to_turn():
    called = line(tool_calls=[call("add", {})])
    turns = [[called, done()], [{**called, "created_at": "2026-08-17T08:22:53Z"}, done()]]
    first, second = [Fold(read(ollama, [ndjson_body(*turn)])).tool_calls[0].id for turn in turns]
    assert first != second


@pytest.mark.parametrize("arguments", ["", None])
def test_a_call_may_have_no_arguments(arguments):
    assert events_of(line(tool_calls=[call("now", arguments, id="call_1")])) == [
        ToolCallStart(0, "call_1", "now"),
        BlockEnd(0),
    ]


def test_arguments_may_be_a_string_of_json():
    assert events_of(line(tool_calls=[call("add", '{"a": "\\u00fc"}', id="call_1")]))[1] == ToolCallDelta(
        0, '{"a": "\\u00fc"}'
    )


@pytest.mark.parametrize("nameless", [{"id": "call_1"}, {"id": "call_1", "function": None}])
def test_a_call_without_a_function_is_one_without_a_name(nameless):
    assert events_of(line(tool_calls=[nameless])) == [ToolCallStart(0, "call_1", ""), BlockEnd(0)]


def test_bytes_that_are_not_utf_8_cost_a_call_nothing_else():
    body = ndjson_body(line(tool_calls=[call("say", {"a": "#"}, id="call_1")])).replace(b"#", b"\xff")
    assert read(ollama, [body, ndjson_body(done())])[:3] == [
        Start(None, "qwen3:4b"),
        ToolCallStart(0, "call_1", "say"),
        ToolCallDelta(0, '{"a": "\ufffd"}'),
    ]


# Images


@pytest.mark.parametrize(
    ("image", "media_type"),
    [
        (b"\x89PNG\r\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF....WEBP", "image/webp"),
        (b"GIF89a", "image/gif"),
        (b"?", "application/octet-stream"),
    ],
)
def test_an_image_is_known_by_its_first_bytes(image, media_type):
    picture = line(content="Look", images=[base64.b64encode(image).decode()])
    assert events_of(picture) == [TextDelta(0, "Look"), Attachment(1, media_type, image), BlockEnd(1), BlockEnd(0)]


# About the whole answer


def usages(**counts: Any) -> list[Usage]:
    return [event for event in read(ollama, [ndjson_body(line(), done(**counts))]) if type(event) is Usage]


def test_the_counts_are_the_usage():
    assert usages(prompt_eval_count=11, eval_count=18) == [Usage(input_tokens=11, output_tokens=18)]


def test_a_count_that_is_left_out_is_unknown():
    assert usages(eval_count=18) == [Usage(output_tokens=18)]


def test_without_counts_there_is_no_usage():
    assert usages() == []


def test_likelihoods_follow_what_they_are_about():
    raw = [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}]
    assert events_of({**line(content="Hi"), "logprobs": raw}) == [
        TextDelta(0, "Hi"),
        Extension("ollama:logprobs", json.dumps(raw)),
        BlockEnd(0),
    ]


# Recordings of our own


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in sorted(OWN.glob("ollama-*.json"))])
def test_our_recordings_hold_wherever_they_are_cut(path):
    recording = Recording.load(path)
    check_cuts(ollama, recording.data, samples=samples(recording.data))
    check_truncation(ollama, recording.data, samples=samples(recording.data))


def own(name: str) -> Fold:
    return Fold(read(ollama, [Recording.load(OWN / f"ollama-{name}.json").data]))


def test_our_recording_of_parallel_tools():
    fold = own("parallel-tools")
    assert fold.reasoning == "Two lookups, independent of each other."
    assert fold.text == "I'll look up both."
    assert [(called.id, called.name, json.loads(called.arguments)) for called in fold.tool_calls] == [
        ("call_a1b2c3d4", "weather", {"city": "Zürich"}),
        ("call_e5f6a7b8", "time", {}),
    ]
    assert fold.usage == Usage(input_tokens=214, output_tokens=61)
    assert fold.outcome == Finish("tool_calls", "stop")


def test_our_recording_of_an_answer_from_the_cloud():
    fold = own("cloud")
    assert fold.model == "gpt-oss:120b"
    assert fold.text == "Blue light scatters more."
    assert fold.extensions[0] == Extension("ollama:remote_host", '"https://ollama.com:443"')
    assert fold.outcome == Finish("stop", "stop")


def test_our_recording_of_an_error():
    fold = own("error-in-stream")
    assert fold.text == "Once upon"
    assert fold.outcome == Failure(
        "server", "model runner has unexpectedly stopped, this may be due to resource limits"
    )


# Anything at all

WORDS = st.sampled_from(
    [
        "model",
        "created_at",
        "message",
        "role",
        "content",
        "thinking",
        "images",
        "tool_calls",
        "id",
        "function",
        "index",
        "name",
        "arguments",
        "done",
        "done_reason",
        "total_duration",
        "prompt_eval_count",
        "eval_count",
        "logprobs",
        "remote_model",
        "remote_host",
        "error",
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-1, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5))
SHORT = st.text(max_size=3)


def fields(**optional: Any) -> Any:
    return st.fixed_dictionaries({}, optional=optional)


CALLS = st.lists(fields(id=SHORT, function=fields(name=SHORT, arguments=VALUES)), max_size=2)
IMAGES = st.lists(st.binary(max_size=4).map(lambda data: base64.b64encode(data).decode()), max_size=2)
RIGHT_LINES = fields(
    model=SHORT,
    created_at=SHORT,
    message=fields(content=SHORT, thinking=SHORT, tool_calls=CALLS, images=IMAGES),
    remote_model=SHORT,
    remote_host=SHORT,
    logprobs=VALUES,
)


@given(st.lists(VALUES | st.dictionaries(WORDS, VALUES, max_size=5), max_size=12))
def test_any_json_ends_in_one_last_event(values):
    check(read(ollama, [ndjson_body(*values), ndjson_body(done())]))


@given(st.lists(RIGHT_LINES, max_size=12))
def test_any_order_of_lines_ends_in_a_finish(lines):
    events = read(ollama, [ndjson_body(*lines, done())])
    check(events)
    assert type(events[-1]) is Finish


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_end_in_one_last_event(data, more):
    check(read(ollama, [data, b'\n{"message": {"content": "', more]))
