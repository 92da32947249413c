"""Loading an adapter by its name, and what may be one."""

from __future__ import annotations

from types import ModuleType

import pytest
from tiny import TINY

from streamcore.adapter import GROUP, Adapter, load, names
from streamcore.errors import LocalError

MEMBERS = ("url", "key_variables", "framing", "encode", "Decoder")


@pytest.fixture
def installed(entry_points):
    """Modules by the names of their entry points; how often each was loaded is counted."""
    load.cache_clear()
    yield entry_points(GROUP)
    load.cache_clear()


def module(**without):
    found = ModuleType("x")
    for member in MEMBERS:
        if member not in without:
            setattr(found, member, getattr(TINY, member))
    return found


def test_an_adapter_is_loaded_by_its_name(installed):
    modules, _ = installed
    modules.update(one=module(), two=module())
    assert load("two") is modules["two"]


def test_an_adapter_may_be_any_object_with_its_members(installed):
    modules, _ = installed
    modules["tiny"] = TINY
    assert load("tiny") is TINY
    assert isinstance(TINY, Adapter)
    assert isinstance(module(), Adapter)
    assert not isinstance(module(url=None), Adapter)


def test_an_adapter_is_loaded_once(installed):
    modules, loaded = installed
    modules["one"] = module()
    assert load("one") is load("one")
    assert loaded == ["one"]


def test_an_adapter_that_is_installed_later_is_found(installed):
    modules, _ = installed
    with pytest.raises(LocalError):
        load("one")
    modules["one"] = module()
    assert load("one") is modules["one"]


def test_the_names_are_sorted(installed):
    modules, loaded = installed
    modules.update(b=module(), a=module(), c=module())
    assert names() == ["a", "b", "c"]
    assert loaded == []


def test_a_name_that_nobody_has_is_a_mistake_that_lists_those_there_are(installed):
    modules, _ = installed
    modules.update(b=module(), a=module())
    with pytest.raises(LocalError, match="^no adapter is called 'nobody'; there are a, b$"):
        load("nobody")


@pytest.mark.parametrize("missing", MEMBERS)
def test_what_lacks_a_member_is_no_adapter(installed, missing):
    modules, _ = installed
    modules["one"] = module(**{missing: True})
    with pytest.raises(LocalError, match=f"^x_one is no adapter: it has no {missing}$"):
        load("one")


def test_all_that_is_missing_is_named(installed):
    modules, _ = installed
    modules["one"] = ModuleType("empty")
    with pytest.raises(LocalError, match="it has no url, key_variables, framing, encode, Decoder"):
        load("one")


def test_an_adapter_that_cannot_be_imported_says_so_itself(installed):
    modules, _ = installed
    modules["one"] = ImportError("no module named x")
    with pytest.raises(ImportError, match="no module named x"):
        load("one")


def test_this_packages_own_adapters_are_registered():
    assert {"openai_chat", "anthropic", "gemini"} <= set(names())
