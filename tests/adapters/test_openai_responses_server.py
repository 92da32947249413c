"""The format `openai_responses`, served: what is written is read back, by this package and by the official client."""

from __future__ import annotations

import json
from typing import Any

import grammar
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import structs
from support import OWN

from strategies import streams
from streamcore import failures
from streamcore.adapter import Adapter
from streamcore.dialect import Call, Dialect
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
from streamcore.request import ReasoningPart, Request, Tool, ToolChoice, prompt
from streamcore.testing import Answer, Recording, read, serve
from streamcore_adapters import openai_responses
from streamcore_adapters.openai_responses import server as dialect

TEXTS = (TextDelta, ReasoningDelta, RefusalDelta)
CALL = Call(request=prompt("Hi"), id="resp_own", created=7)
CUSTOM = Call(request=Request(messages=(), extra={"tools": [{"type": "custom", "name": "patch"}]}))
SEARCH = '{"type":"web_search_call","id":"ws_%d","status":"completed"}'
DRAWN = '{"type":"image_generation_call","id":"ig_%d","output_format":"webp","result":"AAEC"}'
PAGE = '{"type":"url_citation","url":"https://a","title":"A","start_index":0,"end_index":2}'
SAID = '{"type":"message","id":"msg_1","status":"incomplete","phase":"commentary"}'
CALLED = '{"type":"function_call","id":"fc_1","status":"completed","namespace":"n"}'
THOUGHT = '{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"}'
SIGNED = '{"signature":"c2ln"}'


# What is read back


def own_members(opaque: str | None, type: str) -> dict[str, Any]:
    """What an item keeps of what its provider gave it."""
    try:
        own = json.loads(opaque or "null")
    except ValueError:
        own = None
    kept = own if isinstance(own, dict) and own.get("type") == type else {}
    return {"status": "completed", **{name: kept[name] for name in kept if name not in ("type", "id")}}


class Block:
    def __init__(self, first: Any) -> None:
        self.kind = TextDelta if isinstance(first, Citation) else type(first)
        self.index = -1  # in what is read back
        self.said = False
        self.length = 0
        self.data = b""
        self.media_type = ""
        self.item: str | None = None


class Normal:
    """Brings events into the normal form that the server's docstring describes."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.blocks: dict[int, Block] = {}
        self.count = 0
        self.called = self.refused = False
        self.facts: dict[str, str] = {}
        self.usage: Usage | None = None

    def index(self, block: Block) -> int:
        if block.index < 0:
            block.index, self.count = self.count, self.count + 1
        return block.index

    def text(self, block: Block, make: Any, text: str) -> None:
        index = self.index(block)
        last = self.events[-1]
        block.said, block.length = True, block.length + len(text)
        if type(last) is make and last.index == index:
            text = (last.arguments if make is ToolCallDelta else last.text) + text
            self.events.pop()
        self.events.append(make(index, text))

    def add(self, event: Any) -> None:
        if isinstance(event, Start):
            self.events.append(Start(event.id or CALL.id, event.model or None))
        elif isinstance(event, Usage):
            self.usage = event
        elif isinstance(event, Finish | Failure):
            self.end(event)
        elif event.index is None:
            if event.name in ("openai_responses:service_tier", "openai_responses:tool_usage"):
                self.facts[event.name] = event.raw
        else:
            block = self.blocks.setdefault(event.index, Block(event))
            self.of_block(block, event)

    def of_block(self, block: Block, event: Any) -> None:
        if isinstance(event, TEXTS):
            self.refused = self.refused or isinstance(event, RefusalDelta)
            if event.text:
                self.text(block, type(event), event.text)
        elif isinstance(event, ToolCallStart):
            self.called = True
            self.events.append(ToolCallStart(self.index(block), event.id, event.name))
        elif isinstance(event, ToolCallDelta):
            if event.arguments:
                self.text(block, ToolCallDelta, event.arguments)
        elif isinstance(event, Citation):
            if block.kind is TextDelta and event.raw == PAGE:
                self.events.append(Citation(self.index(block), "https://a", "A", None, 0, 2))
                block.said = True
            elif block.kind is TextDelta and event.url:
                start, end = (at if at is not None else block.length for at in (event.start, event.end))
                self.events.append(Citation(self.index(block), event.url, event.title or None, None, start, end))
                block.said = True
        elif isinstance(event, Attachment):
            block.data += event.data or b""
            block.media_type = event.media_type
        elif isinstance(event, Extension):
            if event.name.startswith("openai_responses:") and block.kind in (Attachment, Extension):
                block.item = block.item or event.raw
        else:
            self.block_end(block, event)

    def block_end(self, block: Block, event: BlockEnd) -> None:
        kinds = {TextDelta: "message", RefusalDelta: "message", ToolCallStart: "function_call"}
        if block.kind in (Attachment, Extension):
            self.whole(block)
            return
        if not block.said:
            make, text = (ToolCallDelta, "{}") if block.kind is ToolCallStart else (block.kind, "")
            self.text(block, make, text)
        kept: Any = event.opaque if block.kind is ReasoningDelta else own_members(event.opaque, kinds[block.kind])
        self.events.append(BlockEnd(self.index(block), kept))

    def whole(self, block: Block) -> None:
        """An image, or an item that is carried along."""
        drawn = block.item is not None and "image_generation_call" in block.item
        if drawn or (block.item is None and block.media_type.startswith("image/") and block.data):
            data, media_type = (b"\0\1\2", "image/webp") if drawn else (block.data, block.media_type)
            self.events.append(Attachment(self.index(block), media_type, data))
        elif block.item is not None:
            name = json.loads(block.item)["type"]
            self.events.append(Extension(f"openai_responses:{name}", block.item, self.index(block)))
        else:
            return
        self.events.append(BlockEnd(block.index))

    def end(self, event: Finish | Failure) -> None:
        self.events += (Extension(name, raw) for name, raw in self.facts.items())
        usage = self.usage
        if usage is not None and usage.input_tokens is not None and usage.output_tokens is not None:
            self.events.append(Usage(*structs.astuple(usage)[:5]))
        if isinstance(event, Failure):
            kind = "server" if event.kind in ("protocol", "truncated", "connection") else event.kind
            self.events.append(Failure(kind, event.message or "an error without a message"))
            return
        content = "tool_calls" if self.called else "refusal" if self.refused else "stop"
        if event.reason in ("stop", "tool_calls", content):
            self.events.append(Finish(content, "completed"))
        else:
            words = {"length": "max_output_tokens", "pause": "steered", "other": "other"}
            reason = "content_filter" if event.reason == "refusal" else event.reason
            self.events.append(Finish(reason, words.get(reason, reason)))


def normal(events: Any) -> list[Any]:
    form = Normal()
    for event in events:
        form.add(event)
    return form.events


def as_read(events: Any) -> list[Any]:
    """What was read, in the same form: without our own ids, the JSON of sources, the image's item beside the image."""
    found: list[Any] = []
    images = {event.index for event in events if isinstance(event, Attachment)}
    carried = images | {event.index for event in events if isinstance(event, Extension)}
    for event in events:
        if isinstance(event, BlockEnd) and event.index not in carried:
            own = json.loads(event.opaque)
            if own["type"] == "reasoning":
                token = own.get("encrypted_content", "streamcore:").removeprefix("streamcore:")
                found.append(BlockEnd(event.index, token or None))
            else:
                found.append(BlockEnd(event.index, own_members(event.opaque, own["type"])))
        elif isinstance(event, BlockEnd):
            found.append(BlockEnd(event.index))
        elif isinstance(event, Citation):
            found.append(structs.replace(event, raw=None))
        elif isinstance(event, Failure):
            found.append(Failure(event.kind, event.message))
        elif isinstance(event, TEXTS) and found and type(found[-1]) is type(event) and found[-1].index == event.index:
            found[-1] = type(event)(event.index, found[-1].text + event.text)
        elif (
            isinstance(event, ToolCallDelta) and isinstance(found[-1], ToolCallDelta) and found[-1].index == event.index
        ):
            found[-1] = ToolCallDelta(event.index, found[-1].arguments + event.arguments)
        elif not (isinstance(event, Extension) and event.index in images):
            found.append(event)
    return found


def made_own(draw, number: int, event: Any) -> Any:
    """An event as it was drawn, or as this format has it. Calls have names, and ids of their own."""
    if isinstance(event, ToolCallStart):
        return ToolCallStart(event.index, f"call_{number}", event.name or "f")
    if isinstance(event, BlockEnd):
        tokens = st.sampled_from([None, SAID, CALLED, THOUGHT, SIGNED])
        return BlockEnd(event.index, draw(st.just(event.opaque or None) | tokens))
    if isinstance(event, Citation):
        place = draw(st.sampled_from([(None, None), (0, 1)]))
        return Citation(event.index, event.url, event.title, None, *place, draw(st.sampled_from([None, PAGE, "{}"])))
    if isinstance(event, Attachment):
        return structs.replace(event, media_type=draw(st.sampled_from(["image/png", "image/webp", "audio/wav", "x"])))
    if isinstance(event, Extension) and draw(st.booleans()):
        if event.index is None:
            return Extension("openai_responses:service_tier", '"default"')
        raw = draw(st.sampled_from([SEARCH, DRAWN])) % number
        return Extension(f"openai_responses:{json.loads(raw)['type']}", raw, event.index)
    return event


@st.composite
def answers(draw):
    """Whole streams, some of whose events are this format's own."""
    return [made_own(draw, number, event) for number, event in enumerate(draw(streams()))]


def written(events: Any, call: Call = CALL) -> bytes:
    encoder = dialect.Encoder(call)
    return b"".join(encoder.feed(event) for event in events)


def lost(events: Any, call: Call = CALL) -> dict[str, int]:
    encoder = dialect.Encoder(call)
    for event in events:
        encoder.feed(event)
    return dict(encoder.lost)


def wire(events: Any, call: Call = CALL) -> list[dict[str, Any]]:
    """The JSON of what is written."""
    frames = written(events, call).decode().split("\n\n")[:-1]
    found = []
    for frame in frames:
        name, data = frame.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def answer(*events: Any, reason: Any = "stop", raw: str | None = None) -> list[Any]:
    return [Start("resp_1", "gpt"), *events, Finish(reason, raw)]


def items(*events: Any, call: Call = CALL) -> list[dict[str, Any]]:
    """The items of the response that these events end as."""
    return wire(answer(*events), call)[-1]["response"]["output"]


def test_it_is_an_adapter_and_a_dialect():
    assert isinstance(openai_responses, Adapter)
    assert isinstance(dialect, Dialect)


@given(answers(), st.data())
def test_what_is_written_is_read_back_in_normal_form_however_it_is_cut(events, data):
    body = written(events)
    at = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    chunks = [body[start:end] for start, end in zip([0, *at], [*at, len(body)], strict=True)]
    found = read(openai_responses, chunks)
    grammar.check(found)
    assert as_read(found) == normal(events)


@given(answers())
def test_only_what_is_declared_gets_lost(events):
    assert lost(events).keys() <= dialect.losses.keys()


@given(answers())
def test_every_event_has_its_number_and_every_item_ends_as_it_began(events):
    found = wire(events)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    began = [event for event in found if event["type"] == "response.output_item.added"]
    assert [event["output_index"] for event in began] == list(range(len(began)))
    ids = [event["item"]["id"] for event in began]
    for event in found:
        if "item" in event:
            assert event["item"]["id"] == ids[event["output_index"]]
        elif "item_id" in event:
            assert event["item_id"] == ids[event["output_index"]]
    done = {event["output_index"]: event["item"] for event in found if event["type"] == "response.output_item.done"}
    assert [done[index] for index in sorted(done)] == found[-1]["response"]["output"]


@given(answers())
def test_a_whole_answer_is_the_end_of_its_stream(events):
    found = read(openai_responses, [written(events)])
    assume(isinstance(found[-1], Finish) and found[-1].reason != "length")  # what that cut is no call
    whole = json.loads(dialect.render(Fold(found), CALL))
    streamed = wire(found)[-1]["response"]
    assert without_ids(whole) == without_ids(streamed)


def without_ids(response: dict[str, Any]) -> dict[str, Any]:
    """A response whose items have no ids and no order: what comes whole gets its place at its end."""
    output = [{**item, "id": ""} for item in response["output"]]
    return {**response, "output": sorted(output, key=json.dumps)}


# Single events


def test_a_text_is_nested_in_its_part_and_its_item():
    found = wire(answer(TextDelta(0, "H"), TextDelta(0, "i"), BlockEnd(0)))
    place = {"item_id": "msg_1_0", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}
    item = {"id": "msg_1_0", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    assert [
        {name: event[name] for name in event if name not in ("sequence_number", "response")} for event in found
    ] == [
        {"type": "response.created"},
        {"type": "response.in_progress"},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**item, "status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        {"type": "response.output_text.delta", **place, "delta": "H", "logprobs": []},
        {"type": "response.output_text.delta", **place, "delta": "i", "logprobs": []},
        {"type": "response.output_text.done", **place, "text": "Hi", "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed"},
    ]
    assert found[-1]["response"]["output"] == [item]


def test_reasoning_goes_back_as_its_provider_gave_it_whoever_that_is():
    (item,) = items(ReasoningDelta(0, "Hm."), BlockEnd(0, SIGNED))
    body = {"model": "gpt", "input": [item]}
    (turn,) = dialect.parse(json.dumps(body).encode(), {}).request.messages
    assert turn.parts[0] == ReasoningPart(text="Hm.", opaque=SIGNED)


def test_reasoning_of_another_server_keeps_what_it_has():
    body = {"model": "gpt", "input": [json.loads(THOUGHT)]}
    (turn,) = dialect.parse(json.dumps(body).encode(), {}).request.messages
    assert json.loads(turn.parts[0].opaque) == json.loads(THOUGHT)


def test_a_call_of_a_custom_tool_is_one():
    (item,) = items(ToolCallStart(0, "call_1", "patch"), ToolCallDelta(0, "***"), BlockEnd(0), call=CUSTOM)
    assert item == {
        "id": "ctc_1_0",
        "type": "custom_tool_call",
        "status": "completed",
        "call_id": "call_1",
        "name": "patch",
        "input": "***",
    }


def test_an_item_keeps_what_openai_gave_it_but_the_id():
    (item,) = items(TextDelta(0, "Hi"), BlockEnd(0, SAID))
    assert (item["id"], item["phase"], item["status"]) == ("msg_1_0", "commentary", "incomplete")


def test_an_item_that_never_had_an_id_loses_none():
    assert lost(answer(TextDelta(0, "Hi"), BlockEnd(0, '{"type":"message","phase":"commentary"}'))) == {}


def test_ids_of_items_are_such_as_the_api_takes():
    (item,) = [
        event["item"]["id"]
        for event in wire([Start("x/" * 99 + "id é"), TextDelta(0, "Hi"), Failure("server", "no")])
        if "item" in event
    ]
    assert item == f"msg_{'x' * 38}id_0"


def test_token_probabilities_go_with_the_text_they_belong_to():
    own = Extension("openai_responses:logprobs", '[{"token":"Hi"}]')
    (item,) = items(TextDelta(0, "Hi"), own, BlockEnd(0))
    assert item["content"][0]["logprobs"] == [{"token": "Hi"}]


def test_what_belongs_to_the_response_comes_with_its_end():
    facts = {"service_tier": '"flex"', "usage": '{"input_tokens":1,"output_tokens":2,"cost":3}', "copilot_usage": "{}"}
    found = wire(answer(*(Extension(f"openai_responses:{name}", raw) for name, raw in facts.items()), Usage(1)))[-1]
    assert found["response"]["service_tier"] == "flex"
    assert found["response"]["usage"]["cost"] == 3
    assert found["copilot_usage"] == {}


def test_an_event_that_no_later_one_repeats_is_sent_as_it_came():
    own = Extension(
        "openai_responses:audio.delta", '{"type":"response.audio.delta",\n"delta":"AAEC","sequence_number":99}'
    )
    (event,) = wire(answer(own))[2:-1]
    assert event == {"type": "response.audio.delta", "delta": "AAEC", "sequence_number": 2}


@pytest.mark.parametrize(
    "event",
    [
        Extension("gemini:grounding", "{}"),
        Extension("openai_responses:logprobs", "[1]"),
        Extension("openai_responses:audio.delta", "[]"),
        Extension("openai_responses:service_tier", "{"),
        Extension("openai_responses:whatever", "{}"),
    ],
)
def test_an_extension_without_a_place_is_counted(event):
    assert lost(answer(event)) == {"Extension": 1}


def test_a_block_that_only_another_provider_knows_is_counted():
    events = answer(Extension("anthropic:container", "{}", 0), BlockEnd(0))
    assert lost(events) == {"Extension": 1}
    assert items(*events[1:-1]) == []


def test_json_that_is_carried_along_takes_one_line():
    raw = '{"type":"web_search_call",\r\n"id":"ws_1"}'
    (item,) = items(Extension("openai_responses:web_search_call", raw, 0), BlockEnd(0))
    assert item == {"type": "web_search_call", "id": "ws_1"}


def test_a_source_that_nobody_placed_stands_where_it_came():
    (item,) = items(TextDelta(0, "Hi"), Citation(0, "https://a"), BlockEnd(0))
    assert item["content"][0]["annotations"] == [
        {"type": "url_citation", "url": "https://a", "title": "", "start_index": 2, "end_index": 2}
    ]


def test_what_a_source_has_besides_its_address_is_counted():
    events = answer(TextDelta(0, "Hi"), Citation(0, "https://a", text="said", raw="{}"), BlockEnd(0))
    assert lost(events) == {"Citation.text": 1, "Citation.raw": 1}


def test_an_image_of_another_provider_is_counted_with_its_token():
    assert lost(answer(Attachment(0, "image/png", b"1"), BlockEnd(0, SIGNED))) == {"BlockEnd.opaque": 1}


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(3, 2, 1, 0, 1), {"cached_tokens": 1, "cache_write_tokens": 0}),
        (Usage(3, 2), {"cached_tokens": None, "cache_write_tokens": None}),
    ],
)
def test_usage_says_null_for_what_is_unknown(usage, expected):
    found = wire(answer(usage))[-1]["response"]["usage"]
    assert found == {
        "input_tokens": 3,
        "input_tokens_details": expected,
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": 5,
    }


def test_counts_of_one_side_or_of_sounds_are_lost():
    assert lost(answer(Usage(1, input_audio_tokens=1))) == {"Usage.input_audio_tokens": 1, "Usage.input_tokens": 1}
    assert wire(answer(Usage(1)))[-1]["response"]["usage"] is None


@pytest.mark.parametrize(
    ("reason", "raw", "expected"),
    [
        ("stop", None, "completed"),
        ("length", "MAX_TOKENS", "max_output_tokens"),
        ("content_filter", None, "content_filter"),
        ("refusal", "refusal", "content_filter"),
        ("pause", "pause_turn", "steered"),
        ("pause", "completed", "completed"),
        ("other", None, "other"),
        ("other", "max_messages", "max_messages"),
        ("other", "max_output_tokens", "other"),
    ],
)
def test_finish_reasons(reason, raw, expected):
    last = wire(answer(reason=reason, raw=raw))[-1]
    said = last["response"]["incomplete_details"]
    assert (last["response"]["status"] if said is None else said["reason"]) == expected
    assert last["type"] == ("response.completed" if said is None else "response.incomplete")


@pytest.mark.parametrize("reason", FinishReason.__args__)
def test_finish_reasons_are_read_back_or_lost(reason):
    events = answer(reason=reason)
    found = read(openai_responses, [written(events)])[-1]
    assert found.reason == reason or lost(events) == {"Finish.reason": 1}


def test_words_of_refusal_say_so_themselves():
    events = answer(RefusalDelta(0, "No."), BlockEnd(0), reason="refusal")
    assert read(openai_responses, [written(events)])[-1] == Finish("refusal", "completed")


def test_a_refusal_without_a_word_is_one():
    events = answer(RefusalDelta(0, ""), BlockEnd(0), reason="refusal")
    assert read(openai_responses, [written(events)])[-1] == Finish("refusal", "completed")


def test_the_response_repeats_what_was_asked():
    tool = Tool("add", "Adds.", {"type": "object"})
    asked = Request(messages=(), model="m", tools=(tool,), tool_choice=ToolChoice("add"), temperature=0.5)
    first = wire([Start()], Call(request=asked, id="resp_own", created=7))[0]["response"]
    assert (first["id"], first["created_at"], first["model"], first["status"]) == ("resp_own", 7, "m", "in_progress")
    assert first["tools"] == [
        {"type": "function", "name": "add", "description": "Adds.", "parameters": {"type": "object"}}
    ]
    assert first["tool_choice"] == {"type": "function", "name": "add"}
    assert (first["temperature"], first["top_p"], first["metadata"]) == (0.5, None, {})


# Failures


@pytest.mark.parametrize("kind", FailureKind.__args__)
def test_a_failure_ends_the_stream_as_failed_and_nothing_else(kind):
    found = wire([Start(), TextDelta(0, "Hi"), Failure(kind, "Broken.", status=500)])
    assert found[-1]["type"] == "response.failed"
    assert not {"response.completed", "response.incomplete", "response.output_item.done"} & {
        event["type"] for event in found
    }
    assert found[-1]["response"]["error"]["message"] == "Broken."


@pytest.mark.parametrize("kind", FailureKind.__args__)
def test_a_failure_is_read_back_as_what_it_was_or_as_lost(kind):
    events = [Start("resp_1", "gpt"), Failure(kind, "Broken.")]
    found = read(openai_responses, [written(events)])[-1]
    assert found.kind == kind or (found.kind == "server" and lost(events) == {"Failure.kind": 1})


def test_a_code_goes_on_if_it_means_the_same():
    def code(failure: Failure) -> str:
        return wire([Start(), failure])[-1]["response"]["error"]["code"]

    assert code(Failure("invalid", "x", code="context_length_exceeded")) == "context_length_exceeded"
    assert code(Failure("invalid", "x", code="bio_policy")) == "bio_policy"
    assert code(Failure("rate_limit", "x", code="throttled_by_us")) == "rate_limit_exceeded"


def test_what_else_a_failure_knows_is_counted():
    failure = Failure("timeout", "x", detail="idle", status=504, retry_after=1.0, should_retry=True, request_id="r")
    assert lost([Start(), failure]).keys() == {
        f"Failure.{name}" for name in ("detail", "status", "retry_after", "should_retry", "request_id")
    }


@pytest.mark.parametrize("kind", FailureKind.__args__)
def test_an_http_error_is_read_as_what_it_was(kind):
    status, body = dialect.error(Failure(kind, "Broken.", code="invalid_prompt" if kind == "invalid" else None))
    expected = {"protocol": "server", "truncated": "server", "connection": "server"}.get(kind, kind)
    assert failures.http_failure(status, {}, body).kind == expected
    assert json.loads(body)["error"]["message"] == "Broken."


def test_an_answer_that_has_not_ended_is_not_rendered_as_one():
    response = json.loads(dialect.render(Fold([Start("resp_1"), TextDelta(0, "Hi")]), CALL))
    assert (response["status"], response["error"]["code"]) == ("failed", "server_error")


def test_a_whole_answer_holds_sources_images_and_usage():
    events = answer(
        ReasoningDelta(0, "Hm."),
        BlockEnd(0, SIGNED),
        TextDelta(1, "Hi"),
        Citation(1, "https://a", "A", raw="{}"),
        BlockEnd(1),
        RefusalDelta(2, "No."),
        BlockEnd(2),
        Attachment(3, "image/png", b"1"),
        BlockEnd(3),
        Attachment(4, "audio/wav", b"1"),
        BlockEnd(4),
        Usage(1, 2),
    )
    response = json.loads(dialect.render(Fold(events), CALL))
    assert [item["type"] for item in response["output"]] == ["reasoning", "message", "message", "image_generation_call"]
    assert response["output"][1]["content"][0]["annotations"][0]["url"] == "https://a"
    assert response["usage"]["total_tokens"] == 3


def test_a_whole_answer_holds_a_generated_image_once():
    raw = DRAWN % 1
    own = Extension("openai_responses:image_generation_call", raw, 0)
    events = answer(Attachment(0, "image/webp", b"\0\1\2"), own, BlockEnd(0, '{"type":"image_generation_call"}'))
    assert json.loads(dialect.render(Fold(events), CALL))["output"] == [json.loads(raw)]


# Recordings, and the official client


@pytest.mark.parametrize("path", sorted(OWN.glob("openai_responses-*.json")), ids=lambda path: path.stem)
def test_a_recording_is_written_as_it_was_read(path):
    events = read(openai_responses, [Recording.load(path).data])
    assert as_read(read(openai_responses, [written(events)])) == normal(events)


def client(server: Any) -> Any:
    openai = pytest.importorskip("openai", reason="the official client is not installed")
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="sk-none", max_retries=0)


ANSWER = [
    Start("resp_1", "gpt"),
    ReasoningDelta(0, "Let me "),
    ReasoningDelta(0, "see."),
    BlockEnd(0, SIGNED),
    TextDelta(1, "It is "),
    TextDelta(1, "15\u00a0°C."),
    Citation(1, "https://a", "A", start=0, end=2),
    BlockEnd(1),
    ToolCallStart(2, "call_1", "add"),
    ToolCallStart(3, "call_2", "add"),
    ToolCallDelta(2, '{"a":'),
    ToolCallDelta(3, '{"a":2}'),
    ToolCallDelta(2, "1}"),
    BlockEnd(3),
    BlockEnd(2),
    Attachment(4, "image/png", b"\x89PNG"),
    BlockEnd(4),
    Usage(10, 20, 5, 3, 7),
    Finish("tool_calls", "tool_calls"),
]


def test_the_official_client_reads_a_stream():
    with (
        serve(Answer([written(ANSWER)])) as server,
        client(server) as openai,
        openai.responses.stream(model="gpt", input="Hi") as stream,
    ):
        events = list(stream)
        response = stream.get_final_response()
    kinds = {event.type for event in events}
    assert {"response.reasoning_summary_text.delta", "response.output_text.annotation.added"} <= kinds
    assert response.output_text == "It is 15\u00a0°C."
    assert response.output[0].summary[0].text == "Let me see."
    calls = [(item.call_id, item.name, item.arguments) for item in response.output if item.type == "function_call"]
    assert calls == [("call_1", "add", '{"a":1}'), ("call_2", "add", '{"a":2}')]
    assert (response.usage.total_tokens, response.usage.output_tokens_details.reasoning_tokens) == (30, 7)
    assert (response.usage.input_tokens_details.cached_tokens, response.status) == (5, "completed")


def test_the_official_client_reads_every_event_as_its_type_says():
    with serve(Answer([written(ANSWER)])) as server, client(server) as openai:
        for event in openai.responses.create(model="gpt", input="Hi", stream=True):
            strict = type(event).model_validate(event.to_dict())
            assert strict.sequence_number >= 0


def test_the_official_client_reads_a_refusal():
    body = written(answer(RefusalDelta(0, "No."), BlockEnd(0), reason="refusal"))
    with (
        serve(Answer([body])) as server,
        client(server) as openai,
        openai.responses.stream(model="gpt", input="Hi") as stream,
    ):
        part = stream.get_final_response().output[0].content[0]
    assert (part.type, part.refusal) == ("refusal", "No.")


def test_the_official_client_sees_that_a_stream_failed():
    body = written([Start("resp_1", "gpt"), TextDelta(0, "Hi"), Failure("overloaded", "Busy.")])
    with serve(Answer([body])) as server, client(server) as openai:
        *_, last = openai.responses.create(model="gpt", input="Hi", stream=True)
    assert (last.type, last.response.error.code, last.response.error.message) == (
        "response.failed",
        "server_is_overloaded",
        "Busy.",
    )


def test_the_official_client_reads_a_whole_answer():
    body = dialect.render(Fold(ANSWER), CALL)
    head = {"content-type": "application/json"}
    with serve(Answer([body], headers=head)) as server, client(server) as openai:
        response = openai.responses.create(model="gpt", input="Hi")
    assert response.output_text == "It is 15\u00a0°C."
    assert type(response).model_validate({**response.to_dict(), "usage": None}).id == "resp_1"


def test_the_official_client_knows_what_kind_of_error_it_got():
    openai = pytest.importorskip("openai", reason="the official client is not installed")
    status, body = dialect.error(Failure("rate_limit", "Slow down."))
    head = {"content-type": "application/json"}
    with (
        serve(Answer([body], status, head)) as server,
        client(server) as ours,
        pytest.raises(openai.RateLimitError, match=r"Slow down\."),
    ):
        ours.responses.create(model="gpt", input="Hi", stream=True)


def test_a_source_in_the_words_of_chat_completions_is_written_in_these():
    raw = '{"type":"url_citation","url_citation":{"url":"https://a"}}'
    source = Citation(0, "https://a", start=0, end=1, raw=raw)
    (item,) = items(TextDelta(0, "x"), source, BlockEnd(0))
    (annotation,) = item["content"][0]["annotations"]
    assert annotation["url"] == "https://a"
    assert lost(answer(TextDelta(0, "x"), source, BlockEnd(0))) == {"Citation.raw": 1}


def test_counts_of_one_side_are_counted_with_their_parts():
    assert lost(answer(Usage(output_tokens=5, reasoning_tokens=2))) == {
        "Usage.output_tokens": 1,
        "Usage.reasoning_tokens": 1,
    }


def test_a_code_that_would_be_read_as_another_kind_gives_way():
    assert lost([Start(), Failure("quota", "x", code="slow_down")]) == {"Failure.code": 1}


def test_an_image_that_is_not_whole_when_the_answer_fails_is_lost():
    assert lost([Start(), Attachment(0, "image/png", b"1"), Failure("server", "x")]) == {"Attachment": 1}
