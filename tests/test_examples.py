"""Every example runs, and prints what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import streamcore

EXAMPLES = Path(__file__).parents[1] / "examples"
PRINTS = {
    "serve.py": ["data: [DONE]", "Hi there", "error"],
    "asking.py": ["openai: HTTPRequest(POST", "seed: not supported", "strict: the provider cannot take"],
    "every_event.py": ["finished: tool_calls (tool_use)", "goes back: ExtensionPart", "overloaded: busy"],
    "quickstart.py": ["Because air scatters blue light most.", "[stop;"],
    "own_adapter.py": ["Hello sailor", "Finish(reason='stop', raw='said it all')"],
    "tools.py": ["Sunny in Lisbon."],
    "sans_io.py": ["Hello Finish(", "kind='truncated'", "event='note'"],
    "failures.py": ["after 'To be, or': truncated", "again in 3.0 s", "kind='cancelled'", "not sent:"],
    "other_bodies.py": ["['Hi']", "\nHi\n", "Finish("],
}


def test_every_example_is_listed_here():
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == sorted(PRINTS)


@pytest.mark.parametrize("name", sorted(PRINTS))
def test_the_example_runs(name):
    ran = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name], capture_output=True, text=True, check=False, timeout=120
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    for words in PRINTS[name]:
        assert words in ran.stdout


def test_an_adapter_of_ones_own_takes_under_80_lines():
    text = (EXAMPLES / "own_adapter.py").read_text()
    adapter = text[text.index("# --- the adapter") : text.index("# --- using it")]
    assert len(adapter.splitlines()) < 80


def test_every_public_name_is_shown_in_an_example():
    shown = "\n".join(path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py"))
    assert [name for name in streamcore.__all__ if f"sc.{name}" not in shown] == []
