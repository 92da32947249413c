"""Plain text: the words of an answer as they come, for `curl`, a terminal or a log. Written only: nobody asks in it.

Texts and refusals are the words, one after the other; all else has no place. So the one way to say how an answer ended is
how its body ends: an error in words would be taken for words of the answer, and `feed` writes nothing for a `Failure`.
Whoever serves this format ends the body of a `Finish` as HTTP ends one, in chunks with the last chunk, and after a
`Failure` breaks the connection without it. A client then knows by its own error ("incomplete read", curl's code 18)
that the answer is not whole; a body delimited by nothing but the connection's end cannot say so, and must not be used.
A failure before the first word is an HTTP status, with the message as its body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamcore.errors import LocalError
from streamcore.events import BlockEnd, Failure, Finish, RefusalDelta, Start, TextDelta
from streamcore.serving import STATUSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.dialect import Call
    from streamcore.events import Event
    from streamcore.message import Fold

__all__ = ["Encoder", "content_type", "error", "keep_alive", "losses", "parse", "path", "render"]

path: Final = ""
content_type: Final = "text/plain; charset=utf-8"
keep_alive: Final = b""
losses: Final[Mapping[str, str]] = {
    "Start": "words alone are written, not who answers",
    "ReasoningDelta": "reasoning is not the answer",
    "ToolCallStart": "a call is not words",
    "ToolCallDelta": "a call is not words",
    "Citation": "a source is not words of the answer",
    "Attachment": "a file is not words",
    "Extension": "only its provider understands it",
    "BlockEnd.opaque": "nothing comes back that it could go with",
    "Usage": "numbers would be taken for the answer",
    "Finish.reason": "every good end looks the same",
    "Failure": "the body breaks off, and nothing says why",
}
_STATUSES: Final = {**STATUSES, "quota": 402}


def parse(body: bytes, matched: Mapping[str, str], /) -> Call:  # noqa: ARG001 - it does not matter what they are
    """Nobody asks in this format.

    Raises:
        LocalError: Always.
    """
    raise LocalError("plain text is a format of answers: nobody can ask in it")


class Encoder:
    """The words of one answer. `lost` counts what was none."""

    __slots__ = ("lost",)

    def __init__(self, call: Call) -> None:
        del call  # nothing that could be asked for changes words
        self.lost: dict[str, int] = {}

    def feed(self, event: Event, /) -> bytes:
        """The words that this event adds; b"" if it adds none."""
        if isinstance(event, TextDelta | RefusalDelta):
            return event.text.encode()
        name = _lost(event)
        if name:
            self.lost[name] = self.lost.get(name, 0) + 1
        return b""


def _lost(event: Event) -> str:
    """What is lost of an event that is not words; "" for nothing."""
    if isinstance(event, BlockEnd):
        return "" if event.opaque is None else "BlockEnd.opaque"
    if isinstance(event, Finish):
        return "" if event.reason == "stop" else "Finish.reason"
    if event == Start():
        return ""
    return type(event).__name__


def render(fold: Fold, call: Call) -> bytes:
    """The words of a whole answer, those of a refusal last."""
    del call
    return (fold.text + fold.refusal).encode()


def error(failure: Failure) -> tuple[int, bytes]:
    """The HTTP status and the body that say a failure before the first word."""
    return _STATUSES[failure.kind], f"{failure.message or failure.kind}\n".encode()
