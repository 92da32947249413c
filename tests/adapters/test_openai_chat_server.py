"""The dialect `openai_chat`: what it writes is read back, by our own adapter and by the official SDK."""

from __future__ import annotations

import json
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from answers import STATUSES
from strategies import TEXT, streams
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
from streamcore.failures import http_failure
from streamcore.message import Fold
from streamcore.request import Request, prompt
from streamcore.testing import Answer, check_truncation, read, serve
from streamcore_adapters import openai_chat
from streamcore_adapters.openai_chat import server as dialect

MESSAGES = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
CALL = Call(request=Request(messages=prompt("Hi").messages, model="asked"), id="chatcmpl-1", created=1_700_000_000)
UNCOUNTED = structs.replace(CALL, usage=False)
KINDS = {TextDelta: "text", ReasoningDelta: "reasoning", RefusalDelta: "refusal", ToolCallStart: "call"}
REPEATED = ("logprobs", "choice", "annotation")
OWN = [
    ("service_tier", '"flex"'),
    ("provider", ' "someone"'),
    ("citations", '[\n "https://example.org" ]'),
    ("moderation", '{"input":{"n":1.50}}'),
    ("logprobs", '{"content":[{"token":"a"}]}'),
    ("content_filter_results", '{"hate":{"filtered":false}}'),
    ("executed_tools", '[{"index":0}]'),
    ("provider_metadata", '{"gateway":{"cost":"0"}}'),
    ("annotation", '{"type":"file"}'),
    ("cost", "0.25"),
    ("cost_in_usd_ticks", "7"),
    ("choice", '{"index":1,"delta":{"content":"b"},"finish_reason":"stop"}'),
]
NOWHERE = [
    ("citations", "[\n"),
    ("service_tier", "5"),
    ("choice", '{"index":0}'),
    ("choice", "5"),
    ("annotation", '{"url_citation":{"url":"x"}}'),
    ("unheard_of", "{}"),
]


def frames(body):
    return [chunk.removeprefix(b"data: ") for chunk in body.split(b"\n\n")[:-1]]


def written(events, call=CALL):
    encoder = dialect.Encoder(call)
    body = b"".join(encoder.feed(event) for event in events)
    assert encoder.lost.keys() <= dialect.losses.keys()
    return body


def chunks(events, call=CALL):
    return [json.loads(frame) for frame in frames(written(events, call)) if frame != b"[DONE]"]


def deltas(*events, call=CALL):
    """What the chunks of these events add, after the role."""
    return [chunk["choices"][0]["delta"] for chunk in chunks([Start("1", "m"), *events], call)[1:]]


def lost(*events, call=CALL):
    encoder = dialect.Encoder(call)
    for event in [Start("1", "m"), *events]:
        encoder.feed(event)
    assert encoder.lost.keys() <= dialect.losses.keys()
    return encoder.lost


# Round trips


@st.composite
def answers(draw):
    """Streams of the shared strategy, with this format's own extensions and replay tokens among the others'."""
    events, kinds = [], {}
    for number, event in enumerate(draw(streams())):
        index = getattr(event, "index", None)
        if index is not None and index not in kinds:
            kinds[index] = KINDS.get(type(event)) or (
                draw(st.sampled_from(["image/png", "image/*", "audio/pcm", "application/pdf"]))
                if isinstance(event, Attachment)
                else "part"
            )
        events.append(draw(own(event, kinds.get(index), number)))
    return events


def own(event, kind, number):
    """The event, or one that this format has a place for in its stead."""
    replaced = st.nothing()
    match event:
        case ToolCallStart():
            return st.just(ToolCallStart(event.index, f"call_{event.index}", event.name or "f"))
        case Attachment():
            return st.just(structs.replace(event, media_type=kind))
        case Extension(index=None):
            replaced = ANY_OWN.map(lambda pair: Extension(f"openai_chat:{pair[0]}", pair[1]))
        case Extension():
            raw = f'{{"type": "video",\n"n":{number}}}'
            replaced = st.just(Extension("openai_chat:video", raw, event.index))
        case BlockEnd():
            replaced = replay_of(kind, number).map(lambda opaque: BlockEnd(event.index, opaque))
        case Usage():
            return USAGES
        case Failure():
            return st.sampled_from([None, "", "strange"]).map(lambda code: structs.replace(event, code=code))
    return st.just(event) | replaced


ANY_OWN = st.sampled_from(OWN * 3 + NOWHERE)
COUNTS = st.none() | st.integers(0, 1000)
USAGES = st.builds(Usage, st.none() | st.integers(1000, 2**50), st.none() | st.integers(1000, 2**50), *[COUNTS] * 7)


def replay_of(kind, number):
    details = {"reasoning_details": [{"type": "reasoning.text", "text": "wh\ny", "signature": "s", "index": number}]}
    own = {
        "reasoning": [details, {"reasoning_opaque": f"o{number}"}, {**details, "reasoning_opaque": "p"}],
        "call": [{"extra_content": {"google": {"thought_signature": "s"}}}],
        "audio/pcm": [{"audio": {"id": f"audio_{number}"}}],
    }
    foreign = TEXT | st.sampled_from(['{"signature":"s"}', "[]", '{"audio":{}}'])
    mine = [json.dumps(value, indent=1) for value in own.get(kind, ())]
    return st.sampled_from(mine) | foreign if mine else foreign


def settled(events):
    """The last usage, then the ends of all blocks, come just before a good end; a citation is what it says."""
    content = [event for event in events[:-1] if not isinstance(event, BlockEnd | Usage)]
    content = [structs.replace(event, raw=None) if isinstance(event, Citation) else event for event in content]
    usages = [event for event in events if isinstance(event, Usage)][-1:]
    ends = sorted((event for event in events if isinstance(event, BlockEnd)), key=lambda end: end.index)
    ends = [BlockEnd(end.index, end.opaque and json.dumps(json.loads(end.opaque), sort_keys=True)) for end in ends]
    return [*content, *usages, *(ends if isinstance(events[-1], Finish) else ()), events[-1]]


def wordless_last(events):
    """Reasoning without words, which has no place but where it ends, as the last block."""
    thought = [event for event in events if isinstance(event, ReasoningDelta)]
    if not thought or any(event.text for event in thought):
        return events
    count = 1 + max(event.index for event in events if isinstance(event, BlockEnd))
    order = {thought[0].index: count - 1}
    order |= {index: place for place, index in enumerate(i for i in range(count) if i not in order)}
    moved = [
        structs.replace(event, index=order[event.index]) if getattr(event, "index", None) is not None else event
        for event in events
    ]
    others = [event for event in moved if not isinstance(event, ReasoningDelta)]
    return [*others[:-1], structs.replace(thought[0], index=count - 1), others[-1]]


class Normal:
    """The normal form that the module `server` describes, written apart from it."""

    def __init__(self, call):
        self.call, self.out = call, []
        self.numbers, self.kinds, self.told = {}, {}, {}
        self.images, self.opaque, self.costs, self.usage = {}, {}, {}, None
        self.worded = False

    def block(self, key):
        return self.numbers.setdefault(key, len(self.numbers))

    def of(self, events):
        for event in events[:-1]:
            self.add(event)
        usage = [self.usage] if self.call.usage and self.usage not in (None, Usage()) else []
        costs = [Extension(f"openai_chat:{name}", raw) for name, raw in self.costs.items()] if usage else []
        last = self.last(events[-1])
        ends = [BlockEnd(number, self.opaque.get(number)) for number in self.numbers.values()]
        return settled([*self.out, *costs, *usage, *ends, last])

    def add(self, event):
        match event:
            case Start():
                self.out.append(Start(event.id or self.call.id, event.model or self.call.request.model))
            case Usage():
                self.usage = event
            case Extension(index=None):
                self.loose(event)
            case ToolCallDelta():
                if event.arguments:
                    self.out.append(structs.replace(event, index=self.block(event.index)))
            case _:
                fresh = event.index not in self.kinds
                self.kinds.setdefault(event.index, KINDS.get(type(event), getattr(event, "media_type", "part")))
                self.content(event, self.kinds[event.index], fresh=fresh)

    def content(self, event, kind, *, fresh):
        index = event.index
        match event:
            case ToolCallStart():
                self.out.append(structs.replace(event, index=self.block(index)))
            case TextDelta() | ReasoningDelta() | RefusalDelta() if event.text:
                self.worded |= kind == "reasoning"
                self.out.append(structs.replace(event, index=self.block(kind)))
            case Citation() if event.url is not None:
                self.out.append(structs.replace(event, index=self.block("text")))
            case Attachment() if kind.startswith("image/"):
                self.images.setdefault(index, []).append(event)
            case Attachment() if kind == "audio/pcm" and event.data:
                self.out.append(Attachment(self.block(kind), kind, event.data))
            case Extension() if event.name.startswith("openai_chat:") and kind == "part":
                self.out.append(structs.replace(event, index=self.block(object()), raw=compact(event.raw)))
            case BlockEnd():
                self.end(index, kind, event.opaque)

    def end(self, index, kind, opaque):
        if index in self.images:
            pieces = self.images[index]
            data, url = b"".join(piece.data or b"" for piece in pieces), pieces[-1].url
            if data or url:
                number = self.block(object())
                self.out.append(Attachment(number, kind, data) if data else Attachment(number, "image/*", url=url))
        try:
            own = json.loads(opaque)
        except (TypeError, ValueError):
            return
        if not isinstance(own, dict):
            return
        if kind == "reasoning" and {"reasoning_details", "reasoning_opaque"} & set(own):
            text = "" if self.worded else "".join(item["text"] for item in own.get("reasoning_details", []))
            if text or kind not in self.numbers:
                self.out.append(ReasoningDelta(self.block(kind), text))
            before = json.loads(self.opaque.get(self.block(kind), "{}"))
            details = before.get("reasoning_details", []) + own.get("reasoning_details", [])
            own = {**before, **own, **({"reasoning_details": details} if details else {})}
            self.opaque[self.block(kind)] = json.dumps(own)
        elif kind == "call" and "extra_content" in own:
            self.opaque[self.block(index)] = opaque
        elif kind == "audio/pcm" and own.get("audio"):
            self.audio = opaque

    def loose(self, event):
        adapter, _, name = event.name.partition(":")
        if adapter != "openai_chat" or (name, event.raw) not in OWN:
            return
        raw = compact(event.raw)
        if name.startswith("cost"):
            self.costs[name] = raw
        elif name in REPEATED or self.told.get(name) != raw:
            self.told[name] = raw
            self.out.append(Extension(event.name, raw))

    def last(self, event):
        if "audio/pcm" in self.numbers and hasattr(self, "audio"):
            self.opaque[self.numbers["audio/pcm"]] = self.audio
        if isinstance(event, Failure):
            kind = "server" if event.kind in {"protocol", "truncated", "connection"} else event.kind
            return Failure(kind, event.message or event.kind, code=event.code or event.kind)
        reason, said = event.reason, "refusal" in self.numbers
        word = {"pause": "length", "other": "stop", "refusal": "stop" if said else "content_filter"}.get(reason, reason)
        if reason == "stop" and "call" in self.kinds.values():
            word = "tool_calls"
        reason = "tool_calls" if word == "stop" and "call" in self.kinds.values() else word
        return Finish("refusal" if reason == "stop" and said else reason, word)


def compact(raw):
    return msgspec.json.format(raw, indent=-1) if "\n" in raw else raw.strip()


def pieces(body, seed):
    places = sorted(random.Random(seed).choices(range(len(body) + 1), k=len(body) // 40))
    return [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]


@settings(max_examples=200)
@given(answers(), st.integers(), st.sampled_from([CALL, UNCOUNTED]))
def test_what_is_written_is_read_back_in_normal_form(events, seed, call):
    body = written(events, call)
    assert settled(read(openai_chat, pieces(body, seed))) == Normal(call).of(events)


@given(answers())
def test_every_frame_is_one_line_of_json_and_only_a_good_end_says_done(events):
    *before, last = frames(written(events))
    assert all(isinstance(json.loads(frame), dict) and b"\n" not in frame for frame in before)
    assert (last == b"[DONE]") == isinstance(events[-1], Finish)


@given(answers())
def test_a_failure_has_no_finish_reason(events):
    events = [*events[:-1], Failure("server", "broke")]
    own = [chunk["choices"][0] for chunk in chunks(events) if chunk.get("choices")]
    assert all(choice["finish_reason"] is None for choice in own if choice["index"] == 0)


@given(answers())
def test_what_an_adapter_read_is_written_without_loss(events):
    once = read(openai_chat, [written(events)])
    if isinstance(once[-1], Finish):
        encoder = dialect.Encoder(CALL)
        body = b"".join(encoder.feed(event) for event in once)
        twice = read(openai_chat, [body])
        assert settled(wordless_last(twice))[:-1] == settled(wordless_last(once))[:-1]
        assert twice[-1].reason == once[-1].reason
        assert encoder.lost.keys() <= {"Finish.raw"}  # calls that ended with `stop` end with `tool_calls`


ANSWER = [
    Start("chatcmpl-9", "gpt-x"),
    ReasoningDelta(0, "Hm"),
    ReasoningDelta(0, "m."),
    BlockEnd(0, '{"reasoning_details":[{"type":"reasoning.text","text":"Hmm.","signature":"s","index":0}]}'),
    TextDelta(1, "Let me "),
    TextDelta(1, "see\n"),
    BlockEnd(1),
    ToolCallStart(2, "call_a", "add"),
    ToolCallStart(3, "call_b", "sub"),
    ToolCallDelta(3, '{"x":'),
    ToolCallDelta(2, '{"a":1}'),
    ToolCallDelta(3, "2}"),
    BlockEnd(2),
    BlockEnd(3, '{"extra_content":{"google":{"thought_signature":"t"}}}'),
    Usage(9, 5, cache_read_tokens=4, reasoning_tokens=2),
    Finish("tool_calls", "tool_use"),
]
REFUSAL = [Start("1", "m"), RefusalDelta(0, "I can"), RefusalDelta(0, "not."), BlockEnd(0), Finish("refusal")]


def test_a_body_that_is_cut_is_never_whole():
    check_truncation(openai_chat, written(ANSWER))


def test_the_package_is_an_adapter_and_a_dialect():
    assert isinstance(openai_chat, Adapter)
    assert isinstance(dialect, Dialect)


def test_a_keep_alive_says_nothing():
    body = written(ANSWER)
    kept = body.replace(b"\n\n", b"\n\n" + dialect.keep_alive)
    assert read(openai_chat, [kept]) == read(openai_chat, [body])


# What the chunks look like


def test_all_chunks_share_id_model_and_time_and_the_first_says_the_role():
    first, *others = chunks(ANSWER)
    same = {"id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "gpt-x"}
    delta = {"role": "assistant", "content": ""}
    assert first == {**same, "choices": [{"delta": delta, "index": 0, "finish_reason": None}], "usage": None}
    assert all(same.items() <= chunk.items() for chunk in others)


def test_the_call_names_what_the_provider_does_not():
    (chunk,) = chunks([Start()])
    assert (chunk["id"], chunk["model"]) == ("chatcmpl-1", "asked")


def test_the_usage_comes_in_a_chunk_without_choices_before_done():
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    *before, last = chunks(ANSWER)
    assert (last["choices"], last["usage"]) == ([], usage)
    assert all(chunk["usage"] is None for chunk in before)


def test_an_unknown_count_is_null():
    *_, last = chunks([Start(), Usage(output_tokens=3), Finish("stop")])
    assert last["usage"] == {"prompt_tokens": None, "completion_tokens": 3, "total_tokens": None}


def test_without_being_asked_for_there_is_no_usage():
    assert all("usage" not in chunk for chunk in chunks(ANSWER, UNCOUNTED))


def test_what_was_used_is_said_before_an_error():
    before, error = chunks([Start(), Usage(1, 2), Failure("server", "x")])[1:]
    assert (before["usage"]["total_tokens"], error["error"]["message"]) == (3, "x")


def test_the_first_fragment_of_a_call_has_its_id_type_and_name():
    found = [delta["tool_calls"][0] for delta in deltas(*ANSWER[1:-2]) if "tool_calls" in delta]
    assert found == [
        {"function": {"arguments": "", "name": "add"}, "index": 0, "id": "call_a", "type": "function"},
        {"function": {"arguments": "", "name": "sub"}, "index": 1, "id": "call_b", "type": "function"},
        {"function": {"arguments": '{"x":'}, "index": 1},
        {"function": {"arguments": '{"a":1}'}, "index": 0},
        {"function": {"arguments": "2}"}, "index": 1},
        {"function": {"arguments": ""}, "index": 1, "extra_content": {"google": {"thought_signature": "t"}}},
    ]


def test_an_image_is_sent_when_it_is_whole():
    head, tail = Attachment(0, "image/png", b"PN"), Attachment(0, "image/png", b"G")
    assert deltas(head, tail) == []
    url = "data:image/png;base64,UE5H"
    assert deltas(head, tail, BlockEnd(0)) == [{"images": [{"image_url": {"url": url}, "type": "image_url"}]}]


def test_a_citation_of_this_format_is_sent_as_it_was():
    raw = '{"type":"url_citation","url_citation":{"url":"u","start_index":1,"more":1.50}}'
    body = written([Start(), Citation(0, "u", start=1, raw=raw)])
    assert raw.encode() in body


def test_a_citation_counts_from_the_beginning_of_all_text():
    source = Citation(1, "u", "t", "quoted", 1, 3)
    *_, delta = deltas(TextDelta(0, "12345"), BlockEnd(0), TextDelta(1, "678"), source)
    found = {"start_index": 6, "end_index": 8, "url": "u", "title": "t", "content": "quoted"}
    assert delta["annotations"] == [{"type": "url_citation", "url_citation": found}]


def test_the_id_of_a_sound_follows_it():
    sound, end = Attachment(0, "audio/pcm", b"ab"), BlockEnd(0, '{"audio":{"id":"audio_1"}}')
    assert deltas(sound, end) == [{"audio": {"data": "YWI="}}, {"audio": {"id": "audio_1"}}]


IMAGE = Attachment(0, "image/png", b"P")


@pytest.mark.parametrize(
    ("events", "names"),
    [
        ([TextDelta(0, "a"), TextDelta(1, "b")], ["TextDelta.index"]),
        ([ReasoningDelta(0, "a"), ReasoningDelta(1, "b")], ["ReasoningDelta.index"]),
        ([RefusalDelta(0, "a"), RefusalDelta(1, "b")], ["RefusalDelta.index"]),
        ([Attachment(0, "audio/pcm", b"a"), Attachment(1, "audio/pcm", b"b")], ["Attachment.index"]),
        ([Attachment(0, "application/pdf", b"a"), BlockEnd(0)], ["Attachment"]),
        ([Attachment(0, "image/png"), BlockEnd(0)], ["Attachment"]),
        ([IMAGE, Failure("server", "x")], ["Attachment"]),
        ([structs.replace(IMAGE, url="u"), BlockEnd(0)], ["Attachment.url"]),
        ([Attachment(0, "audio/pcm", b"a", "u")], ["Attachment.url"]),
        ([Attachment(0, "image/png", url="u"), BlockEnd(0)], ["Attachment.media_type"]),
        ([Attachment(0, "image/*", url="u"), BlockEnd(0)], []),
        ([IMAGE, BlockEnd(0, "{}")], ["BlockEnd.opaque"]),
        ([TextDelta(0, "a"), BlockEnd(0, '{"signature":"s"}')], ["BlockEnd.opaque"]),
        ([Citation(0, title="t")], ["Citation"]),
        ([Citation(0, "u", raw='{"type":"page"}')], ["Citation.raw"]),
        ([Citation(0, "u", raw='{"url_citation":{"url":"u"}}')], []),
        ([Extension("gemini:x", "{}")], ["Extension"]),
        ([Extension("openai_chat:video", '{"type":"audio"}', 0)], ["Extension"]),
        ([Extension("openai_chat:text", '{"type":"text"}', 0)], ["Extension"]),
        ([TextDelta(0, "a"), Extension("openai_chat:video", '{"type":"video"}', 0)], ["Extension"]),
        *(([Extension(f"openai_chat:{name}", raw)], ["Extension"]) for name, raw in NOWHERE),
        ([Extension("openai_chat:cost", "1"), Finish("stop")], ["Extension"]),
        ([Finish("pause", "pause_turn")], ["Finish.reason", "Finish.raw"]),
        ([Finish("other")], ["Finish.reason"]),
        ([Finish("refusal", "refusal")], ["Finish.reason", "Finish.raw"]),
        ([Finish("stop", "stop")], []),
        (
            [Failure("server", "x", "d", 500, "c", 1.0, True, "r")],
            ["Failure.detail", "Failure.status", "Failure.retry_after", "Failure.should_retry", "Failure.request_id"],
        ),
    ],
)
def test_what_has_no_place_is_counted(events, names):
    assert lost(*events) == dict.fromkeys(names, 1)


def test_a_usage_that_was_not_asked_for_is_counted():
    encoder = dialect.Encoder(UNCOUNTED)
    for event in (Start(), Usage(1, 1), Finish("stop")):
        encoder.feed(event)
    assert encoder.lost == {"Usage": 1}


@pytest.mark.parametrize(
    ("events", "word"),
    [
        ([Finish("stop")], "stop"),
        ([Finish("length")], "length"),
        ([Finish("content_filter")], "content_filter"),
        ([RefusalDelta(0, "No"), Finish("refusal")], "stop"),
        ([Finish("refusal")], "content_filter"),
        ([ToolCallStart(0, "a", "f"), Finish("stop")], "tool_calls"),
        ([Finish("pause")], "length"),
        ([Finish("other", "weird")], "stop"),
    ],
)
def test_reasons_have_the_words_that_clients_know(events, word):
    assert chunks([Start(), *events])[-1]["choices"][0]["finish_reason"] == word


def test_items_that_follow_their_words_do_not_repeat_them():
    fold = Fold(read(openai_chat, [written(ANSWER)]))
    assert fold.reasoning == "Hmm."
    assert json.loads(fold.message.parts[0].opaque) == json.loads(ANSWER[3].opaque)


def test_what_only_this_format_has_goes_back_to_its_place():
    extensions = [Extension(f"openai_chat:{name}", compact(raw)) for name, raw in OWN]
    found = read(openai_chat, [written([Start("1", "m"), *extensions, Usage(1, 1), Finish("stop")])])
    assert sorted((event.name, event.raw) for event in found if isinstance(event, Extension)) == sorted(
        (event.name, event.raw) for event in extensions
    )


# The whole answer


def rendered(events, call=CALL):
    return json.loads(dialect.render(Fold(events), call))


def test_a_whole_answer():
    body = rendered(ANSWER)
    usage = body.pop("usage")
    assert usage["total_tokens"] == 14
    message = {
        "role": "assistant",
        "content": "Let me see\n",
        "refusal": None,
        "reasoning_content": "Hmm.",
        "reasoning_details": [{"type": "reasoning.text", "text": "Hmm.", "signature": "s", "index": 0}],
        "tool_calls": [
            {"function": {"arguments": '{"a":1}', "name": "add"}, "id": "call_a", "type": "function"},
            {
                "function": {"arguments": '{"x":2}', "name": "sub"},
                "id": "call_b",
                "type": "function",
                "extra_content": {"google": {"thought_signature": "t"}},
            },
        ],
    }
    choice = {"message": message, "index": 0, "finish_reason": "tool_calls", "logprobs": None}
    assert body == {
        "id": "chatcmpl-9",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-x",
        "choices": [choice],
    }


def test_a_whole_answer_has_all_that_a_stream_has():
    extensions = [Extension(f"openai_chat:{name}", raw) for name, raw in [*OWN, *NOWHERE]]
    refused = Extension("openai_chat:logprobs", '{"refusal":[{"token":"b"}]}')
    body = rendered(
        [
            Start(),
            *extensions,
            *extensions,
            refused,
            ReasoningDelta(0, ""),
            BlockEnd(0, '{"reasoning_opaque":"o"}'),
            RefusalDelta(1, "No"),
            Attachment(2, "image/png", b"PNG"),
            Attachment(3, "image/*", url="u"),
            Attachment(4, "image/png"),
            Attachment(5, "audio/pcm", b"a"),
            BlockEnd(5, '{"audio":{"id":"audio_1"}}'),
            Attachment(6, "application/pdf", b"a"),
            Usage(1, 1),
            Finish("refusal"),
        ]
    )
    (choice,) = body["choices"]
    message = choice["message"]
    assert (message["content"], message["refusal"], message["reasoning_opaque"]) == (None, "No", "o")
    assert [image["image_url"]["url"] for image in message["images"]] == ["data:image/png;base64,UE5H", "u"]
    assert message["audio"] == {"id": "audio_1", "data": "YQ==", "transcript": ""}
    assert (body["service_tier"], body["usage"]["cost"], choice["finish_reason"]) == ("flex", 0.25, "stop")
    assert (message["annotations"], message["executed_tools"]) == ([{"type": "file"}] * 2, [{"index": 0}])
    assert choice["content_filter_results"] == {"hate": {"filtered": False}}
    assert choice["logprobs"] == {"content": [{"token": "a"}] * 2, "refusal": [{"token": "b"}]}


def test_parts_that_only_this_format_has_make_the_content_a_list():
    part = '{"type":"video","n":1}'
    events = [TextDelta(0, "a"), Extension("openai_chat:video", part, 1), Extension("gemini:x", "{}", 2)]
    (choice,) = rendered([Start(), *events, Finish("stop")])["choices"]
    assert choice["message"]["content"] == [{"type": "text", "text": "a"}, json.loads(part)]


def test_places_of_citations_are_left_out_where_they_would_be_wrong():
    one = [TextDelta(0, "ab"), Citation(0, "u", start=0, end=1), Citation(0, title="t")]
    (choice,) = rendered([Start(), *one])["choices"]
    found = {"start_index": 0, "end_index": 1, "url": "u"}
    assert choice["message"]["annotations"] == [{"type": "url_citation", "url_citation": found}]
    (choice,) = rendered([Start(), *one, TextDelta(1, "cd")])["choices"]
    assert choice["message"]["annotations"] == [{"type": "url_citation", "url_citation": {"url": "u"}}]


def test_an_answer_that_did_not_finish_has_no_finish_reason():
    (choice,) = rendered([Start(), TextDelta(0, "a"), Failure("truncated", "cut")])["choices"]
    assert choice["finish_reason"] is None


# Errors


@pytest.mark.parametrize("kind", FailureKind.__args__)
def test_every_failure_has_a_status_and_its_kind_can_be_read(kind):
    status, body = dialect.error(Failure(kind, "broke", request_id="r", status=599))
    error = json.loads(body)["error"]
    assert (status, error["message"], error["param"], error["code"]) == (STATUSES[kind], "broke", None, kind)
    read_back = http_failure(status, {}, body).kind
    assert read_back == ("server" if kind in {"protocol", "truncated", "connection"} else kind)


@pytest.mark.parametrize("kind", FailureKind.__args__)
def test_every_failure_ends_a_stream_without_the_marks_of_a_good_end(kind):
    body = written([Start("1", "m"), TextDelta(0, "a"), Failure(kind, "", code="their_code")])
    assert b"[DONE]" not in body
    assert json.loads(frames(body)[-1])["error"]["code"] == "their_code"
    assert isinstance(read(openai_chat, [body])[-1], Failure)


# The official SDK


@pytest.fixture
def sdk():
    return pytest.importorskip("openai", reason="the official SDK is not installed")


def streamed(sdk, events):
    """What the SDK makes of an answer: the chunks, and what its own helper folds them to."""
    body = [frame + b"\n\n" for frame in written(events).split(b"\n\n")[:-1]]
    with serve(Answer(body)) as server, sdk.OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0) as client:
        with client.chat.completions.create(**MESSAGES, stream=True) as stream:
            found = list(stream)
        with client.chat.completions.stream(**MESSAGES) as helper:
            helper.until_done()
            return found, helper.get_final_completion()


def test_the_sdk_reads_text_reasoning_calls_and_usage(sdk):
    found, whole = streamed(sdk, ANSWER)
    choice = whole.choices[0]
    assert choice.message.content == "Let me see\n"
    said = [getattr(chunk.choices[0].delta, "reasoning_content", None) for chunk in found if chunk.choices]
    assert "".join(text for text in said if text) == "Hmm."
    calls = [(call.id, call.function.name, call.function.arguments) for call in choice.message.tool_calls]
    assert calls == [("call_a", "add", '{"a":1}'), ("call_b", "sub", '{"x":2}')]
    assert choice.finish_reason == "tool_calls"
    assert (whole.usage.total_tokens, whole.usage.prompt_tokens_details.cached_tokens) == (14, 4)
    assert whole.usage.completion_tokens_details.reasoning_tokens == 2


def test_the_sdk_reads_a_refusal(sdk):
    _, whole = streamed(sdk, REFUSAL)
    assert (whole.choices[0].message.refusal, whole.choices[0].finish_reason) == ("I cannot.", "stop")


def test_the_sdk_raises_what_failed_in_the_stream(sdk):
    with pytest.raises(sdk.APIError, match="too busy") as caught:
        streamed(sdk, [Start("1", "m"), TextDelta(0, "a"), Failure("overloaded", "too busy")])
    assert (caught.value.code, caught.value.type) == ("overloaded", "service_unavailable_error")


def test_the_sdk_reads_a_whole_answer(sdk):
    answer = Answer(
        [dialect.render(Fold(ANSWER), CALL)], headers={"content-type": "application/json"}, framing="length"
    )
    with serve(answer) as server, sdk.OpenAI(base_url=f"{server.url}/v1", api_key="k") as client:
        whole = client.chat.completions.create(**MESSAGES)
    assert whole.choices[0].message.tool_calls[1].function.arguments == '{"x":2}'
    assert whole.choices[0].message.model_extra["reasoning_content"] == "Hmm."


def test_the_sdk_raises_the_class_of_an_error(sdk):
    status, body = dialect.error(Failure("auth", "who are you"))
    answer = Answer([body], status, {"content-type": "application/json"}, "length")
    with (
        serve(answer) as server,
        sdk.OpenAI(base_url=f"{server.url}/v1", api_key="k") as client,
        pytest.raises(sdk.AuthenticationError, match="who are you"),
    ):
        client.chat.completions.create(**MESSAGES)


@pytest.mark.parametrize(
    ("events", "finish"),
    [
        ([ToolCallStart(0, "c", "f"), BlockEnd(0)], Finish("stop")),
        ([RefusalDelta(0, "No"), BlockEnd(0)], Finish("stop")),
        ([RefusalDelta(0, "No"), ToolCallStart(1, "c", "f"), BlockEnd(0), BlockEnd(1)], Finish("refusal")),
    ],
)
def test_a_reason_that_the_content_overrules_is_counted(events, finish):
    encoder = dialect.Encoder(CALL)
    for event in [Start("1", "m"), *events, finish]:
        encoder.feed(event)
    assert encoder.lost == {"Finish.reason": 1}
