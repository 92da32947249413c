"""`streamcore record`: what came over the wire, in a file, without a key in it."""

from __future__ import annotations

import socket

import pytest

import streamcore as sc
from cli.answers import begin, refuse, say, text, to
from cli.test_local import LOCAL
from streamcore.cli import main
from streamcore.cli.record import Tap, _path
from streamcore.testing import Answer, Recording, read, serve


@pytest.fixture
def out(tmp_path):
    return tmp_path / "answer.json"


def record(server, out, *more):
    return main(["record", *to(server), "--out", str(out), *more, "Hi"])


def test_a_recording_decodes_to_what_was_shown(out, capsys):
    with serve(Answer(say("Hel", "lo"))) as server:
        assert record(server, out, "--max-tokens", "5", "--note", "two words") == 0
    shown, said = capsys.readouterr()
    recording = Recording.load(out)
    events = read(sc.load(recording.adapter), [recording.data])
    assert shown == "Hello\n"
    assert sc.Fold(events).text == "Hello"
    assert events[-1] == sc.Finish("stop", "end_turn")
    assert (recording.note, recording.written, recording.status) == ("two words", False, 200)
    assert recording.content_type == "text/event-stream"
    assert said.endswith(f"{len(recording.data)} bytes in {len(recording.chunks)} reads → {out}\n")


def test_a_recording_holds_the_bytes_and_the_sizes_in_which_they_came(out):
    pieces = say("Hel", "lo")
    with serve(Answer(pieces)) as server:
        record(server, out)
    recording = Recording.load(out)
    assert recording.data == b"".join(pieces)
    assert sum(recording.chunks) == len(recording.data)
    assert all(size > 0 for size in recording.chunks)


def test_a_recording_holds_the_request_without_host_header_or_key(out):
    with serve(Answer(say("Hi"))) as server:
        record(server, out, "--max-tokens", "5")
        host = server.url.removeprefix("http://")
    recording = Recording.load(out)
    assert recording.url == "/v1/messages"
    assert recording.request is not None
    assert (recording.request["model"], recording.request["max_tokens"]) == ("tiny", 5)
    whole = out.read_text()
    assert "sk-canary" not in whole
    assert host not in whole


def test_a_key_that_the_provider_repeats_is_hidden_in_its_length(out, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-other")
    with serve(refuse(401, "authentication_error", "no sk-canary, no sk-other")) as server:
        assert record(server, out) == 1
    recording = Recording.load(out)
    assert recording.status == 401
    assert "no *********, no ********" in recording.body
    assert len(recording.data) == sum(recording.chunks)


def test_an_answer_that_is_cut_off_is_recorded_too(out):
    with serve(Answer([begin(), *text(0, "Hi")])) as server:
        assert record(server, out) == 1
    assert read(sc.load("anthropic"), [Recording.load(out).data])[-1].kind == "truncated"


def test_a_body_that_is_not_utf8_is_kept_as_it_is(out):
    with serve(Answer([*say("Hi")[:-1], b": \xff\n\n", say("Hi")[-1]])) as server:
        assert record(server, out) == 0
    recording = Recording.load(out)
    assert recording.body == ""
    assert b"\xff" in recording.data


def test_no_answer_is_no_file(out, capsys):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}/v1"
    arguments = ["--model", "anthropic:tiny", "--url", url, "--key", "k", "--out", str(out)]
    assert main(["record", *arguments, "Hi"]) == 1
    assert "streamcore: connection (refused)" in capsys.readouterr().err
    assert not out.exists()


def test_nothing_is_asked_if_there_is_nowhere_to_write(tmp_path, capsys):
    with serve(Answer(say("Hi"))) as server:
        assert record(server, tmp_path / "nowhere" / "answer.json") == 2
        assert server.requests == []
    assert "there is no directory" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_exit_status_2(tmp_path, capsys):
    with serve(Answer(say("Hi"))) as server:
        assert record(server, tmp_path) == 2
    assert "cannot write" in capsys.readouterr().err


def test_a_tap_that_nothing_passed_has_nothing():
    assert Tap(sc.HTTPX()).recording("anthropic") is None


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://a.example/v1/messages", "/v1/messages"),
        ("https://a.example/v1/m:stream?alt=sse&key=secret", "/v1/m:stream?alt=sse"),
        ("https://a.example/v1/m?key=secret", "/v1/m"),
    ],
)
def test_an_address_is_its_path_and_what_of_its_query_is_no_key(url, path):
    assert _path(url) == path


@LOCAL
@pytest.mark.parametrize("adapter", ["openai_chat", "anthropic"])
def test_a_recording_of_the_local_model_says_so(adapter, out):
    assert main(["record", "--model", f"local:{adapter}", "--out", str(out), "--max-tokens", "3", "Hi"]) == 0
    recording = Recording.load(out)
    assert recording.adapter == adapter
    assert recording.note.startswith(
        "SmolLM2-135M-Instruct (SmolLM2-135M-Instruct.Q4_1.gguf) under llama.cpp (xllamacpp "
    )
    assert read(sc.load(adapter), [recording.data])[-1] == sc.Finish(
        "length", "max_tokens" if adapter == "anthropic" else "length"
    )
