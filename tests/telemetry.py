"""What the tests of spans and metrics share: records with everything in them, and where telemetry ends up."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from streamcore.events import Failure, Finish, Usage
from streamcore.tracking.identity import tracking_id
from streamcore.tracking.record import AttemptRecord, Context, Cost, Marks, Record, Tokens
from streamcore.tracking.sinks.otel import OpenTelemetry
from streamcore.upstream import Origin

AT = datetime(2026, 11, 20, 18, 42, 35, 123456, tzinfo=UTC)
AT_NANOSECONDS = 1795200155_123456_000
GPT = Origin(adapter="openai", model="gpt-4o", host="api.openai.com")
CLAUDE = Origin(adapter="anthropic", model="claude-9", host="api.anthropic.com")
SOURCES = {"input_tokens": "reported", "output_tokens": "reported", "cache_read_tokens": "reported"}
TOKENS = Tokens(usage=Usage(100, 20, 40), sources=SOURCES)
COST = Cost(known=Decimal("0.0024"), provenance="derived", price_list="own 1", breakdown={"input": Decimal("0.0024")})
ANSWERED = AttemptRecord(
    origin=GPT,
    answered_by="gpt-4o-2026",
    status="SUCCESS",
    outcome=Finish("stop", "stop"),
    request_id="req_1",
    chosen=True,
    tokens=TOKENS,
    cost=COST,
    marks=Marks(sent=0.25, headers=0.375, first_byte=0.375, closed=2.5),
)
BUSY = AttemptRecord(
    origin=CLAUDE,
    status="ERROR",
    outcome=Failure("overloaded", "busy", status=529),
    served=False,
    marks=Marks(sent=0.125, closed=0.25),
)
GUESSED = AttemptRecord(
    origin=CLAUDE,
    status="CANCELLED",
    outcome=Failure("cancelled", "it lost", detail="hedge"),
    tokens=Tokens(usage=Usage(90), sources={"input_tokens": "estimated"}),
    cost=Cost(estimated=Decimal("0.5"), provenance="estimated"),
    marks=Marks(sent=1.0),
)


def whole(*attempts, **more):
    """A stream of this process that ended well, after these attempts and the one that answered."""
    known = {
        "tracking_id": tracking_id(),
        "created_at": AT,
        "status": "SUCCESS",
        "outcome": ANSWERED.outcome,
        "origin": GPT,
        "answered_by": "gpt-4o-2026",
        "request_id": "req_1",
        "usage": TOKENS.usage,
        "usage_sources": SOURCES,
        "costs": COST,
        "marks": Marks(sent=0.125, headers=0.375, first_byte=0.375, first_content=0.5, last_content=2.25, closed=2.5),
        "largest_gap": 0.75,
        "provider_wait": 2.0,
        "consumer_wait": 0.5,
        "attempts": (*attempts, ANSWERED),
        "context": Context(feature="chat", user="u-1", conversation_id="c-9", tags={"team": "ü"}),
    }
    return Record(**(known | more))


def ended(outcome, status, **more):
    """A stream that ended otherwise, with one attempt that did."""
    attempt = AttemptRecord(origin=GPT, status=status, outcome=outcome, chosen=True)
    return whole(outcome=outcome, status=status, attempts=(attempt,), **more)


class Telemetry:
    """A sink, and what it made."""

    def __init__(self, *, sampler=None, **options):
        self._spans = InMemorySpanExporter()
        self.tracers = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.sink = OpenTelemetry(tracer_provider=self.tracers, meter_provider=self.meters, **options)

    def write(self, *records):
        self.sink.write(records)
        return self

    @property
    def spans(self):
        """All of them, the outermost first."""
        return sorted(self._spans.get_finished_spans(), key=lambda span: span.name.startswith("attempt"))

    @property
    def metrics(self):
        """By name."""
        data = self._reader.get_metrics_data()
        resources = data.resource_metrics if data else []
        return {
            metric.name: metric
            for resource in resources
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def points(self, name):
        """The sum at each set of attributes; attributes that are on all metrics of GPT-4o are left out."""
        common = {"gen_ai.operation.name", "gen_ai.provider.name", "server.address", "gen_ai.response.model"}
        found = {}
        for point in self.metrics[name].data.data_points:
            rest = tuple(sorted((key, value) for key, value in point.attributes.items() if key not in common))
            found[rest] = getattr(point, "sum", None) if hasattr(point, "sum") else point.value
        return found
