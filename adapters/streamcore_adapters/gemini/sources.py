"""Sources of an answer from Gemini, put on the blocks of text that they are about.

Grounding says which segment of the answer rests on which pages; citations say which segment repeats a known text. Both
count bytes of the answer in UTF-8, all its text together as far as was ever recorded, though the documentation says
within a part; where a segment comes with its text, that decides. Citations may reach beyond the text that has come.
So all wait until their block ends. A segment that is in no block (any more) leaves no `Citation`; it is in the extension
that the decoder makes of the whole.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from msgspec import Raw, Struct

from streamcore.events import Citation
from streamcore.wire import opaque

from .chunk import raw_text

__all__ = ["Sources"]


class _Page(Struct, gc=False, rename="camel"):
    uri: str | None = None
    title: str | None = None
    text: str | None = None
    source_uri: str | None = None


class _Chunk(Struct, gc=False, rename="camel"):
    web: _Page | None = None
    retrieved_context: _Page | None = None
    maps: _Page | None = None
    image: _Page | None = None

    def page(self) -> _Page:
        """The one of these that it is."""
        return self.web or self.retrieved_context or self.maps or self.image or _Page()


class _Segment(Struct, gc=False, rename="camel"):
    start_index: int | None = None
    end_index: int | None = None
    text: str | None = None


class _Support(Struct, gc=False, rename="camel"):
    segment: _Segment | None = None
    grounding_chunk_indices: list[int] | None = None


class _Grounding(Struct, gc=False, rename="camel"):
    grounding_chunks: list[_Chunk] | None = None
    grounding_supports: list[Raw] | None = None


class _Citation(Struct, gc=False, rename="camel"):
    start_index: int | None = None
    end_index: int | None = None
    uri: str | None = None
    title: str | None = None


class _Citations(Struct, gc=False, rename="camel"):
    citations: list[Raw] | None = None
    citation_sources: list[Raw] | None = None


class _Claim(Struct, gc=False):
    """Sources of one segment of the answer, whose own words are given or not."""

    start: int
    end: int
    words: str | None
    pages: list[_Page]
    raw: str


class Sources:
    """All that the answer rests on, as it becomes known."""

    __slots__ = ("_before", "_citations", "_cited", "_supports")

    def __init__(self) -> None:
        self._before = 0  # bytes of text in the blocks that have ended
        self._supports: dict[object, _Claim] = {}  # not yet put anywhere
        self._citations: dict[object, _Claim] = {}
        self._cited: set[object] = set()

    def ground(self, metadata: str) -> None:
        """Take a `groundingMetadata`, which replaces the one before."""
        grounding = opaque(metadata, _Grounding) or _Grounding()
        chunks = grounding.grounding_chunks or []
        self._supports = {}
        for raw in map(raw_text, grounding.grounding_supports or ()):
            support = opaque(raw, _Support) or _Support()
            segment = support.segment or _Segment()
            pages = [chunks[n].page() for n in support.grounding_chunk_indices or () if 0 <= n < len(chunks)]
            if raw not in self._cited:
                claim = _Claim(segment.start_index or 0, segment.end_index or 0, segment.text, pages or [_Page()], raw)
                self._supports[raw] = claim

    def cite(self, metadata: str) -> None:
        """Take a `citationMetadata`, which adds to those before; one whose end has grown replaces itself."""
        citations = opaque(metadata, _Citations) or _Citations()
        for raw in map(raw_text, citations.citations or citations.citation_sources or ()):
            source = opaque(raw, _Citation)
            if source is not None and (key := (source.start_index, source.uri, source.title)) not in self._cited:
                page = _Page(source.uri or None, source.title or None)
                self._citations[key] = _Claim(source.start_index or 0, source.end_index or 0, None, [page], raw)

    def of(self, index: int, text: str, *, last: bool) -> list[Citation]:
        """The sources of block `index`, which ends. The last block also gets the citations that are in none."""
        before = self._before
        self._before += len(text.encode())
        if not self._supports and not self._citations:
            return []
        found: list[Citation] = []
        place = _Places(text, before)
        for claims, anywhere in ((self._supports, False), (self._citations, last)):
            for key, claim in [*claims.items()]:
                where = place(claim)
                if where is None and not anywhere:
                    continue
                self._cited.add(key)
                del claims[key]
                start, end = where or (None, None)
                for page in claim.pages:
                    address = page.uri or page.source_uri
                    found.append(Citation(index, address, page.title, page.text, start, end, claim.raw))
        return found


class _Places:
    """Where segments that are given in bytes of the answer lie in one block, in characters."""

    def __init__(self, text: str, before: int) -> None:
        self._text = text
        self._before = before
        self._starts = [0, *accumulate(len(character.encode()) for character in text)]

    def __call__(self, claim: _Claim) -> tuple[int, int] | None:
        """From and to which character of the block; None if the segment is not in it."""
        for before in (self._before,) if claim.words is None else (self._before, 0):
            first, last = claim.start - before, claim.end - before
            if 0 <= first < last <= self._starts[-1]:
                place = bisect_left(self._starts, first), bisect_left(self._starts, last)
                if claim.words in {None, self._text[place[0] : place[1]]}:
                    return place
        return None
