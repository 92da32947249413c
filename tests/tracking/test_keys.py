"""No key, no prompt and no answer is found anywhere afterwards: in records, databases, logs, spans, metrics, reprs, tracebacks.

Each place that a key can be in has one of its own. Providers, and the road to them, repeat all of them wherever they can.
"""

from __future__ import annotations

import base64
import json
import logging
import traceback
from importlib import import_module
from urllib.parse import quote, unquote

import httpx
import httpx2
import pytest
from msgspec import structs
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest

import streamcore as sc
from faults.transcripts import BEGUN, CALL, START, USAGE, bedrock, block, made, stopped
from streamcore.testing import Answer, Fault, FaultyTransport, serve
from streamcore.tracking.ledger import Ledger
from streamcore.tracking.sinks.lines import Callback, JSONLines
from streamcore.tracking.sinks.otel import OpenTelemetry
from streamcore.tracking.sinks.postgres import PostgreSQL
from streamcore.tracking.sinks.prometheus import Prometheus
from streamcore.tracking.sinks.sqlite import SQLite
from streamcore.transport import HTTPX
from streamcore_adapters import compatible, openai_chat

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings(r"ignore:Async generator '(httpx|httpcore)2?\.:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <async_generator:pytest.PytestUnraisableExceptionWarning"),
]

WIRES = ("openai_chat", "openai_responses", "anthropic", "gemini", "bedrock", "cohere", "mistral", "ollama")
EVERY = {name: made(name, "text") for name in WIRES}
EVERY["groq"] = EVERY["openai_chat"]
ADAPTERS = {wire: one.adapter for wire, one in EVERY.items()} | {"groq": compatible.groq}
JSON = {"content-type": "application/json"}


def canary(where: str) -> str:
    return f"sk+{where}/canary=0123456789"


KEYS = {where: canary(where) for where in ("key", "header", "own", "cookie", "query", "password", "signed")}
PROMPT = "What the reader wants to know is nobody's business but the provider's."
ANSWER = "The answer is for the reader alone, and for nobody else in the world."
"""In no place but the request and the answer."""


def spelled(secret: str) -> set[bytes]:
    """The ways to write it that a search must not miss."""
    return {
        secret.encode(),
        quote(secret, safe="").encode(),
        quote(secret).encode(),
        json.dumps(secret)[1:-1].replace("/", "\\/").encode(),
        base64.b64encode(secret.encode()).rstrip(b"="),
    }


def found(texts: dict[str, bytes], *secrets: str) -> list[tuple[str, str]]:
    """Which secret is where."""
    return [
        (place, secret)
        for place, text in texts.items()
        for secret in secrets
        if any(written in text for written in spelled(secret))
    ]


ECHO = " ".join([*KEYS.values(), *(quote(key, safe="") for key in KEYS.values())])
ECHO += " " + " ".join(base64.b64encode(key.encode()).decode() for key in KEYS.values())


def said(wire: str) -> bytes:
    """An answer on the wire, in pieces long enough to be known again."""
    if wire == "bedrock":
        return bedrock([BEGUN, *block(0, {"text": ANSWER}), *stopped("end_turn")])
    encoder = import_module(f"{EVERY[wire].adapter.__name__}.server").Encoder(CALL)
    return b"".join(map(encoder.feed, [START, sc.TextDelta(0, ANSWER), sc.BlockEnd(0), USAGE, sc.Finish("stop")]))


def error(status: int) -> Answer:
    body = {"error": {"message": f"Incorrect key: {ECHO}.", "code": KEYS["key"], "type": KEYS["header"]}}
    return Answer([json.dumps(body).encode()], status, {**JSON, "x-request-id": KEYS["key"]})


def answers(wire: str) -> dict[str, Answer]:
    """What a provider that repeats everything it was sent may answer."""
    one = EVERY[wire]
    headers = {"content-type": one.content_type}
    cut = one.body[: len(one.body) // 2]
    echo = {"error": {"message": f"you sent {ECHO}"}}
    event = b"data: %b\n\n" % json.dumps(echo).encode()
    return {
        "whole": Answer([one.body], headers={**headers, "x-request-id": KEYS["key"]}),
        "cut": Answer([cut], headers=headers),
        "401": error(401),
        "429": error(429),
        "500": Answer([ECHO.encode()], 500, {"content-type": "text/plain"}),
        "error in the stream": Answer([cut, b"\n\n", event], headers=headers),
        "malformed": Answer([b'data: {"%b\n\n' % ECHO.encode()], headers=headers),
        "no stream": Answer([ECHO.encode()], headers=headers),
        "a page": Answer([ECHO.encode()], headers={"content-type": f"text/{KEYS['key']}"}),
        "packed": Answer([cut], headers={**headers, "content-encoding": KEYS["key"]}),
        "elsewhere": Answer([b""], 307, {"location": f"https://elsewhere.invalid/?key={KEYS['key']}"}),
    }


class Telling:
    """A transport whose errors tell what was sent."""

    def __init__(self, *, opens: bool) -> None:
        self.opens = opens

    async def open(self, request, /, *, connect=None):
        if not self.opens:
            self.fail()
        return self

    status, headers = 200, {"content-type": "text/event-stream"}

    async def read(self):
        self.fail()

    async def close(self):
        pass

    def fail(self):
        raise sc.StreamFailed(sc.Failure("connection", f"cannot send {ECHO}", code=KEYS["header"], detail="reset"))


def signed(request):
    """As AWS wants it: with a token that is a key, in a header."""
    return structs.replace(request, headers={**request.headers, "x-amz-security-token": KEYS["signed"]})


def endpoint(adapter, transport, **more) -> sc.Endpoint:
    host = f"https://user:{quote(KEYS['password'], safe='')}@provider.example/v1"
    return sc.Endpoint(
        adapter,
        "m",
        url=f"{host}?key={quote(KEYS['query'], safe='')}",
        key=KEYS["key"],
        headers={
            "authorization": f"Bearer {KEYS['header']}",
            "x-own-key": KEYS["own"],
            "cookie": f"theme=dark; session={KEYS['cookie']}",
        },
        sign=signed,
        transport=transport,
        **more,
    )


class Everywhere:
    """A ledger with every sink there is, and what is to be found in all of them."""

    def __init__(self, path) -> None:
        self.path = path
        self.records = []
        sinks = [SQLite(path / "requests.db"), JSONLines(path / "requests.jsonl"), Callback(self.records.append)]
        self.ledger = Ledger(*sinks, *self.more(), journal=path / "journal", prepare=sc.Prices({"m": PRICE}))

    def more(self):
        self.spans, self.registry, self.metrics = InMemorySpanExporter(), CollectorRegistry(), InMemoryMetricReader()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.spans))
        meters = MeterProvider([self.metrics])
        return [
            OpenTelemetry(tracer_provider=provider, meter_provider=meters, messages=True),
            Prometheus(self.registry, labels=("provider", "model", "answered_by", "host")),
        ]

    def texts(self) -> dict[str, bytes]:
        journal = b"".join(file.read_bytes() for file in sorted((self.path / "journal").iterdir()))
        assert self.ledger.flush(10)
        self.ledger.close()
        spans = self.spans.get_finished_spans()
        texts = {file.name: file.read_bytes() for file in self.path.iterdir() if file.is_file()}
        assert self.records
        assert len(spans) >= len(self.records)
        return texts | {
            "journal": journal,
            "records": repr(self.records).encode(),
            "spans": "".join(span.to_json() for span in spans).encode(),
            "metrics": self.metrics.get_metrics_data().to_json().encode(),
            "prometheus": generate_latest(self.registry),
            "ledger": repr((self.ledger, self.ledger.sinks, self.ledger.state)).encode(),
        }


PRICE = {"input": 1, "output": 10}


async def ask(tracked, texts: list[str], *things: object) -> None:
    """Ask once, and keep all that shows itself on the way."""
    stream = tracked.stream(PROMPT)
    try:
        async with stream:
            async for _ in stream:
                pass
    except sc.StreamFailed as error:
        texts += traceback.format_exception(error)
        texts += [repr(error), str(error), repr(error.failure)]
    texts += map(repr, (stream, stream.outcome, stream.attempts, stream.record, stream.warnings, tracked, *things))


@pytest.mark.parametrize("wire", EVERY)
async def test_no_key_is_found_anywhere_whatever_the_provider_repeats(wire, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    everywhere, texts = Everywhere(tmp_path), []
    transports = [FaultyTransport(answer) for answer in answers(wire).values()]
    transports += [FaultyTransport(Answer([EVERY[wire].body]), Fault(kind)) for kind in ("reset", "dns", "tls")]
    transports += [Telling(opens=True), Telling(opens=False)]
    for transport in transports:
        model = endpoint(ADAPTERS[wire], transport)
        await ask(sc.track(model, everywhere.ledger), texts, model, getattr(transport, "requests", None))
    shown = {"shown": "\n".join(texts).encode(), "log": caplog.text.encode()}
    assert found(everywhere.texts() | shown, *KEYS.values()) == []
    assert len(everywhere.records) == len(transports)


@pytest.mark.parametrize("wire", EVERY)
async def test_neither_prompt_nor_answer_is_found_anywhere_afterwards(wire, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    everywhere = Everywhere(tmp_path)
    headers = {"content-type": EVERY[wire].content_type}
    quoting = json.dumps({"error": {"message": f"Cannot read '{PROMPT}' in {{'content': '{PROMPT}'}}"}}).encode()
    whole = said(wire)
    bodies = [whole, whole[: len(whole) // 2], whole[: len(whole) // 2] + b'data: {"' + ANSWER.encode() + b"\n\n"]
    given = [Answer([body], headers=headers) for body in (*bodies, ANSWER.encode())]
    given += [Answer([body], 400, JSON) for body in (quoting, ANSWER.encode())]
    given += [Answer([ANSWER.encode()], headers={"content-type": "text/html"})]
    for answer in given:
        model = sc.Endpoint(ADAPTERS[wire], "m", key=KEYS["key"], transport=FaultyTransport(answer))
        await ask(sc.track(model, everywhere.ledger), [])
    assert any(ANSWER[:20].encode() in body for body in bodies)
    assert found(everywhere.texts() | {"log": caplog.text.encode()}, PROMPT, ANSWER, PROMPT[:30], ANSWER[:30]) == []
    assert any("Cannot read" in repr(record.outcome) for record in everywhere.records)


@pytest.mark.parametrize("client", [httpx.AsyncClient, httpx2.AsyncClient], ids=["httpx", "httpx2"])
async def test_over_a_socket_no_key_is_found_either(client, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    everywhere, texts = Everywhere(tmp_path), []
    given = answers("openai_chat")
    told = [given[name] for name in ("whole", "401", "429", "500", "error in the stream", "malformed", "no stream")]
    with serve(lambda _: told[len(server.requests) - 1]) as server:
        async with client(trust_env=False) as made_client:
            for _ in told:
                model = sc.Endpoint(
                    openai_chat,
                    "m",
                    url=server.url,
                    key=KEYS["key"],
                    headers={"x-own-key": KEYS["own"], "cookie": f"session={KEYS['cookie']}"},
                    transport=HTTPX(made_client),
                )
                await ask(sc.track(model, everywhere.ledger), texts, model)
    sent = str([request.headers for request in server.requests])
    assert all(KEYS[where] in sent for where in ("key", "own", "cookie"))
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("streamcore"))
    sending = [record.getMessage() for record in caplog.records if "send_request" in record.getMessage()]
    shown = {"shown": "\n".join(texts).encode(), "log": (ours + "".join(sending)).encode()}
    assert found(everywhere.texts() | shown, *(KEYS[where] for where in ("key", "own", "cookie"))) == []
    assert len(everywhere.records) == len(told)


async def test_a_key_that_is_no_header_is_refused_without_being_shown(tmp_path):
    everywhere, texts = Everywhere(tmp_path), []
    key = KEYS["key"] + "\n"
    with serve(Answer([b""])) as server:
        async with httpx2.AsyncClient(trust_env=False) as client:
            model = sc.Endpoint(openai_chat, "m", url=server.url, key=key, transport=HTTPX(client))
            await ask(sc.track(model, everywhere.ledger), texts, model)
    assert server.requests == []
    assert found(everywhere.texts() | {"shown": "\n".join(texts).encode()}, KEYS["key"]) == []


@pytest.mark.parametrize("client", [httpx.AsyncClient, httpx2.AsyncClient], ids=["httpx", "httpx2"])
async def test_a_tracked_client_leaves_no_key_anywhere(client, tmp_path, caplog):
    everywhere, texts = Everywhere(tmp_path), []
    given = answers("openai_chat")
    told = [given[name] for name in ("whole", "401", "429", "500", "error in the stream", "malformed", "no stream")]
    body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": PROMPT}]}).encode()
    headers = {"authorization": f"Bearer {KEYS['key']}", "x-own-key": KEYS["own"], "cookie": f"id={KEYS['cookie']}"}
    sent = [KEYS[where] for where in ("key", "own", "cookie", "query")]
    caplog.set_level(logging.DEBUG, "streamcore")
    with serve(lambda _: told[len(server.requests) - 1]) as server:
        async with sc.tracked_client(everywhere.ledger, client=client(trust_env=False)) as tracked:
            for _ in told:
                url = f"{server.url}/v1/chat/completions?key={quote(KEYS['query'], safe='')}"
                async with tracked.stream("POST", url, headers=headers, content=body) as response:
                    async for _ in response.aiter_raw():
                        pass
                texts += map(repr, (response, tracked))
    asked = "".join(f"{request.path} {request.headers}" for request in server.requests)
    assert all(key in unquote(asked) for key in sent)
    shown = {"shown": "\n".join(texts).encode(), "log": caplog.text.encode()}
    assert found(everywhere.texts() | shown, *sent, PROMPT, ANSWER) == []
    assert len(everywhere.records) == len(told)


async def test_postgresql_has_no_key_in_it(conninfo, tmp_path):
    psycopg = pytest.importorskip("psycopg")
    store = PostgreSQL(conninfo)
    ledger = Ledger(store, journal=tmp_path)
    for answer in answers("openai_chat").values():
        await ask(sc.track(endpoint(openai_chat, FaultyTransport(answer)), ledger), [])
    assert ledger.flush(10)
    ledger.close()
    with psycopg.connect(conninfo) as connection:
        rows = connection.execute("SELECT requests::text FROM requests").fetchall()
    texts = {str(number): row[0].encode() for number, row in enumerate(rows)}
    assert len(texts) == len(answers("openai_chat"))
    assert found(texts | {"store": repr(store).encode()}, *KEYS.values()) == []
