"""Writes the tables in `adapters.md`, `serving.md` and `faults.md` from what the library itself does and says.

What an adapter can be asked is found by asking it to write a request with each part, and seeing what it warns of; what a
served format cannot carry is the data by which its encoder counts what it loses; what becomes of a fault is seen by
playing it. `python docs/table.py` renews the files; a test fails while they are stale.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import anyio

import streamcore as sc
from streamcore import dialect
from streamcore.request import Secret, Target
from streamcore.testing import Answer, Fault, FaultKind, FaultyTransport, virtual_time

ADAPTERS: Final = {
    "openai": "gpt-5.1",
    "openai_responses": "gpt-5.1",
    "anthropic": "claude-sonnet-4-6",
    "gemini": "gemini-2.5-pro",
    "bedrock": "anthropic.claude-sonnet-4-6",
    "mistral": "magistral-medium-latest",
    "cohere": "command-a-03-2025",
    "ollama": "llama3.2",
}
PIXEL: Final = b"\x89PNG"
USER: Final = sc.Message("user", "hi")
WEATHER: Final = sc.Tool("weather", "The weather.", {"type": "object", "properties": {"city": {"type": "string"}}})
CALL: Final = sc.Message("assistant", (sc.ToolCall(id="call_1", name="weather", arguments='{"city":"Rome"}'),))


def _ask(*parts: sc.Text | sc.Image | sc.File) -> sc.Request:
    return sc.Request(messages=(sc.Message("user", parts),))


def _result(content: str | tuple[sc.Text | sc.Image | sc.File, ...] = "sunny", *, is_error: bool = False) -> sc.Request:
    result = sc.ToolResult(id="call_1", name="weather", content=content, is_error=is_error)
    return sc.Request(messages=(USER, CALL, sc.Message("tool", (result,))), tools=(WEATHER,))


PARTS: Final[dict[str, sc.Request]] = {
    "system message": sc.Request(messages=(sc.Message("system", "be brief"), USER)),
    "image, bytes": _ask(sc.Image(data=PIXEL, media_type="image/png")),
    "image, URL": _ask(sc.Image(url="https://example.com/a.png", media_type="image/png")),
    "PDF, bytes": _ask(sc.File(data=b"%PDF", media_type="application/pdf"), sc.Text(text="read it")),
    "file by id or URI": _ask(sc.File(id="files/a-1", media_type="application/pdf")),
    "sound, bytes": _ask(sc.File(data=b"RIFF", media_type="audio/wav")),
    "tools": sc.Request(messages=(USER,), tools=(WEATHER,)),
    "tool results": _result(),
    "tool results with images": _result((sc.Image(data=PIXEL, media_type="image/png"),)),
    "failed tool results": _result(is_error=True),
    "tool_choice none": sc.Request(messages=(USER,), tools=(WEATHER,), tool_choice="none"),
    "tool_choice required": sc.Request(messages=(USER,), tools=(WEATHER,), tool_choice="required"),
    "tool_choice by name": sc.Request(messages=(USER,), tools=(WEATHER,), tool_choice=sc.ToolChoice("weather")),
    "parallel_tool_calls off": sc.Request(messages=(USER,), tools=(WEATHER,), parallel_tool_calls=False),
    "output of a schema": sc.Request(messages=(USER,), output=sc.Schema({"type": "object"})),
    "output of any JSON": sc.Request(messages=(USER,), output="json"),
    "reasoning effort": sc.Request(messages=(USER,), reasoning=sc.Reasoning(effort="low")),
    "reasoning budget": sc.Request(messages=(USER,), reasoning=sc.Reasoning(budget_tokens=2048)),
    "reasoning summary": sc.Request(messages=(USER,), reasoning=sc.Reasoning(effort="low", summary=True)),
    "max_tokens": sc.Request(messages=(USER,), max_tokens=100),
    "temperature": sc.Request(messages=(USER,), temperature=0.5),
    "top_p": sc.Request(messages=(USER,), top_p=0.5),
    "top_k": sc.Request(messages=(USER,), top_k=5),
    "penalties": sc.Request(messages=(USER,), presence_penalty=0.5, frequency_penalty=0.5),
    "stop": sc.Request(messages=(USER,), stop=("END",)),
    "seed": sc.Request(messages=(USER,), seed=7),
    "user": sc.Request(messages=(USER,), user="u-1"),
    "metadata": sc.Request(messages=(USER,), metadata={"team": "blue"}),
    "cache marks": _ask(sc.Text(text="long", cache=True), sc.Text(text="question")),
    "cache_key": sc.Request(messages=(USER,), cache_key="k"),
}


def says(adapter: str, request: sc.Request) -> str:
    """One cell: whether the adapter sends it, sends it otherwise or leaves it out (a warning), or refuses."""
    module = sc.load(adapter)
    target = Target(module.url, ADAPTERS[adapter], Secret("key"))
    try:
        warnings = module.encode(request, target).warnings
    except sc.LocalError:
        return "error"
    return "warning" if warnings else "yes"


def table() -> str:
    """The whole table, in Markdown."""
    rows = [["", *ADAPTERS], ["---"] * (len(ADAPTERS) + 1)]
    rows += [[part, *(says(name, request) for name in ADAPTERS)] for part, request in PARTS.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def losses() -> str:
    """What each served format cannot carry, in Markdown."""
    tables: list[str] = []
    for name in dialect.names():
        served = dialect.load(name)
        rows = [f"| `{what}` | {why} |" for what, why in served.losses.items()]
        path = f"`POST {served.path}`" if served.path else "output only"
        tables += [f"### `{name}`: {path}", "\n".join(["| lost | why |", "| --- | --- |", *rows])]
    return "\n\n".join(tables)


HELLO: Final[list[sc.Event]] = [sc.Start("r-1", "m"), sc.TextDelta(0, "Hello"), sc.TextDelta(0, "!"), sc.Finish("stop")]
FAULTS: Final[dict[FaultKind, str]] = {
    "dns": "the name of the host is not known",
    "refused": "nobody listens there",
    "unreachable": "there is no route",
    "tls": "the certificate is wrong, or the other side speaks no TLS",
    "connect": "connecting takes too long",
    "headers_reset": "the connection breaks before the headers",
    "headers_close": "the connection ends before the headers",
    "headers_stall": "no headers come",
    "headers_drip": "a few bytes of the headers come now and then",
    "headers_garbage": "what comes is not HTTP",
    "headers_huge": "there are more headers than anybody takes",
    "rate_limit": "HTTP 429",
    "overloaded": "HTTP 529",
    "server_error": "HTTP 500",
    "redirect": "HTTP 307, which is not followed",
    "content_type": "a page of HTML with status 200",
    "error_body": "an error in JSON with status 200",
    "gzip": "a compressed body, which is not read",
    "reset": "the connection breaks",
    "close": "the connection ends before the body's announced end",
    "end": "the body ends as if it were whole",
    "stall": "nothing more comes",
    "comments": "comments come, and nothing else",
    "line": "an event has no end",
    "chunk": "the chunks of HTTP are broken",
}
IN_BODY: Final = tuple(FAULTS)[-7:]


def faults() -> str:
    """What becomes of each fault, in Markdown."""
    encoder = dialect.load("openai_chat").Encoder(dialect.Call(request=sc.prompt("hi")))
    body = b"".join(encoder.feed(event) for event in HELLO)
    first = body.index(b"data:", 1)
    name, options = virtual_time("asyncio")
    limits = sc.Deadlines(connect=5, first_token=60, idle=30)

    def outcome(kind: FaultKind, at: int, deadlines: sc.Deadlines) -> sc.Finish | sc.Failure:
        at += len(b"data: ") * (kind == "line")
        fault = Fault(kind, at, size=1 if kind == "headers_drip" else 1 << 16, seconds=20)
        transport = FaultyTransport(Answer([body]), fault)
        endpoint = sc.Endpoint("openai", "m", key="sk-example", transport=transport, deadlines=deadlines)
        return anyio.run(_ended, endpoint, backend=name, backend_options=options)

    rows = [
        "| fault | what happens | before the first content | in the middle of the answer | without deadlines | retryable |"
    ]
    rows.append("| --- | --- | --- | --- | --- | --- |")
    for kind, words in FAULTS.items():
        found = outcome(kind, first, limits)
        middle = outcome(kind, body.index(b"data:", body.index(b"Hello")), limits)
        cells = [_shown(found), _shown(middle) if kind in IN_BODY else "", _shown(outcome(kind, first, sc.Deadlines()))]
        retryable = "yes" if isinstance(found, sc.Failure) and found.retryable else "no"
        rows.append(f"| `{kind}` | {words} | {' | '.join(cells)} | {retryable} |")
    return "\n".join(rows)


async def _ended(endpoint: sc.Endpoint) -> sc.Finish | sc.Failure:
    stream = endpoint.stream("hi")
    try:
        async with stream:
            await stream.collect()
    except sc.StreamFailed as error:
        return error.failure
    assert isinstance(stream.outcome, sc.Finish)
    return stream.outcome


def _shown(outcome: sc.Finish | sc.Failure) -> str:
    if isinstance(outcome, sc.Finish):
        return "answered"
    return f"`{outcome.kind}`" + (f" ({outcome.detail})" if outcome.detail else "")


PAGES: Final = {"adapters.md": table, "serving.md": losses, "faults.md": faults}


def renewed(page: str, made: str) -> str:
    """The page with what is made for it as it is now."""
    head, _, rest = page.partition("<!-- table -->")
    _, _, tail = rest.partition("<!-- end of table -->")
    return f"{head}<!-- table -->\n\n{made}\n\n<!-- end of table -->{tail}"


if __name__ == "__main__":
    for name, make in PAGES.items():
        path = Path(__file__).with_name(name)
        path.write_text(renewed(path.read_text(encoding="utf-8"), make()), encoding="utf-8")
