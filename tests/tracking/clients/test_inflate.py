"""Compressed bodies, unpacked in small pieces."""

from __future__ import annotations

import gzip
import random
import zlib

import pytest

from streamcore.tracking.clients import inflate
from streamcore.tracking.clients.inflate import PIECE, unpacker

BODY = random.Random(7).randbytes(100_000) + b"data: {}\n\n" * 30_000


def bare(data):
    packing = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packing.compress(data) + packing.flush()


def brotli(data):
    return pytest.importorskip("brotli").compress(data)


def zstd(data):
    return inflate._zstandard().compress(data)


PACKED = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", bare),
    ("br", brotli),
    ("zstd", zstd),
    (" GZIP ", gzip.compress),
]


def unpacked(encoding, data, size):
    found = unpacker(encoding)
    return [piece for at in range(0, len(data), size) for piece in found.feed(data[at : at + size])]


@pytest.mark.parametrize(("encoding", "pack"), PACKED)
@pytest.mark.parametrize("size", [5, 4096, 10_000_000])
def test_what_was_packed_comes_out_however_it_is_cut(encoding, pack, size):
    body = BODY if size > 5 else BODY[:3000]
    assert b"".join(unpacked(encoding, pack(body), size)) == body


@pytest.mark.parametrize(("encoding", "pack"), PACKED)
def test_a_bomb_comes_out_in_small_pieces(encoding, pack):
    pieces = unpacked(encoding, pack(bytes(50_000_000)), 10_000_000)
    assert sum(map(len, pieces)) == 50_000_000
    assert max(map(len, pieces)) <= 2 * PIECE


@pytest.mark.parametrize(("encoding", "pack"), PACKED)
def test_what_follows_its_end_is_nothing(encoding, pack):
    found = unpacker(encoding)
    assert b"".join(found.feed(pack(b"Hello"))) == b"Hello"
    if encoding != "br":
        assert b"".join(found.feed(b"more")) == b""


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_what_is_packed_otherwise_raises(encoding):
    with pytest.raises(Exception, match=".+"):
        unpacked(encoding, b"data: {}\n\n" * 100, 1000)


def test_a_fault_in_the_middle_of_deflate_is_not_taken_for_another_kind_of_it():
    found = unpacker("deflate")
    data = zlib.compress(BODY[:3000])
    list(found.feed(data[:1000]))
    with pytest.raises(zlib.error):
        list(found.feed(data[1000:-4] + bytes(4)))


def test_an_encoding_that_nobody_knows_cannot_be_unpacked():
    assert unpacker("compress") is None


@pytest.mark.parametrize("encoding", ["br", "zstd"])
def test_a_package_that_is_missing_is_named(encoding, monkeypatch):
    def import_module(name):
        raise ImportError(name, name=name)

    monkeypatch.setattr(inflate, "import_module", import_module)
    with pytest.raises(ImportError) as raised:
        unpacker(encoding)
    assert raised.value.name in {"brotli", "backports.zstd"}
