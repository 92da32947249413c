"""The same model once more: when, how often, how long after."""

from __future__ import annotations

import random

import anyio
import pytest

import streamcore as sc
from flow.said import BUSY, DOWN, NEVER, ROLE, ends, failed, says, text
from streamcore.flow import retry
from streamcore.testing import Pause, ScriptedModel

pytestmark = pytest.mark.anyio

RETRYABLE = ["rate_limit", "overloaded", "server", "truncated", "connection", "timeout"]
FINAL = ["auth", "permission", "invalid", "not_found", "quota", "protocol", "cancelled"]


@pytest.fixture(autouse=True)
def draws(monkeypatch):
    """Chance always draws the most; what it was asked."""
    asked = []

    def uniform(low, high):
        asked.append((low, high))
        return high

    monkeypatch.setattr(random, "uniform", uniform)
    return asked


def after(seconds, kind="rate_limit"):
    return sc.Failure(kind, "wait", retry_after=seconds)


@pytest.mark.parametrize("kind", RETRYABLE)
async def test_what_may_help_is_retried(kind):
    model = ScriptedModel(sc.Failure(kind, "no"), says("Hi"))
    assert await text(retry(model)) == "Hi"
    assert (len(model.requests), model.open) == (2, 0)


@pytest.mark.parametrize("kind", FINAL)
async def test_what_cannot_help_is_not(kind):
    model = ScriptedModel(sc.Failure(kind, "no"), says("Hi"))
    assert await failed(retry(model)) == sc.Failure(kind, "no")
    assert len(model.requests) == 1


async def test_the_providers_own_word_goes_first():
    model = ScriptedModel(sc.Failure("server", "no", should_retry=False), says("Hi"))
    assert (await failed(retry(model))).kind == "server"
    model = ScriptedModel(sc.Failure("invalid", "no", should_retry=True), says("Hi"))
    assert await text(retry(model)) == "Hi"


@pytest.mark.parametrize(
    "answer", [[*ROLE, BUSY], [*ROLE, sc.TextDelta(0, ""), BUSY], ROLE, []], ids=["error", "empty", "cut", "nothing"]
)
async def test_a_stream_that_fails_before_its_content_is_retried(answer):
    model = ScriptedModel(answer, says("Hi"))
    async with retry(model).stream(sc.prompt("hi")) as stream:
        assert [event async for event in stream] == says("Hi")
    assert ends(stream) == [BUSY.kind if BUSY in answer else "truncated", "stop"]


async def test_after_content_nothing_is_retried():
    model = ScriptedModel([*says("Hel")[:2], BUSY], says("Hi"))
    async with retry(model).stream(sc.prompt("hi")) as stream:
        assert await stream.pull() == says("Hel")[:2]
        assert await stream.pull() == [BUSY]
    assert (stream.outcome, len(model.requests), model.open) == (BUSY, 1, 0)


@pytest.mark.parametrize("attempts", [1, 2, 5])
async def test_there_are_so_many_attempts_in_all_and_the_last_failure_is_raised(attempts):
    failures = [sc.Failure("server", str(number)) for number in range(attempts)]
    model = ScriptedModel(*failures, says("Hi"))
    stream = retry(model, attempts=attempts).stream(sc.prompt("hi"))
    with pytest.raises(sc.StreamFailed):
        await stream.__aenter__()
    assert stream.outcome == failures[-1]
    assert [attempt.outcome for attempt in stream.attempts] == failures


async def took(model, **options):
    start = anyio.current_time()
    await text(retry(model, **options))
    return pytest.approx(anyio.current_time() - start)


async def test_it_waits_a_random_time_up_to_the_doubled_backoff(draws):
    assert await took(ScriptedModel(DOWN, DOWN, DOWN, says("Hi")), attempts=4, backoff=2) == 2 + 4 + 8
    assert draws == [(0, 2), (0, 4), (0, 8)]


async def test_no_wait_is_longer_than_a_minute(draws):
    assert await took(ScriptedModel(*[DOWN] * 7, says("Hi")), attempts=8, backoff=5) == 5 + 10 + 20 + 40 + 180
    assert draws[-1] == (0, 60)


async def test_however_many_attempts_there_are_they_can_be_counted(draws):
    await took(ScriptedModel(*[DOWN] * 1100, says("Hi")), attempts=1101, backoff=0.5)
    assert draws[-1] == (0, 60)


@pytest.mark.parametrize(("asked", "waited"), [(7, 7), (0, 0), (-5, 0), (86_400, 60)])
async def test_it_waits_as_long_as_the_provider_asks_and_a_minute_at_most_before_its_own_random_time(
    draws, asked, waited
):
    assert await took(ScriptedModel(after(asked), says("Hi")), backoff=2) == waited + 2
    assert draws == [(0, 2)]


async def test_it_gives_up_when_the_next_attempt_would_begin_too_late():
    model = ScriptedModel(after(4), after(5), says("Hi"))
    start = anyio.current_time()
    assert await failed(retry(model, seconds=9, backoff=0)) == after(5)
    assert anyio.current_time() - start == pytest.approx(4)
    assert await took(ScriptedModel(after(4), after(5), says("Hi")), seconds=9.1, backoff=0) == 9


async def test_the_time_that_an_attempt_took_counts():
    model = ScriptedModel([Pause(8), BUSY], says("Hi"))
    assert await failed(retry(model, seconds=8, backoff=1)) == BUSY


async def test_a_deadline_of_the_model_is_a_failure_as_any_other():
    model = ScriptedModel([NEVER], says("Hi"))

    class Impatient:
        def stream(self, request, /):
            return model.stream(request).within(first_token=3)

    assert await took(Impatient(), backoff=0) == 3
    assert model.open == 0


async def test_cancelled_between_two_attempts_it_asks_no_more():
    model = ScriptedModel(after(30), says("Hi"))
    stream = retry(model).stream(sc.prompt("hi")).within(total=20)
    with pytest.raises(sc.StreamFailed):
        await stream.__aenter__()
    assert (stream.outcome.detail, len(model.requests), ends(stream)) == ("total", 1, ["rate_limit"])


@pytest.mark.parametrize("options", [{"attempts": 0}, {"seconds": -1}, {"backoff": -0.1}])
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(sc.LocalError, match="retry needs"):
        retry(ScriptedModel(BUSY), **options)
