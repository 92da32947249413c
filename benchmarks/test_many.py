"""Many answers at once, each an event every so often, in one process over loopback; the server is another.

What an event costs, what a stream holds, and how late an event is read. Short by default; with `STREAMCORE_BENCHMARKS=long`
a thousand streams and ten thousand, which take minutes and a machine with nothing else to do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import Ratio
from .many import READERS

ROOT = Path(__file__).parents[1]
LONG = os.environ.get("STREAMCORE_BENCHMARKS") == "long"
EVENTS, GAP = (500, 0.02) if LONG else (10, 0.02)  # per stream, and seconds between two of them: a fast model's pace
STREAMS = [1_000, 10_000] if LONG else [20]


@contextmanager
def paced(streams, events, gap):
    """The server's address."""
    command = [sys.executable, "-m", "benchmarks.paced", str(streams), str(events), str(gap)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        server.stdin.close()


def enough_files(wanted):
    """Whether this process may have so many open."""
    try:
        import resource
    except ImportError:
        return False
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= wanted


@pytest.mark.parametrize("streams", STREAMS)
def test_paced(report, streams):
    if not enough_files(streams + 100):
        pytest.skip(f"{streams} connections are more files than this process may open: ulimit -n")
    found = {}
    gap = GAP * max(1, streams // 1_000)  # so that there are never more than 50,000 events a second
    with paced(streams, EVENTS, gap) as url:
        for name in READERS:
            command = [sys.executable, "-m", "benchmarks.many", name, url, str(streams)]
            ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            found[name] = json.loads(ran.stdout)
    for what, unit, size in (
        ("processor", "µs an event", 1e6),
        ("bytes", "KiB a stream", 1 / 1024),
        ("p50", "ms late, half of the events", 1e3),
        ("p99", "ms late, 99 of 100", 1e3),
    ):
        row = " | ".join(f"{name} {figures[what] * size:.3g}" for name, figures in found.items())
        report.times.append(f"{streams} streams, {unit}: {row}")
    for ours, goal in (("streamcore", 1.5), ("streamcore, fast", 3.0)):
        ratio = found["openai"]["processor"] / found[ours]["processor"]
        report.ratios.append(Ratio(f"{streams} streams, processor time: openai ÷ {ours}", ratio, at_least=goal))
