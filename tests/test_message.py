"""What events add up to, at any time, and that it can go back to the provider."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from strategies import streams
from streamcore.events import (
    Attachment,
    BlockEnd,
    Citation,
    Extension,
    Failure,
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
from streamcore.request import (
    ExtensionPart,
    File,
    Image,
    Message,
    ReasoningPart,
    RefusalPart,
    Request,
    Text,
    ToolCall,
    prompt,
)

ALL = [
    Start("r1", "m1"),
    ReasoningDelta(0, "thin"),
    ReasoningDelta(0, "king"),
    BlockEnd(0, '{"signature":"s"}'),
    TextDelta(1, "The answer "),
    Extension("x:metadata", '{"a":1}'),
    Usage(10, 1),
    TextDelta(1, "is 42."),
    Citation(1, "https://a.invalid", raw='{"cited":1}'),
    Citation(1, title="unsourced"),
    BlockEnd(1),
    RefusalDelta(2, "No."),
    BlockEnd(2),
    ToolCallStart(3, "c1", "f"),
    ToolCallStart(4, "c2", "g"),
    ToolCallDelta(3, '{"a":'),
    ToolCallDelta(4, "{}"),
    ToolCallDelta(3, "1}"),
    BlockEnd(3, '{"id":"i"}'),
    BlockEnd(4),
    Attachment(5, "image/png", b"\x89P"),
    Attachment(5, "image/png", b"NG"),
    BlockEnd(5),
    Attachment(6, "audio/wav", url="https://b.invalid"),
    BlockEnd(6),
    Extension("x:search", '{"q":1}', 7),
    Extension("x:search", '{"q":2}', 7),
    BlockEnd(7, '{"id":"s"}'),
    TextDelta(8, " Bye."),
    Extension("x:note", '"n"', 8),
    BlockEnd(8, '{"id":"t"}'),
    Usage(10, 20),
    Finish("tool_calls", "tool_use"),
]


def whole():
    return Fold(ALL)


def test_text_is_that_of_all_text_blocks_in_order():
    assert whole().text == "The answer is 42. Bye."


def test_blocks_are_told_apart_however_they_interleave():
    assert Fold([TextDelta(0, "a"), TextDelta(1, "b"), TextDelta(0, "c")]).text == "acb"


def test_reasoning_and_refusal_are_no_text():
    assert (whole().reasoning, whole().refusal) == ("thinking", "No.")


def test_the_start_says_id_and_model():
    assert (whole().id, whole().model) == ("r1", "m1")


def test_the_last_usage_counts():
    assert whole().usage == Usage(10, 20)


def test_the_outcome_is_the_last_event():
    assert whole().outcome == Finish("tool_calls", "tool_use")
    assert Fold([Failure("server", "no")]).outcome == Failure("server", "no")


def test_citations_are_listed_in_order():
    assert [citation.url or citation.title for citation in whole().citations] == ["https://a.invalid", "unsourced"]


def test_the_pieces_of_an_attachment_are_joined():
    assert whole().attachments == [
        Attachment(5, "image/png", b"\x89PNG"),
        Attachment(6, "audio/wav", url="https://b.invalid"),
    ]


def test_extensions_of_the_response_are_kept_apart_from_those_of_blocks():
    assert whole().extensions == [Extension("x:metadata", '{"a":1}')]


def test_tool_calls_are_whole():
    assert whole().tool_calls == [
        ToolCall(id="c1", name="f", arguments='{"a":1}', opaque='{"id":"i"}'),
        ToolCall(id="c2", name="g", arguments="{}"),
    ]


def test_a_tool_call_without_arguments_has_an_empty_object():
    assert Fold([ToolCallStart(0, "c", "f"), BlockEnd(0)]).tool_calls == [ToolCall(id="c", name="f", arguments="{}")]


def test_a_tool_call_that_has_not_ended_may_not_run():
    fold = Fold([ToolCallStart(0, "c", "f"), ToolCallDelta(0, "{}")])
    assert (fold.tool_calls, fold.message.parts) == ([], ())
    fold.feed([BlockEnd(0)])
    assert len(fold.tool_calls) == len(fold.message.parts) == 1


def test_the_message_holds_every_block_with_what_its_provider_must_get_back():
    assert whole().message == Message(
        "assistant",
        (
            ReasoningPart(text="thinking", opaque='{"signature":"s"}'),
            Text(text="The answer is 42.", citations=('{"cited":1}',)),
            RefusalPart(text="No."),
            ToolCall(id="c1", name="f", arguments='{"a":1}', opaque='{"id":"i"}'),
            ToolCall(id="c2", name="g", arguments="{}"),
            Image(data=b"\x89PNG", media_type="image/png"),
            File(url="https://b.invalid", media_type="audio/wav"),
            ExtensionPart(name="x:search", raw='{"q":1}', opaque='{"id":"s"}'),
            ExtensionPart(name="x:search", raw='{"q":2}', opaque='{"id":"s"}'),
            Text(text=" Bye.", opaque='{"id":"t"}'),
            ExtensionPart(name="x:note", raw='"n"'),
        ),
    )


def test_a_block_that_begins_with_a_citation_is_text():
    fold = Fold([Citation(0, "u", raw="{}"), TextDelta(0, "a")])
    assert (fold.text, fold.message.parts) == ("a", (Text(text="a", citations=("{}",)),))


def test_reasoning_of_which_only_the_signature_came_goes_back():
    fold = Fold([ReasoningDelta(0, ""), BlockEnd(0, '{"data":"encrypted"}')])
    assert fold.message.parts == (ReasoningPart(text="", opaque='{"data":"encrypted"}'),)


def test_a_stream_that_failed_holds_what_came_before():
    fold = Fold([*ALL[:8], Failure("connection", "reset")])
    assert (fold.text, fold.reasoning, fold.usage) == ("The answer is 42.", "thinking", Usage(10, 1))
    assert fold.message.parts[1:] == (Text(text="The answer is 42."),)


def test_nothing_yet_is_nothing():
    fold = Fold()
    assert (fold.id, fold.model, fold.usage, fold.outcome) == (None, None, None, None)
    assert (fold.text, fold.reasoning, fold.refusal) == ("", "", "")
    assert fold.tool_calls == fold.citations == fold.attachments == fold.extensions == []
    assert fold.message == Message("assistant", ())


def test_what_is_returned_is_the_callers_own():
    fold = whole()
    for found in (fold.tool_calls, fold.citations, fold.attachments, fold.extensions):
        found.clear()
    assert fold.tool_calls
    assert fold.extensions


def everything(fold):
    return (
        *(fold.id, fold.model, fold.usage, fold.outcome, fold.text, fold.reasoning, fold.refusal),
        *(fold.tool_calls, fold.citations, fold.attachments, fold.extensions, fold.message),
    )


@given(streams())
def test_asking_at_any_time_changes_nothing(events):
    fold = Fold()
    for count, event in enumerate(events, 1):
        fold.feed([event])
        assert everything(fold) == everything(Fold(events[:count]))


@given(streams(), st.integers(0, 20))
def test_nothing_that_came_is_lost(events, size):
    events = events[: size + 1]
    fold = Fold(events)
    assert fold.text == "".join(joined(events, TextDelta))
    assert fold.reasoning == "".join(joined(events, ReasoningDelta))
    assert fold.refusal == "".join(joined(events, RefusalDelta))
    raws = [event.raw for event in events if type(event) is Extension]
    kept = [item.raw for item in fold.extensions] + [
        part.raw for part in fold.message.parts if type(part) is ExtensionPart
    ]
    open_calls = {event.index for event in events if type(event) is ToolCallStart} - {
        event.index for event in events if type(event) is BlockEnd
    }
    dropped = [event.raw for event in events if type(event) is Extension and event.index in open_calls]
    assert sorted(kept + dropped) == sorted(raws)


def joined(events, kind):
    """The texts of one kind, block by block."""
    indexes = sorted({event.index for event in events if type(event) is kind})
    return [event.text for index in indexes for event in events if type(event) is kind and event.index == index]


@given(streams())
def test_the_message_goes_into_the_next_request_and_through_json(events):
    request = Request(messages=(*prompt("Why?").messages, Fold(events).message))
    assert msgspec.json.decode(msgspec.json.encode(request), type=Request) == request
