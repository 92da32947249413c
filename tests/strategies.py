"""Hypothesis strategies for events: each one alone, and whole streams that keep the grammar."""

from __future__ import annotations

from hypothesis import strategies as st
from msgspec import structs

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

INDEX = st.integers(0, 2**40)
TEXT = st.text(max_size=8) | st.sampled_from(["\n\ndata: [DONE]\n\n", "\r", "\u2028", "\0", "😀", '"\\'])
MAYBE = st.none() | TEXT
COUNT = st.none() | st.integers(0, 2**53)
SECONDS = st.none() | st.floats(0, allow_infinity=False)

EVENTS = {
    Start: st.builds(Start, MAYBE, MAYBE),
    TextDelta: st.builds(TextDelta, INDEX, TEXT),
    ReasoningDelta: st.builds(ReasoningDelta, INDEX, TEXT),
    RefusalDelta: st.builds(RefusalDelta, INDEX, TEXT),
    ToolCallStart: st.builds(ToolCallStart, INDEX, TEXT, TEXT),
    ToolCallDelta: st.builds(ToolCallDelta, INDEX, TEXT),
    Citation: st.builds(Citation, INDEX, MAYBE, MAYBE, MAYBE, COUNT, COUNT, MAYBE),
    Attachment: st.builds(Attachment, INDEX, TEXT, st.none() | st.binary(max_size=20), MAYBE),
    Extension: st.builds(Extension, TEXT, TEXT, st.none() | INDEX),
    BlockEnd: st.builds(BlockEnd, INDEX, MAYBE),
    Usage: st.builds(Usage, *[COUNT] * len(Usage.__struct_fields__)),
    Finish: st.builds(Finish, st.sampled_from(FinishReason.__args__), MAYBE),
    Failure: st.builds(
        Failure,
        st.sampled_from(FailureKind.__args__),
        TEXT,
        MAYBE,
        st.none() | st.integers(100, 599),
        MAYBE,
        SECONDS,
        st.none() | st.booleans(),
        MAYBE,
    ),
}
EVENT = st.one_of(*EVENTS.values())


@st.composite
def streams(draw):
    """The events of one whole stream, blocks interleaved."""
    events = [draw(EVENTS[Start])]
    blocks = []  # the strategy for what continues each block; None once it has ended
    for _ in range(draw(st.integers(0, 20))):
        open_blocks = [index for index, more in enumerate(blocks) if more is not None]
        step = draw(st.sampled_from(["open", "continue", "continue", "continue", "end", "beside"]))
        if step == "open" or (step != "beside" and not open_blocks):
            kind = draw(
                st.sampled_from([TextDelta, ReasoningDelta, RefusalDelta, ToolCallStart, Attachment, Extension])
            )
            index = st.just(len(blocks))
            events.append(draw(block_event(kind, index)))
            blocks.append(ToolCallDelta if kind is ToolCallStart else kind)
        elif step == "continue":
            index = draw(st.sampled_from(open_blocks))
            kind = draw(st.sampled_from([blocks[index], blocks[index], Citation, Extension]))
            events.append(draw(block_event(kind, st.just(index))))
        elif step == "end":
            index = draw(st.sampled_from(open_blocks))
            events.append(draw(block_event(BlockEnd, st.just(index))))
            blocks[index] = None
        else:
            events.append(draw(EVENTS[Usage] | st.builds(Extension, TEXT, TEXT)))
    last = draw(EVENTS[Finish] | EVENTS[Failure])
    if isinstance(last, Finish):
        events += [BlockEnd(index) for index, more in enumerate(blocks) if more is not None]
    return distinct([*events, last])


def distinct(events):
    """The same, no call with the id of another one: the event model promises that. One without an id is left so."""
    taken, out = set(), []
    for event in events:
        if not isinstance(event, ToolCallStart):
            out.append(event)
            continue
        id = event.id
        while id and id in taken:
            id += "'"
        taken.add(id)
        out.append(structs.replace(event, id=id))
    return out


def block_event(kind, index):
    if kind is Extension:
        return st.builds(Extension, TEXT, TEXT, index)
    if kind is ToolCallStart:
        return st.builds(ToolCallStart, index, TEXT, TEXT)
    if kind is Attachment:
        return st.builds(Attachment, index, TEXT, st.none() | st.binary(max_size=8), MAYBE)
    if kind in {Citation, BlockEnd}:
        return st.builds(kind, index, MAYBE)
    return st.builds(kind, index, TEXT)
