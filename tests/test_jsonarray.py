"""The framing of streamed JSON arrays: what it cuts, what it leaves, and that no cut matters."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.errors import FramingError
from streamcore.frames import EVENT_LIMIT, Frame
from streamcore.jsonarray import Parser


def framed(*chunks):
    """All frames, the one the body was cut off in, and what was stray."""
    parser = Parser()
    frames = [frame for chunk in chunks for frame in parser.feed(chunk)]
    return frames, parser.close(), parser.stray


def element(text):
    return Frame(text.encode(), "element")


END = Frame(b"]", "end")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('ab"\\{}[],: \n\x00é😀\u2028'), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('k"\\{}', max_size=3), inner, max_size=3),
    max_leaves=12,
)
OBJECTS = st.lists(st.dictionaries(st.text('k"\\{}[]', max_size=3), JSON, max_size=3), max_size=4)


def test_elements_of_an_array_are_frames_as_sent():
    assert framed(b'[{ "a": 1 }\n,\r\n{"b":\t[2, {}]}\n]\n') == (
        [element('{ "a": 1 }'), element('{"b":\t[2, {}]}'), END],
        None,
        b"",
    )


def test_an_element_is_available_with_its_last_brace():
    parser = Parser()
    assert parser.feed(b'[{"a": {') == []
    assert parser.feed(b"}}") == [element('{"a": {}}')]


def test_the_end_of_the_array_is_a_frame_of_its_own():
    parser = Parser()
    assert parser.feed(b"[{}") == [element("{}")]
    assert parser.feed(b"\n]") == [END]


def test_an_empty_array_is_only_its_end():
    assert framed(b"[ ]") == ([END], None, b"")


def test_an_array_in_the_array_does_not_end_it():
    assert framed(b"[[{}], {}]")[0] == [element("{}"), element("{}"), END]


def test_objects_without_an_array_are_messages():
    assert framed(b'{"a":1}\n{"b":2} {"c":3}')[0] == [Frame(b'{"a":1}'), Frame(b'{"b":2}'), Frame(b'{"c":3}')]


def test_an_object_after_the_array_is_a_message():
    assert framed(b"[{}]{}")[0] == [element("{}"), END, Frame(b"{}")]


def test_an_array_inside_an_object_is_part_of_it():
    assert framed(b'{"a": [{"b": []}]}')[0] == [Frame(b'{"a": [{"b": []}]}')]


@pytest.mark.parametrize(
    "text", [r'{"a": "}"}', r'{"a": "\"}"}', r'{"a": "\\"}', r'{"a": "{[\\\"]}"}', r'{"}": "\u007d{"}']
)
def test_braces_and_quotes_inside_strings_mean_nothing(text):
    assert framed(f"[{text}]".encode())[0] == [element(text), END]


@pytest.mark.parametrize(
    "text", [r'[{"a": "}"}]', r'[{"a": "\"}"}]', r'[{"a": "\\"}]', r'[{"\\\"": "{"}, {}]', "\ufeff[{}]"]
)
def test_no_cut_changes_the_frames(text):
    body = text.encode()
    whole = framed(body)
    for first in range(len(body) + 1):
        for second in range(first, len(body) + 1):
            assert framed(body[:first], body[first:second], body[second:]) == whole


def test_a_byte_order_mark_at_the_start_is_dropped():
    assert framed(b"\xef\xbb\xbf[{}]") == ([element("{}"), END], None, b"")


def test_a_byte_order_mark_may_come_in_pieces():
    assert framed(b"\xef", b"", b"\xbb", b"\xbf", b"[{}]") == ([element("{}"), END], None, b"")


def test_a_later_byte_order_mark_is_stray():
    assert framed(b"[\xef\xbb\xbf{}]") == ([element("{}"), END], None, b"\xef\xbb\xbf")


def test_half_a_byte_order_mark_is_stray():
    assert framed(b"\xef\xbb") == ([], None, b"\xef\xbb")


def test_an_object_that_is_cut_off_is_returned_by_close():
    assert framed(b'[{"a": 1}, {"b": "') == ([element('{"a": 1}')], element('{"b": "'), b"")


def test_an_array_that_is_cut_off_between_elements_has_no_end():
    assert framed(b'[{"a": 1}\n,') == ([element('{"a": 1}')], None, b"")


def test_a_body_without_bytes_has_no_frame():
    assert framed() == ([], None, b"")


def test_close_says_the_same_thing_once():
    parser = Parser()
    parser.feed(b'{"a"')
    assert [parser.close(), parser.close()] == [Frame(b'{"a"'), None]


@pytest.mark.parametrize(
    ("body", "stray"),
    [
        (b"true, {}", b"true, "),
        (b'["no {object}", {}]', b'"no {object}", '),
        (b'[{}, "open {', b'"open {'),
        (b'"\\"{', b'"\\"{'),
        (b"{}]", b"]"),
        (b"}{}", b"}"),
        (b"[1, 2]", b"1, 2"),
    ],
)
def test_what_is_neither_object_nor_array_is_stray_however_it_is_cut(body, stray):
    assert framed(body)[2] == stray
    assert framed(*(body[at : at + 1] for at in range(len(body))))[2] == stray


def test_what_is_stray_breaks_no_frame():
    assert framed(b'["no {object}", nonsense {}]')[0] == [element("{}"), END]


def test_stray_bytes_are_bounded():
    parser = Parser()
    for _ in range(100):
        parser.feed(b"x" * 1000)
    assert len(parser.stray) == 4096


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_the_limit_is_an_error_with_the_frames_before_it(chunk):
    body = b'[{"a": 1}, {"b": "' + b"x" * 100 + b'"}]'
    parser = Parser(limit=50)
    frames = []

    def feed_all():
        for at in range(0, len(body), chunk):
            frames.extend(parser.feed(body[at : at + chunk]))

    with pytest.raises(FramingError) as caught:
        feed_all()
    assert [*frames, *caught.value.frames] == [element('{"a": 1}')]
    assert caught.value.failure.kind == "protocol"
    assert caught.value.failure.detail == "too_large"
    assert "limit of 50 bytes" in caught.value.failure.message


def test_the_limit_says_how_much_was_seen():
    parser = Parser(limit=10)
    parser.feed(b'{"a": "')
    with pytest.raises(FramingError, match="limit of 10 bytes: 14 bytes seen, 7 of them just now"):
        parser.feed(b'bcdef"}}')


def test_the_limit_holds_for_whatever_is_fed_later():
    parser = Parser(limit=2)
    with pytest.raises(FramingError) as first:
        parser.feed(b'{"a": 1}')
    with pytest.raises(FramingError) as second:
        parser.feed(b"{}")
    assert second.value.failure is first.value.failure
    assert second.value.frames == []
    assert parser.close() is None


def test_an_object_of_just_the_limit_passes():
    assert Parser(limit=8).feed(b'{"a": 1}') == [Frame(b'{"a": 1}')]


def test_the_limit_is_for_one_object_not_for_the_body():
    assert len(Parser(limit=8).feed(b'[{"a": 1}' + b', {"a": 1}' * 99)) == 100


def test_the_limit_is_the_one_of_all_framings():
    assert Parser()._limit == EVENT_LIMIT


def test_a_string_of_a_million_escapes_may_be_cut_anywhere():
    """Anything worse than linear would not come back from this."""
    body = b'[{"a": "' + b'\\"{' * 500_000 + b'"}]'
    for chunk in (len(body) // 2, 4096, 61):
        frames, _, _ = framed(*(body[at : at + chunk] for at in range(0, len(body), chunk)))
        assert frames == [Frame(body[1:-1], "element"), END]


@given(objects=OBJECTS, data=st.data())
def test_whatever_is_in_the_objects_they_come_out_whole(objects, data):
    indent = data.draw(st.sampled_from([None, 2]))
    texts = [json.dumps(value, ensure_ascii=data.draw(st.booleans()), indent=indent) for value in objects]
    body = ("[" + data.draw(st.sampled_from([",", "\n,\r\n", " , "])).join(texts) + "]").encode()
    rng = random.Random(data.draw(st.integers(0, 99)))
    cuts = sorted(rng.sample(range(len(body)), min(len(body), rng.randint(0, 12))))
    chunks = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert framed(*chunks) == ([*(element(text) for text in texts), END], None, b"")


@given(st.lists(st.binary(max_size=6) | st.text('[]{}", \\', max_size=8).map(str.encode), max_size=8))
def test_no_bytes_raise_and_no_cut_of_them_matters(chunks):
    body = b"".join(chunks)
    assert framed(*chunks) == framed(body) == framed(*(body[at : at + 1] for at in range(len(body))))
