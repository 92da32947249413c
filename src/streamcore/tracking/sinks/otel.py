"""Spans and metrics of records, by the API of OpenTelemetry.

A record becomes a span when its stream has ended: made afterwards, in another thread and perhaps in another process, with
the times of the record, and in the trace in which the stream was opened (`Record.traceparent`). Where several requests
were made, each has a span below it. A span cannot be taken back, nor a count: what another process had written down when
it died, it may have sent itself, so only what is `LOST` is taken from it (but see `adopted`).

The names are those of OpenTelemetry's conventions for generative AI (`conventions`) as far as these go; all others begin
with `streamcore.`. There is no convention for costs, nor for who says how many tokens it was. Only the span of the whole
has `gen_ai.usage.*` and `streamcore.cost.*`, those below it `streamcore.attempt.*`: sums have everything once. Metrics
count each attempt with whom it asked.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from streamcore import __version__
from streamcore.errors import LocalError
from streamcore.events import Finish

from .conventions import CONVENTIONS, OTHER, SECONDS, TOKENS, modalities
from .figures import Bounded, amounts, attempts_of, error_type, label, shown
from .health import JOURNAL, SINK, numbers
from .telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.context import Context
    from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Meter, MeterProvider, Observation
    from opentelemetry.trace import TracerProvider

    from streamcore.tracking.record import AttemptRecord, Record

    from .conventions import Convention, Names
    from .spans import Attributes, Spans

__all__ = ["OpenTelemetry"]

_TYPES: Final = {"input_tokens": "input", "output_tokens": "output"}
_LABELS: Final = {"model": "gen_ai.request.model", "answered_by": "gen_ai.response.model", "host": "server.address"}
_SAID: Final = {"feature": "streamcore.feature", "user": "user.id", "conversation_id": "gen_ai.conversation.id"}


class _Instruments:
    """The metrics of one convention."""

    def __init__(self, meter: Meter, names: Convention) -> None:
        self.names = names
        self.duration = _histogram(meter, names.duration, "s", "How long the stream took.")
        self.first_chunk = self.token_usage = None
        if names.first_chunk is not None:
            self.first_chunk = _histogram(meter, names.first_chunk, "s", "How long the first content took.")
        if names.token_usage is not None:
            self.token_usage = _histogram(meter, names.token_usage, "{token}", "Tokens of an attempt.")
        self.tokens = {
            field: _histogram(meter, name, "{token}", "Tokens of an attempt that went well.")
            for field, name in names.tokens.items()
        }
        self.counters: dict[str, Counter] = {
            field: meter.create_counter(name, "{token}", "Tokens of all attempts.")
            for field, name in names.counters.items()
        }

    def count(self, attempt: AttemptRecord, known: Attributes, inside: Context) -> None:
        """Count the tokens of an attempt."""
        usage = attempt.tokens.usage
        for field, source in attempt.tokens.sources.items():
            tokens: int | None = getattr(usage, field)
            if tokens is None or tokens < 0:
                continue
            known = known | {"streamcore.provenance": source}
            if self.token_usage is not None and field in _TYPES:
                self.token_usage.record(tokens, known | {"gen_ai.token.type": _TYPES[field]}, inside)
            if field in self.tokens and isinstance(attempt.outcome, Finish):
                self.tokens[field].record(tokens, known, inside)
            if field in self.counters:
                for modality, part in modalities(field, usage):
                    self.counters[field].add(part, known | {"gen_ai.token.modality": modality}, inside)


def _histogram(meter: Meter, name: str, unit: str, what: str) -> Histogram:
    buckets = SECONDS if unit == "s" else TOKENS
    return meter.create_histogram(name, unit, what, explicit_bucket_boundaries_advisory=buckets)


class OpenTelemetry(Telemetry):
    """Makes spans and metrics of records, with the global providers or with those given.

    `names` are those of version 1.41.0 of the conventions (`latest`), of 1.36.0 (`older`), of both at once, or those that
    are being prepared (`next`). `metric_attributes` are what of a record's context goes on metrics as well (`feature`,
    `user`, `conversation_id`, or a tag): each makes as many time series as it has values. Beyond `limit` values of an
    attribute, and ten times as many combinations, all others are `_OTHER`. `messages` puts the providers' error messages
    on spans: they may quote anything. `adopted` makes spans and metrics also of streams that ended in a process that died
    afterwards, and may have made them itself.

    `failures` are records that nothing could be made of, `skipped` those of other processes.

    Raises:
        LocalError: OpenTelemetry is not installed (the extra `otel`), or there are no such `names`.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        names: Names = "latest",
        metric_attributes: Sequence[str] = (),
        messages: bool = False,
        adopted: bool = False,
        limit: int = 100,
    ) -> None:
        super().__init__(adopted=adopted, defect="makes no span")
        if names not in CONVENTIONS:
            raise LocalError(f"names are one of {', '.join(CONVENTIONS)}, not {names!r}")
        self._conventions = conventions = CONVENTIONS[names]
        schema = conventions[0].schema if len(conventions) == 1 else None
        try:
            metrics: Any = import_module("opentelemetry.metrics")
            spans: Any = import_module(".spans", __package__)
        except ImportError as error:
            raise LocalError("spans need OpenTelemetry: pip install streamcore[otel]") from error
        self._spans: Spans = spans.Spans(tracer_provider, __version__, schema, conventions, messages=messages)
        self._observation: type[Observation] = metrics.Observation
        self._meter: Meter = metrics.get_meter("streamcore", __version__, meter_provider, schema)
        meter = self._meter
        # Where there are two conventions, their metrics have the same names.
        self._instruments = _Instruments(meter, conventions[0])
        self._cost = meter.create_counter("streamcore.cost", "{currency}", "What attempts cost, by the price list.")
        self._attempts = meter.create_counter("streamcore.attempts", "{attempt}", "Requests made to providers.")
        self._gap = _histogram(meter, "streamcore.largest_gap", "s", "The longest wait after the first content.")
        self._names = _LABELS | {name: _SAID.get(name, f"streamcore.tag.{name}") for name in metric_attributes}
        self._bounded = Bounded(limit, OTHER)

    def _make(self, record: Record) -> None:
        self._measure(record, self._spans.make(record))

    def _show(self) -> None:
        for number in (*SINK.values(), *JOURNAL.values()):
            counter, gauge = self._meter.create_observable_counter, self._meter.create_observable_gauge
            make = counter if number.kind == "counter" else gauge
            make(f"streamcore.{number.name}", [partial(self._observe, number.name)], number.unit, number.help)

    def _observe(self, wanted: str, _options: CallbackOptions) -> list[Observation]:
        return [
            self._observation(value, {"streamcore.ledger": name} | ({} if sink is None else {"streamcore.sink": sink}))
            for name, ledger in self._watched.items()
            for number, sink, value in numbers(ledger)
            if number == wanted
        ]

    def _measure(self, record: Record, inside: Context) -> None:
        instruments, marks = self._instruments, record.marks
        known = self._attributes(record, record)
        if marks.closed is not None:
            instruments.duration.record(marks.closed, known | _ended(record), inside)
        if instruments.first_chunk is not None and marks.first_content is not None:
            instruments.first_chunk.record(marks.first_content, known, inside)
        if record.largest_gap is not None:
            self._gap.record(record.largest_gap, known, inside)
        for attempt in attempts_of(record):
            known = self._attributes(attempt, record)
            self._attempts.add(1, known | _ended(attempt), inside)
            instruments.count(attempt, known, inside)
            for provenance, amount in amounts(attempt.cost):
                paid: Attributes = {
                    "streamcore.cost.provenance": provenance,
                    "streamcore.cost.currency": shown(attempt.cost.currency),
                }
                self._cost.add(amount, known | paid, inside)

    def _attributes(self, what: Record | AttemptRecord, record: Record) -> Attributes:
        """Whom a metric is of."""
        names = ("provider", *self._names)
        provider, *values = self._bounded([label(name, what, record.context) for name in names])
        known: Attributes = {"gen_ai.operation.name": "chat"}
        for convention in self._conventions:
            known[convention.provider] = convention.providers.get(provider, provider) or OTHER
        known |= {name: value for name, value in zip(self._names.values(), values, strict=True) if value}
        return known


def _ended(what: Record | AttemptRecord) -> Attributes:
    failed = error_type(what.outcome, what.status)
    known: Attributes = {"streamcore.status": what.status}
    return known if failed is None else known | {"error.type": failed}
