"""How a body is framed, what a `GenerateContentResponse` holds as far as it is read, and the count of its tokens.

Fields may be missing, null, or (from servers that print protocol buffers) a number where the documentation has a word.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct

from streamcore import jsonarray, sse
from streamcore.events import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streamcore import frames
    from streamcore.events import FinishReason
    from streamcore.frames import Frame

__all__ = [
    "ABSENT",
    "FAULTS",
    "NUMBERED",
    "REASONS",
    "Call",
    "Candidate",
    "Chunk",
    "Counts",
    "Data",
    "Framing",
    "NextChunk",
    "Numbers",
    "Part",
    "PartialArgument",
    "Unread",
    "decode",
    "decode_next",
    "kind",
    "more_written",
    "raw_text",
    "usage",
]

ABSENT: Final = Raw()
"""What a raw field is when it was not sent; this very object."""

REASONS: Final[Mapping[str, FinishReason]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "pause",
    **dict.fromkeys(("SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "RECITATION", "LANGUAGE"), "content_filter"),
    **dict.fromkeys(("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "MODEL_ARMOR"), "content_filter"),
}
"""What the words for an end say; any other word is "other"."""

NUMBERED: Final = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}
"""The words that are sent as numbers. From 6 on the hosts differ."""

FAULTS: Final = {
    "MALFORMED_FUNCTION_CALL",
    "MALFORMED_RESPONSE",
    "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS",
    "MISSING_THOUGHT_SIGNATURE",
}
"""The words for an end with which the answer cannot be used."""

_LONGEST_HEAD: Final = 64  # bytes; what is blank for longer is not JSON
_NO_KIND: Final = {"thought", "thoughtSignature", "partMetadata", "mediaResolution", "videoMetadata"}
_CAPITAL: Final = re.compile("[A-Z]")
_NUMBERS: Final[Mapping[str | int | None, str]] = {2: "IMAGE", 4: "AUDIO"}


class _Detail(Struct, gc=False, rename="camel"):
    modality: str | int | None = None
    token_count: int | None = None


class Numbers(Struct, gc=False, rename="camel"):
    """Tokens so far; each count replaces the one before."""

    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    thoughts_token_count: int | None = None


class Counts(Numbers, gc=False, rename="camel"):
    """All that is said of them: also how many of them were images and sound."""

    prompt_tokens_details: list[_Detail] | None = None
    candidates_tokens_details: list[_Detail] | None = None
    tool_use_prompt_tokens_details: list[_Detail] | None = None
    service_tier: str | int | None = None
    traffic_type: str | int | None = None


class PartialArgument(Struct, gc=False, rename="camel"):
    """One value of a call's arguments, or a piece of a string; Vertex AI streams them."""

    json_path: str | None = None
    string_value: str | None = None
    number_value: Raw = ABSENT
    bool_value: bool | None = None
    null_value: Raw = ABSENT


class Call(Struct, gc=False, rename="camel"):
    """A function call, or on Vertex AI a piece of one."""

    id: str | None = None
    name: str | None = None
    args: Raw = ABSENT
    partial_args: list[PartialArgument] | None = None
    will_continue: bool | None = None


class Data(Struct, gc=False, rename="camel"):
    """An image, a sound, a file: of `inlineData` the bytes, of `fileData` the address."""

    mime_type: str | None = None
    data: bytes | None = None
    file_uri: str | None = None


class Part(Struct, gc=False, rename="camel"):
    """A part of the answer. What has none of these but the first two is read with `Unread`."""

    thought: bool | None = None
    thought_signature: str | None = None
    text: str | None = None
    function_call: Call | None = None
    inline_data: Data | None = None
    file_data: Data | None = None


class _Content(Struct, gc=False):
    parts: list[Part] | None = None


class Candidate(Struct, gc=False, rename="camel"):
    """One of the answers (nearly always there is one), and what is known about the whole of it."""

    content: _Content | None = None
    index: int | None = None
    finish_reason: str | int | None = None
    finish_message: str | None = None
    grounding_metadata: Raw = ABSENT
    url_context_metadata: Raw = ABSENT
    citation_metadata: Raw = ABSENT
    safety_ratings: Raw = ABSENT
    logprobs_result: Raw = ABSENT
    avg_logprobs: Raw = ABSENT
    continuation_token: Raw = ABSENT


class _Feedback(Struct, gc=False, rename="camel"):
    block_reason: str | int | None = None


class Chunk(Struct, gc=False, rename="camel"):
    """One frame."""

    candidates: list[Candidate] | None = None
    usage_metadata: Counts | None = None
    response_id: str | None = None
    model_version: str | None = None
    prompt_feedback: _Feedback | None = None
    error: Raw = ABSENT


class NextChunk(Struct, gc=False, rename="camel"):
    """A chunk as far as it says whether it is more of the text before it: decoded in four fifths of the time."""

    candidates: list[Candidate] | None = None
    usage_metadata: Numbers | None = None
    error: Raw = ABSENT


class _RawContent(Struct, gc=False):
    parts: list[Raw]


class _RawCandidate(Struct, gc=False):
    content: _RawContent


class _RawCandidates(Struct, gc=False):
    candidates: list[Raw]


class _RawFeedback(Struct, gc=False, rename="camel"):
    prompt_feedback: Raw


decode = msgspec.json.Decoder(Chunk).decode
decode_next = msgspec.json.Decoder(NextChunk).decode


class Unread:
    """The JSON text of what a frame holds and `Chunk` does not: read when it is asked for, each list once."""

    __slots__ = ("_candidates", "_data", "_of", "_parts")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._candidates: list[Raw] = []
        self._parts: list[Raw] = []
        self._of = -1  # the candidate whose parts these are

    def feedback(self) -> str:
        """What there is to say about the prompt."""
        return raw_text(msgspec.json.decode(self._data, type=_RawFeedback).prompt_feedback)

    def candidate(self, place: int) -> str:
        """The candidate at this place of the list."""
        return raw_text(self._candidate(place))

    def part(self, candidate: int, place: int) -> str:
        """The part at this place of that candidate's list."""
        if self._of != candidate:
            self._parts = msgspec.json.decode(self._candidate(candidate), type=_RawCandidate).content.parts
            self._of = candidate
        return raw_text(self._parts[place])

    def _candidate(self, place: int) -> Raw:
        if not self._candidates:
            self._candidates = msgspec.json.decode(self._data, type=_RawCandidates).candidates
        return self._candidates[place]


class Framing:
    """The framing of a body that shows by its first byte what it is: `[` or `{` JSON, anything else server-sent events."""

    __slots__ = ("_body", "_head", "feed")

    def __init__(self) -> None:
        self._head = b""
        self._body: frames.Framing | None = None
        self.feed: Callable[[bytes], list[Frame]] = self._feed_first

    def _feed_first(self, data: bytes, /) -> list[Frame]:
        """The first bytes, up to one that is not blank; all that follows goes straight to the framing it stands for."""
        self._head += data
        first = self._head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if not first and len(self._head) < _LONGEST_HEAD:
            return []
        self._body = jsonarray.Parser() if first in (b"[", b"{") else sse.Parser()
        self.feed = self._body.feed
        return self._body.feed(self._head)

    @property
    def stray(self) -> bytes:
        """The first bytes that belong to no frame."""
        return self._head if self._body is None else self._body.stray

    def close(self) -> Frame | None:
        """The body ended: the frame it was cut off in, if any."""
        return None if self._body is None else self._body.close()


def raw_text(raw: Raw) -> str:
    """JSON as it was sent; what is not UTF-8 becomes U+FFFD, as everywhere."""
    return bytes(raw).decode("utf-8", "replace")


def kind(part: str) -> str | None:
    """What a part is that is none of those above, in snake case; None if there is nothing to keep of it."""
    keys = msgspec.json.decode(part, type=dict[str, Raw])
    word = next((key for key in keys if key not in _NO_KIND), None)
    if word is None:
        return "part" if "thoughtSignature" in keys else None
    return _CAPITAL.sub(lambda capital: f"_{capital[0].lower()}", word)


def usage(counts: Counts) -> Usage:
    """The counts in our terms: Google's prompt leaves out what tools read, its candidates what was thought."""
    prompt, tools = counts.prompt_token_count, counts.tool_use_prompt_token_count
    read = prompt if prompt is None or tools is None else prompt + tools
    media = (
        _by_modality(counts.prompt_tokens_details, counts.tool_use_prompt_tokens_details),
        _by_modality(counts.candidates_tokens_details),
    )
    audio, images = (part.get("AUDIO") for part in media), (part.get("IMAGE") for part in media)
    before = Usage(read, None, counts.cached_content_token_count, None, None, *audio, *images)
    return more_written(before, counts)


def more_written(before: Usage, now: Numbers) -> Usage:
    """The usage when the model has written more, but no image and no sound."""
    answer, thoughts = now.candidates_token_count, now.thoughts_token_count
    return Usage(
        before.input_tokens,
        answer if thoughts is None else thoughts if answer is None else answer + thoughts,
        before.cache_read_tokens,
        None,
        thoughts,
        before.input_audio_tokens,
        before.output_audio_tokens,
        before.input_image_tokens,
        before.output_image_tokens,
    )


def _by_modality(*lists: list[_Detail] | None) -> dict[str | int | None, int]:
    """The tokens that were counted apart; zero counts are not sent."""
    tokens: dict[str | int | None, int] = {}
    for details in lists:
        for detail in details or ():
            name = _NUMBERS.get(detail.modality, detail.modality)
            if detail.token_count is not None:
                tokens[name] = tokens.get(name, 0) + detail.token_count
    return tokens
