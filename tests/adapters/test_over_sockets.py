"""Every adapter calls a real server on the loopback, with both HTTP libraries and on both event loops.

The server plays recorded bytes in small pieces: what comes out is what a reader makes of the whole, and what went in is
the request that the provider documents.
"""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

import httpx
import httpx2
import pytest
from support import MISSING, OWN, Row, rows

import streamcore as sc
from adapters.made_up import MADE_UP
from streamcore.adapter import Adapter, load
from streamcore.testing import Answer, Recording, Server, read, serve
from streamcore.transport import HTTPX

# httpx and httpcore read a body through nested generators and do not close the inner ones; trio says so.
NESTED = r"ignore:Async generator '(httpx|httpcore)2?\.:ResourceWarning"
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings(NESTED),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <async_generator:pytest.PytestUnraisableExceptionWarning"),
]

KEY = "k-very-secret"
BEARER = {"authorization": f"Bearer {KEY}"}
SSE = "text/event-stream"
ASKED = [{"role": "user", "content": "Why?"}]
CHATTED = {"model": "m", "messages": ASKED, "stream": True, "stream_options": {"include_usage": True}}
CHAT = "/chat/completions"


class Format(NamedTuple):
    """What an adapter sends when asked `Why?` of the model `m`, and of what type its answers are."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    answer: str = SSE


FORMATS = {
    "openai_chat": Format(CHAT, BEARER, CHATTED),
    "openai_responses": Format("/responses", BEARER, {"model": "m", "input": ASKED, "stream": True, "store": False}),
    "anthropic": Format(
        "/messages",
        {"x-api-key": KEY, "anthropic-version": "2026-10-21"},
        {
            "model": "m",
            "max_tokens": 8192,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Why?"}]}],
            "stream": True,
        },
    ),
    "gemini": Format(
        "/models/m:streamGenerateContent?alt=sse",
        {"x-goog-api-key": KEY},
        {"contents": [{"role": "user", "parts": [{"text": "Why?"}]}]},
    ),
    "bedrock": Format(
        "/model/m/converse-stream",
        BEARER,
        {"messages": [{"role": "user", "content": [{"text": "Why?"}]}]},
        "application/vnd.amazon.eventstream",
    ),
    "cohere": Format("/chat", BEARER, {"model": "m", "messages": ASKED, "stream": True}),
    "ollama": Format("/api/chat", BEARER, {"model": "m", "messages": ASKED, "stream": True}, "application/x-ndjson"),
    "mistral": Format(CHAT, BEARER, {"model": "m", "messages": ASKED, "stream": True}),
    "azure": Format(CHAT, {"api-key": KEY}, CHATTED),
    "deepseek": Format(CHAT, BEARER, CHATTED),
    "groq": Format(CHAT, BEARER, CHATTED),
    "llama_cpp": Format(CHAT, BEARER, CHATTED),
    "ollama_v1": Format(CHAT, BEARER, CHATTED),
    "openrouter": Format(CHAT, BEARER, CHATTED),
    "perplexity": Format(CHAT, BEARER, {"model": "m", "messages": ASKED, "stream": True}),
    "xai": Format(CHAT, BEARER, CHATTED),
}
# The recordings of each, which are in files by the API.
APIS = {
    "openai_responses": "responses",
    "anthropic": "messages",
    "gemini": "generate_content",
    "bedrock": "converse_stream",
    "cohere": "chat_v2",
    "ollama": "ollama_chat",
}
PROVIDERS = {"openai_chat": "openai", "llama_cpp": "other", "ollama_v1": "ollama"}


class Play(NamedTuple):
    """An answer to be played to an adapter."""

    id: str
    name: str
    body: bytes
    content_type: str


def of(name: str, row: Row) -> bool:
    """Whether a recording is in the format that this adapter speaks, as its server does; long ones are left out."""
    if name in APIS:
        return len(row.body) < 10_000
    local = row.fields["host"] in ("llamacpp", "localhost:8080") or name != "llama_cpp"
    return local and row.fields["provider"] == PROVIDERS.get(name, name) and len(row.body) < 10_000


def recorded() -> list[Play]:
    """Of each adapter the three of its recordings that lie furthest apart."""
    files = {api: rows(f"streams-{api}") for api in ("chat_completions", *APIS.values())}
    plays = []
    for name, format in FORMATS.items():
        found = [row for row in files[APIS.get(name, "chat_completions")] if of(name, row)]
        for row in found[:: max(1, len(found) // 3)][:3]:
            array = row.fields["framing"] == "json_array"
            plays.append(Play(row.id, name, row.body, "application/json" if array else format.answer))
    return plays


def own() -> list[Play]:
    """All of our own recordings, and what was made up to show what must go back."""
    found = [(path.stem, Recording.load(path)) for path in sorted(OWN.glob("*.json"))]
    plays = [
        Play(id, item.adapter, item.data, item.content_type)
        for id, item in found
        if item.status == 200 and "-local-" not in id
    ]
    made = [
        Play(f"made-up-{name}", name, body, FORMATS[name].answer)
        for name, (_, _, body, _) in {**MADE_UP, "openai_chat": MADE_UP["curious"]}.items()
        if name in FORMATS
    ]
    return plays + made


RECORDED = recorded()


def plays() -> list[Any]:
    missing = [] if RECORDED else [pytest.param(None, marks=MISSING, id="missing")]
    return [pytest.param(play, id=f"{play.name}-{play.id}") for play in [*own(), *RECORDED]] + missing


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
async def transport(request):
    async with request.param.AsyncClient(trust_env=False, verify=False) as client:
        yield HTTPX(client)


def small(body: bytes) -> list[bytes]:
    """A body in pieces of 1 to 60 bytes."""
    rng = random.Random(len(body))
    pieces, at = [], 0
    while at < len(body):
        size = rng.randint(1, 60)
        pieces.append(body[at : at + size])
        at += size
    return pieces


def at(server: Server, name: str, transport: HTTPX) -> sc.Endpoint:
    return sc.Endpoint(name, "m", url=f"{server.url}/root", key=KEY, transport=transport)


async def events_of(stream: Any) -> list[Any]:
    """All events, also the `Failure` that ends them."""
    events = []
    try:
        async with stream:
            async for event in stream:
                events.append(event)
    except sc.StreamFailed as error:
        events.append(error.failure)
    return events


# Answers


@pytest.mark.parametrize("play", plays())
async def test_an_answer_in_small_pieces_is_what_a_reader_makes_of_the_whole(transport, play):
    adapter: Adapter = load(play.name)
    with serve(Answer(small(play.body), headers={"content-type": play.content_type})) as server:
        stream = at(server, play.name, transport).stream("Why?")
        assert await events_of(stream) == read(adapter, [play.body])
        assert stream.outcome == read(adapter, [play.body])[-1]


# Requests


@pytest.mark.parametrize("name", FORMATS)
async def test_a_request_is_what_the_provider_documents(transport, name):
    format = FORMATS[name]
    with serve(Answer(status=500)) as server:
        await events_of(at(server, name, transport).stream("Why?"))
        (request,) = server.requests
    assert (request.method, request.path) == ("POST", f"/root{format.path}")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert json.loads(request.body) == format.body
    shown = {name: value for name, value in request.headers.items() if KEY in value or name in format.headers}
    assert shown == format.headers
    assert KEY.encode() not in request.body


# Errors: the recorded ones by their ids, and one of each format by hand

RECORDED_ERRORS = {
    "anthropic": {
        "anthropic-messages-object-basic-c189c9": "invalid",
        "anthropic-messages-auth-rejection-carries-identity-8abc1d": "auth",
        "anthropic-messages-anthropic-client-error-b47f79": "not_found",
        "anthropic-messages-anthropic-structured-outputs-with-events-wit-3f0fb7": "server",
        "anthropic-messages-async-9deff9": "overloaded",  # plain text, from a proxy
    },
    "bedrock": {
        "bedrock-converse-multi-tool-6ca8a7": "invalid",
        "bedrock-converse-usage-91eb73": "auth",  # 403: the signature has expired
        "bedrock-converse-retired-model-id-preserves-provider-error-10ca58": "not_found",
    },
    "openai_responses": {
        "azure-responses-async-a1aa0f": "invalid",
        "openai-responses-auth-rejection-carries-identity-c062cd": "auth",
        "openai-responses-cassette-15870f": "not_found",  # 400: there is no such model
        "openai-responses-openai-test-responses-async-api-fb37ff": "overloaded",
    },
    "gemini": {
        "gemini-genc-async-d29afc": "invalid",
        "gemini-genc-auth-rejection-keeps-transport-shape-05d1e6": "auth",  # 400: the key is not valid
        "gemini-genc-testgoogleaierrorhandling-da4b1c": "permission",
        "gemini-genc-cassette-5d19b2": "not_found",
        "gemini-genc-testagentmultimodalgemini-test-mixed-files-g-e45424": "rate_limit",
        "gemini-genc-google-genai-v280-01f5c7": "overloaded",
        "vertex-genc-tool-events-no-content-237cbd": "auth",
    },
    "cohere": {
        "cohere-chat_v2-documents-9ff04f": "invalid",
        "cohere-chat_v2-invoke-multiple-tools-e6f8d9": "invalid",
        "cohere-chat_v2-langchain-tool-calling-agent-6c81dd": "not_found",
        "cohere-chat_v2-sql-agent-1c1f5d": "server",  # inside a stream of status 200
    },
    "ollama": {
        "ollama-ollama_chat-testtoolcall-27e263": "invalid",
        "ollama-ollama_chat-chat-error-records-model-name-e829d5": "not_found",
        "other-chat-maritaca-ollama_chat-testclient-generate-89af17": "auth",
    },
    "openai_chat": {
        "openai-chat-agent-document-base64-bare-2fb38a": "invalid",
        "openai-chat-agent-stream-buffer-pattern-early-return-7ca3ed": "auth",
        "openai-chat-basic-f849d5": "permission",
        "openai-chat-agent-function-calling-llm-7fafce": "not_found",
        "openai-chat-content-image-url-7d89b8": "quota",
        "openai-chat-hierarchical-crew-creation-tasks-with-async-b38d07": "server",  # inside a stream of status 200
    },
    "mistral": {
        "mistral-chat-an-unsupported-reasoning-effort-keeps-the-id-c7cc74": "invalid",
        "mistral-chat-mistral-with-tools-44e6a1": "auth",
        "mistral-chat-testruntime-mistral-basic-06fd56": "rate_limit",
    },
    "azure": {
        "azure-chat-tool-round-trip-1-6e722d": "invalid",
        "azure-chat-chat-reasoning-8f7e10": "not_found",
    },
    "groq": {
        "groq-chat-auth-rejection-classifies-with-contract-4f6ff5": "auth",
        "groq-chat-groq-meta-llama-llama-4-scout-17b-16e-in-obj-44af79": "invalid",  # inside a stream of status 200
    },
    "openrouter": {
        "openrouter-chat-reasoning-basic-3de865": "permission",
        "openrouter-chat-openrouter-google-gemma-2-9b-it-free-streami-7bbe88": "rate_limit",
    },
    "xai": {"xai-chat-basic-1adf4a": "not_found"},
}
ERRORS_BY_HAND: dict[str, tuple[int, dict[str, str], Any, str]] = {
    "anthropic": (529, {}, {"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}}, "overloaded"),
    "azure": (404, {}, {"error": {"code": "DeploymentNotFound", "message": "None"}}, "not_found"),
    "bedrock": (429, {"x-amzn-errortype": "ThrottlingException:http://internal/"}, {"message": "Slow"}, "rate_limit"),
    "cohere": (422, {}, {"id": "1", "message": "No such field"}, "invalid"),
    "deepseek": (402, {}, {"error": {"message": "Insufficient Balance", "type": "unknown_error"}}, "quota"),
    "gemini": (429, {}, [{"error": {"code": 429, "message": "Slow", "status": "RESOURCE_EXHAUSTED"}}], "rate_limit"),
    "groq": (498, {}, {"error": {"message": "Full", "type": "capacity", "code": "capacity_exceeded"}}, "overloaded"),
    "llama_cpp": (503, {}, {"error": {"code": 503, "message": "Loading", "type": "unavailable_error"}}, "overloaded"),
    "mistral": (401, {}, {"detail": "Unauthorized"}, "auth"),
    "ollama": (404, {}, {"error": "model 'm' not found"}, "not_found"),
    "ollama_v1": (404, {}, {"error": {"message": "model 'm' not found", "type": "api_error"}}, "not_found"),
    "openai_chat": (429, {}, {"error": {"message": "Pay", "code": "insufficient_quota"}}, "quota"),
    "openai_responses": (401, {}, {"error": {"message": "Who?", "code": "invalid_api_key"}}, "auth"),
    "openrouter": (402, {}, {"error": {"code": 402, "message": "Insufficient credits"}}, "quota"),
    "perplexity": (400, {}, {"error": {"message": "No", "type": "invalid_model", "code": 400}}, "invalid"),
    "xai": (400, {}, {"code": "Client specified an invalid argument", "error": "No"}, "invalid"),
}


OF_THE_CONNECTION = {"connection", "content-encoding", "content-length", "transfer-encoding"}


def recorded_errors() -> list[Any]:
    apis = ("chat_completions", *APIS.values())
    found = {row.id: row for api in apis for row in rows(f"errors-{api}")}
    return [
        pytest.param(name, found[id], kind, id=f"{name}-{id}")
        for name, kinds in RECORDED_ERRORS.items()
        for id, kind in kinds.items()
        if found
    ] or [pytest.param(None, None, None, marks=MISSING, id="missing")]


async def failure_of(answer: Answer, name: str, transport: HTTPX) -> sc.Failure:
    with serve(answer) as server:
        stream = at(server, name, transport).stream("Why?")
        with pytest.raises(sc.StreamFailed) as caught:
            async with stream:
                await stream.collect()
    assert stream.outcome == caught.value.failure
    return caught.value.failure


@pytest.mark.parametrize(("name", "row", "kind"), recorded_errors())
async def test_a_recorded_error_is_raised_as_what_it_is(transport, name, row, kind):
    own = {header: value for header, value in row.headers.items() if header not in OF_THE_CONNECTION}
    answer = Answer(small(row.body), row.status, {"content-type": "application/json", **own})
    failure = await failure_of(answer, name, transport)
    assert failure.kind == kind
    assert row.status in (200, failure.status)


@pytest.mark.parametrize("name", ERRORS_BY_HAND)
async def test_an_error_is_raised_as_what_it_is_with_the_time_to_wait(transport, name):
    status, headers, body, kind = ERRORS_BY_HAND[name]
    headers = {"content-type": "application/json", "retry-after": "7", **headers}
    answer = Answer(small(json.dumps(body).encode()), status, headers, framing="length")
    failure = await failure_of(answer, name, transport)
    assert (failure.kind, failure.status, failure.retry_after) == (kind, status, 7.0)


@pytest.mark.parametrize("name", FORMATS)
async def test_a_page_of_a_proxy_is_no_answer(transport, name):
    page = b"<html><h1>502 Bad Gateway</h1></html>"
    failure = await failure_of(Answer(small(page), 502, {"content-type": "text/html"}), name, transport)
    assert (failure.kind, failure.status) == ("server", 502)
    assert "Bad Gateway" in failure.message


@pytest.mark.parametrize("play", [pytest.param(play, id=play.name) for play in own() if play.id.startswith("made-up")])
async def test_an_answer_that_is_broken_off_is_truncated(transport, play):
    half = small(play.body[: len(play.body) // 2])
    answer = Answer([*half, "close"], headers={"content-type": play.content_type})
    assert (await failure_of(answer, play.name, transport)).kind == "truncated"
