"""Ways to an answer with a fault in it: from memory in virtual time, and over sockets with both HTTP libraries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grammar
import httpx
import httpx2
import pytest
from tiny import TINY

import streamcore as sc
from streamcore.testing import Answer, Fault, FaultyTransport, serve, spoiled
from streamcore.transport import HTTPX

if TYPE_CHECKING:
    from collections.abc import Sequence

# httpx and httpcore read a body through nested generators and do not close the inner ones; trio says so.
MARKS = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings(r"ignore:Async generator '(httpx|httpcore)2?\.:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <async_generator:pytest.PytestUnraisableExceptionWarning"),
]
CLIENTS: dict[str, Any] = {"httpx": httpx.AsyncClient, "httpx2": httpx2.AsyncClient}
MEMORY = [("memory", backend) for backend in ("asyncio", "trio")]
SOCKETS = [(client, backend) for client in CLIENTS for backend in ("asyncio", "trio")]
KEY = "sk-canary-0123456789"


def named(road: tuple[str, str]) -> str:
    return "-".join(road)


in_memory = pytest.mark.parametrize("anyio_backend", MEMORY, ids=named, indirect=True)
over_sockets = pytest.mark.parametrize("anyio_backend", SOCKETS, ids=named, indirect=True)


@dataclass
class Seen:
    """What a reader saw of one stream, and what the provider saw of the reader."""

    stream: sc.Stream
    events: list[sc.Event] = field(default_factory=list)
    requests: int = 0

    @property
    def failure(self) -> sc.Failure:
        assert isinstance(self.stream.outcome, sc.Failure)
        return self.stream.outcome

    @property
    def what(self) -> tuple[str, str | None]:
        return self.failure.kind, self.failure.detail

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, sc.TextDelta))


async def see(stream: sc.Stream, seen: Seen) -> None:
    """Read to the end, and check what holds for every stream: one outcome, the grammar, no key anywhere."""
    raised, words = None, ""
    try:
        async with stream:
            async for event in stream:
                seen.events.append(event)
    except sc.StreamFailed as error:
        raised, words = error.failure, f"{error}{error!r}{error.__cause__!r}"
    assert stream.outcome is not None
    assert stream.outcome == (raised or seen.events[-1])
    assert KEY not in repr((words, stream.outcome, stream.attempts, stream.warnings))
    if seen.events:
        grammar.check([*seen.events, *([raised] if raised else [])])


class Road:
    """One of the ways. `seconds` makes of a time that of its clock: in memory an hour is nothing."""

    def __init__(self, name: str) -> None:
        self.name = name

    def seconds(self, seconds: float) -> float:
        return seconds if self.name == "memory" else seconds / 300

    async def ask(
        self,
        answer: Answer | Sequence[bytes],
        *faults: Fault | None,
        adapter: Any = TINY,
        wrap: Any = None,
        clean: bool = False,
        **deadlines: float,
    ) -> Seen:
        """Ask once, meeting these faults. `clean` says that the connection may be kept, as it is after a whole answer."""
        if not isinstance(answer, Answer):
            answer = Answer(answer)
        asked = self._from_memory if self.name == "memory" else self._over_a_socket
        times = {name: self.seconds(value) for name, value in deadlines.items()}
        return await asked(answer, faults, adapter, wrap or (lambda model: model), times, clean=clean)

    async def _from_memory(self, answer, faults, adapter, wrap, times, *, clean):
        transport = FaultyTransport(answer, *faults)
        model = wrap(sc.Endpoint(adapter, "m", url="http://provider.invalid", key=KEY, transport=transport))
        seen = Seen(model.stream(sc.prompt("hi")).within(**times))
        await see(seen.stream, seen)
        assert transport.open_responses == 0
        seen.requests = len(transport.requests)
        return seen

    async def _over_a_socket(self, answer, faults, adapter, wrap, times, *, clean):
        answers = [spoiled(answer, fault) if fault else answer for fault in faults or (None,)]

        def script(_):
            return answers[min(len(server.requests), len(answers)) - 1]

        with serve(script) as server:
            async with CLIENTS[self.name](trust_env=False) as client:
                model = wrap(sc.Endpoint(adapter, "m", url=server.url, key=KEY, transport=HTTPX(client)))
                seen = Seen(model.stream(sc.prompt("hi")).within(**times))
                await see(seen.stream, seen)
                if not clean:
                    assert server.wait_for(lambda: server.open_connections == 0)
            assert server.wait_for(lambda: server.open_connections == 0)
            seen.requests = len(server.requests)
        return seen
