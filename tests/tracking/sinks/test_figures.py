"""What of a record is counted, and how many time series that can be."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.events import Failure, Finish
from streamcore.tracking.record import Cost
from streamcore.tracking.sinks.figures import (
    Bounded,
    amounts,
    attempts_of,
    error_type,
    label,
    seconds,
    shown,
)
from telemetry import ANSWERED, BUSY, COST, GPT, TOKENS, whole


def test_each_attempt_is_counted():
    assert attempts_of(whole(BUSY)) == (BUSY, ANSWERED)


def test_without_attempts_the_stream_is_one():
    (alone,) = attempts_of(whole(attempts=()))
    assert (alone.tokens, alone.cost, alone.origin, alone.status) == (TOKENS, COST, GPT, "SUCCESS")


@pytest.mark.parametrize(
    ("known", "estimated", "parts"),
    [
        ("1", None, {"known": 1.0}),
        ("1", "0.5", {"known": 1.0, "estimated": 0.5}),
        (None, None, {}),
        ("NaN", "Infinity", {}),
        ("-1", "0", {"estimated": 0.0}),
    ],
)
def test_costs_that_can_be_added_are(known, estimated, parts):
    cost = Cost(known=known and Decimal(known), estimated=estimated and Decimal(estimated))
    assert dict(amounts(cost)) == parts


@pytest.mark.parametrize(
    ("outcome", "status", "error"),
    [
        (Finish("stop"), "SUCCESS", None),
        (Failure("auth", ""), "ERROR", "auth"),
        (Failure("cancelled", "", detail="closed"), "CANCELLED", None),
        (Failure("cancelled", "", status=499), "CANCELLED", "cancelled"),
        (None, "LOST", "lost"),
        (None, "SUCCESS", None),
    ],
)
def test_an_error_has_a_word(outcome, status, error):
    assert error_type(outcome, status) == error


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("provider", "openai"),
        ("adapter", "openai"),
        ("model", "gpt-4o"),
        ("host", "api.openai.com"),
        ("answered_by", "gpt-4o-2026"),
        ("feature", "chat"),
        ("user", "u-1"),
        ("conversation_id", "c-9"),
        ("team", "ü"),
        ("nobody", None),
    ],
)
def test_a_label_is_of_the_stream_or_of_what_it_is_for(name, value):
    record = whole()
    assert label(name, ANSWERED, record.context) == value


def test_a_label_of_nobody_is_none():
    record = whole(origin=None)
    assert label("model", record, record.context) is None


@pytest.mark.parametrize(("value", "text"), [(None, ""), ("", ""), ("a\ud800", "a?"), ("ü" * 200, "ü" * 128)])
def test_a_value_is_text_that_can_be_written(value, text):
    assert shown(value) == text


@pytest.mark.parametrize(
    ("value", "time"), [(None, None), (0.0, 0.0), (1.5, 1.5), (-1.0, None), (float("nan"), None), (float("inf"), None)]
)
def test_a_time_is_one_that_can_be_measured(value, time):
    assert seconds(value) == time


def test_values_beyond_the_limit_are_others_and_the_known_ones_stay():
    bounded = Bounded(2, "other")
    assert [bounded([value]) for value in "abcab"] == [("a",), ("b",), ("other",), ("a",), ("b",)]


def test_no_value_is_never_another():
    bounded = Bounded(1, "other")
    assert [bounded([value]) for value in ("a", None, "b", None)] == [("a",), ("",), ("other",), ("",)]


def test_each_label_has_a_limit_of_its_own():
    bounded = Bounded(1, "other")
    assert [bounded(pair) for pair in (("a", "x"), ("a", "y"), ("b", "x"))] == [
        ("a", "x"),
        ("a", "other"),
        ("other", "x"),
    ]


def test_combinations_have_a_limit_too():
    bounded = Bounded(4, "other")
    seen = [bounded((a, b, c)) for a in "abcd" for b in "abcd" for c in "abcd"]
    assert len(set(seen)) == 41
    assert seen[-1] == ("other", "other", "other")
    assert bounded(("a", "a", "a")) == ("a", "a", "a")


@given(st.lists(st.tuples(st.text(), st.text()), max_size=200), st.integers(1, 5))
def test_there_are_never_more_than_ten_times_the_limit_and_one(pairs, limit):
    bounded = Bounded(limit, "other")
    assert len({bounded(pair) for pair in pairs}) <= limit * 10 + 1
