"""What a failure quotes, of the answer or of the request, and a record does not repeat.

Providers quote the request in the errors that refuse it. The words around a quotation say what was wrong, and stay.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import structs

from streamcore.events import Failure

from .counting import parts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from streamcore.events import Finish
    from streamcore.request import Request

__all__ = ["discreet"]

PIECE: Final = 16  # characters that are a quotation: fewer are a phrase, or the name of a field
STEP: Final = 4  # characters of the request between the pieces that are looked for: of 19 that are quoted one is found
READ: Final = 512 * 1024  # characters of the request in which they are looked for, while a stream waits: some 20 ms

_BEGINS: Final = re.compile(r"[;,] (it|the body) begins .*", re.DOTALL)  # what `failures.shown` showed: of the answer


def discreet(outcome: Finish | Failure | None, request: Request | None) -> Finish | Failure | None:
    """The outcome without what it quotes."""
    if not isinstance(outcome, Failure):
        return outcome
    message = _BEGINS.sub("", outcome.message)
    if request is not None:
        message = _unquoted(message, _texts(request))
    return outcome if message == outcome.message else structs.replace(outcome, message=message)


def _texts(request: Request) -> Iterator[str]:
    """Whatever of a request may be quoted, the last first: the beginning is what is left out of one that is too long."""
    left = READ
    for part in reversed(list(parts_of(request))):
        for name in ("text", "arguments", "content", "raw", "url"):
            text = getattr(part, name, None)
            if isinstance(text, str):
                yield text[:left]
                left -= min(len(text), left)


def _unquoted(message: str, texts: Iterable[str]) -> str:
    """The message with an ellipsis for each piece of these texts."""
    places: dict[str, list[int]] = {}
    for place in range(len(message) - PIECE + 1):
        places.setdefault(message[place : place + PIECE], []).append(place)
    quoted = bytearray(len(message))
    for text in texts if places else ():
        for at in range(0, len(text) - PIECE + 1, STEP):
            for place in places.get(text[at : at + PIECE], ()):
                if not quoted[place]:
                    start, end = _grown(message, place, text, at)
                    quoted[start:end] = b"\x01" * (end - start)
    kept = (piece.span() for piece in re.finditer(rb"\x00+|\x01+", quoted))
    return "".join("…" if quoted[start] else message[start:end] for start, end in kept)


def _grown(message: str, place: int, text: str, at: int) -> tuple[int, int]:
    """How far the message repeats the text, around a piece that stands at these places of both."""
    start, before = place, at
    while start and before and message[start - 1] == text[before - 1]:
        start, before = start - 1, before - 1
    end, after = place + PIECE, at + PIECE
    while message[end : end + 1] == text[after : after + 1] != "":
        end, after = end + 1, after + 1
    return start, end
