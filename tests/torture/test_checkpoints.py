"""A stream cut off at each await of its life, one after the other: opening, headers, events, the end, closing.

Which await that is does not matter, so none is left out: the k-th suspension of the task, for each k there is.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import anyio
import httpx
import httpx2
import pytest
from anyio.lowlevel import checkpoint
from tiny import TINY, say

import streamcore as sc
from streamcore.flow import fallback, hedge, limit, retry
from streamcore.flow.tee import tee
from streamcore.testing import virtual_time
from torture.carriers import EVERY_CARRIER, LOOPS, NO_UVLOOP
from torture.provider import Plan, Provider
from torture.steps import Stepped, Steps
from torture.test_torture import IGNORED, others, settled

pytestmark = IGNORED

BODY = [*say("Hel", "lo"), b": what comes after the end\n\n", b": and more\n\n"]


class Scripted:
    """A transport that awaits wherever one can, and whose first answers are refusals."""

    def __init__(self, refusals=0):
        self._refusals = refusals
        self.left = 0

    async def open(self, request, /, *, connect=None):
        await checkpoint()
        await checkpoint()
        self._refusals -= 1
        return _Answer(self, 200 if self._refusals < 0 else 529)


class _Answer:
    def __init__(self, transport, status):
        self._transport = transport
        self._pieces = iter(BODY if status == 200 else [b"{}"])
        self._open = True
        self.status = status
        self.headers = {}
        transport.left += 1

    async def read(self):
        await checkpoint()
        return next(self._pieces, b"")

    async def close(self):
        self._transport.left -= self._open
        self._open = False
        await checkpoint()


class Mocked(sc.HTTPX):
    """httpx or httpx2 over an answer from memory that awaits wherever one can."""

    def __init__(self, library):
        self.left = 0
        outer = self

        class Body(library.AsyncByteStream):
            async def __aiter__(self):
                for piece in BODY:
                    await checkpoint()
                    yield piece

            async def aclose(self):
                outer.left -= 1
                await checkpoint()

        async def answer(request):
            await checkpoint()
            outer.left += 1
            return library.Response(200, stream=Body())

        super().__init__(library.AsyncClient(transport=library.MockTransport(answer)), concurrency=1)


def endpoint(transport):
    return sc.Endpoint(TINY, "m", transport=transport)


async def read(stream):
    async with stream:
        async for _ in stream:
            await checkpoint()


async def read_both(stream):
    async def read_one(reader):
        with suppress(sc.StreamFailed):
            await read(reader)

    async with tee(stream, 2, buffer=1) as (left, right), anyio.create_task_group() as group:
        group.start_soon(read_one, right)
        await read_one(left)


def plain(transports):
    return endpoint(transports()), read


def retried(transports):
    return retry(endpoint(transports(refusals=1)), backoff=0), read


def fallen_back(transports):
    return fallback(endpoint(transports(refusals=9)), endpoint(transports())), read


def hedged(transports):
    return hedge(endpoint(transports()), endpoint(transports()), after=0), read


def limited(transports):
    return limit(endpoint(transports()), 1), read


def teed(transports):
    return endpoint(transports()), read_both


def nested(transports):
    slow = retry(endpoint(transports(refusals=2)), backoff=0, attempts=2)
    good = limit(hedge(endpoint(transports()), endpoint(transports()), after=0), 1)
    return fallback(slow, good), read_both


MODELS = [plain, retried, fallen_back, hedged, limited, teed, nested]


@pytest.fixture
def settings(monkeypatch):
    """What `Stream.outcome` was set to, for each stream that there was."""
    seen = {}

    class Outcome:
        def __get__(self, stream, kind=None):
            return seen.setdefault(stream, [None])[-1]

        def __set__(self, stream, value):
            before = seen.setdefault(stream, [None])
            if value is not before[-1]:
                before.append(value)

    monkeypatch.setattr(sc.Stream, "_outcome", Outcome(), raising=False)
    return seen


# How the task that reads is ended at its k-th suspension; all but the last are for the whole task.


async def natively(life, stream, at):
    """By `Task.cancel`, once or more often, each time at the next suspension."""
    steps = Stepped(life(), dict.fromkeys(at, lambda: task.cancel()))  # noqa: PLW0108 - there is no task yet
    task = asyncio.create_task(steps)
    await asyncio.wait([task])
    assert task.cancelled() == (steps.suspended >= at[0])
    return task.cancelled()


async def by_scope(life, stream, at):
    """By a cancel scope around it."""
    scope = anyio.CancelScope()

    async def scoped():
        with scope:
            await life()

    return await stepped(scoped, dict.fromkeys(at, scope.cancel))


async def by_cancel(life, stream, at):
    """By `Stream.cancel` in another task."""
    async with anyio.create_task_group() as group:

        async def caught():
            with suppress(sc.StreamFailed):
                await life()

        return await stepped(caught, dict.fromkeys(at, lambda: group.start_soon(stream.cancel)))


async def stepped(life, at):
    """Run it with this done at its suspensions; whether there were so many."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return await on_trio(life, at)
    task = asyncio.create_task(Stepped(life(), at))
    coroutine = task.get_coro()
    await task
    return coroutine.suspended >= min(at)


async def on_trio(life, at):
    import trio

    steps = Steps(at)
    trio.lowlevel.add_instrument(steps)

    async def counted():
        steps.task = trio.lowlevel.current_task()
        await life()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(counted)
    trio.lowlevel.remove_instrument(steps)
    return steps.suspended - 1 >= min(at)  # the last step is its end


ENDS = {
    "once": (natively, 1),
    "twice": (natively, 2),
    "five times": (natively, 5),
    "scope": (by_scope, 1),
    "cancel": (by_cancel, 1),
}
ON_ANY = [
    *(pytest.param("asyncio", end) for end in ENDS),
    *(pytest.param("uvloop", end, marks=NO_UVLOOP) for end in ENDS),
    *(pytest.param("trio", end) for end in ("scope", "cancel")),
]


@pytest.mark.parametrize("made", MODELS)
@pytest.mark.parametrize(("loop", "end"), ON_ANY)
def test_cut_off_at_any_await(settings, loop, end, made):
    async def main():
        how, times = ENDS[end]
        k, cut = 0, True
        while cut:
            k += 1
            transports = []

            def make(refusals=0, transports=transports):
                transports.append(Scripted(refusals))
                return transports[-1]

            model, life = made(make)
            settings.clear()
            stream = model.stream(sc.prompt("hi"))
            cut = await how(lambda life=life, stream=stream: life(stream), stream, range(k, k + times))
            await settled(others)
            assert [transport.left for transport in transports] == [0] * len(transports), k
            assert others() == []
            assert [outcomes for outcomes in settings.values() if len(outcomes) > 2] == [], k
            assert settings[stream][-1] is not None, k
            await free(model)
        return k

    backend, options = LOOPS[loop]
    assert anyio.run(main, backend=backend, backend_options=options) > len(BODY)


async def free(model):
    """It takes another request, which it would not if its place were taken."""
    with anyio.fail_after(30):
        async with model.stream(sc.prompt("hi")) as stream:
            await stream.collect()


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize(("loop", "end"), ON_ANY)
def test_cut_off_at_any_await_of_a_client(settings, loop, end, library):
    async def main():
        how, times = ENDS[end]
        k, cut = 0, True
        while cut:
            k += 1
            transport = Mocked(library)
            stream = endpoint(transport).stream("hi")
            cut = await how(lambda stream=stream: read(stream), stream, range(k, k + times))
            await settled(others)
            assert transport.left == 0, k
            assert transport._lane.get().slots.value == 1
            assert others() == []
            assert len(settings[stream]) == 2, k
        return k

    backend, options = LOOPS[loop]
    assert anyio.run(main, backend=backend, backend_options=options) > len(BODY)


@pytest.mark.parametrize("carrier", EVERY_CARRIER)
@pytest.mark.parametrize("reused", [False, True], ids=["new connection", "reused connection"])
@pytest.mark.parametrize(("loop", "end"), ON_ANY)
def test_cut_off_at_any_await_of_a_connection(settings, loop, end, reused, carrier):
    async def main(provider):
        how, times = ENDS[end]
        k, cut = 0, True
        while cut:
            k += 1
            async with carrier.make(1) as transport:
                model = sc.Endpoint(TINY, "m", url=provider.url, transport=transport)
                if reused:
                    await read(model.stream(str(Plan())))
                stream = model.stream(str(Plan(k, events=1)))
                cut = await how(lambda stream=stream: read(stream), stream, range(k, k + times))
                await settled(lambda transport=transport: carrier.left(transport) or others())
                assert carrier.left(transport) == [], k
                assert others() == [], k
                assert len(settings[stream]) == 2, k
                await read(model.stream(str(Plan())))
        return k

    backend, options = LOOPS[loop]
    with Provider() as provider:
        assert anyio.run(main, provider, backend=backend, backend_options=options) > 2
        assert provider.wait_for(lambda: provider.open_connections == 0)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_deadline_and_a_scope_at_once_end_the_scope_alone(backend):
    """The deadline comes first; what it ends is still cleaning up when the scope around everything is cancelled."""

    class Unanswered:
        scope: anyio.CancelScope

        async def open(self, request, /, *, connect=None):
            async with anyio.create_task_group() as group:
                group.start_soon(self.clean)
                await anyio.sleep_forever()

        async def clean(self):
            try:
                await anyio.sleep_forever()
            finally:
                self.scope.cancel()
                with anyio.CancelScope(shield=True):
                    await checkpoint()
                    await checkpoint()

    async def main():
        transport = Unanswered()
        stream = endpoint(transport).stream("hi").within(total=1)
        with anyio.CancelScope() as transport.scope, suppress(sc.StreamFailed):
            await read(stream)
        await checkpoint()
        return stream.outcome.kind

    name, options = virtual_time(backend)
    assert anyio.run(main, backend=name, backend_options=options) in ("timeout", "cancelled")
