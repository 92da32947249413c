"""What an adapter is, loading one by its name, and what an HTTP error means.

An adapter tells streamcore one provider's wire format: how a request is written (`encode`), how the body is framed
(`framing`) and what its frames mean (`Decoder`). It does no I/O and never sees where a network chunk ended. A module
can be one (PEP 544), and so can any object with these four members.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, Protocol, cast, runtime_checkable

from msgspec import Struct

from .registry import find, registered

if TYPE_CHECKING:
    from collections.abc import Callable

    from .events import Event
    from .frames import Frame, Framing
    from .request import HTTPRequest, Request, Target

__all__ = ["Adapter", "Billed", "EventDecoder", "load", "names"]

GROUP: Final = "streamcore.adapters"
_MEMBERS: Final = ("url", "key_variables", "framing", "encode", "Decoder")


class Billed(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What a provider bills that its `Usage` does not say. None: as the usage says, or nothing.

    `input_tokens` and `output_tokens` where it bills others than it counts, `cache_write_1h_tokens` the part of what was
    written to the cache that stays there for an hour and costs more, `web_searches` what is billed apart.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    web_searches: int | None = None


class EventDecoder(Protocol):
    """Turns the frames of one response into events. A new one for each response.

    It may leave out what the reader can supply: `Start` before the first event, `BlockEnd` before `Finish`. Malformed
    JSON may leave it as msgspec's `DecodeError`, before its state has changed; any other exception is a bug in it.
    """

    def feed(self, frame: Frame, /) -> list[Event]:
        """The events of one frame with data; empty if it has no meaning of its own."""
        ...

    def close(self) -> list[Event]:
        """The body has ended: what was held back, such as a `Finish` that waited for usage after it. Often empty.

        Returns a `Finish` only if what was fed proves that the answer is whole.
        """
        ...


@runtime_checkable
class Adapter(Protocol):
    """One provider's wire format.

    It may also have a function `billed(extension)`, for an `Extension` about the whole answer: what that says of what is
    `Billed`, None if nothing.
    """

    @property
    def url(self) -> str:
        """The default address, up to the API's root, without a slash at its end."""
        ...

    @property
    def key_variables(self) -> tuple[str, ...]:
        """The environment variables that usually hold the key, in the order to look; empty if none is needed."""
        ...

    @property
    def framing(self) -> Callable[[], Framing]:
        """Makes the framing of one response body."""
        ...

    @property
    def encode(self) -> Callable[[Request, Target], HTTPRequest]:
        """Writes the request for a streamed answer. Raises LocalError for what cannot be written at all."""
        ...

    @property
    def Decoder(self) -> Callable[[], EventDecoder]:  # noqa: N802 - a class in the modules that implement it
        """Makes the decoder of one response."""
        ...


@cache
def load(name: str) -> Adapter:
    """The adapter registered under this name as an entry point of the group `streamcore.adapters`.

    Raises:
        LocalError: No adapter has this name (the message lists those there are), or what has it is none.
    """
    return cast("Adapter", find(GROUP, name, kind="adapter", members=_MEMBERS))


def names() -> list[str]:
    """The names that `load` knows, sorted."""
    return registered(GROUP)
