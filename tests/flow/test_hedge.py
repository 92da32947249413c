"""A race for the first content: who starts when, who wins, and that nothing of the others stays."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import anyio
import pytest

import streamcore as sc
from fed import HELLO, Fed, turns
from flow.said import BUSY, DOWN, NEVER, ROLE, ends, failed, says, text
from streamcore.flow import hedge
from streamcore.testing import Pause, ScriptedModel, virtual_time

pytestmark = pytest.mark.anyio
ASYNCIO = pytest.mark.parametrize("anyio_backend", [virtual_time("asyncio")], ids=["asyncio"])


class Timed(ScriptedModel):
    """A model that notes when it is asked, in seconds since the race began."""

    start = 0.0

    def __init__(self, *answers):
        super().__init__(*answers)
        self.asked = []

    def stream(self, request, /):
        self.asked.append(round(anyio.current_time() - Timed.start, 3))
        return super().stream(request)


async def race(*models, after=1.0, **deadlines):
    """The text, and how each attempt ended."""
    Timed.start = anyio.current_time()
    async with hedge(*models, after=after).stream(sc.prompt("hi")).within(**deadlines) as stream:
        fold = await stream.collect()
    assert [model.open for model in models] == [0] * len(models)
    return fold.text, ends(stream)


async def test_a_first_model_that_is_fast_enough_is_the_only_one_asked():
    first, second = Timed(says("first", after=0.9)), Timed(says("second"))
    assert await race(first, second) == ("first", ["stop"])
    assert (first.asked, second.asked) == ([0], [])


async def test_the_second_is_asked_when_the_first_has_no_content_in_time():
    first, second = Timed([*ROLE, Pause(0.5), *says("", after=9)[1:]]), Timed(says("second", after=0.2))
    assert await race(first, second) == ("second", ["cancelled", "stop"])
    assert (first.asked, second.asked) == ([0], [1])


async def test_the_first_may_still_win():
    assert await race(Timed(says("first", after=1.5)), Timed(says("second", after=1))) == (
        "first",
        ["stop", "cancelled"],
    )


async def test_a_third_is_asked_when_neither_has_content():
    models = Timed(says("first", after=5)), Timed(says("second", after=5)), Timed(says("third"))
    assert await race(*models) == ("third", ["cancelled", "cancelled", "stop"])
    assert models[2].asked == [2]


@pytest.mark.parametrize("answer", [BUSY, [BUSY], ROLE], ids=["opening", "error", "dies after role"])
async def test_one_that_fails_is_replaced_at_once(answer):
    second = Timed(says("second"))
    text, attempts = await race(Timed(answer), second)
    assert (text, attempts[1], second.asked) == ("second", "stop", [0])


async def test_any_that_fails_is_replaced_at_once_not_only_the_latest():
    models = Timed([Pause(1.5), BUSY]), Timed(says("second", after=9)), Timed(says("third"))
    assert await race(*models) == ("third", ["overloaded", "cancelled", "stop"])
    assert models[2].asked == [1.5]


async def test_as_many_as_fail_are_replaced():
    models = Timed([Pause(1.5), BUSY]), Timed([Pause(0.5), BUSY]), Timed(says("third", after=9)), Timed(says("fourth"))
    text, _ = await race(*models, after=1.2)
    assert (text, [model.asked for model in models]) == ("fourth", [[0], [1.2], [1.5], [1.7]])


async def test_after_no_time_at_all_all_are_asked_together():
    models = Timed(says("first", after=3)), Timed(says("second", after=2)), Timed(says("third", after=1))
    assert (await race(*models, after=0))[0] == "third"
    assert [model.asked for model in models] == [[0], [0], [0]]


async def test_the_loser_is_closed_as_soon_as_there_is_a_winner():
    first, second = ScriptedModel([*ROLE, sc.Usage(input_tokens=7), NEVER]), ScriptedModel(says("second"))
    async with hedge(first, second, after=1).stream(sc.prompt("hi")) as stream:
        assert (first.open, second.open) == (0, 1)
        assert stream.statistics().first_content == pytest.approx(1)
        assert [attempt.usage for attempt in stream.attempts] == [sc.Usage(input_tokens=7), None]
        assert await stream.read() == says("second")[:2]


async def test_the_loser_says_that_it_was_outrun():
    first, second = ScriptedModel([*ROLE, NEVER]), ScriptedModel(says("second"))
    async with hedge(first, second, after=1).stream(sc.prompt("hi")) as stream:
        lost, won = stream.attempts
    assert (lost.outcome, won.outcome) == (sc.Failure("cancelled", "another model was first", detail="hedge"), None)


async def test_of_two_with_content_at_the_same_time_one_wins_and_the_other_is_closed():
    models = ScriptedModel(says("first", after=2)), ScriptedModel(says("second", after=1))
    text, attempts = await race(*models)
    assert (text in {"first", "second"}, sorted(attempts)) == (True, ["cancelled", "stop"])


async def test_two_that_need_no_wait_are_no_race():
    text, attempts = await race(ScriptedModel(says("first")), ScriptedModel(says("second")), after=0)
    assert (text in {"first", "second"}, attempts.count("stop")) == (True, 1)


async def test_if_all_fail_it_is_the_last_failure():
    first, second = ScriptedModel([Pause(3), BUSY]), ScriptedModel([Pause(1), DOWN])
    assert await failed(hedge(first, second, after=1)) == BUSY
    assert (first.open, second.open) == (0, 0)


class Broken:
    def __init__(self, error, model=None):
        self.error = error
        self.model = model

    def stream(self, request, /):
        if self.model is None:
            raise self.error
        stream = self.model.stream(request)
        upstream = stream._upstream

        def take(data):
            raise self.error

        stream._take = upstream.take = take
        return stream


@pytest.mark.parametrize("late", [False, True])
async def test_an_exception_of_a_later_model_comes_out_as_it_is_and_all_is_closed(late):
    error = KeyError("a bug")
    first, inner = ScriptedModel([*ROLE, NEVER]), ScriptedModel(says("second"))
    stream = hedge(first, Broken(error, inner if late else None), after=1).stream(sc.prompt("hi"))
    with pytest.raises(KeyError) as caught:
        await stream.__aenter__()
    assert caught.value is error
    assert (first.open, inner.open, stream.outcome.detail) == (0, 0, "exception")


async def test_a_deadline_while_they_race_ends_them_all():
    models = ScriptedModel([NEVER]), ScriptedModel([*ROLE, NEVER])
    stream = hedge(*models, after=1).stream(sc.prompt("hi")).within(first_token=3)
    with pytest.raises(sc.StreamFailed, match="no content came within 3 s"):
        await stream.__aenter__()
    assert ([model.open for model in models], ends(stream)) == ([0, 0], ["cancelled", "cancelled"])


async def test_being_cancelled_while_they_race_ends_them_all():
    models = ScriptedModel([NEVER]), ScriptedModel([*ROLE, NEVER])
    stream = hedge(*models, after=1).stream(sc.prompt("hi"))
    with anyio.move_on_after(3):
        await stream.__aenter__()
    assert ([model.open for model in models], stream.outcome.detail) == ([0, 0], "task")


@ASYNCIO
@pytest.mark.parametrize("cancels", [1, 2, 3])
@pytest.mark.parametrize("turns", range(8))
async def test_native_cancellation_about_when_there_is_a_winner_leaves_nothing_open(anyio_backend, turns, cancels):
    models = ScriptedModel([*ROLE, NEVER]), ScriptedModel(says("second", after=1))

    async def run():
        async with hedge(*models, after=1).stream(sc.prompt("hi")).within(total=50) as stream:
            await stream.read()
            await asyncio.sleep(50)

    task = asyncio.create_task(run())
    await asyncio.sleep(2)
    for _ in range(turns):
        await asyncio.sleep(0)
    for _ in range(cancels):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([task])
    assert task.cancelled()
    assert [model.open for model in models] == [0, 0]


@ASYNCIO
@pytest.mark.parametrize("early", [0.0, 1e-9])
async def test_a_deadline_about_when_there_is_a_winner_leaves_nothing_behind(anyio_backend, early):
    models = ScriptedModel([*ROLE, NEVER]), ScriptedModel(says("second", after=1))
    stream = hedge(*models, after=1).stream(sc.prompt("hi")).within(first_token=2 - early)
    with suppress(sc.StreamFailed):
        async with stream:
            await stream.collect()
    assert stream.outcome == sc.Finish("stop") or stream.outcome.detail == "first_token"
    assert ([model.open for model in models], asyncio.current_task().cancelling()) == ([0, 0], 0)


@pytest.mark.parametrize(("models", "after"), [((), 1), ((ScriptedModel(BUSY),), -1)])
def test_what_makes_no_sense_is_refused(models, after):
    with pytest.raises(sc.LocalError, match="a hedge needs"):
        hedge(*models, after=after)


async def test_one_model_is_enough():
    assert await text(hedge(ScriptedModel(says("Hi", after=3)), after=1)) == "Hi"


class InHand(Fed):
    """An upstream that is open, and has content, with the event; and the model that it answers for."""

    def __init__(self, event):
        super().__init__(HELLO[2:])
        self.event = event

    async def open(self, deadlines):
        await self.event.wait()
        return HELLO[:2]

    def stream(self, request):
        return sc.Stream(self)


async def test_one_that_has_content_in_hand_right_after_another_is_closed_as_well():
    event = anyio.Event()
    models = InHand(event), InHand(event)
    async with anyio.create_task_group() as group:

        async def both():
            await turns()
            event.set()

        group.start_soon(both)
        async with hedge(*models, after=0).stream(sc.prompt("hi")) as stream:
            assert sorted(model.closed for model in models) == [0, 1]
            assert await stream.read() == HELLO[:2]
    assert [model.closed for model in models] == [1, 1]
