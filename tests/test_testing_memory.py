"""The transport in memory: alone, and beside a server that does the same over a socket."""

from __future__ import annotations

import anyio
import pytest
from msgspec import structs
from tiny import TINY, say

import streamcore as sc
from faults.roads import MARKS, Road
from streamcore.testing import FAULTS, Answer, Fault, FaultyTransport, Pause, virtual_time

pytestmark = MARKS

BODY = say("Hel", "lo")
AT = len(BODY[0])
REQUEST = TINY.encode(sc.prompt("hi"), sc.Endpoint(TINY, "m")._target)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return virtual_time(request.param)


def endpoint(*faults, answer=None):
    return sc.Endpoint(TINY, "m", transport=FaultyTransport(answer or Answer(BODY), *faults))


async def pieces(response):
    found = []
    while data := await response.read():
        found.append(data)
    return found


async def test_without_a_fault_it_gives_the_answer():
    transport = FaultyTransport(Answer([b"a", b"", Pause(5), b"b"], headers={"Content-Type": "x"}))
    response = await transport.open(REQUEST)
    assert (response.status, response.headers) == (200, {"content-type": "x"})
    begun = anyio.current_time()
    assert await pieces(response) == [b"a", b"b"]
    assert anyio.current_time() - begun == pytest.approx(5)


async def test_it_counts_what_is_open_and_what_was_sent():
    transport = FaultyTransport(Answer(BODY))
    response = await transport.open(REQUEST)
    assert (transport.open_responses, transport.requests) == (1, [REQUEST])
    await response.close()
    await response.close()
    assert transport.open_responses == 0


async def test_each_request_meets_its_fault_and_the_rest_the_last():
    transport = FaultyTransport(Answer(BODY), Fault("refused"), Fault("end"), None)
    outcomes = []
    for _ in range(4):
        stream = sc.Endpoint(TINY, "m", transport=transport).stream("hi")
        try:
            async with stream:
                await stream.collect()
        except sc.StreamFailed:
            pass
        outcomes.append(getattr(stream.outcome, "kind", "finish"))
    assert outcomes == ["connection", "truncated", "finish", "finish"]


@pytest.mark.parametrize(("connect", "seconds"), [(None, 10), (3, 3)])
async def test_a_connection_that_takes_for_ever_takes_as_long_as_it_may(connect, seconds):
    begun = anyio.current_time()
    with pytest.raises(sc.StreamFailed, match=f"within {seconds} s"):
        await FaultyTransport(Answer(BODY), Fault("connect")).open(REQUEST, connect=connect)
    assert anyio.current_time() - begun == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("fault", "answer", "clock"),
    [
        (Fault("headers_stall"), Answer(BODY), "first_token"),
        (Fault("headers_drip", seconds=301), Answer(BODY), "first_token"),
        (Fault("stall", AT), Answer(BODY), "idle"),
        (None, Answer([BODY[0], Pause(1000), *BODY[1:]]), "idle"),
        (Fault("comments", AT, seconds=301), Answer(BODY), "idle"),
    ],
)
async def test_nothing_is_waited_for_longer_than_a_client_does(fault, answer, clock):
    begun = anyio.current_time()
    stream = endpoint(fault, answer=answer).stream("hi")
    with pytest.raises(sc.StreamFailed):
        async with stream:
            await stream.collect()
    assert (stream.outcome.kind, stream.outcome.detail) == ("timeout", clock)
    assert anyio.current_time() - begun == pytest.approx(300)


async def test_a_drip_of_headers_takes_its_time():
    transport = FaultyTransport(Answer(BODY), Fault("headers_drip", size=1000, seconds=7))
    begun = anyio.current_time()
    assert await pieces(await transport.open(REQUEST)) == BODY
    assert anyio.current_time() - begun == pytest.approx(7)


async def test_a_raw_answer_is_for_a_server():
    with pytest.raises(sc.LocalError, match="raw"):
        FaultyTransport(Answer(framing="raw"))


# Beside a server

REAL = [kind for kind in FAULTS if kind not in ("dns", "refused", "tls", "unreachable", "connect")]


CASES = [
    (kind, at, framing) for kind in REAL[-11:] for at in (0, AT, AT + 5) for framing in ("chunked", "length", "close")
]


@pytest.mark.parametrize(("kind", "at", "framing"), [*((kind, 0, "chunked") for kind in REAL[:-11]), *CASES])
def test_it_does_what_a_server_does(kind, at, framing):
    if framing == "length" and kind in ("comments", "line", "garbage", "repeat"):
        framing = "close"  # what is announced would be exceeded
    fault = Fault(kind, at, size=1 << 18 if kind in ("comments", "line") else 8, seconds=3 * (kind == "rate_limit"))
    answer = structs.replace(Answer(BODY), framing=framing)
    deadlines = {"first_token": 3000, "idle": 30} if kind == "stall" and at else {}
    deadlines = {"first_token": 30} if kind == "headers_stall" or (kind == "stall" and not at) else deadlines

    def outcome(road):
        async def ask():
            seen = await Road(road).ask(answer, fault, clean=True, **deadlines)
            last = seen.stream.outcome
            return seen.events, structs.replace(last, message="") if isinstance(last, sc.Failure) else last

        name, options = virtual_time("asyncio") if road == "memory" else ("asyncio", {})
        return anyio.run(ask, backend=name, backend_options=options)

    assert outcome("memory") == outcome("httpx2") == outcome("httpx")
