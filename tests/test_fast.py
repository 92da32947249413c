"""What the fast transport does that `test_transport` does not ask of all: HTTP/1.1, connections, TLS, deadlines."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSListener
from tiny import TINY, say

import streamcore as sc
from streamcore.fast import connection as connections
from streamcore.fast.head import Address, written
from streamcore.request import HTTPRequest
from streamcore.testing import Answer, Endless, serve
from streamcore.transport import HTTPX

pytestmark = pytest.mark.anyio

GOOD = say("Hel", "lo")
BODY = b"".join(GOOD)
COUNTED = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
PEM = Path(__file__).with_name("loopback.pem")


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request):
    return ("asyncio", {"use_uvloop": request.param == "uvloop"})


@pytest.fixture
async def fast():
    async with sc.Fast() as transport:
        yield transport


def to(url, **headers):
    return HTTPRequest("POST", url, headers, b"{}")


async def whole(transport, url):
    """The body of an answer."""
    response = await transport.open(to(url))
    try:
        data = b""
        while piece := await response.read():
            data += piece
        return data
    finally:
        await response.close()


async def failure(awaitable):
    with pytest.raises(sc.StreamFailed) as caught:
        await awaitable
    return caught.value.failure


def raw(*steps):
    return Answer([*steps], framing="raw")


async def until(condition):
    while not condition():
        await anyio.sleep(0.001)


def free(transport):
    return transport._lane.get().slots.value == transport._concurrency


def all_closed(server):
    return server.wait_for(lambda: server.open_connections == 0)


# --- the request


def test_a_head_says_where_it_goes_and_how_much_follows():
    address, head = written(HTTPRequest("POST", "http://host.example/v1?a=b", {"X-Team": "blue"}, b"12345"))
    assert address == Address(tls=False, host="host.example", port=80)
    assert head == (
        b"POST /v1?a=b HTTP/1.1\r\nhost: host.example\r\naccept: */*\r\nuser-agent: streamcore/%b\r\n"
        b"content-length: 5\r\nx-team: blue\r\n\r\n" % sc.__version__.encode()
    )


@pytest.mark.parametrize(
    ("url", "address", "start"),
    [
        ("https://h", Address(tls=True, host="h", port=443), "POST / HTTP/1.1\r\nhost: h\r\n"),
        ("https://h:8443/", Address(tls=True, host="h", port=8443), "POST / HTTP/1.1\r\nhost: h:8443\r\n"),
        ("http://u:p@h:80/", Address(tls=False, host="h", port=80), "POST / HTTP/1.1\r\nhost: h\r\n"),
        ("http://[::1]:1/", Address(tls=False, host="::1", port=1), "POST / HTTP/1.1\r\nhost: [::1]:1\r\n"),
        ("http://bücher.example/", Address(tls=False, host="xn--bcher-kva.example", port=80), "POST / HTTP/1.1"),
        ("http://h/a b/é%20:c", Address(tls=False, host="h", port=80), "POST /a%20b/%C3%A9%20:c HTTP/1.1\r\n"),
    ],
)
def test_addresses(url, address, start):
    found, head = written(to(url))
    assert found == address
    assert head.decode().startswith(start)


def test_what_the_caller_says_of_the_request_counts():
    _, head = written(to("http://h", **{"Host": "signed", "User-Agent": "mine", "accept": "x"}))
    assert b"host: signed\r\naccept: x\r\nuser-agent: mine\r\n" in head


def test_a_request_without_a_body_announces_none():
    assert b"content-length" not in written(HTTPRequest("GET", "http://h", {}, b""))[1]


@pytest.mark.parametrize(
    "request_",
    [
        to("ftp://h"),
        to("/v1"),
        to("http://"),
        to("http://h:port"),
        to("http://[::1"),
        to("http://" + "x" * 64),
        to("http://h", key="a\r\nb: c"),
        to("http://h", key="a\nb"),
        to("http://h", key="a\0b"),
        to("http://h", key="…"),
        to("http://h", **{"bad name": "x"}),
        to("http://h", **{"": "x"}),
        HTTPRequest("GET /\r\n", "http://h", {}, b""),
    ],
    ids=lambda request: f"{request.method} {request.url} {request.headers}",
)
async def test_what_cannot_be_sent_is_the_callers_mistake(fast, request_):
    found = await failure(fast.open(request_))
    assert (found.kind, found.detail, found.retryable) == ("invalid", "http", False)
    assert free(fast)


# --- the answer


async def test_names_of_headers_are_in_lower_case_and_repeated_ones_are_one(fast):
    head = b"HTTP/1.1 200 OK\r\nX-Id:  a \r\nEmpty:\r\nVia: b\r\nvia: c\r\nContent-Length: 0\r\n\r\n"
    with serve(raw(head)) as server:
        response = await fast.open(to(server.url))
        assert response.headers == {"x-id": "a", "empty": "", "via": "b, c", "content-length": "0"}
        await response.close()


async def test_a_failed_request_says_when_to_come_again(fast):
    with serve(Answer([b"{}"], status=429, headers={"Retry-After": "7"})) as server:
        stream = sc.Endpoint(TINY, "m", url=server.url, transport=fast).stream("hi")
        found = await failure(stream.__aenter__())
    assert (found.kind, found.retry_after) == ("rate_limit", 7)


async def test_what_announces_an_answer_is_not_the_answer(fast):
    with serve(raw(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + COUNTED)) as server:
        response = await fast.open(to(server.url))
        assert (response.status, "link" in response.headers) == (200, False)
        assert await response.read() == BODY
        await response.close()


async def test_trailers_are_not_headers(fast):
    body = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-late: 1\r\n\r\n"
    with serve(raw(body)) as server:
        response = await fast.open(to(server.url))
        assert await response.read() + await response.read() == b"hi"
        assert "x-late" not in response.headers
        await response.close()


async def test_what_came_before_a_fault_is_read_before_it(fast):
    with serve(Answer([GOOD[0], GOOD[1], "close"])) as server:
        response = await fast.open(to(server.url))
        await until(lambda: response._connection.over)
        assert await response.read() == GOOD[0] + GOOD[1]
        for _ in range(2):
            assert (await failure(response.read())).detail == "incomplete"
        await response.close()


async def test_a_body_that_ends_with_its_connection_has_no_announced_end(fast):
    with serve(Answer(GOOD, framing="close")) as server:
        assert await whole(fast, server.url) == BODY


async def test_a_closed_response_has_no_more_bytes(fast):
    with serve(Answer(GOOD)) as server:
        response = await fast.open(to(server.url))
        for _ in range(2):
            await response.close()
            assert await response.read() == b""
    assert free(fast)


async def test_a_connection_that_is_reset(fast):
    with serve(Answer([GOOD[0], "reset"])) as server:
        found = await failure(whole(fast, server.url))
        assert (found.kind, found.detail) == ("connection", "reset")


async def test_leaving_before_the_headers_closes_the_connection(fast):
    with serve(raw("hang")) as server:
        with anyio.move_on_after(0.02) as scope:
            await fast.open(to(server.url))
        assert scope.cancelled_caught
        assert await anyio.to_thread.run_sync(all_closed, server)
    assert free(fast)


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: "]
)
async def test_headers_and_trailers_without_an_end_are_not_read_for_ever(fast, start):
    with serve(raw(start, Endless(b"x" * 1000))) as server:
        found = await failure(whole(fast, server.url))
        assert (found.kind, found.detail) == ("protocol", "http")
        assert await anyio.to_thread.run_sync(all_closed, server)


async def test_a_slow_reader_slows_the_sender(fast):
    with serve(Answer([Endless(b"x" * 1000)])) as server:
        response = await fast.open(to(server.url))
        connection = response._connection
        await until(lambda: connection._paused)
        held = sum(map(len, connection.pieces))
        await anyio.sleep(0.02)
        assert sum(map(len, connection.pieces)) == held < connections.HELD_BYTES + 256 * 1024
        assert len(await response.read()) == held
        assert await response.read()
        await response.close()


async def test_a_read_that_was_cancelled_loses_nothing(fast):
    with serve(Answer([GOOD[0], Endless(b"x", 0.02)])) as server:
        response = await fast.open(to(server.url))
        assert await response.read() == GOOD[0]
        with anyio.move_on_after(0.001) as scope:
            await response.read()
        assert scope.cancelled_caught
        await until(lambda: response._connection.pieces)
        assert (await response.read())[:1] == b"x"
        await response.close()


# --- connections


async def test_an_answer_that_came_whole_leaves_its_connection_to_the_next_before_it_is_read_to_its_end(fast):
    with serve(raw(COUNTED, "hang")) as server:
        response = await fast.open(to(server.url))
        assert await response.read() == BODY
        await response.close()
        assert fast._lane.get()._pool.take(written(to(server.url))[0]) is not None


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 408 Too Late\r\n\r\n",
    ],
    ids=["close", "1.0", "surplus"],
)
async def test_a_connection_that_cannot_take_another_request_is_closed(fast, head):
    with serve(raw(head, "hang")) as server:
        assert await whole(fast, server.url) == b"hi"
        assert await anyio.to_thread.run_sync(all_closed, server)


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again(fast):
    with serve(raw(COUNTED)) as server:
        for _ in range(3):
            assert await whole(fast, server.url) == BODY
            await until(lambda: not fast._lane.get()._pool._all)
        assert server.connections == 3


async def test_a_connection_that_is_about_to_close_is_not_used_again(fast):
    with serve(Answer(GOOD)) as server:
        assert await whole(fast, server.url) == BODY
        pool = fast._lane.get()._pool
        (connection,) = pool._all
        connection._transport.abort()
        assert pool.take(written(to(server.url))[0]) is None


async def test_an_unused_connection_is_closed_after_a_while(fast, monkeypatch):
    monkeypatch.setattr(connections, "KEEP_SECONDS", 0.01)
    with serve(Answer(GOOD)) as server:
        assert await whole(fast, server.url) == BODY
        assert await anyio.to_thread.run_sync(all_closed, server)


async def test_closing_the_transport_closes_what_is_open():
    with serve(Answer([GOOD[0], "hang"])) as server:
        async with sc.Fast() as transport:
            response = await transport.open(to(server.url))
            assert await response.read() == GOOD[0]
        assert await anyio.to_thread.run_sync(all_closed, server)
        assert (await failure(response.read())).detail == "incomplete"
        await response.close()


async def test_a_transport_that_was_not_used_has_nothing_to_close():
    async with sc.Fast():
        pass


def test_one_transport_serves_one_event_loop_after_another():
    transport = sc.Fast()
    with serve(Answer(GOOD)) as server:

        async def once():
            async with transport:
                assert await whole(transport, server.url) == BODY
                return type(transport._lane.get())

        kinds = [anyio.run(once, backend=backend) for backend in ("asyncio", "trio", "asyncio")]
        assert server.connections == 3
    assert kinds[0] is kinds[2] is not kinds[1] is HTTPX


# --- making a connection


def forever(*_, **__):
    return asyncio.get_running_loop().create_future()


async def test_a_name_that_is_not_found_in_time(fast, monkeypatch):
    await failure(fast.open(to("http://127.0.0.1:9")))
    monkeypatch.setattr(fast._lane.get(), "_loop", type("Loop", (), {"getaddrinfo": forever}))
    found = await failure(fast.open(to("http://h"), connect=0.01))
    assert (found.kind, found.detail) == ("timeout", "connect")
    assert free(fast)


async def test_an_address_that_does_not_answer_in_time(fast):
    fast._dial = forever
    found = await failure(fast.open(to("http://127.0.0.1"), connect=0.01))
    assert (found.kind, found.detail, found.message) == ("timeout", "connect", "no connection was made within 0.01 s")
    assert free(fast)


async def test_an_address_that_cannot_be_reached(fast):
    async def dial(*_, **__):
        raise OSError("no route")

    fast._dial = dial
    found = await failure(fast.open(to("http://127.0.0.1")))
    assert (found.kind, found.detail, found.retryable) == ("connection", "unreachable", True)


@pytest.mark.parametrize(("url", "detail"), [("http://127.0.0.1:9", "refused"), ("http://name.invalid", "dns")])
async def test_an_address_where_nobody_listens(fast, url, detail):
    found = await failure(fast.open(to(url)))
    assert (found.kind, found.detail, found.retryable) == ("connection", detail, True)


async def test_a_connection_that_is_closed_as_soon_as_it_is_made(fast, monkeypatch):
    monkeypatch.setattr(connections.Connection, "closing", True)
    with serve(Answer(GOOD)) as server:
        found = await failure(fast.open(to(server.url)))
        assert (found.kind, found.detail) == ("connection", "closed")
        monkeypatch.undo()
    assert free(fast)


async def test_a_cancellation_that_dialling_swallows_counts(fast):
    dial = fast._dial

    async def swallow(*args, **options):
        sock = await dial(*args, **options)
        asyncio.current_task().cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        return sock

    fast._dial = swallow
    with serve(Answer(GOOD)) as server:
        task = asyncio.create_task(fast.open(to(server.url)))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await anyio.to_thread.run_sync(all_closed, server)
    assert free(fast)


class Silent:
    """A server that accepts and says nothing; `left` when a client has."""

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.greeted, self.left = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.listen)
        self.thread.start()
        return self

    def listen(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.hear, args=(self.listener.accept()[0],), daemon=True).start()

    def hear(self, client):
        with client, contextlib.suppress(OSError):
            client.settimeout(30)
            while client.recv(65536):
                self.greeted.set()
        self.left.set()

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()

    @property
    def url(self):
        return f"https://127.0.0.1:{self.listener.getsockname()[1]}"


async def test_a_deadline_to_connect_holds_for_tls_and_closes_the_socket(fast):
    with Silent() as server:
        found = await failure(fast.open(to(server.url), connect=0.1))
        assert (found.kind, found.detail) == ("timeout", "connect")
        assert await anyio.to_thread.run_sync(server.left.wait, 30)
    assert free(fast)


@pytest.mark.parametrize("cancels", [1, 2, 5])
async def test_native_cancellation_during_tls_however_often_closes_the_socket(fast, cancels):
    with Silent() as server:
        task = asyncio.create_task(fast.open(to(server.url)))
        assert await anyio.to_thread.run_sync(server.greeted.wait, 30)
        for _ in range(cancels):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await anyio.to_thread.run_sync(server.left.wait, 30)
    assert free(fast)


async def talk(stream):
    """One side of a conversation over TLS: the answer, twice on one connection."""
    async with stream:
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            while await stream.receive():
                await stream.send(COUNTED)


async def test_tls_with_a_certificate_that_is_trusted(fast, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(PEM))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(PEM)
    accepted = 0

    async def serve_one(stream):
        nonlocal accepted
        accepted += 1
        await talk(stream)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(TLSListener(listener, tls, standard_compatible=False).serve, serve_one)
        url = f"https://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        assert [await whole(fast, url), await whole(fast, url)] == [BODY, BODY]
        assert accepted == 1
        await fast.aclose()
        assert await whole(fast, url) == BODY
        group.cancel_scope.cancel()


async def test_a_certificate_that_nobody_signed_is_refused_for_good(fast):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(PEM)
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(TLSListener(listener, tls, standard_compatible=False).serve, talk)
        found = await failure(fast.open(to(f"https://127.0.0.1:{listener.extra(SocketAttribute.local_port)}")))
        group.cancel_scope.cancel()
    assert (found.kind, found.detail, found.retryable) == ("connection", "tls", False)
    assert "certificate" in found.message


# --- silence


@pytest.mark.parametrize(
    ("answer", "clock"), [(raw("hang"), "first_token"), (Answer([GOOD[0], "hang"]), "idle")], ids=["head", "body"]
)
async def test_a_server_that_falls_silent_is_given_up(fast, monkeypatch, answer, clock):
    monkeypatch.setattr(connections, "READ_SECONDS", 0.05)
    with serve(answer) as server:
        found = await failure(whole(fast, server.url))
        assert (found.kind, found.detail, found.message) == ("timeout", clock, "the server was silent for 0.05 s")
        assert await anyio.to_thread.run_sync(all_closed, server)
    assert free(fast)


async def test_a_server_is_not_silent_while_nobody_listens(fast, monkeypatch):
    monkeypatch.setattr(connections, "READ_SECONDS", 0.01)
    with serve(Answer(GOOD)) as server:
        response = await fast.open(to(server.url))
        await anyio.sleep(0.1)
        assert await response.read() == BODY
        await response.close()


async def test_a_byte_that_came_just_in_time_counts(fast):
    with serve(Answer([GOOD[0], "hang"])) as server:
        response = await fast.open(to(server.url))
        response._connection._give_up()
        assert await response.read() == GOOD[0]
        await response.close()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # uvloop is not made to be left from within `connection_made`
async def test_a_server_that_closes_before_anything_is_sent_is_not_waited_for(fast, monkeypatch):
    made = connections.Connection.connection_made

    def closed(self, transport):
        made(self, transport)
        transport.abort()

    monkeypatch.setattr(connections.Connection, "connection_made", closed)
    with serve(Answer(GOOD)) as server:
        found = await failure(fast.open(to(server.url)))
    assert (found.kind, found.detail) == ("connection", "closed")


# --- the extra


@pytest.mark.parametrize("missing", ["httptools", "aiohappyeyeballs"])
def test_without_the_extra_it_says_how_to_get_it(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(sc.LocalError, match=r"pip install 'streamcore\[fast\]'"):
        sc.Fast()


def test_nothing_of_it_is_loaded_before_it_is_asked_for():
    code = "import sys, streamcore.endpoint, streamcore.fast; sys.exit('httptools' in sys.modules or 'httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
