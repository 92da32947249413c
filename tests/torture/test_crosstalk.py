"""No answer reaches another request: thousands over few connections that are used again, many of them cut off.

Every word of an answer is the number of its request, and `Left.read` looks at each. What would go wrong is a connection
that is used again while the rest of an answer, or all of it, is still on its way.
"""

from __future__ import annotations

import random

import anyio
import pytest
from tiny import TINY

import streamcore as sc
from torture.carriers import EVERY_CARRIER, EVERY_LOOP, LOOPS
from torture.provider import Plan, Provider
from torture.test_torture import IGNORED, MANY, Left

pytestmark = IGNORED

REQUESTS = 20_000 if MANY else 2_000
AT_ONCE = 20
WAYS = ["whole"] * 12 + ["by_break", "by_exception", "by_deadline", "by_timeout", "by_scope", "by_cancel"]


class Quick(Left):
    """One with an answer that is short, and now and then late."""

    def planned(self):
        rng = self.rng
        return Plan(self.tag, 0.01 * rng.random() * (rng.random() < 0.1), 0, rng.randrange(1, 5))

    @property
    def soon(self):
        """Seconds: about as long as an answer takes."""
        return 0.004 * self.rng.random()


async def crosstalk(provider, carrier, ways):
    wrong, cut, tags = [], [], iter(range(REQUESTS))

    async def worker():
        for tag in tags:
            rng = random.Random(tag)
            life = Quick(endpoint, rng, tag, rng.choice(ways))
            if life.way != "whole":
                cut.append(tag)
            try:
                await life.run(0)
            except AssertionError as error:
                wrong.append((tag, life.way, error))

    async with carrier.make(AT_ONCE) as transport:
        endpoint = sc.Endpoint(TINY, "m", url=provider.url, transport=transport)
        async with anyio.create_task_group() as group:
            for _ in range(AT_ONCE):
                group.start_soon(worker)
    return wrong, len(cut)


@pytest.mark.parametrize("carrier", EVERY_CARRIER)
@pytest.mark.parametrize("loop", EVERY_LOOP)
def test_no_answer_reaches_another_request(loop, carrier):
    backend, options = LOOPS[loop]
    ways = WAYS if backend == "trio" else [*WAYS, "by_native", "by_native"]
    with Provider() as provider:
        wrong, cut = anyio.run(crosstalk, provider, carrier, ways, backend=backend, backend_options=options)
        assert wrong == []
        assert REQUESTS - cut <= provider.requests <= REQUESTS
        assert provider.connections <= cut + AT_ONCE  # all that were whole used one again
