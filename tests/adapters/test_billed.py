"""What a provider bills that its usage does not say."""

from __future__ import annotations

import json

import pytest

import streamcore as sc
from faults.transcripts import BEGUN, bedrock, block
from streamcore.adapter import Billed
from streamcore.events import Extension
from streamcore_adapters import anthropic, cohere, openai_chat
from streamcore_adapters import bedrock as converse


def read(adapter, body):
    reader = sc.Reader(adapter)
    reader.feed(body)
    reader.close()
    assert isinstance(reader.outcome, sc.Finish)
    return reader


def sse(*events):
    return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)


def messages(**usage):
    message = {"id": "m", "model": "c", "content": [], "usage": {"input_tokens": 9}}
    return sse(
        {"type": "message_start", "message": message},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3, **usage}},
        {"type": "message_stop"},
    )


def test_anthropic_bills_searches_and_an_hour_in_the_cache_apart():
    body = messages(
        cache_creation={"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 5},
        cache_creation_input_tokens=6,
        server_tool_use={"web_search_requests": 2, "web_fetch_requests": 1},
    )
    reader = read(anthropic, body)
    assert reader.billed == Billed(cache_write_1h_tokens=5, web_searches=2)
    assert reader.usage == sc.Usage(input_tokens=15, output_tokens=3, cache_write_tokens=6)


def test_anthropic_may_say_only_other_things():
    assert read(anthropic, messages(service_tier="standard", server_tool_use={"web_search_requests": 0})).billed is None
    assert read(anthropic, messages()).billed is None


def test_cohere_bills_less_than_it_counts():
    usage = {
        "billed_units": {"input_tokens": 5, "output_tokens": 8.0},
        "tokens": {"input_tokens": 70, "output_tokens": 9},
    }
    end = {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}}
    reader = read(cohere, sse({"type": "message-start", "id": "m"}, end))
    assert reader.billed == Billed(input_tokens=5, output_tokens=8)
    assert reader.usage == sc.Usage(input_tokens=70, output_tokens=9)


def converse_body(**usage):
    counts = {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7, **usage}
    end = [{"messageStop": {"stopReason": "end_turn"}}, {"metadata": {"usage": counts}}]
    return bedrock([BEGUN, *block(0, {"text": "Hi"}), *end])


def test_bedrock_bills_an_hour_in_the_cache_apart():
    kept = [{"ttl": "5m", "inputTokens": 1}, {"ttl": "1h", "inputTokens": 5}]
    assert read(converse, converse_body(cacheDetails=kept)).billed == Billed(cache_write_1h_tokens=5)
    assert read(converse, converse_body(cacheDetails=kept[:1])).billed is None
    assert read(converse, converse_body()).billed is None


@pytest.mark.parametrize("adapter", [anthropic, cohere, converse], ids=["anthropic", "cohere", "bedrock"])
def test_other_facts_of_an_answer_say_nothing_of_it(adapter):
    assert adapter.billed(Extension("somebody:else", "{}")) is None
    assert adapter.billed(Extension(f"{adapter.__name__.rpartition('.')[2]}:usage", "[]")) is None


def test_an_adapter_need_not_say_it():
    body = sse({"id": "c", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]})
    assert read(openai_chat, body + b"data: [DONE]\n\n").billed is None
