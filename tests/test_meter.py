"""What a stream is like, measured."""

from __future__ import annotations

import pytest

import streamcore as sc
from streamcore.meter import Meter


def said(*batches):
    """Each batch a second after the last."""
    found = Meter(counts=True)
    for now, events in enumerate(batches):
        found.came(events, float(now), float(now))
    return found.characters, found.first_text, found.last_content


def test_words_reasoning_refusals_and_arguments_are_counted():
    events = [
        sc.TextDelta(0, "a"),
        sc.ReasoningDelta(1, "bc"),
        sc.events.RefusalDelta(2, "def"),
        sc.ToolCallStart(3, "id", "name"),
        sc.ToolCallDelta(3, "{}  "),
    ]
    assert said(events) == (10, 0.0, 0.0)
    assert said(*[[event] for event in events]) == (10, 0.0, 4.0)


def test_only_the_answers_words_are_the_first_text():
    assert said([sc.ReasoningDelta(0, "a")], [sc.TextDelta(1, "b")], [sc.TextDelta(1, "c")]) == (3, 1.0, 2.0)
    assert said([sc.Start(), sc.TextDelta(0, "a")], [sc.BlockEnd(0), sc.TextDelta(1, "b")]) == (2, 0.0, 1.0)


@pytest.mark.parametrize(
    "event",
    [sc.Start(), sc.TextDelta(0, ""), sc.Usage(), sc.BlockEnd(0), sc.Finish("stop")],
    ids=lambda e: type(e).__name__,
)
def test_what_is_no_content_says_nothing(event):
    assert said([event], [event, event]) == (0, None, None)


def test_what_has_no_text_is_content_all_the_same():
    assert said([sc.Attachment(0, "image/png", b"1")]) == (0, None, 0.0)
