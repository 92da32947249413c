"""Loading a dialect by its name, and what may be one."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

import streamcore_adapters
from streamcore.dialect import GROUP, Call, Dialect, load, names
from streamcore.errors import LocalError
from streamcore.request import Request
from streamcore_adapters import openai_chat

MEMBERS = ("path", "content_type", "keep_alive", "losses", "parse", "Encoder", "render", "error")
WRITTEN_ONLY = {"text", "ui_stream"}
ADAPTERS = sorted({found.name for found in pkgutil.iter_modules(streamcore_adapters.__path__)} - WRITTEN_ONLY)


@pytest.fixture
def installed(entry_points):
    """Modules by the names of their entry points; how often each was loaded is counted."""
    load.cache_clear()
    yield entry_points(GROUP)
    load.cache_clear()


def module(*, without=()):
    found = ModuleType("x")
    for member in MEMBERS:
        if member not in without:
            setattr(found, member, None)
    return found


def test_a_dialect_is_loaded_by_its_name_and_once(installed):
    modules, loaded = installed
    modules.update(one=module(), two=module())
    assert load("two") is modules["two"]
    assert load("two") is modules["two"]
    assert loaded == ["two"]


def test_a_name_that_nobody_has_is_a_mistake_that_lists_those_there_are(installed):
    modules, _ = installed
    modules.update(b=module(), a=module())
    with pytest.raises(LocalError, match="^no dialect is called 'nobody'; there are a, b$"):
        load("nobody")


@pytest.mark.parametrize("missing", MEMBERS)
def test_what_lacks_a_member_is_no_dialect(installed, missing):
    modules, _ = installed
    modules["one"] = module(without=[missing])
    with pytest.raises(LocalError, match=f"^x_one is no dialect: it has no {missing}$"):
        load("one")


def test_an_adapter_is_no_dialect(installed):
    modules, _ = installed
    modules["one"] = openai_chat
    with pytest.raises(LocalError, match=f"is no dialect: it has no {', '.join(MEMBERS)}"):
        load("one")


def test_this_packages_own_dialects_are_registered():
    own = {"anthropic", "gemini", "ollama", "openai_chat", "openai_responses", "text", "ui_stream"}
    assert own <= set(names())


@pytest.mark.parametrize("name", names())
def test_a_registered_dialect_is_one_whose_names_are_the_protocols(name):
    found = load(name)
    assert isinstance(found, Dialect)
    assert {*found.__all__} - {"headers"} == {*MEMBERS}
    assert found.Encoder(Call(request=Request(messages=()))).lost == {}


@pytest.mark.parametrize("name", names())
def test_what_is_no_request_is_refused(name):
    with pytest.raises(LocalError):
        load(name).parse(b"no request", {"model": "m"})


@pytest.mark.parametrize("name", sorted(WRITTEN_ONLY))
def test_nobody_asks_in_a_format_that_is_only_written(name):
    assert load(name).path == ""
    with pytest.raises(LocalError, match="nobody can ask in it"):
        load(name).parse(b'{"model":"m","messages":[]}', {})


@pytest.mark.parametrize("package", ADAPTERS)
def test_who_imports_an_adapter_does_not_load_what_serves_its_format(package):
    served = f"streamcore_adapters.{package}.server", "streamcore.serving", "streamcore.dialect"
    code = (
        f"import sys, streamcore_adapters.{package}; print([name for name in sys.modules if name.startswith({served})])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_who_imports_a_dialect_does_not_load_what_finds_one_by_its_name():
    code = "import sys, streamcore_adapters.openai_chat.server; print('importlib.metadata' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
