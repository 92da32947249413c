"""What a reader of a stream may rely on, over scripted bytes."""

from __future__ import annotations

import gc

import anyio
import pytest
from httpx_sse import ServerSentEvent
from tiny import TINY, say

from streamcore.errors import LocalError, StreamFailed
from streamcore.events import BlockEnd, Failure, Finish, Start, TextDelta, Usage
from streamcore.message import Fold
from streamcore.request import RequestWarning, Secret
from streamcore.stream import Stream, decode

pytestmark = pytest.mark.anyio

HELLO = [
    Start(),
    TextDelta(0, "Hel"),
    TextDelta(0, "lo"),
    Usage(output_tokens=2),
    BlockEnd(0),
    Finish("stop", "done"),
]


class Body:
    """A response that gives these pieces; an exception among them is raised."""

    def __init__(self, *pieces, status=200, headers=None, wait=False):
        self.status = status
        self.headers = headers or {}
        self.pieces = list(pieces)
        self.closed = 0
        self.wait = wait

    async def read(self):
        await anyio.lowlevel.checkpoint()
        if not self.pieces:
            if self.wait:
                await anyio.sleep_forever()
            return b""
        piece = self.pieces.pop(0)
        if isinstance(piece, BaseException):
            raise piece
        return piece

    async def close(self):
        self.closed += 1


def over(body, **options):
    async def open():
        return body

    return Stream(TINY, open, **options)


async def everything(stream):
    async with stream:
        return [event async for event in stream]


async def test_every_event_comes_in_order_and_finish_is_the_last():
    assert await everything(over(Body(*say("Hel", "lo")))) == HELLO


async def test_read_gives_what_one_network_read_completed():
    first, second, last = say("Hel", "lo")
    async with over(Body(first + second[:4], second[4:] + last)) as stream:
        assert await stream.read() == HELLO[:2]
        assert await stream.read() == HELLO[2:]
        assert await stream.read() == []
        assert await stream.read() == []


async def test_read_after_iterating_gives_the_rest_of_the_batch():
    async with over(Body(b"".join(say("Hel", "lo")))) as stream:
        assert await anext(stream) == Start()
        assert await stream.read() == HELLO[1:]


async def test_read_skips_network_reads_that_complete_nothing():
    body = b"".join(say("Hel", "lo"))
    async with over(Body(*[body[at : at + 1] for at in range(len(body))])) as stream:
        assert await stream.read() == HELLO[:2]


async def test_text_gives_the_words_alone():
    async with over(Body(*say("Hel", "lo"))) as stream:
        assert [piece async for piece in stream.text()] == ["Hel", "lo"]


async def test_collect_adds_everything_up():
    async with over(Body(*say("Hel", "lo"))) as stream:
        fold = await stream.collect()
    assert (fold.text, fold.usage, fold.outcome) == ("Hello", Usage(output_tokens=2), Finish("stop", "done"))


async def test_collect_into_a_fold_keeps_what_came_before_a_failure():
    fold = Fold()
    async with over(Body(*say("Hel", "lo")[:2])) as stream:
        with pytest.raises(StreamFailed):
            await stream.collect(fold)
    assert fold.text == "Hello"


async def test_a_failure_is_raised_after_everything_before_it_and_again_when_asked_again():
    seen = []
    async with over(Body(b"".join(say("Hel", "lo")[:2]))) as stream:
        with pytest.raises(StreamFailed) as caught:
            async for event in stream:
                seen.append(event)
        assert seen == HELLO[:3]
        assert caught.value.failure == stream.outcome
        with pytest.raises(StreamFailed):
            await stream.read()
    assert stream.outcome.kind == "truncated"


async def test_a_failure_of_the_transport_ends_the_stream_with_that_failure():
    broken = Failure("connection", "reset", detail="reset")
    async with over(Body(say("Hel")[0], StreamFailed(broken))) as stream:
        assert await stream.read() == HELLO[:2]
        with pytest.raises(StreamFailed):
            await stream.read()
    assert stream.outcome == broken


async def test_usage_and_outcome_can_be_asked_at_any_time():
    async with over(Body(*say("Hel", "lo"))) as stream:
        assert (stream.usage, stream.outcome) == (None, None)
        async for _ in stream:
            pass
        assert (stream.usage, stream.outcome) == (Usage(output_tokens=2), Finish("stop", "done"))


async def test_leaving_early_is_cancelled_and_closes_the_response():
    body = Body(*say("Hel", "lo"))
    async with over(body) as stream:
        async for _ in stream:
            break
    assert (stream.outcome.kind, stream.outcome.detail) == ("cancelled", "closed")
    assert body.closed == 1


async def test_leaving_with_an_exception_is_cancelled_and_names_its_class_only():
    body = Body(*say("Hel", "lo"))
    with pytest.raises(ValueError, match="secret"):
        async with over(body) as stream:
            raise ValueError("secret")
    assert (stream.outcome.kind, stream.outcome.detail) == ("cancelled", "exception")
    assert "secret" not in stream.outcome.message
    assert body.closed == 1


async def test_a_failure_of_another_stream_is_not_this_streams_outcome():
    with pytest.raises(StreamFailed):
        async with over(Body(*say("Hel"))) as stream:
            raise StreamFailed(Failure("quota", "of another"))
    assert (stream.outcome.kind, stream.outcome.detail) == ("cancelled", "exception")


async def test_cancelling_the_task_is_cancelled_and_closes_the_response():
    body = Body(say("Hel")[0], wait=True)
    stream = over(body)
    with anyio.move_on_after(0.01):
        async with stream:
            async for _ in stream:
                pass
    assert (stream.outcome.kind, stream.outcome.detail) == ("cancelled", "read")
    assert body.closed == 1


async def test_cancelled_between_reads_is_cancelled():
    body = Body(*say("Hel", "lo"))
    with anyio.CancelScope() as scope:
        async with over(body) as stream:
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    assert (stream.outcome.kind, stream.outcome.detail) == ("cancelled", "task")
    assert body.closed == 1


async def test_a_read_that_was_cancelled_ends_the_stream():
    async with over(Body(say("Hel")[0], wait=True)) as stream:
        await stream.read()
        with anyio.move_on_after(0.01):
            await stream.read()
        with pytest.raises(StreamFailed):
            await stream.read()


async def test_an_answer_that_was_whole_when_it_was_left_stays_whole():
    async with over(Body(b"".join(say("Hel", "lo")))) as stream:
        assert await anext(stream) == Start()
    assert stream.outcome == Finish("stop", "done")


async def test_the_body_is_read_to_its_end_after_the_last_event():
    body = Body(*say("Hi"), b": goodbye\n\n", b": more\n\n")
    await everything(over(body))
    assert body.pieces == []


async def test_what_follows_the_last_event_is_bounded_in_size():
    body = Body(*say("Hi"), *[b"x" * 32 * 1024] * 10)
    await everything(over(body))
    assert len(body.pieces) == 8


async def test_what_follows_the_last_event_is_bounded_in_time(monkeypatch):
    monkeypatch.setattr("streamcore.stream.DRAIN_SECONDS", 0.01)
    body = Body(*say("Hi"), wait=True)
    await everything(over(body))
    assert body.closed == 1


async def test_a_connection_that_breaks_after_the_last_event_changes_nothing():
    body = Body(*say("Hi"), StreamFailed(Failure("connection", "reset")))
    stream = over(body)
    await everything(stream)
    assert stream.outcome == Finish("stop", "done")


async def test_a_stream_is_opened_once():
    stream = over(Body(*say("Hi")))
    await everything(stream)
    with pytest.raises(LocalError, match="once"):
        await everything(stream)


async def test_reading_outside_of_async_with_is_refused():
    with pytest.raises(LocalError, match="not open"):
        await over(Body(*say("Hi"))).read()


async def test_a_stream_never_closed_warns():
    stream = over(Body(*say("Hi")))
    await stream.__aenter__()
    with pytest.warns(ResourceWarning, match="never closed"):
        del stream
        gc.collect()


async def test_a_stream_never_opened_does_not_warn():
    over(Body())
    gc.collect()


async def test_an_http_error_is_raised_while_opening_and_is_the_outcome():
    body = Body(
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
    body = Body(*[b"x" * 60_000] * 5, status=500)
    with pytest.raises(StreamFailed):
        await everything(over(body))
    assert len(body.pieces) == 3


async def test_the_body_of_an_error_is_bounded_in_time(monkeypatch):
    monkeypatch.setattr("streamcore.stream.ERROR_SECONDS", 0.01)
    with pytest.raises(StreamFailed, match="begins"):
        await everything(over(Body(b"slow", status=500, wait=True)))


async def test_a_broken_error_body_is_still_an_error():
    with pytest.raises(StreamFailed, match="HTTP 500"):
        await everything(over(Body(StreamFailed(Failure("connection", "reset")), status=500)))


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({"content-type": "text/html; charset=utf-8"}, "content_type"),
        ({"content-encoding": "gzip"}, "content_encoding"),
    ],
)
async def test_a_body_that_cannot_be_a_stream_is_refused(headers, detail):
    stream = over(Body(b"<html>", headers=headers))
    with pytest.raises(StreamFailed):
        await everything(stream)
    assert (stream.outcome.kind, stream.outcome.detail, stream.outcome.status) == ("protocol", detail, 200)


@pytest.mark.parametrize("content_type", ["text/event-stream;charset=utf-8", "Text/Event-Stream", "", "text/plain"])
async def test_servers_may_label_their_streams_loosely(content_type):
    assert await everything(over(Body(*say("Hel", "lo"), headers={"content-type": content_type}))) == HELLO


async def test_json_with_status_200_is_the_error_it_describes():
    body = Body(
        b'{"error":{"message":"no credit","code":"insufficient_quota"}}', headers={"content-type": "application/json"}
    )
    with pytest.raises(StreamFailed) as caught:
        await everything(over(body))
    assert caught.value.failure.kind == "quota"


async def test_being_cancelled_while_opening_settles_the_outcome():
    async def open():
        await anyio.sleep_forever()

    stream = Stream(TINY, open)
    with anyio.move_on_after(0.01):
        await everything(stream)
    assert (stream.outcome.kind, stream.outcome.detail) == ("cancelled", "task")


async def test_the_key_is_struck_from_a_failure():
    secret = Secret("sk-canary")
    stream = over(Body(b'data: {"bad":"wrong key sk-canary"}\n\n'), secret=secret)
    with pytest.raises(StreamFailed) as caught:
        await everything(stream)
    assert caught.value.failure.message == "wrong key ***"
    stream = over(Body(b'{"error":"wrong key sk-canary"}', status=401), secret=secret)
    with pytest.raises(StreamFailed) as caught:
        await everything(stream)
    assert caught.value.failure.message == stream.outcome.message == "wrong key ***"


async def test_the_request_id_is_known_and_is_in_a_failure():
    stream = over(Body(say("Hi")[0], headers={"x-request-id": "r-2"}))
    with pytest.raises(StreamFailed) as caught:
        await everything(stream)
    assert caught.value.failure.request_id == stream.request_id == "r-2"


async def test_warnings_are_kept():
    warning = RequestWarning("seed", "not supported")
    assert over(Body(), warnings=[warning]).warnings == (warning,)


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
