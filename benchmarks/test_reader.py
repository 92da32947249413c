"""The sans-IO reader, in memory: bytes to events beside what decoding alone costs, and beside httpx-sse with json."""

from __future__ import annotations

import time
from functools import partial

import pytest

from .contenders import check, drop, feed, floor, json_loads, sse_and_json
from .transcripts import CHUNKINGS, WIRES, image, pieces, transcript

pytestmark = pytest.mark.benchmark(group="reader", timer=time.process_time)

FLOOR = "msgspec alone"
BY_HAND = "httpx-sse + json"

AT_MOST = {
    ("openai_chat", "one event"): {FLOOR: 3.0},
    ("anthropic", "one event"): {FLOOR: 3.5},
    ("gemini", "one event"): {FLOOR: 2.5},
    **{(wire, "7-50 B"): {BY_HAND: 0.25} for wire in WIRES},
}


@pytest.mark.parametrize("chunking", CHUNKINGS)
@pytest.mark.parametrize("wire", WIRES)
def test_feed(race, wire, chunking):
    answer = transcript(wire)
    chunks = CHUNKINGS[chunking](answer)
    readers = {
        "streamcore": partial(feed, wire, chunks),
        FLOOR: partial(floor, wire, answer.payloads),
        "json alone": partial(json_loads, answer.payloads),
        BY_HAND: partial(sse_and_json, chunks),
    }
    for read in readers.values():
        check(answer, read)
    race(
        f"feed, {wire}, {chunking} a chunk",
        {name: partial(read, drop) for name, read in readers.items()},
        at_most=AT_MOST.get((wire, chunking)),
        count=len(answer.events),
    )


def test_large_event(race):
    """A generated image of 1 MB: each of its bytes is looked at a bounded number of times."""
    event = image()
    cuts = {f"in pieces of {size} KiB": pieces(event, size * 1024) for size in (1, 16)}
    race(
        "an event of 1 MB",
        {
            **{name: partial(feed, "gemini", chunks, drop) for name, chunks in cuts.items()},
            "in one piece": partial(feed, "gemini", [event], drop),
        },
        at_most={"in one piece": 2},
    )
