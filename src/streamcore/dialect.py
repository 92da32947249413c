"""What it takes to serve a format: a dialect reads its clients' requests and writes our events for them.

The reverse of an adapter: an adapter calls a provider, a dialect plays one. A module can be one (PEP 544), often `server`
in the adapter's package, which does not import it: who only calls a provider does not load what serves its format. It
does no I/O.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, Protocol, cast, runtime_checkable

from msgspec import Struct

from .registry import find, registered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .events import Event, Failure
    from .message import Fold
    from .request import Request

__all__ = ["Call", "Dialect", "EventEncoder", "load", "names"]

GROUP: Final = "streamcore.dialects"
_MEMBERS: Final = ("path", "content_type", "keep_alive", "losses", "parse", "Encoder", "render", "error")


class Call(Struct, frozen=True, kw_only=True):
    """What a client asked for.

    `stream` says whether it wants events or one answer, `usage` whether a stream is to end with token counts (formats
    that always have them set it). `id` and `created` (seconds since the epoch) name the answer where the provider's
    `Start` does not.
    """

    request: Request
    stream: bool = True
    usage: bool = True
    id: str = ""
    created: int = 0


class EventEncoder(Protocol):
    """Writes the events of one answer, in the order and with the grammar that a reader guarantees."""

    @property
    def lost(self) -> Mapping[str, int]:
        """What the format had no place for, so far: keys of the dialect's `losses`, and how often."""
        ...

    def feed(self, event: Event, /) -> bytes:
        """The bytes that say this event; b"" if it says nothing, or not yet. After the last event, the body is whole.

        A `Failure` is written as the format's own error, without the marks of a good end.
        """
        ...


@runtime_checkable
class Dialect(Protocol):
    """One format that clients speak."""

    @property
    def path(self) -> str:
        """Where its requests are posted, below the server's root; `{model}` stands for a part that names the model.

        "" for a format that is only written: nobody asks in it, and its `parse` always raises.
        """
        ...

    @property
    def content_type(self) -> str:
        """Of a streamed answer."""
        ...

    @property
    def keep_alive(self) -> bytes:
        """What may be sent between two events so that nobody hangs up, and all real clients survive; b"" for nothing."""
        ...

    @property
    def losses(self) -> Mapping[str, str]:
        """What the format cannot carry: the name of an event or of a field (`Usage.cache_write_tokens`), and why."""
        ...

    @property
    def parse(self) -> Callable[[bytes, Mapping[str, str]], Call]:
        """Read a request's body; the second argument is what `path` matched. Raises LocalError for what is none."""
        ...

    @property
    def Encoder(self) -> Callable[[Call], EventEncoder]:  # noqa: N802 - a class in the modules that implement it
        """Makes the encoder of one answer."""
        ...

    @property
    def render(self) -> Callable[[Fold, Call], bytes]:
        """The whole answer as one body, for a client that did not ask for a stream."""
        ...

    @property
    def error(self) -> Callable[[Failure], tuple[int, bytes]]:
        """The HTTP status and the body that say a failure before the stream has begun."""
        ...


@cache
def load(name: str) -> Dialect:
    """The dialect registered under this name as an entry point of the group `streamcore.dialects`.

    Raises:
        LocalError: No dialect has this name (the message lists those there are), or what has it is none.
    """
    return cast("Dialect", find(GROUP, name, kind="dialect", members=_MEMBERS))


def names() -> list[str]:
    """The names that `load` knows, sorted."""
    return registered(GROUP)
