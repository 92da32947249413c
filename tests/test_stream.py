"""What a reader of a stream may rely on, over scripted bytes, in virtual time."""

from __future__ import annotations

import asyncio
import gc
import socket

import anyio
import pytest
from tiny import TINY, say

from pieces import END, HANG, HEL, HELLO, LO, Pieces, everything, failure, over
from streamcore.body import Body
from streamcore.deadlines import Deadlines
from streamcore.errors import LocalError, StreamFailed
from streamcore.events import Failure, Finish, Start, TextDelta, Usage
from streamcore.flow.tee import tee
from streamcore.message import Fold
from streamcore.stream import Stream
from streamcore.testing import virtual_time

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return virtual_time(request.param)


async def test_every_event_comes_in_order_and_finish_is_the_last():
    assert await everything(over(Pieces(*say("Hel", "lo")))) == HELLO


async def test_read_gives_what_one_network_read_completed():
    first, second, last = say("Hel", "lo")
    async with over(Pieces(first + second[:4], second[4:] + last)) as stream:
        assert await stream.read() == HELLO[:2]
        assert await stream.read() == HELLO[2:]
        assert await stream.read() == []
        assert await stream.read() == []


async def test_read_after_iterating_gives_the_rest_of_the_batch():
    async with over(Pieces(b"".join(say("Hel", "lo")))) as stream:
        assert await anext(stream) == Start()
        assert await stream.read() == HELLO[1:]


async def test_read_skips_network_reads_that_complete_nothing():
    body = b"".join(say("Hel", "lo"))
    async with over(Pieces(*[body[at : at + 1] for at in range(len(body))])) as stream:
        assert await stream.read() == HELLO[:2]


async def test_text_gives_the_words_alone():
    async with over(Pieces(*say("Hel", "lo"))) as stream:
        assert [piece async for piece in stream.text()] == ["Hel", "lo"]


async def test_collect_adds_everything_up():
    async with over(Pieces(*say("Hel", "lo"))) as stream:
        fold = await stream.collect()
    assert (fold.text, fold.usage, fold.outcome) == ("Hello", Usage(output_tokens=2), Finish("stop", "done"))


async def test_collect_into_a_fold_keeps_what_came_before_a_failure():
    fold = Fold()
    async with over(Pieces(*say("Hel", "lo")[:2])) as stream:
        with pytest.raises(StreamFailed):
            await stream.collect(fold)
    assert fold.text == "Hello"


async def test_a_failure_is_raised_after_everything_before_it_and_again_when_asked_again():
    seen = []
    async with over(Pieces(b"".join(say("Hel", "lo")[:2]))) as stream:
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
    async with over(Pieces(say("Hel")[0], StreamFailed(broken))) as stream:
        assert await stream.read() == HELLO[:2]
        with pytest.raises(StreamFailed):
            await stream.read()
    assert stream.outcome == broken


async def test_usage_and_outcome_can_be_asked_at_any_time():
    async with over(Pieces(*say("Hel", "lo"))) as stream:
        assert (stream.usage, stream.outcome) == (None, None)
        async for _ in stream:
            pass
        assert (stream.usage, stream.outcome) == (Usage(output_tokens=2), Finish("stop", "done"))


async def test_leaving_early_is_cancelled_and_closes_the_response():
    body = Pieces(*say("Hel", "lo"))
    async with over(body) as stream:
        async for _ in stream:
            break
    assert (stream.outcome.kind, stream.outcome.detail) == ("cancelled", "closed")
    assert body.closed == 1


async def test_leaving_with_an_exception_is_cancelled_and_names_its_class_only():
    body = Pieces(*say("Hel", "lo"))
    with pytest.raises(ValueError, match="secret"):
        async with over(body) as stream:
            raise ValueError("secret")
    assert (stream.outcome.kind, stream.outcome.detail) == ("cancelled", "exception")
    assert "secret" not in stream.outcome.message
    assert body.closed == 1


async def test_a_failure_of_another_stream_is_not_this_streams_outcome():
    with pytest.raises(StreamFailed):
        async with over(Pieces(*say("Hel"))) as stream:
            raise StreamFailed(Failure("quota", "of another"))
    assert (stream.outcome.kind, stream.outcome.detail) == ("cancelled", "exception")


async def test_cancelling_the_task_is_cancelled_and_closes_the_response():
    body = Pieces(say("Hel")[0], HANG)
    stream = over(body)
    with anyio.move_on_after(0.01):
        async with stream:
            async for _ in stream:
                pass
    assert (stream.outcome.kind, stream.outcome.detail) == ("cancelled", "read")
    assert body.closed == 1


async def test_cancelled_between_reads_is_cancelled():
    body = Pieces(*say("Hel", "lo"))
    with anyio.CancelScope() as scope:
        async with over(body) as stream:
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    assert (stream.outcome.kind, stream.outcome.detail) == ("cancelled", "task")
    assert body.closed == 1


async def test_a_read_that_was_cancelled_ends_the_stream():
    async with over(Pieces(say("Hel")[0], HANG)) as stream:
        await stream.read()
        with anyio.move_on_after(0.01):
            await stream.read()
        with pytest.raises(StreamFailed):
            await stream.read()


async def test_an_answer_that_was_whole_when_it_was_left_stays_whole():
    async with over(Pieces(b"".join(say("Hel", "lo")))) as stream:
        assert await anext(stream) == Start()
    assert stream.outcome == Finish("stop", "done")


async def test_a_stream_is_opened_once():
    stream = over(Pieces(*say("Hi")))
    await everything(stream)
    with pytest.raises(LocalError, match="once"):
        await everything(stream)


async def test_reading_outside_of_async_with_is_refused():
    with pytest.raises(LocalError, match="not open"):
        await over(Pieces(*say("Hi"))).read()


async def test_a_stream_never_closed_warns():
    stream = over(Pieces(*say("Hi")))
    await stream.__aenter__()
    with pytest.warns(ResourceWarning, match="never closed"):
        del stream
        gc.collect()


async def test_a_stream_never_opened_does_not_warn():
    over(Pieces())
    gc.collect()


async def test_being_cancelled_while_opening_settles_the_outcome():
    async def open(connect):
        await anyio.sleep_forever()

    stream = Stream(Body(TINY, open))
    with anyio.move_on_after(0.01):
        await everything(stream)
    assert (stream.outcome.kind, stream.outcome.detail) == ("cancelled", "task")


# Pulling, settling, closing


async def test_pull_gives_a_failure_as_the_last_event():
    async with over(Pieces(b"".join(say("Hel", "lo")[:2]))) as stream:
        assert await stream.pull() == HELLO[:3]
        (failed,) = await stream.pull()
        assert failed == stream.outcome
        assert (failed.kind, await stream.pull()) == ("truncated", [])


async def test_pull_outside_of_async_with_is_refused():
    with pytest.raises(LocalError, match="not open"):
        await over(Pieces()).pull()


async def test_settling_ends_a_stream_at_once_and_gives_its_last_events():
    response = Pieces(*say("Hel", "lo"))
    lost = Failure("cancelled", "not needed", detail="lost")
    async with over(response) as stream:
        await stream.read()
        assert stream.settle(lost) == [lost]
        assert (stream.outcome, response.closed) == (lost, 0)
        assert stream.settle(Failure("timeout", "too late")) == []
        with pytest.raises(StreamFailed, match="not needed"):
            await stream.read()
    assert (stream.outcome, response.closed) == (lost, 1)


@pytest.mark.parametrize("waits", [1, 0.3], ids=["read", "cancelled"])
async def test_a_stream_that_another_task_settles_while_it_is_read_gives_nothing_more(waits):
    lost = Failure("cancelled", "not needed", detail="lost")
    async with over(Pieces(0.5, HEL)) as stream, anyio.create_task_group() as group:

        async def settle():
            await anyio.sleep(0.2)
            stream.settle(lost)

        group.start_soon(settle)
        with anyio.move_on_after(waits):
            assert await stream.pull() == [lost]
        assert stream.outcome == lost
        with pytest.raises(StreamFailed, match="not needed"):
            await stream.read()


async def test_a_stream_may_be_closed_by_hand_and_more_than_once():
    response = Pieces(*say("Hel", "lo"))
    stream = await over(response).__aenter__()
    await stream.aclose()
    await stream.aclose()
    assert (stream.outcome.kind, stream.outcome.detail, response.closed) == ("cancelled", "closed", 1)


async def test_who_closes_while_another_task_does_waits_for_it():
    class Slow(Pieces):
        async def close(self):
            await anyio.sleep(3)
            self.closed += 1

    response = Slow(*say("Hi"))
    stream = over(response)
    await everything_but_leaving(stream)
    async with anyio.create_task_group() as group:
        for close in (stream.aclose, stream.aclose, stream.cancel):
            group.start_soon(closed, close, response)
    assert (response.closed, stream.outcome, anyio.current_time() % 1) == (1, Finish("stop", "done"), 0)


async def everything_but_leaving(stream):
    await stream.__aenter__()
    while await stream.read():
        pass


async def closed(close, response):
    await close()
    assert response.closed == 1


async def test_a_read_that_is_cancelled_while_a_failed_stream_closes_loses_nothing():
    class Slow(Pieces):
        async def close(self):
            self.closed += 1
            await anyio.sleep(3)

    async with over(Slow(b"".join(say("Hel", "lo")[:2]))) as stream:
        await stream.read()
        with anyio.move_on_after(1):
            await stream.pull()
        assert await stream.pull() == [stream.outcome]
        assert await stream.pull() == []
    assert stream.outcome.kind == "truncated"


# Deadlines

PING, ROLE, EMPTY, COUNT = b": ping\n\n", b"data: {}\n\n", b'data: {"t":""}\n\n', b'data: {"n":1}\n\n'
SILENCE = pytest.mark.parametrize("silence", [PING, ROLE, EMPTY, COUNT], ids=["comment", "role", "empty", "usage"])


async def timed_out(stream):
    """Which deadline ran out, and when."""
    start = anyio.current_time()
    failed, _ = await failure(stream)
    assert failed.kind == "timeout"
    return failed.detail, pytest.approx(anyio.current_time() - start)


@pytest.mark.parametrize("deadlines", [{"first_token": 2}, {"idle": 2}, {"total": 2}, {"first_token": 2, "total": 3}])
async def test_an_answer_that_never_begins_runs_into_the_first_deadline(deadlines):
    response = Pieces(HANG)
    assert await timed_out(over(response, deadlines=Deadlines(**deadlines))) == (next(iter(deadlines)), 2)
    assert response.closed == 1


@pytest.mark.parametrize("name", ["first_token", "idle", "total"])
async def test_a_deadline_runs_while_the_stream_is_opened(name):
    assert await timed_out(over(None, opening=HANG).within(**{name: 2})) == (name, 2)


async def test_the_seconds_to_connect_are_the_transports():
    async def open(connect):
        await anyio.sleep(connect)
        raise StreamFailed(Failure("timeout", "late", detail="connect"))

    assert await timed_out(Stream(Body(TINY, open), deadlines=Deadlines(connect=2))) == ("connect", 2)


@SILENCE
async def test_what_says_nothing_is_no_first_token(silence):
    response = Pieces(1.5, silence, 1.5, *say("Hi"))
    assert await timed_out(over(response, opening=0.5).within(first_token=3, idle=1)) == ("first_token", 3)


@SILENCE
async def test_what_says_nothing_does_not_end_the_silence(silence):
    response = Pieces(HEL, 1.5, silence, 1, silence, 1, silence)
    assert await timed_out(over(response).within(idle=3)) == ("idle", 3)


async def test_content_ends_the_silence():
    response = Pieces(2, HEL, 2, LO, 2, END)
    assert await everything(over(response).within(first_token=2.5, idle=2.5)) == HELLO


async def test_the_first_token_has_its_own_deadline_besides_idle():
    assert await everything(over(Pieces(5, HEL, LO, END)).within(first_token=6, idle=1)) == HELLO


async def test_silence_after_the_first_token_may_be_due_sooner_than_the_first_token_was():
    assert await timed_out(over(Pieces(1, HEL, HANG)).within(first_token=30, idle=2)) == ("idle", 3)


async def test_after_the_first_token_its_deadline_is_over():
    assert await everything(over(Pieces(1, HEL, 50, LO, END)).within(first_token=2)) == HELLO


async def test_total_is_from_the_opening_to_the_end():
    response = Pieces(*[1, HEL] * 10)
    assert await timed_out(over(response, opening=2).within(total=5.5)) == ("total", 5.5)
    assert len(response.pieces) == 13


async def test_the_consumers_slowness_is_not_the_providers():
    async with over(Pieces(0.5, HEL, 0.5, PING, EMPTY, 0.3, LO, END)).within(first_token=1, idle=1) as stream:
        seen = []
        while events := await stream.read():
            seen += events
            await anyio.sleep(5)
    assert TextDelta(0, "lo") in seen


async def test_what_the_provider_took_before_the_consumers_pause_counts():
    async with over(Pieces(HEL, 0.7, COUNT, 0.7, LO)).within(idle=1) as stream:
        assert TextDelta(0, "Hel") in await stream.read()
        await stream.read()
        await anyio.sleep(5)
        with pytest.raises(StreamFailed, match="within 1 s"):
            await stream.read()


async def test_total_includes_the_consumers_time_but_what_has_come_is_given_first():
    async with over(Pieces(HEL, LO, 1, END)).within(total=3) as stream:
        await stream.read()
        await anyio.sleep(5)
        assert await stream.read() == [TextDelta(0, "lo")]
        with pytest.raises(StreamFailed, match="the answer did not end within 3 s"):
            await stream.read()


async def test_an_answer_that_is_whole_when_its_deadline_has_passed_is_whole():
    async with over(Pieces(HEL, LO + END)).within(total=3) as stream:
        await stream.read()
        await anyio.sleep(5)
        assert await stream.read() == HELLO[2:]
    assert stream.outcome == Finish("stop", "done")


async def test_deadlines_are_those_of_the_model_unless_the_stream_has_others():
    stream = over(Pieces(HANG), deadlines=Deadlines(first_token=1, total=2)).within(first_token=5)
    assert await timed_out(stream) == ("total", 2)


async def test_deadlines_are_set_before_the_stream_is_opened():
    async with over(Pieces(*say("Hi"))) as stream:
        with pytest.raises(LocalError, match="before"):
            stream.within(total=1)


async def test_a_loop_that_was_busy_does_not_blame_the_provider(anyio_backend):
    """The bytes are in the socket when the deadline passes, and nobody had the time to look."""
    ours, theirs = socket.socketpair()
    with theirs:
        connection = await anyio.abc.SocketStream.from_socket(ours)

        class Wire(Pieces):
            async def read(self):
                return await connection.receive()

        async with connection, over(Wire()).within(first_token=2, idle=2) as stream, anyio.create_task_group() as group:

            async def be_busy():
                await anyio.sleep(1)
                theirs.send(HEL)
                jump(anyio_backend, 10)

            for _ in range(3):
                group.start_soon(be_busy)
                assert TextDelta(0, "Hel") in await stream.read()


def jump(anyio_backend, seconds):
    """Let time pass and nobody else run."""
    _, options = anyio_backend
    if "clock" in options:
        options["clock"].jump(seconds)
    else:
        asyncio.get_running_loop()._virtual.now += seconds


# Cancelled from another task

CANCELLED = Failure("cancelled", "the stream was cancelled", detail="cancel")


async def cancelled_after(seconds, stream, *, times=1):
    """What its reader gets, when another task cancels the stream."""
    seen = []

    async def cancel():
        await anyio.sleep(seconds)
        await stream.cancel()
        assert stream._state == "closed"

    async with anyio.create_task_group() as group:
        for _ in range(times):
            group.start_soon(cancel)
        with pytest.raises(StreamFailed) as caught:
            async with stream:
                async for event in stream:
                    seen.append(event)
                    if event == TextDelta(0, "lo"):
                        await anyio.sleep(2)
    assert caught.value.failure == stream.outcome == CANCELLED
    return seen


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("deadlines", [None, Deadlines(total=50)], ids=["", "deadlines"])
async def test_a_stream_cancelled_while_it_is_read(times, deadlines):
    response = Pieces(HEL, HANG)
    assert await cancelled_after(1, over(response, deadlines=deadlines), times=times) == HELLO[:2]
    assert response.closed == 1


async def test_a_stream_cancelled_between_two_reads():
    response = Pieces(HEL, LO, END)
    assert await cancelled_after(1, over(response)) == HELLO[:3]
    assert response.closed == 1


async def test_a_stream_cancelled_between_two_reads_gives_its_failure_to_who_pulls():
    async with over(Pieces(HEL, LO, END)) as stream:
        await stream.pull()
        await stream.cancel()
        assert (await stream.pull(), await stream.pull()) == ([CANCELLED], [])


@pytest.mark.parametrize("times", [1, 2])
async def test_a_stream_cancelled_while_it_is_opened(times):
    assert await cancelled_after(1, over(None, opening=HANG), times=times) == []


async def test_a_stream_cancelled_before_it_is_opened_is_never_opened():
    opened = []
    stream = over(Pieces(), opening=lambda: opened.append(True))
    await stream.cancel()
    await stream.cancel()
    with pytest.raises(StreamFailed, match="was cancelled"):
        await stream.__aenter__()
    assert (stream.outcome, opened, stream.statistics().elapsed) == (CANCELLED, [], 0)


async def test_a_stream_cancelled_after_its_end_has_ended_as_it_did():
    stream = over(Pieces(*say("Hel", "lo")))
    await everything(stream)
    await stream.cancel()
    assert stream.outcome == Finish("stop", "done")


async def test_a_stream_cancelled_by_its_own_reader():
    response = Pieces(HEL, LO, END)
    async with over(response) as stream:
        await stream.read()
        await stream.cancel()
        with pytest.raises(StreamFailed):
            await stream.read()
    assert (stream.outcome, response.closed) == (CANCELLED, 1)


@pytest.mark.parametrize("turns", range(12))
async def test_a_stream_cancelled_just_when_it_ends_is_whole_or_cancelled(turns):
    response = Pieces(HEL, 1, LO, END)
    stream, outcomes = over(response), []

    async def read():
        try:
            outcomes.append((await everything(stream))[-1])
        except StreamFailed as error:
            outcomes.append(error.failure)

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await anyio.sleep(1)
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        await stream.cancel()
    assert outcomes == [stream.outcome]
    assert stream.outcome in (CANCELLED, Finish("stop", "done"))
    assert response.closed == 1


async def test_a_wait_that_goes_on_after_it_was_ended_is_ended_again():
    """On trio a shield can hold it, on asyncio whoever swallows what was thrown."""

    async def stubborn():
        with anyio.CancelScope(shield=True):
            try:
                await anyio.sleep(1.5)
            except asyncio.CancelledError:
                await anyio.sleep(0.5)

    response = Pieces(stubborn, HEL, HANG)
    assert await cancelled_after(1, over(response)) == HELLO[:2]
    assert response.closed == 1


async def test_a_deadline_that_is_survived_goes_on_to_be_looked_at():
    async def stubborn():
        with anyio.CancelScope(shield=True):
            try:
                await anyio.sleep(1.5)
            except asyncio.CancelledError:
                await anyio.sleep(0.5)

    async with over(Pieces(stubborn, HEL, stubborn, LO, HANG)).within(idle=1) as stream:
        assert await stream.read() == HELLO[:2]
        assert await stream.read() == [TextDelta(0, "lo")]
        with pytest.raises(StreamFailed, match="within 1 s"):
            await stream.read()


async def test_an_error_that_comes_instead_of_the_end_of_a_wait_is_raised():
    async def broken():
        try:
            await HANG()
        finally:
            raise KeyError("a bug")

    stream = over(Pieces(broken)).within(total=1)
    with pytest.raises(KeyError, match="a bug"):
        await everything(stream)
    assert (stream.outcome.kind, stream.outcome.detail) == ("cancelled", "read")


# Cancelled by the event loop's own means as well

ASYNCIO = pytest.mark.parametrize("anyio_backend", [virtual_time("asyncio")], ids=["asyncio"])


async def end_by_deadline(stream):
    pass


async def end_by_cancel(stream):
    await asyncio.sleep(1)
    await stream.cancel()


ENDS = pytest.mark.parametrize("end", [end_by_deadline, end_by_cancel])


async def cancelled_at(stream, end, *, turns, seconds=1.0, cancels=1):
    """A task that reads, which somebody cancels about when the stream ends; whether it then is."""

    async def run():
        try:
            await everything(stream)
        except StreamFailed:
            await asyncio.sleep(50)

    task = asyncio.create_task(run())
    ending = asyncio.create_task(end(stream))
    await asyncio.sleep(seconds)
    for _ in range(turns):
        await asyncio.sleep(0)
    for _ in range(cancels):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([task, ending])
    return task.cancelled()


@ASYNCIO
@ENDS
@pytest.mark.parametrize("opening", [None, HANG], ids=["reading", "opening"])
@pytest.mark.parametrize("cancels", [1, 2])
@pytest.mark.parametrize("turns", range(8))
async def test_a_native_cancellation_at_the_same_time_is_never_swallowed(anyio_backend, end, opening, turns, cancels):
    response = Pieces(HEL, HANG)
    stream = over(response, opening=opening, deadlines=Deadlines(total=1))
    assert await cancelled_at(stream, end, turns=turns, cancels=cancels)
    assert stream.outcome.kind in {"cancelled", "timeout"}
    assert response.closed == (opening is None)


@ASYNCIO
@ENDS
async def test_what_is_cleaned_up_after_a_native_cancellation_is_not_interrupted(anyio_backend, end):
    cleaned = []

    async def slow():
        try:
            await HANG()
        finally:
            await asyncio.sleep(1)
            cleaned.append(True)

    stream = over(Pieces(slow), deadlines=Deadlines(total=1))
    assert await cancelled_at(stream, end, seconds=0.5, turns=0)
    assert (cleaned, stream.outcome.kind) == ([True], "cancelled")


@ASYNCIO
async def test_a_deadline_waits_for_a_cancellation_that_is_caught_on_the_way(anyio_backend):
    """A scope inside of the read ends at the same time, and what it cleans up takes longer."""

    async def limited():
        with anyio.move_on_after(0.99):
            try:
                await HANG()
            finally:
                await asyncio.sleep(0.02)
        await HANG()

    assert (await timed_out(over(Pieces(limited)).within(total=1)))[0] == "total"


@ASYNCIO
async def test_a_task_that_had_been_cancelled_before_can_still_be_timed_out(anyio_backend):
    async def run():
        try:
            await HANG()
        except asyncio.CancelledError:
            return await timed_out(over(Pieces(HANG)).within(total=1))

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == ("total", 1)
    assert task.cancelling() == 1


@ASYNCIO
async def test_no_cancellation_is_left_with_the_task(anyio_backend):
    await timed_out(over(Pieces(HANG)).within(total=1))
    await timed_out(over(None, opening=HANG).within(total=1))
    assert asyncio.current_task().cancelling() == 0


@ASYNCIO
async def test_a_timeout_around_the_reader_is_told_apart_from_the_deadline(anyio_backend):
    stream = over(Pieces(HANG)).within(total=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await everything(stream)
    assert stream.outcome.kind == "cancelled"


# Statistics


async def test_statistics_tell_the_providers_time_from_the_consumers():
    async with over(Pieces(2, COUNT, 1, HEL, 3, LO, 0.5, END), opening=1) as stream:
        for _ in range(5):
            await stream.read()
            await anyio.sleep(4)
    found = stream.statistics()
    assert found.bytes == len(COUNT + HEL + LO + END)
    assert found.events == len(HELLO) + 1
    assert found.elapsed == pytest.approx(27.5)
    assert found.provider_wait == pytest.approx(7.5)
    assert found.consumer_wait == pytest.approx(20)
    assert found.first_content == pytest.approx(8)
    assert found.largest_gap == pytest.approx(3)


async def test_statistics_may_be_asked_at_any_time():
    stream = over(Pieces(1, HEL, HANG))
    assert stream.statistics().elapsed == 0
    async with stream:
        await stream.read()
        await anyio.sleep(2)
        found = stream.statistics()
    assert (found.elapsed, found.provider_wait, found.largest_gap) == (pytest.approx(3), pytest.approx(1), None)
    await anyio.sleep(5)
    assert stream.statistics().elapsed == pytest.approx(3)


async def test_the_time_of_a_stream_that_could_not_be_opened_was_the_providers():
    stream = over(None, opening=HANG).within(total=2)
    await timed_out(stream)
    found = stream.statistics()
    assert (found.provider_wait, found.consumer_wait, found.first_content) == (pytest.approx(2), pytest.approx(0), None)


async def test_the_time_of_a_read_that_was_cancelled_was_the_providers():
    async with over(Pieces(HANG)) as stream:
        with anyio.move_on_after(2):
            await stream.read()
        assert stream.statistics().provider_wait == pytest.approx(2)


# Observers


class Watcher:
    """Notes what it is told."""

    def __init__(self, record=None):
        self.record, self.told = record, []

    def opened(self, stream):
        self.told.append("opened")

    def ended(self, stream):
        self.told.append(stream.outcome)


async def test_an_observer_is_told_of_the_opening_and_of_the_outcome_once():
    watcher = Watcher("record")
    stream = over(Pieces(HEL, LO, END)).observe(watcher)
    assert watcher.told == []
    async with stream:
        assert watcher.told == ["opened"]
        await stream.collect()
        assert watcher.told == ["opened", HELLO[-1]]
        await stream.cancel()
    assert watcher.told == ["opened", HELLO[-1]]
    assert stream.record == "record"


async def test_an_observer_is_told_how_a_stream_could_not_be_opened():
    watcher = Watcher()
    with pytest.raises(StreamFailed) as caught:
        await over(None, opening=HANG).within(total=1).observe(watcher).__aenter__()
    assert watcher.told == ["opened", caught.value.failure]


async def test_an_observer_is_not_told_of_a_stream_that_was_never_opened():
    watcher = Watcher()
    stream = over(Pieces(HEL)).observe(watcher)
    await stream.cancel()
    assert watcher.told == []


async def test_several_observe_and_the_last_has_the_record():
    first, last = Watcher("first"), Watcher("last")
    stream = over(Pieces(HEL, LO, END)).observe(first).observe(last)
    await everything(stream)
    assert first.told == last.told == ["opened", HELLO[-1]]
    assert stream.record == "last"


async def test_an_open_stream_cannot_be_observed_any_more():
    async with over(Pieces(HEL, LO, END)) as stream:
        with pytest.raises(LocalError):
            stream.observe(Watcher())
    assert stream.record is None


async def test_an_observed_stream_counts_what_it_says():
    stream = over(Pieces(1, COUNT, 1, HEL, 1, LO, 1, END)).observe(Watcher())
    await everything(stream)
    found = stream.statistics()
    assert (found.characters, found.sent, found.headers) == (5, 0, pytest.approx(0))
    assert [found.first_byte, found.first_text, found.last_content] == pytest.approx([1, 2, 3])
    other = over(Pieces(COUNT, HEL, LO, END))
    await everything(other)
    found = other.statistics()
    assert (found.characters, found.first_text, found.last_content) == (None, None, None)


async def test_an_attempt_has_the_times_of_its_stream():
    stream = over(Pieces(1, HEL, LO, 2, END), opening=1)
    assert stream.attempts[0].began is None
    await everything(stream)
    (attempt,) = stream.attempts
    times = [attempt.headers, attempt.first_byte, attempt.ended]
    assert [time - attempt.began for time in times] == pytest.approx([1, 2, 4])
    assert attempt.chosen


async def test_what_happened_before_a_reader_came_is_not_in_its_statistics():
    async with tee(over(Pieces(HEL, 1, LO, END)), 1) as (reader,):
        await anyio.sleep(0.5)
        await everything(reader)
    found = reader.statistics()
    assert (found.sent, found.headers) == (None, None)
