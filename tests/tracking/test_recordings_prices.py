"""What every recorded answer cost: the record's number against what genai-prices makes of the provider's raw usage.

The raw usage is looked up in the bytes without our adapters, and read by genai-prices' own extractors. Where those read
it wrongly, a class below says why, and which recordings are of it: `MENDED` puts the raw usage as they expect it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from support import MISSING, SHARED

import streamcore as sc
from recorded import Recorded, recordings
from streamcore.tracking.prices import Prices

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from decimal import Decimal

    from streamcore.tracking.record import Record

pytestmark = pytest.mark.anyio
needed = pytest.mark.skipif(not SHARED.exists(), reason=MISSING.kwargs["reason"])

Raw = dict[str, Any]

PRICES = Prices()
FITTING = {
    "anthropic": "claude-sonnet-4-5",
    "deepseek": "deepseek-chat",
    "groq": "llama-3.3-70b-versatile",
    "perplexity": "sonar",
    "bedrock": "anthropic.claude-haiku-4-5-20251001-v1:0",
    "cerebras": "llama3.1-8b",
    "cohere": "command-r",
    "fireworks": "accounts/fireworks/models/deepseek-v3p2",
    "gemini": "gemini-2.5-flash",
    "mistral": "mistral-large-latest",
    "openrouter": "openai/gpt-4o",
    "together": "meta-llama/Llama-3.3-70B-Instruct-Turbo",
    "vertex": "gemini-2.5-flash",
    "xai": "grok-3",
}
"""For recordings of a model that the list does not know: one of the provider's, or else `gpt-4o`."""
FLAVORS = {
    "chat_completions": ("chat", "default"),
    "responses": ("responses",),
    "messages": ("anthropic", "default"),
}
"""The extractors of a wire. Two hosts have their own wire alone by the name `default`, and OpenAI's is used there."""
OWN_WIRE = ("bedrock", "cohere")


def known(value: Any) -> Raw:
    """The members of an object that are not null; {} of anything else."""
    return {name: inner for name, inner in value.items() if inner is not None} if isinstance(value, dict) else {}


def raw_usage(one: Recorded) -> Raw:
    """The provider's last word on what it counted; {} if it said nothing."""
    usage: Raw = {}
    for value in one.objects:
        match one.wire:
            case "chat_completions":
                for found in (known(value.get("x_groq")).get("usage"), value.get("usage")):
                    usage = found if "prompt_tokens" in known(found) else usage
            case "responses":
                usage = known(value.get("response")).get("usage") or usage
            case "messages":
                usage = usage | known(known(value.get("message")).get("usage")) | known(value.get("usage"))
            case "generate_content":
                found = known(value.get("usageMetadata"))
                usage = found if any("TokenCount" in name for name in found) else usage
            case "converse_stream":
                usage = value.get("usage") or usage
            case "chat_v2":
                usage = known(value.get("delta")).get("usage") or usage
    return usage


def models(one: Recorded) -> list[str]:
    """The model that the bytes name, the one that was asked for, and one that fits."""
    names = [one.row.fields.get("model"), FITTING.get(one.provider, "gpt-4o")]
    for value in one.objects:
        for found in (value, known(value.get("response")), known(value.get("message"))):
            names.insert(0, found.get("model") or found.get("modelVersion"))
    return list(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def priced_model(one: Recorded) -> str:
    """The first of its models that the list knows at its host."""
    for model in models(one):
        with suppress(LookupError):
            url = f"https://{one.host}"
            genai_prices.calc_price(genai_prices.Usage(input_tokens=1), model, provider_api_url=url)
            return model
    raise AssertionError(f"no price for {one.id}: {models(one)}")


def theirs(one: Recorded, raw: Raw, model: str, when: datetime) -> Decimal:
    """What genai-prices makes of the raw usage."""
    list_ = get_snapshot()
    provider = list_.find_provider(None, None, f"https://{one.host}")
    flavors = {found.api_flavor for found in provider.extractors or ()}
    wanted = FLAVORS.get(one.wire, ("default",))
    if one.provider in OWN_WIRE and one.wire in ("chat_completions", "responses"):
        wanted = wanted[:1]
    flavor = next((name for name in wanted if name in flavors), None)
    if flavor is None:
        provider, flavor = list_.find_provider(None, "openai", None), wanted[0]
    name = "usageMetadata" if one.wire == "generate_content" else "usage"
    _, usage = provider.extract_usage({name: raw}, api_flavor=flavor)
    url = f"https://{one.host}"
    return genai_prices.calc_price(usage, model, provider_api_url=url, genai_request_timestamp=when).total_price


async def recorded(one: Recorded, model: str) -> Record:
    """What a tracked stream over the same bytes leaves."""
    stream = sc.track(one.endpoint(model), prices=PRICES).stream("hi")
    with suppress(sc.StreamFailed):
        async with stream:
            async for _ in stream:
                pass
    assert stream.record is not None
    return stream.record


# What the extractors read wrongly: of each class the recordings, how the raw usage is to be read, and why.


def outside(raw: Raw) -> Raw:
    """What was thought is not in `completion_tokens`: the total is more than the two."""
    details = known(raw.get("completion_tokens_details"))
    thought = details.get("reasoning_tokens") or raw["reasoning_tokens"]
    assert raw["total_tokens"] == raw["prompt_tokens"] + raw["completion_tokens"] + thought
    return raw | {"completion_tokens": raw["completion_tokens"] + thought}


def heard(raw: Raw) -> Raw:
    """What was heard is not in `prompt_tokens`: the total is more than the two."""
    sound = raw["prompt_tokens_details"]["audio_tokens"]
    assert raw["total_tokens"] == raw["prompt_tokens"] + raw["completion_tokens"] + sound
    return raw | {"prompt_tokens": raw["prompt_tokens"] + sound}


def recalled(raw: Raw) -> Raw:
    """What came from the cache is more than `prompt_tokens`, so it cannot be in there."""
    assert raw["num_cached_tokens"] > raw["prompt_tokens"]
    return raw | {"prompt_tokens": raw["prompt_tokens"] + raw["num_cached_tokens"]}


def numbered(raw: Raw) -> Raw:
    """Kinds of content are numbers, as the SDK wrote them: the extractor wants words."""
    return {name: value for name, value in raw.items() if not name.endswith("Details")}


MENDED: dict[str, Callable[[Raw], Raw]] = {
    "azure-chat-tool-streaming-7b3dd9": outside,  # Grok, at Azure
    "other-copilot-chat-copilot-tools-streaming-reasoning-f46d76": outside,
    "mistral-chat-streaming-agent-sends-audio-cee979": heard,
    "mistral-chat-stream-reasoning-model-1-1-131d10": recalled,
    "vertex-genc-gemini-token-counts-streaming-f49e97": numbered,
    "vertex-genc-stream-function-call-choice-01e789": numbered,
    "vertex-genc-stream-function-call-choice-no-content-39a895": numbered,
}


BROKEN = {"groq-chat-stream-with-tools-1-8b424e"}
"""Malformed before its usage came, so what it counted was never read."""


async def differences(wire: str) -> tuple[int, dict[str, object]]:
    """How many recordings of a wire counted something, and those whose cost is another than it should be."""
    PRICES.load()
    different: dict[str, object] = {}
    counted = 0
    for one in recordings(wire):
        raw = raw_usage(one)
        if raw and one.id not in BROKEN:
            counted += 1
            model = priced_model(one)
            record = await recorded(one, model)
            costs = record.costs
            ours = costs.known if record.status == "SUCCESS" else costs.amount
            expected = theirs(one, MENDED.get(one.id, dict)(raw), model, record.created_at)
            if ours != expected:
                different[one.id] = ours, expected
            if ours is not None and sum(costs.breakdown.values()) != costs.amount:
                different[one.id] = costs.breakdown, costs.amount
    return counted, different


@needed
@pytest.mark.parametrize(
    ("wire", "least"),
    [
        ("chat_completions", 600),
        ("responses", 130),
        ("messages", 120),
        ("generate_content", 130),
        ("converse_stream", 37),
        ("chat_v2", 23),
    ],
)
async def test_the_cost_is_what_genai_prices_makes_of_the_raw_usage(wire, least):
    counted, different = await differences(wire)
    assert different == {}
    assert counted >= least
