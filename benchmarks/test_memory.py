"""What an event takes that is kept, its text included."""

from __future__ import annotations

import gc
import tracemalloc

import httpx2

from .conftest import Ratio
from .contenders import mock, sdk, streamcore
from .transcripts import transcript


def test_event(report, run):
    answer = transcript("openai_chat")
    ours = kept(run, streamcore(answer.wire, mock(httpx2, answer.events)))
    theirs = kept(run, sdk(answer.wire, mock(httpx2, answer.events)))
    report.times.append(f"bytes kept an event: streamcore {ours:.0f} | openai {theirs:.0f}")
    report.ratios.append(Ratio("bytes kept an event: streamcore ÷ openai", ours / theirs, at_most=0.1))


def kept(run, read):
    """Bytes an event, once all else is gone that reading it needed."""
    run(read([].append))  # what the first use of anything keeps is not the events'
    events = []
    gc.collect()
    tracemalloc.start()
    run(read(events.append))
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / len(events)
