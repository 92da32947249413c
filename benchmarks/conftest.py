"""How everything here is measured, and the two tables that end a run.

One figure says little: the machine is shared, and one round alone moves a ratio by up to 1.6. So a benchmark is a race.
In each of its rounds (12, and more where they are short) the contenders take turns, and what counts is the shortest time
of each: processor time, since others may want the processor too. A turn is two runs, of which the second counts: the first
finds the caches full of somebody else's data. Garbage is collected in between, and what was alive before a race is out of
the collector's sight while it lasts, so nobody pays for what somebody else has imported. pytest-benchmark times the first
contender, ours; the others run in the set-up of its rounds and are kept in the row's `extra_info`.

Nothing asserts a time. With `--benchmark-disable` each contender runs once.
"""

from __future__ import annotations

import asyncio
import gc
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS = range(12, 100)
SECONDS = 2.0  # to fill with rounds


@dataclass(frozen=True)
class Ratio:
    """What was measured, beside what is wanted of it: at most or at least so much."""

    what: str
    value: float
    at_most: float | None = None
    at_least: float | None = None

    def __str__(self) -> str:
        sign, goal = ("≤", self.at_most) if self.at_least is None else ("≥", self.at_least)
        met = self.value <= goal if sign == "≤" else self.value >= goal
        return f"{self.what:<92}{self.value:>8.2f}   {sign} {goal:<5g}{'' if met else ' missed'}"


@dataclass
class Report:
    """What the run has found so far."""

    times: list[str] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)


_REPORT = pytest.StashKey[Report]()


class Race:
    """Measures contenders against each other."""

    def __init__(self, benchmark: BenchmarkFixture, timer: Callable[[], float], report: Report) -> None:
        self._benchmark = benchmark
        self._timer = timer
        self._report = report

    def __call__(
        self,
        title: str,
        contenders: Mapping[str, Callable[[], object]],
        *,
        at_most: Mapping[str, float] | None = None,
        at_least: Mapping[str, float] | None = None,
        count: int = 1,
        per: str = "event",
        over: str | None = None,
        warm: bool = True,
    ) -> None:
        """Run the race; the first contender is ours.

        A run holds `count` things of the kind `per`. `at_most` bounds our time ÷ that of the contender named, `at_least`
        its time ÷ ours. The time of the contender `over` is taken off all others. Unless `warm`, a turn is one run.
        """
        (ours, run), *others = contenders.items()
        best = dict.fromkeys(contenders, float("inf"))

        def set_up() -> None:
            for name, other in others:
                warm_up(other)
                start = self._timer()
                other()
                best[name] = min(best[name], self._timer() - start)
            warm_up(run)

        def warm_up(contender: Callable[[], object]) -> None:
            if self._benchmark.enabled:
                if warm:
                    contender()
                gc.collect()

        gc.collect()
        gc.freeze()
        try:
            self._benchmark.pedantic(run, setup=set_up, rounds=self._rounds(contenders))
        finally:
            gc.unfreeze()
        if self._benchmark.stats is None:
            return
        best[ours] = self._benchmark.stats.stats.min
        floor = best.pop(over) if over else 0.0
        times = {name: (seconds - floor) / count for name, seconds in best.items()}
        self._benchmark.extra_info.update(times)
        row = " | ".join(f"{name} {seconds * 1e6:.4g}" for name, seconds in times.items())
        self._report.times.append(f"{title}, µs a{'n' if per[0] in 'aeio' else ''} {per}: {row}")
        self._report.ratios += [
            *(
                Ratio(f"{title}: {ours} ÷ {other}", times[ours] / times[other], at_most=goal)
                for other, goal in (at_most or {}).items()
                if other in times
            ),
            *(
                Ratio(f"{title}: {other} ÷ {ours}", times[other] / times[ours], at_least=goal)
                for other, goal in (at_least or {}).items()
                if other in times
            ),
        ]

    def _rounds(self, contenders: Mapping[str, Callable[[], object]]) -> int:
        """As many as are worth the time; finding out warms everybody up."""
        if self._benchmark.disabled:
            return 1
        start = time.perf_counter()
        for contender in contenders.values():
            contender()
        fitting = int(SECONDS / 2 / (time.perf_counter() - start))
        return min(max(fitting, ROUNDS.start), ROUNDS.stop)


@pytest.fixture
def report(pytestconfig: pytest.Config) -> Report:
    return pytestconfig.stash[_REPORT]


@pytest.fixture
def race(benchmark: BenchmarkFixture, report: Report, request: pytest.FixtureRequest) -> Race:
    marker = request.node.get_closest_marker("benchmark")
    return Race(benchmark, marker.kwargs["timer"], report)


@pytest.fixture
def run() -> Iterator[Callable[[Coroutine[Any, Any, object]], object]]:
    """Runs a coroutine on an event loop that lasts as long as the test."""
    with asyncio.Runner() as runner:
        yield runner.get_loop().run_until_complete


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_REPORT] = Report()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    report = config.stash[_REPORT]
    if report.times:
        terminalreporter.section("shortest times")
        terminalreporter.write_line("\n".join(report.times))
    if report.ratios:
        terminalreporter.section("ratios, and their goals")
        terminalreporter.write_line("\n".join(map(str, report.ratios)))
