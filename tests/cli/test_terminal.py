"""What is shown where, and what never reaches a terminal."""

from __future__ import annotations

import io
import re

import pytest

from streamcore.cli.terminal import BOLD, Terminal, one_line


class Screen(io.StringIO):
    def isatty(self):
        return True


def terminal(out, err, **environ):
    return Terminal(out, err, environ)


def shown(act, **environ):
    """What a terminal got that both streams lead to."""
    screen = Screen()
    act(terminal(screen, screen, **environ))
    return screen.getvalue()


def piped(act):
    out, err = io.StringIO(), Screen()
    act(terminal(out, err, NO_COLOR="1"))
    return out.getvalue(), err.getvalue()


def an_answer(screen):
    screen.note("hm")
    screen.note("m")
    screen.answer("Hel")
    screen.answer("lo")
    screen.note("→ look", line=True)
    screen.answer("!")
    screen.status("stop")


def test_on_a_terminal_everything_is_shown_in_order_with_notes_dimmed_and_apart():
    dim = "\x1b[2m{}\x1b[0m".format
    assert shown(an_answer) == f"{dim('hm')}{dim('m')}\n\nHello\n\n{dim('→ look')}\n\n!\n{dim('stop' + chr(10))}"


def test_a_pipe_gets_the_answer_and_stderr_the_rest():
    assert piped(an_answer) == ("Hello!\n", "hmm\n→ look\nstop\n")


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_that_wants_no_styles_gets_none(environ):
    assert "\x1b" not in shown(an_answer, **environ)
    assert "\x1b" in shown(an_answer, NO_COLOR="", TERM="xterm")


def test_errors_and_warnings_are_one_line_each_on_stderr():
    def act(screen):
        screen.answer("Hel")
        screen.warning("top_k:\n not supported")
        screen.error("broken\r\n  twice")

    assert piped(act) == ("Hel\n", "warning: top_k: not supported\nstreamcore: broken twice\n")


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0)])
def test_no_control_character_reaches_a_terminal(code):
    text = shown(lambda screen: screen.answer(f"a{chr(code)}b"), NO_COLOR="1")
    assert (chr(code) in text) == (chr(code) in "\n\t")
    assert (text[0], text[-1]) == ("a", "b")


def test_a_pipe_gets_control_characters_as_they_are():
    out, _ = piped(lambda screen: screen.answer("a\x1b[31m\x9b\r\n"))
    assert out == "a\x1b[31m\x9b\r\n"


def test_what_an_encoding_lacks_is_replaced():
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    terminal(out, io.StringIO()).answer("grün")
    assert out.buffer.getvalue() == b"gr?n"


def test_a_line_of_its_own_follows_an_unfinished_answer():
    def act(screen):
        screen.answer("Hello")
        screen.line("table", BOLD)
        screen.line()
        screen.message("done")

    assert shown(act, NO_COLOR="1") == "Hello\ntable\n\ndone\n"


def test_an_interruption_ends_the_line_where_a_terminal_shows_ctrl_c():
    def act(screen):
        screen.line("row")
        screen.interrupted()

    assert shown(act, NO_COLOR="1") == "row\n\n"
    assert piped(act) == ("row\n", "\n")


def test_an_interruption_of_what_nobody_sees_shows_nothing():
    out, err = io.StringIO(), io.StringIO()
    pipes = terminal(out, err)
    pipes.answer("half")
    pipes.interrupted()
    assert (out.getvalue(), err.getvalue()) == ("half\n", "")


def test_empty_pieces_change_nothing():
    def act(screen):
        screen.note("")
        screen.answer("")
        screen.end()

    assert piped(act) == ("", "")


def test_progress_says_how_long_it_took():
    def act(screen):
        with screen.progress("Loading"):
            pass

    assert re.fullmatch(r"Loading … \d\.\d s\n\n", piped(act)[1])
    log = io.StringIO()
    act(terminal(io.StringIO(), log))
    assert re.fullmatch(r"Loading … \d\.\d s\n", log.getvalue())


def test_progress_that_is_interrupted_ends_its_line():
    def act(screen):
        with pytest.raises(KeyboardInterrupt), screen.progress("Loading"):
            raise KeyboardInterrupt

    assert piped(act)[1] == "Loading … \n"


@pytest.mark.parametrize(
    ("interactive", "out", "expected"),
    [(True, Screen(), ("> ", "")), (True, io.StringIO(), ("", "> ")), (False, io.StringIO(), ("", ""))],
    ids=["terminal", "answer-piped", "question-piped"],
)
def test_the_prompt_is_shown_to_a_person_and_never_mixes_with_the_answer(monkeypatch, interactive, out, expected):
    err = io.StringIO()
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello\n"))
    monkeypatch.setattr("sys.stdout", out)
    screen = terminal(out, err)
    assert screen.ask("> ", interactive=interactive) == "Hello"
    screen.error("x")
    assert (out.getvalue(), err.getvalue()) == (expected[0], f"{expected[1]}streamcore: x\n")


@pytest.mark.parametrize("out", [Screen(), io.StringIO()], ids=["terminal", "answer-piped"])
def test_a_prompt_that_nobody_answers_ends_its_line(monkeypatch, out):
    err = Screen()
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr("sys.stdout", out)
    screen = terminal(out, err)
    with pytest.raises(EOFError):
        screen.ask("> ", interactive=True)
    screen.end()
    assert out.getvalue() + err.getvalue() == "> \n"


def test_an_empty_line_precedes_a_prompt_but_not_the_first(monkeypatch):
    out = Screen()
    monkeypatch.setattr("sys.stdin", io.StringIO("one\ntwo\n"))
    monkeypatch.setattr("sys.stdout", out)
    screen = terminal(out, Screen(), NO_COLOR="1")
    screen.ask("> ", interactive=True)
    screen.answer("Hello")  # what the user typed, and its line end, are the terminal's to show
    screen.status("stop")
    screen.ask("> ", interactive=True)
    assert out.getvalue() == "> Hello\nstop\n\n> "


def test_one_line_has_no_line_ends():
    assert one_line(" a\r\n\tb\u2028c ") == "a b c"
