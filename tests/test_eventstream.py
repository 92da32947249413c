"""AWS's binary event stream, in any cut, up to the limit, with every bit of it checked."""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamcore import eventstream
from streamcore.errors import FramingError, LocalError
from streamcore.eventstream import encode, read_headers
from streamcore.frames import Frame

# A message that botocore wrote: `:event-type` messageStart, `:content-type`, `:message-type`, and a payload.
VECTOR = bytes.fromhex(
    "0000007f000000529bc598af0b3a6576656e742d7479706507000c6d65737361676553746172740d3a636f6e74656e742d"
    "747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b227022"
    "3a226162222c22726f6c65223a22617373697374616e74227d362c6c18"
)
HEADERS = {":event-type": "messageStart", ":content-type": "application/json", ":message-type": "event"}
PAYLOAD = b'{"p":"ab","role":"assistant"}'


def pieces(body, size):
    return [body[at : at + size] for at in range(0, len(body), size)]


def cut(body, places):
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


def parse(chunks, **options):
    """The frames, the fault if there was one, what `close` gave, and the stray bytes."""
    parser = eventstream.Parser(**options)
    frames, fault = [], None
    for chunk in chunks:
        try:
            frames += parser.feed(chunk)
        except FramingError as error:
            fault = error
            frames += error.frames
            break
    return frames, fault and (fault.failure.detail, fault.failure.message), parser.close(), parser.stray


def event(payload=b"{}", type="e", **headers):
    return encode(payload, {":event-type": type, **headers})


def crc(data):
    return zlib.crc32(data).to_bytes(4, "big")


def forged(headers=b"", payload=b"", total=None, headers_size=None):
    """A message whose CRCs are right, whatever its lengths say."""
    lengths = struct.pack(
        ">II",
        16 + len(headers) + len(payload) if total is None else total,
        len(headers) if headers_size is None else headers_size,
    )
    message = lengths + crc(lengths) + headers + payload
    return message + crc(message)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=50) | TEXTS
ANY_HEADERS = st.dictionaries(TEXTS.filter(lambda name: len(name.encode()) < 256), VALUES, max_size=5)
MESSAGES = st.lists(st.tuples(st.binary(max_size=200), ANY_HEADERS), max_size=5)
PLACES = st.lists(st.integers(0, 2**16), max_size=8)


# Messages


@pytest.mark.parametrize("size", [1, 2, 5, 12, 13, 126, 127, 128, 1000])
def test_a_message_is_a_frame(size):
    assert parse(pieces(VECTOR * 3, size)) == ([Frame(PAYLOAD, "messageStart")] * 3, None, None, b"")


def test_a_message_is_available_with_the_byte_that_ends_it():
    parser = eventstream.Parser()
    counts = [len(parser.feed(byte)) for byte in pieces(VECTOR * 2, 1)]
    assert counts == ([0] * 126 + [1]) * 2


def test_nothing_changes_nothing():
    parser = eventstream.Parser()
    assert [len(parser.feed(data)) for data in (b"", VECTOR[:5], b"", VECTOR[5:], b"")] == [0, 0, 0, 1, 0]


def test_a_message_may_be_empty():
    assert parse([forged()]) == ([Frame(b"")], None, None, b"")


def test_headers_that_were_seen_before_are_known():
    body = event(b"1") + event(b"2", "f") + event(b"3") + event(b"4", "f")
    assert parse([body])[0] == [Frame(b"1", "e"), Frame(b"2", "f"), Frame(b"3", "e"), Frame(b"4", "f")]


def test_any_number_of_headers_is_read():
    body = b"".join(event(b"%d" % number, f"e{number}") for number in range(200)) * 2
    assert parse([body])[0] == [Frame(b"%d" % number, f"e{number}") for number in range(200)] * 2


@pytest.mark.parametrize("size", [1000, 1100])
def test_headers_of_any_size_are_read(size):
    assert parse([event(b"1", "e", other=b"x" * size) * 2])[0] == [Frame(b"1", "e")] * 2


@given(MESSAGES, PLACES)
def test_no_cut_changes_what_is_found(messages, places):
    body = b"".join(encode(*message) for message in messages)
    assert parse(cut(body, places)) == parse(pieces(body, 1)) == parse([body])


# What kind of message


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        (HEADERS, "messageStart"),
        ({":event-type": "chunk"}, "chunk"),
        ({":message-type": "event"}, "message"),
        ({":message-type": "event", ":event-type": 5}, "message"),
        ({":message-type": "never-heard-of", ":event-type": "chunk"}, "chunk"),
        ({":message-type": b"exception", ":exception-type": "x"}, "message"),
        ({":message-type": "exception", ":exception-type": "throttlingException"}, "exception:throttlingException"),
        ({":message-type": "exception", ":event-type": "chunk"}, "exception:"),
        ({":message-type": "error", ":error-code": "InternalError", ":error-message": "Oops"}, "error:InternalError"),
        ({":message-type": "error"}, "error:"),
    ],
)
def test_the_headers_say_what_kind_of_message_it_is(headers, name):
    assert parse([encode(b"{}", headers) * 2])[0] == [Frame(b"{}", name)] * 2


def test_an_error_says_in_its_data_what_its_headers_say():
    error = {":message-type": "error", ":error-code": "InternalError", ":error-message": 'a "b"\n'}
    assert parse([encode(b"", error)])[0] == [Frame(b'{"message":"a \\"b\\"\\n"}', "error:InternalError")]


@pytest.mark.parametrize("kind", ["exception", "error"])
def test_an_error_that_says_nothing_has_data_all_the_same(kind):
    assert parse([encode(b"", {":message-type": kind})])[0] == [Frame(b'{"message":""}', f"{kind}:")]


# Headers


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\x00", True),
        (b"\x01", False),
        (b"\x02\xff", -1),
        (b"\x03\x01\x00", 256),
        (b"\x04\xff\xff\xff\xfe", -2),
        (b"\x05\x7f" + b"\xff" * 7, 2**63 - 1),
        (b"\x06\x00\x02\xff\x00", b"\xff\x00"),
        (b"\x06\x00\x00", b""),
        (b"\x07\x00\x02\xc3\xa4", "ä"),
        (b"\x07\x01\x00" + b"x" * 256, "x" * 256),
        (b"\x08\x00\x00\x01\x8c\xc2\x51\xf4\x00", 1704067200000),
        (b"\x09" + bytes(range(16)), bytes(range(16))),
    ],
)
def test_a_header_of_every_type_is_read(data, value):
    read = read_headers(b"\x01a" + data + b"\x01b\x00")
    assert read == {"a": value, "b": True}
    assert type(read["a"]) is type(value)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x05ab", "cut short"),
        (b"\x01a", "cut short"),
        (b"\x01a\x04\x00\x00\x00", "cut short"),
        (b"\x01a\x07", "cut short"),
        (b"\x01a\x07\x00", "cut short"),
        (b"\x01a\x07\x00\x02x", "cut short"),
        (b"\x01a\x09" + b"x" * 15, "cut short"),
        (b"\x01a\x0a", "unknown type 10"),
        (b"\x01a\xff", "unknown type 255"),
        (b"\x01a\x00\x01a\x01", "comes twice"),
        (b"\x01\xff\x00", "codec can't decode"),
        (b"\x01a\x07\x00\x01\xff", "codec can't decode"),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_malformed_headers_are_a_fault(data, why, size):
    frames, fault, rest, stray = parse(pieces(VECTOR + forged(data) + VECTOR, size))
    assert (frames, fault[0], rest, stray) == ([Frame(PAYLOAD, "messageStart")], "frame", None, b"")
    assert why in fault[1]
    assert "message 2" in fault[1]


# Faults


@pytest.mark.parametrize("place", range(len(VECTOR)))
def test_every_bit_that_flips_is_noticed(place):
    for bit in range(8):
        flipped = bytearray(VECTOR)
        flipped[place] ^= 1 << bit
        frames, fault, _, _ = parse([VECTOR, bytes(flipped), VECTOR])
        assert frames == [Frame(PAYLOAD, "messageStart")]
        assert fault[0] == "crc"


@given(MESSAGES.filter(bool), st.integers(0, 2**16), PLACES)
def test_every_bit_that_flips_in_any_message_is_noticed(messages, place, places):
    body = bytearray(b"".join(encode(*message) for message in messages))
    place %= len(body) * 8
    body[place // 8] ^= 1 << place % 8
    _, fault, _, stray = parse(cut(bytes(body), places))
    assert stray if 0 < place < 8 else fault[0] == "crc"  # these make its first byte too large for any message


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("message", "detail", "why"),
    [
        (VECTOR[:8] + b"\0\0\0\0", "crc", "the CRC of its lengths is wrong"),
        (VECTOR[:-1] + b"\0", "crc", "its CRC is wrong"),
        (forged(total=15), "frame", "0 bytes of headers do not fit a message of 15"),
        (forged(total=0), "frame", "0 bytes of headers do not fit a message of 0"),
        (forged(total=116, headers_size=101), "frame", "101 bytes of headers do not fit a message of 116"),
        (forged(total=200_000, headers_size=131_073), "frame", "131073 bytes of headers do not fit"),
        (forged(total=2**24 + 1), "too_large", "its 16777217 bytes exceed the limit of 16777216"),
        (forged(total=2**32 - 1), "too_large", "its 4294967295 bytes exceed the limit"),
    ],
)
def test_a_message_that_is_none_is_a_fault_after_those_before_it(message, detail, why, size):
    frames, fault, rest, stray = parse(pieces(VECTOR * 2 + message + VECTOR, size))
    assert (frames, fault[0], rest, stray) == ([Frame(PAYLOAD, "messageStart")] * 2, detail, None, b"")
    assert fault[1].startswith(f"message 3 of the event stream: {why}")


@pytest.mark.parametrize("over", [-1, 0, 1])
@pytest.mark.parametrize("size", [1, 1000])
def test_a_message_may_be_as_large_as_the_limit(over, size):
    frames, fault, *_ = parse(pieces(VECTOR + event(), size), limit=127 - over)
    assert (len(frames), fault and fault[0]) == ((0, "too_large") if over > 0 else (2, None))


def test_the_limit_is_met_before_the_message_is_there():
    assert parse([encode(b"x" * 100)[:12]], limit=100)[1][0] == "too_large"


@pytest.mark.parametrize("chunks", [[b"\0" * 12], [VECTOR + b"\0" * 12 + VECTOR], pieces(b"\0" * 12, 1)])
def test_feeding_after_the_fault_meets_it_again(chunks):
    parser = eventstream.Parser()
    with pytest.raises(FramingError) as first:
        for chunk in chunks:
            parser.feed(chunk)
    for more in (b"", VECTOR):
        with pytest.raises(FramingError) as again:
            parser.feed(more)
        assert (again.value.failure, again.value.frames) == (first.value.failure, [])
    assert (parser.close(), parser.stray) == (None, b"")


# The end, and what is no event stream


@pytest.mark.parametrize("size", range(1, len(VECTOR)))
def test_a_message_that_was_cut_off_is_what_close_gives_and_no_payload(size):
    assert parse([VECTOR, VECTOR[:size]]) == ([Frame(PAYLOAD, "messageStart")], None, Frame(VECTOR[:size]), b"")


def test_closing_again_gives_nothing():
    parser = eventstream.Parser()
    parser.feed(VECTOR[:20])
    assert (parser.close(), parser.close()) == (Frame(VECTOR[:20]), None)


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("body", [b'{"message":"No"}', b"<html>", b"\n", b" {}", b"\xef\xbb\xbf{}", b"\x02\0\0\0"])
def test_a_body_that_is_no_event_stream_is_stray(body, size):
    assert parse(pieces(body + VECTOR, size)) == ([], None, None, body + VECTOR)


@pytest.mark.parametrize("size", [1, 1000, 4096, 5000])
def test_only_4_kib_of_what_is_stray_are_kept(size):
    assert parse(pieces(b"<" * 5000, size))[3] == b"<" * 4096


def test_text_after_a_message_is_a_fault():
    frames, fault, _, stray = parse([VECTOR + b'{"message":"No"}'])
    assert (len(frames), fault[0], stray) == (1, "crc", b"")


@pytest.mark.parametrize("first", [0, 1])
def test_a_length_that_the_format_allows_begins_a_message(first):
    assert parse([bytes([first])]) == ([], None, Frame(bytes([first])), b"")


# Writing


def test_it_writes_what_botocore_writes():
    assert encode(PAYLOAD, HEADERS) == VECTOR


@given(st.binary(max_size=300), ANY_HEADERS)
@example(b"", {"": -(2**63)})
def test_what_is_encoded_parses_to_the_same(payload, headers):
    message = encode(payload, headers)
    size = int.from_bytes(message[4:8], "big")
    read = read_headers(message[12 : 12 + size])
    assert [(name, type(value), value) for name, value in read.items()] == [
        (name, type(value), value) for name, value in headers.items()
    ]
    assert eventstream.Parser().feed(message)[0].data == payload


@pytest.mark.parametrize(
    "headers",
    [
        {"x" * 256: True},
        {"\ud800": True},
        {"x": "\ud800"},
        {"x": "x" * 65_536},
        {"x": b"x" * 65_536},
        {"x": 2**63},
        {"x": -(2**63) - 1},
    ],
)
def test_a_header_that_does_not_fit_is_refused(headers):
    with pytest.raises(LocalError, match="cannot be written"):
        encode(b"", headers)


def test_a_message_that_does_not_fit_is_refused():
    with pytest.raises(LocalError, match="at most 131072 bytes of headers"):
        encode(b"", {"a": b"x" * 65_000, "b": b"x" * 65_000, "c": b"x" * 2_000})
    with pytest.raises(LocalError, match="at most 131072 bytes of headers and 25165824 of payload, not 0 and 25165825"):
        encode(b"x" * (24 * 1024 * 1024 + 1))


# botocore as the judge


def botocore_reads(chunks):
    """What botocore makes of these: headers and payloads, and whether it stopped at a fault."""
    judge = pytest.importorskip("botocore.eventstream", reason="botocore is not installed")
    buffer = judge.EventStreamBuffer()
    messages = []
    for chunk in chunks:
        buffer.add_data(chunk)
        try:
            for message in buffer:
                messages.append((message.headers, message.payload))
        except (judge.ParserError, KeyError, UnicodeDecodeError, struct.error):
            return messages, True
    return messages, False


@given(MESSAGES, PLACES)
def test_botocore_reads_what_is_written(messages, places):
    body = b"".join(encode(*message) for message in messages)
    assert botocore_reads(cut(body, places)) == ([(headers, payload) for payload, headers in messages], False)


TYPED_VALUES = st.one_of(
    st.sampled_from([b"\x00", b"\x01"]),
    st.sampled_from([(2, 1), (3, 2), (4, 4), (5, 8), (8, 8), (9, 16)]).flatmap(
        lambda kind: st.binary(min_size=kind[1], max_size=kind[1]).map(lambda value: bytes([kind[0]]) + value)
    ),
    st.binary(max_size=20).map(lambda value: b"\x06" + len(value).to_bytes(2, "big") + value),
    TEXTS.map(lambda value: b"\x07" + len(value.encode()).to_bytes(2, "big") + value.encode()),
    st.binary(max_size=5),
)
BINARY_HEADERS = st.lists(
    st.tuples(st.sampled_from([b"", b"a", b"\xc3\xa4", b":event-type", b":message-type"]), TYPED_VALUES), max_size=4
).map(lambda pairs: b"".join(bytes([len(name)]) + name + value for name, value in pairs))


@given(BINARY_HEADERS, st.binary(max_size=50), PLACES)
def test_botocore_reads_the_same_from_headers_of_any_type(headers, payload, places):
    message = forged(headers, payload)
    judged, broken = botocore_reads(cut(message, places))
    frames, fault, *_ = parse(cut(message, places))
    if fault is None:
        assert (judged, broken) == ([(read_headers(headers), payload)], False)
        assert [frame.data for frame in frames if frame.event.partition(":")[0] != "error"] == [payload]
    elif not broken:  # it takes headers that were cut short for whole
        assert "cut short" in fault[1]


@given(st.lists(st.sampled_from([VECTOR, event(), forged(b"\x01a\x0a"), b"\0", VECTOR[:50]]), max_size=5), PLACES)
def test_botocore_stops_where_this_stops(parts, places):
    chunks = cut(b"".join(parts), places)
    frames, fault, *_ = parse(chunks)
    judged, broken = botocore_reads(chunks)
    assert (len(frames), fault is not None) == (len(judged), broken)
