"""What an error means, in every shape in which it comes."""

from __future__ import annotations

import json
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.events import Failure
from streamcore.failures import _GENERIC, _WORDS, find_error, http_failure, read_error, shown


def http(status, body=b"", **headers):
    """The failure of this answer; a body that is no bytes is written as JSON, headers may use underscores."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return http_failure(status, {name.replace("_", "-"): value for name, value in headers.items()}, data)


def within(value):
    """The failure of this object inside a stream."""
    return read_error(json.dumps(value).encode())


# Shapes


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({"error": {"message": "m", "type": "t", "param": None, "code": "c"}}, "m", "c"),
        ({"error": {"message": "m", "type": "t", "param": None, "code": None}}, "m", "t"),
        ({"type": "error", "error": {"type": "t", "message": "m"}, "request_id": "r"}, "m", "t"),
        ({"type": "error", "error": {"type": "t", "message": "m", "details": {"error_code": "d"}}}, "m", "d"),
        ({"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}, "m", "INVALID_ARGUMENT"),
        ([{"error": {"code": 400, "message": "m", "status": "S"}}], "m", "S"),
        ({"error": {"message": "m", "code": 400, "metadata": {"error_type": "e"}}}, "m", "e"),
        ({"error": "m"}, "m", None),
        ({"error": "m", "code": "c"}, "m", "c"),
        ({"message": "m"}, "m", None),
        ({"Message": "m"}, "m", None),
        ({"__type": "com.amazon.coral#ThrottlingException", "message": "m"}, "m", "ThrottlingException"),
        ({"object": "error", "message": "m", "type": "t", "code": "c"}, "m", "c"),
        ({"message": "m", "type": "t", "param": "p", "code": "c"}, "m", "c"),
        ({"detail": "m"}, "m", None),
        ({"detail": [{"loc": ["body"], "msg": "m"}, {"msg": "n"}, "o", {"type": 5}, [], {"msg": 5}]}, "m; n; o", None),
        ({"detail": [{"type": 5}], "error": {"error": "m"}}, "m", None),
        ({"error": ["m", {"msg": "n"}]}, "m; n", None),
        ({"error": {"error": "m"}}, "m", None),
        ({"error": {"type": "t"}}, "an error without a message", "t"),
        ({"error": {"message": "", "type": "t"}}, "an error without a message", "t"),
        ({"error": {"message": 5, "type": "t"}, "message": "m"}, "m", "t"),
        ({"response": {"error": {"code": "c", "message": "m"}}, "type": "response.failed"}, "m", "c"),
        ({"error": {"message": "m", "code": "#", "type": ""}}, "m", None),
    ],
)
def test_every_shape_has_its_message_and_its_most_specific_word(body, message, code):
    failure = http(400, body)
    assert (failure.message, failure.code, failure.status) == (message, code, 400)


@pytest.mark.parametrize(
    "value",
    [
        {"error": {"message": "m"}},
        {"type": "error", "error": {"message": "m"}},
        {"type": "error", "message": "m"},
        {"object": "error", "message": "m"},
        {"response": {"error": {"message": "m"}}},
        {"error": "m"},
        {"error": True, "message": "m"},
        [{"error": {"message": "m"}}],
    ],
)
def test_what_calls_itself_an_error_is_one_inside_a_stream(value):
    assert within(value) == Failure("server", "m")


@pytest.mark.parametrize(
    "value",
    [
        {"message": "m"},
        {"detail": "m"},
        {"error": None, "message": "m"},
        {"error": {}, "message": "m"},
        {"error": "", "choices": []},
        {"error": True},
        {"type": "error"},
        {"object": "error", "error": None},
        {"response": {"error": None}},
        {"response": "error"},
        {"type": "message", "message": "error"},
        {},
        [],
        [[]],
        ["error"],
        "error",
        None,
        5,
    ],
)
def test_anything_else_inside_a_stream_is_none(value):
    assert within(value) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"error",
        b'{"error": {"message": "cut o',
        b'{"error": "\xff"}',
        b'{"error": "\\ud83d"}',
        b'{"error":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"error": NaN}',
        b'{"error": "a"} {"error": "b"}',
    ],
)
def test_a_body_that_is_no_json_is_no_error_object(body):
    assert read_error(body) is None
    assert read_error(body, status=500) is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "HTTP 502 and no body"),
        (b" \r\n", "HTTP 502 and no body"),
        (b"<html>Bad Gateway</html>", "HTTP 502; the body begins '<html>Bad Gateway</html>'"),
        (b'{"error": {"message": "cut o', 'HTTP 502; the body begins \'{"error": {"message": "cut o\''),
        (b"x" * 500, "HTTP 502; the body begins '" + "x" * 120 + "…'"),
        (b"a\x00\x1b\n\xff", "HTTP 502; the body begins 'a\\x00\\x1b\\n\ufffd'"),
        (b"{}", "HTTP 502; the body begins '{}'"),
        (b"[]", "HTTP 502; the body begins '[]'"),
        (b"null", "HTTP 502; the body begins 'null'"),
        (b'{"error": {}}', "HTTP 502; the body begins '{\"error\": {}}'"),
        (b'{"choices": []}', "HTTP 502; the body begins '{\"choices\": []}'"),
        (b"[" * 100_000, "HTTP 502; the body begins '" + "[" * 120 + "…'"),
    ],
)
def test_an_answer_without_a_message_shows_its_beginning(body, message):
    assert http(502, body) == Failure("server", message, status=502)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("ThrottlingException", "ThrottlingException"),
        ("ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/", "ThrottlingException"),
        ("", None),
    ],
)
def test_aws_says_the_word_in_a_header(header, code):
    failure = http(400, {"message": "m"}, x_amzn_errortype=header)
    assert (failure.code, failure.kind) == (code, "rate_limit" if code else "invalid")


def test_a_word_in_the_body_is_more_specific_than_one_in_a_header():
    assert http(400, {"__type": "ValidationException", "message": "m"}, x_amzn_errortype="Other").code == (
        "ValidationException"
    )


def test_a_message_has_an_end():
    assert http(400, {"error": {"message": "x" * 100_000}}).message == "x" * 2048


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 399])
def test_a_redirect_is_a_failure_that_repeats_no_address(status):
    failure = http(status, {"error": "moved"}, location="https://evil.invalid/?key=1")
    assert failure == Failure("protocol", "a redirect, which is never followed", detail="redirect", status=status)
    assert not failure.retryable


def test_bytes_are_shown_without_control_characters_and_with_an_ellipsis():
    assert shown(b"a\nb\xff") == "'a\\nb\ufffd'"
    assert shown(b"abcdef", 3) == "'abc…'"
    assert shown(b"abc", 3) == "'abc'"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "error",
                        "message",
                        "type",
                        "code",
                        "details",
                        "detail",
                        "metadata",
                        "status",
                        "response",
                        "object",
                        "request_id",
                        "retryDelay",
                        "error_code",
                        "error_type",
                        "status_code",
                        "__type",
                        "msg",
                    ]
                ),
                inner,
            )
        ),
    )
)
def test_json_of_any_shape_is_read_without_raising(value):
    failure = http(500, value)
    assert failure.kind
    assert failure.status == 500
    found = within(value)
    assert found is None or found.message
    assert find_error(json.dumps(value).encode()) == (found if isinstance(value, list | dict) else None)


@given(
    st.binary(),
    st.integers(400, 599),
    st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), st.text()),
)
def test_any_answer_is_read_without_raising(body, status, headers):
    failure = http_failure(status, headers, body)
    assert failure.status == status
    assert failure.retry_after is None or failure.retry_after >= 0


@pytest.mark.parametrize("depth", range(0, 1200, 7))
@pytest.mark.parametrize("around", [b'{"detail":[%b]}', b'{"error":[%b]}', b'{"request_id":[%b],"error":"m"}'])
def test_json_nested_to_any_depth_is_read_without_raising(around, depth):
    assert http(500, around % (b"[" * depth + b"]" * depth)).kind == "server"


# The kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid"),
        (401, "auth"),
        (402, "quota"),
        (403, "permission"),
        (404, "not_found"),
        (405, "invalid"),
        (408, "timeout"),
        (409, "invalid"),
        (413, "invalid"),
        (422, "invalid"),
        (424, "invalid"),
        (429, "rate_limit"),
        (498, "auth"),
        (499, "cancelled"),
        (500, "server"),
        (502, "server"),
        (503, "overloaded"),
        (504, "timeout"),
        (524, "timeout"),
        (529, "overloaded"),
        (599, "server"),
        (600, "server"),
    ],
)
def test_the_status_tells_the_kind_where_no_word_does(status, kind):
    assert http(status).kind == http(status, {"error": {"message": "m", "code": "never_heard_of"}}).kind == kind


@pytest.mark.parametrize("status", [400, 429, 500, None])
@pytest.mark.parametrize(("word", "kind"), _WORDS.items())
def test_a_specific_word_tells_the_kind_whatever_the_status(word, kind, status):
    for written in (word, word.upper()):
        assert read_error(json.dumps({"error": {"message": "m", "code": written}}).encode(), status=status).kind == kind


@pytest.mark.parametrize(("word", "kind"), _GENERIC.items())
def test_a_generic_word_tells_the_kind_only_without_a_status(word, kind):
    assert within({"error": {"message": "m", "type": word}}).kind == kind
    assert http(429, {"error": {"message": "m", "type": word}}).kind == "rate_limit"


def test_specific_and_generic_words_are_not_the_same():
    assert not set(_WORDS) & set(_GENERIC)
    assert all(word == word.lower() for word in [*_WORDS, *_GENERIC])


@pytest.mark.parametrize("field", ["code", "type", "status"])
def test_a_word_about_quota_outranks_all_others(field):
    others = dict.fromkeys(["code", "type", "status"], "rate_limit_exceeded")
    failure = http(429, {"error": {"message": "m", **others, field: "insufficient_quota"}})
    assert failure.kind == "quota"
    assert not failure.retryable


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"message": "m", "code": "model_not_found", "type": "rate_limit_error"}}, "not_found"),
        ({"error": {"message": "m", "type": "overloaded_error", "status": "UNAUTHENTICATED"}}, "overloaded"),
        ({"error": {"message": "m", "code": "x", "status": "UNAVAILABLE"}, "code": "forbidden"}, "overloaded"),
        (
            {"error": {"message": "m", "code": "x", "metadata": {"error_type": "timeout"}}, "type": "forbidden"},
            "timeout",
        ),
        ({"error": {"message": "m", "details": {"error_code": "overloaded"}, "code": "timeout"}}, "overloaded"),
        ({"error": {"message": "m"}, "code": "forbidden", "type": "timeout"}, "permission"),
        ({"error": {"message": "m"}, "type": "unauthorized", "__type": "timeout"}, "auth"),
        ({"error": {"message": "m", "type": "invalid_request_error", "code": "rate_limit_exceeded"}}, "rate_limit"),
        ({"error": {"message": "insufficient_quota"}}, "invalid"),
    ],
)
def test_the_most_specific_word_that_is_known_decides_and_never_the_message(body, kind):
    assert http(400, body).kind == kind


@pytest.mark.parametrize(
    ("value", "status", "kind"),
    [
        ({"error": {"message": "m", "code": 429}}, 429, "rate_limit"),
        ({"error": {"message": "m", "code": 503, "status": "UNAVAILABLE"}}, 503, "overloaded"),
        ({"error": {"message": "m", "status_code": 401}}, 401, "auth"),
        ({"error": "m", "code": 404}, 404, "not_found"),
        ({"error": "m", "status_code": 500}, 500, "server"),
        ({"error": {"message": "m", "code": 200}}, None, "server"),
        ({"error": {"message": "m", "code": 1301}}, None, "server"),
        ({"error": {"message": "m", "code": True}}, None, "server"),
        ({"error": {"message": "m", "code": 429.0}}, None, "server"),
    ],
)
def test_a_number_inside_a_stream_is_a_status_if_it_can_be_one(value, status, kind):
    failure = within(value)
    assert (failure.status, failure.kind) == (status, kind)


def test_a_real_status_outranks_the_number_in_the_body():
    assert http(500, {"error": {"message": "m", "code": 429}}).status == 500


# Trying again


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": " 7 "}, 7.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "nan", "retry-after": "9"}, 9.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "-1e999"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "NaN"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "99999999999"}, 99999999999.0),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Thu, 01 Jan 2026 00:01:30 GMT", "date": "Thu, 01 Jan 2026 00:00:00 GMT"}, 90.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:00 GMT", "date": "Thu, 01 Jan 2026 00:01:30 GMT"}, 0.0),
        ({"retry-after": "Thursday, 01-Jan-26 00:01:30 GMT", "date": "Thu, 01 Jan 2026 00:00:00 GMT"}, 90.0),
        ({"retry-after": "Thu Jan  1 00:01:30 2026", "date": "Thu, 01 Jan 2026 00:00:00 GMT"}, 90.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:01:30 GMT", "date": "Thu Jan  1 00:00:00 2026"}, 90.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:01:30 GMT", "date": "yesterday"}, None),
        ({"retry-after": "Thu, 32 Jan 2026 00:01:30 GMT"}, None),
        ({"retry-after": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}, None),
        ({"retry-after": "Mon, 01 Jan 2024 00:00:00 +9999999999999"}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({}, None),
    ],
)
def test_a_hint_when_to_try_again_is_in_seconds_and_never_negative(headers, seconds):
    assert http_failure(429, headers, b"").retry_after == seconds


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone cannot be changed here")
def test_a_date_without_a_zone_is_utc_wherever_this_runs(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        failure = http(503, retry_after="Thu Jan  1 00:01:30 2026", date="Thu, 01 Jan 2026 00:00:00 GMT")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert failure.retry_after == 90.0


def test_a_date_counts_from_now_if_the_answer_has_none(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1767225600.0)
    assert http(503, retry_after="Thu, 01 Jan 2026 00:01:30 GMT").retry_after == 90.0


def retry_info(*details):
    return {"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": list(details)}}


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (retry_info({"@type": "Help"}, {"@type": "RetryInfo", "retryDelay": "37s"}), 37.0),
        (retry_info({"retryDelay": "0.847655010s"}), 0.84765501),
        (retry_info({"retryDelay": "soon"}, {"retryDelay": "5s"}), 5.0),
        (retry_info({"retryDelay": "-5s"}), 0.0),
        (retry_info({"retryDelay": 5}, "5s", None, [], {"retryDelay": {"seconds": 5}}), None),
        ({"error": {"message": "m", "details": {"retryDelay": "5s"}}}, None),
        ({"error": {"message": "m", "details": "5s"}}, None),
    ],
)
def test_a_hint_in_the_body_is_read_too(body, seconds):
    assert within(body).retry_after == http(429, body).retry_after == seconds


def test_a_hint_in_the_headers_outranks_that_in_the_body():
    assert http(429, retry_info({"retryDelay": "37s"}), retry_after="5").retry_after == 5.0


@pytest.mark.parametrize(
    ("status", "header", "should_retry", "retryable"),
    [
        (400, "true", True, True),
        (500, "false", False, False),
        (500, "TRUE", None, True),
        (500, "", None, True),
        (409, None, True, True),
        (424, None, True, True),
        (409, "false", False, False),
        (400, None, None, False),
        (401, None, None, False),
        (402, None, None, False),
        (403, None, None, False),
        (404, None, None, False),
        (408, None, None, True),
        (413, None, None, False),
        (422, None, None, False),
        (429, None, None, True),
        (500, None, None, True),
        (529, None, None, True),
    ],
)
def test_whether_to_try_again_is_the_providers_word_else_what_the_kind_implies(status, header, should_retry, retryable):
    failure = http(status, **({} if header is None else {"x_should_retry": header}))
    assert (failure.should_retry, failure.retryable) == (should_retry, retryable)


# The request's id


@pytest.mark.parametrize(
    ("headers", "body", "id"),
    [
        ({"x-request-id": "a"}, {}, "a"),
        ({"request-id": "a"}, {}, "a"),
        ({"x-amzn-requestid": "a"}, {}, "a"),
        ({"apim-request-id": "a"}, {}, "a"),
        ({"x-generation-id": "a"}, {}, "a"),
        ({"apim-request-id": "b", "x-request-id": "a"}, {"request_id": "c"}, "a"),
        ({}, {"error": {"message": "m"}, "request_id": "c"}, "c"),
        ({"x-request-id": ""}, {"error": {"message": "m"}, "request_id": "c"}, "c"),
        ({}, {"error": {"message": "m"}, "request_id": 5}, None),
        ({}, {}, None),
    ],
)
def test_the_requests_id_is_found(headers, body, id):
    assert http_failure(500, headers, json.dumps(body).encode()).request_id == id


# Among stray bytes


@pytest.mark.parametrize(
    "stray",
    [
        b'{"error":{"message":"m"}}',
        b'error: {"error":{"message":"m"}}',
        b'[{\n  "error": {\n    "message": "m"\n  }\n}\n]\n',
        b'\n\n {"error":"m"} \n',
    ],
)
def test_an_error_is_found_bare_or_behind_a_word(stray):
    assert find_error(stray) == Failure("server", "m")


@pytest.mark.parametrize(
    "stray", [b"", b"<html>", b"error: m", b"{", b'{"error":"m"', b'{"choices":[]}', b'{"error":"m"} x']
)
def test_other_stray_bytes_hold_no_error(stray):
    assert find_error(stray) is None


def test_a_failure_of_a_hostile_answer_can_be_stored():
    failure = http(400, {"error": {"message": "\u2028\x00😀", "code": "\n"}}, request_id="\x7f")
    assert msgspec.json.decode(msgspec.json.encode(failure), type=Failure) == failure
