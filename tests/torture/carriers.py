"""The event loops and the transports that are tortured, and how each transport tells that nothing was left in it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest

import streamcore as sc
from streamcore.fast import Fast

if TYPE_CHECKING:
    from collections.abc import Callable

NO_UVLOOP = pytest.mark.skipif(
    find_spec("uvloop") is None, reason="uvloop is not installed: it has no wheel for this platform"
)
LOOPS = {"asyncio": ("asyncio", {}), "uvloop": ("asyncio", {"use_uvloop": True}), "trio": ("trio", {})}
ASYNCIO = ["asyncio", pytest.param("uvloop", marks=NO_UVLOOP)]
EVERY_LOOP = [*ASYNCIO, "trio"]


@dataclass(frozen=True)
class Carrier:
    """A transport: `make` gives one for so many streams at once, `left` what is still in use in it.

    Leaving its `async with` closes it, client and all.
    """

    name: str
    make: Callable[[int], Any]
    left: Callable[[Any], list[Any]]


class _Given(sc.HTTPX):
    """One that closes the client it was given."""

    async def aclose(self):
        await self._client.aclose()


def _httpx(library):
    def make(concurrency):
        limits = library.Limits(max_connections=None, max_keepalive_connections=concurrency)
        client = library.AsyncClient(trust_env=False, verify=False, timeout=30, limits=limits)
        return _Given(client, concurrency=concurrency)

    return make


def _left_in_the_pool(transport):
    pool = transport._client._transport._pool
    slots = transport._lane.get().slots
    taken = [f"{slots.value} slots free"] if slots.value != transport._concurrency else []
    return [*taken, *pool._requests, *(connection for connection in pool.connections if not connection.is_idle())]


def _left_in_fast(transport):
    lane = transport._lane.get()
    if isinstance(lane, sc.HTTPX):  # on trio
        lane, connections = lane._lane.get(), set()
    else:
        connections = lane._pool._all - {each for kept in lane._pool._idle.values() for each in kept}
    taken = [f"{lane.slots.value} slots free"] if lane.slots.value != transport._concurrency else []
    return [*taken, *connections]


def _fast(concurrency):
    pytest.importorskip("httptools", reason="httptools is not installed: it has no wheel for this platform")
    return Fast(concurrency=concurrency)


CARRIERS = [
    Carrier("httpx2", _httpx(httpx2), _left_in_the_pool),
    Carrier("httpx", _httpx(httpx), _left_in_the_pool),
    Carrier("fast", _fast, _left_in_fast),
]
EVERY_CARRIER = [pytest.param(carrier, id=carrier.name) for carrier in CARRIERS]
