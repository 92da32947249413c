"""What made-up answers are made of, whichever their wire form: words, phrases, the arguments of a call."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random

EVENTS = 2_000
SIDE_EVENTS = 60

_WORDS = (
    " the", " of", " and", " light", " scatters", " shorter", " wave", "lengths", ",", " sky", " blue", " air", ".",
    " molecules", " more", " than", " red", " by", " far", " which", " is", " why", " a", " clear", " day", " looks",
    " as", " it", " does", " —", " “", "Ray", "leigh", "”", " 4", "π", ".\n\n", "-", " **", "note", "**", " evening",
)  # fmt: skip


@dataclass(frozen=True)
class Transcript:
    """One answer: its events as bytes, the JSON in them, and the words that a reader must have seen."""

    wire: str
    events: tuple[bytes, ...]
    payloads: tuple[bytes, ...]
    text: str

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(self.events)


def words(rng: random.Random, number: int) -> list[str]:
    """Tokens, as most providers send them: one an event."""
    return rng.choices(_WORDS, k=number)


def phrases(rng: random.Random, number: int, length: int) -> list[str]:
    """Pieces of so many tokens each."""
    return ["".join(words(rng, length)) for _ in range(number)]


def arguments(rng: random.Random, number: int) -> list[str]:
    """A JSON object in so many fragments."""
    return ['{"query":"', *(word.replace("\n", " ") for word in words(rng, number - 2)), '"}']


def compact(value: dict[str, Any]) -> bytes:
    """JSON as most providers write it: without spaces, and UTF-8 as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
