"""No more than so many streams at once; some wait, the rest are turned away."""

import anyio

import streamcore as sc
from streamcore.testing import Pause, ScriptedModel

MODEL = sc.limit(ScriptedModel([sc.Start(), sc.TextDelta(0, "Hello"), Pause(0.05), sc.Finish("stop")]), 2, waiting=1)


async def ask(number: int) -> None:
    """One of many."""
    try:
        async with MODEL.stream(sc.prompt("hi")) as stream:
            await stream.collect()
            print(f"{number} has its answer")
    except sc.StreamFailed as error:
        print(f"{number} was turned away: {error}")


async def main() -> None:
    """Four who ask: two are served, one waits."""
    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(ask, number)
            await anyio.lowlevel.checkpoint()


if __name__ == "__main__":
    anyio.run(main)
