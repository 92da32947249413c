"""Let a model call a function: run each call as soon as its block has ended, send the results, stream the answer.

`python examples/tools.py anthropic:claude-sonnet-4-6` asks a real model; without a name, a scripted one answers.
"""

import json
import sys

import anyio

import streamcore as sc
from streamcore.testing import ScriptedModel

WEATHER = sc.Tool(
    name="weather",
    description="The weather in a city.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
SCRIPT: tuple[list[sc.Event], ...] = (
    [
        sc.Start("r-1", "scripted"),
        sc.ToolCallStart(0, "call-1", "weather"),
        sc.ToolCallDelta(0, '{"city":'),
        sc.ToolCallDelta(0, '"Lisbon"}'),
        sc.BlockEnd(0),
        sc.Finish("tool_calls"),
    ],
    [sc.Start("r-2", "scripted"), sc.TextDelta(0, "Sunny in Lisbon."), sc.Finish("stop")],
)


def weather(city: str) -> str:
    """What the tool does."""
    return f"sunny in {city}"


async def main(model: sc.Model) -> None:
    """Ask, run what is called, and ask again until there is an answer."""
    request = sc.Request(messages=(sc.Message("user", "How is the weather in Lisbon?"),), tools=(WEATHER,))
    for _ in range(5):
        async with model.stream(request) as stream:
            fold = await stream.collect()
        if not fold.tool_calls:
            print(fold.text)
            return
        results = tuple(
            sc.ToolResult(id=call.id, name=call.name, content=weather(**json.loads(call.arguments)))
            for call in fold.tool_calls
        )
        # `fold.message` holds what the provider wants back with its turn: ids, signatures, encrypted reasoning.
        turn = (*request.messages, fold.message, sc.Message("tool", results))
        request = sc.Request(messages=turn, tools=request.tools)


if __name__ == "__main__":
    anyio.run(main, sc.model(sys.argv[1]) if len(sys.argv) > 1 else ScriptedModel(*SCRIPT))
