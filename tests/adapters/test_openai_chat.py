"""The adapter `openai_chat`: every recording against a plain reading of it, and what no recording shows."""

from __future__ import annotations

import base64
import json
import os
import re
from typing import Any

import grammar
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import OWN, params

from adapters import plain_openai_chat as plain
from streamcore import failures
from streamcore.adapter import Adapter, load
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
from streamcore.reader import Reader
from streamcore.testing import Recording, check_cuts, check_truncation, read
from streamcore_adapters import openai_chat
from streamcore_adapters.openai_chat import Compatible, Quirks

FUZZING = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
DONE_ENOUGH = Compatible(url="https://example.org/v1", quirks=Quirks(done="enough"))
DONE_REQUIRED = Compatible(url="https://example.org/v1", quirks=Quirks(done="required"))

# Truly incomplete or malformed, and what they end in. `[DONE]` is no proof without a finish reason.
CUT_SHORT = {
    "gemini-chat-gemini-tools-thought-streaming-b97bd2": "truncated",  # the first chunk of a longer answer
    "huggingface-chat-async-chat-completion-with-stream-810a81": "truncated",
    "mistral-chat-mistral-thinking-streaming-a4411e": "truncated",  # two chunks of two answers
    "openai-chat-llm-v1-chat-957c69": "truncated",
    "openai-chat-streamed-interrupted-8c5671": "truncated",
    "openai-chat-streamed-interrupted-fbf156": "truncated",
    "openai-chat-tools-streaming-variant-a-2efb30": "truncated",
    "openrouter-chat-openrouter-minimax-minimax-m1-object-streami-10f331": "truncated",  # [DONE] after no content at all
    "openrouter-chat-openrouter-minimax-minimax-m2-free-object-st-42edf6": "truncated",
    "openrouter-chat-openrouter-qwen-qwen3-coder-object-streaming-4c7ecb": "truncated",
    "openrouter-chat-openrouter-qwen-qwen3-next-80b-a3b-instr-obj-527cf9": "truncated",
    "groq-chat-stream-with-tools-1-8b424e": "protocol",
    "openai-chat-chat-completion-invalid-streaming-test-respo-fb9a16": "protocol",
}
# Two events without a line between them: more bytes than the first has make it no JSON at all.
SPLICED = {"huggingface-chat-async-chat-completion-with-stream-810a81"}
# Never a finish reason: whole only for a server to which `[DONE]` is enough.
UNREASONED = {"other-client-chat-chatcompletionkeepalive-890eb5"}
STREAMS = params("streams-chat_completions")
WHOLE = [row for row in STREAMS if row.id not in CUT_SHORT]


def adapter_of(row: Any) -> Adapter:
    """The quirks of a recording's server, as far as it matters to the end."""
    return DONE_ENOUGH if row.id in UNREASONED else DONE_REQUIRED if b"[DONE]" in row.body else openai_chat


def samples(body: bytes) -> int | None:
    """How many cuts of a long body are tried."""
    return None if FUZZING else max(4, 15_000 // len(body))


def body_of(*chunks: dict[str, Any], done: bool = True) -> bytes:
    events = [json.dumps(chunk) for chunk in chunks] + ["[DONE]"] * done
    return "".join(f"data: {event}\n\n" for event in events).encode()


def chunk(finish: str | None = None, /, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt", "choices": [choice], "usage": None}


def call(
    index: int | None = None, id: str | None = None, name: str | None = None, arguments: Any = None, **more: Any
) -> Any:
    function = {"name": name, "arguments": arguments}
    return {
        "index": index,
        "id": id,
        "function": {key: value for key, value in function.items() if value is not None},
        **more,
    }


def calls(*pieces: dict[str, Any]) -> dict[str, Any]:
    return chunk(tool_calls=list(pieces))


def all_of(*chunks: dict[str, Any], adapter: Adapter = openai_chat, done: bool = True) -> list[Any]:
    return read(adapter, [body_of(*chunks, done=done)])


def events_of(*chunks: dict[str, Any], reason: str = "stop") -> list[Any]:
    """The events between the first and the last of a complete answer."""
    first, *middle, last = all_of(*chunks, chunk("stop"))
    assert first == Start("chatcmpl-1", "gpt")
    assert last == Finish(reason, "stop")
    return middle


STOP = chunk("stop")


# The module


def test_it_is_an_adapter():
    adapter: Adapter = openai_chat
    assert isinstance(adapter, Adapter)


def test_a_compatible_server_is_an_adapter():
    adapter: Adapter = DONE_REQUIRED
    assert isinstance(adapter, Adapter)


@pytest.mark.parametrize("name", ["openai", "openai_chat"])
def test_it_is_found_by_its_names(name):
    assert load(name) is openai_chat


# Recordings


@pytest.mark.parametrize("row", STREAMS)
def test_a_recording_says_what_a_plain_reading_of_it_says(row):
    fold, wanted = Fold(read(adapter_of(row), [row.body])), plain.decode(row.body)
    usage = None if fold.usage is None else msgspec.structs.asdict(fold.usage)
    assert (fold.id, fold.model) == (wanted.id, wanted.model)
    assert fold.text == wanted.text
    assert fold.reasoning == wanted.reasoning
    assert fold.refusal == wanted.refusal
    assert usage == wanted.usage


@pytest.mark.parametrize("row", WHOLE)
def test_a_recording_makes_the_tool_calls_of_a_plain_reading(row):
    made, wanted = Fold(read(adapter_of(row), [row.body])).tool_calls, plain.decode(row.body).tool_calls
    assert [(call.name, call.arguments) for call in made] == [(name, arguments) for _, name, arguments in wanted]
    assert [call.id for call, (id, _, _) in zip(made, wanted, strict=True) if id] == [id for id, _, _ in wanted if id]
    assert len({call.id for call in made}) == len(made)


@pytest.mark.parametrize("row", WHOLE)
def test_a_recording_finishes_as_in_a_plain_reading(row):
    wanted = plain.decode(row.body)
    reason = "stop" if row.id in UNREASONED else wanted.finish
    assert read(adapter_of(row), [row.body])[-1] == Finish(reason, wanted.reason)


@pytest.mark.parametrize("row", [row for row in WHOLE if row.id not in UNREASONED])
def test_a_recording_finishes_whatever_is_known_of_its_server(row):
    assert type(read(openai_chat, [row.body])[-1]) is Finish


@pytest.mark.parametrize("row", [row for row in STREAMS if row.id in CUT_SHORT])
def test_a_recording_that_is_not_whole_fails(row):
    assert read(openai_chat, [row.body])[-1].kind == CUT_SHORT[row.id]


@pytest.mark.parametrize("row", STREAMS)
def test_a_recording_reads_the_same_however_it_is_cut(row):
    grammar.check(check_cuts(adapter_of(row), row.body, samples=samples(row.body)))


@pytest.mark.parametrize("row", [row for row in STREAMS if row.id not in SPLICED])
def test_a_recording_that_ends_early_is_never_whole(row):
    check_truncation(adapter_of(row), row.body, samples=samples(row.body))


@pytest.mark.parametrize("row", [row for row in WHOLE if row.id not in UNREASONED])
def test_a_recording_that_ends_before_its_finish_reason_is_never_whole(row):
    first = re.search(rb'"finish_reason": ?"', row.body).end()
    assert type(read(openai_chat, [row.body[:first]])[-1]) is Failure


# Recorded errors

KINDS = {
    400: "invalid",
    401: "auth",
    402: "quota",
    403: "permission",
    404: "not_found",
    422: "invalid",
    429: "rate_limit",
}
IN_STREAM = {
    "groq-chat-groq-meta-llama-llama-4-scout-17b-16e-in-obj-44af79": ("invalid", "tool_use_failed", 400),
    "groq-chat-groq-meta-llama-llama-4-scout-17b-16e-in-obj-6e8fe0": ("invalid", "tool_use_failed", 400),
    "openai-chat-hierarchical-crew-creation-tasks-with-async-b38d07": ("server", "model_error", None),
}
OUT_OF_MONEY = {"openai-chat-content-image-url-7d89b8"}  # a 429 that waiting does not cure
ERRORS = params("errors-chat_completions")
HTTP_ERRORS = [row for row in ERRORS if row.id not in IN_STREAM]
REQUEST_IDS = ("x-request-id", "apim-request-id", "mistral-correlation-id")


@pytest.mark.parametrize("row", HTTP_ERRORS)
def test_a_recorded_http_error_is_of_the_kind_of_its_status(row):
    failure = failures.http_failure(row.status, row.headers, row.body)
    assert failure.kind == ("quota" if row.id in OUT_OF_MONEY else KINDS.get(row.status, "server"))
    assert failure.status == row.status


@pytest.mark.parametrize("row", HTTP_ERRORS)
def test_a_recorded_http_error_names_its_request(row):
    failure = failures.http_failure(row.status, row.headers, row.body)
    given = [row.headers[name] for name in REQUEST_IDS if name in row.headers]
    assert not given or failure.request_id == given[0]


@pytest.mark.parametrize("row", HTTP_ERRORS)
def test_a_recorded_http_error_says_when_to_come_back(row):
    wait = row.headers.get("retry-after")
    assert failures.http_failure(row.status, row.headers, row.body).retry_after == (
        None if wait is None else float(wait)
    )


@pytest.mark.parametrize("row", [row for row in ERRORS if row.id in IN_STREAM])
def test_a_recorded_error_within_a_stream_ends_it(row):
    failure = check_cuts(openai_chat, row.body, samples=4)[-1]
    assert (failure.kind, failure.code, failure.status) == IN_STREAM[row.id]


@pytest.mark.parametrize("row", [row for row in ERRORS if row.id in IN_STREAM])
def test_what_came_before_a_recorded_error_is_kept(row):
    assert Fold(read(openai_chat, [row.body])).text == plain.decode(row.body).text


# The beginning


def test_the_first_chunk_says_who_answers():
    assert all_of(chunk(role="assistant", content=""), STOP) == [Start("chatcmpl-1", "gpt"), Finish("stop", "stop")]


def test_empty_names_are_none():
    assert all_of({**STOP, "id": "", "model": ""})[0] == Start()


def test_what_comes_before_the_answer_waits_for_its_start():
    filtered = [{"prompt_index": 0, "content_filter_results": {}}]
    azure = {"id": "", "model": "", "object": "", "created": 0, "choices": [], "prompt_filter_results": filtered}
    kept = Extension("openai_chat:prompt_filter_results", json.dumps(filtered))
    assert all_of(azure, chunk(content="Hi"), STOP)[:3] == [Start("chatcmpl-1", "gpt"), kept, TextDelta(0, "Hi")]


def test_an_error_before_the_answer_comes_after_what_waited():
    first, second = {"choices": [], "usage": {"prompt_tokens": 3}}, {"error": {"message": "no"}}
    assert all_of(first, second) == [Start(), Usage(3), Failure("server", "no")]


def test_a_chunk_without_meaning_is_nothing():
    assert events_of({"type": "ping"}, {"choices": None}, {"choices": []}, chunk(), {"choices": [{}]}) == []


# Text


def test_text_is_one_block():
    assert events_of(chunk(content="Hel"), chunk(content="lo"), chunk(content="!")) == [
        TextDelta(0, "Hel"),
        TextDelta(0, "lo"),
        TextDelta(0, "!"),
        BlockEnd(0),
    ]


def test_text_may_stand_in_the_last_chunk():
    events = all_of(chunk(content="a"), chunk(content="b"), chunk("length", content="c"))
    assert events[3:] == [TextDelta(0, "c"), BlockEnd(0), Finish("length", "length")]


def test_what_follows_text_in_the_same_shape_is_seen():
    plain_text = {**chunk(content="a"), "usage": {"prompt_tokens": 1}}
    assert events_of(chunk(content="a"), chunk(content="a"), plain_text, chunk(content="a"))[2] == TextDelta(0, "a")
    assert Usage(1) in events_of(chunk(content="a"), chunk(content="a"), plain_text)


def test_an_error_beside_text_is_seen():
    events = all_of(chunk(content="a"), chunk(content="a"), {**chunk(content="b"), "error": {"message": "no"}})
    assert events[-2:] == [TextDelta(0, "b"), Failure("server", "no")]


def test_a_second_choice_beside_text_is_seen():
    both = chunk(content="a")
    both["choices"].append({"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"})
    assert Extension in [type(event) for event in events_of(chunk(content="a"), chunk(content="a"), both)]


def test_content_may_be_a_list():
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}, {"type": "text", "text": "Hi"}]
    summary = [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "!"}]}]
    nothing = [{"type": "thinking", "thinking": []}, {"type": "text"}, {}]
    assert events_of(chunk(content=parts), chunk(content=summary), chunk(content=nothing)) == [
        ReasoningDelta(0, "Hm"),
        TextDelta(1, "Hi"),
        ReasoningDelta(0, "!"),
        BlockEnd(0),
        BlockEnd(1),
    ]


def test_a_part_of_another_kind_is_a_block_as_it_was_sent():
    part = {"type": "reference", "reference_ids": [0, 1]}
    assert events_of(chunk(content="See "), chunk(content=[part]), chunk(content="that")) == [
        TextDelta(0, "See "),
        Extension("openai_chat:reference", json.dumps(part), 1),
        TextDelta(0, "that"),
        BlockEnd(0),
        BlockEnd(1),
    ]


# Reasoning


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "reasoning_text"])
def test_reasoning_has_many_names(field):
    assert events_of(chunk(**{field: "Hm", "content": ""}), chunk(content="Hi", **{field: None})) == [
        ReasoningDelta(0, "Hm"),
        TextDelta(1, "Hi"),
        BlockEnd(0),
        BlockEnd(1),
    ]


def test_reasoning_in_two_fields_is_taken_once():
    assert events_of(chunk(reasoning="Hm", reasoning_content="Hm"))[0] == ReasoningDelta(0, "Hm")


def test_reasoning_that_repeats_itself_is_kept():
    assert events_of(chunk(reasoning_content="ha"), chunk(reasoning_content="ha"))[:2] == [ReasoningDelta(0, "ha")] * 2


def detail(type: str, index: int | None = 0, **fields: Any) -> dict[str, Any]:
    return {"type": f"reasoning.{type}", "index": index, **fields}


def details_of(*pieces: dict[str, Any]) -> list[dict[str, Any]]:
    ends = [
        event for event in events_of(*(chunk(reasoning_details=[piece]) for piece in pieces)) if type(event) is BlockEnd
    ]
    return json.loads(ends[0].opaque)["reasoning_details"]


def test_reasoning_may_be_in_its_details_only():
    events = events_of(chunk(reasoning_details=[detail("text", text="H"), detail("summary", summary="m")]))
    assert events[0] == ReasoningDelta(0, "Hm")


def test_details_do_not_double_the_reasoning():
    assert events_of(chunk(reasoning="Hm", reasoning_details=[detail("text", text="Hm")]))[0] == ReasoningDelta(0, "Hm")


def test_pieces_of_one_detail_are_joined():
    pieces = detail("text", text="H", format="x"), detail("text", text="m", signature=""), detail("text", signature="s")
    assert details_of(*pieces) == [detail("text", format="x", signature="s", text="Hm")]


def test_a_signature_ends_its_detail():
    assert details_of(detail("text", text="a", signature="s"), detail("text", text="b", signature="t")) == [
        detail("text", text="a", signature="s"),
        detail("text", text="b", signature="t"),
    ]


def test_details_of_other_indexes_types_and_ids_stay_apart():
    pieces = [
        detail("text", text="a"),
        detail("text", 1, text="b"),
        detail("summary", 1, summary="c"),
        detail("summary", 1, summary="d", id="x"),
        detail("summary", 1, summary="e", id="y"),
    ]
    assert [item.get("text", item.get("summary")) for item in details_of(*pieces)] == ["a", "b", "cd", "e"]


def test_encrypted_details_are_never_joined():
    assert details_of(detail("encrypted", data="x"), detail("encrypted", data="y")) == [
        detail("encrypted", data="x"),
        detail("encrypted", data="y"),
    ]


def test_details_without_an_index_continue_the_last_only():
    pieces = detail("text", None, text="a"), detail("text", None, text="b"), detail("summary", None, summary="c")
    assert [item.get("text") for item in details_of(*pieces, detail("text", None, text="d"))] == ["ab", None, "d"]


def test_a_text_that_is_none_is_kept_as_it_is():
    assert details_of(detail("text", text=None), detail("text", text="a")) == [detail("text", text="a")]


def test_encrypted_reasoning_opens_its_block():
    events = events_of(chunk(reasoning_details=[detail("encrypted", data="x")]), chunk(reasoning_opaque="y"))
    assert events == [
        ReasoningDelta(0, ""),
        BlockEnd(
            0, '{"reasoning_details":[{"type":"reasoning.encrypted","index":0,"data":"x"}],"reasoning_opaque":"y"}'
        ),
    ]


def test_what_comes_with_reasoning_under_way_opens_nothing():
    events = events_of(chunk(reasoning_text="Hm"), chunk(reasoning_opaque="y", content="Hi"))
    assert events == [
        ReasoningDelta(0, "Hm"),
        TextDelta(1, "Hi"),
        BlockEnd(0, '{"reasoning_opaque":"y"}'),
        BlockEnd(1),
    ]


def test_a_signature_of_thinking_is_kept_with_its_block():
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}
    assert events_of(chunk(content=[thinking]), chunk(content=[{**thinking, "thinking": [], "signature": "s"}])) == [
        ReasoningDelta(0, "Hm"),
        BlockEnd(0, '{"thinking":{"signature":"s"}}'),
    ]


def test_thinking_of_which_only_the_signature_is_sent_opens_its_block():
    assert events_of(chunk(content=[{"type": "thinking", "signature": "s"}])) == [
        ReasoningDelta(0, ""),
        BlockEnd(0, '{"thinking":{"signature":"s"}}'),
    ]


# Refusal


def test_a_refusal_is_a_block_and_a_reason():
    assert events_of(chunk(refusal="I "), chunk(refusal="won't"), reason="refusal") == [
        RefusalDelta(0, "I "),
        RefusalDelta(0, "won't"),
        BlockEnd(0),
    ]


# Tool calls


def made(*chunks: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The calls of an answer that consists of these chunks."""
    fold = Fold(events_of(*chunks, reason="tool_calls"))
    return [(call.id, call.name, call.arguments) for call in fold.tool_calls]


def test_a_call_comes_in_fragments():
    events = events_of(
        calls(call(0, "call_a", "f", "")),
        calls(call(0, arguments='{"x":')),
        calls(call(0, arguments="1}")),
        reason="tool_calls",
    )
    assert events == [
        ToolCallStart(0, "call_a", "f"),
        ToolCallDelta(0, '{"x":'),
        ToolCallDelta(0, "1}"),
        BlockEnd(0),
    ]


def test_calls_end_with_the_finish_reason():
    events = all_of(calls(call(0, "a", "f", "{}")), chunk("tool_calls"), done=False)
    assert events[-2:] == [BlockEnd(0), Finish("tool_calls", "tool_calls")]
    reader = Reader(openai_chat)
    assert BlockEnd(0) in reader.feed(body_of(calls(call(0, "a", "f", "{}")), chunk("tool_calls"), done=False))


def test_calls_interleave_by_their_index():
    first = calls(call(0, "a", "f", "{"), call(1, "b", "g", "{"))
    assert made(first, calls(call(1, arguments="}")), calls(call(0, arguments="}"))) == [
        ("a", "f", "{}"),
        ("b", "g", "{}"),
    ]


def test_text_goes_on_after_a_call_began():
    events = events_of(chunk(content="a"), calls(call(0, "x", "f", "{}")), chunk(content="b"), reason="tool_calls")
    assert [event for event in events if type(event) is TextDelta] == [TextDelta(0, "a"), TextDelta(0, "b")]


def test_calls_without_index_are_told_apart_by_id():
    pieces = calls(call(None, "a", "f", "{"), call(None, "b", "g", "{}")), calls(call(None, "a", arguments="}"))
    assert made(*pieces) == [("a", "f", "{}"), ("b", "g", "{}")]


def test_a_fragment_without_index_and_id_belongs_to_the_last_call():
    assert made(calls(call(None, "a", "f", "{")), calls(call(arguments="}"))) == [("a", "f", "{}")]


@pytest.mark.parametrize("id", [None, "", "null"])
def test_calls_without_ids_get_one_each(id):
    (first, *_), (second, *_) = made(calls(call(None, id, "f", "{}"), call(None, id, "g", "{}")))
    assert first != second
    assert len(first) == len(second) == 9
    assert (first + second).isalnum()


def test_an_id_that_two_calls_share_is_kept_by_the_first():
    (first, *_), (second, *_) = made(calls(call(0, "a", "f", "{}"), call(1, "a", "f", "{}")))
    assert first == "a"
    assert second not in ("", "a")


def test_a_made_up_id_differs_from_answer_to_answer():
    one, two = calls(call(0, None, "f", "{}")), {**calls(call(0, None, "f", "{}")), "id": "chatcmpl-2"}
    first, second = (Fold(all_of(start, STOP)).tool_calls[0].id for start in (one, two))
    assert first != second


def test_an_index_is_used_again_for_another_id():
    assert made(calls(call(0, "a", "f", "{}")), calls(call(0, "b", "f", '{"x":1}'))) == [
        ("a", "f", "{}"),
        ("b", "f", '{"x":1}'),
    ]


def test_an_id_that_changes_without_a_name_is_the_same_call():
    assert made(calls(call(0, "a", "f", "{")), calls(call(0, "b", None, "}"))) == [("a", "f", "{}")]


def test_a_name_repeated_with_the_arguments_is_the_same_call():
    assert made(calls(call(0, "a", "f", "{")), calls(call(0, "a", "f", "}"))) == [("a", "f", "{}")]
    assert made(calls(call(0, "a", "f", "{")), calls(call(0, "", "", "}"))) == [("a", "f", "{}")]


def test_a_call_after_the_finish_reason_is_another():
    chunks = calls(call(0, "a", "f", "{}")), chunk("tool_calls"), calls(call(0, None, "g", "{}"))
    assert [(name, arguments) for _, name, arguments in made(*chunks)] == [("f", "{}"), ("g", "{}")]


def test_more_of_a_call_that_was_complete_breaks_the_stream():
    events = all_of(calls(call(0, "a", "f", "{}")), chunk("tool_calls"), calls(call(0, None, None, "}")))
    assert (events[-1].kind, events[-1].detail) == ("protocol", "grammar")


def test_a_name_may_come_after_the_arguments():
    assert made(calls(call(0, "a", None, '{"x":')), calls(call(0, None, "f", "1}"))) == [("a", "f", '{"x":1}')]


def test_an_id_may_come_after_the_index():
    assert made(calls(call(0)), calls(call(0, "a", "f"))) == [("a", "f", "{}")]


def test_a_call_whose_name_never_came_has_none():
    assert made(calls(call(0, "a", None, "{}"))) == [("a", "", "{}")]


def test_a_fragment_that_says_nothing_is_no_call():
    assert events_of(calls({"index": 0})) == []


def test_an_empty_fragment_is_nothing():
    assert made(calls(call(0, "a", "f", "{}")), calls(call(0, arguments="")), calls(call(0))) == [("a", "f", "{}")]


def test_arguments_may_be_an_object():
    assert made(calls(call(0, "a", "f", {"x": 1}))) == [("a", "f", '{"x":1}')]


def test_the_old_function_call_is_a_call():
    chunks = chunk(function_call={"name": "f", "arguments": ""}), chunk(function_call={"arguments": "{}"})
    events = all_of(*chunks, chunk("function_call"))
    assert [(made.name, made.arguments) for made in Fold(events).tool_calls] == [("f", "{}")]
    assert events[-1] == Finish("tool_calls", "function_call")


def test_a_thought_signature_is_given_back_with_its_call():
    google = {"google": {"thought_signature": "Eo123"}}
    events = events_of(calls(call(0, "a", "f", "{}", extra_content=google)), reason="tool_calls")
    assert events[-1] == BlockEnd(0, '{"extra_content":{"google": {"thought_signature": "Eo123"}}}')


# Pictures, sound, sources


def test_an_image_in_a_data_url_is_its_bytes():
    url = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()
    assert events_of(chunk(images=[{"type": "image_url", "image_url": {"url": url}}])) == [
        Attachment(0, "image/png", b"\x89PNG"),
        BlockEnd(0),
    ]


@pytest.mark.parametrize("url", ["https://example.org/a.png", "data:image/png;base64,?", "data:,x"])
def test_any_other_image_is_its_address(url):
    assert events_of(chunk(images=[{"image_url": url}, {"image_url": None}, {"image_url": {"url": None}}])) == [
        Attachment(0, "image/*", url=url),
        BlockEnd(0),
    ]


def test_sound_comes_in_pieces_with_its_transcript():
    pieces = {"id": "audio_1", "transcript": "Hi"}, {"data": "AAE="}, {"data": "Ag=="}, {"expires_at": 1}
    assert events_of(*(chunk(audio=piece) for piece in pieces)) == [
        TextDelta(0, "Hi"),
        Attachment(1, "audio/pcm", b"\x00\x01"),
        Attachment(1, "audio/pcm", b"\x02"),
        BlockEnd(1, '{"audio":{"id":"audio_1"}}'),
        BlockEnd(0),
    ]


def test_sound_that_never_came_is_no_block():
    assert events_of(chunk(audio={"id": "audio_1"})) == []


def test_a_citation_is_a_source_of_the_text():
    source = {"url": "https://example.org", "title": "T", "content": "c", "start_index": 0, "end_index": 2}
    annotation = {"type": "url_citation", "url_citation": source}
    assert events_of(chunk(content="Hi"), chunk(annotations=[annotation]))[1] == Citation(
        0, "https://example.org", "T", "c", 0, 2, json.dumps(annotation)
    )


def test_another_annotation_is_kept_as_it_was_sent():
    annotation = {"type": "file", "file": {"hash": "x"}}
    assert events_of(chunk(annotations=[annotation])) == [Extension("openai_chat:annotation", json.dumps(annotation))]


# What belongs to the response


@pytest.mark.parametrize("field", ["citations", "search_results", "images", "moderation", "warnings", "cost"])
def test_what_belongs_to_the_response_is_said_when_it_changes(field):
    chunks = [{**chunk(), field: value} for value in (None, [], ["a"], ["a"], ["b"])]
    assert events_of(*chunks) == [Extension(f"openai_chat:{field}", raw) for raw in ('["a"]', '["b"]')]


@pytest.mark.parametrize("field", ["service_tier", "provider"])
def test_who_serves_it_is_said_once(field):
    said = {**chunk(content="a"), field: "x"}
    assert events_of(said, said, said) == [
        Extension(f"openai_chat:{field}", '"x"'),
        *[TextDelta(0, "a")] * 3,
        BlockEnd(0),
    ]


@pytest.mark.parametrize("field", ["executed_tools", "provider_metadata"])
def test_what_the_delta_says_of_the_response_is_kept(field):
    assert events_of(chunk(**{field: [{"a": 1}]})) == [Extension(f"openai_chat:{field}", '[{"a": 1}]')]


def test_a_content_filter_is_reported_when_it_changes():
    chunks = [chunk(content="a") for _ in range(4)]
    for number, item in enumerate(chunks):
        item["choices"][0]["content_filter_results"] = {"hate": {"filtered": number > 2}} if number else {}
    kept = [event.raw for event in events_of(*chunks) if type(event) is Extension]
    assert kept == ['{"hate": {"filtered": false}}', '{"hate": {"filtered": true}}']


@pytest.mark.parametrize(
    ("logprobs", "kept"),
    [({"content": [{"token": "a"}]}, 1), ({"content": None, "tokens": None}, 0), (-0.5, 1), (0.0, 0), ({}, 0)],
)
def test_logprobs_are_kept_where_there_are_any(logprobs, kept):
    said = chunk(content="a")
    said["choices"][0]["logprobs"] = logprobs
    raws = [event.raw for event in events_of(said, said) if type(event) is Extension]
    assert raws == [json.dumps(logprobs)] * 2 * kept


@pytest.mark.parametrize("delta", [{}, {"delta": None}])
def test_logprobs_may_come_without_a_delta(delta):
    choice = {"index": 0, **delta, "logprobs": {"content": [1]}}
    assert events_of({**chunk(), "choices": [choice]}) == [Extension("openai_chat:logprobs", '{"content": [1]}')]


def test_other_choices_stay_raw():
    def second(finish: str | None, /, **delta: Any) -> dict[str, Any]:
        choice = {"index": 1, "delta": delta, "finish_reason": finish}
        return {**chunk(), "choices": [choice]}

    said, ended = second(None, content="b"), second("stop")
    silent = second(None, role="assistant", content=""), {**chunk(), "choices": [{"index": 1}]}
    assert events_of(*silent, chunk(content="a"), said, ended) == [
        TextDelta(0, "a"),
        Extension("openai_chat:choice", json.dumps(said["choices"][0])),
        Extension("openai_chat:choice", json.dumps(ended["choices"][0])),
        BlockEnd(0),
    ]


def test_an_answer_ends_when_all_its_choices_have():
    second = {**chunk(), "choices": [{"index": 1, "delta": {"content": "b"}}]}
    assert all_of(second, STOP)[-1].kind == "truncated"


# Usage


def usages(*counts: dict[str, Any] | None, adapter: Adapter = openai_chat) -> list[Usage]:
    chunks = ({"choices": [], "usage": count} for count in counts)
    return [event for event in all_of(chunk(), *chunks, STOP, adapter=adapter) if type(event) is Usage]


def test_usage_has_a_chunk_of_its_own():
    details = {"cached_tokens": 4, "cache_write_tokens": 2, "audio_tokens": 1, "image_tokens": 3}
    written = {"reasoning_tokens": 5, "audio_tokens": 6, "image_tokens": 7}
    count = {"prompt_tokens": 9, "completion_tokens": 20, "total_tokens": 29}
    assert usages({**count, "prompt_tokens_details": details, "completion_tokens_details": written}) == [
        Usage(9, 20, 4, 2, 5, 1, 6, 3, 7)
    ]


def test_usage_counts_last_and_is_said_when_it_changes():
    one, two = {"prompt_tokens": 1, "completion_tokens": 1}, {"prompt_tokens": 1, "completion_tokens": 2}
    assert usages(None, {}, one, one, two, {}, {"prompt_tokens": None}) == [Usage(1, 1), Usage(1, 2)]


def test_usage_of_groq_is_elsewhere():
    final = {**chunk("stop"), "x_groq": {"id": "r", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}}
    assert Usage(1, 2) in all_of({**chunk(content="a"), "x_groq": {"id": "r"}}, final)


def test_reasoning_beyond_the_completion_is_added():
    count = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 22, "reasoning_tokens": 7}
    assert usages(count) == [Usage(10, 12, reasoning_tokens=7)]


def test_reasoning_within_the_completion_is_not_added():
    count = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "completion_reasoning_tokens": 3}
    assert usages(count) == [Usage(10, 5, reasoning_tokens=3)]


def test_reasoning_beyond_the_total_is_added_for_a_server_that_counts_so():
    perplexity = Compatible(url="https://api.perplexity.ai", quirks=Quirks(reasoning_outside=True))
    count = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "reasoning_tokens": 30}
    assert usages(count, adapter=perplexity) == [Usage(10, 35, reasoning_tokens=30)]


def test_sound_beyond_the_prompt_is_added():
    count = {
        "prompt_tokens": 11,
        "completion_tokens": 15,
        "total_tokens": 401,
        "prompt_token_details": {"audio_tokens": 375},
    }
    assert usages(count) == [Usage(386, 15, input_audio_tokens=375)]


def test_a_remainder_of_the_total_is_nobodys():
    assert usages({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 99}) == [Usage(10, 5)]


@pytest.mark.parametrize(
    "field", ["cached_tokens", "num_cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens"]
)
def test_cached_tokens_have_many_names(field):
    assert usages({"prompt_tokens": 10, "completion_tokens": 5, field: 4}) == [Usage(10, 5, 4)]


def test_more_cached_than_read_was_not_counted_as_read():
    assert usages({"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 64}) == [Usage(74, 5, 64)]


def test_unknown_numbers_are_none():
    assert usages({"prompt_tokens": None, "completion_tokens": 5}) == [Usage(None, 5)]


def test_what_it_cost_is_kept():
    events = events_of({"choices": [], "usage": {"prompt_tokens": 1, "cost": 0.01, "cost_in_usd_ticks": 7}})
    assert events == [
        Usage(1),
        Extension("openai_chat:cost", "0.01"),
        Extension("openai_chat:cost_in_usd_ticks", "7"),
    ]


# The end


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("eos_token", "stop"),
        ("end_turn", "stop"),
        ("length", "length"),
        ("model_length", "length"),
        ("content_filter", "content_filter"),
        ("refusal", "refusal"),
        ("invented_tomorrow", "other"),
    ],
)
def test_finish_reasons(raw, reason):
    assert all_of(chunk(content="a"), chunk(raw))[-1] == Finish(reason, raw)


def test_a_truncated_call_is_no_reason_to_run_it():
    assert all_of(calls(call(0, "a", "f", "{")), chunk("length"))[-1] == Finish("length", "length")


@pytest.mark.parametrize(
    ("raw", "kind"), [("error", "server"), ("insufficient_system_resource", "overloaded"), ("abort", "cancelled")]
)
def test_finish_reasons_that_are_failures(raw, kind):
    last = all_of(chunk(content="a"), chunk(raw))[-1]
    assert (last.kind, last.code) == (kind, raw)


def test_the_last_finish_reason_counts():
    events = all_of(chunk("tool_calls"), chunk(content="So"), chunk("stop"), chunk(""), chunk())
    assert events[1:] == [TextDelta(0, "So"), BlockEnd(0), Finish("stop", "stop")]


def test_usage_after_the_finish_reason_is_taken():
    assert all_of(STOP, {"choices": [], "usage": {"prompt_tokens": 1}})[1:] == [Usage(1), Finish("stop", "stop")]


@pytest.mark.parametrize("sentinel", [b"[DONE]", b" [DONE] ", b"[DONE] \xff", b"\t[DONE]"])
def test_the_sentinel_may_have_white_space(sentinel):
    body = body_of(STOP, done=False) + b"data: " + sentinel + b"\n\n"
    assert Reader(openai_chat).feed(body)[-1] == Finish("stop", "stop")


def test_json_may_have_white_space():
    assert read(openai_chat, [body_of(STOP).replace(b"data: {", b"data:   {")])[-1] == Finish("stop", "stop")


def test_the_sentinel_alone_is_no_proof():
    assert all_of(chunk(content="a"))[-1].kind == "truncated"


def test_the_sentinel_alone_is_proof_to_a_server_that_gives_no_reasons():
    assert all_of(chunk(content="a"), adapter=DONE_ENOUGH)[-1] == Finish("stop", None)
    assert all_of(calls(call(0, "a", "f", "{}")), adapter=DONE_ENOUGH)[-1] == Finish("tool_calls", None)


def test_the_sentinel_of_an_answer_that_never_began_proves_nothing():
    assert all_of(adapter=DONE_ENOUGH)[-1].kind == "truncated"


def test_a_finish_reason_is_proof_without_the_sentinel():
    assert all_of(chunk(content="a"), STOP, done=False)[-1] == Finish("stop", "stop")


def test_a_finish_reason_is_no_proof_to_a_server_that_always_sends_the_sentinel():
    assert all_of(chunk(content="a"), STOP, adapter=DONE_REQUIRED, done=False)[-1].kind == "truncated"


def test_nothing_counts_after_the_sentinel():
    body = body_of(STOP) + body_of({"choices": [], "cost": "0"})
    assert read(openai_chat, [body])[-1] == Finish("stop", "stop")


# Errors


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (
            {"error": {"message": "no", "type": "server_error", "code": None}},
            Failure("server", "no", code="server_error"),
        ),
        ({"error": "no"}, Failure("server", "no")),
        (
            {"error": {"message": "slow", "code": 429}, "choices": [{"index": 0, "finish_reason": "error"}]},
            Failure("rate_limit", "slow", status=429),
        ),
        ({"error": {"message": "busy"}, "status_code": 503}, Failure("overloaded", "busy", status=503)),
        (
            {"object": "error", "message": "no", "type": "x", "code": 400},
            Failure("invalid", "no", status=400, code="x"),
        ),
        ({"x_groq": {"error": "no"}, "choices": []}, Failure("server", "an error of unknown shape")),
        ({"error": True}, Failure("server", "an error of unknown shape")),
    ],
)
def test_errors_end_the_stream(error, failure):
    *_, before, last = all_of(chunk(content="a"), error, STOP)
    assert before == TextDelta(0, "a")
    assert last == failure or last.message.startswith(failure.message)
    assert last.kind == failure.kind


def test_an_event_called_error_is_one():
    body = body_of(chunk(content="a"), done=False) + b'event: error\ndata: {"message": "no", "choices": []}\n\n'
    last = read(openai_chat, [body])[-1]
    assert (last.kind, last.message[:25]) == ("server", "an error of unknown shape")


@pytest.mark.parametrize("error", [None, "", {}, False])
def test_an_error_that_is_none_is_none(error):
    assert events_of({**chunk(content="a"), "error": error}) == [TextDelta(0, "a"), BlockEnd(0)]


def test_an_answer_that_is_no_stream_says_why():
    last = read(openai_chat, [b'{"code": "x", "error": "No such model"}'])[-1]
    assert (last.kind, last.message) == ("server", "No such model")


# What msgspec refuses


def test_half_a_character_waits_for_the_other():
    halves = b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\ndata: {"choices":[{"delta":{"content":"\\ude00"}}]}\n\n'
    assert Fold(read(openai_chat, [halves + body_of(STOP)])).text == "\U0001f600"


def test_bytes_that_are_no_text_lose_nothing_else():
    broken = json.dumps({**calls(call(0, "a", "f?", "{}")), "citations": ["?"]}).encode().replace(b"?", b"\xff")
    fold = Fold(read(openai_chat, [b"data: " + broken + b"\n\n" + body_of(STOP)]))
    assert (fold.id, [made.name for made in fold.tool_calls]) == ("chatcmpl-1", ["f\ufffd"])
    assert fold.extensions == [Extension("openai_chat:citations", '["\ufffd"]')]


# Recordings of our own


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in sorted(OWN.glob("openai_chat-*.json"))])
def test_our_recordings_hold_wherever_they_are_cut(path):
    recording = Recording.load(path)
    check_cuts(DONE_REQUIRED, recording.data, samples=samples(recording.data))
    check_truncation(DONE_REQUIRED, recording.data, samples=samples(recording.data))


def own(name: str) -> Fold:
    return Fold(read(openai_chat, [Recording.load(OWN / f"openai_chat-{name}.json").data]))


def test_our_recording_of_parallel_tools():
    fold = own("parallel-tools")
    assert [(call.id, call.name, json.loads(call.arguments)) for call in fold.tool_calls] == [
        ("call_made_up_1", "weather", {"city": "Zürich"}),
        ("call_made_up_2", "time", {"zone": "Europe/Zurich"}),
    ]
    assert fold.text == "I'll look up both."
    assert fold.outcome == Finish("tool_calls", "tool_calls")
    assert fold.usage == Usage(88, 51, 0, None, 0, 0, 0)
    assert fold.extensions == [Extension("openai_chat:service_tier", '"default"')]


def test_our_recording_of_signed_reasoning():
    fold = own("signed-reasoning")
    reasoning, *calls = fold.message.parts
    assert reasoning.text == "Two numbers to add."
    assert json.loads(reasoning.opaque)["reasoning_details"] == [
        {
            "type": "reasoning.text",
            "index": 0,
            "format": "anthropic-claude-v1",
            "signature": "bm90IGEgc2lnbmF0dXJl",
            "text": "Two numbers to add.",
        },
        {"type": "reasoning.encrypted", "index": 1, "format": "anthropic-claude-v1", "data": "bm90aGluZyBoZXJl"},
    ]
    assert [(call.id, call.arguments) for call in calls] == [("toolu_made_up", '{"a":2,"b":3}')]
    assert fold.usage == Usage(412, 97, 0, 0, 31)
    assert [item.name for item in fold.extensions] == ["openai_chat:provider", "openai_chat:cost"]


def test_our_recording_of_a_web_search():
    fold = own("web-search")
    assert fold.text == "The sky scatters blue light most (example.org)."
    assert [(source.url, source.start, source.end) for source in fold.citations] == [
        ("https://example.org/rayleigh", 33, 46)
    ]
    assert fold.text[33:46] == "(example.org)"
    assert fold.outcome == Finish("stop", "stop")


def test_our_recording_of_a_refusal():
    fold = own("refusal")
    assert (fold.text, fold.refusal) == ("", "I can't help with that.")
    assert fold.outcome == Finish("refusal", "stop")


def test_our_recording_of_an_error():
    fold = own("error")
    assert fold.text == "Once upon"
    assert fold.outcome == Failure("overloaded", "The engine is overloaded.", code="server_is_overloaded")


# Anything at all

FIELDS = st.sampled_from(
    ["choices", "delta", "index", "finish_reason", "content", "role", "type", "text", "thinking", "summary", "refusal",
     "reasoning", "reasoning_content", "reasoning_details", "signature", "data", "tool_calls", "function", "name",
     "arguments", "id", "extra_content", "audio", "images", "image_url", "url", "annotations", "url_citation", "usage",
     "prompt_tokens", "completion_tokens_details", "x_groq", "error", "message", "logprobs", "model", "object"]
)  # fmt: skip
WORDS = st.sampled_from(
    [
        "text",
        "thinking",
        "reference",
        "url_citation",
        "reasoning.text",
        "reasoning.encrypted",
        "stop",
        "error",
        "a",
        "{",
        "",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers(-1, 3) | st.floats(allow_nan=False) | WORDS | st.text(max_size=5)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=5))
TEXT = st.none() | WORDS
FUNCTIONS = st.fixed_dictionaries(
    {}, optional={"name": TEXT, "arguments": TEXT | st.dictionaries(WORDS, VALUES, max_size=2)}
)
PIECES = st.fixed_dictionaries(
    {},
    optional={
        "index": st.none() | st.integers(-1, 2),
        "id": st.sampled_from([None, "", "null", "a", "b"]),
        "function": st.none() | FUNCTIONS,
        "extra_content": VALUES,
    },
)
DETAILS = st.fixed_dictionaries(
    {"type": WORDS},
    optional={
        "index": st.none() | st.integers(0, 1),
        **dict.fromkeys(("text", "summary", "data", "signature", "id"), TEXT),
    },
)
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "type": TEXT,
        "text": TEXT,
        "thinking": TEXT | st.lists(st.fixed_dictionaries({"text": TEXT}), max_size=2),
    },
)
DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "content": TEXT | st.lists(PARTS, max_size=3),
        **dict.fromkeys(("refusal", "reasoning", "reasoning_content", "reasoning_opaque"), TEXT),
        "reasoning_details": st.none() | st.lists(DETAILS, max_size=3),
        "tool_calls": st.none() | st.lists(PIECES, max_size=3),
        "function_call": st.none() | FUNCTIONS,
        "audio": st.fixed_dictionaries({}, optional={"id": TEXT, "data": st.just("AAE="), "transcript": TEXT}),
        "images": st.lists(st.fixed_dictionaries({"image_url": TEXT}), max_size=2),
        "annotations": st.lists(
            st.fixed_dictionaries({}, optional={"url_citation": st.none() | st.just({})}), max_size=2
        ),
        "executed_tools": VALUES,
    },
)
CHOICES = st.fixed_dictionaries(
    {},
    optional={
        "index": st.none() | st.integers(0, 1),
        "delta": st.none() | DELTAS,
        "finish_reason": st.sampled_from([None, "", "stop", "length", "error", "x"]),
        "logprobs": VALUES,
    },
)
CHUNKS = st.fixed_dictionaries(
    {},
    optional={
        "id": TEXT,
        "model": TEXT,
        "choices": st.none() | st.lists(CHOICES, max_size=2),
        "usage": st.none() | st.just({"prompt_tokens": 1, "cost": 1}),
        "citations": VALUES,
    },
)


@given(st.lists(CHUNKS, max_size=8), st.sampled_from([openai_chat, DONE_ENOUGH, DONE_REQUIRED]))
def test_any_chunks_end_in_one_last_event(chunks, adapter):
    grammar.check(all_of(*chunks, STOP, adapter=adapter))


@given(st.lists(VALUES | CHUNKS, max_size=8))
def test_any_json_ends_in_one_last_event(values):
    grammar.check(all_of(*values, STOP))


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_end_in_one_last_event(data, more):
    grammar.check(read(openai_chat, [data, b'\n\ndata: {"choices":[{"delta":{"content":"', more]))


@given(st.lists(CHUNKS, max_size=6))
def test_any_chunks_read_the_same_in_one_piece_and_in_many(chunks):
    check_cuts(openai_chat, body_of(*chunks, STOP), samples=2)
