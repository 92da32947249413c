"""The servers compatible with Chat Completions whose ways a few words can say: one row, one adapter.

What the bytes themselves show is detected by `openai_chat`, whoever sends them. A row says the rest: where the server
is, which fields of a request it knows, what it wants back of an earlier answer, and what proves its answers whole.

What a provider's documents do not mention is left out with a warning: some ignore an unknown field, others refuse it.
`[DONE]` is required of those that always send it and give some finish reasons too early; a body of theirs that ends
before it is cut. Addresses of local servers are those that they choose by themselves.

Sources: the SDKs of Groq 1.7.0, OpenRouter 1.3.84, Together 3.1.1, Fireworks 1.2.30, Perplexity 0.46.1 and Cerebras
1.91.0; the AI SDK's providers for DeepSeek 3.0.56, Groq 4.0.84, xAI 3.0.138, Fireworks 3.0.62, Perplexity 4.0.49,
Cerebras 3.0.59 and Azure 4.0.85; the servers of vLLM 0.33.0, SGLang 0.5.23, llama.cpp and Ollama; the requests and the
answers of 405 recorded streams; read November 2026.

Where it is not quite right. Which efforts there are depends on the model: they are sent as given. Sampling parameters
that only some models of a provider take (the penalties of xAI) are sent, too. DeepSeek wants `/beta` in its address for
strict tools. LM Studio may call reasoning either name, and takes none back here. Azure takes a token of Microsoft Entra
in a header of the caller's own, `authorization`. `<think>` tags (Perplexity, Groq's raw format) stay text.
"""

from __future__ import annotations

from typing import Final

from .openai_chat import Compatible, Quirks

__all__ = [
    "azure",
    "cerebras",
    "deepseek",
    "fireworks",
    "groq",
    "llama_cpp",
    "lm_studio",
    "ollama_v1",
    "openrouter",
    "perplexity",
    "sglang",
    "together",
    "vllm",
    "xai",
]

deepseek: Final = Compatible(
    url="https://api.deepseek.com",
    key_variables=("DEEPSEEK_API_KEY",),
    quirks=Quirks(
        max_tokens="max_tokens",
        unsupported=("top_k", "seed", "metadata", "cache_key", "parallel_tool_calls"),
        user="user_id",
        schemas=False,
        files="flat",
        reasoning="thinking",
        reasoning_text="always",
        cache="",
        replay=("reasoning_content",),
    ),
)

groq: Final = Compatible(
    url="https://api.groq.com/openai/v1",
    key_variables=("GROQ_API_KEY",),
    quirks=Quirks(
        unsupported=("top_k", "metadata", "cache_key"),
        user="user",
        reasoning_text="include_reasoning",
        cache="",
        replay=("reasoning",),
        done="required",
    ),
)

xai: Final = Compatible(
    url="https://api.x.ai/v1",
    key_variables=("XAI_API_KEY",),
    quirks=Quirks(
        unsupported=("top_k", "metadata", "cache_key"),
        user="user",
        reasoning_text="always",
        cache="",
        replay=("reasoning_content",),
        done="required",
    ),
)

openrouter: Final = Compatible(
    url="https://openrouter.ai/api/v1",
    key_variables=("OPENROUTER_API_KEY",),
    quirks=Quirks(
        max_tokens="max_tokens",
        unsupported=("cache_key",),
        user="user",
        reasoning="reasoning",
        cache="cache_control",
        replay=("reasoning_details", "reasoning"),
        done="required",
    ),
)

together: Final = Compatible(
    url="https://api.together.ai/v1",
    key_variables=("TOGETHER_API_KEY",),
    quirks=Quirks(
        max_tokens="max_tokens",
        unsupported=("user", "metadata", "cache_key", "parallel_tool_calls"),
        include_usage=False,
        reasoning_text="always",
        cache="",
        replay=("reasoning",),
    ),
)

fireworks: Final = Compatible(
    url="https://api.fireworks.ai/inference/v1",
    key_variables=("FIREWORKS_API_KEY",),
    quirks=Quirks(
        max_tokens="max_tokens",
        unsupported=("cache_key",),
        user="user",
        reasoning_text="always",
        cache="",
        replay=("reasoning_content",),
    ),
)

perplexity: Final = Compatible(
    url="https://api.perplexity.ai",
    key_variables=("PERPLEXITY_API_KEY", "PPLX_API_KEY"),
    quirks=Quirks(
        max_tokens="max_tokens",
        unsupported=("tools", "tool_choice", "parallel_tool_calls", "seed", "user", "metadata", "cache_key"),
        include_usage=False,
        reasoning_text="always",
        cache="",
        reasoning_outside=True,
    ),
)

cerebras: Final = Compatible(
    url="https://api.cerebras.ai/v1",
    key_variables=("CEREBRAS_API_KEY",),
    quirks=Quirks(
        unsupported=("top_k", "presence_penalty", "frequency_penalty", "metadata", "cache_key"),
        user="user",
        reasoning_text="always",
        cache="",
        replay=("reasoning",),
    ),
)

azure: Final = Compatible(
    url="",
    example_url="https://<resource>.openai.azure.com/openai/v1",
    key_variables=("AZURE_OPENAI_API_KEY", "AZURE_API_KEY"),
    quirks=Quirks(key_header="api-key", user="user", cache=""),
)

vllm: Final = Compatible(
    url="http://127.0.0.1:8000/v1",
    key_variables=("VLLM_API_KEY",),
    quirks=Quirks(
        max_tokens="max_tokens",
        unsupported=("metadata", "cache_key"),
        user="user",
        budget="thinking_token_budget",
        reasoning_text="include_reasoning",
        cache="",
        replay=("reasoning",),
    ),
)

sglang: Final = Compatible(
    url="http://127.0.0.1:30000/v1",
    quirks=Quirks(
        max_tokens="max_tokens",
        unsupported=("metadata", "cache_key"),
        user="user",
        reasoning_text="always",
        cache="",
        replay=("reasoning_content",),
    ),
)

llama_cpp: Final = Compatible(
    url="http://127.0.0.1:8080/v1",
    key_variables=("LLAMA_API_KEY",),
    quirks=Quirks(
        max_tokens="max_tokens",
        unsupported=("user", "metadata", "cache_key"),
        reasoning_text="always",
        cache="",
        replay=("reasoning_content",),
    ),
)

lm_studio: Final = Compatible(
    url="http://127.0.0.1:1234/v1",
    key_variables=("LM_API_TOKEN",),
    quirks=Quirks(
        max_tokens="max_tokens",
        unsupported=("user", "metadata", "cache_key", "parallel_tool_calls"),
        reasoning_text="always",
        cache="",
    ),
)

ollama_v1: Final = Compatible(
    url="http://127.0.0.1:11434/v1",
    key_variables=("OLLAMA_API_KEY",),
    quirks=Quirks(
        max_tokens="max_tokens",
        unsupported=("top_k", "tool_choice", "parallel_tool_calls", "user", "metadata", "cache_key"),
        reasoning_text="always",
        cache="",
        replay=("reasoning",),
        done="enough",
    ),
)
