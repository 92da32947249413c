"""The official SDKs over a tracked client: they see what they see without it, and the record says what they saw."""

from __future__ import annotations

import contextlib
import gzip
import random

import anyio
import httpx2
import pytest
from support import params

import streamcore as sc
from ledgers import Book
from sdks import SDKS, Chat, Messages, Responses, aread, read, shown
from side import LIBRARIES, Answer, client
from streamcore.testing import Answer as Script
from streamcore.testing import Pause, serve

HERE = [case for case in SDKS if case.installed()]
MISSING = pytest.mark.skip(reason="none of the official SDKs is installed: uv sync --group bench")
CASES = [
    pytest.param(case, row.values[0], id=f"{case.recordings}-{row.id}", marks=row.marks)
    for case in HERE
    for kind in ("streams", "errors")
    for row in params(f"{kind}-{case.recordings}")
] or [pytest.param(None, None, marks=MISSING)]
ERRORS = ("ReadError", "ReadTimeout", "RemoteProtocolError")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # anthropic's, of old models
    pytest.mark.filterwarnings("ignore:.* is not a valid:UserWarning"),  # google-genai's, of what it does not know
]
GONE = {"content-length", "transfer-encoding", "content-encoding", "retry-after", "retry-after-ms"}


def answer_of(row, *, error=None):
    """The recording in chunks, one in eight compressed as well; the first half of them if it is to break with an error."""
    dice = random.Random(row.id)
    headers = {name: value for name, value in row.headers.items() if name not in GONE and value.isascii()}
    headers.setdefault("content-type", "text/event-stream")
    body = row.body
    if dice.random() < 0.125:
        body, headers["content-encoding"] = gzip.compress(body, 1), "gzip"
    chunks, at = [], 0
    while at < len(body):
        size = dice.choice([1, 50, 500, 5000, 50_000])
        chunks.append(body[at : at + size])
        at += size
    if error is not None:
        chunks = chunks[: len(chunks) // 2]
    return Answer(chunks, status=row.status, headers=headers, error=error)


def both(case, row, *, sync, upto=None, error=None):
    """What an SDK gives without and with a tracked client, and the one record."""
    library = LIBRARIES[case.clients]
    broken = error and getattr(library, error)("the line is dead")
    answer = answer_of(row, error=broken)
    plain, _ = client(library, answer, sync=sync)
    watched, served = client(library, answer, sync=sync)
    book = Book()
    found = []
    for each in (plain, sc.tracked_client(book, client=watched)):
        sdk = case.make(case.address(row.fields["url"]), each, sync=sync)
        found.append(asked(sdk, case, row, sync=sync, upto=upto))
    assert len(served.requests) == 1
    return found, book.record


def asked(sdk, case, row, *, sync, upto):
    model = row.fields["model"] or "model"
    if sync:
        return read(sdk, case, model, upto=upto)
    return anyio.run(lambda: aread(sdk, case, model, upto=upto))


def whole(case, row):
    """Whether we hold it for a whole answer ourselves."""
    reader = sc.Reader(sc.load(case.wire))
    reader.feed(row.body)
    reader.close()
    return row.status == 200 and isinstance(reader.outcome, sc.Finish)


def either(row):
    """Sync for one half of the recordings, async for the other."""
    return random.Random(row.id).random() < 0.5


@pytest.mark.parametrize(("case", "row"), CASES)
@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
def test_a_recording_is_read_as_without_the_wrapper(case, row, sync):
    (without, with_), record = both(case, row, sync=sync)
    assert with_ == without
    refused = any(isinstance(thing, tuple) for thing in with_)
    assert record.status == "SUCCESS" or refused or not whole(case, row)


@pytest.mark.parametrize(("case", "row"), CASES)
def test_one_that_is_left_early_is_read_as_without_the_wrapper(case, row):
    upto = random.Random(row.id).randint(1, 6)
    (without, with_), record = both(case, row, sync=either(row), upto=upto)
    assert with_ == without
    assert record.status != "LOST"


@pytest.mark.parametrize(("case", "row"), CASES)
def test_one_that_breaks_is_read_as_without_the_wrapper(case, row):
    error = random.Random(row.id).choice(ERRORS)
    (without, with_), record = both(case, row, sync=either(row), error=error)
    assert with_ == without
    assert record.status != "LOST"


# What no recording shows

CHAT = [
    b'data: {"id":"1","model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":"He"}}]}\n\n',
    b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"llo"},"finish_reason":"stop"}]}\n\n',
    b'data: {"id":"1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\ndata: [DONE]\n\n',
]
RESPONSES = [
    b'event: response.created\ndata: {"type":"response.created","response":{"id":"1","model":"m-1","output":[]}}\n\n',
    b"event: response.completed\n",
    b'data: {"type":"response.completed","response":{"id":"1","model":"m-1","status":"completed","output":[],',
    b'"usage":{"input_tokens":3,"output_tokens":2,"total_tokens":5}}}\n\n',
]
MESSAGES = [
    b"event: message_start\n",
    b'data: {"type":"message_start","message":{"id":"1","model":"m-1","type":"message","role":"assistant","content":[],',
    b'"usage":{"input_tokens":3,"output_tokens":1}}}\n\nevent: message_delta\n',
    b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
]
GEMINI = [
    b'data: {"modelVersion":"m-1","candidates":[{"content":{"parts":[{"text":"Hello"}]},"finishReason":"STOP"}],',
    b'"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"totalTokenCount":5}}\r\n\r\n',
]
BODIES = dict(zip(SDKS, (CHAT, RESPONSES, MESSAGES, GEMINI), strict=True))
PLACES = {
    "whole": Script,
    "paused": lambda body: Script([each for chunk in body for each in (chunk[:30], Pause(0.01), chunk[30:])]),
    "cut": lambda body: Script([body[0][:50], "close"]),
    "reset": lambda body: Script([body[0][:50], "reset"]),
    "refused": lambda body: Script([b'{"error":{"message":"busy","code":"rate_limited"}}'], status=429),
    "half an error": lambda body: Script([b'{"error":', "close"], status=500),
    "odd": lambda body: Script([b"<html>Hello</html>"], headers={"content-type": "text/html"}),
}


def fresh(library, *, sync):
    return library.Client() if sync else library.AsyncClient()


@pytest.mark.parametrize("case", SDKS)
@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
@pytest.mark.parametrize("name", ["httpx", "httpx2"])
@pytest.mark.parametrize("place", PLACES)
def test_over_a_socket_an_sdk_sees_what_it_sees_without_the_wrapper(case, sync, name, place):
    if case is Messages and name == "httpx":
        pytest.skip("anthropic takes no client of httpx")
    library, book, found = LIBRARIES[name], Book(), []
    with serve(PLACES[place](BODIES[case])) as server:
        address = f"{server.url}/v1" if case.name == "openai" else server.url

        async def run(made):
            async with made:
                return await aread(case.make(address, made, sync=False), case, "m")

        for made in (fresh(library, sync=sync), sc.tracked_client(book, client=fresh(library, sync=sync))):
            if sync:
                with made:
                    found.append(read(case.make(address, made, sync=True), case, "m"))
            else:
                found.append(anyio.run(run, made))
    assert found[0] == found[1]
    assert (book.record.status == "SUCCESS") == (place in {"whole", "paused"})
    if place == "whole":
        assert (book.record.usage.input_tokens, book.record.usage.output_tokens) == (3, 2)


@pytest.mark.parametrize("case", SDKS)
def test_cancelling_an_sdk_that_waits_goes_as_without_the_wrapper(case):
    library, book, found = LIBRARIES["httpx2"], Book(), []

    async def run(track):
        answer = Answer(BODIES[case][:1], hangs=True)
        made, served = client(library, answer, sync=False)
        if track:
            made = sc.tracked_client(book, client=made)
        sdk, seen = case.make("http://localhost/v1", made, sync=False), []
        with anyio.CancelScope() as scope:
            answer.cancel = scope.cancel
            async with aclosing_if(await case.ask(sdk, "m")) as stream:
                async for thing in stream:
                    seen.append(shown(thing))
        return seen, scope.cancelled_caught, served.closed

    found = [anyio.run(run, track) for track in (False, True)]
    assert found[0] == found[1]
    assert found[0][1]
    assert book.record.status == "CANCELLED"


@contextlib.asynccontextmanager
async def aclosing_if(stream):
    try:
        yield stream
    finally:
        close = getattr(stream, "close", None) or stream.aclose
        with anyio.CancelScope(shield=True):
            await close()


@pytest.mark.parametrize("case", [Chat, Responses, Messages])
def test_each_request_that_an_sdk_makes_leaves_a_record(case, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    answers = iter([Answer([b"{}"], status=500), Answer(failure=httpx2.ConnectError("no")), Answer(BODIES[case])])
    made, _ = client(httpx2, lambda _: next(answers), sync=True)
    book = Book()
    sdk = case.make("http://localhost/v1", sc.tracked_client(book, client=made), sync=True, retries=2)
    read(sdk, case, "m", extra_headers={"x-streamcore-user": "u-1"})
    assert [record.status for record in book.records] == ["ERROR", "ERROR", "SUCCESS"]
    assert {record.context.user for record in book.records} == {"u-1"}


def test_with_a_new_client_openai_behaves_as_with_its_own():
    openai = pytest.importorskip("openai", reason="openai is not installed: uv sync --group bench")
    own = openai.AsyncOpenAI(api_key="k")
    theirs = openai.AsyncOpenAI(api_key="k", http_client=sc.tracked_client(Book()))
    assert theirs.timeout == own.timeout
    assert theirs._client.follow_redirects == own._client.follow_redirects
    pools = [made._client._transport._pool for made in (own, theirs)]
    assert pools[0]._max_connections == pools[1]._max_connections
    assert pools[0]._max_keepalive_connections == pools[1]._max_keepalive_connections


def test_with_a_new_client_anthropic_behaves_as_with_its_own():
    anthropic = pytest.importorskip("anthropic", reason="anthropic is not installed: uv sync --group bench")
    own = anthropic.AsyncAnthropic(api_key="k")
    assert anthropic.AsyncAnthropic(api_key="k", http_client=sc.tracked_client(Book())).timeout == own.timeout


@pytest.mark.parametrize("name", ["DefaultHttpxClient", "DefaultAsyncHttpxClient"])
@pytest.mark.parametrize("package", ["openai", "anthropic"])
def test_the_clients_that_an_sdk_makes_are_tracked_as_they_are(package, name):
    sdk = pytest.importorskip(package, reason=f"{package} is not installed: uv sync --group bench")
    made = getattr(sdk, name)()
    before = (type(made), made.timeout, made.follow_redirects)
    tracked = sc.tracked_client(Book(), client=made)
    assert (type(tracked), tracked.timeout, tracked.follow_redirects) == before
