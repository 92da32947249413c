"""A reader that does not read slows the sender, and neither it nor a hostile body makes this process grow.

The bounds, for each stream: what the provider gets rid of is what the kernel holds for a connection (its default buffers,
some MiB); what this process holds is less than half a MiB, the server's side included, which runs in it as well. With httpx
on uvloop it is some MiB: libuv reads a socket up to 32 times in a row before anybody can tell it to pause.
"""

from __future__ import annotations

import tracemalloc
from contextlib import asynccontextmanager

import anyio
import pytest
from tiny import TINY

import streamcore as sc
from streamcore.flow import fallback, limit, retry
from streamcore.flow.tee import tee
from streamcore.frames import EVENT_LIMIT
from streamcore.testing import Answer, Fault, serve, spoiled
from torture.carriers import EVERY_CARRIER, EVERY_LOOP, LOOPS
from torture.provider import Plan, Provider
from torture.test_torture import IGNORED

pytestmark = IGNORED

MIB = 1024 * 1024
SENT = 8 * MIB  # of a body without an end, with the kernel's own buffers
FLOOD = str(Plan(end="flood", events=1))
STREAMS = 4


@pytest.fixture(autouse=True)
def traced():
    tracemalloc.start()
    yield
    tracemalloc.stop()


def room(loop, carrier):
    """Bytes that a stream may have taken in beyond what its reader asked for."""
    return 8 * MIB if loop == "uvloop" and carrier.name != "fast" else MIB // 2


def held_now():
    """Bytes that this process has allocated."""
    return tracemalloc.get_traced_memory()[0]


def held_at_most():
    """Bytes that it had when it had the most."""
    return tracemalloc.get_traced_memory()[1]


def run(loop, main):
    backend, options = LOOPS[loop]
    return anyio.run(main, backend=backend, backend_options=options)


@asynccontextmanager
async def plain(model):
    async with model.stream(FLOOD) as stream:
        yield stream


@asynccontextmanager
async def composed(model):
    async with fallback(retry(limit(model, STREAMS))).stream(sc.prompt(FLOOD)) as stream:
        yield stream


@asynccontextmanager
async def teed(model):
    """The reader beside it reads all that it can get."""

    async def eager(stream):
        async with stream:
            while await stream.read():
                pass

    async with tee(model.stream(FLOOD), 2, buffer=4) as (ours, theirs), ours, anyio.create_task_group() as group:
        group.start_soon(eager, theirs)
        yield ours
        group.cancel_scope.cancel()


@pytest.mark.parametrize("carrier", EVERY_CARRIER)
@pytest.mark.parametrize("held", [plain, composed, teed])
@pytest.mark.parametrize("loop", EVERY_LOOP)
def test_a_reader_that_stops_stops_the_sender(loop, held, carrier):
    async def main():
        async with carrier.make(STREAMS) as transport, anyio.create_task_group() as group:
            model = sc.Endpoint(TINY, "m", url=provider.url, transport=transport)
            async with held(model) as stream:
                await anext(stream)
            assert await anyio.to_thread.run_sync(provider.wait_for, lambda: provider.open_connections == 0)
            provider.sent, provider.stalls = 0, 0
            before = held_now()

            async def stall():
                async with held(model) as stream:
                    await anext(stream)
                    await done.wait()

            done = anyio.Event()
            for _ in range(STREAMS):
                group.start_soon(stall)
            assert await anyio.to_thread.run_sync(provider.wait_for, lambda: provider.stalls >= STREAMS)
            taken, grown = provider.sent, held_now() - before
            done.set()
        return taken / STREAMS, grown / STREAMS

    with Provider() as provider:
        taken, grown = run(loop, main)
    assert taken <= SENT + room(loop, carrier)
    assert grown <= room(loop, carrier)


@pytest.mark.parametrize("carrier", EVERY_CARRIER)
@pytest.mark.parametrize("loop", EVERY_LOOP)
def test_a_line_without_an_end_is_given_up_at_the_limit(loop, carrier):
    async def main():
        async with carrier.make(1) as transport:
            model = sc.Endpoint(TINY, "m", url=provider.url, transport=transport)
            before = held_now()
            with pytest.raises(sc.StreamFailed) as caught:
                async with model.stream(str(Plan(events=0, end="line"))) as stream:
                    await stream.collect()
            return caught.value.failure, held_at_most() - before

    with Provider() as provider:
        failure, grown = run(loop, main)
        assert provider.wait_for(lambda: provider.open_connections == 0)
    assert failure.kind == "protocol"
    assert grown <= EVENT_LIMIT + 4 * MIB + room(loop, carrier)


@pytest.mark.parametrize("carrier", EVERY_CARRIER)
@pytest.mark.parametrize("loop", EVERY_LOOP)
def test_a_gzip_bomb_is_not_touched(loop, carrier):
    async def main():
        async with carrier.make(1) as transport:
            model = sc.Endpoint(TINY, "m", url=server.url, transport=transport)
            before = held_now()
            with pytest.raises(sc.StreamFailed) as caught:
                async with model.stream("hi") as stream:
                    await stream.collect()
            return caught.value.failure, held_at_most() - before

    with serve(spoiled(Answer([b"a"]), Fault("gzip"))) as server:
        failure, grown = run(loop, main)
        assert server.wait_for(lambda: server.open_connections == 0)
    assert (failure.kind, failure.detail) == ("protocol", "content_encoding")
    assert grown <= 2 * MIB
