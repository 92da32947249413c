"""Streams for plain threads: the same `Stream`, read with `with` and `for`.

    with sync.stream(model, "Why is the sky blue?") as stream:
        for event in stream:
            ...

There is no second implementation. All that a stream awaits is its transport, and a blocking transport never suspends:
so a stream over one is driven by hand, each step with a single `send(None)`, in the thread that reads. That is how an
`Endpoint` with its own transport runs, and what `decode` reads; there is no event loop, no thread and no queue, save one
thread of the process that keeps the time. Every other model (`fallback`, `retry`, `hedge`, `limit`, one of your own, an
endpoint over a transport that was given) runs on one event loop in one thread, which all such streams of the process
share; what crosses over are batches, not events.
"""

from .stream import Stream, decode, stream, text
from .transport import HTTPX

__all__ = ["HTTPX", "Stream", "decode", "stream", "text"]
