"""A stream is pulled: what nobody asks for is not taken from the provider, however many readers stand between."""

from __future__ import annotations

from typing import Self

import anyio

import streamcore as sc
from streamcore.testing import EVENTS, lines


class Provider:
    """A provider that could send a million words. Counts those that were taken."""

    def __init__(self) -> None:
        self.taken = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        if self.taken == 1_000_000:
            raise StopAsyncIteration
        self.taken += 1
        return lines([sc.TextDelta(0, f"{self.taken} ")])[0]


async def main() -> None:
    """Read a little, directly and through a tee whose slower reader sets the pace."""
    provider = Provider()
    async with sc.decode(EVENTS, provider) as stream:
        for _ in range(4):
            await anext(stream)
    print(f"4 events read, {provider.taken} words taken")

    provider = Provider()
    async with sc.tee(sc.decode(EVENTS, provider), 2, buffer=10) as (quick, _):
        async with quick:
            with anyio.move_on_after(0.1):  # it waits for the other, which has read nothing
                await quick.collect()
        print(f"the slow reader has read nothing, {provider.taken} words taken")


if __name__ == "__main__":
    anyio.run(main)
