"""Deadlines by themselves, and the three ways to end a wait; what they do for a stream is in test_stream."""

from __future__ import annotations

from math import inf, nan

import anyio
import pytest

from streamcore.deadlines import Deadlines, Watch
from streamcore.errors import LocalError
from streamcore.events import BlockEnd, Failure, Start, TextDelta, Usage
from streamcore.testing import virtual_time
from streamcore.waiting import at_most, new_wait

CONTENT = [TextDelta(0, "Hi")]
NO_CONTENT = [Start(), TextDelta(0, ""), Usage(output_tokens=1), BlockEnd(0)]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return virtual_time(request.param)


@pytest.mark.parametrize("name", ["connect", "first_token", "idle", "total"])
@pytest.mark.parametrize("seconds", [0, -1, nan])
def test_a_deadline_is_above_0(name, seconds):
    with pytest.raises(LocalError, match=f"{name}="):
        Deadlines(**{name: seconds})


def test_deadlines_go_over_others():
    assert Deadlines(idle=1).over(Deadlines(idle=2, total=3)) == Deadlines(idle=1, total=3)
    assert Deadlines().over(Deadlines()) == Deadlines()


@pytest.mark.parametrize(
    ("deadlines", "due"),
    [
        (Deadlines(), inf),
        (Deadlines(connect=1), inf),
        (Deadlines(first_token=3), 13),
        (Deadlines(idle=3), 13),
        (Deadlines(total=3), 13),
        (Deadlines(first_token=5, idle=3), 15),
        (Deadlines(first_token=5, idle=3, total=4), 14),
    ],
)
def test_before_content_the_first_token_is_waited_for(deadlines, due):
    assert Watch(deadlines, 10).due() == due


@pytest.mark.parametrize(
    ("deadlines", "due"),
    [
        (Deadlines(first_token=5), inf),
        (Deadlines(first_token=5, idle=3), 15),
        (Deadlines(first_token=5, idle=3, total=4), 14),
    ],
)
def test_after_content_the_next_is_waited_for(deadlines, due):
    watch = Watch(deadlines, 10)
    assert watch.came(CONTENT, 12) is None
    assert watch.due() == due


def test_what_is_no_content_moves_nothing():
    watch = Watch(Deadlines(first_token=5), 10)
    assert watch.came(NO_CONTENT, 12) is None
    assert watch.due() == 15


def test_the_consumers_time_moves_all_but_the_total():
    watch = Watch(Deadlines(idle=3, total=9), 10)
    watch.came(CONTENT, 11)
    watch.asked(13)
    assert watch.due() == 16
    watch.asked(14)
    assert watch.due() == 17
    watch.came([], 15)
    watch.asked(18)
    assert watch.due() == 19


@pytest.mark.parametrize(
    ("deadlines", "message", "detail"),
    [
        (Deadlines(first_token=5), "no content came within 5 s", "first_token"),
        (Deadlines(idle=0.5), "no more content came within 0.5 s", "idle"),
        (Deadlines(total=5, idle=5), "the answer did not end within 5 s", "total"),
    ],
)
def test_what_is_overdue_says_which_deadline_it_was(deadlines, message, detail):
    watch = Watch(deadlines, 10)
    assert watch.overdue(10.4) is None
    assert watch.overdue(15) == watch.came([], 15) == Failure("timeout", message, detail=detail)


@pytest.mark.anyio
async def test_at_most_is_left_when_the_time_is_up():
    start = anyio.current_time()
    with at_most(1):
        await anyio.sleep(5)
    assert anyio.current_time() - start == pytest.approx(1)


@pytest.mark.anyio
async def test_nobody_waits_so_nobody_is_stopped():
    assert not new_wait().stop(Failure("cancelled", "now"))
