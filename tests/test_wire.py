"""What adapters share: a request's JSON, warnings, and JSON text read back."""

from __future__ import annotations

import math

import msgspec
import pytest

from streamcore.errors import LocalError
from streamcore.request import HTTPRequest, Message, Request, RequestWarning, Secret, Target, ToolCall
from streamcore.wire import (
    Warnings,
    arguments,
    base64_text,
    data_url,
    fields,
    json_text,
    opaque,
    post,
    present,
    unique,
    word,
)

REQUEST = Request(messages=(Message("user", "a"),))
TARGET = Target("https://a.invalid", "m", Secret("k"))


def write(body, *, extra=None, target=TARGET, headers=None, **options):
    request = msgspec.structs.replace(REQUEST, extra=extra)
    return post("https://a.invalid/x", body, target=target, request=request, headers=headers or {}, **options)


def body(fields, **options):
    return msgspec.json.decode(write(fields, warnings=Warnings(), **options).body)


def test_a_post_is_json_that_asks_for_events_and_no_compression():
    assert write({"a": 1}, headers={"x-api-key": "k"}, warnings=Warnings()) == HTTPRequest(
        "POST",
        "https://a.invalid/x",
        {
            "content-type": "application/json",
            "accept": "text/event-stream",
            "accept-encoding": "identity",
            "x-api-key": "k",
        },
        b'{"a":1}',
    )


def test_what_is_accepted_may_be_another_type():
    assert write({}, warnings=Warnings(), accept="application/x-ndjson").headers["accept"] == "application/x-ndjson"


def test_fields_without_a_value_are_left_out():
    assert body({"a": None, "b": 0, "c": "", "d": [], "e": False}) == {"b": 0, "c": "", "d": [], "e": False}


def test_extra_goes_over_what_was_derived():
    assert body({"a": 1, "b": 2}, extra={"b": 3, "c": None}) == {"a": 1, "b": 3, "c": None}


def test_the_targets_headers_go_over_the_adapters_whatever_their_case():
    target = Target("u", "m", headers={"Accept": "x", "X-Key": "mine", "x-more": "1"})
    headers = write({}, target=target, headers={"x-key": "theirs"}, warnings=Warnings()).headers
    assert (headers["accept"], headers["x-key"], headers["x-more"]) == ("x", "mine", "1")
    assert len(headers) == 5


class Raw(msgspec.Struct):
    value: object


CYCLE: list[object] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        [1, [math.nan]],
        {"a": {"b": math.nan}},
        ({"a": math.inf},),
        Raw(math.nan),
        "\ud83d",
        {"\ud83d": 1},
        object(),
        {1.5: 1, (): 2},
        CYCLE,
        Secret("k"),
    ],
)
@pytest.mark.parametrize("place", [lambda value: ({"a": value}, None), lambda value: ({}, {"a": value})])
def test_what_is_no_json_is_the_callers_mistake(place, value):
    fields, extra = place(value)
    with pytest.raises(LocalError, match="the request cannot be written as JSON"):
        body(fields, extra=extra)


@pytest.mark.parametrize("value", [0.5, 1e300, 2**70, [None, 1.5], {"a": None}, "null", ["null", 0.1], Raw(None), True])
def test_what_is_json_is_written(value):
    assert body({"a": value})["a"] == msgspec.to_builtins(value)


def test_warnings_are_kept_in_order_and_sent_along():
    warnings = Warnings()
    warnings.add("messages[2].content[0]", "no sound")
    warnings.unsupported(msgspec.structs.replace(REQUEST, top_k=5, seed=0), ["seed", "stop", "user", "top_k"])
    assert (
        write({}, warnings=warnings).warnings
        == warnings.items
        == (
            RequestWarning("messages[2].content[0]", "no sound"),
            RequestWarning("seed", "not supported by this provider"),
            RequestWarning("top_k", "not supported by this provider"),
        )
    )


@pytest.mark.parametrize(
    ("field", "value"), [("metadata", {}), ("extra", {}), ("stop", ()), ("stop", []), ("user", None), ("user", "")]
)
def test_a_field_that_is_empty_is_not_warned_about(field, value):
    warnings = Warnings()
    warnings.unsupported(msgspec.structs.replace(REQUEST, **{field: value}), [field])
    assert warnings.items == ()


def test_a_field_that_says_no_is_warned_about():
    warnings = Warnings()
    warnings.unsupported(msgspec.structs.replace(REQUEST, parallel_tool_calls=False), ["parallel_tool_calls"])
    assert len(warnings.items) == 1


def test_present_keeps_what_has_a_value():
    assert present({"a": None, "b": 0, "c": ()}) == {"b": 0, "c": ()}


def test_bytes_are_standard_base64():
    assert base64_text(b"\xfb\xff\xfe") == "+//+"
    assert data_url(b"\xfb", "image/png") == "data:image/png;base64,+w=="


@pytest.mark.parametrize(
    ("text", "value"), [("", {}), ("{}", {}), ('{"a":[1]}', {"a": [1]}), (' {"a":null}\n', {"a": None})]
)
def test_arguments_are_the_object_that_their_text_says(text, value):
    assert arguments(ToolCall(id="c", name="f", arguments=text)) == value


@pytest.mark.parametrize(
    "text", ["[1]", "null", '"a"', "{", "{} {}", '{"a":NaN}', '{"a":"\ud83d"}', '{"a":' + "[" * 10_000, " "]
)
def test_arguments_that_are_no_object_are_the_callers_mistake(text):
    with pytest.raises(LocalError, match=r"the arguments of tool call 'c' \(f\) are not a JSON object"):
        arguments(ToolCall(id="c", name="f", arguments=text))


class Signature(msgspec.Struct):
    signature: str | None = None


def test_an_opaque_is_read_back():
    assert opaque('{"signature":"s","other":1}', Signature) == Signature("s")


@pytest.mark.parametrize(
    "text", [None, "", "[]", "5", "{", '{"signature":5}', '{"signature":"\ud83d"}', '{"a":' + "[" * 10_000]
)
def test_an_opaque_that_another_wrote_is_none(text):
    assert opaque(text, Signature) is None


def test_an_id_is_kept_unless_it_is_taken():
    taken = {"a", "a_2"}
    assert [unique("b", 1, taken), unique("b", 2, taken), unique("a", 2, taken)] == ["b", "b_2", "a_2_2"]


def test_the_json_text_of_what_was_sent_is_what_was_sent():
    raw = msgspec.json.decode(b'{ "a" : 1e2 }', type=msgspec.Raw)
    assert json_text(raw) == '{ "a" : 1e2 }'
    assert json_text({"a": "é"}) == '{"a":"é"}'


def test_the_members_of_an_object_are_those_that_are_not_null():
    assert fields(b'{"a": 1, "b": null}') == {"a": msgspec.Raw(b"1")}
    assert fields(None) == fields(b"null") == {}
    with pytest.raises(msgspec.DecodeError):
        fields(b"[]")


def test_a_word_is_a_string_and_nothing_else():
    assert [word(raw) for raw in (None, msgspec.Raw(b"1"), msgspec.Raw(b'"a"'))] == [None, None, "a"]
