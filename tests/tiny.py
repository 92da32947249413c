"""The smallest provider: enough wire format to test everything that is not about wire formats."""

from __future__ import annotations

import msgspec

from streamcore import sse
from streamcore.events import Event, Failure, Finish, TextDelta, Usage
from streamcore.request import HTTPRequest, Request, RequestWarning, Target


class Chunk(msgspec.Struct):
    i: int = 0
    t: str | None = None
    n: int | None = None
    end: str | None = None
    bad: str | None = None


class Decoder:
    _decode = msgspec.json.Decoder(Chunk).decode

    def feed(self, frame):
        chunk = self._decode(frame.data)
        events: list[Event] = []
        if chunk.t is not None:
            events.append(TextDelta(chunk.i, chunk.t))
        if chunk.n is not None:
            events.append(Usage(output_tokens=chunk.n))
        if chunk.bad is not None:
            events.append(Failure("overloaded", chunk.bad))
        if chunk.end is not None:
            events.append(Finish("stop", chunk.end))
        return events

    def close(self):
        return []


class Tiny:
    url = "http://tiny.invalid/v1"
    key_variables = ("TINY_KEY",)
    framing = sse.Parser
    Decoder = Decoder

    def encode(self, request: Request, target: Target) -> HTTPRequest:
        warnings = (RequestWarning("seed", "not supported"),) if request.seed is not None else ()
        key = {"authorization": f"Bearer {target.key.reveal()}"} if target.key else {}
        headers = {"accept-encoding": "identity", "content-type": "application/json", **key, **target.headers}
        return HTTPRequest("POST", f"{target.url}/answer", headers, msgspec.json.encode(request), warnings)


TINY = Tiny()


def say(*words: str) -> list[bytes]:
    """A whole answer of these words, an event each."""
    return [b'data: {"t":"%b"}\n\n' % word.encode() for word in words] + [
        b'data: {"n":%d,"end":"done"}\n\n' % len(words)
    ]
