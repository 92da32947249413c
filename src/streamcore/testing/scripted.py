"""A model without a network, and the format it speaks: streamcore's own events, one JSON line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import msgspec

from streamcore import ndjson
from streamcore.body import Body
from streamcore.errors import LocalError, StreamFailed
from streamcore.events import Event, Failure
from streamcore.request import HTTPRequest
from streamcore.stream import Stream

from .server import Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from streamcore.adapter import Adapter, EventDecoder
    from streamcore.frames import Frame, Framing
    from streamcore.request import Request, Target
    from streamcore.transport import Response

__all__ = ["EVENTS", "ScriptedModel", "lines"]


def lines(events: Iterable[Event]) -> list[bytes]:
    """Events as JSON lines, which `EVENTS` reads."""
    return [ndjson.encode(msgspec.json.encode(event)) for event in events]


class _Decoder:
    _decode = msgspec.json.Decoder[Event](Event).decode

    def feed(self, frame: Frame, /) -> list[Event]:
        return [self._decode(frame.data)]

    def close(self) -> list[Event]:
        return []


class _Events:
    """The adapter whose wire format is the event model itself."""

    def __init__(self) -> None:
        self.url = ""
        self.key_variables: tuple[str, ...] = ()
        self.framing: Callable[[], Framing] = ndjson.Parser
        self.Decoder: Callable[[], EventDecoder] = _Decoder

    def encode(self, request: Request, target: Target) -> HTTPRequest:
        """The request as JSON."""
        return HTTPRequest("POST", target.url, {}, msgspec.json.encode(request))


EVENTS: Final[Adapter] = _Events()
"""Reads recorded events: JSON lines, as `lines` writes them."""


class _Script:
    """A response that gives one answer's events, a line each read, and pauses where it says so."""

    status = 200
    headers: Mapping[str, str] = {}

    def __init__(self, model: ScriptedModel, answer: Sequence[Event | Pause]) -> None:
        self._model = model
        self._steps = iter(answer)
        self._open = True
        model.open += 1

    async def read(self) -> bytes:
        for step in self._steps:
            if not isinstance(step, Pause):
                return lines([step])[0]
            await anyio.sleep(step.seconds)
        return b""

    async def close(self) -> None:
        self._model.open -= self._open
        self._open = False


class ScriptedModel:
    """A model that gives prepared answers, in order, the last one again and again.

    An answer is the events after which its body ends, so one without a `Finish` is truncated; a `Pause` among them is
    silence. One that *is* a `Failure` fails when it is opened. `requests` are those that came; `open` counts the streams that are open.
    """

    def __init__(self, *answers: Sequence[Event | Pause] | Failure) -> None:
        if not answers:
            raise LocalError("a scripted model needs at least one answer")
        self._answers = answers
        self.requests: list[Request] = []
        self.open = 0

    def stream(self, request: Request, /) -> Stream:
        """The stream of the next answer."""
        answer = self._answers[min(len(self.requests), len(self._answers) - 1)]
        self.requests.append(request)

        async def open(connect: float | None) -> Response:  # noqa: ARG001 - there is no road
            if isinstance(answer, Failure):
                raise StreamFailed(answer)
            return _Script(self, answer)

        return Stream(Body(EVENTS, open))
