"""What tokens cost."""

from __future__ import annotations

import importlib
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import genai_prices
import pytest
from genai_prices.data_snapshot import DataSnapshot, get_snapshot, set_custom_snapshot
from hypothesis import given
from hypothesis import strategies as st

import streamcore as sc
from streamcore.adapter import Billed
from streamcore.tracking.prices import Prices
from streamcore.tracking.record import AttemptRecord, Cost, Record, Tokens

WHEN = datetime(2026, 11, 20, tzinfo=UTC)
OWN = {"mine": {"input": 2, "output": "10", "cache_read": Decimal("0.5"), "reasoning": 20, "input_audio": 100}}
OPENAI, ANTHROPIC, GOOGLE = "api.openai.com", "api.anthropic.com", "generativelanguage.googleapis.com"


def attempt(usage, model="mine", host="localhost", *, sources=None, answered_by=None, **fields):
    names = [name for name in usage.__struct_fields__ if getattr(usage, name) is not None]
    return AttemptRecord(
        origin=sc.Origin(adapter="a", model=model, host=host),
        answered_by=answered_by,
        tokens=Tokens(usage=usage, sources=dict.fromkeys(names, "reported") | (sources or {})),
        **fields,
    )


def record(*attempts):
    return Record(tracking_id="t", created_at=WHEN, status="SUCCESS", attempts=attempts)


def cost(*attempts, prices=None):
    return (prices or Prices(OWN)).priced(record(*attempts)).costs


# Own prices


def test_own_prices_are_of_a_million_tokens_by_kind():
    usage = sc.Usage(input_tokens=1000, output_tokens=100, cache_read_tokens=400, reasoning_tokens=60)
    found = cost(attempt(usage))
    assert found == Cost(
        known=Decimal("0.003"),
        provenance="derived",
        price_list="own 1",
        breakdown={
            "input": Decimal("0.0012"),
            "cache_read": Decimal("0.0002"),
            "output": Decimal("0.0004"),
            "reasoning": Decimal("0.0012"),
        },
    )


def test_a_kind_without_a_price_of_its_own_is_part_of_the_whole():
    usage = sc.Usage(input_tokens=1000, output_tokens=0, cache_write_tokens=400)
    assert cost(attempt(usage)).breakdown == {"input": Decimal("0.002"), "output": 0}


def test_parts_never_cost_more_tokens_than_there_are():
    usage = sc.Usage(input_tokens=10, output_tokens=0, cache_read_tokens=8, input_audio_tokens=8)
    assert cost(attempt(usage)).breakdown["input_audio"] == Decimal(2) * 100 / 1_000_000


def test_the_model_that_answered_goes_before_the_one_asked_for():
    prices = Prices({"asked": {"input": 1, "output": 1}, "mine": {"input": 2, "output": 2}}, version="7")
    usage = sc.Usage(input_tokens=1_000_000, output_tokens=0)
    assert cost(attempt(usage, "asked", answered_by="mine"), prices=prices).known == 2
    assert cost(attempt(usage, "asked", answered_by="asked-2026"), prices=prices).known == 1
    assert cost(attempt(usage, "asked"), prices=prices).price_list == "own 7"


def test_what_follows_from_an_estimate_stands_apart():
    usage = sc.Usage(input_tokens=1000, output_tokens=100)
    found = cost(attempt(usage, sources={"output_tokens": "estimated"}))
    assert (found.known, found.estimated, found.provenance) == (Decimal("0.002"), Decimal("0.001"), "estimated")


def test_without_the_output_the_cost_is_not_known_in_full():
    found = cost(attempt(sc.Usage(input_tokens=1000)))
    assert (found.known, found.estimated, found.provenance) == (Decimal("0.002"), None, "estimated")


def test_without_usage_there_is_no_cost_and_not_0():
    assert cost(attempt(sc.Usage())) == Cost()
    assert cost(attempt(sc.Usage(cache_read_tokens=5))) == Cost()


def test_without_a_price_or_without_anybody_there_is_no_cost():
    assert cost(attempt(sc.Usage(input_tokens=1, output_tokens=1), "other")) == Cost()
    assert cost(AttemptRecord(tokens=Tokens(usage=sc.Usage(input_tokens=1)))) == Cost()
    assert cost() == Cost()


def test_attempts_are_added_up_and_those_that_were_not_served_cost_nothing():
    one = attempt(sc.Usage(input_tokens=1000, output_tokens=100))
    refused = AttemptRecord(served=False)
    assert cost(refused, one) == cost(one)
    found = cost(refused, one, one)
    assert (found.known, found.provenance, found.price_list) == (Decimal("0.006"), "derived", "own 1")
    assert found.breakdown == {"input": Decimal("0.004"), "output": Decimal("0.002")}


def test_with_an_attempt_that_has_no_price_the_whole_is_not_known():
    one, other = (attempt(sc.Usage(input_tokens=1000, output_tokens=100), model) for model in ("mine", "other"))
    found = cost(one, other)
    assert (found.known, found.provenance) == (Decimal("0.003"), "estimated")
    assert cost(other, other) == Cost()


def test_each_attempt_has_its_own_cost():
    one = attempt(sc.Usage(input_tokens=1000, output_tokens=100))
    assert [each.cost.known for each in Prices(OWN).priced(record(one, one)).attempts] == [Decimal("0.003")] * 2


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7)), min_size=1))
def test_the_parts_are_the_whole(counts):
    parts = [
        attempt(sc.Usage(input_tokens=read, output_tokens=out, reasoning_tokens=part)) for read, out, part in counts
    ]
    found = cost(*parts)
    assert sum(found.breakdown.values()) == found.amount
    assert found.amount == sum(cost(each).amount for each in parts)


@pytest.mark.parametrize(
    "prices",
    [
        {"input": 1},
        {"input": 1, "output": 1, "thoughts": 1},
        {"input": "x", "output": 1},
        {"input": None, "output": 1},
        {"input": -1, "output": 1},
        {"input": "nan", "output": 1},
    ],
)
def test_what_is_no_price_is_refused(prices):
    with pytest.raises(sc.LocalError):
        Prices({"m": prices})


# genai-prices

USAGES = [
    (
        OPENAI,
        "gpt-4o",
        sc.Usage(input_tokens=1000, output_tokens=100),
        {"prompt_tokens": 1000, "completion_tokens": 100},
    ),
    (
        OPENAI,
        "gpt-4o",
        sc.Usage(input_tokens=1000, output_tokens=100, cache_read_tokens=640, reasoning_tokens=64),
        {
            "prompt_tokens": 1000,
            "completion_tokens": 100,
            "prompt_tokens_details": {"cached_tokens": 640},
            "completion_tokens_details": {"reasoning_tokens": 64},
        },
    ),
    (
        OPENAI,
        "gpt-4o-audio-preview",
        sc.Usage(input_tokens=1000, output_tokens=100, input_audio_tokens=300, output_audio_tokens=50),
        {
            "prompt_tokens": 1000,
            "completion_tokens": 100,
            "prompt_tokens_details": {"audio_tokens": 300},
            "completion_tokens_details": {"audio_tokens": 50},
        },
    ),
    (
        ANTHROPIC,
        "claude-sonnet-4-5",
        sc.Usage(input_tokens=1700, output_tokens=100, cache_read_tokens=500, cache_write_tokens=200),
        {
            "input_tokens": 1000,
            "output_tokens": 100,
            "cache_read_input_tokens": 500,
            "cache_creation_input_tokens": 200,
        },
    ),
    (
        GOOGLE,
        "gemini-2.5-flash",
        sc.Usage(input_tokens=1000, output_tokens=150, cache_read_tokens=400, reasoning_tokens=50),
        {
            "promptTokenCount": 1000,
            "candidatesTokenCount": 100,
            "thoughtsTokenCount": 50,
            "cachedContentTokenCount": 400,
        },
    ),
]


SIDES = "input", "output"


def side(kind):
    return "output" if kind.startswith("output") or kind == "reasoning" else "input"


@pytest.mark.parametrize(
    ("host", "model", "usage", "raw"), USAGES, ids=["plain", "cached", "audio", "writes", "thoughts"]
)
def test_the_cost_is_what_genai_prices_makes_of_the_raw_usage(host, model, usage, raw):
    body = {"modelVersion": model, "usageMetadata": raw} if host == GOOGLE else {"model": model, "usage": raw}
    options = {"api_flavor": "chat"} if host == OPENAI else {}
    theirs = genai_prices.extract_usage(body, provider_api_url=f"https://{host}", **options).calc_price(
        genai_request_timestamp=WHEN
    )
    ours = Prices()(record(attempt(usage, model, host))).costs
    assert theirs.total_price > 0
    assert (ours.known, ours.estimated, ours.provenance) == (theirs.total_price, None, "derived")
    read, generated = (sum(amount for kind, amount in ours.breakdown.items() if side(kind) == of) for of in SIDES)
    assert (read, generated) == (theirs.input_price, theirs.output_price)
    assert ours.price_list == f"genai-prices {genai_prices.__version__}"


def dollars(tokens, a_million):
    return Decimal(a_million) * tokens / 1_000_000


BREAKDOWNS = [
    (
        ANTHROPIC,
        "claude-sonnet-4-5",
        sc.Usage(input_tokens=1700, output_tokens=100, cache_read_tokens=500, cache_write_tokens=200),
        {
            "input": dollars(1000, 3),
            "output": dollars(100, 15),
            "cache_read": dollars(500, "0.3"),
            "cache_write": dollars(200, "3.75"),
        },
    ),
    (
        GOOGLE,
        "gemini-2.5-pro",
        sc.Usage(input_tokens=200_000, output_tokens=1000, cache_read_tokens=100_000, reasoning_tokens=500),
        {
            "input": dollars(100_000, "1.25"),
            "output": dollars(1000, 10),
            "cache_read": dollars(100_000, "0.125"),
        },
    ),
    (
        GOOGLE,
        "gemini-2.5-pro",
        sc.Usage(input_tokens=200_001, output_tokens=1000, cache_read_tokens=100_000, reasoning_tokens=500),
        {
            "input": dollars(100_001, "2.5"),
            "output": dollars(1000, 15),
            "cache_read": dollars(100_000, "0.25"),
        },
    ),
    (
        "api.perplexity.ai",
        "sonar-deep-research",
        sc.Usage(input_tokens=1700, output_tokens=100, reasoning_tokens=60),
        {"input": dollars(1700, 2), "output": dollars(40, 8), "reasoning": dollars(60, 3)},
    ),
    (
        "api.perplexity.ai",
        "sonar-pro",
        sc.Usage(input_tokens=1000, output_tokens=100),
        {"input": dollars(1000, 3), "output": dollars(100, 15), "requests": Decimal("0.014")},
    ),
    (
        GOOGLE,
        "gemini-2.5-flash",
        sc.Usage(input_tokens=1000, output_tokens=100, input_audio_tokens=300),
        {"input": dollars(700, "0.3"), "output": dollars(100, "2.5"), "input_audio": dollars(300, 1)},
    ),
    (
        OPENAI,
        "gpt-4o",
        sc.Usage(input_tokens=10**18 + 7, output_tokens=10**17 + 3, cache_read_tokens=10**16 + 9),
        {
            "input": dollars(10**18 - 10**16 - 2, "2.5"),
            "output": dollars(10**17 + 3, 10),
            "cache_read": dollars(10**16 + 9, "1.25"),
        },
    ),
]


@pytest.mark.parametrize(
    ("host", "model", "usage", "breakdown"),
    BREAKDOWNS,
    ids=["cache", "below a tier", "in a tier", "reasoning", "requests", "audio", "huge"],
)
def test_the_breakdown_tells_what_each_kind_cost_and_is_the_whole(host, model, usage, breakdown):
    found = Prices()(record(attempt(usage, model, host))).costs
    assert found.breakdown == breakdown
    assert sum(breakdown.values()) == found.known


def billed(usage, model, host, **billed):
    return Prices(OWN)(record(attempt(usage, model, host, billed=Billed(**billed)))).costs


def test_searches_are_billed_apart():
    usage = sc.Usage(input_tokens=1000, output_tokens=100)
    found = billed(usage, "claude-sonnet-4-5", ANTHROPIC, web_searches=3)
    expected = {"input": dollars(1000, 3), "output": dollars(100, 15), "web_searches": Decimal("0.03")}
    assert found.breakdown == expected
    assert found.known == sum(expected.values())


def test_what_is_kept_for_an_hour_costs_more_to_write():
    usage = sc.Usage(input_tokens=1000, output_tokens=0, cache_write_tokens=600)
    found = billed(usage, "claude-sonnet-4-5", ANTHROPIC, cache_write_1h_tokens=200)
    assert found.breakdown == {
        "input": dollars(400, 3),
        "output": 0,
        "cache_write": dollars(400, "3.75"),
        "cache_write_1h": dollars(200, 6),
    }
    assert found.known == sum(found.breakdown.values())


def test_what_is_billed_instead_of_what_was_counted_is_paid_for():
    usage = sc.Usage(input_tokens=1700, output_tokens=100, cache_read_tokens=1600)
    found = billed(usage, "command-r-08-2024", "api.cohere.com", input_tokens=30, output_tokens=90)
    assert found.breakdown == {"input": dollars(30, "0.15"), "output": dollars(90, "0.6")}
    own = billed(usage, "mine", "localhost", input_tokens=30, output_tokens=90)
    assert own.breakdown == {"input": dollars(30, 2), "output": dollars(90, 10)}


def test_where_no_more_is_billed_it_is_the_usage_that_is_paid_for():
    usage = sc.Usage(input_tokens=1000, output_tokens=100, cache_read_tokens=400)
    assert billed(usage, "mine", "localhost") == cost(attempt(usage))


def test_what_is_missing_has_no_part_in_the_breakdown():
    found = Prices()(record(attempt(sc.Usage(input_tokens=1000), "gpt-4o", OPENAI))).costs
    assert list(found.breakdown) == ["input"]
    assert (found.estimated, found.provenance) == (None, "estimated")


def test_a_price_of_each_request_is_a_part_of_its_own():
    found = Prices()(
        record(attempt(sc.Usage(input_tokens=1000, output_tokens=100), "sonar-pro", "api.perplexity.ai"))
    ).costs
    assert found.breakdown["requests"] > 0
    assert sum(found.breakdown.values()) == found.known


def test_own_prices_go_before_the_list():
    usage = sc.Usage(input_tokens=1_000_000, output_tokens=0)
    found = Prices({"gpt-4o": {"input": 0, "output": 0}})(record(attempt(usage, "gpt-4o", OPENAI))).costs
    assert (found.known, found.price_list) == (0, "own 1")


def test_the_name_asked_for_is_looked_up_if_the_one_that_answered_has_no_price():
    usage = sc.Usage(input_tokens=1000, output_tokens=100)
    found = Prices()(record(attempt(usage, "gpt-4o", OPENAI, answered_by="no such model")))
    assert found.cost == Prices()(record(attempt(usage, "gpt-4o", OPENAI))).cost


@pytest.mark.parametrize(
    ("host", "model", "usage"),
    [
        ("localhost", "gpt-4o", sc.Usage(input_tokens=1, output_tokens=1)),
        (OPENAI, "no such model", sc.Usage(input_tokens=1, output_tokens=1)),
        (OPENAI, "gpt-4o", sc.Usage(input_tokens=1, output_tokens=1, cache_read_tokens=2)),
        (OPENAI, "gpt-4o", sc.Usage(input_tokens=-1, output_tokens=1)),
        (
            OPENAI,
            "gpt-realtime",
            sc.Usage(input_tokens=9, output_tokens=1, cache_read_tokens=2, input_audio_tokens=2),
        ),
    ],
    ids=["host", "model", "usage", "negative", "cached audio"],
)
def test_what_the_list_does_not_know_has_no_cost(host, model, usage):
    assert Prices()(record(attempt(usage, model, host))).costs == Cost()


def test_a_list_that_was_updated_says_when():
    set_custom_snapshot(
        DataSnapshot(get_snapshot().providers, from_auto_update=True, timestamp=WHEN + timedelta(hours=1))
    )
    try:
        found = Prices()(record(attempt(sc.Usage(input_tokens=1, output_tokens=1), "gpt-4o", OPENAI))).costs
    finally:
        set_custom_snapshot(None)
    assert found.price_list == f"genai-prices {genai_prices.__version__} of 2026-11-20 01:00"


def test_until_it_is_loaded_the_list_has_no_prices():
    prices, one = Prices(), record(attempt(sc.Usage(input_tokens=1000, output_tokens=100), "gpt-4o", OPENAI))
    assert (prices.loaded, prices.priced(one).cost) == (False, None)
    prices.load()
    assert prices.loaded
    assert prices.priced(one).cost is not None


def test_without_the_extra_there_are_only_own_prices(monkeypatch):
    asked = []

    def missing(name):
        asked.append(name)
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    prices = Prices(OWN)
    found = [
        prices(record(attempt(sc.Usage(input_tokens=1, output_tokens=1), model, OPENAI)))
        for model in ("mine", "gpt-4o")
    ]
    assert [each.costs.provenance for each in found] == ["derived", "missing"]
    assert asked == ["genai_prices"]


def test_once_it_is_loaded_a_price_loads_nothing_more():
    code = """
import sys, datetime, streamcore as sc
from streamcore.tracking.record import AttemptRecord, Record, Tokens
origin = sc.Origin(adapter="a", model="gpt-4o", host="api.openai.com")
usage = Tokens(usage=sc.Usage(input_tokens=1, output_tokens=1), sources={"input_tokens": "reported"})
record = Record(tracking_id="t", created_at=datetime.datetime.now(datetime.UTC), status="SUCCESS",
                attempts=(AttemptRecord(origin=origin, tokens=usage),))
prices = sc.Prices()
prices.load()
before = set(sys.modules)
assert prices.priced(record).cost
print({name for name in set(sys.modules) - before if name.startswith("genai_prices.data")})
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_importing_the_tracking_loads_no_price_list():
    code = "import sys, streamcore.tracking; print('genai_prices' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
