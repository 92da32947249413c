"""Bytes in, events out: the grammar, what is supplied, what is mended, and how a body may end."""

from __future__ import annotations

import json
import re
import tracemalloc
from itertools import pairwise

import grammar
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamcore import ndjson, sse
from streamcore.events import (
    Attachment,
    BlockEnd,
    Citation,
    Event,
    Extension,
    Failure,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from streamcore.frames import Frame
from streamcore.reader import SILENCE_LIMIT, Reader


class Wild:
    """An adapter whose frames are JSON arrays of our own events: a decoder that may say anything.

    `late` is what its `close` gives; `bug` is raised instead of decoding a frame that holds the word "bug".
    """

    url = ""
    key_variables = ()
    framing = sse.Parser
    encode = None
    decode = staticmethod(msgspec.json.Decoder(list[Event]).decode)

    def __init__(self, late=(), bug=None):
        self.late = list(late)
        self.bug = bug

    def Decoder(self):  # noqa: N802 - a class in the modules that implement it
        return self

    def feed(self, frame):
        if self.bug is not None and b"bug" in frame.data:
            raise self.bug
        return self.decode(frame.data)

    def close(self):
        return self.late


def line(*events):
    """One frame of these events. Written by json, which writes half surrogate pairs as they are."""
    return b"data: " + json.dumps([msgspec.to_builtins(event) for event in events]).encode() + b"\n\n"


def read(body, *, late=(), failure=None, size=None):
    reader = Reader(Wild(late))
    chunks = [body] if size is None else [body[at : at + size] for at in range(0, len(body), size)]
    events = [event for chunk in chunks for event in reader.feed(chunk)]
    events += reader.close(failure)
    grammar.check(events)
    return events


A, B = TextDelta(0, "a"), TextDelta(0, "b")
END = Finish("stop", "end")
SIZES = pytest.mark.parametrize("size", [None, 1], ids=["whole", "byte by byte"])


def words(events, kind=TextDelta):
    return [event.arguments if kind is ToolCallDelta else event.text for event in events if type(event) is kind]


# The grammar


@pytest.mark.parametrize(
    ("events", "what"),
    [
        ([Start(), Start()], "a second Start"),
        ([A, Start("x")], "a second Start"),
        ([TextDelta(1, "a")], "TextDelta for block 1, but the next block is 0"),
        ([A, TextDelta(2, "a")], "TextDelta for block 2, but the next block is 1"),
        ([TextDelta(-1, "a")], "TextDelta for block -1, but the next block is 0"),
        ([A, TextDelta(-1, "a")], "TextDelta for block -1, but the next block is 1"),
        ([BlockEnd(0)], "BlockEnd for block 0, which has not begun"),
        ([ToolCallDelta(0, "{}")], "ToolCallDelta for block 0, which has not begun"),
        ([A, BlockEnd(0), A], "TextDelta for block 0, which has ended"),
        ([A, BlockEnd(0), BlockEnd(0)], "BlockEnd for block 0, which has ended"),
        ([A, BlockEnd(0), Citation(0)], "Citation for block 0, which has ended"),
        ([A, BlockEnd(0), Extension("x", "1", 0)], "Extension for block 0, which has ended"),
        ([A, ReasoningDelta(0, "a")], "ReasoningDelta for block 0, which takes TextDelta"),
        ([RefusalDelta(0, "a"), A], "TextDelta for block 0, which takes RefusalDelta"),
        ([A, ToolCallStart(0, "1", "f")], "ToolCallStart for block 0, which takes TextDelta"),
        (
            [ToolCallStart(0, "1", "f"), ToolCallStart(0, "1", "f")],
            "ToolCallStart for block 0, which takes ToolCallDelta",
        ),
        ([A, ToolCallDelta(0, "{")], "ToolCallDelta for block 0, which takes TextDelta"),
        ([ToolCallStart(0, "1", "f"), A], "TextDelta for block 0, which takes ToolCallDelta"),
        ([Extension("x", "1", 0), A], "TextDelta for block 0, which takes Extension"),
        ([Attachment(0, "image/png"), A], "TextDelta for block 0, which takes Attachment"),
    ],
)
def test_a_breach_is_a_failure_in_place_of_what_broke_it(events, what):
    good = [event for event in events[:-1] if not isinstance(event, Start)]
    for body in (line(*events, END), b"".join(map(line, events)) + line(END)):
        *before, last = read(body)
        assert before[1:] == good
        assert (last.kind, last.detail) == ("protocol", "grammar")
        assert re.fullmatch(rf"events out of order at frame \d+: {re.escape(what)}", last.message)


def test_a_breach_says_at_which_frame():
    assert "at frame 3:" in read(line(A) + line(B) + line(BlockEnd(5)))[-1].message


@pytest.mark.parametrize(
    "events",
    [
        [],
        [A, B, A],
        [Usage(1)],
        [A, Citation(0), B, Extension("x", "1", 0), A],
        [Citation(0), A],
        [Extension("x", "1", 0), Extension("x", "2", 0)],
        [Extension("x", "1"), A, Extension("x", "2"), B],
        [Attachment(0, "image/png", b"a"), Attachment(0, "image/png", b"b")],
        [ToolCallStart(0, "1", "f"), Citation(0), ToolCallDelta(0, "{"), Extension("x", "1", 0), ToolCallDelta(0, "}")],
        [
            A,
            ReasoningDelta(1, "r"),
            B,
            ReasoningDelta(1, "s"),
            BlockEnd(0),
            ReasoningDelta(1, "t"),
            RefusalDelta(2, "n"),
        ],
        [ReasoningDelta(0, ""), BlockEnd(0, '{"signature":"x"}'), TextDelta(1, "a")],
    ],
)
def test_what_keeps_the_grammar_passes_as_it_is(events):
    ended = {event.index for event in events if type(event) is BlockEnd}
    opened = {event.index for event in events if not isinstance(event, Usage) and event.index is not None}
    supplied = [BlockEnd(index) for index in sorted(opened - ended)]
    for body in (line(Start("i", "m"), *events, END), b"".join(map(line, [Start("i", "m"), *events, END]))):
        assert read(body) == [Start("i", "m"), *events, *supplied, END]


def test_a_start_is_supplied_before_the_first_event():
    assert read(line(A, END))[0] == Start()


def test_a_start_is_supplied_before_a_failure_too():
    assert read(line(Failure("server", "no"))) == [Start(), Failure("server", "no")]


def test_a_finish_ends_the_blocks_still_open_in_order():
    events = read(line(A, ReasoningDelta(1, "r"), ToolCallStart(2, "1", "f"), BlockEnd(1, "{}"), END))
    assert events[-4:] == [BlockEnd(1, "{}"), BlockEnd(0), BlockEnd(2), END]


def test_a_failure_leaves_blocks_open():
    assert read(line(A, Failure("server", "no"))) == [Start(), A, Failure("server", "no")]


AFTER = [A, B, END, Usage(7), BlockEnd(0), Start(), Failure("server", "no"), TextDelta(5, "x"), Extension("x", "1")]


@pytest.mark.parametrize("last", [END, Failure("server", "no")])
@pytest.mark.parametrize("after", AFTER)
def test_nothing_follows_the_last_event(last, after):
    whole = read(line(A, last))
    for body in (line(A, last, after), line(A, last) + line(after), line(A) + line(last) + line(after) + line(B)):
        assert read(body) == whole
        assert read(body, size=1) == whole


def test_frames_after_the_last_event_are_not_decoded():
    reader = Reader(Wild(bug=KeyError("bug")))
    assert reader.feed(line(A, END) + b"data: bug\n\n" + b"data: {\n\n")[-1] == END
    assert reader.feed(b"data: bug\n\n") == reader.feed_frames([Frame(b"bug")]) == reader.close() == []


def test_a_mended_last_event_ends_the_stream_too():
    reader = Reader(Wild(bug=KeyError("bug")))
    assert reader.feed(line(TextDelta(0, "\ud83d"), END) + b"data: bug\n\n")[-1] == END


def test_frames_without_data_are_skipped():
    assert read(b"data: \n\ndata\n\n" + line(A, END) + b"data:\n\n") == read(line(A, END))


def test_usage_and_outcome_are_there_as_soon_as_they_are_known():
    reader = Reader(Wild())
    assert (reader.usage, reader.outcome) == (None, None)
    reader.feed(line(A, Usage(1)) + line(Usage(1, 2)))
    assert (reader.usage, reader.outcome) == (Usage(1, 2), None)
    reader.feed(line(END, Usage(9)))
    assert (reader.usage, reader.outcome) == (Usage(1, 2), END)


def test_the_outcome_of_a_breach_is_its_failure():
    reader = Reader(Wild())
    events = reader.feed(line(BlockEnd(0)))
    assert reader.outcome is events[-1]


def test_another_framing_may_be_given():
    reader = Reader(Wild(), framing=ndjson.Parser())
    assert reader.feed(line(A, END)[6:-1]) == [Start(), A, BlockEnd(0), END]


def test_frames_cut_elsewhere_may_be_given():
    assert Reader(Wild()).feed_frames([Frame(line(A)[6:]), Frame(line(END)[6:])]) == [Start(), A, BlockEnd(0), END]


# Any decoder at all

INDEX = st.integers(-1, 4)
TEXT = st.text(st.characters(codec=None) | st.sampled_from("\ud83d\ude00"), max_size=4)
EVENT = st.one_of(
    st.builds(Start, st.none() | TEXT),
    st.builds(TextDelta, INDEX, TEXT),
    st.builds(TextDelta, st.just(0), TEXT),
    st.builds(ReasoningDelta, INDEX, TEXT),
    st.builds(RefusalDelta, INDEX, TEXT),
    st.builds(ToolCallStart, INDEX, TEXT, TEXT),
    st.builds(ToolCallDelta, INDEX, TEXT),
    st.builds(Citation, INDEX, title=TEXT),
    st.builds(Attachment, INDEX, TEXT, st.binary(max_size=4)),
    st.builds(Extension, TEXT, TEXT, st.none() | INDEX),
    st.builds(BlockEnd, INDEX, st.none() | TEXT),
    st.builds(Usage, st.integers(0, 9)),
    st.sampled_from([END, Failure("server", "no")]),
)
# Mostly events that continue what came before, so that streams get long before they break.
TAME = st.one_of(
    st.builds(TextDelta, st.just(0), TEXT),
    st.builds(ReasoningDelta, st.just(1), TEXT),
    st.builds(Usage, st.integers(0, 9)),
)
FRAMES = st.lists(st.lists(TAME, max_size=4), max_size=5) | st.lists(st.lists(TAME | EVENT, max_size=4), max_size=8)


@given(FRAMES, st.lists(EVENT, max_size=3), st.lists(st.integers(0, 2**16), max_size=8), st.booleans())
@example([[A, END, A]], [], [], True)
@example([[A, TextDelta(3, "x"), A]], [], [], True)
def test_whatever_a_decoder_says_the_stream_keeps_the_grammar(frames, late, places, whole):
    body = b"".join(line(*events) for events in frames)
    body = body if whole else body[: -len(body) // 3]
    events = read(body, late=late)  # which checks
    reader = Reader(Wild(late))
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    found = [event for start, end in pairwise(edges) for event in reader.feed(body[start:end])]
    assert found + reader.close() == events
    assert msgspec.json.decode(msgspec.json.encode(events), type=list[Event]) == events


@given(
    st.binary(max_size=200) | st.lists(st.sampled_from([b"data: ", b"[", b"{}", b"]", b"\n\n", b"\xff"])).map(b"".join)
)
def test_whatever_bytes_come_the_stream_keeps_the_grammar(body):
    assert read(body, size=1) == read(body)


# Mending


def joined(texts):
    """What these texts are together: halves that meet are one character, the others U+FFFD."""
    whole = "".join(texts).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return re.sub("[\ud800-\udfff]", "\ufffd", whole)


@pytest.mark.parametrize("kind", [TextDelta, ReasoningDelta, RefusalDelta, ToolCallDelta])
@given(
    st.lists(st.text(st.sampled_from("a\ud83d\ude00😀"), min_size=1, max_size=4), min_size=1, max_size=6), st.booleans()
)
@example(["a\ud83d", "\ude00b"], False)
@example(["\ud83d", "\ude00"], False)
@example(["\ud83d", "\ud83d", "\ude00"], False)
@example(["\ude00", "\ud83d"], False)
@example(["a\ud83d"], False)
def test_halves_that_deltas_cut_apart_are_joined_and_others_replaced(kind, texts, together):
    first = [ToolCallStart(0, "1", "f")] if kind is ToolCallDelta else []
    deltas = [kind(0, text) for text in texts]
    body = line(*first, *deltas, END) if together else b"".join(map(line, [*first, *deltas, END]))
    assert "".join(words(read(body), kind)) == joined(texts)


@pytest.mark.parametrize(
    "between", [Usage(1), Citation(0), Extension("x", "1"), ReasoningDelta(1, "r"), ToolCallStart(1, "1", "f")]
)
def test_a_half_does_not_wait_past_another_event(between):
    body = line(TextDelta(0, "a\ud83d")) + line(between) + line(TextDelta(0, "\ude00b"))
    for events in (read(body + line(END)), read(body + line(END), size=1)):
        assert events[1:5] == [TextDelta(0, "a"), TextDelta(0, "\ufffd"), between, TextDelta(0, "\ufffdb")]


def test_halves_of_different_blocks_are_not_joined():
    events = read(line(A, TextDelta(1, "b")) + line(TextDelta(0, "\ud83d")) + line(TextDelta(1, "\ude00"), END))
    assert words(events) == ["a", "b", "", "\ufffd", "\ufffd"]


def test_a_half_at_the_end_is_replaced_before_the_end():
    events = read(line(TextDelta(0, "a\ud83d"), BlockEnd(0, "{}"), END))
    assert events == [Start(), A, TextDelta(0, "\ufffd"), BlockEnd(0, "{}"), END]


def test_a_half_at_a_cut_is_dropped_so_that_the_events_are_a_beginning_of_the_whole():
    events = read(line(TextDelta(0, "a\ud83d")))
    assert events[:-1] == [Start(), A]
    assert events[-1].kind == "truncated"


def test_a_frame_without_events_does_not_part_two_halves():
    events = read(line(TextDelta(0, "\ud83d")) + line() + line(TextDelta(0, "\ude00"), END))
    assert "".join(words(events)) == "😀"


def test_after_mending_deltas_pass_as_before():
    events = read(line(TextDelta(0, "\ud83d")) + line(TextDelta(0, "\ude00")) + line(A) + line(B) + line(END))
    assert words(events) == ["", "😀", "a", "b"]


def test_halves_in_names_are_replaced():
    assert ToolCallStart(0, "\ufffd", "f\ufffd") in read(line(ToolCallStart(0, "\ude00", "f\ud83d"), END))


def test_a_block_of_halves_breaks_the_grammar_like_any_other():
    assert read(line(TextDelta(0, "\ud83d"), TextDelta(2, "\ud83d"), A))[-1].detail == "grammar"


@SIZES
def test_bytes_that_are_not_utf_8_are_replaced(size):
    body = b'data: [{"type":"text","index":0,"text":"a\xff\xe2\x82b"}]\n\n' + line(END)
    assert words(read(body, size=size)) == ["a\ufffd\ufffdb"]


def frame(fields):
    return b'data: [{"type":"usage",' + fields + b"}]\n\n"


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        (b'"input_tokens":NaN', "JSON is malformed"),
        (b'"other":NaN', "JSON is malformed"),
        (b'"input_tokens":1e999', "Number out of range"),
        (b'"input_tokens":' + b"9" * 5000, "Integer value out of range"),
        (b'"input_tokens":' + DEEP, "Expected `int | null`, got `array`"),
        (b'"other":' + DEEP, "JSON nested too deeply"),
        (b'"other":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "JSON nested too deeply"),
        (b'"half":"\\ud83d","other":' + DEEP, "JSON nested too deeply"),
        (b'"half":"\\ud83d","other":NaN', "JSON is malformed"),
        (b'"half":"\\ud83d","input_tokens":"1"', "Expected `int | null`, got `str`"),
        (b'"input_tokens":"1"', "Expected `int | null`, got `str`"),
        (b'"input_tokens":"\xff"', "Expected `int | null`, got `str`"),
        (b'"input_tokens":1', None),
        (b'"other":' + b"9" * 5000, None),
        (b'"other":1e999', None),
        (b'"other":"\\ud83d"', None),
        (b'"other":"\xff"', None),
        (b'"other":' + b"[" * 199 + b"]" * 199, None),
    ],
)
def test_json_that_cannot_be_read_fails_the_stream_after_what_came_before(fields, what):
    for body in (line(A) + frame(fields) + line(END), line(TextDelta(0, "a\ud83d")) + frame(fields) + line(END)):
        events = read(body)
        assert events[:2] == [Start(), A]
        if what is None:
            assert events[-1] == END
        else:
            assert (events[-1].kind, events[-1].detail) == ("protocol", "json")
            assert what in events[-1].message


class Untyped(Wild):
    """A decoder that uses all of its JSON."""

    decode = staticmethod(msgspec.json.decode)


@pytest.mark.parametrize("half", [b"", b'"\\ud83d",'])
def test_json_nested_too_deeply_in_what_is_used_fails_the_stream(half):
    failure = Reader(Untyped()).feed(b"data: [" + half + DEEP + b"]\n\n")[-1]
    assert (failure.kind, failure.detail) == ("protocol", "json")
    assert "JSON nested too deeply" in failure.message


def test_malformed_json_says_which_frame_its_type_size_and_beginning():
    failure = read(line(A) + b"event: x\ndata: <html>" + b"y" * 200 + b"\n\n")[-1]
    assert failure.message.startswith("frame 2 (event 'x', 206 bytes): JSON is malformed: invalid character (byte 0)")
    assert failure.message.endswith("; it begins '<html>" + "y" * 114 + "…'")


@pytest.mark.parametrize(
    "bug",
    [
        KeyError("bug"),
        RecursionError("bug"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bug"),
        ValueError("bug"),
        AttributeError("bug"),
    ],
)
@pytest.mark.parametrize("end", [b"\n\n", b""], ids=["a frame", "the last frame, without its end"])
@pytest.mark.parametrize("data", [b'["bug"]', b"bug"])
def test_a_bug_in_the_adapter_is_raised(bug, end, data):
    reader = Reader(Wild(bug=bug))
    with pytest.raises(type(bug)) as caught:
        reader.feed(b"data: " + data + end)
        reader.close()
    assert caught.value is bug


class Faltering(Wild):
    """A decoder with a bug that only a mended frame meets."""

    def feed(self, frame):
        if b"\\u" not in frame.data:
            raise self.bug
        return super().feed(frame)


@pytest.mark.parametrize("bug", [KeyError(), RecursionError(), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "")])
def test_a_bug_in_the_adapter_is_raised_for_a_mended_frame_too(bug):
    with pytest.raises(type(bug)) as caught:
        Reader(Faltering(bug=bug)).feed(line(TextDelta(0, "\ud83d")))
    assert caught.value is bug


# The end of the body


def test_a_body_that_ends_before_the_answer_is_truncated():
    body = line(A) + line(B)
    assert read(body)[-1] == Failure(
        "truncated", f"the body ended after {len(body)} bytes and 2 frames, before the answer did"
    )


def test_an_empty_body_is_truncated():
    assert read(b"")[-1].message == "the body ended after 0 bytes and 0 frames, before the answer did"


def test_a_body_that_ends_within_a_frame_says_how_far_that_came():
    failure = read(line(A) + line(B)[:20])[-1]
    assert (failure.kind, failure.message) == (
        "truncated",
        f"the body ended after {len(line(A)) + 20} bytes and 1 frames, 14 bytes into another, before the answer did",
    )


@pytest.mark.parametrize("cut", [1, 2], ids=["its blank line", "its line"])
def test_a_last_frame_that_lacks_only_an_end_counts(cut):
    assert read((line(A) + line(END))[:-cut]) == [Start(), A, BlockEnd(0), END]


def test_a_last_frame_that_is_whole_but_not_the_end_counts_and_is_truncated():
    failure = read(line(A)[:-2])[-1]
    assert "and 1 frames, before" in failure.message


def test_a_last_frame_without_its_end_is_mended_too():
    assert words(read(line(TextDelta(0, "a\ud83d"), END)[:-2])) == ["a", "\ufffd"]


@pytest.mark.parametrize("end", [b"[{", b'"\xff', b"[" * 100_000, b'"\\ud83d'])
def test_a_last_frame_that_is_cut_off_is_no_malformed_json(end):
    assert read(line(A) + b"data: " + end)[-1].kind == "truncated"


def test_a_breach_in_the_last_frame_says_at_which_frame():
    assert "at frame 2:" in read(line(A) + line(BlockEnd(4))[:-2])[-1].message


def test_a_last_frame_without_data_is_nothing():
    assert "0 frames, before" in read(b"data: ")[-1].message


def test_what_the_decoder_held_back_comes_at_the_end():
    assert read(line(A), late=[Usage(1), END]) == [Start(), A, Usage(1), BlockEnd(0), END]


def test_a_stream_that_has_ended_gives_nothing_when_closed():
    reader = Reader(Wild([A, Failure("server", "late")]))
    reader.feed(line(END))
    assert reader.close() == reader.close(Failure("connection", "reset")) == []


def test_closing_twice_gives_nothing_more():
    reader = Reader(Wild())
    assert reader.close()[-1].kind == "truncated"
    assert reader.close() == []


@pytest.mark.parametrize("kind", ["connection", "server", "protocol", "overloaded"])
def test_a_broken_body_is_no_answer_however_much_was_there(kind):
    failure = Failure(kind, "reset")
    assert read(line(A) + line(END)[:-2], late=[END], failure=failure) == [Start(), A, failure]


@pytest.mark.parametrize("kind", ["timeout", "cancelled"])
def test_a_body_that_this_side_left_is_an_answer_if_only_the_goodbye_was_missing(kind):
    assert read(line(A), late=[END], failure=Failure(kind, "gone"))[-1] == END


@pytest.mark.parametrize("kind", ["timeout", "cancelled"])
def test_a_body_that_this_side_left_early_fails_as_it_was_left(kind):
    failure = Failure(kind, "gone")
    assert read(line(A) + line(END)[:-2], late=[Usage(1)], failure=failure) == [Start(), A, Usage(1), failure]


# Bodies that are no stream of events


ERROR = b'{\n  "error": {\n    "message": "slow down",\n    "code": "rate_limit_exceeded"\n  }\n}'


@SIZES
@pytest.mark.parametrize("before", [b"", line(A), b"error: ", b": hello\n\nerror: "])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_a_bare_error_is_found_among_stray_bytes(before, end, size):
    events = read(before + ERROR + end, size=size, late=[END])
    assert events[-1] == Failure("rate_limit", "slow down", code="rate_limit_exceeded")
    assert (A in events) == before.startswith(line(A))


def test_a_bare_error_is_not_asked_for_if_the_body_broke():
    failure = Failure("connection", "reset")
    assert read(ERROR, failure=failure)[-1] is failure


@SIZES
@pytest.mark.parametrize("body", [b"<html>no</html>", b'{"choices":[]}', b"Bad Gateway\n", b"[1, 2]\n\n"])
def test_a_body_that_is_no_event_stream_fails_with_its_beginning(body, size):
    failure = read(body, size=size)[-1]
    assert (failure.kind, failure.detail) == ("protocol", "content_type")
    assert failure.message == f"the body is not a stream of events; it begins {body.strip().decode()!r}"


def test_stray_bytes_after_frames_do_not_hide_the_truncation():
    assert read(line(A) + b"<html>")[-1].kind == "truncated"


@pytest.mark.parametrize("size", [None, 64, 1])
def test_a_frame_over_the_limit_fails_the_stream_after_the_good_events(size):
    reader = Reader(Wild(), framing=sse.Parser(limit=200))
    body = line(A) + line(B) + line(TextDelta(0, "x" * 500)) + line(END)
    chunks = [body] if size is None else [body[at : at + size] for at in range(0, len(body), size)]
    events = [event for chunk in chunks for event in reader.feed(chunk)] + reader.close()
    assert events[:-1] == [Start(), A, B]
    assert (events[-1].kind, events[-1].detail) == ("protocol", "too_large")


def test_a_frame_over_the_limit_after_the_last_event_changes_nothing():
    reader = Reader(Wild(), framing=sse.Parser(limit=200))
    assert reader.feed(line(A, END) + b"data: " + b"x" * 500)[-1] == END
    assert reader.outcome == END


def test_what_a_decoder_kept_of_a_mended_frame_is_mended_when_it_comes_out():
    class Keeping(Wild):
        kept = ""

        def feed(self, frame):
            text = msgspec.json.decode(frame.data, type=str)
            events = [TextDelta(0, text), Extension("x:kept", self.kept)] if self.kept else []
            self.kept = text
            return events

    reader = Reader(Keeping())
    assert reader.feed(b'data: "\\ud83d!"\n\n') == []
    assert reader.feed(b'data: "fine"\n\n') == [Start(), TextDelta(0, "fine"), Extension("x:kept", "\ufffd!")]


def test_an_event_of_64_mb_ends_the_stream_and_is_not_kept():
    reader = Reader(Wild())
    events = reader.feed(line(A) + b'data: ["')
    piece = b"x" * 65536
    for _ in range(1024):
        events += reader.feed(piece)
    events += reader.feed(b'"]\n\n')
    events += reader.close()
    assert events[:2] == [Start(), A]
    assert [(event.kind, event.detail) for event in events[2:]] == [("protocol", "too_large")]
    assert "16777216" in events[-1].message


def test_a_refused_event_is_let_go():
    tracemalloc.start()
    try:
        reader = Reader(Wild())
        reader.feed(b"data: ")
        for _ in range(320):
            reader.feed(b"x" * 65536)
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1 << 20
    assert most < (16 << 20) + (1 << 20)


def silent(reader, size):
    """Feed so many bytes of comments, as events of 64 KiB and one of what is left."""
    events = []
    while size:
        piece = min(size, 1 << 16)
        events += reader.feed(b":" + b"-" * (piece - 2) + b"\n" if piece > 1 else b"\n")
        size -= piece
    return events


def test_bytes_without_an_event_are_no_failure_up_to_the_limit():
    reader = Reader(Wild())
    assert silent(reader, SILENCE_LIMIT) == []
    assert reader.feed(line(A)) == [Start(), A]


def test_one_more_byte_without_an_event_is_no_progress_and_ends_the_stream():
    reader = Reader(Wild())
    assert silent(reader, SILENCE_LIMIT) == []
    start, failure = reader.feed(b"\n")
    assert (start, failure.kind, failure.detail) == (Start(), "protocol", "no_progress")
    assert f"{SILENCE_LIMIT + 1} bytes came without an event, after 0" in failure.message
    assert (reader.outcome, reader.feed(line(A)), reader.close()) == (failure, [], [])


def test_an_event_begins_the_count_anew():
    reader = Reader(Wild())
    for _ in range(3):
        assert silent(reader, SILENCE_LIMIT) == []
        assert reader.feed(line(A))[-1] == A
    silent(reader, SILENCE_LIMIT)
    assert reader.feed(b"\n")[-1].detail == "no_progress"


def test_frames_that_say_nothing_are_no_progress():
    reader = Reader(Wild())
    nothing = b"data: []" + b" " * ((1 << 16) - 10) + b"\n\n"
    first = reader.feed(line(A))
    for _ in range(SILENCE_LIMIT >> 16):
        assert reader.feed(nothing) == []
    assert reader.feed(nothing)[-1].detail == "no_progress"
    assert first == [Start(), A]


def test_several_frames_that_say_nothing_in_one_feed_count_as_well():
    reader = Reader(Wild())
    nothing = (b"data: []" + b" " * ((1 << 16) - 10) + b"\n\n") * 16
    events = []
    while reader.outcome is None:
        events += reader.feed(nothing)
    assert (events[-1].detail, reader.received) == ("no_progress", SILENCE_LIMIT + (1 << 20))


def test_usage_seen_before_no_progress_is_kept():
    reader = Reader(Wild())
    used = Usage(output_tokens=3)
    reader.feed(line(A, used))
    silent(reader, SILENCE_LIMIT + 1)
    assert (reader.usage, reader.outcome.detail) == (used, "no_progress")


def test_heartbeats_of_fifteen_bytes_may_go_on_for_a_month():
    reader = Reader(Wild())
    for _ in range(30 * 24 * 60 * 4):
        reader.feed(b": keep-alive 1\n")
    assert reader.feed(line(A)) == [Start(), A]
