"""JSON that is shown while the model writes it: structured output, and the arguments of tool calls."""

import anyio
import msgspec

import streamcore as sc
from streamcore.testing import ScriptedModel

DOCUMENT = '{"title": "Lisbon", "steps": [{"day": 1, "what": "Walk"}, {"day": 2, "what": "Eat"}]}'
SCRIPT: list[sc.Event] = [
    sc.Start("r-1", "scripted"),
    *(sc.TextDelta(0, DOCUMENT[start : start + 13]) for start in range(0, len(DOCUMENT), 13)),
    sc.BlockEnd(0),
    sc.ToolCallStart(1, "call-1", "weather"),
    sc.ToolCallDelta(1, '{"city": "Lis'),
    sc.ToolCallDelta(1, 'bon"'),
    sc.Finish("length"),
]


class StepSoFar(msgspec.Struct):
    """A step that is being written: what may not have come yet has a default."""

    day: int | None = None
    what: str = ""


class PlanSoFar(msgspec.Struct):
    """The structured output that was asked for, likewise."""

    title: str = ""
    steps: list[StepSoFar] = []


async def main(model: sc.Model) -> None:
    """Show what grows; act on each part as soon as it is final."""
    done = 0
    async with model.stream(sc.prompt("Plan two days in Lisbon.")) as stream:
        async for item in stream.partial():
            if item.name is not None:
                print(item.id, item.name, item.value, f"broken: {item.broken}" if item.broken else "")
                continue
            plan = msgspec.convert(item.value or {}, PlanSoFar)
            print(plan)
            while item.is_complete("steps", done):
                done += 1
                print(f"{done} of {len(plan.steps)} steps: {plan.steps[done - 1].what}")

    documents = sc.Partials()  # the same without a stream: events in, documents out
    document: sc.Partial = documents.feed([sc.TextDelta(0, '["grow')])[0]
    print(document.value, document.is_complete(0))


if __name__ == "__main__":
    anyio.run(main, ScriptedModel(SCRIPT))
