"""What streams are for, said around them: it follows the code into calls and tasks, as context variables do.

Or said in a request's headers, where only they come along: `x-streamcore-feature`, `x-streamcore-user`,
`x-streamcore-conversation-id`, and `x-streamcore-tag-<name>`. Whoever reads them takes them off: they are no provider's.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from .record import Context

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

__all__ = ["PREFIX", "context", "current", "from_headers", "merged", "to_headers"]

PREFIX: Final = "x-streamcore-"
_TAG: Final = f"{PREFIX}tag-"
_FIELDS: Final = {name: PREFIX + name.replace("_", "-") for name in ("feature", "user", "conversation_id")}

_CURRENT: Final[ContextVar[Context]] = ContextVar("streamcore.context", default=Context())  # noqa: B039 - it is frozen


def current() -> Context:
    """What has been said around here."""
    return _CURRENT.get()


def merged(outer: Context, inner: Context) -> Context:
    """Both; where both say something, the inner."""
    return Context(
        feature=outer.feature if inner.feature is None else inner.feature,
        user=outer.user if inner.user is None else inner.user,
        conversation_id=outer.conversation_id if inner.conversation_id is None else inner.conversation_id,
        tags={**outer.tags, **inner.tags},
    )


@contextmanager
def context(
    *, feature: str | None = None, user: str | None = None, conversation_id: str | None = None, **tags: str
) -> Generator[Context, None, None]:
    """Say what the tracked streams are for that are asked for inside this `with`.

    It nests: an inner one adds to the outer, and wins where both say something. Tasks begun inside have it as well.
    """
    inner = Context(feature=feature, user=user, conversation_id=conversation_id, tags=tags)
    whole = merged(_CURRENT.get(), inner)
    token = _CURRENT.set(whole)
    try:
        yield whole
    finally:
        _CURRENT.reset(token)


def from_headers(headers: Mapping[str, str]) -> Context:
    """What a request's headers say. Header names are lower case; what is percent-encoded in names and values is decoded."""
    said = {field: unquote(headers[name]) for field, name in _FIELDS.items() if name in headers}
    tags = {unquote(name[len(_TAG) :]): unquote(value) for name, value in headers.items() if name.startswith(_TAG)}
    return Context(
        feature=said.get("feature"), user=said.get("user"), conversation_id=said.get("conversation_id"), tags=tags
    )


def to_headers(context: Context) -> dict[str, str]:
    """The headers that say it, percent-encoded: any text comes through, capital letters in the names of tags as well."""
    values = ((name, getattr(context, field)) for field, name in _FIELDS.items())
    headers = {name: _quoted(value) for name, value in values if value is not None}
    return headers | {_TAG + _name(tag): _quoted(value) for tag, value in context.tags.items()}


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _name(tag: str) -> str:
    """Names of headers lose their capitals on the way."""
    return "".join(f"%{ord(each):02x}" if each.isascii() and each.isupper() else _quoted(each).lower() for each in tag)
