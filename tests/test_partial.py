"""JSON that is still being written: every state a beginning of the whole, at a price that grows with its length alone."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamcore.partial
from streamcore.errors import LocalError, StreamFailed
from streamcore.events import BlockEnd, Failure, Finish, RefusalDelta, Start, TextDelta, ToolCallDelta, ToolCallStart
from streamcore.partial import LONGEST, Partial, Partials
from streamcore.request import prompt
from streamcore.testing import ScriptedModel

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
layouts = st.fixed_dictionaries({"ensure_ascii": st.booleans(), "indent": st.none() | st.integers(0, 2)})
WORDS = """ { } [ ] , : " "a" "b\\n" "a": 1 - 2.5 1e3 0 E + true tru null NaN \\ \\u00 \\ud83d \\ude00 x é """
fragments = st.sampled_from([*WORDS.split(), " ", "\n"])


@st.composite
def pieces(draw):
    """A value, and its document in pieces."""
    value = draw(values)
    text = json.dumps(value, **draw(layouts))
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=30)))
    return value, [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


def paths(value, path=()):
    """Every path of keys and indices in a value."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in inside:
        yield from paths(item, (*path, step))


def at(value, path):
    for step in path:
        value = value[step]
    return value


def is_beginning(part, whole):
    if isinstance(part, dict):
        keys = list(part)
        return (
            isinstance(whole, dict)
            and keys == list(whole)[: len(keys)]
            and all(part[key] == whole[key] for key in keys[:-1])
            and all(is_beginning(part[key], whole[key]) for key in keys[-1:])
        )
    if isinstance(part, list):
        last = len(part) - 1
        return (
            isinstance(whole, list)
            and part[:last] == whole[: max(last, 0)]
            and all(is_beginning(item, whole[last]) for item in part[-1:])
        )
    return whole.startswith(part) if isinstance(part, str) and isinstance(whole, str) else part == whole


def document(*texts):
    found = Partial(0)
    for text in texts:
        found.feed(text)
    return found


def ended(*texts):
    found = document(*texts)
    found.close()
    return found


@given(pieces())
def test_the_last_value_is_that_of_the_document(case):
    value, texts = case
    found = ended(*texts)
    assert (found.value, found.complete, found.broken) == (value, True, None)
    assert found.text == "".join(texts)


@given(pieces())
def test_every_value_on_the_way_is_a_beginning_of_the_last(case):
    value, texts = case
    found = document()
    for text in texts:
        found.feed(text)
        assert found.value is None or is_beginning(found.value, value)


@given(pieces(), st.booleans())
def test_what_is_complete_is_final_and_stays_complete(case, looks):
    value, texts = case
    found = document()
    complete = {}
    for text in texts:
        found.feed(text)
        if looks:
            assert found.value is None or is_beginning(found.value, value)
        for path in paths(value):
            if found.is_complete(*path):
                complete.setdefault(path, copy.deepcopy(at(found.value, path)))
            else:
                assert path not in complete
    found.close()
    assert all(at(value, path) == item for path, item in complete.items())
    assert all(found.is_complete(*path) for path in paths(value))


@given(st.lists(fragments, max_size=9), st.integers(0, 40))
def test_exactly_what_is_json_is_complete(found, place):
    text = "".join(found)
    try:
        value = json.loads(text, parse_constant=int)
    except ValueError:
        assert not ended(text[:place], text[place:]).complete
    else:
        assert ended(text[:place], text[place:]).complete
        if "\\ud83d" not in text and "\\ude00" not in text:
            assert ended(text[:place], text[place:]).value == value


def test_a_string_is_seen_from_its_quote_on():
    found = document('{"city": "')
    assert found.value == {"city": ""}
    found.feed("Lis")
    assert found.value == {"city": "Lis"}
    assert not found.is_complete("city")
    found.feed('bon"')
    assert found.value == {"city": "Lisbon"}
    assert found.is_complete("city")
    assert not found.is_complete()


def test_a_string_in_a_list_is_there_once():
    found = document('["a", "b')
    assert found.value == ["a", "b"]
    assert (found.is_complete(0), found.is_complete(1), found.is_complete(-1)) == (True, False, False)
    found.feed('c"')
    assert found.value == ["a", "bc"]
    assert found.is_complete(-1)


def test_keys_and_numbers_come_when_they_are_whole():
    assert document('{"cit').value == {}
    assert document('{"city"').value == {}
    assert document('{"n": 12').value == {}
    assert document('{"n": 12,').value == {"n": 12}
    assert document('{"yes": tr').value == {}
    assert ended("12").value == 12


def test_an_escape_is_shown_when_it_is_whole():
    found = document('"a')
    for text in r"\u00e9\ud83d\ude00\n":
        found.feed(text)
        assert found.value in {"a", "aé", "aé😀", "aé😀\n"}
    assert found.value == "aé😀\n"


def test_half_a_surrogate_pair_is_a_question_mark_while_it_grows_and_after():
    for text in (r"\ud83dx", r"\ud83d\n", r"\ude00"):
        found = document('"', text)
        before = found.value
        found.feed('"')
        found.close()
        assert found.value == before
        assert "?" in before


def test_what_is_at_no_path_is_not_complete():
    found = ended('{"a": [1, "x"]}')
    assert found.is_complete("a", 1)
    for path in (("b",), ("a", 2), ("a", "x"), ("a", 0, 0), ("a", 1, 0)):
        assert not found.is_complete(*path)


def test_a_whole_document_is_complete_when_its_block_has_ended():
    found = document("{}")
    assert (found.value, found.complete) == ({}, False)
    found.close()
    assert (found.complete, found.is_complete()) == (True, True)


@pytest.mark.parametrize(
    ("texts", "value", "why"),
    [
        (["```json"], None, "invalid char"),
        (["Sure, ", "here it is"], None, "invalid char"),
        (['{"a": 1 "b": ', '"x'], {"a": 1}, "after key and value"),
        (['[1 2, "x'], [1], "after array element"),
        (['{"a": "x', "\\q", "more"], {"a": "x"}, "inside a string"),
        (['{"a": "x', '\n"}'], {"a": "x"}, "invalid character inside string"),
        (['{"a": 1}', " {}"], {"a": 1}, "trailing garbage"),
        (['{"a": 1}', ' "x'], {"a": 1}, "ended inside a string"),
        (['{"a": 1, "b": [2'], {"a": 1, "b": [2]}, "premature EOF"),
        (['{"a": "x', "\\u12"], {"a": "x"}, "ended inside a string"),
        (["[1, ", "9" * LONGEST, "9]"], [1], "more than 4300"),
        (["[1e999999999999999999999]"], [], "InvalidOperation"),
        ([r'["\ud83d\ud83d\ude00"]'], [], "codec can't decode"),
        ([""], None, "premature EOF"),
    ],
)
def test_what_is_no_json_says_so_and_keeps_what_came(texts, value, why):
    found = ended(*texts)
    assert why in found.broken
    assert (found.value, found.text, found.complete) == (value, "".join(texts), False)


def test_what_came_whole_before_a_fault_stays_complete():
    found = ended('{"a": 1, "b": [2, "x')
    assert (found.is_complete("a"), found.is_complete("b", 0)) == (True, True)
    assert (found.is_complete("b"), found.is_complete("b", 1), found.is_complete()) == (False, False, False)


def test_what_follows_a_fault_is_text_alone():
    found = document("[1 2", " 3]")
    assert (found.text, found.value) == ("[1 2 3]", [1])


def test_a_key_that_comes_twice_is_written_again():
    found = document('{"a": "first", "a": "se')
    assert found.value == {"a": "se"}
    assert not found.is_complete("a")


def test_half_a_surrogate_pair_in_the_text_itself_is_no_fault():
    assert ended('"\ud83d"').value == "?"


def test_numbers_of_4300_digits_are_read():
    assert ended("[", "9" * LONGEST, "]").value == [int("9" * LONGEST)]


def test_deep_documents_are_read():
    deep = 100_000
    found = ended("[" * deep + "]" * deep)
    assert found.complete


@pytest.mark.parametrize(
    "text", ['{"text": "%s"}' % ("word \\n " * 4000), json.dumps([{"id": n, "name": "x"} for n in range(2000)])]
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_parser_is_given_every_byte_once(monkeypatch, text, size):
    given = []
    library = streamcore.partial._ijson()
    real = library.basic_parse_coro

    class Counted:
        def __init__(self, target):
            parser = real(target)
            self.close = parser.close
            self.send = lambda data: (given.append(data), parser.send(data))

    monkeypatch.setattr(library, "basic_parse_coro", Counted)
    found = ended(*[text[start : start + size] for start in range(0, len(text), size)])
    assert found.value == json.loads(text)
    assert b"".join(given) == text.encode()


@pytest.mark.parametrize("what", ["a", "\\n", '", "'])
def test_the_work_on_a_growing_string_grows_with_its_length(monkeypatch, what):
    seen = 0
    real = streamcore.partial._at

    def counted(pattern, text):
        nonlocal seen
        seen += len(text)
        return real(pattern, text)

    monkeypatch.setattr(streamcore.partial, "_at", counted)
    document('["', *([what] * 10_000))
    assert seen < 3 * 10_000 * len(what)


def test_the_documents_of_parallel_calls_are_told_apart():
    documents = Partials()
    (first,) = documents.feed([Start(), ToolCallStart(0, "call-1", "weather")])
    assert (first.index, first.id, first.name, first.value) == (0, "call-1", "weather", None)
    changed = documents.feed(
        [
            ToolCallStart(1, "call-2", "time"),
            ToolCallDelta(0, '{"city": "Lis'),
            ToolCallDelta(1, '{"zone": "UT'),
            ToolCallDelta(0, 'bon"}'),
        ]
    )
    assert [(item.id, item.value) for item in changed] == [("call-2", {"zone": "UT"}), ("call-1", {"city": "Lisbon"})]
    assert changed[1] is first
    assert documents.feed([BlockEnd(0)]) == [first]
    assert first.complete
    assert documents.feed([ToolCallDelta(1, 'C"}'), BlockEnd(1), Finish("tool_calls")])[0].value == {"zone": "UTC"}


def test_a_text_is_a_document_without_a_name():
    documents = Partials()
    (found,) = documents.feed([Start(), TextDelta(0, '{"a":'), TextDelta(0, " 1}"), BlockEnd(0)])
    assert (found.index, found.id, found.name, found.value, found.complete) == (0, None, None, {"a": 1}, True)


def test_a_call_without_arguments_has_an_empty_object():
    (found,) = Partials().feed([ToolCallStart(0, "call-1", "now"), BlockEnd(0)])
    assert (found.value, found.complete, found.text) == ({}, True, "")


def test_what_is_no_document_changes_none():
    assert Partials().feed([Start(), RefusalDelta(0, "no"), BlockEnd(0), Finish("refusal")]) == []


def test_a_document_shows_what_it_is():
    found = document('{"a": 1, "b')
    assert repr(found) == "Partial(0, id=None, name=None, growing, value={'a': 1})"
    found.close()
    assert "broken: the text ended" in repr(found)
    assert ", complete, value=1)" in repr(ended("1"))


def test_without_ijson_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ijson.backends.yajl2_c", None)
    with pytest.raises(LocalError, match=r"streamcore\[partial\]"):
        Partial(0)


def test_ijson_is_loaded_with_the_first_document():
    code = "import sys, streamcore.stream, streamcore.partial; print('ijson' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


CALL = [Start(), ToolCallStart(0, "call-1", "weather"), ToolCallDelta(0, '{"city": "Lis'), ToolCallDelta(0, 'bon"}')]


@pytest.mark.anyio
async def test_a_stream_gives_each_document_whenever_it_has_grown():
    async with ScriptedModel([*CALL, BlockEnd(0), Finish("tool_calls")]).stream(prompt("hi")) as stream:
        seen = [(item.name, copy.copy(item.value), item.complete) async for item in stream.partial()]
    assert seen == [
        ("weather", None, False),
        ("weather", {"city": "Lis"}, False),
        ("weather", {"city": "Lisbon"}, False),
        ("weather", {"city": "Lisbon"}, True),
    ]


@pytest.mark.anyio
async def test_a_failure_is_raised_after_the_documents_before_it():
    seen = []
    async with ScriptedModel([*CALL, Failure("overloaded", "busy")]).stream(prompt("hi")) as stream:
        with pytest.raises(StreamFailed, match="busy"):
            async for item in stream.partial():
                seen.append(copy.copy(item.value))
    assert seen == [None, {"city": "Lis"}, {"city": "Lisbon"}]
