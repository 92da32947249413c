"""Stream an answer and say how it ended.

`python examples/quickstart.py openai:gpt-4o` asks a real model; without a name, a scripted one answers.
"""

import sys

import anyio

import streamcore as sc
from streamcore.testing import ScriptedModel

SCRIPT: list[sc.Event] = [
    sc.Start("r-1", "scripted"),
    sc.TextDelta(0, "Because air scatters "),
    sc.TextDelta(0, "blue light most."),
    sc.Usage(input_tokens=6, output_tokens=7),
    sc.Finish("stop"),
]


async def main(model: sc.Model) -> None:
    """Print the words as they come, then the outcome."""
    async with model.stream(sc.prompt("Why is the sky blue?")) as stream:
        async for event in stream:
            match event:
                case sc.TextDelta(text=text) | sc.ReasoningDelta(text=text):
                    print(text, end="", flush=True)
                case sc.Finish(reason=reason):
                    print(f"\n[{reason}; {stream.usage}]")
                case _:
                    pass


if __name__ == "__main__":
    anyio.run(main, sc.model(sys.argv[1]) if len(sys.argv) > 1 else ScriptedModel(SCRIPT))
