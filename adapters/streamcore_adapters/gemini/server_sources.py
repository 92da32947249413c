"""Sources of an answer, from whatever provider, as Gemini's `groundingMetadata`.

Every source is a chunk, every claim that it supports a segment of the answer: bytes of all its text, as `sources` reads
them, with its words, which settle what is meant. A source without a place of its own supports the whole of its block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw, Struct

if TYPE_CHECKING:
    from streamcore.events import Citation

__all__ = ["Grounding"]


class _Page(Struct, gc=False, frozen=True, omit_defaults=True):
    uri: str | None = None
    title: str | None = None
    text: str | None = None


class _Chunk(Struct, gc=False, frozen=True, omit_defaults=True, rename="camel"):
    web: _Page | None = None
    retrieved_context: _Page | None = None


class _Segment(Struct, gc=False, rename="camel"):
    start_index: int
    end_index: int
    text: str


class _Support(Struct, gc=False, rename="camel"):
    segment: _Segment
    grounding_chunk_indices: list[int]


class _Metadata(Struct, gc=False, rename="camel"):
    grounding_chunks: list[_Chunk]
    grounding_supports: list[_Support]


class Grounding:
    """The sources so far."""

    __slots__ = ("_chunks", "_supports")

    def __init__(self) -> None:
        self._chunks: dict[_Chunk, int] = {}  # and the number of each
        self._supports: list[_Support] = []

    def add(self, citation: Citation, text: str, before: int) -> bool:
        """Take a source of a block whose text this is, `before` bytes into the answer. The text is not empty.

        Whether it had a place of its own in it; without one it stands for the whole.
        """
        start, end = citation.start, citation.end
        placed = start is not None and end is not None and 0 <= start < end <= len(text)
        if start is None or end is None or not placed:
            start, end = 0, len(text)
        page = _Page(citation.url, citation.title, citation.text)
        chunk = _Chunk(web=page) if citation.text is None else _Chunk(retrieved_context=page)
        number = self._chunks.setdefault(chunk, len(self._chunks))
        first = before + len(text[:start].encode())
        words = text[start:end]
        self._supports.append(_Support(_Segment(first, first + len(words.encode()), words), [number]))
        return placed

    def metadata(self) -> Raw | None:
        """All of it as JSON; None if there is nothing."""
        if not self._supports:
            return None
        return Raw(msgspec.json.encode(_Metadata([*self._chunks], self._supports)))
