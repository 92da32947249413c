"""The transport that answers from memory, and goes wrong as a `Fault` says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal

import anyio
from anyio.lowlevel import checkpoint

from streamcore.errors import LocalError, StreamFailed
from streamcore.events import Failure
from streamcore.transport import CONNECT_SECONDS, READ_SECONDS

from .faults import spoiled
from .server import Answer, Endless, Pause, head

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamcore.request import HTTPRequest
    from streamcore.transport import Response

    from .faults import Fault, FaultKind

__all__ = ["FaultyTransport"]

_NO_HTTP: Final = Failure("protocol", "the answer is not HTTP", detail="http")
_RESET: Final = Failure("connection", "the connection broke", detail="reset")
_INCOMPLETE: Final = Failure("truncated", "the body ended before its announced end", detail="incomplete")
_UNANSWERED: Final[Mapping[FaultKind, Failure]] = {
    "dns": Failure("connection", "cannot connect: the name is not known", detail="dns"),
    "refused": Failure("connection", "cannot connect: refused", detail="refused"),
    "tls": Failure("connection", "cannot connect: the certificate is not valid", detail="tls", should_retry=False),
    "unreachable": Failure("connection", "cannot connect: no route", detail="unreachable"),
    "headers_reset": _RESET,
    "headers_close": Failure("connection", "the server closed the connection without an answer", detail="closed"),
    "headers_garbage": _NO_HTTP,
    "headers_huge": _NO_HTTP,
}


class FaultyTransport:
    """A transport that answers every request from memory.

    The first request meets the first of `faults`, and so on, the last of them again and again; None is no fault. Like `HTTPX` it waits 10 s for a connection where a stream does not say how long, and 300 s for anything more to
    come. `requests` are those that were sent; `open_responses` counts the answers that nobody has closed.

    Raises:
        LocalError: The answer is `raw`: there is no HTTP in memory.
    """

    def __init__(self, answer: Answer, *faults: Fault | None) -> None:
        if answer.framing == "raw":
            raise LocalError("a raw answer is for a server: there is no HTTP in memory")
        self._answer = answer
        self._faults = faults or (None,)
        self.requests: list[HTTPRequest] = []
        self.open_responses = 0

    async def open(self, request: HTTPRequest, /, *, connect: float | None = None) -> Response:
        """Meet the next fault; return where a server's headers would have come.

        Raises:
            StreamFailed: They would not.
        """
        fault = self._faults[min(len(self.requests), len(self._faults) - 1)]
        self.requests.append(request)
        await checkpoint()
        if fault is None:
            return _Played(self, self._answer)
        if fault.kind == "connect":
            seconds = CONNECT_SECONDS if connect is None else connect
            await anyio.sleep(seconds)
            raise StreamFailed(Failure("timeout", f"no connection was made within {seconds:g} s", detail="connect"))
        if fault.kind in _UNANSWERED:
            raise StreamFailed(_UNANSWERED[fault.kind])
        if fault.kind == "headers_stall":
            await _wait(math.inf, "first_token")
        if fault.kind == "headers_drip":
            for _ in range(math.ceil(len(head(self._answer)) / fault.size)):
                await _wait(fault.seconds, "first_token")
            return _Played(self, self._answer)
        return _Played(self, spoiled(self._answer, fault))


class _Played:
    """The response that an answer is."""

    def __init__(self, transport: FaultyTransport, answer: Answer) -> None:
        self._transport = transport
        self._steps = iter(answer.body)
        self._delimited = answer.framing != "close"
        self._chunked = answer.framing == "chunked"
        self._endless: Endless | None = None
        self._open = True
        self.status = answer.status
        self.headers = {name.lower(): value for name, value in answer.headers.items()}
        transport.open_responses += 1

    async def read(self) -> bytes:
        await checkpoint()
        if self._endless is not None:
            await _wait(self._endless.seconds, "idle")
            return self._endless.piece
        for step in self._steps:
            if isinstance(step, bytes):
                if step:
                    return step
            elif isinstance(step, Pause):
                await _wait(step.seconds, "idle")
            elif isinstance(step, Endless):
                self._endless = step
                return await self.read()
            else:
                return await self._stopped(step)
        return b""

    async def _stopped(self, step: Literal["reset", "close", "hang", "garble"]) -> bytes:
        """What no more bytes after this one look like."""
        if step == "hang":
            await _wait(math.inf, "idle")
        if step == "reset":
            raise StreamFailed(_RESET)
        if step == "garble" and self._chunked:
            raise StreamFailed(_NO_HTTP)
        if self._delimited:
            raise StreamFailed(_INCOMPLETE)
        return b""

    async def close(self) -> None:
        self._transport.open_responses -= self._open
        self._open = False


async def _wait(seconds: float, clock: str) -> None:
    """Wait like a client with a limit of its own.

    Raises:
        StreamFailed: It is longer than that.
    """
    await anyio.sleep(min(seconds, READ_SECONDS))
    if seconds > READ_SECONDS:
        raise StreamFailed(Failure("timeout", f"nothing came for {READ_SECONDS:g} s", detail=clock))
