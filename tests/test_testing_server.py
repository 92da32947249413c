"""The loopback server itself, spoken to over a plain socket."""

from __future__ import annotations

import http.client
import socket
import struct
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from streamcore.testing import Answer, Endless, Pause, serve


def ask(server, path="/", body=b""):
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    with closing(connection):
        connection.request("POST", path, body)
        with closing(connection.getresponse()) as response:
            return response, response.read()


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_a_body_arrives_however_it_is_framed(framing):
    with serve(Answer([b"a", b"", Pause(0), b"b"], framing=framing)) as server:
        response, data = ask(server)
    assert (response.status, response.getheader("content-type"), data) == (200, "text/event-stream", b"ab")


def test_a_script_may_look_at_the_request():
    with serve(lambda request: Answer([request.body, request.path.encode()], status=201)) as server:
        response, data = ask(server, "/path", b"body")
    assert (response.status, data) == (201, b"body/path")


def test_a_body_that_stops_too_early_is_seen_as_such():
    with serve(Answer([b"a", "close"])) as server, pytest.raises(http.client.IncompleteRead):
        ask(server)


def test_a_reset_is_a_reset():
    with serve(Answer([b"a", "reset"])) as server, pytest.raises(ConnectionResetError):
        ask(server)


@pytest.mark.parametrize("abruptly", [False, True])
@pytest.mark.parametrize("step", [Pause(60), "hang"], ids=["pause", "hang"])
def test_a_client_that_leaves_meanwhile_is_noticed(step, abruptly):
    with serve(Answer([b"a", step, b"b"], framing="raw")) as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert client.recv(1) == b"a"
            if abruptly:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert server.wait_for(lambda: server.open_connections == 0)


def test_a_client_that_resets_before_it_asks_is_forgotten():
    with serve(Answer()) as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port)) as client:
            assert server.wait_for(lambda: server.open_connections == 1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert server.wait_for(lambda: server.open_connections == 0)


def test_a_client_that_sends_more_during_a_pause_has_not_left():
    with serve(Answer([b"a", Pause(0.01), b"b"])) as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n")
            assert server.wait_for(lambda: len(server.requests) == 2)


def test_what_is_no_http_ends_the_connection():
    with serve(Answer()) as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port)) as client:
            client.sendall(b"hello\n")
            assert client.recv(1) == b""
        assert server.requests == []


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nab"])
def test_a_request_that_was_cut_off_is_none(sent):
    with serve(Answer()) as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port)) as client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        assert server.requests == []


def test_closing_the_server_ends_what_hangs():
    server = serve(Answer(["hang"], framing="raw"))
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert server.wait_for(lambda: server.requests != [])
        server.close()
        assert client.recv(1) == b""


@pytest.mark.parametrize("seconds", [0, 0.001])
@pytest.mark.parametrize(("framing", "piece"), [("raw", b"bc"), ("chunked", b"2\r\nbc\r\n")])
def test_what_is_endless_goes_on_until_the_client_leaves(framing, piece, seconds):
    with serve(Answer([Endless(b"bc", seconds), b"z"], framing=framing)) as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port)) as client, client.makefile("rb") as reading:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            while framing == "chunked" and reading.readline() != b"\r\n":
                pass
            assert reading.read(50 * len(piece)) == 50 * piece
        assert server.wait_for(lambda: server.open_connections == 0)


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_a_garbled_body_has_a_chunk_without_a_size_if_it_has_chunks(framing):
    with serve(Answer([b"a", "garble", b"b"], framing=framing)) as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port)) as client, client.makefile("rb") as reading:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            _, _, body = reading.read().partition(b"\r\n\r\n")
    assert body == (b"1\r\na\r\nno size\r\n" if framing == "chunked" else b"a")
