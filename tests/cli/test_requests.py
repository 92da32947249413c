"""`streamcore requests`: the last that were stored, and each that comes."""

from __future__ import annotations

import csv
import os
import select
import signal
import sys
import time
from decimal import Decimal

import msgspec
import pytest

from cli.answers import NO_TERMINALS, PATIENCE, Screen, screen, spawn
from histories import RECORDS, STORES, filled, lost, made
from streamcore.cli import main
from streamcore.cli import requests as module
from streamcore.tracking.history.queries import NAMES
from streamcore.tracking.record import Cost, Record

EAGER = ["--follow", "--interval", "0.01"]
ON_UNIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes and signals")


@pytest.fixture(params=STORES)
def both(request, tmp_path):
    with filled(request.param, request, tmp_path) as (where, sink):
        yield where, sink


@pytest.fixture
def where(both):
    return both[0]


def test_requests_are_listed_the_newest_at_the_end(where, capsys):
    assert main(["requests", where, "--limit", "2"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["created", "at"]
    assert [line.split()[1] for line in lines] == ["ERROR", "SUCCESS"]
    assert [line.split()[-1] for line in lines] == ["4", "5"]


def test_a_request_is_listed_with_what_it_cost_and_how_long_it_took(where, capsys):
    assert main(["requests", where]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == [
        *("2026-11-19T12:00:00.000000Z", "SUCCESS", "gpt-4o", "chat", "u-1", "10", "20", "0.0024", "250", "1500", "1")
    ]


def test_known_and_estimated_cost_are_listed_together(where, capsys):
    assert main(["requests", where]) == 0
    assert capsys.readouterr().out.splitlines()[3].split()[7] == "0.1000005"


def test_requests_are_whole_records_as_json(where, capsys):
    assert main(["requests", where, "--json", "--since", "2026-11-20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [msgspec.json.decode(line, type=Record) for line in lines] == RECORDS[1:]


def test_a_record_as_json_is_the_same_and_has_no_control_characters(tmp_path, request, capsys):
    record = made(1, user="\x9b2J\x7f\x1b")
    with filled("sqlite", request, tmp_path, [record]) as (where, _):
        assert main(["requests", where, "--json"]) == 0
    line = capsys.readouterr().out
    assert not set("\x9b\x7f\x1b") & set(line)
    assert msgspec.json.decode(line, type=Record) == record


def test_requests_are_all_columns_as_csv(where, capsys):
    assert main(["requests", where, "--csv", "--limit", "3"]) == 0
    rows = [*csv.DictReader(capsys.readouterr().out.splitlines())]
    assert [*rows[0]] == [*NAMES[:-1]]
    assert (rows[0]["cost_known"], rows[0]["cost_estimated"]) == ("0.1", "0.0000005")
    assert (rows[1]["failure"], rows[1]["conversation_id"], rows[1]["input_tokens"]) == ("server", "c-4", "")


def follow(monkeypatch, where, *steps, arguments=()):
    """Follow a store in which these steps happen between the looks; the exit status."""
    left = [*steps]

    def wait(_):
        if not left:
            raise KeyboardInterrupt
        left.pop(0)()

    monkeypatch.setattr(module, "_wait", wait)
    return main(["requests", where, "--follow", *arguments])


def test_those_that_come_are_listed_until_it_is_interrupted(both, monkeypatch, capsys):
    where, sink = both
    steps = [lambda: sink.write([made(6)]), lambda: None, lambda: sink.write([made(0, 1), made(7, record=lost)])]
    assert follow(monkeypatch, where, *steps, arguments=["--limit", "1"]) == 130
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["id", "5", "6", "0", "7"]


def test_none_of_those_before_need_be_listed(both, monkeypatch, capsys):
    where, sink = both
    follow(monkeypatch, where, lambda: sink.write([made(6)]), arguments=["--limit", "0", "--csv"])
    assert [row["tracking_id"] for row in csv.DictReader(capsys.readouterr().out.splitlines())] == ["6"]


def test_a_store_that_does_not_answer_is_asked_again_and_nothing_is_missed(tmp_path, request, monkeypatch, capsys):
    with filled("sqlite", request, tmp_path) as (where, sink):
        path, away = tmp_path / "a file?.db", tmp_path / "away.db"

        def go():
            sink.close()
            path.rename(away)

        def come():
            away.rename(path)
            sink.write([made(6)])

        steps = [go, lambda: None, come, lambda: sink.write([made(7)])]
        assert follow(monkeypatch, where, *steps, arguments=["--json", "--limit", "0"]) == 130
    out, err = capsys.readouterr()
    assert [msgspec.json.decode(line)["tracking_id"] for line in out.splitlines()] == ["6", "7"]
    first, second = err.splitlines()
    assert first.startswith("warning: ")
    assert first.endswith("unable to open database file; it will be asked again")
    assert second == "the store answers again"


def test_a_store_that_does_not_answer_at_first_is_an_error(tmp_path, capsys):
    assert main(["requests", str(tmp_path / "none.db"), "--follow"]) == 2
    assert "cannot be read" in capsys.readouterr().err


@ON_UNIX
def test_each_record_goes_down_a_pipe_as_it_is_stored(both):
    where, sink = both
    with spawn("requests", where, *EAGER, "--json", "--limit", "1") as process:
        pipe = Screen(process, process.stdout.fileno())
        pipe.read_until('"c-5"')
        for id in range(6, 26):
            sink.write([made(id)])
            pipe.read_until(f'"c-{id}"')
        process.send_signal(signal.SIGINT)
        assert pipe.finish() == 130
        assert process.stderr.read() == b""
    found = [msgspec.json.decode(line, type=Record).tracking_id for line in pipe.shown.splitlines()]
    assert found == [str(id) for id in range(5, 26)]


@ON_UNIX
def test_it_stops_quietly_when_whoever_reads_has_gone(where):
    with spawn("requests", where, "--follow", "--interval", str(PATIENCE)) as process:
        Screen(process, process.stdout.fileno()).read_until("  5\n")
        process.stdout.close()
        assert process.wait(PATIENCE) == 1
        assert process.stderr.read() == b""


@NO_TERMINALS
def test_ctrl_c_leaves_a_terminal_at_the_beginning_of_a_line(tmp_path, request):
    with (
        filled("sqlite", request, tmp_path, [made(1, user="\x1b]0;me\x07\x9b2J")]) as (where, _),
        screen("requests", where, *EAGER) as terminal,
    ):
        terminal.read_until("  1\r\n")
        terminal.interrupt()
        assert terminal.finish() == 130
    assert "\x1b[1mcreated at" in terminal.shown
    assert "␛]0;me␇\\x9b2J" in terminal.shown
    assert terminal.shown.endswith("  1\r\n^C\r\n")


@ON_UNIX
def test_a_wait_ends_when_nobody_reads_the_pipe(monkeypatch):
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        module._wait(0.001)
        os.close(reader)
        with pytest.raises(BrokenPipeError):
            module._wait(PATIENCE)


@pytest.mark.parametrize("why", ["a file", "no poll"])
def test_a_wait_is_a_sleep_where_nothing_can_be_told(why, monkeypatch, tmp_path):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    if why == "no poll":
        monkeypatch.delattr(select, "poll")
    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        module._wait(7)
    assert slept == [7]


def test_an_estimate_alone_is_what_it_cost(tmp_path, request, capsys):
    with filled("sqlite", request, tmp_path, [made(1, costs=Cost(estimated=Decimal(3), provenance="estimated"))]) as (
        where,
        _,
    ):
        assert main(["requests", where]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[7] == "3"
