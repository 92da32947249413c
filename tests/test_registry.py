"""Finding what packages register by a name."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from streamcore.errors import LocalError
from streamcore.registry import find, registered

GROUP = "streamcore.things"
THING = SimpleNamespace(a=1, b=None)


@pytest.fixture
def installed(entry_points):
    return entry_points(GROUP)


def test_what_is_registered_is_found_by_its_name_and_nothing_else_is_imported(installed):
    things, loaded = installed
    things.update(one=THING, two=SimpleNamespace(a=1, b=2))
    assert find(GROUP, "one", kind="thing", members=["a", "b"]) is THING
    assert loaded == ["one"]


def test_another_group_has_names_of_its_own(installed):
    things, _ = installed
    things["one"] = THING
    assert registered("streamcore.others") == []
    with pytest.raises(LocalError, match="^no other is called 'one'; there are $"):
        find("streamcore.others", "one", kind="other", members=[])


def test_the_names_are_sorted_and_nothing_is_imported(installed):
    things, loaded = installed
    things.update(b=THING, a=THING)
    assert registered(GROUP) == ["a", "b"]
    assert loaded == []


def test_all_that_is_missing_is_named(installed):
    things, _ = installed
    things["one"] = THING
    with pytest.raises(LocalError, match="^x_one is no thing: it has no c, d$"):
        find(GROUP, "one", kind="thing", members=["c", "a", "d"])


def test_what_importing_it_raises_goes_through(installed):
    things, _ = installed
    things["one"] = ImportError("no module named x")
    with pytest.raises(ImportError, match="no module named x"):
        find(GROUP, "one", kind="thing", members=[])
