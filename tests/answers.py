"""Hypothesis strategies for answers as providers give them: blocks in turn or two at once, with what each format has."""

from __future__ import annotations

from hypothesis import strategies as st
from msgspec import structs

from strategies import streams
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

WORDS = st.text(min_size=1, max_size=5) | st.sampled_from(["Paris.", " I think", "\n\n", "é😀", "data: [DONE]"])
ARGUMENTS = st.sampled_from(["", "{}", '{"city": "Paris"}', '{"a":[1.50,null]}', '{"deep":{"π":"\\n"}}'])
BROKEN = st.sampled_from(["[1]", '{"city":', "Paris", '"x"'])
OPAQUE = {  # what goes back, by the kind of block
    ReasoningDelta: [
        '{"signature":"c2ln"}',
        '{"signature":""}',
        '{"thoughtSignature":"c2ln"}',
        '{"reasoning_details":[{"type":"reasoning.text","text":"t","signature":"s","index":0}]}',
        '{"reasoning_opaque":"o"}',
        '{"id":"rs_1","type":"reasoning","encrypted_content":"e"}',
    ],
    TextDelta: ['{"thoughtSignature":"c2ln"}', '{"id":"msg_1","type":"message","status":"completed"}'],
    ToolCallStart: [
        '{"thoughtSignature":"c2ln"}',
        '{"id":null}',
        '{"caller":{"type":"direct"}}',
        '{"extra_content":{"google":{"thought_signature":"t"}}}',
        '{"id":"fc_1","type":"function_call","status":"completed"}',
    ],
    Attachment: ['{"thoughtSignature":"c2ln"}'],
}
EXTENSIONS = [
    ("anthropic:redacted_thinking", '{"type":"redacted_thinking","data":"x"}'),
    ("gemini:executable_code", '{"executableCode":{"code":"1"}}'),
    ("openai_responses:web_search_call", '{"id":"ws_1","type":"web_search_call","status":"completed"}'),
    ("openai_chat:document", '{"type":"document","n":1}'),
]
FACTS = [
    ("anthropic:container", '{"id":"c"}'),
    ("gemini:safety_ratings", '[{"category":"x"}]'),
    ("openai_chat:service_tier", '"flex"'),
    ("openai_chat:cost", "1.50"),
    ("openai_responses:service_tier", '"default"'),
    ("ollama:total_duration", "5000"),
]
SOURCES = st.builds(
    Citation,
    st.just(0),
    st.none() | st.sampled_from(["https://a.example/", "https://b.example/x"]),
    st.none() | st.just("A"),
    st.none() | st.just("quoted"),
    st.none() | st.integers(0, 3),
    st.none() | st.integers(0, 9),
    st.sampled_from(
        [
            None,
            '{"type":"char_location","cited_text":"q","document_title":"d","start_char_index":1}',
            '{"type":"url_citation","url_citation":{"url":"https://a.example/","start_index":0,"end_index":1}}',
            '{"type":"url_citation","url":"https://a.example/","title":"A","start_index":0,"end_index":1}',
        ]
    ),
)
STATUSES = {
    "auth": 401,
    "permission": 403,
    "invalid": 400,
    "not_found": 404,
    "rate_limit": 429,
    "quota": 429,
    "overloaded": 503,
    "server": 502,
    "protocol": 502,
    "truncated": 502,
    "connection": 502,
    "timeout": 504,
    "cancelled": 499,
}
"""The HTTP status of a failure of each kind."""
IMAGES = [b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF1234WEBP"]
MEDIA = st.one_of(
    st.builds(Attachment, st.just(0), st.sampled_from(["image/png", "image/gif"]), st.sampled_from(IMAGES)),
    st.builds(Attachment, st.just(0), st.just("image/*"), url=st.just("https://a.example/b.png")),
    st.builds(
        Attachment, st.just(0), st.sampled_from(["audio/pcm", "application/pdf"]), st.binary(min_size=1, max_size=4)
    ),
)
RAWS = ["stop", "end_turn", "STOP", "completed", "tool_use", "length", "max_tokens", "SAFETY", "refusal", "load", "odd"]
ENDS = st.builds(Finish, st.sampled_from(FinishReason.__args__), st.none() | st.sampled_from(RAWS))
FAILURES = st.builds(
    Failure,
    st.sampled_from(FailureKind.__args__),
    st.sampled_from(["broke", "a\nb", ""]),
    st.sampled_from([None, "idle"]),
    st.sampled_from([None, 429, 500]),
    st.sampled_from([None, "slow_down", "overloaded_error"]),
    st.sampled_from([None, 1.5]),
    st.sampled_from([None, True]),
    st.sampled_from([None, "req_1"]),
)


@st.composite
def usages(draw):
    """Counts that fit: the parts are parts."""
    read, written = draw(st.integers(0, 2**40)), draw(st.integers(0, 2**40))
    counts = {"input_tokens": read, "output_tokens": written}
    for name, whole, by in (
        ("cache_read_tokens", read, 4),
        ("cache_write_tokens", read, 4),
        ("input_audio_tokens", read, 4),
        ("input_image_tokens", read, 4),
        ("reasoning_tokens", written, 3),
        ("output_audio_tokens", written, 3),
        ("output_image_tokens", written, 3),
    ):
        counts[name] = draw(st.none() | st.integers(0, whole // by))
    return Usage(**counts)


@st.composite
def answers(draw):
    """One block after the other, or two at once."""
    events = [Start(draw(st.sampled_from([None, "r_1"])), draw(st.sampled_from([None, "m-1"])))]
    pending = []
    for index in range(draw(st.integers(0, 5))):
        made = draw(blocks(index))
        both = draw(st.booleans()) and draw(st.booleans())
        events += draw(interleaved(pending, made)) if both else [*pending, *made]
        pending = []
        if draw(st.booleans()) and not both:
            events, pending = events[: len(events) - len(made)], made
        events += draw(st.lists(st.sampled_from(FACTS).map(lambda fact: Extension(*fact)), max_size=1))
    events += pending
    last = draw(st.one_of(ENDS, ENDS, ENDS, FAILURES))
    events += draw(st.lists(usages(), max_size=1))
    if isinstance(last, Failure) and draw(st.booleans()):
        events = [event for event in events if not isinstance(event, BlockEnd)]
    return [*events, last]


@st.composite
def interleaved(draw, one, other):
    """Two blocks at once, each in its order, the first to begin first."""
    one, other, events = [*one], [*other], []
    while one or other:
        first = one and (not events or not other or draw(st.booleans()))
        events.append((one if first else other).pop(0))
    return events


@st.composite
def blocks(draw, index):
    kind = draw(
        st.sampled_from(
            [TextDelta, TextDelta, ReasoningDelta, ToolCallStart, ToolCallStart, RefusalDelta, Attachment, Extension]
        )
    )
    if kind is Extension:
        return [Extension(*draw(st.sampled_from(EXTENSIONS)), index), BlockEnd(index)]
    if kind is Attachment:
        events = [structs.replace(draw(MEDIA), index=index)]
    elif kind is ToolCallStart:
        text = draw(ARGUMENTS | BROKEN) if draw(st.integers(0, 9)) == 0 else draw(ARGUMENTS)
        at = draw(st.integers(0, len(text)))
        name = draw(st.sampled_from(["f", "get_weather"]))
        pieces = [ToolCallDelta(index, piece) for piece in (text[:at], text[at:]) if piece]
        events = [ToolCallStart(index, f"toolu_{index}", name), *pieces]
    else:
        events = [kind(index, text) for text in draw(st.lists(WORDS, min_size=1, max_size=3))]
        if kind is TextDelta:
            events += [structs.replace(source, index=index) for source in draw(st.lists(SOURCES, max_size=2))]
    own = draw(st.sampled_from([None, *OPAQUE.get(kind, [])]))
    return [*events, BlockEnd(index, own)]


@st.composite
def any_events(draw):
    """All that the grammar allows; but counts fit, calls have names and ids of their own, and sources stand in text."""
    counts, texts, events = draw(usages()), set(), []
    for event in draw(streams()):
        if isinstance(event, Usage):
            events.append(counts)
        elif isinstance(event, ToolCallStart):
            events.append(ToolCallStart(event.index, f"toolu_{event.index}{event.id}", event.name or "f"))
        elif isinstance(event, TextDelta):
            texts.add(event.index)
            events.append(TextDelta(event.index, event.text or "t"))
        elif not isinstance(event, Citation) or event.index in texts:
            events.append(event)
    return events


EVENTS = answers() | answers() | any_events()
