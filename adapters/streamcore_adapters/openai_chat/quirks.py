"""How servers that speak Chat Completions differ, as data."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

__all__ = ["Quirks"]


class Quirks(Struct, frozen=True, kw_only=True):
    """How a server differs from OpenAI, whose ways are the defaults.

    `path` follows the target's URL. The key goes into `key_header`, after `Bearer` if that is `authorization`. `unsupported`
    are fields of `Request`. `reasoning` is the parameter that controls it: the effort alone, OpenRouter's object, or
    DeepSeek's switch; `budget` the one that bounds its tokens. `reasoning_text` says whether its text comes: never, always,
    or as the field of that name says. `replay` names what of an earlier answer the server wants back, by the wire's own words:
    reasoning_content, reasoning or reasoning_text; reasoning_details, reasoning_opaque, extra_content, annotations.

    `schemas` says whether an answer can be held to a JSON Schema, `files` where the fields of a file stand in its part, and
    `prefix` whether an assistant's turn at the end, which is to be continued, must be marked.

    `done` says what `[DONE]` proves: nothing that a finish reason does not (`optional`), what a finish reason alone does
    not (`required`), or all that there is to prove (`enough`). `reasoning_outside`: the usage counts reasoning neither as
    completion nor in the total.
    """

    path: str = "/chat/completions"
    key_header: str = "authorization"
    unsupported: tuple[str, ...] = ("top_k",)
    include_usage: bool = True
    system_role: Literal["system", "developer"] = "system"
    max_tokens: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    seed: str = "seed"
    user: str = "safety_identifier"
    schemas: bool = True
    files: Literal["nested", "flat"] = "nested"
    prefix: bool = False
    reasoning: Literal["reasoning_effort", "reasoning", "thinking"] = "reasoning_effort"
    budget: str = ""
    reasoning_text: Literal["never", "always", "include_reasoning"] = "never"
    cache: Literal["", "prompt_cache_breakpoint", "cache_control"] = "prompt_cache_breakpoint"
    replay: tuple[str, ...] = ()
    done: Literal["optional", "required", "enough"] = "optional"
    reasoning_outside: bool = False
