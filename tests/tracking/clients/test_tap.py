"""A tap measures what it hears by the clock, and passes for a stream."""

from __future__ import annotations

import pytest

import streamcore as sc
from ledgers import Book
from streamcore.redaction import NO_SECRETS
from streamcore.tracking.clients import tap as module
from streamcore.tracking.clients.tap import Tap
from streamcore.tracking.counting import Characters
from streamcore.tracking.prices import Prices
from streamcore.tracking.record import Context
from streamcore.tracking.track import Desk, Recorder

ROLE = b'data: {"model":"gpt","choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'
WORDS = b'data: {"choices":[{"index":0,"delta":{"content":"Hello"}}]}\n\n'
PING = b": ping\n\n"
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when the test says so."""

    class Clock:
        now = 100.0

        def __call__(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


@pytest.fixture
def book():
    return Book()


@pytest.fixture
def tap(clock, book):
    """One that was opened a second before the headers came."""
    recorder = Recorder(Desk(book, Prices(), Characters()), sc.prompt("Why?"), Context())
    tap = Tap(recorder._desk, recorder, sc.load("openai"), sc.Origin(adapter="openai", model="m", host="h"), NO_SECRETS)
    tap.opened()
    clock.now += 1
    return tap


def hear(tap, clock, data, *, waited, before=0.0):
    """The client comes back after so many seconds, and the provider takes so many for this."""
    clock.now += before
    tap.asked()
    clock.now += waited
    tap.came(data)


def test_times_are_of_what_happened(tap, clock, book):
    tap.answered(200, {})
    hear(tap, clock, ROLE, waited=1, before=0.5)
    hear(tap, clock, WORDS, waited=2, before=0.25)
    hear(tap, clock, STOP, waited=4)
    hear(tap, clock, DONE, waited=8)
    record, marks = book.record, book.record.marks
    assert (marks.sent, marks.headers, marks.first_byte, marks.first_content) == (0, 1, 2.5, 4.75)
    assert (marks.first_text, marks.last_content, marks.closed) == (4.75, 4.75, 16.75)
    assert (record.provider_wait, record.consumer_wait, record.largest_gap) == (16, 0.75, 12)
    assert record.latency_ms == 4750


def test_a_gap_is_not_filled_by_what_says_nothing(tap, clock, book):
    tap.answered(200, {})
    hear(tap, clock, WORDS, waited=1)
    hear(tap, clock, PING, waited=3)
    hear(tap, clock, STOP + DONE, waited=4)
    assert book.record.largest_gap == 7
    assert book.record.provider_wait == 9


def test_waiting_in_vain_is_the_providers_time(tap, clock, book):
    tap.answered(200, {})
    hear(tap, clock, PING, waited=1)
    tap.asked()
    clock.now += 2
    tap.broke(KeyboardInterrupt())
    assert (book.record.provider_wait, book.record.consumer_wait) == (4, 0)


def test_waiting_for_the_end_is_the_providers_time(tap, clock, book):
    tap.answered(200, {})
    hear(tap, clock, WORDS + STOP, waited=1)
    tap.asked()
    clock.now += 2
    tap.exhausted()
    assert (book.record.status, book.record.provider_wait) == ("SUCCESS", 4)


def test_waiting_for_an_answer_in_vain_is_the_providers_time(tap, clock, book):
    tap.unanswered(OSError("gone"))
    assert (book.record.provider_wait, book.record.marks.closed) == (1, 1)


def test_it_passes_for_a_stream(tap, clock):
    assert (tap.outcome, tap.usage, tap.request_id) == (None, None, None)
    tap.answered(200, {"x-request-id": "r-1"})
    hear(tap, clock, WORDS + STOP + USAGE + DONE, waited=1)
    assert (tap.outcome, tap.usage) == (sc.Finish("stop", raw="stop"), sc.Usage(7, 3))
    [attempt] = tap.attempts
    assert (attempt.began, attempt.headers, attempt.request_id) == (100, 101, "r-1")
    assert (tap.statistics().characters, tap.statistics().elapsed) == (5, 2)


def test_what_comes_after_the_end_changes_nothing(tap, clock, book):
    tap.answered(200, {})
    hear(tap, clock, WORDS + STOP + DONE, waited=1)
    before = book.record
    hear(tap, clock, WORDS, waited=1)
    tap.closed()
    tap.broke(OSError())
    tap.exhausted()
    assert book.record is before


def test_an_error_does_not_count_as_an_answer(tap, clock, book):
    tap.answered(500, {})
    hear(tap, clock, b"{}", waited=1)
    tap.exhausted()
    assert (book.record.marks.headers, book.record.marks.first_byte, book.record.provider_wait) == (None, None, 2)
