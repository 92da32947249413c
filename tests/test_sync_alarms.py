"""What wakes a thread, without any thread that sleeps."""

from __future__ import annotations

import os
import threading
from math import inf
from time import monotonic

import pytest

from streamcore.deadlines import Deadlines, Watch
from streamcore.errors import StreamFailed
from streamcore.events import Failure, TextDelta
from streamcore.sync import alarms as module
from streamcore.sync.alarms import Alarms, OfProcess, ThreadWait

STOPPED = Failure("cancelled", "stopped")


def drive(step):
    with pytest.raises(StopIteration) as done:
        step().send(None)
    return done.value.value


async def nothing():
    return b""


async def something():
    return b"x"


class ByHand:
    """Alarms that ring when told to."""

    def __init__(self):
        self.set_alarms = []

    def get(self):
        return self

    def set(self, when, ring):
        alarm = [ring]
        self.set_alarms.append((when, alarm))
        return alarm.clear

    def ring(self):
        for ring in self.set_alarms[-1][1][:]:
            ring()


@pytest.fixture
def by_hand(monkeypatch):
    alarms = ByHand()
    monkeypatch.setattr(module, "_ALARMS", alarms)
    return alarms


def test_alarms_ring_in_the_order_of_their_times():
    rung, done, alarms, now = [], threading.Event(), Alarms(), monotonic()
    alarms.set(now + 0.03, done.set)
    for number, seconds in enumerate([0.02, 0.01, 0, -1]):
        alarms.set(now + seconds, lambda number=number: rung.append(number))
    assert done.wait(30)
    assert sorted(rung) == [0, 1, 2, 3]
    assert rung.index(1) < rung.index(0)


def test_an_alarm_that_is_called_off_does_not_ring():
    rung, done, alarms, now = [], threading.Event(), Alarms(), monotonic()
    alarms.set(now + 0.01, lambda: rung.append(True))()
    alarms.set(now + 0.02, done.set)
    assert done.wait(30)
    assert rung == []


def test_the_thread_ends_when_there_is_nothing_to_do_and_starts_again(monkeypatch):
    monkeypatch.setattr(module, "LINGER", 0.01)
    alarms = Alarms()
    for _ in range(2):
        done = threading.Event()
        threads = []
        alarms.set(
            monotonic(), lambda threads=threads, done=done: (threads.append(threading.current_thread()), done.set())
        )
        assert done.wait(30)
        threads[0].join(30)
        assert not threads[0].is_alive()
        assert not alarms._runs


def test_of_each_process_there_is_one(monkeypatch):
    of = OfProcess(object)
    first = of.get()
    assert of.get() is first
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert of.get() is not first


def test_without_deadlines_there_is_no_alarm(by_hand):
    wait = ThreadWait()
    assert wait.left() == inf
    assert drive(wait.guard(something)) == b"x"
    wait.watch(Watch(Deadlines(first_token=1), 0))
    wait._watch.came([TextDelta(0, "x")], 0)
    assert drive(wait.guard(something)) == b"x"
    assert by_hand.set_alarms == []


def test_a_deadline_takes_one_alarm_that_moves_when_it_rings(by_hand):
    wait = ThreadWait()
    wait.watch(Watch(Deadlines(total=1000), monotonic()))
    for _ in range(3):
        drive(wait.guard(something))
    assert len(by_hand.set_alarms) == 1
    wait.waiter = wait
    by_hand.ring()
    assert (len(by_hand.set_alarms), wait.failure) == (2, None)


def test_an_alarm_with_nobody_waiting_is_wound_up_by_the_next_who_does(by_hand):
    wait = ThreadWait()
    wait.watch(Watch(Deadlines(total=1), 0))
    drive(wait.guard(something))
    wait.waiter = None
    by_hand.ring()
    assert (len(by_hand.set_alarms), wait.failure) == (1, None)
    drive(wait.guard(something))
    assert len(by_hand.set_alarms) == 2


def test_two_who_wind_up_an_alarm_set_one(by_hand):
    wait = ThreadWait()
    wait.watch(Watch(Deadlines(total=1), 0))
    wait._wind()
    wait._wind()
    assert len(by_hand.set_alarms) == 1


def test_a_deadline_stops_what_blocks_and_is_the_failure_from_then_on(by_hand):
    stopped, wait = [], ThreadWait()
    wait.watch(Watch(Deadlines(total=1), 0))
    wait.hold(lambda: stopped.append(True))

    async def rung():
        by_hand.ring()
        by_hand.ring()
        return b""

    for step in (rung, something):
        with pytest.raises(StreamFailed, match="total") as caught:
            wait.guard(step)().send(None)
        assert wait.claim(caught.value).detail == "total"
    assert stopped == [True]


def test_what_has_arrived_goes_before_a_deadline():
    wait = ThreadWait()

    async def late():
        wait.stop(STOPPED)
        return b"x"

    assert drive(wait.guard(late)) == b"x"
    with pytest.raises(StreamFailed):
        wait.guard(something)().send(None)


def test_a_deadline_that_has_passed_leaves_a_moment_for_what_has_arrived():
    wait = ThreadWait()
    wait.watch(Watch(Deadlines(total=1), 0))
    assert 0 < wait.left() < 1


def test_what_is_held_after_a_stop_is_stopped_at_once_and_what_is_let_go_never():
    stopped, wait = [], ThreadWait()
    wait.hold(lambda: stopped.append(1))
    wait.let_go()
    assert wait.stop(STOPPED)
    wait.stop(Failure("cancelled", "another"))
    wait.hold(lambda: stopped.append(2))
    assert (stopped, wait.failure) == ([2], STOPPED)


def test_a_scope_stops_what_blocks_in_it_and_nothing_after_it(by_hand):
    stopped, wait = [], ThreadWait()
    wait.hold(lambda: stopped.append(True))
    with wait.at_most(1):
        by_hand.ring()
    by_hand.ring()
    wait.let_go()
    with wait.at_most(1):
        by_hand.ring()
    assert (stopped, wait.failure) == ([True], None)


def test_an_error_is_that_of_a_deadline_which_has_passed():
    wait, error = ThreadWait(), StreamFailed(STOPPED)
    assert wait.claim(None) is None
    assert wait.claim(KeyboardInterrupt()) is None
    assert wait.claim(error) is None
    wait.watch(Watch(Deadlines(total=1), 0))
    assert wait.claim(error).detail == "total"


def test_after_its_end_no_alarm_rings(by_hand):
    wait = ThreadWait()
    wait.watch(Watch(Deadlines(total=1), 0))
    drive(wait.guard(nothing))
    alarm = by_hand.set_alarms[0][1][0]
    wait.close()
    by_hand.ring()
    alarm()
    wait.close()
    assert wait.failure is None
