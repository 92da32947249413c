"""Lose the connection in the middle of an answer, and go on where it was lost: the answer never knew.

`python examples/resume.py openai:gpt-4o` asks a real model; without a name, a scripted one answers.
"""

import sys

import anyio

import streamcore as sc
from streamcore.testing import ScriptedModel

SCRIPT: list[sc.Event] = [
    sc.Start("r-1", "scripted"),
    sc.TextDelta(0, "Because air "),
    sc.TextDelta(0, "scatters blue "),
    sc.TextDelta(0, "light most."),
    sc.Usage(input_tokens=6, output_tokens=7),
    sc.Finish("stop"),
]


async def main(model: sc.Model) -> None:
    """Follow an answer twice: up to a break, and from there on."""
    log: sc.Log = sc.MemoryLog(seconds=120)
    async with sc.Resumable(log) as streams:  # as long as the service runs
        id = await streams.start(model.stream(sc.prompt("Why is the sky blue?")))

        fold, cursor = sc.Fold(), 0
        async with streams.follow(id) as stream:
            async for event in stream:
                fold.feed([event])
                cursor += 1  # of an event, this is all that a client must remember
                if cursor == 3:
                    break
        print(f"lost after event {cursor}: {fold.text!r}")

        async with streams.follow(id, after=cursor) as stream:
            await stream.collect(fold)
        print(f"and on: {fold.text!r}, {fold.outcome}")

        print("still to be stopped:", await streams.stop(id))
        try:
            async with streams.follow("another id"):
                pass
        except sc.StreamFailed as error:
            print(error)


if __name__ == "__main__":
    anyio.run(main, sc.model(sys.argv[1]) if len(sys.argv) > 1 else ScriptedModel(SCRIPT))
