"""The adapter `mistral`: its recordings, what goes back, and what it sends."""

from __future__ import annotations

import json
import os
import re
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import grammar
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import OWN, params

from adapters import plain_openai_chat as plain
from streamcore.adapter import Adapter
from streamcore.errors import LocalError
from streamcore.events import Failure, Finish, Usage
from streamcore.message import Fold
from streamcore.request import (
    ExtensionPart,
    File,
    Image,
    Message,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Request,
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
from streamcore.testing import Recording, check_cuts, check_truncation, read
from streamcore_adapters import mistral

FUZZING = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
TARGET = Target(mistral.url, "magistral-medium-latest", Secret("very-secret"))
ENTRY_POINTS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["entry-points"]
FOREIGN = '{"signature":"c2ln"}'
CUT_SHORT = {"mistral-chat-mistral-thinking-streaming-a4411e"}  # two chunks of two answers
STREAMS = [
    param
    for param in params("streams-chat_completions")
    if param.values[0] is None or param.values[0].fields["provider"] == "mistral"
]
EMPTY = {
    "mistral-chat-streaming-ministral-3b-tiny-tool-ad8863",
    "mistral-chat-streaming-mistral-small-tiny-tool-82cf8a",
}
WHOLE = [row for row in STREAMS if row.id not in CUT_SHORT]
# Every field of the request that the API documents; it refuses any other.
DOCUMENTED = {
    "model",
    "messages",
    "stream",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "presence_penalty",
    "frequency_penalty",
    "stop",
    "random_seed",
    "metadata",
    "prompt_cache_key",
}


def samples(body: bytes) -> int | None:
    """How many cuts of a long body are tried."""
    return None if FUZZING else max(4, 15_000 // len(body))


def ask(*parts: Any, role: Any = "user", **fields: Any) -> Request:
    return Request(messages=(Message(role, parts or "Hi"),), **fields)


def body_of(request: Request) -> dict[str, Any]:
    return json.loads(mistral.encode(request, TARGET).body)


def turn_of(*parts: Any, role: Any = "assistant") -> dict[str, Any]:
    (turn,) = body_of(ask(*parts, role=role))["messages"]
    return turn


def warnings_of(request: Request) -> list[str]:
    return [warning.field for warning in mistral.encode(request, TARGET).warnings]


def thinking(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}], **more, "closed": True}


# The module


def test_it_is_an_adapter():
    adapter: Adapter = mistral
    assert isinstance(adapter, Adapter)


def test_it_is_registered_by_its_name():
    value = ENTRY_POINTS["streamcore.adapters"]["mistral"]
    assert EntryPoint("mistral", value, "streamcore.adapters").load() is mistral


# Recordings


@pytest.mark.parametrize("row", STREAMS)
def test_a_recording_says_what_a_plain_reading_of_it_says(row):
    fold, wanted = Fold(read(mistral, [row.body])), plain.decode(row.body)
    usage = None if fold.usage is None else msgspec.structs.asdict(fold.usage)
    assert (fold.id, fold.model) == (wanted.id, wanted.model)
    assert fold.text == wanted.text
    assert fold.reasoning == wanted.reasoning
    assert usage == wanted.usage


@pytest.mark.parametrize("row", WHOLE)
def test_a_recording_makes_the_tool_calls_of_a_plain_reading(row):
    made = Fold(read(mistral, [row.body])).tool_calls
    assert [(call.id, call.name, call.arguments) for call in made] == plain.decode(row.body).tool_calls


@pytest.mark.parametrize("row", WHOLE)
def test_a_recording_finishes_as_in_a_plain_reading(row):
    wanted = plain.decode(row.body)
    assert read(mistral, [row.body])[-1] == Finish(wanted.finish, wanted.reason)


@pytest.mark.parametrize("row", [row for row in STREAMS if row.id in CUT_SHORT])
def test_a_recording_that_is_not_whole_fails(row):
    assert read(mistral, [row.body])[-1].kind == "truncated"


@pytest.mark.parametrize("row", STREAMS)
def test_a_recording_reads_the_same_however_it_is_cut(row):
    grammar.check(check_cuts(mistral, row.body, samples=samples(row.body)))


@pytest.mark.parametrize("row", WHOLE)
def test_a_recording_that_ends_before_its_finish_reason_is_never_whole(row):
    first = re.search(rb'"finish_reason": ?"', row.body).end()
    assert type(read(mistral, [row.body[:first]])[-1]) is Failure


@pytest.mark.parametrize("row", [row for row in WHOLE if row.id in EMPTY])
def test_an_answer_of_one_token_may_say_nothing(row):
    fold = Fold(read(mistral, [row.body]))
    assert fold.outcome == Finish("length", "length")
    assert fold.message.parts == ()


# Recordings of our own


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in sorted(OWN.glob("mistral-*.json"))])
def test_our_recordings_hold_wherever_they_are_cut(path):
    recording = Recording.load(path)
    check_cuts(mistral, recording.data, samples=samples(recording.data))
    check_truncation(mistral, recording.data[: recording.data.rindex(b"data: [DONE]")], samples=samples(recording.data))


def test_our_recording_of_thinking_with_tools():
    fold = Fold(read(mistral, [Recording.load(OWN / "mistral-thinking-tools.json").data]))
    assert fold.reasoning == "Two cities, two calls."
    assert [(call.id, call.name, call.arguments) for call in fold.tool_calls] == [
        ("Ab3dE6gH9", "weather", '{"city": "Zürich"}'),
        ("Jk4mN7pQ2", "weather", '{"city":"Bern"}'),
    ]
    assert fold.usage == Usage(120, 41, 64)
    assert fold.outcome == Finish("tool_calls", "tool_calls")
    assert body_of(Request(messages=(fold.message, Message("user", "Go on"))))["messages"][0] == {
        "role": "assistant",
        "content": [thinking("Two cities, two calls.", signature="bm90IG9uZQ==")],
        "tool_calls": [
            {
                "id": "Ab3dE6gH9",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"city": "Zürich"}'},
            },
            {"id": "Jk4mN7pQ2", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}},
        ],
    }


def test_our_recording_of_references():
    fold = Fold(read(mistral, [Recording.load(OWN / "mistral-references.json").data]))
    assert fold.text == "The sky scatters blue light most."
    turn, _ = body_of(Request(messages=(fold.message, Message("user", "Go on"))))["messages"]
    assert turn["content"] == [
        {"type": "text", "text": "The sky scatters blue light most."},
        {"type": "reference", "reference_ids": [0, 2]},
    ]


# The frame of a request


def test_the_smallest_request():
    request = mistral.encode(prompt("Hi"), TARGET)
    assert (request.method, request.url) == ("POST", "https://api.mistral.ai/v1/chat/completions")
    assert json.loads(request.body) == {
        "model": "magistral-medium-latest",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
    }
    assert request.warnings == ()


def test_the_key_goes_into_its_header_alone():
    request = mistral.encode(prompt("Hi"), TARGET)
    assert request.headers["authorization"] == "Bearer very-secret"
    assert b"secret" not in request.body
    assert "secret" not in repr(request)


def test_nothing_is_sent_that_is_not_documented():
    request = ask(
        tools=(Tool("f"),),
        tool_choice="auto",
        parallel_tool_calls=True,
        output="json",
        reasoning=Reasoning(effort="high", budget_tokens=9, summary=False),
        max_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        presence_penalty=0.5,
        frequency_penalty=0.5,
        stop=("a",),
        seed=7,
        user="u",
        metadata={"k": "v"},
        cache_key="c",
    )
    assert body_of(request).keys() == DOCUMENTED
    assert warnings_of(request) == ["user", "reasoning.budget_tokens", "reasoning.summary"]


@pytest.mark.parametrize(
    ("fields", "wire"),
    [
        ({"max_tokens": 9}, {"max_tokens": 9}),
        ({"seed": 7}, {"random_seed": 7}),
        ({"cache_key": "c"}, {"prompt_cache_key": "c"}),
        ({"reasoning": Reasoning(effort="high", summary=True)}, {"reasoning_effort": "high"}),
        (
            {"output": Schema({"type": "object"}, strict=True)},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
                }
            },
        ),
        ({"extra": {"safe_prompt": True}}, {"safe_prompt": True}),
    ],
)
def test_options(fields, wire):
    request = ask(**fields)
    body = body_of(request)
    assert {name: body[name] for name in body.keys() - {"model", "messages", "stream"}} == wire
    assert warnings_of(request) == []


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        (ToolChoice("f"), {"type": "function", "function": {"name": "f"}}),
    ],
)
def test_tool_choice(choice, wire):
    assert body_of(ask(tools=(Tool("f"),), tool_choice=choice))["tool_choice"] == wire


@pytest.mark.parametrize(
    ("parameters", "wire"),
    [(None, {"type": "object", "properties": {}}), ({}, {}), ({"type": "object"}, {"type": "object"})],
)
def test_a_tool_always_has_parameters(parameters, wire):
    (tool,) = body_of(ask(tools=(Tool("f", parameters=parameters),)))["tools"]
    assert tool["function"]["parameters"] == wire


# Parts


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (Image(url="https://x/i.png"), {"type": "image_url", "image_url": {"url": "https://x/i.png"}}),
        (File(url="https://x/f.pdf"), {"type": "document_url", "document_url": "https://x/f.pdf"}),
        (
            File(data=b"f", media_type="application/pdf", name="a.pdf"),
            {"type": "document_url", "document_url": "data:application/pdf;base64,Zg==", "document_name": "a.pdf"},
        ),
        (File(id="file-1"), {"type": "file", "file_id": "file-1"}),
        (File(data=b"s", media_type="audio/ogg"), {"type": "input_audio", "input_audio": "cw=="}),
        (
            File(url="https://x/s.mp3", media_type="audio/mpeg"),
            {"type": "input_audio", "input_audio": "https://x/s.mp3"},
        ),
    ],
)
def test_parts_of_a_user(part, block):
    request = ask(part)
    assert body_of(request)["messages"][0]["content"] == [block]
    assert warnings_of(request) == []


@pytest.mark.parametrize("part", [Image(), File(), File(data=b"f")])
def test_what_cannot_be_sent_at_all(part):
    with pytest.raises(LocalError, match=r"messages\[0\]\.content\[1\]: "):
        body_of(ask(Text(text="a"), part))


def test_thinking_goes_back_as_a_part():
    assert turn_of(ReasoningPart(text="Hm"), Text(text="Hi"))["content"] == [
        thinking("Hm"),
        {"type": "text", "text": "Hi"},
    ]


def test_thinking_goes_back_with_its_signature():
    request = ask(ReasoningPart(text="Hm", opaque='{"thinking":{"signature":"s"}}'), role="assistant")
    assert body_of(request)["messages"][0]["content"] == [thinking("Hm", signature="s")]
    assert warnings_of(request) == []


@pytest.mark.parametrize("opaque", [FOREIGN, "no JSON", '{"thinking":"Hm"}'])
def test_the_signature_of_another_provider_stays_here(opaque):
    request = ask(ReasoningPart(text="Hm", opaque=opaque), role="assistant")
    assert body_of(request)["messages"][0]["content"] == [thinking("Hm")]
    assert warnings_of(request) == ["messages[0].content[0].opaque"]


def test_a_refusal_goes_back_as_words():
    assert turn_of(RefusalPart(text="No.")) == {"role": "assistant", "content": "No.", "prefix": True}


def test_a_turn_of_the_assistants_at_the_end_is_to_be_continued():
    begun = Message("assistant", "It is"), Message("user", "Hi"), Message("assistant", "It is")
    marks = [turn.get("prefix") for turn in body_of(Request(messages=begun))["messages"]]
    assert marks == [None, None, True]


@pytest.mark.parametrize(
    ("role", "part", "path"),
    [
        ("user", ReasoningPart(text="Hm"), ""),
        ("user", RefusalPart(text="No."), ""),
        ("assistant", File(id="file-1"), ""),
        ("user", ExtensionPart(name="gemini:part", raw="{}"), ""),
        ("user", File(id="file-1", cache=True), ".cache"),
        ("user", File(id="file-1", opaque=FOREIGN), ".opaque"),
        ("user", Text(text="a", cache=True), ".cache"),
        ("assistant", ReasoningPart(text="Hm", cache=True), ".cache"),
        ("assistant", RefusalPart(text="No.", opaque=FOREIGN), ".opaque"),
    ],
)
def test_what_is_left_out_with_a_warning(role, part, path):
    assert warnings_of(ask(Text(text="a"), part, role=role)) == [f"messages[0].content[1]{path}"]


# The ids of tool calls


@pytest.mark.parametrize("id", ["Ab3dE6gH9", "000000000"])
def test_an_id_of_its_own_kind_stays(id):
    assert turn_of(ToolCall(id=id, name="f"))["tool_calls"][0]["id"] == id


@pytest.mark.parametrize("id", ["call_a", "toolu_0123456789", "Ab3dE6gH9x", "Ab3dE6gH\n", "", "äöüäöüäöü", "\ud83d"])
def test_another_providers_id_becomes_nine_letters_and_digits(id):
    made = turn_of(ToolCall(id=id, name="f"))["tool_calls"][0]["id"]
    assert re.fullmatch("[a-z0-9]{9}", made)


@given(st.lists(st.text(), min_size=1, max_size=5, unique=True))
def test_results_still_belong_to_their_calls(ids):
    calls = Message("assistant", tuple(ToolCall(id=id, name="f") for id in ids))
    results = Message("tool", tuple(ToolResult(id=id, content="1") for id in ids))
    turn, *answers = body_of(Request(messages=(calls, results)))["messages"]
    made = [call["id"] for call in turn["tool_calls"]]
    assert [answer["tool_call_id"] for answer in answers] == made
    assert len(set(made)) == len(ids)
