"""What the adapter `bedrock` sends, and how it is signed."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import pickle
import re
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import OWN

from streamcore import Endpoint, eventstream
from streamcore.errors import LocalError, StreamFailed
from streamcore.events import (
    Attachment,
    BlockEnd,
    Citation,
    Extension,
    Failure,
    Finish,
    ReasoningDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
)
from streamcore.message import Fold
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
from streamcore.testing import Answer, Recording, serve
from streamcore_adapters import bedrock

CLAUDE = Target(bedrock.url, "us.anthropic.claude-opus-5-v1:0", Secret("bedrock-api-key-secret"))
NOVA = Target(bedrock.url, "us.amazon.nova-2-lite-v1:0")
GPT = Target(bedrock.url, "openai.gpt-oss-120b-1:0")
MISTRAL = Target(bedrock.url, "mistral.mistral-large-2402-v1:0")
LLAMA = Target(bedrock.url, "us.meta.llama4-scout-17b-instruct-v1:0")
PROFILE = Target(bedrock.url, "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3")
ADD = Tool("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}})
SIGNED = '{"signature":"c2ln"}'
CACHE_POINT = {"cachePoint": {"type": "default"}}


def body_of(request: Request, target: Target = CLAUDE) -> dict[str, Any]:
    return json.loads(bedrock.encode(request, target).body)


def ask(*parts: Any, role: Any = "user", **fields: Any) -> Request:
    return Request(messages=(Message(role, parts or "Hi"),), **fields)


def content_of(*parts: Any, role: Any = "user", target: Target = CLAUDE) -> list[dict[str, Any]]:
    """The blocks that these parts of one turn become."""
    (turn,) = body_of(ask(*parts, role=role), target)["messages"]
    return turn["content"]


def warnings_of(request: Request, target: Target = CLAUDE) -> list[str]:
    return [warning.field for warning in bedrock.encode(request, target).warnings]


# Where it goes


def test_a_prompt_is_one_turn():
    assert body_of(prompt("Hi", system="Be brief.", max_tokens=5)) == {
        "system": [{"text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
        "inferenceConfig": {"maxTokens": 5},
    }


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("us.amazon.nova-2-lite-v1:0", "us.amazon.nova-2-lite-v1%3A0"),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-5",
            "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.anthropic.claude-opus-5",
        ),
        ("a b?c#d%/ä\ud800", "a%20b%3Fc%23d%25%2F%C3%A4%3F"),
    ],
)
def test_the_model_is_one_segment_of_the_address(model, path):
    request = bedrock.encode(ask(model=model), CLAUDE)
    assert request.method == "POST"
    assert request.url == f"https://bedrock-runtime.us-east-1.amazonaws.com/model/{path}/converse-stream"


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_the_address_goes_out_as_it_is(library):
    client = pytest.importorskip(library, reason=f"{library} is not installed")
    url = bedrock.encode(ask(), PROFILE).url
    assert client.URL(url).raw_path.decode() == url.removeprefix(bedrock.url)


def test_the_key_is_a_bearers():
    headers = bedrock.encode(ask(), CLAUDE).headers
    assert headers["authorization"] == "Bearer bedrock-api-key-secret"
    assert headers["accept"] == "application/vnd.amazon.eventstream"
    assert headers["content-type"] == "application/json"


def test_no_key_is_no_header():
    assert "authorization" not in bedrock.encode(ask(), NOVA).headers


def test_the_key_is_shown_to_nobody():
    request = bedrock.encode(ask(), CLAUDE)
    assert "bedrock-api-key-secret" not in repr(request)
    assert "bedrock-api-key-secret" not in repr(CLAUDE)
    assert b"bedrock-api-key-secret" not in pickle.dumps(CLAUDE)


# Limits and sampling


def test_limits_and_sampling_are_the_inference_config():
    request = ask(max_tokens=0, temperature=0.0, top_p=1, stop=("END", "\n\n"))
    assert body_of(request)["inferenceConfig"] == {
        "maxTokens": 0,
        "temperature": 0.0,
        "topP": 1,
        "stopSequences": ["END", "\n\n"],
    }
    assert warnings_of(request) == []


@pytest.mark.parametrize(
    ("target", "fields"),
    [(CLAUDE, {"top_k": 5}), (MISTRAL, {"top_k": 5}), (NOVA, {"inferenceConfig": {"topK": 5}})],
)
def test_top_k_is_a_field_of_the_models_own(target, fields):
    assert body_of(ask(top_k=5), target)["additionalModelRequestFields"] == fields
    assert warnings_of(ask(top_k=5), target) == []


@pytest.mark.parametrize("target", [LLAMA, GPT, PROFILE])
def test_top_k_is_warned_of_where_the_models_word_is_not_known(target):
    assert "additionalModelRequestFields" not in body_of(ask(top_k=5), target)
    assert warnings_of(ask(top_k=5), target) == ["top_k"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("presence_penalty", 0.5), ("frequency_penalty", 0.5), ("seed", 0), ("user", "u"), ("cache_key", "k")],
)
def test_what_the_api_has_no_word_for_is_warned_of(field, value):
    assert warnings_of(ask(**{field: value})) == [field]


def test_metadata_is_the_requests():
    assert body_of(ask(metadata={"team": "x"}))["requestMetadata"] == {"team": "x"}


def test_no_metadata_is_none():
    assert "requestMetadata" not in body_of(ask(metadata={}))


def test_extra_comes_last():
    extra = {"inferenceConfig": {"maxTokens": 6}, "guardrailConfig": {"guardrailIdentifier": "g"}}
    assert body_of(ask(max_tokens=5, extra=extra)).items() >= extra.items()


# Tools


def test_a_tool_is_its_schema():
    assert body_of(ask(tools=(ADD,)))["toolConfig"] == {
        "tools": [{"toolSpec": {"name": "add", "description": "Adds.", "inputSchema": {"json": ADD.parameters}}}]
    }


def test_a_tool_without_parameters_takes_an_empty_object():
    (tool,) = body_of(ask(tools=(Tool("now", "  "),)))["toolConfig"]["tools"]
    assert tool == {"toolSpec": {"name": "now", "inputSchema": {"json": {"type": "object", "properties": {}}}}}


def test_the_schema_of_a_tool_is_always_an_object():
    (tool,) = body_of(ask(tools=(Tool("f", parameters={"properties": {"a": {}}}),)))["toolConfig"]["tools"]
    assert tool["toolSpec"]["inputSchema"] == {"json": {"type": "object", "properties": {"a": {}}}}


def test_a_tool_may_be_strict_and_cached():
    first, point, _ = body_of(ask(tools=(Tool("now", strict=True, cache=True), ADD)))["toolConfig"]["tools"]
    assert first["toolSpec"]["strict"] is True
    assert point == CACHE_POINT


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [("auto", {"auto": {}}), ("required", {"any": {}}), (ToolChoice("add"), {"tool": {"name": "add"}}), (None, None)],
)
@pytest.mark.parametrize("parallel", [None, True])
def test_the_choice_of_tools_is_in_the_apis_words(choice, wanted, parallel):
    request = ask(tools=(ADD,), tool_choice=choice, parallel_tool_calls=parallel)
    assert body_of(request)["toolConfig"].get("toolChoice") == wanted
    assert warnings_of(request) == []


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        (None, {"type": "auto"}),
        ("auto", {"type": "auto"}),
        ("required", {"type": "any"}),
        (ToolChoice("add"), {"type": "tool", "name": "add"}),
    ],
)
def test_one_call_at_a_time_is_in_claudes_words(choice, wanted):
    body = body_of(ask(tools=(ADD,), tool_choice=choice, parallel_tool_calls=False))
    assert "toolChoice" not in body["toolConfig"]
    assert body["additionalModelRequestFields"] == {"tool_choice": {**wanted, "disable_parallel_tool_use": True}}


@pytest.mark.parametrize("target", [NOVA, PROFILE])
def test_other_models_have_no_word_for_one_call_at_a_time(target):
    request = ask(tools=(ADD,), tool_choice="required", parallel_tool_calls=False)
    assert body_of(request, target)["toolConfig"]["toolChoice"] == {"any": {}}
    assert warnings_of(request, target) == ["parallel_tool_calls"]


def test_no_tool_may_be_called_if_none_is_there():
    request = ask(tools=(ADD,), tool_choice="none")
    assert "toolConfig" not in body_of(request)
    assert warnings_of(request) == []


USED = (
    Message("user", "2 + 3?"),
    Message("assistant", (ToolCall(id="a", name="add", arguments='{"a":2}'), ToolCall(id="b", name="now"))),
    Message("tool", (ToolResult(id="a", content="5"), ToolResult(id="b", content="noon", name="now"))),
)


@pytest.mark.parametrize("parallel", [None, False])
def test_where_tools_were_used_they_stay(parallel):
    request = Request(messages=USED, tools=(ADD,), tool_choice="none", parallel_tool_calls=parallel)
    body = body_of(request)
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["add"]
    choice = body["toolConfig"].get("toolChoice", {"auto": {}})
    assert (choice, warnings_of(request)) == ({"auto": {}}, ["tool_choice"])


@pytest.mark.parametrize("choice", [None, "none"])
def test_tools_that_were_used_are_declared(choice):
    request = Request(messages=USED, tool_choice=choice)
    assert [tool["toolSpec"]["name"] for tool in body_of(request)["toolConfig"]["tools"]] == ["add", "now"]
    assert warnings_of(request) == ["tools", "tool_choice"][: 1 if choice is None else 2]


def test_a_result_may_name_the_tool_that_was_used():
    request = ask(ToolResult(id="a", content="5", name="add"), role="tool")
    assert [tool["toolSpec"]["name"] for tool in body_of(request)["toolConfig"]["tools"]] == ["add"]


def test_a_tool_without_a_name_cannot_be_declared():
    request = ask(ToolResult(id="a", content="5"), role="tool", tool_choice="none")
    assert "toolConfig" not in body_of(request)
    assert warnings_of(request) == ["tool_choice"]


def test_a_choice_without_tools_is_left_out():
    request = ask(tool_choice="required", parallel_tool_calls=False)
    assert "toolConfig" not in body_of(request)
    assert warnings_of(request) == ["tool_choice", "parallel_tool_calls"]


# Output and reasoning


def test_a_schema_is_text_within_the_format():
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    (kind, structure) = body_of(ask(output=Schema(schema, "reply", "A thing", strict=True)))["outputConfig"][
        "textFormat"
    ].values()
    definition = structure["jsonSchema"]
    assert (kind, json.loads(definition.pop("schema"))) == ("json_schema", schema)
    assert definition == {"name": "reply", "description": "A thing"}


def test_a_schema_is_always_enforced():
    assert warnings_of(ask(output=Schema({}))) == []
    assert warnings_of(ask(output=Schema({}, strict=False))) == ["output.strict"]


@pytest.mark.parametrize("schema", [{"a": object()}, {"a": "\ud800"}])
def test_a_schema_that_is_not_json_cannot_be_sent(schema):
    with pytest.raises(LocalError, match=r"output\.schema cannot be written as JSON"):
        bedrock.encode(ask(output=Schema(schema)), CLAUDE)


def test_there_is_no_json_mode():
    assert "outputConfig" not in body_of(ask(output="json"))
    assert warnings_of(ask(output="json")) == ["output"]


@pytest.mark.parametrize(
    ("target", "reasoning", "fields", "effort"),
    [
        (CLAUDE, Reasoning(), None, None),
        (CLAUDE, Reasoning(effort="xhigh"), {"thinking": {"type": "adaptive"}}, "xhigh"),
        (CLAUDE, Reasoning(effort="none"), {"thinking": {"type": "disabled"}}, None),
        (CLAUDE, Reasoning(budget_tokens=0), {"thinking": {"type": "disabled"}}, None),
        (CLAUDE, Reasoning(budget_tokens=2048), {"thinking": {"type": "enabled", "budget_tokens": 2048}}, None),
        (CLAUDE, Reasoning(summary=True), {"thinking": {"type": "adaptive", "display": "summarized"}}, None),
        (
            CLAUDE,
            Reasoning(effort="low", budget_tokens=2048, summary=False),
            {"thinking": {"type": "enabled", "budget_tokens": 2048, "display": "omitted"}},
            "low",
        ),
        (NOVA, Reasoning(effort="high"), {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}, None),
        (NOVA, Reasoning(effort="none"), {"reasoningConfig": {"type": "disabled"}}, None),
        (GPT, Reasoning(effort="medium"), {"reasoning_effort": "medium"}, None),
        (GPT, Reasoning(), None, None),
        (LLAMA, Reasoning(effort="max"), None, "max"),
        (PROFILE, Reasoning(effort="high"), None, "high"),
        (PROFILE, Reasoning(budget_tokens=2048), {"thinking": {"type": "enabled", "budget_tokens": 2048}}, None),
    ],
)
def test_reasoning_is_in_the_models_own_words(target, reasoning, fields, effort):
    request = ask(reasoning=reasoning)
    body = body_of(request, target)
    assert (body.get("additionalModelRequestFields"), body.get("outputConfig", {}).get("effort")) == (fields, effort)
    assert warnings_of(request, target) == []


@pytest.mark.parametrize(
    ("target", "given_effort", "sent"),
    [(CLAUDE, "minimal", "low"), (LLAMA, "minimal", "low"), (NOVA, "xhigh", "high"), (GPT, "max", "high")],
)
def test_an_effort_that_the_model_does_not_have_is_the_nearest(target, given_effort, sent):
    request = ask(reasoning=Reasoning(effort=given_effort))
    assert f'"{sent}"'.encode() in bedrock.encode(request, target).body
    assert warnings_of(request, target) == ["reasoning.effort"]


@pytest.mark.parametrize(
    ("target", "reasoning", "field"),
    [
        (CLAUDE, Reasoning(effort="none", budget_tokens=2048), "budget_tokens"),
        (NOVA, Reasoning(budget_tokens=2048), "budget_tokens"),
        (GPT, Reasoning(summary=True), "summary"),
        (LLAMA, Reasoning(summary=False), "summary"),
        (GPT, Reasoning(effort="none"), "effort"),
        (LLAMA, Reasoning(effort="none"), "effort"),
    ],
)
def test_reasoning_that_the_model_cannot_be_asked_for_is_warned_of(target, reasoning, field):
    request = ask(reasoning=reasoning)
    assert "outputConfig" not in body_of(request, target)
    assert warnings_of(request, target) == [f"reasoning.{field}"]


def test_the_family_of_a_model_is_known_by_the_foundation_models_arn_too():
    model = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-haiku-5-v1:0"
    assert body_of(ask(model=model, top_k=5), NOVA)["additionalModelRequestFields"] == {"top_k": 5}


# Turns


def test_system_messages_before_the_first_turn_are_the_system_prompt():
    messages = Message("system", "A"), Message("system", (Text(text="B", cache=True),)), Message("user", "Hi")
    assert body_of(Request(messages=messages))["system"] == [{"text": "A"}, {"text": "B"}, CACHE_POINT]


def test_a_later_system_message_is_a_turn():
    messages = Message("user", "Hi"), Message("assistant", "Ho"), Message("system", "Be brief.")
    body = body_of(Request(messages=messages))
    assert "system" not in body
    assert body["messages"][2] == {"role": "system", "content": [{"text": "Be brief."}]}


def test_turns_of_one_role_are_one():
    messages = Message("user", "A"), Message("user", "B"), Message("assistant", "C"), Message("assistant", "D")
    assert body_of(Request(messages=messages))["messages"] == [
        {"role": "user", "content": [{"text": "A"}, {"text": "B"}]},
        {"role": "assistant", "content": [{"text": "C"}, {"text": "D"}]},
    ]


def test_tool_results_stand_first_in_one_turn_with_their_cache_points():
    parts = ToolResult(id="a", content="1"), Text(text="And now?", cache=True), ToolResult(id="b", cache=True)
    messages = Message("user", parts), Message("tool", (ToolResult(id="c"),))
    (turn,) = body_of(Request(messages=messages))["messages"]
    assert [next(iter(block)) for block in turn["content"]] == [
        "toolResult",
        "toolResult",
        "cachePoint",
        "toolResult",
        "text",
        "cachePoint",
    ]


def test_a_turn_of_which_nothing_can_be_sent_is_left_out():
    request = Request(messages=(Message("user", "Hi"), Message("assistant", ""), Message("user", "Ho")))
    assert len(body_of(request)["messages"]) == 1
    assert warnings_of(request) == ["messages[1]"]


# Parts


def test_text_may_be_cached():
    assert content_of(Text(text="Hi", cache=True)) == [{"text": "Hi"}, CACHE_POINT]


@pytest.mark.parametrize("blank", ["", " ", "\n\n"])
def test_blank_text_is_left_out(blank):
    request = ask(Text(text=blank, cache=True), Text(text="Hi"))
    assert body_of(request)["messages"][0]["content"] == [{"text": "Hi"}]
    assert warnings_of(request) == ["messages[0].content[0]"]


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (Image(data=b"\x89", media_type="image/png"), {"image": {"format": "png", "source": {"bytes": "iQ=="}}}),
        (Image(data=b"\x89", media_type="Image/JPEG"), {"image": {"format": "jpeg", "source": {"bytes": "iQ=="}}}),
        (File(data=b"\x89", media_type="image/webp"), {"image": {"format": "webp", "source": {"bytes": "iQ=="}}}),
        (
            Image(url="s3://b/c.JPG"),
            {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://b/c.JPG"}}}},
        ),
        (
            File(data=b"%PDF", media_type="application/pdf"),
            {"document": {"name": "document", "format": "pdf", "source": {"bytes": "JVBERg=="}}},
        ),
        (
            File(data=b"a,b", name="data [1].csv"),
            {"document": {"name": "data [1]", "format": "csv", "source": {"bytes": "YSxi"}}},
        ),
        (
            File(data=b"x", media_type="text/x-python; charset=utf-8", name="main"),
            {"document": {"name": "main", "format": "txt", "source": {"bytes": "eA=="}}},
        ),
        (
            File(url="s3://b/c", media_type="video/3gpp"),
            {"video": {"format": "three_gp", "source": {"s3Location": {"uri": "s3://b/c"}}}},
        ),
        (File(data=b"x", media_type="audio/mpeg"), {"audio": {"format": "mp3", "source": {"bytes": "eA=="}}}),
        (File(data=b"x", name="a.mkv"), {"video": {"format": "mkv", "source": {"bytes": "eA=="}}}),
    ],
)
def test_a_file_is_a_block_of_its_kind(part, block):
    assert content_of(part) == [block]
    assert warnings_of(ask(part)) == []


@pytest.mark.parametrize(
    "part",
    [
        Image(data=b"BM", media_type="image/bmp"),
        Image(data=b"BM"),
        Image(data=b"%PDF", media_type="application/pdf"),
        Image(url="https://a.b/c.png"),
        File(data=b"PK", media_type="application/zip"),
        File(data=b"PK", name="a.zip"),
        File(url="https://a.b/c.pdf"),
        File(id="file_1"),
        File(url="s3://b/c"),
    ],
)
def test_a_file_that_the_api_does_not_read_is_left_out(part):
    request = ask(Text(text="?"), part)
    assert len(body_of(request)["messages"][0]["content"]) == 1
    assert warnings_of(request) == ["messages[0].content[1]"]


def test_the_detail_of_an_image_is_warned_of():
    image = Image(url="s3://a/b.png", detail="low")
    assert warnings_of(ask(image)) == ["messages[0].content[0].detail"]


@pytest.mark.parametrize("part", [Image(media_type="image/png"), File(name="a.pdf")])
def test_a_file_of_nothing_cannot_be_sent(part):
    with pytest.raises(LocalError, match=r"messages\[0\]\.content\[0\]: \w+ has no bytes and no URL"):
        bedrock.encode(ask(part), CLAUDE)


def names_of(*names: str | None) -> list[str]:
    parts = [File(data=b"x", media_type="text/plain", name=name) for name in names]
    return [block["document"]["name"] for block in content_of(*parts)]


@pytest.mark.parametrize(
    ("given_name", "sent"),
    [
        ("Report (final) [2] - x.txt", "Report (final) [2] - x"),
        ("résumé_v1.2.pdf", "r-sum--v1-2"),
        ("a\t  b\n", "a b"),
        ("보고서.pdf", "---"),
        (".txt", "-txt"),
        ("  ", "document"),
        ("x" * 300, "x" * 190),
    ],
)
def test_a_documents_name_is_made_to_fit(given_name, sent):
    assert names_of(given_name) == [sent]
    request = ask(File(data=b"x", media_type="text/plain", name=given_name))
    stem = given_name.removesuffix(".txt")
    assert warnings_of(request) == ([] if sent == stem else ["messages[0].content[0].name"])


def test_documents_have_names_that_differ():
    assert names_of(None, "a.txt", None, "a.md", "a (2)", None) == [
        "document",
        "a",
        "document (2)",
        "a (2)",
        "a (2) (2)",
        "document (3)",
    ]


@given(st.lists(st.none() | st.text(), max_size=6))
def test_whatever_documents_are_called_they_have_names_that_are_taken(names):
    sent = names_of(*names) if names else []
    assert len(set(sent)) == len(sent)
    for name in sent:
        assert re.fullmatch(r"(?!.*\s\s)[a-zA-Z0-9\s\-()\[\]]{1,200}", name)


@pytest.mark.parametrize(
    "part", [Text(text="x"), Image(data=b"x", media_type="image/png"), File(data=b"x", name="a.pdf")]
)
def test_a_cache_point_follows_what_it_can(part):
    cached = type(part)(**{name: getattr(part, name) for name in part.__struct_fields__} | {"cache": True})
    assert content_of(cached)[1:] == [CACHE_POINT]


@pytest.mark.parametrize(
    ("role", "part"),
    [
        ("user", File(data=b"x", media_type="text/csv", cache=True)),
        ("user", File(data=b"x", media_type="video/mp4", cache=True)),
        ("assistant", ReasoningPart(text="Hm", opaque=SIGNED, cache=True)),
        (
            "assistant",
            ExtensionPart(name="bedrock:x", raw='{"reasoningContent":{"redactedContent":"eA=="}}', cache=True),
        ),
    ],
)
def test_a_cache_point_that_the_api_refuses_is_left_out(role, part):
    request = ask(part, role=role)
    assert len(body_of(request)["messages"][0]["content"]) == 1
    assert warnings_of(request) == ["messages[0].content[0].cache"]


@pytest.mark.parametrize(
    ("role", "part"),
    [
        ("user", ReasoningPart(text="Hm", opaque=SIGNED)),
        ("user", ToolCall(id="a", name="f")),
        ("assistant", Image(url="s3://b/c.png")),
        ("assistant", File(data=b"x", name="a.pdf")),
        ("assistant", ToolResult(id="a")),
        ("system", Image(url="s3://b/c.png")),
        ("tool", Text(text="Hi")),
    ],
)
def test_a_part_that_its_role_cannot_hold_is_left_out(role, part):
    request = Request(messages=(Message("user", "Hi"), Message(role, (part,))))
    assert len(body_of(request)["messages"]) == 1
    assert warnings_of(request) == ["messages[1].content[0]", "messages[1]"]


def test_a_refusal_is_text():
    assert content_of(RefusalPart(text="No."), role="assistant") == [{"text": "No."}]


def test_a_tool_result_is_text():
    assert content_of(ToolResult(id="a", content="3"), role="tool") == [
        {"toolResult": {"toolUseId": "a", "content": [{"text": "3"}]}}
    ]


def test_a_tool_result_may_be_an_error():
    assert content_of(ToolResult(id="a", content="Oops", is_error=True))[0]["toolResult"]["status"] == "error"


@pytest.mark.parametrize("content", ["", " ", (), (Text(text=""),)])
def test_a_tool_result_may_be_empty(content):
    assert content_of(ToolResult(id="a", content=content))[0]["toolResult"]["content"] == []
    assert warnings_of(ask(ToolResult(id="a", content=content, name="f"), tools=(Tool("f"),))) == []


def test_a_tool_result_may_hold_files():
    parts = (
        Text(text="See:", cache=True),
        Image(data=b"x", media_type="image/png"),
        File(data=b"x", name="a.pdf"),
        File(data=b"x", media_type="audio/wav"),
    )
    request = ask(ToolResult(id="a", content=parts), tools=(Tool("f"),))
    (block,) = body_of(request)["messages"][0]["content"]
    assert [next(iter(part)) for part in block["toolResult"]["content"]] == ["text", "image", "document"]
    path = "messages[0].content[0].content"
    assert warnings_of(request) == [f"{path}[0].cache", f"{path}[3]"]


def test_a_tool_call_is_an_object():
    call = ToolCall(id="a", name="add", arguments='{"a": 1.0}')
    assert content_of(call, role="assistant") == [{"toolUse": {"toolUseId": "a", "name": "add", "input": {"a": 1.0}}}]


def test_arguments_go_back_number_for_number():
    call = ToolCall(id="a", name="f", arguments='{"n": 123456789012345678901234567890, "x": 1.10}')
    assert call.arguments.encode() in bedrock.encode(ask(call, role="assistant"), CLAUDE).body


def test_no_arguments_are_an_empty_object():
    assert content_of(ToolCall(id="a", name="now"), role="assistant")[0]["toolUse"]["input"] == {}


@pytest.mark.parametrize("arguments", ["{", "[]", "1", '"\ud800"'])
def test_arguments_that_are_no_object_cannot_be_sent(arguments):
    call = ToolCall(id="a", name="f", arguments=arguments)
    with pytest.raises(LocalError, match=r"messages\[0\]\.content\[0\]: the arguments of tool call 'a' \(f\)"):
        bedrock.encode(ask(call, role="assistant"), CLAUDE)


def test_text_that_is_no_unicode_cannot_be_sent():
    with pytest.raises(LocalError, match="cannot be written as JSON"):
        bedrock.encode(ask(Text(text="\ud800")), CLAUDE)


# The ids of tool calls


def id_of(id: str, target: Target) -> str:
    call, result = ToolCall(id=id, name="f"), ToolResult(id=id)
    turns = body_of(Request(messages=(Message("assistant", (call,)), Message("tool", (result,)))), target)["messages"]
    ids = {turns[0]["content"][0]["toolUse"]["toolUseId"], turns[1]["content"][0]["toolResult"]["toolUseId"]}
    assert len(ids) == 1
    return ids.pop()


@pytest.mark.parametrize(
    ("target", "id", "sent"),
    [
        (CLAUDE, "tooluse_kZJMlvQmRJ6eAyJE5GIl7Q", "tooluse_kZJMlvQmRJ6eAyJE5GIl7Q"),
        (CLAUDE, "functions.f:0", "functions_f_0"),
        (LLAMA, "functions.f:0", "functions.f:0"),
        (LLAMA, "a|b", "a_b"),
        (MISTRAL, "aB3456789", "aB3456789"),
        (CLAUDE, "x" * 64, "x" * 64),
    ],
)
def test_an_id_goes_back_as_the_model_takes_it(target, id, sent):
    assert id_of(id, target) == sent


def test_long_ids_that_begin_alike_stay_different():
    first, second = id_of("x" * 100, CLAUDE), id_of("x" * 99 + "y", CLAUDE)
    assert (len(first), len(second)) == (64, 64)
    assert first != second


@given(st.text(min_size=1), st.text(min_size=1))
def test_mistrals_ids_have_nine_letters_and_stay_different(first, second):
    sent = id_of(first, MISTRAL), id_of(second, MISTRAL)
    assert all(re.fullmatch("[a-zA-Z0-9]{9}", id) for id in sent)
    assert (sent[0] == sent[1]) is (first == second)


# What goes back


def turn_of(*events: Any) -> list[dict[str, Any]]:
    """The assistant's turn that a stream of these events becomes in the next request."""
    turn = Fold([Start(), *events, Finish("stop")]).message
    (sent,) = body_of(Request(messages=(turn,)))["messages"]
    return sent["content"]


@pytest.mark.parametrize("text", ["Hm", ""])
def test_a_signature_goes_back_with_its_reasoning(text):
    assert turn_of(ReasoningDelta(0, text), BlockEnd(0, SIGNED)) == [
        {"reasoningContent": {"reasoningText": {"text": text, "signature": "c2ln"}}}
    ]


@pytest.mark.parametrize(
    "opaque", [None, '{"encrypted_content":"x"}', '{"signature":null}', '{"signature":""}', '{"signature":5}', "{"]
)
def test_the_reasoning_of_others_is_left_out(opaque):
    request = ask(ReasoningPart(text="Hm", opaque=opaque), Text(text="Hi"), role="assistant")
    assert body_of(request)["messages"][0]["content"] == [{"text": "Hi"}]
    assert warnings_of(request) == ["messages[0].content[0]"]


def test_a_call_comes_back_from_its_stream():
    assert turn_of(ToolCallStart(0, "a", "f"), ToolCallDelta(0, '{"x":1}'), BlockEnd(0)) == [
        {"toolUse": {"toolUseId": "a", "name": "f", "input": {"x": 1}}}
    ]


def test_citations_go_back_with_their_text():
    citation = {"title": "doc", "sourceContent": [{"text": "is blue"}], "location": {"documentPage": {"start": 1}}}
    assert turn_of(Citation(0, raw=json.dumps(citation)), TextDelta(0, "Blue."), BlockEnd(0)) == [
        {"citationsContent": {"content": [{"text": "Blue."}], "citations": [citation]}}
    ]


@pytest.mark.parametrize(
    "citation",
    [
        '{"type":"char_location","location":{"x":1}}',
        '{"type":"url_citation","url":"https://a.b"}',
        '{"uri":"https://a.b"}',
        '{"location":{}}',
        "{",
        '"\ud800"',
    ],
)
def test_the_citations_of_others_are_left_out(citation):
    request = ask(Text(text="Hi", citations=(citation,)), role="assistant")
    assert body_of(request)["messages"][0]["content"] == [{"text": "Hi"}]
    assert warnings_of(request) == ["messages[0].content[0].citations[0]"]


def test_only_the_assistant_cites():
    request = ask(Text(text="Hi", citations=('{"location":{"web":{}}}',)))
    assert body_of(request)["messages"][0]["content"] == [{"text": "Hi"}]
    assert warnings_of(request) == ["messages[0].content[0].citations[0]"]


def test_an_extension_goes_back_as_it_came():
    raw = '{"toolUse":{"toolUseId":"a","name":"f","type":"server_tool_use","input":{"n":1.10}}}'
    assert turn_of(Extension("bedrock:toolUse", raw, 0), BlockEnd(0)) == [json.loads(raw)]
    part = ExtensionPart(name="bedrock:toolUse", raw=raw)
    assert raw.encode() in bedrock.encode(ask(part, role="assistant"), CLAUDE).body


@pytest.mark.parametrize("role", ["user", "system"])
def test_others_may_send_extensions_too(role):
    raw = '{"guardContent":{"text":{"text":"Hi"}}}'
    request = Request(
        messages=(
            Message(role, (ExtensionPart(name="bedrock:guardContent", raw=raw, cache=True),)),
            Message("user", "Hi"),
        )
    )
    body = body_of(request)
    sent = body["system"] if role == "system" else body["messages"][0]["content"]
    assert sent[:2] == [json.loads(raw), CACHE_POINT]


def test_a_generated_image_does_not_go_back():
    turn = Fold([Start(), TextDelta(0, "Look"), Attachment(1, "image/png", b"x"), BlockEnd(1), Finish("stop")]).message
    request = Request(messages=(turn,))
    assert body_of(request)["messages"][0]["content"] == [{"text": "Look"}]
    assert warnings_of(request) == ["messages[0].content[1]"]


def test_the_extensions_of_others_are_left_out():
    request = ask(ExtensionPart(name="anthropic:compaction", raw="{}"), Text(text="Hi"), role="assistant")
    assert body_of(request)["messages"][0]["content"] == [{"text": "Hi"}]
    assert warnings_of(request) == ["messages[0].content[0]"]


@pytest.mark.parametrize("raw", ["", "[]", "{", '{"a":"\ud800"}'])
def test_an_extension_that_is_no_object_cannot_be_sent(raw):
    part = ExtensionPart(name="bedrock:toolUse", raw=raw)
    with pytest.raises(LocalError, match=r"messages\[0\]\.content\[0\]: the raw text of bedrock:toolUse"):
        bedrock.encode(ask(part, role="assistant"), CLAUDE)


# The service model as the judge


def service():
    """botocore's own client, which checks its parameters against the service model and is never let onto the network."""
    session = pytest.importorskip("botocore.session", reason="botocore is not installed").Session()
    return session.create_client(
        "bedrock-runtime", region_name="us-east-1", aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="secret"
    )


FULL = Request(
    messages=(
        Message("system", (Text(text="Be brief.", cache=True),)),
        Message(
            "user",
            (
                Text(text="Look:", cache=True),
                Image(data=b"x", media_type="image/png"),
                File(data=b"x", name="a.pdf", cache=True),
                File(url="s3://bucket/a.mp4"),
                File(data=b"x", media_type="audio/wav"),
            ),
        ),
        Message(
            "assistant",
            (
                ReasoningPart(text="Hm", opaque=SIGNED),
                ExtensionPart(name="bedrock:reasoningContent", raw='{"reasoningContent":{"redactedContent":"eA=="}}'),
                Text(
                    text="Hi",
                    citations=('{"title":"a","sourceContent":[{"text":"b"}],"location":{"web":{"url":"c"}}}',),
                ),
                ToolCall(id="a", name="add", arguments='{"a":1}'),
            ),
        ),
        Message("tool", (ToolResult(id="a", content=(Text(text="1"), File(data=b"x", name="b.csv")), is_error=True),)),
        Message("system", "Be very brief."),
    ),
    tools=(ADD, Tool("now", strict=True, cache=True)),
    tool_choice=ToolChoice("add"),
    output=Schema({"type": "object"}, "answer", "An answer"),
    reasoning=Reasoning(effort="high"),
    max_tokens=5,
    temperature=0.5,
    top_p=0.5,
    top_k=5,
    stop=("END",),
    metadata={"team": "x"},
)


def blobs(value: Any) -> Any:
    """The JSON as botocore wants it: bytes where the service model has a blob."""
    if isinstance(value, dict):
        return {
            key: b"x" if key in ("bytes", "redactedContent") and isinstance(item, str) else blobs(item)
            for key, item in value.items()
        }
    return [blobs(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("target", [CLAUDE, NOVA, GPT, MISTRAL, LLAMA, PROFILE])
def test_the_service_model_takes_every_field(target):
    client = service()
    shape = client.meta.service_model.operation_model("ConverseStream").input_shape
    validate = pytest.importorskip("botocore.validate").ParamValidator().validate
    assert validate({"modelId": target.model, **blobs(body_of(FULL, target))}, shape).generate_report() == ""


def prepared(client: Any, request: HTTPRequest, model: str) -> Any:
    """What botocore would have sent for the same body, caught before it goes out."""

    class CaughtError(Exception):
        pass

    caught = []

    def catch(request: Any, **_: Any) -> None:
        caught.append(request)
        raise CaughtError

    client.meta.events.register("before-send.bedrock-runtime.ConverseStream", catch)
    with pytest.raises(CaughtError):
        client.converse_stream(modelId=model, **blobs(json.loads(request.body)))
    return caught[0]


@pytest.mark.parametrize("target", [CLAUDE, PROFILE])
def test_botocore_sends_it_to_the_same_address_with_the_same_body(target):
    request = bedrock.encode(FULL, target)
    sent = prepared(service(), request, target.model)
    assert (sent.method, sent.url) == (request.method, request.url)
    ours, theirs = blobs(json.loads(request.body)), blobs(json.loads(sent.body))
    assert ours == theirs


# Signing

AT = dt.datetime(2026, 11, 20, 12, 34, 56, tzinfo=dt.UTC)
KEYS = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
CLOCK = "botocore.auth.get_current_datetime"


@pytest.fixture
def clock(monkeypatch):
    """botocore's clock, stopped."""
    pytest.importorskip("botocore", reason="botocore is not installed")
    monkeypatch.setattr(CLOCK, lambda: AT)


def credentials(token: str | None = None):
    return pytest.importorskip("botocore.credentials").Credentials(*KEYS, token)


def by_hand(request: HTTPRequest, region: str, token: str | None) -> str:
    """Signature Version 4, step by step as AWS describes it."""
    host, _, path = request.url.removeprefix("https://").partition("/")
    headers = {"content-type": request.headers["content-type"], "host": host, "x-amz-date": "20261120T123456Z"}
    headers |= {} if token is None else {"x-amz-security-token": token}
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    digest = hashlib.sha256(request.body).hexdigest()
    canonical = f"POST\n/{path.replace('%', '%25')}\n\n{lines}\n{names}\n{digest}"
    scope = f"20261120/{region}/bedrock/aws4_request"
    text = f"AWS4-HMAC-SHA256\n20261120T123456Z\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = b"AWS4" + KEYS[1].encode()
    for step in scope.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return f"AWS4-HMAC-SHA256 Credential={KEYS[0]}/{scope}, SignedHeaders={names}, Signature={signature}"


@pytest.mark.parametrize("token", [None, "IQoJb3JpZ2luX2VjEXAMPLE=="])
@pytest.mark.parametrize("target", [CLAUDE, PROFILE])
def test_the_signature_is_what_aws_describes(clock, target, token):
    request = bedrock.encode(FULL, target)
    signed = bedrock.sigv4(credentials=credentials(token))(request)
    assert signed.headers["authorization"] == by_hand(request, "us-east-1", token)
    assert signed.headers["x-amz-date"] == "20261120T123456Z"
    assert signed.headers.get("x-amz-security-token") == token
    assert (signed.url, signed.body, signed.method) == (request.url, request.body, request.method)


@settings(max_examples=50)
@given(
    model=st.from_regex(r"[a-zA-Z0-9.:/_ -]{1,40}", fullmatch=True),
    text=st.text(min_size=1),
    token=st.none() | st.from_regex(r"[a-zA-Z0-9/+=]{1,40}", fullmatch=True),
    region=st.sampled_from(["us-east-1", "eu-central-1", "us-gov-west-1"]),
)
def test_the_signature_is_what_botocore_signs(model, text, token, region):
    awsrequest = pytest.importorskip("botocore.awsrequest", reason="botocore is not installed")
    signers = pytest.importorskip("botocore.signers")
    emitter = pytest.importorskip("botocore.hooks").HierarchicalEmitter()  # the signer does not keep it alive
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CLOCK, lambda: AT)
        target = Target(f"https://bedrock-runtime.{region}.amazonaws.com", model)
        request = bedrock.encode(Request(messages=(Message("user", "x" + text),)), target)
        theirs = awsrequest.AWSRequest(
            "POST", request.url, headers={"content-type": "application/json"}, data=request.body
        )
        service_id = pytest.importorskip("botocore.model").ServiceId("Bedrock Runtime")
        signer = signers.RequestSigner(service_id, region, "bedrock", "v4", credentials(token), emitter)
        signer.sign("ConverseStream", theirs)
        ours = bedrock.sigv4(credentials=credentials(token))(request)
    assert ours.headers["authorization"] == theirs.headers["authorization"]


def test_botocores_own_client_signs_the_same(clock):
    request = bedrock.encode(FULL, PROFILE)
    sent = prepared(service(), request, PROFILE.model)
    ours = bedrock.sigv4(credentials=sys.modules["botocore.credentials"].Credentials("AKIDEXAMPLE", "secret"))
    same = HTTPRequest("POST", sent.url, {"content-type": "application/json"}, sent.body)
    assert ours(same).headers["authorization"] == sent.headers["authorization"].decode()


def test_a_signature_takes_the_place_of_a_key(clock):
    signed = bedrock.sigv4(credentials=credentials())(bedrock.encode(ask(), CLAUDE))
    assert signed.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261120/us-east-1/")
    assert "SignedHeaders=content-type;host;x-amz-date, " in signed.headers["authorization"]


def test_other_headers_are_kept_and_those_of_aws_are_signed(clock):
    target = Target(bedrock.url, "m", headers={"x-amz-tag": "t", "x-other": "o"})
    signed = bedrock.sigv4(credentials=credentials())(bedrock.encode(ask(), target))
    assert signed.headers["x-other"] == "o"
    assert signed.headers["accept"] == "application/vnd.amazon.eventstream"
    assert "SignedHeaders=content-type;host;x-amz-date;x-amz-tag, " in signed.headers["authorization"]


def test_what_signs_shows_no_secret(clock):
    signed = bedrock.sigv4(credentials=credentials("token-secret"))(bedrock.encode(ask(), CLAUDE))
    assert "secret" not in repr(signed)


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://bedrock-runtime.eu-west-3.amazonaws.com", "eu-west-3"),
        ("https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("https://bedrock-runtime.us-east-1.api.aws", "us-east-1"),
        ("https://bedrock-runtime.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("https://vpce-1.bedrock-runtime.ap-south-1.vpce.amazonaws.com", "ap-south-1"),
    ],
)
def test_the_region_is_in_the_address(clock, url, region):
    signed = bedrock.sigv4(credentials=credentials())(bedrock.encode(ask(), Target(url, "m")))
    assert f"/20261120/{region}/bedrock/aws4_request" in signed.headers["authorization"]


def test_the_region_that_is_given_counts(clock):
    signed = bedrock.sigv4("sa-east-1", credentials=credentials())(bedrock.encode(ask(), Target("http://proxy", "m")))
    assert "/20261120/sa-east-1/bedrock/" in signed.headers["authorization"]


@pytest.mark.parametrize("url", ["https://proxy.internal", "https://notbedrock-runtime.eu-west-3.amazonaws.com", "x"])
def test_an_address_without_a_region_cannot_be_signed(url):
    with pytest.raises(LocalError, match="names no AWS region"):
        bedrock.sigv4(credentials=credentials())(bedrock.encode(ask(), Target(url, "m")))


@pytest.mark.anyio
async def test_a_signed_request_is_answered(clock):
    recording = Recording.load(OWN / "bedrock-parallel-tools.json")
    body = recording.data
    pieces = [body[at : at + 100] for at in range(0, len(body), 100)]
    headers = {"content-type": recording.content_type, "x-amzn-requestid": "request-1"}
    sign = bedrock.sigv4("us-east-1", credentials=credentials())
    with serve(Answer(pieces, headers=headers)) as server:
        async with (
            Endpoint(bedrock, PROFILE.model, url=server.url, sign=sign) as endpoint,
            endpoint.stream("Hi") as stream,
        ):
            fold = await stream.collect()
    (request,) = server.requests
    assert (fold.text, stream.request_id) == ("I'll look up both.", "request-1")
    assert request.path == bedrock.encode(ask(), PROFILE).url.removeprefix(bedrock.url)
    assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261120/us-east-1/")


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A machine without AWS credentials."""
    pytest.importorskip("botocore", reason="botocore is not installed")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path


def key_of(sign: Any) -> str:
    authorization = sign(bedrock.encode(ask(), CLAUDE)).headers["authorization"]
    return authorization.partition("Credential=")[2].partition("/")[0]


def test_credentials_are_found_in_the_environment(nowhere, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert key_of(bedrock.sigv4()) == "AKIDENV"


def test_credentials_are_found_in_a_profile(nowhere):
    keys = "[work]\naws_access_key_id = AKIDWORK\naws_secret_access_key = secret\n"
    (nowhere / "credentials").write_text(keys)
    assert key_of(bedrock.sigv4(profile="work")) == "AKIDWORK"


def test_no_credentials_are_a_mistake_at_once(nowhere):
    with pytest.raises(LocalError, match="there are no AWS credentials"):
        bedrock.sigv4()


def test_a_profile_that_does_not_exist_is_a_mistake_at_once(nowhere):
    with pytest.raises(LocalError, match="cannot be read: .*nobody"):
        bedrock.sigv4(profile="nobody")


def test_credentials_are_renewed_when_a_request_is_signed():
    library = pytest.importorskip("botocore.credentials", reason="botocore is not installed")
    numbers = iter(range(1, 100))

    class Renewed:
        def get_frozen_credentials(self) -> Any:
            return library.ReadOnlyCredentials(f"AKID{next(numbers)}", "secret", None)

    sign = bedrock.sigv4(credentials=Renewed())
    assert [key_of(sign), key_of(sign)] == ["AKID1", "AKID2"]


def test_credentials_that_cannot_be_renewed_are_a_failure():
    errors = pytest.importorskip("botocore.exceptions", reason="botocore is not installed")

    class Expired:
        def get_frozen_credentials(self) -> Any:
            raise errors.CredentialRetrievalError(provider="sso", error_msg="log in again")

    with pytest.raises(StreamFailed) as caught:
        bedrock.sigv4(credentials=Expired())(bedrock.encode(ask(), CLAUDE))
    message = "the AWS credentials could not be renewed: Error when retrieving credentials from sso: log in again"
    assert caught.value.failure == Failure("auth", message, detail="credentials")
    assert not caught.value.failure.retryable


def test_signing_needs_botocore(monkeypatch):
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    with pytest.raises(LocalError, match=r"install streamcore\[bedrock\]"):
        bedrock.sigv4()


def test_the_adapter_alone_does_not_load_botocore():
    import subprocess

    code = "import sys, streamcore_adapters.bedrock; print('botocore' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_the_framing_is_that_of_aws():
    assert bedrock.framing is eventstream.Parser
