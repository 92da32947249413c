"""The adapter `anthropic`: every recording against a plain reading of it, and what no recording shows."""

from __future__ import annotations

import json
import os
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import OWN, params

from adapters import plain_anthropic as plain
from streamcore import failures
from streamcore.adapter import Adapter, load
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
from streamcore_adapters import anthropic

FUZZING = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"


def samples(body: bytes) -> int | None:
    """How many cuts of a long body are tried."""
    return None if FUZZING else max(4, 300_000 // len(body))


def sse_body(*events: dict[str, Any]) -> bytes:
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()


def start(**fields: Any) -> dict[str, Any]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [], **fields}
    return {"type": "message_start", "message": message}


def block(index: int, type: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": {"type": type, **fields}}


def delta(index: int, type: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": type, **fields}}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def end(reason: str | None = "end_turn", *, usage: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason, **fields}, "usage": usage or {}}


STOP = {"type": "message_stop"}


def events_of(*events: dict[str, Any]) -> list[Any]:
    """The events between the first and the last of a complete message."""
    first, *middle, last = read(anthropic, [sse_body(start(), *events, end(), STOP)])
    assert first == Start("msg_1", "claude")
    assert last == Finish("stop", "end_turn")
    return middle


# The module


def test_it_is_an_adapter():
    adapter: Adapter = anthropic
    assert isinstance(adapter, Adapter)


def test_it_is_found_by_its_name():
    assert load("anthropic") is anthropic


# Recordings


@pytest.mark.parametrize("row", params("streams-messages"))
def test_a_recording_says_what_a_plain_reading_of_it_says(row):
    fold, wanted = Fold(read(anthropic, [row.body])), plain.decode(row.body)
    calls = [(call.id, call.name, plain.parsed(call.arguments)) for call in fold.tool_calls]
    usage = msgspec.structs.asdict(fold.usage)
    assert (fold.id, fold.model) == (wanted.id, wanted.model)
    assert fold.text == wanted.text
    assert fold.reasoning == wanted.reasoning
    assert calls == wanted.tool_calls
    assert {name: usage[name] for name in wanted.usage} == wanted.usage
    assert fold.outcome == Finish(wanted.finish, wanted.stop_reason)
    assert [json.loads(citation.raw) for citation in fold.citations] == wanted.citations


@pytest.mark.parametrize("row", params("streams-messages"))
def test_a_recording_reads_the_same_however_it_is_cut(row):
    check_cuts(anthropic, row.body, samples=samples(row.body))


@pytest.mark.parametrize("row", params("streams-messages"))
def test_a_recording_that_ends_early_is_never_whole(row):
    check_truncation(anthropic, row.body, samples=samples(row.body))


# Errors

KINDS = {400: "invalid", 401: "auth", 404: "not_found", 500: "server", 503: "overloaded"}


@pytest.mark.parametrize("row", params("errors-messages"))
def test_a_recorded_error_is_known_for_what_it_is(row):
    failure = failures.http_failure(row.status, row.headers, row.body)
    described = plain.parsed(row.body.decode())
    error = described["error"] if isinstance(described, dict) else {}
    body_id = described.get("request_id") if isinstance(described, dict) else None
    assert (failure.kind, failure.status) == (KINDS[row.status], row.status)
    assert failure.code == error.get("type")
    assert failure.message.startswith(error.get("message", f"HTTP {row.status}; the body begins"))
    assert failure.request_id == row.headers.get("request-id", body_id)
    assert failure.should_retry is ({"false": False, "true": True}.get(row.headers.get("x-should-retry")))
    assert failure.retry_after is None


@pytest.mark.parametrize(
    ("type", "kind"),
    [
        ("overloaded_error", "overloaded"),
        ("api_error", "server"),
        ("rate_limit_error", "rate_limit"),
        ("invalid_request_error", "invalid"),
        ("authentication_error", "auth"),
        ("permission_error", "permission"),
        ("billing_error", "quota"),
        ("not_found_error", "not_found"),
        ("request_too_large", "invalid"),
        ("timeout_error", "timeout"),
    ],
)
def test_an_error_in_the_stream_ends_it(type, kind):
    error = {"type": "error", "error": {"type": type, "message": "No"}, "request_id": "req_1"}
    events = read(anthropic, [sse_body(start(), error, STOP)])
    assert events == [Start("msg_1", "claude"), Failure(kind, "No", code=type, request_id="req_1")]


def test_an_error_may_be_the_first_event():
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    failure = Failure("overloaded", "Overloaded", code="overloaded_error")
    assert read(anthropic, [sse_body(error)]) == [Start(), failure]


def test_the_code_in_the_details_decides():
    inner = {"type": "rate_limit_error", "message": "Pay", "details": {"error_code": "enforced_spend_limit_reached"}}
    last = read(anthropic, [sse_body({"type": "error", "error": inner})])[-1]
    assert last == Failure("quota", "Pay", code="enforced_spend_limit_reached")


def test_an_error_without_a_type_of_event_is_one():
    body = b'data: {"error": {"type": "overloaded_error", "message": "Busy"}}\n\n'
    assert read(anthropic, [body])[-1] == Failure("overloaded", "Busy", code="overloaded_error")


def test_an_event_without_type_and_error_is_skipped():
    body = b'data: {"hello": 1}\n\n' + sse_body(start(), end(), STOP)
    assert read(anthropic, [body]) == [Start("msg_1", "claude"), Finish("stop", "end_turn")]


def test_an_error_that_says_nothing_is_one():
    last = read(anthropic, [b'event: error\ndata: {"type": "error"}\n\n'])[-1]
    assert last == Failure("server", "an error event that names no error")


# The end


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("pause_turn", "pause"),
        ("compaction", "pause"),
        ("refusal", "refusal"),
        ("invented_tomorrow", "other"),
        (None, "other"),
    ],
)
def test_the_stop_reason_is_translated(raw, reason):
    assert read(anthropic, [sse_body(start(), end(raw), STOP)])[-1] == Finish(reason, raw)


def test_a_stop_reason_without_message_stop_is_no_end():
    last = read(anthropic, [sse_body(start(), block(0, "text", text="Hi"), stop(0), end())])[-1]
    assert last.kind == "truncated"


def test_a_stop_reason_may_come_with_the_start():
    assert read(anthropic, [sse_body(start(stop_reason="refusal"), STOP)])[-1] == Finish("refusal", "refusal")


def test_a_later_null_does_not_take_the_stop_reason_back():
    assert read(anthropic, [sse_body(start(), end("max_tokens"), end(None), STOP)])[-1] == Finish(
        "length", "max_tokens"
    )


def test_nothing_follows_the_end():
    body = sse_body(start(), end(), STOP, block(0, "text", text="Late"))
    assert read(anthropic, [body])[-1] == Finish("stop", "end_turn")


# Framing


def test_events_are_known_without_their_event_line():
    body = sse_body(start(), block(0, "text", text=""), delta(0, "text_delta", text="Hi"), stop(0), end(), STOP)
    nameless = b"\n".join(line for line in body.split(b"\n") if not line.startswith(b"event:"))
    assert read(anthropic, [nameless]) == read(anthropic, [body])


def test_events_are_known_by_their_type_alone():
    body = sse_body(start(), block(0, "text", text="Hi"), stop(0), end(), STOP)
    assert read(anthropic, [body.replace(b"event: ", b"event: x_")]) == read(anthropic, [body])


def test_a_done_of_another_format_is_ignored():
    body = b"event: data\ndata: [DONE]\n\n" + sse_body(start(), end(), STOP)
    assert read(anthropic, [body])[-1] == Finish("stop", "end_turn")


def test_pings_say_nothing():
    assert events_of({"type": "ping"}, {"type": "ping"}) == []


@pytest.mark.parametrize("event", [{"type": "heartbeat", "index": "x"}, {"type": "vertex_event", "delta": 5}])
def test_unknown_events_are_skipped_whatever_their_shape(event):
    assert events_of(event) == []


@pytest.mark.parametrize(
    "event",
    [
        {"type": "content_block_start", "index": 0},
        {"type": "content_block_start", "index": 0, "content_block": None},
        {"type": "content_block_start", "index": "0", "content_block": {"type": "text"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": 5}},
        {"type": "content_block_delta", "index": 0, "delta": {"text": 5}},
        {"type": "message_delta", "delta": [], "usage": {}},
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": "many"}},
    ],
)
def test_a_known_event_of_the_wrong_shape_fails(event):
    last = read(anthropic, [sse_body(start(), event, STOP)])[-1]
    assert (last.kind, last.detail) == ("protocol", "json")


@pytest.mark.parametrize("data", ["{", "5", '"text"', '{"index": "x"}', '{"type": 5}'])
def test_an_event_that_is_none_fails(data):
    last = read(anthropic, [f"data: {data}\n\n".encode()])[-1]
    assert (last.kind, last.detail) == ("protocol", "json")


# The start


def test_the_same_message_may_start_twice():
    assert events_of(start()) == []


def test_another_message_inside_fails():
    last = read(anthropic, [sse_body(start(), start(id="msg_2"), end(), STOP)])[-1]
    assert last == Failure("protocol", "message 'msg_2' began inside message 'msg_1'", detail="grammar")


def test_a_start_without_a_message_is_one():
    assert read(anthropic, [sse_body({"type": "message_start"}, STOP)]) == [Start(), Finish("other")]


def test_blocks_in_the_start_are_whole():
    content = [{"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1}}, {"type": "text", "text": "Hi"}]
    after = block(0, "text", text="!")
    events = read(anthropic, [sse_body(start(content=content), after, stop(0), end(), STOP)])
    assert events == [
        Start("msg_1", "claude"),
        ToolCallStart(0, "toolu_1", "add"),
        ToolCallDelta(0, '{"a": 1}'),
        BlockEnd(0),
        TextDelta(1, "Hi"),
        BlockEnd(1),
        TextDelta(2, "!"),
        BlockEnd(2),
        Finish("stop", "end_turn"),
    ]


# Blocks


def test_text_comes_in_deltas():
    first, second = delta(0, "text_delta", text="Hel"), delta(0, "text_delta", text="lo")
    assert events_of(block(0, "text", text=""), first, second, stop(0)) == [
        TextDelta(0, "Hel"),
        TextDelta(0, "lo"),
        BlockEnd(0),
    ]


def test_empty_deltas_are_skipped():
    empty = [delta(0, "text_delta", text=""), delta(0, "text_delta", text="Hi"), delta(0, "text_delta", text="")]
    assert events_of(block(0, "text", text=""), *empty, stop(0)) == [TextDelta(0, "Hi"), BlockEnd(0)]


def test_an_empty_block_leaves_no_trace():
    events = events_of(block(0, "text", text=""), stop(0), block(1, "text", text="Hi"), stop(1))
    assert events == [TextDelta(0, "Hi"), BlockEnd(0)]


def test_a_block_that_never_stopped_ends_with_the_message():
    assert events_of(block(0, "text", text="Hi")) == [TextDelta(0, "Hi"), BlockEnd(0)]


def test_a_block_that_never_stopped_ends_where_its_index_starts_again():
    events = events_of(block(0, "text", text="Hi"), block(0, "text", text="Ho"), stop(0))
    assert events == [TextDelta(0, "Hi"), BlockEnd(0), TextDelta(1, "Ho"), BlockEnd(1)]


def test_two_blocks_may_be_under_way():
    events = events_of(
        block(3, "text", text=""),
        block(7, "text", text=""),
        delta(7, "text_delta", text="b"),
        delta(3, "text_delta", text="a"),
        delta(7, "text_delta", text="b"),
        stop(3),
        stop(7),
    )
    assert events == [TextDelta(0, "b"), TextDelta(1, "a"), TextDelta(0, "b"), BlockEnd(1), BlockEnd(0)]


def test_a_stop_without_a_block_is_ignored():
    assert events_of(stop(5)) == []


def test_a_block_may_begin_with_its_first_delta():
    events = events_of(delta(0, "thinking_delta", thinking="Hm"), stop(0), delta(1, "text_delta", text="Hi"), stop(1))
    assert events == [ReasoningDelta(0, "Hm"), BlockEnd(0), TextDelta(1, "Hi"), BlockEnd(1)]


def test_a_block_delta_without_a_delta_is_ignored():
    assert events_of({"type": "content_block_delta", "index": 0}) == []


def test_a_signature_ends_its_thinking():
    thinking = [delta(0, "thinking_delta", thinking="Hm"), delta(0, "signature_delta", signature="c2ln")]
    events = events_of(block(0, "thinking", thinking="", signature=""), *thinking, stop(0))
    assert events == [ReasoningDelta(0, "Hm"), BlockEnd(0, '{"signature":"c2ln"}')]


def test_the_last_signature_counts():
    signatures = [delta(0, "signature_delta", signature="old"), delta(0, "signature_delta", signature="new")]
    events = events_of(block(0, "thinking", thinking="Hm", signature=""), *signatures, stop(0))
    assert events[-1] == BlockEnd(0, '{"signature":"new"}')


def test_thinking_of_which_only_the_signature_is_shown_is_a_block():
    shown = delta(0, "thinking_delta", thinking="", estimated_tokens=50), delta(0, "signature_delta", signature="c2ln")
    events = events_of(block(0, "thinking", thinking="", signature=""), *shown, stop(0))
    assert events == [ReasoningDelta(0, ""), BlockEnd(0, '{"signature":"c2ln"}')]


def test_thinking_of_which_nothing_is_shown_leaves_no_trace():
    assert events_of(block(0, "thinking", thinking="", signature=""), stop(0)) == []


def test_thinking_that_nobody_signed_has_nothing_to_return():
    assert events_of(block(0, "thinking", thinking="Hm"), stop(0)) == [ReasoningDelta(0, "Hm"), BlockEnd(0)]


def test_a_tool_call_comes_in_fragments():
    fragments = [delta(0, "input_json_delta", partial_json=text) for text in ("", '{"x"', ": 1}")]
    assert events_of(block(0, "tool_use", id="toolu_1", name="f", input={}), *fragments, stop(0)) == [
        ToolCallStart(0, "toolu_1", "f"),
        ToolCallDelta(0, '{"x"'),
        ToolCallDelta(0, ": 1}"),
        BlockEnd(0),
    ]


def test_a_tool_call_may_come_whole():
    events = events_of(block(0, "tool_use", id="toolu_1", name="f", input={"x": 1.50}), stop(0))
    assert events == [ToolCallStart(0, "toolu_1", "f"), ToolCallDelta(0, '{"x": 1.5}'), BlockEnd(0)]


def test_fragments_replace_the_arguments_of_the_start():
    fragment = delta(0, "input_json_delta", partial_json='{"x":2}')
    events = events_of(block(0, "tool_use", id="toolu_1", name="f", input={"x": 1}), fragment, stop(0))
    assert events == [ToolCallStart(0, "toolu_1", "f"), ToolCallDelta(0, '{"x":2}'), BlockEnd(0)]


def test_a_tool_call_keeps_who_called_it():
    fields = {"caller": {"type": "direct"}, "toolset_name": "browser", "other": 1}
    events = events_of(block(0, "tool_use", id="toolu_1", name="f", input={}, **fields), stop(0))
    assert events[-1] == BlockEnd(0, '{"caller":{"type": "direct"},"toolset_name":"browser"}')


def test_a_tool_call_without_an_id_gets_one():
    events = events_of(block(0, "tool_use", name="f", input=None), stop(0), block(1, "tool_use", id=""), stop(1))
    starts = [event for event in events if type(event) is ToolCallStart]
    assert starts == [ToolCallStart(0, "toolu_0", "f"), ToolCallStart(1, "toolu_1", "")]


def test_an_id_that_another_call_has_is_made_unique():
    call = {"id": "toolu_1", "name": "f"}
    events = events_of(block(0, "tool_use", **call), stop(0), block(1, "tool_use", **call), stop(1))
    starts = [event for event in events if type(event) is ToolCallStart]
    assert starts == [ToolCallStart(0, "toolu_1", "f"), ToolCallStart(1, "toolu_1_1", "f")]


def test_citations_belong_to_their_text():
    location = {"type": "char_location", "cited_text": "is blue", "document_index": 0, "document_title": "Sky"}
    citation = {**location, "start_char_index": 4, "end_char_index": 11, "file_id": None}
    cited = delta(0, "citations_delta", citation=citation)
    events = events_of(block(0, "text", text="", citations=[]), cited, delta(0, "text_delta", text="Blue."), stop(0))
    assert events == [
        Citation(0, title="Sky", text="is blue", raw=json.dumps(citation)),
        TextDelta(0, "Blue."),
        BlockEnd(0),
    ]


@pytest.mark.parametrize(
    ("citation", "url", "title"),
    [
        ({"type": "web_search_result_location", "url": "https://a.b/c", "title": "C"}, "https://a.b/c", "C"),
        ({"type": "search_result_location", "source": "https://a.b/c", "title": "C"}, "https://a.b/c", "C"),
        ({"type": "search_result_location", "source": "manual-7", "title": None}, None, None),
        ({"type": "page_location", "document_title": "D", "title": 5}, None, "D"),
    ],
)
def test_a_citation_names_its_source(citation, url, title):
    events = events_of(block(0, "text", text="x"), delta(0, "citations_delta", citation=citation), stop(0))
    assert events[1] == Citation(0, url=url, title=title, raw=json.dumps(citation))


def test_citations_may_come_with_the_start():
    citation = {"type": "char_location"}
    events = events_of(block(0, "text", text="x", citations=[citation]), stop(0))
    assert events == [TextDelta(0, "x"), Citation(0, raw=json.dumps(citation)), BlockEnd(0)]


def test_a_citation_that_is_none_is_skipped():
    assert events_of(block(0, "text", text="x"), delta(0, "citations_delta", citation=None), stop(0)) == [
        TextDelta(0, "x"),
        BlockEnd(0),
    ]


@pytest.mark.parametrize(
    "type", ["redacted_thinking", "web_search_tool_result", "container_upload", "fallback", "invented_tomorrow"]
)
def test_another_block_is_an_extension(type):
    fields = {"data": ["a", {"b": None}], "text": {"not": "text"}, "input": 1, "citations": {}}
    assert events_of(block(0, type, **fields), stop(0)) == [
        Extension(f"anthropic:{type}", json.dumps({"type": type, **fields}), 0),
        BlockEnd(0),
    ]


def test_the_input_of_a_server_tool_is_gathered():
    fragments = [delta(0, "input_json_delta", partial_json=text) for text in ("", '{"query": ', '"sky"}')]
    opened = block(0, "server_tool_use", id="srvtoolu_1", name="web_search", input={}, caller={"type": "direct"})
    extension, ended = events_of(opened, *fragments, stop(0))
    assert (extension.name, extension.index, ended) == ("anthropic:server_tool_use", 0, BlockEnd(0))
    assert json.loads(extension.raw) == {**opened["content_block"], "input": {"query": "sky"}}


def test_the_input_of_a_server_tool_that_was_cut_is_kept_as_text():
    opened = block(0, "server_tool_use", id="srvtoolu_1", name="web_search", input={})
    extension, _ = events_of(opened, delta(0, "input_json_delta", partial_json='{"qu'), stop(0))
    assert json.loads(extension.raw)["input"] == '{"qu'


def test_a_compaction_is_gathered():
    opened = block(0, "compaction", content=None, encrypted_content=None)
    added = delta(0, "compaction_delta", content="Before: …", encrypted_content="RXA=")
    extension, _ = events_of(opened, added, stop(0))
    assert json.loads(extension.raw) == {"type": "compaction", "content": "Before: …", "encrypted_content": "RXA="}


def test_an_unknown_delta_is_kept_beside_the_content():
    unknown = delta(0, "sparkle_delta", text={"not": "text"})
    events = events_of(block(0, "text", text="x"), unknown, stop(0))
    assert events == [TextDelta(0, "x"), Extension("anthropic:sparkle_delta", json.dumps(unknown)), BlockEnd(0)]


def test_an_unknown_delta_of_a_common_shape_is_kept_too():
    unknown = delta(0, "sparkle_delta", text="x")
    assert events_of(unknown) == [Extension("anthropic:sparkle_delta", json.dumps(unknown))]


@pytest.mark.parametrize(
    ("type", "wrong"),
    [
        ("text", "thinking_delta"),
        ("text", "input_json_delta"),
        ("text", "compaction_delta"),
        ("thinking", "text_delta"),
        ("thinking", "citations_delta"),
        ("tool_use", "text_delta"),
        ("tool_use", "signature_delta"),
    ],
)
def test_a_delta_in_a_block_that_does_not_take_it_fails(type, wrong):
    body = sse_body(start(), block(0, type), delta(0, wrong, text="x", thinking="x", partial_json="x"), STOP)
    assert read(anthropic, [body])[-1] == Failure(
        "protocol", f"{wrong} for block 0, which takes none", detail="grammar"
    )


def test_a_known_delta_in_an_unknown_block_is_kept():
    added = delta(0, "text_delta", text="x")
    events = events_of(block(0, "invented_tomorrow"), added, stop(0))
    assert events[0] == Extension("anthropic:text_delta", json.dumps(added))


def test_arguments_of_no_call_fail():
    last = read(anthropic, [sse_body(start(), delta(4, "input_json_delta", partial_json="{"), STOP)])[-1]
    assert last == Failure("protocol", "input_json_delta for block 4, which takes none", detail="grammar")


def test_bytes_that_are_not_utf8_are_replaced_in_raw_json():
    body = sse_body(start(), block(0, "redacted_thinking", data="?"), stop(0), end(container="?"), STOP)
    events = read(anthropic, [body.replace(b"?", b"\xff")])
    assert [event.raw for event in events if type(event) is Extension] == [
        '{"type": "redacted_thinking", "data": "\ufffd"}',
        '"\ufffd"',
    ]


def test_bytes_that_are_not_utf8_are_replaced_in_citations():
    cited = delta(0, "citations_delta", citation={"type": "char_location", "cited_text": "?"})
    events = read(anthropic, [sse_body(start(), block(0, "text", text="x"), cited, STOP).replace(b"?", b"\xff")])
    assert events[2].text == "\ufffd"


# Usage

WIRE_USAGE = {"input_tokens": 10, "cache_read_input_tokens": 200, "cache_creation_input_tokens": 3000}


def usages(*events: dict[str, Any]) -> list[Usage]:
    return [event for event in read(anthropic, [sse_body(*events, STOP)]) if type(event) is Usage]


def test_input_counts_what_the_cache_gave_and_took():
    first, *_ = usages(start(usage=WIRE_USAGE))
    assert first == Usage(input_tokens=3210, cache_read_tokens=200, cache_write_tokens=3000)


def test_the_placeholder_for_the_output_is_kept_back():
    counts = [
        usage.output_tokens
        for usage in usages(start(usage={**WIRE_USAGE, "output_tokens": 1}), end(usage={"output_tokens": 9}))
    ]
    assert counts == [None, 9]


def test_the_placeholder_counts_if_nothing_replaces_it():
    assert usages(start(usage={"input_tokens": 5, "output_tokens": 7}))[-1] == Usage(input_tokens=5, output_tokens=7)


def test_later_counts_replace_earlier_ones():
    later = {"input_tokens": 20, "cache_read_input_tokens": None, "output_tokens": 4}
    assert usages(start(usage=WIRE_USAGE), end(usage=later))[-1] == Usage(
        input_tokens=3220, output_tokens=4, cache_read_tokens=200, cache_write_tokens=3000
    )


def test_reasoning_is_counted():
    details = {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 6}}
    assert usages(start(), end(usage=details)) == [Usage(output_tokens=9, reasoning_tokens=6)]


def test_usage_is_said_once():
    counts = {"input_tokens": 1, "output_tokens": 2}
    assert usages(start(), end(usage=counts), end(usage=counts)) == [Usage(input_tokens=1, output_tokens=2)]


# About the whole answer


def test_usage_that_is_more_than_tokens_is_kept_whole():
    usage = {"output_tokens": 2, "service_tier": "standard", "server_tool_use": {"web_search_requests": 1}}
    extension = read(anthropic, [sse_body(start(usage={"input_tokens": 1}), end(usage=usage), STOP)])[-2]
    assert (extension.name, extension.index) == ("anthropic:usage", None)
    assert json.loads(extension.raw) == {"input_tokens": 1, **usage}


def test_facts_wait_for_the_content():
    facts = start(container={"id": "c"}), block(0, "text", text="Hi"), stop(0)
    events = read(anthropic, [sse_body(*facts, end("refusal", stop_details={"category": "bio"}), STOP)])
    assert events[3:-1] == [
        Extension("anthropic:container", '{"id": "c"}'),
        Extension("anthropic:stop_details", '{"category": "bio"}'),
    ]


def test_facts_are_said_once():
    ends = end(stop_sequence="X"), end(stop_sequence="X"), end(stop_sequence="Y")
    events = read(anthropic, [sse_body(start(), *ends, STOP)])
    assert events[1:-1] == [Extension("anthropic:stop_sequence", '"X"'), Extension("anthropic:stop_sequence", '"Y"')]


def test_facts_of_the_last_event_are_kept():
    last = {**STOP, "amazon-bedrock-invocationMetrics": {"inputTokenCount": 9}}
    events = read(anthropic, [sse_body(start(), end(), last)])
    assert events[1:-1] == [Extension("anthropic:amazon-bedrock-invocationMetrics", '{"inputTokenCount": 9}')]


# Recordings of our own


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in sorted(OWN.glob("anthropic-*.json"))])
def test_our_recordings_hold_wherever_they_are_cut(path):
    recording = Recording.load(path)
    check_cuts(anthropic, recording.data, samples=samples(recording.data))
    check_truncation(anthropic, recording.data, samples=samples(recording.data))


def own(name: str) -> Fold:
    return Fold(read(anthropic, [Recording.load(OWN / f"anthropic-{name}.json").data]))


def test_our_recording_of_parallel_tools():
    fold = own("parallel-tools")
    opaque = [part.opaque for part in fold.message.parts]
    assert [(call.name, json.loads(call.arguments)) for call in fold.tool_calls] == [
        ("weather", {"city": "Zürich"}),
        ("time", {}),
    ]
    assert fold.text == "I'll look up both."
    assert opaque[0] == '{"signature":"EuYBCkQYAiJAbm90IGEgcmVhbCBzaWduYXR1cmU="}'
    assert fold.reasoning == "Two lookups, independent of each other."
    assert fold.outcome == Finish("tool_calls", "tool_use")
    assert fold.usage == Usage(
        input_tokens=2412, output_tokens=117, cache_read_tokens=2048, cache_write_tokens=0, reasoning_tokens=14
    )


def test_our_recording_of_a_web_search():
    fold = own("web-search")
    assert [citation.url for citation in fold.citations] == ["https://example.org/rayleigh"]
    assert [type(part).__name__ for part in fold.message.parts] == ["ExtensionPart", "ExtensionPart", "Text", "Text"]
    assert json.loads(fold.message.parts[0].raw)["input"] == {"query": "why is the sky blue"}
    assert fold.outcome == Finish("stop", "end_turn")


def test_our_recording_of_a_refusal():
    fold = own("refusal")
    assert fold.outcome == Finish("refusal", "refusal")
    assert {item.name for item in fold.extensions} == {"anthropic:stop_details"}


def test_our_recording_of_an_error():
    fold = own("overloaded")
    assert fold.text == "Once upon"
    assert fold.outcome == Failure("overloaded", "Overloaded", code="overloaded_error", request_id="req_made_up")


# Anything at all

WORDS = st.sampled_from(
    [
        "type",
        "index",
        "delta",
        "content_block",
        "message",
        "usage",
        "error",
        "text",
        "thinking",
        "signature",
        "citation",
        "partial_json",
        "id",
        "name",
        "input",
        "model",
        "content",
        "stop_reason",
        "input_tokens",
        "output_tokens",
        "output_tokens_details",
        "thinking_tokens",
        "citations",
        "caller",
        "encrypted_content",
        "url",
        "source",
    ]
)
TYPES = st.sampled_from(
    [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "error",
        "ping",
        "text_delta",
        "thinking_delta",
        "signature_delta",
        "input_json_delta",
        "citations_delta",
        "compaction_delta",
        "text",
        "thinking",
        "tool_use",
        "server_tool_use",
        "compaction",
        "end_turn",
        "invented_tomorrow",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers(-1, 3) | st.floats(allow_nan=False) | TYPES | st.text(max_size=5)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5))
INDEXES = st.integers(0, 2)
MESSAGES = st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "model", "content", "usage"), VALUES))
DELTAS = st.fixed_dictionaries(
    {"type": TYPES},
    optional={
        **{name: st.text(max_size=3) for name in ("text", "thinking", "partial_json", "signature", "stop_reason")},
        "citation": VALUES,
        "content": VALUES,
    },
)
EVENTS = st.one_of(
    VALUES,
    st.fixed_dictionaries({"type": st.just("message_start"), "message": MESSAGES}),
    st.fixed_dictionaries({"type": TYPES, "index": INDEXES, "delta": DELTAS}),
    st.fixed_dictionaries({"type": st.just("content_block_delta"), "index": INDEXES, "delta": DELTAS}),
    st.fixed_dictionaries({"type": st.just("content_block_start"), "index": INDEXES, "content_block": DELTAS | VALUES}),
    st.fixed_dictionaries({"type": st.just("content_block_stop"), "index": INDEXES}),
    st.fixed_dictionaries({"type": st.just("message_delta"), "delta": DELTAS | VALUES, "usage": VALUES}),
)


def fields(type: str, **optional: Any) -> Any:
    return st.fixed_dictionaries({"type": st.just(type)}, optional=optional)


SHORT = st.text(max_size=3)
COUNTS = st.dictionaries(
    st.sampled_from(["input_tokens", "output_tokens", "cache_read_input_tokens"]), st.integers(0, 9)
)
RIGHT_BLOCKS = st.one_of(
    fields("text", text=SHORT, citations=st.lists(fields("char_location", cited_text=SHORT), max_size=2)),
    fields("thinking", thinking=SHORT, signature=SHORT),
    fields("tool_use", id=SHORT, name=SHORT, input=st.dictionaries(SHORT, SHORT, max_size=1)),
    fields("server_tool_use", id=SHORT, input=st.just({})),
)
RIGHT_DELTAS = st.one_of(
    fields("text_delta", text=SHORT),
    fields("thinking_delta", thinking=SHORT),
    fields("signature_delta", signature=SHORT),
    fields("input_json_delta", partial_json=SHORT),
    fields("citations_delta", citation=fields("char_location", cited_text=SHORT)),
    fields("compaction_delta", content=SHORT),
)
RIGHT_EVENTS = st.one_of(
    st.fixed_dictionaries({"type": st.just("content_block_start"), "index": INDEXES, "content_block": RIGHT_BLOCKS}),
    st.fixed_dictionaries({"type": st.just("content_block_delta"), "index": INDEXES, "delta": RIGHT_DELTAS}),
    st.fixed_dictionaries({"type": st.just("content_block_stop"), "index": INDEXES}),
    fields("message_delta", delta=st.fixed_dictionaries({"stop_reason": TYPES}), usage=COUNTS),
)


def check_grammar(events: list[Any]) -> None:
    """That the events are a stream as `streamcore.events` defines it."""
    first, *middle, last = events
    assert type(first) is Start
    assert type(last) in (Finish, Failure)
    assert not any(type(event) in (Start, Finish, Failure) for event in middle)
    placed = [event for event in middle if getattr(event, "index", None) is not None]
    opened: list[int] = []
    ended: set[int] = set()
    for event in placed:
        assert event.index not in ended
        if event.index not in opened:
            assert event.index == len(opened)
            assert type(event) not in (BlockEnd, ToolCallDelta)
            opened.append(event.index)
        if type(event) is BlockEnd:
            ended.add(event.index)
    assert type(last) is Failure or ended == set(opened)


@given(st.lists(EVENTS, max_size=12))
def test_any_json_ends_in_one_last_event(values):
    body = b"".join(b"data: %b\n\n" % json.dumps(value).encode() for value in values)
    check_grammar(read(anthropic, [body, sse_body(STOP)]))


@given(st.lists(RIGHT_EVENTS, max_size=20))
def test_any_order_of_events_ends_in_one_last_event(events):
    check_grammar(read(anthropic, [sse_body(start(), *events, STOP)]))


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_end_in_one_last_event(data, more):
    check_grammar(read(anthropic, [data, b'\n\ndata: {"type":"', more]))
