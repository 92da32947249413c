"""Counters and histograms for Prometheus, and how a ledger does."""

from __future__ import annotations

import logging
import sys
import threading
from decimal import Decimal

import prometheus_client
import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ledgers import Kept, lost, run, won
from streamcore.errors import LocalError
from streamcore.events import Failure, Usage
from streamcore.tracking.ledger import Ledger
from streamcore.tracking.record import Context, Cost, Marks, Tokens
from streamcore.tracking.sinks.prometheus import Prometheus
from telemetry import ANSWERED, BUSY, GUESSED, ended, whole

GPT = {"provider": "openai", "model": "gpt-4o"}
CLAUDE = {"provider": "anthropic", "model": "claude-9"}
ELSEWHERE = "019abc00-0000-7000-8000-000000000000"


class Scraped:
    """A sink with a registry of its own, and what Prometheus sees of it."""

    def __init__(self, *records, **options):
        self.registry = CollectorRegistry()
        self.sink = Prometheus(self.registry, **options)
        self.sink.write(records)

    @property
    def samples(self):
        text = generate_latest(self.registry).decode()
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def all(self, name):
        return [(sample.labels, sample.value) for sample in self.samples if sample.name == name]


def test_streams_are_counted_by_how_they_ended():
    scraped = Scraped(whole(), whole(), ended(Failure("timeout", "", detail="idle"), "TIMEOUT"))
    assert scraped.all("streamcore_requests_total") == [
        (GPT | {"status": "SUCCESS"}, 2.0),
        (GPT | {"status": "TIMEOUT"}, 1.0),
    ]


def test_failures_are_counted_by_their_kind():
    scraped = Scraped(whole(), ended(Failure("rate_limit", ""), "ERROR"))
    assert scraped.all("streamcore_failures_total") == [(GPT | {"failure": "rate_limit"}, 1.0)]


def test_attempts_are_counted_with_whom_they_asked():
    assert Scraped(whole(BUSY)).all("streamcore_attempts_total") == [
        (CLAUDE | {"status": "ERROR"}, 1.0),
        (GPT | {"status": "SUCCESS"}, 1.0),
    ]


def test_tokens_are_counted_by_kind_and_by_who_says_so():
    assert Scraped(whole(GUESSED)).all("streamcore_tokens_total") == [
        (CLAUDE | {"kind": "input", "provenance": "estimated"}, 90.0),
        (GPT | {"kind": "input", "provenance": "reported"}, 100.0),
        (GPT | {"kind": "output", "provenance": "reported"}, 20.0),
        (GPT | {"kind": "cache_read", "provenance": "reported"}, 40.0),
    ]


def test_costs_are_counted_by_how_sure_they_are():
    assert Scraped(whole(GUESSED)).all("streamcore_cost_total") == [
        (CLAUDE | {"provenance": "estimated", "currency": "USD"}, 0.5),
        (GPT | {"provenance": "known", "currency": "USD"}, 0.0024),
    ]


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("time_to_first_content_seconds", {}, 0.5),
        ("duration_seconds", {"status": "SUCCESS"}, 2.5),
        ("largest_gap_seconds", {}, 0.75),
        ("output_tokens_per_second", {}, 20 / 1.75),
    ],
)
def test_times_are_measured(name, labels, value):
    scraped = Scraped(whole())
    assert scraped.all(f"streamcore_{name}_sum") == [(GPT | labels, value)]
    assert scraped.all(f"streamcore_{name}_count") == [(GPT | labels, 1.0)]


def test_what_is_not_known_is_not_measured():
    scraped = Scraped(ended(None, "LOST", marks=Marks(), largest_gap=None))
    assert {sample.name for sample in scraped.samples if sample.value == 1 and "_created" not in sample.name} == {
        "streamcore_requests_total",
        "streamcore_attempts_total",
    }


def test_a_rate_of_estimated_tokens_is_none():
    scraped = Scraped(whole(usage_sources={"output_tokens": "estimated"}))
    assert scraped.all("streamcore_output_tokens_per_second_count") == []


def test_a_number_that_cannot_be_is_not_counted():
    tokens = Tokens(usage=Usage(-1), sources={"input_tokens": "reported", "output_tokens": "reported"})
    broken = structs.replace(ANSWERED, tokens=tokens, cost=Cost(known=Decimal("NaN")))
    scraped = Scraped(whole(attempts=(broken,), largest_gap=-1.0))
    names = ("tokens_total", "cost_total", "largest_gap_seconds_count")
    assert [scraped.all(f"streamcore_{name}") for name in names] == [[], [], []]
    assert scraped.sink.failures == 0


@pytest.mark.parametrize(
    ("labels", "values"),
    [
        ((), {}),
        (("feature",), {"feature": "chat"}),
        (("user", "conversation_id", "team"), {"user": "u-1", "conversation_id": "c-9", "team": "ü"}),
        (
            ("adapter", "host", "answered_by"),
            {"adapter": "openai", "host": "api.openai.com", "answered_by": "gpt-4o-2026"},
        ),
        (("nothing",), {"nothing": ""}),
    ],
)
def test_metrics_have_the_labels_asked_for(labels, values):
    scraped = Scraped(whole(), labels=labels)
    assert scraped.all("streamcore_requests_total") == [(values | {"status": "SUCCESS"}, 1.0)]
    assert scraped.all("streamcore_largest_gap_seconds_count") == [(values, 1.0)]


@pytest.mark.parametrize(
    "options",
    [
        {"labels": ("status",)},
        {"labels": ("a-b",)},
        {"labels": ("__name__",)},
        {"labels": ("le",)},
        {"labels": ("model", "model")},
        {"namespace": "our service"},
    ],
)
def test_a_name_that_is_none_or_is_taken_is_refused(options):
    with pytest.raises(LocalError, match="no names for Prometheus, taken or there twice"):
        Prometheus(CollectorRegistry(), **options)


def test_endless_names_do_not_make_endless_time_series():
    endless = [
        whole(origin=structs.replace(ANSWERED.origin, model=f"m{number}\n\ud800"), attempts=()) for number in range(50)
    ]
    scraped = Scraped(*endless, limit=3)
    counted = {labels["model"]: value for labels, value in scraped.all("streamcore_requests_total")}
    assert counted == {"m0\n?": 1, "m1\n?": 1, "m2\n?": 1, "other": 47}


def test_a_combination_too_many_is_of_others():
    contexts = [Context(feature=f"f{number % 4}", user=f"u{number}") for number in range(16)]
    scraped = Scraped(*(whole(context=context) for context in contexts), labels=("feature", "user"), limit=1)
    assert len(scraped.all("streamcore_requests_total")) <= 11


def test_one_that_cannot_be_counted_is_said_once_and_fails_no_other(caplog):
    broken = structs.replace(whole(), context=None)
    with caplog.at_level(logging.ERROR, "streamcore.tracking"):
        scraped = Scraped(broken, whole(), broken, labels=("feature",))
    assert scraped.all("streamcore_requests_total") == [({"feature": "chat", "status": "SUCCESS"}, 1.0)]
    assert scraped.sink.failures == 2
    assert [record.message for record in caplog.records] == [f"{broken.tracking_id} is not counted (AttributeError)"]


def test_what_another_process_had_written_down_is_not_counted_again_but_what_it_lost_is():
    scraped = Scraped(whole(tracking_id=ELSEWHERE), ended(None, "LOST", tracking_id=ELSEWHERE), whole())
    assert {labels["status"] for labels, _ in scraped.all("streamcore_requests_total")} == {"LOST", "SUCCESS"}
    assert sum(value for _, value in scraped.all("streamcore_requests_total")) == 2
    assert scraped.sink.skipped == 1


def test_it_is_if_asked_for():
    assert Scraped(whole(tracking_id=ELSEWHERE), adopted=True).all("streamcore_requests_total")


def test_without_a_registry_it_is_the_one_that_everybody_has(monkeypatch):
    registry = CollectorRegistry()
    monkeypatch.setattr(prometheus_client, "REGISTRY", registry)
    Prometheus().write([whole()])
    assert b"streamcore_requests_total{" in generate_latest(registry)


def test_a_second_sink_in_a_registry_is_told_what_to_do():
    scraped = Scraped(whole())
    with pytest.raises(LocalError, match="share the sink, or give each a namespace"):
        Prometheus(scraped.registry)
    assert scraped.all("streamcore_requests_total") == [(GPT | {"status": "SUCCESS"}, 1.0)]


def test_with_a_namespace_of_its_own_it_has_a_place():
    scraped = Scraped(whole())
    Prometheus(scraped.registry, namespace="ours").write([whole()])
    assert scraped.all("ours_requests_total") == scraped.all("streamcore_requests_total")


def test_one_that_finds_a_name_taken_leaves_nothing_behind():
    registry = CollectorRegistry()
    taken = Counter("streamcore_cost", "Not ours.", registry=registry)
    with pytest.raises(LocalError):
        Prometheus(registry)
    registry.unregister(taken)
    Prometheus(registry)


def test_without_the_package_it_says_which_extra_has_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(LocalError, match=r"pip install streamcore\[prometheus\]"):
        Prometheus()


def test_several_ledgers_may_share_it():
    scraped = Scraped()
    threads = [threading.Thread(target=scraped.sink.write, args=([whole()] * 200,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert scraped.all("streamcore_requests_total") == [(GPT | {"status": "SUCCESS"}, 800.0)]


def test_how_a_ledger_does_is_there_with_every_scrape(tmp_path):
    scraped, broken = Scraped(labels=()), Kept(OSError(), OSError())
    with Ledger(scraped.sink, Kept(), broken, Kept(), journal=tmp_path) as ledger:
        scraped.sink.watch(ledger)
        run(ledger, 1, 2)
        assert ledger.flush(10)
        at = {"ledger": ""}
        assert scraped.all("streamcore_sink_records_written_total") == [
            (at | {"sink": sink}, 2.0) for sink in ("Prometheus", "Kept", "Kept-2", "Kept-3")
        ]
        assert [value for _, value in scraped.all("streamcore_sink_failures_total")] == [0.0, 0.0, 2.0, 0.0]
        assert {value for _, value in scraped.all("streamcore_sink_records_waiting")} == {0.0}
        assert {value for _, value in scraped.all("streamcore_sink_records_left_out_total")} == {0.0}
        assert {value for _, value in scraped.all("streamcore_sink_records_refused")} == {0.0}
        assert scraped.all("streamcore_journal_bytes") == [(at, float(ledger.state.size))]
        for name in ("failures_total", "broken", "records_adopted_total", "lines_damaged_total"):
            assert scraped.all(f"streamcore_journal_{name}") == [(at, 0.0)]


def test_a_broken_sink_is_seen_as_long_as_it_is_broken():
    failed, repaired = threading.Event(), threading.Event()
    faults = [OSError()]

    class Broken:
        def write(self, records):
            if faults:
                raise faults.pop()
            failed.set()  # it is asked again: that it failed is known by now
            assert repaired.wait(10)

    scraped = Scraped()
    with Ledger(Broken()) as ledger:
        scraped.sink.watch(ledger)
        run(ledger, 1)
        assert failed.wait(10)
        seen = [scraped.all("streamcore_sink_broken"), scraped.all("streamcore_sink_records_waiting")]
        repaired.set()
        assert ledger.flush(10)
        at = {"ledger": "", "sink": "Broken"}
        assert seen == [[(at, 1.0)], [(at, 1.0)]]
        assert scraped.all("streamcore_sink_broken") == [(at, 0.0)]


def test_ledgers_are_told_apart_by_name():
    scraped = Scraped()
    with Ledger(Kept()) as one, Ledger(Kept()) as two:
        scraped.sink.watch(one, "one")
        scraped.sink.watch(two, "two")
        run(one, 1)
        assert one.flush(10)
        with pytest.raises(LocalError, match="a ledger named 'two' is watched already"):
            scraped.sink.watch(one, "two")
        assert scraped.all("streamcore_sink_records_written_total") == [
            ({"ledger": "one", "sink": "Kept"}, 1.0),
            ({"ledger": "two", "sink": "Kept"}, 0.0),
        ]
        assert scraped.all("streamcore_journal_bytes") == []


def test_watched_by_two_sinks_in_one_registry_it_is_there_twice_by_their_namespaces():
    scraped = Scraped()
    other = Prometheus(scraped.registry, namespace="ours")
    with Ledger() as ledger:
        scraped.sink.watch(ledger)
        other.watch(ledger)
    text = generate_latest(scraped.registry).decode()
    assert "# TYPE ours_sink_broken gauge" in text
    assert "# TYPE streamcore_sink_broken gauge" in text


def test_records_of_a_ledger_are_counted_once_each_also_those_that_begin_and_are_lost():
    scraped = Scraped(labels=())
    with Ledger(scraped.sink) as ledger:
        run(ledger, *range(100))
        ledger.begin(lost("never ends"))
        ledger.end(ledger.begin(lost("x")), won("x"))
    assert scraped.all("streamcore_requests_total") == [({"status": "SUCCESS"}, 101.0)]
