"""`streamcore reprice`: what changed, or would."""

from __future__ import annotations

import importlib.util
import json
from decimal import Decimal

import msgspec
import pytest

from histories import STORES, filled, used
from streamcore.cli import main
from streamcore.cli.reprice import read
from streamcore.events import Usage
from streamcore.tracking.prices import Prices
from streamcore.tracking.record import Record

OLD = Prices({"a": {"input": 1, "output": 10}})
RECORDS = [OLD(used(id, ("a", Usage(1_000, 100)))) for id in range(3)]


@pytest.fixture(params=STORES)
def where(request, tmp_path):
    with filled(request.param, request, tmp_path, RECORDS) as (where, _):
        yield where


@pytest.fixture
def prices(tmp_path):
    path = tmp_path / "prices.json"
    path.write_text('{"a": {"input": 0.1234567890123456789, "output": "10"}}')
    return str(path)


def costs(where, capsys):
    assert main(["requests", where, "--json"]) == 0
    return [msgspec.json.decode(line, type=Record).costs for line in capsys.readouterr().out.splitlines()]


def test_what_became_of_them_is_a_table(where, prices, capsys):
    assert main(["reprice", where, "--prices", prices]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "model  currency  requests  changed  unpriced  before  after",
        "a      USD       3         3        0         0.006   0.0033703703670370370367",
    ]
    assert err == "3 changed\n"


def test_prices_of_a_file_are_as_exact_as_they_are_written(where, prices, capsys):
    assert main(["reprice", where, "--prices", prices, "--prices-version", "2026-11"]) == 0
    capsys.readouterr()
    found = costs(where, capsys)
    assert [one.known for one in found] == [Decimal("0.0001234567890123456789") + Decimal("0.001")] * 3
    assert {one.price_list for one in found} == {"own 2026-11"}


def test_a_dry_run_writes_nothing(where, prices, capsys):
    assert main(["reprice", where, "--prices", prices, "--dry-run", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["after"] == "0.0033703703670370370367"
    assert err == "3 would change; nothing was written\n"
    assert costs(where, capsys) == [record.costs for record in RECORDS]


def test_only_those_are_priced_that_are_meant(where, prices, capsys):
    assert main(["reprice", where, "--prices", prices, "--conversation", "c-1", "--csv"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "a,USD,1,1,0,0.002,0.0011234567890123456789"


def test_without_prices_of_ones_own_there_are_those_of_the_list(where, capsys):
    pytest.importorskip("genai_prices")
    assert main(["reprice", where]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["a", "USD", "3", "0", "3", "0.006", "0.006"]


def test_without_any_prices_the_extra_is_named(where, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr("streamcore.cli.reprice.find_spec", lambda name: None if name == "genai_prices" else find(name))
    assert main(["reprice", where]) == 2
    assert "pip install 'streamcore[prices]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "Input data was truncated"),
        (b"\xff", "prices.json cannot be read as prices"),
        (b'{"a": {"input": "\xff"}}', "prices.json cannot be read as prices"),
        (b'{"a": 1}', "Expected `object`, got `int`"),
        (b'{"a": {"input": 1}}', "prices of a are of input, output"),
        (b'{"a": {"input": -1, "output": 1}}', "a price of a is negative"),
    ],
)
def test_a_file_without_prices_says_what_is_wrong_with_it(text, said, tmp_path, capsys):
    (tmp_path / "prices.json").write_bytes(text)
    assert main(["reprice", "x.db", "--prices", str(tmp_path / "prices.json")]) == 2
    assert said in capsys.readouterr().err


def test_a_file_of_prices_that_is_not_there_says_so(tmp_path, capsys):
    assert main(["reprice", "x.db", "--prices", str(tmp_path / "none.json")]) == 2
    assert "none.json cannot be read as prices" in capsys.readouterr().err


def test_prices_are_those_of_the_file_first(prices, tmp_path):
    from pathlib import Path

    assert read(Path(prices), "7")(RECORDS[0]).costs.price_list == "own 7"
