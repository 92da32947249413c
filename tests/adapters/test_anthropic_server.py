"""What the dialect `anthropic` writes for our events, and how it comes back."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from support import params

from strategies import distinct, streams
from streamcore import sse
from streamcore.dialect import Call, Dialect
from streamcore.errors import LocalError
from streamcore.events import (
    Attachment,
    BlockEnd,
    Citation,
    Extension,
    Failure,
    FailureKind,
    Finish,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from streamcore.message import Fold
from streamcore.request import prompt
from streamcore.testing import Answer, read, serve
from streamcore_adapters import anthropic
from streamcore_adapters.anthropic import server as dialect

CALL = Call(request=prompt("Hi"))
START = Start("msg_1", "claude-opus-5")
STOP = Finish("stop", "end_turn")
DIRECT = '{"caller":{"type":"direct"}}'
DEFAULT = {DIRECT, '{"caller": {"type": "direct"}}'}
PROGRAM = '{"caller":{"type":"code_execution_20260120","tool_id":"t"}}'
UNSIGNED = '{"signature":""}'
REDACTED = '{"type":"redacted_thinking","data":"x"}'
OWN_CITATION = '{"type":"char_location","cited_text":"q","document_title":"d","start_char_index":1}'


def write(*events, call=CALL):
    """The body, and what was lost."""
    encoder = dialect.Encoder(call)
    return b"".join(encoder.feed(event) for event in events), encoder.lost


def sent(*events):
    """The JSON of all events of a body."""
    return [json.loads(frame.data) for frame in sse.Parser().feed(write(*events)[0])]


def back(*events):
    return read(anthropic, [write(*events)[0]])


def names(*events):
    return [event["type"] for event in sent(*events)]


def final(*events):
    """The `message_delta`."""
    (event,) = [event for event in sent(START, *events) if event["type"] == "message_delta"]
    return event


def lost(*events):
    return write(START, *events)[1]


def answer(*events):
    """What `render` makes of these events."""
    return json.loads(dialect.render(Fold(events), CALL))


# The normal form: what the format keeps of any stream


def in_turn(events):
    """What comes beside a call waits for its end, block by block; behind a call that never ends it is not sent."""
    taken, waiting, call = [], {}, None

    def take(event):
        nonlocal call
        taken.append(event)
        if type(event) is ToolCallStart:
            call = event.index
        elif type(event) is BlockEnd and event.index == call:
            call = None

    for event in events:
        if call not in {None, event.index}:
            waiting.setdefault(event.index, []).append(event)
            continue
        take(event)
        while waiting and call is None:
            for held in waiting.pop(next(iter(waiting))):
                take(held)
    return taken


def signature(opaque):
    """What signs a block: Anthropic's own, or any other JSON object whole; "" for none."""
    try:
        carried = json.loads(opaque or "null")
    except ValueError:
        return ""
    if not isinstance(carried, dict):
        return ""
    return carried["signature"] if carried.keys() == {"signature"} else opaque


def cited(event):
    if event.raw == OWN_CITATION:
        return Citation(0, title="d", text="q", raw=event.raw)
    if event.url is None:
        return None
    wire = {"type": "web_search_result_location", "url": event.url, "title": event.title or ""}
    wire |= {"cited_text": event.text or "", "encrypted_index": ""}
    return Citation(0, event.url or None, event.title or None, event.text or "", raw=msgspec.json.encode(wire).decode())


def cut(events):
    """One block at a time, none empty: text and reasoning give way and go on in a block of their own."""
    kinds, out, now, number, fragments = {}, [], None, -1, 0

    def stop(opaque=None):
        nonlocal now
        if now is not None:
            out.append(BlockEnd(number, opaque or (UNSIGNED if kinds[now] is ReasoningDelta else None)))
        now = None

    def say(index, event):
        nonlocal now, number
        if now != index:
            stop()
            now, number = index, number + 1
        out.append(structs.replace(event, index=number))

    for event in events:
        index = event.index
        kind = kinds.setdefault(index, TextDelta if type(event) is Citation else type(event))
        match event:
            case TextDelta() | RefusalDelta() if event.text:
                say(index, TextDelta(0, event.text))
            case ReasoningDelta() if event.text:
                say(index, event)
            case Citation() if kind in {TextDelta, RefusalDelta} and cited(event):
                say(index, cited(event))
            case ToolCallStart():
                fragments = 0
                say(index, event)
                out[-1] = structs.replace(out[-1], id=event.id or f"toolu_{number}")
            case ToolCallDelta() if event.arguments:
                fragments += 1
                say(index, event)
            case Extension() if kind is Extension and event.raw == REDACTED:
                stop()
                say(index, event)
                stop()
            case BlockEnd() if kind is ReasoningDelta:
                signed = signature(event.opaque)
                if signed and now != index:
                    say(index, ReasoningDelta(0, ""))
                if now == index:
                    stop(msgspec.json.encode({"signature": signed}).decode())
            case BlockEnd() if now == index:
                kept = kind is ToolCallStart and fragments < 2 and event.opaque in {DIRECT, PROGRAM}
                stop(event.opaque if kept else None)
    return out


def counted(usage, *, final):
    """A usage as it comes back: 0 for unknown where clients insist, and nothing that has no place."""
    parts = (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0)
    return Usage(
        max(usage.input_tokens or 0, parts) or None,
        (usage.output_tokens or 0) if final else None,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    )


def ended(last):
    if isinstance(last, Finish):
        words = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls", "pause_turn": "pause"}
        words |= {"stop_sequence": "stop", "refusal": "refusal"}
        usual = {reason: word for word, reason in reversed(words.items())} | {"content_filter": "refusal"}
        word = last.raw if words.get(last.raw) == last.reason else usual.get(last.reason)
        return Finish(words.get(word, "other"), word)
    unnamed = {"protocol", "truncated", "connection"} | ({"cancelled"} if last.code else set())
    kind = "server" if last.kind in unnamed else last.kind
    code = last.code or (last.kind if last.kind in unnamed | {"cancelled"} else WORDS.get(last.kind, "api_error"))
    return Failure(kind, last.message, code=code, request_id=last.request_id or None)


def normal(events):
    """The events as they come back, and the loose extensions by name: see the docstring of `server`."""
    start, *middle, last = events
    usages = [event for event in middle if type(event) is Usage]
    known, said = Usage(), middle[0] if middle and type(middle[0]) is Usage else Usage()
    for usage in usages:
        known = structs.replace(known, **{n: v for n, v in structs.asdict(usage).items() if v is not None})
    facts = {e.name: json.loads(e.raw) for e in middle if type(e) is Extension and e.index is None and own(e)}
    content = [e for e in middle if type(e) is not Usage and e.index is not None]
    tail = isinstance(last, Finish) or facts or known != said or known.output_tokens is not None
    before, after = counted(said, final=False), counted(known, final=True)
    usage = [[] if before == Usage() else [before], [after] if tail and after != before else []]
    first = Start(start.id or None, start.model or None)
    return [first, *usage[0], *cut(in_turn(content)), *usage[1], ended(last)], facts


def own(extension):
    return extension.name in FACTS and extension.raw == FACTS[extension.name]


def parted(events):
    """What was read, its loose extensions apart; of the usage what is not counted."""
    facts = {e.name: json.loads(e.raw) for e in events if type(e) is Extension and e.index is None}
    if "anthropic:usage" in facts:
        facts["anthropic:usage"] = {"service_tier": facts["anthropic:usage"]["service_tier"]}
    return [e for e in events if type(e) is not Extension or e.index is not None], facts


FACTS = {
    "anthropic:stop_sequence": '"END"',
    "anthropic:container": '{"id": "c"}',
    "anthropic:context_management": '{"applied_edits": []}',
    "anthropic:usage": '{"service_tier": "standard"}',
}
WORDS = {
    "auth": "authentication_error",
    "permission": "permission_error",
    "invalid": "invalid_request_error",
    "not_found": "not_found_error",
    "rate_limit": "rate_limit_error",
    "quota": "billing_error",
    "overloaded": "overloaded_error",
    "timeout": "timeout_error",
}
CODES = st.sampled_from([None, "some_code"])


def likelier(draw, event):
    """Half of the events with what this format has a place for."""
    if draw(st.booleans()) and not isinstance(event, Failure):
        return event
    match event:
        case BlockEnd():
            opaques = [DIRECT, PROGRAM, '{"signature":"c2ln"}', '{"reasoning_details":[1]}', "[]"]
            return BlockEnd(event.index, draw(st.sampled_from(opaques)))
        case Citation():
            return draw(st.sampled_from([Citation(event.index, raw=OWN_CITATION), Citation(event.index, "u", start=1)]))
        case Extension(index=None):
            return Extension(*draw(st.sampled_from(list(FACTS.items()))))
        case Extension():
            return Extension("anthropic:redacted_thinking", REDACTED, event.index)
        case Finish():
            return Finish(event.reason, draw(st.sampled_from(["end_turn", "stop_sequence", "tool_use", "length"])))
        case Failure():
            return structs.replace(event, message=f"x{event.message}", code=draw(CODES))
    return event


@st.composite
def answers(draw):
    return [likelier(draw, event) for event in draw(streams())]


@given(answers().map(distinct), st.randoms(use_true_random=False))
def test_what_is_written_is_read_back(events, rng):
    body, losses = write(*events)
    at = sorted(rng.randint(0, len(body)) for _ in range(rng.randint(0, 20)))
    chunks = [body[start:end] for start, end in zip([0, *at], [*at, len(body)], strict=True)]
    assert parted(read(anthropic, chunks)) == normal(events)
    assert losses.keys() <= dialect.losses.keys()


@given(answers().map(distinct))
def test_every_frame_is_one_event_of_that_name(events):
    for frame in sse.Parser().feed(write(*events)[0]):
        assert b"\n" not in frame.data
        assert json.loads(frame.data)["type"] == frame.event


@given(answers().map(distinct))
def test_blocks_follow_each_other_without_gaps(events):
    opened = -1
    is_open = False
    for event in sent(*events):
        if event["type"] == "content_block_start":
            assert not is_open
            opened, is_open = opened + 1, True
        if event["type"].startswith("content_block"):
            assert (event["index"], is_open) == (opened, True)
            is_open = event["type"] != "content_block_stop"


@given(answers().map(distinct))
def test_only_a_finish_stops_the_message(events):
    assert ("message_stop" in names(*events)) == isinstance(events[-1], Finish)


@given(answers().map(distinct))
def test_any_finished_answer_can_be_rendered(events):
    if isinstance(events[-1], Finish):
        assert answer(*events)["type"] == "message"


@pytest.mark.parametrize("row", params("streams-messages"))
def test_a_recording_is_the_same_message_again(row):
    events = read(anthropic, [row.body])
    body, losses = write(*events)
    again = read(anthropic, [body])
    assert losses == {}
    assert (message_of(again), again[-1]) == (message_of(events), events[-1])
    assert Fold(again).usage == Fold(events).usage


def message_of(events):
    """The message, without what its calls say of themselves that is true of any."""
    parts = Fold(events).message.parts
    return [structs.replace(part, opaque=None) if part.opaque in DEFAULT else part for part in parts]


def test_it_is_a_dialect():
    assert isinstance(dialect, Dialect)


def test_it_keeps_a_connection_alive_with_pings():
    (frame,) = sse.Parser().feed(dialect.keep_alive)
    assert (frame.event, json.loads(frame.data)) == ("ping", {"type": "ping"})


# The beginning


def test_the_beginning_waits_for_the_usage():
    encoder = dialect.Encoder(CALL)
    assert encoder.feed(START) == b""
    assert b'"input_tokens":7' in encoder.feed(Usage(input_tokens=7))


def test_the_cache_is_counted_outside_the_input():
    (started, *_) = sent(START, Usage(10, None, 3, 2), STOP)
    assert started["message"]["usage"] == {
        "input_tokens": 5,
        "cache_creation_input_tokens": 2,
        "cache_read_input_tokens": 3,
        "output_tokens": 0,
    }


def test_the_call_names_an_answer_that_the_provider_does_not():
    call = structs.replace(CALL, id="msg_9", request=structs.replace(CALL.request, model="m"))
    (first, *_) = read(anthropic, [write(Start(), STOP, call=call)[0]])
    assert first == Start("msg_9", "m")


# Blocks


def test_text_gives_way_to_a_call():
    events = TextDelta(0, "a"), ToolCallStart(1, "t", "f"), BlockEnd(1), TextDelta(0, "b"), BlockEnd(0)
    assert [event for event in back(START, *events, STOP) if type(event) is TextDelta] == [
        TextDelta(0, "a"),
        TextDelta(2, "b"),
    ]


def test_text_after_reasoning_does_not_wait_for_its_end():
    encoder = dialect.Encoder(CALL)
    for event in (START, ReasoningDelta(0, "hm")):
        encoder.feed(event)
    assert b'"text":"Hi"' in encoder.feed(TextDelta(1, "Hi"))


def test_a_call_waits_for_the_end_of_another():
    encoder = dialect.Encoder(CALL)
    for event in (START, ToolCallStart(0, "a", "f")):
        encoder.feed(event)
    assert encoder.feed(ToolCallStart(1, "b", "g")) == b""
    assert encoder.feed(BlockEnd(1)) == b""
    assert encoder.feed(BlockEnd(0)).count(b"content_block_stop") == 4  # the event's name and its type, twice


def test_what_comes_with_the_end_of_a_short_call_stands_in_its_start():
    events = ToolCallStart(0, "a", "f"), ToolCallDelta(0, "{}"), BlockEnd(0, PROGRAM)
    assert sent(START, *events, STOP)[1]["content_block"]["caller"] == json.loads(PROGRAM)["caller"]


def test_what_comes_with_the_end_of_a_long_call_is_lost():
    events = ToolCallStart(0, "a", "f"), ToolCallDelta(0, "{"), ToolCallDelta(0, "}")
    assert lost(*events, BlockEnd(0, PROGRAM)) == {"BlockEnd.opaque": 1}
    assert lost(*events, BlockEnd(0, DIRECT)) == {}
    assert lost(*events, BlockEnd(0)) == {}


def test_a_signature_that_comes_late_gets_a_block():
    events = ReasoningDelta(0, "hm"), TextDelta(1, "Hi"), BlockEnd(0, '{"signature":"c2ln"}'), BlockEnd(1)
    assert [event for event in back(START, *events, STOP) if type(event) is BlockEnd] == [
        BlockEnd(0, UNSIGNED),
        BlockEnd(1),
        BlockEnd(2, '{"signature":"c2ln"}'),
    ]


def test_what_another_provider_wants_back_is_a_signature():
    events = ReasoningDelta(0, "hm"), BlockEnd(0, '{"reasoning_details":[1]}')
    assert sent(START, *events, STOP)[3]["delta"] == {
        "type": "signature_delta",
        "signature": '{"reasoning_details":[1]}',
    }


def test_a_citation_of_another_provider_is_one_of_a_web_search():
    raw = '{"url":"https://a"}'
    (source,) = Fold(back(START, Citation(0, "https://a", "A", raw=raw, start=1, end=2), BlockEnd(0), STOP)).citations
    assert (source.url, source.title) == ("https://a", "A")
    assert json.loads(source.raw)["encrypted_index"] == raw
    assert lost(Citation(0, "u", start=1, end=2)) == {"Citation.start": 1, "Citation.end": 1}


def test_an_extension_keeps_to_one_line():
    pretty = json.dumps(json.loads(REDACTED), indent=1).replace("\n", "\r\n")
    events = Extension("anthropic:redacted_thinking", pretty, 0), BlockEnd(0), Extension("anthropic:x", "[\n]")
    assert write(START, *events, STOP)[0].count(b"data: ") == 5


@pytest.mark.parametrize(
    "event",
    [
        Extension("gemini:x", "{}"),
        Extension("anthropic:x", "{"),
        Extension("anthropic:usage", "[]"),
        Extension("anthropic:content", "[]"),
        Extension("gemini:x", '{"type":"x"}', 0),
        Extension("anthropic:x", "{}", 0),
        Extension("anthropic:x_delta", '{"type":"content_block_delta","index":0,"delta":{"type":"x_delta"}}'),
    ],
)
def test_an_extension_without_a_place_is_counted(event):
    assert lost(event) == {"Extension": 1}


@pytest.mark.parametrize("opened", [TextDelta(0, "Hi"), ToolCallStart(0, "t", "f")])
def test_an_unknown_delta_goes_to_the_block_that_is_open(opened):
    raw = '{"type":"content_block_delta","index":7,"delta":{"type":"x_delta","x":1}}'
    event = sent(START, opened, Extension("anthropic:x_delta", raw))[-1]
    assert event == {"type": "content_block_delta", "index": 0, "delta": {"type": "x_delta", "x": 1}}


def test_a_known_delta_is_not_an_unknown_one():
    raw = '{"type":"content_block_delta","delta":{"type":"text_delta","text":"x"}}'
    assert lost(Extension("anthropic:delta", raw)) == {"Extension": 1}


@pytest.mark.parametrize(
    ("events", "key"),
    [
        ([Attachment(0, "image/png", b"x")], "Attachment"),
        ([TextDelta(0, "Hi"), BlockEnd(0, "{}")], "BlockEnd.opaque"),
        ([ReasoningDelta(0, "Hi"), BlockEnd(0, "[]")], "BlockEnd.opaque"),
        ([ToolCallStart(0, "t", "f"), BlockEnd(0, '{"x":1}')], "BlockEnd.opaque"),
        ([Citation(0, title="no URL")], "Citation"),
        ([ReasoningDelta(0, "Hi"), Citation(0, "u")], "Citation"),
        ([RefusalDelta(0, "No.")], "RefusalDelta"),
        ([Usage(1, 1), Finish("content_filter")], "Finish.reason"),
        ([Usage(1, 1), Finish("stop", "STOP")], "Finish.raw"),
        ([Usage(1), STOP], "Usage.output_tokens"),
        ([Usage(None, 1), STOP], "Usage.input_tokens"),
        ([Usage(1, 1, input_audio_tokens=1), STOP], "Usage.input_audio_tokens"),
    ],
)
def test_what_has_no_place_is_counted(events, key):
    assert lost(*events) == {key: 1}


# The end


def test_counts_that_come_late_are_right_in_the_end():
    assert Fold(back(START, TextDelta(0, "Hi"), BlockEnd(0), Usage(10, 5, 3), STOP)).usage == Usage(10, 5, 3)


def test_a_count_once_known_stays_known():
    assert final(Usage(10, None, 3), Usage(None, 5), STOP)["usage"] == {
        "input_tokens": 7,
        "cache_read_input_tokens": 3,
        "output_tokens": 5,
    }


def test_thinking_is_counted():
    assert final(Usage(1, 5, reasoning_tokens=4), STOP)["usage"]["output_tokens_details"] == {"thinking_tokens": 4}


def test_facts_stand_where_they_stood():
    event = final(*(Extension(name, raw) for name, raw in FACTS.items()), Finish("stop", "stop_sequence"))
    assert event["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END", "container": {"id": "c"}}
    assert event["context_management"] == {"applied_edits": []}
    assert event["usage"]["service_tier"] == "standard"


@pytest.mark.parametrize("reason", FinishReason.__args__)
def test_every_reason_comes_back(reason):
    expected = "refusal" if reason == "content_filter" else reason
    assert back(START, Finish(reason))[-1].reason == expected


def test_a_word_that_means_something_else_is_not_sent():
    assert final(Finish("length", "end_turn"))["delta"]["stop_reason"] == "max_tokens"


# Errors


@pytest.mark.parametrize("kind", FailureKind.__args__)
def test_every_failure_is_an_error_and_no_end(kind):
    events = sent(START, TextDelta(0, "Hi"), Failure(kind, "broken", request_id="req_1"))
    assert [event["type"] for event in events[-2:]] == ["content_block_delta", "error"]
    assert (events[-1]["error"]["message"], events[-1]["request_id"]) == ("broken", "req_1")


@pytest.mark.parametrize("kind", FailureKind.__args__)
def test_a_kind_of_failure_comes_back(kind):
    unnamed = kind in {"protocol", "truncated", "connection"}
    failure = back(START, Failure(kind, "broken"))[-1]
    assert (failure.kind, failure.message) == ("server" if unnamed else kind, "broken")
    assert failure.code == kind or not unnamed
    assert set(lost(Failure(kind, "broken"))) == ({"Failure.kind"} if unnamed or kind == "cancelled" else set())


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("auth", 401),
        ("permission", 403),
        ("invalid", 400),
        ("not_found", 404),
        ("rate_limit", 429),
        ("quota", 402),
        ("overloaded", 529),
        ("server", 502),
        ("protocol", 502),
        ("truncated", 502),
        ("connection", 502),
        ("timeout", 504),
        ("cancelled", 499),
    ],
)
def test_every_failure_has_a_status(kind, status):
    found, body = dialect.error(Failure(kind, "broken", code="c1"))
    assert found == status
    assert json.loads(body)["error"]["details"] == {"error_code": "c1"}


def test_what_an_error_has_no_place_for_is_counted():
    failure = Failure("server", "x", detail="d", status=500, retry_after=1.0, should_retry=True)
    assert lost(failure) == dict.fromkeys(
        ["Failure.detail", "Failure.retry_after", "Failure.should_retry", "Failure.status"], 1
    )


def test_counts_come_before_an_error_without_a_reason():
    events = sent(START, Usage(7), TextDelta(0, "Hi"), Usage(7, 3), Failure("server", "x"))
    assert events[-2]["usage"] == {"input_tokens": 7, "output_tokens": 3}
    assert events[-2]["delta"]["stop_reason"] is None


def test_counts_that_were_said_are_not_said_again():
    assert names(START, Usage(7), Failure("server", "x")) == ["message_start", "error"]


def test_a_failure_leaves_a_call_open():
    events = ToolCallStart(0, "t", "f"), ToolCallDelta(0, '{"a'), Failure("truncated", "x")
    assert names(START, *events) == ["message_start", "content_block_start", "content_block_delta", "error"]
    assert Fold(back(START, *events)).tool_calls == []


def test_what_waited_for_a_call_that_failed_is_counted():
    events = ToolCallStart(0, "t", "f"), ToolCallStart(1, "u", "g"), BlockEnd(1), Failure("truncated", "x")
    assert lost(*events) == {"Failure.kind": 1, "Failure": 2}


# The answer in one piece


def test_a_message_is_what_the_stream_amounts_to():
    raw = '{"url":"https://a"}'
    events = [
        START,
        ReasoningDelta(0, "hm"),
        BlockEnd(0, '{"signature":"c2ln"}'),
        TextDelta(1, "Hi"),
        Citation(1, "https://a", raw=raw),
        BlockEnd(1),
        RefusalDelta(2, "No."),
        BlockEnd(2),
        ToolCallStart(3, "t", "f"),
        ToolCallDelta(3, '{"a":1}'),
        BlockEnd(3, DIRECT),
        Extension("anthropic:redacted_thinking", REDACTED, 4),
        BlockEnd(4),
        Usage(10, 5, 3),
        *(Extension(name, text) for name, text in FACTS.items()),
        Finish("stop", "stop_sequence"),
    ]
    source = {"type": "web_search_result_location", "url": "https://a", "title": "", "cited_text": ""}
    assert answer(*events) == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "text", "text": "Hi", "citations": [{**source, "encrypted_index": raw}]},
            {"type": "text", "text": "No."},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}, "caller": {"type": "direct"}},
            json.loads(REDACTED),
        ],
        "stop_reason": "stop_sequence",
        "stop_sequence": "END",
        "usage": {"input_tokens": 7, "cache_read_input_tokens": 3, "output_tokens": 5, "service_tier": "standard"},
        "container": {"id": "c"},
        "context_management": {"applied_edits": []},
    }


def test_a_message_has_no_empty_block():
    events = TextDelta(0, ""), ReasoningDelta(1, ""), RefusalDelta(2, ""), Attachment(3, "image/png", b"x")
    assert answer(START, *events, Citation(4, raw="{}"), STOP)["content"] == []


def test_arguments_that_are_no_object_are_wrapped():
    events = ToolCallStart(0, "t", "f"), ToolCallDelta(0, "[1"), BlockEnd(0)
    assert answer(START, *events, STOP)["content"][0]["input"] == {"INVALID_JSON": "[1"}


def test_a_message_that_goes_on_has_no_reason():
    assert answer(START, TextDelta(0, "Hi"))["stop_reason"] is None


def test_a_failure_is_no_message():
    with pytest.raises(LocalError, match="truncated"):
        answer(START, Failure("truncated", "x"))


# The official SDK


@pytest.fixture
def client():
    sdk = pytest.importorskip("anthropic", reason="the official SDK is not installed")

    def ask(*events, call=CALL):
        with serve(Answer([dialect.keep_alive, write(*events, call=call)[0]])) as server:
            client = sdk.Anthropic(api_key="k", base_url=server.url, max_retries=0)
            arguments = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}
            with client, client.messages.stream(**arguments) as stream:
                return stream.get_final_message()

    return ask


def test_the_sdk_reads_an_answer(client):
    message = client(
        START,
        ReasoningDelta(0, "hm"),
        TextDelta(1, "Hi "),
        TextDelta(1, "there"),
        ToolCallStart(2, "a", "f"),
        ToolCallStart(3, "b", "g"),
        ToolCallDelta(2, '{"x":'),
        ToolCallDelta(3, "{}"),
        ToolCallDelta(2, "1}"),
        BlockEnd(0),
        BlockEnd(1),
        BlockEnd(2),
        BlockEnd(3),
        Usage(10, 5, 3, 2, 1),
        Finish("tool_calls", "tool_calls"),
    )
    thinking, text, first, second = message.content
    assert (thinking.thinking, thinking.signature, text.text) == ("hm", "", "Hi there")
    assert [(call.id, call.name, call.input) for call in (first, second)] == [("a", "f", {"x": 1}), ("b", "g", {})]
    assert message.stop_reason == "tool_use"
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (5, 3, 2)
    assert (usage.output_tokens, usage.output_tokens_details.thinking_tokens) == (5, 1)


def test_the_sdk_reads_signed_reasoning_and_sources(client):
    events = ReasoningDelta(0, ""), BlockEnd(0, '{"signature":"c2ln"}'), TextDelta(1, "Hi"), Citation(1, "https://a")
    thinking, text = client(START, *events, BlockEnd(1), STOP).content
    assert (thinking.thinking, thinking.signature) == ("", "c2ln")
    assert text.citations[0].url == "https://a"


def test_the_sdk_reads_a_refusal(client):
    details = Extension("anthropic:stop_details", '{"type":"refusal","category":"cyber","explanation":"e"}')
    message = client(START, RefusalDelta(0, "No."), BlockEnd(0), details, Finish("refusal"))
    assert (message.content[0].text, message.stop_reason) == ("No.", "refusal")
    assert message.stop_details.category == "cyber"


def test_the_sdk_reads_a_block_of_the_server(client):
    block = '{"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"q"}}'
    message = client(START, Extension("anthropic:server_tool_use", block, 0), BlockEnd(0), STOP)
    assert (message.content[0].name, message.content[0].input) == ("web_search", {"query": "q"})


def test_the_sdk_raises_an_error_in_the_stream(client):
    sdk = pytest.importorskip("anthropic", reason="the official SDK is not installed")
    with pytest.raises(sdk.APIStatusError, match="too many"):
        client(START, TextDelta(0, "Hi"), Usage(7, 1), Failure("overloaded", "too many"))


def test_the_sdk_reads_a_message():
    sdk = pytest.importorskip("anthropic", reason="the official SDK is not installed")
    body = dialect.render(Fold([START, TextDelta(0, "Hi"), BlockEnd(0), Usage(10, 5), STOP]), CALL)
    with serve(Answer([body], headers={"content-type": "application/json"}, framing="length")) as server:
        client = sdk.Anthropic(api_key="k", base_url=server.url, max_retries=0)
        with client:
            message = client.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "Hi"}])
    assert (message.content[0].text, message.stop_reason, message.usage.input_tokens) == ("Hi", "end_turn", 10)


def test_the_sdk_raises_an_error():
    sdk = pytest.importorskip("anthropic", reason="the official SDK is not installed")
    status, body = dialect.error(Failure("rate_limit", "slow down"))
    with serve(Answer([body], status, {"content-type": "application/json"}, "length")) as server:
        client = sdk.Anthropic(api_key="k", base_url=server.url, max_retries=0)
        with client, pytest.raises(sdk.RateLimitError, match="slow down"):
            client.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "Hi"}])


def test_a_block_that_goes_on_as_another_is_counted():
    both = [TextDelta(0, "a"), ReasoningDelta(1, "b"), TextDelta(0, "c"), ReasoningDelta(1, "d")]
    assert lost(*both) == {"TextDelta.index": 1, "ReasoningDelta.index": 1}


def test_a_number_of_input_tokens_that_nobody_knew_is_none():
    found = back(START, TextDelta(0, "a"), BlockEnd(0), Usage(output_tokens=3), STOP)
    assert [event for event in found if isinstance(event, Usage)] == [Usage(None, 3)]


def test_a_count_that_the_format_has_not_is_lost_even_if_it_is_0():
    assert lost(Usage(5, 1, input_audio_tokens=0), STOP) == {"Usage.input_audio_tokens": 1}
    assert lost(Usage(5, input_image_tokens=2), Failure("server", "x")) == {"Usage.input_image_tokens": 1}
