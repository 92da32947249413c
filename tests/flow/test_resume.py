"""A reader that lost its connection goes on exactly where it stopped; the stream never knew."""

from __future__ import annotations

import base64
from math import inf

import anyio
import grammar
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from fed import HELLO, Fed, turns
from strategies import streams
from streamcore.errors import LocalError, StreamFailed
from streamcore.events import Failure, Finish, Start, TextDelta, Usage
from streamcore.flow.log import MemoryLog, dead
from streamcore.flow.resume import Resumable
from streamcore.message import Fold
from streamcore.stream import Stream
from streamcore.testing import ScriptedModel

pytestmark = pytest.mark.anyio

LEFT = Failure("cancelled", "whoever read the stream from its provider has left", detail="closed")
STOPPED = Failure("cancelled", "the stream was stopped", detail="stop")


class Away:
    """A log that is asked through a network: it takes its time, cuts batches anywhere, and may not be reached."""

    def __init__(self, log, cuts=(1,)):
        self.log = log
        self.cuts = list(cuts)
        self.error = None  # raised by every append
        self.once = None  # raised by the next
        self.gate = None  # whatever is written takes until this is set

    async def create(self, id, /, *, alive):
        await (checkpoint() if self.gate is None else self.gate.wait())
        await self.log.create(id, alive=alive)

    async def append(self, id, cursor, events, /, *, alive):
        once, self.once = self.once, None
        if (error := self.error or once) is not None:
            raise error
        going = await self.log.append(id, cursor, events, alive=alive)
        await (
            checkpoint() if self.gate is None else self.gate.wait()
        )  # cancelled here, it was appended and nobody knows
        return going

    async def read(self, id, cursor, /, *, wait=True):
        events = await self.log.read(id, cursor, wait=wait)
        await checkpoint()
        self.cuts.append(self.cuts.pop(0))
        return events[: self.cuts[0]]

    async def stop(self, id, /):
        return await self.log.stop(id)


async def whole(stream, into=None):
    """All of its events, the failure as the last one."""
    events = [] if into is None else into
    async with stream:
        while batch := await stream.pull():
            events += batch
    return events


async def failure_of(stream):
    with pytest.raises(StreamFailed) as caught:
        async with stream:
            await stream.collect()
    return caught.value.failure


def hello():
    return ScriptedModel(HELLO).stream("?")


# Following.


async def test_a_stream_is_followed_from_its_beginning_to_its_end():
    async with Resumable(MemoryLog()) as streams_:
        id = await streams_.start(hello())
        assert await whole(streams_.follow(id)) == HELLO


@pytest.mark.parametrize("cuts", [(100,), (1,), (2, 1)])
@pytest.mark.parametrize("cursor", range(len(HELLO)))
async def test_a_reader_that_stops_after_any_event_goes_on_with_the_next(cursor, cuts):
    async with Resumable(Away(MemoryLog(), cuts)) as owner:
        id = await owner.start(hello())
        seen = []
        async with owner.follow(id) as stream:
            while len(seen) < cursor:
                seen.append(await anext(stream))
        async with owner.follow(id, after=len(seen)) as stream:
            seen += [event async for event in stream]
    assert seen == HELLO


async def test_the_cursor_of_an_event_is_how_many_have_come_with_it():
    async with Resumable(MemoryLog()) as owner:
        id = await owner.start(hello())
        await turns()
        async with owner.follow(id, after=2) as stream:
            numbered = [pair async for pair in _enumerate(stream, 3)]
    assert numbered == [*enumerate(HELLO, 1)][2:]


async def _enumerate(stream, number):
    while events := await stream.read():
        for event in events:
            yield number, event
            number += 1


async def test_one_who_has_had_everything_is_told_the_end_again():
    async with Resumable(MemoryLog()) as owner:
        id = await owner.start(hello())
        await whole(owner.follow(id))
        again = owner.follow(id, after=len(HELLO))
        assert await whole(again) == HELLO[-1:]
        assert again.outcome == HELLO[-1]


async def test_a_resumed_stream_is_a_stream():
    async with Resumable(MemoryLog()) as owner:
        id = await owner.start(hello())
        fold = Fold(HELLO[:2])
        await turns()
        async with owner.follow(id, after=2).within(total=60) as stream:
            await stream.collect(fold)
    assert fold.text == "Hello"
    assert (stream.usage, stream.outcome) == (Usage(output_tokens=2), Finish("stop", "done"))
    assert (stream.attempts, stream.warnings, stream.request_id, stream.statistics().bytes) == ((), (), None, 0)


async def test_followers_wait_for_what_is_still_to_come():
    fed = Fed(HELLO[:2])
    results = [[], []]
    async with Resumable(MemoryLog()) as owner:
        id = await owner.start(Stream(fed))
        async with anyio.create_task_group() as group:
            group.start_soon(whole, owner.follow(id), results[0])
            await turns()
            group.start_soon(whole, owner.follow(id, after=2), results[1])
            await turns()
            fed.feed(HELLO[2:3])
            await turns()
            assert results == [HELLO[:3], HELLO[2:3]]
            fed.feed(HELLO[3:])
    assert results == [HELLO, HELLO[2:]]


async def test_a_stream_goes_on_when_its_reader_is_cancelled():
    fed = Fed(HELLO[:2])
    async with Resumable(MemoryLog()) as owner:
        id = await owner.start(Stream(fed))
        async with anyio.create_task_group() as group:
            group.start_soon(whole, owner.follow(id))
            await turns()
            group.cancel_scope.cancel()
        fed.feed(HELLO[2:])
        assert await whole(owner.follow(id)) == HELLO


async def test_a_follower_ended_by_its_own_deadline_leaves_the_stream_alone():
    async with Resumable(MemoryLog()) as owner:
        id = await owner.start(Stream(Fed()))
        late = await whole(owner.follow(id).within(total=60))
        grammar.check(late)
        assert late[-1].detail == "total"
        assert (await whole(owner.follow(id).within(idle=60)))[-1].detail == "idle"


async def test_a_failure_of_the_provider_is_the_last_event_for_every_follower():
    async with Resumable(MemoryLog()) as owner:
        id = await owner.start(ScriptedModel(HELLO[:3]).stream("?"))
        events = await whole(owner.follow(id))
        assert events[:-1] == HELLO[:3]
        assert events[-1].kind == "truncated"
        assert await whole(owner.follow(id, after=3)) == events[3:]


async def test_any_node_with_the_log_can_follow():
    log = MemoryLog()
    async with Resumable(log) as owner:
        id = await owner.start(hello())
        assert await whole(Resumable(log).follow(id)) == HELLO


async def test_ids_are_random_and_of_128_bits():
    async with Resumable(MemoryLog()) as owner:
        first, second = await owner.start(hello()), await owner.start(hello())
    assert first != second
    assert len(base64.urlsafe_b64decode(first + "==")) == 16


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@settings(max_examples=30)
@given(st.data())
def test_however_often_readers_lose_their_connection_they_read_the_whole(anyio_backend, data):
    source = data.draw(streams())
    cuts = sorted(data.draw(st.sets(st.integers(1, len(source)), max_size=8)) | {len(source)})
    batches = [source[first:last] for first, last in zip([0, *cuts], cuts, strict=False) if last > first]
    reads = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    lives = data.draw(st.lists(st.lists(st.integers(0, 5), max_size=6), min_size=1, max_size=3))
    paces = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=4))

    async def follow(owner, id, steps):
        seen = []
        for number, step in enumerate([*steps, len(source)]):
            async with owner.follow(id, after=len(seen)) as stream:
                for _ in range(step):
                    if len(seen) == len(source):
                        break
                    batch = await stream.pull()
                    seen += batch[: max(1, step)]  # the connection broke within a batch
                    await turns(paces[number % len(paces)])
                    if batch[max(1, step) :]:
                        break
        assert len(seen) <= len(source)
        if len(seen) < len(source):
            seen += await whole(owner.follow(id, after=len(seen)))
        assert seen == source

    async def main():
        fed = Fed()
        with anyio.fail_after(10):
            async with Resumable(Away(MemoryLog(), reads)) as owner, anyio.create_task_group() as group:
                id = await owner.start(Stream(fed))
                for steps in lives:
                    group.start_soon(follow, owner, id, steps)
                for number, batch in enumerate(batches):
                    fed.feed(batch)
                    await turns(paces[number % len(paces)])

    anyio.run(main, backend=anyio_backend)


# Stopping, and dying.


async def test_stop_ends_the_stream_for_all_and_closes_the_connection():
    fed = Fed(HELLO[:2])
    events = []
    async with Resumable(MemoryLog()) as owner, anyio.create_task_group() as group:
        id = await owner.start(Stream(fed))
        group.start_soon(whole, owner.follow(id), events)
        await turns()
        assert await owner.stop(id)
        assert fed.closed
        assert not await owner.stop(id)
        assert await whole(owner.follow(id)) == [*HELLO[:2], STOPPED]
    assert events == [*HELLO[:2], STOPPED]


async def test_a_stream_stopped_before_its_first_event_begins_and_ends():
    async with Resumable(MemoryLog()) as owner:
        id = await owner.start(Stream(Fed()))
        await owner.stop(id)
        assert await whole(owner.follow(id)) == [Start(), STOPPED]


async def test_stop_from_elsewhere_is_heard_with_the_next_sign_of_life():
    log = Away(MemoryLog(), [9])
    fed = Fed(HELLO[:2])
    async with Resumable(log, alive=15) as owner:
        id = await owner.start(Stream(fed))
        await turns()
        assert await Resumable(log).stop(id)
        assert await whole(owner.follow(id)) == [*HELLO[:2], STOPPED]
        await turns()
        assert fed.closed
        assert not await Resumable(log).stop(id)


async def test_stop_from_elsewhere_is_heard_with_the_next_events():
    log = MemoryLog()
    fed = Fed(HELLO[:2])
    async with Resumable(log) as owner:
        id = await owner.start(Stream(fed))
        await turns()
        assert await Resumable(log).stop(id)
        fed.feed(HELLO[2:4])
        assert await whole(owner.follow(id)) == [*HELLO[:4], STOPPED]


async def test_nobody_stops_a_stream_that_is_not_there():
    assert not await Resumable(MemoryLog()).stop("nothing")


async def test_when_the_owner_leaves_followers_are_told():
    fed = Fed(HELLO[:2])
    events = []
    log = MemoryLog()
    async with anyio.create_task_group() as group:
        async with Resumable(log) as owner:
            id = await owner.start(Stream(fed))
            group.start_soon(whole, owner.follow(id), events)
            await turns()
        assert fed.closed
    assert events == await whole(Resumable(log).follow(id)) == [*HELLO[:2], LEFT]


async def test_an_exception_in_the_owners_block_comes_out_as_it_was():
    mine = ValueError("mine")
    fed = Fed(HELLO[:2])

    async def use():
        async with Resumable(MemoryLog()) as owner:
            await owner.start(Stream(fed))
            raise mine

    with pytest.raises(ValueError) as caught:
        await use()
    assert caught.value is mine
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert fed.closed


@pytest.mark.parametrize("slow", [True, False])
async def test_a_cancellation_from_outside_passes_and_followers_are_told(slow):
    log = MemoryLog()
    fed = Fed(HELLO[:2])
    with anyio.CancelScope() as scope:
        async with Resumable(Away(log) if slow else log) as owner:
            id = await owner.start(Stream(fed))
            await turns()
            scope.cancel()
            await checkpoint()
    assert scope.cancelled_caught
    assert fed.closed
    assert await whole(Resumable(log).follow(id)) == [*HELLO[:2], LEFT]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("times", [1, 2, 3])
async def test_native_cancellations_leave_nothing_open(times):
    import asyncio

    fed = Fed(HELLO[:2])
    log = MemoryLog()
    ids = []

    async def use():
        async with Resumable(log) as owner:
            ids.append(await owner.start(Stream(fed)))
            await anyio.sleep_forever()

    task = asyncio.ensure_future(use())
    await turns()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert fed.closed
    assert (await whole(Resumable(log).follow(ids[0])))[-1] == LEFT


@pytest.mark.parametrize("at", range(0, 16, 3))
async def test_whenever_the_owner_is_left_the_log_holds_one_whole_stream(at):
    log = MemoryLog()
    model = ScriptedModel(HELLO)
    async with Resumable(Away(log)) as owner:
        id = await owner.start(model.stream("?"))
        await turns(at)
    assert model.open == 0
    events = await whole(Resumable(log).follow(id))
    grammar.check(events)
    assert events[1:-1] == HELLO[1 : len(events) - 1]
    assert events[-1] in {HELLO[-1], LEFT}


async def test_a_producer_that_is_not_heard_of_is_dead():
    log = MemoryLog()
    await log.create("silent", alive=0)
    assert await whole(Resumable(log).follow("silent")) == [Start(), dead()]


async def test_a_producer_that_dies_while_followers_wait_is_noticed():
    log = MemoryLog()
    await log.create("silent", alive=10)
    await log.append("silent", 0, HELLO[:2], alive=15)
    began = anyio.current_time()
    assert await whole(Resumable(log).follow("silent", after=1)) == [HELLO[1], dead()]
    assert 15 <= anyio.current_time() - began < 16
    assert not await log.append("silent", 2, HELLO[2:], alive=10)


async def test_a_silent_provider_does_not_make_a_dead_producer():
    fed = Fed(HELLO[:2])
    events = []
    async with Resumable(MemoryLog(), alive=15) as owner, anyio.create_task_group() as group:
        id = await owner.start(Stream(fed))
        group.start_soon(whole, owner.follow(id), events)
        await anyio.sleep(100)
        fed.feed(HELLO[2:])
    assert events == HELLO


async def test_a_log_that_cannot_be_reached_ends_the_stream_and_not_the_owner():
    log = Away(MemoryLog(), [9])
    fed = Fed(HELLO[:2])
    async with Resumable(log) as owner:
        id = await owner.start(Stream(fed))
        await turns()
        log.error = StreamFailed(Failure("connection", "no log", detail="reset"))
        fed.feed(HELLO[2:3])
        await turns()
        assert fed.closed
        assert not await owner.stop("other")
        async with owner.follow(id) as stream:
            assert await stream.read() == HELLO[:2]


async def test_a_log_that_fails_once_is_told_the_rest_when_it_is_back():
    log = Away(MemoryLog(), [9])
    fed = Fed(HELLO[:2])
    failure = Failure("connection", "no log", detail="reset")

    async with Resumable(log) as owner:
        id = await owner.start(Stream(fed))
        await turns()
        log.once = StreamFailed(failure)
        fed.feed(HELLO[2:3])
        assert await whole(owner.follow(id)) == [*HELLO[:3], failure]


async def test_a_sign_of_life_that_does_not_get_through_is_given_again():
    log = Away(MemoryLog(), [9])
    fed = Fed(HELLO[:2])
    async with Resumable(log, alive=15) as owner:
        id = await owner.start(Stream(fed))
        await turns()
        log.once = StreamFailed(Failure("connection", "no log", detail="reset"))
        await anyio.sleep(14)
        assert log.once is None
        fed.feed(HELLO[2:])
        assert await whole(owner.follow(id)) == HELLO


@pytest.mark.parametrize("where", ["stream", "log", "beat"])
async def test_a_defect_ends_its_stream_and_is_raised_when_the_owner_is_left(where):
    bug = KeyError("bug")
    log = Away(MemoryLog(), [9])
    fed = Fed(HELLO[:2], bug=bug if where == "stream" else None)
    with pytest.raises(KeyError) as caught:
        async with Resumable(log) as owner:
            id = await owner.start(Stream(fed))
            await turns()
            if where == "stream":
                events = await whole(owner.follow(id))
                assert events[:2] == HELLO[:2]
                assert (events[2].kind, events[2].detail) == ("protocol", "defect")
            elif where == "log":
                log.error = bug
                fed.feed(HELLO[2:3])
            else:
                log.error = bug
                await anyio.sleep(1)
            await turns()
    assert caught.value is bug
    assert fed.closed


@pytest.mark.parametrize("how", ["cancel", "closed"])
async def test_a_stream_that_another_task_ends_ends_in_the_log(how):
    fed = Fed(HELLO[:2])
    source = Stream(fed)
    log = Away(MemoryLog(), [9])
    async with Resumable(log) as owner:
        id = await owner.start(source)
        log.gate = anyio.Event()
        await turns()
        await (source.cancel() if how == "cancel" else source.aclose())
        log.gate.set()
        assert await whole(owner.follow(id)) == [*HELLO[:2], source.outcome]
    assert source.outcome.detail == how


# Starting.


async def test_a_stream_that_cannot_be_opened_is_not_started():
    async with Resumable(MemoryLog(streams=1)) as owner:
        with pytest.raises(StreamFailed) as caught:
            await owner.start(ScriptedModel(Failure("auth", "no")).stream("?"))
        assert caught.value.failure.kind == "auth"
        await owner.start(hello())


async def test_a_log_without_room_refuses_and_the_stream_is_closed():
    model = ScriptedModel(HELLO)
    async with Resumable(MemoryLog(streams=1)) as owner:
        await owner.start(Stream(Fed()))
        with pytest.raises(StreamFailed) as caught:
            await owner.start(model.stream("?"))
    failure = caught.value.failure
    assert (failure.kind, failure.detail) == ("overloaded", "log")
    assert model.open == 0


async def test_streams_are_started_inside_the_owners_block():
    owner = Resumable(MemoryLog())
    with pytest.raises(LocalError, match="async with"):
        await owner.start(hello())
    async with owner:
        with pytest.raises(LocalError, match="open already"):
            await owner.__aenter__()
    with pytest.raises(LocalError, match="async with"):
        await owner.start(hello())


async def test_a_stream_whose_owner_leaves_while_it_is_opened_is_closed():
    model = ScriptedModel(HELLO)
    log = Away(MemoryLog())
    log.gate = anyio.Event()
    owner = Resumable(log)

    async def start():
        with pytest.raises(LocalError, match="async with"):
            await owner.start(model.stream("?"))

    async with anyio.create_task_group() as group:
        async with owner:
            group.start_soon(start)
            await turns()
        log.gate.set()
    assert model.open == 0


@pytest.mark.parametrize("alive", [0, -1, float("nan")])
def test_a_sign_of_life_needs_time(alive):
    with pytest.raises(LocalError):
        Resumable(MemoryLog(), alive=alive)


# The log.


@pytest.mark.parametrize("options", [{"events": 0}, {"streams": 0}, {"seconds": -1}])
def test_a_log_that_cannot_keep_anything_is_refused(options):
    with pytest.raises(LocalError):
        MemoryLog(**options)


@pytest.mark.parametrize("cursor", [-1, len(HELLO) + 1])
async def test_a_cursor_that_is_none_of_the_streams_is_invalid(cursor):
    async with Resumable(MemoryLog()) as owner:
        id = await owner.start(hello())
        await whole(owner.follow(id))
        failure = await failure_of(owner.follow(id, after=cursor))
    assert (failure.kind, failure.detail) == ("invalid", "cursor")


async def test_an_unknown_stream_is_not_found():
    failure = await failure_of(Resumable(MemoryLog()).follow("nothing"))
    assert (failure.kind, failure.detail, failure.retryable) == ("not_found", "expired", False)


async def test_events_that_are_not_kept_any_more_are_gone_and_the_last_ones_are_not():
    log = MemoryLog(events=4)
    source = [HELLO[0], *[TextDelta(0, str(number)) for number in range(20)], *HELLO[4:]]
    async with Resumable(log) as owner:
        id = await owner.start(ScriptedModel(source).stream("?"))
        await turns(60)
        failure = await failure_of(owner.follow(id, after=1))
        assert (failure.kind, failure.detail) == ("not_found", "gone")
        assert await whole(owner.follow(id, after=len(source) - 4)) == source[-4:]


async def test_a_follower_that_is_overtaken_fails_and_misses_nothing_silently():
    log = MemoryLog(events=2)
    await log.create("s", alive=10)
    await log.append("s", 0, HELLO[:2], alive=10)
    async with Resumable(log).follow("s") as stream:
        assert await stream.read() == HELLO[:2]
        await log.append("s", 2, [TextDelta(0, "x")] * 9, alive=10)
        with pytest.raises(StreamFailed, match="gone"):
            await stream.read()


async def test_a_stream_expires_some_time_after_its_end():
    log = MemoryLog(seconds=120)
    await log.create("s", alive=inf)
    await anyio.sleep(1000)
    await log.append("s", 0, HELLO, alive=inf)
    await anyio.sleep(119)
    assert await log.read("s", 5) == HELLO[5:]
    await anyio.sleep(2)
    with pytest.raises(StreamFailed, match="expired"):
        await log.read("s", 5)
    assert not log._kept
    assert not await log.append("s", 6, [], alive=inf)


async def test_the_one_that_ended_first_makes_room():
    log = MemoryLog(streams=3)
    for id in "abc":
        await log.create(id, alive=inf)
    for id in "ba":
        await log.append(id, 0, HELLO, alive=inf)
    await log.create("d", alive=inf)
    with pytest.raises(StreamFailed, match="expired"):
        await log.read("b", 0)
    assert await log.read("a", 0) == HELLO


async def test_one_whose_producer_is_dead_makes_room():
    log = MemoryLog(streams=1)
    await log.create("a", alive=0)
    await log.create("b", alive=inf)
    assert await log.read("b", 0, wait=False) == []


async def test_appending_again_what_is_there_changes_nothing():
    log = MemoryLog()
    await log.create("s", alive=inf)
    assert await log.append("s", 0, HELLO[:3], alive=inf)
    assert await log.append("s", 1, HELLO[1:4], alive=inf)
    assert await log.append("s", 0, HELLO[:2], alive=inf)
    assert await log.read("s", 0) == HELLO[:4]


async def test_events_cannot_be_appended_after_a_hole():
    log = MemoryLog()
    await log.create("s", alive=inf)
    with pytest.raises(LocalError, match="cannot follow"):
        await log.append("s", 1, HELLO[1:], alive=inf)


async def test_nothing_is_appended_after_the_end():
    log = MemoryLog()
    await log.create("s", alive=inf)
    await log.append("s", 0, HELLO, alive=inf)
    assert not await log.append("s", 6, HELLO, alive=inf)
    assert await log.read("s", 0) == HELLO
