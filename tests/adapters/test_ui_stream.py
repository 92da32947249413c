"""The format `ui_stream`: what is written keeps the rules that its client enforces, and the client itself reads it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from msgspec import structs

from strategies import streams
from streamcore.dialect import Call, EventEncoder
from streamcore.errors import LocalError
from streamcore.events import (
    Attachment,
    BlockEnd,
    Citation,
    Extension,
    Failure,
    FailureKind,
    Finish,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from streamcore.message import Fold
from streamcore.request import prompt
from streamcore_adapters import ui_stream

CALL = Call(request=prompt("Hi"), id="msg_own")
SIGNED = '{"signature":"c2ln"}'
KEPT = {"streamcore": {"opaque": SIGNED}}

READER = """
import { parseJsonEventStream } from '@ai-sdk/provider-utils';
import { readUIMessageStream, uiMessageChunkSchema } from 'ai';
import { text } from 'node:stream/consumers';

const answers = [];
for (const body of JSON.parse(await text(process.stdin))) {
  const errors = [];
  const stream = parseJsonEventStream({ stream: new Blob([body]).stream(), schema: uiMessageChunkSchema })
    .pipeThrough(new TransformStream({
      transform(chunk, controller) {
        if (chunk.success) controller.enqueue(chunk.value); else errors.push(String(chunk.error));
      },
    }));
  let message = null;
  const onError = error => { errors.push(error.message); };
  try {
    for await (const state of readUIMessageStream({ stream, onError })) message = state;
  } catch (error) { errors.push(error.message); }
  answers.push({ message, errors });
}
console.log(JSON.stringify(answers));
"""


def answer(*events: Any, reason: Any = "stop") -> list[Any]:
    return [Start("msg_1", "gpt"), *events, Finish(reason)]


def written(events: Any) -> bytes:
    encoder = ui_stream.Encoder(CALL)
    return b"".join(encoder.feed(event) for event in events)


def lost(events: Any) -> dict[str, int]:
    encoder: EventEncoder = ui_stream.Encoder(CALL)
    for event in events:
        encoder.feed(event)
    return dict(encoder.lost)


def parts(events: Any) -> list[Any]:
    """The JSON of what is written; the last is the text [DONE], if that came."""
    datas = [frame.removeprefix("data: ") for frame in written(events).decode().split("\n\n")[:-1]]
    return [data if data == "[DONE]" else json.loads(data) for data in datas]


def unique(events: Any) -> list[Any]:
    """Calls with ids of their own."""
    return [
        structs.replace(event, id=f"call_{event.index}") if isinstance(event, ToolCallStart) else event
        for event in events
    ]


def check(found: list[Any]) -> None:
    """Assert what the client does before it takes a part."""
    assert [part["type"] for part in found[:2]] == ["start", "start-step"]
    under_way: set[tuple[str, str]] = set()
    for part in found[2:]:
        if part == "[DONE]":
            continue
        kind, _, step = part["type"].rpartition("-")
        key = kind, part.get("id", "")
        if kind in ("text", "reasoning") and step == "start":
            assert key not in under_way
            under_way.add(key)
        elif kind in ("text", "reasoning"):
            assert key in under_way
            if step == "end":
                under_way.remove(key)
        elif kind == "tool-input":
            call = kind, part["toolCallId"]
            assert (call in under_way) != (step == "start")
            (under_way.add if step in ("start", "delta") else under_way.remove)(call)
    if found[-1] == "[DONE]":
        assert not under_way
        assert [part["type"] for part in found[-3:-1]] == ["finish-step", "finish"]


@given(streams())
def test_it_keeps_the_rules_of_its_client(events):
    check(parts(unique(events)))


@given(streams())
def test_the_words_are_all_there(events):
    found = parts(unique(events))
    fold = Fold([event for event in unique(events) if not isinstance(event, Citation)])
    said = {"text-delta": "", "reasoning-delta": "", "error": ""}
    for part in found:
        if part != "[DONE]" and part["type"] in said:
            said[part["type"]] += part.get("delta", "")
    assert sorted(said["text-delta"]) == sorted(fold.text + fold.refusal)
    assert sorted(said["reasoning-delta"]) == sorted(fold.reasoning)


@given(streams())
def test_only_what_is_declared_gets_lost(events):
    assert lost(unique(events)).keys() <= ui_stream.losses.keys()


def test_a_text():
    assert parts(answer(TextDelta(0, "H"), TextDelta(0, "i"), BlockEnd(0, SIGNED), Usage(3, 2))) == [
        {"type": "start", "messageId": "msg_1", "messageMetadata": {"model": "gpt"}},
        {"type": "start-step"},
        {"type": "text-start", "id": "0"},
        {"type": "text-delta", "id": "0", "delta": "H"},
        {"type": "text-delta", "id": "0", "delta": "i"},
        {"type": "text-end", "id": "0", "providerMetadata": KEPT},
        {"type": "finish-step"},
        {
            "type": "finish",
            "finishReason": "stop",
            "messageMetadata": {"model": "gpt", "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}},
        },
        "[DONE]",
    ]


def test_a_refusal_is_a_text_that_says_so():
    found = parts(answer(RefusalDelta(0, "No."), BlockEnd(0), reason="refusal"))
    assert found[2] == {"type": "text-start", "id": "0", "providerMetadata": {"streamcore": {"refusal": True}}}
    assert found[-2]["finishReason"] == "content-filter"


def test_a_call_has_its_arguments_as_a_value_once_they_are_whole():
    events = [
        ToolCallStart(0, "call_1", "add"),
        ToolCallDelta(0, '{"a":\n'),
        ToolCallDelta(0, "1}"),
        BlockEnd(0, SIGNED),
    ]
    call = {"toolCallId": "call_1", "toolName": "add"}
    assert parts(answer(*events))[2:-3] == [
        {"type": "tool-input-start", **call},
        {"type": "tool-input-delta", "toolCallId": "call_1", "inputTextDelta": '{"a":\n'},
        {"type": "tool-input-delta", "toolCallId": "call_1", "inputTextDelta": "1}"},
        {"type": "tool-input-available", **call, "input": {"a": 1}, "providerMetadata": KEPT},
    ]


def test_a_call_without_arguments_has_an_empty_object():
    found = parts(answer(ToolCallStart(0, "call_1", "now"), ToolCallDelta(0, ""), BlockEnd(0)))
    assert found[3]["input"] == {}


def test_a_call_whose_arguments_are_no_json_is_an_error():
    found = parts(answer(ToolCallStart(0, "call_1", "patch"), ToolCallDelta(0, "***"), BlockEnd(0)))
    assert (found[4]["type"], found[4]["input"]) == ("tool-input-error", "***")


def test_a_source_says_of_which_text_it_is():
    found = parts(answer(Citation(0, "https://a", "A", "said", 0, 2, "{}"), BlockEnd(0)))
    assert found[3] == {
        "type": "source-url",
        "sourceId": "source-1",
        "url": "https://a",
        "title": "A",
        "providerMetadata": {"streamcore": {"id": "0", "start": 0, "end": 2, "text": "said"}},
    }


def test_a_source_without_an_address_is_lost():
    assert lost(answer(TextDelta(0, "Hi"), Citation(0, raw="{}"), BlockEnd(0))) == {"Citation": 1, "Citation.raw": 1}


def test_a_file_comes_whole():
    found = parts(answer(Attachment(0, "image/png", b"\0"), Attachment(0, "image/png", b"\1"), BlockEnd(0)))
    assert found[2] == {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,AAE="}


def test_a_file_elsewhere_is_where_it_is():
    found = parts(answer(Attachment(0, "image/png", url="https://a"), BlockEnd(0)))
    assert found[2] == {"type": "file", "mediaType": "image/png", "url": "https://a"}
    assert lost(answer(Attachment(0, "image/png"), BlockEnd(0))) == {"Attachment": 1}


def test_what_only_a_provider_has_is_data():
    found = parts(answer(Extension("anthropic:x", "[1,\n2]", 0), BlockEnd(0)))
    assert found[2] == {"type": "data-extension", "data": {"name": "anthropic:x", "value": [1, 2]}}
    assert lost(answer(Extension("x", "{", 0), BlockEnd(0, SIGNED))) == {"Extension": 1, "BlockEnd.opaque": 1}


@pytest.mark.parametrize("reason", FinishReason.__args__)
def test_finish_reasons_are_those_that_every_client_knows(reason):
    found = parts(answer(reason=reason))[-2]["finishReason"]
    assert found in ("stop", "length", "content-filter", "tool-calls", "error", "other")


def test_a_message_has_a_name_even_if_the_provider_gave_none():
    assert parts([Start(), Finish("stop", "end")]) == [
        {"type": "start", "messageId": "msg_own"},
        {"type": "start-step"},
        {"type": "finish-step"},
        {"type": "finish", "finishReason": "stop"},
        "[DONE]",
    ]


@pytest.mark.parametrize("kind", FailureKind.__args__)
def test_a_failure_is_the_last_part(kind):
    *_, last = parts([Start(), TextDelta(0, "Hi"), Failure(kind, "Broken.")])
    if kind == "cancelled":
        assert last == {"type": "abort", "reason": "Broken."}
    else:
        assert last == {"type": "error", "errorText": "Broken."}


def test_what_else_a_failure_knows_is_counted():
    failure = Failure("timeout", "x", detail="idle", status=504, code="c", retry_after=1.0)
    names = ("code", "detail", "kind", "retry_after", "status")
    assert lost([Start(), failure]) == {f"Failure.{name}": 1 for name in names}


def test_a_whole_answer_is_the_stream_that_it_would_have_been():
    events = answer(ReasoningDelta(0, "Hm."), BlockEnd(0, '{"id":1}'), TextDelta(1, "Hi"), BlockEnd(1), Usage(1, 2))
    assert ui_stream.render(Fold(events), CALL) == written(events)
    assert ui_stream.render(Fold(events[:-1]), CALL).endswith(
        b'{"type":"error","errorText":"the answer had not ended"}\n\n'
    )


def test_a_quota_is_told_from_a_limit_of_rate_by_its_status():
    assert ui_stream.error(Failure("quota", "Pay."))[0] == 402


def test_an_http_error_is_a_text():
    assert ui_stream.error(Failure("rate_limit", "Slow down.")) == (429, b"Slow down.")
    assert ui_stream.error(Failure("truncated", "Cut."))[0] == 502


def test_its_clients_know_it_by_a_header():
    assert ui_stream.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert ui_stream.keep_alive == b": keep-alive\n\n"


# The client itself


ANSWER = answer(
    ReasoningDelta(0, "Let me see."),
    BlockEnd(0, SIGNED),
    TextDelta(1, "It is "),
    TextDelta(1, "15\u00a0°C.\n"),
    Citation(1, "https://a", "A"),
    BlockEnd(1),
    ToolCallStart(2, "call_1", "add"),
    ToolCallStart(3, "call_2", "add"),
    ToolCallDelta(2, '{"a":'),
    ToolCallDelta(3, "***"),
    ToolCallDelta(2, "1}"),
    BlockEnd(3),
    BlockEnd(2),
    Attachment(4, "image/png", b"\x89PNG"),
    BlockEnd(4),
    RefusalDelta(5, "No."),
    BlockEnd(5),
    Extension("gemini:x", "{}"),
    Usage(10, 20, 5),
    reason="tool_calls",
)
FAILED = [Start("msg_1", "gpt"), TextDelta(0, "Hi"), Failure("overloaded", "Busy.")]
CANCELLED = [Start("msg_1", "gpt"), TextDelta(0, "Hi"), Failure("cancelled", "Gone.")]


@pytest.fixture(scope="module")
def seen():
    """What the npm package `ai` makes of the three answers."""
    node, folder = shutil.which("node"), os.environ.get("STREAMCORE_NODE")
    if node is None or folder is None:
        pytest.skip("no node, or no folder STREAMCORE_NODE in which `npm install ai@7` was run")
    reader = Path(folder) / f"read-{os.getpid()}.mjs"
    reader.write_text(READER)
    bodies = json.dumps([written(events).decode() for events in (ANSWER, FAILED, CANCELLED)])
    ran = subprocess.run(
        [node, reader.name], check=True, capture_output=True, timeout=60, cwd=folder, input=bodies.encode()
    )
    reader.unlink()
    return json.loads(ran.stdout)


def test_the_client_reads_every_part(seen):
    whole = seen[0]
    assert whole["errors"] == []
    assert whole["message"]["id"] == "msg_1"
    assert whole["message"]["metadata"]["usage"] == {
        "inputTokens": 10,
        "outputTokens": 20,
        "cacheReadTokens": 5,
        "totalTokens": 30,
    }
    kinds = [part["type"] for part in whole["message"]["parts"]]
    assert kinds == [
        "step-start",
        "reasoning",
        "text",
        "source-url",
        "tool-add",
        "tool-add",
        "file",
        "text",
        "data-extension",
    ]
    assert whole["message"]["parts"][2]["text"] == "It is 15\u00a0°C.\n"
    assert whole["message"]["parts"][1]["providerMetadata"] == KEPT
    states = [(part["state"], part.get("input")) for part in whole["message"]["parts"] if part["type"] == "tool-add"]
    assert states == [("input-available", {"a": 1}), ("output-error", "***")]


def test_the_client_sees_that_a_stream_failed(seen):
    assert "Busy." in seen[1]["errors"]
    assert seen[1]["message"]["parts"][-1]["text"] == "Hi"


def test_the_client_takes_a_cancelled_stream(seen):
    assert seen[2]["errors"] == []
    assert seen[2]["message"]["parts"][-1]["text"] == "Hi"


def test_nobody_can_ask_in_it():
    with pytest.raises(LocalError, match="nobody can ask in it"):
        ui_stream.parse(b"{}", {})
