"""Metrics of records by OpenTelemetry, and what becomes of a record that there can be no span of."""

from __future__ import annotations

import logging
import sys
from decimal import Decimal

import pytest
from msgspec import structs

from ledgers import Kept, run
from streamcore.errors import LocalError
from streamcore.events import Failure, Usage
from streamcore.tracking.ledger import Ledger
from streamcore.tracking.record import Context, Cost, Tokens
from streamcore.tracking.sinks.conventions import SECONDS
from streamcore.tracking.sinks.conventions import TOKENS as TOKEN_BUCKETS
from streamcore.tracking.sinks.health import JOURNAL, SINK
from streamcore.tracking.sinks.otel import OpenTelemetry
from telemetry import ANSWERED, BUSY, COST, GUESSED, Telemetry, ended, whole

MODEL = ("gen_ai.request.model", "gpt-4o")
CLAUDE = ("gen_ai.request.model", "claude-9")
ELSEWHERE = "019abc00-0000-7000-8000-000000000000"


def points(name, *records, **options):
    return Telemetry(**options).write(*records).points(name)


def test_streams_are_measured_by_how_they_ended():
    record = whole()
    failed = ended(Failure("timeout", "", detail="idle"), "TIMEOUT")
    assert points("gen_ai.client.operation.duration", record, record, failed) == {
        (MODEL, ("streamcore.status", "SUCCESS")): 5.0,
        (("error.type", "timeout"), MODEL, ("streamcore.status", "TIMEOUT")): 2.5,
    }


@pytest.mark.parametrize(
    ("name", "amount"), [("gen_ai.client.operation.time_to_first_chunk", 0.5), ("streamcore.largest_gap", 0.75)]
)
def test_so_are_their_times(name, amount):
    assert points(name, whole()) == {(MODEL,): amount}


def test_a_lost_one_has_no_duration():
    telemetry = Telemetry().write(ended(None, "LOST", marks=whole().marks.__class__(), largest_gap=None))
    assert set(telemetry.metrics) & {"gen_ai.client.operation.duration", "streamcore.largest_gap"} == set()
    assert telemetry.points("streamcore.attempts") == {
        (("error.type", "lost"), MODEL, ("streamcore.status", "LOST")): 1
    }


def test_tokens_are_counted_with_whom_was_asked_and_who_says_so():
    assert points("gen_ai.client.token.usage", whole(BUSY, GUESSED)) == {
        (CLAUDE, ("gen_ai.token.type", "input"), ("streamcore.provenance", "estimated")): 90,
        (MODEL, ("gen_ai.token.type", "input"), ("streamcore.provenance", "reported")): 100,
        (MODEL, ("gen_ai.token.type", "output"), ("streamcore.provenance", "reported")): 20,
    }


def test_what_is_known_of_costs_is_apart_from_what_is_estimated():
    euros = structs.replace(ANSWERED, cost=structs.replace(COST, known=Decimal(3), currency="EUR"))
    assert points("streamcore.cost", whole(GUESSED), whole(attempts=(euros,))) == {
        (CLAUDE, ("streamcore.cost.currency", "USD"), ("streamcore.cost.provenance", "estimated")): 0.5,
        (MODEL, ("streamcore.cost.currency", "USD"), ("streamcore.cost.provenance", "known")): 0.0024,
        (MODEL, ("streamcore.cost.currency", "EUR"), ("streamcore.cost.provenance", "known")): 3.0,
    }


def test_every_attempt_is_counted():
    assert points("streamcore.attempts", whole(BUSY, GUESSED)) == {
        (("error.type", "overloaded"), CLAUDE, ("streamcore.status", "ERROR")): 1,
        (CLAUDE, ("streamcore.status", "CANCELLED")): 1,
        (MODEL, ("streamcore.status", "SUCCESS")): 1,
    }


def test_a_number_that_cannot_be_is_not_counted():
    broken = structs.replace(
        ANSWERED,
        tokens=Tokens(usage=Usage(-1), sources={"input_tokens": "reported", "output_tokens": "reported"}),
        cost=Cost(known=Decimal("NaN")),
    )
    telemetry = Telemetry().write(whole(attempts=(broken,)))
    assert set(telemetry.metrics) & {"gen_ai.client.token.usage", "streamcore.cost"} == set()
    assert telemetry.sink.failures == 0


def test_units_and_buckets_are_those_advised():
    metrics = Telemetry().write(whole()).metrics
    assert {name: metric.unit for name, metric in metrics.items()} == {
        "gen_ai.client.operation.duration": "s",
        "gen_ai.client.operation.time_to_first_chunk": "s",
        "gen_ai.client.token.usage": "{token}",
        "streamcore.largest_gap": "s",
        "streamcore.attempts": "{attempt}",
        "streamcore.cost": "{currency}",
    }
    buckets = {name: metric.data.data_points[0] for name, metric in metrics.items() if metric.unit == "s"}
    assert {point.explicit_bounds for point in buckets.values()} == {SECONDS}
    assert metrics["gen_ai.client.token.usage"].data.data_points[0].explicit_bounds == TOKEN_BUCKETS


def test_a_metric_says_who_was_asked_and_nothing_of_whom_it_was_for():
    (point,) = Telemetry().write(whole()).metrics["streamcore.attempts"].data.data_points
    assert dict(point.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2026",
        "server.address": "api.openai.com",
        "streamcore.status": "SUCCESS",
    }


def test_what_it_was_for_is_there_if_asked_for():
    names = ("feature", "user", "conversation_id", "team", "nothing")
    (found,) = points("streamcore.attempts", whole(), metric_attributes=names)
    assert {
        ("streamcore.feature", "chat"),
        ("user.id", "u-1"),
        ("gen_ai.conversation.id", "c-9"),
        ("streamcore.tag.team", "ü"),
    } <= set(found)
    assert "streamcore.tag.nothing" not in dict(found)


def test_endless_names_do_not_make_endless_time_series():
    telemetry = Telemetry(limit=3, metric_attributes=("feature",))
    telemetry.write(*(whole(context=Context(feature=f"f{number}")) for number in range(50)))
    assert {dict(point)["streamcore.feature"] for point in telemetry.points("streamcore.attempts")} == {
        "f0",
        "f1",
        "f2",
        "_OTHER",
    }
    assert sum(telemetry.points("streamcore.attempts").values()) == 50


def test_an_attempt_at_nobody_we_know_is_counted_as_anothers():
    record = whole(origin=None, answered_by=None, attempts=())
    (point,) = Telemetry().write(record).metrics["gen_ai.client.operation.duration"].data.data_points
    assert point.attributes["gen_ai.provider.name"] == "_OTHER"


def test_the_older_names_have_a_metric_less_and_another_word_for_whom():
    telemetry = Telemetry(names="older").write(whole())
    assert "gen_ai.client.operation.time_to_first_chunk" not in telemetry.metrics
    (point,) = telemetry.metrics["gen_ai.client.operation.duration"].data.data_points
    assert (point.attributes["gen_ai.system"], "gen_ai.provider.name" in point.attributes) == ("openai", False)


def test_both_names_are_one_metric_with_both_attributes():
    (point,) = Telemetry(names="both").write(whole()).metrics["gen_ai.client.operation.duration"].data.data_points
    assert (point.attributes["gen_ai.system"], point.attributes["gen_ai.provider.name"]) == ("openai", "openai")
    assert point.count == 1


def test_the_next_names_count_tokens_apart():
    telemetry = Telemetry(names="next").write(whole(GUESSED))
    assert {name for name in telemetry.metrics if name.startswith("gen_ai")} == {
        "gen_ai.client.inference.duration",
        "gen_ai.client.inference.time_to_first_chunk",
        "gen_ai.client.inference.usage.input_tokens",
        "gen_ai.client.inference.usage.output_tokens",
        "gen_ai.client.inference.usage.cache_read.input_tokens",
        "gen_ai.client.inference.operation.input_tokens",
        "gen_ai.client.inference.operation.output_tokens",
    }
    assert telemetry.points("gen_ai.client.inference.usage.input_tokens") == {
        (CLAUDE, ("gen_ai.token.modality", "unknown"), ("streamcore.provenance", "estimated")): 90,
        (MODEL, ("gen_ai.token.modality", "unknown"), ("streamcore.provenance", "reported")): 100,
    }
    assert telemetry.points("gen_ai.client.inference.operation.input_tokens") == {
        (MODEL, ("streamcore.provenance", "reported")): 100
    }


def test_one_that_cannot_be_made_is_counted_and_said_once_and_fails_no_other(caplog):
    broken = structs.replace(whole(), created_at=None)
    with caplog.at_level(logging.ERROR, "streamcore.tracking"):
        telemetry = Telemetry().write(broken, whole(), broken, whole())
    assert (len(telemetry.spans), telemetry.sink.failures) == (2, 2)
    assert [record.message for record in caplog.records] == [f"{broken.tracking_id} makes no span (TypeError)"]


def test_what_another_process_had_written_down_is_not_made_again_but_what_it_lost_is():
    theirs, lost = whole(tracking_id=ELSEWHERE), ended(None, "LOST", tracking_id=ELSEWHERE)
    telemetry = Telemetry().write(theirs, lost, whole())
    assert [span.attributes["streamcore.status"] for span in telemetry.spans] == ["LOST", "SUCCESS"]
    assert telemetry.sink.skipped == 1


def test_it_is_if_asked_for():
    telemetry = Telemetry(adopted=True).write(whole(tracking_id=ELSEWHERE))
    assert (len(telemetry.spans), telemetry.sink.skipped) == (1, 0)


def observed(telemetry, name):
    return [(dict(point.attributes), point.value) for point in telemetry.metrics[name].data.data_points]


def test_how_a_ledger_does_is_there_with_every_collection(tmp_path):
    telemetry = Telemetry()
    with Ledger(Kept(OSError()), Kept(), journal=tmp_path) as ledger:
        telemetry.sink.watch(ledger, "main")
        run(ledger, 1, 2)
        assert ledger.flush(10)
        at, both = {"streamcore.ledger": "main"}, ({"streamcore.sink": "Kept"}, {"streamcore.sink": "Kept-2"})
        assert observed(telemetry, "streamcore.sink.records_written") == [(at | sink, 2) for sink in both]
        assert observed(telemetry, "streamcore.sink.failures") == [(at | both[0], 1), (at | both[1], 0)]
        assert observed(telemetry, "streamcore.sink.broken") == [(at | sink, 0) for sink in both]
        assert observed(telemetry, "streamcore.journal.bytes") == [(at, ledger.state.size)]
        assert {name: metric.unit for name, metric in telemetry.metrics.items()} == {
            f"streamcore.{number.name}": number.unit for number in (*SINK.values(), *JOURNAL.values())
        }


def test_a_second_ledger_needs_a_name_of_its_own():
    telemetry = Telemetry()
    with Ledger(Kept()) as ledger:
        telemetry.sink.watch(ledger)
        telemetry.sink.watch(ledger, "again")
        with pytest.raises(LocalError, match="a ledger named 'again' is watched already"):
            telemetry.sink.watch(ledger, "again")
    assert len(observed(telemetry, "streamcore.sink.broken")) == 2


def test_without_providers_it_takes_the_global_ones(monkeypatch):
    telemetry = Telemetry()
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: telemetry.tracers)
    monkeypatch.setattr("opentelemetry.metrics._internal.get_meter_provider", lambda: telemetry.meters)
    OpenTelemetry().write([whole()])
    assert (len(telemetry.spans), "streamcore.cost" in telemetry.metrics) == (1, True)


def test_its_scope_is_the_library_and_the_version_of_the_names():
    (span,) = Telemetry().write(whole()).spans
    scope = span.instrumentation_scope
    assert (scope.name, scope.schema_url) == ("streamcore", "https://opentelemetry.io/schemas/1.41.0")


def test_there_are_no_other_names():
    with pytest.raises(LocalError, match="names are one of latest, older, both, next, not 'newest'"):
        OpenTelemetry(names="newest")


def test_without_the_package_it_says_which_extra_has_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)
    with pytest.raises(LocalError, match=r"pip install streamcore\[otel\]"):
        OpenTelemetry()
