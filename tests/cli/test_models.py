"""`streamcore models`: what can be named, without ever showing a key."""

from __future__ import annotations

import json

import pytest
from tiny import TINY

from streamcore import adapter
from streamcore.adapter import GROUP, load
from streamcore.cli import listing, main
from streamcore.cli.listing import Row
from streamcore_adapters import openai_chat
from streamcore_adapters.openai_chat import Compatible

SECRET = "sk-canary"
ONE = Row("one", "https://one.example/v1", ("ONE_API_KEY",), key_set=True)
TWO = Row("number_two", "", ("TWO_API_KEY", "TWO_KEY"), key_set=False)
FREE = Row("free", "http://127.0.0.1:1/v1", (), key_set=False)
BROKEN = Row("broken", "", (), key_set=False, error="ImportError: " + "long " * 20 + "story")


class Unreadable:
    """An adapter whose members fail when they are looked at."""

    framing = encode = Decoder = None
    key_variables = ()
    url = property(lambda _: 1 / 0)


@pytest.fixture
def installed(entry_points):
    """Adapters by their names, in place of those that are installed; an exception is raised by its import."""
    found, _ = entry_points(GROUP)
    load.cache_clear()
    yield found
    load.cache_clear()


def test_the_table_is_aligned():
    assert listing.table([ONE, TWO, FREE]) == [
        "name        address                 key variable            key",
        "one         https://one.example/v1  ONE_API_KEY             set",
        "number_two  give --url              TWO_API_KEY or TWO_KEY  not set",
        "free        http://127.0.0.1:1/v1                           not needed",
    ]


def test_what_cannot_be_loaded_says_why_and_widens_nothing():
    assert listing.table([ONE, BROKEN]) == [
        "name    address                 key variable  key",
        "one     https://one.example/v1  ONE_API_KEY   set",
        f"broken  cannot be loaded: {BROKEN.error}",
    ]


def test_a_table_of_nothing_is_its_head():
    assert listing.table([]) == ["name  address  key variable  key"]


def test_adapters_are_listed_by_name(installed):
    installed.update(b=openai_chat, a=TINY)
    assert [row.name for row in listing.rows({})] == ["a", "b"]


def test_the_address_and_the_variables_are_the_adapters_own(installed):
    installed["openai"] = openai_chat
    assert listing.rows({}) == [Row("openai", openai_chat.url, ("OPENAI_API_KEY",), key_set=False)]


@pytest.mark.parametrize(
    ("environ", "key_set"),
    [({}, False), ({"B": "k"}, True), ({"A": "k", "B": ""}, True), ({"A": ""}, False), ({"C": "k"}, False)],
)
def test_a_key_is_set_if_one_of_its_variables_is(installed, environ, key_set):
    installed["x"] = Compatible(url="https://x", key_variables=("A", "B"))
    assert [row.key_set for row in listing.rows(environ)] == [key_set]


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (ImportError("no module\nnamed x"), "ImportError: no module named x"),
        (object(), "LocalError: x_bad is no adapter: it has no url, key_variables, framing, encode, Decoder"),
        (Unreadable(), "ZeroDivisionError: division by zero"),
    ],
)
def test_a_broken_adapter_is_listed_with_its_error(installed, broken, error):
    installed.update(bad=broken, good=TINY)
    bad, good = listing.rows({})
    assert bad == Row("bad", "", (), key_set=False, error=error)
    assert good.error is None


def test_a_broken_adapter_is_no_failure_of_the_command(installed, capsys):
    installed["bad"] = ImportError("no module named x")
    assert main(["models"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "bad   cannot be loaded: ImportError: no module named x"


def test_a_key_is_never_shown(monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    for arguments in (["models"], ["models", "--json"]):
        assert main(arguments) == 0
        out, err = capsys.readouterr()
        assert "OPENAI_API_KEY" in out
        assert SECRET not in out + err


def test_json_lines_say_the_same_and_nothing_else(installed, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    installed.update(openai=openai_chat, bad=ImportError("no"))
    assert main(["models", "--json"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"name": "bad", "url": "", "key_variables": [], "key_set": False, "error": "ImportError: no"},
        {"name": "openai", "url": openai_chat.url, "key_variables": ["OPENAI_API_KEY"], "key_set": True},
    ]


def test_this_packages_own_adapters_can_all_be_loaded():
    assert [row.error for row in listing.rows({})] == [None] * len(adapter.names())
