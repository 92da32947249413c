"""One question: what is shown of each event, and what is said at the end."""

from __future__ import annotations

import io

import pytest
from tiny import TINY, say

import streamcore as sc
from streamcore.cli.asking import Answer, ask, close, show, show_below, tokens
from streamcore.cli.terminal import Terminal
from streamcore.transport import Source


class Recorded:
    """A transport that answers with these bytes."""

    def __init__(self, *pieces):
        self._pieces = pieces

    async def open(self, request, *, connect=None):
        async def body():
            for piece in self._pieces:
                yield piece

        return Source(body())


@pytest.fixture
def out():
    return io.StringIO()


@pytest.fixture
def err():
    return io.StringIO()


@pytest.fixture
def terminal(out, err):
    return Terminal(out, err, {})


@pytest.mark.parametrize(
    ("event", "answer", "note"),
    [
        (sc.TextDelta(0, "Hello"), "Hello", ""),
        (sc.RefusalDelta(0, "No."), "No.", ""),
        (sc.ReasoningDelta(0, "Hm."), "", "Hm."),
        (sc.ToolCallStart(0, "1", "look"), "", "→ look "),
        (sc.ToolCallDelta(0, '{"at"'), "", '{"at"'),
        (sc.Citation(0, url="https://a.example", title="A"), "", ""),
        (sc.Attachment(0, "image/png", data=b"123"), "", ""),
        (sc.Start(), "", ""),
        (sc.Extension("x:y", "{}"), "", ""),
        (sc.BlockEnd(0), "", ""),
        (sc.Usage(1, 2), "", ""),
        (sc.Finish("stop"), "", ""),
        (sc.Failure("server", "broken"), "", ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_event_shows_what_it_says(event, answer, note):
    out, err = io.StringIO(), io.StringIO()
    show(event, Terminal(out, err, {}))
    assert (out.getvalue(), err.getvalue()) == (answer, note)


def test_sources_and_files_are_shown_below_the_answer_once(terminal, err):
    events = [
        sc.TextDelta(0, "Blue."),
        sc.Citation(0, url="https://a.example", title="A\nB"),
        sc.Citation(0, url="https://a.example", title="A\nB"),
        sc.Citation(0, text="as it is said"),
        sc.Citation(0, raw="{}"),
        sc.Attachment(1, "image/png", data=b"12"),
        sc.Attachment(1, "image/png", data=b"3"),
        sc.Attachment(2, "image/png", url="https://a.example/1"),
        sc.Attachment(3, "image/png"),
    ]
    show_below(sc.Fold(events), terminal)
    terminal.end()
    assert err.getvalue().splitlines() == [
        "[A B · https://a.example]",
        "[as it is said]",
        "[image/png, 3 bytes]",
        "[image/png, https://a.example/1]",
        "[image/png, 0 bytes]",
    ]


@pytest.mark.parametrize(
    ("usage", "said"),
    [
        (None, "tokens unknown"),
        (sc.Usage(7, 3), "7 input, 3 output tokens"),
        (sc.Usage(None, 0), "? input, 0 output tokens"),
        (sc.Usage(7, 3, cache_read_tokens=6, reasoning_tokens=2), "7 input (6 cached), 3 output (2 reasoning) tokens"),
    ],
)
def test_usage_says_what_is_known_and_no_more(usage, said):
    assert tokens(usage) == said


@pytest.mark.parametrize(
    ("outcome", "usage", "said", "status"),
    [
        (sc.Finish("length", "max_tokens"), sc.Usage(7, 3), "length · 7 input, 3 output tokens · 1.50 s\n", 0),
        (sc.Finish("other", "odd"), None, "other (odd) · tokens unknown · 1.50 s\n", 0),
        (
            sc.Failure("timeout", "too\nslow", detail="idle", status=504),
            sc.Usage(7, None),
            "streamcore: timeout (idle), HTTP 504: too slow · 7 input, ? output tokens\n",
            1,
        ),
        (sc.Failure("truncated", "cut"), None, "streamcore: truncated: cut\n", 1),
    ],
)
def test_the_last_line_says_the_outcome_and_what_it_took(outcome, usage, said, status):
    err = io.StringIO()
    assert close(Answer(sc.Fold(), outcome, usage, None, 1.5), Terminal(io.StringIO(), err, {})) == status
    assert err.getvalue() == said


@pytest.mark.anyio
async def test_an_answer_is_shown_added_up_and_timed(terminal, out):
    answer = await ask(sc.Endpoint(TINY, "m", transport=Recorded(*say("Hel", "lo"))), sc.prompt("Hi"), terminal)
    assert (out.getvalue(), answer.fold.text) == ("Hello", "Hello")
    assert answer.outcome == sc.Finish("stop", "done")
    assert answer.usage == sc.Usage(output_tokens=2)
    assert answer.first is not None
    assert 0 < answer.first <= answer.seconds


@pytest.mark.anyio
async def test_a_quiet_answer_is_not_shown(terminal, out):
    model = sc.Endpoint(TINY, "m", transport=Recorded(*say("Hello")))
    assert (await ask(model, sc.prompt("Hi"), terminal, quiet=True)).fold.text == "Hello"
    assert out.getvalue() == ""


@pytest.mark.anyio
async def test_a_stream_that_fails_is_an_answer_with_what_came_before(terminal, out):
    answer = await ask(sc.Endpoint(TINY, "m", transport=Recorded(say("Hel", "lo")[0])), sc.prompt("Hi"), terminal)
    assert isinstance(answer.outcome, sc.Failure)
    assert answer.outcome.kind == "truncated"
    assert out.getvalue() == answer.fold.text == "Hel"


@pytest.mark.anyio
async def test_an_answer_without_content_has_no_first_token(terminal):
    answer = await ask(sc.Endpoint(TINY, "m", transport=Recorded(*say())), sc.prompt("Hi"), terminal)
    assert answer.first is None


@pytest.mark.anyio
async def test_what_the_provider_cannot_take_is_said(terminal, err):
    request = sc.Request(messages=(sc.Message("user", "Hi"),), seed=1)
    await ask(sc.Endpoint(TINY, "m", transport=Recorded(*say("Hello"))), request, terminal)
    assert err.getvalue() == "warning: seed: not supported\n"
