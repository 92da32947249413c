"""What spans and metrics cost: the ledger's threads for each record, and a stream for knowing its trace."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import CollectorRegistry

from streamcore.events import Finish, Usage
from streamcore.tracking.identity import traceparent, tracking_id
from streamcore.tracking.record import AttemptRecord, Context, Cost, Marks, Record, Tokens
from streamcore.tracking.sinks.lines import JSONLines
from streamcore.tracking.sinks.otel import OpenTelemetry
from streamcore.tracking.sinks.prometheus import Prometheus
from streamcore.upstream import Origin

pytestmark = pytest.mark.benchmark(group="telemetry", timer=time.process_time)

RECORDS = 500
CALLS = 10_000
GPT = Origin(adapter="openai_chat", model="gpt-4o", host="api.openai.com")
SOURCES = {"input_tokens": "reported", "output_tokens": "reported"}
COST = Cost(known=Decimal("0.00123"), provenance="derived")


class Nowhere(SpanExporter):
    """An exporter that costs nothing."""

    def export(self, spans):
        return SpanExportResult.SUCCESS


def record():
    """One as most are."""
    marks = Marks(sent=0.1, first_content=0.5, last_content=0.9, closed=1.0)
    attempt = AttemptRecord(
        origin=GPT,
        status="SUCCESS",
        outcome=Finish("stop"),
        chosen=True,
        tokens=Tokens(usage=Usage(100, 20), sources=SOURCES),
        cost=COST,
        marks=marks,
    )
    return Record(
        tracking_id=tracking_id(),
        created_at=datetime(2026, 11, 20, tzinfo=UTC),
        status="SUCCESS",
        context=Context(feature="chat", user="u-1", conversation_id="c-9"),
        outcome=attempt.outcome,
        origin=GPT,
        usage=attempt.tokens.usage,
        usage_sources=SOURCES,
        costs=COST,
        marks=marks,
        attempts=(attempt,),
    )


def tracers():
    """They export, to nowhere."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(Nowhere()))
    return provider


def test_records_into_telemetry(race, tmp_path):
    """A batch, as the ledger makes them, beside the same lines in a file."""
    records = [record() for _ in range(RECORDS)]
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    sinks = {
        "Prometheus": Prometheus(CollectorRegistry()),
        "OpenTelemetry": OpenTelemetry(tracer_provider=tracers(), meter_provider=meters),
        "JSON lines": JSONLines(tmp_path / "records.jsonl"),
    }
    contenders = {name: lambda sink=sink: sink.write(records) for name, sink in sinks.items()}
    race("records into telemetry", contenders, count=RECORDS, per="record")


def test_the_trace_of_a_stream(race):
    """What each opening pays in a process that has OpenTelemetry loaded."""
    tracer = tracers().get_tracer("benchmark")

    def calls():
        for _ in range(CALLS):
            traceparent()

    def inside():
        with tracer.start_as_current_span("request"):
            calls()

    race("the trace of a stream", {"outside of a span": calls, "inside of one": inside}, count=CALLS, per="stream")
