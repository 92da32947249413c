"""Every format to every other: an answer read from one and written as the other loses what was counted, and no more.

So does a request. The pairs are of all formats that can be both called and served, by their entry points.
"""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from answers import EVENTS, IMAGES
from meaning import Meaning, differences
from streamcore import adapter, dialect
from streamcore.dialect import Call
from streamcore.errors import LocalError
from streamcore.events import (
    BlockEnd,
    Citation,
    Finish,
    TextDelta,
)
from streamcore.message import Fold
from streamcore.request import (
    File,
    Image,
    Message,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Request,
    Schema,
    Target,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    prompt,
)
from streamcore.testing import check_truncation, read

FORMATS = sorted({*adapter.names()} & {*dialect.names()})
PAIRS = [(one, other) for one in FORMATS for other in FORMATS]
CALL = Call(request=prompt("Hi"))
CUTS = st.lists(st.integers(0, 5000), max_size=6)

SOME = settings(max_examples=settings.default.max_examples * 2 // 5)  # of what the profile says: there are many pairs

# Answers


def written(name, events):
    """The body in this format, and what was lost."""
    encoder = dialect.load(name).Encoder(CALL)
    return b"".join(encoder.feed(event) for event in events), dict(encoder.lost)


def cut(body, places):
    at = sorted(place % (len(body) + 1) for place in places)
    return [body[start:end] for start, end in zip([0, *at], [*at, len(body)], strict=True)]


def heard(name, body, places=()):
    return read(adapter.load(name), cut(body, places))


def matched(name, url):
    """What the parts of the path are that a dialect names in braces."""
    pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/:]+)", re.escape(dialect.load(name).path))
    found = re.search(f"{pattern}$", urlsplit(url).path)
    assert found is not None, url
    return found.groupdict()


def parsed(name, request):
    """A request as this format's dialect reads what its adapter writes, and the warnings of that."""
    version = {
        "anthropic": "/v1",
        "openai_chat": "/v1",
        "openai_responses": "/v1",
        "gemini": "/v1beta",
        "mistral": "/v1",
        "cohere": "/v2",
    }.get(name, "")
    sent = adapter.load(name).encode(request, Target(f"https://example.org{version}", "m-1"))
    return dialect.load(name).parse(sent.body, matched(name, sent.url)).request, sent.warnings


def sent_back(name, events, lost):
    """What a client of this format sends back of an answer, as our events: it brings what must come back."""
    parts = [
        shown(part)
        for part in Fold(events).message.parts
        if not isinstance(part, ToolCall) or is_object(part.arguments)
    ]
    turns = Message("user", "Hi"), Message("assistant", (*parts, Text(text="."))), Message("user", "Go on")
    try:
        request, _ = parsed(name, Request(messages=turns))
    except LocalError:
        return Meaning(events, lost)
    back = [part for message in request.messages for part in message.parts]
    raws = [raw for part in back if isinstance(part, Text) for raw in part.citations]
    opaque = [TextDelta(0, "."), *(Citation(0, raw=raw) for raw in raws)]
    return Meaning([*opaque, *(BlockEnd(0, part.opaque) for part in back), Finish("stop")], lost)


def shown(part):
    """Text that has sources needs words, or nobody sends it."""
    return structs.replace(part, text=part.text or "-") if isinstance(part, Text) and part.citations else part


def is_object(text):
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


@SOME
@pytest.mark.parametrize(("one", "other"), PAIRS)
@given(EVENTS, CUTS, CUTS)
def test_an_answer_loses_only_what_was_counted(one, other, events, places, more):
    first = heard(one, written(one, events)[0], places)
    body, lost = written(other, first)
    second = heard(other, body, more)
    assert lost.keys() <= dialect.load(other).losses.keys()
    assert differences(first, second, lost, sent_back(other, second, lost)) == []


@SOME
@pytest.mark.parametrize("name", FORMATS)
@given(EVENTS, st.integers())
def test_an_answer_cut_short_is_never_finished(name, events, seed):
    check_truncation(adapter.load(name), written(name, events)[0], samples=3, seed=seed)


# Requests

FIELDS = {"cache": False, "opaque": None, "name": None, "detail": None, "is_error": False}  # of parts, when lost

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
TURNS = [
    Message("user", "Hi"),
    Message("user", (Text(text="Look"), Image(data=IMAGES[0], media_type="image/png"))),
    Message("user", (Image(url="https://a.example/b.png"), Text(text="And this?", cache=True))),
    Message("user", (Text(text="Read"), File(data=b"%PDF-1.7", media_type="application/pdf", name="a.pdf"))),
]
SAID = [
    Message("assistant", (Text(text="Hello."),)),
    Message("assistant", (ReasoningPart(text="Hm", opaque='{"signature":"c2ln"}'), Text(text="Hello."))),
    Message("assistant", (RefusalPart(text="No."),)),
]
CALLED = Message("assistant", (Text(text="I look."), ToolCall(id="a1b2c3d4e", name="f", arguments='{"a":1}')))
RESULTS = st.sampled_from(["4", (Text(text="4"), Text(text="5"))])


@st.composite
def requests(draw):
    """What clients ask for, most of it nothing special."""
    turns = [Message("system", "Be kind.")] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(0, 2))):
        turns += [draw(st.sampled_from(TURNS)), draw(st.sampled_from(SAID))]
    turns.append(draw(st.sampled_from(TURNS)))
    tools = draw(st.sampled_from([(), (Tool("f", "Adds", SCHEMA),), (Tool("f", "", SCHEMA, strict=True), Tool("g"))]))
    if tools and draw(st.booleans()):
        result = ToolResult(id="a1b2c3d4e", name="f", content=draw(RESULTS), is_error=draw(st.booleans()))
        turns += [CALLED, Message("tool", (result,))]

    def maybe(*values):
        return draw(st.sampled_from([None, None, *values]))

    return Request(
        messages=tuple(turns),
        tools=tools,
        tool_choice=maybe("auto", "none", "required", ToolChoice("f")) if tools else None,
        parallel_tool_calls=maybe(True, False) if tools else None,
        output=maybe("json", Schema(SCHEMA), Schema(SCHEMA, "sum", "A sum", strict=True)),
        reasoning=maybe(Reasoning("low"), Reasoning("high", summary=True), Reasoning(budget_tokens=2000)),
        max_tokens=maybe(4000),
        temperature=maybe(0.0, 0.5),
        top_p=maybe(0.9),
        top_k=maybe(5),
        presence_penalty=maybe(0.5),
        frequency_penalty=maybe(-0.5),
        stop=maybe(("END",)) or (),
        seed=maybe(0, 7),
        user=maybe("u-1"),
        metadata=maybe({"team": "a"}),
        cache_key=maybe("k"),
    )


def asked(request, warned):
    """What a request asks for beside its turns, by field, without what is warned of, and what is so without saying."""
    roots = {re.split(r"[.\[]", path)[0] for path in warned}
    has_tools = request.tools and "tools" not in roots
    fields = {name: getattr(request, name) for name in request.__struct_fields__}
    fields["tools"] = [
        (tool.name, tool.description, (tool.parameters or {}).get("properties", {})) for tool in request.tools
    ]
    fields["strict"] = any(tool.strict for tool in request.tools)
    if request.tool_choice == "auto" or not has_tools:
        del fields["tool_choice"]
    elif isinstance(request.tool_choice, ToolChoice) and len(request.tools) == 1:
        fields["tool_choice"] = "required"  # that one
    if request.parallel_tool_calls or request.tool_choice == "none" or not has_tools:
        del fields["parallel_tool_calls"]
    if request.reasoning is not None and request.reasoning.summary:
        kept = structs.replace(request.reasoning, summary=None)
        fields["reasoning"] = None if kept == Reasoning() else kept
    strict = "tools" not in roots and request.tool_choice in (None, "auto")  # else a call is held to its schema anyway
    gone = {"messages", "extra", *roots, *([] if strict else ["strict"])}
    return {name: given for name, given in fields.items() if name not in gone and given not in (None, (), [], {}, "")}


def turns(request, warned=()):
    """The parts of all turns, each with its role, without what is warned of. A result's name repeats its call's."""
    found = []
    for number, turn in enumerate(request.messages):
        for place, part in enumerate(turn.parts):
            path = f"messages[{number}].content[{place}]"
            if {path, f"messages[{number}]"} & {*warned}:
                continue
            gone = {name: empty for name, empty in FIELDS.items() if f"{path}.{name}" in warned}
            kept = structs.replace(plain(part), **gone)
            found.append((turn.role, structs.replace(kept, opaque=None), kept.opaque and json.loads(kept.opaque)))
    return found


def plain(part):
    """A part without what formats add: a file's name that only some insist on, how a result's texts are joined.

    A refusal of an earlier turn is text where there is no place for it.
    """
    if isinstance(part, RefusalPart):
        return Text(text=part.text)
    if isinstance(part, File) and part.name == "file.pdf":
        return structs.replace(part, name=None)
    if isinstance(part, ToolResult):
        words = [part.content] if isinstance(part.content, str) else [text.text for text in part.content]
        return structs.replace(part, content="".join(words).replace("\n", ""), name=None)
    return part


@SOME
@pytest.mark.parametrize(("one", "other"), PAIRS)
@given(requests())
def test_a_request_loses_only_what_is_warned_of(one, other, request):
    try:
        first = structs.replace(parsed(one, request)[0], extra=None)
        second, warnings = parsed(other, first)
    except LocalError:
        return  # said aloud
    warned = [warning.field for warning in warnings]
    given, found = asked(first, warned), asked(second, warned)
    assert {name: found.get(name) for name in given} == given
    heard = turns(second)
    assert [part for part in turns(first, warned) if part not in heard] == []
