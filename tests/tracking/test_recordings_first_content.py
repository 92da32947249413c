"""The time to the first content, of every recording that begins with something else: roles, pings, comments, empty words.

A recording is played piece by piece, a second between two, in virtual time. Which piece is the first with content, and
with words, a plain look at its JSON says.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from support import MISSING, SHARED

import streamcore as sc
from adapters import plain_openai_responses
from recorded import Recorded, recordings
from streamcore.testing import Pause, virtual_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streamcore.tracking.record import Record

pytestmark = pytest.mark.anyio
needed = pytest.mark.skipif(not SHARED.exists(), reason=MISSING.kwargs["reason"])

Object = dict[str, Any]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return virtual_time(request.param)


def within(value: Any, *path: str) -> Any:
    """What is there, or {} if nothing is."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return {} if value is None else value


def chat(value: Object) -> Iterator[str]:
    """Of the first choice. Encrypted reasoning is not content, nor is a signature."""
    for choice in value.get("choices") or ():
        delta = within(choice, "delta") if not choice.get("index") else {}
        if isinstance(delta.get("content"), list):
            yield from ("text" if piece.get("text") else "more" for piece in delta["content"])
        elif delta.get("content"):
            yield "text"
        names = ("reasoning", "reasoning_content", "reasoning_text", "refusal", "tool_calls", "function_call", "audio")
        yield from ("more" for name in (*names, "images", "annotations") if delta.get(name))
        details = delta.get("reasoning_details") or ()
        yield from ("more" for detail in details if detail.get("text") or detail.get("summary"))


OF_RESPONSES = ("output_text", "reasoning_text", "reasoning_summary_text", "refusal", "function_call_arguments")
ITEMS = ("message", "reasoning", "function_call", "custom_tool_call")


def responses(value: Object) -> Iterator[str]:
    """What runs at the provider is content when it is whole: what it is to us is the item that goes back.

    A draft of an image is none.
    """
    kind, item = value.get("type") or "", within(value, "item")
    what = kind.removeprefix("response.").rpartition(".")[0]
    if what in OF_RESPONSES and (value.get("delta") or value.get("text")):
        yield "text" if what == "output_text" else "more"
    ours = item.get("type") in ITEMS and item.get("name") not in plain_openai_responses.SEARCHES_OF_X
    if kind == "response.output_item.added" and ours and item["type"].endswith("call"):
        yield "more"
    if kind == "response.output_item.done" and not ours:
        yield "more"


def messages(value: Object, whole: set[int]) -> Iterator[str]:
    """Likewise; `whole` are the blocks of that kind that have begun."""
    block, delta, index = within(value, "content_block"), within(value, "delta"), value.get("index", -1)
    if block.get("type") == "tool_use":
        yield "more"
    elif block and block["type"] not in ("text", "thinking"):
        whole.add(index)
    if index in whole:
        yield from ["more"] * (value["type"] == "content_block_stop")
        return
    for name in ("text", "thinking", "partial_json", "citation"):
        if block.get(name) or delta.get(name):
            yield "text" if name == "text" else "more"


def generate_content(value: Object) -> Iterator[str]:
    for candidate in value.get("candidates") or ():
        for part in within(candidate, "content", "parts") or ():
            if part.get("text"):
                yield "more" if part.get("thought") else "text"
            elif part.keys() - {"text", "thought", "thoughtSignature"}:
                yield "more"


def converse(value: Object) -> Iterator[str]:
    if within(value, "start"):
        yield "more"
    delta = within(value, "delta")
    if delta.get("text"):
        yield "text"
    elif delta.keys() - {"text"} and within(delta, "reasoningContent", "text") != "":
        yield "more"


def cohere(value: Object) -> Iterator[str]:
    message = within(value, "delta", "message")
    content = within(message, "content")
    if content and content.get("text"):
        yield "text"
    if (content and content.get("thinking")) or message.get("tool_plan") or message.get("tool_calls"):
        yield "more"


def ollama(value: Object) -> Iterator[str]:
    message = within(value, "message")
    if message.get("content"):
        yield "text"
    if message.get("thinking") or message.get("tool_calls"):
        yield "more"


LOOKS: dict[str, Callable[[Object], Iterator[str]]] = {
    "chat_completions": chat,
    "responses": responses,
    "generate_content": generate_content,
    "converse_stream": converse,
    "chat_v2": cohere,
    "ollama_chat": ollama,
}


def looked(one: Recorded) -> tuple[int | None, int | None]:
    """The number of the first piece with content, and of the first with words; from 1, as the pauses are."""
    first: dict[str, int] = {}
    look = partial(messages, whole=set()) if one.wire == "messages" else LOOKS[one.wire]
    for number, (_, value) in enumerate(one.pieces, 1):
        if isinstance(value, dict):
            for kind in look(value):
                first.setdefault(kind, number)
    return min(first.values(), default=None), first.get("text")


async def played(one: Recorded) -> Record:
    steps = [step for piece, _ in one.pieces for step in (Pause(1), piece)]
    stream = sc.track(one.endpoint("m", steps)).stream("hi").within(first_token=10_000, idle=10_000, total=None)
    with suppress(sc.StreamFailed):
        async with stream:
            async for _ in stream:
                pass
    assert stream.record is not None
    return stream.record


BEGINNINGS = {
    "chat_completions": 520,  # a role, comments, a prompt's filter
    "responses": 125,  # the response, the item and its part
    "messages": 125,  # the message, the block, a ping
    "generate_content": 1,
    "converse_stream": 37,  # the message
    "chat_v2": 23,
    "ollama_chat": 0,
}
"""How many recordings of a wire begin with something else than content, at least."""


@needed
@pytest.mark.parametrize("wire", BEGINNINGS)
async def test_the_first_content_is_when_it_came_and_not_what_came_before(wire):
    late, different = 0, {}
    for one in recordings(wire):
        record = await played(one)
        content, text = looked(one)
        if (record.marks.first_content, record.marks.first_text) != (seconds(content), seconds(text)):
            different[one.id] = record.marks, content, text
        late += content is not None and content > 1
    assert different == {}
    assert late >= BEGINNINGS[wire]


def seconds(number: int | None) -> Any:
    return None if number is None else pytest.approx(number)


QUIET = {
    "comment": ("chat_completions", lambda piece, _: piece.startswith(b":")),
    "role": ("chat_completions", lambda _, value: within(value, "choices") and list(chat(value)) == []),
    "ping": ("messages", lambda _, value: within(value, "type") == "ping"),
    "empty reasoning": ("messages", lambda _, value: within(value, "content_block").get("thinking") == ""),
    "empty summary": ("responses", lambda _, value: within(value, "item").get("summary") == []),
    "nothing but counts": ("messages", lambda _, value: within(value, "message", "usage") != {}),
}


@needed
@pytest.mark.parametrize("what", QUIET)
def test_there_are_recordings_that_begin_with(what):
    wire, says = QUIET[what]
    assert any(says(*piece) for one in recordings(wire) for piece in one.pieces[: (looked(one)[0] or 1) - 1])
