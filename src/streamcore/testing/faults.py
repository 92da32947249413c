"""What goes wrong between a provider and its reader, as data: over a real socket, or in memory and in virtual time.

    serve(spoiled(answer, Fault("reset", at=100)))              a server that breaks the connection after 100 bytes
    FaultyTransport(answer, Fault("reset", at=100), None)       the same without a socket, and all is well the second time

A `Fault` spoils an `Answer`, at any byte of its body. The transport (in `memory`) plays what comes of it as a server
would, and raises what `HTTPX` makes of a server that does so. Its waits are the event loop's, so with `virtual_time`
they cost nothing.
"""

from __future__ import annotations

import random
import zlib
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from msgspec import Struct, structs

from streamcore.errors import LocalError

from .server import Answer, Endless, Pause, Step, head

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["FAULTS", "Fault", "FaultKind", "spoiled"]

FaultKind: TypeAlias = Literal[
    "dns",
    "refused",
    "tls",
    "unreachable",
    "connect",
    "headers_reset",
    "headers_close",
    "headers_stall",
    "headers_drip",
    "headers_garbage",
    "headers_huge",
    "rate_limit",
    "overloaded",
    "server_error",
    "redirect",
    "content_type",
    "error_body",
    "gzip",
    "reset",
    "close",
    "end",
    "stall",
    "drip",
    "garbage",
    "flip",
    "repeat",
    "comments",
    "line",
    "chunk",
]

FAULTS: Final[Sequence[FaultKind]] = get_args(FaultKind)
"""Every kind of fault: those of connecting, of the headers, of the whole answer, and of the body at some byte."""

_HUGE: Final = 300_000  # bytes of a header; HTTP clients take up to 100 KiB of them
_JSON: Final = {"content-type": "application/json"}


class Fault(Struct, frozen=True):
    """One thing that goes wrong.

    Connecting (no server can do that; in memory only): `dns`, `refused`, `tls`, `unreachable`; `connect` takes for ever.

    The headers: `headers_reset` and `headers_close` break the connection or end it before them, `headers_stall` never sends
    them, `headers_drip` sends them `size` bytes at a time, `seconds` apart; `headers_garbage` is no HTTP, `headers_huge` more
    of it than anybody takes.

    Another answer: `rate_limit` (429, to be tried again after `seconds`), `overloaded` (529), `server_error` (500),
    `redirect`, `content_type` (a page of HTML), `error_body` (an error in JSON with status 200), `gzip` (a bomb).

    The body, from byte `at` on: `reset` breaks the connection, `close` ends it before the body's announced end, `end`
    ends the body as if it were whole, `stall` sends nothing more, `drip` sends the rest `size` bytes at a time, `seconds`
    apart; `garbage` puts in `size` random bytes, `flip` turns over a bit of the byte, `repeat` sends the last `size` bytes
    again; `comments` sends comments of `size` bytes from then on, `line` a line without an end, so many bytes at a time,
    `seconds` apart; `chunk` breaks the chunks of HTTP.
    """

    kind: FaultKind
    at: int = 0
    size: int = 16
    seconds: float = 0.0


UNCONNECTED: Final[frozenset[FaultKind]] = frozenset({"dns", "refused", "tls", "unreachable", "connect"})
HEADERS: Final[Mapping[FaultKind, Step]] = {  # what comes in their place
    "headers_reset": "reset",
    "headers_close": "close",
    "headers_stall": "hang",
    "headers_garbage": b"nonsense\r\n\r\n",
    "headers_huge": b"HTTP/1.1 200 OK\r\nx-huge: " + b"a" * _HUGE + b"\r\n\r\n",
}


def spoiled(answer: Answer, fault: Fault) -> Answer:
    """The answer with the fault in it.

    Raises:
        LocalError: It is a fault of connecting, or the answer is `raw`.
    """
    kind = fault.kind
    if kind in UNCONNECTED:
        raise LocalError(f"no server can cause the fault {kind!r}: it happens before one is reached")
    if answer.framing == "raw":
        raise LocalError("a raw answer is sent as it is: what happens at a byte of its body cannot be said")
    if kind in HEADERS:
        return Answer([HEADERS[kind]], framing="raw")
    if kind == "headers_drip":
        answer = structs.replace(answer, framing="close")
        return Answer([*_dripped([head(answer)], fault), *answer.body], framing="raw")
    return _instead(answer, fault) or structs.replace(answer, body=list(_body(answer.body, fault)))


def _instead(answer: Answer, fault: Fault) -> Answer | None:
    """What is answered in the place of the answer, if that is the fault."""
    match fault.kind:
        case "rate_limit":
            headers = {**_JSON, "retry-after": f"{fault.seconds:g}"}
            return Answer([b'{"error":{"message":"slow down","code":"rate_limit_exceeded"}}'], 429, headers)
        case "overloaded":
            return Answer([b'{"error":{"message":"busy","type":"overloaded_error"}}'], 529, _JSON)
        case "server_error":
            return Answer([b"Internal Server Error"], 500, {"content-type": "text/plain"})
        case "redirect":
            return Answer([], 307, {"location": "http://elsewhere.invalid/"})
        case "content_type":
            return Answer([b"<!doctype html><title>Welcome</title>"], headers={"content-type": "text/html"})
        case "error_body":
            return Answer([b'{"error":{"message":"busy","type":"overloaded_error"}}'], headers=_JSON)
        case "gzip":
            beginning, more = _bomb()
            return Answer([beginning, Endless(more)], headers={**answer.headers, "content-encoding": "gzip"})
        case _:
            return None


def _bomb() -> tuple[bytes, bytes]:
    """The beginning of a gzip body, and what makes it a MiB longer each time."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    beginning, more = (squeeze.compress(bytes(1 << 20)) + squeeze.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return beginning, more


def _body(steps: Sequence[Step], fault: Fault) -> Iterator[Step]:
    before, after = _cut(steps, fault.at)
    yield from before
    match fault.kind:
        case "reset":
            yield "reset"
        case "close":
            yield "close"
        case "stall":
            yield "hang"
        case "chunk":
            yield "garble"
        case "comments":
            yield Endless(b":%b\n\n" % (b"-" * (fault.size - 3)), fault.seconds)
        case "line":
            yield Endless(b"a" * fault.size, fault.seconds)
        case "drip":
            after = _dripped(after, fault)
        case "garbage":
            yield random.Random(fault.at).randbytes(fault.size)  # noqa: S311 - seeded, so that a failure comes again
        case "flip":
            after = _flipped(after)
        case "repeat":
            yield _joined(before)[-fault.size :]
        case _:
            assert fault.kind == "end"
            return
    yield from after  # for its length, where a header announces that


def _cut(steps: Sequence[Step], at: int) -> tuple[list[Step], list[Step]]:
    """What comes before a byte of the body, and what after."""
    before: list[Step] = []
    for number, step in enumerate(steps):
        if isinstance(step, bytes):
            if len(step) > at:
                return [*before, step[:at]], [step[at:], *steps[number + 1 :]]
            at -= len(step)
        before.append(step)
    return before, []


def _joined(steps: Iterable[Step]) -> bytes:
    return b"".join(step for step in steps if isinstance(step, bytes))


def _dripped(steps: Iterable[Step], fault: Fault) -> list[Step]:
    dripped: list[Step] = []
    for step in steps:
        if isinstance(step, bytes):
            for at in range(0, len(step), fault.size):
                dripped += [Pause(fault.seconds), step[at : at + fault.size]]
        else:
            dripped.append(step)
    return dripped


def _flipped(steps: Sequence[Step]) -> list[Step]:
    """The lowest bit of the first byte the other way."""
    first, *others = steps or [b""]
    return [bytes([first[0] ^ 1]) + first[1:], *others] if isinstance(first, bytes) and first else [*steps]
