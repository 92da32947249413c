"""A fault, as the answer it makes of another."""

from __future__ import annotations

import zlib

import pytest
from msgspec import json, structs

from streamcore.errors import LocalError
from streamcore.testing import FAULTS, Answer, Endless, Fault, Pause, spoiled

ANSWER = Answer([b"abc", Pause(1), b"", b"def"])
UNCONNECTED = ("dns", "refused", "tls", "unreachable", "connect")


def steps(kind, at=0, **options):
    return list(spoiled(ANSWER, Fault(kind, at, **options)).body)


def data(steps):
    return b"".join(step for step in steps if isinstance(step, bytes))


@pytest.mark.parametrize(
    ("kind", "step"), [("reset", "reset"), ("close", "close"), ("stall", "hang"), ("chunk", "garble")]
)
@pytest.mark.parametrize("at", range(8))
def test_a_step_comes_at_its_byte(kind, step, at):
    found = steps(kind, at)
    place = found.index(step)
    assert (data(found[:place]), data(found[place:])) == (b"abcdef"[:at], b"abcdef"[at:])


def test_pauses_stay_where_they_were():
    assert steps("reset", 4) == [b"abc", Pause(1), b"", b"d", "reset", b"ef"]


@pytest.mark.parametrize("at", range(8))
def test_an_end_leaves_the_rest_out(at):
    assert data(steps("end", at)) == b"abcdef"[:at]


def test_a_drip_sends_the_rest_in_small_pieces():
    second = Pause(2)
    assert steps("drip", 2, size=2, seconds=2) == [b"ab", second, b"c", Pause(1), second, b"de", second, b"f"]


def test_garbage_is_put_in_and_always_the_same():
    found = data(steps("garbage", 2, size=5))
    assert (found[:2], len(found[2:-4]), found[-4:]) == (b"ab", 5, b"cdef")
    assert found == data(steps("garbage", 2, size=5)) != data(steps("garbage", 3, size=5))


@pytest.mark.parametrize(("at", "expected"), [(0, b"`bcdef"), (3, b"abceef"), (6, b"abcdef")])
def test_a_flip_turns_over_one_bit(at, expected):
    assert data(steps("flip", at)) == expected


def test_a_flip_of_a_pause_changes_nothing():
    assert data(spoiled(Answer([b"a", Pause(1)]), Fault("flip", 1)).body) == b"a"


@pytest.mark.parametrize(("at", "expected"), [(0, b"abcdef"), (1, b"aabcdef"), (5, b"abcdedef")])
def test_repeat_sends_the_last_bytes_again(at, expected):
    assert data(steps("repeat", at, size=2)) == expected


def test_comments_and_a_line_have_no_end():
    assert steps("comments", 1, size=8, seconds=5)[1] == Endless(b":-----\n\n", 5)
    assert steps("line", 1, size=3)[1] == Endless(b"aaa")


def test_a_bomb_is_gzip_that_grows_without_end():
    beginning, more = spoiled(ANSWER, Fault("gzip")).body
    inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
    grown = [len(inflate.decompress(piece)) for piece in (beginning, more.piece, more.piece)]
    assert (grown, len(more.piece) < 4096) == ([1 << 20] * 3, True)


def test_a_retry_after_is_the_faults_seconds():
    answer = spoiled(ANSWER, Fault("rate_limit", seconds=2.5))
    assert (answer.status, answer.headers["retry-after"]) == (429, "2.5")


@pytest.mark.parametrize("kind", UNCONNECTED)
def test_a_server_cannot_cause_what_happens_before_it_is_reached(kind):
    with pytest.raises(LocalError, match=kind):
        spoiled(ANSWER, Fault(kind))


def test_a_raw_answer_cannot_be_spoiled():
    with pytest.raises(LocalError, match="raw"):
        spoiled(structs.replace(ANSWER, framing="raw"), Fault("reset"))


def test_a_fault_is_data():
    fault = Fault("stall", 17, seconds=2.0)
    assert json.decode(json.encode(fault), type=Fault) == fault


@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind not in UNCONNECTED])
def test_every_kind_makes_another_answer(kind):
    assert spoiled(ANSWER, Fault(kind, 3, size=3)) != ANSWER
