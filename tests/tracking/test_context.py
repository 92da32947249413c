"""What is said around streams."""

from __future__ import annotations

import anyio
import pytest

from streamcore.tracking.context import context, current, merged
from streamcore.tracking.record import Context


def test_the_inner_adds_to_the_outer_and_wins():
    with context(feature="chat", user="u-1", team="a", tier="x"):
        with context(user="u-2", conversation_id="c", team="b") as inner:
            assert current() == inner
            assert inner == Context(feature="chat", user="u-2", conversation_id="c", tags={"team": "b", "tier": "x"})
        assert current() == Context(feature="chat", user="u-1", tags={"team": "a", "tier": "x"})
    assert current() == Context()


def test_it_ends_with_an_exception_too():
    with pytest.raises(KeyError), context(feature="chat"):
        raise KeyError
    assert current() == Context()


def test_nothing_said_takes_nothing_away():
    full = Context(feature="f", user="u", conversation_id="c", tags={"a": "b"})
    assert merged(full, Context()) == merged(Context(), full) == full


@pytest.mark.anyio
async def test_tasks_begun_inside_have_it_and_their_own_stays_theirs():
    found = {}

    async def task(name):
        with context(user=name):
            await anyio.lowlevel.checkpoint()
            found[name] = current()

    with context(feature="chat"):
        async with anyio.create_task_group() as group:
            group.start_soon(task, "a")
            group.start_soon(task, "b")
    assert found == {name: Context(feature="chat", user=name) for name in "ab"}
