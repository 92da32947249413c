"""What a plain thread may rely on: the same streams, without an event loop where none is needed."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import signal
import subprocess
import sys
import threading
import types
from contextlib import suppress

import anyio
import httpx
import httpx2
import pytest
import trio
from httpx_sse import ServerSentEvent
from tiny import TINY, say

import streamcore as sc
from streamcore import sync
from streamcore.body import Body
from streamcore.flow import fallback, hedge, limit, retry
from streamcore.stream import Stream as AsyncStream
from streamcore.sync import portal
from streamcore.sync.stream import _Native
from streamcore.testing import Answer, ScriptedModel, serve

GOOD = say("Hel", "lo")
HELLO = [sc.Start(), sc.TextDelta(0, "Hel"), sc.TextDelta(0, "lo"), sc.Usage(output_tokens=2), sc.BlockEnd(0)]
HELLO += [sc.Finish("stop", "done")]
SCRIPT = [sc.Start(), sc.TextDelta(0, "Hel"), sc.TextDelta(0, "lo"), sc.Finish("stop")]
BUSY = Answer([b'{"error":{"message":"busy"}}'], status=529, headers={"request-id": "r-1"})


def own(server):
    return sc.Endpoint(TINY, "m", url=server.url, key="k")


def composed(server):
    return fallback(own(server))


@pytest.fixture(params=["own", "httpx", "httpx2", "portal"])
def at(request):
    """Makes a model of a server: one that runs natively, in three ways, or one that needs the event loop."""
    if request.param == "own":
        yield own
    elif request.param == "portal":
        yield composed
        portal._LOOP.get().stop()
    else:
        library = {"httpx": httpx, "httpx2": httpx2}[request.param]
        with library.Client(trust_env=False) as client:
            transport = sync.HTTPX(client)
            yield lambda server: own(server).over(transport)
            assert transport._lane().slots.free == 100


either = pytest.mark.parametrize("at", ["httpx", "portal"], indirect=True)


@pytest.fixture
def loop():
    yield portal._LOOP.get()
    portal._LOOP.get().stop()


def all_closed(server):
    return server.wait_for(lambda: server.open_connections == 0)


def later(condition, action):
    """Act from another thread, once something holds."""
    thread = threading.Thread(target=lambda: condition() and action())
    thread.start()
    return thread


def test_every_event_comes_in_order_as_in_an_event_loop(at):
    async def async_stream(model):
        async with model, model.stream("hi") as stream:
            return [event async for event in stream], stream.usage, [each.outcome for each in stream.attempts]

    with serve(Answer(GOOD, headers={"request-id": "r-1"})) as server:
        with sync.stream(at(server), "hi") as stream:
            events = list(stream)
        ends = [each.outcome for each in stream.attempts]
        assert (events, stream.usage, ends) == anyio.run(async_stream, own(server))
    assert events == HELLO
    assert (stream.outcome, stream.request_id, stream.warnings) == (HELLO[-1], "r-1", ())
    assert stream.statistics().events == len(HELLO)
    assert stream.received == stream.statistics().bytes > 0
    assert stream.record is None


@pytest.mark.parametrize(
    "body",
    [
        [b"".join(GOOD)],
        [b"".join(GOOD)[place : place + 1] for place in range(len(b"".join(GOOD)))],
        GOOD[:1],
        [GOOD[0], "close"],
        [GOOD[0], b"data: {"],
        [b'data: {"t":"Hel"}\n\ndata: {"bad":"busy"}\n\n'],
        [b"data: nonsense\n\n"],
        [],
    ],
)
def test_whatever_comes_gives_the_same_events_and_the_same_failure(at, body):
    async def async_stream(endpoint):
        events = []
        async with endpoint:
            stream = (fallback(endpoint) if at is composed else endpoint).stream(sc.prompt("hi"))
            with suppress(sc.StreamFailed):
                async with stream:
                    async for event in stream:
                        events.append(event)
            return events, stream.outcome

    with serve(Answer(body)) as server:
        events, stream = [], sync.stream(at(server), "hi")
        with suppress(sc.StreamFailed), stream:
            events.extend(stream)
        assert (events, stream.outcome) == anyio.run(async_stream, own(server))


def test_a_failure_while_opening_is_raised_by_with(at):
    with serve(BUSY) as server:
        stream = sync.stream(at(server), "hi")
        with pytest.raises(sc.StreamFailed, match="busy"), stream:
            pass
        assert (stream.outcome.kind, stream.outcome.request_id) == ("overloaded", "r-1")


def test_leaving_early_closes_the_connection_at_once(at):
    with serve(Answer([GOOD[0], "hang"])) as server:
        with sync.stream(at(server), "hi") as stream:
            for _ in stream:
                break
        assert all_closed(server)
    assert (stream.outcome.kind, stream.outcome.detail) == ("cancelled", "closed")


def test_leaving_with_an_exception_closes_the_connection(at):
    with serve(Answer([GOOD[0], "hang"])) as server:
        with pytest.raises(ZeroDivisionError), sync.stream(at(server), "hi") as stream:
            _ = 1 / 0
        assert all_closed(server)
    assert (stream.outcome.kind, stream.outcome.detail) == ("cancelled", "exception")


def test_connections_are_used_again(at):
    with serve(Answer(GOOD)) as server:
        model = at(server)
        for _ in range(4):
            assert list(sync.text(model, "hi")) == ["Hel", "lo"]
        assert server.connections == 1


@either
def test_twenty_threads_at_once(at):
    meet = threading.Barrier(20)
    answers = {}

    def ask(number):
        with sync.stream(model, "hi") as stream:
            meet.wait(30)  # all twenty are open
            answers[number] = list(stream)

    with serve(Answer(GOOD)) as server:
        model = at(server)
        threads = [threading.Thread(target=ask, args=[number]) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.connections == 20
    assert answers == dict.fromkeys(range(20), HELLO)


def test_idle_counts_from_the_first_content_even_if_the_first_token_had_longer():
    with serve(Answer([GOOD[0], "hang"])) as server:
        with sync.stream(own(server), "hi").within(first_token=60, idle=0.05) as stream:
            stream.read()
            with pytest.raises(sc.StreamFailed, match="timeout .idle."):
                stream.read()
        assert all_closed(server)


@pytest.mark.parametrize("name", ["first_token", "idle", "total"])
@pytest.mark.parametrize(
    "answer", [Answer(["hang"], framing="raw"), Answer([b": ping\n\n", "hang"])], ids=["headers", "body"]
)
def test_a_silent_provider_is_noticed(at, name, answer):
    with serve(answer) as server:
        stream = sync.stream(at(server), "hi").within(**{name: 0.05})
        with pytest.raises(sc.StreamFailed), stream:
            stream.collect()
        assert (stream.outcome.kind, stream.outcome.detail) == ("timeout", name)
        assert all_closed(server)


def test_a_provider_that_falls_silent_on_a_connection_that_was_used_is_noticed(at):
    answers = iter([Answer(GOOD), Answer(["hang"], framing="raw")])
    with serve(lambda request: next(answers)) as server:
        model = at(server)
        assert list(sync.text(model, "hi")) == ["Hel", "lo"]
        with pytest.raises(sc.StreamFailed) as caught, sync.stream(model, "hi").within(first_token=0.05):
            pass
        assert (caught.value.failure.kind, caught.value.failure.detail) == ("timeout", "first_token")
        assert server.connections == 1


def test_first_token_is_of_no_importance_once_it_came(at):
    answer = Answer([GOOD[0], "hang"])
    with serve(answer) as server, sync.stream(at(server), "hi").within(first_token=0.5, total=0.6) as stream:
        assert stream.read() == HELLO[:2]
        with pytest.raises(sc.StreamFailed, match="total"):
            stream.read()


@either
def test_deadlines_are_set_before_the_stream_is_opened(at):
    with serve(Answer(GOOD)) as server, sync.stream(at(server), "hi") as stream:
        with pytest.raises(sc.LocalError):
            stream.within(idle=1)
        assert list(stream) == HELLO


def test_another_thread_can_cancel(at):
    with serve(Answer([GOOD[0], "hang"])) as server, sync.stream(at(server), "hi") as stream:
        assert stream.read() == HELLO[:2]
        thread = later(lambda: True, stream.cancel)
        with pytest.raises(sc.StreamFailed):
            stream.read()
        thread.join()
        assert all_closed(server)
    assert (stream.outcome.kind, stream.outcome.detail) == ("cancelled", "cancel")


def test_another_thread_can_cancel_before_the_headers_came(at):
    with serve(Answer(["hang"], framing="raw")) as server:
        stream = sync.stream(at(server), "hi")
        thread = later(lambda: server.wait_for(lambda: server.requests), stream.cancel)
        with pytest.raises(sc.StreamFailed), stream:
            pass
        thread.join()
        assert all_closed(server)
    assert (stream.outcome.kind, stream.outcome.detail) == ("cancelled", "cancel")


def test_cancelled_before_it_was_opened(at):
    with serve(Answer(GOOD)) as server:
        stream = sync.stream(at(server), "hi")
        stream.cancel()
        with pytest.raises(sc.StreamFailed), stream:
            pass
        assert (stream.outcome.detail, server.requests) == ("cancel", [])


def test_cancelled_while_nobody_reads_it_says_so_when_it_is_left(at):
    with serve(Answer([GOOD[0], "hang"])) as server:
        with sync.stream(at(server), "hi") as stream:
            stream.cancel()
        assert (stream.outcome.kind, stream.outcome.detail) == ("cancelled", "cancel")
        assert all_closed(server)


def test_cancelled_after_its_end_nothing_changes(at):
    with serve(Answer(GOOD)) as server, sync.stream(at(server), "hi") as stream:
        assert list(stream) == HELLO
        stream.cancel()
    assert stream.outcome == HELLO[-1]


@pytest.fixture
def ctrl_c():
    """Ctrl-C raises `KeyboardInterrupt`, also where whoever started this process has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt(condition):
    """Ctrl-C in the main thread, once something holds."""
    return later(condition, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT))


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_a_read_and_leaves_nothing_open(at):
    reading = threading.Event()
    with serve(Answer([GOOD[0], "hang"])) as server:
        with pytest.raises(KeyboardInterrupt), sync.stream(at(server), "hi") as stream:
            stream.read()
            thread = interrupt(lambda: reading.wait(30))
            reading.set()
            stream.read()
        thread.join()
        assert all_closed(server)
    assert stream.outcome.kind == "cancelled"


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_an_opening_and_leaves_nothing_open(at):
    with serve(Answer(["hang"], framing="raw")) as server:
        stream = sync.stream(at(server), "hi")
        thread = interrupt(lambda: server.wait_for(lambda: server.requests))
        with pytest.raises(KeyboardInterrupt), stream:
            pass
        thread.join()
        assert all_closed(server)
        assert stream.outcome.kind == "cancelled"


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_while_a_step_is_handed_over_leaves_nothing_running(when, monkeypatch):
    crossing = portal.Crossing()
    hand_over = crossing._loop.call_soon_threadsafe
    began, ended = threading.Event(), threading.Event()
    calls = []

    def interrupted(act, **options):
        calls.append(act)
        if len(calls) > 1:
            return hand_over(act, **options)
        if when == "after":
            hand_over(act, **options)
        raise KeyboardInterrupt

    async def step():
        began.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    monkeypatch.setattr(crossing._loop, "call_soon_threadsafe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        crossing.run(step)
    assert ended.is_set() == began.is_set()
    monkeypatch.undo()
    crossing.run(anyio.lowlevel.checkpoint)
    assert ended.is_set() == began.is_set()


def test_an_endpoint_starts_no_event_loop(monkeypatch):
    def fail(*_, **__):
        raise AssertionError

    monkeypatch.setattr(asyncio, "new_event_loop", fail)
    monkeypatch.setattr(trio, "run", fail)
    monkeypatch.setattr(portal, "Crossing", fail)
    with serve(Answer(GOOD)) as server:
        assert list(sync.text(own(server), "hi")) == ["Hel", "lo"]
    with serve(BUSY) as server, pytest.raises(sc.StreamFailed):
        list(sync.text(own(server), "hi"))
    with sync.decode(TINY, GOOD) as stream:
        assert list(stream) == HELLO


@either
@pytest.mark.anyio
async def test_inside_an_event_loop_it_blocks_and_works(at):
    with serve(Answer([GOOD[0], "hang"])) as server:
        with pytest.raises(sc.StreamFailed, match="idle"), sync.stream(at(server), "hi").within(idle=0.05) as stream:
            stream.collect()
        assert all_closed(server)
    with serve(Answer(GOOD)) as server:
        assert list(sync.text(at(server), "hi")) == ["Hel", "lo"]


def test_a_stream_that_needs_the_loop_can_feed_one_that_does_not(loop):
    def body():
        with sync.stream(ScriptedModel(SCRIPT), "hi") as stream:
            yield from (b'data: {"t":"%b"}\n\n' % word.encode() for word in stream.text())
        yield GOOD[-1]

    with sync.decode(TINY, body()) as stream:
        assert list(stream) == HELLO


def test_context_variables_of_the_caller_reach_the_model(loop):
    who = contextvars.ContextVar("who", default=None)
    seen = []

    async def open(connect):
        seen.append(who.get())
        raise sc.StreamFailed(sc.Failure("quota", "no"))

    class Told:
        def stream(self, request):
            return AsyncStream(Body(TINY, open))

    who.set("me")
    with pytest.raises(sc.StreamFailed), sync.stream(Told(), "hi"):
        pass
    assert seen == ["me"]


@pytest.mark.parametrize("compose", [retry, fallback, lambda it: hedge(it, after=1), lambda it: limit(it, 1)])
def test_models_made_of_others(loop, compose):
    with serve(Answer(GOOD)) as server:
        model = compose(own(server))
        for _ in range(2):
            with sync.stream(model, "hi") as stream:
                assert stream.collect().text == "Hello"
        assert server.connections == 1


def test_a_model_of_ones_own(loop):
    model = ScriptedModel(SCRIPT)
    with sync.stream(model, sc.prompt("hi")) as stream:
        assert list(stream) == [*SCRIPT[:-1], sc.BlockEnd(0), SCRIPT[-1]]
    assert model.open == 0


def test_an_endpoint_over_a_transport_for_event_loops(loop):
    with serve(Answer(GOOD)) as server:
        model = own(server).over(sc.HTTPX())
        assert list(sync.text(model, "hi")) == ["Hel", "lo"]


@pytest.mark.anyio
async def test_a_transport_that_blocks_is_refused_in_an_event_loop():
    model = sc.Endpoint(TINY, "m", transport=sync.HTTPX())
    with pytest.raises(sc.LocalError, match=r"streamcore\.sync"):
        async with model.stream("hi"):
            pass


def test_a_request_is_signed_in_the_thread_that_asks():
    threads = []

    def sign(request):
        threads.append(threading.current_thread())
        return request

    with serve(Answer(GOOD)) as server:
        model = sc.Endpoint(TINY, "m", url=server.url, sign=sign)
        assert list(sync.text(model, "hi")) == ["Hel", "lo"]
    assert threads == [threading.current_thread()]


def test_the_surface_is_that_of_the_stream_for_event_loops():
    ours = {name for name in vars(sync.Stream) if not name.startswith("_")}
    theirs = {name for name in vars(AsyncStream) if not name.startswith("_")}
    assert theirs - ours == {"pull", "settle", "aclose", "observe"}
    assert ours - theirs == set()


def test_read_gives_batches_also_after_iterating(at):
    with serve(Answer([b"".join(GOOD)])) as server, sync.stream(at(server), "hi") as stream:
        assert next(stream) == sc.Start()
        assert stream.read() == HELLO[1:]
        assert stream.read() == []
        assert list(stream) == []


def test_collect_into_a_fold_keeps_what_came_before_a_failure(at):
    fold = sc.Fold()
    with serve(Answer(GOOD[:2])) as server, sync.stream(at(server), "hi") as stream, pytest.raises(sc.StreamFailed):
        stream.collect(fold)
    assert fold.text == "Hello"


def test_partial_values_grow(loop):
    call = [sc.Start(), sc.ToolCallStart(0, "c", "f"), sc.ToolCallDelta(0, '{"a": "x'), sc.ToolCallDelta(0, 'y"}')]
    with sync.stream(ScriptedModel([*call, sc.Finish("tool_calls")]), "hi") as stream:
        assert [str(item.value) for item in stream.partial()] == ["None", "{'a': 'x'}", "{'a': 'xy'}", "{'a': 'xy'}"]


@either
def test_reading_outside_of_with_is_refused(at):
    with serve(Answer(GOOD)) as server, pytest.raises(sc.LocalError):
        next(sync.stream(at(server), "hi"))


@either
def test_a_stream_is_opened_once(at):
    with serve(Answer(GOOD)) as server:
        with sync.stream(at(server), "hi") as stream:
            pass
        with pytest.raises(sc.LocalError), stream:
            pass


def test_a_stream_never_closed_warns():
    stream = sync.decode(TINY, iter(GOOD)).__enter__()
    with pytest.warns(ResourceWarning, match="never closed"):
        del stream
        gc.collect()


def test_words_close_their_stream_when_the_loop_is_left(at):
    with serve(Answer([GOOD[0], "hang"])) as server:
        for word in sync.text(at(server), "hi"):
            assert word == "Hel"
            break
        assert all_closed(server)


@either
def test_words_are_asked_for_when_the_first_is_wanted(at):
    with serve(Answer(GOOD)) as server:
        words = sync.text(at(server), "hi")
        words.close()
        assert (list(words), server.requests) == ([], [])


def test_a_body_from_a_generator_is_closed_with_the_stream():
    left = []

    def body():
        try:
            yield from ["", GOOD[0], GOOD[1]]
        finally:
            left.append(True)

    with sync.decode(TINY, (item or b"" for item in body())) as stream:
        assert next(stream) == sc.Start()
    gc.collect()
    assert left == [True]


def test_a_body_of_events_that_httpx_sse_has_parsed():
    events = [ServerSentEvent(data=item.decode()[6:-2]) for item in GOOD]
    with sync.decode(TINY, events) as stream:
        assert list(stream) == HELLO


def test_a_body_that_blocks_too_long_fails_when_it_gives_something():
    def body():
        yield GOOD[0]
        threading.Event().wait(0.06)
        yield b": ping\n\n"
        yield GOOD[1]

    with sync.decode(TINY, body()).within(idle=0.02) as stream:
        assert stream.read() == HELLO[:2]
        with pytest.raises(sc.StreamFailed, match="idle"):
            stream.read()


def test_a_body_may_come_from_an_event_loop_of_its_own():
    async def words():
        async with ScriptedModel(SCRIPT).stream(sc.prompt("hi")) as stream:
            return [word async for word in stream.text()]

    with sync.decode(TINY, (item for _ in range(1) for item in say(*asyncio.run(words())))) as stream:
        assert list(stream) == HELLO


def test_what_signs_a_request_may_have_an_event_loop_of_its_own():
    async def words():
        async with ScriptedModel(SCRIPT).stream(sc.prompt("hi")) as stream:
            return [word async for word in stream.text()]

    def sign(request):
        assert asyncio.run(words()) == ["Hel", "lo"]
        return request

    with serve(Answer(GOOD)) as server:
        model = sc.Endpoint(TINY, "m", url=server.url, sign=sign)
        assert list(sync.text(model, "hi")) == ["Hel", "lo"]


@types.coroutine
def suspended():
    yield


def waiting(times):
    async def open(connect):
        for _ in range(times):
            try:
                await suspended()
            except sc.LocalError:
                if times == 1:
                    raise

    return sync.Stream(AsyncStream(Body(TINY, open)), _Native())


def test_what_would_suspend_is_a_mistake_that_says_so():
    stream = waiting(1)
    with pytest.raises(sc.LocalError, match="waits for an event loop"), stream:
        pass
    assert stream.outcome.detail == "exception"


def test_what_suspends_again_and_again_is_a_mistake_too():
    with pytest.raises(sc.LocalError, match="goes on waiting"), waiting(3):
        pass


def test_the_event_loop_ends_with_its_connections_and_another_begins(loop):
    with serve(Answer(GOOD)) as server:
        model = composed(server)
        assert list(sync.text(model, "hi")) == ["Hel", "lo"]
        loop.stop()
        assert all_closed(server)
        assert list(sync.text(model, "hi")) == ["Hel", "lo"]


PROGRAM = """
import os, sys
sys.path[:0] = {path!r}
import streamcore as sc
from streamcore import sync
from streamcore.flow import fallback
from test_sync import own

class Server:
    url = {url!r}

def ask():
    for model in MODELS:
        with sync.stream(model, "hi").within(total=60) as stream:
            print(stream.collect().text, flush=True)

MODELS = [own(Server), fallback(own(Server))]
ask()
{then}
"""


def ran(server, then=""):
    code = PROGRAM.format(url=server.url, then=then, path=[str(path) for path in sys.path if "tests" in str(path)])
    command = [sys.executable, "-W", "error", "-W", "ignore:.*fork:DeprecationWarning", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout.split(), done.stderr


def test_a_program_ends_cleanly_with_connections_open():
    with serve(Answer(GOOD)) as server:
        assert ran(server) == (0, ["Hello", "Hello"], "")
        assert all_closed(server)


def test_a_forked_child_has_connections_of_its_own():
    with serve(Answer(GOOD)) as server:
        then = "child = os.fork()\nask()\nif child: assert os.waitpid(child, 0)[1] == 0\nelse: print('child')"
        assert ran(server, then)[::2] == (0, "")
        assert server.connections == 4


def test_a_tracked_stream_has_its_record():
    with serve(Answer(GOOD)) as server, sync.stream(sc.track(own(server)), "hi") as stream:
        list(stream)
        assert stream.record.outcome == HELLO[-1]
