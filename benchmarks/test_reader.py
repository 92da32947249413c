"""The sans-IO reader, in memory: bytes to events beside what decoding alone costs, and beside what is put together by hand.

What is by hand is httpx-sse with json, where the wire is server-sent events.
"""

from __future__ import annotations

import time
from functools import partial

import pytest

from .contenders import (
    botocore_and_json,
    check,
    drop,
    feed,
    floor,
    json_loads,
    lines_and_json,
    sse_and_json,
)
from .transcripts import CHUNKINGS, WIRES, image, pieces, transcript

pytestmark = pytest.mark.benchmark(group="reader", timer=time.process_time)

FLOOR = "msgspec alone"
JSON = "json alone"
BY_HAND = "httpx-sse + json"
OTHERS = {"ollama": ("httpx lines + json", lines_and_json), "bedrock": ("botocore + json", botocore_and_json)}

FLOORS_AT_MOST = {"openai_chat": 3.0, "gemini": 2.5}  # any other payload is short: Anthropic's goal holds for it


@pytest.mark.parametrize("chunking", CHUNKINGS)
@pytest.mark.parametrize("wire", WIRES)
def test_feed(race, wire, chunking):
    answer = transcript(wire)
    chunks = CHUNKINGS[chunking](answer)
    name, by_hand = OTHERS.get(wire, (BY_HAND, sse_and_json))
    readers = {
        "streamcore": partial(feed, wire, chunks),
        FLOOR: partial(floor, wire, answer.payloads),
        JSON: partial(json_loads, answer.payloads),
        name: partial(by_hand, chunks),
    }
    for read in readers.values():
        check(answer, read)
    goals = {
        "one event": {FLOOR: FLOORS_AT_MOST.get(wire, 3.5), JSON: 1},
        "7-50 B": {BY_HAND: 0.25},
    }
    race(
        f"feed, {wire}, {chunking} a chunk",
        {name: partial(read, drop) for name, read in readers.items()},
        at_most=goals.get(chunking),
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
