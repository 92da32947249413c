"""`streamcore usage`: what was stored, added up."""

from __future__ import annotations

import csv
import json

import pytest

from histories import STORES, filled, made
from streamcore.cli import main


@pytest.fixture(params=STORES)
def where(request, tmp_path):
    with filled(request.param, request, tmp_path) as (where, _):
        yield where


def test_usage_is_a_table(where, capsys):
    assert main(["usage", where, "--by", "user"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "user  requests  failed  input tokens  output tokens  cost known  cost estimated  unpriced  currency",
        "-     1         0       10            20             2           -               0         EUR",
        "u-1   3         1       20            40             0.0048      -               1         USD",
        "u-2   1         0       10            20             0.1         0.0000005       0         USD",
    ]


def test_usage_is_by_day_unless_it_is_said(where, capsys):
    assert main(["usage", where, "--csv"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "day,requests,failed,input_tokens,output_tokens,cost_known,cost_estimated,unpriced,currency",
        "2026-11-19,1,0,10,20,0.0024,,0,USD",
        "2026-11-20,1,0,10,20,2,,0,EUR",
        "2026-11-20,3,1,20,40,0.1024,0.0000005,1,USD",
    ]


def test_usage_is_json_lines_with_a_name_for_each_that_it_is_by(where, capsys):
    assert main(["usage", where, "--json", "--by", "day", "--by", "tag:team", "--tag", "team=a"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "day": "2026-11-19",
        "tag:team": "a",
        "requests": 1,
        "failed": 0,
        "input_tokens": 10,
        "output_tokens": 20,
        "cost_known": "0.0024",
        "cost_estimated": None,
        "unpriced": 0,
        "currency": "USD",
    }


def test_a_name_with_a_line_break_is_one_row_of_csv(tmp_path, request, capsys):
    with filled("sqlite", request, tmp_path, [made(1, user='=a\n"b", c')]) as (where, _):
        assert main(["usage", where, "--csv", "--by", "user"]) == 0
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert row["user"] == '\'=a "b", c'


def test_a_store_without_records_has_no_lines(tmp_path, request, capsys):
    for kind in STORES:
        with filled(kind, request, tmp_path, []) as (where, _):
            assert main(["usage", where]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 1
