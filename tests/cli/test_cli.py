"""The command as a whole: what it takes, what it costs to import, how it exits."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cli.answers import PATIENCE, refuse, say, spawn, to
from streamcore import __version__
from streamcore.cli import chat, demo, main
from streamcore.testing import Answer, serve

HEAVY = ["anyio", "asyncio", "httpx", "httpx2", "streamcore_adapters", "importlib.metadata", "xllamacpp", "http"]


def usage_error(*arguments):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    return exit_.value.code


def test_importing_the_command_loads_nothing_heavy():
    code = f"import sys, streamcore.cli; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_python_m_is_the_command():
    process = spawn("--version", text=True)
    out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (0, f"streamcore {__version__}\n")


@pytest.mark.parametrize("command", ["demo", "chat", "record"])
def test_every_command_explains_itself(command, capsys):
    assert usage_error(command, "--help") == 0
    assert "--max-tokens" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("sing",),
        ("demo", "--max-tokens", "0"),
        ("demo", "--max-tokens", "some"),
        ("record", "Hi"),
        ("record", "--out", "x.json"),
        ("chat", "two", "prompts"),
    ],
)
def test_a_wrong_command_line_is_exit_status_2(arguments, capsys):
    assert usage_error(*arguments) == 2
    assert "usage: streamcore" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--url", "--key"])
def test_an_address_or_a_key_needs_a_model(option, capsys):
    assert main(["chat", option, "x", "Hi"]) == 2
    assert "--model adapter:model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spec", "said"), [("nowhere:m", "no adapter is called 'nowhere'"), ("anthropic", "'<adapter>:<model>'")]
)
def test_a_model_that_does_not_exist_is_exit_status_2_in_one_line(spec, said, capsys):
    assert main(["chat", "--model", spec, "Hi"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("streamcore: ")
    assert error.count("\n") == 1


def test_an_empty_prompt_is_exit_status_2(capsys):
    assert main(["demo", "--prompt", ""]) == 2
    assert "at least one character" in capsys.readouterr().err


def test_a_finished_answer_is_exit_status_0():
    with serve(Answer(say("Hi"))) as server:
        assert main(["chat", *to(server), "Hello"]) == 0


def test_a_failed_answer_is_exit_status_1():
    with serve(refuse()) as server:
        assert main(["chat", *to(server), "Hello"]) == 1


@pytest.mark.parametrize(("module", "arguments"), [(chat, ["chat", "Hi"]), (demo, ["demo"])])
def test_an_interruption_is_exit_status_130_without_a_word(module, arguments, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run", interrupted)
    assert main(arguments) == 130
    assert capsys.readouterr() == ("", "")


def test_an_interruption_while_the_command_loads_is_as_quiet(monkeypatch, capsys):
    class Loading:
        def __getattr__(self, name):
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "streamcore.cli.command", Loading())
    assert main(["demo"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_has_gone_is_exit_status_1_and_python_finds_nothing_to_flush(monkeypatch, capfd):
    def gone(*_, **__):
        raise BrokenPipeError

    monkeypatch.setattr(chat, "run", gone)
    assert main(["chat", "Hi"]) == 1
    print("lost", flush=True)
    assert capfd.readouterr() == ("", "")


def test_a_reader_that_has_gone_ends_the_command_quietly():
    with serve(Answer([*say("Hi")[:-1], "hang"])) as server:
        process = spawn("chat", *to(server), "Hello")
        process.stdout.close()
        _, error = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        assert error == b""
        assert server.wait_for(lambda: server.open_connections == 0)
