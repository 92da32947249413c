"""Ask again when the answer failed before it began; never after."""

import anyio

import streamcore as sc
from streamcore.testing import ScriptedModel

BUSY = sc.Failure("overloaded", "busy", retry_after=0.01)
HELLO: list[sc.Event] = [sc.Start(), sc.TextDelta(0, "Hello"), sc.Finish("stop")]


async def main() -> None:
    """An error instead of an answer, an answer that dies before its first word, and one that comes."""
    model = sc.retry(ScriptedModel(BUSY, [sc.Start(), BUSY], HELLO), attempts=3, seconds=60)
    async with model.stream(sc.prompt("hi")) as stream:
        print((await stream.collect()).text)
    for attempt in stream.attempts:
        print(attempt.outcome)


if __name__ == "__main__":
    anyio.run(main)
