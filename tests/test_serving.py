"""What dialects share: reading what clients send, and what an answer is written from."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given as given_any
from msgspec import Raw

from strategies import streams
from streamcore.errors import LocalError
from streamcore.events import (
    Attachment,
    BlockEnd,
    Citation,
    Extension,
    Failure,
    FailureKind,
    Finish,
    Start,
    TextDelta,
    Usage,
)
from streamcore.failures import http_failure
from streamcore.message import Fold
from streamcore.serving import (
    STATUSES,
    base64_bytes,
    events,
    given,
    one_line,
    plain,
    read,
    read_body,
    split,
    unsaid,
)

DEEP = b'{"a":' + b"[" * 100_000


class Inner(msgspec.Struct):
    name: str


class Outer(msgspec.Struct, rename="camel"):
    one_thing: Inner | None = None
    items: list[Inner] = []
    raw: Raw = Raw()


@pytest.mark.parametrize("kind", FailureKind.__args__)
def test_every_failure_has_a_status_from_which_its_kind_is_read(kind):
    read_back = {"protocol": "server", "truncated": "server", "connection": "server", "quota": "rate_limit"}
    assert http_failure(STATUSES[kind], {}, b"").kind == read_back.get(kind, kind)


def test_json_is_read_as_its_type():
    assert read(b'{"oneThing":{"name":"a"},"x":1}', Outer, "") == Outer(Inner("a"))
    assert read(Raw(b"[1]"), list[int], "a.b") == [1]
    assert read_body(b'{"x":"\xc3\xa9"}', dict[str, str]) == {"x": "é"}


@pytest.mark.parametrize(
    ("data", "path", "words"),
    [
        (b"[]", "", "the body: Expected `object`, got `array`"),
        (b"[]", "a[0]", "a[0]: Expected `object`, got `array`"),
        (b'{"oneThing":{"name":1}}', "", "oneThing.name: Expected `str`, got `int`"),
        (b'{"oneThing":{"name":1}}', "a[0]", "a[0].oneThing.name: Expected `str`, got `int`"),
        (b'{"oneThing":{}}', "", "oneThing.name: is missing"),
        (b'{"items":[{"name":"a"},{}]}', "a", "a.items[1].name: is missing"),
        (b"{", "", "the body: not JSON: Input data was truncated"),
        (b"{} 1", "a", "a: not JSON: JSON is malformed: trailing characters (byte 4)"),
        (b'{"oneThing":{"name":"\xff"}}', "a", "a: not JSON: 'utf-8' codec can't decode byte 0xff in position 0"),
        (DEEP, "", "the body: nested too deeply"),
        (DEEP, "a", "a: nested too deeply"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_in_the_request(data, path, words):
    with pytest.raises(LocalError) as caught:
        read(data, Outer, path)
    assert str(caught.value).startswith(words)


def test_a_missing_member_of_the_body_is_named_alone():
    with pytest.raises(LocalError, match="^name: is missing$"):
        read(b"{}", Inner, "")


def test_an_element_of_a_list_has_its_place():
    with pytest.raises(LocalError, match=r"^\[1\]: Expected `int`, got `str`$"):
        read(b'[1,"a"]', list[int], "")
    with pytest.raises(LocalError, match=r"^tools\[1\]: Expected `int`, got `str`$"):
        read(b'[1,"a"]', list[int], "tools")


@pytest.mark.parametrize("type", [Raw, Outer, dict[str, Any]])
def test_a_body_is_utf_8_where_nobody_looks_too(type):
    with pytest.raises(LocalError, match="^the body: not UTF-8: "):
        read_body(b'{"raw":{"x":"\xff"}}', type)


@pytest.mark.parametrize(
    ("raw", "is_given"), [(b"", False), (b"null", False), (b"0", True), (b'""', True), (b"{}", True)]
)
def test_a_raw_field_is_given_unless_it_is_absent_or_null(raw, is_given):
    assert given(Raw(raw)) is is_given


def test_an_object_is_split_into_what_is_known_and_what_is_left():
    known, rest = split(b'{"oneThing":null,"one_thing":1,"b":2,"c":null}', Outer, "")
    assert known == Outer()
    assert rest == {"one_thing": Raw(b"1"), "b": Raw(b"2")}
    assert plain(rest) == {"one_thing": 1, "b": 2}


@pytest.mark.parametrize("data", [b"[]", b'{"items":1}'])
def test_what_is_not_such_an_object_cannot_be_split(data):
    with pytest.raises(LocalError, match=r"^a(\.items)?: Expected"):
        split(data, Outer, "a")


def test_base64_is_strict():
    assert base64_bytes("+//+", "a") == b"\xfb\xff\xfe"
    for text in ("+//", "-__-", "+//+\n", "é"):
        with pytest.raises(LocalError, match=r"^a\[0\]: not base64: "):
            base64_bytes(text, "a[0]")


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ('{"a":1}', b'{"a":1}'),
        (' {"a": 1.50}\n', b'{"a": 1.50}'),
        (' {"a":\r\n 1.50}\n', b'{"a":1.50}'),
        ("[1,\r2]", b"[1,2]"),
        ('"a\\nb"', b'"a\\nb"'),
        ("7", b"7"),
    ],
)
def test_json_text_is_put_on_one_line_and_is_else_as_it_was(text, raw):
    assert one_line(text) == Raw(raw)


@pytest.mark.parametrize("text", [None, "", "{", "{} {}", '"a\nb"', '"\ud83d"', "\u00a01", "[" * 100_000])
def test_what_is_no_json_is_no_line(text):
    assert one_line(text) is None


def test_json_text_may_have_to_begin_with_something():
    assert one_line(" [1]", b"[{") == Raw(b"[1]")
    assert one_line("1", b"[{") is None


def test_only_what_a_failure_has_is_unsaid():
    failure = Failure("timeout", "x", status=504, should_retry=False)
    assert unsaid(failure, ["detail", "status", "should_retry"]) == ["Failure.status", "Failure.should_retry"]
    assert unsaid(failure, ["detail"]) == []


@given_any(streams())
def test_what_a_fold_holds_amounts_to_the_same_again(stream):
    fold = Fold(stream)
    again = Fold(events(fold))
    assert again.message == fold.message
    assert (again.id, again.model, again.usage) == (fold.id, fold.model, fold.usage)
    assert (again.text, again.reasoning, again.refusal) == (fold.text, fold.reasoning, fold.refusal)
    assert again.extensions == fold.extensions
    assert again.outcome == fold.outcome


def test_sources_stand_with_their_text():
    source = Citation(0, "https://a", "A", "words", 0, 2, raw="{}")
    found = [Start(), TextDelta(0, "Hi"), source, BlockEnd(0, '{"id":1}'), Usage(1, 2), Finish("stop")]
    assert list(events(Fold(found))) == found


def test_an_answer_that_has_not_ended_was_cut():
    *_, last = events(Fold([Start(), TextDelta(0, "Hi")]))
    assert last == Failure("truncated", "the answer had not ended")


def test_two_parts_may_have_been_one_block():
    found = [Attachment(0, "image/png", b"1"), Extension("x", "{}", 0), BlockEnd(0), TextDelta(1, "a"), BlockEnd(1)]
    whole = [Start(), *found, Finish("stop")]
    together = lambda part, following: type(following).__name__ == "ExtensionPart"  # noqa: E731
    assert list(events(Fold(whole), together=together)) == whole
    assert [event.index for event in events(Fold(whole)) if isinstance(event, BlockEnd)] == [0, 1, 2]
