"""Metrics of records for Prometheus, by the package prometheus_client: counters and histograms, and how a ledger does.

A counter counts what this process did, and dies with it, as all counters of Prometheus do. So of what another process had
written down when it died only what is `LOST` is counted: the rest it may have counted itself (but see `adopted`).
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from streamcore.errors import LocalError
from streamcore.events import Failure

from .figures import Bounded, amounts, attempts_of, label, seconds
from .health import JOURNAL, SINK, numbers
from .telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prometheus_client import CollectorRegistry, Counter, Histogram
    from prometheus_client.metrics_core import Metric

    from streamcore.tracking.ledger import Ledger
    from streamcore.tracking.record import AttemptRecord, Record

__all__ = ["Prometheus"]

FIRST_CONTENT: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 20, 30, 60)
DURATION: Final = (0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 90, 120, 300, 600)
GAP: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60)
RATE: Final = (1, 2, 5, 10, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000)

_OWN_LABELS: Final = frozenset({"status", "failure", "kind", "provenance", "currency", "ledger", "sink", "le"})
_NAME: Final = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")


class Prometheus(Telemetry):
    """Counts records in a registry, by default the one that prometheus_client's own pages show.

    `labels` are what the metrics are told apart by: `provider`, `model`, `answered_by`, `adapter`, `host`, `feature`,
    `user`, `conversation_id`, or a tag. Beyond `limit` values of a label, and ten times as many combinations, all others
    are `other`. `namespace` begins all names: two sinks in one registry need two. `adopted` counts also streams that had
    ended in a process that died afterwards, and may have counted them itself.

    `failures` are records that could not be counted, `skipped` those of other processes.

    Raises:
        LocalError: prometheus_client is not installed (the extra `prometheus`), a label's name is none or is taken, or
            the registry has metrics of these names.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        labels: Sequence[str] = ("provider", "model"),
        limit: int = 100,
        namespace: str = "streamcore",
        adopted: bool = False,
    ) -> None:
        super().__init__(adopted=adopted, defect="is not counted")
        wrong = [name for name in (namespace, *labels) if not _NAME.fullmatch(name) or name in _OWN_LABELS]
        if wrong or len(set(labels)) < len(labels):
            raise LocalError(f"no names for Prometheus, taken or there twice: {', '.join(wrong or labels)}")
        try:
            self._library: Any = import_module("prometheus_client")
            self._families: Any = import_module("prometheus_client.core")
        except ImportError as error:
            raise LocalError("the metrics need prometheus_client: pip install streamcore[prometheus]") from error
        self._registry: CollectorRegistry = self._library.REGISTRY if registry is None else registry
        self._namespace = namespace
        self._labels = tuple(labels)
        self._bounded = Bounded(limit, "other")
        self._made: list[Counter | Histogram] = []
        try:
            self._register()
        except ValueError as error:
            for metric in self._made:
                self._registry.unregister(metric)
            raise LocalError(
                f"the registry has metrics of these names ({error}): share the sink, or give each a namespace"
            ) from error

    def _register(self) -> None:
        self._requests = self._counter("requests", "Streams that ended, and how.", "status")
        self._failed = self._counter("failures", "Streams that failed, by the kind of their failure.", "failure")
        self._attempts = self._counter("attempts", "Requests made to providers.", "status")
        self._tokens = self._counter("tokens", "Tokens of all attempts, by who says so.", "kind", "provenance")
        self._cost = self._counter("cost", "What all attempts cost, by price list.", "provenance", "currency")
        self._first = self._histogram("time_to_first_content_seconds", "Until the first content came.", FIRST_CONTENT)
        self._duration = self._histogram("duration_seconds", "Until the outcome was known.", DURATION, "status")
        self._gap = self._histogram("largest_gap_seconds", "The longest wait after the first content.", GAP)
        self._rate = self._histogram("output_tokens_per_second", "From the first content to the last.", RATE)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        made: Counter = self._library.Counter(name, what, [*self._labels, *labels], **self._where())
        self._made.append(made)
        return made

    def _histogram(self, name: str, what: str, buckets: Sequence[float], *labels: str) -> Histogram:
        made: Histogram = self._library.Histogram(
            name, what, [*self._labels, *labels], buckets=buckets, **self._where()
        )
        self._made.append(made)
        return made

    def _where(self) -> dict[str, Any]:
        return {"namespace": self._namespace, "registry": self._registry}

    def _make(self, record: Record) -> None:
        whole, marks = self._values(record, record), record.marks
        self._requests.labels(*whole, record.status).inc()
        if isinstance(record.outcome, Failure):
            self._failed.labels(*whole, record.outcome.kind).inc()
        for histogram, labels, value in (
            (self._first, whole, marks.first_content),
            (self._duration, (*whole, record.status), marks.closed),
            (self._gap, whole, record.largest_gap),
        ):
            if (time := seconds(value)) is not None:
                _of(histogram, labels).observe(time)
        if record.tokens_per_second is not None and record.usage_sources.get("output_tokens") == "reported":
            _of(self._rate, whole).observe(record.tokens_per_second)
        for attempt in attempts_of(record):
            self._count_attempt(attempt, self._values(attempt, record))

    def _count_attempt(self, attempt: AttemptRecord, values: tuple[str, ...]) -> None:
        self._attempts.labels(*values, attempt.status).inc()
        for field, source in attempt.tokens.sources.items():
            tokens: int | None = getattr(attempt.tokens.usage, field, None)
            if tokens is not None and tokens >= 0:
                self._tokens.labels(*values, field.removesuffix("_tokens"), source).inc(tokens)
        for provenance, amount in amounts(attempt.cost):
            self._cost.labels(*values, provenance, attempt.cost.currency).inc(amount)

    def _values(self, what: Record | AttemptRecord, record: Record) -> tuple[str, ...]:
        return self._bounded([label(name, what, record.context) for name in self._labels])

    def _show(self) -> None:
        self._registry.register(_Watch(self._families, self._namespace, self._watched))


def _of(histogram: Histogram, labels: tuple[str, ...]) -> Histogram:
    return histogram.labels(*labels) if labels else histogram


class _Watch:
    """A collector: asks the ledgers how they do when Prometheus asks."""

    def __init__(self, families: Any, namespace: str, ledgers: dict[str, Ledger]) -> None:
        self._gauge = families.GaugeMetricFamily
        self._counter = families.CounterMetricFamily
        self._namespace = namespace
        self._ledgers = ledgers

    def describe(self) -> list[Metric]:
        """The metrics without values, for the registry to know their names."""
        return list(self._empty().values())

    def collect(self) -> list[Metric]:
        """The metrics as they are now."""
        metrics = self._empty()
        for name, ledger in self._ledgers.items():
            for number, sink, value in numbers(ledger):
                metrics[number].add_metric((name,) if sink is None else (name, sink), value)
        return list(metrics.values())

    def _empty(self) -> dict[str, Any]:
        metrics: dict[str, Any] = {}
        for table, labels in ((SINK, ("ledger", "sink")), (JOURNAL, ("ledger",))):
            for number in table.values():
                name = f"{self._namespace}_{number.name.replace('.', '_')}"
                make = self._counter if number.kind == "counter" else self._gauge
                metrics[number.name] = make(name, number.help, labels=labels)
        return metrics
