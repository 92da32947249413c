"""The output-only format `text`: words, and nothing that could be taken for words."""

from __future__ import annotations

import urllib.request
from http.client import IncompleteRead

import pytest
from hypothesis import given

from strategies import streams
from streamcore.dialect import Call
from streamcore.errors import LocalError
from streamcore.events import (
    Attachment,
    BlockEnd,
    Citation,
    Extension,
    Failure,
    FailureKind,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from streamcore.message import Fold
from streamcore.request import prompt
from streamcore.testing import Answer, serve
from streamcore_adapters import text

CALL = Call(request=prompt("Hi"))


def written(events):
    encoder = text.Encoder(CALL)
    return [encoder.feed(event) for event in events], encoder.lost


@given(streams())
def test_the_words_of_an_answer_are_the_body_and_all_of_it(events):
    pieces, lost = written(events)
    words = [event.text for event in events if isinstance(event, TextDelta | RefusalDelta)]
    assert b"".join(pieces).decode() == "".join(words)
    assert lost.keys() <= text.losses.keys()


def test_words_come_with_their_own_event():
    pieces, _ = written([Start("1", "m"), TextDelta(0, "Grüße"), RefusalDelta(1, "No"), Finish("stop")])
    assert pieces == [b"", "Grüße".encode(), b"No", b""]


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (Start("1"), "Start"),
        (ReasoningDelta(0, "a"), "ReasoningDelta"),
        (ToolCallStart(0, "a", "f"), "ToolCallStart"),
        (ToolCallDelta(0, "{}"), "ToolCallDelta"),
        (Citation(0, "u"), "Citation"),
        (Attachment(0, "image/png", b"a"), "Attachment"),
        (Extension("a:b", "{}"), "Extension"),
        (BlockEnd(0, "{}"), "BlockEnd.opaque"),
        (Usage(1, 1), "Usage"),
        (Finish("length"), "Finish.reason"),
        (Failure("server", "secret words"), "Failure"),
    ],
)
def test_what_is_not_words_is_not_written_and_counted(event, name):
    assert written([event, event]) == ([b"", b""], {name: 2})


@pytest.mark.parametrize("event", [Start(), BlockEnd(0), Finish("stop")])
def test_what_says_nothing_is_not_lost(event):
    assert written([event]) == ([b""], {})


def test_a_client_can_tell_a_failure_by_a_body_that_breaks_off():
    pieces, _ = written([TextDelta(0, "Half an "), Failure("truncated", "cut")])
    broken = Answer([piece for piece in pieces if piece] + ["close"], headers={"content-type": text.content_type})
    with serve(broken) as server, urllib.request.urlopen(server.url) as answer, pytest.raises(IncompleteRead) as caught:
        answer.read()
    assert caught.value.partial == b"Half an "


def test_a_whole_answer_is_its_words():
    events = [Start(), ReasoningDelta(0, "Hm"), TextDelta(1, "a"), TextDelta(2, "b"), RefusalDelta(3, "c")]
    assert text.render(Fold(events), CALL) == b"abc"


STATUSES = {
    "auth": 401,
    "permission": 403,
    "invalid": 400,
    "not_found": 404,
    "rate_limit": 429,
    "quota": 402,
    "cancelled": 499,
    "overloaded": 503,
    "timeout": 504,
}


@pytest.mark.parametrize("kind", FailureKind.__args__)
def test_a_failure_before_the_first_word_has_a_status(kind):
    assert text.error(Failure(kind, "broke")) == (STATUSES.get(kind, 502), b"broke\n")
    assert text.error(Failure(kind, "")) == (STATUSES.get(kind, 502), f"{kind}\n".encode())


def test_nobody_can_ask_in_it():
    with pytest.raises(LocalError, match="nobody can ask in it"):
        text.parse(b"{}", {})
