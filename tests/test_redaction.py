"""Keys struck out of what is shown."""

from __future__ import annotations

import base64
import copy
import pickle
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.events import Failure
from streamcore.redaction import NO_SECRETS, Secrets, secrets_in, shown_url

KEY = "sk+canary/0123456789="
SECRETS = Secrets([KEY])
SPELLED = [
    KEY,
    quote(KEY),
    quote(KEY, safe=""),
    base64.b64encode(KEY.encode()).decode(),
    base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("="),
]


@pytest.mark.parametrize("written", SPELLED)
def test_a_key_is_struck_out_however_it_is_written(written):
    struck = SECRETS.struck(f"no {written} here, {written}!")
    assert struck.replace("=", "") == "no *** here, ***!"


@given(st.text("ab"), st.text("ab", min_size=8), st.text("ab"))
def test_no_key_is_left(before, key, after):
    assert key not in Secrets([key]).struck(before + key + after)


def test_the_beginning_of_a_key_is_struck_out_where_it_was_cut():
    assert SECRETS.struck(f"it begins {KEY[:15]}… and {KEY[:11]}") == f"it begins ***… and {KEY[:11]}"
    assert SECRETS.struck(KEY[:-1]) == "***"


def test_of_two_keys_that_begin_alike_both_go():
    longer = KEY + "and-more"
    assert Secrets([KEY, longer]).struck(f"{longer} {KEY}") == "*** ***"
    assert Secrets([longer, KEY]).struck(f"{longer} {KEY}") == "*** ***"


def test_what_is_too_short_to_be_a_key_is_a_word():
    assert Secrets(["EMPTY", ""]).struck("EMPTY is no key") == "EMPTY is no key"


def test_a_failure_loses_them_from_all_its_words():
    words = dict.fromkeys(("message", "detail", "code", "request_id"), f"<{KEY}>")
    assert SECRETS.struck_failure(Failure("auth", **words)) == Failure("auth", **dict.fromkeys(words, "<***>"))


def test_a_failure_without_them_is_left_as_it_is():
    failure = Failure("auth", "no")
    assert SECRETS.struck_failure(failure) is failure
    assert NO_SECRETS.struck_failure(failure) is failure


def test_others_are_added():
    more = SECRETS.with_those(["another-key"])
    assert more.struck(f"{KEY}, another-key") == "***, ***"
    assert SECRETS.struck("another-key") == "another-key"


def test_a_copy_for_another_process_has_none():
    assert KEY.encode() not in pickle.dumps(SECRETS)
    assert pickle.loads(pickle.dumps(SECRETS)).struck(KEY) == KEY
    assert copy.deepcopy(SECRETS) is SECRETS
    assert KEY not in repr(SECRETS)


@pytest.mark.parametrize(
    ("headers", "url", "found"),
    [
        ({"authorization": "Bearer abc-12345"}, "", {"abc-12345"}),
        ({"X-API-Key": "abc-12345", "x-title": "My fine app"}, "", {"abc-12345"}),
        ({"x-amz-security-token": "abc-12345"}, "", {"abc-12345"}),
        ({"cookie": "theme=darkest-of-all; session=abc-12345"}, "", {"abc-12345"}),
        ({}, "https://h.example/v1?api-key=abc-12345&model=a-very-long-name", {"abc-12345"}),
        ({}, "https://user:pass%40word@h.example/v1", {"pass@word", "user:pass@word"}),
        ({}, "https://token-12345@h.example/v1", {"token-12345"}),
        ({"accept": "text/event-stream"}, "https://h.example/v1", set()),
    ],
)
def test_a_key_is_known_by_where_it_is(headers, url, found):
    secrets = Secrets(secrets_in(headers, url))
    text = " ".join([*headers.values(), url, *found])
    assert not any(secret in secrets.struck(text) for secret in found)
    assert all(secrets.struck(word) == word for word in ("My fine app", "a-very-long-name", "text/event-stream"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h.example:8443/v1", "https://h.example:8443/v1"),
        ("https://user:pass@h.example/v1?key=abc&alt=sse&empty=#x", "https://h.example/v1?key=***&alt=***&empty=***#x"),
        ("http://[::1/", "***"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_who_asks_and_with_what(url, shown):
    assert shown_url(url) == shown
