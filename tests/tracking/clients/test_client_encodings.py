"""Compressed answers: the client gets them as they came, and the record is that of what is in them."""

from __future__ import annotations

import gzip
import json
import zlib

import httpx
import httpx2
import pytest

from ledgers import Book
from side import SSE, Answer, client
from streamcore.tracking.clients import inflate, tap
from streamcore.tracking.clients.client import tracked_client

URL = "https://api.openai.com/v1/chat/completions"
ASKED = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "Why?"}]}
WHOLE = (
    b'data: {"choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\ndata: [DONE]\n\n'
)


def asked(body, encoding, *, status=200, size=7, library=httpx2):
    """What a client reads, raw, and the record."""
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    made, _ = client(library, Answer(chunks, status=status, headers=SSE | {"content-encoding": encoding}), sync=True)
    book = Book()
    with tracked_client(book, client=made).stream("POST", URL, json=ASKED) as response:
        assert list(response.iter_raw()) == chunks
    return book.record


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), (" GZip", gzip.compress)]
)
@pytest.mark.parametrize("size", [1, 10_000])
@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_compressed_answer_is_read(encoding, pack, size, library):
    record = asked(pack(WHOLE), encoding, size=size, library=library)
    assert (record.status, record.characters, record.usage.output_tokens) == ("SUCCESS", 5, 3)


@pytest.mark.parametrize("encoding", ["identity", ""])
def test_no_encoding_is_one(encoding):
    assert asked(WHOLE, encoding).status == "SUCCESS"


def test_a_compressed_error_is_read():
    record = asked(gzip.compress(json.dumps({"error": {"message": "slow down"}}).encode()), "gzip", status=429)
    assert (record.outcome.status, record.outcome.message) == (429, "slow down")


def test_one_that_is_cut_is_truncated():
    assert asked(gzip.compress(WHOLE)[:60], "gzip").status == "TRUNCATED"


def test_what_follows_the_answer_is_not_unpacked():
    """It is broken, which would be an error."""
    packed = gzip.compress(WHOLE)
    record = asked(packed[:-8] + bytes(8), "gzip", size=len(packed) - 8)
    assert record.status == "SUCCESS"


@pytest.mark.parametrize(
    ("body", "encoding", "why"),
    [
        (WHOLE, "compress", "the body is encoded as 'compress', which cannot be unpacked here"),
        (WHOLE, "gzip, br", "the body is encoded as 'gzip, br', which cannot be unpacked here"),
        (WHOLE, "gzip", "the body is not what its encoding says (error)"),
    ],
)
def test_what_cannot_be_unpacked_leaves_a_record_that_says_so(body, encoding, why):
    record = asked(body, encoding)
    assert (record.outcome.detail, record.outcome.message) == ("content_encoding", why)
    assert (record.outcome.status, record.usage.output_tokens) == (200, None)


def test_a_package_that_is_missing_is_named(monkeypatch):
    def import_module(name):
        raise ImportError(name, name=name)

    monkeypatch.setattr(inflate, "import_module", import_module)
    assert asked(WHOLE, "br").outcome.message == "the body is encoded as 'br', and brotli is not installed"


def test_a_bomb_is_given_up():
    packed = gzip.compress(bytes(tap.UNPACKED_BYTES + 1))
    record = asked(packed, "gzip", size=len(packed))
    assert record.outcome.message == f"{len(packed)} bytes of the body unpack to more than {tap.UNPACKED_BYTES}"
    assert record.bytes <= tap.UNPACKED_BYTES
