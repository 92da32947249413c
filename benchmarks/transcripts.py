"""The made-up answers, and the ways in which they arrive. The same in every run."""

from __future__ import annotations

import random
from functools import cache
from typing import TYPE_CHECKING

from .wires import WIRES, image
from .words import Transcript

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CHUNKINGS", "WIRES", "Transcript", "image", "pieces", "splits", "transcript"]


@cache
def transcript(wire: str) -> Transcript:
    """The answer in the form of one adapter."""
    return WIRES[wire](random.Random(wire))


def pieces(body: bytes, size: int) -> list[bytes]:
    """The body in chunks of so many bytes."""
    return [body[at : at + size] for at in range(0, len(body), size)]


def splits(body: bytes, low: int, high: int) -> list[bytes]:
    """The body in chunks of random sizes from `low` to `high`."""
    rng = random.Random(len(body))
    chunks = []
    at = 0
    while at < len(body):
        size = rng.randint(low, high)
        chunks.append(body[at : at + size])
        at += size
    return chunks


CHUNKINGS: dict[str, Callable[[Transcript], list[bytes]]] = {
    "one event": lambda transcript: list(transcript.events),
    "4 KiB": lambda transcript: pieces(transcript.body, 4 * 1024),
    "64 KiB": lambda transcript: pieces(transcript.body, 64 * 1024),
    "7-50 B": lambda transcript: splits(transcript.body, 7, 50),
}
"""What one read of the network gives."""
