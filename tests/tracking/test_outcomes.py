"""Every way a stream can end, on every wire, alone and composed: one record, that says how, and whose numbers are whose.

The bytes are the wires' own, written by our encoders (`faults.transcripts`); the road to them goes wrong as it can.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from importlib import import_module
from math import inf
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import anyio
import pytest

import streamcore as sc
from faults.transcripts import BEGUN, CALL, START, USAGE, bedrock, block, made, stopped
from ledgers import Book
from streamcore.events import is_content
from streamcore.flow import fallback, hedge, limit, retry
from streamcore.flow.log import MemoryLog
from streamcore.flow.resume import Resumable
from streamcore.flow.tee import tee
from streamcore.testing import Answer, Fault, FaultyTransport, read, virtual_time
from streamcore.tracking.prices import Prices
from streamcore_adapters import compatible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamcore.tracking.record import Record, Status

pytestmark = pytest.mark.anyio

WIRES = ("openai_chat", "openai_responses", "anthropic", "gemini", "bedrock", "cohere", "mistral", "ollama")
PRICES = {"m": {"input": 1, "output": 10}}
PRICED = Prices(PRICES)
WHOLE_INPUT = Decimal(3 * 1) / 1_000_000
WHOLE_COST = WHOLE_INPUT + Decimal(4 * 10) / 1_000_000
JSON = {"content-type": "application/json"}
DEADLINES = {"connect": 2, "first_token": 5, "idle": 7, "total": 60}
LEFT_AFTER = 3
STOPS = {  # Amazon's words; the others' are those of the encoders
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
    "refusal": "refusal",
    "pause": "pause_turn",
    "other": "what is new",
}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    """Time passes only when nobody has anything else to do."""
    return virtual_time(request.param)


class LeftError(Exception):
    pass


@dataclass(frozen=True)
class Wire:
    """A wire: its adapter, a whole answer of two words, one that fails in its middle, and where the first word ends."""

    adapter: Any
    content_type: str
    body: bytes
    failing: bytes
    first: int

    @classmethod
    def of(cls, name: str, adapter: Any = None) -> Wire:
        whole, failing = made(name, "text"), made(name, "error")
        reader = sc.Reader(whole.adapter)
        sizes = (at + 1 for at in range(len(whole.body)) if any(map(is_content, reader.feed(whole.body[at : at + 1]))))
        return cls(adapter or whole.adapter, whole.content_type, whole.body, failing.body, next(sizes))

    def answer(self, *body: bytes, **more: Any) -> Answer:
        return Answer([*body], headers={"content-type": self.content_type}, **more)

    def finished(self, reason: str) -> bytes:
        """A whole answer that ended for this reason."""
        if "amazon" in self.content_type:
            return bedrock([BEGUN, *block(0, {"text": "Hi"}), *stopped(STOPS[reason])])
        name = getattr(self.adapter, "__name__", "streamcore_adapters.openai_chat")
        encoder = import_module(f"{name}.server").Encoder(CALL)
        events = [START, sc.TextDelta(0, "Hi"), sc.BlockEnd(0), USAGE, sc.Finish(reason)]
        return b"".join(encoder.feed(event) for event in events)


EVERY = {name: Wire.of(name) for name in WIRES} | {"groq": Wire.of("openai_chat", compatible.groq)}


@dataclass(frozen=True)
class Ending:
    """A way to end: what comes of the provider, what the reader does, and what the record is to say.

    `served` is whether there may be something to pay, `said` whether a word came.
    """

    name: str
    status: Status
    what: tuple[str, str | None]
    fault: Fault | None = None
    answer: Answer | None = None
    how: str = "read"
    served: bool = True
    said: bool = True
    total: float = DEADLINES["total"]


def endings(wire: Wire) -> Sequence[Ending]:
    """All of them, on this wire."""
    middle = wire.first

    def refused(status: int, kind: str) -> Ending:
        body = b'{"error":{"message":"no","type":"none that is known"}}'
        return Ending(
            f"HTTP {status}", "ERROR", (kind, None), answer=Answer([body], status, JSON), served=False, said=False
        )

    def cut(kind: Any, status: Status, what: tuple[str, str | None], **more: Any) -> list[Ending]:
        """Before the first word, and after it."""
        return [
            Ending(f"{kind} at once", status, what, Fault(kind), said=False, **more),
            Ending(f"{kind} in the middle", status, what, Fault(kind, middle), **more),
        ]

    def left(how: str, detail: str) -> Ending:
        return Ending(how, "CANCELLED", ("cancelled", detail), Fault("stall", middle), how=how)

    def left_unanswered(how: str, detail: str) -> Ending:
        what = ("cancelled", detail)
        return Ending(f"{how} before headers", "CANCELLED", what, Fault("headers_stall"), how=how, said=False)

    error = read(wire.adapter, [wire.failing])[-1]
    broken = wire.body[:middle] + (b"\0" * 16 if "amazon" in wire.content_type else b"data: {oops}\n\n")
    malformed = read(wire.adapter, [broken])[-1]
    assert isinstance(error, sc.Failure)
    assert isinstance(malformed, sc.Failure)
    return [
        *cut("end", "TRUNCATED", ("truncated", None)),
        *cut("close", "TRUNCATED", ("truncated", "incomplete")),
        *cut("reset", "ERROR", ("connection", "reset")),
        Ending("no first token", "TIMEOUT", ("timeout", "first_token"), Fault("stall"), said=False),
        Ending("no headers", "TIMEOUT", ("timeout", "first_token"), Fault("headers_stall"), said=False),
        Ending("idle", "TIMEOUT", ("timeout", "idle"), Fault("stall", middle)),
        Ending("total", "TIMEOUT", ("timeout", "total"), Fault("stall", middle), total=6),
        Ending("connect", "TIMEOUT", ("timeout", "connect"), Fault("connect"), served=False, said=False),
        Ending("dns", "ERROR", ("connection", "dns"), Fault("dns"), served=False, said=False),
        refused(401, "auth"),
        refused(429, "rate_limit"),
        refused(500, "server"),
        refused(529, "overloaded"),
        Ending("error in the stream", "ERROR", (error.kind, error.detail), answer=wire.answer(wire.failing)),
        Ending("malformed", "ERROR", ("protocol", malformed.detail), answer=wire.answer(broken)),
        Ending("a page", "ERROR", ("protocol", "content_type"), Fault("content_type"), served=False, said=False),
        left("break", "closed"),
        left("raise", "exception"),
        left("scope", "read"),
        left("cancel", "cancel"),
        left_unanswered("scope", "task"),
        left_unanswered("cancel", "cancel"),
    ]


# The ways to compose


def asked(wire: Wire, ending: Ending, *before: Fault | None) -> sc.Endpoint:
    """The provider, at which things go wrong before this ending."""
    answer = ending.answer or wire.answer(wire.body)
    return sc.Endpoint(wire.adapter, "m", key="k", transport=FaultyTransport(answer, *before, ending.fault))


DOWN = Fault("server_error")


def hedged(wire: Wire, ending: Ending) -> sc.Model:
    """Behind a model that does not answer, if this one does."""
    first = Ending("never", "ERROR", ("", None), Fault("headers_stall") if ending.said else DOWN)
    return hedge(asked(wire, first), asked(wire, ending), after=1)


COMPOSED = {
    "plain": asked,
    "retried": lambda wire, ending: retry(asked(wire, ending, DOWN), attempts=2, backoff=0),
    "fallen back": lambda wire, ending: fallback(
        asked(wire, Ending("down", "ERROR", ("", None), DOWN)), asked(wire, ending)
    ),
    "hedged": hedged,
    "limited": lambda wire, ending: limit(asked(wire, ending), 1),
    "teed": asked,
    "resumed": asked,
}


async def follow(stream: sc.Stream, how: str) -> None:
    async with stream:
        async for event in stream:
            if how == "break" and is_content(event):
                break
            if how == "raise" and is_content(event):
                raise LeftError


async def take(composition: str, stream: sc.Stream, how: str) -> None:
    """Read the stream as it is composed, and leave it so."""
    if composition == "teed":
        async with tee(stream, 2) as readers:
            for reader in readers:
                await follow(reader, how)
    elif composition == "resumed":
        async with Resumable(MemoryLog()) as streams:
            await follow(streams.follow(await streams.start(stream)), how)
    else:
        await follow(stream, how)


async def leave(stream: sc.Stream) -> None:
    await anyio.sleep(LEFT_AFTER)
    await stream.cancel()


async def record_of(composition: str, wire: Wire, ending: Ending) -> Record:
    """The one record of a stream that ends so."""
    book = Book()
    tracked = sc.track(COMPOSED[composition](wire, ending), book, prices=PRICES)
    stream = tracked.stream("what there is to say").within(**DEADLINES | {"total": ending.total})
    async with anyio.create_task_group() as group:
        if ending.how == "cancel":
            group.start_soon(leave, stream)
        with (
            anyio.move_on_after(LEFT_AFTER if ending.how == "scope" else inf),
            suppress(sc.StreamFailed, LeftError),
        ):
            await take(composition, stream, ending.how)
        group.cancel_scope.cancel()
    (begun,), (record,) = book.begun, book.records
    assert tracked.defects == 0
    assert begun.status == "LOST"
    assert begun.tracking_id == record.tracking_id
    return PRICED.priced(record)


def expected(ending: Ending, composition: str) -> dict[str, object]:
    """What the record of a stream that failed is to say."""
    attempts: list[object] = []
    if composition in ("retried", "fallen back", "hedged"):
        attempts = [("CANCELLED", True) if composition == "hedged" and ending.said else ("ERROR", False)]
    attempts.append((ending.status, ending.served))
    theirs = ending.status == "CANCELLED" and composition in ("teed", "resumed")  # in their words, whose leaving it was
    return {
        "status": ending.status,
        "what": ANY if theirs else ending.what,
        "attempts": attempts,
        "output": "estimated" if ending.said else None,
        "costs": "estimated" if ending.served else "missing",
    }


def told(record: Record) -> dict[str, object]:
    outcome = record.outcome
    return {
        "status": record.status,
        "what": (outcome.kind, outcome.detail) if isinstance(outcome, sc.Failure) else outcome,
        "attempts": [(each.status, each.served) for each in record.attempts],
        "output": record.usage_sources.get("output_tokens"),
        "costs": record.costs.provenance,
    }


every_wire = pytest.mark.parametrize("wire", EVERY)
every_composition = pytest.mark.parametrize("composition", COMPOSED)


@every_composition
@every_wire
async def test_each_way_to_fail_leaves_one_record_that_says_which(wire, composition):
    for ending in endings(EVERY[wire]):
        record = await record_of(composition, EVERY[wire], ending)
        assert told(record) == expected(ending, composition), ending.name
        for attempt in record.attempts:
            reported = attempt.tokens.sources.get("input_tokens") == "reported"
            assert attempt.cost.known == (WHOLE_INPUT if reported else None), ending.name


@every_composition
@every_wire
async def test_each_way_to_finish_leaves_one_record_that_says_which(wire, composition):
    for reason in STOPS:
        body = EVERY[wire].finished(reason)
        last = read(EVERY[wire].adapter, [body])[-1]
        ending = Ending(reason, "SUCCESS", ("", None), answer=EVERY[wire].answer(body))
        record = await record_of(composition, EVERY[wire], ending)
        assert isinstance(last, sc.Finish)
        assert (record.status, record.outcome) == ("SUCCESS", last), reason
        (answer,) = (each for each in record.attempts if each.chosen)
        assert answer.tokens.usage == USAGE
        assert set(answer.tokens.sources.values()) == {"reported"}
        assert (answer.cost.known, answer.cost.estimated, answer.cost.provenance) == (WHOLE_COST, None, "derived")
        whole = "estimated" if composition == "hedged" else "derived"  # the loser may have been served
        assert record.costs.provenance == whole
        assert (record.costs.known, record.costs.estimated is None) == (WHOLE_COST, composition != "hedged")


@every_composition
@pytest.mark.parametrize("wire", ["anthropic", "gemini"])
async def test_what_was_reported_before_the_cut_stays_known(wire, composition):
    name, answered = EVERY[wire], sc.Usage(input_tokens=3, output_tokens=1)
    encoder = import_module(f"{name.adapter.__name__}.server").Encoder(CALL)
    events = [START, answered, *[sc.TextDelta(0, "Hello you there")] * 9]
    cut = b"".join(map(encoder.feed, events))
    record = await record_of(composition, name, Ending("", "TRUNCATED", ("", None), answer=name.answer(cut)))
    (answer,) = (each for each in record.attempts if each.chosen)
    assert record.status == "TRUNCATED"
    assert answer.tokens.sources == {"input_tokens": "reported", "output_tokens": "estimated"}
    assert answer.tokens.usage == sc.Usage(input_tokens=3, output_tokens=round(9 * 15 / 4))
    assert (answer.cost.known, answer.cost.provenance) == (WHOLE_INPUT, "estimated")
