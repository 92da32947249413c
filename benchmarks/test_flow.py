"""What a stream adds to reading alone, and what the models around it and its readers add to it: in memory, without a socket.

The transport never waits, so what is left is our own work: one event a batch unless said otherwise, the worst case.
"""

from __future__ import annotations

import time
from functools import partial

import anyio
import pytest

import streamcore as sc
from streamcore import sync
from streamcore.flow import fallback, hedge, limit, retry
from streamcore.flow.tee import tee

from .contenders import check, drop, feed
from .transcripts import transcript

pytestmark = pytest.mark.benchmark(group="flow", timer=time.process_time)

WIRE = "openai_chat"
AROUND = {
    "retry": retry,
    "fallback": fallback,
    "hedge": partial(hedge, after=60),
    "limit": partial(limit, concurrency=1),
    "all four": lambda model: fallback(retry(hedge(limit(model, 1), after=60))),
}


class Memory:
    """A transport and its own response: an answer that is there already."""

    status = 200
    headers = {"content-type": "text/event-stream"}  # noqa: RUF012

    def __init__(self, chunks):
        self._chunks = chunks

    async def open(self, request, /, *, connect=None):
        self._left = iter(self._chunks)
        return self

    async def read(self):
        return next(self._left, b"")

    async def close(self):
        pass


def batches(size):
    """The answer, so many events a chunk."""
    events = transcript(WIRE).events
    return [b"".join(events[at : at + size]) for at in range(0, len(events), size)]


def model(size=1):
    return sc.Endpoint(WIRE, "model", key="key", transport=Memory(batches(size)))


async def each(model, keep):
    async with model.stream(sc.prompt("Why?")) as stream:
        async for event in stream:
            keep(event)


async def each_batch(model, keep):
    async with model.stream(sc.prompt("Why?")) as stream:
        while events := await stream.read():
            keep(events)


async def each_of_two(model, keep):
    """Through a tee: what one of the readers sees."""

    async def read(stream, keep):
        async with stream:
            while events := await stream.read():
                keep(events)

    async with tee(model.stream(sc.prompt("Why?")), 2) as (left, right), anyio.create_task_group() as group:
        group.start_soon(read, right, drop)
        await read(left, keep)


def each_in_a_thread(open, keep):
    with open() as stream:
        for event in stream:
            keep(event)


def compete(race, title, contenders, *, size=1, **goals):
    for read in contenders.values():
        check(transcript(WIRE), read)
    names = {name: partial(read, drop) for name, read in contenders.items()}
    race(title, names, count=len(transcript(WIRE).events), **goals)


def on(run, read, model):
    return lambda keep: run(read(model, keep))


@pytest.mark.parametrize("size", [1, 16])
def test_stream(race, run, size):
    compete(
        race,
        f"a stream, {size} a batch",
        {
            "by batch": on(run, each_batch, model(size)),
            "by event": on(run, each, model(size)),
            "the reader alone": partial(feed, WIRE, batches(size)),
        },
        at_most={"the reader alone": 2},
    )


@pytest.mark.parametrize("name", AROUND)
def test_model_around_a_model(race, run, name):
    compete(
        race,
        f"{name} around a model",
        {name: on(run, each, AROUND[name](model())), "none": on(run, each, model())},
        at_most={"none": 2.5 if name == "all four" else 1.5},
    )


@pytest.mark.parametrize("size", [1, 16])
def test_tracked(race, run, size):
    """A record at the end of 2,000 events; it goes nowhere: what a ledger adds is for each stream, and measured by itself."""
    compete(
        race,
        f"tracked, {size} a batch",
        {"tracked": on(run, each_batch, sc.track(model(size))), "none": on(run, each_batch, model(size))},
        at_most={"none": 1.1},
    )


@pytest.mark.parametrize("size", [1, 16])
def test_tee(race, run, size):
    """`none` is one reader without a tee; here are two."""
    compete(
        race,
        f"tee, {size} a batch",
        {"two readers": on(run, each_of_two, model(size)), "none": on(run, each_batch, model(size))},
    )


@pytest.mark.parametrize("size", [1, 16])
def test_thread(race, run, size):
    ways = {
        "sync": partial(each_in_a_thread, partial(sync.decode, sc.load(WIRE), batches(size))),
        "sync, in the loop's thread": partial(each_in_a_thread, lambda: sync.stream(model(size), "Why?")),
        "async": on(run, each, model(size)),
    }
    compete(race, f"in a thread, {size} a batch", ways, at_most={"async": 1.5} if size > 1 else None)
