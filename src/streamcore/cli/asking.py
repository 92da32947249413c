"""One question to a model: what comes is shown, added up and timed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec import Struct

from streamcore.errors import StreamFailed
from streamcore.events import (
    Attachment,
    BlockEnd,
    Citation,
    Delta,
    Event,
    Extension,
    Failure,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from streamcore.message import Fold

from .terminal import one_line

if TYPE_CHECKING:
    from streamcore.endpoint import Model
    from streamcore.request import Request

    from .terminal import Terminal

__all__ = ["Answer", "ask", "close", "show", "show_below", "tokens"]


class Answer(Struct, frozen=True):
    """What came of a question. Times are seconds from the moment it was sent."""

    fold: Fold
    outcome: Finish | Failure
    usage: Usage | None
    first: float | None
    seconds: float


async def ask(model: Model, request: Request, terminal: Terminal, *, quiet: bool = False) -> Answer:
    """Ask, and show the answer as it comes, unless `quiet`. A stream that fails is an answer too.

    Raises:
        LocalError: The request cannot be written for this provider.
    """
    stream = model.stream(request)
    for warning in stream.warnings:
        terminal.warning(f"{warning.field}: {warning.message}")
    fold = Fold()
    first: float | None = None
    began = time.perf_counter()
    outcome: Finish | Failure | None
    try:
        async with stream:
            while events := await stream.read():
                if first is None and any(isinstance(event, Delta) for event in events):
                    first = time.perf_counter() - began
                fold.feed(events)
                for event in () if quiet else events:
                    show(event, terminal)
            outcome, seconds = stream.outcome, time.perf_counter() - began
    except StreamFailed as error:
        outcome, seconds = error.failure, time.perf_counter() - began
    assert outcome is not None
    if not quiet:
        show_below(fold, terminal)
    return Answer(fold, outcome, stream.usage, first, seconds)


def show(event: Event, terminal: Terminal) -> None:
    """Show an event as soon as it is there: the answer as it is, all else dimmed."""
    match event:
        case TextDelta(text=text) | RefusalDelta(text=text):
            terminal.answer(text)
        case ReasoningDelta(text=text):
            terminal.note(text)
        case ToolCallStart(name=name):
            terminal.note(f"→ {name} ", line=True)
        case ToolCallDelta(arguments=arguments):
            terminal.note(arguments)
        case _:
            _say_nothing(event)


def _say_nothing(event: Start | Citation | Attachment | Extension | BlockEnd | Usage | Finish | Failure) -> None:
    """Not words, or shown below the answer. They are listed, so that a new kind of event cannot pass unseen."""


def show_below(fold: Fold, terminal: Terminal) -> None:
    """Show what would tear an answer apart: each source once, and what was generated besides words."""
    sources = (" · ".join(filter(None, (cited.title, cited.url))) or cited.text for cited in fold.citations)
    files = (f"{made.media_type}, {made.url or f'{len(made.data or bytes())} bytes'}" for made in fold.attachments)
    for line in (*dict.fromkeys(filter(None, sources)), *files):
        terminal.note(f"[{one_line(line)}]", line=True)


def close(answer: Answer, terminal: Terminal) -> int:
    """Show how an answer ended and what it took; the command's exit status."""
    outcome, used = answer.outcome, tokens(answer.usage)
    if isinstance(outcome, Failure):
        terminal.error(f"{StreamFailed(outcome)}{f' · {used}' if answer.usage else ''}")
        return 1
    reason = f"other ({outcome.raw})" if outcome.reason == "other" else outcome.reason
    terminal.status(f"{reason} · {used} · {answer.seconds:.2f} s")
    return 0


def tokens(usage: Usage | None) -> str:
    """Usage in words. What the provider did not say is a question mark, not a zero."""
    if usage is None:
        return "tokens unknown"
    cached = f" ({usage.cache_read_tokens} cached)" if usage.cache_read_tokens else ""
    thought = f" ({usage.reasoning_tokens} reasoning)" if usage.reasoning_tokens else ""
    return f"{_number(usage.input_tokens)} input{cached}, {_number(usage.output_tokens)} output{thought} tokens"


def _number(value: int | None) -> str:
    return "?" if value is None else str(value)
