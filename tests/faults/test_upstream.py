"""What a provider, or the road to it, may do wrong, and what the stream then is: a test for each row of the list."""

from __future__ import annotations

import re
import socket
import tracemalloc
from email.utils import formatdate
from functools import partial

import anyio
import pytest
from tiny import TINY, say

import streamcore as sc
from faults.roads import CLIENTS, KEY, MARKS, Road, Seen, in_memory, over_sockets, see
from streamcore.flow.fallback import fallback
from streamcore.flow.retry import retry
from streamcore.reader import SILENCE_LIMIT
from streamcore.testing import (
    FAULTS,
    Answer,
    Endless,
    Fault,
    FaultyTransport,
    Pause,
    ScriptedModel,
    cuts,
    read,
    serve,
    spoiled,
)
from streamcore.transport import HTTPX
from streamcore_adapters import anthropic, openai_chat

pytestmark = MARKS

WHOLE = [b'data: {"n":1}\n\n', b'data: {"t":"Hel"}\n\n', b'data: {"t":"lo"}\n\n', b'data: {"n":2,"end":"done"}\n\n']
BODY = b"".join(WHOLE)
FIRST_USAGE = len(WHOLE[0])
FIRST_CONTENT = FIRST_USAGE + len(WHOLE[1])
LAST = len(BODY) - len(WHOLE[-1])
HALF = [sc.Start(), sc.Usage(output_tokens=1), sc.TextDelta(0, "Hel")]
ALL = [
    *HALF,
    sc.TextDelta(0, "lo"),
    sc.Usage(output_tokens=2),
    sc.BlockEnd(0),
    sc.Finish("stop", "done"),
]
JSON = {"content-type": "application/json"}


def fed(at: int) -> list[sc.Event]:
    """The events of so many bytes; the reader's own Start if there are none."""
    return sc.Reader(TINY).feed(BODY[:at]) or [sc.Start()]


def chat(*choices: str, usage: str = "") -> list[bytes]:
    """Chat Completions: a chunk for each choice, then one of usage, then the end."""
    chunks = [f'{{"id":"c-1","model":"m","choices":[{choice}]}}' for choice in choices]
    chunks += [f'{{"id":"c-1","model":"m","choices":[],"usage":{usage}}}'] if usage else []
    return [f"data: {chunk}\n\n".encode() for chunk in [*chunks, "[DONE]"]]


def delta(text: str) -> str:
    return f'{{"index":0,"delta":{{"content":"{text}"}}}}'


STOP = '{"index":0,"delta":{},"finish_reason":"stop"}'
CALLS = '{"index":0,"delta":{},"finish_reason":"tool_calls"}'
USED = '{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}'


def call(index: int, **fields: str) -> str:
    """A fragment of a tool call; `id` and `name` where they are given."""
    function = ",".join(f'"{name}":"{fields[name]}"' for name in ("name", "arguments") if name in fields)
    id = f'"id":"{fields["id"]}",' if "id" in fields else ""
    return f'{{"index":0,"delta":{{"tool_calls":[{{"index":{index},{id}"function":{{{function}}}}}]}}}}'


# Connecting


@pytest.mark.parametrize(
    ("kind", "retryable"), [("dns", True), ("refused", True), ("unreachable", True), ("tls", False)]
)
@in_memory
async def test_u01_u02_u03_a_connection_that_cannot_be_made_says_why(road, kind, retryable):
    seen = await road.ask(WHOLE, Fault(kind))
    assert (seen.what, seen.failure.retryable, seen.events) == (("connection", kind), retryable, [])


@in_memory
async def test_u01_a_name_that_is_not_known_falls_back(road):
    seen = await road.ask(WHOLE, Fault("dns"), wrap=lambda model: fallback(model, ScriptedModel(ALL)))
    assert (seen.events, seen.stream.attempts[0].outcome.detail) == (ALL, "dns")


async def fail_at(client: str, url: str, **deadlines: float) -> sc.Failure:
    async with CLIENTS[client](trust_env=False) as opened:
        endpoint = sc.Endpoint(TINY, "m", url=url, key=KEY, transport=HTTPX(opened))
        seen = Seen(endpoint.stream("hi").within(**deadlines))
        await see(seen.stream, seen)
    return seen.failure


@over_sockets
async def test_u01_dns(road):
    failure = await fail_at(road.name, "http://name.invalid")
    assert (failure.kind, failure.detail) == ("connection", "dns")


@over_sockets
async def test_u02_refused(road):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    failure = await fail_at(road.name, f"http://127.0.0.1:{port}")
    assert (failure.kind, failure.detail) == ("connection", "refused")


@over_sockets
async def test_u03_tls_is_not_retried_on_the_same_host(road):
    async def answer(stream):
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 400 this is no TLS\r\n\r\n")

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, answer)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        failure = await fail_at(road.name, f"https://127.0.0.1:{port}")
        group.cancel_scope.cancel()
    assert (failure.kind, failure.detail, failure.retryable) == ("connection", "tls", False)


@in_memory
async def test_u05_connecting_takes_too_long(road):
    seen = await road.ask(WHOLE, Fault("connect"), connect=3)
    assert (seen.what, anyio.current_time() >= 3) == (("timeout", "connect"), True)


@over_sockets
async def test_u05_connecting_takes_too_long_over_a_socket(road):
    with socket.create_server(("127.0.0.1", 0)) as listener:  # it takes the connection, and no part in TLS
        failure = await fail_at(road.name, f"https://127.0.0.1:{listener.getsockname()[1]}", connect=0.05)
    assert (failure.kind, failure.detail) == ("timeout", "connect")


# The headers


async def test_u06_stall_before_the_headers(road):
    seen = await road.ask(WHOLE, Fault("headers_stall"), first_token=30)
    assert (seen.what, seen.events, seen.stream.usage) == (("timeout", "first_token"), [], None)


@in_memory
async def test_u06_stall_before_the_headers_without_a_deadline_is_the_clients_own_timeout(road):
    assert (await road.ask(WHOLE, Fault("headers_stall"))).what == ("timeout", "first_token")


async def test_u07_stall_before_the_first_token_pings_do_not_count(road):
    ping = b'event: ping\ndata: {"type":"ping"}\n\n'
    start = (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"m-1","type":"message",'
        b'"role":"assistant","model":"m","content":[],"usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
    )
    pings = Answer([start, Endless(ping, road.seconds(5))])
    seen = await road.ask(pings, adapter=anthropic, first_token=240)
    assert seen.what == ("timeout", "first_token")
    assert (seen.events[0], seen.stream.usage) == (sc.Start("m-1", "m"), seen.events[1])
    assert seen.stream.usage.input_tokens == 3


async def test_u08_stall_in_the_middle_keeps_what_came(road):
    seen = await road.ask(WHOLE, Fault("stall", FIRST_CONTENT), first_token=3000, idle=60)
    assert (seen.what, seen.events, seen.stream.usage) == (("timeout", "idle"), HALF, sc.Usage(output_tokens=1))


async def test_u09_slow_headers_a_byte_at_a_time(road):
    seen = await road.ask(WHOLE, Fault("headers_drip", size=1, seconds=road.seconds(10)), first_token=60)
    assert (seen.what, seen.events) == (("timeout", "first_token"), [])


@pytest.mark.parametrize("clock", ["total", "idle"])
async def test_u09_slow_headers_meet_any_deadline(road, clock):
    seen = await road.ask(WHOLE, Fault("headers_drip", size=1, seconds=road.seconds(10)), **{clock: 60})
    assert (seen.what, seen.events) == (("timeout", clock), [])


# An answer that does not get on


@pytest.mark.parametrize("at", [0, FIRST_USAGE, FIRST_CONTENT, FIRST_CONTENT + 2])  # the last makes it a field, `da`
async def test_u10_endless_comments_end_without_a_deadline(road, at):
    seen = await road.ask(WHOLE, Fault("comments", at, size=1 << 18))
    assert (seen.what, seen.events) == (("protocol", "no_progress"), fed(at))
    assert seen.stream.usage == (sc.Usage(output_tokens=1) if at else None)
    assert seen.stream.statistics().bytes < SILENCE_LIMIT + (2 << 18)


async def test_u10_endless_frames_that_say_nothing_end_without_a_deadline(road):
    seen = await road.ask(Answer([*WHOLE[:2], Endless(b'data: {"x":"' + b"-" * (1 << 16) + b'"}\n\n')]))
    assert (seen.what, seen.events) == (("protocol", "no_progress"), HALF)


async def test_u10_comments_do_not_reset_the_idle_deadline(road):
    seen = await road.ask(WHOLE, Fault("comments", FIRST_CONTENT, seconds=road.seconds(15)), first_token=3000, idle=60)
    assert (seen.what, seen.events) == (("timeout", "idle"), HALF)


async def test_u10_comments_are_no_first_token(road):
    seen = await road.ask(WHOLE, Fault("comments", FIRST_USAGE, seconds=road.seconds(15)), first_token=240)
    assert (seen.what, seen.events) == (("timeout", "first_token"), HALF[:2])


async def test_u10_empty_deltas_are_no_progress_either(road):
    empty = Answer([*WHOLE[:2], Endless(b'data: {"t":""}\n\n', road.seconds(15))])
    seen = await road.ask(empty, first_token=3000, idle=60)
    assert (seen.what, seen.events[:3]) == (("timeout", "idle"), HALF)


@in_memory
async def test_u10_a_heartbeat_may_go_on_for_days_before_the_answer(road):
    beats = [step for _ in range(6 * 60 * 24) for step in (Pause(60), b": keep-alive\n\n" * 4)]
    seen = await road.ask(Answer([*WHOLE[:2], *beats, *WHOLE[2:]]))
    assert (seen.events, anyio.current_time() >= 6 * 24 * 3600) == (ALL, True)


async def test_u11_the_total_deadline_ends_an_answer_that_gets_on(road):
    drip = [step for word in say(*"abcdefgh" * 20) for step in (Pause(road.seconds(6)), word)]
    seen = await road.ask(Answer([*WHOLE[:2], *drip]), total=300, idle=60, first_token=3000)
    assert (seen.what, seen.events[:3], seen.stream.usage) == (("timeout", "total"), HALF, sc.Usage(output_tokens=1))


# An answer that is cut off


@pytest.mark.parametrize("at", [0, 5, FIRST_USAGE, FIRST_CONTENT - 1, FIRST_CONTENT, LAST, len(BODY) - 1])
async def test_u12_reset_at_a_byte(road, at):
    seen = await road.ask(WHOLE, Fault("reset", at))
    assert (seen.what, seen.failure.retryable) == (("connection", "reset"), True)
    assert seen.events == fed(at)


async def test_u12_reset_before_the_headers(road):
    assert (await road.ask(WHOLE, Fault("headers_reset"))).what == ("connection", "reset")


@pytest.mark.parametrize("at", range(len(BODY)))
@in_memory
async def test_u12_a_reset_is_retried_before_the_first_content_and_never_after(road, at):
    seen = await road.ask(WHOLE, Fault("reset", at), None, wrap=partial(retry, backoff=0))
    if at < FIRST_CONTENT:
        assert (seen.requests, seen.events) == (2, ALL)
    else:
        assert (seen.requests, seen.what) == (1, ("connection", "reset"))
        assert seen.events == ALL[: len(seen.events)]


@pytest.mark.parametrize("framing", ["chunked", "length"])
@pytest.mark.parametrize("at", [0, FIRST_USAGE, FIRST_CONTENT + 1, len(BODY) - 1])
async def test_u13_an_end_before_the_announced_one(road, framing, at):
    seen = await road.ask(Answer(WHOLE, framing=framing), Fault("close", at))
    assert seen.what == ("truncated", "incomplete")
    assert seen.events == fed(at)


async def test_u13_an_end_before_the_headers(road):
    seen = await road.ask(WHOLE, Fault("headers_close"))
    assert (seen.what, seen.failure.retryable) == (("connection", "closed"), True)


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
@pytest.mark.parametrize("at", [0, FIRST_USAGE, FIRST_CONTENT, FIRST_CONTENT + 9, LAST])
async def test_u14_a_clean_end_without_the_terminal_event_is_no_success(road, framing, at):
    seen = await road.ask(Answer(WHOLE, framing=framing), Fault("end", at), clean=True)
    assert seen.what == ("truncated", None)
    assert seen.stream.usage == (sc.Usage(output_tokens=1) if at else None)


async def test_u14_a_close_delimited_body_that_is_cut_looks_like_a_clean_end(road):
    seen = await road.ask(Answer(WHOLE, framing="close"), Fault("close", FIRST_CONTENT))
    assert (seen.what, seen.events) == (("truncated", None), HALF)


async def test_u15_the_terminal_event_without_done_is_a_success(road):
    pieces = chat(delta("Hel"), delta("lo"), STOP, usage=USED)[:-1]
    seen = await road.ask(pieces, adapter=openai_chat, clean=True)
    assert (seen.stream.outcome, seen.text) == (sc.Finish("stop", "stop"), "Hello")
    assert seen.stream.usage.output_tokens == 4


async def test_u16_usage_after_the_finish_reason_comes_before_finish(road):
    seen = await road.ask(chat(delta("Hi"), STOP, usage=USED), adapter=openai_chat, clean=True)
    assert [type(event) for event in seen.events][-3:] in (
        [sc.BlockEnd, sc.Usage, sc.Finish],
        [sc.Usage, sc.BlockEnd, sc.Finish],
    )
    assert (seen.stream.usage.input_tokens, seen.stream.usage.output_tokens) == (3, 4)


async def test_u17_the_first_finish_wins_and_what_follows_is_dropped(road):
    seen = await road.ask([*WHOLE, *WHOLE], clean=True)
    assert seen.events == ALL


async def test_u17_a_second_finish_reason_makes_no_second_finish(road):
    length = STOP.replace('"stop"', '"length"')
    seen = await road.ask(chat(delta("Hi"), STOP, length, usage=USED), adapter=openai_chat, clean=True)
    assert [type(event) for event in seen.events].count(sc.Finish) == 1


async def test_u18_usage_in_every_chunk_is_cumulative(road):
    pieces = chat(delta("Hi"), STOP, usage=USED)
    pieces[0] = pieces[0].replace(b"]}", b'],"usage":{"prompt_tokens":3,"completion_tokens":1}}')
    seen = await road.ask(pieces, adapter=openai_chat, clean=True)
    assert (seen.stream.usage.input_tokens, seen.stream.usage.output_tokens) == (3, 4)


# An error in an answer of status 200


async def test_u19_an_error_first_is_the_error_it_describes(road):
    seen = await road.ask(WHOLE, Fault("error_body"), clean=True)
    assert (seen.failure.kind, seen.failure.message, seen.failure.code) == ("overloaded", "busy", "overloaded_error")


@pytest.mark.parametrize("failed", [Answer([b'data: {"bad":"busy"}\n\n']), Answer([b'{"error":"busy"}'], headers=JSON)])
@in_memory
async def test_u19_an_error_first_falls_back(road, failed):
    seen = await road.ask(failed, wrap=lambda model: fallback(model, ScriptedModel(ALL)))
    assert (seen.events, seen.requests) == (ALL, 1)


async def test_u20_an_error_in_the_middle_keeps_what_came(road):
    seen = await road.ask([*WHOLE[:2], b'data: {"bad":"busy"}\n\n', *WHOLE[2:]])
    assert (seen.failure.kind, seen.failure.message) == ("overloaded", "busy")
    assert (seen.events, seen.stream.usage) == (HALF, sc.Usage(output_tokens=1))


# Frames that are none


BAD_JSON = {
    "u21_cut": b'{"t":',
    "u21_no_json": b"hello",
    "u21_wrong_type": b'{"t":5}',
    "u26_nan": b'{"n":NaN}',
    "u26_infinity": b'{"n":1e999}',
    "u26_huge_integer": b'{"n":' + b"9" * 5000 + b"}",
    "u26_deep_nesting": b'{"t":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "u26_deep_nesting_in_a_field_that_is_not_read": b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("data", BAD_JSON.values(), ids=BAD_JSON)
async def test_u21_u26_malformed_json_in_a_frame(road, data):
    seen = await road.ask([*WHOLE[:2], b"data: " + data + b"\n\n", *WHOLE[2:]])
    assert (seen.what, seen.events) == (("protocol", "json"), HALF)
    assert (seen.stream.usage, len(seen.failure.message) < 400) == (sc.Usage(output_tokens=1), True)


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xed\xa0\xbd", b"\xf0\x9f\x98", b"\xc0\xaf"])
async def test_u22_invalid_utf_8_becomes_replacement_characters(road, bad):
    seen = await road.ask([*WHOLE[:2], b'data: {"t":"' + bad + b'!"}\n\n', *WHOLE[3:]], clean=True)
    assert (seen.text, seen.stream.outcome) == ("Hel" + bad.decode("utf-8", "replace") + "!", ALL[-1])


async def test_u23_a_character_may_be_split_between_reads(road):
    body = b"".join(say("é", "😀", "\u2028"))
    seen = await road.ask([body[at : at + 1] for at in range(len(body))], clean=True)
    assert seen.text == "é😀\u2028"


@pytest.mark.parametrize(
    ("words", "text"),
    [(["\\ud83d", "\\ude00"], "😀"), (["\\ud83d", "x"], "\ufffdx"), (["\\ud83d"], "\ufffd"), (["\\ude00"], "\ufffd")],
)
async def test_u24_half_a_surrogate_pair_is_joined_or_replaced(road, words, text):
    seen = await road.ask(say(*words), clean=True)
    assert seen.text == text
    seen.text.encode()


async def test_u25_a_frame_without_an_end_is_too_large(road):
    seen = await road.ask(WHOLE, Fault("line", FIRST_CONTENT + 7, size=1 << 18))
    assert (seen.what, seen.events, seen.stream.usage) == (("protocol", "too_large"), HALF, sc.Usage(output_tokens=1))


@pytest.mark.parametrize(("kind", "most"), [("comments", 1), ("line", 17)])
@in_memory
async def test_u25_memory_is_bounded_by_the_limit(road, kind, most):
    tracemalloc.start()
    try:
        await road.ask(WHOLE, Fault(kind, FIRST_CONTENT + 7 * (kind == "line"), size=1 << 16))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most << 20


# Answers that are none


async def test_u27_a_page_of_html_with_status_200(road):
    seen = await road.ask(WHOLE, Fault("content_type"), clean=True)
    assert (seen.what, seen.failure.status, seen.events) == (("protocol", "content_type"), 200, [])


async def test_u28_a_compressed_body_is_refused_before_it_is_read(road):
    tracemalloc.start()
    try:
        seen = await road.ask(WHOLE, Fault("gzip"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen.what == ("protocol", "content_encoding")
    assert peak < 4 << 20


async def test_u29_a_redirect_is_never_followed(road):
    seen = await road.ask(WHOLE, Fault("redirect"), clean=True)
    assert (seen.what, seen.failure.status, seen.requests) == (("protocol", "redirect"), 307, 1)
    assert "elsewhere" not in repr(seen.failure)


@over_sockets
async def test_u29_a_redirect_takes_no_key_to_another_host(road):
    with serve(Answer(WHOLE)) as other:
        away = Answer(status=308, headers={"location": f"{other.url}/answer"})
        assert (await road.ask(away, clean=True)).what == ("protocol", "redirect")
        assert (other.requests, other.connections) == ([], 0)


@pytest.mark.parametrize("kind", ["headers_garbage", "headers_huge"])
async def test_u30_headers_that_are_no_http(road, kind):
    seen = await road.ask(WHOLE, Fault(kind))
    assert (seen.what, seen.failure.retryable, seen.events) == (("protocol", "http"), False, [])


@pytest.mark.parametrize("at", [0, FIRST_CONTENT, FIRST_CONTENT + 3])
async def test_u30_a_chunk_without_a_size(road, at):
    seen = await road.ask(WHOLE, Fault("chunk", at))
    assert (seen.what, seen.events) == (("protocol", "http"), fed(at))


# HTTP errors


def dated(seconds: float) -> dict[str, str]:
    return {"date": formatdate(1e9, usegmt=True), "retry-after": formatdate(1e9 + seconds, usegmt=True)}


HINTS = {
    "seconds": ({"retry-after": "7"}, 7.0, 7),
    "a_fraction": ({"retry-after": "0.5"}, 0.5, 0.5),
    "a_date": (dated(9), 9.0, 9),
    "a_date_that_has_passed": (dated(-9), 0.0, 0),
    "a_date_that_is_none": ({"retry-after": "Fri, 99 Nov 2026"}, None, 0),
    "milliseconds": ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5, 1.5),
    "absurd": ({"retry-after": "1e300"}, 1e300, 60),
    "days": ({"retry-after": "600000"}, 600_000.0, 60),
    "beyond_all_numbers": ({"retry-after": "1e999"}, None, 0),
    "nan": ({"retry-after": "nan"}, None, 0),
    "negative": ({"retry-after": "-30"}, 0.0, 0),
    "words": ({"retry-after": "soon"}, None, 0),
    "nothing": ({"retry-after": ""}, None, 0),
}


@pytest.mark.parametrize(("headers", "expected", "most"), HINTS.values(), ids=HINTS)
async def test_u31_how_long_a_429_says_to_wait(road, headers, expected, most):
    seen = await road.ask(Answer([b"{}"], 429, {**JSON, **headers}), clean=True)
    assert (seen.failure.kind, seen.failure.retry_after, seen.failure.retryable) == ("rate_limit", expected, True)


@pytest.mark.parametrize(("headers", "expected", "most"), HINTS.values(), ids=HINTS)
@in_memory
async def test_u31_a_retry_waits_so_long_and_a_minute_at_most(road, headers, expected, most):
    limited = sc.Endpoint(TINY, "m", transport=FaultyTransport(Answer([b"{}"], 429, {**JSON, **headers})))
    begun = anyio.current_time()
    with pytest.raises(sc.StreamFailed):
        async with retry(limited, attempts=2, backoff=0.5).stream(sc.prompt("hi")):
            pass
    waited = anyio.current_time() - begun
    assert most <= waited <= most + 0.5


@in_memory
async def test_u31_the_next_attempt_is_answered(road):
    seen = await road.ask(WHOLE, Fault("rate_limit", seconds=7), None, wrap=retry)
    assert (seen.events, seen.requests, anyio.current_time() >= 7) == (ALL, 2, True)


@pytest.mark.parametrize(
    ("kind", "failure", "status"), [("server_error", "server", 500), ("overloaded", "overloaded", 529)]
)
async def test_u32_5xx(road, kind, failure, status):
    seen = await road.ask(WHOLE, Fault(kind), clean=True)
    assert (seen.failure.kind, seen.failure.status, seen.failure.retryable) == (failure, status, True)


@in_memory
async def test_u32_5xx_is_retried_twice_and_not_more(road):
    faults = [Fault("server_error"), Fault("overloaded"), Fault("server_error"), None]
    seen = await road.ask(WHOLE, *faults, wrap=retry)
    assert (seen.failure.kind, seen.requests) == ("server", 3)


@pytest.mark.parametrize(("status", "kind"), [(401, "auth"), (403, "permission")])
async def test_u33_the_providers_own_refusal_of_the_key_is_not_retried_and_does_not_tell_it(road, status, kind):
    words = f'{{"error":{{"message":"Incorrect API key provided: {KEY}"}}}}'.encode()
    seen = await road.ask(Answer([words], status, JSON), wrap=partial(retry, backoff=0), clean=True)
    assert (seen.failure.kind, seen.failure.status, seen.requests) == (kind, status, 1)
    assert seen.failure.message == "Incorrect API key provided: ***"


# Oddities that are none


async def test_u34_arguments_that_are_no_json_are_kept_as_they_came(road):
    pieces = chat(call(0, id="c", name="f", arguments="{oops"), call(0, arguments=": }"), CALLS)
    seen = await road.ask(pieces, adapter=openai_chat, clean=True)
    arguments = "".join(event.arguments for event in seen.events if isinstance(event, sc.ToolCallDelta))
    assert (arguments, seen.stream.outcome) == ("{oops: }", sc.Finish("tool_calls", "tool_calls"))


async def test_u35_tool_calls_with_gaps_without_an_id_and_interleaved_are_put_in_order(road):
    pieces = chat(
        call(3, id="c-3", name="f", arguments="{"),
        call(7, name="g", arguments="["),
        call(3, arguments="}"),
        call(7, arguments="]"),
        CALLS,
    )
    fold = sc.Fold()
    seen = await road.ask(pieces, adapter=openai_chat, clean=True)
    fold.feed(seen.events)
    first, second = fold.tool_calls
    assert (first.id, first.name, first.arguments) == ("c-3", "f", "{}")
    assert (second.name, second.arguments, second.id not in ("", "c-3")) == ("g", "[]", True)
    assert sorted({event.index for event in seen.events if isinstance(event, sc.ToolCallStart)}) == [0, 1]


SHAPES = {
    "several_lines": BODY.replace(b'{"t":', b'{\ndata: "t":'),
    "carriage_returns": BODY.replace(b"\n", b"\r"),
    "both": BODY.replace(b"\n", b"\r\n"),
    "a_byte_order_mark": b"\xef\xbb\xbf" + BODY,
    "no_space": BODY.replace(b"data: ", b"data:"),
    "other_fields": BODY.replace(b"data: ", b"id: 1\nretry: 5\nx: y\n:\ndata: "),
}


@pytest.mark.parametrize("body", SHAPES.values(), ids=SHAPES)
async def test_u36_every_shape_that_the_standard_allows(road, body):
    seen = await road.ask([body[at : at + 3] for at in range(0, len(body), 3)], clean=True)
    assert seen.events == ALL


@pytest.mark.parametrize("body", SHAPES.values(), ids=SHAPES)
@in_memory
async def test_u36_every_shape_however_it_is_cut(road, body):
    assert all(read(TINY, chunks) == ALL for chunks in cuts(body))


@pytest.mark.parametrize("leave", ["collect", "break", "cancel"])
@pytest.mark.parametrize(
    "kind", [kind for kind in FAULTS if kind not in ("dns", "refused", "tls", "unreachable", "connect")]
)
@over_sockets
async def test_u37_no_answer_is_for_another_request(road: Road, kind, leave):

    fault = Fault(kind, FIRST_CONTENT, size=1 << 16 if kind in ("comments", "line") else 4)

    def script(request):
        question = re.search(rb"question-(\w+)", request.body)[1].decode()
        answer = Answer(say("answer-", question))
        return spoiled(answer, fault) if question == "bad" else answer

    with serve(script) as server:
        async with CLIENTS[road.name](trust_env=False) as client:
            endpoint = sc.Endpoint(TINY, "m", url=server.url, transport=HTTPX(client))
            for question in ("one", "two"):
                await left(Seen(endpoint.stream("question-bad").within(first_token=0.2, idle=0.2)), leave)
                seen = Seen(endpoint.stream(f"question-{question}"))
                await see(seen.stream, seen)
                assert seen.text == f"answer-{question}"


async def left(seen: Seen, how: str) -> None:
    """Read a stream to its end, or leave it in the middle of the body, or while it waits."""
    if how == "collect":
        await see(seen.stream, seen)
        return
    with anyio.move_on_after(30 if how == "break" else 0.05):
        try:
            async with seen.stream:
                async for _ in seen.stream:
                    if how == "break":
                        break
        except sc.StreamFailed:
            pass
