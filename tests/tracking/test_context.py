"""What is said around streams."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import TEXT
from streamcore.tracking.context import context, current, from_headers, merged, to_headers
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


@pytest.mark.parametrize(
    "said",
    [
        Context(),
        Context(
            feature="chat",
            user="Jörg / 100 %",
            conversation_id=" c-9\n",
            tags={"team": "a, b", "Größe": "", "A-b_C": "D"},
        ),
        Context(user=""),
    ],
)
def test_headers_carry_a_context_as_it_is(said):
    headers = to_headers(said)
    assert all(name == name.lower() and name.isascii() and value.isascii() for name, value in headers.items())
    assert from_headers(headers) == said


@given(st.builds(Context, feature=st.none() | TEXT, user=TEXT, tags=st.dictionaries(TEXT, TEXT)))
def test_headers_carry_any_text(said):
    headers = {name.lower(): value.strip() for name, value in to_headers(said).items()}
    assert from_headers(headers) == said


def test_other_headers_say_nothing():
    assert from_headers({"x-streamcore-other": "a", "user": "b", "x-request-id": "c"}) == Context()


def test_headers_need_not_be_encoded():
    assert from_headers({"x-streamcore-user": "u 1", "x-streamcore-tag-a": "b"}) == Context(user="u 1", tags={"a": "b"})
