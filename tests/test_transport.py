"""Real sockets on loopback: every transport, every event loop, every way a connection can go wrong or be left."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import anyio
import httpx
import httpx2
import pytest
from tiny import TINY, say

import streamcore as sc
from streamcore.fast import Fast
from streamcore.testing import Answer, serve, virtual_time
from streamcore.transport import HTTPX, Source

# httpx and httpcore read a body through nested generators and do not close the inner ones; trio says so.
NESTED = r"ignore:Async generator '(httpx|httpcore)2?\.:ResourceWarning"
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings(NESTED),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <async_generator:pytest.PytestUnraisableExceptionWarning"),
]

GOOD = say("Hel", "lo")
WORDS = ["Hel", "lo"]


@pytest.fixture(params=["asyncio", "trio", "uvloop"])
def anyio_backend(request):
    return ("asyncio", {"use_uvloop": True}) if request.param == "uvloop" else request.param


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
async def over_client(request):
    async with request.param.AsyncClient(trust_env=False) as client:
        yield HTTPX(client)


@pytest.fixture(params=[httpx, httpx2, None], ids=["httpx", "httpx2", "fast"])
async def transport(request):
    if request.param is None:
        async with Fast() as fast:
            yield fast
    else:
        async with request.param.AsyncClient(trust_env=False) as client:
            yield HTTPX(client)


def at(server, transport, **options):
    return sc.Endpoint(TINY, "m", url=server.url, transport=transport, key="k", **options)


async def words(endpoint):
    async with endpoint.stream("hi") as stream:
        return [piece async for piece in stream.text()]


async def failure(endpoint):
    stream = endpoint.stream("hi")
    with pytest.raises(sc.StreamFailed) as caught:
        async with stream:
            await stream.collect()
    assert stream.outcome == caught.value.failure
    return caught.value.failure


def free(transport):
    lane = transport._lane.get()
    return free(lane) if isinstance(lane, HTTPX) else lane.slots.value == transport._concurrency


def all_closed(server):
    return server.wait_for(lambda: server.open_connections == 0)


async def test_an_answer_arrives_and_the_connection_is_used_again(transport):
    with serve(Answer(GOOD)) as server:
        for _ in range(4):
            assert await words(at(server, transport)) == WORDS
        assert server.connections == 1
    assert free(transport)


async def test_what_is_sent(transport):
    with serve(Answer(GOOD)) as server:
        await words(at(server, transport, headers={"X-Team": "blue"}))
        (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/answer")
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["authorization"] == "Bearer k"
    assert request.headers["x-team"] == "blue"
    assert b'"hi"' in request.body


@pytest.mark.parametrize(
    ("answer", "kind", "detail"),
    [
        (Answer([GOOD[0], "reset"]), "connection", "reset"),
        (Answer(["reset"], framing="raw"), "connection", "reset"),
        (Answer(framing="raw"), "connection", "closed"),
        (Answer([GOOD[0], "close"]), "truncated", "incomplete"),
        (Answer(GOOD[:1]), "truncated", None),
        (Answer(GOOD[:1], framing="close"), "truncated", None),
        (Answer([b"nonsense\r\n\r\n"], framing="raw"), "protocol", "http"),
        (
            Answer([b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n", "close"], framing="raw"),
            "protocol",
            "http",
        ),
        (Answer(status=307, headers={"location": "http://elsewhere.invalid/"}), "protocol", "redirect"),
        (Answer([b"\x1f\x8b"], headers={"content-encoding": "gzip"}), "protocol", "content_encoding"),
        (Answer([b"<html>"], headers={"content-type": "text/html"}), "protocol", "content_type"),
        (Answer([b"<html>"], headers={"content-type": "text/plain"}), "protocol", "content_type"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_faults_of_the_wire(transport, answer, kind, detail):
    with serve(answer) as server:
        found = await failure(at(server, transport))
        assert (found.kind, found.detail) == (kind, detail)
        assert free(transport)
        assert len(server.requests) == 1


async def test_a_redirect_is_not_followed_even_by_a_client_that_would(over_client):
    over_client._client.follow_redirects = True
    with serve(Answer(GOOD)) as other, serve(Answer(status=307, headers={"location": other.url})) as server:
        assert (await failure(at(server, over_client))).detail == "redirect"
        assert other.requests == []


@pytest.mark.parametrize(
    ("url", "detail", "retryable"),
    [
        ("http://127.0.0.1:9", "refused", True),
        ("http://name.invalid", "dns", True),
    ],
)
async def test_a_connection_that_cannot_be_made(transport, url, detail, retryable):
    found = await failure(sc.Endpoint(TINY, "m", url=url, transport=transport))
    assert (found.kind, found.detail, found.retryable) == ("connection", detail, retryable)


async def test_tls_to_a_server_that_does_not_speak_it_is_not_retried(transport):
    async def answer(stream):
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 400 this is no TLS\r\n\r\n")

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, answer)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        found = await failure(sc.Endpoint(TINY, "m", url=f"https://127.0.0.1:{port}", transport=transport))
        group.cancel_scope.cancel()
    assert (found.kind, found.detail, found.retryable) == ("connection", "tls", False)


async def test_an_address_that_is_none_is_the_callers_mistake(transport):
    found = await failure(sc.Endpoint(TINY, "m", url="ftp://127.0.0.1", transport=transport))
    assert (found.kind, found.detail) == ("invalid", "http")


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize(
    ("answer", "detail"), [(Answer(["hang"], framing="raw"), "first_token"), (Answer([GOOD[0], "hang"]), "idle")]
)
async def test_a_clients_own_timeout_says_which_clock_it_was(library, answer, detail):
    async with library.AsyncClient(trust_env=False, timeout=0.05) as client:
        with serve(answer) as server:
            found = await failure(at(server, HTTPX(client)))
            assert (found.kind, found.detail) == ("timeout", detail)
            assert all_closed(server)


@pytest.mark.parametrize(
    ("error", "kind", "detail"),
    [
        (httpx2.ConnectError("no route"), "connection", "unreachable"),
        (httpx2.ProxyError("no proxy"), "connection", "unreachable"),
        (httpx2.ConnectTimeout("late"), "timeout", "connect"),
        (httpx2.WriteError("gone"), "connection", "reset"),
        (OSError("gone"), "connection", "reset"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_the_clients_exceptions_mean(error, kind, detail):
    def broken(request):
        raise error

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(broken)) as client:
        found = await failure(sc.Endpoint(TINY, "m", transport=HTTPX(client)))
    assert (found.kind, found.detail) == (kind, detail)


async def test_causes_are_found_inside_groups():
    def broken(request):
        raise httpx2.ConnectError("all attempts failed") from ExceptionGroup(
            "both", [OSError("v6"), ConnectionRefusedError()]
        )

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(broken)) as client:
        found = await failure(sc.Endpoint(TINY, "m", transport=HTTPX(client)))
    assert found.detail == "refused"


async def test_an_exception_that_is_not_the_networks_is_not_hidden():
    def broken(request):
        raise KeyError("a bug")

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(broken)) as client:
        transport = HTTPX(client)
        with pytest.raises(KeyError, match="a bug"):
            await words(sc.Endpoint(TINY, "m", transport=transport))
        assert free(transport)


async def test_an_exception_of_the_body_that_is_not_the_networks_is_not_hidden():
    class Body(httpx2.AsyncByteStream):
        async def __aiter__(self):
            yield GOOD[0]
            raise KeyError("a bug")

    def answer(request):
        return httpx2.Response(200, stream=Body())

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        transport = HTTPX(client)
        stream = sc.Endpoint(TINY, "m", transport=transport).stream("hi")
        with pytest.raises(KeyError, match="a bug"):
            async with stream:
                await stream.collect()
        assert free(transport)


ENDLESS = Answer([GOOD[0], "hang"])


async def leave_by_break(stream):
    async with stream:
        async for _ in stream:
            break


async def leave_by_exception(stream):
    with pytest.raises(ValueError, match="mine"):
        async with stream:
            async for _ in stream:
                raise ValueError("mine")


async def leave_by_timeout(stream):
    with pytest.raises(TimeoutError):
        with anyio.fail_after(0.05):
            async with stream:
                await stream.collect()


async def leave_by_scope(stream):
    async with anyio.create_task_group() as group:

        async def run():
            async with stream:
                await stream.collect()

        group.start_soon(run)
        await anyio.wait_all_tasks_blocked()
        await anyio.sleep(0.05)
        group.cancel_scope.cancel()


@pytest.mark.parametrize("leave", [leave_by_break, leave_by_exception, leave_by_timeout, leave_by_scope])
async def test_leaving_closes_the_socket_and_frees_the_slot(transport, leave):
    with serve(ENDLESS) as server:
        stream = at(server, transport).stream("hi")
        await leave(stream)
        assert stream.outcome.kind == "cancelled"
        assert await anyio.to_thread.run_sync(all_closed, server)
        assert free(transport)


@pytest.mark.parametrize("leave", [leave_by_timeout, leave_by_scope])
async def test_leaving_before_the_headers_closes_the_socket_and_frees_the_slot(transport, leave):
    with serve(Answer(["hang"], framing="raw")) as server:
        stream = at(server, transport).stream("hi")
        await leave(stream)
        assert (stream.outcome.kind, stream.outcome.detail) == ("cancelled", "task")
        assert await anyio.to_thread.run_sync(all_closed, server)
        assert free(transport)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "uvloop"], indirect=True)
@pytest.mark.parametrize("cancels", [1, 2, 3, 5])
@pytest.mark.parametrize("answer", [ENDLESS, Answer(["hang"], framing="raw")], ids=["body", "headers"])
async def test_native_cancellation_however_often_closes_the_socket(transport, answer, cancels):
    with serve(answer) as server:
        stream = at(server, transport).stream("hi")

        async def run():
            async with stream:
                await stream.collect()

        task = asyncio.create_task(run())
        assert await anyio.to_thread.run_sync(server.wait_for, lambda: server.requests != [])
        for _ in range(cancels):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stream.outcome.kind == "cancelled"
        assert await anyio.to_thread.run_sync(all_closed, server)
        assert free(transport)


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_at_most_so_many_streams_are_open_and_the_rest_wait_in_order(concurrency):
    order, open_now, most, gate = [], 0, 0, anyio.Event()
    async with httpx2.AsyncClient(trust_env=False) as client:
        transport = HTTPX(client, concurrency=concurrency)
        with serve(Answer(GOOD)) as server:

            async def run(number):
                nonlocal open_now, most
                async with at(server, transport).stream("hi") as stream:
                    order.append(number)
                    open_now += 1
                    most = max(most, open_now)
                    await gate.wait()
                    await stream.collect()
                    open_now -= 1

            async with anyio.create_task_group() as group:
                for number in range(6):
                    group.start_soon(run, number)
                    while open_now < min(number + 1, concurrency):
                        await anyio.sleep(0.001)
                    await anyio.wait_all_tasks_blocked()
                gate.set()
    assert most == concurrency
    assert sorted(order) == list(range(6))
    assert concurrency > 1 or order == sorted(order)


async def test_a_client_of_its_own_is_httpx2_where_it_is_installed_and_is_closed():
    with serve(Answer(GOOD)) as server:
        async with HTTPX() as transport:
            assert await words(at(server, transport)) == WORDS
            client = transport._lane.get().client
            assert isinstance(client, httpx2.AsyncClient)
        assert client.is_closed


async def test_a_client_of_its_own_is_httpx_where_httpx2_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with serve(Answer(GOOD)) as server:
        async with HTTPX() as transport:
            assert await words(at(server, transport)) == WORDS
            assert isinstance(transport._lane.get().client, httpx.AsyncClient)


async def test_a_client_that_was_given_stays_open(over_client):
    await over_client.aclose()
    with serve(Answer(GOOD)) as server:
        await words(at(server, over_client))
        await over_client.aclose()
        assert not over_client._client.is_closed


def test_an_endpoint_may_be_used_in_one_event_loop_after_another():
    with serve(Answer(GOOD)) as server:
        endpoint = sc.Endpoint(TINY, "m", url=server.url)

        async def once():
            async with endpoint:
                assert await words(endpoint) == WORDS

        for backend in ("asyncio", "trio", "asyncio"):
            anyio.run(once, backend=backend)
        assert server.connections == 3


async def test_closing_a_response_twice_frees_its_slot_once(transport):
    with serve(Answer(GOOD)) as server:
        response = await transport.open(TINY.encode(sc.prompt("hi"), at(server, transport)._target))
        await response.close()
        await response.close()
    assert free(transport)


async def test_a_source_is_a_response_of_status_200():
    async def nothing():
        return
        yield b""

    source = Source(nothing())
    assert (source.status, dict(source.headers), await source.read()) == (200, {}, b"")
    await source.close()


def test_importing_the_transport_loads_no_http_client():
    code = "import sys, streamcore.transport; sys.exit('httpx' in sys.modules or 'httpx2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_a_client_whose_connections_cannot_be_closed_by_hand_is_closed_as_it_can():
    """A mock transport has no network stream, a custom body no `aclose`."""

    class Pieces:
        def __init__(self):
            self.pieces = list(GOOD)

        def __aiter__(self):
            return self

        async def __anext__(self):
            return self.pieces.pop(0)

    class Body(httpx2.AsyncByteStream):
        def __aiter__(self):
            return Pieces()

    response = httpx2.Response(200, stream=Body())
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(lambda request: response)) as client:
        transport = HTTPX(client)
        async with sc.Endpoint(TINY, "m", transport=transport).stream("hi") as stream:
            assert await stream.read() == [sc.Start(), sc.TextDelta(0, "Hel")]
        assert free(transport)


# The seconds to connect


class Connecting(httpx2.AsyncBaseTransport):
    """A client's transport that tells of its steps as the real one does, and then never answers."""

    def __init__(self, *steps):
        self.steps = steps
        self.closed = 0

    async def handle_async_request(self, request):
        for step in self.steps:
            await anyio.sleep(4)
            await request.extensions["trace"](step, {"return_value": self})
        await anyio.sleep_forever()

    async def aclose(self):
        self.closed += 1


@pytest.mark.parametrize("anyio_backend", [virtual_time("asyncio"), virtual_time("trio")], ids=["asyncio", "trio"])
@pytest.mark.parametrize(
    ("steps", "seconds", "detail", "closed"),
    [
        (["connect_tcp.started"], 10, "connect", 0),
        (["connect_tcp.started", "connect_tcp.complete"], 10, "connect", 1),
        (["connect_tcp.started", "connect_tcp.started"], 10, "connect", 0),  # a client that tries again
        (["connect_tcp.started", "send_request_headers.started"], 50, "total", 0),
    ],
    ids=["never", "tls", "again", "connected"],
)
async def test_a_connection_has_so_many_seconds_to_be_made(anyio_backend, steps, seconds, detail, closed):
    client = Connecting(*(f"connection.{step}" for step in steps))
    transport = HTTPX(httpx2.AsyncClient(transport=client))
    start = anyio.current_time()
    stream = sc.Endpoint(TINY, "m", transport=transport).stream("hi").within(connect=6, total=50)
    with pytest.raises(sc.StreamFailed):
        await stream.__aenter__()
    assert (stream.outcome.kind, stream.outcome.detail, client.closed) == ("timeout", detail, closed)
    assert anyio.current_time() - start == pytest.approx(seconds)
    assert free(transport)
    await transport._client.aclose()


async def test_a_connection_that_is_made_in_time_is_used_again(transport):
    with serve(Answer(GOOD)) as server:
        async with at(server, transport).stream("hi").within(connect=30) as stream:
            assert (await stream.collect()).text == "Hello"
        assert await words(at(server, transport)) == WORDS
