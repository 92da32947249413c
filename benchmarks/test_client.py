"""A client that is tracked against one that is not: what listening on the side costs an SDK, and the bytes alone."""

from __future__ import annotations

import json
import time

import httpx
import httpx2
import pytest

from streamcore.tracking.clients.client import tracked_client
from streamcore.tracking.ledger import Ledger

from .contenders import drop, mock, sdk
from .transcripts import CHUNKINGS, transcript

pytestmark = pytest.mark.benchmark(group="client", timer=time.process_time)

SDKS = {"openai_chat": "openai", "anthropic": "anthropic", "gemini": "google-genai"}
PATHS = {
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/m:streamGenerateContent",
}
BODY = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "Why is the sky blue?"}]})
REQUESTS = 200


class Nowhere:
    """A sink that costs nothing."""

    def write(self, records):
        pass


@pytest.fixture(scope="module")
def ledger():
    with Ledger(Nowhere()) as ledger:
        yield ledger


def raw(client, path):
    """Read every byte, and look at none."""

    async def read():
        async with client.stream("POST", f"http://localhost{path}", content=BODY) as response:
            async for _ in response.aiter_raw():
                pass

    return read


@pytest.mark.parametrize("chunking", ["one event", "4 KiB"])
@pytest.mark.parametrize("wire", SDKS)
def test_sdk(race, run, ledger, wire, chunking):
    answer = transcript(wire)
    chunks = CHUNKINGS[chunking](answer)
    tracked = sdk(wire, tracked_client(ledger, client=mock(httpx2, chunks)))
    plain = sdk(wire, mock(httpx2, chunks))
    race(
        f"tracked client, {SDKS[wire]}, {chunking} a chunk",
        {"tracked": lambda: run(tracked(drop)), SDKS[wire]: lambda: run(plain(drop))},
        at_most={SDKS[wire]: 1.5 if wire == "anthropic" else 1.15},
        count=len(answer.events),
    )


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_bytes(race, run, ledger, wire, library):
    """What listening adds to each KiB, over a client that does nothing with it."""
    answer = transcript(wire)
    chunks = CHUNKINGS["4 KiB"](answer)
    tracked = raw(tracked_client(ledger, client=mock(library, chunks)), PATHS[wire])
    plain = raw(mock(library, chunks), PATHS[wire])
    race(
        f"bytes through a tracked client, {wire}, {library.__name__}, 4 KiB a chunk",
        {"tracked": lambda: run(tracked()), "plain": lambda: run(plain())},
        count=len(answer.body) // 1024,
        per="KiB",
    )


def test_request(race, run, ledger):
    """What a request costs more that is a stream, from the call to the record; and one that is none."""
    client = tracked_client(ledger, client=mock(httpx2, [b"data: [DONE]\n\n"]))
    plain = mock(httpx2, [b"data: [DONE]\n\n"])

    def many(client, path):
        async def ask():
            for _ in range(REQUESTS):
                await raw(client, path)()

        return lambda: run(ask())

    race(
        "request over a tracked client",
        {
            "a stream": many(client, PATHS["openai_chat"]),
            "no stream": many(client, "/v1/embeddings"),
            "not tracked": many(plain, PATHS["openai_chat"]),
        },
        count=REQUESTS,
        per="request",
    )
