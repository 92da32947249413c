"""How long an answer may take: set for a model, or for one stream."""

import anyio

import streamcore as sc
from streamcore.testing import Pause, ScriptedModel

PATIENT = sc.Deadlines(connect=5, first_token=30, idle=20, total=600)

SLOW = ScriptedModel(
    [sc.Start(), Pause(60), sc.TextDelta(0, "Hello"), sc.Finish("stop")],
    [sc.Start(), sc.TextDelta(0, "Hello"), Pause(60), sc.Finish("stop")],
)


async def main() -> None:
    """One answer that does not begin, and one that stops in the middle."""
    print(sc.model("openai:gpt-4o", key="sk-example", deadlines=PATIENT))
    for _ in range(2):
        fold = sc.Fold()
        try:
            async with SLOW.stream(sc.prompt("hi")).within(first_token=0.2, idle=0.1) as stream:
                await stream.collect(fold)
        except sc.StreamFailed as error:
            print(f"after {fold.text!r}: {error}")


if __name__ == "__main__":
    anyio.run(main)
