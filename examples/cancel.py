"""End a stream: from another task, by leaving it, or by cancelling the task that reads it."""

import anyio

import streamcore as sc
from streamcore.testing import Pause, ScriptedModel

MODEL = ScriptedModel([sc.Start(), sc.TextDelta(0, "Once upon a time"), Pause(60), sc.Finish("stop")])


async def stop_soon(stream: sc.Stream) -> None:
    """What a stop button does."""
    await anyio.sleep(0.05)
    await stream.cancel()


async def main() -> None:
    """Each way closes the connection, and says in the outcome which it was."""
    async with anyio.create_task_group() as group:
        try:
            async with MODEL.stream(sc.prompt("hi")) as stream:
                group.start_soon(stop_soon, stream)
                async for text in stream.text():
                    print(text)
        except sc.StreamFailed as error:
            print(error)

    async with MODEL.stream(sc.prompt("hi")) as stream:
        async for _ in stream.text():
            break
    print(stream.outcome)

    stream = MODEL.stream(sc.prompt("hi"))
    with anyio.move_on_after(0.05):
        async with stream:
            await stream.collect()
    print(f"{stream.outcome}\nstill open: {MODEL.open}")


if __name__ == "__main__":
    anyio.run(main)
