"""What is asked of a model, and the key that nobody sees."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle
import pprint

import msgspec
import pytest

from streamcore import request as vocabulary
from streamcore.errors import LocalError
from streamcore.request import (
    ExtensionPart,
    File,
    HTTPRequest,
    Image,
    Message,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Request,
    RequestWarning,
    Schema,
    Secret,
    Target,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    prompt,
)

KEY = "sk-canary-0123456789"
SECRET = Secret(KEY)
TARGET = Target("https://a.invalid", "m", SECRET, {"x-key": KEY})
HTTP = HTTPRequest("POST", "https://a.invalid", {"authorization": KEY}, KEY.encode(), (RequestWarning("seed", "no"),))


def rich(value):
    """What the library `rich` would print of a value."""
    return str(list(value.__rich_repr__())) if hasattr(value, "__rich_repr__") else repr(value)


@pytest.mark.parametrize("value", [SECRET, TARGET, HTTP, [SECRET], {"key": SECRET}, (TARGET, HTTP)], ids=repr)
@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        ascii,
        format,
        rich,
        pprint.pformat,
        "{}".format,
        "{!r}".format,
        lambda value: logging.makeLogRecord({"msg": "%s %r", "args": (value, value)}).getMessage(),
        lambda value: str(ValueError("wrong", value)),
    ],
)
def test_a_key_is_never_shown(show, value):
    assert KEY not in show(value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [SECRET, [SECRET], Target("https://a.invalid", "m", SECRET)], ids=repr)
def test_a_key_is_in_no_pickle(value, protocol):
    assert KEY.encode() not in pickle.dumps(value, protocol)


def test_a_pickled_key_comes_back_empty():
    assert pickle.loads(pickle.dumps(SECRET)).reveal() == ""


@pytest.mark.parametrize("encode", [json.dumps, msgspec.json.encode, msgspec.msgpack.encode, msgspec.to_builtins])
@pytest.mark.parametrize("value", [SECRET, {"key": SECRET}], ids=repr)
def test_a_key_cannot_be_serialised(encode, value):
    with pytest.raises(TypeError) as caught:
        encode(value)
    assert KEY not in str(caught.value)


def test_a_key_has_no_attributes_to_walk():
    with pytest.raises(TypeError):
        vars(SECRET)
    with pytest.raises(TypeError):
        dataclasses.asdict(SECRET)
    with pytest.raises(TypeError):
        iter(SECRET)


def test_a_format_that_a_key_does_not_know_shows_nothing():
    with pytest.raises(TypeError) as caught:
        format(SECRET, ">40")
    assert KEY not in str(caught.value)


def test_a_copy_in_this_process_has_the_key():
    assert copy.copy(SECRET) is copy.deepcopy(SECRET) is SECRET
    assert copy.deepcopy(TARGET).key.reveal() == KEY


def test_a_key_is_true_if_there_is_one():
    assert SECRET
    assert not Secret("")


def test_a_target_shows_where_a_request_goes():
    assert repr(TARGET) == "Target(url='https://a.invalid', model='m', key=Secret('***'), headers=['x-key'])"
    assert dict(TARGET.__rich_repr__())["url"] == "https://a.invalid"


def test_a_request_on_the_wire_shows_its_headers_names_and_its_bodys_size():
    assert repr(HTTP) == "HTTPRequest(POST https://a.invalid, headers=['authorization'], body=20 bytes)"
    assert dict(HTTP.__rich_repr__())["headers"] == ["authorization"]


def test_targets_share_no_headers():
    assert Target("u", "m").headers == {}
    assert Target("u", "m").headers is not Target("u", "m").headers


PARTS = (
    Text(text="a", citations=('{"a":1}',), cache=True, opaque="{}"),
    Image(data=b"\x89", media_type="image/png", detail="low"),
    File(id="f", name="n"),
    ReasoningPart(text="r", opaque="{}"),
    RefusalPart(text="no"),
    ToolCall(id="c", name="f", arguments="{}"),
    ToolResult(id="c", content=(Text(text="a"), Image(url="u"), File(url="u")), name="f", is_error=True),
    ExtensionPart(name="x:y", raw="{}"),
)


@pytest.mark.parametrize(
    ("content", "parts"), [("", ()), ("a", (Text(text="a"),)), (PARTS, PARTS), ((), ()), (" ", (Text(text=" "),))]
)
def test_a_message_has_parts_however_its_content_was_given(content, parts):
    assert Message("user", content).parts == parts


def test_a_request_crosses_json():
    request = Request(
        messages=(Message("system", "s"), Message("user", PARTS)),
        model="m",
        tools=(Tool("f", "d", {"type": "object"}, strict=True, cache=True),),
        tool_choice=ToolChoice("f"),
        output=Schema({"type": "object"}),
        reasoning=Reasoning("low", 5, summary=True),
        temperature=0.5,
        stop=("a",),
        metadata={"a": "b"},
        extra={"x": [1]},
    )
    assert msgspec.json.decode(msgspec.json.encode(request), type=Request) == request


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Text(text="a"), b'{"type":"text","text":"a"}'),
        (Image(url="u"), b'{"type":"image","url":"u"}'),
        (File(id="f"), b'{"type":"file","id":"f"}'),
        (ReasoningPart(text="r"), b'{"type":"reasoning","text":"r"}'),
        (RefusalPart(text="r"), b'{"type":"refusal","text":"r"}'),
        (ToolCall(id="c", name="f"), b'{"type":"tool_call","id":"c","name":"f"}'),
        (ToolResult(id="c"), b'{"type":"tool_result","id":"c"}'),
        (ExtensionPart(name="x:y", raw="{}"), b'{"type":"extension","name":"x:y","raw":"{}"}'),
        (Message("user", "a"), b'{"role":"user","content":"a"}'),
        (Tool("f"), b'{"name":"f"}'),
        (ToolChoice("f"), b'{"name":"f"}'),
        (Schema({}), b'{"schema":{}}'),
        (Reasoning(), b"{}"),
        (prompt("a"), b'{"messages":[{"role":"user","content":"a"}]}'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_asked_is_written_without_what_was_not_said(value, written):
    assert msgspec.json.encode(value) == written
    assert msgspec.json.decode(written, type=type(value)) == value


KINDS = [getattr(vocabulary, name) for name in vocabulary.__all__]
STRUCTS = [kind for kind in KINDS if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
def test_nothing_that_is_asked_can_be_changed(kind):
    assert kind.__struct_config__.frozen


def test_fields_of_every_part_and_of_a_request_are_named():
    with pytest.raises(TypeError):
        Text("a", (), True)
    with pytest.raises(TypeError):
        Request((Message("user", "a"),))


def test_flags_are_off_unless_set():
    assert not Text(text="a").cache
    assert not Tool("f").cache
    assert not ToolResult(id="c").is_error


def test_a_prompt_is_one_user_message():
    assert prompt("a", max_tokens=5) == Request(messages=(Message("user", "a"),), max_tokens=5)


def test_a_prompt_may_have_a_system_message_before_it():
    assert prompt("a", system="s").messages == (Message("system", "s"), Message("user", "a"))


def test_a_prompt_of_nothing_is_a_mistake():
    with pytest.raises(LocalError, match="at least one character"):
        prompt("")
