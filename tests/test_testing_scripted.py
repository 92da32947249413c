"""The model without a network."""

from __future__ import annotations

import pytest

import streamcore as sc
from streamcore.testing import EVENTS, ScriptedModel, check_cuts, lines, read

pytestmark = pytest.mark.anyio

ANSWER = [
    sc.Start("r-1", "m"),
    sc.TextDelta(0, "Hi\n\u2028"),
    sc.BlockEnd(0),
    sc.Usage(output_tokens=1),
    sc.Finish("stop", "stop"),
]


async def events(model, request="hi"):
    async with model.stream(sc.prompt(request)) as stream:
        return [event async for event in stream]


async def test_it_gives_its_answers_in_order_and_then_the_last_again():
    model = ScriptedModel(ANSWER, [*ANSWER[:1], *ANSWER[-1:]])
    assert [len(await events(model)) for _ in range(4)] == [5, 2, 2, 2]
    assert [request.messages[0].content for request in model.requests] == ["hi"] * 4


async def test_an_answer_without_a_finish_is_truncated():
    with pytest.raises(sc.StreamFailed) as caught:
        await events(ScriptedModel(ANSWER[:3]))
    assert caught.value.failure.kind == "truncated"


async def test_an_answer_that_is_a_failure_fails_when_it_is_opened():
    model = ScriptedModel(sc.Failure("overloaded", "busy"), ANSWER)
    with pytest.raises(sc.StreamFailed, match="busy"):
        await events(model)
    assert await events(model) == ANSWER


async def test_it_counts_the_streams_that_are_open():
    model = ScriptedModel(ANSWER)
    async with model.stream(sc.prompt("hi")) as stream:
        assert model.open == 1
        await anext(stream)
    assert model.open == 0


async def test_it_needs_an_answer():
    with pytest.raises(sc.LocalError, match="at least one"):
        ScriptedModel()


async def test_recorded_events_can_be_read_again_however_they_are_cut():
    assert read(EVENTS, lines(ANSWER)) == check_cuts(EVENTS, b"".join(lines(ANSWER))) == ANSWER


async def test_the_events_adapter_can_serve_an_endpoint():
    request = EVENTS.encode(sc.prompt("hi"), sc.Endpoint(EVENTS, "m", url="http://x")._target)
    assert (request.url, b'"hi"' in request.body) == ("http://x", True)
