"""The table of compatible servers: each row against the recordings of its server, and what each one writes."""

from __future__ import annotations

import json
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import grammar
import pytest
from support import params

from streamcore.adapter import Adapter
from streamcore.errors import LocalError
from streamcore.events import BlockEnd, Finish, ReasoningDelta, Start, TextDelta, Usage
from streamcore.message import Fold
from streamcore.request import File, Message, Reasoning, Request, Schema, Secret, Target, Text, Tool, prompt
from streamcore.testing import check_cuts, check_truncation, read
from streamcore_adapters import compatible, openai_chat
from streamcore_adapters.openai_chat import Compatible

ROWS: dict[str, Compatible] = {name: getattr(compatible, name) for name in compatible.__all__}
ALWAYS_DONE = ["groq", "openrouter", "xai"]
ENTRY_POINTS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["entry-points"]

# Truly incomplete or malformed; the four of OpenRouter say `[DONE]` and nothing of why.
CUT_SHORT = {
    "groq-chat-stream-with-tools-1-8b424e": "protocol",
    "openrouter-chat-openrouter-minimax-minimax-m1-object-streami-10f331": "truncated",
    "openrouter-chat-openrouter-minimax-minimax-m2-free-object-st-42edf6": "truncated",
    "openrouter-chat-openrouter-qwen-qwen3-coder-object-streaming-4c7ecb": "truncated",
    "openrouter-chat-openrouter-qwen-qwen3-next-80b-a3b-instr-obj-527cf9": "truncated",
}


RECORDED = params("streams-chat_completions")


def name_of(row: Any) -> str | None:
    """The server that a recording is of, if it is one of these."""
    provider = row.fields["provider"]
    if provider == "other":
        return "llama_cpp" if row.fields["host"] in ("llamacpp", "localhost:8080") else None
    return {"ollama": "ollama_v1"}.get(provider, provider if provider in ROWS else None)


def recorded(*names: str) -> list[Any]:
    """The recordings of these servers, as pytest parameters."""
    return [param for param in RECORDED if param.values[0] is None or name_of(param.values[0]) in names]


STREAMS = recorded(*ROWS)
WHOLE = [row for row in STREAMS if row.id not in CUT_SHORT]


def target_of(name: str) -> Target:
    return Target(ROWS[name].url or "https://mine.example.org/openai/v1", "m", Secret("sk-very-secret"))


def sent(name: str, request: Request) -> Any:
    return ROWS[name].encode(request, target_of(name))


def body_of(name: str, request: Request) -> dict[str, Any]:
    return json.loads(sent(name, request).body)


def warnings_of(name: str, request: Request) -> list[str]:
    return [warning.field for warning in sent(name, request).warnings]


def ask(**fields: Any) -> Request:
    return Request(messages=(Message("user", "Hi"),), **fields)


# The table


def test_there_are_these_rows():
    assert len(ROWS) == 14
    assert compatible.__all__ == sorted(compatible.__all__)
    assert {name for name, value in vars(compatible).items() if isinstance(value, Compatible)} == set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_every_row_is_an_adapter(name):
    adapter: Adapter = ROWS[name]
    assert isinstance(adapter, Adapter)


@pytest.mark.parametrize("name", ROWS)
def test_every_row_is_registered_by_its_name(name):
    value = ENTRY_POINTS["streamcore.adapters"][name]
    assert EntryPoint(name, value, "streamcore.adapters").load() is ROWS[name]


@pytest.mark.parametrize("name", ROWS)
def test_what_a_row_does_not_support_are_fields_of_a_request(name):
    assert set(ROWS[name].quirks.unsupported) <= set(Request.__struct_fields__)


@pytest.mark.parametrize(
    ("name", "url", "key_variables"),
    [
        ("deepseek", "https://api.deepseek.com", ["DEEPSEEK_API_KEY"]),
        ("groq", "https://api.groq.com/openai/v1", ["GROQ_API_KEY"]),
        ("xai", "https://api.x.ai/v1", ["XAI_API_KEY"]),
        ("openrouter", "https://openrouter.ai/api/v1", ["OPENROUTER_API_KEY"]),
        ("together", "https://api.together.ai/v1", ["TOGETHER_API_KEY"]),
        ("fireworks", "https://api.fireworks.ai/inference/v1", ["FIREWORKS_API_KEY"]),
        ("perplexity", "https://api.perplexity.ai", ["PERPLEXITY_API_KEY", "PPLX_API_KEY"]),
        ("cerebras", "https://api.cerebras.ai/v1", ["CEREBRAS_API_KEY"]),
        ("vllm", "http://127.0.0.1:8000/v1", ["VLLM_API_KEY"]),
        ("sglang", "http://127.0.0.1:30000/v1", []),
        ("llama_cpp", "http://127.0.0.1:8080/v1", ["LLAMA_API_KEY"]),
        ("lm_studio", "http://127.0.0.1:1234/v1", ["LM_API_TOKEN"]),
        ("ollama_v1", "http://127.0.0.1:11434/v1", ["OLLAMA_API_KEY"]),
    ],
)
def test_where_a_server_is_and_what_opens_it(name, url, key_variables):
    request = ROWS[name].encode(prompt("Hi"), Target(ROWS[name].url, "m", Secret("k")))
    assert request.url == f"{url}/chat/completions"
    assert request.headers["authorization"] == "Bearer k"
    assert list(ROWS[name].key_variables) == key_variables


def test_azure_wants_the_address_of_the_resource():
    with pytest.raises(LocalError, match=r"pass url=, such as 'https://<resource>\.openai\.azure\.com/openai/v1'"):
        compatible.azure.encode(prompt("Hi"), Target(compatible.azure.url, "m"))


def test_azure_takes_the_key_in_a_header_of_its_own():
    request = compatible.azure.encode(prompt("Hi"), Target("https://r.openai.azure.com/openai/v1", "m", Secret("k")))
    assert request.url == "https://r.openai.azure.com/openai/v1/chat/completions"
    assert request.headers["api-key"] == "k"
    assert "authorization" not in request.headers


@pytest.mark.parametrize("name", ROWS)
def test_the_key_is_shown_to_nobody(name):
    request = sent(name, prompt("Hi"))
    assert b"secret" not in request.body
    assert "secret" not in repr(request) + repr(ROWS[name])


# Recordings


@pytest.mark.parametrize("row", WHOLE)
def test_a_recording_finishes_as_its_server_ends(row):
    assert type(read(ROWS[name_of(row)], [row.body])[-1]) is Finish


@pytest.mark.parametrize("row", [row for row in STREAMS if row.id in CUT_SHORT])
def test_a_recording_that_is_not_whole_fails(row):
    assert read(ROWS[name_of(row)], [row.body])[-1].kind == CUT_SHORT[row.id]


@pytest.mark.parametrize("row", STREAMS)
def test_a_recording_says_what_it_says_to_who_knows_nothing_of_its_server(row):
    events = read(ROWS[name_of(row)], [row.body])
    grammar.check(events)
    assert events == read(openai_chat, [row.body])


@pytest.mark.parametrize("row", [row for row in recorded(*ALWAYS_DONE) if row.id not in CUT_SHORT])
def test_a_recording_without_its_last_word_is_cut(row):
    body = row.body[: row.body.rindex(b"data: [DONE]")]
    assert read(ROWS[name_of(row)], [body])[-1].kind == "truncated"


@pytest.mark.parametrize("row", recorded(*ALWAYS_DONE)[::5])
def test_a_recording_that_ends_early_is_never_whole(row):
    check_truncation(ROWS[name_of(row)], row.body, samples=4)


@pytest.mark.parametrize("row", STREAMS[::9])
def test_a_recording_reads_the_same_however_it_is_cut(row):
    check_cuts(ROWS[name_of(row)], row.body, samples=4)


@pytest.mark.parametrize("row", recorded("ollama_v1"))
def test_the_last_word_is_enough_where_no_reason_comes(row):
    body = row.body
    for reason in (b'"stop"', b'"tool_calls"', b'"length"'):
        body = body.replace(b'"finish_reason":' + reason, b'"finish_reason":null')
    last = read(compatible.ollama_v1, [body])[-1]
    assert (type(last), last.raw) == (Finish, None)


@pytest.mark.parametrize("name", [name for name in ROWS if name != "ollama_v1"])
def test_the_last_word_is_not_enough_elsewhere(name):
    chunk = {"id": "a", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]}
    body = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()
    assert read(ROWS[name], [body])[-1].kind == "truncated"


@pytest.mark.parametrize("name", ROWS)
def test_a_finish_reason_is_enough_but_where_the_last_word_always_comes(name):
    body = b'data: {"id":"a","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n'
    last = read(ROWS[name], [body])[-1]
    assert last.kind == "truncated" if name in ALWAYS_DONE else last == Finish("stop", "stop")


def test_reasoning_is_outside_what_perplexity_counts():
    usage = b'"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14,"reasoning_tokens":100}'
    body = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],' + usage + b"}\n\n"
    assert Usage(9, 105, reasoning_tokens=100) in read(compatible.perplexity, [body])


# Requests

MAX_TOKENS = dict.fromkeys(ROWS, "max_tokens") | dict.fromkeys(
    ("azure", "cerebras", "groq", "xai"), "max_completion_tokens"
)
USERS = dict.fromkeys(("azure", "cerebras", "fireworks", "groq", "openrouter", "sglang", "vllm", "xai"), "user")
EFFORTS = {name: {"reasoning_effort": "high"} for name in ROWS} | {
    "deepseek": {"thinking": {"type": "enabled"}, "reasoning_effort": "high"},
    "openrouter": {"reasoning": {"effort": "high"}},
}
NO_USAGE = ["perplexity", "together"]
MANY = ask(
    tools=(Tool("f"),),
    tool_choice="auto",
    parallel_tool_calls=True,
    top_k=4,
    presence_penalty=0.5,
    frequency_penalty=0.5,
    stop=("a",),
    seed=7,
    user="u",
    metadata={"k": "v"},
    cache_key="c",
)
LEFT_OUT = {
    "azure": ["top_k"],
    "cerebras": ["top_k", "presence_penalty", "frequency_penalty", "metadata", "cache_key"],
    "deepseek": ["top_k", "seed", "metadata", "cache_key", "parallel_tool_calls"],
    "fireworks": ["cache_key"],
    "groq": ["top_k", "metadata", "cache_key"],
    "llama_cpp": ["user", "metadata", "cache_key"],
    "lm_studio": ["user", "metadata", "cache_key", "parallel_tool_calls"],
    "ollama_v1": ["top_k", "tool_choice", "parallel_tool_calls", "user", "metadata", "cache_key"],
    "openrouter": ["cache_key"],
    "perplexity": ["tools", "tool_choice", "parallel_tool_calls", "seed", "user", "metadata", "cache_key"],
    "sglang": ["metadata", "cache_key"],
    "together": ["user", "metadata", "cache_key", "parallel_tool_calls"],
    "vllm": ["metadata", "cache_key"],
    "xai": ["top_k", "metadata", "cache_key"],
}


@pytest.mark.parametrize("name", ROWS)
def test_the_smallest_request(name):
    usage = {} if name in NO_USAGE else {"stream_options": {"include_usage": True}}
    assert body_of(name, prompt("Hi")) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        **usage,
    }


@pytest.mark.parametrize(("name", "field"), MAX_TOKENS.items())
def test_how_the_limit_of_tokens_is_called(name, field):
    body = body_of(name, ask(max_tokens=9))
    assert {key: value for key, value in body.items() if key.startswith("max_")} == {field: 9}


@pytest.mark.parametrize("name", ROWS)
def test_the_system_has_the_role_that_every_server_knows(name):
    assert body_of(name, prompt("Hi", system="Be brief."))["messages"][0]["role"] == "system"


@pytest.mark.parametrize("name", ROWS)
def test_what_a_server_does_not_know_is_left_out_with_a_warning(name):
    assert warnings_of(name, MANY) == LEFT_OUT[name]


@pytest.mark.parametrize("name", ROWS)
def test_what_a_server_does_not_know_is_not_sent(name):
    wire = {"user": ["user", "user_id", "safety_identifier"], "cache_key": ["prompt_cache_key"]}
    unknown = {field for left_out in LEFT_OUT[name] for field in wire.get(left_out, [left_out])}
    assert not unknown & body_of(name, MANY).keys()


@pytest.mark.parametrize("name", ROWS)
def test_how_the_user_is_called(name):
    body = body_of(name, ask(user="u"))
    field = USERS.get(name) or ("user_id" if name == "deepseek" else None)
    known = {key: value for key, value in body.items() if key in ("user", "user_id", "safety_identifier")}
    assert known == ({field: "u"} if field else {})


@pytest.mark.parametrize(("name", "wire"), EFFORTS.items())
def test_how_an_effort_is_asked_for(name, wire):
    request = ask(reasoning=Reasoning(effort="high"))
    body = body_of(name, request)
    assert {key: body[key] for key in body if "reason" in key or key == "thinking"} == wire
    assert warnings_of(name, request) == []


def test_thinking_is_switched_off_where_there_is_a_switch():
    body = body_of("deepseek", ask(reasoning=Reasoning(effort="none")))
    assert (body["thinking"], body.get("reasoning_effort")) == ({"type": "disabled"}, None)


@pytest.mark.parametrize(
    ("name", "wire"),
    [("openrouter", {"reasoning": {"max_tokens": 99}}), ("vllm", {"thinking_token_budget": 99})],
)
def test_a_budget_is_sent_where_there_is_a_field_for_it(name, wire):
    body = body_of(name, ask(reasoning=Reasoning(budget_tokens=99)))
    assert {key: body[key] for key in body if "reason" in key or "thinking" in key} == wire


@pytest.mark.parametrize("name", [name for name in ROWS if name not in ("openrouter", "vllm")])
def test_a_budget_is_left_out_elsewhere(name):
    assert warnings_of(name, ask(reasoning=Reasoning(budget_tokens=99))) == ["reasoning.budget_tokens"]


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("groq", {"include_reasoning": False}),
        ("vllm", {"include_reasoning": False}),
        ("openrouter", {"reasoning": {"exclude": True}}),
    ],
)
def test_the_text_of_the_reasoning_can_be_left_out(name, wire):
    request = ask(reasoning=Reasoning(summary=False))
    body = body_of(name, request)
    assert {key: body[key] for key in wire} == wire
    assert warnings_of(name, request) == []


@pytest.mark.parametrize("name", [name for name in ROWS if name not in ("groq", "openrouter", "vllm", "azure")])
def test_the_text_of_the_reasoning_comes_unasked_elsewhere(name):
    assert warnings_of(name, ask(reasoning=Reasoning(summary=True))) == []
    assert warnings_of(name, ask(reasoning=Reasoning(summary=False))) == ["reasoning.summary"]


def test_azure_keeps_the_text_of_the_reasoning_as_openai_does():
    assert warnings_of("azure", ask(reasoning=Reasoning(summary=True))) == ["reasoning.summary"]


def test_deepseek_takes_no_schema():
    request = ask(output=Schema({"type": "object"}))
    assert body_of("deepseek", request)["response_format"] == {"type": "json_object"}
    assert warnings_of("deepseek", request) == ["output"]


def test_deepseek_has_flat_files():
    request = Request(messages=(Message("user", (File(id="file-1"),)),))
    assert body_of("deepseek", request)["messages"][0]["content"] == [{"type": "file", "file_id": "file-1"}]


def test_openrouter_marks_what_is_to_be_cached():
    request = Request(messages=(Message("user", (Text(text="a", cache=True),)),))
    (block,) = body_of("openrouter", request)["messages"][0]["content"]
    assert block["cache_control"] == {"type": "ephemeral"}


@pytest.mark.parametrize("name", [name for name in ROWS if name != "openrouter"])
def test_nobody_else_marks_what_is_to_be_cached(name):
    request = Request(messages=(Message("user", (Text(text="a", cache=True),)),))
    assert warnings_of(name, request) == ["messages[0].content[0].cache"]


# What goes back

FIELDS = {
    "cerebras": "reasoning",
    "deepseek": "reasoning_content",
    "fireworks": "reasoning_content",
    "groq": "reasoning",
    "llama_cpp": "reasoning_content",
    "ollama_v1": "reasoning",
    "openrouter": "reasoning",
    "sglang": "reasoning_content",
    "together": "reasoning",
    "vllm": "reasoning",
    "xai": "reasoning_content",
}
REASONED = Fold(
    [Start(), ReasoningDelta(0, "Hm"), TextDelta(1, "Hi"), BlockEnd(0), BlockEnd(1), Finish("stop")]
).message


@pytest.mark.parametrize(("name", "field"), FIELDS.items())
def test_reasoning_goes_back_in_the_field_it_came_in(name, field):
    request = Request(messages=(REASONED,))
    assert body_of(name, request)["messages"] == [{"role": "assistant", "content": "Hi", field: "Hm"}]
    assert warnings_of(name, request) == []


@pytest.mark.parametrize("name", [name for name in ROWS if name not in FIELDS])
def test_reasoning_stays_here_where_nobody_takes_it_back(name):
    request = Request(messages=(REASONED,))
    assert body_of(name, request)["messages"] == [{"role": "assistant", "content": "Hi"}]
    assert warnings_of(name, request) == ["messages[0].content[0]"]
