"""The adapter `bedrock`: every recording against a plain reading of it, and what no recording shows."""

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

from adapters import plain_bedrock as plain
from streamcore import eventstream, failures
from streamcore.adapter import Adapter
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
from streamcore.request import Message, Request, Target, Tool
from streamcore.testing import Recording, check_cuts, check_truncation, read
from streamcore_adapters import bedrock

FUZZING = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
TARGET = Target(bedrock.url, "us.anthropic.claude-opus-5-v1:0")


def samples(body: bytes) -> int | None:
    """How many cuts of a long body are tried."""
    return None if FUZZING else max(4, 300_000 // len(body))


def message(type: str, payload: Any) -> bytes:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return eventstream.encode(data, {":event-type": type, ":message-type": "event"})


def exception(type: str, payload: Any, kind: str = "exception") -> bytes:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return eventstream.encode(data, {":message-type": kind, f":{kind}-type": type})


def begin(index: int, **start: Any) -> bytes:
    return message("contentBlockStart", {"contentBlockIndex": index, "start": start})


def delta(index: int, **delta: Any) -> bytes:
    return message("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})


def thought(index: int, **piece: Any) -> bytes:
    return delta(index, reasoningContent=piece)


def stop(index: int) -> bytes:
    return message("contentBlockStop", {"contentBlockIndex": index})


def end(reason: Any = "end_turn", **fields: Any) -> bytes:
    return message("messageStop", {"stopReason": reason, **fields})


def metadata(usage: Any = None, **fields: Any) -> bytes:
    return message("metadata", {"usage": usage, "metrics": {"latencyMs": 5}, **fields})


START = message("messageStart", {"role": "assistant", "p": "ab"})
CALL = {"toolUseId": "tooluse_1", "name": "f"}


def events_of(*messages: bytes) -> list[Any]:
    """The events between the first and the last of a complete answer."""
    first, *middle, last = read(bedrock, [b"".join([START, *messages, end(), metadata()])])
    assert first == Start()
    assert last == Finish("stop", "end_turn")
    return middle


def last_of(*messages: bytes) -> Any:
    return read(bedrock, [b"".join(messages)])[-1]


# The module


def test_it_is_an_adapter():
    adapter: Adapter = bedrock
    assert isinstance(adapter, Adapter)


def test_it_says_where_its_key_is():
    assert bedrock.key_variables == ("AWS_BEARER_TOKEN_BEDROCK",)


# Recordings


@pytest.mark.parametrize("row", params("streams-converse_stream"))
def test_a_recording_says_what_a_plain_reading_of_it_says(row):
    fold, wanted = Fold(read(bedrock, [row.body])), plain.decode(row.body)
    calls = [(call.id, call.name, plain.parsed(call.arguments)) for call in fold.tool_calls]
    usage = msgspec.structs.asdict(fold.usage)
    assert fold.text == wanted.text
    assert fold.reasoning == wanted.reasoning
    assert calls == wanted.tool_calls
    assert {name: usage[name] for name in wanted.usage} == wanted.usage
    assert fold.outcome == Finish(wanted.finish, wanted.stop_reason)
    assert {item.name: json.loads(item.raw) for item in fold.extensions} == {
        f"bedrock:{name}": value for name, value in wanted.facts.items()
    }


@pytest.mark.parametrize("row", params("streams-converse_stream"))
def test_a_recording_keeps_the_grammar(row):
    grammar.check(read(bedrock, [row.body]))


@pytest.mark.parametrize("row", params("streams-converse_stream"))
def test_a_recording_reads_the_same_however_it_is_cut(row):
    check_cuts(bedrock, row.body, samples=samples(row.body))


@pytest.mark.parametrize("row", params("streams-converse_stream"))
def test_a_recording_that_ends_early_is_never_whole(row):
    check_truncation(bedrock, row.body, samples=samples(row.body))


# Errors

KINDS = {400: "invalid", 404: "not_found"}
EXCEPTIONS = {"InvalidSignatureException": "auth"}


@pytest.mark.parametrize("row", params("errors-converse_stream"))
def test_a_recorded_error_is_known_for_what_it_is(row):
    failure = failures.http_failure(row.status, row.headers, row.body)
    code = row.headers["x-amzn-errortype"].split(":")[0]
    assert (failure.kind, failure.status) == (EXCEPTIONS.get(code) or KINDS[row.status], row.status)
    assert failure.code == code
    assert failure.message == json.loads(row.body)["message"]
    assert failure.request_id == row.headers.get("x-amzn-requestid")
    assert (failure.should_retry, failure.retry_after, failure.retryable) == (None, None, False)


@pytest.mark.parametrize(
    ("status", "code", "kind", "retryable"),
    [
        (400, "ValidationException", "invalid", False),
        (403, "AccessDeniedException", "permission", False),
        (404, "ResourceNotFoundException", "not_found", False),
        (408, "ModelTimeoutException", "timeout", True),
        (424, "ModelErrorException", "server", True),
        (429, "ThrottlingException", "rate_limit", True),
        (429, "ModelNotReadyException", "overloaded", True),
        (400, "ServiceQuotaExceededException", "quota", False),
        (500, "InternalServerException", "server", True),
        (503, "ServiceUnavailableException", "overloaded", True),
        (403, "ExpiredTokenException", "auth", False),
    ],
)
def test_every_modelled_error_is_known(status, code, kind, retryable):
    failure = failures.http_failure(status, {"x-amzn-errortype": f"{code}:http://x"}, b'{"message":"No"}')
    assert failure == Failure(kind, "No", status=status, code=code, should_retry=failure.should_retry)
    assert failure.retryable is retryable


@pytest.mark.parametrize(
    ("name", "kind", "retryable"),
    [
        ("internalServerException", "server", True),
        ("modelStreamErrorException", "server", True),
        ("validationException", "invalid", False),
        ("throttlingException", "rate_limit", True),
        ("serviceUnavailableException", "overloaded", True),
        ("accessDeniedException", "permission", False),
        ("inventedTomorrowException", "server", True),
    ],
)
def test_an_exception_in_the_stream_ends_it(name, kind, retryable):
    body = START + delta(0, text="Hi") + exception(name, {"message": "No"}) + end() + metadata()
    events = read(bedrock, [body])
    assert events == [Start(), TextDelta(0, "Hi"), Failure(kind, "No", code=name)]
    assert events[-1].retryable is retryable


def test_an_exception_may_be_the_first_message():
    events = read(bedrock, [exception("throttlingException", {"message": "Wait"})])
    assert events == [Start(), Failure("rate_limit", "Wait", code="throttlingException")]


def test_an_exception_after_the_end_of_the_answer_counts():
    assert last_of(START, end(), exception("internalServerException", {"message": "No"})).kind == "server"


@pytest.mark.parametrize(
    ("payload", "message", "status"),
    [
        ({"message": "a", "originalMessage": "b", "originalStatusCode": 429}, "a: b", 429),
        ({"message": "a", "originalMessage": "a", "originalStatusCode": 200}, "a", None),
        ({"Message": "a", "originalStatusCode": "500"}, "a", None),
        ({"originalMessage": "b"}, "b", None),
        ({"message": 5}, "modelStreamErrorException without a message", None),
        (b"", "modelStreamErrorException without a message", None),
        (b"<html>", "its payload begins '<html>'", None),
        (b"[]", "its payload begins '[]'", None),
    ],
)
def test_an_exception_says_what_the_model_said(payload, message, status):
    failure = last_of(START, exception("modelStreamErrorException", payload))
    assert failure == Failure("server", message, code="modelStreamErrorException", status=status)


def test_an_exception_without_a_name_is_one():
    body = eventstream.encode(b'{"message":"No"}', {":message-type": "exception"})
    assert last_of(START, body) == Failure("server", "No", code="exception")


def test_an_error_that_no_one_modelled_is_one():
    headers = {":message-type": "error", ":error-code": "InternalFailure", ":error-message": "Oops"}
    assert last_of(START, eventstream.encode(b"", headers)) == Failure("server", "Oops", code="InternalFailure")


# The end


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("content_filtered", "content_filter"),
        ("guardrail_intervened", "content_filter"),
        ("refusal", "refusal"),
        ("pause_turn", "pause"),
        ("invented_tomorrow", "other"),
        (None, "other"),
    ],
)
def test_the_stop_reason_is_translated(raw, reason):
    assert last_of(START, end(raw), metadata()) == Finish(reason, raw)


@pytest.mark.parametrize("raw", ["malformed_model_output", "malformed_tool_use"])
def test_an_answer_that_the_model_botched_is_a_failure_with_its_usage(raw):
    *_, usage, last = read(bedrock, [START + end(raw) + metadata({"inputTokens": 1, "outputTokens": 2})])
    assert usage == Usage(input_tokens=1, output_tokens=2)
    assert last == Failure("server", f"the model ended with {raw}", detail="model_output", code=raw)


def test_a_turn_that_ends_with_a_call_is_for_the_caller_to_go_on_with():
    assert last_of(START, begin(0, toolUse=CALL), stop(0), end("end_turn"), metadata()) == Finish(
        "tool_calls", "end_turn"
    )


def test_a_turn_that_ends_after_a_call_at_the_provider_is_over():
    call = begin(0, toolUse={**CALL, "type": "server_tool_use"})
    assert last_of(START, call, stop(0), end("end_turn"), metadata()) == Finish("stop", "end_turn")


def test_a_call_that_was_cut_short_is_cut_short():
    assert last_of(START, begin(0, toolUse=CALL), end("max_tokens"), metadata()) == Finish("length", "max_tokens")


def test_the_end_waits_for_the_usage():
    decoder = bedrock.Decoder()
    assert decoder.feed(Frame(b'{"stopReason":"end_turn"}', "messageStop")) == []
    usage = decoder.feed(Frame(b'{"usage":{"inputTokens":1,"outputTokens":2}}', "metadata"))
    assert usage == [Usage(input_tokens=1, output_tokens=2), Finish("stop", "end_turn")]
    assert decoder.close() == []


def test_an_answer_without_usage_is_whole():
    assert read(bedrock, [START + delta(0, text="Hi") + end()]) == [
        Start(),
        TextDelta(0, "Hi"),
        BlockEnd(0),
        Finish("stop", "end_turn"),
    ]


def test_usage_without_an_end_is_no_answer():
    assert last_of(START, metadata({"inputTokens": 1, "outputTokens": 2})).kind == "truncated"


@pytest.mark.parametrize("missing", [1, 4, 5, 20])
def test_an_end_without_its_checksum_is_none(missing):
    body = START + delta(0, text="Hi") + end()
    failure = last_of(body[:-missing])
    assert failure.kind == "truncated"
    assert f"{len(end()) - missing} bytes into another" in failure.message


def test_usage_without_its_checksum_does_not_count():
    body = START + end() + metadata({"inputTokens": 1, "outputTokens": 2})
    assert read(bedrock, [body[:-1]]) == [Start(), Finish("stop", "end_turn")]


def test_a_wrong_checksum_is_a_failure_even_after_the_end():
    failure = last_of(START, end(), metadata()[:-1] + b"\0", START)
    assert (failure.kind, failure.detail) == ("protocol", "crc")


@pytest.mark.parametrize("body", [b'{"message":"No"}', b"<html>"])
def test_a_body_that_is_no_event_stream_says_so(body):
    failure = last_of(body)
    assert (failure.kind, failure.detail) == ("protocol", "content_type")


def test_an_error_object_instead_of_a_stream_is_found():
    assert last_of(b'{"error":{"message":"No","type":"throttlingException"}}').kind == "rate_limit"


# Messages


def test_unknown_messages_are_skipped():
    assert events_of(message("inventedTomorrow", {"x": 1}), message("initial-response", b"")) == []


def test_a_message_without_a_type_fails():
    failure = last_of(START, eventstream.encode(b"{}", {}))
    assert (failure.kind, failure.detail) == ("protocol", "json")
    assert "a message without a type" in failure.message


def test_a_message_type_may_be_left_out():
    body = eventstream.encode(b'{"contentBlockIndex":0,"delta":{"text":"Hi"}}', {":event-type": "contentBlockDelta"})
    assert events_of(body) == [TextDelta(0, "Hi"), BlockEnd(0)]


def test_the_padding_is_nothing():
    padded = message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hi"}, "p": "abc"})
    assert events_of(padded) == [TextDelta(0, "Hi"), BlockEnd(0)]


def test_a_second_start_fails():
    assert last_of(START, START, end()).detail == "grammar"


@pytest.mark.parametrize(
    "body",
    [
        message("contentBlockDelta", b"{"),
        message("contentBlockDelta", {"contentBlockIndex": "0", "delta": {}}),
        message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": 5}}),
        message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"citation": []}}),
        message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolResult": {}}}),
        thought(0, redactedContent="no base64"),
        message("contentBlockStart", {"contentBlockIndex": 0, "start": []}),
        message("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": "f"}}),
        message("contentBlockStop", {"contentBlockIndex": []}),
        message("messageStart", b"[]"),
        message("messageStop", b"null,"),
        message("metadata", {"usage": {"inputTokens": "many"}}),
        message("metadata", {"usage": []}),
    ],
)
def test_a_known_message_of_the_wrong_shape_fails(body):
    failure = last_of(START, body, end())
    assert (failure.kind, failure.detail) == ("protocol", "json")


# Text and reasoning


def test_text_needs_no_start():
    events = events_of(delta(0, text="Hel"), delta(0, text="lo"), stop(0), delta(1, text="!"), stop(1))
    assert events == [TextDelta(0, "Hel"), TextDelta(0, "lo"), BlockEnd(0), TextDelta(1, "!"), BlockEnd(1)]


def test_empty_deltas_are_skipped():
    empty = delta(0, text=""), delta(0, text="Hi"), delta(0, text=""), stop(0), delta(1, text=""), stop(1)
    assert events_of(*empty, delta(2, text="!")) == [TextDelta(0, "Hi"), BlockEnd(0), TextDelta(1, "!"), BlockEnd(1)]


@pytest.mark.parametrize("payload", [{"contentBlockIndex": 0}, {"contentBlockIndex": 0, "delta": {}}, {}])
def test_a_delta_of_nothing_says_nothing(payload):
    assert events_of(message("contentBlockDelta", payload)) == []


def test_blocks_may_be_interleaved():
    events = events_of(delta(3, text="a"), thought(7, text="b"), delta(3, text="c"), thought(7, text="d"), stop(7))
    assert events == [
        TextDelta(0, "a"),
        ReasoningDelta(1, "b"),
        TextDelta(0, "c"),
        ReasoningDelta(1, "d"),
        BlockEnd(1),
        BlockEnd(0),
    ]


def test_a_block_that_never_stopped_ends_with_the_answer():
    assert events_of(thought(0, text="Hm"), thought(0, signature="c2ln"), delta(1, text="Hi")) == [
        ReasoningDelta(0, "Hm"),
        TextDelta(1, "Hi"),
        BlockEnd(0, '{"signature":"c2ln"}'),
        BlockEnd(1),
    ]


def test_an_index_may_be_used_again():
    assert events_of(delta(0, text="a"), stop(0), delta(0, text="b"), stop(0)) == [
        TextDelta(0, "a"),
        BlockEnd(0),
        TextDelta(1, "b"),
        BlockEnd(1),
    ]


def test_a_stop_without_a_block_is_ignored():
    assert events_of(stop(5)) == []


def test_a_signature_ends_its_reasoning():
    pieces = thought(0, text="Hm"), thought(0, text=""), thought(0, signature="c2"), thought(0, signature="ln"), stop(0)
    assert events_of(*pieces) == [ReasoningDelta(0, "Hm"), BlockEnd(0, '{"signature":"c2ln"}')]


def test_reasoning_may_be_unsigned():
    assert events_of(thought(0, text="Hm"), thought(0, signature=""), stop(0)) == [
        ReasoningDelta(0, "Hm"),
        BlockEnd(0),
    ]


def test_a_signature_without_text_is_reasoning():
    assert events_of(thought(0, signature="c2ln"), stop(0)) == [
        ReasoningDelta(0, ""),
        BlockEnd(0, '{"signature":"c2ln"}'),
    ]


def test_reasoning_of_nothing_leaves_no_trace():
    assert events_of(thought(0, text=""), thought(0), stop(0), delta(1, text="Hi")) == [TextDelta(0, "Hi"), BlockEnd(0)]


def test_redacted_reasoning_is_an_extension():
    raw = '{"reasoningContent":{"redactedContent":"AP8BAg=="}}'
    assert events_of(thought(0, redactedContent="AP8="), thought(0, redactedContent="AQI="), stop(0)) == [
        Extension("bedrock:reasoningContent", raw, 0),
        BlockEnd(0),
    ]


def test_reasoning_may_be_redacted_in_part():
    assert events_of(thought(0, text="Hm"), thought(0, redactedContent="AP8="), stop(0)) == [
        ReasoningDelta(0, "Hm"),
        Extension("bedrock:reasoningContent", '{"reasoningContent":{"redactedContent":"AP8="}}', 0),
        BlockEnd(0),
    ]


# Tools


def test_a_tool_call_is_announced():
    pieces = begin(0, toolUse=CALL), delta(0, toolUse={"input": '{"a":'}), delta(0, toolUse={"input": "1}"}), stop(0)
    assert events_of(delta(1, text="Hi"), stop(1), delta(1, text="!"))[0] == TextDelta(0, "Hi")
    assert read(bedrock, [START + b"".join(pieces) + end("tool_use")]) == [
        Start(),
        ToolCallStart(0, "tooluse_1", "f"),
        ToolCallDelta(0, '{"a":'),
        ToolCallDelta(0, "1}"),
        BlockEnd(0),
        Finish("tool_calls", "tool_use"),
    ]


def test_the_type_of_an_ordinary_call_may_be_said():
    fold = Fold(read(bedrock, [START + begin(0, toolUse={**CALL, "type": "tool_use"}) + stop(0) + end("tool_use")]))
    assert [(call.id, call.name, call.arguments) for call in fold.tool_calls] == [("tooluse_1", "f", "{}")]


def test_a_call_without_an_id_gets_one():
    body = START + delta(0, text="Hi") + begin(1, toolUse={"name": "f"}) + end("tool_use")
    assert ToolCallStart(1, "tooluse_1", "f") in read(bedrock, [body])


def test_an_id_that_another_call_has_is_made_unique():
    body = START + begin(0, toolUse=CALL) + begin(1, toolUse=CALL) + end("tool_use")
    assert [call.id for call in Fold(read(bedrock, [body])).tool_calls] == ["tooluse_1", "tooluse_1_1"]


def test_a_block_that_begins_again_ends_the_one_before():
    events = read(bedrock, [START + begin(0, toolUse=CALL) + begin(0, toolUse={**CALL, "toolUseId": "b"}) + end()])
    assert events[1:4] == [ToolCallStart(0, "tooluse_1", "f"), BlockEnd(0), ToolCallStart(1, "b", "f")]


@pytest.mark.parametrize("input", ["", None])
def test_empty_arguments_are_skipped(input):
    body = START + begin(0, toolUse=CALL) + delta(0, toolUse={"input": input}) + stop(0) + end("tool_use")
    assert read(bedrock, [body])[1:3] == [ToolCallStart(0, "tooluse_1", "f"), BlockEnd(0)]


def server_call(*inputs: str | None) -> list[Any]:
    opened = begin(0, toolUse={**CALL, "type": "server_tool_use"})
    return events_of(opened, *(delta(0, toolUse={"input": input}) for input in inputs), stop(0))


@pytest.mark.parametrize(
    ("inputs", "input"),
    [(['{"a":', None, "1.0}"], '{"a":1.0}'), ([], "{}"), (['{"a'], '"{\\"a"'), (["[" * 5000], json.dumps("[" * 5000))],
)
def test_a_call_that_the_provider_runs_is_an_extension(inputs, input):
    raw = f'{{"toolUse":{{"toolUseId":"tooluse_1","name":"f","type":"server_tool_use","input":{input}}}}}'
    extension, ended = server_call(*inputs)
    assert (extension.name, extension.index, ended) == ("bedrock:toolUse", 0, BlockEnd(0))
    assert extension.raw.replace('": "', '":"') == raw


@pytest.mark.parametrize(
    ("deltas", "content"),
    [
        ([], []),
        ([[{"json": {"a": 1.10}}], None, [{"json": [1]}]], [{"json": {"a": 1.10}}, {"json": [1]}]),
        (
            [[{"text": "a"}, {"text": "b"}], [{"text": "c"}], [{"json": 1}], [{"text": "d"}]],
            [{"text": "abc"}, {"json": 1}, {"text": "d"}],
        ),
        (
            [[{"text": "a"}, {"text": 5}, {"text": None}], [{"text": "b"}]],
            [{"text": "a"}, {"text": 5}, {"text": None}, {"text": "b"}],
        ),
    ],
)
def test_the_result_of_such_a_call_is_an_extension(deltas, content):
    start = {"toolUseId": "tooluse_1", "type": "nova_code_interpreter_result", "status": "success"}
    extension, ended = events_of(begin(0, toolResult=start), *(delta(0, toolResult=items) for items in deltas), stop(0))
    assert (extension.name, extension.index, ended) == ("bedrock:toolResult", 0, BlockEnd(0))
    assert json.loads(extension.raw) == {"toolResult": {**start, "content": content}}


# Citations, images, what is unknown


@pytest.mark.parametrize(
    ("citation", "wanted"),
    [
        (
            {
                "title": "doc",
                "sourceContent": [{"text": "a"}, {"text": "b"}],
                "location": {"documentPage": {"start": 1}},
            },
            {"title": "doc", "text": "ab"},
        ),
        ({"location": {"web": {"url": "https://a.b", "domain": "a.b"}}}, {"url": "https://a.b"}),
        ({"source": "https://a.b/c", "title": "c"}, {"url": "https://a.b/c", "title": "c"}),
        ({"source": "kb-1", "sourceContent": [{}], "location": {"searchResultLocation": {}}}, {}),
    ],
)
def test_a_citation_is_of_the_text_of_its_block(citation, wanted):
    events = events_of(delta(0, citation=citation), delta(0, text="x"), stop(0))
    assert events == [Citation(0, raw=json.dumps(citation), **wanted), TextDelta(0, "x"), BlockEnd(0)]


@pytest.mark.parametrize("citation", [{}, None])
def test_a_citation_of_nothing_is_skipped(citation):
    assert events_of(delta(0, citation=citation), delta(0, text="x")) == [TextDelta(0, "x"), BlockEnd(0)]


def test_an_image_comes_in_pieces():
    pieces = [delta(0, image={"source": {"bytes": base64.b64encode(data).decode()}}) for data in (b"\x89P", b"NG")]
    events = events_of(begin(0, image={"format": "png"}), *pieces, stop(0))
    assert events == [Attachment(0, "image/png", b"\x89P"), Attachment(0, "image/png", b"NG"), BlockEnd(0)]
    assert Fold(events).attachments == [Attachment(0, "image/png", b"\x89PNG")]


def test_an_image_may_lie_in_a_bucket():
    piece = delta(0, image={"source": {"s3Location": {"uri": "s3://b/i.webp"}}})
    assert events_of(begin(0, image={"format": "webp"}), piece, stop(0)) == [
        Attachment(0, "image/webp", url="s3://b/i.webp"),
        BlockEnd(0),
    ]


def test_an_image_may_be_of_no_format():
    piece = delta(0, image={"source": {"bytes": "AP8="}})
    assert events_of(begin(0, image={}), piece)[0] == Attachment(0, "image/*", b"\x00\xff")


@pytest.mark.parametrize("image", [{"error": {"message": "No"}}, {"source": {}}])
def test_an_image_that_failed_leaves_word_of_it(image):
    assert events_of(begin(0, image={"format": "png"}), delta(0, image=image), stop(0)) == [
        Extension("bedrock:image", json.dumps(image))
    ]


def test_an_unknown_delta_is_kept_beside_the_content():
    unknown = {"a": 1.10, "b": ["ä"]}
    assert events_of(delta(0, text="x"), delta(0, sparkle=unknown)) == [
        TextDelta(0, "x"),
        Extension("bedrock:sparkle", json.dumps(unknown)),
        BlockEnd(0),
    ]


def test_an_unknown_start_is_kept_beside_the_content():
    assert events_of(begin(0, video={"format": "mp4"}), delta(0, text="x"), stop(0)) == [
        Extension("bedrock:video", '{"format": "mp4"}'),
        TextDelta(0, "x"),
        BlockEnd(0),
    ]


def test_a_start_of_nothing_says_nothing():
    assert events_of(begin(0), delta(0, text="x"), stop(0)) == [TextDelta(0, "x"), BlockEnd(0)]


@pytest.mark.parametrize(
    ("opened", "wrong", "kind"),
    [
        (begin(0, toolUse=CALL), delta(0, text="x"), "text"),
        (begin(0, toolUse=CALL), thought(0, text="x"), "reasoningContent"),
        (begin(0, toolUse=CALL), delta(0, citation={"title": "x"}), "citation"),
        (begin(0, toolUse=CALL), delta(0, toolResult=[]), "toolResult"),
        (delta(0, text="x"), thought(0, text="x"), "reasoningContent"),
        (delta(0, text="x"), delta(0, toolUse={"input": "{"}), "toolUse"),
        (delta(0, text="x"), delta(0, image={"source": {}}), "image"),
        (thought(0, text="x"), delta(0, text="x"), "text"),
        (begin(0, toolResult=CALL), delta(0, text="x"), "text"),
        (b"", delta(0, toolUse={"input": "{"}), "toolUse"),
        (b"", delta(0, toolResult=[{"text": "x"}]), "toolResult"),
        (b"", delta(0, image={"source": {}}), "image"),
    ],
)
def test_a_delta_in_a_block_that_does_not_take_it_fails(opened, wrong, kind):
    failure = Failure("protocol", f"{kind} for block 0, which takes none", detail="grammar")
    assert last_of(START, opened, wrong, end()) == failure


@pytest.mark.parametrize(
    "messages",
    [
        [begin(0, toolResult={"toolUseId": "?"}), stop(0)],
        [begin(0, toolResult={"toolUseId": "a"}), delta(0, toolResult=[{"json": "?"}]), stop(0)],
        [delta(0, citation={"title": "?"})],
        [end(additionalModelResponseFields="?")],
        [end(), metadata(trace="?")],
    ],
)
def test_bytes_that_are_not_utf8_are_replaced_in_raw_json(messages):
    def broken(message: bytes) -> bytes:
        payload = message[12 + int.from_bytes(message[4:8], "big") : -4]
        headers = eventstream.read_headers(message[12 : 12 + int.from_bytes(message[4:8], "big")])
        return eventstream.encode(payload.replace(b"?", b"\xff"), headers)

    events = read(bedrock, [START + b"".join(map(broken, messages)) + end()])
    assert isinstance(events[-1], Finish)
    assert any("\ufffd" in getattr(event, "raw", "") for event in events[:-1])


def test_half_a_surrogate_pair_ends_no_block_twice():
    broken = message(
        "contentBlockStart",
        b'{"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"a","name":"\\ud800"}}}',
    )
    events = read(bedrock, [START + delta(0, text="x") + broken + end()])
    assert events == [
        Start(),
        TextDelta(0, "x"),
        BlockEnd(0),
        ToolCallStart(1, "a", "\ufffd"),
        BlockEnd(1),
        Finish("tool_calls", "end_turn"),
    ]


# Usage, and about the whole answer


def usage_of(usage: Any) -> Usage | None:
    return Fold(read(bedrock, [START + end() + metadata(usage)])).usage


def test_input_counts_what_the_cache_gave_and_took():
    counts = {"inputTokens": 10, "outputTokens": 5, "cacheReadInputTokens": 200, "cacheWriteInputTokens": 3000}
    assert usage_of(counts) == Usage(input_tokens=3210, output_tokens=5, cache_read_tokens=200, cache_write_tokens=3000)


def test_what_is_not_counted_is_unknown():
    assert usage_of({"outputTokens": 5, "cacheReadInputTokens": 200}) == Usage(output_tokens=5, cache_read_tokens=200)


@pytest.mark.parametrize("usage", [None, {}, {"totalTokens": 5}])
def test_usage_that_says_nothing_is_not_reported(usage):
    assert usage_of(usage) is None


def test_usage_is_reported_once():
    counts = metadata({"inputTokens": 1, "outputTokens": 2})
    assert read(bedrock, [START + counts + counts + end()]) == [
        Start(),
        Usage(input_tokens=1, output_tokens=2),
        Finish("stop", "end_turn"),
    ]


def test_usage_that_is_more_than_tokens_is_kept_whole():
    counts = {"inputTokens": 1, "outputTokens": 2, "cacheDetails": [{"ttl": "1h", "inputTokens": 7}]}
    assert Fold(read(bedrock, [START + end() + metadata(counts)])).extensions == [
        Extension("bedrock:usage", json.dumps(counts))
    ]


@pytest.mark.parametrize(
    "more",
    [{"serverToolUsage": {}}, {"cacheDetails": []}, {"cacheReadInputTokenCount": 5, "totalTokens": 9}, {"x": None}],
)
def test_usage_that_is_tokens_alone_is_not(more):
    assert Fold(read(bedrock, [START + end() + metadata({"inputTokens": 1, **more})])).extensions == []


def test_facts_about_the_answer_are_extensions():
    trace = {"guardrail": {"actionReason": "Guardrail masked."}}
    stopped = end("stop_sequence", additionalModelResponseFields={"stop": "X"}, p="abc")
    known = metadata(None, trace=trace, performanceConfig={"latency": "optimized"}, serviceTier={"type": "flex"}, p="a")
    assert read(bedrock, [START + stopped + known])[1:-1] == [
        Extension("bedrock:additionalModelResponseFields", '{"stop": "X"}'),
        Extension("bedrock:trace", json.dumps(trace)),
        Extension("bedrock:performanceConfig", '{"latency": "optimized"}'),
        Extension("bedrock:serviceTier", '{"type": "flex"}'),
    ]


def test_facts_that_say_nothing_are_left_out():
    assert read(bedrock, [START + end(additionalModelResponseFields={}) + metadata(None, trace=None, x=[], y="")]) == [
        Start(),
        Finish("stop", "end_turn"),
    ]


# Recordings of our own


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in sorted(OWN.glob("bedrock-*.json"))])
def test_our_recordings_hold_wherever_they_are_cut(path):
    recording = Recording.load(path)
    check_cuts(bedrock, recording.data, samples=samples(recording.data))
    check_truncation(bedrock, recording.data, samples=samples(recording.data))


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in sorted(OWN.glob("bedrock-*.json"))])
def test_our_recordings_say_what_a_plain_reading_of_them_says(path):
    body = Recording.load(path).data
    fold, wanted = Fold(read(bedrock, [body])), plain.decode(body)
    calls = [(call.id, call.name, plain.parsed(call.arguments)) for call in fold.tool_calls]
    assert (fold.text, fold.reasoning, calls) == (wanted.text, wanted.reasoning, wanted.tool_calls)
    assert [json.loads(citation.raw) for citation in fold.citations] == wanted.citations
    outcome = fold.outcome
    assert (outcome.code if wanted.error else outcome.reason) == (wanted.error[0] if wanted.error else wanted.finish)


@pytest.mark.parametrize("name", ["parallel-tools", "citations", "code-interpreter", "guardrail"])
def test_our_recorded_answers_go_back_as_they_came(name):
    body = Recording.load(OWN / f"bedrock-{name}.json").data
    turn = Fold(read(bedrock, [body])).message
    request = Request(messages=(Message("user", "Hi"), turn), tools=(Tool("f"),))
    encoded = bedrock.encode(request, TARGET)
    assert json.loads(encoded.body)["messages"][1]["content"] == plain.decode(body).blocks
    assert encoded.warnings == ()


def own(name: str) -> Fold:
    return Fold(read(bedrock, [Recording.load(OWN / f"bedrock-{name}.json").data]))


def test_our_recording_of_parallel_tools():
    fold = own("parallel-tools")
    assert [(call.name, json.loads(call.arguments)) for call in fold.tool_calls] == [
        ("weather", {"city": "Zürich"}),
        ("time", {}),
    ]
    assert fold.text == "I'll look up both."
    assert fold.reasoning == "Two lookups, independent of each other."
    assert fold.message.parts[0].opaque == '{"signature":"RXVZQkNrUVlBaUpBIG5vdCBhIHJlYWwgc2lnbmF0dXJl"}'
    assert fold.outcome == Finish("tool_calls", "tool_use")
    assert fold.usage == Usage(input_tokens=2412, output_tokens=117, cache_read_tokens=2048, cache_write_tokens=0)


def test_our_recording_of_citations():
    fold = own("citations")
    assert [(citation.title, citation.url, citation.text) for citation in fold.citations] == [
        ("report", None, "Short waves scatter most."),
        (None, "https://example.org/rayleigh", None),
    ]
    assert fold.text == "According to the report, short waves scatter most, as Rayleigh found."
    assert [item.name for item in fold.extensions] == ["bedrock:additionalModelResponseFields", "bedrock:serviceTier"]


def test_our_recording_of_a_code_interpreter():
    fold = own("code-interpreter")
    assert [getattr(part, "name", "text") for part in fold.message.parts] == [
        "bedrock:reasoningContent",
        "bedrock:toolUse",
        "bedrock:toolResult",
        "text",
    ]
    assert (fold.text, fold.tool_calls, fold.outcome) == ("It is 42.", [], Finish("stop", "end_turn"))


def test_our_recording_of_a_guardrail():
    fold = own("guardrail")
    assert fold.outcome == Finish("content_filter", "guardrail_intervened")
    assert [item.name for item in fold.extensions] == ["bedrock:trace"]
    assert fold.usage == Usage(input_tokens=0, output_tokens=0)


def test_our_recordings_of_errors():
    throttled, failed = own("throttled"), own("model-error")
    message = "Too many tokens, please wait before trying again."
    assert (throttled.text, throttled.outcome) == (
        "Once upon",
        Failure("rate_limit", message, code="throttlingException"),
    )
    message = "Model stream error: The worker was lost."
    assert (failed.text, failed.outcome) == (
        "Once",
        Failure("server", message, status=500, code="modelStreamErrorException"),
    )


# Anything at all

WORDS = st.sampled_from(
    [
        "contentBlockIndex",
        "delta",
        "start",
        "text",
        "toolUse",
        "toolResult",
        "toolUseId",
        "name",
        "type",
        "input",
        "status",
        "json",
        "reasoningContent",
        "signature",
        "redactedContent",
        "citation",
        "title",
        "source",
        "sourceContent",
        "location",
        "web",
        "url",
        "image",
        "format",
        "bytes",
        "error",
        "s3Location",
        "stopReason",
        "additionalModelResponseFields",
        "usage",
        "inputTokens",
        "outputTokens",
        "cacheReadInputTokens",
        "trace",
        "p",
        "message",
        "originalMessage",
        "originalStatusCode",
    ]
)
TYPES = st.sampled_from(
    [
        "messageStart",
        "contentBlockStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
        "message",
        "exception:throttlingException",
        "error:InternalFailure",
        "inventedTomorrow",
    ]
)
WORDS_OF_THE_WIRE = st.sampled_from(["end_turn", "tool_use", "server_tool_use", "malformed_tool_use", "AP8=", "png"])
LEAVES = st.none() | st.booleans() | st.integers(-1, 600) | st.floats(allow_nan=False) | WORDS_OF_THE_WIRE | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5))
INDEXES = st.integers(0, 2)
SHORT = st.text(max_size=3)


def fields(**optional: Any) -> Any:
    return st.fixed_dictionaries({}, optional=optional)


USES = fields(toolUseId=SHORT, name=SHORT, type=st.sampled_from(["tool_use", "server_tool_use"]))
RESULTS = st.lists(fields(text=SHORT, json=VALUES) | fields(text=LEAVES), max_size=3)
CITATIONS = fields(title=SHORT, source=SHORT, sourceContent=st.lists(fields(text=SHORT), max_size=2))
THOUGHTS = st.one_of(fields(text=SHORT), fields(signature=SHORT), fields(redactedContent=st.just("AP8=")))
RIGHT_DELTAS = st.one_of(
    fields(text=SHORT),
    fields(toolUse=fields(input=SHORT)),
    fields(toolResult=RESULTS),
    fields(reasoningContent=THOUGHTS),
    fields(citation=CITATIONS),
    fields(image=fields(source=fields(bytes=st.just("AP8=")))),
)
RIGHT_STARTS = st.one_of(fields(toolUse=USES), fields(toolResult=USES), fields(image=fields(format=SHORT)))
RIGHT_MESSAGES = st.one_of(
    st.tuples(
        st.just("contentBlockStart"), st.fixed_dictionaries({"contentBlockIndex": INDEXES, "start": RIGHT_STARTS})
    ),
    st.tuples(
        st.just("contentBlockDelta"), st.fixed_dictionaries({"contentBlockIndex": INDEXES, "delta": RIGHT_DELTAS})
    ),
    st.tuples(st.just("contentBlockStop"), st.fixed_dictionaries({"contentBlockIndex": INDEXES})),
    st.tuples(st.just("messageStop"), fields(stopReason=WORDS_OF_THE_WIRE, additionalModelResponseFields=VALUES)),
)
MESSAGES = st.tuples(TYPES, VALUES) | RIGHT_MESSAGES


class _Bare:
    """Hands frames that were made here to the decoder."""

    def __init__(self, frames: list[Frame]) -> None:
        self._frames = frames
        self.stray = b""

    def feed(self, _: bytes) -> list[Frame]:
        return self._frames

    def close(self) -> None:
        return None


def read_frames(pairs: list[tuple[str, Any]]) -> list[Any]:
    from streamcore.reader import Reader

    reader = Reader(bedrock, framing=_Bare([Frame(json.dumps(value).encode(), type) for type, value in pairs]))
    return reader.feed(b"") + reader.close()


@given(st.lists(MESSAGES, max_size=12))
def test_any_json_ends_in_one_last_event(pairs):
    grammar.check(read_frames([("messageStart", {}), *pairs, ("messageStop", {"stopReason": "end_turn"})]))


@given(st.lists(RIGHT_MESSAGES, max_size=20))
def test_any_order_of_messages_ends_in_one_last_event(pairs):
    grammar.check(read_frames([("messageStart", {}), *pairs, ("messageStop", {"stopReason": "end_turn"})]))


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_end_in_one_last_event(data, more):
    grammar.check(read(bedrock, [data, START, more]))


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_any_payload_ends_in_one_last_event(payload, more):
    body = START + message("contentBlockDelta", payload) + message("metadata", more) + end()
    grammar.check(read(bedrock, [body]))
