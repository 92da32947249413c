from __future__ import annotations

import logging
import random
import threading

import pytest

from ledgers import Kept, Picky, won
from streamcore.tracking import delivery as module
from streamcore.tracking.delivery import PATIENCE, Delivery, Entry


class Mortal(Picky):
    """It is up for so many calls."""

    def __init__(self, *bad, up):
        super().__init__(*bad)
        self.up = up

    def write(self, records):
        self.up -= 1
        if self.up < 0:
            self.faults.insert(0, OSError("down"))
        super().write(records)


class Desk:
    """What stands for the carrier. `later` comes when nothing else does; it stops when the sink was asked so often."""

    def __init__(self, sink, *later, asks=100_000):
        self.sink = sink
        self.later = [*later]
        self.asks = asks
        self.took = []
        self.aside = []
        self.delivery = Delivery(sink, threading.Event(), self.take, self.put_aside)

    def take(self, entries):
        self.took += [entry.record.tracking_id for entry in entries]

    def put_aside(self, entry):
        self.aside.append(entry.record.tracking_id)

    def more(self, held):
        if len(self.sink.batches) >= self.asks:
            self.delivery.stopped = True
        return entries(self.later.pop(0)) if self.later else []

    def deliver(self, *ids):
        return self.delivery.deliver(entries(*ids), self.more)


def entries(*ids):
    return [Entry(won(id), None, ended=True) for id in ids]


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.0)


@pytest.mark.parametrize("place", range(20))
def test_a_record_that_is_refused_is_put_aside_wherever_it_is_and_all_others_are_taken(place):
    desk = Desk(Picky(str(place)))
    assert desk.deliver(*range(20))
    assert (desk.aside, sorted(desk.took, key=int)) == ([str(place)], [str(n) for n in range(20) if n != place])
    assert (desk.delivery.error, desk.delivery.failing, desk.delivery.written) == (None, False, 19)


def test_nothing_is_asked_for_in_parts_before_the_sink_has_failed_some_times():
    desk = Desk(Picky("3"))
    desk.deliver(*range(4))
    assert desk.sink.batches[: PATIENCE + 1] == [[*"0123"]] * PATIENCE + [["0", "1"]]


def test_a_record_that_is_refused_is_asked_for_alone_some_times_after_others_were_taken():
    desk = Desk(Picky("3"))
    desk.deliver(*range(4))
    assert desk.sink.batches[PATIENCE:] == [["0", "1"], ["2", "3"], ["2"], *[["3"]] * PATIENCE]


def test_one_that_is_taken_when_it_is_asked_for_alone_again_is_not_put_aside():
    desk = Desk(Kept(*[OSError()] * (PATIENCE + 1), None, *[OSError()] * (PATIENCE - 1)))
    assert desk.deliver(*"ab")
    assert (desk.aside, sorted(desk.sink.ids)) == ([], ["a", "b"])


@pytest.mark.parametrize("count", [1, 2, 3, 20, 500])
def test_of_a_sink_that_is_down_nothing_is_put_aside(count):
    desk = Desk(Mortal(up=0), asks=300)
    assert not desk.deliver(*range(count))
    assert (desk.aside, desk.took, desk.delivery.error) == ([], [], "OSError: down")


def test_a_sink_that_is_down_is_not_asked_for_every_part():
    desk = Desk(Mortal(up=0), asks=PATIENCE + 1)
    desk.deliver(*range(500))
    assert len(desk.sink.batches) < 25


@pytest.mark.parametrize("up", range(40))
def test_of_a_sink_that_goes_down_in_the_middle_one_record_at_most_is_put_aside_in_vain(up):
    desk = Desk(Mortal("5", up=up), asks=300)
    desk.deliver(*range(10))
    assert len({*desk.aside} - {"5"}) <= 1
    assert len(desk.aside) + len(desk.took) <= 10


def test_a_sink_that_comes_back_has_all_but_what_it_refuses():
    desk = Desk(Mortal("5", up=0))
    real = desk.more

    def more(held):
        if len(desk.sink.batches) > 100:
            desk.sink.up = 1_000_000
        return real(held)

    desk.more = more
    assert desk.deliver(*range(10))
    assert (desk.aside, sorted(desk.took)) == (["5"], [*"012346789"])


def test_what_was_not_taken_alone_comes_after_what_was_not_asked_for_alone():
    desk, calls = Desk(Mortal(up=0)), []

    def more(held):
        calls.append(held)
        desk.delivery.stopped = len(calls) == PATIENCE
        return []

    assert not desk.delivery.deliver(entries(*range(16)), more)
    assert desk.sink.batches[-1] == [str(number) for number in [*range(4, 16), *range(4)]]


def test_a_sink_that_takes_something_now_and_then_is_asked_for_all():
    desk, took = Desk(Picky("a", "b", "d", "e")), []

    def more(held):
        took.append([*desk.took])
        desk.delivery.stopped = len(took) == PATIENCE
        return []

    desk.delivery.deliver(entries(*"abcdef"), more)
    assert took[PATIENCE - 1] == ["c", "f"]


@pytest.mark.parametrize("seed", range(30))
def test_many_that_are_refused_are_all_put_aside_as_long_as_others_are_taken(seed):
    dice = random.Random(seed)
    bad = {str(n) for n in range(100) if dice.random() < 0.2} - {"99"}
    good = {str(n) for n in range(100)} - bad
    desk = Desk(Picky(*bad), *[f"later {n}" for n in range(100)])
    assert desk.deliver(*range(100))
    assert {*desk.aside} == bad
    assert good <= {*desk.took}


def test_one_that_is_refused_and_has_no_others_beside_it_is_put_aside_when_some_come():
    desk = Desk(Picky("a"), *"bc")
    assert desk.deliver("a")
    assert (desk.aside, sorted(desk.took)) == (["a"], ["b", "c"])


def test_of_two_that_are_refused_the_second_waits_until_another_is_taken():
    desk, seen = Desk(Picky("a", "b")), []

    def more(held):
        seen.append((desk.delivery.failing, held))
        return entries("d") if desk.aside else []

    assert desk.delivery.deliver(entries(*"abc"), more)
    assert seen == [(True, 3)] * (PATIENCE - 1) + [(True, 1)]
    assert (sorted(desk.aside), sorted(desk.took), desk.delivery.failing) == (["a", "b"], ["c", "d"], False)


def test_a_record_that_is_refused_is_in_the_log_once_by_its_id_and_not_by_what_it_holds(caplog):
    desk = Desk(Picky("2"))
    desk.deliver(*range(4))
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "the sink Picky fails (ValueError): records wait for it"),
        (logging.ERROR, "the sink Picky refuses the record 2 (ValueError): it is put aside"),
        (logging.WARNING, "the sink Picky works again"),
    ]


def test_who_stops_it_while_it_asks_for_parts_ends_it():
    class Stopping(Picky):
        def write(self, records):
            desk.delivery.stopped = len(records) == 1
            super().write(records)

    desk = Desk(Stopping("0"))
    assert not desk.deliver(*range(4))
    assert desk.sink.batches[-1] == ["0"]
    assert desk.aside == []


def test_who_stops_it_while_it_insists_puts_nothing_aside():
    class Stopping(Picky):
        def write(self, records):
            desk.delivery.stopped = [record.tracking_id for record in records] == ["3"]
            super().write(records)

    desk = Desk(Stopping("3"))
    assert not desk.deliver(*range(4))
    assert (desk.aside, sorted(desk.took)) == ([], [*"012"])
