"""Spans and metrics of every stream: for OpenTelemetry and for Prometheus, at once."""

import anyio
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest

import streamcore as sc
from streamcore.testing import ScriptedModel
from streamcore.tracking.sinks.otel import OpenTelemetry
from streamcore.tracking.sinks.prometheus import Prometheus

ANSWER: list[sc.Event] = [
    sc.Start("r-1", "our-model"),
    sc.TextDelta(0, "Because air scatters blue light most."),
    sc.Usage(input_tokens=7, output_tokens=3),
    sc.Finish("stop"),
]
BUSY = sc.Failure("overloaded", "busy", status=503)
PRICES = sc.Prices({"our-model": {"input": 1, "output": 10}})  # dollars for a million tokens


async def main() -> None:
    """A stream inside a trace, whose first attempt fails; and one that is left."""
    exported, registry = InMemorySpanExporter(), CollectorRegistry()
    tracers = TracerProvider()  # in a service: trace.set_tracer_provider, and an exporter to your collector
    tracers.add_span_processor(SimpleSpanProcessor(exported))
    spans = OpenTelemetry(tracer_provider=tracers, meter_provider=MeterProvider())
    counters = Prometheus(registry, labels=("answered_by", "feature"))

    async with sc.Ledger(spans, counters, prepare=PRICES) as ledger:
        counters.watch(ledger)
        model = sc.track(sc.retry(ScriptedModel(BUSY, ANSWER, ANSWER), backoff=0.01), ledger, prices=PRICES)
        with sc.context(feature="chat"):
            with tracers.get_tracer("shop").start_as_current_span("GET /why"):
                async with model.stream("Why is the sky blue?") as stream:
                    await stream.collect()
            async with model.stream("Why is the sky blue?") as stream:
                await stream.read()

    names = {span.context.span_id: span.name for span in exported.get_finished_spans() if span.context}
    for span in exported.get_finished_spans():
        parent = names[span.parent.span_id] if span.parent else "nothing"
        said = span.attributes or {}
        if "streamcore.status" not in said:
            continue
        tokens = f"{said.get('gen_ai.usage.output_tokens')} tokens, {said.get('streamcore.provenance.output_tokens')}"
        print(f"{span.name} in {parent}: {said.get('streamcore.status')}, {tokens}")
    for line in generate_latest(registry).decode().splitlines():
        if line.startswith(("streamcore_requests_total", "streamcore_cost_total", "streamcore_sink_broken")):
            print(line)


if __name__ == "__main__":
    anyio.run(main)
