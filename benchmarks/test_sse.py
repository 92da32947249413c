"""The parser of server-sent events alone: what a byte costs in small pieces, and what the slower roads cost."""

from __future__ import annotations

import time

import pytest

from streamcore import sse

from .transcripts import pieces, transcript

pytestmark = pytest.mark.benchmark(group="sse", timer=time.process_time)

TWENTY = b"data: " + b"x" * 20_000_000 + b"\n\n"
LIMIT = 32 * 1024 * 1024


def parse(chunks):
    """The number of frames."""
    parser = sse.Parser(limit=LIMIT)
    return sum(len(parser.feed(chunk)) for chunk in chunks)


def test_twenty_megabytes(race):
    """Linear: so much a byte, and so much a piece."""
    tiny, large = pieces(TWENTY, 64), pieces(TWENTY, 64 * 1024)
    assert parse(tiny) == parse(large) == 1
    race(
        "an event of 20 MB",
        {"in pieces of 64 B": lambda: parse(tiny), "in pieces of 64 KiB": lambda: parse(large)},
        count=len(TWENTY) // 1024,
        per="KiB",
    )


def test_other_forms(race):
    """What the usual form has over others: comments between events, lines that end in CR, data in several lines."""
    payloads = transcript("openai_chat").payloads
    forms = {
        "data: … LF LF": [b"data: %b\n\n" % payload for payload in payloads],
        "CRLF": [b"data: %b\r\n\r\n" % payload for payload in payloads],
        "with event: line": [b"event: delta\ndata: %b\n\n" % payload for payload in payloads],
        "with comments": [b": ping\n\ndata: %b\n\n" % payload for payload in payloads],
        "data in two lines": [b"data: {\ndata: %b\n\n" % payload[1:] for payload in payloads],
        "with id: line": [b"id: 7\ndata: %b\n\n" % payload for payload in payloads],
        "CR": [b"data: %b\r\r" % payload for payload in payloads],
    }
    assert {parse(chunks) for chunks in forms.values()} == {len(payloads)}
    race(
        "one event a chunk",
        {name: lambda chunks=chunks: parse(chunks) for name, chunks in forms.items()},
        count=len(payloads),
    )
