"""History at other prices: what changes, what stays, and what nobody else loses by it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from msgspec.structs import replace

from histories import STORES, filled, made, used
from streamcore.events import Usage
from streamcore.tracking.history import repricing as module
from streamcore.tracking.history.queries import Filters, Follower, last
from streamcore.tracking.history.repricing import Repriced, reprice
from streamcore.tracking.history.store import opened
from streamcore.tracking.prices import Prices
from streamcore.tracking.record import Cost, Record

OLD = Prices({"a": {"input": 1, "output": 10}, "b": {"input": 2, "output": 20}})
NEW = Prices({"a": {"input": "0.5", "output": 10}}, version="2")
NONE = Prices()
NONE.loaded = True  # without what genai-prices knows

TWICE = used(4, ("a", Usage(1_000, 100)), ("b", Usage(1_000, 100)))
RECORDS = [
    *(OLD(used(id, ("a", Usage(1_000, 100)))) for id in range(3)),
    OLD(used(3, ("b", Usage(1_000, 100)))),
    OLD(TWICE),
    OLD(used(5, ("a", None))),
    replace(made(6), origin=None),
]


@pytest.fixture(params=STORES)
def both(request, tmp_path):
    with filled(request.param, request, tmp_path, RECORDS) as (where, sink), opened(where) as store:
        yield store, sink


@pytest.fixture
def store(both):
    return both[0]


def stored(store):
    return {row["tracking_id"]: msgspec.json.decode(row["record"], type=Record) for row in last(store, 10_000)}


def test_what_becomes_of_the_requests_is_told_by_model(store):
    assert reprice(store, NEW) == [
        Repriced(None, "USD", 1, 0, 1, None, None),
        Repriced("a", "USD", 5, 4, 2, Decimal("0.012"), Decimal("0.010")),
        Repriced("b", "USD", 1, 0, 1, Decimal("0.004"), Decimal("0.004")),
    ]


def test_a_record_is_what_it_would_have_been_at_these_prices(store):
    reprice(store, NEW)
    assert stored(store)["1"] == NEW(RECORDS[1])


def test_the_columns_follow_the_record(store):
    reprice(store, NEW)
    row = last(store, 10)[1]
    assert (row["tracking_id"], row["cost_known"], row["cost_estimated"]) == ("1", Decimal("0.0015"), None)
    assert (row["cost_provenance"], row["currency"]) == ("derived", "USD")
    ((attempts,),) = store.ask("SELECT CAST(attempts AS TEXT) FROM requests WHERE tracking_id = '1'")
    assert msgspec.json.decode(attempts) == msgspec.json.decode(msgspec.json.encode(NEW(RECORDS[1]).attempts))


def test_what_a_newer_version_wrote_is_not_forgotten(both):
    store, _ = both
    known = msgspec.json.decode(msgspec.json.encode(RECORDS[1]))
    known["news"] = known["attempts"][0]["news"] = {"it": "is 1.10"}
    text = msgspec.json.encode(known).decode()
    store.change("UPDATE requests SET record = ? WHERE tracking_id = ?", [[text, "1"]])
    reprice(store, NEW)
    found = msgspec.json.decode(last(store, 10)[1]["record"])
    assert msgspec.convert(found, Record) == NEW(RECORDS[1])
    assert found.pop("news") == found["attempts"][0].pop("news") == {"it": "is 1.10"}
    assert found == msgspec.json.decode(msgspec.json.encode(NEW(RECORDS[1])))


def test_costs_of_a_record_without_attempts_are_written_too(both):
    store, sink = both
    sink.write([made("w", model="w")])
    costs = Cost(known=Decimal(1), provenance="derived")
    assert reprice(store, lambda record: replace(record, costs=costs))[-1].changed == 1
    assert stored(store)["w"] == made("w", model="w", costs=costs)


def test_what_has_no_price_any_more_keeps_what_it_cost(store):
    reprice(store, NONE)
    assert [*stored(store).values()] == RECORDS


def test_of_several_attempts_those_without_a_price_keep_theirs(store):
    reprice(store, NEW)
    first, second = stored(store)["4"].attempts
    assert (first.cost, second.cost) == (NEW(TWICE).attempts[0].cost, OLD(TWICE).attempts[1].cost)
    assert stored(store)["4"].cost == Decimal("0.0015") + Decimal("0.004")
    assert stored(store)["4"].costs.price_list == "own 2, own 1"


def test_to_do_it_again_changes_nothing(store):
    first = reprice(store, NEW)
    before = stored(store)
    again = reprice(store, NEW)
    assert [(one.changed, one.before, one.after) for one in again] == [(0, one.after, one.after) for one in first]
    assert stored(store) == before


def test_a_dry_run_tells_the_same_and_writes_nothing(store):
    told = reprice(store, NEW, dry_run=True)
    assert [*stored(store).values()] == RECORDS
    assert reprice(store, NEW) == told


def test_only_those_are_priced_that_are_meant(store):
    (found,) = reprice(store, NEW, Filters(values={"conversation": ["c-1"]}))
    assert (found.requests, found.changed) == (1, 1)
    assert stored(store) == {record.tracking_id: record for record in RECORDS} | {"1": NEW(RECORDS[1])}


def test_whoever_follows_is_not_told_of_it(store):
    follower = Follower(store)
    follower.first(10)
    reprice(store, NEW)
    assert follower.more() == []


def test_an_end_that_comes_meanwhile_is_not_undone(both):
    store, sink = both
    gone = OLD(replace(RECORDS[0], tracking_id="x", status="LOST", outcome=None))
    sink.write([gone])
    ended = OLD(replace(gone, status="ERROR"))

    def prices(record):
        if record.tracking_id == "x":
            sink.write([ended])
        return NEW(record)

    reprice(store, prices)
    assert stored(store)["x"] == ended
    reprice(store, NEW)
    assert stored(store)["x"] == NEW(ended)


def test_what_costs_another_currency_stays(both):
    store, sink = both
    euros = replace(RECORDS[0], tracking_id="e", costs=Cost(known=Decimal(3), provenance="derived", currency="EUR"))
    sink.write([euros])
    found = reprice(store, NEW)[1]
    assert found == Repriced("a", "EUR", 1, 0, 0, Decimal(3), Decimal(3))
    assert stored(store)["e"] == euros


def test_what_had_no_price_gets_one(both):
    store, sink = both
    sink.write([NONE(used("n", ("new", Usage(1_000, 100))))])
    price = Prices({"new": {"input": 1, "output": 1}})
    found = reprice(store, price)[-1]
    assert found == Repriced("new", "USD", 1, 1, 0, None, Decimal("0.0011"))


def test_a_record_in_words_that_are_not_known_stays_and_is_counted(both):
    store, sink = both
    sink.write([made("z", model="z")])
    store.change("UPDATE requests SET record = ? WHERE tracking_id = ?", [['{"status":"NEW"}', "z"]])
    assert reprice(store, NEW)[-1] == Repriced("z", "USD", 1, 0, 1, None, None)


def test_records_are_written_batch_by_batch(store, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 2)
    written = []
    change = type(store).change
    monkeypatch.setattr(type(store), "change", lambda self, *told: (written.append(len(told[1])), change(self, *told)))
    assert sum(one.changed for one in reprice(store, NEW)) == 4
    assert written == [2, 1, 1]
    assert reprice(store, NEW, dry_run=True)[1].after == Decimal("0.010")


def test_prices_are_those_of_the_time_of_the_record(both):
    """OpenAI made o3 cheaper on 10 June 2025: from 10 to 2 dollars."""
    pytest.importorskip("genai_prices")
    store, sink = both
    before, after = (
        replace(used(id, ("o3", Usage(1_000_000, 0))), created_at=datetime(year, 2, 1, tzinfo=UTC))
        for id, year in (("o", 2025), ("p", 2026))
    )
    sink.write([before, after])
    reprice(store, Prices(), Filters(values={"model": ["o3"]}))
    found = stored(store)
    assert (found["o"].cost, found["p"].cost) == (10, 2)


def test_sums_are_exact_however_many_digits_they_have(both):
    store, sink = both
    prices = Prices({"fine": {"input": "0.000000000000001", "output": 0}, "dear": {"input": 10**15, "output": 0}})
    one = used("q", ("fine", Usage(1, 1)))
    sink.write([one, used("r", ("dear", Usage(10**9, 1)), feature="f")])
    found = reprice(store, prices)
    assert [one.after for one in found[-2:]] == [Decimal(10**18), Decimal("1E-21")]
