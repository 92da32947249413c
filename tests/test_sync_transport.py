"""The blocking transport over real sockets, with both HTTP libraries."""

from __future__ import annotations

import gc
import os
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import suppress

import httpx
import httpx2
import pytest
from tiny import TINY, say

import streamcore as sc
import streamcore.body
from streamcore import sync
from streamcore.sync import transport as module
from streamcore.sync.alarms import ThreadWait
from streamcore.testing import Answer, Pause, serve

GOOD = say("Hel", "lo")


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def transport(request):
    with request.param.Client(trust_env=False) as client:
        yield sync.HTTPX(client)


def at(server, transport, **options):
    return sc.Endpoint(TINY, "m", url=server.url, transport=transport, key="k", **options)


def failure(model, **deadlines):
    stream = sync.stream(model, "hi").within(**deadlines)
    with pytest.raises(sc.StreamFailed) as caught, stream:
        stream.collect()
    assert stream.outcome == caught.value.failure
    return caught.value.failure


def free(transport):
    return transport._lane().slots.free == transport._concurrency


def test_what_is_sent(transport):
    with serve(Answer(GOOD)) as server:
        assert list(sync.text(at(server, transport, headers={"X-Team": "blue"}), "hi")) == ["Hel", "lo"]
        (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/answer")
    assert request.headers["accept-encoding"] == "identity"
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
        (Answer(status=307, headers={"location": "http://elsewhere.invalid/"}), "protocol", "redirect"),
        (Answer([b"\x1f\x8b"], headers={"content-encoding": "gzip"}), "protocol", "content_encoding"),
        (Answer([b"<html>"], headers={"content-type": "text/html"}), "protocol", "content_type"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_faults_of_the_wire(transport, answer, kind, detail):
    with serve(answer) as server:
        found = failure(at(server, transport))
        assert (found.kind, found.detail) == (kind, detail)
        assert free(transport)
        assert len(server.requests) == 1


@pytest.mark.parametrize(("url", "detail"), [("http://127.0.0.1:9", "refused"), ("http://name.invalid", "dns")])
def test_a_connection_that_cannot_be_made(transport, url, detail):
    found = failure(sc.Endpoint(TINY, "m", url=url, transport=transport))
    assert (found.kind, found.detail) == ("connection", detail)
    assert free(transport)


def test_a_connection_that_takes_too_long(transport, monkeypatch):
    def connect(address, timeout, **_):
        raise TimeoutError(timeout)

    monkeypatch.setattr("socket.create_connection", connect)
    found = failure(sc.Endpoint(TINY, "m", url="http://127.0.0.1:9", transport=transport), connect=0.05)
    assert (found.kind, found.detail) == ("timeout", "connect")
    assert free(transport)


def test_the_time_to_connect_is_for_tls_as_well(transport):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        found = failure(sc.Endpoint(TINY, "m", url=url, transport=transport), connect=0.05)
    assert (found.kind, found.detail, found.message) == ("timeout", "connect", "no connection was made within 0.05 s")
    assert free(transport)


def test_another_thread_can_cancel_while_tls_is_agreed_on(transport):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        stream = sync.stream(sc.Endpoint(TINY, "m", url=url, transport=transport), "hi")

        def stop():
            with silent.accept()[0] as connection:
                connection.recv(1)
                stream.cancel()

        stopper = threading.Thread(target=stop)
        stopper.start()
        with pytest.raises(sc.StreamFailed), stream:
            pass
        stopper.join()
    assert stream.outcome.detail == "cancel"
    assert free(transport)


LOCALHOST = """
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgqGZekvXe3SoyPQPK
9dE83d09LouJo0VLAPZmFwHprfShRANCAAR3RWcUKPB1D5qOks+m8tgZZbiyeSMF
asbCNViecoMLNk6ZpJESCLjjhrhZGxvybsnsqbgf5oTR3OdnqF/ojb8+
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBFjCBvaADAgECAgEBMAoGCCqGSM49BAMCMBQxEjAQBgNVBAMMCWxvY2FsaG9z
dDAgFw0yNTAxMDEwMDAwMDBaGA8yMTI0MTIwODAwMDAwMFowFDESMBAGA1UEAwwJ
bG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEd0VnFCjwdQ+ajpLP
pvLYGWW4snkjBWrGwjVYnnKDCzZOmaSREgi444a4WRsb8m7J7Km4H+aE0dznZ6hf
6I2/PjAKBggqhkjOPQQDAgNIADBFAiArR2ULfhRGpJ0KubEHX57xuK0z01EBuNzn
PFB2qBX1CgIhAN/izzN9g1Gkf9EcrMR3u2VTd0s32RzJAjBogAXQav2r
-----END CERTIFICATE-----
"""  # a key for nothing but the next test


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_over_tls_a_reader_is_woken_and_the_connection_closed(library, tmp_path):
    (tmp_path / "localhost.pem").write_text(LOCALHOST)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "localhost.pem")
    left = []

    def answer(listener):
        with context.wrap_socket(listener.accept()[0], server_side=True) as connection:
            received = b""
            while not received.endswith(b"}"):
                received += connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + GOOD[0])
            with suppress(OSError):
                left.append(connection.recv(1))

    with library.Client(trust_env=False, verify=False) as client, socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        for end, detail in ((lambda stream: stream.within(idle=0.2), "idle"), (lambda stream: stream, "cancel")):
            server = threading.Thread(target=answer, args=[listener])
            server.start()
            with end(sync.stream(sc.Endpoint(TINY, "m", url=url, transport=sync.HTTPX(client)), "hi")) as stream:
                assert stream.read()[1:] == [sc.TextDelta(0, "Hel")]
                if detail == "cancel":
                    threading.Thread(target=stream.cancel).start()
                with pytest.raises(sc.StreamFailed, match=detail):
                    stream.read()
            server.join()
    assert left == [b"", b""]


def test_a_clients_own_timeout_is_kept_where_no_deadline_is_shorter():
    with httpx.Client(trust_env=False, timeout=0.05) as client, serve(Answer([GOOD[0], "hang"])) as server:
        found = failure(at(server, sync.HTTPX(client)), idle=60)
        assert (found.kind, found.detail, found.message) == ("timeout", "idle", "ReadTimeout of the HTTP client")


def test_a_client_without_timeouts_has_those_of_the_deadlines(transport):
    transport._client.timeout = None
    with serve(Answer(["hang"], framing="raw")) as server:
        assert failure(at(server, transport), total=0.05).detail == "total"


def test_an_exception_that_is_not_the_networks_is_not_hidden():
    def broken(request):
        raise ZeroDivisionError

    class Broken(httpx.SyncByteStream):
        def __iter__(self):
            yield GOOD[0]
            raise ZeroDivisionError

    for handler in (broken, lambda request: httpx.Response(200, stream=Broken())):
        with httpx.Client(transport=httpx.MockTransport(handler)) as client:
            transport = sync.HTTPX(client)
            with pytest.raises(ZeroDivisionError), sync.stream(sc.Endpoint(TINY, "m", transport=transport), "hi") as it:
                it.collect()
            assert free(transport)


def test_at_most_so_many_streams_are_open_and_the_rest_wait_in_order():
    order, transport = [], sync.HTTPX(concurrency=1)

    def ask(number):
        with sync.stream(model, "hi") as stream:
            order.append(number)
            stream.collect()

    with serve(Answer(GOOD)) as server:
        model = at(server, transport)
        threads = [threading.Thread(target=ask, args=[number]) for number in range(5)]
        with sync.stream(model, "hi"):
            for number, thread in enumerate(threads, 1):
                thread.start()
                while len(transport._lane().slots._queue) < number:
                    pass
        for thread in threads:
            thread.join()
    assert order == [0, 1, 2, 3, 4]
    assert free(transport)


def test_who_waits_for_a_turn_can_be_cancelled_and_runs_into_deadlines():
    transport = sync.HTTPX(concurrency=1)
    with serve(Answer(GOOD)) as server, sync.stream(at(server, transport), "hi"):
        assert failure(at(server, transport), total=0.05).detail == "total"
        stream = sync.stream(at(server, transport), "hi")

        def stop():
            while not transport._lane().slots._queue:
                pass
            stream.cancel()

        stopper = threading.Thread(target=stop)
        stopper.start()
        with pytest.raises(sc.StreamFailed), stream:
            pass
        stopper.join()
        assert stream.outcome.detail == "cancel"
        assert len(server.requests) == 1
    assert free(transport)


@pytest.mark.parametrize("granted", [False, True])
def test_an_interrupt_while_waiting_for_a_turn_gives_it_up(granted):
    slots, wait = module._Slots(1), ThreadWait()
    slots.take(wait)

    def interrupted(stop):
        if granted:
            slots.give_back()
        raise KeyboardInterrupt

    wait.hold = interrupted
    with pytest.raises(KeyboardInterrupt):
        slots.take(wait)
    assert (slots.free, list(slots._queue)) == (granted, [])


def test_a_client_of_its_own_is_httpx2_where_it_is_installed_and_is_closed():
    with serve(Answer(GOOD)) as server, sync.HTTPX() as transport:
        list(sync.text(at(server, transport), "hi"))
        assert type(transport._lane().client) is httpx2.Client
        transport.close()
        assert server.wait_for(lambda: server.open_connections == 0)


def test_a_client_that_was_given_stays_open(transport):
    with serve(Answer(GOOD)) as server:
        with transport:
            list(sync.text(at(server, transport), "hi"))
        assert not transport._client.is_closed


def test_an_endpoint_that_is_dropped_closes_its_connections():
    with serve(Answer(GOOD)) as server:
        assert list(sync.text(sc.Endpoint(TINY, "m", url=server.url), "hi")) == ["Hel", "lo"]
        gc.collect()
        assert server.wait_for(lambda: server.open_connections == 0)


def test_another_process_gets_another_client(monkeypatch):
    transport = sync.HTTPX()
    first = transport._lane()
    assert transport._lane() is first
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert transport._lane() is not first


def test_a_client_is_made_once_however_many_threads_want_it(monkeypatch):
    transport = sync.HTTPX()
    made = transport._lane()
    transport._made = None

    class Lock:
        def __enter__(self):
            transport._made = made  # by another thread, while this one waited for the lock

        def __exit__(self, *_):
            pass

    transport._lock = Lock()
    assert transport._lane() is made


def test_closing_a_response_twice_frees_its_slot_once(transport):
    with serve(Answer(GOOD)) as server, sync.stream(at(server, transport), "hi") as stream:
        response = stream._stream._upstream._response
        for _ in range(2):
            stream._driver.run(response.close)
    assert free(transport)


@pytest.mark.parametrize("after", ["hang", Pause(30)])
def test_what_follows_the_last_event_is_bounded_in_time(transport, monkeypatch, after):
    monkeypatch.setattr(streamcore.body, "DRAIN_SECONDS", 0.05)
    with serve(Answer([*GOOD, after])) as server:
        with sync.stream(at(server, transport), "hi") as stream:
            assert stream.collect().text == "Hello"
        assert stream.outcome == sc.Finish("stop", "done")
        assert server.wait_for(lambda: server.open_connections == 0)


def test_the_body_of_an_error_is_bounded_in_time(transport, monkeypatch):
    monkeypatch.setattr(streamcore.body, "ERROR_SECONDS", 0.05)
    answer = Answer([b'{"error":{"message":"no"', "hang"], status=401)
    with serve(answer) as server:
        assert failure(at(server, transport)).kind == "auth"


def test_a_connection_that_is_closed_already_is_not_shut(transport):
    with serve(Answer([GOOD[0], "hang"])) as server, sync.stream(at(server, transport), "hi") as stream:
        stream._stream._upstream._response._network.close()
        stream.cancel()
    assert stream.outcome.detail == "cancel"


def test_a_client_whose_connections_are_not_shown_is_closed_as_it_can():
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=b"".join(GOOD)))) as client:
        transport = sync.HTTPX(client)
        with sync.stream(sc.Endpoint(TINY, "m", transport=transport), "hi") as stream:
            assert stream.read()[0] == sc.Start()
            stream.cancel()
        assert free(transport)


def test_importing_it_loads_no_http_client():
    code = "import sys, streamcore.sync; print([name for name in ('httpx', 'httpx2', 'ijson') if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
