"""Models made of models, nested at random, against a small model of what they promise (`flow_model`)."""

from __future__ import annotations

import random
from math import inf
from unittest.mock import patch

import anyio
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from msgspec import structs

from flow_model import Answer, Hedge, Leaf, Limit, Retry, Seen, TieError, Way, Within, course, crowd, read
from flow_nestings import HOWS, SHAPES, crowds, situations
from flow_real import Built, Scripted
from streamcore import Failure, Finish, Start, StreamFailed, TextDelta, prompt
from streamcore.events import BlockEnd
from streamcore.flow import fallback
from streamcore.flow.tee import tee
from streamcore.testing import virtual_time

REQUEST = prompt("Hello")


class LeftError(Exception):
    pass


async def follow(model, way):
    """Read in this way; what is seen of it."""
    now = anyio.current_time()
    stream = model.stream(REQUEST).within(**way.deadlines)
    events, raised = [], None
    scope = anyio.CancelScope(deadline=now + way.seconds if way.how == "cancelled" else inf)
    async with anyio.create_task_group() as group:
        if way.how == "stopped":
            group.start_soon(stop, stream, way.seconds)
        with scope:
            try:
                if way.how == "end" and way.manner == "tee":
                    await both(stream, events)
                else:
                    await one(stream, way, events)
            except StreamFailed as error:
                raised = error.failure
            except LeftError:
                pass
        ended = anyio.current_time()
        group.cancel_scope.cancel()
    asked = [(each.origin.model, told(each.outcome)) for each in stream.attempts]
    return Seen(events, raised, stream.outcome, ended, asked)


async def stop(stream, seconds):
    await anyio.sleep(seconds)
    await stream.cancel()


async def one(stream, way, events):
    async with stream:
        if way.how == "end" and way.manner != "iterate":
            while batch := await (stream.pull() if way.manner == "pull" else stream.read()):
                events += [each for each in batch if not isinstance(each, Failure)]
            if way.manner == "pull" and isinstance(stream.outcome, Failure):
                raise StreamFailed(stream.outcome)
            return
        left = way.count if way.how in {"break", "raise"} else inf
        while len(events) < left:
            try:
                events.append(await anext(stream))
            except StopAsyncIteration:
                return
        if way.how == "raise":
            raise LeftError


async def both(stream, events):
    """Two readers, who see the same."""
    others, ends = [], []

    async def take(reader, events):
        try:
            await one(reader, Way(), events)
        except StreamFailed as error:
            ends.append(error.failure)
        else:
            ends.append(None)

    async with tee(stream, 2) as (left, right), anyio.create_task_group() as group:
        group.start_soon(take, left, events)
        group.start_soon(take, right, others)
    assert others == events
    assert ends[0] == ends[1]
    if ends[0] is not None:
        raise StreamFailed(ends[0])


def told(outcome):
    """An outcome without its words."""
    return structs.replace(outcome, message="") if isinstance(outcome, Failure) else outcome


def check(seen, expected, began):
    assert seen.events == expected.events
    assert told(seen.raised) == told(expected.raised)
    assert told(seen.outcome) == told(expected.outcome)
    assert seen.ended - began == pytest.approx(expected.ended, abs=1e-6)
    for (leaf, outcome), asked in zip(seen.asked, expected.asked, strict=True):
        assert leaf == asked.leaf
        if asked.outcome is None:
            assert outcome.kind in {"cancelled", "timeout"}
        else:
            assert outcome == told(asked.outcome)


async def rehearse(nesting, ways, plan):
    """Build the nesting, and read it as planned; then see that every limit has its places."""
    built = Built(nesting)
    for way, expected in zip(ways, plan, strict=True):
        began = anyio.current_time()
        seen = await follow(built.model, way)
        check(seen, expected, began)
        await check_leaves(built, [expected], began)
    for limited, places in built.limits:
        assert await room(limited, places)


async def rehearse_crowd(nesting, arrivals, plan):
    built = Built(nesting)

    async def come(number, at, way):
        await anyio.sleep_until(at)
        seen[number] = await follow(built.model, way)

    began, seen = anyio.current_time(), {}
    async with anyio.create_task_group() as group:
        for number, (at, way) in enumerate(arrivals):
            group.start_soon(come, number, began + at, way)
    for number, expected in enumerate(plan):
        check(seen[number], expected, began)
    await check_leaves(built, plan, began)
    assert all(leaf.most <= nesting.concurrency for leaf in built.leaves.values())


async def check_leaves(built, plan, began):
    """Each was asked when it should have been, and closed when the stream was left; nothing goes on after that."""
    await anyio.sleep(100)
    assert [leaf.open for leaf in built.leaves.values()] == [0] * len(built.leaves)
    times = [(*times, name) for name, leaf in built.leaves.items() for times in leaf.times if times[0] >= began]
    asked = [(each.begun + began, each.ended + began, each.leaf) for seen in plan for each in seen.asked]
    for (*happened, name), (*planned, leaf) in zip(sorted(times), sorted(asked), strict=True):
        assert name == leaf
        assert happened == pytest.approx(planned, abs=1e-6)


def run(rehearsal, *arguments):
    """In virtual time, on both event loops, always waiting the longest time that a retry may wait."""
    with patch.object(random, "uniform", lambda _, most: most):
        for backend in ("asyncio", "trio"):
            name, options = virtual_time(backend)
            anyio.run(end, rehearsal, arguments, backend=name, backend_options=options)


async def end(rehearsal, arguments):
    with anyio.fail_after(1e6):
        await rehearsal(*arguments)


async def room(model, places):
    """Whether so many streams can be open."""
    outcomes = []

    async def probe():
        seen = await follow(model, Way())
        outcomes.append(seen.outcome)

    async with anyio.create_task_group() as group:
        for _ in range(places):
            group.start_soon(probe)
    return not any(isinstance(outcome, Failure) and outcome.detail == "limit" for outcome in outcomes)


def keeps_its_promises(nesting, ways):
    """It goes as the model says, which is returned."""
    plan, asked = [], ()
    for way in ways:
        expected = read(course(nesting, asked, 0.0, way.deadlines), way, 0.0)
        asked += expected.asked
        plan.append(expected)
    run(rehearse, nesting, ways, plan)
    return plan


def says(*steps):
    return Leaf("m", (Answer(1.0, None, (Start(), *steps)),))


def test_idle_counts_from_the_first_content_even_if_it_is_due_sooner_than_the_first_token_was():
    nesting = Within(says(TextDelta(0, "Hi"), 5.0, BlockEnd(0), Finish("stop")), {"first_token": 20.0, "idle": 2.0})
    for outermost in (nesting, Retry(nesting, 2, None, 1.0), Limit(nesting, 1)):
        (seen,) = keeps_its_promises(outermost, [Way()])
        assert (seen.raised.detail, seen.ended) == ("idle", 3.0)


def test_a_failure_is_replaced_at_once_also_when_a_later_model_was_asked_meanwhile():
    def refuses(name, seconds):
        return Leaf(name, (Answer(seconds, Failure("server", "")),))

    (seen,) = keeps_its_promises(Hedge((refuses("a", 3.0), refuses("b", 9.0), refuses("c", 1.0)), 2.0), [Way()])
    assert [each.begun for each in seen.asked] == [0.0, 2.0, 3.0]


async def read_late():
    leaf = says(TextDelta(0, "Hi"), BlockEnd(0), Finish("stop"))
    async with fallback(Scripted(leaf)).stream(REQUEST).within(total=3) as stream:
        await stream.read()
        await stream.read()
        await anyio.sleep(5)
        assert await stream.read() == [Finish("stop")]
        assert await stream.read() == []


def test_what_ended_while_its_deadline_passed_ended_once():
    run(read_late)


async def cancel_unread():
    async with fallback(Scripted(says(Finish("stop")))).stream(REQUEST) as stream:
        await stream.cancel()
        assert await stream.read() == [Start(), Finish("stop")]


def test_what_had_ended_when_it_was_cancelled_ended_once():
    run(cancel_unread)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("shape", SHAPES[:-1])
@given(data=st.data())
def test_a_nesting_keeps_the_promises_of_its_parts(shape, how, data):
    try:
        keeps_its_promises(*data.draw(situations(shape, how)))
    except TieError:
        reject()


@given(crowds())
def test_a_limit_lets_in_who_came_first_and_no_more_than_there_is_room_for(situation):
    nesting, arrivals = situation
    try:
        plan = crowd(nesting, arrivals)
    except TieError:
        reject()
    run(rehearse_crowd, nesting, arrivals, plan)
