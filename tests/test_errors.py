"""The exceptions: what they say, and that they cross a process."""

from __future__ import annotations

import copy
import pickle

import pytest

from streamcore.errors import Error, FramingError, LocalError, StreamFailed
from streamcore.events import Failure
from streamcore.frames import Frame

FAILURE = Failure(
    "rate_limit",
    "slow down",
    detail="tokens",
    status=429,
    code="rate_limit_exceeded",
    retry_after=1.5,
    should_retry=True,
    request_id="r",
)


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (Failure("server", "broke"), "server: broke"),
        (Failure("timeout", "nothing came", detail="idle"), "timeout (idle): nothing came"),
        (Failure("overloaded", "later", status=529), "overloaded, HTTP 529: later"),
        (FAILURE, "rate_limit (tokens), HTTP 429: slow down"),
        (Failure("server", ""), "server: "),
    ],
)
def test_a_failed_stream_says_kind_detail_status_and_message(failure, text):
    assert str(StreamFailed(failure)) == str(FramingError(failure)) == text


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "error",
    [
        Error("a"),
        LocalError("a", 5),
        StreamFailed(FAILURE),
        FramingError(FAILURE),
        FramingError(FAILURE, [Frame(b"a"), Frame(b"b", "e", "1")]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_exception_pickles_and_copies(error, protocol):
    for again in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is type(error)
        assert (str(again), vars(again)) == (str(error), vars(error))


def test_what_was_noted_on_a_failure_crosses_too():
    error = StreamFailed(FAILURE)
    error.add_note("the third attempt")
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["the third attempt"]


def test_a_framing_error_is_a_failed_stream_with_frames_of_its_own():
    frames = [Frame(b"a")]
    error = FramingError(FAILURE, frames)
    frames.clear()
    assert error.frames == [Frame(b"a")]
    assert isinstance(error, StreamFailed)


def test_there_is_one_root_and_two_branches():
    assert (LocalError.__base__, StreamFailed.__base__, FramingError.__base__) == (Error, Error, StreamFailed)
    assert Error.__base__ is Exception
