"""Clients over an httpx transport that answers from memory: what an event costs, and what a request costs before it."""

from __future__ import annotations

import time

import httpx
import httpx2
import pytest

from .contenders import by_hand, check, drop, mock, sdk, streamcore
from .transcripts import CHUNKINGS, transcript

pytestmark = pytest.mark.benchmark(group="clients", timer=time.process_time)

SDKS = {"openai_chat": "openai", "anthropic": "anthropic", "gemini": "google-genai"}
BY_HAND = "httpx + httpx-sse + json"
AT_LEAST = {
    "openai_chat": {"openai": 40, BY_HAND: 3},
    "anthropic": {"anthropic": 8, BY_HAND: 3},
    "gemini": {"google-genai": 50, BY_HAND: 3},
}
REQUESTS = 50


@pytest.mark.parametrize("chunking", ["one event", "4 KiB"])
@pytest.mark.parametrize("wire", SDKS)
def test_event(race, run, wire, chunking):
    answer = transcript(wire)
    chunks = CHUNKINGS[chunking](answer)
    clients = {
        "streamcore": streamcore(wire, mock(httpx2, chunks)),
        "streamcore on httpx": streamcore(wire, mock(httpx, chunks)),
        SDKS[wire]: sdk(wire, mock(httpx2, chunks)),
        BY_HAND: by_hand(mock(httpx, chunks)),
    }
    for read in clients.values():
        check(answer, lambda keep, read=read: run(read(keep)))
    race(
        f"client, {wire}, {chunking} a chunk",
        {name: lambda read=read: run(read(drop)) for name, read in clients.items()},
        at_least=AT_LEAST[wire] if chunking == "one event" else None,
        count=len(answer.events),
    )


def test_request(race, run):
    """From the call to the first event, and away again."""
    chunks = transcript("openai_chat").events
    clients = {
        "streamcore": streamcore("openai_chat", mock(httpx2, chunks)),
        "openai": sdk("openai_chat", mock(httpx2, chunks)),
        "httpx + httpx-sse": by_hand(mock(httpx, chunks)),
    }
    race(
        "request to first event, openai_chat",
        {name: lambda read=read: run(_first_of_many(read)) for name, read in clients.items()},
        at_most={"openai": 0.35},
        count=REQUESTS,
        per="request",
    )


class EnoughError(Exception):
    pass


def enough(_):
    raise EnoughError


async def _first_of_many(read):
    for _ in range(REQUESTS):
        try:
            await read(enough)
        except EnoughError:
            continue
