"""A model at a provider: what is asked of whom, with which key."""

from __future__ import annotations

import pickle
import threading

import anyio
import pytest
from anyio import from_thread
from msgspec import structs
from tiny import TINY, say

import streamcore as sc
from streamcore.request import Secret
from streamcore.transport import Source


class Recorder:
    """A transport that keeps what it was asked and answers from memory."""

    def __init__(self):
        self.requests = []
        self.closed = False

    async def open(self, request, *, connect=None):
        self.requests.append(request)

        async def body():
            for piece in say("Hi"):
                yield piece

        return Source(body())

    async def aclose(self):
        self.closed = True


async def sent(**options):
    transport = Recorder()
    async with sc.Endpoint(TINY, "m", transport=transport, **options).stream("hi") as stream:
        await stream.collect()
    return transport.requests[0]


@pytest.mark.anyio
async def test_the_url_is_the_adapters_unless_given():
    assert (await sent()).url == "http://tiny.invalid/v1/answer"
    assert (await sent(url="http://other.invalid/")).url == "http://other.invalid/answer"


@pytest.mark.anyio
async def test_the_key_is_the_environments_unless_given(monkeypatch):
    monkeypatch.delenv("TINY_KEY", raising=False)
    assert "authorization" not in (await sent()).headers
    monkeypatch.setenv("TINY_KEY", "from-environment")
    assert (await sent()).headers["authorization"] == "Bearer from-environment"
    assert (await sent(key="given")).headers["authorization"] == "Bearer given"
    assert (await sent(key=Secret("hidden"))).headers["authorization"] == "Bearer hidden"


def test_no_key_is_shown():
    endpoint = sc.Endpoint(TINY, "m", key="sk-canary", headers={"x-secret": "sk-canary"})
    request = TINY.encode(sc.prompt("hi"), endpoint._target)
    for shown in (repr(endpoint), repr(endpoint._target), repr(request), str(endpoint._target.key), f"{request}"):
        assert "canary" not in shown
    assert b"canary" not in pickle.dumps(endpoint._target.key)


def test_the_repr_names_adapter_model_and_address():
    assert repr(sc.Endpoint("openai", "gpt-4o")) == "Endpoint('openai', 'gpt-4o', url='https://api.openai.com/v1')"
    assert "tiny.Tiny" in repr(sc.Endpoint(TINY, "m"))


def test_a_model_is_named_by_adapter_and_model():
    assert repr(sc.model("openai:gpt-4o")) == repr(sc.Endpoint("openai", "gpt-4o"))
    assert "vendor:model" in repr(sc.model("openai:vendor:model"))


@pytest.mark.parametrize("name", ["gpt-4o", "openai:", ""])
def test_a_name_without_adapter_or_model_is_refused(name):
    with pytest.raises(sc.LocalError, match="named"):
        sc.model(name)


def test_an_adapter_that_does_not_exist_is_refused_and_the_others_are_listed():
    with pytest.raises(sc.LocalError, match="anthropic.*openai"):
        sc.model("nobody:model")


def test_what_the_provider_cannot_take_is_a_warning_or_under_strict_an_error():
    request = sc.Request(messages=(sc.Message("user", "hi"),), seed=1)
    assert [warning.field for warning in sc.Endpoint(TINY, "m").stream(request).warnings] == ["seed"]
    with pytest.raises(sc.LocalError, match="seed: not supported"):
        sc.Endpoint(TINY, "m").stream(request, strict=True)
    with pytest.raises(sc.LocalError, match="seed"):
        sc.Endpoint(TINY, "m", strict=True).stream(request)
    assert sc.Endpoint(TINY, "m", strict=True).stream(request, strict=False).warnings


@pytest.mark.anyio
async def test_a_transport_that_was_given_stays_open():
    transport = Recorder()
    async with sc.Endpoint(TINY, "m", transport=transport):
        pass
    assert not transport.closed


# Signing


def signer(threads=None):
    """Numbers the requests that it signs, and notes in which threads."""
    numbers = iter(range(1, 100))

    def sign(request):
        if threads is not None:
            threads.append(threading.current_thread())
        return structs.replace(request, headers={**request.headers, "x-signature": str(next(numbers))})

    return sign


@pytest.mark.anyio
async def test_what_is_sent_is_signed():
    request = await sent(sign=signer(), headers={"x-other": "kept"})
    assert (request.headers["x-signature"], request.headers["x-other"]) == ("1", "kept")


@pytest.mark.anyio
async def test_each_request_is_signed_when_it_is_opened():
    transport = Recorder()
    endpoint = sc.Endpoint(TINY, "m", transport=transport, sign=signer())
    first, second = endpoint.stream("hi"), endpoint.stream("hi")
    for stream in (second, first):
        async with stream:
            await stream.collect()
    assert [request.headers["x-signature"] for request in transport.requests] == ["1", "2"]


@pytest.mark.anyio
async def test_signing_leaves_the_event_loop_free():
    threads = []
    await sent(sign=signer(threads))
    assert threading.current_thread() not in threads
    assert len(threads) == 1


def test_a_model_may_be_signed():
    sign = signer()
    assert sc.model("openai:gpt-4o", sign=sign)._sign is sign


@pytest.mark.anyio
async def test_nothing_is_sent_if_signing_fails():
    failure = sc.Failure("auth", "no credentials", detail="credentials")

    def sign(_):
        raise sc.StreamFailed(failure)

    transport = Recorder()
    stream = sc.Endpoint(TINY, "m", transport=transport, sign=sign).stream("hi")
    with pytest.raises(sc.StreamFailed, match="no credentials"):
        await stream.__aenter__()
    assert (stream.outcome, transport.requests) == (failure, [])


@pytest.mark.anyio
async def test_a_stream_can_be_left_while_its_request_is_signed():
    transport, signing, go_on, over = Recorder(), anyio.Event(), threading.Event(), threading.Event()

    def sign(request):
        from_thread.run_sync(signing.set)
        go_on.wait()
        over.set()
        return request

    stream = sc.Endpoint(TINY, "m", transport=transport, sign=sign).stream("hi")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stream.__aenter__)
        await signing.wait()
        tasks.cancel_scope.cancel()
    assert not over.is_set()
    assert (stream.outcome.kind, transport.requests) == ("cancelled", [])
    go_on.set()
    over.wait()
