"""Clients over real HTTP/1.1 on the loopback: processor time of this process alone, the server being another."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import httpx
import httpx2
import pytest

from .contenders import by_hand, check, drop, raw, sdk, streamcore
from .transcripts import transcript

pytestmark = pytest.mark.benchmark(group="http", timer=time.process_time)

WIRE = "openai_chat"


@pytest.fixture(scope="module")
def url():
    command = [sys.executable, Path(__file__).with_name("loopback.py"), WIRE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
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
