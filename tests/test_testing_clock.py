"""Time that jumps."""

from __future__ import annotations

import asyncio
import socket
import time

import anyio
import pytest

from streamcore.testing import virtual_time


def run(main, backend="asyncio"):
    name, options = virtual_time(backend)
    return anyio.run(main, backend=name, backend_options=options)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_day_of_sleep_takes_a_day_of_virtual_time(backend):
    async def main():
        begun, really = anyio.current_time(), time.monotonic()
        await anyio.sleep(86_400)
        return anyio.current_time() - begun, time.monotonic() - really

    passed, really = run(main, backend)
    assert passed == pytest.approx(86_400)
    assert really < 3_600


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_timers_ring_in_order_and_each_at_its_time(backend):
    rung = []

    async def main():
        begun = anyio.current_time()

        async def wait(seconds):
            await anyio.sleep(seconds)
            rung.append((seconds, anyio.current_time() - begun))

        async with anyio.create_task_group() as group:
            for seconds in (3, 1, 2, 0.5):
                group.start_soon(wait, seconds)

    run(main, backend)
    assert [seconds for seconds, _ in rung] == [0.5, 1, 2, 3]
    assert all(passed == pytest.approx(seconds) for seconds, passed in rung)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_each_run_has_a_clock_of_its_own(backend):
    async def main():
        begun = anyio.current_time()
        await anyio.sleep(100)
        return begun

    assert run(main, backend) == run(main, backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_work_that_can_be_done_is_done_before_time_passes(backend):
    async def main():
        with anyio.move_on_after(0.001) as scope:
            for _ in range(1000):
                await anyio.lowlevel.checkpoint()
        return scope.cancelled_caught

    assert run(main, backend) is False


@pytest.mark.parametrize("days", [96, 98, 10_000])
def test_time_goes_on_however_late_it_is(days):
    async def main():
        await anyio.sleep(days * 86_400)
        await anyio.sleep(1e-9)
        await anyio.sleep(1)
        return anyio.current_time()

    assert run(main) > days * 86_400


def test_what_has_arrived_comes_before_a_timer():
    ours, theirs = socket.socketpair()

    async def main():
        reader, writer = await asyncio.open_connection(sock=ours)
        theirs.sendall(b"x")
        data = await asyncio.wait_for(reader.readexactly(1), 3600)
        writer.close()
        await writer.wait_closed()
        return data, anyio.current_time()

    with theirs:
        assert run(main) == (b"x", 0.0)


def test_without_a_timer_the_loop_waits_for_threads():
    async def main():
        return await anyio.to_thread.run_sync(lambda: "done"), anyio.current_time()

    assert run(main) == ("done", 0)
