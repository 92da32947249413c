"""Serving a format: our events to bytes, beside the reader that makes the same events of those bytes again."""

from __future__ import annotations

import time
from functools import partial

import pytest

from .contenders import drop, encode, feed
from .transcripts import WIRES, transcript

pytestmark = pytest.mark.benchmark(group="encoders", timer=time.process_time)

FORMATS = (
    "openai_chat",
    "openai_responses",
    "anthropic",
    "gemini",
    "cohere",
    "mistral",
    "ollama",
    "ui_stream",
    "text",
)
READER = "streamcore.Reader"


@pytest.mark.parametrize("form", FORMATS)
def test_feed(race, form):
    """`ui_stream` and `text` have no reader: they stand beside that of what they are usually made of."""
    wire = form if form in WIRES else "openai_chat"
    read = []
    feed(wire, transcript(wire).events, read.extend)
    written = []
    encode(form, read, written.append)
    chunks = [chunk for chunk in written if chunk] if form in WIRES else transcript(wire).events
    again = []
    feed(wire, chunks, again.extend)
    assert _text(again) == _text(read) == transcript(wire).text
    race(
        f"encode, {form}",
        {"streamcore": partial(encode, form, read, drop), READER: partial(feed, wire, chunks, drop)},
        at_most={READER: 1},
        count=len(read),
    )


def _text(events):
    return "".join(event.text for event in events if event.__struct_config__.tag == "text")
