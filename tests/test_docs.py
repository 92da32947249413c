"""The documents say what is."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.adapter import names

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def _table():
    specification = importlib.util.spec_from_file_location("table", ROOT / "docs" / "table.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["adapters.md", "serving.md", "faults.md"])
def test_a_table_made_from_what_the_library_does_is_renewed(name):
    table = _table()
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert table.renewed(page, table.PAGES[name]()) == page


def test_every_adapter_is_named_with_its_address_and_keys():
    page = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
    for name in names():
        adapter = sc.load(name)
        assert f"`{name}`" in page
        for word in (adapter.url, *adapter.key_variables):
            assert word in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_project_leads_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_event_is_in_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for event in sc.Event.__args__:
        assert f"| `{event.__name__}` |" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_python_example_compiles(page):
    for code in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        compile(code, page.name, "exec")
