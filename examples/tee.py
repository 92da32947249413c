"""Read one answer several times at once: print it, keep it, and let somebody slow see what he can keep up with.

`python examples/tee.py openai:gpt-4o` asks a real model; without a name, a scripted one answers.
"""

import sys

import anyio

import streamcore as sc
from streamcore.testing import ScriptedModel

WORDS = ["Because ", "air ", "scatters ", "blue ", "light ", "most."]
SCRIPT: list[sc.Event] = [
    sc.Start("r-1", "scripted"),
    *[sc.TextDelta(0, word) for word in WORDS],
    sc.Usage(input_tokens=6, output_tokens=7),
    sc.Finish("stop"),
]


async def show(stream: sc.Stream) -> None:
    """The words as they come."""
    async with stream:
        async for text in stream.text():
            print(text, end="", flush=True)
    print()


async def keep(stream: sc.Stream) -> None:
    """The whole."""
    async with stream:
        fold = await stream.collect()
    print(f"kept: {fold.text!r}, {fold.usage}")


async def glance(stream: sc.Stream) -> None:
    """What is new, now and then: whatever is too old is lost, and it says so."""
    async with stream:
        while events := await stream.read():
            for event in events:
                if isinstance(event, sc.Extension) and event.name == "streamcore:gap":
                    print(f"missed: {event.raw}")
            await anyio.sleep(0.05)


async def main(model: sc.Model) -> None:
    """One request, three readers."""
    held = sc.tee(model.stream(sc.prompt("Why is the sky blue?")), 3, policy=["wait", "wait", "drop"], buffer=2)
    async with held as (shown, kept, glanced), anyio.create_task_group() as group:
        group.start_soon(show, shown)
        group.start_soon(keep, kept)
        group.start_soon(glance, glanced)


if __name__ == "__main__":
    anyio.run(main, sc.model(sys.argv[1]) if len(sys.argv) > 1 else ScriptedModel(SCRIPT))
