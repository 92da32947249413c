"""What a stream has said, counted while it passes: for those who observe it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .events import ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta, is_content

if TYPE_CHECKING:
    from .events import Event

__all__ = ["Tally"]


class Tally:
    """How many `characters` came, when the first word of the answer did, and when the last content; by the caller's clock."""

    __slots__ = ("characters", "first_text", "last_content")

    def __init__(self) -> None:
        self.characters = 0
        self.first_text: float | None = None
        self.last_content: float | None = None

    def count(self, events: list[Event], now: float) -> None:
        """These came now."""
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
