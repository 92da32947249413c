"""One record for each stream, however it ends and whatever it is made of."""

from __future__ import annotations

import logging
from contextlib import suppress
from decimal import Decimal
from uuid import UUID

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamcore as sc
from flow.said import BUSY, DOWN, NEVER
from ledgers import Book
from pieces import HEL, Pieces, over
from streamcore.flow import fallback, hedge, limit, retry
from streamcore.flow.tee import tee
from streamcore.testing import EVENTS, Answer, Fault, FaultyTransport, Pause, ScriptedModel, lines, virtual_time
from streamcore.tracking.context import context
from streamcore.tracking.counting import Characters
from streamcore.tracking.prices import Prices
from streamcore.tracking.record import Context, Marks, Record
from streamcore.tracking.track import track, tracking_id

pytestmark = pytest.mark.anyio

KEY, PROMPT = "sk-a-key-that-nobody-may-see", "the prompt that nobody may see"
PRICES = {"m": {"input": 1, "output": 10}}
USAGE = sc.Usage(input_tokens=7, output_tokens=3)
WHOLE = [sc.Start("r", "m"), sc.TextDelta(0, "Hello, "), sc.TextDelta(0, "you"), USAGE, sc.Finish("stop")]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    """Time passes only when nobody has anything else to do."""
    return virtual_time(request.param)


async def to_the_end(stream):
    async with stream:
        async for _ in stream:
            pass


async def leave(stream):
    async with stream:
        await stream.read()
        await stream.read()


async def stumble(stream):
    with pytest.raises(KeyError):
        async with stream:
            await stream.read()
            await stream.read()
            raise KeyError


async def be_cancelled(stream):
    with anyio.move_on_after(50):
        async with stream:
            await stream.read()
            await stream.read()
            await anyio.sleep_forever()


async def be_cancelled_reading(stream):
    with anyio.move_on_after(50):
        await to_the_end(stream)


async def cancel(stream):
    async def later():
        await anyio.sleep(20)
        await stream.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(later)
        await fail(stream)


async def fail(stream):
    with pytest.raises(sc.StreamFailed):
        await to_the_end(stream)


async def time_out(stream):
    await fail(stream.within(total=30))


HALF = WHOLE[:2]
ENDS = {
    "finish": (WHOLE, to_the_end, "SUCCESS", None, None),
    "length": ([*WHOLE[:-1], sc.Finish("length")], to_the_end, "SUCCESS", None, None),
    "nothing said": ([WHOLE[0], sc.Finish("stop")], to_the_end, "SUCCESS", None, None),
    "truncated": (HALF, fail, "TRUNCATED", "truncated", None),
    "failed": ([*HALF, BUSY], fail, "ERROR", "overloaded", None),
    "timed out": ([*HALF, NEVER], time_out, "TIMEOUT", "timeout", "total"),
    "timed out at the opening": ([NEVER], time_out, "TIMEOUT", "timeout", "total"),
    "left": (WHOLE, leave, "CANCELLED", "cancelled", "closed"),
    "raised": (WHOLE, stumble, "CANCELLED", "cancelled", "exception"),
    "task cancelled": (WHOLE, be_cancelled, "CANCELLED", "cancelled", "task"),
    "read cancelled": ([*HALF, NEVER], be_cancelled_reading, "CANCELLED", "cancelled", "read"),
    "cancelled": ([*HALF, NEVER], cancel, "CANCELLED", "cancelled", "cancel"),
    "cancelled at the opening": ([NEVER], cancel, "CANCELLED", "cancelled", "cancel"),
    "refused": (sc.Failure("invalid", "no", status=400), fail, "ERROR", "invalid", None),
}
SHAPES = {
    "plain": lambda model: model,
    "retried": lambda model: retry(Once(DOWN, model), backoff=0),
    "fallen back": lambda model: fallback(ScriptedModel(DOWN), model),
    "hedged": lambda model: hedge(ScriptedModel([Pause(60), DOWN]), model, after=1),
    "limited": lambda model: limit(model, 1),
    "all": lambda model: limit(retry(fallback(ScriptedModel(DOWN), hedge(model, after=99)), backoff=0), 1),
}


class Once:
    """Fails the first time; then it is the other model."""

    def __init__(self, failure, model):
        self.failure, self.model = failure, model

    def stream(self, request):
        if self.failure is None:
            return self.model.stream(request)
        model, self.failure = ScriptedModel(self.failure), None
        return model.stream(request)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("end", ENDS)
async def test_every_end_of_every_stream_leaves_one_record(end, shape):
    answer, drive, status, kind, detail = ENDS[end]
    book = Book()
    stream = track(SHAPES[shape](ScriptedModel(answer)), book).stream(sc.prompt(PROMPT))
    await drive(stream)
    await stream.aclose()
    (record,) = book.records
    assert [begun.status for begun in book.begun] == ["LOST"]
    assert record.status == status
    assert record.outcome == stream.outcome
    if kind is not None and (shape, end) != ("hedged", "refused"):  # there the slow one fails last
        assert (record.outcome.kind, record.outcome.detail) == (kind, detail)
    assert stream.record.tracking_id == record.tracking_id


@pytest.mark.parametrize("end", ENDS)
async def test_a_stream_that_is_teed_leaves_one_record_of_its_own(end):
    answer, drive, status, *_ = ENDS[end]
    book = Book()
    stream = track(ScriptedModel(answer), book).stream(sc.prompt(PROMPT)).within(total=1000)
    if "opening" in end or end == "refused":
        with pytest.raises(sc.StreamFailed) if end == "refused" else anyio.move_on_after(10):
            async with tee(stream, 2) as (reader, _):
                await reader.aclose()
                await anyio.sleep_forever()
        status = "ERROR" if end == "refused" else "CANCELLED"
    else:
        async with tee(stream, 1) as (reader,):
            await drive(reader)
        status = "CANCELLED" if status == "TIMEOUT" else status
    (record,) = book.records
    if drive in {to_the_end, fail}:
        assert record.status == status
    else:
        assert record.status in {status, "TIMEOUT", "SUCCESS"}  # the source is read ahead of the reader
    assert record.outcome == stream.outcome


async def test_a_stream_that_is_never_opened_leaves_none():
    book = Book()
    stream = track(ScriptedModel(WHOLE), book).stream("hi")
    await stream.cancel()
    assert (book.begun, book.records, stream.record) == ([], [], None)


async def test_the_record_is_there_with_the_last_event():
    book = Book()
    async with track(ScriptedModel(WHOLE), book).stream("hi") as stream:
        async for event in stream:
            assert not isinstance(event, sc.TextDelta) or stream.record is None
        assert [stream.record.tracking_id] == [record.tracking_id for record in book.records]


async def test_the_record_is_there_before_the_connection_is_closed():
    class Slow(Pieces):
        async def close(self):
            assert len(book.records) == 1
            await super().close()

    book, response = Book(), Slow(HEL)
    with pytest.raises(sc.StreamFailed):
        await to_the_end(track(Given(over(response)), book).stream("hi"))
    assert response.closed


class Given:
    """A model that has its stream already."""

    def __init__(self, stream):
        self.given = stream

    def stream(self, request):
        return self.given


async def test_an_untracked_stream_has_no_record():
    stream = ScriptedModel(WHOLE).stream(sc.prompt("hi"))
    await to_the_end(stream)
    assert stream.record is None


async def test_a_stream_tracked_twice_leaves_a_record_in_each():
    inner, outer = Book(), Book()
    stream = track(track(ScriptedModel(WHOLE), inner), outer).stream("hi")
    await to_the_end(stream)
    assert (len(inner.records), len(outer.records)) == (1, 1)
    assert stream.record.tracking_id == outer.records[0].tracking_id


async def test_inside_another_model_each_attempt_leaves_its_own():
    book = Book()
    await to_the_end(retry(track(ScriptedModel(DOWN, WHOLE), book), backoff=0).stream(sc.prompt("hi")))
    assert [record.status for record in book.records] == ["ERROR", "SUCCESS"]


# What is in a record


async def one(model, drive=to_the_end, **options):
    stream = track(model, prices=PRICES, **options).stream(sc.prompt(PROMPT))
    await drive(stream)
    await stream.aclose()
    return stream.record


async def test_what_was_reported_is_reported_and_its_cost_known():
    record = await one(ScriptedModel(WHOLE))
    assert record.usage == USAGE
    assert record.usage_sources == {"input_tokens": "reported", "output_tokens": "reported"}
    assert (record.cost, record.costs.provenance) == (Decimal("0.000037"), "derived")
    assert (record.answered_by, record.characters, record.events) == ("m", 10, 6)
    assert record.bytes == sum(map(len, lines(WHOLE)))


async def test_of_a_stream_that_was_left_what_nobody_reported_is_estimated():
    record = await one(ScriptedModel(WHOLE), leave)
    assert record.usage == sc.Usage(input_tokens=round(len(PROMPT) / 4), output_tokens=2)
    assert set(record.usage_sources.values()) == {"estimated"}
    assert (record.costs.known, record.costs.provenance) == (None, "estimated")
    assert record.cost == record.costs.estimated > 0


async def test_what_whole_streams_show_is_used_for_the_next_that_is_left():
    tracked = track(ScriptedModel([*WHOLE[:-2], sc.Usage(input_tokens=30, output_tokens=10), WHOLE[-1]], WHOLE))
    await to_the_end(tracked.stream(PROMPT))
    stream = tracked.stream(PROMPT)
    await leave(stream)
    assert stream.record.usage == sc.Usage(input_tokens=30, output_tokens=7)


async def test_only_what_was_reported_is_learnt():
    class Listening(Characters):
        def learn(self, request, characters, usage, model):
            heard.append((characters, usage, model))

    heard = []
    await one(ScriptedModel([*WHOLE[:-2], sc.Usage(output_tokens=9), WHOLE[-1]]), counter=Listening())
    await one(ScriptedModel(WHOLE), leave, counter=Listening())
    assert heard == [(10, sc.Usage(output_tokens=9), "m")]


async def test_a_request_that_was_refused_cost_nothing_and_the_whole_is_known():
    record = await one(retry(ScriptedModel(DOWN, WHOLE), backoff=0))
    assert [(each.served, each.chosen, each.status) for each in record.attempts] == [
        (False, False, "ERROR"),
        (True, True, "SUCCESS"),
    ]
    assert (record.usage, record.usage_sources["input_tokens"]) == (USAGE, "reported")
    assert (record.cost, record.costs.provenance) == (Decimal("0.000037"), "derived")


async def test_what_failed_after_it_was_counted_is_paid_for_too():
    counted = [sc.Start("r", "m"), sc.Usage(input_tokens=7, output_tokens=0), BUSY]
    record = await one(retry(ScriptedModel(counted, WHOLE), backoff=0))
    assert record.usage == sc.Usage(input_tokens=14, output_tokens=3)
    assert record.usage_sources == {"input_tokens": "derived", "output_tokens": "estimated"}
    assert (record.costs.known, record.costs.estimated) == (Decimal("0.000044"), 0)


async def test_the_loser_of_a_hedge_is_paid_for_as_far_as_anybody_can_tell():
    counted = [sc.Start("r", "m"), sc.Usage(input_tokens=7), NEVER]
    record = await one(hedge(ScriptedModel(counted), ScriptedModel(WHOLE), after=1))
    loser, winner = record.attempts
    assert (loser.status, loser.chosen, loser.tokens.usage) == ("CANCELLED", False, sc.Usage(input_tokens=7))
    assert (winner.status, winner.chosen, winner.tokens.usage) == ("SUCCESS", True, USAGE)
    assert record.usage == sc.Usage(input_tokens=14, output_tokens=3)
    assert record.usage_sources == {"input_tokens": "derived", "output_tokens": "estimated"}


async def test_one_who_waits_for_a_place_in_vain_has_cost_nothing():
    model = limit(ScriptedModel([*HALF, NEVER]), 1)
    async with model.stream(sc.prompt("hi")):
        record = await one(model, time_out)
    assert (record.status, record.attempts, record.usage, record.cost) == ("TIMEOUT", (), sc.Usage(), None)
    assert (record.marks.sent, record.marks.closed) == (None, pytest.approx(30))


async def test_content_alone_is_the_first_token():
    quiet = [Pause(1), sc.Start("r", "m"), Pause(1), sc.TextDelta(0, ""), Pause(1), sc.Usage(input_tokens=1), Pause(1)]
    answer = [*quiet, sc.ReasoningDelta(1, "Hm"), Pause(1), sc.TextDelta(0, "Hi"), Pause(2), sc.Finish("stop")]
    record = await one(ScriptedModel(answer))
    assert record.marks == Marks(
        sent=0,
        headers=pytest.approx(0),
        first_byte=pytest.approx(1),
        first_content=pytest.approx(4),
        first_text=pytest.approx(5),
        last_content=pytest.approx(5),
        closed=pytest.approx(7),
    )
    assert (record.latency_ms, record.streaming_duration_ms) == (pytest.approx(4000), pytest.approx(1000))
    assert (record.largest_gap, record.provider_wait) == (pytest.approx(2), pytest.approx(7))


async def test_the_marks_of_a_composed_stream_are_those_of_the_one_that_answered():
    slow = ScriptedModel([Pause(3), DOWN])
    record = await one(fallback(slow, ScriptedModel([Pause(2), *WHOLE])))
    assert record.marks.sent == pytest.approx(0)
    assert [record.marks.headers, record.marks.first_byte] == pytest.approx([3, 5])
    assert [record.marks.first_content, record.marks.closed] == pytest.approx([5, 5])
    first, second = (each.marks for each in record.attempts)
    assert [first.sent, first.headers, first.first_byte, first.closed] == pytest.approx([0, 0, 3, 3])
    assert [second.sent, second.headers, second.first_byte, second.closed] == pytest.approx([3, 3, 5, 5])


async def test_the_consumers_time_is_told_from_the_providers():
    async def dawdle(stream):
        async with stream:
            async for _ in stream:
                await anyio.sleep(1)

    record = await one(ScriptedModel([*WHOLE[:2], Pause(3), *WHOLE[2:]]), dawdle)
    assert (record.provider_wait, record.consumer_wait) == (pytest.approx(3), pytest.approx(4))


class Remembered:
    """An upstream that asks nobody."""

    usage = None
    request_id = None
    received = 0
    outcome = None
    warnings = attempts = ()

    async def open(self, deadlines):
        return []

    @property
    def receive(self):
        return anyio.lowlevel.checkpoint

    def take(self, received):
        self.usage, self.outcome = USAGE, WHOLE[-1]
        return WHOLE

    async def close(self, *, drain):
        pass


async def test_an_upstream_of_ones_own_that_asks_nobody_is_counted_by_its_usage():
    record = await one(Given(sc.Stream(Remembered())))
    assert (record.usage, record.origin, record.answered_by) == (USAGE, None, None)


def at_provider(fault=None, **answer):
    body = Answer(lines(WHOLE), **answer)
    transport = FaultyTransport(body, fault)
    return sc.Endpoint(EVENTS, "asked", url="https://api.example.com/v1", key=KEY, transport=transport)


async def test_it_says_whom_was_asked_and_who_answered():
    record = await one(at_provider(headers={"content-type": "application/x-ndjson", "x-request-id": "r-1"}))
    assert (record.origin.model, record.origin.host, record.answered_by) == ("asked", "api.example.com", "m")
    assert record.request_id == record.attempts[0].request_id == "r-1"


async def test_the_beginning_of_a_record_says_what_is_known_by_then():
    book = Book()
    await to_the_end(track(at_provider(), book).with_context(user="u").stream(PROMPT))
    (begun,) = book.begun
    assert (begun.status, begun.outcome, begun.context) == ("LOST", None, Context(user="u"))
    assert (begun.origin, begun.attempts[0].origin) == (book.records[0].origin,) * 2
    assert begun.usage == sc.Usage(input_tokens=round(len(PROMPT) / 4))
    assert begun.usage_sources == {"input_tokens": "estimated"}
    assert begun.created_at == book.records[0].created_at


FAULTS = [
    None,
    Fault("reset", at=40),
    Fault("close", at=40),
]


@pytest.mark.parametrize("answer", [{}, {"status": 401}, {"status": 500}, {"headers": {"content-type": "text/html"}}])
@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_neither_key_nor_prompt_nor_answer_is_in_a_record(fault, answer):
    book = Book()
    with suppress(sc.StreamFailed):
        await to_the_end(track(at_provider(fault, **answer), book).stream(PROMPT))
    (record,) = book.records
    for text in (msgspec.json.encode([record, *book.begun]).decode(), repr(record)):
        assert KEY not in text
        assert PROMPT not in text
        assert "Hello" not in text


@pytest.mark.parametrize(
    "body",
    [
        [b'{"type":"text","index":0,"text":"Hello", oops}\n'],
        [b"Hello, I am no stream"],
        [b'{"type":"text","index":0,"text":"Hello"'],
    ],
    ids=["malformed", "no stream", "cut"],
)
async def test_a_failure_that_quotes_the_answer_is_recorded_without_the_quotation(body):
    transport = FaultyTransport(Answer(body))
    model = sc.Endpoint(EVENTS, "asked", url="https://api.example.com/v1", key=KEY, transport=transport)
    stream = track(model).stream(PROMPT)
    await fail(stream)
    assert "Hello" not in repr(stream.record)
    assert (stream.record.outcome.kind, stream.record.outcome.detail) == (stream.outcome.kind, stream.outcome.detail)


# What it is for


async def test_the_context_is_what_was_said_around_and_to_the_model_which_wins():
    tracked = track(ScriptedModel(WHOLE)).with_context(user="u-1", team="a")
    with context(feature="chat", user="u-0", tier="x"):
        stream = tracked.with_context(conversation_id="c").stream("hi")
    await to_the_end(stream)
    assert stream.record.context == Context(
        feature="chat", user="u-1", conversation_id="c", tags={"team": "a", "tier": "x"}
    )
    other = tracked.stream("hi")
    await to_the_end(other)
    assert other.record.context == Context(user="u-1", tags={"team": "a"})


def test_tracking_ids_are_uuids_that_sort_by_time(monkeypatch):
    times = iter([1_700_000_000_000_000_000, 1_700_000_000_000_300_000, 1_700_000_000_001_000_000])
    monkeypatch.setattr("time.time_ns", lambda: next(times))
    ids = [tracking_id() for _ in range(3)]
    assert ids == sorted(ids)
    found = UUID(ids[0])
    assert (found.version, found.variant) == (7, "specified in RFC 4122")
    assert found.int >> 80 == 1_700_000_000_000


def test_tracking_ids_are_unique():
    assert len({tracking_id() for _ in range(10_000)}) == 10_000


# Where it goes


class Kept:
    """A sink."""

    def __init__(self):
        self.records = []

    def write(self, records):
        self.records += records


async def test_sinks_get_the_record_with_its_cost():
    sinks = Kept(), Kept()
    tracked = track(ScriptedModel(WHOLE), *sinks, prices=PRICES)
    stream = tracked.stream("hi")
    await to_the_end(stream)
    assert tracked.ledger.flush(10)
    tracked.ledger.close()
    assert [[record] for record in (stream.record, stream.record)] == [sink.records for sink in sinks]
    assert sinks[0].records[0].cost == Decimal("0.000037")


async def test_a_ledger_is_taken_as_it_is():
    book = Book()
    assert track(ScriptedModel(WHOLE), book).ledger is book
    assert track(ScriptedModel(WHOLE)).ledger is None
    with pytest.raises(sc.LocalError):
        track(ScriptedModel(WHOLE), book, Kept())


async def test_the_cost_is_there_as_soon_as_the_prices_are():
    prices = Prices()
    model = at_provider()
    model = sc.Endpoint(EVENTS, "gpt-4o", url="https://api.openai.com", transport=model.transport)
    stream = track(model, prices=prices).stream("hi")
    await to_the_end(stream)
    assert stream.record.cost is None
    prices.load()
    assert stream.record.cost is not None
    assert stream.record is stream.record


# What goes wrong is never the stream's


class Broken:
    def __getattr__(self, name):
        raise RuntimeError(name)


class BrokenBook(Book):
    def __init__(self, what):
        super().__init__()
        self.what = what

    def begin(self, record):
        if self.what == "begin":
            raise RuntimeError
        return super().begin(record)

    def end(self, entry, record):
        if self.what == "end":
            raise RuntimeError
        super().end(entry, record)


@pytest.mark.parametrize("what", ["counter", "begin", "end", "prices"])
async def test_a_defect_in_tracking_is_logged_once_counted_and_never_the_streams(what, caplog):
    options = {"counter": Broken()} if what == "counter" else {}
    tracked = track(ScriptedModel([*WHOLE[:3], WHOLE[-1]]), BrokenBook(what), **options)
    if what == "prices":
        tracked._desk.prices.priced = Broken().__getattr__
    with caplog.at_level(logging.ERROR, "streamcore.tracking"):
        for _ in range(3):
            async with tracked.stream("hi") as stream:
                assert [type(event) for event in [event async for event in stream]][-1] is sc.Finish
            assert stream.record is None or isinstance(stream.record, Record)
    assert tracked.defects >= 3
    assert len(caplog.records) == 1


# The sum


@st.composite
def answers(draw):
    """An answer that is whole or not, and counted."""
    counted = sc.Usage(input_tokens=draw(st.integers(0, 99)), output_tokens=draw(st.integers(0, 99)))
    events = [sc.Start("r", "m"), *draw(st.sampled_from([[], [sc.TextDelta(0, "")]])), counted]
    said = draw(st.sampled_from([[], [sc.TextDelta(0, "Hi")]]))
    return [*events, *said, draw(st.sampled_from([sc.Finish("stop"), BUSY]))]


@given(
    st.lists(st.lists(answers() | st.just(DOWN), min_size=1, max_size=4), min_size=1, max_size=5),
    st.sampled_from(
        [
            lambda models: retry(Turns(models), attempts=len(models), backoff=0),
            lambda models: fallback(*models),
            lambda models: limit(models[0], 1),
            lambda models: hedge(*models, after=1),
        ]
    ),
    st.sampled_from(["asyncio", "trio"]),
)
def test_the_records_are_what_the_models_served(scripts, compose, backend):
    async def main():
        for script in scripts:
            models = [ScriptedModel(answer) for answer in script]
            with suppress(sc.StreamFailed):
                await to_the_end(track(compose(models), book, prices=PRICES).stream("hi"))
            served.extend(
                answer for one, answer in zip(models, script, strict=True) if one.requests and answer is not DOWN
            )

    served, book = [], Book()
    name, options = virtual_time(backend)
    anyio.run(main, backend=name, backend_options=options)
    counts = [event for answer in served for event in answer if isinstance(event, sc.Usage)]
    assert len(book.records) == len(scripts)
    assert sum(each.usage.input_tokens or 0 for each in book.records) == sum(each.input_tokens for each in counts)
    least = sum(each.output_tokens for each in counts)
    guessed = sum(1 for answer in served if answer[-1] is BUSY and sc.TextDelta(0, "Hi") in answer)
    assert least <= sum(each.usage.output_tokens or 0 for each in book.records) <= least + guessed
    costs = [Prices(PRICES).priced(each).cost for each in book.records]
    for record, cost in zip(book.records, costs, strict=True):
        tokens = record.usage
        expected = Decimal((tokens.input_tokens or 0) + 10 * (tokens.output_tokens or 0)) / 1_000_000
        assert (cost or 0) == expected


class Turns:
    """Each of several models once."""

    def __init__(self, models):
        self.models = iter(models)

    def stream(self, request):
        return next(self.models).stream(request)
