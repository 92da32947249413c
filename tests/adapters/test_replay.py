"""What an assistant said goes back in the next request as its provider wants it: every token, where it was.

Shown for every recorded stream, against what `replayed` works out from its raw frames, and for a made-up stream of each
wire against a turn written by hand.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from support import MISSING, OWN, rows

from adapters import replayed
from adapters.made_up import MADE_UP
from streamcore.errors import LocalError
from streamcore.events import Failure, Finish
from streamcore.message import Fold
from streamcore.request import Message, Request, Target, Tool, ToolCall, ToolResult
from streamcore.testing import Recording, read
from streamcore_adapters import anthropic, bedrock, cohere, compatible, gemini, mistral, ollama, openai_responses
from streamcore_adapters.openai_chat import Compatible, Quirks

if TYPE_CHECKING:
    from streamcore.adapter import Adapter

# A server that wants back all that any server wants, for those of which nobody knows what they want.
REPLAY = ("reasoning_content", "reasoning_details", "reasoning_opaque", "extra_content", "annotations")
CURIOUS = Compatible(url="https://example.org/v1", quirks=Quirks(replay=REPLAY))
CURIOUS_TO_THE_END = Compatible(url="https://example.org/v1", quirks=Quirks(replay=REPLAY, done="required"))
ADAPTERS: dict[str, Adapter] = {
    "messages": anthropic,
    "converse_stream": bedrock,
    "responses": openai_responses,
    "generate_content": gemini,
    "chat_v2": cohere,
    "ollama_chat": ollama,
    "mistral": mistral,
}
OWN_WIRES = {
    "anthropic": "messages",
    "bedrock": "converse_stream",
    "openai_responses": "responses",
    "gemini": "generate_content",
    "cohere": "chat_v2",
    "ollama": "ollama_chat",
    "mistral": "mistral",
    "openai_chat": "chat_completions",
}

# Of streams that failed or were cut, the parts that go back: words as far as they came, reasoning if it is signed or
# needs no signature, calls and items that ended.
FAILED = {
    "anthropic-overloaded": ["Text"],
    "bedrock-model-error": ["Text"],
    "bedrock-throttled": ["Text"],
    "cohere-error-in-stream": ["Text"],
    "gemini-error-in-stream": ["Text"],
    "ollama-error-in-stream": ["Text"],
    "openai_chat-error": ["Text"],
    "openai_responses-overloaded": ["Text"],
    "gemini-chat-gemini-tools-thought-streaming-b97bd2": [],
    "groq-chat-stream-with-tools-1-8b424e": ["Text", "ToolCall", "ToolCall"],
    "huggingface-chat-async-chat-completion-with-stream-810a81": ["Text"],
    "mistral-chat-mistral-thinking-streaming-a4411e": ["ReasoningPart"],
    "openai-chat-chat-completion-invalid-streaming-test-respo-fb9a16": ["Text"],
    "openai-chat-llm-v1-chat-957c69": ["Text"],
    "openai-chat-streamed-interrupted-8c5671": [],
    "openai-chat-streamed-interrupted-fbf156": [],
    "openai-chat-tools-streaming-variant-a-2efb30": [],
    "openrouter-chat-openrouter-minimax-minimax-m1-object-streami-10f331": [],
    "openrouter-chat-openrouter-minimax-minimax-m2-free-object-st-42edf6": [],
    "openrouter-chat-openrouter-qwen-qwen3-coder-object-streaming-4c7ecb": [],
    "openrouter-chat-openrouter-qwen-qwen3-next-80b-a3b-instr-obj-527cf9": [],
    "other-client-chat-chatcompletionkeepalive-890eb5": ["Text"],
    "gemini-genc-chat-stream-thinking-mock-12f5bc": ["ReasoningPart"],
    "gemini-genc-failure-empty-content-82e021": [],
    "gemini-genc-google-genai-creates-a-streaming-genai-span-cd7288": ["Text"],
    "gemini-genc-streaming-failure-malformed-content-df6418": [],
    "gemini-genc-testplugincallbackintegration-agent-tool-def-49ca90": [],
    "gemini-genc-testplugincallbackintegration-agent-tool-def-64d98e": [],
    "vertex-genc-streaming-failure-empty-content-a53aad": [],
    "vertex-genc-streaming-success-empty-text-part-c0362f": ["Text"],
    "vertex-genc-streaming-success-quotes-escaped-0700f3": ["Text"],
    "openai-responses-openai-responses-compaction-cancelled-stream-3b9308": ["ReasoningPart"],
    "openai-responses-responseapplypatchcalloperationdiffdelta-8650d9": [],
    "openai-responses-responseapplypatchcalloperationdiffdone-d37322": [],
    "openai-responses-responseoutputitemapplypatchcalldone-5252f5": ["ExtensionPart"],
    "openai-responses-responseoutputitemcompactiondone-aafaba": ["ExtensionPart"],
    "openai-responses-responseoutputitemtoolsearchcalladded-0cd670": [],
    "openai-responses-responseoutputitemtoolsearchoutputdone-ce3911": ["ExtensionPart"],
    "openai-responses-responsereasoningtextdelta-291069": ["ReasoningPart"],
    "openai-responses-responsereasoningtextdone-457ea3": ["ReasoningPart"],
}
# The limit on tokens cut their arguments short: no JSON, so the API would not take them back.
CUT_ARGUMENTS = {
    "anthropic-messages-incomplete-partial-json-response-b03cab",
    "anthropic-messages-incomplete-partial-json-response-e0e79e",
}
STREAMED_ARGUMENTS = "gemini-streamed-arguments"  # no plain reading puts them together
# All that may be left out of a whole answer, and why.
LEFT_OUT = {
    "left out: nothing in it can be sent",  # the answer was empty
    "left out: there is nothing in it to send",
    "left out: reasoning that led to nothing is refused",
    "left out: this provider takes no reasoning back",  # DeepSeek's models at Azure
}


@dataclass(frozen=True)
class Case:
    """A stream, and whose it is. `model` is what the wire needs to know: the model, or for Chat Completions the server."""

    id: str
    wire: str
    model: str
    body: bytes

    @property
    def adapter(self) -> Adapter:
        if self.wire != "chat_completions":
            return ADAPTERS[self.wire]
        if self.model != "any":
            return getattr(compatible, self.model)
        return CURIOUS_TO_THE_END if b"[DONE]" in self.body else CURIOUS

    @property
    def wanted(self) -> replayed.Turn:
        return replayed.WIRES[self.wire].wanted(self.body, self.model)

    def fold(self, size: int | None = None) -> Fold:
        return Fold(read(self.adapter, [self.body[:size]]))

    def encoded(self, fold: Fold, *, stored: bool = True) -> Any:
        """The request after this answer, with a result for each call. `stored` is for Responses, which then knows all
        reasoning."""
        turn = fold.message
        calls = [part for part in turn.parts if isinstance(part, ToolCall)]
        results = tuple(ToolResult(id=call.id, name=call.name, content="42") for call in calls)
        after = (Message("tool", results),) if results else (Message("user", "Go on"),)
        request = Request(
            messages=(Message("user", "Hi"), turn, *after),
            tools=tuple(Tool(name) for name in dict.fromkeys(call.name for call in calls)),
            extra={"store": stored} if self.wire == "responses" else None,
        )
        return self.adapter.encode(request, Target(self.adapter.url or "https://example.org/v1", self.model))

    def sent(self, fold: Fold) -> replayed.Sent:
        return replayed.WIRES[self.wire].sent(json.loads(self.encoded(fold).body))


def case_of(api: str, row: Any) -> Case:
    """A recording as a case: Mistral's wire is its own, other servers are known by who sent them."""
    provider, model = row.fields["provider"], row.fields["model"] or "gemini-2.5-flash"
    if api != "chat_completions":
        return Case(row.id, api, model, row.body)
    if provider == "mistral":
        return Case(row.id, "mistral", model, row.body)
    if row.fields["host"] in ("llamacpp", "localhost:8080"):
        return Case(row.id, api, "llama_cpp", row.body)
    name = {"ollama": "ollama_v1"}.get(provider, provider)
    return Case(row.id, api, name if name in compatible.__all__ else "any", row.body)


def own_cases() -> list[Case]:
    cases = []
    for path in sorted(OWN.glob("*.json")):
        recording = Recording.load(path)
        if recording.status == 200:
            wire = OWN_WIRES[recording.adapter]
            model = (
                "any" if wire == "chat_completions" else (recording.request or {}).get("model") or "gemini-2.5-flash"
            )
            cases.append(
                Case(path.stem, wire, "openrouter" if "openrouter" in recording.url else model, recording.data)
            )
    return cases


APIS = ["messages", "converse_stream", "responses", "generate_content", "chat_v2", "ollama_chat", "chat_completions"]
RECORDED = [case_of(api, row) for api in APIS for row in rows(f"streams-{api}")]
CASES = [*RECORDED, *own_cases()]
MADE = [Case(name, wire, model, body) for name, (wire, model, body, _) in MADE_UP.items()]
WHOLE = [case for case in CASES if case.id not in {*FAILED, *CUT_ARGUMENTS, STREAMED_ARGUMENTS}]


def params(cases: list[Case]) -> list[Any]:
    missing = [] if RECORDED else [pytest.param(None, marks=MISSING, id="missing")]
    return [pytest.param(case, id=case.id) for case in cases] + missing


def is_encrypted(case: Case) -> bool:
    return case.wire == "responses" and any(name == "encrypted_content" for name, _ in case.wanted.tokens)


# Whole answers


@pytest.mark.parametrize("case", params(WHOLE))
def test_a_recorded_turn_goes_back_as_its_provider_wants_it(case):
    fold = case.fold()
    assert isinstance(fold.outcome, Finish)
    assert case.sent(fold).turn.content == case.wanted.content
    assert {warning.message for warning in case.encoded(fold).warnings} <= LEFT_OUT


@pytest.mark.parametrize("case", params([case for case in WHOLE if case.wanted.tokens]))
def test_every_recorded_token_goes_back_once(case):
    assert case.sent(case.fold()).turn.tokens == case.wanted.tokens


@pytest.mark.parametrize("case", params([case for case in WHOLE if case.wanted.calls]))
def test_recorded_calls_and_their_results_say_the_same(case):
    sent, wanted = case.sent(case.fold()), case.wanted.calls
    assert sent.turn.calls == wanted
    assert sent.results == sent.turn.calls
    ids = [id for id, _ in sent.results if id]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("case", params([case for case in WHOLE if case.wire == "responses"]))
def test_where_nothing_is_stored_no_item_needs_reasoning_that_is_not_sent(case):
    items = json.loads(case.encoded(case.fold(), stored=False).body)["input"]
    given = ("function_call_output", "custom_tool_call_output")
    mine = [item for item in items if item.get("type") not in given and item.get("role") != "user"]
    names = [(item.get("type", "message"), item.get("id")) for item in mine]
    assert names == replayed.responses_wanted_where_nothing_is_stored(case.body)


@pytest.mark.parametrize("case", params([case for case in WHOLE if is_encrypted(case)]))
def test_recorded_encrypted_reasoning_goes_back_where_nothing_is_stored(case):
    items = json.loads(case.encoded(case.fold(), stored=False).body)["input"]
    wanted = [item for item in case.wanted.content if item.get("encrypted_content")]
    assert [item for item in items if item.get("encrypted_content")] == wanted


def test_a_call_whose_arguments_were_streamed_goes_back_whole_and_signed():
    (case,) = [case for case in CASES if case.id == STREAMED_ARGUMENTS]
    legs = [{"to": 'Bergen "B"', "hours": 6.5}, {"to": "Voss"}]
    args = {"trip": {"from": "Oslo", "legs": legs}, "direct": False, "seat": None}
    signature = "c2lnbmVkIGJlZm9yZSB0aGUgYXJndW1lbnRz"
    assert case.sent(case.fold()).turn.content == [
        {"functionCall": {"name": "book", "args": args}, "thoughtSignature": signature}
    ]


# Answers that failed


@pytest.mark.parametrize("case", params([case for case in CASES if case.id in FAILED]))
def test_a_recording_that_failed_goes_back_as_far_as_it_is_whole(case):
    fold = case.fold()
    assert isinstance(fold.outcome, Failure)
    assert [type(part).__name__ for part in fold.message.parts] == FAILED[case.id]
    sent = case.sent(fold)
    assert sent.results == sent.turn.calls
    assert all(json.dumps(value).strip('"').encode() in case.body for _, value in sent.turn.tokens)


@pytest.mark.parametrize("case", params([case for case in CASES if case.id in CUT_ARGUMENTS]))
def test_arguments_that_the_limit_cut_short_are_not_sent(case):
    with pytest.raises(LocalError, match=r"messages\[1\]\.content\[1\]: the arguments of tool call 'toolu_01"):
        case.encoded(case.fold())


# Made up


@pytest.mark.parametrize("case", MADE, ids=lambda case: case.id)
def test_a_made_up_turn_goes_back_as_its_provider_wants_it(case):
    fold = case.fold()
    assert isinstance(fold.outcome, Finish)
    assert case.sent(fold).turn.content == MADE_UP[case.id][3]
    assert case.encoded(fold).warnings == ()


@pytest.mark.parametrize("case", MADE, ids=lambda case: case.id)
def test_what_is_wanted_is_worked_out_right(case):
    assert case.wanted.content == MADE_UP[case.id][3]


@pytest.mark.parametrize("case", MADE, ids=lambda case: case.id)
def test_every_made_up_token_goes_back_once(case):
    tokens = case.sent(case.fold()).turn.tokens
    assert tokens == case.wanted.tokens
    assert tokens or case.id == "deepseek"  # has nothing but words and the ids of calls


@pytest.mark.parametrize("case", MADE, ids=lambda case: case.id)
def test_made_up_calls_and_their_results_say_the_same(case):
    sent = case.sent(case.fold())
    assert sent.results == sent.turn.calls == case.wanted.calls
    assert sent.results


@pytest.mark.parametrize("case", MADE, ids=lambda case: case.id)
def test_a_turn_that_was_cut_anywhere_goes_back_as_far_as_it_is_whole(case):
    whole = case.sent(case.fold()).turn
    rng = random.Random(0)
    for size in sorted(rng.sample(range(len(case.body)), 200)):
        fold = case.fold(size)
        sent = case.sent(fold)
        assert sent.results == sent.turn.calls == whole.calls[: len(sent.results)]
        assert sent.turn.tokens <= whole.tokens
