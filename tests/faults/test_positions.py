"""Every fault at every byte of every wire: always one typed outcome, and a Finish only after the provider's own.

By default every byte is tried without I/O, every 32nd through a whole stream, and a few over sockets. With
`HYPOTHESIS_PROFILE=fuzz` it is every byte through a whole stream as well, and every 16th over sockets.
"""

from __future__ import annotations

import os
import random

import anyio
import grammar
import pytest
from msgspec import structs

import streamcore as sc
from faults.roads import CLIENTS, MARKS, Seen, in_memory, over_sockets, see
from faults.transcripts import TRANSCRIPTS, Transcript
from streamcore.body import DRAIN_SECONDS
from streamcore.testing import Answer, Fault, FaultyTransport, read, serve, spoiled
from streamcore.transport import HTTPX

pytestmark = MARKS

FUZZ = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
OUTCOMES = {
    "reset": ("connection", "reset"),
    "close": ("truncated", "incomplete"),
    "stall": ("timeout", "idle"),
    "end": ("truncated", None),
}
"""What cuts an answer off, and what the stream then is."""
CHANGES = [Fault("garbage", size=4), Fault("flip"), Fault("repeat", size=40)]
"""What changes an answer: it may be anything, but one thing."""
SECONDS = 60

every_transcript = pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda one: one.name)


def test_there_are_enough_of_them():
    assert len(TRANSCRIPTS) >= 24
    assert len({one.name.partition("-")[0] for one in TRANSCRIPTS}) >= 6
    assert all(
        isinstance(read(one.adapter, [one.body])[-1], sc.Finish) == (one.proof < len(one.body)) for one in TRANSCRIPTS
    )


def answer(transcript: Transcript) -> Answer:
    return Answer([transcript.body], headers={"content-type": transcript.content_type})


def replay(transcript: Transcript, fault: Fault) -> list[sc.Event]:
    """The events without I/O: what was sent is fed, and how it ended is what the reader is closed with."""
    reader = sc.Reader(transcript.adapter)
    events = []
    for step in spoiled(answer(transcript), fault).body:
        if isinstance(step, str):
            kind, detail = OUTCOMES[fault.kind]
            return events + reader.close(sc.Failure(kind, "", detail=detail))
        events += reader.feed(step)
    return events + reader.close()


def said(events: list[sc.Event]) -> list[sc.Event]:
    """The events without what may come after the end of the answer itself."""
    return [event for event in events if not isinstance(event, sc.Usage)]


def bare(event: sc.Event) -> sc.Event:
    """The outcome without its words."""
    return structs.replace(event, message="", request_id=None) if isinstance(event, sc.Failure) else event


@pytest.mark.parametrize("kind", OUTCOMES)
@every_transcript
def test_a_cut_at_any_byte_gives_a_beginning_of_the_answer_and_says_so(transcript, kind):
    whole = read(transcript.adapter, [transcript.body])
    ended = False
    for at in range(len(transcript.body) + 1):
        events = replay(transcript, Fault(kind, at))
        grammar.check(events)
        last = events[-1]
        assert not (ended and last != whole[-1]), f"whole before byte {at}, and not there"
        ended = last == whole[-1]
        if ended:
            assert said(events) == said(whole), at
            assert at > transcript.proof or isinstance(last, sc.Failure), at
        else:
            assert (last.kind, last.detail) == OUTCOMES[kind], at
            assert events[:-1] in ([sc.Start()], whole[: len(events) - 1]), at
    assert ended or kind in ("reset", "close")  # some wires have no last word but the end of the body


@pytest.mark.parametrize("fault", CHANGES, ids=lambda fault: fault.kind)
@every_transcript
def test_a_change_at_any_byte_gives_one_typed_outcome(transcript, fault):
    for at in range(len(transcript.body) + 1):
        grammar.check(replay(transcript, structs.replace(fault, at=at)))


@pytest.mark.parametrize(
    "transcript", [one for one in TRANSCRIPTS if one.name.startswith("bedrock")], ids=lambda one: one.name
)
def test_a_flipped_bit_never_passes_for_an_answer_where_there_is_a_checksum(transcript):
    whole = read(transcript.adapter, [transcript.body])
    for at in range(len(transcript.body)):
        events = replay(transcript, Fault("flip", at))
        assert isinstance(events[-1], sc.Failure) or events == whole, at


@every_transcript
@in_memory
async def test_a_stream_is_what_the_reader_says_and_closes_its_upstream(road, transcript):
    for at in range(0, len(transcript.body) + 1, 1 if FUZZ else 32):
        for fault in (*(Fault(kind, at) for kind in OUTCOMES), *(structs.replace(fault, at=at) for fault in CHANGES)):
            transport = FaultyTransport(answer(transcript), fault)
            begun = anyio.current_time()
            seen = Seen(sc.Endpoint(transcript.adapter, "m", transport=transport).stream("hi").within(idle=SECONDS))
            await see(seen.stream, seen)
            expected = replay(transcript, fault)
            assert bare(seen.stream.outcome) == bare(expected[-1]), fault
            assert seen.events == expected[: len(seen.events)], fault
            assert len(seen.events) == len(expected) - isinstance(expected[-1], sc.Failure), fault
            assert transport.open_responses == 0, fault
            passed = anyio.current_time() - begun
            assert passed == pytest.approx(waited(transcript, fault)), fault


def waited(transcript: Transcript, fault: Fault) -> float:
    """How long a stream waits: for more, or after its Finish for the end of the body."""
    if fault.kind != "stall":
        return 0
    reader = sc.Reader(transcript.adapter)
    reader.feed(transcript.body[: fault.at])
    return SECONDS if reader.outcome is None else DRAIN_SECONDS * isinstance(reader.outcome, sc.Finish)


SAMPLE = [
    one
    for one in TRANSCRIPTS
    if one.name in ("openai_chat-text", "anthropic-tool", "bedrock-reasoning", "ollama-error")
]


@pytest.mark.parametrize("transcript", SAMPLE, ids=lambda one: one.name)
@over_sockets
async def test_over_a_socket_it_is_the_same(road, transcript):
    places = list(range(0, len(transcript.body) + 1, 16))
    if not FUZZ:
        places = sorted(random.Random(transcript.name).sample(places, 5))
    faults = [Fault(kind, at) for at in places for kind in OUTCOMES]
    faults += [structs.replace(fault, at=at) for at in places for fault in CHANGES]

    def script(_):
        return spoiled(answer(transcript), faults[len(server.requests) - 1])

    with serve(script) as server:
        async with CLIENTS[road.name](trust_env=False) as client:
            endpoint = sc.Endpoint(transcript.adapter, "m", url=server.url, transport=HTTPX(client))
            for fault in faults:
                stall = {"first_token": 0.1, "idle": 0.1} if fault.kind == "stall" else {}
                seen = Seen(endpoint.stream("hi").within(**stall))
                await see(seen.stream, seen)
                expected = replay(transcript, fault)
                if stall and isinstance(seen.stream.outcome, sc.Failure):  # how soon it gives up is a matter of luck
                    assert seen.failure.kind in ("timeout", expected[-1].kind), fault
                    assert seen.events == expected[: len(seen.events)], fault
                else:
                    assert [*map(bare, seen.events)] == [*map(bare, expected)][: len(seen.events)], fault
                    assert bare(seen.stream.outcome) == bare(expected[-1]), fault
        assert server.wait_for(lambda: server.open_connections == 0)
