"""Unpacks a compressed body on the side, in small pieces, however much one chunk of it may hold.

The client that asked for the compression unpacks it itself; what is done here is for the eyes of a tap alone. gzip and
deflate are Python's own; br and zstd take the same packages as in httpx2, and where those are missing no client asks for
either.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["PIECE", "Unpacker", "unpacker"]

PIECE: Final = 64 * 1024  # bytes that are unpacked at once


class Unpacker(Protocol):
    """Unpacks one body."""

    def feed(self, data: bytes, /) -> Iterator[bytes]:
        """What these bytes hold, in pieces of about `PIECE` bytes.

        Raises:
            Exception: They are not packed like this; of whatever kind the library has for it.
        """
        ...


def unpacker(encoding: str) -> Unpacker | None:
    """For a value of the header `content-encoding`; None for one that cannot be unpacked here.

    Raises:
        ImportError: It could be, with a package that is not installed.
    """
    make = _UNPACKERS.get(encoding.strip().lower())
    return None if make is None else make()


class _Zlib:
    """gzip, and deflate: which ought to have zlib's header, and from some servers has none."""

    def __init__(self, *, gzip: bool) -> None:
        self._unpack = zlib.decompressobj(zlib.MAX_WBITS | 16 if gzip else zlib.MAX_WBITS)
        self._may_be_bare = not gzip

    def feed(self, data: bytes, /) -> Iterator[bytes]:
        if self._unpack.eof:
            return
        try:
            piece = self._unpack.decompress(data, PIECE)
        except zlib.error:
            if not self._may_be_bare:
                raise
            self._unpack = zlib.decompressobj(-zlib.MAX_WBITS)
            piece = self._unpack.decompress(data, PIECE)
        self._may_be_bare = False
        while piece:
            yield piece
            piece = self._unpack.decompress(self._unpack.unconsumed_tail, PIECE)


class _Brotli:
    def __init__(self) -> None:
        self._unpack: Any = import_module("brotli").Decompressor()

    def feed(self, data: bytes, /) -> Iterator[bytes]:
        piece: bytes = self._unpack.process(data, output_buffer_limit=PIECE)
        while piece:
            yield piece
            piece = self._unpack.process(b"", output_buffer_limit=PIECE)


class _Zstandard:
    def __init__(self) -> None:
        self._unpack: Any = _zstandard().ZstdDecompressor()

    def feed(self, data: bytes, /) -> Iterator[bytes]:
        piece: bytes = b"" if self._unpack.eof else self._unpack.decompress(data, PIECE)
        while piece:
            yield piece
            piece = b"" if self._unpack.eof else self._unpack.decompress(b"", PIECE)


def _zstandard() -> Any:
    try:
        return import_module("compression.zstd")  # Python 3.14
    except ImportError:
        return import_module("backports.zstd")


_UNPACKERS: Final[dict[str, Callable[[], Unpacker]]] = {
    "gzip": lambda: _Zlib(gzip=True),
    "x-gzip": lambda: _Zlib(gzip=True),
    "deflate": lambda: _Zlib(gzip=False),
    "br": _Brotli,
    "zstd": _Zstandard,
}
