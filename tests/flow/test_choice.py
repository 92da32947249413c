"""What all models that choose have in common: the choice is made while the stream is opened, and nothing is left open."""

from __future__ import annotations

import anyio
import pytest

import streamcore as sc
from flow.said import BUSY, NEVER, ROLE, ends, failed, says, text
from pieces import END, HEL, HELLO, LO, Pieces, failure, over
from streamcore.errors import LocalError
from streamcore.flow import fallback, hedge, limit, retry
from streamcore.testing import Pause, ScriptedModel

pytestmark = pytest.mark.anyio

COMPOSED = pytest.mark.parametrize(
    "compose",
    [
        retry,
        fallback,
        lambda model: hedge(model, after=50),
        lambda model: limit(model, 1),
        lambda model: retry(fallback(hedge(limit(model, 1), after=50))),
    ],
    ids=["retry", "fallback", "hedge", "limit", "all"],
)


@COMPOSED
async def test_the_answer_comes_through_as_it_is(compose):
    model = ScriptedModel(says("Hi"))
    async with compose(model).stream(sc.prompt("hi")) as stream:
        events = [event async for event in stream]
    async with model.stream(sc.prompt("hi")) as plain:
        assert events == [event async for event in plain]
    assert (stream.usage, stream.outcome) == (plain.usage, plain.outcome)
    assert (stream.attempts, stream.warnings, stream.request_id) == (plain.attempts, (), None)
    assert stream.statistics().bytes == plain.statistics().bytes > 0
    assert stream.statistics().events == len(events)
    assert model.open == 0


@COMPOSED
async def test_before_it_is_opened_nothing_is_known_and_nothing_asked(compose):
    model = ScriptedModel(says("Hi"))
    stream = compose(model).stream(sc.prompt("hi"))
    assert (stream.usage, stream.outcome, stream.warnings, stream.request_id) == (None, None, (), None)
    assert (stream.attempts, stream.statistics().bytes, model.requests) == ((), 0, [])


@COMPOSED
async def test_an_answer_without_content_is_an_answer(compose):
    model = ScriptedModel([sc.Start(), sc.Finish("stop")])
    async with compose(model).stream(sc.prompt("hi")) as stream:
        assert [event async for event in stream] == [sc.Start(), sc.Finish("stop")]
    assert model.open == 0


class InOneRead:
    """A model whose answer is in one read of the network."""

    def __init__(self, *pieces):
        self.pieces = pieces

    def stream(self, request, /):
        return over(Pieces(b"".join(self.pieces)))


@COMPOSED
async def test_content_and_a_failure_in_one_read_are_an_answer_that_failed(compose):
    found, seen = await failure(compose(InOneRead(HEL, b'data: {"bad":"busy"}\n\n')).stream(sc.prompt("hi")))
    assert (found, seen) == (BUSY, HELLO[:2])


@COMPOSED
async def test_a_whole_answer_in_one_read_is_whole_however_it_is_ended(compose):
    async with compose(InOneRead(HEL, LO, END)).stream(sc.prompt("hi")) as stream:
        await stream.read()
        await stream.cancel()
    assert stream.outcome == HELLO[-1]
    async with compose(InOneRead(HEL, LO, END)).stream(sc.prompt("hi")).within(total=1) as stream:
        await anyio.sleep(2)
        assert [event async for event in stream] == HELLO


@COMPOSED
async def test_leaving_it_closes_what_it_reads(compose):
    model = ScriptedModel([*says("Hi")[:2], NEVER])
    async with compose(model).stream(sc.prompt("hi")) as stream:
        await stream.read()
        assert model.open == 1
    assert (stream.outcome.kind, stream.outcome.detail, model.open) == ("cancelled", "closed", 0)
    assert ends(stream) == ["cancelled"]


@COMPOSED
@pytest.mark.parametrize("name", ["first_token", "idle", "total"])
async def test_its_deadlines_are_for_all_that_happens_before_the_first_content(compose, name):
    model = ScriptedModel([*ROLE, NEVER])
    stream = compose(model).stream(sc.prompt("hi")).within(**{name: 2})
    with pytest.raises(sc.StreamFailed):
        async with stream:
            await stream.collect()
    assert (stream.outcome.kind, stream.outcome.detail, model.open) == ("timeout", name, 0)
    assert stream.statistics().elapsed == pytest.approx(2)


@COMPOSED
@pytest.mark.parametrize("name", ["idle", "total"])
async def test_its_deadlines_run_on_after_the_choice(compose, name):
    model = ScriptedModel([*says("Hi", after=1)[:3], NEVER])
    stream = compose(model).stream(sc.prompt("hi")).within(first_token=2, **{name: 4})
    seen = []
    with pytest.raises(sc.StreamFailed):
        async with stream:
            async for event in stream:
                seen.append(event)
    assert seen == [sc.Start("r", "Hi"), sc.TextDelta(0, "Hi")]
    assert (stream.outcome.kind, stream.outcome.detail, model.open) == ("timeout", name, 0)
    assert stream.attempts[0].outcome == stream.outcome
    assert stream.statistics().elapsed == pytest.approx(5 if name == "idle" else 4)


@COMPOSED
async def test_the_first_content_is_on_time_however_late_it_is_read(compose):
    model = ScriptedModel([*says("Hi", after=1)[:3], Pause(1), *says("Hi")[2:]])
    async with compose(model).stream(sc.prompt("hi")).within(first_token=3, idle=2) as stream:
        await anyio.sleep(10)
        fold = await stream.collect()
    assert (fold.text, fold.outcome) == ("Hi", sc.Finish("stop"))


async def test_the_seconds_to_connect_are_those_of_each_stream_that_is_opened():
    model = ScriptedModel(BUSY, says("Hi"))
    asked = []

    class Watched:
        def stream(self, request, /):
            stream = model.stream(request).within(connect=1)
            asked.append(stream)
            return stream

    await text(retry(Watched()), connect=3)
    await text(retry(Watched()))
    assert [stream._deadlines.connect for stream in asked] == [3, 3, 1]


async def cancelled_after(seconds, stream):
    """What its reader gets when another task cancels it."""
    seen = []

    async def cancel():
        await anyio.sleep(seconds)
        await stream.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(cancel)
        with pytest.raises(sc.StreamFailed, match="was cancelled"):
            async with stream:
                async for event in stream:
                    seen.append(event)
                    if type(event) is sc.Usage:
                        await anyio.sleep(5)
    assert (stream.outcome.kind, stream.outcome.detail) == ("cancelled", "cancel")
    return seen


@COMPOSED
@pytest.mark.parametrize("answer", [[NEVER], [*ROLE, NEVER], [*says("Hi")[:2], NEVER], says("Hi")[:3]])
async def test_it_can_be_cancelled_from_another_task(compose, answer):
    model = ScriptedModel(answer)
    stream = compose(model).stream(sc.prompt("hi"))
    given = await cancelled_after(1, stream)
    assert (len(given) < 3 or given == says("Hi")[:3], model.open) == (True, 0)
    assert ends(stream) == ["cancelled"]


@COMPOSED
async def test_cancelled_between_opening_and_reading_it_gives_what_has_come(compose):
    model = ScriptedModel(says("Hi"))
    async with compose(model).stream(sc.prompt("hi")) as stream:
        had = stream.statistics().first_content is not None
        await stream.cancel()
        events = await stream.pull()
    assert events[-1] == stream.outcome
    assert (had, [type(event) for event in events].count(sc.TextDelta)) in [(True, 1), (False, 0)]
    assert model.open == 0


@COMPOSED
async def test_being_cancelled_while_it_is_opened_closes_everything(compose):
    model = ScriptedModel([*ROLE, NEVER])
    stream = compose(model).stream(sc.prompt("hi"))
    with anyio.move_on_after(1):
        async with stream:
            await stream.collect()
    assert (stream.outcome.kind, model.open) == ("cancelled", 0)


@COMPOSED
@pytest.mark.parametrize("error", [LocalError("cannot be asked that"), KeyError("a bug")])
async def test_an_exception_in_a_model_comes_out_as_it_is(compose, error):
    class Broken:
        def stream(self, request, /):
            raise error

    stream = compose(Broken()).stream(sc.prompt("hi"))
    with pytest.raises(type(error)) as caught:
        await stream.__aenter__()
    assert caught.value is error
    assert (stream.outcome.kind, stream.outcome.detail) == ("cancelled", "exception")


class Held:
    """A model that keeps its streams, for somebody else to end."""

    def __init__(self, model):
        self.model = model
        self.streams = []

    def stream(self, request, /):
        self.streams.append(self.model.stream(request))
        return self.streams[-1]


@COMPOSED
@pytest.mark.parametrize("act", ["cancel", "aclose"])
async def test_a_chosen_stream_that_somebody_else_ends_ends_it(compose, act):
    held = Held(ScriptedModel(says("Hi")))
    async with compose(held).stream(sc.prompt("hi")) as stream:
        await stream.read()
        await getattr(held.streams[0], act)()
        last = await stream.pull()
    assert last[-1] == stream.outcome == held.streams[0].outcome
    assert (stream.outcome.kind, held.model.open) == ("cancelled", 0)


DROPPED = sc.Failure("connection", "gone", detail="reset")


class Closing(ScriptedModel):
    """A model whose streams take a second to close, after they have failed."""

    def stream(self, request, /):
        stream = super().stream(request)
        close = stream._upstream.close

        async def slowly(*, drain):
            try:
                await anyio.sleep(1)
            finally:
                await close(drain=drain)

        stream._upstream.close = slowly
        return stream


@COMPOSED
async def test_a_deadline_while_the_failed_stream_is_being_closed_does_not_hide_the_failure(compose):
    model = Closing([*says("Hi")[:2], Pause(1), DROPPED])
    stream = compose(model).stream(sc.prompt("hi")).within(total=1.5)
    with pytest.raises(sc.StreamFailed):
        async with stream:
            await stream.collect()
    assert (stream.outcome, model.open) == (DROPPED, 0)


async def test_a_composed_stream_that_cannot_be_opened_says_so_each_time():
    assert await failed(retry(ScriptedModel(BUSY), attempts=1)) == BUSY
