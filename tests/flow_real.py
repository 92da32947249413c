"""The real models that a nesting of `flow_model` stands for, over leaves that keep a book."""

from __future__ import annotations

import anyio

from flow_model import Answer, Fallback, Hedge, Leaf, Limit, Nesting, Plain, Retry, Within
from streamcore import StreamFailed
from streamcore.body import Body
from streamcore.deadlines import Deadlines
from streamcore.flow import fallback, hedge, limit, retry
from streamcore.stream import Stream
from streamcore.testing import EVENTS, lines
from streamcore.upstream import Origin


class Scripted:
    """The model that a leaf is. Counts what is open; keeps for each request when it began and when it was closed."""

    def __init__(self, nesting: Leaf) -> None:
        self._nesting = nesting
        self.times: list[list[float]] = []
        self.open = self.most = 0

    def stream(self, request):
        origin = Origin(adapter="scripted", model=self._nesting.name, host="")
        return Stream(Body(EVENTS, self._open, origin=origin))

    async def _open(self, connect):
        answers = self._nesting.answers
        answer = answers[min(len(self.times), len(answers) - 1)]
        times = [anyio.current_time()]
        self.times.append(times)
        self.open += 1
        self.most = max(self.most, self.open)
        response = _Response(self, answer, times)
        try:
            await anyio.sleep(answer.opening)
        except BaseException:
            await response.close()
            raise
        if answer.refusal is not None:
            await response.close()
            raise StreamFailed(answer.refusal)
        return response


class _Response:
    status = 200

    def __init__(self, model: Scripted, answer: Answer, times: list[float]) -> None:
        self._model = model
        self._answer = answer
        self._steps = iter(answer.steps)
        self.headers: dict[str, str] = {}
        self._times = times

    async def read(self) -> bytes:
        for step in self._steps:
            if not isinstance(step, float):
                return lines([step])[0]
            await anyio.sleep(step)
        if self._answer.breaks is not None:
            raise StreamFailed(self._answer.breaks)
        return b""

    async def close(self) -> None:
        if len(self._times) == 1:
            self._times.append(anyio.current_time())
            self._model.open -= 1


class _Plain:
    def __init__(self, model) -> None:
        self._model = model

    def stream(self, request):
        return self._model.stream(request)


class _Within:
    def __init__(self, model, deadlines) -> None:
        self._model = model
        self._deadlines = deadlines

    def stream(self, request):
        return self._model.stream(request).within(**self._deadlines)


class Built:
    """The models of a nesting: `model` is the whole, `leaves` are what it asks; `limits` each with how many can be open."""

    def __init__(self, nesting: Nesting) -> None:
        self.leaves: dict[str, Scripted] = {}
        self.limits: list[tuple[object, int]] = []
        self.model = self._build(nesting)

    def _build(self, nesting: Nesting):
        build = self._build
        match nesting:
            case Leaf():
                return self.leaves.setdefault(nesting.name, Scripted(nesting))
            case Plain(model):
                return _Plain(build(model))
            case Within(model, deadlines):
                return _Within(build(model), deadlines)
            case Retry(model, attempts, seconds, backoff):
                return retry(build(model), attempts=attempts, seconds=seconds, backoff=backoff)
            case Fallback(models, kinds, deadlines):
                when = None if kinds is None else lambda failure: failure.kind in kinds
                return fallback(*map(build, models), when=when, deadlines=Deadlines(**deadlines))
            case Hedge(models, after):
                return hedge(*map(build, models), after=after)
            case Limit(model, concurrency, waiting):
                outer, self.limits = self.limits, []
                made = limit(build(model), concurrency, waiting=waiting)
                places = min([concurrency, *(inner for _, inner in self.limits)])
                self.limits += [*outer, (made, places)]
                return made
