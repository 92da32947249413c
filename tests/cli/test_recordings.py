"""The project's own recordings of the local model: small, honest about where they are from, and decoded exactly."""

from __future__ import annotations

import pytest
from support import OWN

import streamcore as sc
from streamcore.failures import http_failure
from streamcore.testing import Recording, check_cuts, check_truncation

RECORDINGS = {path.stem: Recording.load(path) for path in sorted(OWN.glob("*-local-*.json"))}
ANSWERS = {name: recording for name, recording in RECORDINGS.items() if recording.status == 200}


def each(recordings):
    return pytest.mark.parametrize("recording", [pytest.param(value, id=name) for name, value in recordings.items()])


def fold(name):
    recording = RECORDINGS[name]
    return sc.Fold(check_cuts(sc.load(recording.adapter), recording.data, samples=20))


def test_both_wires_are_recorded():
    names = {name.rpartition("-")[2] for name in RECORDINGS}
    for adapter in ("openai_chat", "anthropic"):
        assert {f"{adapter}-local-{name}" for name in names - {"schema"}} <= set(RECORDINGS)


@each(RECORDINGS)
def test_a_recording_says_which_model_and_server_it_is_of(recording):
    assert recording.note.startswith(
        "SmolLM2-135M-Instruct (SmolLM2-135M-Instruct.Q4_1.gguf) under llama.cpp (xllamacpp 2"
    )
    assert not recording.written


@pytest.mark.parametrize("path", sorted(OWN.glob("*-local-*.json")), ids=lambda path: path.stem)
def test_a_recording_is_small_and_knows_no_machine(path):
    text = path.read_text()
    assert len(text) < 20_000
    for word in ("127.0.0.1", "/home", "/work", "/root", "site-packages", "authorization", "x-api-key"):
        assert word not in text


@each(RECORDINGS)
def test_the_chunks_of_a_recording_are_its_body(recording):
    assert sum(recording.chunks) == len(recording.data) > 0


@each(ANSWERS)
def test_a_recording_that_is_cut_off_is_never_whole(recording):
    check_truncation(sc.load(recording.adapter), recording.data, samples=50)


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("openai_chat-local-text", sc.Finish("stop", "stop")),
        ("anthropic-local-text", sc.Finish("stop", "end_turn")),
        ("openai_chat-local-length", sc.Finish("length", "length")),
        ("anthropic-local-length", sc.Finish("length", "max_tokens")),
        ("openai_chat-local-stop", sc.Finish("stop", "stop")),
        ("anthropic-local-stop", sc.Finish("stop", "end_turn")),
        ("openai_chat-local-tool", sc.Finish("tool_calls", "tool_calls")),
        ("anthropic-local-tool", sc.Finish("tool_calls", "tool_use")),
    ],
)
def test_an_answer_ends_as_the_server_says(name, outcome):
    assert fold(name).outcome == outcome


@pytest.mark.parametrize("name", ["text", "length", "stop", "cached"])
def test_both_wires_say_the_same(name):
    chat, messages = fold(f"openai_chat-local-{name}"), fold(f"anthropic-local-{name}")
    assert chat.text == messages.text
    assert chat.usage is not None
    assert messages.usage is not None
    assert chat.usage.input_tokens == messages.usage.input_tokens
    assert chat.usage.output_tokens == messages.usage.output_tokens


@pytest.mark.parametrize("adapter", ["openai_chat", "anthropic"])
def test_what_the_server_had_cached_is_part_of_the_input(adapter):
    usage = fold(f"{adapter}-local-cached").usage
    assert usage is not None
    assert usage.input_tokens == 36
    assert usage.cache_read_tokens == 35


@pytest.mark.parametrize("adapter", ["openai_chat", "anthropic"])
def test_a_tool_call_is_whole(adapter):
    (call,) = fold(f"{adapter}-local-tool").tool_calls
    assert (call.name, call.arguments) == ("weather", '{"city": "Paris"}')


@pytest.mark.parametrize("adapter", ["openai_chat", "anthropic"])
def test_an_answer_whose_first_token_is_half_a_character_has_no_first_message(adapter):
    """llama.cpp then leaves out `message_start`, and with it the id, the model and the input's tokens."""
    answer = fold(f"{adapter}-local-unicode")
    assert isinstance(answer.outcome, sc.Finish)
    assert answer.text.startswith("わ")
    assert answer.usage is not None
    assert (answer.usage.input_tokens is None) == (adapter == "anthropic")


@pytest.mark.parametrize("adapter", ["openai_chat", "anthropic"])
@pytest.mark.parametrize(("name", "kind", "status"), [("overflow", "invalid", 400), ("auth", "auth", 401)])
def test_an_error_is_named(adapter, name, kind, status):
    recording = RECORDINGS[f"{adapter}-local-{name}"]
    failure = http_failure(recording.status, {"content-type": recording.content_type}, recording.data)
    assert (failure.kind, failure.status) == (kind, status)


def test_json_by_a_schema_is_json():
    import msgspec

    assert msgspec.json.decode(fold("openai_chat-local-schema").text, type=dict[str, str]).keys() == {"city", "river"}
