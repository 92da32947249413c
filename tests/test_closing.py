"""What is closed although the task that closes it is cancelled, and what httpx has forgotten."""

from __future__ import annotations

import asyncio

import anyio
import httpx
import httpx2
import pytest
from anyio.lowlevel import checkpoint

from streamcore.closing import apart, close_iterator, close_lost, forgets
from streamcore.testing import Answer, serve

pytestmark = pytest.mark.anyio


async def test_what_has_no_end_of_its_own_is_left_to_itself():
    await close_iterator(iter([1]))


async def test_a_generator_is_closed():
    async def numbers():
        yield 1
        yield 2

    generator = numbers()
    await anext(generator)
    await close_iterator(generator)
    assert [number async for number in generator] == []


async def test_what_is_done_apart_is_done_when_that_returns():
    done, tasks = [], set()

    async def act():
        await checkpoint()
        done.append(True)

    with anyio.CancelScope() as scope:
        scope.cancel()
        await apart(act, tasks)
        assert done == [True]
    assert tasks == set()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("cancels", [1, 2, 5])
async def test_what_is_done_apart_ends_however_often_its_task_is_cancelled(cancels):
    done, tasks = asyncio.Event(), set()

    async def act():
        for _ in range(2 * cancels):
            await checkpoint()
        done.set()

    task = asyncio.create_task(apart(act, tasks))
    for _ in range(cancels):
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not done.is_set()
    await done.wait()
    await asyncio.sleep(0)
    assert tasks == set()


@pytest.mark.parametrize(("library", "does"), [(httpx, True), (httpx2, False)])
async def test_httpx_alone_forgets(library, does):
    class Mine(library.AsyncClient):
        pass

    async with Mine() as client:
        assert forgets(client) == does


async def test_what_a_pool_has_forgotten_is_closed():
    with serve(Answer([b"a", "hang"])) as server:
        async with httpx.AsyncClient(trust_env=False) as client:
            request = client.build_request("GET", server.url)
            response = await client.send(request, stream=True)
            pool = client._transport._pool
            await close_lost(client, request.url)
            assert len(pool.connections) == 1
            (held,) = pool._requests
            pool._requests.clear()
            await close_lost(client, request.url)
            assert pool.connections == []
            assert await anyio.to_thread.run_sync(server.wait_for, lambda: server.open_connections == 0)
            pool._requests.append(held)
            await response.aclose()


async def test_idle_connections_are_not_forgotten_ones():
    with serve(Answer([b"a"])) as server:
        async with httpx.AsyncClient(trust_env=False) as client:
            response = await client.get(server.url)
            await close_lost(client, response.url)
            await client.get(server.url)
        assert server.connections == 1


async def test_a_client_without_a_pool_has_forgotten_nothing():
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda request: httpx.Response(200))) as client:
        await close_lost(client, httpx.URL("http://nowhere.invalid"))
