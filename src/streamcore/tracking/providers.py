"""What providers are called: one name, whatever format and address their models are asked by."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streamcore.upstream import Origin

__all__ = ["provider_of"]

_PROVIDERS: Final = {
    "openai_chat": "openai",
    "openai_responses": "openai",
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "xai": "x_ai",
    "ollama_v1": "ollama",
}
_HOSTS: Final = {".openai.azure.com": "azure.ai.openai", "aiplatform.googleapis.com": "gcp.vertex_ai"}
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")  # of an adapter, and not the `repr` of an object


def provider_of(origin: Origin | None) -> str | None:
    """Who was asked, by the names of OpenTelemetry's `gen_ai.provider.name`; the adapter's own where it has none.

    None of an adapter of one's own without a name, which is known by an address of memory.
    """
    if origin is None:
        return None
    for host, provider in _HOSTS.items():
        if origin.host.endswith(host):
            return provider
    name = origin.adapter.rpartition(".")[2]
    return _PROVIDERS.get(name, name) if _NAME.fullmatch(origin.adapter) else None
