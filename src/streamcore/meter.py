"""What one stream is like, measured while it passes: by the clock of whoever reads it, in seconds.

Whoever reads says when it asked and what came (`came`), so the same meter serves a stream that is pulled and a body that
is only listened to. It never looks at a clock itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from .events import ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta, is_content
from .upstream import Statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .events import Event
    from .upstream import Attempt

__all__ = ["Meter"]


class Meter:
    """What happened when, and how much of it. Times are absolute, and None for what has not happened.

    `opened` is when the stream was asked for, `concluded` when its outcome was known, `ended` when it was over for its
    reader (0.0: not yet). `waited` is how long the reader waited for the provider, `gap` the longest such wait since there
    was content. Only if it `counts` does it look at every event: for `characters`, `first_text` and `last_content`.
    """

    __slots__ = (
        "characters",
        "concluded",
        "counts",
        "ended",
        "events",
        "first_byte",
        "first_content",
        "first_text",
        "gap",
        "headers",
        "last_content",
        "opened",
        "waited",
    )

    def __init__(self, *, counts: bool = False) -> None:
        self.counts = counts
        self.opened = self.ended = self.waited = self.gap = 0.0
        self.headers: float | None = None
        self.first_byte: float | None = None
        self.first_content: float | None = None
        self.first_text: float | None = None
        self.last_content: float | None = None
        self.concluded: float | None = None
        self.characters = 0
        self.events = 0

    def answered(self, events: Sequence[Event], now: float) -> bool:
        """The headers came, and perhaps events with them, which are not counted yet. Whether content begins here."""
        self.headers = now
        self.waited = now - self.opened
        if self.counts:
            self._count(events, now)
        return self._begins(events, now)

    def came(self, events: Sequence[Event], asked: float, now: float) -> bool:
        """These came to a reader that had waited since it `asked`. Whether content begins here."""
        waited = now - asked
        self.waited += waited
        self.events += len(events)
        if self.counts:
            self._count(events, now)
        begins = False
        if self.first_content is None:
            begins = self._begins(events, now)
        elif waited > self.gap:
            self.gap = waited
        return begins

    def _begins(self, events: Sequence[Event], now: float) -> bool:
        begins = any(map(is_content, events))
        if begins:
            self.first_content = now
        return begins

    def _count(self, events: Sequence[Event], now: float) -> None:
        characters = 0
        content = False
        for event in events:
            if type(event) is TextDelta:  # nearly always
                characters += len(event.text)
            elif is_content(event):
                content = True
                if isinstance(event, ReasoningDelta | RefusalDelta):
                    self.characters += len(event.text)
                elif isinstance(event, ToolCallDelta):
                    self.characters += len(event.arguments)
        if characters:
            self.characters += characters
            self.last_content = now
            if self.first_text is None:
                self.first_text = now
        elif content:
            self.last_content = now

    def timed(self, attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
        """The attempts with their times; one that nobody else has timed is what this meter measured."""
        times = {
            "began": self.opened,
            "headers": self.headers,
            "first_byte": self.first_byte,
            "ended": self.concluded,
        }
        return tuple(each if each.began is not None else structs.replace(each, **times) for each in attempts)

    def statistics(self, now: float, received: int, attempts: tuple[Attempt, ...]) -> Statistics:
        """What it has been like until now, or altogether if it has ended: so many bytes, and these attempts, with times."""
        elapsed = (self.ended or now) - self.opened
        answer = next((attempt for attempt in attempts if attempt.chosen), None)
        return Statistics(
            bytes=received,
            events=self.events,
            elapsed=elapsed,
            provider_wait=self.waited,
            consumer_wait=max(elapsed - self.waited, 0.0),
            first_content=self._since(self.first_content),
            largest_gap=self.gap or None,
            sent=self._since(attempts[0].began) if attempts else None,
            headers=None if answer is None else self._since(answer.headers),
            first_byte=None if answer is None else self._since(answer.first_byte),
            first_text=self._since(self.first_text),
            last_content=self._since(self.last_content),
            characters=self.characters if self.counts else None,
        )

    def _since(self, time: float | None) -> float | None:
        """How long after the opening; None if not at all, or before that: readers of a tee come when all has begun."""
        return None if time is None or time < self.opened else time - self.opened
