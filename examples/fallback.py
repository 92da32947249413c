"""Another model when the first cannot answer."""

import anyio

import streamcore as sc
from streamcore.testing import ScriptedModel

DOWN = ScriptedModel(sc.Failure("server", "down"))
BUSY = ScriptedModel([sc.Start("r-1", "busy"), sc.Failure("overloaded", "an error inside of a 200 answer")])
GOOD = ScriptedModel([sc.Start("r-2", "good"), sc.TextDelta(0, "Hello"), sc.Finish("stop")])


async def main() -> None:
    """Two that fail, and one that does not; what wraps a model is a model, so each could be retried first."""
    model = sc.fallback(sc.retry(DOWN, attempts=2, backoff=0.01), BUSY, GOOD, deadlines=sc.Deadlines(first_token=20))
    async with model.stream(sc.prompt("hi")) as stream:
        fold = await stream.collect()
    print(f"{fold.text}, said {fold.model} after {len(stream.attempts) - 1} attempts")


if __name__ == "__main__":
    anyio.run(main)
