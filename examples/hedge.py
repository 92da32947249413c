"""A second model, asked only if the first is slow to begin."""

import anyio

import streamcore as sc
from streamcore.testing import Pause, ScriptedModel

SLOW = ScriptedModel([sc.Start("r-1", "slow"), Pause(60), sc.TextDelta(0, "Hello"), sc.Finish("stop")])
FAST = ScriptedModel([sc.Start("r-2", "fast"), sc.TextDelta(0, "Hello"), sc.Finish("stop")])


async def main() -> None:
    """The first content wins; the other is cancelled at once."""
    async with sc.hedge(SLOW, FAST, after=0.05).stream(sc.prompt("hi")) as stream:
        print(f"still open: {SLOW.open} slow, {FAST.open} fast")
        print(f"{(await stream.collect()).model} was first")


if __name__ == "__main__":
    anyio.run(main)
