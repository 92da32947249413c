"""JSON that msgspec refuses, made such that it does not."""

from __future__ import annotations

import json
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.events import BlockEnd, Citation, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta, ToolCallStart
from streamcore.mending import is_deep, mended, unmask, with_text

HIGH = "\U0010f83d"  # what stands for \ud83d within a mended frame
LOW = "\U0010fe00"  # … and for \ude00; together they are 😀


@pytest.mark.parametrize(
    "data",
    [
        b'{"t":"plain"}',
        b'"\\ud83d\\ude00"',
        b'"\\uD83D\\uDE00"',
        b'"\\\\ud83d"',
        b'"\\\\\\\\ude00 \\n \\u00e9"',
        "{}😀".encode(),
        b"",
        b'{"t":',
    ],
)
def test_what_has_no_lone_half_and_no_bad_byte_stays_as_it_is(data):
    assert mended(data) == data


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'"\\ud83d"', HIGH),
        (b'"\\uDE00"', LOW),
        (b'"\\ude00\\ud83d"', LOW + HIGH),
        (b'"\\ud83d\\ud83d\\ude00"', HIGH + "😀"),
        (b'"\\ud83d\\ude00\\ude00"', "😀" + LOW),
        (b'"\\\\\\ud83d"', "\\" + HIGH),
        (b'"\\ud83d\\\\ude00"', HIGH + "\\ude00"),
        (b'"a\xffb"', "a\ufffdb"),
        (b'"\xed\xa0\xbd"', "\ufffd" * 3),
        (b'"\xe2\x82 \\ud83d"', "\ufffd " + HIGH),
    ],
)
def test_lone_halves_are_masked_and_bad_bytes_replaced(data, text):
    assert msgspec.json.decode(mended(data)) == text


@given(st.text(st.characters(codec=None), max_size=30))
def test_any_string_is_mended_to_json_that_msgspec_takes(text):
    found = msgspec.json.decode(mended(json.dumps(text).encode()))
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    assert found == "".join(chr(ord(c) + 0x102000) if 0xD800 <= ord(c) < 0xE000 else c for c in whole)


@given(st.binary(max_size=60).map(lambda data: data.replace(b"\\", b"")))
def test_bytes_without_escapes_are_only_made_utf_8(data):
    assert mended(data).decode() == data.decode("utf-8", "replace")


DELTAS = pytest.mark.parametrize("delta", [TextDelta, ReasoningDelta, RefusalDelta, ToolCallDelta])


@DELTAS
def test_a_high_half_at_the_end_waits(delta):
    assert unmask(delta(1, "a" + HIGH), None) == (delta(1, "a"), False, delta(1, HIGH))


@DELTAS
def test_a_low_half_joins_the_high_half_before_it(delta):
    assert unmask(delta(1, LOW + "b"), delta(1, HIGH)) == (delta(1, "😀b"), True, None)


@pytest.mark.parametrize("whole", ["\U00010000", "\U000103ff", "\U0010f400", "\U0010f7ff"])
def test_the_first_and_last_halves_are_joined_too(whole):
    high, low = (chr(unit + 0x102000) for unit in struct.unpack(">2H", whole.encode("utf-16-be")))
    assert unmask(TextDelta(0, high), None) == (TextDelta(0, ""), False, TextDelta(0, high))
    assert unmask(TextDelta(0, low), TextDelta(0, high)) == (TextDelta(0, whole), True, None)


@pytest.mark.parametrize(("half", "waits"), [(0xD800, True), (0xDBFF, True), (0xDC00, False), (0xDFFF, False)])
def test_only_high_halves_wait(half, waits):
    _, _, after = unmask(TextDelta(0, chr(half + 0x102000)), None)
    assert (after is not None) == waits


def test_a_delta_may_join_one_half_and_leave_another():
    assert unmask(TextDelta(0, LOW + HIGH), TextDelta(0, HIGH)) == (TextDelta(0, "😀"), True, TextDelta(0, HIGH))


@pytest.mark.parametrize(
    ("event", "before"),
    [
        (TextDelta(0, LOW), None),
        (TextDelta(0, LOW), TextDelta(1, HIGH)),
        (TextDelta(0, LOW), ReasoningDelta(0, HIGH)),
    ],
)
def test_a_low_half_that_fits_nothing_before_it_is_replaced(event, before):
    assert unmask(event, before) == (TextDelta(0, "\ufffd"), False, None)


@pytest.mark.parametrize("text", ["", "b", HIGH + "b"])
def test_a_half_is_joined_to_nothing_but_a_low_half(text):
    _, joined, _ = unmask(TextDelta(0, text), TextDelta(0, HIGH))
    assert not joined


def test_halves_within_a_delta_are_replaced():
    assert unmask(TextDelta(0, f"a{HIGH}b{LOW}c"), None) == (TextDelta(0, "a\ufffdb\ufffdc"), False, None)


@pytest.mark.parametrize(
    ("event", "whole"),
    [
        (ToolCallStart(0, "a" + HIGH, LOW), ToolCallStart(0, "a\ufffd", "\ufffd")),
        (Citation(0, title=HIGH, start=5), Citation(0, title="\ufffd", start=5)),
        (BlockEnd(0, HIGH), BlockEnd(0, "\ufffd")),
        (BlockEnd(0), BlockEnd(0)),
    ],
)
def test_halves_in_other_events_are_replaced_and_nothing_waits(event, whole):
    assert unmask(event, TextDelta(0, HIGH)) == (whole, False, None)


@DELTAS
def test_a_delta_with_other_text_is_the_same_otherwise(delta):
    assert with_text(delta(3, "a"), "b") == delta(3, "b")


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 200,
        b'{"a":' * 200,
        b'{"a":[' * 100,
        b"[]" * 500 + b"[" * 200,
        b'"[" ' + b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_200_levels_are_deep(data):
    assert is_deep(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 199 + b"]" * 199,
        b"[]" * 1000,
        b'{"a":{}}' * 1000,
        b'["' + b"[" * 1000 + b'"]',
        b'"\\"' + b"[" * 1000 + b'"',
        b'"' + b"a\\\\" * 100_000 + b'"',
    ],
)
def test_what_is_long_or_in_a_string_is_not_deep(data):
    assert not is_deep(data)
