"""Keeps keys out of what is shown: of addresses, and of what a provider or the road to it says, which may repeat them.

A key is struck out however it is written: as it is, percent-encoded or in base64, and also if only its beginning is
left of it, as where a message was cut.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from msgspec import structs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from .events import Failure

__all__ = ["NO_SECRETS", "Secrets", "secrets_in", "shown_url"]

LEAST: Final = 8  # characters of a key: shorter ones (`EMPTY`, `ollama`) are words, and stand in others
PART: Final = 12  # characters of a key that are more than the prefix that all keys of a provider share
STRUCK: Final = "***"

_NAMES: Final = re.compile(r"auth|cookie|credential|key|password|secret|session|sig|token", re.IGNORECASE)


class Secrets:
    """What is to be struck out: of these, what is long enough to be a key. A copy in another process strikes nothing."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._plain = tuple(dict.fromkeys(secret for secret in secrets if len(secret) >= LEAST))
        written = {spelling for secret in self._plain for spelling in _spellings(secret)}
        self._written = sorted(written, key=len, reverse=True)

    def __deepcopy__(self, _memo: object) -> Secrets:
        return self

    def __reduce__(self) -> tuple[type[Secrets], tuple[()]]:
        return type(self), ()

    def with_those(self, secrets: Iterable[str]) -> Secrets:
        """These, and others."""
        return Secrets((*self._plain, *secrets))

    def struck(self, text: str) -> str:
        """The text without them."""
        for secret in self._written:
            if secret[:PART] in text:
                text = _struck(text, secret)
        return text

    def struck_failure(self, failure: Failure) -> Failure:
        """The failure without them in any of its words."""
        words = {name: getattr(failure, name) for name in ("message", "detail", "code", "request_id")}
        changes = {name: new for name, old in words.items() if old is not None and (new := self.struck(old)) != old}
        return structs.replace(failure, **changes) if changes else failure


NO_SECRETS: Final = Secrets()


def secrets_in(headers: Mapping[str, str], url: str = "") -> Iterator[str]:
    """What is a key by where it is: in a header or a parameter of such a name, or before the host."""
    for name, value in headers.items():
        if _NAMES.search(name):
            yield from (value, value.rpartition(" ")[2], *(pair.partition("=")[2] for pair in value.split(";")))
    parts = urlsplit(url)
    yield from (value for name, value in parse_qsl(parts.query) if _NAMES.search(name))
    user, colon, password = parts.netloc.rpartition("@")[0].partition(":")
    yield from (unquote(password or user),) if user else ()
    if colon:
        yield f"{unquote(user)}:{unquote(password)}"  # which is sent in base64


def shown_url(url: str) -> str:
    """The address without who asks and with what: no user, no password, no parameter's value."""
    try:
        parts = urlsplit(url)
        query = "&".join(f"{name}={STRUCK}" for name, _ in parse_qsl(parts.query, keep_blank_values=True))
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query).geturl()
    except ValueError:
        return STRUCK


def _spellings(secret: str) -> Iterator[str]:
    data = secret.encode("utf-8", "replace")
    yield from (secret, quote(secret, safe="", errors="replace"), quote(secret, errors="replace"))
    yield from (encoded.rstrip(b"=").decode() for encoded in (base64.b64encode(data), base64.urlsafe_b64encode(data)))


def _struck(text: str, secret: str) -> str:
    """Without the secret, and without what begins like it."""
    pieces: list[str] = []
    at, begins = 0, secret[:PART]
    while (found := text.find(begins, at)) >= 0:
        pieces += [text[at:found], STRUCK]
        at = found + len(begins)
        for letter in secret[PART:]:
            if text[at : at + 1] != letter:
                break
            at += 1
    return "".join([*pieces, text[at:]])
