"""Hundreds of streams at once, each left at a random moment in a random way: afterwards nothing of them is left.

What is random comes from a seed, but when what happens is up to the machine, so each run is another one. With the
profile `fuzz` of Hypothesis (`HYPOTHESIS_PROFILE=fuzz`) there are more and larger runs.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from tiny import TINY

import streamcore as sc
from torture.carriers import ASYNCIO, EVERY_CARRIER, EVERY_LOOP, LOOPS
from torture.provider import Plan, Provider

# httpx and httpcore read a body through nested generators and do not close the inner ones; trio says so.
IGNORED = [
    pytest.mark.filterwarnings(r"ignore:Async generator '(httpx|httpcore)2?\.:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <async_generator:pytest.PytestUnraisableExceptionWarning"),
]
pytestmark = IGNORED

MANY = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
STREAMS = 1000 if MANY else 200
SEEDS = range(20 if MANY else 1)
SLOTS = 100
DESCRIPTORS = Path("/proc/self/fd")


class MineError(Exception):
    pass


class Left:
    """One stream, and all that it takes to leave it."""

    def __init__(self, endpoint, rng, tag, way):
        self.rng = rng
        self.tag = tag
        self.way = way
        self.plan = self.planned()
        self.stream = endpoint.stream(str(self.plan))
        self.outcome = None

    def planned(self):
        rng = self.rng
        if self.way == "whole":
            return Plan(self.tag, gap=0.005 * rng.random())
        end = rng.choice(["done", "done", "done", "hang", "hang", "reset", "close"])
        return Plan(self.tag, rng.choice([0, 0, 0.02 * rng.random()]), 0.005 * rng.random(), rng.randrange(6), end)

    @property
    def soon(self):
        """Seconds, half of them while the stream is opened."""
        return self.rng.random() * self.rng.choice([0.01, 0.04])

    async def read(self, *, events=10**9):
        """Read so many events, and see that each is an answer to this request."""
        async with self.stream as stream:
            async for event in stream:
                if isinstance(event, sc.TextDelta):
                    assert event.text == f"{self.tag}."
                if (events := events - 1) < 0:
                    return

    async def whole(self):
        await self.read()
        assert isinstance(self.stream.outcome, sc.Finish)

    async def by_break(self):
        with anyio.fail_after(0.1):
            await self.read(events=self.rng.randrange(4))

    async def by_exception(self):
        with anyio.fail_after(0.1):
            async with self.stream as stream:
                async for _ in stream:
                    raise MineError

    async def by_deadline(self):
        name = self.rng.choice(["first_token", "idle", "total"])
        self.stream.within(**{name: 0.001 + self.soon})
        with anyio.fail_after(0.1):  # content came first, and then no more: not what `first_token` is about
            await self.read()

    async def by_timeout(self):
        with anyio.fail_after(self.soon):
            await self.read()

    async def by_scope(self):
        with anyio.move_on_after(self.soon):
            await self.read()

    async def by_cancel(self):
        async with anyio.create_task_group() as group:
            group.start_soon(self.later, self.stream.cancel)
            with suppress(sc.StreamFailed):
                await self.read()

    async def later(self, act):
        await anyio.sleep(self.soon)
        await act()

    async def by_native(self):
        task = asyncio.create_task(self.read())
        await asyncio.sleep(self.soon)
        for _ in range(self.rng.randint(1, 5)):
            task.cancel()
            for _ in range(self.rng.choice([0, 1, 1, 2])):
                await asyncio.sleep(0)
            if self.rng.random() < 0.2:
                await asyncio.sleep(0.002)
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    async def run(self, within=0.05):
        await anyio.sleep(within * self.rng.random())
        with suppress(sc.StreamFailed, TimeoutError, MineError):
            await getattr(self, self.way)()
        self.outcome = self.stream.outcome


async def torture(provider, carrier, ways, seed):
    rng = random.Random(f"{seed} {ways}")
    await anyio.lowlevel.checkpoint()
    async with carrier.make(SLOTS) as transport:
        endpoint = sc.Endpoint(TINY, "m", url=provider.url, transport=transport)
        lives = [Left(endpoint, random.Random(rng.random()), tag, ways[tag % len(ways)]) for tag in range(STREAMS)]
        async with anyio.create_task_group() as group:
            for life in lives:
                group.start_soon(life.run)
        await settled(partial(carrier.left, transport))
        assert carrier.left(transport) == []
        for life in lives:
            assert life.outcome is not None, life.way
            assert life.stream.outcome is life.outcome
        await Left(endpoint, rng, 0, "whole").run()  # it still works
    await settled(others)
    assert others() == []


def others():
    """Tasks and asynchronous generators that are not over."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return []  # trio has none: what it runs, it waits for
    generators = [generator for generator in getattr(loop, "_asyncgens", ()) if generator.ag_frame is not None]
    return [*(asyncio.all_tasks() - {asyncio.current_task()}), *generators]


async def settled(left, turns=50):
    """Wait until nothing is left, or some turns of the loop: what is dropped is closed by the loop, a turn or two later."""
    while left() and (turns := turns - 1):
        await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("carrier", EVERY_CARRIER)
@pytest.mark.parametrize("loop", EVERY_LOOP)
def test_left_in_any_way(loop, carrier, seed):
    ways = ("whole", "by_break", "by_exception", "by_deadline", "by_timeout", "by_scope", "by_cancel")
    run(loop, carrier, ways, seed)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("carrier", EVERY_CARRIER)
@pytest.mark.parametrize("loop", ASYNCIO)
def test_cancelled_natively_and_more_than_once(loop, carrier, seed):
    run(loop, carrier, ("by_native", "by_native", "by_native", "whole"), seed)


def run(loop, carrier, ways, seed):
    backend, options = LOOPS[loop]
    anyio.run(anyio.sleep, 0, backend=backend, backend_options=options)  # uvloop keeps a pipe of its first run
    with Provider() as provider:
        before = descriptors()
        anyio.run(torture, provider, carrier, ways, seed, backend=backend, backend_options=options)
        assert provider.wait_for(lambda: provider.open_connections == 0)
        gc.collect()
        assert descriptors() == before


def descriptors():
    """How many files and sockets this process has open."""
    return len(list(DESCRIPTORS.iterdir())) if DESCRIPTORS.exists() else 0
