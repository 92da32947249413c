from __future__ import annotations

import logging
import os
import threading
from time import monotonic

import pytest
from msgspec.structs import replace

from ledgers import Kept, Picky, lost, won
from streamcore.tracking import carrier as module
from streamcore.tracking import delivery
from streamcore.tracking.carrier import Carrier, SinkState
from streamcore.tracking.delivery import Entry, longer
from streamcore.tracking.segment import BEGUN, ENDED, Segment
from streamcore.tracking.text import encoded


class Held(Kept):
    """A sink that takes a batch only when it is let go."""

    def __init__(self, *faults):
        super().__init__(*faults)
        self.entered = threading.Event()
        self.released = threading.Event()

    def write(self, records):
        self.entered.set()
        self.released.wait()
        super().write(records)


class House:
    """What stands for the ledger."""

    def __init__(self):
        self.lock = threading.RLock()
        self.settled = []
        self.aside = []
        self.carriers = []

    def carrier(self, sink):
        self.carriers.append(Carrier(sink, self.lock, self.prepare, self.settle, self.set_aside))
        return self.carriers[-1]

    def prepare(self, entry):
        entry.storable = entry.record.tracking_id != "bad"

    def settle(self, entries):
        self.settled += [entry.record.tracking_id for entry in entries]

    def set_aside(self, entry):
        self.aside.append(entry.record.tracking_id)
        return entry


@pytest.fixture
def house():
    house = House()
    yield house
    for carrier in house.carriers:
        carrier.stop(monotonic() + 30)
        assert not carrier._thread.is_alive()


@pytest.fixture
def segment(tmp_path):
    path = tmp_path / "x.journal"
    segment = Segment(path, os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR))
    yield segment
    segment.close(delete=False)


def add(carrier, *ids, segment=None):
    """Records that end; with a segment they are written there first. Which of them were taken."""
    took = []
    for id in ids:
        start = None
        if segment is not None:
            segment.write(BEGUN, encoded(lost(id)))
            start = segment.size
            segment.write(ENDED, encoded(won(id)))
        took.append(carrier.add(Entry(won(id), segment, ended=True), start))
    return took


def flushed(carrier):
    return carrier.flush(monotonic() + 30)


def test_records_come_in_order(house):
    sink = Kept()
    carrier = house.carrier(sink)
    add(carrier, *"abc")
    assert flushed(carrier)
    assert sink.ids == house.settled == [*"abc"]


def test_a_batch_is_no_larger_than_it_may_be(house, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 10)
    sink = Kept()
    carrier = house.carrier(sink)
    add(carrier, *range(95))
    assert flushed(carrier)
    assert max(map(len, sink.batches)) == 10
    assert sink.ids == [str(number) for number in range(95)]


def test_nothing_to_flush_is_flushed(house):
    assert flushed(house.carrier(Kept()))


def test_a_flush_takes_no_longer_than_it_may(house):
    sink = Held()
    carrier = house.carrier(sink)
    add(carrier, "a")
    assert not carrier.flush(monotonic())
    sink.released.set()


def test_a_sink_that_fails_is_asked_again_with_the_same_records(house):
    sink = Kept(OSError("1"), ValueError("2"), SystemExit("3"))
    carrier = house.carrier(sink)
    add(carrier, *"ab")
    assert flushed(carrier)
    assert sink.batches == [["a", "b"]] * 4
    assert sink.ids == ["a", "b"]


def test_a_failure_is_there_to_be_seen_until_it_is_over(house):
    asked_again, go_on = threading.Event(), threading.Event()

    class Broken(Kept):
        def write(self, records):
            if self.batches:
                asked_again.set()
                go_on.wait()
            super().write(records)

    carrier = house.carrier(Broken(OSError("no disk")))
    add(carrier, "a")
    asked_again.wait()
    state = SinkState(name="Broken", written=0, waiting=1, refused=0, left_out=0, failures=1, error="OSError: no disk")
    assert carrier.state() == state
    go_on.set()
    assert flushed(carrier)
    assert carrier.state() == replace(state, written=1, waiting=0, error=None)


def test_the_log_has_one_line_when_it_breaks_and_one_when_it_works_again(house, caplog):
    carrier = house.carrier(Kept(*[OSError("secret")] * 3))
    add(carrier, "a")
    assert flushed(carrier)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "the sink Kept fails (OSError): records wait for it"),
        (logging.WARNING, "the sink Kept works again"),
    ]


def test_pauses_grow_to_half_a_minute():
    pauses = [delivery.FIRST_PAUSE]
    while pauses[-1] < delivery.LONGEST_PAUSE:
        pauses.append(longer(pauses[-1]))
    assert (len(pauses), longer(pauses[-1])) == (11, 30.0)


def test_a_flush_ends_a_long_pause(house, monkeypatch):
    monkeypatch.setattr(delivery, "FIRST_PAUSE", 3600.0)
    sink = Kept(OSError())
    carrier = house.carrier(sink)
    add(carrier, "a")
    assert flushed(carrier)
    assert sink.ids == ["a"]


def test_without_a_flush_the_pause_ends_by_itself(house, monkeypatch):
    monkeypatch.setattr(delivery, "FIRST_PAUSE", 0.0)
    done = threading.Event()

    class Late(Kept):
        def write(self, records):
            super().write(records)
            done.set()

    sink = Late(OSError(), OSError())
    add(house.carrier(sink), "a")
    assert done.wait(30)
    assert len(sink.batches) == 3


def test_a_record_that_cannot_be_stored_is_left_out_and_counted(house):
    sink = Kept()
    carrier = house.carrier(sink)
    add(carrier, "a", "bad", "b")
    assert flushed(carrier)
    assert (sink.ids, carrier.state().left_out, sorted(house.settled)) == (["a", "b"], 1, ["a", "b", "bad"])


def test_a_sink_is_not_asked_to_store_nothing(house):
    sink = Kept()
    carrier = house.carrier(sink)
    add(carrier, "bad")
    assert flushed(carrier)
    assert sink.batches == []


def test_without_a_journal_what_memory_cannot_hold_is_left_out_and_counted(house, monkeypatch):
    monkeypatch.setattr(module, "WAITING", 2)
    sink = Held()
    carrier = house.carrier(sink)
    add(carrier, "a")
    sink.entered.wait()
    assert add(carrier, *"bcde") == [True, True, False, False]
    sink.released.set()
    assert flushed(carrier)
    assert (sink.ids, carrier.state().left_out) == ([*"abc"], 2)


@pytest.mark.parametrize("read", [1, 1_000, 1_000_000])
def test_with_a_journal_it_is_read_back_from_there(house, monkeypatch, segment, read):
    monkeypatch.setattr(module, "WAITING", 2)
    monkeypatch.setattr("streamcore.tracking.segment.READ_BYTES", read)
    sink = Held()
    carrier = house.carrier(sink)
    add(carrier, "a", segment=segment)
    sink.entered.wait()
    assert all(add(carrier, *"bcdef", segment=segment))
    assert carrier.state().waiting == 6
    sink.released.set()
    assert flushed(carrier)
    assert (sink.ids, house.settled, carrier.state().left_out) == ([*"abcdef"], [*"abcdef"], 0)


def test_as_long_as_some_are_to_be_read_back_later_ones_are_read_back_too(house, monkeypatch, segment):
    monkeypatch.setattr(module, "WAITING", 1)
    sink = Held()
    carrier = house.carrier(sink)
    add(carrier, "a", segment=segment)
    sink.entered.wait()
    add(carrier, *"bc", segment=segment)
    monkeypatch.setattr(module, "WAITING", 100)
    add(carrier, "d", segment=segment)
    assert [entry.record.tracking_id for entry in carrier._queue] == ["b"]
    sink.released.set()
    assert flushed(carrier)
    assert sink.ids == [*"abcd"]


def test_a_record_without_a_line_waits_in_memory_if_there_is_room(house, monkeypatch, segment):
    monkeypatch.setattr(module, "WAITING", 1)
    sink = Held()
    carrier = house.carrier(sink)
    add(carrier, "a", segment=segment)
    sink.entered.wait()
    add(carrier, *"bc", segment=segment)
    monkeypatch.setattr(module, "WAITING", 100)
    assert add(carrier, "d") == [True]
    sink.released.set()
    assert flushed(carrier)
    assert sorted(sink.ids) == [*"abcd"]


def test_a_line_that_cannot_be_read_back_is_left_out_and_keeps_its_file(house, segment):
    add_to = house.carrier(Kept())
    segment.write(ENDED, encoded(won("a")))
    segment.write(ENDED, b"{}")
    segment.write(ENDED, encoded(won("c")))
    with house.lock:
        add_to.add_range(segment, 0, segment.size, 3)
    assert flushed(add_to)
    assert (add_to.state().left_out, add_to.state().waiting, house.settled) == (1, 0, ["a", "c"])


def test_a_file_that_cannot_be_read_is_tried_again(house, segment, monkeypatch):
    monkeypatch.setattr(module, "GATHER", 0.0)
    segment.write(ENDED, encoded(won("a")))
    real, failures = segment.read, [OSError("1"), OSError("2")]

    def read(start, end):
        if failures:
            raise failures.pop()
        return real(start, end)

    monkeypatch.setattr(segment, "read", read)
    sink = Kept()
    carrier = house.carrier(sink)
    with house.lock:
        carrier.add_range(segment, 0, segment.size, 1)
    assert flushed(carrier)
    assert (sink.ids, carrier.state().failures) == (["a"], 2)


def test_a_sink_is_closed_with_its_carrier(house):
    sink = Kept()
    house.carrier(sink).stop(monotonic() + 30)
    assert sink.closed


def test_a_sink_that_cannot_be_closed_ends_all_the_same(house):
    class Stuck(Kept):
        def close(self):
            raise OSError("stuck")

    carrier = house.carrier(Stuck())
    carrier.stop(monotonic() + 30)
    assert carrier.state().error == "OSError: stuck"


def test_what_comes_after_the_end_is_left_out(house):
    carrier = house.carrier(Kept())
    carrier.stop(monotonic() + 30)
    assert add(carrier, "a") == [False]
    assert carrier.state().left_out == 1


def test_a_sink_that_fails_is_given_up_at_the_end(house):
    sink = Held(*[OSError()] * 100)
    carrier = house.carrier(sink)
    add(carrier, *"ab")
    sink.entered.wait()
    carrier.stop(monotonic())
    sink.released.set()
    carrier._thread.join()
    assert (sink.ids, house.settled, carrier.state().waiting) == ([], [], 2)


def test_a_sink_without_a_close_needs_none(house):
    class Bare:
        def write(self, records):
            pass

    carrier = house.carrier(Bare())
    add(carrier, "a")
    assert flushed(carrier)


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(delivery, "FIRST_PAUSE", 0.0)


def written(segment, *ids):
    for id in ids:
        segment.write(ENDED, encoded(won(id)))


@pytest.mark.usefixtures("at_once")
def test_a_record_that_is_refused_holds_up_no_other_and_no_flush(house):
    sink = Picky("b")
    carrier = house.carrier(sink)
    add(carrier, *"abc")
    assert not flushed(carrier)
    state = carrier.state()
    assert (sorted(sink.ids), house.aside, sorted(house.settled)) == (["a", "c"], ["b"], ["a", "c"])
    assert (state.written, state.waiting, state.refused, state.error) == (2, 0, 1, None)
    add(carrier, "d")
    assert not flushed(carrier)
    assert sorted(sink.ids) == ["a", "c", "d"]


@pytest.mark.usefixtures("at_once")
def test_a_record_that_is_alone_is_put_aside_when_others_come(house):
    sink = Picky("a")
    carrier = house.carrier(sink)
    add(carrier, "a")
    while not carrier.state().failures:
        carrier.flush(monotonic())
    add(carrier, "b")
    assert not flushed(carrier)
    assert (sink.ids, house.aside) == (["b"], ["a"])


@pytest.mark.usefixtures("at_once")
def test_a_flush_asks_again_for_what_was_refused(house):
    sink = Picky("b")
    carrier = house.carrier(sink)
    add(carrier, *"abc")
    assert not flushed(carrier)
    sink.bad.clear()
    assert flushed(carrier)
    state = carrier.state()
    assert (sorted(sink.ids), sorted(house.settled)) == ([*"abc"], [*"abc"])
    assert (state.written, state.waiting, state.refused) == (3, 0, 0)


@pytest.mark.usefixtures("at_once")
def test_what_was_refused_is_asked_for_again_after_a_while(house, monkeypatch):
    monkeypatch.setattr(module, "SELDOM", 0.001)
    taken = threading.Event()

    class Forgiving(Picky):
        def write(self, records):
            super().write(records)
            if records[0].tracking_id == "b":
                taken.set()

    sink = Forgiving("b")
    carrier = house.carrier(sink)
    add(carrier, *"abc")
    flushed(carrier)
    sink.bad.clear()
    assert taken.wait(30)


@pytest.mark.usefixtures("at_once")
def test_of_many_that_were_refused_only_some_are_asked_for_at_once_and_others_the_next_time(house):
    bad = [f"bad {number}" for number in range(9)]
    sink = Picky(*bad)
    carrier = house.carrier(sink)
    for id in bad:
        add(carrier, id, f"after {id}")
        flushed(carrier)
    assert carrier.state().refused == 9

    def asked():
        sink.batches.clear()
        assert not flushed(carrier)
        return {id for batch in sink.batches for id in batch}

    first = asked()
    assert len(first) == delivery.PATIENCE
    assert not first & asked()


@pytest.mark.usefixtures("at_once")
def test_what_is_refused_beyond_what_memory_holds_is_left_out(house, monkeypatch):
    monkeypatch.setattr(module, "REFUSED", 1)
    carrier = house.carrier(Picky("a", "c"))
    add(carrier, *"ab")
    flushed(carrier)
    add(carrier, *"cd")
    assert not flushed(carrier)
    state = carrier.state()
    assert (state.refused, state.left_out, state.waiting, house.aside) == (1, 1, 0, ["a", "c"])


@pytest.mark.usefixtures("at_once")
def test_what_another_process_found_to_be_refused_is_asked_for_alone(house, tmp_path):
    path = tmp_path / "x-refused.journal"
    segment = Segment(path, os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR))
    written(segment, "a", "bad", "b", "c")
    sink = Picky("b")
    carrier = house.carrier(sink)
    with house.lock:
        carrier.add_range(segment, 0, segment.size, 4)
    assert not flushed(carrier)
    state = carrier.state()
    assert (sink.ids, sink.batches[0], house.aside) == (["a", "c"], ["a"], [])
    assert (state.refused, state.left_out, state.waiting, state.error) == (1, 1, 0, None)
    segment.close(delete=False)


@pytest.mark.usefixtures("at_once")
def test_a_flush_of_a_carrier_that_was_stopped_does_not_wait_for_what_was_refused(house):
    carrier = house.carrier(Picky("b"))
    add(carrier, *"abc")
    flushed(carrier)
    carrier.stop(monotonic() + 30)
    assert not flushed(carrier)


def test_what_comes_while_a_sink_fails_comes_with_what_it_is_asked_for_again(house, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 3)
    sink = Held(OSError())
    carrier = house.carrier(sink)
    add(carrier, "a")
    sink.entered.wait()
    add(carrier, *"bcd")
    sink.released.set()
    assert flushed(carrier)
    assert sink.batches == [["a"], [*"abc"], ["d"]]
