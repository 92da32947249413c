"""What is said in one body: an answer for a client that does not stream, and a failure before the stream has begun."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from streamcore.events import Failure, Start, Usage
from streamcore.request import ExtensionPart, File, Image, ReasoningPart, RefusalPart, Text, ToolCall
from streamcore.serving import STATUSES, one_line
from streamcore.wire import present

from .server_answer import Answer
from .server_chunk import Part, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgspec import Raw

    from streamcore.dialect import Call
    from streamcore.events import FailureKind
    from streamcore.message import Fold

__all__ = ["error", "render"]

_WORDS: Final[Mapping[FailureKind, str]] = {
    "invalid": "INVALID_ARGUMENT",
    "auth": "UNAUTHENTICATED",
    "permission": "PERMISSION_DENIED",
    "not_found": "NOT_FOUND",
    "rate_limit": "RESOURCE_EXHAUSTED",
    "quota": "RESOURCE_EXHAUSTED",
    "cancelled": "CANCELLED",
    "overloaded": "UNAVAILABLE",
    "timeout": "DEADLINE_EXCEEDED",
}
_RPC: Final = "type.googleapis.com/google.rpc."


def render(fold: Fold, call: Call) -> bytes:
    """The whole answer as one body; what has gone wrong as an error, as far as a body can say it."""
    outcome = fold.outcome
    if isinstance(outcome, Failure):
        return error(outcome)[1]
    answer = Answer(call.id, call.request.model)
    answer.start(Start(fold.id, fold.model))
    answer.count(fold.usage or Usage())
    for extension in fold.extensions:
        provider, _, word = extension.name.partition(":")
        raw = one_line(extension.raw) if provider == "gemini" else None
        if raw is not None:
            answer.keep(word, raw)
    parts = _parts(fold, answer)
    return encode(answer.last(outcome, parts or [Part("")]))


def _parts(fold: Fold, answer: Answer) -> list[Part | Raw]:
    """The parts of a whole answer, each with its signature; and its sources, found again by what they were sent as."""
    parts: list[Part | Raw] = []
    groups = [tuple(group) for _, group in groupby(fold.citations, lambda citation: citation.index)]
    size = 0
    for part in fold.message.parts:
        own = answer.own(part.opaque)
        signature = own.thought_signature
        if isinstance(part, Text | RefusalPart):
            if part.text or signature is not None:
                parts.append(Part(part.text, thought_signature=signature))
            raws = part.citations if isinstance(part, Text) else ()
            for group in groups:
                if raws and raws == tuple(citation.raw for citation in group if citation.raw is not None):
                    answer.cite(group, part.text, size)
                    groups.remove(group)
                    break
            size += len(part.text.encode())
        elif isinstance(part, ReasoningPart):
            if part.text or signature is not None:
                parts.append(Part(part.text, thought=True, thought_signature=signature))
        elif isinstance(part, ToolCall):
            parts += answer.call(part.id, part.name, part.arguments, own)
        elif isinstance(part, Image | File):
            parts.append(answer.media(part.media_type, part.data, part.url, own))
        elif isinstance(part, ExtensionPart) and part.name.startswith("gemini:"):
            raw = one_line(part.raw)
            if raw is not None and bytes(raw).lstrip().startswith(b"{"):
                parts.append(raw)
    return parts


def error(failure: Failure) -> tuple[int, bytes]:
    """The HTTP status and Google's error object. What is not the client's doing is a bad gateway."""
    code, status = STATUSES[failure.kind], _WORDS.get(failure.kind, "INTERNAL")
    words = [failure.code, "INSUFFICIENT_QUOTA" if failure.kind == "quota" else None]
    details = [{"@type": f"{_RPC}ErrorInfo", "reason": word} for word in words if word not in {None, status}]
    if failure.retry_after is not None:
        seconds = f"{failure.retry_after:.3f}".rstrip("0").rstrip(".")
        details.append({"@type": f"{_RPC}RetryInfo", "retryDelay": f"{seconds}s"})
    said = {"code": code, "message": failure.message, "status": status, "details": details or None}
    return code, encode({"error": present(said)})
