"""Answers of scripted models, and how composed streams end."""

from __future__ import annotations

from math import inf

import pytest

import streamcore as sc
from streamcore.testing import Pause

BUSY = sc.Failure("overloaded", "busy")
DOWN = sc.Failure("server", "down", status=500)
ROLE = [sc.Start("r", "m")]
NEVER = Pause(inf)


def says(word, *, after=0.0):
    """An answer of one word."""
    pause = [Pause(after)] if after else []
    return [
        sc.Start("r", word),
        *pause,
        sc.TextDelta(0, word),
        sc.Usage(output_tokens=1),
        sc.BlockEnd(0),
        sc.Finish("stop"),
    ]


async def text(model, **deadlines):
    """The whole answer's text."""
    async with model.stream(sc.prompt("hi")).within(**deadlines) as stream:
        return (await stream.collect()).text


async def failed(model, **deadlines):
    """How the stream fails while it is opened."""
    stream = model.stream(sc.prompt("hi")).within(**deadlines)
    with pytest.raises(sc.StreamFailed) as caught:
        await stream.__aenter__()
    assert stream.outcome == caught.value.failure
    return caught.value.failure


def ends(stream):
    """How each attempt ended: the reason, or the kind of failure."""
    return [getattr(attempt.outcome, "reason", None) or attempt.outcome.kind for attempt in stream.attempts]
