"""`streamcore usage` and `streamcore requests`: what was stored, added up and listed, nothing unknown shown as 0."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from msgspec.structs import replace

from ledgers import won
from streamcore.cli import main
from streamcore.cli.command import parser
from streamcore.cli.usage import GROUPS, Sum, sums, table
from streamcore.events import Failure, Usage
from streamcore.tracking.record import Context, Cost, Marks, Record
from streamcore.tracking.sqlite import SQLite
from streamcore.upstream import Origin


def made(id, day=20, *, user="u-1", model="gpt-4o", **more):
    record = won(id, context=Context(feature="chat", user=user, conversation_id=f"c-{id}"), **more)
    origin = Origin(adapter="openai_chat", model=model, host="api.openai.com")
    return replace(record, created_at=datetime(2026, 11, day, 12, tzinfo=UTC), origin=origin)


KNOWN = Cost(known=Decimal("0.0024"), provenance="derived")
RECORDS = [
    made(1, 19, costs=KNOWN, marks=Marks(first_content=0.25, closed=1.5)),
    made(2, costs=KNOWN),
    made(3, costs=Cost(known=Decimal("0.1"), estimated=Decimal("0.0000005"), provenance="estimated"), user="u-2"),
    replace(made(4, usage=Usage(), model="local"), status="ERROR", outcome=Failure("server", "no")),
    made(5, costs=Cost(known=Decimal(2), provenance="derived", currency="EUR"), user=None),
]


@pytest.fixture
def path(tmp_path):
    sink = SQLite(tmp_path / "a file?.db")
    sink.write(RECORDS)
    sink.close()
    return tmp_path / "a file?.db"


def test_days_are_added_up_each_currency_apart(path):
    assert sums(path, by="day") == [
        Sum("2026-11-19", 1, 0, 10, 20, "0.0024", None, 0, "USD"),
        Sum("2026-11-20", 1, 0, 10, 20, "2", None, 0, "EUR"),
        Sum("2026-11-20", 3, 1, 20, 40, "0.1024", "0.0000005", 1, "USD"),
    ]


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("model", ["gpt-4o", "gpt-4o", "local"]),
        ("feature", ["chat", "chat"]),
        ("user", [None, "u-1", "u-2"]),
        ("conversation", ["c-1", "c-2", "c-3", "c-4", "c-5"]),
    ],
)
def test_they_are_added_up_by_what_they_were_for(path, by, groups):
    assert [one.group for one in sums(path, by=by)] == groups


def test_what_is_unknown_of_all_is_not_0(path):
    local = sums(path, by="model")[-1]
    assert local == Sum("local", 1, 1, None, None, None, None, 1, "USD")


def test_older_ones_are_left_out(path):
    assert [one.group for one in sums(path, by="conversation", since="2026-11-20")] == ["c-2", "c-3", "c-4", "c-5"]


def test_what_can_be_grouped_by_is_what_the_command_takes(path):
    for by in GROUPS:
        assert parser().parse_args(["usage", str(path), "--by", by]).by == by


def test_usage_is_a_table(path, capsys):
    assert main(["usage", str(path), "--by", "user"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "user  requests  failed  input tokens  output tokens  cost known  cost estimated  unpriced  currency",
        "-     1         0       10            20             2           -               0         EUR",
        "u-1   3         1       20            40             0.0048      -               1         USD",
        "u-2   1         0       10            20             0.1         0.0000005       0         USD",
    ]


def test_usage_is_json_lines(path, capsys):
    assert main(["usage", str(path), "--json", "--since", "2026-11-20"]) == 0
    euros, _dollars = map(json.loads, capsys.readouterr().out.splitlines())
    assert euros == {
        "group": "2026-11-20",
        "requests": 1,
        "failed": 0,
        "input_tokens": 10,
        "output_tokens": 20,
        "cost_known": "2",
        "cost_estimated": None,
        "unpriced": 0,
        "currency": "EUR",
    }


def test_usage_is_csv(path, capsys):
    assert main(["usage", str(path), "--csv", "--by", "model"]) == 0
    rows = [*csv.DictReader(capsys.readouterr().out.splitlines())]
    assert [(row["model"], row["currency"], row["cost_known"]) for row in rows] == [
        ("gpt-4o", "EUR", "2"),
        ("gpt-4o", "USD", "0.1048"),
        ("local", "USD", ""),
    ]


def test_a_name_with_a_line_break_is_one_row_of_csv(tmp_path, capsys):
    sink = SQLite(tmp_path / "x.db")
    sink.write([made(1, user='a\n"b", c')])
    sink.close()
    assert main(["usage", str(tmp_path / "x.db"), "--csv", "--by", "user"]) == 0
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert row["user"] == 'a "b", c'


def test_requests_are_listed_the_newest_at_the_end(path, capsys):
    assert main(["requests", str(path), "--limit", "2"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["created", "at"]
    assert [line.split()[1] for line in lines] == ["ERROR", "SUCCESS"]
    assert [line.split()[-1] for line in lines] == ["4", "5"]


def test_a_request_is_listed_with_what_it_cost_and_how_long_it_took(path, capsys):
    assert main(["requests", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == [
        *("2026-11-19T12:00:00.000000Z", "SUCCESS", "gpt-4o", "chat", "u-1", "10", "20", "0.0024", "250", "1500", "1")
    ]


def test_known_and_estimated_cost_are_listed_together(path, capsys):
    assert main(["requests", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[3].split()[7] == "0.1000005"


def test_requests_are_whole_records_as_json(path, capsys):
    assert main(["requests", str(path), "--json", "--since", "2026-11-20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [msgspec.json.decode(line, type=Record) for line in lines] == RECORDS[1:]


@pytest.mark.parametrize("command", ["usage", "requests"])
def test_a_file_that_is_not_there_is_not_made(command, tmp_path, capsys):
    assert main([command, str(tmp_path / "none.db")]) == 2
    assert "cannot be read as a file of records" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


def test_a_table_without_rows_is_its_heads():
    assert table([["a", "b"]]) == ["a  b"]


def test_a_file_without_records_has_no_lines(tmp_path, capsys):
    sink = SQLite(tmp_path / "x.db")
    sink.write([])
    sink.close()
    assert main(["usage", str(tmp_path / "x.db")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
