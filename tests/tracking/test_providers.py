"""A provider has one name."""

from __future__ import annotations

import pytest

from ledgers import lost
from streamcore.tracking.providers import provider_of
from streamcore.tracking.record import AttemptRecord
from streamcore.upstream import Origin


@pytest.mark.parametrize(
    ("adapter", "host", "provider"),
    [
        ("openai", "api.openai.com", "openai"),
        ("openai_responses", "api.openai.com", "openai"),
        ("streamcore_adapters.openai_chat", "localhost", "openai"),
        ("openai", "ours.openai.azure.com", "azure.ai.openai"),
        ("azure", "ours.example", "azure.ai.openai"),
        ("anthropic", "api.anthropic.com", "anthropic"),
        ("gemini", "generativelanguage.googleapis.com", "gcp.gemini"),
        ("gemini", "europe-west1-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("bedrock", "bedrock-runtime.eu-west-1.amazonaws.com", "aws.bedrock"),
        ("xai", "api.x.ai", "x_ai"),
        ("vllm", "10.0.0.1", "vllm"),
        ("<tiny.Adapter object at 0x7f5c80bddda0>", "ours.example", None),
        ("x" * 65, "ours.example", None),
    ],
)
def test_a_provider_is_called_as_the_conventions_call_it(adapter, host, provider):
    assert provider_of(Origin(adapter=adapter, model="m", host=host)) == provider


def test_nobody_has_no_name():
    assert provider_of(None) is None


def test_a_record_and_its_attempts_say_it():
    origin = Origin(adapter="bedrock", model="m", host="h")
    assert lost(1, origin=origin).provider == AttemptRecord(origin=origin).provider == "aws.bedrock"
