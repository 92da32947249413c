"""The readers that race: ours, those of the providers' own SDKs, and what is usually put together by hand.

Each gives what it reads, one thing at a time, to `keep`: to `drop` while it is timed, to a list while `check` sees to it
that no word is missing.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx
import httpx_sse
import pytest

import streamcore as sc
from streamcore import dialect

if TYPE_CHECKING:
    from .transcripts import Transcript

Keep: TypeAlias = Callable[[Any], object]
AsyncReader: TypeAlias = Callable[[Keep], Coroutine[Any, Any, None]]

HEADERS = {"content-type": "text/event-stream"}
NOWHERE = "http://localhost"
QUESTION = "Why is the sky blue?"

drop: Keep = deque[Any](maxlen=0).append


def feed(wire: str, chunks: Iterable[bytes], keep: Keep) -> None:
    """Our sans-IO reader: framing, typed decoding, events, grammar."""
    reader = sc.Reader(sc.load(wire))
    for chunk in chunks:
        keep(reader.feed(chunk))
    keep(reader.close())


def encode(form: str, events: Iterable[sc.Event], keep: Keep) -> None:
    """Our encoder of a format, event by event."""
    call = dialect.Call(request=sc.Request(messages=(), model="model"), id="id", created=1_766_394_480)
    encoder = dialect.load(form).Encoder(call)
    for event in events:
        keep(encoder.feed(event))


FLOORS = {
    "openai_chat": ("openai_chat.chunk", "decode"),
    "openai_responses": ("openai_responses.chunk", "decode"),
    "anthropic": ("anthropic.decoder", "_decode"),
    "gemini": ("gemini.chunk", "decode"),
    "bedrock": ("bedrock.decoder", "_decode"),
    "cohere": ("cohere.decoder", "_decode"),
    "mistral": ("openai_chat.chunk", "decode"),
    "ollama": ("ollama.decoder", "_decode"),
}


def floor(wire: str, payloads: Iterable[bytes], keep: Keep) -> None:
    """Nothing but msgspec, decoding the adapter's own Struct (every field it may read) from payloads that are cut already."""
    module, name = FLOORS[wire]
    decode = getattr(import_module(f"streamcore_adapters.{module}"), name)
    for payload in payloads:
        keep(decode(payload))


def json_loads(payloads: Iterable[bytes], keep: Keep) -> None:
    """Nothing but `json.loads`, of payloads that are cut already."""
    loads = json.loads
    for payload in payloads:
        keep(loads(payload))


def sse_and_json(chunks: Iterable[bytes], keep: Keep) -> None:
    """httpx-sse on a response that is made of these chunks, and `json.loads`."""
    response = httpx.Response(200, headers=HEADERS, content=iter(chunks))
    for event in httpx_sse.EventSource(response).iter_sse():
        if event.data != "[DONE]":
            keep(json.loads(event.data))


def lines_and_json(chunks: Iterable[bytes], keep: Keep) -> None:
    """The lines of httpx's response, and `json.loads`."""
    for line in httpx.Response(200, content=iter(chunks)).iter_lines():
        keep(json.loads(line))


def botocore_and_json(chunks: Iterable[bytes], keep: Keep) -> None:
    """What botocore cuts binary messages with, and `json.loads`."""
    buffer = _peer("botocore.eventstream").EventStreamBuffer()
    for chunk in chunks:
        buffer.add_data(chunk)
        for message in buffer:
            keep(json.loads(message.payload))


def mock(library: Any, chunks: Sequence[bytes]) -> Any:
    """A client of httpx or httpx2 whose every answer is these chunks."""

    class Body(library.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

    class Transport(library.AsyncBaseTransport):
        async def handle_async_request(self, request: Any) -> Any:
            return library.Response(200, headers=HEADERS, stream=Body())

    return library.AsyncClient(transport=Transport())


def streamcore(wire: str, client: Any, url: str = NOWHERE) -> AsyncReader:
    """Our `Endpoint` over a client, or over a transport of ours; event by event."""
    transport = client if isinstance(client, sc.Fast) else sc.HTTPX(client)
    endpoint = sc.Endpoint(wire, "model", key="key", url=url, transport=transport)

    async def read(keep: Keep) -> None:
        async with endpoint.stream(QUESTION) as stream:
            async for event in stream:
                keep(event)

    return read


def sdk(wire: str, client: Any, url: str = NOWHERE) -> AsyncReader:
    """The provider's own SDK: its stream as it is, without the helpers that add things up."""
    return {"openai_chat": _openai, "anthropic": _anthropic, "gemini": _google}[wire](client, url)


def _openai(client: Any, url: str) -> AsyncReader:
    openai = _peer("openai")
    completions = openai.AsyncOpenAI(api_key="key", base_url=url, http_client=client).chat.completions
    messages = [{"role": "user", "content": QUESTION}]

    async def read(keep: Keep) -> None:
        async with await completions.create(model="model", messages=messages, stream=True) as stream:
            async for chunk in stream:
                keep(chunk)

    return read


def _anthropic(client: Any, url: str) -> AsyncReader:
    anthropic = _peer("anthropic")
    messages = anthropic.AsyncAnthropic(api_key="key", base_url=url, http_client=client).messages
    question = [{"role": "user", "content": QUESTION}]

    async def read(keep: Keep) -> None:
        async with await messages.create(model="model", max_tokens=4096, messages=question, stream=True) as stream:
            async for event in stream:
                keep(event)

    return read


def _google(client: Any, url: str) -> AsyncReader:
    genai = _peer("google.genai")
    options = genai.types.HttpOptions(base_url=url, httpx_async_client=client)
    models = genai.Client(api_key="key", http_options=options).aio.models

    async def read(keep: Keep) -> None:
        async for chunk in await models.generate_content_stream(model="model", contents=QUESTION):
            keep(chunk)

    return read


def by_hand(client: Any, url: str = NOWHERE) -> AsyncReader:
    """httpx, httpx-sse and `json.loads`."""

    async def read(keep: Keep) -> None:
        async with httpx_sse.aconnect_sse(client, "POST", url) as source:
            async for event in source.aiter_sse():
                if event.data != "[DONE]":
                    keep(json.loads(event.data))

    return read


def raw(client: Any, url: str = NOWHERE) -> AsyncReader:
    """httpx or httpx2, the bytes as they come, not even looked at."""

    async def read(keep: Keep) -> None:
        async with client.stream("POST", url) as response:
            async for chunk in response.aiter_raw():
                keep(chunk)

    return read


def _peer(name: str) -> Any:
    return pytest.importorskip(name, reason=f"{name} is not installed: uv sync --group bench")


def check(transcript: Transcript, read: Callable[[Keep], object]) -> None:
    """Assert that a reader sees the text of the whole answer."""
    seen: list[Any] = []
    read(seen.append)
    assert "".join(map(partial(_text, transcript.wire), seen)) == transcript.text


def _text(wire: str, thing: Any) -> str:
    """The words of the answer in one thing read, be it ours, JSON, a Struct, or an SDK's."""
    if isinstance(thing, list):
        return "".join(_text(wire, item) for item in thing)
    if type(thing).__module__ == "streamcore.events":
        return thing.text if isinstance(thing, sc.TextDelta) else ""
    delta = _get(thing, "delta")
    match wire:
        case "openai_chat" | "mistral":
            contents = (_get(_get(choice, "delta"), "content") for choice in _get(thing, "choices"))
            return "".join(content for content in contents if isinstance(content, str))
        case "openai_responses":
            return delta if _get(thing, "type") == "response.output_text.delta" else ""
        case "anthropic":
            return _get(delta, "text") or "" if _get(delta, "type") == "text_delta" else ""
        case "gemini":
            content = _get(_get(thing, "candidates")[0], "content")
            return "".join(_get(part, "text") or "" for part in _get(content, "parts") if not _get(part, "thought"))
        case "cohere":
            return _get(_get(_get(delta, "message"), "content"), "text") or ""
        case "ollama":
            return _get(_get(thing, "message"), "content")
        case _:
            return _get(delta, "text") or ""


def _get(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)
