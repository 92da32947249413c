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
    "sync.py": ["Because air scatters blue light most.", "first: overloaded", "cancelled (cancel)", "['Hello']"],
    "partial.py": ["PlanSoFar(title='Li', steps=[])", "1 of 2 steps: Walk", "call-1 weather", "broken: parse error"],
    "other_bodies.py": ["['Hi']", "\nHi\n", "Finish("],
    "deadlines.py": [
        "after '': timeout (first_token)",
        "after 'Hello': timeout (idle): no more content came within 0.1 s",
    ],
    "retry.py": ["Hello\nFailure(kind='overloaded'", "Finish(reason='stop'"],
    "fast.py": ["100 answers: {'Hello again'}", "50 connections: True"],
    "fallback.py": ["Hello, said good after 3 attempts"],
    "hedge.py": ["still open: 0 slow, 1 fast", "fast was first"],
    "limit.py": ["0 has its answer", "2 has its answer", "3 was turned away: overloaded (limit)"],
    "cancel.py": ["cancelled (cancel)", "detail='closed'", "detail='read'", "still open: 0"],
    "tee.py": ["Because air scatters blue light most.", "kept: 'Because air", 'missed: {"events":'],
    "resume.py": [
        "lost after event 3: 'Because air scatters blue '",
        "and on: 'Because air scatters blue light most.'",
        "(expired)",
    ],
    "metrics.py": [
        "chat in GET /why: SUCCESS, 3 tokens, reported",
        "attempt in chat: ERROR",
        "chat in nothing: CANCELLED",
        'streamcore_requests_total{answered_by="our-model",feature="chat",status="CANCELLED"} 1.0',
        'streamcore_sink_broken{ledger="",sink="OpenTelemetry"} 0.0',
    ],
    "measuring.py": [
        "4 events; most of the time was spent waiting for the provider",
        "openai:gpt-4o at 127.0.0.1, request r-1",
    ],
    "faults.py": [
        "reset: 'To be', then connection (reset)",
        "stall: 'To be', then timeout (idle): no more content came within 20 s",
        "made good: 'To be, or not', 3 attempt(s), 47 s later",
        "over a socket: 'To be', then truncated (incomplete)",
    ],
    "backpressure.py": ["4 events read, 3 words taken", "has read nothing, 9 words taken"],
    "ledger.py": ["failed: overloaded: busy", "SUCCESS greetings 7 3", "ERROR None None None"],
    "clients.py": [
        "SUCCESS: chat for u-1, 9 reported, gpt-4o",
        "CANCELLED: chat for u-2, 5 estimated, gpt-4o",
        "headers of ours that were sent: 0",
    ],
    "own_model.py": ["Hello, asked 1 time"],
    "tracking.py": [
        "SUCCESS: chat for u-1, 0.000037 USD, derived",
        "CANCELLED: chat for u-2, ",
        "USD, estimated",
        "SUCCESS: chat for u-3, 0.000037 USD, derived, 2 attempts",
        "3 records",
    ],
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
