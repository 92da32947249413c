"""Whose format is spoken at an address."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from support import params

import streamcore as sc
from streamcore import dialect
from streamcore.testing.scripted import EVENTS
from streamcore.tracking.clients.wires import WIRES, Wire, find


def at(url, wires=WIRES):
    parts = urlsplit(url)
    found = find(wires, parts.hostname, parts.port, parts.path)
    return None if found is None else (found[0].name, *found[1].values())


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://api.openai.com/v1/chat/completions", ("openai",)),
        ("https://api.openai.com/v1/chat/completions/", ("openai",)),
        ("http://127.0.0.1:8000/v1/chat/completions", ("openai_chat",)),
        ("http://127.0.0.1:11434/v1/chat/completions", ("ollama_v1",)),
        ("http://localhost:11434/v1/chat/completions", ("ollama_v1",)),
        ("https://api.mistral.ai/v1/chat/completions", ("mistral",)),
        ("https://mistral.ai.example.org/v1/chat/completions", ("openai_chat",)),
        ("https://notmistral.ai/v1/chat/completions", ("openai_chat",)),
        ("https://us.x.ai/v1/chat/completions", ("xai",)),
        ("https://me.openai.azure.com/openai/deployments/my-gpt/chat/completions", ("azure",)),
        ("https://me.openai.azure.com/openai/v1/responses", ("openai_responses",)),
        ("https://api.openai.com/v1/responses", ("openai_responses",)),
        ("https://api.anthropic.com/v1/messages", ("anthropic",)),
        (
            "https://aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/anthropic/models/claude@1:streamRawPredict",
            ("anthropic", "claude@1"),
        ),
        (
            "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:streamGenerateContent",
            ("gemini", "gemini-2.5-flash"),
        ),
        (
            "https://bedrock-runtime.us-east-1.amazonaws.com/model/arn%3Aaws%3Abedrock%2Fnova-v1%3A0/converse-stream",
            ("bedrock", "arn:aws:bedrock/nova-v1:0"),
        ),
        ("https://api.cohere.com/v2/chat", ("cohere",)),
        ("https://ollama.com/api/chat", ("ollama",)),
        ("https://api.openai.com/v1/embeddings", None),
        ("https://api.anthropic.com/v1/messages/count_tokens", None),
        ("https://api.openai.com/v1/threads/t/messages", None),
        ("https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent", None),
        ("https://example.org/tchat/completions", None),
        ("https://example.org/", None),
    ],
)
def test_an_address_tells_the_format(url, found):
    assert at(url) == found


def test_every_adapter_and_dialect_that_is_named_exists():
    for wire in WIRES:
        assert wire.load() is sc.load(wire.name)
        assert wire.dialect is None or dialect.load(wire.dialect)


def test_a_format_of_ones_own_comes_first():
    own = Wire(adapter=EVENTS, path="/chat/completions")
    assert own.load() is EVENTS
    assert "_Events" in at("https://api.openai.com/v1/chat/completions", (own, *WIRES))[0]


def test_a_module_as_an_adapter_has_its_own_name():
    assert Wire(adapter=sc.load("gemini"), path="/").name == "streamcore_adapters.gemini"


APIS = {
    "messages": ("anthropic",),
    "responses": ("openai_responses",),
    "generate_content": ("gemini",),
    "converse_stream": ("bedrock",),
    "chat_v2": ("cohere",),
    "ollama_chat": ("ollama",),
}
ODD = ("/responses/resp_", "/v1/chat")  # resuming a response, which is a GET, and a provider with a path of its own


@pytest.mark.parametrize("row", [row for api in APIS for row in params(f"streams-{api}")])
def test_every_address_that_was_recorded_is_known(row):
    url = row.fields["url"]
    if url and not any(odd in url for odd in ODD):
        url = url if "://" in url else f"http://localhost{url}"
        assert at(url)[:1] == APIS[row.fields["api"]]
