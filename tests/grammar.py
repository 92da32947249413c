"""The grammar of a stream, checked event by event; written apart from the reader that guarantees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamcore.events import (
    Attachment,
    BlockEnd,
    Citation,
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamcore.events import Event

OPENS = {
    TextDelta: "text",
    Citation: "text",
    ReasoningDelta: "reasoning",
    RefusalDelta: "refusal",
    ToolCallStart: "tool call",
    Attachment: "attachment",
    Extension: "extension",
}
CONTINUES = {**OPENS, ToolCallDelta: "tool call"}
del CONTINUES[ToolCallStart]


def check(events: Sequence[Event]) -> None:
    """Assert that these are the events of one whole stream.

    Raises:
        AssertionError: Says which event is out of place.
    """
    assert events, "a stream has a first event"
    assert type(events[0]) is Start, f"a stream begins with Start, not {events[0]}"
    assert isinstance(events[-1], Finish | Failure), f"a stream ends in Finish or Failure, not {events[-1]}"
    blocks: list[str] = []
    ended: set[int] = set()
    for number, event in enumerate(events[1:-1], 1):
        where = f"event {number}, {event}"
        assert not isinstance(event, Start | Finish | Failure), f"{where}: there is one at the edge already"
        if isinstance(event, Usage) or event.index is None:
            continue
        index = event.index
        if index == len(blocks):
            assert type(event) in OPENS, f"{where}: does not open a block"
            blocks.append(OPENS[type(event)])
            continue
        assert 0 <= index < len(blocks), f"{where}: the next block is {len(blocks)}"
        assert index not in ended, f"{where}: the block has ended"
        if isinstance(event, BlockEnd):
            ended.add(index)
        elif not isinstance(event, Citation | Extension):
            assert CONTINUES.get(type(event)) == blocks[index], f"{where}: the block is {blocks[index]}"
    if isinstance(events[-1], Finish):
        assert len(ended) == len(blocks), f"open at Finish: {set(range(len(blocks))) - ended}"
