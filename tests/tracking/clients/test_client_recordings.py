"""The record that a tracked client leaves is the one that a tracked model leaves on the same bytes."""

from __future__ import annotations

from urllib.parse import urlsplit

import anyio
import httpx
import httpx2
import pytest
from msgspec import structs
from support import params

import streamcore as sc
from ledgers import Book
from side import Answer, client
from streamcore.tracking.clients.client import tracked_client
from streamcore.tracking.clients.wires import WIRES, find
from streamcore.tracking.record import Marks

ADAPTERS = {
    "chat_completions": "openai_chat",  # wherever; at its own address it is `openai`
    "responses": "openai_responses",
    "messages": "anthropic",
    "generate_content": "gemini",
    "converse_stream": "bedrock",
    "chat_v2": "cohere",
    "ollama_chat": "ollama",
}
ROWS = [row for api in ADAPTERS for kind in ("streams", "errors") for row in params(f"{kind}-{api}")]
GONE = {"content-length", "transfer-encoding", "content-encoding"}
TIMES = {"tracking_id", "created_at", "marks", "largest_gap", "provider_wait", "consumer_wait"}
PRICES = {"input": 3, "output": 15, "cache_read": 1, "cache_write": 4, "reasoning": 20}


def answer_of(row):
    headers = {name: value for name, value in row.headers.items() if name not in GONE and value.isascii()}
    headers.setdefault("content-type", "text/event-stream")
    body = row.body
    return Answer([body[at : at + 1000] for at in range(0, len(body), 1000)], status=row.status, headers=headers)


def model_of(row):
    return (row.fields["model"] or "model").removeprefix("models/")  # as one of Google's SDKs writes it


def endpoint_of(row, transport):
    """The model that was asked, as far as the recording tells."""
    name, parts = ADAPTERS[row.fields["api"]], urlsplit(row.fields["url"] or "")
    if parts.hostname:
        found = find(WIRES, parts.hostname, parts.port, parts.path)
        name = name if found is None else found[0].name
    elif name == "openai_chat":
        name = "openai"
    root = urlsplit(sc.load(name).url or "https://localhost/v1")
    url = root._replace(scheme=parts.scheme or root.scheme, netloc=parts.netloc or root.netloc).geturl()
    return sc.Endpoint(name, model_of(row), key="sk-the-key", url=url, transport=transport)


async def of_a_model(row, prices):
    """What a tracked model leaves, and the request that it sent."""
    made, served = client(httpx2, answer_of(row), sync=False)
    stream = sc.track(endpoint_of(row, sc.HTTPX(made)), prices=prices).stream("Why is the sky blue?")
    try:
        async with stream:
            await stream.collect()
    except sc.StreamFailed:
        pass
    return stream.record, served.requests[0]


def of_a_client(row, prices, request):
    method, url, headers, body = request
    made, _ = client(httpx, answer_of(row), sync=True)
    book = Book()
    with tracked_client(book, client=made).stream(method, url, headers=headers, content=body) as response:
        for _ in response.iter_raw():
            pass
    return prices.priced(book.record)


def timeless(record):
    attempts = tuple(structs.replace(attempt, marks=Marks()) for attempt in record.attempts)
    fields = structs.asdict(structs.replace(record, attempts=attempts))
    return {name: value for name, value in fields.items() if name not in TIMES}


@pytest.mark.parametrize("row", ROWS)
def test_the_record_is_that_of_a_tracked_model(row):
    prices = sc.Prices({model_of(row): PRICES})
    modelled, request = anyio.run(of_a_model, row, prices)
    tapped = of_a_client(row, prices, request)
    assert timeless(tapped) == timeless(modelled)
