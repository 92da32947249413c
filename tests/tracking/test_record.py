"""Words and numbers that follow from a record."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

import streamcore as sc
from streamcore.tracking.record import Cost, Marks, Record, status_of


def record(**fields):
    return Record(tracking_id="t", created_at=datetime(2026, 11, 20, tzinfo=UTC), status="SUCCESS", **fields)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (sc.Finish("stop"), "SUCCESS"),
        (sc.Finish("length"), "SUCCESS"),
        (sc.Failure("cancelled", ""), "CANCELLED"),
        (sc.Failure("truncated", ""), "TRUNCATED"),
        (sc.Failure("timeout", ""), "TIMEOUT"),
        (sc.Failure("server", ""), "ERROR"),
        (sc.Failure("auth", ""), "ERROR"),
        (None, "LOST"),
    ],
)
def test_the_status_is_the_outcome_in_a_word(outcome, status):
    assert status_of(outcome) == status


@pytest.mark.parametrize(
    ("known", "estimated", "amount"), [(None, None, None), ("1", None, "1"), (None, "2", "2"), ("1", "2", "3")]
)
def test_the_cost_is_what_is_known_and_what_is_estimated(known, estimated, amount):
    known, estimated, amount = (part and Decimal(part) for part in (known, estimated, amount))
    assert record(costs=Cost(known=known, estimated=estimated)).cost == amount


def test_times_and_rates_follow_from_the_marks():
    found = record(marks=Marks(first_content=0.5, last_content=2.5), usage=sc.Usage(output_tokens=10))
    assert (found.latency_ms, found.streaming_duration_ms, found.tokens_per_second) == (500, 2000, 5)


def test_without_content_there_are_none():
    found = record(usage=sc.Usage(output_tokens=10))
    assert (found.latency_ms, found.streaming_duration_ms, found.tokens_per_second) == (None, None, None)


def test_of_an_unknown_number_of_tokens_or_of_no_time_there_is_no_rate():
    assert record(marks=Marks(first_content=0.5, last_content=2.5)).tokens_per_second is None
    assert (
        record(marks=Marks(first_content=1, last_content=1), usage=sc.Usage(output_tokens=1)).tokens_per_second is None
    )


def test_a_record_goes_through_json_unchanged():
    found = record(costs=Cost(known=Decimal("0.00001")), outcome=sc.Finish("stop"))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Record) == found
