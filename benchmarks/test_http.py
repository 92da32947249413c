"""Clients over real HTTP/1.1 on the loopback: processor time of this process alone, the server being another."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import httpx
import httpx2
import pytest

import streamcore as sc

from .contenders import by_hand, check, drop, raw, sdk, streamcore
from .transcripts import transcript

pytestmark = pytest.mark.benchmark(group="http", timer=time.process_time)

WIRE = "openai_chat"


@pytest.fixture(scope="module")
def url():
    command = [sys.executable, "-m", "benchmarks.loopback", WIRE]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        server.stdin.close()


@pytest.fixture
def client(run):
    """Makes clients of a library, and closes them."""
    clients = []

    def make(library):
        clients.append(library.AsyncClient(timeout=30))
        return clients[-1]

    yield make
    for made in clients:
        run(made.aclose())


@pytest.mark.parametrize("library", [httpx, httpx2], ids=lambda library: library.__name__)
def test_event(race, run, client, url, library):
    answer = transcript(WIRE)
    name = library.__name__
    clients = {
        f"streamcore on {name}": streamcore(WIRE, client(library), url),
        f"{name} alone, nothing parsed": raw(client(library), url),
        f"{name} + httpx-sse + json": by_hand(client(library), url),
    }
    if library is httpx2:
        clients["openai"] = sdk(WIRE, client(library), url)
    for reader, read in clients.items():
        if "alone" not in reader:
            check(answer, lambda keep, read=read: run(read(keep)))
    race(
        "over HTTP, processor time",
        {reader: lambda read=read: run(read(drop)) for reader, read in clients.items()},
        at_most={f"{name} alone, nothing parsed": 1.3},
        at_least={"openai": 10},
        count=len(answer.events),
    )


@pytest.fixture
def fast(run):
    transport = sc.Fast()
    yield transport
    run(transport.aclose())


def test_event_over_the_fast_transport(race, run, client, fast, url):
    answer = transcript(WIRE)
    clients = {
        "streamcore on fast": streamcore(WIRE, fast, url),
        "streamcore on httpx2": streamcore(WIRE, client(httpx2), url),
        "httpx2 alone, nothing parsed": raw(client(httpx2), url),
        "openai": sdk(WIRE, client(httpx2), url),
    }
    for reader, read in clients.items():
        if "alone" not in reader:
            check(answer, lambda keep, read=read: run(read(keep)))
    race(
        "over HTTP, processor time",
        {reader: lambda read=read: run(read(drop)) for reader, read in clients.items()},
        at_least={"streamcore on httpx2": 4, "openai": 40},
        count=len(answer.events),
    )
