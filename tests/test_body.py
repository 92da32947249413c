"""One response as what a stream reads from: what is refused, what is read after the end, what is struck out."""

from __future__ import annotations

import pytest
from httpx_sse import ServerSentEvent
from tiny import TINY, say

from pieces import HANG, HELLO, Pieces, everything, over
from streamcore.body import Body, decode
from streamcore.deadlines import Deadlines
from streamcore.errors import StreamFailed
from streamcore.events import Failure, Finish, Start, Usage
from streamcore.redaction import Secrets
from streamcore.request import RequestWarning, prompt
from streamcore.testing import ScriptedModel
from streamcore.upstream import Attempt, Origin

pytestmark = pytest.mark.anyio


async def test_a_response_is_opened_within_the_seconds_there_are_to_connect():
    asked = []

    async def open(connect):
        asked.append(connect)
        return Pieces()

    assert await Body(TINY, open).open(Deadlines(connect=3, total=9)) == []
    assert asked == [3]


async def test_it_is_one_attempt_with_what_is_known_of_it():
    origin = Origin(adapter="tiny", model="m", host="tiny.invalid")
    stream = over(Pieces(*say("Hi"), headers={"x-request-id": "r-1"}), origin=origin)
    assert stream.attempts == (Attempt(origin=origin),)
    await everything(stream)
    (found,) = stream.attempts
    known = (found.origin, found.outcome, found.usage, found.request_id, found.chosen)
    assert known == (origin, Finish("stop", "done"), Usage(output_tokens=1), "r-1", True)


async def test_an_attempt_names_the_model_that_answers():
    for said in ([Start("r", "m-2026")], []):
        stream = ScriptedModel([*said, Finish("stop")]).stream(prompt("hi"))
        await everything(stream)
        assert stream.attempts[0].answered_by == ("m-2026" if said else None)


async def test_closing_what_was_never_opened_is_nothing():
    await Body(TINY, HANG).close(drain=True)


async def test_the_body_is_read_to_its_end_after_the_last_event():
    body = Pieces(*say("Hi"), b": goodbye\n\n", b": more\n\n")
    await everything(over(body))
    assert body.pieces == []


async def test_what_follows_the_last_event_is_bounded_in_size():
    body = Pieces(*say("Hi"), *[b"x" * 32 * 1024] * 10)
    await everything(over(body))
    assert len(body.pieces) == 8


async def test_what_follows_the_last_event_is_bounded_in_time(monkeypatch):
    monkeypatch.setattr("streamcore.body.DRAIN_SECONDS", 0.01)
    body = Pieces(*say("Hi"), HANG)
    await everything(over(body))
    assert body.closed == 1


async def test_a_connection_that_breaks_after_the_last_event_changes_nothing():
    body = Pieces(*say("Hi"), StreamFailed(Failure("connection", "reset")))
    stream = over(body)
    await everything(stream)
    assert stream.outcome == Finish("stop", "done")


async def test_an_http_error_is_raised_while_opening_and_is_the_outcome():
    body = Pieces(
        b'{"error":{"message":"slow ',
        b'down","code":"rate_limit_exceeded"}}',
        status=429,
        headers={"retry-after": "7", "x-request-id": "r-1"},
    )
    stream = over(body)
    with pytest.raises(StreamFailed) as caught:
        await everything(stream)
    expected = Failure(
        "rate_limit", "slow down", status=429, code="rate_limit_exceeded", retry_after=7.0, request_id="r-1"
    )
    assert caught.value.failure == stream.outcome == expected
    assert body.closed == 1


async def test_the_body_of_an_error_is_bounded_in_size():
    body = Pieces(*[b"x" * 60_000] * 5, status=500)
    with pytest.raises(StreamFailed):
        await everything(over(body))
    assert len(body.pieces) == 3


async def test_the_body_of_an_error_is_bounded_in_time(monkeypatch):
    monkeypatch.setattr("streamcore.body.ERROR_SECONDS", 0.01)
    with pytest.raises(StreamFailed, match="begins"):
        await everything(over(Pieces(b"slow", HANG, status=500)))


async def test_a_broken_error_body_is_still_an_error():
    with pytest.raises(StreamFailed, match="HTTP 500"):
        await everything(over(Pieces(StreamFailed(Failure("connection", "reset")), status=500)))


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({"content-type": "text/html; charset=utf-8"}, "content_type"),
        ({"content-encoding": "gzip"}, "content_encoding"),
    ],
)
async def test_a_body_that_cannot_be_a_stream_is_refused(headers, detail):
    stream = over(Pieces(b"<html>", headers=headers))
    with pytest.raises(StreamFailed):
        await everything(stream)
    assert (stream.outcome.kind, stream.outcome.detail, stream.outcome.status) == ("protocol", detail, 200)


@pytest.mark.parametrize("content_type", ["text/event-stream;charset=utf-8", "Text/Event-Stream", "", "text/plain"])
async def test_servers_may_label_their_streams_loosely(content_type):
    assert await everything(over(Pieces(*say("Hel", "lo"), headers={"content-type": content_type}))) == HELLO


async def test_json_with_status_200_is_the_error_it_describes():
    body = Pieces(
        b'{"error":{"message":"no credit","code":"insufficient_quota"}}', headers={"content-type": "application/json"}
    )
    with pytest.raises(StreamFailed) as caught:
        await everything(over(body))
    assert caught.value.failure.kind == "quota"


async def test_the_key_is_struck_from_a_failure():
    secrets = Secrets(["sk-canary"])
    stream = over(Pieces(b'data: {"bad":"wrong key sk-canary"}\n\n'), secrets=secrets)
    with pytest.raises(StreamFailed) as caught:
        await everything(stream)
    assert caught.value.failure.message == "wrong key ***"
    stream = over(Pieces(b'{"error":"wrong key sk-canary"}', status=401), secrets=secrets)
    with pytest.raises(StreamFailed) as caught:
        await everything(stream)
    assert caught.value.failure.message == stream.outcome.message == "wrong key ***"


async def test_the_request_id_is_known_and_is_in_a_failure():
    stream = over(Pieces(say("Hi")[0], headers={"x-request-id": "r-2"}))
    with pytest.raises(StreamFailed) as caught:
        await everything(stream)
    assert caught.value.failure.request_id == stream.request_id == "r-2"


async def test_warnings_are_kept():
    warning = RequestWarning("seed", "not supported")
    assert over(Pieces(), warnings=[warning]).warnings == (warning,)


async def test_decode_reads_any_async_iterable_of_bytes_and_closes_it():
    closed = []

    async def source():
        try:
            for piece in [*say("Hel", "lo"), b""]:
                yield piece
        finally:
            closed.append(True)

    assert await everything(decode(TINY, source())) == HELLO
    assert closed


async def test_decode_reads_what_httpx_sse_has_parsed():
    async def source():
        for piece in say("Hel", "lo"):
            yield ServerSentEvent(event="message", data=piece.decode()[6:-2], id="", retry=None)
            yield ServerSentEvent(event="message", data="", id="1", retry=None)  # it dispatches keep-alives too

    assert await everything(decode(TINY, source())) == HELLO


async def test_decode_of_an_event_with_a_name_and_several_lines():
    async def source():
        yield ServerSentEvent(event="greet\0ing", data='{"t":\n"Hel"}', id="", retry=None)

    async with decode(TINY, source()) as stream:
        assert await stream.read() == HELLO[:2]


async def test_decode_of_a_source_without_aclose():
    class Source:
        def __init__(self):
            self.pieces = say("Hel", "lo")

        def __aiter__(self):
            return self

        async def __anext__(self):
            if not self.pieces:
                raise StopAsyncIteration
            return self.pieces.pop(0)

    assert await everything(decode(TINY, Source())) == HELLO
