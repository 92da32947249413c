"""What a streamed answer of Gemini's and one in a single body have in common: parts, sources, and the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import UNSET, Raw, Struct, structs

from streamcore.serving import one_line
from streamcore.wire import base64_text, opaque

from .chunk import REASONS
from .request import Opaque, Source
from .server_chunk import Call, Candidate, Chunk, Content, Counts, Data, Part, counts
from .server_sources import Grounding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamcore.events import Citation, Finish, FinishReason, Start, Usage

__all__ = ["Answer", "losses"]

losses: Final[Mapping[str, str]] = {
    "TextDelta.index": "blocks have no marks: adjacent ones are one, and one that another interrupts is two",
    "ReasoningDelta.index": "blocks have no marks: adjacent ones are one, and one that another interrupts is two",
    "ToolCallStart.index": "a call is whole when it ends: what came beside it stands before it",
    "Attachment.index": "sounds have no marks: adjacent ones of one type are one, and one that is interrupted is two",
    "Attachment.url": "where there are bytes as well, they are sent alone",
    "BlockEnd.opaque": "a sound has none, and no part that only Gemini understands",
    "Citation": "only a text has sources, in one piece and not empty",
    "Citation.raw": "sources are written in Gemini's form alone",
    "Citation.start": "a place in the text has a beginning and an end, in it and not the same",
    "Citation.end": "a place in the text has a beginning and an end, in it and not the same",
    "Extension": "only Gemini's own have a place",
    "Failure.detail": "errors have no field for it",
    "Failure.request_id": "errors have no field for it",
    "Failure.should_retry": "errors have no field for it",
    "Failure.status": "the code follows from the kind",
    "Finish.raw": "another provider's word gives way to Google's",
    "Finish.reason": "no word for a refusal (said as `SAFETY`) or a pause (`OTHER`); `STOP` is of calls if there are any",
    "RefusalDelta": "written as text",
    "ToolCallDelta": "arguments are an object: others end the answer with `MALFORMED_FUNCTION_CALL`",
    "ToolCallStart": "a call without a name is none",
    "Usage.cache_write_tokens": "not counted apart",
}

_WORDS: Final[Mapping[FinishReason, str]] = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "refusal": "SAFETY",
    "pause": "OTHER",
    "other": "OTHER",
}
_OTHERS: Final = {"OTHER", "IMAGE_OTHER", "NO_IMAGE", "ESCALATION", "PUP_LIMITED_DISABLED", "FINISH_REASON_UNSPECIFIED"}
_OF_THE_CANDIDATE: Final = {
    "grounding_metadata": b"{",
    "url_context_metadata": b"{",
    "citation_metadata": b"{",
    "safety_ratings": b"[",
    "avg_logprobs": b"-0123456789",
    "continuation_token": b'"',
    "finish_message": b'"',
}
_OF_THE_ANSWER: Final = {**_OF_THE_CANDIDATE, "prompt_feedback": b"{", "service_tier": b'"', "traffic_type": b'"'}
_NOTHING: Final = Opaque()
_UNCOUNTED: Final = Counts()


class _Feedback(Struct, gc=False, rename="camel"):
    block_reason: str


class Answer:
    """One answer: what has to be remembered until its end, and what was lost on the way."""

    __slots__ = ("_calls", "_cited", "_counts", "_grounding", "_malformed", "_whole", "id", "lost", "model")

    def __init__(self, id: str, model: str | None) -> None:
        self.id: str | None = id or None
        self.model = model
        self.lost: dict[str, int] = {}
        self._counts = Counts()
        self._calls = 0
        self._grounding = Grounding()
        self._cited = 0  # sources in Gemini's own form, which its metadata is to say
        self._whole: dict[str, Raw] = {}  # what the last chunk is to say
        self._malformed = ""  # what was wrong with a call

    def lose(self, key: str, count: int = 1) -> None:
        """Count what has no place."""
        self.lost[key] = self.lost.get(key, 0) + count

    def start(self, start: Start) -> None:
        """Take the names that the provider gave."""
        self.id, self.model = start.id or self.id, start.model or self.model

    def count(self, usage: Usage) -> None:
        """Take a usage, which replaces the one before, unless it knows nothing that Google counts."""
        told = counts(usage)
        if told != _UNCOUNTED:
            self._counts = told
        if usage.cache_write_tokens is not None:
            self.lose("Usage.cache_write_tokens")

    def counts(self) -> Counts:
        """The usage so far."""
        return self._counts

    def own(self, text: str | None) -> Opaque:
        """What must come back with a block; another provider's as the signature, whole."""
        if text is None:
            return _NOTHING
        own = opaque(text, Opaque) or _NOTHING
        return Opaque(thought_signature=base64_text(text.encode())) if own == _NOTHING else own

    def call(self, id: str, name: str, arguments: str, own: Opaque) -> list[Part | Raw]:
        """A whole call; nothing if it is none in Gemini's eyes."""
        args = one_line(arguments or "{}")
        if not name:
            self.lose("ToolCallStart")
        elif args is None or not bytes(args).lstrip().startswith(b"{"):
            self.lose("ToolCallDelta")
            self._malformed = f"the arguments of a call of {name} are not a JSON object"
        else:
            self._calls += 1
            written = Call(name, args, (id or None) if own.id is UNSET else None)
            return [Part(function_call=written, thought_signature=own.thought_signature)]
        return []

    def media(self, media_type: str | None, data: bytes | None, url: str | None, own: Opaque) -> Part:
        """An image, a sound, a file."""
        part = Part(thought=own.thought, thought_signature=own.thought_signature)
        if data is None and url is not None:
            part.file_data = Data(media_type, file_uri=url)
        else:
            part.inline_data = Data(media_type, data)
            if url is not None:
                self.lose("Attachment.url")
        return part

    def cite(self, citations: Sequence[Citation], text: str, before: int) -> Raw | None:
        """All sources so far as metadata, if these ones of a text, `before` bytes into the answer, are news."""
        news = False
        for citation in citations:
            source = opaque(citation.raw, Source)
            if source is not None and (source.segment or source.end_index):
                self._cited += 1
            elif not text or before < 0:
                self.lose("Citation")
            else:
                news = True
                if not self._grounding.add(citation, text, before):
                    for name in ("start", "end"):
                        if getattr(citation, name) is not None:
                            self.lose(f"Citation.{name}")
                if citation.raw is not None:
                    self.lose("Citation.raw")
        return self._grounding.metadata() if news else None

    def keep(self, word: str, raw: Raw) -> bool:
        """Take an extension of Gemini's that belongs to the whole answer; whether it does."""
        fits = bytes(raw).lstrip()[:1] in _OF_THE_ANSWER.get(word, b"")
        if fits and (word != "prompt_feedback" or opaque(bytes(raw).decode(), _Feedback) is not None):
            self._whole[word] = raw
            return True
        return False

    def last(self, finish: Finish | None, parts: list[Part | Raw]) -> Chunk:
        """The last chunk, which says how the answer ended and what is known about the whole of it."""
        tiers = {name: self._whole.get(name) for name in ("service_tier", "traffic_type")}
        total = structs.replace(self._counts, **tiers)
        chunk = Chunk(None, None, None if total == _UNCOUNTED else total, self.model, self.id)
        chunk.prompt_feedback = self._whole.get("prompt_feedback")
        if chunk.prompt_feedback is not None:
            return chunk  # without a candidate, which is how a blocked prompt is told
        candidate = Candidate(Content(parts), grounding_metadata=self._grounding.metadata())
        for name in _OF_THE_CANDIDATE.keys() & self._whole.keys():
            setattr(candidate, name, self._whole[name])
        if self._cited and self._whole.keys().isdisjoint({"grounding_metadata", "citation_metadata"}):
            self.lose("Citation", self._cited)
        if finish is not None and self._malformed and finish.reason != "length":
            candidate.finish_reason, candidate.finish_message = "MALFORMED_FUNCTION_CALL", self._malformed
        elif finish is not None:
            candidate.finish_reason = self._word(finish)
        chunk.candidates = [candidate]
        return chunk

    def _word(self, finish: Finish) -> str:
        """Google's word: the very one, if it was Google who said it."""
        reason: FinishReason = "stop" if finish.reason == "tool_calls" else finish.reason
        raw = finish.raw
        own = raw is not None and (REASONS.get(raw) == reason or (reason == "other" and raw in _OTHERS))
        word = raw if raw is not None and own else _WORDS[reason]
        if raw not in (None, word):
            self.lose("Finish.raw")
        read = REASONS.get(word, "other")
        if finish.reason != ("tool_calls" if read == "stop" and self._calls else read):
            self.lose("Finish.reason")
        return word

    def abandon(self) -> None:
        """The answer has failed: what only its last chunk would have said is not told."""
        for key, count in (("Extension", len(self._whole)), ("Citation", self._cited)):
            if count:
                self.lose(key, count)
