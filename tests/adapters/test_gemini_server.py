"""Gemini's format as we serve it: what its readers make of what we write, Google's own client among them."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from answers import STATUSES
from strategies import EVENTS, distinct, streams
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
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from streamcore.message import Fold
from streamcore.reader import Reader
from streamcore.request import (
    Image,
    Message,
    Reasoning,
    ReasoningPart,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    prompt,
)
from streamcore.testing import Answer, read, serve
from streamcore.wire import base64_text, opaque
from streamcore_adapters import gemini
from streamcore_adapters.gemini import server as dialect
from streamcore_adapters.gemini.request import Opaque

CALL = Call(request=prompt("hi"))
MATCHED = {"version": "v1beta", "model": "gemini-3-pro", "method": "streamGenerateContent"}
SIGNED = '{"thoughtSignature":"c2lnbmVk"}'
READ_BACK = {"protocol": "server", "truncated": "server", "connection": "server"}


def write(events, call=CALL):
    encoder = dialect.Encoder(call)
    return b"".join(encoder.feed(event) for event in events)


def chunks(body):
    return [json.loads(frame.removeprefix("data: ")) for frame in body.decode().split("\n\n")[:-1]]


def cut(body, places):
    bounds = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(bounds)]


def merged(events):
    """Adjacent deltas of one block as one; of sources and usage nothing, since they have tests of their own."""
    out = []
    for event in events:
        if isinstance(event, Usage | Citation) or (
            isinstance(event, Extension) and event.name == "gemini:grounding_metadata"
        ):
            continue
        joins = isinstance(event, TextDelta | ReasoningDelta) and type(out[-1]) is type(event)
        if joins and out[-1].index == event.index:
            out[-1] = structs.replace(event, text=out[-1].text + event.text)
        else:
            out.append(event)
    return out


class Normal:
    """What a reader makes of the events: the normal form that the server's docstring describes."""

    def __init__(self, events):
        start = events[0]
        self.id, self.model = start.id or None, start.model or None
        self.out = [Start(self.id, self.model)]
        self.open = {}  # the events of each open block
        self.loose = []  # what comes at the end
        self.ids = set()
        self.index, self.takes, self.calls, self.malformed, self.usage = -1, None, 0, "", None
        for event in events[1:]:
            self.add(event)

    def begin(self, takes):
        self.end()
        self.index, self.takes = self.index + 1, takes

    def end(self, own=None):
        if self.takes is not None:
            self.out.append(BlockEnd(self.index, own))
        self.takes = None

    def say(self, kind, text, own=None):
        if self.takes is not kind or own is not None:
            self.begin(kind)
        self.out.append(kind(self.index, text))
        if own is not None:
            self.end(own)

    def whole(self, takes, events, own):
        self.begin(takes)
        self.out += [structs.replace(event, index=self.index) for event in events]
        self.end(None if own == Opaque() else msgspec.json.encode(own).decode())

    def add(self, event):
        match event:
            case Usage():
                self.usage = self.usage if counted(event) is None else event
            case Finish():
                self.finish(event)
            case Failure():
                self.out.append(structs.replace(event, request_id=self.id))
            case Extension(index=None):
                if event.name == "gemini:logprobs_result":
                    self.out.append(event)
                elif event.name == "gemini:safety_ratings":
                    self.loose = [event]
            case BlockEnd():
                own = opaque(event.opaque, Opaque) or Opaque()
                if own == Opaque() and event.opaque is not None:
                    own = Opaque(thought_signature=base64_text(event.opaque.encode()))
                self.close(self.open.pop(event.index), own)
            case _:
                block = self.open.setdefault(event.index, [])
                block.append(event)
                if isinstance(event, TextDelta | RefusalDelta | ReasoningDelta) and event.text:
                    self.say(ReasoningDelta if isinstance(event, ReasoningDelta) else TextDelta, event.text)
                elif isinstance(event, Attachment) and event.media_type.startswith("audio/"):
                    self.sound(event)
                elif isinstance(event, Extension) and event.name.startswith("gemini:"):
                    self.whole(Extension, [event], Opaque())

    def sound(self, event):
        if self.takes != event.media_type:
            self.begin(event.media_type)
        one = structs.replace(event, index=self.index, url=event.url if event.data is None else None)
        self.out.append(one)

    def close(self, block, own):
        first = block[0]
        kind = ReasoningDelta if isinstance(first, ReasoningDelta) else TextDelta
        if isinstance(first, ToolCallStart):
            self.call(first, "".join(e.arguments for e in block if isinstance(e, ToolCallDelta)) or "{}", own)
        elif isinstance(first, TextDelta | RefusalDelta | ReasoningDelta | Citation):
            if own.thought_signature is not None:
                self.say(kind, "", msgspec.json.encode(Opaque(thought_signature=own.thought_signature)).decode())
        elif pieces := [e for e in block if isinstance(e, Attachment) and not e.media_type.startswith("audio/")]:
            data = [piece.data for piece in pieces if piece.data is not None]
            media_type = pieces[-1].media_type or "application/octet-stream"
            url = None if data else pieces[-1].url
            one = Attachment(0, media_type, b"".join(data) if data else None, url)
            self.whole(Attachment, [one], Opaque(own.thought_signature, own.thought))

    def call(self, start, arguments, own):
        try:
            good = isinstance(json.loads(arguments), dict)
        except ValueError:
            good = False
        if start.name and not good:
            self.malformed = "MALFORMED_FUNCTION_CALL"
        elif start.name:
            made_up = f"call_{self.calls}" if self.id is None else f"call_{self.id}_{self.calls}"
            self.calls += 1
            id = start.id if own.id is msgspec.UNSET and start.id else made_up
            while id in self.ids:  # one that is made up may be one that another call has
                id = f"{id}_{self.index + 1}"
            self.ids.add(id)
            own = Opaque(own.thought_signature, None, msgspec.UNSET if id == start.id else None)
            self.whole(ToolCallDelta, [ToolCallStart(0, id, start.name), ToolCallDelta(0, arguments)], own)

    def finish(self, finish):
        reason = "stop" if finish.reason == "tool_calls" else finish.reason
        if self.malformed and reason != "length":
            self.out.append(Failure("server", "", "model_output", None, self.malformed, request_id=self.id))
            return
        self.end()
        word = {"stop": "STOP", "length": "MAX_TOKENS"}.get(
            reason, "SAFETY" if reason in {"content_filter", "refusal"} else "OTHER"
        )
        reason = {"refusal": "content_filter", "pause": "other"}.get(reason, reason)
        reason = "tool_calls" if reason == "stop" and self.calls else reason
        self.out += [*self.loose, Finish(reason, word)]


def same(found, expected):
    """Whether a failure is the same, but for what the format has no field for."""
    if isinstance(expected[-1], Failure) and isinstance(found[-1], Failure):
        one, other = found[-1], expected[-1]
        assert found[:-1] == expected[:-1]
        assert one.request_id == other.request_id
        assert one.kind == READ_BACK.get(other.kind, other.kind)
        return
    assert found == expected


def counted(usage):
    if usage is None:
        return None
    output, reasoning = usage.output_tokens, usage.reasoning_tokens
    if reasoning is not None:
        output = max(output or 0, reasoning)
    usage = structs.replace(usage, output_tokens=output, cache_write_tokens=None)
    return None if usage == Usage() else usage


JSON_OBJECT = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5), max_size=2)
ARGUMENTS = JSON_OBJECT.map(json.dumps) | st.sampled_from(
    ["", "{}", "[1]", '{"city":', '{"deep": {"π": [1.50, null]}}']
)
OWN = st.sampled_from(
    [None, None, SIGNED, '{"thoughtSignature":"c2lnbmVk","thought":true}', '{"id":null}', '{"sig":"x"}']
)


@st.composite
def answers(draw):
    """The events of one answer as providers give them, with all that Gemini has a place for."""
    events = [draw(EVENTS[Start])]
    for index in range(draw(st.integers(0, 6))):
        text = st.text(max_size=6)
        block = draw(
            st.one_of(
                st.lists(st.builds(TextDelta, st.just(index), text), min_size=1, max_size=3),
                st.lists(st.builds(ReasoningDelta, st.just(index), text), min_size=1, max_size=3),
                st.tuples(
                    st.builds(ToolCallStart, st.just(index), st.sampled_from(["", "a", "b"]), st.sampled_from("fg")),
                    st.builds(ToolCallDelta, st.just(index), ARGUMENTS),
                ),
                st.lists(
                    st.builds(Attachment, st.just(index), st.just("audio/pcm"), st.binary(max_size=3)),
                    min_size=1,
                    max_size=2,
                ),
                st.tuples(st.builds(Attachment, st.just(index), st.just("image/png"), st.binary(max_size=3))),
                st.just([Extension("gemini:executable_code", '{"executableCode":{"code":"1"}}', index)]),
            )
        )
        events += [*block, BlockEnd(index, draw(OWN))]
        events += draw(st.lists(EVENTS[Usage], max_size=1))
        events += draw(st.sampled_from([[], [], [Extension("gemini:logprobs_result", '{"chosenCandidates":[]}')]]))
    events += draw(st.sampled_from([[], [Extension("gemini:safety_ratings", "[]")]]))
    return [*events, draw(EVENTS[Finish] | EVENTS[Failure])]


def check_round_trip(events, places):
    encoder = dialect.Encoder(Call(request=Request(messages=())))
    body = b"".join(encoder.feed(event) for event in events)
    assert encoder.lost.keys() <= dialect.losses.keys()
    reader = Reader(gemini)
    found = [event for piece in cut(body, places) for event in reader.feed(piece)] + reader.close()
    normal = Normal(events)
    expected = normal.out
    if isinstance(found[-1], Failure):
        found = [e for e in found if not isinstance(e, BlockEnd)]
        expected = [e for e in expected if not isinstance(e, BlockEnd)]
    same(merged(found), merged(expected))
    assert reader.usage == counted(normal.usage)


CUTS = st.lists(st.integers(0, 100_000), max_size=8)


@given(streams(), CUTS)
def test_any_stream_reads_back_in_normal_form(events, places):
    check_round_trip(events, places)


@given(answers().map(distinct), CUTS)
def test_an_answer_with_all_that_gemini_has_reads_back_in_normal_form(events, places):
    check_round_trip(events, places)


def said(*events, call=CALL):
    """The chunks of an answer."""
    return chunks(write([Start("r", "m"), *events], call))


def last(*events):
    """The candidate of the last chunk."""
    return said(*events)[-1]["candidates"][0]


def lost(*events):
    encoder = dialect.Encoder(CALL)
    for event in events:
        encoder.feed(event)
    return encoder.lost


def test_the_package_is_an_adapter_and_a_dialect():
    assert isinstance(gemini, Adapter)
    assert isinstance(dialect, Dialect)
    assert (dialect.content_type, dialect.keep_alive) == ("text/event-stream", b"")


def test_a_chunk_is_what_google_sends():
    assert write([Start("r", "m"), TextDelta(0, "Hi")]) == (
        b'data: {"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"}}],'
        b'"modelVersion":"m","responseId":"r"}\n\n'
    )


def test_the_call_names_an_answer_that_has_no_names():
    call = Call(request=Request(messages=(), model="asked"), id="made-up")
    chunk = chunks(write([Start(), TextDelta(0, "Hi")], call))[0]
    assert (chunk["modelVersion"], chunk["responseId"]) == ("asked", "made-up")


def test_every_chunk_but_an_error_has_a_part():
    events = [TextDelta(0, "a"), BlockEnd(0), Usage(1, 2), Extension("gemini:logprobs_result", "{}"), Finish("stop")]
    assert all(chunk["candidates"][0]["content"]["parts"] for chunk in said(*events))


def test_usage_comes_with_the_next_chunk_and_the_last():
    chunks = said(TextDelta(0, "a"), Usage(1), TextDelta(0, "b"), Usage(1, 2), TextDelta(0, "c"), Finish("stop"))
    assert [chunk.get("usageMetadata") for chunk in chunks] == [
        None,
        {"promptTokenCount": 1},
        {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3},
        {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3},
    ]


def test_usage_is_counted_as_google_does():
    usage = Usage(10, 9, 4, None, 5, 3, 2, 1, None)
    assert said(usage, Finish("stop"))[-1]["usageMetadata"] == {
        "promptTokenCount": 10,
        "cachedContentTokenCount": 4,
        "candidatesTokenCount": 4,
        "thoughtsTokenCount": 5,
        "totalTokenCount": 19,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 6},
            {"modality": "AUDIO", "tokenCount": 3},
            {"modality": "IMAGE", "tokenCount": 1},
        ],
        "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 2}, {"modality": "AUDIO", "tokenCount": 2}],
    }


def test_tokens_written_to_the_cache_are_lost():
    assert lost(Usage(cache_write_tokens=1)) == {"Usage.cache_write_tokens": 1}


def test_a_call_is_one_part_with_its_signature():
    call = [ToolCallStart(0, "c", "f"), ToolCallDelta(0, '{"x": '), ToolCallDelta(0, "1.50}"), BlockEnd(0, SIGNED)]
    body = write([Start(), *call])
    part = b'{"functionCall":{"name":"f","args":{"x": 1.50},"id":"c"},"thoughtSignature":"c2lnbmVk"}'
    assert part in body


def test_parallel_calls_that_interleave_come_in_the_order_in_which_they_end():
    events = [
        ToolCallStart(0, "a", "f"),
        ToolCallStart(1, "b", "g"),
        ToolCallDelta(1, "{}"),
        ToolCallDelta(0, '{"x":1}'),
        BlockEnd(1),
        BlockEnd(0),
    ]
    calls = [chunk["candidates"][0]["content"]["parts"][0]["functionCall"] for chunk in said(*events)]
    assert calls == [{"name": "g", "args": {}, "id": "b"}, {"name": "f", "args": {"x": 1}, "id": "a"}]


def test_an_id_that_was_made_up_is_not_sent():
    events = [ToolCallStart(0, "made-up", "f"), BlockEnd(0, '{"id":null}')]
    assert said(*events)[0]["candidates"][0]["content"]["parts"] == [{"functionCall": {"name": "f", "args": {}}}]


def test_arguments_over_several_lines_become_one():
    body = write([Start(), ToolCallStart(0, "c", "f"), ToolCallDelta(0, '{\r\n "x":\n 1.50}'), BlockEnd(0)])
    assert b'"args":{"x":1.50}' in body
    assert body.count(b"\n") == 2


@pytest.mark.parametrize("arguments", ["[1]", "{", "nonsense", '"\ud800"', '{"x":\n', "[" * 100_000])
def test_arguments_that_are_no_object_end_the_answer_badly(arguments):
    events = [ToolCallStart(0, "c", "f"), ToolCallDelta(0, arguments), BlockEnd(0), Finish("tool_calls")]
    end = last(*events)
    assert end["finishReason"] == "MALFORMED_FUNCTION_CALL"
    assert end["finishMessage"] == "the arguments of a call of f are not a JSON object"
    assert lost(*events) == {"ToolCallDelta": 1}


def test_a_call_that_a_limit_cut_is_left_out():
    events = [ToolCallStart(0, "c", "f"), ToolCallDelta(0, '{"x'), BlockEnd(0), Finish("length")]
    assert [chunk["candidates"][0].get("finishReason") for chunk in said(*events)] == ["MAX_TOKENS"]


def test_a_call_without_a_name_is_lost():
    assert lost(ToolCallStart(0, "c", ""), BlockEnd(0)) == {"ToolCallStart": 1}


def test_a_signature_follows_its_text_and_its_reasoning():
    events = [ReasoningDelta(0, "hm"), BlockEnd(0, SIGNED), TextDelta(1, "so"), BlockEnd(1, SIGNED)]
    assert [chunk["candidates"][0]["content"]["parts"][0] for chunk in said(*events)] == [
        {"text": "hm", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": "c2lnbmVk"},
        {"text": "so"},
        {"text": "", "thoughtSignature": "c2lnbmVk"},
    ]


@pytest.mark.parametrize("own", ['{"signature":"ErUB"}', '{"id":"rs_1","encrypted_content":"x"}'])
def test_what_another_provider_wants_back_comes_back(own):
    events = [
        ReasoningDelta(0, "h"),
        ReasoningDelta(0, "m"),
        BlockEnd(0, own),
        TextDelta(1, "so"),
        BlockEnd(1, own),
        ToolCallStart(2, "c", "f"),
        BlockEnd(2, own),
    ]
    contents = [chunk["candidates"][0]["content"] for chunk in said(*events)]
    [message] = dialect.parse(json.dumps({"contents": contents}).encode(), MATCHED).request.messages
    assert message == Fold([Start(), *events]).message


def test_a_signature_on_sound_is_lost():
    assert lost(Attachment(0, "audio/pcm", b"1"), BlockEnd(0, SIGNED)) == {"BlockEnd.opaque": 1}


def test_a_refusal_is_text():
    assert said(RefusalDelta(0, "No."))[0]["candidates"][0]["content"]["parts"] == [{"text": "No."}]
    assert lost(RefusalDelta(0, "No"), RefusalDelta(0, ".")) == {"RefusalDelta": 1}


def test_an_image_is_written_when_it_is_whole():
    events = [Attachment(0, "image/png", b"\x89P"), Attachment(0, "image/png", b"NG"), BlockEnd(0, SIGNED)]
    [chunk] = said(*events)
    inline = {"mimeType": "image/png", "data": "iVBORw=="}
    assert chunk["candidates"][0]["content"]["parts"] == [{"inlineData": inline, "thoughtSignature": "c2lnbmVk"}]


def test_an_attachment_has_bytes_or_an_address():
    [chunk] = said(Attachment(0, "image/png", None, "gs://a"), BlockEnd(0))
    file = {"mimeType": "image/png", "fileUri": "gs://a"}
    assert chunk["candidates"][0]["content"]["parts"] == [{"fileData": file}]
    assert lost(Attachment(0, "image/png", b"", "gs://a"), BlockEnd(0)) == {"Attachment.url": 1}


def test_parts_that_only_gemini_understands_are_written_as_they_were():
    raw = '{"executableCode": {"language": "PYTHON", "code": "1"}}'
    body = write([Start(), Extension("gemini:executable_code", raw, 0), BlockEnd(0)])
    assert f'"parts":[{raw}]'.encode() in body


@pytest.mark.parametrize(
    "extension",
    [
        Extension("anthropic:fallback", "{}", 0),
        Extension("gemini:executable_code", "not JSON", 0),
        Extension("gemini:executable_code", "[]", 0),
        Extension("anthropic:service_tier", '"x"'),
        Extension("gemini:service_tier", "not JSON"),
        Extension("gemini:finish_message", "{}"),
        Extension("gemini:candidate", "[]"),
        Extension("gemini:prompt_feedback", "{}"),
        Extension("gemini:what", "{}"),
    ],
)
def test_other_extensions_are_lost(extension):
    assert lost(extension) == {"Extension": 1}
    assert not dialect.Encoder(CALL).feed(extension)


def test_what_gemini_says_of_the_whole_answer_comes_with_its_end():
    words = {
        "grounding_metadata": {"webSearchQueries": ["q"]},
        "url_context_metadata": {},
        "citation_metadata": {"citations": []},
        "safety_ratings": [],
        "avg_logprobs": -0.5,
        "continuation_token": "dG9r",
        "finish_message": "well",
    }
    events = [Extension(f"gemini:{word}", json.dumps(value)) for word, value in words.items()]
    tiers = [Extension("gemini:service_tier", '"flex"'), Extension("gemini:traffic_type", '"ON_DEMAND"')]
    [chunk] = said(TextDelta(0, ""), BlockEnd(0), *events, *tiers, Finish("pause", "CONTINUATION"))
    end = chunk["candidates"][0]
    assert [*end.values()][2:] == [words["finish_message"], *[*words.values()][:-1]]
    assert end["finishReason"] == "CONTINUATION"
    assert chunk["usageMetadata"] == {"serviceTier": "flex", "trafficType": "ON_DEMAND"}


def test_another_candidate_is_a_chunk_of_its_own():
    raw = '{"index":1,"finishReason":"STOP"}'
    body = write([Start("r", "m"), Extension("gemini:candidate", raw), TextDelta(0, "a"), Finish("stop")])
    assert body.startswith(f'data: {{"candidates":[{raw}],"modelVersion"'.encode())
    assert Extension("gemini:candidate", raw) in read(gemini, [body])


def test_a_blocked_prompt_has_no_candidates():
    feedback = Extension("gemini:prompt_feedback", '{"blockReason":"SAFETY"}')
    end = Finish("content_filter", "SAFETY")
    assert said(feedback, end) == [
        {"promptFeedback": {"blockReason": "SAFETY"}, "modelVersion": "m", "responseId": "r"}
    ]
    assert read(gemini, [write([Start("r", "m"), feedback, end])]) == [Start("r", "m"), feedback, end]


@pytest.mark.parametrize(
    ("finish", "word"),
    [
        (Finish("stop", "end_turn"), "STOP"),
        (Finish("tool_calls", "STOP"), "STOP"),
        (Finish("length"), "MAX_TOKENS"),
        (Finish("content_filter", "RECITATION"), "RECITATION"),
        (Finish("content_filter", "STOP"), "SAFETY"),
        (Finish("refusal", "refusal"), "SAFETY"),
        (Finish("pause", "pause_turn"), "OTHER"),
        (Finish("other", "NO_IMAGE"), "NO_IMAGE"),
        (Finish("other", "load"), "OTHER"),
    ],
)
def test_finish_reasons_are_googles(finish, word):
    assert last(finish)["finishReason"] == word


def test_a_refusal_and_a_pause_lose_their_reason():
    assert lost(Finish("refusal")) == lost(Finish("pause")) == {"Finish.reason": 1}


def cited(*events):
    """The sources of what a reader makes of this, without their JSON."""
    found = read(gemini, [write([Start("r", "m"), *events, Finish("stop")])])
    return [structs.replace(event, raw=None) for event in found if isinstance(event, Citation)]


def test_sources_keep_their_places():
    events = [
        TextDelta(0, "Möbel sind "),
        TextDelta(0, "schön."),
        Citation(0, "https://a", "A", None, 0, 5),
        Citation(0, "https://b", None, "quoted", 11, 16),
        BlockEnd(0),
        ToolCallStart(1, "c", "f"),
        BlockEnd(1),
        TextDelta(2, "Ja."),
        Citation(2, "https://a", "A"),
        BlockEnd(2),
    ]
    assert cited(*events) == [
        Citation(0, "https://a", "A", None, 0, 5),
        Citation(0, "https://b", None, "quoted", 11, 16),
        Citation(2, "https://a", "A", None, 0, 3),
    ]


def test_sources_are_metadata_of_the_last_chunk():
    events = [TextDelta(0, "ö"), TextDelta(0, "k"), Citation(0, "https://a", "A", None, 1, 2), BlockEnd(0)]
    assert last(*events, Finish("stop"))["groundingMetadata"] == {
        "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}],
        "groundingSupports": [{"segment": {"startIndex": 2, "endIndex": 3, "text": "k"}, "groundingChunkIndices": [0]}],
    }


def test_a_block_may_begin_with_its_source():
    assert cited(Citation(0, "https://a"), TextDelta(0, "k"), BlockEnd(0)) == [Citation(0, "https://a", start=0, end=1)]


def test_a_source_without_a_text_in_one_piece_is_lost():
    assert lost(Citation(0, "https://a"), BlockEnd(0)) == {"Citation": 1}
    assert lost(ReasoningDelta(0, "a"), Citation(0, "https://a"), BlockEnd(0)) == {"Citation": 1}
    interleaved = [TextDelta(0, "a"), TextDelta(1, "b"), TextDelta(0, "c"), TextDelta(1, "d")]
    sources = [Citation(0, "https://a"), Citation(1, "https://b"), BlockEnd(0), BlockEnd(1)]
    assert lost(*interleaved, *sources) == {"Citation": 2, "TextDelta.index": 3}


def test_the_own_form_of_another_providers_source_is_lost():
    assert lost(TextDelta(0, "a"), Citation(0, "https://a", raw="{}"), BlockEnd(0)) == {"Citation.raw": 1}


def test_geminis_own_sources_are_in_its_metadata():
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a"}}],
        "groundingSupports": [{"segment": {"startIndex": 0, "endIndex": 1}, "groundingChunkIndices": [0]}],
    }
    support = msgspec.json.encode(grounding["groundingSupports"][0]).decode()
    events = [
        TextDelta(0, "a"),
        Citation(0, "https://a", None, None, 0, 1, support),
        BlockEnd(0),
        Extension("gemini:grounding_metadata", json.dumps(grounding)),
        Finish("stop"),
    ]
    assert [chunk["candidates"][0].get("groundingMetadata") for chunk in said(*events)] == [None, grounding]
    assert not lost(*events)
    assert lost(*events[:3], Finish("stop")) == {"Citation": 1}


@pytest.mark.parametrize("kind", FailureKind.__args__)
def test_a_failure_ends_a_stream_with_an_error_and_no_finish(kind):
    failure = Failure(kind, "it broke", retry_after=1.5, code="WORD")
    body = write([Start("r", "m"), TextDelta(0, "a"), Usage(1, 2), failure])
    assert b"finishReason" not in body
    *_, usage, error = chunks(body)
    assert usage["usageMetadata"]["promptTokenCount"] == 1
    assert error["error"]["code"] == STATUSES[kind]
    end = read(gemini, [body])[-1]
    assert (end.kind, end.message, end.retry_after, end.code) == (
        READ_BACK.get(kind, kind),
        "it broke",
        1.5,
        "WORD",
    )


@pytest.mark.parametrize("kind", FailureKind.__args__)
def test_an_error_before_the_stream_has_its_status(kind):
    status, body = dialect.error(Failure(kind, "it broke"))
    assert status == STATUSES[kind] == json.loads(body)["error"]["code"]
    assert json.loads(body)["error"]["message"] == "it broke"


def test_only_a_used_up_quota_needs_a_word_to_be_told_apart():
    assert "details" not in json.loads(dialect.error(Failure("rate_limit", "wait"))[1])["error"]
    assert json.loads(dialect.error(Failure("quota", "pay"))[1])["error"]["details"] == [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "INSUFFICIENT_QUOTA"}
    ]


def test_what_an_error_has_no_field_for_is_lost():
    failure = Failure("server", "no", "d", 500, "c", 1.0, True, "id")
    assert lost(Start(), failure) == {
        "Failure.detail": 1,
        "Failure.request_id": 1,
        "Failure.should_retry": 1,
        "Failure.status": 1,
    }
    assert not lost(Start(), Failure("overloaded", "no", status=503))


def render(*events, call=CALL):
    return json.loads(dialect.render(Fold([Start("r", "m"), *events]), call))


def test_a_whole_answer_has_signatures_on_their_own_parts():
    raw = '{"executableCode":{"code":"1"}}'
    answer = render(
        ReasoningDelta(0, "hm"),
        BlockEnd(0, SIGNED),
        TextDelta(1, "é"),
        BlockEnd(1),
        TextDelta(2, "so"),
        Citation(2, "https://a", "A", None, 0, 2, "{}"),
        BlockEnd(2, SIGNED),
        ToolCallStart(3, "c", "f"),
        ToolCallDelta(3, '{"x":1}'),
        BlockEnd(3, SIGNED),
        Attachment(4, "image/png", b"\x89PNG"),
        BlockEnd(4),
        Extension("gemini:executable_code", raw, 5),
        BlockEnd(5),
        Extension("cohere:what", "{}", 6),
        Extension("gemini:what", "[]", 6),
        BlockEnd(6),
        ReasoningDelta(7, ""),
        BlockEnd(7),
        TextDelta(8, ""),
        BlockEnd(8),
        RefusalDelta(9, "No."),
        BlockEnd(9),
        Extension("gemini:safety_ratings", "[]"),
        Extension("cohere:what", "{}"),
        Usage(3, 2),
        Finish("tool_calls", "STOP"),
    )
    assert answer == {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "hm", "thought": True, "thoughtSignature": "c2lnbmVk"},
                        {"text": "é"},
                        {"text": "so", "thoughtSignature": "c2lnbmVk"},
                        {
                            "functionCall": {"name": "f", "args": {"x": 1}, "id": "c"},
                            "thoughtSignature": "c2lnbmVk",
                        },
                        {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}},
                        {"executableCode": {"code": "1"}},
                        {"text": "No."},
                    ],
                    "role": "model",
                },
                "finishReason": "STOP",
                "groundingMetadata": {
                    "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}],
                    "groundingSupports": [
                        {"segment": {"startIndex": 2, "endIndex": 4, "text": "so"}, "groundingChunkIndices": [0]}
                    ],
                },
                "safetyRatings": [],
            }
        ],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
        "modelVersion": "m",
        "responseId": "r",
    }


def test_a_whole_answer_that_has_not_ended_says_so_by_silence():
    assert render(TextDelta(0, "a"))["candidates"] == [{"content": {"parts": [{"text": "a"}], "role": "model"}}]


def test_a_whole_answer_of_nothing_has_a_part():
    [candidate] = render(Finish("stop"))["candidates"]
    assert candidate == {"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "STOP"}


def test_a_whole_answer_that_failed_is_an_error():
    assert render(TextDelta(0, "a"), Failure("overloaded", "no"))["error"]["status"] == "UNAVAILABLE"


def ask_google(body, ask, **answer):
    """What Google's own client makes of an answer, and the request that it sent, as we read it."""
    genai = pytest.importorskip("google.genai", reason="Google's client is not installed")
    with serve(Answer([body], **answer)) as server:
        with genai.Client(api_key="k", http_options={"base_url": server.url}) as client:
            result = ask(client, genai.types)
        sent = server.requests[0]
    address = re.fullmatch(r"/(?P<version>[^/]+)/models/(?P<model>[^/]+):(?P<method>[^/?]+)(\?alt=sse)?", sent.path)
    return result, dialect.parse(sent.body, address.groupdict())


ANSWER = [
    Start("r", "gemini-3-pro"),
    ReasoningDelta(0, "Hm."),
    BlockEnd(0, SIGNED),
    TextDelta(1, "Mö"),
    TextDelta(1, "bel."),
    Citation(1, "https://a", "A", None, 0, 5),
    BlockEnd(1),
    RefusalDelta(2, " No."),
    BlockEnd(2),
    ToolCallStart(3, "c1", "f"),
    ToolCallDelta(3, '{"x":1}'),
    BlockEnd(3, SIGNED),
    ToolCallStart(4, "c2", "g"),
    BlockEnd(4),
    Usage(9, 7, 4, None, 2),
    Finish("tool_calls"),
]


def test_googles_client_reads_a_stream():
    def ask(client, _types):
        return list(client.models.generate_content_stream(model="gemini-3-pro", contents="hi"))

    found, call = ask_google(write(ANSWER), ask)
    assert call == Call(request=Request(messages=(Message("user", "hi"),), model="gemini-3-pro"))
    parts = [part for chunk in found for part in chunk.candidates[0].content.parts]
    assert "".join(part.text or "" for part in parts if part.thought) == "Hm."
    assert "".join(part.text or "" for part in parts if not part.thought) == "Möbel. No."
    assert [part.thought_signature for part in parts if part.thought_signature] == [b"signed", b"signed"]
    calls = [part.function_call for part in parts if part.function_call]
    assert [(call.id, call.name, call.args) for call in calls] == [("c1", "f", {"x": 1}), ("c2", "g", {})]
    end = found[-1]
    assert (end.candidates[0].finish_reason, end.response_id, end.model_version) == ("STOP", "r", "gemini-3-pro")
    assert end.candidates[0].grounding_metadata.grounding_chunks[0].web.uri == "https://a"
    usage = end.usage_metadata
    assert (usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count) == (9, 5, 2)


def test_googles_client_remembers_a_conversation_and_sends_it_back():
    def ask(client, types):
        chat = client.chats.create(
            model="gemini-3-pro",
            config=types.GenerateContentConfig(
                system_instruction="be brief",
                temperature=1,
                top_k=40,
                tools=[types.Tool(function_declarations=[{"name": "f", "parameters": {"type": "OBJECT"}}])],
                automatic_function_calling={"disable": True},
                thinking_config={"include_thoughts": True, "thinking_level": "LOW"},
                response_mime_type="application/json",
            ),
        )
        list(chat.send_message_stream("hi"))
        result = types.Part.from_function_response(name="f", response={"output": "1"})
        list(chat.send_message_stream([result, types.Part.from_bytes(data=b"\xff\xef", mime_type="image/png")]))
        return chat.get_history(curated=True)

    genai = pytest.importorskip("google.genai", reason="Google's client is not installed")
    with serve(Answer([write(ANSWER)])) as server:
        with genai.Client(api_key="k", http_options={"base_url": server.url}) as client:
            history = ask(client, genai.types)
        request = dialect.parse(server.requests[1].body, MATCHED).request
    assert [content.role for content in history] == ["user", *["model"] * 9, "user", *["model"] * 9]
    assert [message.role for message in request.messages] == ["system", "user", "assistant", "tool", "user"]
    assert request.messages[2].parts == (
        ReasoningPart(text="Hm."),
        ReasoningPart(text="", opaque=SIGNED),
        Text(text="Möbel. No."),
        ToolCall(id="c1", name="f", arguments='{"x": 1}', opaque=SIGNED),
        ToolCall(id="c2", name="g", arguments="{}"),
    )
    assert request.messages[-2].parts == (ToolResult(id="c1", name="f", content="1"),)
    assert request.messages[-1].parts == (Image(data=b"\xff\xef", media_type="image/png"),)
    assert request.tools == (Tool("f", "", {"type": "object"}),)
    assert (request.temperature, request.top_k, request.output) == (1, 40, "json")
    assert request.reasoning == Reasoning(effort="low", summary=True)


def test_googles_client_reads_a_whole_answer():
    def ask(client, _types):
        return client.models.generate_content(model="gemini-3-pro", contents="hi")

    body = dialect.render(Fold([*ANSWER[:9], ANSWER[-2], Finish("stop")]), CALL)
    found, call = ask_google(body, ask, headers={"content-type": "application/json"})
    assert call.stream is False
    assert found.text == "Möbel. No."
    assert found.usage_metadata.total_token_count == 16


def test_googles_client_raises_an_error_in_the_stream():
    def ask(client, types):
        from google.genai.errors import ServerError

        words = []
        with pytest.raises(ServerError) as caught:
            words.extend(chunk.text for chunk in client.models.generate_content_stream(model="m", contents="hi"))
        return caught.value

    found, _ = ask_google(write([*ANSWER[:5], Failure("overloaded", "too many")]), ask)
    assert (found.code, found.status, found.message) == (503, "UNAVAILABLE", "too many")


def test_googles_client_raises_an_error_before_the_stream():
    def ask(client, types):
        from google.genai.errors import ClientError

        with pytest.raises(ClientError) as caught:
            list(client.models.generate_content_stream(model="m", contents="hi"))
        return caught.value

    status, body = dialect.error(Failure("not_found", "no such model"))
    found, _ = ask_google(body, ask, status=status, headers={"content-type": "application/json"})
    assert (found.code, found.status, found.message) == (404, "NOT_FOUND", "no such model")


def test_blocks_that_a_reader_cannot_tell_apart_are_counted():
    one = [ReasoningDelta(0, "a"), ReasoningDelta(1, "b"), TextDelta(2, "c"), TextDelta(3, "d"), ReasoningDelta(0, "e")]
    assert lost(*one) == {"ReasoningDelta.index": 2, "TextDelta.index": 1}
    sound = [Attachment(0, "audio/pcm", b"a"), Attachment(1, "audio/pcm", b"b"), Attachment(2, "audio/wav", b"c")]
    assert lost(*sound) == {"Attachment.index": 1}


def test_a_call_that_is_written_behind_what_came_beside_it_is_counted():
    call = [ToolCallStart(0, "c", "f"), TextDelta(1, "a"), BlockEnd(0)]
    assert lost(*call) == {"ToolCallStart.index": 1}


@pytest.mark.parametrize(
    ("finish", "expected"),
    [
        (Finish("stop", "end_turn"), {"Finish.raw": 1, "Finish.reason": 1}),
        (Finish("tool_calls", "STOP"), {}),
        (Finish("length", "length"), {"Finish.raw": 1}),
    ],
)
def test_what_becomes_of_the_end_of_an_answer_with_a_call_is_counted(finish, expected):
    assert lost(ToolCallStart(0, "c", "f"), BlockEnd(0), finish) == expected


def test_what_waited_for_the_end_is_lost_with_an_answer_that_fails():
    text = [TextDelta(0, "a"), Citation(0, "https://a")]
    failure = Failure("server", "x")
    facts = Extension("gemini:safety_ratings", "[]")
    assert lost(*text, facts, failure) == {"Citation": 1, "Extension": 1}
    assert lost(*text, BlockEnd(0), failure) == {"Citation": 1}
    assert lost(*text, BlockEnd(0), ReasoningDelta(1, "b"), failure) == {}
    own = Citation(0, raw='{"segment":{"endIndex":1}}')
    assert lost(TextDelta(0, "a"), own, BlockEnd(0), failure) == {"Citation": 1}


def test_a_place_that_is_none_is_counted():
    text = [TextDelta(0, "ab"), Citation(0, "https://a", start=1, end=1), BlockEnd(0)]
    assert lost(*text) == {"Citation.start": 1, "Citation.end": 1}
    assert lost(TextDelta(0, "ab"), Citation(0, "https://a", end=9), BlockEnd(0)) == {"Citation.end": 1}


def test_an_answer_that_fails_at_once_still_says_whose_it_is():
    assert read(gemini, [write([Start("r", "m"), Failure("server", "x")])])[0] == Start("r", "m")
