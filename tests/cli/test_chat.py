"""`streamcore chat`: one answer, a conversation, and every way they end."""

from __future__ import annotations

import io
import json
import os
import signal
import sys

import pytest

from cli.answers import NO_TERMINALS, PATIENCE, begin, call, end, refuse, say, screen, spawn, text, thinking, to
from streamcore.cli import main
from streamcore.testing import Answer, serve

EVERYTHING = [begin(), *thinking(0, "Hm", "."), *text(1, "Hel", "lo"), *call(2, "look", '{"at":', '"sky"}'), *end()]
HANGING = [begin(), *text(0, "Hel", "lo")[:-1], "hang"]


def one_after_another(*answers):
    """A script that gives these answers in order."""
    remaining = iter(answers)
    return lambda request: next(remaining)


def messages(request):
    return json.loads(request.body)["messages"]


def converse(monkeypatch, server, *lines, more=()):
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    return main(["chat", *to(server), *more])


def test_a_pipe_gets_the_answer_alone(capsys):
    with serve(Answer(EVERYTHING)) as server:
        assert main(["chat", *to(server), "Hi"]) == 0
    out, err = capsys.readouterr()
    assert out == "Hello\n"
    assert err.startswith('Hm.\n→ look {"at":"sky"}\nstop · 7 input, 3 output tokens · ')


def test_the_options_reach_the_provider():
    with serve(Answer(say("Hi"))) as server:
        main(["chat", *to(server), "--system", "Be brief.", "--max-tokens", "5", "Hello"])
        request = server.requests[0]
    body = json.loads(request.body)
    assert body["max_tokens"] == 5
    assert "Be brief." in json.dumps(body["system"])
    assert request.headers["x-api-key"] == "sk-canary"


def test_a_dash_reads_the_prompt_from_stdin(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("two\nlines"))
    with serve(Answer(say("Hi"))) as server:
        assert main(["chat", *to(server), "-"]) == 0
        assert "two\\nlines" in json.dumps(messages(server.requests[0]))


def test_a_failure_is_one_line_without_a_traceback(capsys):
    with serve(refuse(401, "authentication_error", "bad key\nsk-canary")) as server:
        assert main(["chat", *to(server), "Hi"]) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", "streamcore: auth, HTTP 401: bad key ***\n")


def test_an_answer_that_is_cut_off_is_shown_and_named(capsys):
    with serve(Answer([begin(), *text(0, "Hel", "lo")])) as server:
        assert main(["chat", *to(server), "Hi"]) == 1
    out, err = capsys.readouterr()
    assert out == "Hello\n"
    assert err.startswith("streamcore: truncated: ")


def test_a_conversation_carries_every_answer_to_the_next_question(monkeypatch, capsys):
    script = one_after_another(Answer(say("Good", " day")), Answer(say("Bye")))
    with serve(script) as server:
        assert converse(monkeypatch, server, "Hello", "", "So long", more=["--system", "Be brief."]) == 0
        first, second = [messages(request) for request in server.requests]
    assert capsys.readouterr().out == "Good day\nBye\n"
    assert [message["role"] for message in second] == ["user", "assistant", "user"]
    assert second[0] == first[0]
    assert "Good day" in json.dumps(second[1])


def test_a_question_that_failed_is_forgotten_and_the_conversation_goes_on(monkeypatch, capsys):
    script = one_after_another(refuse(), Answer([begin(), *end()]), Answer(say("Hi")))
    with serve(script) as server:
        assert converse(monkeypatch, server, "One", "Two", "Three") == 0
        assert [message["role"] for message in messages(server.requests[2])] == ["user"]
    assert "overloaded" in capsys.readouterr().err


def test_a_conversation_ends_with_the_status_of_its_last_answer(monkeypatch):
    with serve(one_after_another(Answer(say("Hi")), refuse())) as server:
        assert converse(monkeypatch, server, "One", "Two") == 1


def test_a_conversation_may_be_empty(monkeypatch, capsys):
    with serve(Answer(say("Hi"))) as server:
        assert converse(monkeypatch, server, "", " ") == 0
        assert server.requests == []
    assert capsys.readouterr() == ("", "")


def test_a_conversation_works_without_readline(monkeypatch):
    monkeypatch.setitem(sys.modules, "readline", None)
    with serve(Answer(say("Hi"))) as server:
        assert converse(monkeypatch, server, "Hello") == 0


def test_an_interruption_closes_the_upstream_and_leaves_the_answer_readable():
    with serve(Answer(HANGING)) as server:
        process = spawn("chat", *to(server), "Hi")
        begun = process.stdout.read(5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, begun + out, err) == (130, b"Hello\n", b"")
        assert server.wait_for(lambda: server.open_connections == 0)


@NO_TERMINALS
def test_a_terminal_shows_everything_in_order_and_dims_what_is_not_the_answer():
    with serve(Answer(EVERYTHING)) as server, screen("chat", *to(server), "Hi") as terminal:
        assert terminal.finish() == 0
    shown = terminal.shown.replace("\r\n", "\n")
    dim = "\x1b[2m{}\x1b[0m".format
    call_line = f"{dim('→ look ')}{dim('{' + chr(34) + 'at' + chr(34) + ':')}{dim(chr(34) + 'sky' + chr(34) + '}')}"
    assert shown.startswith(f"{dim('Hm')}{dim('.')}\n\nHello\n\n{call_line}\n\x1b[2mstop · 7 input, 3 output tokens")


@NO_TERMINALS
def test_no_color_means_no_escape_at_all():
    with serve(Answer(EVERYTHING)) as server, screen("chat", *to(server), "Hi", NO_COLOR="1") as terminal:
        assert terminal.finish() == 0
    assert "\x1b" not in terminal.shown
    assert "stop · 7 input" in terminal.shown


@NO_TERMINALS
def test_a_model_cannot_command_the_terminal():
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\x08\rfine"
    with serve(Answer(say(evil))) as server, screen("chat", *to(server), "Hi", NO_COLOR="1") as terminal:
        assert terminal.finish() == 0
    answer = terminal.shown.partition("\r\n")[0]
    assert answer == "␛]0;owned␇␛[2J\\x9b31m␈fine"


@NO_TERMINALS
def test_a_piped_answer_keeps_its_notes_on_the_terminal(tmp_path):
    out = tmp_path / "answer"
    with (
        out.open("wb") as file,
        serve(Answer(EVERYTHING)) as server,
        screen("chat", *to(server), "Hi", out=file) as terminal,
    ):
        assert terminal.finish() == 0
    assert out.read_text() == "Hello\n"
    assert "→ look" in terminal.shown
    assert "stop" in terminal.shown


@NO_TERMINALS
def test_a_conversation_in_a_terminal_ends_with_ctrl_d():
    with serve(Answer(say("Good day"))) as server, screen("chat", *to(server), NO_COLOR="1") as terminal:
        terminal.read_until("> ")
        terminal.type("Hello\n")
        terminal.read_until("stop")
        terminal.read_until("> ")
        terminal.type("\x04")
        assert terminal.finish() == 0
    assert "Ctrl-D ends" in terminal.shown
    assert "Good day" in terminal.shown


@NO_TERMINALS
@pytest.mark.parametrize("answering", [True, False], ids=["while-answering", "at-the-prompt"])
def test_ctrl_c_ends_a_conversation_and_leaves_the_terminal_as_it_was(answering):
    import termios

    with serve(Answer(HANGING)) as server, screen("chat", *to(server), NO_COLOR="1") as terminal:
        before = termios.tcgetattr(terminal.file)
        terminal.read_until("> ")
        if answering:
            terminal.type("Hello\n")
            terminal.read_until("Hel")
            terminal.read_until("lo")
        terminal.interrupt()
        assert terminal.finish() == 130
        assert "Traceback" not in terminal.shown
        assert termios.tcgetattr(terminal.file) == before
        assert server.wait_for(lambda: server.open_connections == 0)


@NO_TERMINALS
def test_a_conversation_whose_answers_are_piped_prompts_on_stderr():
    read, write = os.pipe()
    with serve(Answer(say("Hi"))) as server, screen("chat", *to(server), out=write, NO_COLOR="1") as terminal:
        os.close(write)
        terminal.read_until("> ")
        terminal.type("Hello\n")
        terminal.read_until("stop")
        terminal.type("\x04")
        assert terminal.finish() == 0
    with os.fdopen(read) as answer:
        assert answer.read() == "Hi\n"
