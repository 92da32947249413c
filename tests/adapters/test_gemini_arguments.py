"""Arguments that come as paths and values: the text that they become, and that it is always JSON."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore_adapters.gemini.arguments import Arguments
from streamcore_adapters.gemini.chunk import PartialArgument


def fragments(*values: dict[str, Any]) -> list[str]:
    arguments = Arguments()
    wire = [msgspec.json.decode(json.dumps(value).encode(), type=PartialArgument) for value in values]
    return [*(arguments.feed(argument) for argument in wire), arguments.close()]


def written(*values: dict[str, Any]) -> Any:
    """What the fragments amount to."""
    return json.loads("".join(fragments(*values)))


def text(path: str, value: str) -> dict[str, Any]:
    return {"jsonPath": path, "stringValue": value, "willContinue": True}


def number(path: str, value: float) -> dict[str, Any]:
    return {"jsonPath": path, "numberValue": value}


def test_no_values_are_an_empty_object():
    assert fragments() == ["{}"]


@pytest.mark.parametrize(
    ("value", "json_text"),
    [
        ({"stringValue": 'a"\n'}, '"a\\"\\n"'),
        ({"stringValue": ""}, '""'),
        ({"numberValue": 1}, "1"),
        ({"numberValue": 6.5}, "6.5"),
        ({"boolValue": True}, "true"),
        ({"boolValue": False}, "false"),
        ({"nullValue": "NULL_VALUE"}, "null"),
        ({"nullValue": None}, "null"),
        ({"numberValue": None, "nullValue": None}, "null"),
        ({"stringValue": None, "boolValue": True}, "true"),
        ({}, "{}"),
    ],
)
def test_every_kind_of_value_is_written(value, json_text):
    assert "".join(fragments({"jsonPath": "$.a", **value})) == f'{{"a":{json_text}}}'


def test_numbers_are_written_as_they_were_sent():
    argument = msgspec.json.decode(b'{"jsonPath": "$.a", "numberValue": 1.50e2}', type=PartialArgument)
    assert Arguments().feed(argument) == '{"a":1.50e2'


def test_a_string_is_written_piece_by_piece():
    assert fragments(text("$.a", "x"), text("$.a", 'y"'), text("$.a", "")) == ['{"a":"x', 'y\\"', "", '"}']


def test_a_string_goes_on_after_what_looked_like_its_end():
    assert written({"jsonPath": "$.a", "stringValue": "x"}, {"jsonPath": "$.a", "stringValue": "y"}) == {"a": "xy"}


def test_another_path_ends_the_string():
    assert fragments(text("$.a", "x"), text("$.b", "y")) == ['{"a":"x', '","b":"y', '"}']


def test_objects_and_arrays_are_opened_and_closed():
    assert fragments(number("$.a.b[0].c", 1), number("$.a.b[0].d", 2), number("$.a.b[1].c", 3), number("$.e", 4)) == [
        '{"a":{"b":[{"c":1',
        ',"d":2',
        '},{"c":3',
        '}]},"e":4',
        "}",
    ]


def test_arrays_may_lie_in_arrays():
    assert written(number("$.a[0][0]", 1), number("$.a[0][1]", 2), number("$.a[1][0]", 3)) == {"a": [[1, 2], [3]]}


def test_an_array_without_elements_is_written():
    assert fragments({"jsonPath": "$.a[]"}) == ['{"a":[]', "}"]


def test_the_end_of_an_array_with_elements_says_nothing():
    assert fragments(number("$.a[0]", 1), {"jsonPath": "$.a[]"}, number("$.b", 2)) == ['{"a":[1', "", '],"b":2', "}"]


def test_the_end_of_an_object_with_members_says_nothing():
    assert fragments(number("$.a.b", 1), {"jsonPath": "$.a"}, number("$.c", 2)) == ['{"a":{"b":1', "", '},"c":2', "}"]


def test_the_end_of_a_string_says_nothing():
    assert fragments(text("$.a", "x"), {"jsonPath": "$.a"}) == ['{"a":"x', "", '"}']


@pytest.mark.parametrize("path", ["$['a b'].c", '$["a b"].c', "$['a b']['c']"])
def test_names_may_be_quoted(path):
    assert written(number(path, 1)) == {"a b": {"c": 1}}


@pytest.mark.parametrize("path", ["$", "", "nonsense", None])
def test_a_path_to_nowhere_says_nothing(path):
    assert fragments({"jsonPath": path, "numberValue": 1}) == ["", "{}"]


def test_the_arguments_are_no_array():
    assert fragments({"jsonPath": "$[]"}) == ["", "{}"]


def test_a_container_keeps_its_kind_whatever_the_path_says():
    assert written(number("$.a[0]", 1), number("$.a.b", 2), number("$.c.d", 3), number("$.c[0]", 4)) == {
        "a": [1, 2],
        "c": {"d": 3, "0": 4},
    }


def test_going_back_opens_a_second_member_of_the_same_name():
    values = number("$.a.b", 1), number("$.c", 2), number("$.a.d", 3)
    assert "".join(fragments(*values)) == '{"a":{"b":1},"c":2,"a":{"d":3}}'


PATHS = st.lists(
    st.sampled_from([".a", ".b", "['c d']", '["e"]', "[0]", "[1]", "[]", "[12345678901]", ".", "'"]), max_size=4
).map("".join)
VALUES = st.fixed_dictionaries(
    {"jsonPath": PATHS.map("$".__add__)},
    optional={
        "stringValue": st.none() | st.text(max_size=4),
        "numberValue": st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
        "boolValue": st.none() | st.booleans(),
        "nullValue": st.none(),
    },
)


@given(st.lists(VALUES, max_size=8))
def test_any_values_in_any_order_are_json(values):
    assert isinstance(written(*values), dict)


DOCUMENTS = st.dictionaries(
    st.sampled_from(["a", "b", "c d"]),
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
        max_leaves=8,
    ),
    max_size=3,
)


def streamed(value: Any, path: str = "$") -> list[dict[str, Any]]:
    """The document as Vertex AI would send it, strings in two pieces."""
    if isinstance(value, dict | list):
        members = value.items() if isinstance(value, dict) else enumerate(value)
        pieces = [one for name, member in members for one in streamed(member, f"{path}[{name!r}]")]
        return [*pieces, {"jsonPath": path if isinstance(value, dict) else f"{path}[]"}]
    if isinstance(value, str):
        return [text(path, value[:2]), {"jsonPath": path, "stringValue": value[2:]}]
    name = {bool: "boolValue", int: "numberValue"}.get(type(value), "nullValue")
    return [{"jsonPath": path, name: value}]


@given(DOCUMENTS)
def test_any_document_arrives_as_it_was_sent(document):
    assert written(*streamed(document)) == document
