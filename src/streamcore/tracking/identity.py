"""What tells streams apart, and processes: the ids of records, and the trace that a stream is opened in.

A tracking id is a UUID of version 7 (RFC 9562, section 5.7, with the part of the millisecond by method 3), so it sorts by
time. Of its random bits 24 are the same for all streams of a process: by them a sink knows what another process began.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Final
from uuid import UUID

__all__ = ["begun_here", "traceparent", "tracking_id"]

_RANDOM_BITS: Final = 38  # with the time in quarters of a microsecond, enough for one process
_PROCESS_MASK: Final = (1 << 24) - 1
_START: Final = int.from_bytes(os.urandom(3))
_SPREAD: Final = 0x9E3779B1  # odd, so that no two pids of a machine fall together; a forked child has another


def _process() -> int:
    return _START + os.getpid() * _SPREAD & _PROCESS_MASK


def tracking_id() -> str:
    """The id of a stream that begins now."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = rest * 4096 // 1_000_000
    random = int.from_bytes(os.urandom(5)) & (1 << _RANDOM_BITS) - 1
    unique = _process() << _RANDOM_BITS | random
    return str(UUID(int=milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | unique))


def begun_here(tracking_id: str) -> bool:
    """Whether this process made the id, and not one that died and left it in a journal; True if it is none of ours."""
    try:
        number = UUID(tracking_id).int
    except ValueError:
        return True
    return number >> _RANDOM_BITS & _PROCESS_MASK == _process()


def traceparent() -> str | None:
    """The span around this code, as W3C's header `traceparent` has it; None without OpenTelemetry or without a span.

    Who does not use OpenTelemetry does not load it here: it is looked up, not imported. Never raises.
    """
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    try:
        span = trace.get_current_span().get_span_context()
        if not span.is_valid:
            return None
        return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags & 0xFF:02x}"
    except Exception:  # noqa: BLE001 - half imported, or replaced by somebody's own
        return None
