"""One stream for several readers: whole for each, bounded, and closed when nobody is left."""

from __future__ import annotations

import json
from functools import partial

import anyio
import grammar
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from fed import HELLO, Fed, turns
from strategies import streams
from streamcore.errors import LocalError, StreamFailed
from streamcore.events import (
    BlockEnd,
    Extension,
    Failure,
    Finish,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from streamcore.flow import fallback
from streamcore.flow.tee import tee
from streamcore.stream import Stream
from streamcore.testing import ScriptedModel

pytestmark = pytest.mark.anyio

SLOW = Failure("cancelled", "the reader was 3 events behind", detail="slow")


def gap(events):
    return Extension("streamcore:gap", f'{{"events":{events}}}')


def words(*texts):
    return [TextDelta(0, text) for text in texts]


async def within(main):
    """A test that hangs fails."""
    with anyio.fail_after(10):
        await main()


async def whole(stream, into=None):
    """All of its events, the failure as the last one."""
    events = [] if into is None else into
    async with stream:
        while batch := await stream.pull():
            events += batch
    return events


async def all_of(readers):
    """What each reader gives, all read at once."""
    results = [[] for _ in readers]
    async with anyio.create_task_group() as group:
        for reader, into in zip(readers, results, strict=True):
            group.start_soon(whole, reader, into)
    return results


async def test_every_reader_gets_every_event_in_order():
    async with tee(ScriptedModel(HELLO).stream("?"), 3) as readers:
        assert await all_of(readers) == [HELLO] * 3


async def test_readers_may_read_one_after_the_other_what_fits_the_buffer():
    async with tee(ScriptedModel(HELLO).stream("?"), 2) as (left, right):
        assert await whole(left) == HELLO
        assert await whole(right) == HELLO


async def test_a_batch_stays_a_batch_for_a_reader_that_keeps_up():
    fed = Fed()
    seen = []

    async def follow(reader):
        async with reader:
            while batch := await reader.read():
                seen.append(batch)

    async with tee(Stream(fed), 2) as readers, anyio.create_task_group() as group:
        for reader in readers:
            group.start_soon(follow, reader)
        for batch in (HELLO[:3], HELLO[3:4], HELLO[4:]):
            fed.feed(batch)
            await turns()
    assert seen == [HELLO[:3]] * 2 + [HELLO[3:4]] * 2 + [HELLO[4:]] * 2


async def test_a_list_given_to_one_reader_is_its_own():
    async with tee(ScriptedModel(HELLO).stream("?"), 2) as (left, right):
        async with left:
            (await left.read()).clear()
        assert await whole(right) == HELLO


async def test_each_reader_is_a_stream_with_all_that_a_stream_can():
    async with tee(ScriptedModel(HELLO).stream("?"), 3) as (texts, folded, counted):
        async with texts:
            assert [text async for text in texts.text()] == ["Hel", "lo"]
        async with folded:
            assert (await folded.collect()).text == "Hello"
        async with counted.within(total=60):
            assert [event async for event in counted] == HELLO
        assert counted.statistics().events == len(HELLO)
        assert counted.usage == Usage(output_tokens=2)
        assert counted.outcome == folded.outcome == texts.outcome == Finish("stop", "done")


async def test_readers_know_what_the_source_knows():
    source = Stream(Fed(HELLO))
    async with tee(source, 1) as (reader,):
        await whole(reader)
        assert (reader.request_id, reader.warnings, reader.attempts) == ("req-1", (), ())
        assert reader.statistics().bytes == source.statistics().bytes == 7


async def test_a_reader_is_told_usage_with_its_own_events_and_not_before():
    fed = Fed(HELLO[:3])
    async with tee(Stream(fed), 2) as (ahead, behind), ahead, behind:
        assert await behind.read() == HELLO[:3]
        fed.feed(HELLO[3:])
        await ahead.collect()
        assert (ahead.usage, ahead.outcome) == (Usage(output_tokens=2), Finish("stop", "done"))
        assert (behind.usage, behind.outcome) == (None, None)
        await behind.collect()
        assert (behind.usage, behind.outcome) == (ahead.usage, ahead.outcome)


async def test_a_failure_of_the_source_is_told_to_every_reader_after_the_events_before_it():
    async with tee(ScriptedModel(HELLO[:3]).stream("?"), 2) as readers:
        left, right = await all_of(readers)
    assert left == right
    assert left[:3] == HELLO[:3]
    assert left[3].kind == "truncated"
    assert readers[0].outcome == left[3]


async def test_a_stream_that_cannot_be_opened_fails_where_the_tee_is_entered():
    with pytest.raises(StreamFailed) as caught:
        async with tee(ScriptedModel(Failure("auth", "no")).stream("?")):
            raise AssertionError
    assert caught.value.failure.kind == "auth"


async def test_tees_nest_and_combine_with_models():
    class Twice:
        def stream(self, request):
            return readers[0]

    async with tee(ScriptedModel(HELLO).stream("?"), 2) as readers, tee(fallback(Twice()).stream("?"), 2) as inner:
        assert await all_of([readers[1], *inner]) == [HELLO] * 3


# Leaving.


async def test_a_reader_that_leaves_is_forgotten_and_the_others_go_on():
    model = ScriptedModel(HELLO)
    async with tee(model.stream("?"), 2, buffer=1) as (left, right):
        async with left:
            await left.read()
        assert left.outcome == Failure("cancelled", "the reader left the stream before its end", detail="closed")
        assert await whole(right) == HELLO
    assert model.open == 0


async def test_a_reader_whose_task_is_cancelled_while_it_waits_is_forgotten():
    fed = Fed(HELLO[:2])
    async with tee(Stream(fed), 2) as (left, right):
        async with anyio.create_task_group() as group:
            group.start_soon(whole, left)
            await turns()
            group.cancel_scope.cancel()
        assert left.outcome.kind == "cancelled"
        fed.feed(HELLO[2:])
        assert await whole(right) == HELLO


async def test_a_reader_can_be_cancelled_from_another_task_alone():
    fed = Fed(HELLO[:2])
    events = []
    async with tee(Stream(fed), 2) as (left, right), anyio.create_task_group() as group:
        group.start_soon(whole, left, events)
        await turns()
        await left.cancel()
        assert events[-1] == left.outcome == Failure("cancelled", "the stream was cancelled", detail="cancel")
        fed.feed(HELLO[2:])
        assert await whole(right) == HELLO


async def test_a_reader_that_is_ended_before_its_first_event_still_begins_with_start():
    events = []
    async with tee(Stream(Fed()), 2) as (left, _), anyio.create_task_group() as group:
        group.start_soon(whole, left, events)
        await turns()
        await left.cancel()
    grammar.check(events)


async def test_a_deadline_of_one_reader_is_its_own():
    fed = Fed(HELLO[:2])
    async with tee(Stream(fed), 2) as (left, right):
        assert (await whole(left.within(idle=60)))[-1].detail == "idle"
        fed.feed(HELLO[2:])
        assert await whole(right) == HELLO


async def test_when_the_last_reader_has_left_the_source_is_closed():
    fed = Fed(HELLO[:2])
    source = Stream(fed)
    async with tee(source, 2) as readers:
        for reader in readers:
            async with reader:
                await reader.read()
        assert fed.closed
        assert source.outcome == Failure("cancelled", "the reader left the stream before its end", detail="closed")


async def test_readers_cancelled_before_they_are_opened_have_left_too():
    fed = Fed(HELLO[:2])
    source = Stream(fed)
    async with tee(source, 2) as readers:
        for reader in readers:
            await reader.cancel()
        await turns()
        assert fed.closed
        assert source.outcome.detail == "cancel"


async def test_leaving_the_tee_closes_the_source_and_ends_its_readers():
    fed = Fed(HELLO[:2])
    events = []
    async with anyio.create_task_group() as group:
        async with tee(Stream(fed), 2) as (left, right):
            group.start_soon(whole, left, events)
            await turns()
        assert fed.closed
        late = await whole(right)
    assert events == late == [*HELLO[:2], left.outcome]
    assert left.outcome == Failure("cancelled", "the tee was left before the stream's end", detail="closed")


async def test_a_tee_left_before_anything_was_read_ends_in_the_grammar():
    async with tee(ScriptedModel(HELLO).stream("?"), 1) as (reader,):
        pass
    events = await whole(reader)
    grammar.check(events)
    assert events[-1].kind == "cancelled"


async def test_what_was_read_before_the_tee_was_left_can_be_read_after_it():
    async with tee(ScriptedModel(HELLO).stream("?"), 1) as (reader,):
        await turns()
    assert await whole(reader) == HELLO


@pytest.mark.parametrize("place", ["reader", "tee", "group"])
async def test_an_exception_of_the_users_comes_out_as_it_was(place):
    model = ScriptedModel(HELLO)
    mine = ValueError("mine")

    async def use():
        async with tee(model.stream("?"), 2) as (left, right):
            if place == "tee":
                raise mine
            async with left, right:
                await left.read()
                raise mine

    with pytest.raises(ValueError) as caught:
        await use()
    assert caught.value is mine
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert model.open == 0


async def test_a_failure_raised_by_a_reader_comes_out_as_it_was():
    with pytest.raises(StreamFailed):
        async with tee(ScriptedModel(HELLO[:3]).stream("?"), 1) as (reader,), reader:
            await reader.collect()


async def test_a_cancellation_from_outside_passes_and_closes_the_source():
    fed = Fed(HELLO[:2])
    with anyio.CancelScope() as scope:
        async with tee(Stream(fed), 2) as (left, right), left:
            await left.read()
            scope.cancel()
            await left.read()
    assert scope.cancelled_caught
    assert fed.closed
    assert (await whole(right))[-1].kind == "cancelled"


async def test_a_cancelled_reader_outside_still_ends_in_the_grammar_after_nothing_was_read():
    with anyio.CancelScope() as scope:
        async with tee(Stream(Fed()), 1) as (reader,):
            await turns()
            scope.cancel()
            await checkpoint()
    grammar.check(await whole(reader))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("reading", [True, False])
async def test_native_cancellations_leave_nothing_open(times, reading):
    import asyncio

    fed = Fed(HELLO[:2])
    source = Stream(fed)

    async def use():
        async with tee(source, 2) as (left, _), left:
            await left.read()
            await (left.read() if reading else anyio.sleep_forever())

    task = asyncio.ensure_future(use())
    await turns()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert fed.closed
    assert source.outcome.kind == "cancelled"
    assert asyncio.all_tasks() == {asyncio.current_task()} | {
        each for each in asyncio.all_tasks() if "pytest" in repr(each) or "anyio" in repr(each)
    }


# After the end.


async def test_after_the_end_the_rest_of_the_body_is_read_while_the_tee_is_left_in_peace():
    fed = Fed(HELLO, drains=True)
    async with anyio.create_task_group() as group:
        held = tee(Stream(fed), 1)

        async def use():
            async with held as (reader,), reader:
                await reader.collect()

        group.start_soon(use)
        await fed.draining.wait()
        assert not fed.closed
        group.cancel_scope.cancel()
    assert fed.closed == 1


async def test_leaving_the_tee_while_the_rest_is_read_can_be_cancelled():
    fed = Fed(HELLO, drains=True)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group, tee(Stream(fed), 1) as (reader,):

            async def cancel():
                await turns(50)
                scope.cancel()

            group.start_soon(cancel)
            await fed.draining.wait()
    assert scope.cancelled_caught
    assert fed.closed == 1
    assert await whole(reader) == HELLO


async def test_an_exception_does_not_wait_for_the_rest_of_the_body():
    fed = Fed(HELLO, drains=True)
    with pytest.raises(ValueError, match="mine"):
        async with tee(Stream(fed), 2) as (left, _), left:
            await left.collect()
            await fed.draining.wait()
            raise ValueError("mine")
    assert fed.closed == 1


async def test_the_last_reader_to_leave_with_an_exception_does_not_wait_either():
    fed = Fed(HELLO, drains=True)
    async with tee(Stream(fed), 1) as (reader,):
        with pytest.raises(ValueError, match="mine"):
            async with reader:
                await reader.collect()
                await fed.draining.wait()
                raise ValueError("mine")
        assert fed.closed == 1


# Bounds.


async def test_the_source_is_not_read_while_a_reader_is_the_buffer_behind():
    fed = Fed([HELLO[0]], *([word] for word in words(*"abcdefgh")))
    async with tee(Stream(fed), 2, buffer=3) as (left, right), left, right:
        await turns()
        assert fed.asked == 3
        assert await left.read() == [HELLO[0], *words("a", "b")]
        await turns()
        assert fed.asked == 3
        assert await right.read() == [HELLO[0], *words("a", "b")]
        await turns()
        assert fed.asked == 6


async def test_the_memory_of_a_long_stream_does_not_grow():
    held = tee(ScriptedModel([HELLO[0], *words(*"x" * 2000), *HELLO[4:]]).stream("?"), 2, buffer=8, replay=4)
    largest = 0
    async with held as (left, right), left, right:
        while batch := await left.read():
            await right.read()
            largest = max(largest, len(batch), len(held._pump.tape.since(held._pump.tape.base)))
    assert largest <= 2 * (8 + 4)


async def test_a_reader_that_drops_loses_the_oldest_and_sees_where():
    fed = Fed(HELLO[:1], *([word] for word in words(*"abcdef")), HELLO[4:])
    async with tee(Stream(fed), 2, buffer=3, policy=["wait", "drop"]) as (left, right):
        assert await whole(left) == [HELLO[0], *words(*"abcdef"), *HELLO[4:]]
        lossy = await whole(right)
    assert lossy == [HELLO[0], *words("a"), gap(2), *words("d", "e", "f"), *HELLO[4:]]
    grammar.check(lossy)


async def test_what_a_reader_loses_in_a_row_is_one_gap():
    fed = Fed()
    async with tee(Stream(fed), 2, buffer=2, policy=["wait", "drop"]) as (left, right), left, right:
        for batch in ([HELLO[0]], *([word] for word in words(*"abcdefgh"))):
            fed.feed(batch)
            await left.read()
        await turns()
        assert await right.read() == [HELLO[0], TextDelta(0, "a"), gap(5), *words("g", "h")]
        fed.feed(words("i"))
        assert await right.read() == words("i")


async def test_the_last_usage_is_never_lost_and_older_ones_are():
    usages = [Usage(output_tokens=number) for number in range(9)]
    fed = Fed([HELLO[0], *words("a"), *usages, *words("b", "c", "d")], HELLO[4:])
    async with tee(Stream(fed), 2, buffer=3, policy=["wait", "drop"]) as (left, right):
        await whole(left)
        lossy = await whole(right)
    assert lossy == [HELLO[0], *words("a"), gap(9), usages[-1], *words("b", "c", "d"), *HELLO[4:]]
    assert right.usage == usages[-1]


async def test_a_newer_usage_among_the_rest_makes_the_older_needless():
    fed = Fed([HELLO[0], *words("a"), Usage(output_tokens=1), *words("b", "c")], HELLO[3:])
    async with tee(Stream(fed), 2, buffer=2, policy=["wait", "drop"]) as (left, right):
        await whole(left)
        assert await whole(right) == [HELLO[0], *words("a"), gap(1), *words("b", "c"), *HELLO[3:]]


async def test_a_reader_that_drops_keeps_the_beginnings_and_ends_of_blocks():
    events = [
        Start(),
        TextDelta(0, "a"),
        ToolCallStart(1, "c-1", "f"),
        ToolCallDelta(1, "{"),
        TextDelta(0, "b"),
        ToolCallDelta(1, "}"),
        BlockEnd(1, '{"signature":"s"}'),
        Extension("x:y", "1"),
        BlockEnd(0),
        Finish("tool_calls"),
    ]
    async with tee(Stream(Fed(events[:8], events[8:])), 2, buffer=1, policy=("wait", "drop")) as (left, right):
        await whole(left)
        lossy = await whole(right)
    assert lossy == [*events[:3], gap(3), *events[6:]]
    grammar.check(lossy)


async def test_a_reader_that_has_not_had_its_turn_loses_nothing():
    events = [HELLO[0], *words(*"x" * 500), *HELLO[4:]]
    async with tee(ScriptedModel(events).stream("?"), 2, buffer=4, policy="drop") as readers:
        assert await all_of(readers) == [events] * 2


async def test_a_reader_that_may_not_fall_behind_is_cut_off_and_the_others_go_on():
    fed = Fed([HELLO[0], *words("a")], words("b"), HELLO[4:])
    async with tee(Stream(fed), 2, buffer=2, policy=["wait", "leave"]) as (left, right):
        assert await whole(left) == [HELLO[0], *words("a", "b"), *HELLO[4:]]
        assert await whole(right) == [HELLO[0], *words("a", "b"), SLOW]
    assert right.outcome == SLOW


async def test_a_reader_that_is_cut_off_before_it_is_read_can_be_closed():
    fed = Fed([HELLO[0], *words("a")], words("b"), HELLO[4:])
    async with tee(Stream(fed), 2, buffer=2, policy=["wait", "leave"]) as (left, right), right:
        await whole(left)
    assert right.outcome.detail == "closed"


async def test_when_all_are_cut_off_the_source_is_closed():
    fed = Fed([HELLO[0], *words("a", "b")])
    source = Stream(fed)
    async with tee(source, 2, buffer=2, policy="leave"):
        await turns()
        assert fed.closed
        assert source.outcome == SLOW


# Late readers.


async def test_a_late_reader_begins_with_what_is_open():
    fed = Fed([HELLO[0], *words("a", "b"), Usage(output_tokens=2), *words("c")])
    held = tee(Stream(fed), 1)
    async with held as (first,), first:
        await first.read()
        async with held.reader() as late:
            assert await late.read() == [HELLO[0], *words("a"), gap(3), Usage(output_tokens=2)]
            fed.feed([*words("d"), *HELLO[4:]])
            assert await late.read() == [*words("d"), *HELLO[4:]]


async def test_a_late_reader_before_the_first_event_misses_nothing():
    held = tee(ScriptedModel(HELLO).stream("?"), 1)
    async with held as (first,):
        late = held.reader()
        assert await all_of([first, late]) == [HELLO] * 2


@pytest.mark.parametrize("replay", [0, 1, 2, 3, 5, 100])
async def test_a_late_reader_gets_the_last_events_that_are_kept(replay):
    events = [HELLO[0], *words(*"abcd"), *HELLO[4:]]
    held = tee(Stream(Fed(*([event] for event in events))), 1, replay=replay)
    async with held as (first,):
        await whole(first)
        late = await whole(held.reader("drop"))
    kept = max(replay, 1)
    assert late[-kept:] == events[-kept:]
    assert (late == events) == (replay >= 5)
    grammar.check(late)


async def test_a_late_reader_of_a_tee_that_all_have_left_gets_the_end():
    fed = Fed(HELLO[:2])
    held = tee(Stream(fed), 1)
    async with held as (first,):
        async with first:
            await first.read()
        late = await whole(held.reader())
    assert late == [*HELLO[:2], first.outcome]


async def test_a_late_reader_sets_the_pace_too():
    fed = Fed([HELLO[0]])
    held = tee(Stream(fed), 1, buffer=1)
    async with held as (first,), first:
        await first.read()
        async with held.reader() as late:
            await late.read()
            fed.feed(words("a"), words("b"))
            assert await first.read() == words("a")
            await turns()
            assert fed.asked == 2
            assert await late.read() == words("a")
            assert await first.read() == words("b")


# What is not right.


async def test_a_defect_of_the_source_is_raised_by_every_reader_after_its_events():
    bug = KeyError("bug")
    fed = Fed(HELLO[:2], bug=bug)
    async with tee(Stream(fed), 2) as readers:
        for reader in readers:
            async with reader:
                assert await reader.read() == HELLO[:2]
                with pytest.raises(KeyError) as caught:
                    await reader.read()
                assert caught.value is bug
    assert fed.closed


async def test_a_defect_that_no_reader_has_met_is_raised_when_the_tee_is_left():
    with pytest.raises(KeyError, match="bug"):
        async with tee(Stream(Fed(bug=KeyError("bug"))), 1):
            await turns()


async def test_a_defect_wakes_the_readers_who_wait():
    fed = Fed(HELLO[:2], bug=None)
    async with tee(Stream(fed), 1) as (reader,), reader:
        await reader.read()
        async with anyio.create_task_group() as group:

            async def wait():
                with pytest.raises(anyio.EndOfStream):
                    await reader.read()

            group.start_soon(wait)
            await turns()
            fed.send.close()


@pytest.mark.parametrize("held", [True, False])
async def test_a_source_that_another_task_cancels_ends_all_readers(held):
    fed = Fed(HELLO[:2])
    source = Stream(fed)
    async with tee(source, 1, buffer=1 if held else 9) as (reader,):
        await turns()
        await source.cancel()
        assert await whole(reader) == [*HELLO[:2], Failure("cancelled", "the stream was cancelled", detail="cancel")]


async def test_a_source_that_another_task_closes_ends_all_readers():
    fed = Fed(HELLO[:2])
    source = Stream(fed)
    async with tee(source, 1, buffer=1) as (reader,):
        await turns()
        await source.aclose()
        assert await whole(reader) == [*HELLO[:2], source.outcome]


@pytest.mark.parametrize(
    "options",
    [
        {"n": 0},
        {"buffer": 0},
        {"replay": -1},
        {"policy": "hurry"},
        {"policy": ["wait"]},
        {"policy": ["wait", "hurry"]},
    ],
)
async def test_a_tee_that_cannot_be_is_refused_at_once(options):
    with pytest.raises(LocalError):
        tee(ScriptedModel(HELLO).stream("?"), **options)


async def test_a_tee_is_opened_once_and_has_readers_while_it_is_open():
    held = tee(ScriptedModel(HELLO).stream("?"), 1)
    with pytest.raises(LocalError, match="not open"):
        held.reader()
    async with held:
        with pytest.raises(LocalError, match="hurry"):
            held.reader("hurry")
        with pytest.raises(LocalError, match="opened once"):
            await held.__aenter__()
    with pytest.raises(LocalError, match="not open"):
        held.reader()


# Whatever happens.


def lost(event):
    is_gap = isinstance(event, Extension) and event.name == "streamcore:gap"
    return json.loads(event.raw)["events"] if is_gap else 0


def check_lossy(events, source):
    """In the grammar, in order, and each missing event is counted."""
    grammar.check(events)
    at = iter(source)
    missing = 0
    for event in events:
        if lost(event):
            missing += lost(event)
        elif not isinstance(event, Usage):
            assert any(each == event for each in at), event
    given = [event for event in events if not lost(event)]
    usages = [event for event in source if isinstance(event, Usage)]
    assert usages[-1:] == [event for event in given if isinstance(event, Usage)][-1:]
    assert 0 <= missing + len(given) - len(source) <= len(usages)
    assert events[-1] == source[-1]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@settings(max_examples=30)
@given(st.data())
def test_any_readers_at_any_pace_keep_the_grammar(anyio_backend, data):
    source = data.draw(streams())
    cuts = sorted(data.draw(st.sets(st.integers(1, len(source)), max_size=8)) | {len(source)})
    batches = [source[first:last] for first, last in zip([0, *cuts], cuts, strict=False) if last > first]
    policies = data.draw(st.lists(st.sampled_from(["wait", "drop", "leave"]), min_size=1, max_size=3))
    late = data.draw(st.lists(st.tuples(st.sampled_from(["wait", "drop"]), st.integers(0, 12)), max_size=2))
    paces = data.draw(st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=4), min_size=3, max_size=3))
    buffer, replay = data.draw(st.integers(1, 6)), data.draw(st.integers(0, 4))

    async def follow(reader, pace, policy, *, late_one=False):
        events = []
        async with reader:
            while batch := await reader.pull():
                events += batch
                await turns(pace[len(events) % len(pace)])
        if events[-1] == source[-1]:
            check_lossy(events, source)
            assert late_one or policy == "drop" or events == source
        else:  # cut off, or whoever came when all others were
            grammar.check(events)
            assert policy == "leave" or set(policies) == {"leave"}
            assert events[-1].detail == "slow"

    async def main():
        held = tee(Stream(Fed(*batches)), len(policies), buffer=buffer, policy=policies, replay=replay)

        async def join(policy, after):
            await turns(after)
            await follow(held.reader(policy), [1], policy, late_one=True)

        async with held as readers, anyio.create_task_group() as group:
            for reader, pace, policy in zip(readers, paces, policies, strict=False):
                group.start_soon(follow, reader, pace, policy)
            for policy, after in late:
                group.start_soon(join, policy, after)

    anyio.run(within, main, backend=anyio_backend)


@pytest.mark.parametrize("at", range(12))
async def test_leaving_after_any_number_of_turns_leaves_nothing_open(at):
    model = ScriptedModel(HELLO)
    with anyio.CancelScope() as scope:
        async with tee(model.stream("?"), 2, buffer=2) as readers, anyio.create_task_group() as group:
            for reader in readers:
                group.start_soon(partial(whole, reader))
            for _ in range(at):
                await checkpoint()
            scope.cancel()
    assert model.open == 0
