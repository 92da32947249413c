"""The next model: for which failures, with which deadlines, and who answered in the end."""

from __future__ import annotations

import anyio
import pytest

import streamcore as sc
from flow.said import BUSY, DOWN, NEVER, ROLE, ends, failed, says, text
from streamcore.flow import fallback
from streamcore.testing import ScriptedModel

pytestmark = pytest.mark.anyio

REFUSED = sc.Failure("invalid", "not like this", status=400)


async def test_the_first_that_answers_is_the_only_one_asked():
    first, second = ScriptedModel(says("first")), ScriptedModel(says("second"))
    assert await text(fallback(first, second)) == "first"
    assert second.requests == []


@pytest.mark.parametrize(
    "answer",
    [BUSY, REFUSED, [BUSY], [*ROLE, BUSY], ROLE, [*ROLE, sc.TextDelta(0, "")], []],
    ids=["opening", "refused", "error", "error after role", "dies after role", "dies after nothing said", "empty"],
)
async def test_one_that_fails_before_its_content_falls_through_to_the_next(answer):
    first, second = ScriptedModel(answer), ScriptedModel(says("second"))
    async with fallback(first, second).stream(sc.prompt("hi")) as stream:
        assert [event async for event in stream] == says("second")
    assert (first.open, second.open) == (0, 0)
    assert len(stream.attempts) == 2
    assert isinstance(stream.attempts[0].outcome, sc.Failure)


async def test_who_answered_is_in_start_and_who_was_asked_in_the_attempts():
    models = [
        ScriptedModel([*says("a")[:1], sc.Usage(input_tokens=3), BUSY]),
        ScriptedModel(DOWN),
        ScriptedModel(says("c")),
    ]
    async with fallback(*models).stream(sc.prompt("hi")) as stream:
        fold = await stream.collect()
    assert fold.model == "c"
    assert ends(stream) == ["overloaded", "server", "stop"]
    assert [attempt.usage for attempt in stream.attempts] == [
        sc.Usage(input_tokens=3),
        None,
        sc.Usage(output_tokens=1),
    ]
    assert stream.usage == sc.Usage(output_tokens=1)


async def test_after_content_nobody_else_is_asked():
    first, second = ScriptedModel([*says("first")[:2], DOWN]), ScriptedModel(says("second"))
    fold = sc.Fold()
    with pytest.raises(sc.StreamFailed, match="down"):
        async with fallback(first, second).stream(sc.prompt("hi")) as stream:
            await stream.collect(fold)
    assert (fold.text, second.requests, first.open) == ("first", [], 0)


async def test_if_all_fail_it_is_the_last_failure():
    assert await failed(fallback(ScriptedModel(BUSY), ScriptedModel(REFUSED), ScriptedModel(DOWN))) == DOWN


@pytest.mark.parametrize(("failure", "asked"), [(BUSY, 1), (REFUSED, 0)])
async def test_when_says_for_which_failures(failure, asked):
    second = ScriptedModel(says("second"))
    model = fallback(ScriptedModel(failure), second, when=lambda failure: failure.retryable)
    if asked:
        assert await text(model) == "second"
    else:
        assert await failed(model) == failure
    assert len(second.requests) == asked


async def test_when_that_raises_comes_out_as_it_is():
    def when(failure):
        raise KeyError("a bug")

    stream = fallback(ScriptedModel(BUSY), ScriptedModel(DOWN), when=when).stream(sc.prompt("hi"))
    with pytest.raises(KeyError, match="a bug"):
        await stream.__aenter__()
    assert stream.outcome.detail == "exception"


async def test_each_model_has_the_deadlines_to_itself():
    silent, slow = ScriptedModel([*ROLE, NEVER]), ScriptedModel(says("slow", after=1.5))
    start = anyio.current_time()
    model = fallback(silent, silent, slow, deadlines=sc.Deadlines(first_token=2))
    async with model.stream(sc.prompt("hi")) as stream:
        assert (await stream.collect()).text == "slow"
    assert anyio.current_time() - start == pytest.approx(5.5)
    assert ends(stream) == ["timeout", "timeout", "stop"]
    assert (silent.open, slow.open) == (0, 0)


async def test_the_deadlines_for_each_go_over_its_own():
    class Impatient:
        def stream(self, request, /):
            return ScriptedModel(says("slow", after=3)).stream(request).within(first_token=1, total=9)

    assert await text(fallback(Impatient(), deadlines=sc.Deadlines(first_token=5))) == "slow"
    assert (await failed(fallback(Impatient(), deadlines=sc.Deadlines(total=5)))).detail == "first_token"


def test_without_a_model_there_is_none_to_ask():
    with pytest.raises(sc.LocalError, match="at least one"):
        fallback()
