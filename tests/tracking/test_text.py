"""A record as text, whatever is in it."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from ledgers import won
from streamcore.tracking import text
from streamcore.tracking.record import Context, Cost, Record
from streamcore.tracking.text import encoded, storable


def test_a_record_goes_through_json_unchanged():
    record = won(1, costs=Cost(known=Decimal("0.00000000012345678901")), context=Context(user="ü", tags={"a": "b"}))
    assert msgspec.json.decode(encoded(record), type=Record) == record


def test_half_a_surrogate_pair_becomes_a_question_mark():
    record = won(1, answered_by="a\ud83d", context=Context(tags={"\ud83d": "b"}))
    assert storable(record) == won(1, answered_by="a?", context=Context(tags={"?": "b"}))


def test_what_can_be_stored_is_left_as_it_is():
    record = won(1)
    assert storable(record) is record


def test_tuples_are_cleaned_as_well():
    assert text._clean(("\ud83d", 1)) == ["?", 1]
