"""Records the local model again: `python tests/record_local.py` writes `tests/recordings/*-local-*.json`.

What a small model says is nothing to learn from; how llama.cpp's server frames it is. Ids and times differ every time.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio

import streamcore as sc
from streamcore.cli import local
from streamcore.cli.asking import ask
from streamcore.cli.record import Tap
from streamcore.cli.terminal import Terminal

OUT = Path(__file__).parent / "recordings"
ADAPTERS = ("openai_chat", "anthropic")

WEATHER = sc.Tool(
    "weather",
    "the weather in a city",
    {"type": "object", "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}}, "required": ["city"]},
)
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}, "river": {"type": "string", "maxLength": 12}},
    "required": ["city", "river"],
}

# The template of Hermes and Qwen, whose calls llama.cpp reads; the model's own knows no tools.
WITH_TOOLS = """
{%- if tools %}
    {{- '<|im_start|>system\\nCall functions.\\n<tools>' }}
    {%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}
    {{- '\\n</tools>\\n<tool_call>\\n{"name": <name>, "arguments": <object>}\\n</tool_call><|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}
        {%- if message.content %}{{- message.content }}{%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
                {{- '<tool_call>\\n{"name": "' + tool_call.name + '", "arguments": ' }}
                {{- tool_call.arguments | tojson }}{{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""


def asks(text, **options):
    return sc.Request(messages=(sc.Message("user", text),), **options)


def asks_for_weather():
    """Shown how three times, even a small model calls the tool."""
    messages = []
    for number, city in enumerate(("Rome", "Paris", "Rome")):
        call = sc.ToolCall(id=f"call_{number}", name="weather", arguments=f'{{"city": "{city}"}}')
        messages += [
            sc.Message("user", f"Weather in {city}?"),
            sc.Message("assistant", (call,)),
            sc.Message("tool", (sc.ToolResult(id=f"call_{number}", name="weather", content="sunny"),)),
            sc.Message("assistant", "Sunny."),
        ]
    messages.append(sc.Message("user", "Weather in Paris?"))
    # In `extra`, because Anthropic's own API no longer takes it; llama.cpp does.
    return sc.Request(messages=tuple(messages), tools=(WEATHER,), max_tokens=40, extra={"temperature": 0.0})


PLAIN = {
    "text": asks("What is a rainbow? Answer in one sentence.", max_tokens=40),
    "length": asks("Why is the sky blue?", max_tokens=8),
    "stop": asks("Why is the sky blue?", max_tokens=40, stop=("scattering",)),
    "cached": asks("Why is the sky blue?", max_tokens=3),
    "unicode": asks("Write 'good morning' in Japanese, Greek and as an emoji.", max_tokens=40),
    "overflow": asks("hello " * 600, max_tokens=3),
}


async def record(model, adapter, name, request):
    async with sc.HTTPX() as transport:
        tap = Tap(transport)
        answer = await ask(model.endpoint(adapter, transport=tap), request, TERMINAL, quiet=True)
    path = OUT / f"{adapter}-local-{name}.json"
    tap.recording(adapter, note=f"{model.description}: {name}").save(path)
    print(path.name, path.stat().st_size, answer.outcome, answer.usage, repr(answer.fold.text), answer.fold.tool_calls)


async def record_all(model, requests):
    for adapter in ADAPTERS:
        for name, request in requests.items():
            await record(model, adapter, name, request)


async def record_refused(model):
    wrong = local.Local(model._url, key="wrong", name=model.name, description=model.description, wires=[])
    await record_all(wrong, {"auth": asks("Hi", max_tokens=3)})
    await record(
        model, "openai_chat", "schema", asks("A city on a river, as JSON.", max_tokens=40, output=sc.Schema(CITY))
    )


if __name__ == "__main__":
    TERMINAL = Terminal(sys.stdout, sys.stderr, os.environ)
    with local.serve(TERMINAL, context=512) as plain:
        anyio.run(record_all, plain, PLAIN)
        anyio.run(record_refused, plain)
    with local.serve(TERMINAL, context=1024, template=WITH_TOOLS) as with_tools:
        anyio.run(record_all, with_tools, {"tool": asks_for_weather()})
