"""Recorded answers, and what must hold of them however their bytes are cut."""

from __future__ import annotations

import base64
import random
from typing import TYPE_CHECKING, Any

import msgspec

from streamcore.events import Event, Extension, Finish, Start, Usage
from streamcore.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from streamcore.adapter import Adapter

__all__ = ["Recording", "check_cuts", "check_truncation", "cuts", "read"]

EVERY_CUT_UP_TO = 4096
"""Bytes of a body up to which every single cut is tried; of longer ones a seeded sample."""


class Recording(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer as it came over the wire, and what was asked for it; a JSON file. Holds no header but the type.

    `body` is the text, or `body_base64` where it is not UTF-8; `chunks` are the sizes of the network reads; `written`
    says that a person wrote it because the provider could not be recorded, and `note` what it shows.
    """

    adapter: str
    note: str = ""
    written: bool = False
    url: str = ""
    request: dict[str, Any] | None = None
    status: int = 200
    content_type: str = "text/event-stream"
    body: str = ""
    body_base64: str = ""
    chunks: list[int] = []

    @classmethod
    def load(cls, path: Path) -> Recording:
        """Read the file that `save` wrote."""
        return msgspec.json.decode(path.read_bytes(), type=cls)

    def save(self, path: Path) -> None:
        """Write it as indented JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")

    @property
    def data(self) -> bytes:
        """The body's bytes."""
        return base64.b64decode(self.body_base64) if self.body_base64 else self.body.encode()


def read(adapter: Adapter, chunks: Iterable[bytes]) -> list[Event]:
    """The events of a body that comes in these chunks and then ends."""
    reader = Reader(adapter)
    events: list[Event] = []
    for chunk in chunks:
        events += reader.feed(chunk)
    return events + reader.close()


def cuts(body: bytes, *, samples: int | None = 200, seed: int = 0) -> Iterator[list[bytes]]:
    """The ways to cut a body that have found mistakes before.

    Byte by byte; in two at every place (for more than 4 KiB: at `samples` random places, None for every one); and in
    many pieces of 1 to 50 bytes, twenty times.
    """
    rng = random.Random(seed)  # noqa: S311 - seeded, so that a failure comes again
    size = len(body)
    yield [body[at : at + 1] for at in range(size)]
    for at in _places(size, samples, rng):
        yield [body[:at], body[at:]]
    for _ in range(20):
        chunks: list[bytes] = []
        at = 0
        while at < size:
            step = rng.randint(1, 50)
            chunks.append(body[at : at + step])
            at += step
        yield chunks


def check_cuts(adapter: Adapter, body: bytes, *, samples: int | None = 200, seed: int = 0) -> list[Event]:
    """The body's events, after asserting that they are the same however it is cut.

    Raises:
        AssertionError: They are not; says for which chunks.
    """
    whole = read(adapter, [body])
    for chunks in cuts(body, samples=samples, seed=seed):
        events = read(adapter, chunks)
        if events != whole:
            pairs = zip(events, whole, strict=False)  # they differ in one: neither goes on after its last event
            at = next(number for number, pair in enumerate(pairs) if pair[0] != pair[1])
            lengths = [len(chunk) for chunk in chunks][:50]
            raise AssertionError(
                f"cut into {lengths}, event {at} is {events[at : at + 1]}, but in one piece it is {whole[at : at + 1]}"
            )
    return whole


def check_truncation(adapter: Adapter, body: bytes, *, samples: int | None = 200, seed: int = 0) -> None:
    """Assert that the body, ended early at any byte, is a `Failure` after a beginning of its events, or already whole.

    Whole means: the same `Finish`, and all before it but what may come after the end of the answer itself, which is its
    usage and extensions that belong to no block.

    Raises:
        AssertionError: It is neither; says for which length.
    """
    whole = read(adapter, [body])
    answer = _answer(whole)
    rng = random.Random(seed)  # noqa: S311 - seeded, so that a failure comes again
    for size in _places(len(body), samples, rng):
        events = read(adapter, [body[:size]])
        if isinstance(events[-1], Finish):
            good = _answer(events) == answer
        else:
            good = events[:-1] in ([Start()], whole[: len(events) - 1])  # the reader's own, if nothing came
        if not good:
            raise AssertionError(f"ended after {size} of {len(body)} bytes, the stream ends with {events[-2:]}")


def _answer(events: list[Event]) -> list[Event]:
    return [event for event in events if not isinstance(event, Usage | Extension) or _of_a_block(event)]


def _of_a_block(event: Usage | Extension) -> bool:
    return isinstance(event, Extension) and event.index is not None


def _places(size: int, samples: int | None, rng: random.Random) -> Iterable[int]:
    everywhere = range(size)
    if samples is None or size <= EVERY_CUT_UP_TO or size <= samples:
        return everywhere
    return sorted(rng.sample(everywhere, samples))
