"""What an error means: the shapes in which providers write it, and the one `Failure` they become.

The kind follows from the provider's own code words where they are specific, else from the HTTP status, else from the
generic words; never from the text of the message. Sources: `error` objects of OpenAI, Anthropic, Google, Mistral,
Cohere, AWS and the servers that imitate them, as their SDKs of November 2026 declare them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from typing import Final, TypeAlias, cast

import msgspec

from .events import Failure, FailureKind

__all__ = ["find_error", "http_failure", "read_error", "request_id", "shown"]

_MESSAGE_LIMIT: Final = 2048  # characters; an upstream's page of HTML is not a message
_Object: TypeAlias = Mapping[str, object]
_NONE: Final[_Object] = {}

# Code words in lower case. Quota comes first: 429 means both "wait" and "pay", and only the word tells.
_KINDS: Final[Mapping[FailureKind, tuple[str, ...]]] = {
    "quota": (
        "insufficient_quota",
        "credit_balance_exhausted",
        "billing_error",
        "billing_hard_limit_reached",
        "billing_not_active",
        "payment_required",
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
        "insufficient_balance",
        "servicequotaexceededexception",
    ),
    "rate_limit": (
        "rate_limit_error",
        "rate_limit_exceeded",
        "rate_limited",
        "resource_exhausted",
        "too_many_requests",
        "slow_down",
        "ramp_limit_exceeded",
        "throttlingexception",
    ),
    "auth": (
        "authentication_error",
        "authentication",
        "invalid_api_key",
        "api_key_invalid",
        "invalid_authentication",
        "unauthenticated",
        "unauthorized",
        "unrecognizedclientexception",
        "invalidsignatureexception",
        "expiredtokenexception",
    ),
    "permission": (
        "permission_error",
        "permission_denied",
        "forbidden",
        "accessdeniedexception",
    ),
    "not_found": (
        "not_found_error",
        "not_found",
        "model_not_found",
        "deploymentnotfound",
        "resourcenotfoundexception",
    ),
    "overloaded": (
        "overloaded_error",
        "overloaded",
        "server_is_overloaded",
        "service_unavailable_error",
        "serviceunavailableexception",
        "unavailable",
        "unavailable_error",
        "provider_overloaded",
        "provider_unavailable",
        "engine_overloaded",
        "capacity_exceeded",
        "modelnotreadyexception",
    ),
    "timeout": (
        "timeout",
        "timeout_error",
        "deadline_exceeded",
        "modeltimeoutexception",
    ),
    "cancelled": (
        "cancelled",
        "canceled",
    ),
    "invalid": (
        "invalid_argument",
        "failed_precondition",
        "out_of_range",
        "context_length_exceeded",
        "exceed_context_size_error",
        "invalid_prompt",
        "request_too_large",
        "payload_too_large",
        "tool_use_failed",
        "content_policy_violation",
        "validationexception",
    ),
    "server": (
        "modelerrorexception",
        "modelstreamerrorexception",
        "internalserverexception",
    ),
}
_WORDS: Final[Mapping[str, FailureKind]] = {word: kind for kind, words in _KINDS.items() for word in words}
_GENERIC: Final[Mapping[str, FailureKind]] = {
    "invalid_request_error": "invalid",
    "invalid_request": "invalid",
    "bad_request": "invalid",
    "api_error": "server",
    "server_error": "server",
    "internal_error": "server",
    "internal_server_error": "server",
    "internal": "server",
    "data_loss": "server",
    "unknown": "server",
}
_STATUSES: Final[Mapping[int, FailureKind]] = {
    401: "auth",
    402: "quota",
    403: "permission",
    404: "not_found",
    408: "timeout",
    429: "rate_limit",
    498: "auth",  # an invalid token for Cohere; where it is a lack of capacity, a word says so
    499: "cancelled",
    503: "overloaded",
    504: "timeout",
    524: "timeout",
    529: "overloaded",
}
_RETRY_ANYWAY: Final = frozenset({409, 424})  # a conflict or a failed dependency that their SDKs try again
_REQUEST_IDS: Final = (
    "x-request-id",
    "request-id",
    "x-amzn-requestid",
    "apim-request-id",
    "x-generation-id",
    "mistral-correlation-id",
    "x-debug-trace-id",  # Cohere
)


def shown(data: bytes, size: int = 120) -> str:
    """The beginning of some bytes, fit for a message."""
    head = data[:size].decode("utf-8", "replace")
    return repr(head + ("…" if len(data) > size else ""))


def http_failure(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """The failure that an HTTP answer other than 2xx is. Header names are lower case; `body` may be its beginning only."""
    if 300 <= status < 400:
        return Failure("protocol", "a redirect, which is never followed", detail="redirect", status=status)
    failure = read_error(body, status=status, headers=headers)
    if failure is None:
        page = f"; the body begins {shown(body)}" if body.strip() else " and no body"
        return _failure(_NONE, _NONE, f"HTTP {status}{page}", status, headers)
    return failure


def find_error(stray: bytes) -> Failure | None:
    """An error object among bytes that belong to no frame: bare, pretty-printed, or behind a word of its own."""
    start = min((at for at in (stray.find(b"{"), stray.find(b"[")) if at >= 0), default=-1)
    return None if start < 0 else read_error(stray[start:])


def read_error(body: bytes, *, status: int | None = None, headers: Mapping[str, str] = {}) -> Failure | None:
    """The failure that a JSON error body describes; None if it is not JSON or no shape of error that is known.

    `status` is the HTTP status it came with, None inside a stream of status 200: then only a body that calls itself an
    error is taken for one.
    """
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    outer = _object(next(iter(_list(value)), value))  # Google answers a stream request with an array of one error
    error = outer.get("error")
    inner = _object(error) or _object(_object(outer.get("response")).get("error"))
    if status is None and not error and not inner and "error" not in (outer.get("type"), outer.get("object")):
        return None
    message = _first_text(
        error, inner.get("message"), outer.get("message"), outer.get("Message"), outer.get("detail"), inner.get("error")
    )
    if not message and not inner:
        if status is None:
            return None
        message = f"HTTP {status}; the body begins {shown(body)}"
    return _failure(outer, inner, message or "an error without a message", status, headers)


def request_id(headers: Mapping[str, str]) -> str | None:
    """The provider's id of the request, if a header has it. Header names are lower case."""
    return next((headers[name] for name in _REQUEST_IDS if name in headers), None)


def _failure(outer: _Object, inner: _Object, message: str, status: int | None, headers: Mapping[str, str]) -> Failure:
    aws = headers.get("x-amzn-errortype", "").partition(":")[0]  # the name, and after a colon where it was defined
    words = [word for word in (*_words(outer, inner), aws) if word]
    if status is None or status < 400:
        codes = (inner.get("code"), inner.get("status_code"), outer.get("code"), outer.get("status_code"))
        status = next((code for code in codes if isinstance(code, int) and 400 <= code < 600), status)
    should_retry = {"true": True, "false": False}.get(headers.get("x-should-retry", ""))
    if should_retry is None and status in _RETRY_ANYWAY:
        should_retry = True
    return Failure(
        _kind([word.lower() for word in words], status),
        message[:_MESSAGE_LIMIT],
        status=status,
        code=words[0] if words else None,
        retry_after=_retry_after(headers, inner),
        should_retry=should_retry,
        request_id=request_id(headers) or _first_text(outer.get("request_id")) or None,
    )


def _words(outer: _Object, inner: _Object) -> Iterator[str]:
    """The provider's code words, the most specific first."""
    details = _object(inner.get("details"))
    metadata = _object(inner.get("metadata"))
    for value in (
        *(_object(detail).get("reason") for detail in _list(inner.get("details"))),  # of Google's ErrorInfo
        details.get("error_code"),
        metadata.get("error_type"),
        inner.get("code"),
        inner.get("type"),
        inner.get("status"),
        outer.get("code"),
        outer.get("error_type"),  # Cohere
        outer.get("type"),
        outer.get("__type"),
    ):
        if isinstance(value, str) and value != "error":
            yield value.rpartition("#")[2]


def _kind(words: list[str], status: int | None) -> FailureKind:
    known: list[FailureKind] = [_WORDS[word] for word in words if word in _WORDS]
    if "quota" in known:
        return "quota"
    if known:
        return known[0]
    if status is not None and status in _STATUSES:
        return _STATUSES[status]
    if status is not None and status >= 400:
        return "server" if status >= 500 else "invalid"
    generic: list[FailureKind] = [_GENERIC[word] for word in words if word in _GENERIC]
    return generic[0] if generic else "server"


def _retry_after(headers: Mapping[str, str], inner: _Object) -> float | None:
    """Seconds to wait, from the headers or Google's RetryInfo; never negative. A date counts from the answer's own."""
    hints = [(headers.get("retry-after-ms"), 1000.0), (headers.get("retry-after"), 1.0)]
    for detail in _list(inner.get("details")):
        delay = _object(detail).get("retryDelay")
        if isinstance(delay, str):
            hints.append((delay.removesuffix("s"), 1.0))
    for hint, unit in hints:
        if hint is None:
            continue
        try:
            seconds = float(hint) / unit
        except ValueError:
            seconds = _seconds_until(hint, headers.get("date"))
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None


def _seconds_until(date: str, now: str | None) -> float:
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - loads half the standard library, for a rare header

    def seconds(text: str) -> float:
        moment = parsedate_to_datetime(text)  # without a zone in HTTP's oldest form, which means UTC too
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

    try:
        return seconds(date) - (time.time() if now is None else seconds(now))
    except (ValueError, OverflowError):
        return math.nan


def _object(value: object) -> _Object:
    return cast("_Object", value) if isinstance(value, dict) else _NONE


def _list(value: object) -> Sequence[object]:
    return cast("list[object]", value) if isinstance(value, list) else ()


def _first_text(*values: object) -> str:
    """The first that is a string, or a list of strings or of validation errors (FastAPI's `detail`), as text."""
    for value in values:
        if isinstance(value, str) and value:
            return value
        texts = [item if isinstance(item, str) else _object(item).get("msg") for item in _list(value)]
        joined = "; ".join(text for text in texts if isinstance(text, str))
        if joined:
            return joined
    return ""
