"""Tokens: reported, derived, estimated, missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamcore as sc
from streamcore.request import ExtensionPart, ReasoningPart, RefusalPart, ToolResult
from streamcore.tracking import counting
from streamcore.tracking.counting import Characters, request_characters, served, summed, tokens_of
from streamcore.tracking.record import Tokens

REQUEST = sc.prompt("x" * 40)
CUT = sc.Failure("truncated", "cut")
ORIGIN = sc.Origin(adapter="a", model="m", host="h")


def tokens(usage=None, outcome=CUT, characters=0, **fields):
    attempt = sc.Attempt(usage=usage, outcome=outcome, headers=1.0, **fields)
    return tokens_of(attempt, REQUEST, characters, Characters())


def test_what_a_provider_says_of_a_whole_answer_is_reported():
    usage = sc.Usage(input_tokens=7, output_tokens=0, cache_read_tokens=3)
    sources = dict.fromkeys(["input_tokens", "output_tokens", "cache_read_tokens"], "reported")
    assert tokens(usage, sc.Finish("stop"), 400) == Tokens(usage=usage, sources=sources)


def test_what_it_did_not_say_is_estimated_from_characters():
    found = tokens(characters=20)
    assert found.usage == sc.Usage(input_tokens=10, output_tokens=5)
    assert found.sources == {"input_tokens": "estimated", "output_tokens": "estimated"}


def test_an_answer_that_was_cut_took_at_least_what_was_said_so_far():
    assert tokens(sc.Usage(input_tokens=7, output_tokens=1), characters=20) == Tokens(
        usage=sc.Usage(input_tokens=7, output_tokens=5),
        sources={"input_tokens": "reported", "output_tokens": "estimated"},
    )
    assert tokens(sc.Usage(output_tokens=9), characters=20).usage.output_tokens == 9


@pytest.mark.parametrize("outcome", [CUT, sc.Failure("cancelled", ""), sc.Finish("stop"), None])
def test_of_an_answer_without_a_character_or_a_count_the_output_is_missing_and_not_0(outcome):
    found = tokens(outcome=outcome)
    assert (found.usage.output_tokens, "output_tokens" in found.sources) == (None, False)


def test_a_counter_of_ones_own_may_know_nothing():
    class Nothing(Characters):
        def request_tokens(self, request, model):
            return None

        def answer_tokens(self, characters, model):
            return None

    attempt = sc.Attempt(outcome=CUT, headers=1.0)
    assert tokens_of(attempt, REQUEST, 10, Nothing()) == Tokens()


@pytest.mark.parametrize(
    ("failure", "headers", "expected"),
    [
        (sc.Failure("invalid", "", status=400), None, False),
        (sc.Failure("overloaded", "", detail="limit"), None, False),
        (sc.Failure("connection", "", detail="refused"), None, False),
        (sc.Failure("timeout", "", detail="connect"), None, False),
        (sc.Failure("timeout", "", detail="first_token"), None, True),
        (sc.Failure("connection", "", detail="reset"), None, True),
        (sc.Failure("cancelled", ""), None, True),
        (sc.Failure("overloaded", ""), 1.0, True),
        (sc.Finish("stop"), None, True),
        (None, None, True),
    ],
)
def test_a_request_that_was_refused_or_never_arrived_was_not_served(failure, headers, expected):
    assert served(sc.Attempt(outcome=failure, headers=headers)) is expected


def test_all_text_of_a_request_counts():
    message = sc.Message(
        "assistant",
        (
            sc.Text(text="ab"),
            ReasoningPart(text="abc"),
            RefusalPart(text="a"),
            sc.ToolCall(id="1", name="ab", arguments="{}"),
            ExtensionPart(name="x:y", raw="{}"),
            sc.Image(url="https://example.com"),
        ),
    )
    results = sc.Message(
        "tool", (ToolResult(id="1", content="abcd"), ToolResult(id="2", content=(sc.Text(text="abcde"),)))
    )
    tools = (sc.Tool(name="ab", description="abc", parameters={"a": 1}), sc.Tool(name="a"))
    request = sc.Request(messages=(message, results), tools=tools)
    assert request_characters(request) == (2 + 3 + 1 + 4 + 2) + (4 + 5) + (2 + 3 + 7 + 1)


def test_the_number_is_learnt_from_whole_streams_for_each_model():
    counter = Characters()
    counter.learn(REQUEST, 100, sc.Usage(input_tokens=20, output_tokens=50), "m")
    assert counter.answer_tokens(10, "m") == 5
    assert counter.request_tokens(REQUEST, "m") == 20
    assert (counter.answer_tokens(10, "other"), counter.request_tokens(REQUEST, "other")) == (2, 10)


def test_the_later_streams_weigh_more():
    counter = Characters()
    for each in [100] * 3 + [400] * 30:
        counter.learn(REQUEST, each, sc.Usage(output_tokens=100), "m")
    assert counter.answer_tokens(1000, "m") in range(250, 265)


def test_nothing_is_learnt_from_what_was_not_said():
    counter = Characters()
    counter.learn(REQUEST, 100, sc.Usage(), "m")
    counter.learn(REQUEST, 0, sc.Usage(output_tokens=0), "m")
    assert counter.answer_tokens(8, "m") == 2


def test_nothing_is_learnt_of_the_text_of_a_request_with_an_image():
    counter = Characters()
    image = sc.Request(messages=(sc.Message("user", (sc.Text(text="x" * 40), sc.Image(url="u"))),))
    counter.learn(image, 40, sc.Usage(input_tokens=1000, output_tokens=40), "m")
    assert (counter.request_tokens(REQUEST, "m"), counter.answer_tokens(40, "m")) == (10, 40)


def test_only_so_many_models_are_remembered(monkeypatch):
    monkeypatch.setattr(counting, "MODELS", 4)
    counter = Characters()
    for model in "abc":
        counter.learn(REQUEST, 100, sc.Usage(input_tokens=40, output_tokens=100), model)
    assert [counter.answer_tokens(100, model) for model in "abc"] == [25, 100, 100]


def test_a_sum_of_what_was_reported_is_derived():
    one = Tokens(
        usage=sc.Usage(input_tokens=1, output_tokens=2),
        sources=dict.fromkeys(["input_tokens", "output_tokens"], "reported"),
    )
    found = summed([one, one])
    assert found.usage == sc.Usage(input_tokens=2, output_tokens=4)
    assert set(found.sources.values()) == {"derived"}


def test_a_sum_is_estimated_if_a_part_of_it_is_or_is_unknown():
    one = Tokens(
        usage=sc.Usage(input_tokens=1, output_tokens=2),
        sources={"input_tokens": "reported", "output_tokens": "reported"},
    )
    other = Tokens(usage=sc.Usage(input_tokens=3), sources={"input_tokens": "estimated"})
    assert summed([one, other]).sources == {"input_tokens": "estimated", "output_tokens": "estimated"}
    assert summed([one, other]).usage == sc.Usage(input_tokens=4, output_tokens=2)


def test_of_nothing_the_sum_is_nothing_and_of_one_it_is_that():
    one = tokens(characters=9)
    assert (summed([]), summed([one])) == (Tokens(), one)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9), st.none() | st.integers(0, 10**9)), min_size=1))
def test_a_sum_is_the_sum_of_every_kind(counts):
    parts = [
        Tokens(usage=sc.Usage(*count), sources=dict.fromkeys(["input_tokens", "output_tokens"], "reported"))
        for count in counts
    ]
    usage = summed(parts).usage
    cached = [count[2] for count in counts if count[2] is not None]
    assert (usage.input_tokens, usage.output_tokens) == (sum(c[0] for c in counts), sum(c[1] for c in counts))
    assert usage.cache_read_tokens == (sum(cached) if cached else None)
