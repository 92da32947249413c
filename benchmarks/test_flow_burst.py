"""A burst: far more requests at once than there are places for. How long the event loop stands still, and until the first
answer has begun; beside httpx's own queue, with a pool that is as large.

Both are processor time of the loop's thread: others may want the processor too, and the server is one of them. Short by
default; with `STREAMCORE_BENCHMARKS=long` a thousand requests on a hundred places.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from functools import partial

import httpx
import httpx2
import pytest

import streamcore as sc
from streamcore.fast import Fast

from .conftest import Ratio
from .contenders import QUESTION
from .test_many import LONG, paced

REQUESTS, PLACES = (1_000, 100) if LONG else (200, 20)
WIRE = "openai_chat"


def client(library, connections):
    limits = library.Limits(max_connections=connections, max_keepalive_connections=PLACES)
    return library.AsyncClient(limits=limits, timeout=600, trust_env=False)


@asynccontextmanager
async def ours(library, url):
    made = Fast(concurrency=PLACES) if library is None else client(library, None)
    async with made:
        transport = made if library is None else sc.HTTPX(made, concurrency=PLACES)

        endpoint = sc.Endpoint(WIRE, "model", key="key", url=url, transport=transport)

        async def ask(began):
            async with endpoint.stream(QUESTION) as stream:
                began()
                await stream.collect()

        yield ask


@asynccontextmanager
async def theirs(library, url):
    async with client(library, PLACES) as made:

        async def ask(began):
            async with made.stream("POST", url) as response:
                began()
                async for _ in response.aiter_raw():
                    pass

        yield ask


ASKERS = {
    "streamcore": partial(ours, httpx2),
    "streamcore on httpx": partial(ours, httpx),
    "streamcore, fast": partial(ours, None),
    "httpx2's queue": partial(theirs, httpx2),
    "httpx's queue": partial(theirs, httpx),
}


async def burst(ask):
    """Seconds of the longest time that the loop stood still, and until the first answer had begun."""
    loop = asyncio.get_running_loop()
    last = start = time.thread_time()
    longest, begun = 0.0, []

    def beat():
        nonlocal longest, last
        now = time.thread_time()
        longest, last = max(longest, now - last), now
        handles[0] = loop.call_soon(beat)

    handles = [loop.call_soon(beat)]
    await asyncio.gather(*(ask(lambda: begun.append(time.thread_time())) for _ in range(REQUESTS)))
    handles[0].cancel()
    assert len(begun) == REQUESTS
    return longest, begun[0] - start


@pytest.mark.parametrize("name", ASKERS)
def test_burst(report, run, name):
    with paced(1, 1, 0.001) as url:

        async def once():
            async with ASKERS[name](url) as ask:
                await ask(lambda: None)  # what the first use of anything costs is not the burst's
                return await burst(ask)

        stall, first = run(once())
    title = f"{REQUESTS} requests on {PLACES} places, {name}"
    report.times.append(f"{title}: stands still {stall * 1e3:.0f} ms | first answer after {first * 1e3:.0f} ms")
    if name.startswith("streamcore"):
        report.ratios.append(Ratio(f"{title}: ms that the loop stands still", stall * 1e3, at_most=100))
        report.ratios.append(Ratio(f"{title}: ms to the first answer", first * 1e3, at_most=500))
