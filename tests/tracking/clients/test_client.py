"""Clients that are tracked: what goes through is unchanged, and each way to end leaves one record that says so."""

from __future__ import annotations

import contextlib
import copy
import gc
import gzip
import json
import random
import threading
from functools import partial
from itertools import pairwise

import anyio
import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamcore as sc
from ledgers import Book
from side import LIBRARIES, SSE, Answer, client
from streamcore.testing import serve
from streamcore.testing.scripted import EVENTS
from streamcore.testing.server import Answer as Script
from streamcore.tracking.clients import client as module
from streamcore.tracking.clients.client import tracked_client
from streamcore.tracking.clients.wires import Wire
from streamcore.tracking.counting import Characters
from streamcore.tracking.record import Context
from streamcore.tracking.sinks.lines import Callback

URL = "https://api.openai.com/v1/chat/completions"
BODY = json.dumps({"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "Why is it blue?"}]})
ASKED = b'data: {"id":"c-1","model":"gpt-4o-2024","choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'
FIRST = b'data: {"choices":[{"index":0,"delta":{"content":"Because air scatters"}}]}\n\n'
STOP = b'data: {"choices":[{"index":0,"delta":{"content":" blue."},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}\n\n'
DONE = b"data: [DONE]\n\n"
WHOLE = [ASKED[:40], ASKED[40:], FIRST, STOP + USAGE[:10], USAGE[10:], DONE]

KINDS = [
    pytest.param((library, backend), id=f"{library}-{backend or 'sync'}")
    for library in LIBRARIES
    for backend in ("", "asyncio", "trio")
]
pytestmark = [
    # Whoever breaks out of httpx's generators leaves them to the garbage collector, and trio says so.
    pytest.mark.filterwarnings("ignore:Async generator .* was garbage collected:ResourceWarning"),
]


class Ask:
    """A client of one kind over a server in memory, tracked, and what it got."""

    def __init__(self, kind, answer, *, follow_redirects=False, **options):
        name, self.backend = kind
        self.library = LIBRARIES[name]
        given, self.served = client(self.library, answer, sync=not self.backend, follow_redirects=follow_redirects)
        self.answer = answer
        self.book = Book()
        self.client = tracked_client(self.book, client=given, **options)
        assert self.client is given
        self.got = []
        self.error = None

    def post(self, *, url=URL, body=BODY, headers=None, upto=None, error=None):
        """Ask for a stream and read it raw: up to so many chunks, then leave, or raise; or be cancelled where it hangs."""
        more = {"content": body, "headers": headers}
        try:
            if self.backend:
                anyio.run(self._apost, url, more, upto, error, backend=self.backend)
            else:
                self._post(url, more, upto, error)
        except Exception as raised:  # noqa: BLE001 - looked at by the test
            self.error = raised
        return self

    def _post(self, url, more, upto, error):
        with self.client.stream("POST", url, **more) as response:
            for chunk in response.iter_raw():
                self.got.append(chunk)
                if len(self.got) == upto:
                    if error is not None:
                        raise error
                    break
        self.response = response

    async def _apost(self, url, more, upto, error):
        with anyio.CancelScope() as scope:
            if isinstance(self.answer, Answer):
                self.answer.cancel = scope.cancel
            async with self.client.stream("POST", url, **more) as response:
                async for chunk in response.aiter_raw():
                    self.got.append(chunk)
                    if len(self.got) == upto:
                        if error is not None:
                            raise error
                        break
            self.response = response

    @property
    def record(self):
        return self.book.record


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(params=["asyncio", "trio"])
def waiting(request):
    return ("httpx2", request.param)


# What goes through


def test_every_chunk_is_the_very_one_that_came(kind):
    ask = Ask(kind, Answer(WHOLE)).post()
    assert [id(chunk) for chunk in ask.got] == [id(chunk) for chunk in WHOLE]


def test_the_response_is_the_transports_own(kind):
    answer = Answer(WHOLE, headers=SSE | {"x-request-id": "r-1", "odd": "even"})
    ask = Ask(kind, answer).post()
    extensions = {name: ask.response.extensions[name] for name in answer.extensions}
    assert extensions == answer.extensions
    assert ask.response.extensions["odd"] is answer.extensions["odd"]
    assert dict(ask.response.headers.items()) == answer.headers
    assert ask.served.closed == 1


def test_an_exception_of_the_body_is_the_very_one(kind):
    error = LIBRARIES[kind[0]].ReadError("reset")
    ask = Ask(kind, Answer(WHOLE[:3], error=error)).post()
    assert ask.error is error
    assert ask.got == WHOLE[:3]


def test_an_exception_instead_of_an_answer_is_the_very_one(kind):
    error = LIBRARIES[kind[0]].ConnectError("refused")
    assert Ask(kind, Answer(failure=error)).post().error is error


def test_the_request_that_is_sent_is_the_one_that_was_made(kind):
    ask = Ask(kind, Answer(WHOLE)).post(headers={"x-mine": "yes"})
    [(method, url, headers, body)] = ask.served.requests
    assert (method, url, headers["x-mine"], body) == ("POST", URL, "yes", BODY.encode())


def test_opening_and_closing_a_client_opens_and_closes_its_transports():
    made, served = client(httpx, Answer(), sync=True)
    with tracked_client(Book(), client=made):
        assert served.entered == 1
    tracked_client(Book(), client=(other := client(httpx, Answer(), sync=True))[0]).close()
    assert other[1].transport_closed == 1


@pytest.mark.anyio
async def test_opening_and_closing_a_client_that_waits_opens_and_closes_its_transports():
    made, served = client(httpx2, Answer(), sync=False)
    async with tracked_client(Book(), client=made):
        assert served.entered == 1
    made, served = client(httpx2, Answer(), sync=False)
    await tracked_client(Book(), client=made).aclose()
    assert served.transport_closed == 1


# How it ends


def test_a_whole_answer(kind):
    answer = Answer(WHOLE, headers=SSE | {"x-request-id": "r-1"})
    record = Ask(kind, answer).post().record
    assert (record.status, record.outcome) == ("SUCCESS", sc.Finish("stop", raw="stop"))
    assert record.origin == sc.Origin(adapter="openai", model="gpt-4o", host="api.openai.com")
    assert (record.answered_by, record.request_id) == ("gpt-4o-2024", "r-1")
    assert record.usage == sc.Usage(input_tokens=7, output_tokens=3)
    assert record.usage_sources == {"input_tokens": "reported", "output_tokens": "reported"}
    assert (record.characters, record.bytes) == (26, sum(map(len, WHOLE)))
    marks = record.marks
    assert (
        0 == marks.sent <= marks.headers <= marks.first_byte <= marks.first_text <= marks.last_content <= marks.closed
    )


def test_its_outcome_is_recorded_before_its_last_chunk_is_given():
    made, _ = client(httpx, Answer(WHOLE), sync=True)
    book = Book()
    with tracked_client(book, client=made).stream("POST", URL, content=BODY) as response:
        for chunk in response.iter_raw():
            assert len(book.records) == (chunk is DONE)


def test_a_body_that_ends_early_is_truncated(kind):
    record = Ask(kind, Answer(WHOLE[:3])).post().record
    assert (record.status, record.usage_sources["output_tokens"]) == ("TRUNCATED", "estimated")


def test_leaving_in_the_middle(kind):
    record = Ask(kind, Answer(WHOLE)).post(upto=3).record
    assert (record.status, record.outcome.detail) == ("CANCELLED", "closed")
    assert record.usage_sources == {"input_tokens": "estimated", "output_tokens": "estimated"}


def test_leaving_after_the_end_of_the_answer_is_no_cancellation(kind):
    assert Ask(kind, Answer([*WHOLE, b": bye\n\n"])).post(upto=len(WHOLE)).record.status == "SUCCESS"


def test_leaving_before_the_first_chunk(kind):
    ask = Ask(kind, Answer(WHOLE))

    async def wait():
        async with ask.client.stream("POST", URL, content=BODY):
            pass

    if ask.backend:
        anyio.run(wait, backend=ask.backend)
    else:
        with ask.client.stream("POST", URL, content=BODY):
            pass
    assert (ask.record.status, ask.record.characters) == ("CANCELLED", 0)


def test_an_exception_of_the_consumers(kind):
    ask = Ask(kind, Answer(WHOLE)).post(upto=3, error=KeyError("mine"))
    assert (type(ask.error), ask.record.status) == (KeyError, "CANCELLED")


def test_a_generator_that_is_closed_settles_it_before_the_response_is():
    made, served = client(httpx2, Answer(WHOLE), sync=True)
    book = Book()
    with tracked_client(book, client=made).stream("POST", URL, content=BODY) as response:
        chunks = response.stream.__iter__()
        next(chunks)
        chunks.close()
        assert (book.record.status, served.closed) == ("CANCELLED", 0)


def test_an_iterator_that_is_no_generator_is_left_alone():
    class Body(httpx.SyncByteStream):
        def __iter__(self):
            return iter(WHOLE)

    made = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, headers=SSE, stream=Body())))
    book = Book()
    with tracked_client(book, client=made).stream("POST", URL, content=BODY) as response:
        chunks = response.stream.__iter__()
        next(chunks)
        chunks.close()
    assert book.record.status == "CANCELLED"


@pytest.mark.anyio
async def test_an_async_iterator_is_closed_as_far_as_it_is_a_generator():
    class Body(httpx2.AsyncByteStream):
        def __aiter__(self):
            self.left = iter(WHOLE)
            return self

        async def __anext__(self):
            return next(self.left)

    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=SSE, stream=Body()))
    book = Book()
    made = tracked_client(book, client=httpx2.AsyncClient(transport=transport))
    async with made, made.stream("POST", URL, content=BODY) as response:
        chunks = aiter(response.stream)
        assert aiter(chunks) is chunks
        await anext(chunks)
        await chunks.aclose()
        assert book.record.status == "CANCELLED"


def test_a_response_that_is_dropped_has_no_end_but_that_of_a_lost_one():
    made, _ = client(httpx, Answer(WHOLE), sync=True)
    book = Book()
    tracked_client(book, client=made)
    response = made.send(made.build_request("POST", URL, content=BODY), stream=True)
    del response
    gc.collect()
    assert ([record.status for record in book.begun], book.records) == (["LOST"], [])


def test_what_is_known_of_a_stream_that_has_only_begun():
    made, _ = client(httpx, Answer(WHOLE), sync=True)
    book = Book()
    with sc.context(user="u-1"):
        tracked_client(book, client=made).post(URL, content=BODY)
    [begun] = book.begun
    assert (begun.status, begun.context.user, begun.origin.model) == ("LOST", "u-1", "gpt-4o")
    assert begun.usage_sources == {"input_tokens": "estimated"}


@pytest.mark.parametrize(
    ("name", "status", "detail"),
    [
        ("ReadError", "ERROR", "reset"),
        ("ReadTimeout", "TIMEOUT", "idle"),
        ("RemoteProtocolError", "ERROR", "http"),
    ],
)
def test_a_connection_that_breaks(kind, name, status, detail):
    error = getattr(LIBRARIES[kind[0]], name)("broken")
    record = Ask(kind, Answer(WHOLE[:3], error=error)).post().record
    assert (record.status, record.outcome.detail, record.characters) == (status, detail, 20)


def test_a_transport_that_raises_what_nobody_knows(kind):
    record = Ask(kind, Answer(WHOLE[:3], error=ValueError("what?"))).post().record
    assert (record.status, record.outcome.kind, record.outcome.detail) == ("ERROR", "connection", "transport")


@pytest.mark.parametrize(
    ("name", "status", "outcome"),
    [
        ("ConnectError", "ERROR", ("connection", "unreachable")),
        ("ConnectTimeout", "TIMEOUT", ("timeout", "connect")),
        ("ReadTimeout", "TIMEOUT", ("timeout", "first_token")),
    ],
)
def test_no_answer(kind, name, status, outcome):
    record = Ask(kind, Answer(failure=getattr(LIBRARIES[kind[0]], name)("no"))).post().record
    assert (record.status, (record.outcome.kind, record.outcome.detail)) == (status, outcome)
    assert record.marks.headers is None


def test_a_request_that_was_never_sent_costs_nothing(kind):
    record = Ask(kind, Answer(failure=LIBRARIES[kind[0]].ConnectError("no"))).post().record
    assert (record.attempts[0].served, record.usage_sources) == (False, {})


def test_cancelled_while_it_waits_for_a_chunk(waiting):
    ask = Ask(waiting, Answer(WHOLE[:3], hangs=True)).post()
    assert (ask.record.status, ask.record.outcome.detail) == ("CANCELLED", "task")
    assert ask.record.characters == 20


def test_cancelled_while_it_waits_for_an_answer(waiting):
    ask = Ask(waiting, Answer(mute=True)).post()
    assert (ask.record.status, ask.record.outcome.detail) == ("CANCELLED", "task")


def test_one_that_was_cancelled_after_the_end_of_the_answer_has_ended_well(waiting):
    ask = Ask(waiting, Answer(WHOLE, hangs=True)).post()
    assert ask.record.status == "SUCCESS"


# HTTP errors


ERROR = b'{"error":{"message":"slow down, sk-the-key","type":"rate_limit_error","code":"rate_limited"}}'


def test_an_http_error(kind):
    answer = Answer([ERROR[:20], ERROR[20:]], status=429, headers={"retry-after": "3", "x-request-id": "r-1"})
    ask = Ask(kind, answer).post(headers={"authorization": "Bearer sk-the-key"})
    outcome = ask.record.outcome
    assert b"".join(ask.got) == ERROR
    assert (ask.record.status, outcome.kind, outcome.status) == ("ERROR", "rate_limit", 429)
    assert (outcome.retry_after, outcome.code, outcome.request_id) == (3.0, "rate_limited", "r-1")
    assert outcome.message == "slow down, ***"
    assert (ask.record.attempts[0].served, ask.record.marks.headers) == (False, None)


def test_an_http_error_whose_body_nobody_reads(kind):
    outcome = Ask(kind, Answer([], status=503)).post(upto=0).record.outcome
    assert (outcome.kind, outcome.status) == ("overloaded", 503)


def test_an_http_error_that_is_closed_at_once():
    made, _ = client(httpx, Answer([ERROR], status=503), sync=True)
    book = Book()
    with tracked_client(book, client=made).stream("POST", URL, content=BODY):
        pass
    assert book.record.outcome.message == "HTTP 503; nobody read its body"


def test_of_the_body_of_an_http_error_only_the_beginning_is_kept():
    made, _ = client(httpx, Answer([b"x" * 60_000] * 3, status=500), sync=True)
    book = Book()
    assert len(tracked_client(book, client=made).post(URL, content=BODY).content) == 180_000
    assert book.record.status == "ERROR"


@pytest.mark.parametrize(
    "url",
    [
        URL + "?api-version=1&key=the%20long%20key",
        URL + "?API_KEY=the%20long%20key",
        URL + "?access_token=the%20long%20key",
    ],
)
def test_a_key_in_the_query_is_struck_out(url):
    made, _ = client(httpx, Answer([b'{"error":{"message":"bad the long key."}}'], status=400), sync=True)
    book = Book()
    tracked_client(book, client=made).post(url, content=BODY)
    assert book.record.outcome.message == "bad ***."


@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "api-key", "X-Goog-Api-Key", "proxy-authorization"])
def test_a_key_in_a_header_is_struck_out(name):
    said = b'data: {"error":{"message":"bad sk-the-key.","code":"invalid_api_key"}}\n\n'
    made, _ = client(httpx2, Answer([said]), sync=True)
    book = Book()
    tracked_client(book, client=made).post(URL, content=BODY, headers={name: "sk-the-key"})
    assert book.record.outcome.message == "bad ***."


# Redirects


def moved(request):
    to = "https://api.x.ai/v1/chat/completions"
    if request.url.host == "api.openai.com":
        return Answer([b"over there"], status=307, headers={"location": to, "x-request-id": "r-0"})
    return Answer(WHOLE)


def test_a_redirect_that_is_followed_is_the_same_request(kind):
    ask = Ask(kind, moved, follow_redirects=True).post(headers={"x-streamcore-user": "u-1"})
    assert (ask.record.status, ask.record.origin.host) == ("SUCCESS", "api.x.ai")
    assert ask.record.context == Context(user="u-1")
    assert [url for _, url, _, _ in ask.served.requests] == [URL, "https://api.x.ai/v1/chat/completions"]


def test_a_redirect_that_is_not_followed_is_an_error(kind):
    ask = Ask(kind, moved).post()
    assert (ask.record.status, ask.record.outcome.detail, ask.record.outcome.status) == ("ERROR", "redirect", 307)


# What is no stream


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("https://api.openai.com/v1/embeddings", BODY),
        (URL, '{"model":"gpt-4o","messages":[]}'),
        (URL, '{"model":"gpt-4o","stream":false}'),
        (URL, '{"stream":true}'),
        (URL, '{"model":5,"stream":true}'),
        (URL, "no JSON"),
        (URL, "5"),
        (URL, b"\xff"),
        ("http://localhost:11434/api/chat", '{"model":"m","stream":false}'),
    ],
)
def test_what_asks_for_no_stream_goes_by(kind, url, body):
    ask = Ask(kind, Answer([b'{"a":', b"1}"])).post(url=url, body=body)
    assert (ask.got, ask.book.begun) == ([b'{"a":', b"1}"], [])


def test_another_method_goes_by():
    made, _ = client(httpx, Answer(WHOLE), sync=True)
    book = Book()
    tracked_client(book, client=made).request("PUT", URL, content=BODY)
    assert book.begun == []


def test_an_exception_of_what_is_no_stream_goes_by(kind):
    error = LIBRARIES[kind[0]].ConnectError("refused")
    ask = Ask(kind, Answer(failure=error)).post(url="https://localhost/files")
    assert (ask.error, ask.book.begun) == (error, [])


def test_a_body_that_is_made_while_it_is_sent_is_not_touched(kind):
    def pieces():
        yield BODY[:10].encode()
        yield BODY[10:].encode()

    async def apieces():
        for piece in pieces():
            yield piece

    name, backend = kind
    library = LIBRARIES[name]
    sent = []

    def handler(request):
        sent.append(request.content)
        return library.Response(200, headers=SSE, content=b"".join(WHOLE))

    async def ahandler(request):
        sent.append(await request.aread())
        return library.Response(200, headers=SSE, content=b"".join(WHOLE))

    book = Book()
    if not backend:
        transport = library.MockTransport(lambda request: request.read() and handler(request))
        tracked_client(book, client=library.Client(transport=transport)).post(URL, content=pieces())
    else:

        async def run():
            async with tracked_client(book, client=library.AsyncClient(transport=library.MockTransport(ahandler))) as c:
                await c.post(URL, content=apieces())

        anyio.run(run, backend=backend)
    assert (sent, book.begun) == ([BODY.encode()], [])


# What is read


def test_a_body_that_is_in_memory_already_is_read_at_once():
    body = gzip.compress(b"".join(WHOLE))
    headers = SSE | {"content-encoding": "gzip"}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, content=body))
    book = Book()
    tracked_client(book, client=httpx.Client(transport=transport)).post(URL, content=BODY)
    assert (book.record.status, book.record.characters) == ("SUCCESS", 26)


def test_a_format_of_ones_own(kind):
    own = Wire(adapter=EVENTS, path="/talk/{model}", hosts=("example.org",), streams=True)
    chunks = [b'{"type":"text","index":0,"text":"Hi"}\n', b'{"type":"finish","reason":"stop"}\n']
    ask = Ask(kind, Answer(chunks), wires=[own]).post(url="https://api.example.org/talk/tiny%20one", body="")
    assert (ask.record.status, ask.record.characters) == ("SUCCESS", 2)
    assert (ask.record.origin.model, ask.record.origin.host) == ("tiny one", "api.example.org")


def test_a_request_of_another_shape_leaves_a_record_without_a_guess():
    made, _ = client(httpx, Answer(WHOLE[:3]), sync=True)
    book = Book()
    tracked_client(book, client=made).post(URL, json={"model": "m", "stream": True, "messages": "none"})
    assert "input_tokens" not in book.record.usage_sources


def test_a_request_that_is_very_long_leaves_a_record_without_a_guess(monkeypatch):
    monkeypatch.setattr("streamcore.tracking.clients.watch.READ_BYTES", len(BODY) - 1)
    made, _ = client(httpx, Answer(WHOLE[:3]), sync=True)
    book = Book()
    tracked_client(book, client=made).post(URL, content=BODY)
    assert "input_tokens" not in book.record.usage_sources


def test_whole_streams_teach_the_counter(kind):
    counter = Characters()
    Ask(kind, Answer(WHOLE), counter=counter).post()
    assert counter.answer_tokens(26, "gpt-4o-2024") == 3


def test_prices_of_ones_own():
    made, _ = client(httpx, Answer(WHOLE), sync=True)
    records = []
    ledger = sc.Ledger(Callback(records.append), prepare=sc.Prices({"gpt-4o": {"input": 1, "output": 10}}))
    tracked_client(ledger, client=made).post(URL, content=BODY)
    ledger.close()
    assert str(records[0].cost) == "0.000037"


def test_a_sink_alone_has_a_ledger_made_for_it():
    made, _ = client(httpx, Answer(WHOLE), sync=True)
    written = threading.Event()
    tracked_client(Callback(lambda _: written.set()), client=made, prices={}).post(URL, content=BODY)
    assert written.wait(30)


# What it is for


def test_context_and_headers_say_what_it_is_for(kind):
    headers = {
        "x-streamcore-feature": "chat",
        "X-Streamcore-User": "J%C3%B6rg",
        "x-streamcore-conversation-id": "c-9",
        "x-streamcore-tag-team": "a b",
        "x-streamcore-whatever": "?",
    }
    with sc.context(feature="outer", tier="x"):
        ask = Ask(kind, Answer(WHOLE)).post(headers=headers)
    assert ask.record.context == Context(
        feature="chat", user="Jörg", conversation_id="c-9", tags={"tier": "x", "team": "a b"}
    )


def test_the_headers_that_say_so_are_not_sent(kind):
    headers = {"x-streamcore-user": "u-1", "X-Streamcore-Tag-Team": "a"}
    ask = Ask(kind, Answer(WHOLE)).post(url="https://localhost/files", headers=headers)
    [(_, _, sent, _)] = ask.served.requests
    assert [name for name in sent if "streamcore" in name] == []


# What goes wrong here


class Broken:
    """An adapter that raises where it is told to."""

    def __init__(self, *, feed=False, close=False):
        self._feed, self._close = feed, close
        self.url, self.key_variables, self.encode = "", (), None
        self.framing = sc.load("openai_chat").framing
        self.Decoder = lambda: self

    def feed(self, frame):
        if self._feed:
            raise KeyError("a bug")
        return []

    def close(self):
        if self._close:
            raise KeyError("a bug")
        return []


@pytest.mark.parametrize("where", ["feed", "close"])
def test_a_bug_of_an_adapter_is_logged_once_and_never_the_streams(kind, where, caplog):
    wire = Wire(adapter=Broken(**{where: True}), path="/chat/completions")
    ask = Ask(kind, Answer(WHOLE), wires=[wire]).post().post()
    assert ask.got == WHOLE * 2
    assert [record.outcome.detail for record in ask.book.records] == ["tap", "tap"]
    assert len(caplog.records) == 1


def test_a_bug_of_a_dialect_is_logged_and_costs_no_more_than_a_guess(kind, monkeypatch, caplog):
    monkeypatch.setattr("streamcore.dialect.load", lambda _: 1 / 0)
    ask = Ask(kind, Answer(WHOLE[:3])).post()
    assert (ask.record.status, len(caplog.records)) == ("TRUNCATED", 1)
    assert "input_tokens" not in ask.record.usage_sources


def test_an_adapter_that_is_missing_is_logged_and_leaves_no_record(kind, caplog):
    ask = Ask(kind, Answer(WHOLE), wires=[Wire(adapter="not there", path="/chat/completions")]).post()
    assert (ask.got, ask.book.begun, len(caplog.records)) == (WHOLE, [], 1)


def test_a_response_that_cannot_be_listened_to_is_logged_and_given(kind, monkeypatch, caplog):
    monkeypatch.setattr("streamcore.tracking.clients.tap.request_id", lambda _: 1 / 0)
    ask = Ask(kind, Answer(WHOLE)).post()
    assert (ask.got, len(caplog.records)) == (WHOLE, 1)
    assert ask.record.outcome.detail == "tap"


# Which clients


def test_without_a_client_it_is_one_of_httpx2_as_the_sdks_like_it():
    made = tracked_client(Book())
    assert isinstance(made, httpx2.AsyncClient)
    assert made.timeout == httpx2.AsyncClient().timeout
    assert made.follow_redirects


def test_where_httpx2_is_not_installed_it_is_one_of_httpx(monkeypatch):
    def import_module(name):
        if name == "httpx2":
            raise ImportError
        return httpx

    monkeypatch.setattr(module, "import_module", import_module)
    assert isinstance(tracked_client(Book()), httpx.AsyncClient)


@pytest.mark.parametrize("library", LIBRARIES.values())
def test_mounts_are_tracked_and_a_mount_without_a_transport_stays_one(library):
    inner, _ = client(library, Answer(WHOLE), sync=True)
    mounts = {"https://": inner._transport, "http://localhost": None}
    made = library.Client(mounts=mounts)
    book = Book()
    assert tracked_client(book, client=made).post(URL, content=BODY).content == b"".join(WHOLE)
    assert book.record.status == "SUCCESS"
    assert None in made._mounts.values()


def test_a_subclass_is_a_client():
    class Own(httpx.Client):
        pass

    assert type(tracked_client(Book(), client=Own())) is Own


def test_a_client_is_tracked_once():
    made = tracked_client(Book())
    with pytest.raises(sc.LocalError, match="tracked already"):
        tracked_client(Book(), client=made)


@pytest.mark.parametrize("what", [object(), "httpx", sc.HTTPX()])
def test_what_is_no_client_is_refused(what):
    with pytest.raises(sc.LocalError, match="a client of httpx or httpx2 can be tracked, not "):
        tracked_client(Book(), client=what)


def test_records_need_a_place_to_go():
    made = httpx.Client()
    with pytest.raises(sc.LocalError, match="needs a sink or a ledger"):
        tracked_client(client=made)
    tracked_client(Book(), client=made)


@pytest.mark.parametrize("name", ["_transport", "_mounts"])
def test_a_client_that_does_not_show_its_transports_is_refused(name):
    made = httpx.Client()
    del made.__dict__[name]
    with pytest.raises(sc.LocalError, match="does not show its transports"):
        tracked_client(Book(), client=made)


def test_for_everything_else_the_transport_is_the_one_inside():
    for made in (httpx.Client(), httpx2.AsyncClient()):
        pool = made._transport._pool
        tracked = tracked_client(Book(), client=made)
        assert tracked._transport._pool is pool
        with pytest.raises(AttributeError):
            copy.copy(tracked._transport).nothing  # noqa: B018


def test_our_own_transport_may_be_over_a_tracked_client():
    made, _ = client(httpx2, Answer(WHOLE), sync=False)
    book = Book()

    async def run():
        endpoint = sc.Endpoint("openai_chat", "gpt-4o", transport=sc.HTTPX(tracked_client(book, client=made)))
        async with endpoint.stream("Hi") as stream:
            return (await stream.collect()).text

    assert anyio.run(run) == "Because air scatters blue."
    assert book.record.status == "SUCCESS"


# Over sockets, and many at once


@pytest.mark.parametrize("library", LIBRARIES.values())
def test_over_a_socket_in_many_threads(library):
    book = Book()
    with serve(Script(WHOLE)) as server, tracked_client(book, client=library.Client()) as made:

        def ask():
            for _ in range(5):
                answer = made.post(f"{server.url}/v1/chat/completions", content=BODY)
                assert answer.content == b"".join(WHOLE)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [record.status for record in book.records] == ["SUCCESS"] * 40
    assert len({record.tracking_id for record in book.records}) == 40


@pytest.mark.parametrize("step", ["reset", "close", "garble"])
def test_over_a_socket_that_breaks(step, kind):
    name, backend = kind
    library, book = LIBRARIES[name], Book()
    with serve(Script([*WHOLE[:3], step])) as server:
        url = f"{server.url}/v1/chat/completions"

        async def run():
            async with tracked_client(book, client=library.AsyncClient()) as made:
                with pytest.raises(library.TransportError):
                    await made.post(url, content=BODY)

        if backend:
            anyio.run(run, backend=backend)
        else:
            with tracked_client(book, client=library.Client()) as made, pytest.raises(library.TransportError):
                made.post(url, content=BODY)
    assert book.record.status in {"ERROR", "TRUNCATED"}
    assert book.record.characters == 20


def test_leaving_closes_the_connection(kind):
    name, backend = kind
    library, book = LIBRARIES[name], Book()
    with serve(Script([*WHOLE[:3], "hang"])) as server:
        url = f"{server.url}/v1/chat/completions"

        async def run():
            async with tracked_client(book, client=library.AsyncClient()) as made:
                async with made.stream("POST", url, content=BODY) as response:
                    await anext(response.aiter_raw())
                assert await anyio.to_thread.run_sync(server.wait_for, lambda: not server._connections)

        if backend:
            anyio.run(run, backend=backend)
        else:
            with tracked_client(book, client=library.Client()) as made:
                with made.stream("POST", url, content=BODY) as response:
                    next(response.iter_raw())
                assert server.wait_for(lambda: not server._connections)
    assert book.record.status == "CANCELLED"


@pytest.mark.anyio
async def test_many_at_once_each_have_their_own_record():
    book, dice = Book(), random.Random(5)

    def echo(request):
        words = json.dumps({"choices": [{"index": 0, "delta": {"content": "x" * json.loads(request.content)["n"]}}]})
        return Answer([f"data: {words}\n\n".encode(), *WHOLE[3:]])

    made, _ = client(httpx2, echo, sync=False)
    tracked_client(book, client=made)

    async def ask(number, *, leaves):
        body = {"model": "m", "stream": True, "n": number + 1}
        with sc.context(user=str(number)):
            async with (
                made.stream("POST", URL, json=body, headers={"x-streamcore-tag-leaves": str(leaves)}) as response,
                contextlib.aclosing(response.aiter_raw()) as chunks,
            ):
                async for _ in chunks:
                    await anyio.lowlevel.checkpoint()
                    if leaves:
                        break

    async with anyio.create_task_group() as group:
        for number in range(200):
            group.start_soon(partial(ask, number, leaves=dice.random() < 0.5))
    assert sorted(int(record.context.user) for record in book.records) == list(range(200))
    for record in book.records:
        leaves = record.context.tags["leaves"] == "True"
        assert record.status == ("CANCELLED" if leaves else "SUCCESS")
        assert record.characters == int(record.context.user) + 1 + (0 if leaves else 6)


BYTES = b"".join(WHOLE)


@given(cuts=st.sets(st.integers(1, len(BYTES) - 1)), upto=st.none() | st.integers(1, 20), breaks=st.booleans())
def test_however_it_is_cut_and_left_there_is_one_record_of_what_was_given(cuts, upto, breaks):
    chunks = [BYTES[begin:end] for begin, end in pairwise([0, *sorted(cuts), len(BYTES)])]
    ask = Ask(("httpx", ""), Answer(chunks, error=httpx.ReadError("broken") if breaks else None)).post(upto=upto)
    assert ask.got == chunks[:upto]
    reader = sc.Reader(sc.load("openai_chat"))
    for chunk in ask.got:
        reader.feed(chunk)
    left = upto is not None and upto <= len(chunks)
    ends = sc.Failure("cancelled", "") if left else sc.Failure("connection", "") if breaks else None
    reader.close(ends)
    assert isinstance(ask.record.outcome, type(reader.outcome))
    assert getattr(ask.record.outcome, "kind", None) == getattr(reader.outcome, "kind", None)
