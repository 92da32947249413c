"""The helpers that test adapters: they pass a good one, and catch what each kind of bad one does."""

from __future__ import annotations

import msgspec
import pytest
from tiny import TINY, say

from streamcore import sse
from streamcore.events import BlockEnd, Extension, Failure, Finish, Start, TextDelta, Usage
from streamcore.frames import Frame
from streamcore.testing import Recording, check_cuts, check_truncation, cuts, read

BODY = b"".join(say("Hel", "lo"))
EVENTS = [Start(), TextDelta(0, "Hel"), TextDelta(0, "lo"), Usage(output_tokens=2), BlockEnd(0), Finish("stop", "done")]
LONG = b"".join(say(*["word"] * 300))


class Framed:
    """The tiny provider with another framing or another decoder."""

    url = ""
    key_variables = ()
    encode = None

    def __init__(self, framing=sse.Parser, decoder=TINY.Decoder):
        self.framing = framing
        self.Decoder = decoder


# Reading


def test_a_body_is_read_to_its_end():
    assert read(TINY, [BODY]) == read(TINY, say("Hel", "lo")) == EVENTS


def test_no_body_at_all_is_read_too():
    assert [type(event) for event in read(TINY, [])] == [Start, Failure]


# Cuts


@pytest.mark.parametrize("body", [b"", b"a", b"abcdef", BODY, LONG])
def test_every_cut_joins_to_the_body(body):
    assert all(b"".join(chunks) == body for chunks in cuts(body))


def test_a_short_body_is_cut_byte_by_byte_in_two_everywhere_and_at_random():
    found = list(cuts(b"abc" * 100))
    assert [len(chunk) for chunk in found[0]] == [1] * 300
    assert [len(chunks[0]) for chunks in found[1:301]] == list(range(300))
    assert len(found) == 1 + 300 + 20
    assert all(len(chunk) <= 50 for chunks in found[301:] for chunk in chunks)


def test_pieces_at_random_are_of_1_to_50_bytes():
    sizes = {len(chunk) for chunks in list(cuts(LONG))[-20:] for chunk in chunks}
    assert sizes == set(range(1, 51))


@pytest.mark.parametrize(("size", "places"), [(4096, 4096), (4097, 200)])
def test_of_a_body_over_4_kib_a_sample_of_the_places_is_cut(size, places):
    found = list(cuts(b"x" * size))
    assert len(found) == 1 + places + 20
    assert len({len(chunks[0]) for chunks in found[1:-20]}) == places


def test_a_sample_is_from_the_whole_body():
    places = [len(chunks[0]) for chunks in list(cuts(LONG, samples=10))[1:-20]]
    assert len(places) == 10
    assert places == sorted(places)
    assert places[-1] > len(LONG) / 2


@pytest.mark.parametrize("samples", [None, 5000, 6000])
def test_a_long_body_is_cut_everywhere_if_asked(samples):
    body = b"x" * 5000
    assert len(list(cuts(body, samples=4999))) == 1 + 4999 + 20
    assert sum(len(chunks) == 2 for chunks in cuts(body, samples=samples)) == 5000


def test_a_seed_repeats_the_cuts():
    assert list(cuts(LONG, samples=5, seed=1)) == list(cuts(LONG, samples=5, seed=1))
    assert list(cuts(LONG, samples=5, seed=1)) != list(cuts(LONG, samples=5, seed=2))


def test_a_good_adapter_passes_with_its_events():
    assert check_cuts(TINY, BODY) == EVENTS
    assert len(check_cuts(TINY, LONG, samples=20)) == 304


class ByChunk:
    """The classic mistake: whatever comes in one read is taken for whole events."""

    stray = b""

    def feed(self, data, /):
        return [Frame(part[6:]) for part in data.split(b"\n\n") if part.startswith(b"data: {") and part.endswith(b"}")]

    def close(self):
        return None


def test_an_adapter_that_sees_chunks_is_caught_with_the_cut_and_the_event():
    assert read(Framed(ByChunk), [BODY]) == EVENTS
    with pytest.raises(
        AssertionError, match=r"cut into \[1, 1, .*\], event 1 is \[Failure\(.*one piece it is \[TextDelta"
    ):
        check_cuts(Framed(ByChunk), BODY)


class LosesTheLast(sse.Parser):
    """Gives less only when the cut is at one place."""

    def feed(self, data, /):
        return super().feed(data)[: None if len(data) != 20 else -1]


def test_one_bad_place_is_enough():
    with pytest.raises(AssertionError, match=r"cut into \[20, "):
        check_cuts(Framed(LosesTheLast), BODY)


class SaysMore(sse.Parser):
    """Gives an event twice when the body comes whole."""

    def feed(self, data, /):
        frames = super().feed(data)
        return frames[:1] + frames if len(data) > 60 else frames


def test_the_first_difference_is_what_is_shown():
    with pytest.raises(AssertionError, match=r"event 2 is \[TextDelta\(index=0, text='lo'\)\].*text='Hel'"):
        check_cuts(Framed(SaysMore), BODY)


# Truncation


def test_a_good_adapter_is_truncated_everywhere_but_at_its_end():
    check_truncation(TINY, BODY)
    check_truncation(TINY, LONG, samples=50)
    assert read(TINY, [BODY[:-2]])[-1] == Finish("stop", "done")


def test_a_body_that_fails_may_be_cut_too():
    check_truncation(TINY, b'data: {"t":"a"}\n\ndata: {"bad":"busy"}\n\n')


class Late(TINY.Decoder):
    """A provider whose usage comes after its end, as OpenAI's does: the decoder holds the end back."""

    def __init__(self):
        self.finish = []

    def feed(self, frame):
        events = super().feed(frame)
        self.finish += [event for event in events if isinstance(event, Finish)]
        return [event for event in events if not isinstance(event, Finish)]

    def close(self):
        return self.finish


def test_a_body_may_lack_the_usage_after_its_end():
    body = b'data: {"t":"a"}\n\ndata: {"end":"x"}\n\ndata: {"n":1}\n\n'
    assert Finish("stop", "x") in read(Framed(decoder=Late), [body[:40]])
    check_truncation(Framed(decoder=Late), body)


class Chatty(Late):
    """Says more at the end: about the answer, or about a block of it."""

    index = None

    def feed(self, frame):
        if frame.event == "trace":
            return [Extension("tiny:trace", "{}", self.index)]
        return super().feed(frame)


TRACED = b'data: {"t":"a","end":"x"}\n\nevent: trace\ndata: {}\n\n'


def test_a_body_may_lack_what_is_said_of_the_answer_after_its_end():
    assert read(Framed(decoder=Chatty), [TRACED])[-3:-1] == [Extension("tiny:trace", "{}"), BlockEnd(0)]
    check_truncation(Framed(decoder=Chatty), TRACED)


class ChattyOfABlock(Chatty):
    index = 0


def test_an_end_that_lacks_part_of_a_block_is_caught():
    with pytest.raises(AssertionError, match="ended after"):
        check_truncation(Framed(decoder=ChattyOfABlock), TRACED)


class Credulous(TINY.Decoder):
    """Takes the end of the body for the end of the answer."""

    def close(self):
        return [Finish("stop")]


def test_an_adapter_that_takes_a_cut_for_the_end_is_caught_with_the_length():
    with pytest.raises(AssertionError, match=r"ended after 0 of 65 bytes, the stream ends with \[Start\(.*Finish\("):
        check_truncation(Framed(decoder=Credulous), BODY)


class Guessing(Late):
    """Says another reason until it knows the right one."""

    def close(self):
        return self.finish[-1:] if len(self.finish) > 1 else [Finish("other", "guess") for _ in self.finish]


def test_an_adapter_whose_end_differs_is_caught():
    body = b'data: {"t":"a"}\n\ndata: {"end":"x"}\n\ndata: {"end":"y"}\n\n'
    with pytest.raises(AssertionError, match="guess"):
        check_truncation(Framed(decoder=Guessing), body)


class Forgetful(Late):
    """Loses the block's opaque if the body is cut right before the frame that brings it."""

    def feed(self, frame):
        if frame.event == "signature":
            return [BlockEnd(0, '{"signature":"s"}')]
        return super().feed(frame)


def test_an_end_that_lacks_a_signature_is_caught():
    body = b'data: {"t":"a","end":"x"}\n\nevent: signature\ndata: {}\n\n'
    with pytest.raises(AssertionError, match="BlockEnd"):
        check_truncation(Framed(decoder=Forgetful), body)


class Inventive(TINY.Decoder):
    """Says something of its own when the body is cut."""

    def close(self):
        return [TextDelta(0, "…")]


def test_an_adapter_that_makes_up_events_at_a_cut_is_caught():
    with pytest.raises(AssertionError, match="ended after"):
        check_truncation(Framed(decoder=Inventive), BODY)


# Recordings


@pytest.mark.parametrize(
    "recording",
    [
        Recording(adapter="tiny"),
        Recording(
            adapter="tiny",
            note="a\nb",
            written=True,
            url="https://a.invalid",
            request={"messages": [{"role": "user", "content": "é"}]},
            status=429,
            content_type="application/json",
            body="data: é\u2028\r\n\r\n",
            chunks=[5, 6],
        ),
        Recording(adapter="tiny", body_base64="/w=="),
    ],
)
def test_a_recording_is_a_file_and_back(tmp_path, recording):
    path = tmp_path / "recording.json"
    recording.save(path)
    assert Recording.load(path) == recording
    assert path.read_bytes().endswith(b"}\n")


def test_a_recording_is_easy_to_read_and_holds_only_what_was_set(tmp_path):
    path = tmp_path / "recording.json"
    Recording(adapter="tiny", body="data: é\n\n").save(path)
    assert path.read_text("utf-8") == '{\n "adapter": "tiny",\n "body": "data: é\\n\\n"\n}\n'


def test_a_recording_is_a_stream_that_went_well_unless_it_says_otherwise():
    recording = Recording(adapter="tiny")
    assert (recording.status, recording.content_type, recording.written) == (200, "text/event-stream", False)
    with pytest.raises(AttributeError):
        recording.status = 500
    with pytest.raises(TypeError):
        Recording("tiny")


def test_a_recordings_data_is_its_bytes():
    assert Recording(adapter="tiny", body="é").data == "é".encode()
    assert Recording(adapter="tiny", body_base64="/w==").data == b"\xff"


def test_a_file_that_is_no_recording_is_refused(tmp_path):
    path = tmp_path / "recording.json"
    path.write_bytes(b'{"body":"a"}')
    with pytest.raises(msgspec.ValidationError, match="adapter"):
        Recording.load(path)
