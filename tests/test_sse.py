"""Server-sent events: others' cases, the standard restated, limits, and what is written read back."""

from __future__ import annotations

import base64
import gzip
import json
import os
import random
import tracemalloc
from itertools import pairwise

import httpx
import pytest
from httpx_sse import EventSource
from hypothesis import example, given
from hypothesis import strategies as st
from support import MISSING, SHARED

import plain_sse
from streamcore import sse
from streamcore.errors import FramingError, LocalError
from streamcore.frames import Frame

FUZZ = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
EVERY_CUT_UP_TO = 4096  # bytes; a seeded sample of the cuts of longer bodies, and all of them when fuzzing


def pieces(body, size):
    return [body[at : at + size] for at in range(0, len(body), size)]


def cut(body, places):
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


def feed(parser, chunks):
    return [frame for chunk in chunks for frame in parser.feed(chunk)]


def frames(*chunks, **options):
    return feed(sse.Parser(**options), chunks)


def data(*chunks):
    return [frame.data for frame in frames(*chunks)]


def until_fault(parser, chunks):
    """The frames before the fault, and the fault; none if there was none."""
    found = []
    for chunk in chunks:
        try:
            found += parser.feed(chunk)
        except FramingError as error:
            return found + error.frames, error
    return found, None


# Others' cases


class Case:
    def __init__(self, row):
        self.id = row["id"]
        self.body = base64.b64decode(row["input_b64"])
        self.seed = row.get("initial_last_event_id") or ""
        self.events = [(event["event"], event["data"], event["id"]) for event in row["events"]]
        self.after = (row["last_event_id"], row["reconnection_time"])
        self.pending = row["pending_at_eof"]
        self.dispatch_at = row["dispatch_at"]

    def check(self, chunks):
        parser = sse.Parser(last_event_id=self.seed)
        found = [(frame.event, sse.text(frame), frame.id) for frame in feed(parser, chunks)]
        left = parser.close()
        assert (found, (parser.last_event_id, parser.retry)) == (self.events, self.after), [len(c) for c in chunks][:50]
        assert self.pending or left is None

    @property
    def places(self):
        everywhere = range(1, len(self.body))
        if FUZZ or len(everywhere) < EVERY_CUT_UP_TO:
            return everywhere
        return random.Random(self.id).sample(everywhere, 200)


def cases():
    path = SHARED / "sse_cases.jsonl.gz"
    if not path.exists():
        return [pytest.param(None, marks=MISSING, id="missing")]
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [pytest.param(case, id=case.id) for case in map(Case, map(json.loads, lines))]


CASES = pytest.mark.parametrize("case", cases())


@CASES
def test_a_case_in_one_piece(case):
    case.check([case.body])


@CASES
def test_a_case_byte_by_byte(case):
    case.check(pieces(case.body, 1))


@CASES
def test_a_case_in_two_pieces_cut_anywhere(case):
    for place in case.places:
        case.check([case.body[:place], case.body[place:]])


@CASES
def test_a_case_byte_by_byte_with_empty_chunks_between(case):
    case.check([chunk for byte in pieces(case.body, 1) for chunk in (byte, b"")])


@CASES
def test_a_case_gives_each_event_with_the_byte_that_completes_it(case):
    parser = sse.Parser(last_event_id=case.seed)
    found = [at for at, byte in enumerate(pieces(case.body, 1), 1) for _ in parser.feed(byte)]
    assert found == case.dispatch_at


# The standard, restated

FIELD = st.sampled_from(["data", "event", "id", "retry", "", "Data", "data ", "\ufeffdata", "events", "i"])
COLON = st.sampled_from([b":", b": ", b":  ", b""])
VALUE = st.one_of(
    st.just(b""),
    st.text("ab:\0 {}\u2028\u0085\ufeff😀0123456789", max_size=8).map(str.encode),
    st.sampled_from([b"42", b"007", b"-1", b"+1", b"1_0", "٣".encode(), b"9" * 640, b"9" * 641]),
    st.binary(max_size=6).map(lambda value: value.translate(None, b"\r\n")),
    st.sampled_from([b"\xff", b"\xe2\x82", b"\xf0\x9f\x98", b"\xed\xa0\xbd", b"\xc0\x80"]),
)
END = st.sampled_from([b"\n", b"\r\n", b"\r"])
FIELD_LINE = st.builds(lambda name, colon, value: name.encode() + colon + value, FIELD, COLON, VALUE)
LINE = st.builds(bytes.__add__, FIELD_LINE | st.just(b""), END)
LINES = st.builds(
    lambda bom, lines, rest: bom + b"".join(lines) + rest,
    st.sampled_from([b"", b"\xef\xbb\xbf", b"\xef\xbb\xbf\xef\xbb\xbf", b"\xef\xbb"]),
    st.lists(LINE, max_size=25),
    FIELD_LINE | st.just(b""),
)
# The two forms that nearly every provider sends, so that the fast roads are crossed with everything else.
USUAL = st.sampled_from([b"data: {}\n\n", b"data: a\r\n\r\n", b"event: a\ndata: b\n\n", b"event: \ndata: b\n\n"])
TOKEN = st.sampled_from(
    [b"data", b"data: ", b"event: ", b"id:", b":", b" ", b"\n", b"\n\n", b"\r", b"\r\n", b"a", b"\0"]
)
STREAM = LINES | st.lists(USUAL | LINE, max_size=15).map(b"".join) | st.lists(TOKEN, max_size=40).map(b"".join)
PLACES = st.lists(st.integers(0, 2**16), max_size=12)


@given(STREAM, PLACES)
@example(b"event: \ndata: a\n\n", [])
@example(b"event: \r\ndata: a\r\n\r\n", [])
@example(b"data: a\n\n\ndata: b\n\n\n\n", [8, 9])
@example(b"data: a\r\n\r\ndata: b\n\n", [])
@example(b"data: a\r\r\n\r\n\ndata: b\r\n\r\n", [])
def test_any_stream_in_any_cut_is_what_the_standard_says(body, places):
    parser = sse.Parser()
    found = [(frame.event, sse.text(frame), frame.id) for frame in feed(parser, cut(body, places))]
    parser.close()
    assert (found, parser.last_event_id, parser.retry) == plain_sse.parse(body)


@given(STREAM, PLACES)
def test_what_is_left_at_the_end_does_not_depend_on_the_cut(body, places):
    whole, cut_up = sse.Parser(), sse.Parser()
    whole.feed(body)
    feed(cut_up, cut(body, places))
    assert (cut_up.close(), cut_up.stray) == (whole.close(), whole.stray)


# httpx-sse departs from the standard in four ways, which this generator leaves out: a block without data is an event
# if it has a type or a retry, or if any id came before it; a byte order mark stays; `retry` is whatever int() takes
# (which no event shows here); and what is compared is the text, because it has lost the bytes.
CONFORMING_BLOCK = st.builds(
    lambda before, data, after, end: b"".join(line + end for line in (*before, b"data: " + data, *after)) + end,
    st.lists(FIELD_LINE.filter(bool), max_size=3),
    VALUE,
    st.lists(FIELD_LINE.filter(bool), max_size=3),
    END,
)


@given(st.lists(CONFORMING_BLOCK, max_size=8).map(b"".join), PLACES)
def test_httpx_sse_agrees_where_it_follows_the_standard(body, places):
    if body.startswith(b"\xef\xbb\xbf"):
        body = b"\n" + body
    chunks = cut(body, places)
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=iter(chunks))
    theirs = [(event.event, event.data, event.id) for event in EventSource(response).iter_sse()]
    assert [(frame.event, sse.text(frame), frame.id) for frame in frames(*chunks)] == theirs


# Frames


def test_data_is_kept_as_it_was_sent():
    assert data(b"data: a\xff\xe2\x82b\n\n") == [b"a\xff\xe2\x82b"]


def test_text_replaces_invalid_utf_8():
    assert sse.text(Frame(b"a\xff\xe2\x82b")) == "a\ufffd\ufffdb"


def test_line_separators_of_unicode_end_no_line():
    assert data("data: a\u2028b\u2029c\u0085d\x0b\x0c\x1c\n\n".encode()) == [
        "a\u2028b\u2029c\u0085d\x0b\x0c\x1c".encode()
    ]


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_events_of_ever_other_names_all_come_out(size, end):
    names = [f"name{number}" for number in range(100)] * 2
    body = b"".join(b"event: %b%bdata: x%b%b" % (name.encode(), end, end, end) for name in names)
    assert [frame.event for frame in frames(*pieces(body, size))] == names


def test_long_event_names_are_not_kept():
    parser = sse.Parser()
    for size in range(0, 1000, 10):
        parser.feed(b"event: %b\ndata: x\n\n" % (b"x" * size))
    assert len(parser._shape[0]) < 100


def test_an_invalid_event_name_is_decoded_like_all_else():
    assert [frame.event for frame in frames(b"event: a\xff\ndata: b\n\n")] == ["a\ufffd"]


def test_an_empty_event_name_is_message():
    assert frames(b"event: \ndata: a\n\n") == frames(b"event\ndata: a\n\n") == [Frame(b"a")]


# Ids and retry


def test_an_id_stays_until_another_comes():
    assert [frame.id for frame in frames(b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n")] == ["1", "1", ""]


def test_an_id_with_nul_is_ignored():
    assert [frame.id for frame in frames(b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n")] == ["1", "1"]


def test_an_id_is_the_last_one_only_with_its_blank_line():
    parser = sse.Parser(last_event_id="0")
    parser.feed(b"id: 1\n")
    before = parser.last_event_id
    parser.feed(b"\n")
    assert (before, parser.last_event_id) == ("0", "1")


def test_a_seeded_id_is_on_the_first_event():
    assert frames(b"data: a\n\n", last_event_id="7") == [Frame(b"a", id="7")]


@pytest.mark.parametrize("value", ["", "-1", "+1", "1.5", "1e3", "1_000", " 1", "٣", "9" * 641])
def test_a_retry_that_is_not_digits_is_ignored(value):
    parser = sse.Parser()
    parser.feed(b"retry: 3\n")
    parser.feed(f"retry: {value}\n".encode())
    parser.close()
    assert parser.retry == 3


def test_a_retry_of_any_length_that_int_takes_counts_without_a_blank_line():
    parser = sse.Parser()
    parser.feed(b"retry:" + b"9" * 640 + b"\n")
    parser.close()
    assert parser.retry == 10**640 - 1


# The end


@pytest.mark.parametrize("body", [b"", b"data: a\n\n", b": a", b"event: a\n", b"id: 1\n", b"dat", b"data", b"a: b"])
def test_a_body_that_ends_between_events_leaves_nothing(body):
    parser = sse.Parser()
    parser.feed(body)
    assert parser.close() is None


@pytest.mark.parametrize(
    ("body", "frame"),
    [
        (b"data: a\n", Frame(b"a")),
        (b"data: a", Frame(b"a")),
        (b"data: a\r", Frame(b"a")),
        (b"event: e\nid: 1\ndata: a\ndata: b", Frame(b"a\nb", "e", "1")),
        (b"data: a\neve", Frame(b"a")),
        (b"data: a\nevent: e", Frame(b"a")),
        (b"data: a\n: b", Frame(b"a")),
    ],
)
def test_a_body_that_ends_within_an_event_leaves_it_as_far_as_it_came(body, frame):
    for chunks in ([body], pieces(body, 1)):
        parser = sse.Parser()
        assert feed(parser, chunks) == []
        assert parser.close() == frame


def test_closing_twice_says_the_same():
    parser = sse.Parser()
    parser.feed(b"data: a\ndata: b")
    assert parser.close() == parser.close() == Frame(b"a\nb")


# Stray bytes

JSON = b'{\n  "error": {"message": "a: b",\n\n    "code": 5}\n}'


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n\r\n"])
@pytest.mark.parametrize("before", [b"data: a\n\n", b"data: a\r\r", b": hello, a comment\ndata: a\n\n\r"])
def test_lines_that_are_no_field_are_kept_however_they_are_cut(before, end):
    body = before + JSON + end
    for chunks in ([body], pieces(body, 1), *([body[:at], body[at:]] for at in range(len(body)))):
        parser = sse.Parser()
        assert feed(parser, chunks) == [Frame(b"a")]
        assert parser.close() is None
        assert parser.stray == JSON.replace(b"\n\n", b"\n")


@pytest.mark.parametrize("before", [b"", b"\r", b"data: a\r\r"])
def test_a_comment_is_never_stray_however_it_is_cut(before):
    body = before + b": " + b"a comment of some length: b\n: " * 3
    for size in range(1, len(body) + 1):
        parser = sse.Parser()
        feed(parser, pieces(body, size))
        parser.close()
        assert parser.stray == b""


@pytest.mark.parametrize("line", [b"data", b"dat", b"id: 5", b"id:", b"event: a", b"retry: 10", b"retry", b":", b": a"])
def test_the_beginning_of_a_field_or_comment_is_not_stray(line):
    parser = sse.Parser()
    parser.feed(line)
    parser.close()
    assert parser.stray == b""


@pytest.mark.parametrize(
    "line", [b"<", b"da: a", b"database", b"idea: a", b"\xef\xbb", b"\xef\xbb\xbfd\xef\xbb\xbf: a"]
)
def test_an_unfinished_line_that_is_no_field_is_stray(line):
    parser = sse.Parser()
    parser.feed(line)
    parser.close()
    assert parser.stray == line.removeprefix(b"\xef\xbb\xbf")


@pytest.mark.parametrize("size", [1, 64, 4096, 5000, 100_000])
def test_only_the_first_4_kib_of_stray_lines_are_kept(size):
    body = b"".join(b"line %d of a page of HTML\n" % number for number in range(1000))
    parser = sse.Parser()
    feed(parser, pieces(body, size))
    parser.close()
    assert parser.stray == body[:4096]


# Limits


@pytest.mark.parametrize("size", [1, 64, 10**6], ids="in pieces of {}".format)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize(
    ("head", "spare"),
    [
        (b"data: ", 0),
        (b"data:", 0),
        (b"event: e\ndata: ", 0),
        (b"data: ab\ndata: ", 3),
        (b"data\ndata\ndata: ", 2),
        (b"data: a\n: no\nno: no\nevent: e\nid: i\ndata: ", 2),
    ],
)
class TestLimit:
    limit = 300

    def body(self, head, spare, end, over):
        last = len(head) - head.rfind(b"\n") - 1
        event = head.replace(b"\n", end) + b"x" * (self.limit - spare - last + over) + end + end
        return b"data: before" + end + end + event + b"data: after" + end + end

    @pytest.mark.parametrize("over", [-1, 0])
    def test_an_event_up_to_the_limit_passes(self, head, spare, end, size, over):
        body = self.body(head, spare, end, over)
        found, error = until_fault(sse.Parser(limit=self.limit), pieces(body, size))
        assert error is None
        assert found == frames(body)
        assert len(found) == 3

    def test_an_event_one_byte_over_the_limit_is_a_failure_after_what_came_before(self, head, spare, end, size):
        body = self.body(head, spare, end, 1)
        found, error = until_fault(sse.Parser(limit=self.limit), pieces(body, size))
        assert [frame.data for frame in found] == [b"before"]
        assert (error.failure.kind, error.failure.detail) == ("protocol", "too_large")


@given(STREAM, PLACES, st.integers(0, 60))
@example(b"data:aaaa\ndata:aaaa\n:abc\n\n", [], 14)
@example(b"data:aaaa\ndata:aaaa\n:abc\n\n", list(range(30)), 14)
@example(b"data:aaaa\ndata:aaaa\nabc\n\n", list(range(30)), 14)
def test_what_exceeds_the_limit_does_not_depend_on_the_cut(body, places, limit):
    found, error = until_fault(sse.Parser(limit=limit), cut(body, places))
    assert (error is None) == plain_sse.fits(body, limit)
    every = frames(body)
    assert found == (every if error is None else every[: len(found)])


def test_the_failure_says_the_limit_what_was_seen_and_what_grew():
    _, error = until_fault(sse.Parser(limit=20), [b"data: 0123456789\n", b"data: 0123456789"])
    assert error.failure.message == (
        "a server-sent event exceeds the limit of 20 bytes: 27 bytes seen, "
        "11 of them collected data, 16 in the line under way"
    )


FAULTY = b"data: " + b"x" * 100


@pytest.mark.parametrize(
    "chunks",
    [
        [FAULTY],
        [FAULTY + b"\n\n"],
        [b"data: a\n\n" + FAULTY + b"\n\n"],
        pieces(FAULTY, 1),
        pieces(b"data: a\n\n" + FAULTY, 30),
        [b"data: a\n\n", FAULTY + b"\n\n"],
        [b"data: a\r", FAULTY],
        [b"data: a\nid: b\n", FAULTY],
    ],
)
def test_feeding_after_the_fault_meets_it_again(chunks):
    parser = sse.Parser(limit=50)
    _, first = until_fault(parser, chunks)
    for more in (b"data: b\n\n", b"", b"\n\n", b"event: a\ndata: b\n\n", b"x" * 100):
        found, again = until_fault(parser, [more])
        assert (found, again.failure) == ([], first.failure)


@pytest.mark.parametrize("chunks", [[FAULTY], pieces(FAULTY, 1), [b"data: a\ndata: b\n", FAULTY]])
def test_nothing_is_left_after_the_fault(chunks):
    parser = sse.Parser(limit=50)
    until_fault(parser, chunks)
    assert (parser.close(), parser.stray) == (None, b"")


@pytest.mark.parametrize(
    "chunk",
    [
        b": a comment without an end " * 40,
        b"unknown: a field without an end " * 30,
        b": a comment on a line of its own\n" * 30,
        b": a comment between\n\n" * 50,
        b"unknown: field\n" * 60,
        b"event: e\n" * 100,
        b"\n" * 1000,
        b": a\r\r" * 200,
    ],
)
def test_what_is_no_event_holds_no_memory_and_meets_no_limit(chunk):
    parser = sse.Parser(limit=100)
    parser.feed(chunk)
    tracemalloc.start()
    try:
        for _ in range(1000):
            assert parser.feed(chunk) == []
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 100_000


def test_comments_after_the_limit_is_nearly_reached_count_for_nothing():
    body = b"data:aaaaa\ndata:aaaa\n:\n:ab\n:abcdefgh\nx\n\n"
    for size in (1, 3, 100):
        assert frames(*pieces(body, size), limit=15) == [Frame(b"aaaaa\naaaa")]


# What is written is read back


def read_back(*written):
    found = frames(*pieces(b"".join(written), 3))
    assert found == frames(b"".join(written))
    return found


@pytest.mark.parametrize(
    "words",
    [
        "\n\ndata: [DONE]\n\n",
        "a\n\nevent: error\ndata: forged",
        "id: 1\nretry: 1",
        ": no comment",
        ":",
        "",
        " leading",
        "trailing\n",
        "\n",
        "\n\n\n",
        "\u2028\u2029\u0085\x0b\x0c",
        "\ufeff",
        "\0",
        "😀",
    ],
)
def test_a_model_cannot_forge_events(words):
    assert read_back(sse.encode(words.encode()), sse.encode(b"after")) == [Frame(words.encode()), Frame(b"after")]


@pytest.mark.parametrize("words", [b"\r", b"a\rdata: b", b"a\r\n\r\nb", b"\r\r\n\n"])
def test_every_end_of_line_in_data_comes_back_as_lf(words):
    plain = words.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert read_back(sse.encode(words)) == [Frame(plain)]


NAME = st.text(max_size=10).filter(lambda name: not set(name) & set("\r\n\0"))


@given(
    st.binary(max_size=50).map(lambda data: data.replace(b"\r", b"")),
    NAME,
    st.none() | NAME,
    st.none() | st.integers(0, 10**9),
)
def test_what_is_encoded_parses_to_the_same(data, event, id, retry):
    parser = sse.Parser(last_event_id="before")
    written = sse.encode(data, event=event, id=id, retry=retry)
    assert parser.feed(written) == [Frame(data, event or "message", "before" if id is None else id)]
    assert parser.retry == retry


def test_what_is_not_given_is_not_written():
    assert sse.encode(b"a") == b"data: a\n\n"


def test_an_event_is_written_in_the_order_type_id_retry_data():
    assert sse.encode(b"a\nb", event="e", id="1", retry=5) == b"event: e\nid: 1\nretry: 5\ndata: a\ndata: b\n\n"


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b", "\n"])
@pytest.mark.parametrize("field", ["event", "id"])
def test_a_field_that_could_forge_others_is_refused(field, bad):
    with pytest.raises(LocalError, match=f"the {field} of a server-sent event cannot hold CR, LF or NUL"):
        sse.encode(b"a", **{field: bad})


@pytest.mark.parametrize("words", ["", "keep-alive", "data: a\n\ndata: b", "a\rdata: b\r\n\r\nc", "\u2028"])
def test_a_comment_is_no_event_and_disturbs_none(words):
    parser = sse.Parser()
    found = feed(parser, [sse.encode(b"a", event="e"), sse.comment(words), sse.encode(b"b")])
    assert found == [Frame(b"a", "e"), Frame(b"b")]
    assert parser.stray == b""
