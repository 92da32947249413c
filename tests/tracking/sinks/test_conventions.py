"""The names are those that OpenTelemetry gives them, by the package that has them as constants."""

from __future__ import annotations

import warnings

import pytest

from streamcore.events import Usage
from streamcore.tracking.sinks.conventions import CONVENTIONS, modalities

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # they have moved to a repository that has no package yet
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as attributes
    from opentelemetry.semconv._incubating.metrics import gen_ai_metrics as metrics

(LATEST,) = CONVENTIONS["latest"]
(OLDER,) = CONVENTIONS["older"]
(NEXT,) = CONVENTIONS["next"]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (LATEST.provider, attributes.GEN_AI_PROVIDER_NAME),
        (OLDER.provider, attributes.GEN_AI_SYSTEM),
        (LATEST.usage["input_tokens"], attributes.GEN_AI_USAGE_INPUT_TOKENS),
        (LATEST.usage["output_tokens"], attributes.GEN_AI_USAGE_OUTPUT_TOKENS),
        (LATEST.usage["cache_read_tokens"], attributes.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS),
        (LATEST.usage["cache_write_tokens"], attributes.GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS),
        (LATEST.usage["reasoning_tokens"], attributes.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS),
        (LATEST.duration, metrics.GEN_AI_CLIENT_OPERATION_DURATION),
        (LATEST.first_chunk, metrics.GEN_AI_CLIENT_OPERATION_TIME_TO_FIRST_CHUNK),
        (LATEST.token_usage, metrics.GEN_AI_CLIENT_TOKEN_USAGE),
        (OLDER.duration, metrics.GEN_AI_CLIENT_OPERATION_DURATION),
        (OLDER.token_usage, metrics.GEN_AI_CLIENT_TOKEN_USAGE),
    ],
)
def test_a_name_is_theirs(ours, theirs):
    assert ours == theirs


@pytest.mark.parametrize("name", ["input_tokens", "output_tokens"])
def test_what_all_conventions_have_is_called_the_same_in_all(name):
    assert LATEST.usage[name] == OLDER.usage[name] == NEXT.usage[name]


def test_the_word_for_every_provider_that_older_names_call_otherwise_is_theirs():
    values = [word.value for word in attributes.GenAiProviderNameValues]
    assert OLDER.providers == {"x_ai": "xai"}
    assert OLDER.providers.keys() <= set(values)
    assert attributes.GenAiSystemValues.XAI.value == "xai"


@pytest.mark.parametrize(
    ("field", "usage", "parts"),
    [
        ("input_tokens", Usage(100), {"unknown": 100}),
        (
            "input_tokens",
            Usage(100, input_audio_tokens=30, input_image_tokens=20),
            {"audio": 30, "image": 20, "unknown": 50},
        ),
        ("output_tokens", Usage(output_tokens=30, output_audio_tokens=30), {"audio": 30}),
        ("output_tokens", Usage(output_tokens=30, output_image_tokens=40), {"image": 30}),
        ("cache_read_tokens", Usage(100, cache_read_tokens=7, input_audio_tokens=30), {"unknown": 7}),
        ("output_tokens", Usage(output_tokens=0), {}),
    ],
)
def test_tokens_are_told_apart_by_what_they_are_of_and_never_add_up_to_more(field, usage, parts):
    assert dict(modalities(field, usage)) == parts
