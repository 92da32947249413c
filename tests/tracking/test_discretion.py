"""What a record does not repeat of what a failure quotes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamcore as sc
from streamcore.request import File, Image, Text, ToolCall, ToolResult
from streamcore.tracking.discretion import discreet

PROMPT = "Nobody but the provider may see what is asked here."
REQUEST = sc.prompt(PROMPT, system="hi")


def said(message, request=REQUEST):
    outcome = discreet(sc.Failure("invalid", message, code="c", status=400), request)
    assert (outcome.kind, outcome.code, outcome.status) == ("invalid", "c", 400)
    return outcome.message


def test_what_is_quoted_of_the_request_is_left_out_and_the_words_around_it_stay():
    assert said(f"Invalid value: '{PROMPT}' for 'messages[0]'") == "Invalid value: '…' for 'messages[0]'"


@given(st.integers(0, 20), st.integers(0, 20), st.text("#+%", max_size=9), st.text("#+%", max_size=9))
def test_a_piece_of_it_is_left_out_wherever_it_is(cut, end, before, after):
    piece = PROMPT[cut : len(PROMPT) - min(end, len(PROMPT) - 19 - cut)]
    assert said(f"{before}{piece}{after}") == f"{before}…{after}"


def test_it_is_left_out_as_often_as_it_is_quoted():
    assert said(f"{PROMPT}, {PROMPT} and {PROMPT[:20]}") == "…, … and …"


def test_a_few_characters_are_no_quotation():
    assert said("Nobody but the, hi, may see what") == "Nobody but the, hi, may see what"


@pytest.mark.parametrize(
    "part",
    [
        Text(PROMPT),
        ToolCall("c", "f", PROMPT),
        ToolResult("c", PROMPT),
        ToolResult("c", (Text(PROMPT),)),
        Image("image/png", url=PROMPT),
        File("text/plain", url=PROMPT),
    ],
    ids=["text", "call", "result", "in a result", "image", "file"],
)
def test_it_may_be_any_part_of_the_request(part):
    request = sc.Request(messages=(sc.Message("user", (part,)),))
    assert said(f"<{PROMPT}>", request) == "<…>"


def test_what_it_shows_of_the_answer_is_left_out():
    assert said("the body is 'text/html', not a stream of events; it begins 'Hello'") == (
        "the body is 'text/html', not a stream of events"
    )
    assert said("HTTP 500; the body begins 'Hello'", None) == "HTTP 500"


def test_whatever_quotes_nothing_stays_the_same():
    failure, finish = sc.Failure("server", "down"), sc.Finish("stop")
    assert discreet(failure, REQUEST) is failure
    assert discreet(failure, None) is failure
    assert discreet(finish, REQUEST) is finish
    assert discreet(None, REQUEST) is None
