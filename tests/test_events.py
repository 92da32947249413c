"""The events as values: one JSON line each, immutable, small."""

from __future__ import annotations

import copy
import gc
import inspect
import pickle
import sys
from typing import get_args

import grammar
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import EVENT, EVENTS, streams
from streamcore import events as vocabulary
from streamcore import ndjson, sse
from streamcore.events import (
    BlockEnd,
    Delta,
    Event,
    Failure,
    FailureKind,
    Finish,
    ReasoningDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    Usage,
)

DECODE = msgspec.json.Decoder(Event).decode
TAGS = {
    "Start": "start",
    "TextDelta": "text",
    "ReasoningDelta": "reasoning",
    "RefusalDelta": "refusal",
    "ToolCallStart": "tool_call",
    "ToolCallDelta": "arguments",
    "Citation": "citation",
    "Attachment": "attachment",
    "Extension": "extension",
    "BlockEnd": "block_end",
    "Usage": "usage",
    "Finish": "finish",
    "Failure": "failure",
}
KINDS = pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)


def test_the_tags_that_recordings_hold_do_not_change():
    assert {kind.__name__: kind.__struct_config__.tag for kind in get_args(Event)} == TAGS


def test_every_event_is_in_the_union_and_every_content_event_in_delta():
    structs = {
        value for name, value in vars(vocabulary).items() if inspect.isclass(value) and name in vocabulary.__all__
    }
    assert structs == set(get_args(Event)) == set(EVENTS)
    assert set(get_args(Event)) - set(get_args(Delta)) == {Start, BlockEnd, Usage, Finish, Failure}


@KINDS
@given(st.data())
def test_an_event_is_one_json_line_and_back(kind, data):
    event = data.draw(EVENTS[kind])
    written = msgspec.json.encode(event)
    assert b"\n" not in written
    assert b"\r" not in written
    assert written.startswith(b'{"type":"%b"' % TAGS[kind.__name__].encode())
    assert DECODE(written) == event


@KINDS
@given(st.data())
def test_an_event_pickles_and_copies(kind, data):
    event = data.draw(EVENTS[kind])
    assert pickle.loads(pickle.dumps(event)) == copy.deepcopy(event) == event


@pytest.mark.parametrize(("encode", "framing"), [(sse.encode, sse.Parser), (ndjson.encode, ndjson.Parser)])
@given(st.lists(EVENT, max_size=5), st.integers(1, 40))
def test_events_cross_a_wire_and_come_back(encode, framing, events, size):
    body = b"".join(encode(msgspec.json.encode(event)) for event in events)
    parser = framing()
    frames = [frame for at in range(0, len(body), size) for frame in parser.feed(body[at : at + size])]
    assert [DECODE(frame.data) for frame in frames] == events
    assert parser.close() is None


@given(streams())
def test_the_streams_that_tests_are_made_of_keep_the_grammar(events):
    grammar.check(events)


def smallest(kind):
    """An event of this kind with nothing but what it must have."""
    values = {"index": 0, "kind": "server", "reason": "stop"}
    required = [field.name for field in msgspec.structs.fields(kind) if field.required]
    return kind(**{name: values.get(name, "") for name in required})


@KINDS
def test_an_event_cannot_be_changed(kind):
    event = smallest(kind)
    for field in kind.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(event, field, None)


@KINDS
def test_the_garbage_collector_need_not_see_an_event(kind):
    assert not gc.is_tracked(smallest(kind))


@pytest.mark.parametrize("kind", [TextDelta, ReasoningDelta, ToolCallDelta])
def test_a_retained_delta_takes_no_more_than_its_header_and_two_pointers(kind):
    assert sys.getsizeof(kind(0, "word")) <= object.__sizeof__(object()) + 2 * 8


def test_events_are_equal_by_value_and_hash_so():
    assert TextDelta(0, "a") == TextDelta(0, "a") != ReasoningDelta(0, "a")
    assert len({TextDelta(0, "a"), TextDelta(0, "a"), ReasoningDelta(0, "a")}) == 2


def test_what_is_not_set_is_not_written():
    assert msgspec.json.encode(Usage(input_tokens=0)) == b'{"type":"usage","input_tokens":0}'


@pytest.mark.parametrize(
    ("usage", "total"),
    [(Usage(), None), (Usage(5), None), (Usage(output_tokens=5), None), (Usage(5, 7), 12), (Usage(0, 0), 0)],
)
def test_the_total_is_known_only_if_both_parts_are(usage, total):
    assert usage.total_tokens == total


RETRYABLE = {"rate_limit", "overloaded", "server", "truncated", "connection", "timeout"}


@pytest.mark.parametrize("kind", get_args(FailureKind))
def test_whether_to_retry_follows_from_the_kind_unless_the_provider_says(kind):
    assert Failure(kind, "").retryable == (kind in RETRYABLE)
    assert Failure(kind, "", should_retry=True).retryable
    assert not Failure(kind, "", should_retry=False).retryable


def test_a_finish_reason_of_another_kind_is_refused():
    with pytest.raises(msgspec.ValidationError):
        DECODE(b'{"type":"finish","reason":"bored"}')
    assert DECODE(b'{"type":"finish","reason":"stop","later":1}') == Finish("stop")
