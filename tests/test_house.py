"""Rules of the house that no linter knows, looked for in the syntax tree."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for root in ("src", "adapters") for path in (ROOT / root).rglob("*.py"))
SCOPES = {
    "CancelScope",
    "TaskGroup",
    "at_most",
    "create_task_group",
    "fail_after",
    "fail_at",
    "move_on_after",
    "move_on_at",
    "open_nursery",
    "timeout",
    "timeout_at",
}


def called(node):
    """The last word of what a call calls; "" for what is no call."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def own(node):
    """All below a node that runs with it: not what only the functions do that are defined there."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            yield child
            yield from own(child)


def yields(node):
    return any(isinstance(below, ast.Yield | ast.YieldFrom) for below in own(node))


def named_scopes(tree):
    """What this module keeps a scope in: `scope`, `self._group`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and called(node.value) in SCOPES:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from map(ast.unparse, targets)


def is_scope(node, names):
    return called(node) in SCOPES or ast.unparse(node) in names


def yields_in_scopes(tree):
    """The lines where a scope begins that is left in the middle."""
    names = set(named_scopes(tree))
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.With | ast.AsyncWith)
        and any(is_scope(item.context_expr, names) for item in node.items)
        and yields(node)
    ]


def async_generators(tree):
    return [node.lineno for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef) and yields(node)]


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"), path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_yields_inside_a_cancel_scope_or_task_group(path):
    """Whoever runs meanwhile would be inside of it as well, and might never come back to leave it."""
    assert yields_in_scopes(tree_of(path)) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_there_is_no_async_generator(path):
    """One that is not read to its end is closed by the garbage collector: later, and in another task."""
    assert async_generators(tree_of(path)) == []


@pytest.mark.parametrize(
    "code",
    [
        "def f():\n with anyio.move_on_after(1):\n  yield",
        "async def f():\n async with anyio.create_task_group() as group:\n  if x:\n   yield 1",
        "async def f():\n with a, at_most(1) as scope:\n  x = yield",
        "def f():\n scope = CancelScope()\n with scope:\n  yield from g()",
        "def f(self):\n self._group: TaskGroup = anyio.create_task_group()\n with self._group as group:\n  yield",
    ],
)
def test_a_yield_in_a_scope_is_found(code):
    assert len(yields_in_scopes(ast.parse(code))) == 1


@pytest.mark.parametrize(
    "code",
    [
        "def f():\n with open(x):\n  yield",
        "def f():\n with move_on_after(1):\n  def g():\n   yield\n yield",
        "async def f():\n with anyio.move_on_after(1):\n  await g(lambda: (yield))",
        "def f(): yield",
    ],
)
def test_what_is_no_yield_in_a_scope_is_not(code):
    assert (yields_in_scopes(ast.parse(code)), async_generators(ast.parse(code))) == ([], [])


def test_an_async_generator_is_found():
    assert async_generators(ast.parse("class C:\n async def f(self):\n  for x in y:\n   yield x")) == [2]
