"""What the commands over stored records take, and which records that means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from cli.test_cli import usage_error
from histories import STORES, filled
from streamcore.cli import main
from streamcore.cli.command import parser
from streamcore.cli.tracked import FIELDS, STATUSES, TIMES, instant
from streamcore.tracking.history import queries as history
from streamcore.tracking.record import Status

COMMANDS = ["usage", "requests", "reprice"]


def test_what_can_be_named_is_what_there_is():
    assert [*FIELDS] == [*history.FIELDS]
    assert {*TIMES} == {*history.TIMES}
    assert get_args(Status) == STATUSES


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command, capsys):
    assert usage_error(command, "--help") == 0
    out = capsys.readouterr().out
    assert "--tag NAME=VALUE" in out
    assert "--conversation CONVERSATION" in out


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "STORE"),
        (["x", "--since", "yesterday"], "'yesterday' is no time; such as"),
        (["x", "--since", "2026-1"], "is no time"),
        (["x", "--until", "99999999999d"], "is no time"),
        (["x", "--until", "0001-01-01T00:00:00+01:00"], "is no time"),
        (["x", "--status", "fine"], "invalid choice: 'FINE'"),
        (["x", "--tag", "team"], "'team' is not NAME=VALUE"),
        (["x", "--json", "--csv"], "not allowed with"),
    ],
)
def test_what_is_not_asked_rightly_is_exit_status_2(command, arguments, said, capsys):
    assert usage_error(command, *arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["usage", "x", "--by", "colour"],
        ["requests", "x", "--limit", "-1"],
        ["requests", "x", "--interval", "0"],
        ["requests", "x", "--interval", "nan"],
        ["requests", "x", "--interval", "soon"],
    ],
)
def test_what_one_command_does_not_take_is_exit_status_2(arguments, capsys):
    assert usage_error(*arguments) == 2
    assert "error: argument" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-11", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T18", datetime(2026, 11, 20, 18, tzinfo=UTC)),
        ("2026-11-20 18:30:00.5", datetime(2026, 11, 20, 18, 30, 0, 500_000, tzinfo=UTC)),
        ("2026-11-20T18:30Z", datetime(2026, 11, 20, 18, 30, tzinfo=UTC)),
        ("2026-11-20T18:30+02:00", datetime(2026, 11, 20, 16, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_of_greenwich_unless_it_says(text, at):
    assert instant(text) == at


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("0s", timedelta()),
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("7d", timedelta(7)),
        ("2w", timedelta(14)),
    ],
)
def test_a_time_is_so_long_ago(text, ago):
    before = datetime.now(UTC)
    assert before <= instant(text) + ago <= datetime.now(UTC)


@pytest.fixture(params=STORES)
def where(request, tmp_path):
    with filled(request.param, request, tmp_path) as (where, _):
        yield where


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (["--since", "2026-11-20"], "2345"),
        (["--until", "2026-11-20"], "1"),
        (["--user", "u-2", "--user", ""], "35"),
        (["--model", "local", "--status", "error"], "4"),
        (["--tag", "team=a"], "1"),
        (["--tag", "team=a", "--tag", 'team=b"%?'], "12"),
        (["--tag", "team=a", "--tag", "x.y=1"], ""),
        (["--adapter", "openai_chat", "--host", "api.openai.com", "--answered-by", "", "--conversation", "c-3"], "3"),
        (["--feature", "chat", "--feature", "x"], "12345"),
    ],
)
def test_filters_of_one_kind_are_either_and_of_several_all(where, arguments, ids, capsys):
    assert main(["requests", where, *arguments]) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()[1:]] == [*ids]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_is_not_there_is_not_made(command, tmp_path, capsys):
    assert main([command, str(tmp_path / "none.db")]) == 2
    assert "cannot be read as a file of records" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_address_that_is_none_is_said_in_one_line_without_its_password(command, capsys):
    pytest.importorskip("psycopg")
    assert main([command, "postgresql://u:canary@[h/d"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("streamcore: the address of PostgreSQL")
    assert error.count("\n") == 1
    assert "canary" not in error


def test_what_is_meant_is_all_without_a_filter():
    options = parser().parse_args(["usage", "x"])
    assert (options.since, options.until, options.tag, options.style) == (None, None, [], "table")
