"""The names of OpenTelemetry's conventions for generative AI, as far as a record has something to say by them.

They are in development, and there are three of them. `older` is version 1.36.0 of the semantic conventions, which many
instrumentations still write. `latest` is 1.41.0, the last one of a version of its own: from 1.42.0 on the repository
`semantic-conventions-genai` has them. `next` is what is being made there, which has no version yet and may change again.
Sources: docs/gen-ai of open-telemetry/semantic-conventions at 1.36.0 and 1.41.0, and of
open-telemetry/semantic-conventions-genai with its guide to migration, read November 2026.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamcore.events import Usage

__all__ = ["CONVENTIONS", "OTHER", "SECONDS", "TOKENS", "Convention", "Names", "modalities"]

OTHER: Final = "_OTHER"
"""What the conventions call what has no name, or one too many."""

Names: TypeAlias = Literal["latest", "older", "both", "next"]

SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""The buckets advised for every time."""

TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
"""The buckets advised for tokens of an operation."""

_BOTH_WAYS: Final = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
}
_PARTS: Final = {
    "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
}
_NEXT_PARTS: Final = {
    "cache_write_tokens": "gen_ai.usage.cache_write.input_tokens",
    "input_audio_tokens": "gen_ai.usage.audio.input_tokens",
    "output_audio_tokens": "gen_ai.usage.audio.output_tokens",
    "input_image_tokens": "gen_ai.usage.image.input_tokens",
    "output_image_tokens": "gen_ai.usage.image.output_tokens",
}


class Convention(Struct, frozen=True, kw_only=True):
    """One set of names. Those of metrics are None where it has none.

    `provider` names the attribute that says who was asked, `usage` those of a span for the fields of `Usage`. Tokens are
    either one histogram for all types (`token_usage`), or one for each of input and output of operations that went well
    (`tokens`), beside a counter for each field (`counters`).
    """

    schema: str | None
    provider: str
    providers: dict[str, str] = {}
    usage: dict[str, str]
    streaming: bool = True
    error_reason: bool = False
    duration: str
    first_chunk: str | None = None
    token_usage: str | None = None
    tokens: dict[str, str] = {}
    counters: dict[str, str] = {}


_OLDER: Final = Convention(
    schema="https://opentelemetry.io/schemas/1.36.0",
    provider="gen_ai.system",
    providers={"x_ai": "xai"},
    usage=_BOTH_WAYS,
    streaming=False,
    duration="gen_ai.client.operation.duration",
    token_usage="gen_ai.client.token.usage",  # noqa: S106 - no password
)
_LATEST: Final = Convention(
    schema="https://opentelemetry.io/schemas/1.41.0",
    provider="gen_ai.provider.name",
    usage=_BOTH_WAYS | _PARTS,
    duration="gen_ai.client.operation.duration",
    first_chunk="gen_ai.client.operation.time_to_first_chunk",
    token_usage="gen_ai.client.token.usage",  # noqa: S106
)
_NEXT: Final = Convention(
    schema=None,
    provider="gen_ai.provider.name",
    usage=_BOTH_WAYS | _PARTS | _NEXT_PARTS,
    error_reason=True,
    duration="gen_ai.client.inference.duration",
    first_chunk="gen_ai.client.inference.time_to_first_chunk",
    tokens={
        "input_tokens": "gen_ai.client.inference.operation.input_tokens",
        "output_tokens": "gen_ai.client.inference.operation.output_tokens",
    },
    counters={
        "input_tokens": "gen_ai.client.inference.usage.input_tokens",
        "output_tokens": "gen_ai.client.inference.usage.output_tokens",
        "cache_read_tokens": "gen_ai.client.inference.usage.cache_read.input_tokens",
        "cache_write_tokens": "gen_ai.client.inference.usage.cache_write.input_tokens",
        "reasoning_tokens": "gen_ai.client.inference.usage.reasoning.output_tokens",
    },
)

CONVENTIONS: Final[dict[Names, tuple[Convention, ...]]] = {
    "latest": (_LATEST,),
    "older": (_OLDER,),
    "both": (_LATEST, _OLDER),
    "next": (_NEXT,),
}


def modalities(field: str, usage: Usage) -> Iterator[tuple[str, int]]:
    """The tokens of a field by what they are of (`audio`, `image`), and `unknown` for the rest, which is mostly text."""
    left: int = getattr(usage, field)
    if field in {"input_tokens", "output_tokens"}:
        for modality in ("audio", "image"):
            tokens: int | None = getattr(usage, field.replace("_", f"_{modality}_"))
            if tokens:
                yield modality, min(tokens, left)
                left -= min(tokens, left)
    if left:
        yield "unknown", left
