"""How many tokens a stream took: what its provider said, and what is to be guessed where it said nothing.

A stream that was cancelled, cut or broken has no last usage, and was still served. What it said is known in characters, and
so is the text it was asked; the rest is a rule of how many characters a token has. That is an estimate, and called so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from msgspec import structs

from streamcore.events import Failure, Finish, Usage
from streamcore.request import ExtensionPart, File, Image, ReasoningPart, RefusalPart, Text, ToolCall, ToolResult

from .record import Provenance, Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streamcore.request import Part, Request
    from streamcore.upstream import Attempt

__all__ = ["Characters", "TokenCounter", "parts_of", "request_characters", "served", "summed", "tokens_of"]

CHARACTERS_A_TOKEN: Final = 4.0  # of English, as OpenAI and Anthropic give it; learnt from the first whole stream on
MEMORY: Final = 0.9  # of what was learnt, a stream later: some ten streams count
MODELS: Final = 1024  # that are remembered
FIELDS: Final = Usage.__struct_fields__

_UNREACHED: Final = frozenset({"dns", "refused", "tls", "unreachable", "connect"})
_UNSURE: Final = frozenset({"cancelled", "timeout", "connection", "truncated"})


class TokenCounter(Protocol):
    """Guesses tokens where a provider said nothing, and hears what others said.

    None is no guess. It is asked while a stream waits, so it is quick.
    """

    def request_tokens(self, request: Request, model: str, /) -> int | None:
        """How many tokens a model reads in a request."""
        ...

    def answer_tokens(self, characters: int, model: str, /) -> int | None:
        """How many tokens a model generates for so many characters; there is no text to count, since none is kept."""
        ...

    def learn(self, request: Request, characters: int, usage: Usage, model: str, /) -> None:
        """A whole stream ended: what it took is known."""
        ...


class Characters:
    """Counts a token for every so many characters: 4.0, until whole streams of the same model have shown another number.

    It is learnt apart for what is read and what is generated, as the characters of the last some ten streams over their
    tokens, the later the heavier. Hidden reasoning makes the number small, and so is counted. An image or a file counts
    nothing.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[float, float]] = {}  # characters and tokens

    def request_tokens(self, request: Request, model: str, /) -> int | None:
        """The text's characters over the model's number."""
        return self._tokens(request_characters(request), ("input", model))

    def answer_tokens(self, characters: int, model: str, /) -> int | None:
        """The characters over the model's number."""
        return self._tokens(characters, ("output", model))

    def learn(self, request: Request, characters: int, usage: Usage, model: str, /) -> None:
        """Remember how long the tokens of this stream were."""
        self._learn(characters, usage.output_tokens, ("output", model))
        if not any(isinstance(part, Image | File) for part in parts_of(request)):
            self._learn(request_characters(request), usage.input_tokens, ("input", model))

    def _tokens(self, characters: int, key: tuple[str, str]) -> int | None:
        seen, tokens = self._seen.get(key, (CHARACTERS_A_TOKEN, 1.0))
        return max(round(characters * tokens / seen), 1) if characters else None

    def _learn(self, characters: int, tokens: int | None, key: tuple[str, str]) -> None:
        if characters and tokens:
            seen, before = self._seen.pop(key, (0.0, 0.0))
            if len(self._seen) >= MODELS:
                del self._seen[next(iter(self._seen))]
            self._seen[key] = (seen * MEMORY + characters, before * MEMORY + tokens)


def request_characters(request: Request) -> int:
    """How much text a request holds: of its messages, and of what says what its tools are."""
    schemas = sum(len(msgspec.json.encode(tool.parameters)) for tool in request.tools if tool.parameters)
    tools = sum(len(tool.name) + len(tool.description) for tool in request.tools)
    return sum(map(_characters, parts_of(request))) + tools + schemas


def parts_of(request: Request) -> Iterator[Part]:
    """All parts of its messages, and what is inside results of tools."""
    for message in request.messages:
        for part in message.parts:
            yield part
            if isinstance(part, ToolResult) and not isinstance(part.content, str):
                yield from part.content


def _characters(part: Part) -> int:
    match part:
        case Text() | ReasoningPart() | RefusalPart():
            return len(part.text)
        case ToolCall():
            return len(part.name) + len(part.arguments)
        case ToolResult(content=str(text)):
            return len(text)
        case ExtensionPart():
            return len(part.raw)
        case _:
            return 0


def served(attempt: Attempt) -> bool:
    """Whether the provider may have worked on it: not if it refused the request, or was never reached."""
    outcome = attempt.outcome
    if attempt.headers is not None or not isinstance(outcome, Failure):
        return True
    return outcome.kind in _UNSURE and outcome.detail not in _UNREACHED


def tokens_of(attempt: Attempt, request: Request | None, characters: int, counter: TokenCounter) -> Tokens:
    """What one attempt took, in which it said so many characters. None is a request that could not be read.

    Of an answer that is not whole the provider's last word on the output is only the least that it can be.
    """
    model = attempt.answered_by or (attempt.origin.model if attempt.origin else "")
    usage = attempt.usage or Usage()
    values: dict[str, int] = {name: value for name in FIELDS if (value := getattr(usage, name)) is not None}
    sources: dict[str, Provenance] = dict.fromkeys(values, "reported")
    if "input_tokens" not in values and request is not None:
        guess = counter.request_tokens(request, model)
        if guess is not None:
            values["input_tokens"], sources["input_tokens"] = guess, "estimated"
    said = values.get("output_tokens")
    if said is None or not isinstance(attempt.outcome, Finish):
        guess = counter.answer_tokens(characters, model) if characters else None
        numbers = [number for number in (said, guess) if number is not None]
        if numbers:
            values["output_tokens"], sources["output_tokens"] = max(numbers), "estimated"
    return Tokens(usage=structs.replace(usage, **values), sources=sources)


def summed(parts: Sequence[Tokens]) -> Tokens:
    """All of them together: `derived` from what was reported, `estimated` if anything in it is or is unknown.

    What one provider does not tell apart (cached tokens, say) is no unknown part of what another does.
    """
    if len(parts) == 1:
        return parts[0]
    values: dict[str, int] = {}
    sources: dict[str, Provenance] = {}
    for name in FIELDS:
        known = [value for part in parts if (value := getattr(part.usage, name)) is not None]
        if known:
            values[name] = sum(known)
            unknown = len(known) < len(parts) and name in {"input_tokens", "output_tokens"}
            guessed = unknown or any(part.sources.get(name) == "estimated" for part in parts)
            sources[name] = "estimated" if guessed else "derived"
    return Tokens(usage=Usage(**values), sources=sources)
