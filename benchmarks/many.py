"""One reader of `test_many`, a process of its own, so that nobody pays for another's memory.

    python -m benchmarks.many "streamcore" http://127.0.0.1:8000 1000

reads so many answers at once, and prints as JSON what it took once all had begun: seconds of processor time an event, bytes
a stream, and how late events were, in seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import httpx2

import streamcore as sc
from streamcore.fast import Fast

from .contenders import QUESTION, by_hand, sdk

WIRE = "openai_chat"
PAGE = 4096


def clients(library: Any) -> Any:
    limits = library.Limits(max_connections=None, max_keepalive_connections=None)
    return library.AsyncClient(timeout=600, limits=limits, trust_env=False)


def ours(transport: Any, url: str) -> Any:
    endpoint = sc.Endpoint(WIRE, "model", key="key", url=url, transport=transport)

    async def read(keep: Any) -> None:
        async with endpoint.stream(QUESTION) as stream:
            async for event in stream:
                keep(event)

    return read


READERS = {
    "streamcore": lambda url, n: ours(sc.HTTPX(clients(httpx2), concurrency=n), url),
    "streamcore, fast": lambda url, n: ours(Fast(concurrency=n), url),
    "openai": lambda url, n: sdk(WIRE, clients(httpx2), url),
    "httpx + httpx-sse + json": lambda url, n: by_hand(clients(httpx), url),
}


def sent(thing: Any) -> str:
    """The words of an event: when it was sent."""
    if isinstance(thing, sc.TextDelta):
        return thing.text
    if isinstance(thing, dict):
        return thing["choices"][0]["delta"]["content"]
    return thing.choices[0].delta.content if hasattr(thing, "choices") else ""


class Watch:
    """Looks at every event of every stream."""

    def __init__(self, streams: int) -> None:
        self._streams = streams
        self.began = 0
        self.delays: list[float] = []
        self.empty = memory()
        self.bytes = self.processor = 0.0

    def reader(self):
        """Keeps one stream's events. Until all streams have begun, nothing counts."""
        first = True

        def keep(thing: Any) -> None:
            nonlocal first
            words = sent(thing)
            if not words:
                return
            if first:
                first = False
                self.began += 1
                if self.began == self._streams:
                    self.bytes = memory() - self.empty
                    self.processor = time.process_time()
            elif self.began == self._streams:
                self.delays.append(time.monotonic() - float(words))

        return keep


def memory() -> int:
    """Bytes of this process that are in memory; 0 where nobody says."""
    path = Path("/proc/self/statm")
    return int(path.read_text().split()[1]) * PAGE if path.exists() else 0


async def main(name: str, url: str, streams: int) -> None:
    read = READERS[name](url, streams)
    watch = Watch(streams)
    await asyncio.gather(*(read(watch.reader()) for _ in range(streams)))
    processor = time.process_time() - watch.processor
    delays = sorted(watch.delays)
    found = {
        "processor": processor / len(delays),
        "bytes": watch.bytes / streams,
        "p50": delays[len(delays) // 2],
        "p99": delays[len(delays) * 99 // 100],
    }
    print(json.dumps(found))  # noqa: T201 - what it is for


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
