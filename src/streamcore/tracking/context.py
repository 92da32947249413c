"""What streams are for, said around them: it follows the code into calls and tasks, as context variables do."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from .record import Context

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["context", "current", "merged"]

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
