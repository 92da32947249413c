"""The official SDKs, asked for one stream over a client of ours: what they give, thing by thing, and what they raise."""

from __future__ import annotations

from importlib.util import find_spec
from urllib.parse import urlsplit

import pytest

QUESTION = "Why is the sky blue?"
LOCAL = "http://localhost"


def root(url, path, default):
    """The address that an SDK is given so that it sends to this URL."""
    if not url:
        return default
    url = url if "://" in url else LOCAL + url
    parts = urlsplit(url)
    prefix = parts.path.removesuffix(path) if parts.path.endswith(path) else ""
    return f"{parts.scheme}://{parts.netloc}{prefix}"


class Chat:
    """openai, Chat Completions."""

    name, wire, recordings = "openai", "openai_chat", "chat_completions"
    clients = "httpx2"

    @classmethod
    def installed(cls):
        return find_spec(cls.name.partition(".")[0]) is not None and find_spec(cls.name) is not None

    @staticmethod
    def address(url):
        return root(url, "/chat/completions", "https://api.openai.com/v1")

    @staticmethod
    def make(address, client, *, sync, retries=0):
        openai = pytest.importorskip("openai", reason="openai is not installed: uv sync --group bench")
        kind = openai.OpenAI if sync else openai.AsyncOpenAI
        return kind(api_key="sk-the-key", base_url=address, http_client=client, max_retries=retries)

    @staticmethod
    def ask(sdk, model, **more):
        messages = [{"role": "user", "content": QUESTION}]
        return sdk.chat.completions.create(model=model, messages=messages, stream=True, **more)


class Responses(Chat):
    """openai, Responses."""

    wire, recordings = "openai_responses", "responses"

    @staticmethod
    def address(url):
        return root(url, "/responses", "https://api.openai.com/v1")

    @staticmethod
    def ask(sdk, model, **more):
        return sdk.responses.create(model=model, input=QUESTION, stream=True, **more)


class Messages(Chat):
    """anthropic."""

    name, wire, recordings = "anthropic", "anthropic", "messages"
    clients = "httpx2"

    @staticmethod
    def address(url):
        return root(url, "/v1/messages", "https://api.anthropic.com")

    @staticmethod
    def make(address, client, *, sync, retries=0):
        anthropic = pytest.importorskip("anthropic", reason="anthropic is not installed: uv sync --group bench")
        kind = anthropic.Anthropic if sync else anthropic.AsyncAnthropic
        return kind(api_key="sk-the-key", base_url=address, http_client=client, max_retries=retries)

    @staticmethod
    def ask(sdk, model, **more):
        messages = [{"role": "user", "content": QUESTION}]
        return sdk.messages.create(model=model, max_tokens=1024, messages=messages, stream=True, **more)


class GenerateContent(Chat):
    """google-genai."""

    name, wire, recordings = "google.genai", "gemini", "generate_content"
    clients = "httpx"

    @staticmethod
    def address(url):
        return root(url, "-", "https://generativelanguage.googleapis.com")

    @staticmethod
    def make(address, client, *, sync, retries=0):
        genai = pytest.importorskip("google.genai", reason="google-genai is not installed: uv sync --group bench")
        slot = {"httpx_client": client} if sync else {"httpx_async_client": client}
        options = genai.types.HttpOptions(base_url=address, **slot)
        found = genai.Client(api_key="sk-the-key", http_options=options)
        return found.models if sync else found.aio.models

    @staticmethod
    def ask(sdk, model, **more):
        return sdk.generate_content_stream(model=model, contents=QUESTION, **more)


SDKS = [Chat, Responses, Messages, GenerateContent]


def shown(thing):
    """All that there is to see of what an SDK gave."""
    return thing.model_dump(mode="json", warnings=False) if hasattr(thing, "model_dump") else repr(thing)


def raised(error):
    """All that there is to see of what it raised."""
    return (type(error), str(error), getattr(error, "status_code", None), getattr(error, "body", None))


def read(sdk, case, model, *, upto=None, **more):
    """What it gives, up to so many things and then no more, and what it raises."""
    seen = []
    try:
        stream = case.ask(sdk, model, **more)
        for thing in stream:
            seen.append(shown(thing))
            if len(seen) == upto:
                break
        getattr(stream, "close", int)()
    except Exception as error:  # noqa: BLE001 - it is compared
        seen.append(raised(error))
    return seen


async def aread(sdk, case, model, *, upto=None, **more):
    """The same of one that waits."""
    seen = []
    try:
        stream = await case.ask(sdk, model, **more)
        async for thing in stream:
            seen.append(shown(thing))
            if len(seen) == upto:
                break
        close = getattr(stream, "close", None) or getattr(stream, "aclose", None)
        if close is not None:
            await close()
    except Exception as error:  # noqa: BLE001 - it is compared
        seen.append(raised(error))
    return seen
