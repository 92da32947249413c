"""The sum of the records is what a server served: it counts for itself, and the records are summed by SQL.

Streams are drawn at random: what each server of theirs does, how they are composed and read or left, several at a time.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from math import inf
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamcore as sc
from faults.transcripts import CALL
from streamcore.events import is_content
from streamcore.flow import fallback, hedge, retry
from streamcore.testing import virtual_time
from streamcore.tracking.ledger import Ledger
from streamcore.tracking.sinks.sqlite import SQLite
from streamcore_adapters import anthropic, openai_chat
from streamcore_adapters.anthropic import server as anthropic_server
from streamcore_adapters.openai_chat import server as openai_chat_server

FUZZ = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
WIRES = {"anthropic": (anthropic, anthropic_server), "openai_chat": (openai_chat, openai_chat_server)}
PRICES = {"m": {"input": "3", "output": "15"}}
WORDS = (
    "the",
    "sky",
    "is",
    "blue",
    "because",
    "molecules",
    "scatter",
    "light",
    "of",
    "short",
    "waves,",
    "physicists",
    "say.",
)
REFUSALS = {401: b"no key", 429: b"later", 500: b"down"}


@dataclass(frozen=True)
class Plan:
    """What a server does with one request: refuse it, or say so many words, a second each, as far as it gets.

    `stops` is the number of the piece in whose place it does what it does `then`; inf for none.
    """

    wire: str
    read: int
    words: int
    status: int = 200
    stops: float = inf
    then: str = "end"

    def pieces(self) -> list[bytes]:
        """The answer. Anthropic says at its beginning what it has read; the other at its end."""
        encoder = WIRES[self.wire][1].Encoder(CALL)
        usage = sc.Usage(input_tokens=self.read, output_tokens=self.words)
        begun = [sc.Start("r", "m"), sc.Usage(input_tokens=self.read, output_tokens=1)]
        said = [sc.TextDelta(0, f"{WORDS[number % len(WORDS)]} ") for number in range(self.words)]
        events = [*begun, *said, sc.BlockEnd(0), usage, sc.Finish("stop")]
        return [piece for event in events if (piece := encoder.feed(event))]

    def proof(self) -> int:
        """From how many pieces on the answer is whole, whatever comes then."""
        for number in range(1, len(self.pieces()) + 1):
            reader = sc.Reader(WIRES[self.wire][0])
            reader.feed(b"".join(self.pieces()[:number]))
            reader.close(sc.Failure("cancelled", ""))
            if isinstance(reader.outcome, sc.Finish):
                return number
        raise AssertionError


@dataclass
class Server:
    """Serves plans, one a request, and counts."""

    plans: list[Plan]
    handed: list[tuple[Plan, int]] = field(
        default_factory=list
    )  # how many pieces each request got; -1 if it was refused
    bytes: int = 0

    async def open(self, request, /, *, connect=None):
        plan = self.plans[min(len(self.handed), len(self.plans) - 1)]
        self.handed.append((plan, 0 if plan.status == 200 else -1))
        await anyio.sleep(1)
        return _Response(self, plan, len(self.handed) - 1)

    def model(self) -> sc.Endpoint:
        return sc.Endpoint(WIRES[self.plans[0].wire][0], "m", transport=self)

    @property
    def served(self) -> list[tuple[Plan, int]]:
        return [each for each in self.handed if each[1] >= 0]

    def known_cost(self) -> Decimal:
        """What follows from the counts that were on the wire, as far as they were final."""
        cost = Decimal(0)
        for plan, handed in self.served:
            whole = handed >= plan.proof()
            if whole or (plan.wire == "anthropic" and handed):
                cost += Decimal(3 * plan.read) / 1_000_000
            if whole:
                cost += Decimal(15 * plan.words) / 1_000_000
        return cost


class _Response:
    def __init__(self, server: Server, plan: Plan, number: int) -> None:
        self.status, self.headers = plan.status, {"content-type": "text/event-stream"}
        self._server, self._plan, self._number = server, plan, number
        self._pieces = plan.pieces() if plan.status == 200 else [REFUSALS[plan.status]]

    async def read(self) -> bytes:
        server, plan, number = self._server, self._plan, self._number
        _, handed = server.handed[number]
        if handed == plan.stops:
            await anyio.sleep(inf if plan.then == "stall" else 0)
            if plan.then == "reset":
                raise sc.StreamFailed(sc.Failure("connection", "the connection broke", detail="reset"))
            return b""
        if not self._pieces:
            return b""
        await anyio.sleep(1)
        piece = self._pieces.pop(0)
        if handed >= 0:
            server.handed[number] = plan, handed + 1
            server.bytes += len(piece)
        return piece

    async def close(self) -> None:
        pass


@dataclass(frozen=True)
class Drawn:
    """One stream: its servers' plans, how they are composed, when it begins, and how and when it is left."""

    composition: str
    plans: tuple[Plan, ...]
    begins: int
    how: str
    when: int


@st.composite
def plans(draw, wire):
    read, words = draw(st.integers(1, 10**6)), draw(st.integers(1, 30))
    status = draw(st.sampled_from([200, 200, 200, 200, *REFUSALS]))
    stops = draw(st.sampled_from([inf, inf, *range(words + 2)]))
    return Plan(wire, read, words, status, stops, draw(st.sampled_from(["end", "reset", "stall"])))


@st.composite
def streams(draw):
    wire = draw(st.sampled_from([*WIRES]))
    composition = draw(st.sampled_from(["plain", "plain", "retry", "fallback", "hedge"]))
    given = draw(st.lists(plans(wire), min_size=2, max_size=3))
    how = draw(st.sampled_from(["read", "read", "break", "scope", "cancel"]))
    return Drawn(composition, tuple(given), draw(st.integers(0, 20)), how, draw(st.integers(0, 20)))


def composed(drawn: Drawn) -> tuple[sc.Model, list[Server]]:
    if drawn.composition in ("plain", "retry"):
        server = Server(list(drawn.plans))
        plain = drawn.composition == "plain"
        return server.model() if plain else retry(server.model(), attempts=3, backoff=0), [server]
    servers = [Server([plan]) for plan in drawn.plans]
    models = [server.model() for server in servers]
    return fallback(*models) if drawn.composition == "fallback" else hedge(*models, after=3), servers


async def run(drawn: Drawn, tracked: sc.Tracked) -> None:
    await anyio.sleep(drawn.begins)
    stream = tracked.stream("Why is the sky blue?").within(first_token=40, idle=20)
    left = drawn.when

    async def end() -> None:
        await anyio.sleep(drawn.when)
        await stream.cancel()

    async with anyio.create_task_group() as group:
        if drawn.how == "cancel":
            group.start_soon(end)
        with anyio.move_on_after(drawn.when if drawn.how == "scope" else inf), suppress(sc.StreamFailed):
            async with stream:
                async for event in stream:
                    left -= is_content(event)
                    if drawn.how == "break" and left <= 0:
                        break
        group.cancel_scope.cancel()


def whole(server: Server) -> bool:
    """Whether all that it served was whole."""
    return all(handed >= plan.proof() for plan, handed in server.served)


SUMS = "SELECT count(*), sum(json_array_length(attempts)), total(cost_known_nano) FROM requests"
EACH = """
    SELECT CAST(user AS INTEGER), cost_provenance, json_extract(usage_sources, '$.output_tokens'),
           cost_estimated_nano IS NOT NULL, json_extract(record, '$.bytes')
    FROM requests
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=2_000 if FUZZ else 25)
@given(drawn=st.lists(streams(), min_size=1, max_size=8))
def test_the_sum_of_the_records_is_what_the_servers_served(backend, drawn):
    async def main() -> None:
        async with anyio.create_task_group() as group:
            for number, (each, (model, _)) in enumerate(zip(drawn, made, strict=True)):
                tracked = sc.track(model, ledger, prices=prices).with_context(user=str(number))
                group.start_soon(run, each, tracked)

    made = [composed(each) for each in drawn]
    servers = [server for _, those in made for server in those]
    prices = sc.Prices(PRICES)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "requests.db"
        with closing(Ledger(SQLite(path), journal=Path(directory) / "journal", prepare=prices)) as ledger:
            name, options = virtual_time(backend)
            anyio.run(main, backend=name, backend_options=options)
            assert ledger.flush(20)
        with closing(sqlite3.connect(path)) as database:
            count, attempts, known = database.execute(SUMS).fetchone()
            rows = database.execute(EACH).fetchall()
    assert count == len(drawn)
    assert attempts == sum(len(server.handed) for server in servers)
    assert Decimal(known) / 10**9 == sum(server.known_cost() for server in servers)
    for number, provenance, output, estimated, size in rows:
        those = made[number][1]
        served, all_whole = any(server.served for server in those), all(map(whole, those))
        assert provenance == "estimated" or all_whole
        assert provenance != "missing" or not served
        assert output in ("estimated", None) or all_whole
        assert bool(estimated) <= (provenance == "estimated")
        if drawn[number].composition == "plain":
            assert (size or 0) == those[0].bytes
