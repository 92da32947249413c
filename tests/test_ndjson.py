"""JSON lines, in any cut, up to the limit."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamcore import ndjson
from streamcore.errors import FramingError, LocalError
from streamcore.frames import Frame


def pieces(body, size):
    return [body[at : at + size] for at in range(0, len(body), size)]


def parse(chunks, **options):
    """The frames, the fault if there was one, what `close` gave, and the stray bytes."""
    parser = ndjson.Parser(**options)
    frames, fault = [], None
    for chunk in chunks:
        try:
            frames += parser.feed(chunk)
        except FramingError as error:
            fault = error
            frames += error.frames
            break
    return frames, fault and fault.failure.detail, parser.close(), parser.stray


def plain(body):
    *lines, rest = body.split(b"\n")
    frames = [Frame(line.removesuffix(b"\r")) for line in lines if line.strip()]
    if not rest.strip():
        return frames, None, None, b""
    if rest.strip()[:1] in b'{["-0123456789tfn':
        return frames, None, Frame(rest.removesuffix(b"\r")), b""
    return frames, None, None, rest[:4096]


@pytest.mark.parametrize("size", [1, 2, 5, 100])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n", b"\r\n\r\n", b" \n\t\r\n\n"])
def test_a_line_is_a_frame(end, size):
    frames, *_ = parse(pieces(b'{"a":1}' + end + b"[2]" + end, size))
    assert [frame.data.strip() for frame in frames] == [b'{"a":1}', b"[2]"]


def test_what_a_line_holds_is_kept_as_it_was_sent():
    data = '{"a": "\u2028\u0085\x0b\x0c\x1c"}\r{} '.encode() + b"\xff"
    assert ndjson.Parser().feed(data + b"\r\n") == [Frame(data)]


def test_a_line_is_available_with_the_byte_that_ends_it():
    parser = ndjson.Parser()
    assert [len(parser.feed(byte)) for byte in pieces(b"{}\r\n{}\n", 1)] == [0, 0, 0, 1, 0, 0, 1]


@given(
    st.lists(st.sampled_from([b"{}", b'"', b"\n", b"\r", b"\r\n", b" ", b"<html>", b"x" * 50, b"\xff"]), max_size=30),
    st.lists(st.integers(0, 2**16), max_size=8),
)
def test_no_cut_changes_what_is_found(parts, places):
    body = b"".join(parts)
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    chunks = [body[start:end] for start, end in pairwise(edges)]
    assert parse(chunks) == parse([body]) == parse(pieces(body, 1)) == plain(body)


# The end


@pytest.mark.parametrize("rest", [b'{"a"', b"[", b'"a', b"-1", b"0", b"tru", b"fal", b"nul", b' \t{"a":1} '])
def test_a_last_line_without_its_end_is_what_close_gives(rest):
    assert parse([b"{}\n" + rest]) == ([Frame(b"{}")], None, Frame(rest), b"")


def test_a_last_line_gives_its_cr_away_like_any_other():
    assert parse([b"{}\r"]) == ([], None, Frame(b"{}"), b"")


@pytest.mark.parametrize("rest", [b"", b" ", b"\r", b" \t\r"])
def test_a_body_that_ends_between_lines_leaves_nothing(rest):
    assert parse([b"{}\n" + rest]) == ([Frame(b"{}")], None, None, b"")


@pytest.mark.parametrize("rest", [b"<html>", b"Bad Gateway", b" <", b"data: {}", b"\xff"])
def test_a_last_line_that_cannot_be_json_is_stray(rest):
    assert parse([b"{}\n" + rest]) == ([Frame(b"{}")], None, None, rest)


def test_a_whole_line_that_cannot_be_json_is_a_frame_which_the_decoder_refuses():
    assert parse([b"<html>\n"]) == ([Frame(b"<html>")], None, None, b"")


def test_only_4_kib_of_what_is_stray_are_kept():
    assert parse([b"<" * 5000])[3] == b"<" * 4096


def test_nothing_is_stray_before_the_end():
    parser = ndjson.Parser()
    parser.feed(b"<html>")
    assert parser.stray == b""


# Limits


@pytest.mark.parametrize("size", [1, 64, 10_000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
@pytest.mark.parametrize("over", [-1, 0, 1])
def test_a_line_may_be_as_long_as_the_limit(over, end, size):
    line = b"1" * (300 + over - end.count(b"\r"))
    frames, fault, rest, _ = parse(pieces(b"{}\n" + line + end + (b"{}\n" if end else b""), size), limit=300)
    if over > 0:
        assert (frames, fault, rest) == ([Frame(b"{}")], "too_large", None)
    elif end:
        assert (frames, fault, rest) == ([Frame(b"{}"), Frame(line), Frame(b"{}")], None, None)
    else:
        assert (frames, fault, rest) == ([Frame(b"{}")], None, Frame(line))


@given(
    st.lists(st.integers(0, 12).map(lambda size: b"1" * size), max_size=8).map(b"\n".join),
    st.integers(0, 12),
    st.integers(1, 20),
)
@example(b"11\n111\n1", 2, 1)
def test_what_exceeds_the_limit_does_not_depend_on_the_cut(body, limit, size):
    assert parse(pieces(body, size), limit=limit) == parse([body], limit=limit)
    assert (parse([body], limit=limit)[1] is None) == all(len(line) <= limit for line in body.split(b"\n"))


@pytest.mark.parametrize("size", [1, 100])
def test_the_failure_says_the_limit_and_what_was_seen(size):
    parser = ndjson.Parser(limit=10)
    with pytest.raises(FramingError) as caught:
        for piece in pieces(b"1" * 11, size):
            parser.feed(piece)
    assert caught.value.failure.message == "a line of JSON exceeds the limit of 10 bytes: 11 bytes seen"


@pytest.mark.parametrize("chunks", [[b"1" * 11], [b"{}\n" + b"1" * 11 + b"\n{}\n"], pieces(b"1" * 11, 1)])
def test_feeding_after_the_fault_meets_it_again(chunks):
    parser = ndjson.Parser(limit=10)
    with pytest.raises(FramingError) as first:
        for chunk in chunks:
            parser.feed(chunk)
    for more in (b"", b"\n", b"{}\n"):
        with pytest.raises(FramingError) as again:
            parser.feed(more)
        assert (again.value.failure, again.value.frames) == (first.value.failure, [])
    assert (parser.close(), parser.stray) == (None, b"")


# Writing


@given(st.binary().map(lambda data: data.translate(None, b"\r\n")).filter(bytes.strip))
def test_what_is_encoded_parses_to_the_same(data):
    assert ndjson.Parser().feed(ndjson.encode(data) * 2) == [Frame(data)] * 2


@pytest.mark.parametrize("data", [b"\n", b"\r", b'{\n"a":1}', b'{"a":1}\r\n', b"{}\n"])
def test_a_raw_end_of_line_is_refused(data):
    with pytest.raises(LocalError, match="cannot hold a raw CR or LF"):
        ndjson.encode(data)
