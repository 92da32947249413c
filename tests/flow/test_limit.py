"""So many at once: who comes when, who is turned away, and that every place is given back."""

from __future__ import annotations

import asyncio
import gc

import anyio
import pytest

import streamcore as sc
from flow.said import BUSY, NEVER, ROLE, failed, says, text
from streamcore.flow import limit
from streamcore.testing import Pause, ScriptedModel, virtual_time

pytestmark = pytest.mark.anyio
ASYNCIO = pytest.mark.parametrize("anyio_backend", [virtual_time("asyncio")], ids=["asyncio"])
FULL = sc.Failure("overloaded", "1 streams are open, and 0 wait already", detail="limit")


def free(model):
    return model._slots.get().value == model._concurrency


@pytest.mark.parametrize("concurrency", [1, 2, 3])
async def test_no_more_are_open_at_once_and_the_rest_come_in_order(concurrency):
    inner = ScriptedModel(*([*says("Hi")[:2], Pause(1 + number / 10), *says("Hi")[2:]] for number in range(6)))
    model, order, most = limit(inner, concurrency), [], []

    async def read(number):
        async with model.stream(sc.prompt("hi")) as stream:
            order.append(number)
            most.append(inner.open)
            await stream.collect()

    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(read, number)
            await anyio.lowlevel.checkpoint()
    assert (order, max(most), free(model)) == (list(range(6)), concurrency, True)


async def test_so_many_wait_and_the_next_is_turned_away_at_once():
    model = limit(ScriptedModel(says("Hi")), 1, waiting=1)
    async with model.stream(sc.prompt("hi")), anyio.create_task_group() as group:
        group.start_soon(text, model)
        await anyio.sleep(1)
        assert (await failed(model)).message == "1 streams are open, and 1 wait already"
        group.cancel_scope.cancel()
    assert await text(model) == "Hi"


async def test_if_nobody_may_wait_the_next_fails_at_once():
    inner = ScriptedModel(says("Hi"))
    model = limit(inner, 1, waiting=0)
    async with model.stream(sc.prompt("hi")):
        assert await failed(model) == FULL
        assert FULL.retryable
        assert len(inner.requests) == 1
    assert (await text(model), free(model)) == ("Hi", True)


async def leave_at_the_end(stream):
    async with stream:
        await stream.collect()


async def leave_early(stream):
    async with stream:
        await stream.read()


async def leave_by_exception(stream):
    with pytest.raises(ValueError, match="mine"):
        async with stream:
            raise ValueError("mine")


async def leave_by_cancellation(stream):
    with anyio.CancelScope() as scope:
        async with stream:
            scope.cancel()
            await stream.read()
            await anyio.lowlevel.checkpoint()


async def leave_by_cancel(stream):
    with pytest.raises(sc.StreamFailed):
        async with stream:
            await stream.cancel()
            while await stream.read():
                pass


@pytest.mark.parametrize(
    "leave", [leave_at_the_end, leave_early, leave_by_exception, leave_by_cancellation, leave_by_cancel]
)
async def test_whoever_leaves_gives_the_place_back(leave):
    inner = ScriptedModel(says("Hi"))
    model = limit(inner, 1, waiting=0)
    for _ in range(2):
        await leave(model.stream(sc.prompt("hi")))
    assert (free(model), inner.open) == (True, 0)


async def test_who_cannot_be_opened_gives_the_place_back():
    model = limit(ScriptedModel(BUSY), 1, waiting=0)
    for _ in range(2):
        assert await failed(model) == BUSY
    assert free(model)


async def test_who_fails_while_it_is_read_gives_the_place_back_at_once():
    model = limit(ScriptedModel([*ROLE, BUSY]), 1)
    async with model.stream(sc.prompt("hi")) as stream:
        while await stream.pull():
            pass
        assert free(model)


async def test_who_gives_up_waiting_takes_no_place():
    inner = ScriptedModel([*says("Hi")[:2], Pause(3), *says("Hi")[2:]])
    model = limit(inner, 1)
    async with anyio.create_task_group() as group:
        group.start_soon(text, model)
        await anyio.sleep(1)
        with anyio.move_on_after(1):
            await text(model)
        assert (await failed(model, total=0.5)).detail == "total"
    assert (len(inner.requests), free(model), await text(model)) == (1, True, "Hi")


@ASYNCIO
@pytest.mark.parametrize("cancels", [1, 2, 3])
@pytest.mark.parametrize("turns", range(6))
async def test_native_cancellation_about_when_the_place_is_handed_over_loses_none(anyio_backend, turns, cancels):
    inner = ScriptedModel([*says("Hi")[:2], Pause(1), *says("Hi")[2:]])
    model = limit(inner, 1)
    first, second = asyncio.create_task(text(model)), asyncio.create_task(text(model, total=50))
    await asyncio.sleep(1)
    for _ in range(turns):
        await asyncio.sleep(0)
    for _ in range(cancels):
        second.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([first, second])
    assert (second.cancelled(), free(model), inner.open, await text(model)) == (True, True, 0, "Hi")


async def test_a_slow_one_that_waits_for_its_place_is_within_its_deadline():
    model = limit(ScriptedModel([*ROLE, NEVER]), 1)
    async with anyio.create_task_group() as group:
        group.start_soon(failed_while_read, model)
        await anyio.sleep(0.1)
        assert (await failed(model, first_token=1)).detail == "first_token"
    assert free(model)


async def failed_while_read(model):
    with pytest.raises(sc.StreamFailed):
        async with model.stream(sc.prompt("hi")).within(total=5) as stream:
            await stream.collect()


def test_each_event_loop_has_a_limit_of_its_own():
    model = limit(ScriptedModel(says("Hi")), 1, waiting=0)

    async def hold(then):
        async with model.stream(sc.prompt("hi")):
            await then()

    async def in_another_thread():
        await anyio.to_thread.run_sync(lambda: anyio.run(hold, anyio.lowlevel.checkpoint))

    for backend in ("asyncio", "trio", "asyncio"):
        anyio.run(hold, in_another_thread, backend=backend)


async def test_a_limit_is_not_found_again_by_another_that_lies_at_the_same_place():
    inner = ScriptedModel(says("Hi"))
    names = set()
    for _ in range(5):
        model = limit(inner, 1)
        names.add(repr(model._slots))
        del model
        gc.collect()
    assert len(names) == 5


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"concurrency": 1, "waiting": -1}])
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(sc.LocalError, match="a limit is"):
        limit(ScriptedModel(BUSY), **options)
