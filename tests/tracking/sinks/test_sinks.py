"""Several sinks at once: each of them has every record once, and one that is broken holds up no other."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import msgspec
import pytest
from prometheus_client import CollectorRegistry

import streamcore as sc
from ledgers import Kept
from streamcore.testing import ScriptedModel
from streamcore.tracking.ledger import Ledger
from streamcore.tracking.prices import Prices
from streamcore.tracking.record import Record
from streamcore.tracking.sinks.lines import Callback, JSONLines
from streamcore.tracking.sinks.prometheus import Prometheus
from streamcore.tracking.sinks.sqlite import SQLite
from streamcore.tracking.track import track
from telemetry import Telemetry

pytestmark = pytest.mark.anyio

STREAMS = 30
WHOLE = [sc.Start("r", "m"), sc.TextDelta(0, "Hello, you"), sc.Usage(7, 3), sc.Finish("stop")]
PRICES = Prices({"m": {"input": 1, "output": 10}})


class Counted:
    """A sink that tells when another has all records."""

    def __init__(self, sink):
        self._sink, self._count, self.whole = sink, 0, threading.Event()

    def write(self, records):
        self._sink.write(records)
        self._count += len(records)
        if self._count >= STREAMS:
            self.whole.set()


class Failing(Kept):
    """A sink that takes nothing until it is repaired."""

    def __init__(self):
        super().__init__()
        self.repaired = threading.Event()

    def write(self, records):
        if not self.repaired.is_set():
            raise OSError("not today")
        super().write(records)


class Stuck(Failing):
    """A sink that does not come back until it is repaired."""

    def write(self, records):
        assert self.repaired.wait(60)
        super().write(records)


class Sinks:
    """One of each kind."""

    def __init__(self, path):
        self.seen = []
        self.registry = CollectorRegistry()
        self.telemetry = Telemetry()
        self.database, self.lines = path / "requests.db", path / "records.jsonl"
        self.all = [
            SQLite(self.database),
            self.telemetry.sink,
            Prometheus(self.registry),
            JSONLines(self.lines),
            Callback(lambda record: self.seen.append(record.tracking_id)),
        ]

    def ids(self):
        """What each of them has, but Prometheus."""
        with closing(sqlite3.connect(self.database)) as database:
            rows = [row for (row,) in database.execute("SELECT tracking_id FROM requests")]
        lines = [msgspec.json.decode(line, type=Record) for line in self.lines.read_bytes().splitlines()]
        spans = [span.attributes["streamcore.tracking_id"] for span in self.telemetry.spans]
        return [sorted(ids) for ids in (rows, [line.tracking_id for line in lines], spans, self.seen)]

    def counted(self):
        return sum(
            sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == "streamcore_requests_total"
        )


async def streams(ledger):
    """Some that are read, and some that are left; the ids of all."""
    ids = []
    for number in range(STREAMS):
        async with track(ScriptedModel(WHOLE), ledger, prices=PRICES).stream("hi") as stream:
            if number % 3:
                await stream.collect()
        ids.append(stream.record.tracking_id)
    return sorted(ids)


@pytest.mark.parametrize("journal", [True, False])
async def test_each_has_every_record_once(tmp_path, journal):
    sinks = Sinks(tmp_path)
    async with Ledger(*sinks.all, prepare=PRICES, journal=tmp_path / "journal" if journal else None) as ledger:
        ids = await streams(ledger)
    assert sinks.ids() == [ids] * 4
    assert sinks.counted() == STREAMS


async def test_all_of_them_say_the_same_of_tokens_and_costs(tmp_path):
    sinks = Sinks(tmp_path)
    async with Ledger(*sinks.all, prepare=PRICES) as ledger:
        await streams(ledger)
    with closing(sqlite3.connect(sinks.database)) as database:
        (tokens, nano), *_ = database.execute(
            "SELECT sum(output_tokens), sum(coalesce(cost_known_nano, 0)) FROM requests WHERE status = 'SUCCESS'"
        )
    reported = {"provider": "", "model": "", "kind": "output", "provenance": "reported"}
    known = {"provider": "", "model": "", "provenance": "known", "currency": "USD"}
    assert sinks.registry.get_sample_value("streamcore_tokens_total", reported) == tokens == 60
    assert sinks.registry.get_sample_value("streamcore_cost_total", known) == pytest.approx(nano / 1e9)
    spans = [span.attributes for span in sinks.telemetry.spans if span.attributes["streamcore.status"] == "SUCCESS"]
    assert sum(span["gen_ai.usage.output_tokens"] for span in spans) == 60
    assert sum(span["streamcore.cost.known"] for span in spans) == pytest.approx(nano / 1e9)


@pytest.mark.parametrize("kind", [Failing, Stuck])
async def test_one_that_is_broken_holds_up_no_other_and_has_all_once_it_is_repaired(tmp_path, kind):
    sinks, broken = Sinks(tmp_path), kind()
    counted = [Counted(sink) for sink in sinks.all]
    ledger = Ledger(broken, *counted, prepare=PRICES)
    ids = await streams(ledger)
    for sink in counted:
        assert sink.whole.wait(30)
    assert (broken.records, ledger.sinks[0].waiting) == ([], STREAMS)
    assert sinks.ids() == [ids] * 4
    assert sinks.counted() == STREAMS
    broken.repaired.set()
    assert ledger.flush(30)
    ledger.close()
    sinks.all[0].close()
    assert sorted(broken.ids) == ids


CRASHES = """
import os, sys
import anyio
from opentelemetry.sdk.trace import TracerProvider
import streamcore as sc
from streamcore.testing import ScriptedModel

class Never:
    def write(self, records):
        raise OSError

async def main():
    answer = [sc.Start("r", "m"), sc.TextDelta(0, "Hi"), sc.Finish("stop")]
    model = sc.track(ScriptedModel(answer, answer), sc.Ledger(Never(), journal=sys.argv[1]))
    async with model.stream("this one ends") as stream:
        await stream.collect()
    with TracerProvider(shutdown_on_exit=False).get_tracer("service").start_as_current_span("request") as span:
        async with model.stream("this one does not"):
            print(f"{span.get_span_context().trace_id:032x}", flush=True)
            os._exit(1)

anyio.run(main)
"""


def test_a_stream_that_a_crash_cut_is_in_the_trace_that_it_was_opened_in_and_what_had_ended_is_not_made_again(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", CRASHES, tmp_path], capture_output=True, text=True, check=False, timeout=60
    )
    telemetry, registry, kept = Telemetry(), CollectorRegistry(), Kept()
    with Ledger(telemetry.sink, Prometheus(registry, labels=()), kept, journal=tmp_path) as ledger:
        assert ledger.flush(10)
    assert sorted(record.status for record in kept.records) == ["LOST", "SUCCESS"]
    (span,) = telemetry.spans
    assert (f"{span.context.trace_id:032x}\n", span.attributes["streamcore.status"]) == (ran.stdout, "LOST")
    assert registry.get_sample_value("streamcore_requests_total", {"status": "LOST"}) == 1
    assert registry.get_sample_value("streamcore_requests_total", {"status": "SUCCESS"}) is None
